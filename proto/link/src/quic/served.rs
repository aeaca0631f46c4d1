//! The relay's end of a connection: a tool's QUIC, accepted.
//!
//! A stranger costs nothing before somebody says what becomes of it: it is let in, sent away, or asked to prove its
//! address first, which costs it a round trip and the relay no memory.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use proto::{streams::Streams, version};
use quinn::{ConnectionError, Endpoint, Incoming, RecvStream, SendStream, TokioRuntime, TransportErrorCode};
use tokio::time::{Instant, timeout_at};

use super::{
    BROKEN, config,
    dial::{exporter, protocol},
    priority,
    reader::LaneReader,
    writer::LaneWriter,
};

/// A socket on which tools connect.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
}

/// Somebody who wants to connect.
#[derive(Debug)]
pub struct Stranger {
    incoming: Incoming,
}

/// A tool's connection, before its first frame.
pub struct Served {
    /// Frames from the tool.
    pub reader: LaneReader,
    /// Frames to the tool.
    pub writer: LaneWriter,
    /// What a proof is bound to.
    pub exporter: [u8; 32],
}

/// Why a stranger did not get a connection.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Handshake and streams were not there in time.
    #[error("no QUIC handshake in time")]
    Timeout,
    /// Not QUIC, not TLS 1.3, or broken off.
    #[error("no QUIC handshake: {0}")]
    Failed(#[from] ConnectionError),
    /// QUIC, but without our ALPN name.
    #[error("QUIC without the name of this protocol")]
    Alpn,
    /// A stream of no lane, or two of one.
    #[error("the streams are not one for each lane")]
    Streams,
}

impl Listener {
    /// Listens on `socket` with the certificate of `tls`. Must be called inside the runtime that is to do the work.
    ///
    /// # Errors
    /// Those of the system, and a `tls` that cannot do QUIC.
    pub fn new(socket: UdpSocket, tls: &rustls::ServerConfig) -> io::Result<Self> {
        let server = config::server(tls)?;
        let endpoint = Endpoint::new(config::endpoint(), Some(server), socket, Arc::new(TokioRuntime))?;
        Ok(Self { endpoint })
    }

    /// Where tools connect.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next stranger; `None` when the socket is gone. Cancel-safe.
    pub async fn next(&self) -> Option<Stranger> {
        self.endpoint.accept().await.map(|incoming| Stranger { incoming })
    }

    /// Lets nobody in any more, and waits until every connection has been closed and the other end knows. The caller
    /// sets the deadline.
    pub async fn leave(self) {
        self.endpoint.set_server_config(None);
        self.endpoint.wait_idle().await;
    }
}

impl Stranger {
    /// Where its packets say that they come from.
    pub fn address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Whether it has proved that it gets what is sent there.
    pub fn is_validated(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Asks it to come again with a proof of its address.
    pub fn ask_for_proof(self) {
        // One that has a proof already is not asked; there is nobody to tell.
        drop(self.incoming.retry());
    }

    /// Says no.
    pub fn send_away(self) {
        self.incoming.refuse();
    }

    /// Does the handshake and meets the streams of the four lanes, within `patience`.
    ///
    /// # Errors
    /// See [`AcceptError`]. Cancel-safe: dropping it closes the connection.
    pub async fn let_in(self, patience: Duration) -> Result<Served, AcceptError> {
        let deadline = Instant::now() + patience;
        let connecting = self.incoming.accept()?;
        let connection = timeout_at(deadline, connecting).await.map_err(|_late| AcceptError::Timeout)?;
        let connection = connection.map_err(handshake_error)?;
        if protocol(&connection).as_deref() != Some(version::ALPN) {
            return Err(AcceptError::Alpn);
        }
        let exporter = exporter(&connection).map_err(|_no_keys| AcceptError::Alpn)?;
        let met = timeout_at(deadline, meet_streams(&connection)).await.map_err(|_late| AcceptError::Timeout)?;
        let (sends, receives) = met.inspect_err(|_error| connection.close(BROKEN, b""))?;
        let reader = LaneReader::new(connection.clone(), receives);
        Ok(Served { reader, writer: LaneWriter::new(connection, sends), exporter })
    }
}

impl Served {
    /// Closes so that what was written last arrives: says the end, then reads until the other end has said it too.
    /// The caller sets the deadline.
    pub async fn farewell(&mut self) {
        if self.writer.close().is_ok() {
            self.reader.drain().await;
        }
    }
}

/// Takes four streams, one for each lane, in whatever order they come; and no other after them.
async fn meet_streams(connection: &quinn::Connection) -> Result<([SendStream; 4], [RecvStream; 4]), AcceptError> {
    let (mut opened, mut streams) = (Streams::default(), [const { None }; 4]);
    while !opened.are_complete() {
        let (send, mut receive) = connection.accept_bi().await?;
        let mut first = [0];
        receive.read_exact(&mut first).await.map_err(|_ended| AcceptError::Streams)?;
        let lane = opened.open(first[0]).map_err(|_wrong| AcceptError::Streams)?;
        send.set_priority(priority(lane)).map_err(|_closed| AcceptError::Streams)?;
        if let Some(place) = streams.get_mut(usize::from(lane.code())) {
            *place = Some((send, receive));
        }
    }
    // Nor does a stream that ends make room for another.
    connection.set_max_concurrent_bi_streams(quinn::VarInt::from_u32(0));
    let [Some(control), Some(input), Some(screen), Some(bulk)] = streams else { return Err(AcceptError::Streams) };
    let (sends, receives): (Vec<_>, Vec<_>) = [control, input, screen, bulk].into_iter().unzip();
    match (sends.try_into(), receives.try_into()) {
        (Ok(sends), Ok(receives)) => Ok((sends, receives)),
        (Ok(_) | Err(_), _) => Err(AcceptError::Streams),
    }
}

/// TLS tells by its alert that no name was common.
fn handshake_error(error: ConnectionError) -> AcceptError {
    const NO_APPLICATION_PROTOCOL: u8 = 120;
    let alpn = TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL);
    #[expect(clippy::wildcard_enum_match_arm, reason = "only two of the library's errors can carry this alert")]
    match &error {
        ConnectionError::TransportError(cause) if cause.code == alpn => AcceptError::Alpn,
        ConnectionError::ConnectionClosed(cause) if cause.error_code == alpn => AcceptError::Alpn,
        _ => AcceptError::Failed(error),
    }
}
