//! A tool's connection after its handshake, whatever carries it: the one place that knows every transport.
//!
//! Everything behind it (admit, pair, forward) says frames in, pieces out, and asks since when the tool takes nothing.
//! A transport is one variant of each enum here; which one it is costs a branch that is always guessed right. The two
//! sides of a session may have different ones, and neither notices.
//!
//! What each transport must give:
//! - [`Reader::fill`] may be given up at any point and loses nothing;
//! - [`Writer::send`] takes whole frames, one or more in a piece and those of one lane, never waits, and keeps what the
//!   transport does not take; the caller sends nothing more before [`Writer::flush`] says that nothing is left, so what
//!   is kept is one batch;
//! - [`Writer::blocked_since`] moves on with every byte that is taken: it is what a tool that stands still is judged by;
//! - any thread may send, one after the other; waiting for [`Room`] is the connection's own task's alone.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use link::{
    framed::{ReadError, WireFrame, WireRun},
    quic::{self, LaneReader, LaneWriter},
    served::{RecordReader, RecordWriter, Served},
};
use proto::frame::FrameError;
use tokio::{net::TcpStream, runtime::Handle, time::Instant};

/// A tool's connection, before its first frame.
pub(crate) struct Connection {
    /// Frames from the tool.
    pub(crate) reader: Reader,
    /// Frames to the tool.
    pub(crate) writer: Writer,
    /// What a proof is bound to.
    pub(crate) exporter: [u8; 32],
}

/// Frames from a tool.
pub(crate) enum Reader {
    /// TLS over TCP.
    Tcp(RecordReader),
    /// QUIC, and where the tool was last.
    Quic(LaneReader, SocketAddr),
}

/// Frames to a tool.
pub(crate) enum Writer {
    /// TLS over TCP.
    Tcp(RecordWriter),
    /// QUIC.
    Quic(LaneWriter),
}

/// What the connection's own task waits for while the transport takes nothing.
pub(crate) enum Room {
    /// The socket's buffer.
    Tcp(Arc<TcpStream>),
    /// What the tool has not acknowledged, or may not be sent.
    Quic(Arc<quic::Room>),
}

/// The name of a transport in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
}

impl Transport {
    /// The label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

impl From<Box<Served>> for Connection {
    fn from(served: Box<Served>) -> Self {
        let Served { reader, writer, exporter } = *served;
        Self { reader: Reader::Tcp(reader), writer: Writer::Tcp(writer), exporter }
    }
}

impl From<quic::served::Served> for Connection {
    fn from(served: quic::served::Served) -> Self {
        let quic::served::Served { reader, writer, exporter } = served;
        let address = reader.address();
        Self { reader: Reader::Quic(reader, address), writer: Writer::Quic(writer), exporter }
    }
}

impl Connection {
    /// Its name in metrics.
    pub(crate) const fn transport(&self) -> Transport {
        match self.reader {
            Reader::Tcp(_) => Transport::Tcp,
            Reader::Quic(..) => Transport::Quic,
        }
    }

    /// Goes on, admitted, at `runtime`. What QUIC does by itself (packets, acknowledgements) stays where it began.
    ///
    /// # Errors
    /// Those of the system; the connection is closed then.
    pub(crate) fn move_to(self, runtime: &Handle) -> io::Result<Self> {
        let Self { reader, writer, exporter } = self;
        match (reader, writer) {
            (Reader::Tcp(reader), Writer::Tcp(writer)) => {
                Box::new(Served { reader, writer, exporter }).move_to(runtime).map(Self::from)
            }
            (Reader::Quic(reader, address), Writer::Quic(writer)) => {
                reader.admit();
                Ok(Self { reader: Reader::Quic(reader, address), writer: Writer::Quic(writer), exporter })
            }
            (Reader::Tcp(_), Writer::Quic(_)) | (Reader::Quic(..), Writer::Tcp(_)) => {
                Err(io::Error::other("the halves of a connection have one transport"))
            }
        }
    }

    /// Closes so that what was written last arrives. The caller sets the deadline.
    pub(crate) async fn farewell(self) {
        let Self { mut reader, mut writer, exporter: _ } = self;
        if writer.close().is_ok() {
            reader.drain().await;
        }
    }
}

impl Reader {
    /// Refuses longer payloads from now on.
    pub(crate) const fn set_payload_max(&mut self, payload_max: usize) {
        match self {
            Self::Tcp(reader) => reader.set_payload_max(payload_max),
            Self::Quic(reader, _) => reader.set_payload_max(payload_max),
        }
    }

    /// Cuts the next frame out of what was read already, with those behind it that may go the same way: up to
    /// `frames_max` of them and, but for the first, `len_max` bytes. One frame at a time is correct, too.
    ///
    /// # Errors
    /// See [`FrameError`]; nothing sensible follows on this connection.
    pub(crate) fn parse_run(&mut self, frames_max: usize, len_max: usize) -> Result<Option<WireRun>, FrameError> {
        match self {
            Self::Tcp(reader) => reader.parse_run(frames_max, len_max),
            Self::Quic(reader, _) => Ok(reader.parse()?.map(WireRun::from)),
        }
    }

    /// Whether nothing of a frame is waiting: an end of the connection would cut nothing off.
    pub(crate) fn is_between_frames(&self) -> bool {
        match self {
            Self::Tcp(reader) => reader.is_between_frames(),
            Self::Quic(reader, _) => reader.is_between_frames(),
        }
    }

    /// Reads until there is more data; its length, 0 after the tool said that nothing more comes. Cancel-safe.
    ///
    /// # Errors
    /// Those of the transport.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        match self {
            Self::Tcp(reader) => reader.fill().await,
            Self::Quic(reader, _) => reader.fill().await,
        }
    }

    /// The next frame; `None` when the connection ended between two frames. Cancel-safe.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(crate) async fn next(&mut self) -> Result<Option<WireFrame>, ReadError> {
        match self {
            Self::Tcp(reader) => reader.next().await,
            Self::Quic(reader, _) => reader.next().await,
        }
    }

    /// Whether the tool has gone on from another address since this was asked last. On TCP it never does.
    pub(crate) fn has_moved(&mut self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Quic(reader, address) => {
                let now = reader.address();
                std::mem::replace(address, now) != now
            }
        }
    }

    /// Throws away whatever still comes, until the connection ends or breaks.
    async fn drain(&mut self) {
        match self {
            Self::Tcp(reader) => reader.drain().await,
            Self::Quic(reader, _) => reader.drain().await,
        }
    }
}

impl Writer {
    /// Writes what the transport takes now of `pieces`, each of whole frames of one lane; the rest is kept.
    ///
    /// # Errors
    /// Those of the transport.
    pub(crate) fn send(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        match self {
            Self::Tcp(writer) => writer.send(pieces),
            Self::Quic(writer) => writer.send(pieces),
        }
    }

    /// Writes what the transport takes now of what is left; says whether nothing is left.
    ///
    /// # Errors
    /// Those of the transport.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(writer) => writer.flush(),
            Self::Quic(writer) => writer.flush(),
        }
    }

    /// Since when the transport has taken nothing; `None` when nothing is left.
    pub(crate) const fn blocked_since(&self) -> Option<Instant> {
        match self {
            Self::Tcp(writer) => writer.blocked_since(),
            Self::Quic(writer) => writer.blocked_since(),
        }
    }

    /// What to wait for while the transport takes nothing.
    pub(crate) fn room(&self) -> Room {
        match self {
            Self::Tcp(writer) => Room::Tcp(writer.socket()),
            Self::Quic(writer) => Room::Quic(writer.room()),
        }
    }

    /// Sends `pieces` and waits until all of it is written; each write must make progress within `patience`.
    ///
    /// # Errors
    /// Those of the transport, and [`io::ErrorKind::TimedOut`].
    pub(crate) async fn send_all(&mut self, pieces: &[Bytes], patience: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(writer) => writer.send_all(pieces, patience).await,
            Self::Quic(writer) => writer.send_all(pieces, patience).await,
        }
    }

    /// Says that nothing more will come, as far as the transport takes it.
    fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(writer) => writer.close(),
            Self::Quic(writer) => writer.close(),
        }
    }
}

impl Room {
    /// Ends when the transport takes something again, or is broken: the next write tells. Cancel-safe.
    pub(crate) async fn wait(&self) {
        match self {
            Self::Tcp(socket) => {
                // An error of the socket is met again by the next write.
                let _ready = socket.writable().await;
            }
            Self::Quic(room) => room.wait().await,
        }
    }
}
