//! The tool's end of a connection. The relay's is `served.rs`.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use proto::{
    frame::Lane,
    hello::EXPORTER_LABEL,
    limits::{TLS_HANDSHAKE_TIMEOUT, WRITE_STALL_TIMEOUT},
    version,
};
use quinn::{Endpoint, TokioRuntime, crypto::rustls::HandshakeData};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use super::{
    config, priority,
    reader::LaneReader,
    refusals::{self, Refusals},
    writer::LaneWriter,
};
use crate::{
    line::Line,
    stall::Stalling,
    tcp::{AnyStream, Connection, DialError},
    tls::Pin as RelayPin,
    transport::Transport,
};

/// The four streams as one stream of frames, for what knows nothing of lanes on the wire: reads give whole frames of any
/// lane, an urgent one first, and writes are parted by the lanes of their frames.
pub struct LaneIo {
    reader: LaneReader,
    writer: LaneWriter,
    /// The rest of the frame that is being read.
    given: Bytes,
}

/// A socket for connections to addresses of this kind. Must be called inside a runtime.
///
/// # Errors
/// Those of the system.
pub fn endpoint(address: SocketAddr) -> io::Result<Endpoint> {
    endpoint_on(socket(address)?)
}

/// A socket that is not tied to the other end, so that packets leave by whatever network there is, and the connection
/// moves with them.
pub(super) fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any)
}

fn endpoint_on(socket: UdpSocket) -> io::Result<Endpoint> {
    Endpoint::new(config::endpoint(), None, socket, Arc::new(TokioRuntime))
}

/// As [`connect`], from a socket of its own, in a form that other ways to a relay have, too. Where nobody listens it
/// fails at once, and a relay that is gone breaks the connection at once, if the system tells; see `refusals.rs`.
///
/// # Errors
/// See [`connect`]; where nobody listens, [`io::ErrorKind::ConnectionRefused`].
pub async fn connect_any(address: SocketAddr, host: &str, pin: RelayPin) -> Result<Connection<AnyStream>, DialError> {
    connect_from(socket(address)?, address, host, pin).await
}

/// As [`connect_any`], from this socket.
pub(super) async fn connect_from(
    socket: UdpSocket,
    address: SocketAddr,
    host: &str,
    pin: RelayPin,
) -> Result<Connection<AnyStream>, DialError> {
    let refusals = Refusals::of(&socket, address);
    let endpoint = endpoint_on(socket)?;
    let (io, exporter) = tokio::select! {
        opened = open_within(TLS_HANDSHAKE_TIMEOUT, &endpoint, address, host, pin) => opened?,
        () = refusals.next() => return Err(refusals::refused().into()),
    };
    // Ends with the connection, which ends with its writer.
    tokio::spawn(refusals.watch(io.get_ref().reader.connection().clone()));
    let line = Line::of_quic(io.get_ref().reader.connection().clone());
    Ok(Connection { line, ..Connection::new(Box::new(io) as AnyStream, exporter, Transport::Quic) })
}

/// Connects to the relay at `address` that has the key `pin`. `host` is the name it was found by.
///
/// # Errors
/// See [`DialError`]; within five seconds. Cancel-safe: dropping it closes whatever was opened.
pub async fn connect(
    endpoint: &Endpoint,
    address: SocketAddr,
    host: &str,
    pin: RelayPin,
) -> Result<Connection<Stalling<LaneIo>>, DialError> {
    let (io, exporter) = open_within(TLS_HANDSHAKE_TIMEOUT, endpoint, address, host, pin).await?;
    Ok(Connection::new(io, exporter, Transport::Quic))
}

/// Handshake and four streams, within `patience` altogether: a relay may stop at any step.
pub(super) async fn open_within(
    patience: Duration,
    endpoint: &Endpoint,
    address: SocketAddr,
    host: &str,
    pin: RelayPin,
) -> Result<(Stalling<LaneIo>, [u8; 32]), DialError> {
    timeout(patience, open(endpoint, address, host, pin)).await.map_err(|_late| DialError::Timeout)?
}

async fn open(
    endpoint: &Endpoint,
    address: SocketAddr,
    host: &str,
    pin: RelayPin,
) -> Result<(Stalling<LaneIo>, [u8; 32]), DialError> {
    let connecting = endpoint.connect_with(config::client(pin)?, address, host).map_err(io::Error::other)?;
    let connection = connecting.await.map_err(io::Error::from)?;
    if protocol(&connection).as_deref() != Some(version::ALPN) {
        return Err(DialError::Failed(io::Error::new(io::ErrorKind::InvalidData, "QUIC without our ALPN name")));
    }
    let exporter = exporter(&connection)?;
    let (mut sends, mut receives) = (Vec::with_capacity(4), Vec::with_capacity(4));
    for lane in Lane::ALL {
        // A relay lets all of them be opened at once.
        let (mut send, receive) = connection.open_bi().await.map_err(io::Error::from)?;
        send.set_priority(priority(lane)).map_err(io::Error::from)?;
        send.write_all(&[lane.code()]).await.map_err(io::Error::from)?;
        sends.push(send);
        receives.push(receive);
    }
    let (Ok(sends), Ok(receives)) = (<[_; 4]>::try_from(sends), <[_; 4]>::try_from(receives)) else {
        return Err(DialError::Failed(io::Error::other("four lanes have four streams")));
    };
    let reader = LaneReader::new(connection.clone(), receives);
    let io = LaneIo { reader, writer: LaneWriter::new(connection, sends), given: Bytes::new() };
    Ok((Stalling::new(io, WRITE_STALL_TIMEOUT), exporter))
}

/// The name of the protocol that both ends agreed on.
pub(super) fn protocol(connection: &quinn::Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

/// What a proof is bound to, by the rule of TLS over TCP.
pub(super) fn exporter(connection: &quinn::Connection) -> io::Result<[u8; 32]> {
    let mut exporter = [0; 32];
    connection
        .export_keying_material(&mut exporter, EXPORTER_LABEL, &[])
        .map_err(|_no_keys| io::Error::other("the handshake has no keys yet"))?;
    Ok(exporter)
}

impl AsyncRead for LaneIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.given.is_empty() {
            let frame = this.reader.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some(frame) = frame {
                this.given = frame.wire;
            } else if ready!(this.reader.poll_fill(cx))? == 0 {
                let is_whole = this.reader.is_between_frames();
                return Poll::Ready(if is_whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) });
            }
        }
        let part = this.given.split_to(this.given.remaining().min(buf.remaining()));
        buf.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LaneIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let writer = &mut self.get_mut().writer;
        // Nothing is taken while something waits: what goes next is decided late.
        ready!(writer.poll_flush(cx))?;
        let mut count = 0usize;
        for buf in bufs {
            count = count.saturating_add(buf.len());
            writer.put(Bytes::copy_from_slice(buf))?;
        }
        match writer.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writer = &mut self.get_mut().writer;
        ready!(writer.poll_flush(cx))?;
        Poll::Ready(writer.close())
    }
}
