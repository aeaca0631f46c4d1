//! Frames from the four streams of a connection.

use std::{
    io,
    pin::pin,
    task::{Context, Poll},
};

use proto::frame::{FrameError, Lane};
use quinn::{Connection, RecvStream, VarInt};
use tokio::io::AsyncReadExt as _;

use super::{limits, unread::Unread};
use crate::framed::{ReadError, WireFrame};

/// Frames from the other end: each lane in order, an urgent lane before the others.
pub struct LaneReader {
    connection: Connection,
    lanes: [LaneStream; 4],
    unread: Unread,
}

struct LaneStream {
    lane: Lane,
    stream: RecvStream,
    has_ended: bool,
}

impl LaneReader {
    /// Reads from the streams of the lanes, in the order of [`Lane::ALL`].
    pub(super) fn new(connection: Connection, streams: [RecvStream; 4]) -> Self {
        let [control, input, screen, bulk] = streams;
        let lanes = [(Lane::Control, control), (Lane::Input, input), (Lane::Screen, screen), (Lane::Bulk, bulk)]
            .map(|(lane, stream)| LaneStream { lane, stream, has_ended: false });
        Self { connection, lanes, unread: Unread::default() }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Refuses longer payloads from now on.
    pub const fn set_payload_max(&mut self, payload_max: usize) {
        self.unread.set_payload_max(payload_max);
    }

    /// The tool at the other end is admitted: it may send what its lanes carry, and not only a hello.
    pub fn admit(&self) {
        self.connection.set_receive_window(VarInt::from_u32(limits::RELAY_WINDOW));
    }

    /// Bytes of all packets that have arrived on this connection.
    #[cfg(test)]
    pub(super) fn bytes_received(&self) -> u64 {
        self.connection.stats().udp_rx.bytes
    }

    /// Where the other end is now.
    pub fn address(&self) -> std::net::SocketAddr {
        self.connection.remote_address()
    }

    /// Cuts the next frame out of what was read already.
    ///
    /// # Errors
    /// See [`FrameError`]; a frame on the stream of another lane is [`FrameError::Lane`]. Nothing sensible follows on
    /// this connection.
    pub fn parse(&mut self) -> Result<Option<WireFrame>, FrameError> {
        self.unread.next_frame()
    }

    /// Whether nothing of a frame is waiting: an end of the streams would cut nothing off.
    pub fn is_between_frames(&self) -> bool {
        self.unread.is_empty()
    }

    /// Reads until there is more data on any lane; its length, 0 after the other end said that nothing more comes.
    /// Cancel-safe.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// The next frame; `None` when the streams ended between two frames. Cancel-safe.
    ///
    /// # Errors
    /// See [`ReadError`]; an end inside a frame is [`io::ErrorKind::UnexpectedEof`].
    pub async fn next(&mut self) -> Result<Option<WireFrame>, ReadError> {
        loop {
            if let Some(frame) = self.parse()? {
                return Ok(Some(frame));
            }
            if self.fill().await? == 0 {
                return if self.is_between_frames() { Ok(None) } else { Err(ReadError::Broken(truncated())) };
            }
        }
    }

    /// Throws away whatever still comes, until the streams end or break. The caller sets the deadline.
    pub async fn drain(&mut self) {
        loop {
            self.unread.clear();
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut count = 0usize;
        for lane in &mut self.lanes {
            count = count.saturating_add(lane.read(&mut self.unread, cx)?);
        }
        if 0 < count || self.lanes.iter().all(|lane| lane.has_ended) {
            return Poll::Ready(Ok(count));
        }
        Poll::Pending
    }
}

impl LaneStream {
    /// Reads what is there, and asks to be woken when there is more.
    fn read(&mut self, unread: &mut Unread, cx: &mut Context<'_>) -> io::Result<usize> {
        let mut total = 0usize;
        while !self.has_ended
            && let Some(room) = unread.room(self.lane)
        {
            match pin!(self.stream.read_buf(room)).poll(cx) {
                Poll::Ready(Ok(0)) => self.has_ended = true,
                Poll::Ready(Ok(count)) => total = total.saturating_add(count),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        unread.rest(self.lane);
        Ok(total)
    }
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the streams ended inside a frame")
}
