//! A relay with a key of its own, and tools that speak to it frame by frame.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use link::{
    framed::write_frame,
    join::{self, Admission, JoinError},
    race::Dialer,
    tcp::{AnyStream, Connection},
    tls,
    transport::{Choice, Transport},
};
use ops::{clock::Clock, config::Span, shutdown::Shutdown};
use proto::{
    api::reception::{Pairing, RelayAddress},
    close::CloseReason,
    frame::{Frame, FrameType, Lane},
    hello::RelayWord,
    id::{RelayId, SessionId},
    role::Role,
    ticket::{ProofKey, SigningKey, Ticket, TicketRelay, proof_key_hash},
};
use relay::{
    Relay,
    config::{Config, Deadlines, TicketKey},
    listen::Listeners,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

/// Nothing in these tests takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Deadlines of the relay that a test waits for.
pub(crate) const SHORT: Span = Span::new(Duration::from_millis(700));

pub(crate) struct World {
    pub(crate) relay: Arc<Relay>,
    pub(crate) address: SocketAddr,
    /// Where metrics and health are.
    pub(crate) private: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    pub(crate) key: SigningKey,
}

/// A tool with its connection.
pub(crate) struct Tool {
    pub(crate) connection: Connection<AnyStream>,
}

/// One side of one session, as its ticket says.
pub(crate) struct Side {
    pub(crate) proof_key: Arc<ProofKey>,
    pub(crate) ticket: Ticket,
}

pub(crate) fn config() -> Config {
    let key = SigningKey::from_seed("test", [7; 32]).unwrap().verifying_key();
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        public_address: "127.0.0.1:1".to_owned(),
        ticket_keys: vec![TicketKey { key_id: "test".to_owned(), public_key: key.to_hex() }],
        ..Config::default()
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(config()).await
    }

    pub(crate) async fn start_hurried(deadlines: Deadlines) -> Self {
        Self::start_with(Config { deadlines, ..config() }).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        Self::start_by(config, Clock::system()).await
    }

    pub(crate) async fn start_by(config: Config, clock: Clock) -> Self {
        tls::install_provider();
        let relay = Relay::prepare(&config, clock).unwrap();
        let listeners = Listeners::bind(&config).await.unwrap();
        let address = listeners.tcp.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let private_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let private = private_listener.local_addr().unwrap();
        let serving = tokio::spawn(Arc::clone(&relay).serve(listeners, Some(private_listener), shutdown.clone()));
        let key = SigningKey::from_seed("test", [7; 32]).unwrap();
        Self { relay, address, private, shutdown, serving, key }
    }

    pub(crate) fn side(&self, role: Role, session: u8) -> Side {
        let proof_key = Arc::new(ProofKey::random(&mut rand_core::OsRng));
        let now_ms = Clock::system().now_ms();
        let ticket = Ticket {
            session_id: SessionId::from_bytes([session; 16]),
            role,
            proof_key_hash: proof_key_hash(&proof_key.public()),
            relays: vec![TicketRelay { relay_id: RelayId::from_bytes([9; 16]), spki: self.relay.spki() }],
            rate_max: 1 << 30,
            issued_at_ms: now_ms,
            expires_at_ms: now_ms + 3_600_000,
            hard_end_at_ms: now_ms + 8 * 3_600_000,
        };
        Side { proof_key, ticket }
    }

    pub(crate) async fn dial(&self) -> Tool {
        self.dial_over(Transport::Tcp).await
    }

    pub(crate) async fn dial_over(&self, transport: Transport) -> Tool {
        let connection = Dialer::new(Choice::Only(transport)).dial(&self.relay_address()).await.unwrap();
        Tool { connection }
    }

    pub(crate) fn relay_address(&self) -> RelayAddress {
        RelayAddress {
            relay_id: RelayId::from_bytes([9; 16]),
            address: self.address.to_string(),
            spki: self.relay.spki(),
        }
    }

    /// Joins; `Ok(true)` when the other side is there.
    pub(crate) async fn try_join(&self, side: &Side, generation: u32) -> Result<(Tool, bool), JoinError> {
        let ticket = side.ticket.sign(&self.key).unwrap();
        self.try_join_with(&ticket, &side.proof_key, generation).await
    }

    pub(crate) async fn try_join_with(
        &self,
        ticket: &str,
        proof_key: &ProofKey,
        generation: u32,
    ) -> Result<(Tool, bool), JoinError> {
        let mut tool = self.dial().await;
        let admission = Admission { ticket, proof_key, generation };
        let present = join::join(&mut tool.connection, &admission).await?;
        Ok((tool, present))
    }

    pub(crate) async fn join(&self, role: Role, session: u8) -> Tool {
        self.try_join(&self.side(role, session), 1).await.unwrap().0
    }

    /// Both sides of a session, together.
    pub(crate) async fn pair(&self, session: u8) -> (Tool, Tool) {
        self.pair_over(session, Transport::Tcp, Transport::Tcp).await
    }

    /// Joins over this transport; `Ok(true)` when the other side is there.
    pub(crate) async fn join_over(&self, side: &Side, transport: Transport) -> Result<(Tool, bool), JoinError> {
        let mut tool = self.dial_over(transport).await;
        let ticket = side.ticket.sign(&self.key).unwrap();
        let admission = Admission { ticket: &ticket, proof_key: &side.proof_key, generation: 1 };
        let present = join::join(&mut tool.connection, &admission).await?;
        Ok((tool, present))
    }

    /// Both sides of a session, each over its transport.
    pub(crate) async fn pair_over(&self, session: u8, customer: Transport, operator: Transport) -> (Tool, Tool) {
        let (mut customer, _) = self.join_over(&self.side(Role::Customer, session), customer).await.unwrap();
        let (operator, present) = self.join_over(&self.side(Role::Operator, session), operator).await.unwrap();
        assert!(present, "the customer is there");
        join::wait_for_peer(&mut customer.connection).await.unwrap();
        (customer, operator)
    }

    pub(crate) fn pairing(&self, side: &Side, introduction: &str) -> Pairing {
        let relay = self.relay_address();
        Pairing {
            session_id: side.ticket.session_id,
            introduction: introduction.to_owned(),
            ticket: side.ticket.sign(&self.key).unwrap(),
            relays: vec![relay],
        }
    }

    /// Value of a metric, 0 when it has not moved.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.relay.metrics_text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until something is true that the relay does by itself.
    pub(crate) async fn until(&self, what: &str, mut is_true: impl FnMut(&Self) -> bool) {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let wait = async {
            while !is_true(self) {
                ticks.tick().await;
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{what} did not happen; metrics:\n{}", self.relay.metrics_text());
    }

    /// Waits until `/readyz` answers this line.
    pub(crate) async fn until_readiness(&self, line: &str) {
        let mut last = String::new();
        let wait = async {
            while last.lines().last() != Some(line) {
                let mut socket = TcpStream::connect(self.private).await.unwrap();
                socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n").await.unwrap();
                last.clear();
                socket.read_to_string(&mut last).await.unwrap();
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "the relay does not become {line:?}, but says {last:?}");
    }

    pub(crate) async fn until_metric(&self, name: &str, value: f64) {
        self.until(name, |world| world.metric(name) >= value).await;
    }

    pub(crate) async fn stop(self) {
        self.shutdown.force();
        timeout(PATIENCE, self.serving).await.unwrap().unwrap().unwrap();
        assert_eq!(self.relay.sessions(), 0, "nobody is left in the table");
    }
}

impl Tool {
    pub(crate) async fn send(&mut self, lane: Lane, payload: Vec<u8>) {
        let frame = Frame::sealed(lane, 0, Bytes::from(payload)).unwrap();
        write_frame(&mut self.connection.writer, frame).await.unwrap();
    }

    /// The next frame that is no ping; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame =
                timeout(PATIENCE, self.connection.reader.next()).await.expect("the relay says something in time");
            let frame = frame.ok().flatten()?.to_frame();
            if frame.kind != FrameType::Ping {
                return Some(frame);
            }
        }
    }

    pub(crate) async fn word(&mut self) -> Option<RelayWord> {
        RelayWord::parse(&self.next().await?)
    }

    /// The last word, after whatever frames stood before it.
    pub(crate) async fn last_word(&mut self) -> Option<RelayWord> {
        let mut last = None;
        while let Some(frame) = self.next().await {
            last = RelayWord::parse(&frame);
        }
        last
    }
}

pub(crate) fn refused(reason: CloseReason) -> String {
    format!("relay_joins_refused_total{{reason=\"{}\"}}", reason.as_str())
}
