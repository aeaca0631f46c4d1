//! Frames from the four streams of a connection.

use std::{
    io,
    pin::pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use proto::{
    frame::{FrameError, Lane},
    limits::{FRAME_HEADER_LEN, FRAME_PAYLOAD_MAX},
    streams,
};
use quinn::{Connection, RecvStream, VarInt};
use tokio::io::AsyncReadExt as _;

use super::limits;
use crate::framed::{self, ReadError, WireFrame};

/// Room for one read of one lane.
const READ_LEN: usize = 16 * 1024;
/// Bytes of one lane that are read before its frames are asked for: one of the largest is whole then, and what comes
/// after it waits in the stream.
const LANE_LEN_MAX: usize = FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX;

/// Frames from the other end: each lane in order, an urgent lane before the others.
pub struct LaneReader {
    connection: Connection,
    lanes: [LaneStream; 4],
    payload_max: usize,
}

struct LaneStream {
    stream: RecvStream,
    buffer: BytesMut,
    has_ended: bool,
}

impl LaneReader {
    /// Reads from the streams of the lanes, in the order of [`Lane::ALL`].
    pub(super) fn new(connection: Connection, streams: [RecvStream; 4]) -> Self {
        let lanes = streams.map(|stream| LaneStream { stream, buffer: BytesMut::new(), has_ended: false });
        Self { connection, lanes, payload_max: FRAME_PAYLOAD_MAX }
    }

    /// Refuses longer payloads from now on.
    pub const fn set_payload_max(&mut self, payload_max: usize) {
        self.payload_max = payload_max;
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
        for (lane, stream) in Lane::ALL.into_iter().zip(&mut self.lanes) {
            let Some(frame) = framed::cut(&mut stream.buffer, self.payload_max)? else { continue };
            streams::check(lane, frame.header)?;
            return Ok(Some(frame));
        }
        Ok(None)
    }

    /// Whether nothing of a frame is waiting: an end of the streams would cut nothing off.
    pub fn is_between_frames(&self) -> bool {
        self.lanes.iter().all(|lane| lane.buffer.is_empty())
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
            for lane in &mut self.lanes {
                lane.buffer = BytesMut::new();
            }
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut count = 0usize;
        for lane in &mut self.lanes {
            count = count.saturating_add(lane.read(cx)?);
        }
        if 0 < count || self.lanes.iter().all(|lane| lane.has_ended) {
            return Poll::Ready(Ok(count));
        }
        Poll::Pending
    }
}

impl LaneStream {
    /// Reads what is there, and asks to be woken when there is more.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let mut total = 0usize;
        while !self.has_ended && self.buffer.len() < LANE_LEN_MAX {
            self.buffer.reserve(READ_LEN);
            match pin!(self.stream.read_buf(&mut self.buffer)).poll(cx) {
                Poll::Ready(Ok(0)) => self.has_ended = true,
                Poll::Ready(Ok(count)) => total = total.saturating_add(count),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if self.buffer.is_empty() {
            // A lane that is quiet holds no room.
            self.buffer = BytesMut::new();
        }
        Ok(total)
    }
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the streams ended inside a frame")
}
