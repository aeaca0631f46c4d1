//! TLS 1.3 over TCP: dial a relay, accept a tool.
//!
//! Sockets are set so that input does not wait behind pixels: no Nagle delay, and little that is not sent yet in the
//! kernel, so the choice of what goes next stays with us. QUIC will offer the same two verbs in a file of its own.

use std::{io, sync::Arc, time::Duration};

use proto::{limits, version};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    framed::FrameReader,
    stall::Stalling,
    tls::{self, Pin},
};

/// From the first packet to a TCP connection, name lookup included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes the kernel keeps that it has not sent yet; more would only make input wait.
const UNSENT_LEN_MAX: u32 = 32 * 1024;

/// The tool's stream.
pub type DialedStream = tokio_rustls::client::TlsStream<Stalling<TcpStream>>;
/// The relay's stream.
pub type AcceptedStream = tokio_rustls::server::TlsStream<Stalling<TcpStream>>;

/// A connection with TLS on it, before its first frame.
pub struct Connection<S> {
    /// Frames from the other end.
    pub reader: FrameReader<ReadHalf<S>>,
    /// Bytes to the other end; every write must make progress within its patience.
    pub writer: WriteHalf<S>,
    /// What a proof is bound to.
    pub exporter: [u8; 32],
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
}

/// Why a stranger did not get a TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The handshake was not finished in time.
    #[error("no TLS handshake in time")]
    Timeout,
    /// Not TLS 1.3, or broken off.
    #[error("no TLS handshake: {0}")]
    Failed(#[from] io::Error),
    /// TLS, but without our ALPN name.
    #[error("TLS without the name of this protocol")]
    Alpn,
}

/// Connects to the relay at `address` (`host:port`) that has the key `spki` (64 hexadecimal digits).
///
/// # Errors
/// See [`DialError`]; within ten seconds.
pub async fn dial(address: &str, spki: &str) -> Result<Connection<DialedStream>, DialError> {
    let (host, port) = address.rsplit_once(':').ok_or(DialError::Address)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().map_err(|_not_a_port| DialError::Address)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_not_a_name| DialError::Address)?;
    let pin = Pin::from_hex(spki).map_err(|_not_a_pin| DialError::Address)?;
    let config = tls::pinned_client_config(pin).map_err(io::Error::other)?;

    let connect = timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)));
    let stream = prepare(connect.await.map_err(|_late| DialError::Timeout)??, limits::WRITE_STALL_TIMEOUT);
    let handshake = timeout(limits::TLS_HANDSHAKE_TIMEOUT, TlsConnector::from(Arc::new(config)).connect(name, stream));
    let stream = handshake.await.map_err(|_late| DialError::Timeout)??;
    if stream.get_ref().1.alpn_protocol() != Some(version::ALPN) {
        return Err(DialError::Failed(io::Error::new(io::ErrorKind::InvalidData, "TLS without our ALPN name")));
    }
    let exporter = tls::exporter(stream.get_ref().1).map_err(io::Error::other)?;
    Ok(Connection::new(stream, exporter))
}

/// Does the TLS handshake with a tool. `patience` bounds the handshake, `write_patience` each later write.
///
/// # Errors
/// See [`AcceptError`].
pub async fn accept(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    patience: Duration,
    write_patience: Duration,
) -> Result<Connection<AcceptedStream>, AcceptError> {
    let handshake = timeout(patience, acceptor.accept(prepare(stream, write_patience)));
    let mut stream = handshake.await.map_err(|_late| AcceptError::Timeout)??;
    if stream.get_ref().1.alpn_protocol() != Some(version::ALPN) {
        // The stranger speaks TLS, so it can hear that this is not what it looks for.
        drop(timeout(patience, stream.shutdown()).await);
        return Err(AcceptError::Alpn);
    }
    let exporter = tls::exporter(stream.get_ref().1).map_err(io::Error::other)?;
    Ok(Connection::new(stream, exporter))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, exporter: [u8; 32]) -> Self {
        let (reader, writer) = split(stream);
        Self { reader: FrameReader::new(reader), writer, exporter }
    }

    /// Closes so that what was written last arrives: says the end, then reads until the other end has said it too.
    /// A close with unread bytes would make the kernel cut off our last words. The caller sets the deadline.
    pub async fn farewell(&mut self) {
        if self.writer.shutdown().await.is_ok() {
            self.reader.drain().await;
        }
    }
}

fn prepare(stream: TcpStream, write_patience: Duration) -> Stalling<TcpStream> {
    // A system that does not know one of these options is slower, not wrong.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "A socket cannot do without delay");
    }
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    if let Err(error) = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_LEN_MAX) {
        tracing::debug!(%error, "A socket cannot bound what it has not sent");
    }
    Stalling::new(stream, write_patience)
}
