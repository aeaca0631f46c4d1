//! TLS 1.3 over TCP, the tool's side: dials a relay. The relay's side is `served.rs`.
//!
//! Sockets are set so that input does not wait behind pixels: no Nagle delay, and little that is not sent yet in the
//! kernel, so the choice of what goes next stays with us. QUIC offers the same verbs in `quic/dial.rs`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use proto::{limits, version};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    net::{TcpStream, ToSocketAddrs},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    framed::{FrameReader, WireFrame},
    line::Line,
    proxy::{ProxyError, Via},
    race::{self, OnLoss},
    stall::Stalling,
    tls::{self, Pin},
    transport::Transport,
};

/// From the first packet to a TCP connection, name lookup included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes the kernel keeps that it has not sent yet; more would only make input wait.
const UNSENT_LEN_MAX: u32 = 32 * 1024;

/// The tool's stream.
pub type DialedStream = tokio_rustls::client::TlsStream<Stalling<TcpStream>>;

/// A stream of any kind, for connections that a session makes as it goes.
pub type AnyStream = Box<dyn Duplex>;

/// Reads and writes.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection with TLS on it, before its first frame.
pub struct Connection<S> {
    /// Frames from the other end.
    pub reader: FrameReader<ReadHalf<S>>,
    /// Bytes to the other end; every write must make progress within its patience.
    pub writer: WriteHalf<S>,
    /// What a proof is bound to.
    pub exporter: [u8; 32],
    /// What carries it.
    pub transport: Transport,
    /// Sealed frames that overtook the end of the key exchange on other lanes.
    pub early: Vec<WireFrame>,
    /// Told when it is lost.
    pub on_loss: Option<OnLoss>,
    /// What the system knows about it.
    pub line: Line,
}

/// Why there is no connection to a relay.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address or the pin of the pairing is not one.
    #[error("the relay's address or pin cannot be read")]
    Address,
    /// It did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// Name lookup, TCP or TLS failed; a relay with another key ends here.
    #[error("no connection: {0}")]
    Failed(#[from] io::Error),
    /// The proxy on the way does not let it through.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Connects to the relay at `address` (`host:port`) that has the key `spki` (64 hexadecimal digits).
///
/// # Errors
/// See [`DialError`]; within ten seconds.
pub async fn dial(address: &str, spki: &str) -> Result<Connection<DialedStream>, DialError> {
    let (host, port) = race::host_and_port(address)?;
    let pin = Pin::from_hex(spki).map_err(|_not_a_pin| DialError::Address)?;
    let (stream, exporter) = connect((host, port), host, pin).await?;
    Ok(Connection::new(stream, exporter, Transport::Tcp))
}

/// Connects to the relay at `address` that has the key `pin`, in a form that other ways to a relay have, too. `host` is
/// the name it was found by.
///
/// # Errors
/// See [`DialError`]; within ten seconds. Cancel-safe: dropping it closes whatever was opened.
pub async fn connect_any(address: SocketAddr, host: &str, pin: Pin) -> Result<Connection<AnyStream>, DialError> {
    let (stream, exporter) = connect(address, host, pin).await?;
    Ok(Connection::any(stream, exporter))
}

/// Connects to the relay `host:port` that has the key `pin`, through a proxy, which looks the name up. TLS runs inside.
///
/// # Errors
/// See [`DialError`]; within twenty seconds. Cancel-safe: dropping it closes whatever was opened.
pub(crate) async fn connect_via(
    proxy: &Via,
    host: &str,
    port: u16,
    pin: Pin,
) -> Result<Connection<AnyStream>, DialError> {
    let tunnel = proxy.connect(host, port).await?;
    let (stream, exporter) = secure(tunnel, host, pin).await?;
    Ok(Connection::any(stream, exporter))
}

async fn connect(to: impl ToSocketAddrs, host: &str, pin: Pin) -> Result<(DialedStream, [u8; 32]), DialError> {
    let connect = timeout(CONNECT_TIMEOUT, TcpStream::connect(to));
    secure(connect.await.map_err(|_late| DialError::Timeout)??, host, pin).await
}

async fn secure(stream: TcpStream, host: &str, pin: Pin) -> Result<(DialedStream, [u8; 32]), DialError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_not_a_name| DialError::Address)?;
    let config = tls::pinned_client_config(pin).map_err(io::Error::other)?;
    let stream = prepare(stream, limits::WRITE_STALL_TIMEOUT);
    let handshake = timeout(limits::TLS_HANDSHAKE_TIMEOUT, TlsConnector::from(Arc::new(config)).connect(name, stream));
    let stream = handshake.await.map_err(|_late| DialError::Timeout)??;
    if stream.get_ref().1.alpn_protocol() != Some(version::ALPN) {
        return Err(DialError::Failed(io::Error::new(io::ErrorKind::InvalidData, "TLS without our ALPN name")));
    }
    let exporter = tls::exporter(stream.get_ref().1).map_err(io::Error::other)?;
    Ok((stream, exporter))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes a stream whose handshake is done. `exporter` is what a proof is bound to.
    pub fn new(stream: S, exporter: [u8; 32], transport: Transport) -> Self {
        let (reader, writer) = split(stream);
        Self {
            reader: FrameReader::new(reader),
            writer,
            exporter,
            transport,
            early: Vec::new(),
            on_loss: None,
            line: Line::UNKNOWN,
        }
    }

    /// Closes so that what was written last arrives: says the end, then reads until the other end has said it too.
    /// A close with unread bytes would make the kernel cut off our last words. The caller sets the deadline.
    pub async fn farewell(&mut self) {
        if self.writer.shutdown().await.is_ok() {
            self.reader.drain().await;
        }
    }
}

impl Connection<AnyStream> {
    fn any(stream: DialedStream, exporter: [u8; 32]) -> Self {
        let line = Line::of(stream.get_ref().0.get_ref());
        Self { line, ..Self::new(Box::new(stream), exporter, Transport::Tcp) }
    }
}

fn prepare(stream: TcpStream, write_patience: Duration) -> Stalling<TcpStream> {
    set_options(&stream);
    Stalling::new(stream, write_patience)
}

/// Sets a socket up for frames. A system that does not know one of these options is slower, not wrong.
pub(crate) fn set_options(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "A socket cannot do without delay");
    }
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_LEN_MAX) {
        tracing::debug!(%error, "A socket cannot bound what it has not sent");
    }
}
