//! Makes both ends of a session: over our relay, or through anything that passes bytes on to a sink of ours.
//!
//! A sink is a listener of this program: what a proxy forwards comes in there, and the first frame of a connection says
//! to which session it belongs. Dialing the sink itself is the direct connection.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use link::{
    framed::write_frame,
    join::{Admission, join, wait_for_peer},
    quic,
    tcp::{AnyStream, Connection},
    tls::{Pin, exporter, pinned_client_config},
    transport::Transport,
};
use ops::clock::Clock;
use proto::{
    frame::{Frame, FrameType},
    id::{RelayId, SessionId},
    limits,
    role::Role,
    ticket::{ProofKey, SigningKey, Ticket, TicketRelay, proof_key_hash},
    version,
};
use rand_core::{OsRng, RngCore as _};
use tokio::{net::TcpStream, sync::oneshot, task::JoinSet, time::timeout};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::tls::{Identity, KeyExchange};

/// A connection of a session comes together in this time, or something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// One end of a session.
pub type End = Connection<AnyStream>;

/// A way for sessions. A clone is the same way.
#[derive(Clone)]
pub struct Road {
    address: SocketAddr,
    near: Near,
    far: Far,
}

/// How what listens there is dialed.
#[derive(Clone)]
enum Near {
    /// Without TLS.
    Plain,
    /// TLS over TCP.
    Tls(Arc<ClientConfig>),
    /// QUIC, from a socket for each connection as a tool has it.
    Quic(Pin),
}

/// What is at the other end of what is dialed.
#[derive(Clone)]
enum Far {
    /// Our relay, where the other side dials too.
    Relay(Arc<Admitting>),
    /// The sink, perhaps behind something.
    Sink(Arc<Sink>),
}

struct Admitting {
    spki: String,
    key: SigningKey,
}

/// Takes what comes in, and gives it to whoever waits for that session.
struct Sink {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    waiting: Mutex<HashMap<u32, oneshot::Sender<End>>>,
}

/// A road that is in use: takes connections as long as it lives.
pub struct OpenRoad {
    road: Road,
    // Dropping it ends the accept loop.
    _accepting: JoinSet<()>,
}

/// Where connections through a proxy end.
#[derive(Clone)]
pub struct SinkAddress {
    sink: Arc<Sink>,
    /// Where a proxy shall forward to.
    pub address: SocketAddr,
}

impl SinkAddress {
    /// Listens on a free port, with TLS or without.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn listen(identity: Option<&Identity>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let acceptor = identity.map(Identity::server).transpose()?.map(TlsAcceptor::from);
        Ok(Self { sink: Arc::new(Sink { listener, acceptor, waiting: Mutex::default() }), address })
    }
}

impl Road {
    /// Through what listens at `address` and forwards to `sink`; with `identity` it is dialed with TLS.
    ///
    /// # Errors
    /// Never with an identity of [`Identity::make`].
    pub fn to_sink(address: SocketAddr, identity: Option<&Identity>, sink: &SinkAddress) -> Result<Self> {
        let client = identity.map(|identity| identity.client(KeyExchange::X25519, &[])).transpose()?;
        let near = client.map_or(Near::Plain, Near::Tls);
        Ok(Self { address, near, far: Far::Sink(Arc::clone(&sink.sink)) })
    }

    /// Over the relay at `address`, which knows `key`.
    ///
    /// # Errors
    /// Never with an identity of [`Identity::make`].
    pub fn over_relay(address: SocketAddr, identity: &Identity, key: SigningKey) -> Result<Self> {
        let near = Near::Tls(identity.client(KeyExchange::X25519, &[version::ALPN])?);
        let spki = identity.files().spki_hash.clone();
        Ok(Self { address, near, far: Far::Relay(Arc::new(Admitting { spki, key })) })
    }

    /// The same relay by QUIC, at the same address; both sides of a session go this way.
    ///
    /// # Errors
    /// When this is no way over a relay.
    pub fn by_quic(&self) -> Result<Self> {
        let Far::Relay(admitting) = &self.far else { bail!("only a relay is reached by QUIC") };
        let pin = Pin::from_hex(&admitting.spki).context("spki")?;
        Ok(Self { near: Near::Quic(pin), ..self.clone() })
    }

    /// As [`Self::over_relay`], for a relay whose key has the hash `spki` and whose cipher is its own choice.
    ///
    /// # Errors
    /// When `spki` has not 64 hexadecimal digits.
    pub fn over_pinned_relay(address: SocketAddr, spki: &str, key: SigningKey) -> Result<Self> {
        let pin = Pin::from_hex(spki).context("spki")?;
        let near = Near::Tls(Arc::new(pinned_client_config(pin)?));
        Ok(Self { address, near, far: Far::Relay(Arc::new(Admitting { spki: spki.to_owned(), key })) })
    }

    /// Begins to take connections. Must be called inside the runtime in which the sessions live.
    ///
    /// # Errors
    /// When the sink cannot be used.
    pub fn open(&self) -> Result<OpenRoad> {
        let mut accepting = JoinSet::new();
        if let Far::Sink(sink) = &self.far {
            let listener = tokio::net::TcpListener::from_std(sink.listener.try_clone()?)?;
            let sink = Arc::clone(sink);
            accepting.spawn(async move { sink.accept_all(&listener).await });
        }
        Ok(OpenRoad { road: self.clone(), _accepting: accepting })
    }
}

impl OpenRoad {
    /// Both ends of a new session, `(customer, operator)`.
    ///
    /// # Errors
    /// When one of them cannot be made within 30 s.
    pub async fn pair(&self, session: u32) -> Result<(End, End)> {
        let road = &self.road;
        let made = async {
            match &road.far {
                Far::Relay(admitting) => {
                    let mut id = [0; 16];
                    OsRng.fill_bytes(&mut id);
                    let id = SessionId::from_bytes(id);
                    let mut customer = road.join(admitting, id, Role::Customer).await?;
                    let operator = road.join(admitting, id, Role::Operator).await?;
                    wait_for_peer(&mut customer).await?;
                    Ok((customer, operator))
                }
                Far::Sink(sink) => {
                    let arrived = sink.expect(session);
                    let mut customer = road.dial().await?;
                    let hello = Frame::plain(FrameType::Prove, Bytes::copy_from_slice(&session.to_le_bytes()))?;
                    write_frame(&mut customer.writer, hello).await?;
                    Ok((customer, arrived.await.context("the sink has ended")?))
                }
            }
        };
        timeout(PATIENCE, made).await.context("a session did not come together in time")?
    }

    /// A connection with nothing said on it but the handshake.
    ///
    /// # Errors
    /// When there is none.
    pub async fn dial(&self) -> Result<End> {
        self.road.dial().await
    }
}

impl Road {
    async fn dial(&self) -> Result<End> {
        let client = match &self.near {
            Near::Plain => None,
            Near::Tls(client) => Some(client),
            Near::Quic(pin) => {
                let host = self.address.ip().to_string();
                return quic::connect_any(self.address, &host, *pin).await.context("no QUIC");
            }
        };
        let socket = TcpStream::connect(self.address).await.context("no connection")?;
        socket.set_nodelay(true)?;
        let Some(client) = client else { return Ok(Connection::new(Box::new(socket), [0; 32], Transport::Tcp)) };
        let name = ServerName::from(self.address.ip());
        let stream = TlsConnector::from(Arc::clone(client)).connect(name, socket).await.context("no TLS")?;
        let exporter = exporter(stream.get_ref().1)?;
        Ok(Connection::new(Box::new(stream), exporter, Transport::Tcp))
    }

    async fn join(&self, admitting: &Admitting, session_id: SessionId, role: Role) -> Result<End> {
        let mut end = self.dial().await?;
        let proof_key = ProofKey::random(&mut OsRng);
        let now = Clock::system().now_ms();
        let hour = i64::try_from(limits::TICKET_LIFE.as_millis())?;
        let ticket = Ticket {
            session_id,
            role,
            proof_key_hash: proof_key_hash(&proof_key.public()),
            relays: vec![TicketRelay { relay_id: RelayId::from_bytes([1; 16]), spki: admitting.spki.clone() }],
            // No limit: what is measured is the relay, not its brakes.
            rate_max: u64::from(u32::MAX),
            issued_at_ms: now,
            expires_at_ms: now + hour,
            hard_end_at_ms: now + hour,
        }
        .sign(&admitting.key)?;
        join(&mut end, &Admission { ticket: &ticket, proof_key: &proof_key, generation: 0 }).await?;
        Ok(end)
    }
}

impl Sink {
    fn expect(&self, session: u32) -> oneshot::Receiver<End> {
        let (arrived, arrival) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(session, arrived);
        arrival
    }

    async fn accept_all(self: Arc<Self>, listener: &tokio::net::TcpListener) {
        let mut arriving = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        let sink = Arc::clone(&self);
                        arriving.spawn(async move {
                            // Who opens a connection and says nothing is somebody who looks whether we listen.
                            drop(timeout(PATIENCE, sink.take(socket)).await);
                        });
                    }
                    // Out of file descriptors: whoever waits for this session says so in the end.
                    Err(_full) => tokio::task::yield_now().await,
                },
                Some(_) = arriving.join_next() => {}
            }
        }
    }

    async fn take(&self, socket: TcpStream) -> Result<()> {
        socket.set_nodelay(true)?;
        let mut end = match &self.acceptor {
            None => Connection::new(Box::new(socket) as AnyStream, [0; 32], Transport::Tcp),
            Some(acceptor) => {
                let stream = acceptor.accept(socket).await?;
                Connection::new(Box::new(stream) as AnyStream, [0; 32], Transport::Tcp)
            }
        };
        let hello = end.reader.next().await?.context("nothing was said")?;
        let payload = hello.payload();
        let Some(session) = payload.first_chunk().filter(|_| hello.header.kind == FrameType::Prove) else {
            bail!("no session was named");
        };
        let session = u32::from_le_bytes(*session);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
        // Whoever waited may have given up.
        drop(waiting.context("nobody waits for this session")?.send(end));
        Ok(())
    }
}
