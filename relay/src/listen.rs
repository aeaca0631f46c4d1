//! Takes connections in and brings each to the data plane, or says why not.
//!
//! Every listener, whatever its transport, shares one [`Entrance`]: ask the gate, shake hands, then
//! [`Entrance::receive`] does the rest (admit, pair, move to the data plane). The accept loop never waits for a stranger:
//! what takes time happens on the connection's own task at the door, under a deadline.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use link::{
    framed,
    served::{self, AcceptError},
};
use ops::{
    proxied::{self, HeaderError},
    shutdown::Shutdown,
};
use proto::{hello::RelayWord, ticket::Ticket};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    Relay,
    admit::{self, Expected},
    config::Config,
    drain,
    forward::{self, Seated},
    gate::{Arrival, Handshake, NotAdmitted, Place},
    pair::{Claim, Terms},
    plane::Planes,
    transport::{Connection, Transport},
};

/// A refusal is said and heard within this time, or not at all.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept, for example when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Ports that are tried when any will do and QUIC must have the same one.
const PORTS_TRIED: usize = 32;

/// The sockets on which tools connect.
#[derive(Debug)]
pub struct Listeners {
    /// For TLS over TCP.
    pub tcp: TcpListener,
    /// For QUIC, if it is wanted.
    pub quic: Option<UdpSocket>,
}

impl Listeners {
    /// Listens where the configuration says. Where any port will do, both get the same one.
    ///
    /// # Errors
    /// Those of the system, with the key of the configuration that names the address.
    pub async fn bind(config: &Config) -> Result<Self, String> {
        let any = config.listen.port() == 0 && config.quic_listen.is_none();
        let mut last = String::new();
        for _ in 0..if any { PORTS_TRIED } else { 1 } {
            let tcp = TcpListener::bind(config.listen).await;
            let tcp = tcp.map_err(|error| format!("listen {}: {error}", config.listen))?;
            let address = tcp.local_addr().map_err(|error| format!("listen {}: {error}", config.listen))?;
            let Some(wanted) = config.quic.then(|| config.quic_listen.unwrap_or(address)) else {
                return Ok(Self { tcp, quic: None });
            };
            match UdpSocket::bind(wanted) {
                Ok(quic) => return Ok(Self { tcp, quic: Some(quic) }),
                Err(error) => last = format!("quic_listen {wanted} (UDP): {error}"),
            }
        }
        Err(last)
    }
}

/// What all listeners share.
pub(crate) struct Entrance {
    pub(crate) relay: Arc<Relay>,
    pub(crate) planes: Arc<Planes>,
    pub(crate) shutdown: Shutdown,
}

/// Accepts TCP connections until `closed`. Runs at the door.
pub(crate) async fn accept_tcp(entrance: Arc<Entrance>, listener: std::net::TcpListener, closed: CancellationToken) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(event = "listen.failed", error = %error, "The listener cannot be waited for"),
    };
    loop {
        tokio::select! {
            biased;
            () = closed.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => entrance.let_in(stream, address),
                Err(error) => entrance.after_failed_accept(&error).await,
            },
        }
    }
}

impl Entrance {
    /// Starts a connection's task, or closes the connection when a limit is reached.
    fn let_in(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        // A balancer says on its own time who it speaks for.
        let source = (!self.relay.proxy_from.lists(address.ip())).then_some(address.ip());
        let (place, handshake) = match self.relay.gate.let_in(source, Instant::now()) {
            Ok(places) => places,
            Err(arrival) => return self.count(Transport::Tcp, arrival),
        };
        let entrance = Arc::clone(self);
        self.relay.connections.spawn(async move {
            let forced = entrance.shutdown.forced();
            tokio::select! {
                biased;
                () = entrance.shake_hands(stream, address, place, handshake) => {}
                // Those with a seat are told by the drain; whoever has none after that is cut.
                () = async { forced.cancelled().await; sleep(drain::FORCED_TIMEOUT).await } => {}
            }
        });
    }

    async fn shake_hands(&self, mut stream: TcpStream, from: SocketAddr, mut place: Place, handshake: Handshake) {
        let handshake = match self.find_source(&mut stream, from, (&mut place, handshake)).await {
            Ok(handshake) => handshake,
            Err(arrival) => return self.count(Transport::Tcp, arrival),
        };
        let begun = Instant::now();
        let patience = self.relay.deadlines.tls_handshake.get();
        let accepted = served::accept(stream, &self.relay.tls, patience).await;
        let result = match &accepted {
            Ok(_) => Arrival::Accepted,
            Err(AcceptError::Timeout) => Arrival::TlsTimeout,
            Err(AcceptError::Failed(_)) => Arrival::TlsFailed,
            Err(AcceptError::Alpn) => Arrival::WrongAlpn,
        };
        self.count(Transport::Tcp, result);
        let connection = match accepted {
            Ok(served) => Connection::from(served),
            Err(error) => return debug!(error = %error, "A connection had no TLS handshake"),
        };
        let seconds = self.relay.metrics.relay_handshake_seconds.with_label_values(&[Transport::Tcp.as_str()]);
        seconds.observe(begun.elapsed().as_secs_f64());
        self.receive(connection, place, handshake).await;
    }

    /// Counts a load balancer's connection for whoever it says has connected to it.
    async fn find_source(
        &self,
        stream: &mut TcpStream,
        from: SocketAddr,
        (place, handshake): (&mut Place, Handshake),
    ) -> Result<Handshake, Arrival> {
        if place.has_source() {
            return Ok(handshake);
        }
        let said = proxied::source(stream, self.relay.deadlines.tls_handshake.get()).await.map_err(|error| {
            debug!(error = %error, "A load balancer did not say who connected");
            match error {
                HeaderError::Timeout => Arrival::ProxyTimeout,
                HeaderError::Malformed(_) | HeaderError::Broken(_) => Arrival::ProxyHeader,
            }
        })?;
        self.relay.gate.came_from((place, handshake), said.unwrap_or(from).ip(), Instant::now())
    }

    /// Admits a connection whose handshake is done, seats it, and hands it to the data plane; or says why not.
    pub(crate) async fn receive(&self, mut connection: Connection, mut place: Place, handshake: Handshake) {
        let seated = match self.admitted(&mut connection, &mut place).await {
            Ok((ticket, claim)) => {
                let may_begin = !self.shutdown.draining().is_cancelled();
                let terms = Terms { may_begin, home: self.planes.choose(), now: Instant::now() };
                forward::sit_down(&self.relay, &ticket, claim, connection.transport(), terms).map_err(NotAdmitted::from)
            }
            Err(reason) => Err(reason),
        };
        match seated {
            Ok(seated) => {
                drop(handshake);
                // Who comes back to its seat meanwhile was not there when the others were told.
                if self.shutdown.draining().is_cancelled() {
                    seated.say_goaway();
                }
                self.hand_over(seated, connection, place);
            }
            Err(not_admitted) => self.refuse(connection, not_admitted).await,
        }
    }

    async fn admitted(&self, connection: &mut Connection, place: &mut Place) -> Result<(Ticket, Claim), NotAdmitted> {
        let relay = &self.relay;
        let heard = admit::hear(&mut connection.reader, relay.deadlines.hello.get()).await;
        let hello = heard.map_err(NotAdmitted::Because)?;
        let is_own = |spki: &str| relay.has_key(spki);
        let expected = Expected { exporter: &connection.exporter, is_own: &is_own, now_ms: relay.clock.now_ms() };
        let now = Instant::now();
        let ticket = relay.gate.verify(place, &relay.keys, &hello, &expected, now)?;
        relay.gate.seat(place, relay.pairs.has(ticket.session_id), now)?;
        let Place { serial, .. } = *place;
        let claim = Claim { role: ticket.role, proof_key: hello.proof_key, generation: hello.generation, serial };
        Ok((ticket, claim))
    }

    /// Moves a seated connection to the thread of its session, or leaves it at the door when QUIC carries it. If that
    /// fails, the seat is given back by its drop.
    fn hand_over(&self, seated: Seated, connection: Connection, place: Place) {
        let (runtime, at_plane) = match connection.transport() {
            Transport::Tcp => match self.planes.take(seated.home()) {
                Some((runtime, at_plane)) => (runtime.clone(), Some(at_plane)),
                None => return,
            },
            Transport::Quic => (Handle::current(), None),
        };
        let connection = match connection.move_to(&runtime) {
            Ok(connection) => connection,
            Err(error) => return warn!(event = "move.failed", error = %error, "A connection could not be moved"),
        };
        let task = async move {
            forward::run(seated, connection).await;
            drop((place, at_plane));
        };
        drop(self.relay.connections.spawn_on(task, &runtime));
    }

    /// Says why, counts it, and closes.
    async fn refuse(&self, mut connection: Connection, not_admitted: NotAdmitted) {
        let (reason, metrics) = (not_admitted.reason(), &self.relay.metrics);
        metrics.relay_joins_refused_total.with_label_values(&[reason.as_str()]).inc();
        match not_admitted {
            NotAdmitted::Because(_) => {}
            NotAdmitted::Again(_) => metrics.relay_tickets_refused_again_total.inc(),
            NotAdmitted::Overloaded(bound) => {
                metrics.relay_overloaded_total.with_label_values(&[bound.as_str()]).inc();
            }
        }
        debug!(event = "join.refused", reason = reason.as_str(), "A join was refused: {}", reason.as_str());
        let goodbye = async {
            let word = framed::to_wire(&RelayWord::Refused(reason).to_frame());
            if connection.writer.send_all(&[word], REFUSAL_TIMEOUT).await.is_ok() {
                connection.farewell().await;
            }
        };
        let _in_time = timeout(REFUSAL_TIMEOUT, goodbye).await;
    }

    async fn after_failed_accept(&self, error: &io::Error) {
        self.count(Transport::Tcp, Arrival::AcceptFailed);
        warn!(event = "accept.failed", error = %error, "A connection could not be accepted");
        sleep(ACCEPT_PAUSE).await;
    }

    /// Counts how a connection's coming ended.
    pub(crate) fn count(&self, transport: Transport, arrival: Arrival) {
        let labels = [transport.as_str(), arrival.as_str()];
        self.relay.metrics.relay_connections_total.with_label_values(&labels).inc();
    }
}
