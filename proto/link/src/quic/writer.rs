//! Frames to the four streams of a connection.

use std::{
    collections::VecDeque,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use proto::{
    frame::{FrameHeader, Lane},
    limits::FRAME_HEADER_LEN,
};
use quinn::{Connection, SendStream};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{CUT, DONE};

/// A piece is a slice of the read it came in, and is kept until the other end has acknowledged it. So a shorter one is
/// copied: else a few bytes would hold on to all of a large read for a round trip.
const COPY_LEN_MAX: usize = 16 * 1024;

/// Frames to the other end. Dropping it cuts the connection, unless the end was said.
pub struct LaneWriter {
    connection: Connection,
    streams: [SendStream; 4],
    /// What the streams did not take yet.
    rest: [VecDeque<Bytes>; 4],
    splitter: Splitter,
    blocked_since: Option<Instant>,
    room: Arc<Room>,
    has_ended: bool,
}

/// Told when the connection takes something again.
#[derive(Debug, Default)]
pub struct Room(Notify);

impl Wake for Room {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Room {
    /// Ends when the connection takes something again, or is broken: the next write tells. Cancel-safe.
    pub async fn wait(&self) {
        self.0.notified().await;
    }
}

impl LaneWriter {
    /// Writes to the streams of the lanes, in the order of [`Lane::ALL`].
    pub(super) fn new(connection: Connection, streams: [SendStream; 4]) -> Self {
        Self {
            connection,
            streams,
            rest: Default::default(),
            splitter: Splitter::default(),
            blocked_since: None,
            room: Arc::default(),
            has_ended: false,
        }
    }

    /// Gives `pieces`, frames in order, to the streams of their lanes; what these do not take now is kept, bounded by
    /// what is given.
    ///
    /// # Errors
    /// Those of the connection; [`io::ErrorKind::InvalidInput`] for pieces that are no frames.
    pub fn send(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        for piece in pieces {
            let kept = if piece.len() < COPY_LEN_MAX { Bytes::copy_from_slice(piece) } else { piece.clone() };
            self.splitter.split(kept, &mut self.rest)?;
        }
        self.flush().map(drop)
    }

    /// Writes what the streams take now of what is left; says whether nothing is left.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn flush(&mut self) -> io::Result<bool> {
        let waker = Waker::from(Arc::clone(&self.room));
        match self.poll_flush(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => done.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Since when the connection has taken nothing; `None` when nothing is left.
    pub const fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// What to wait for while the connection takes nothing.
    pub fn room(&self) -> Arc<Room> {
        Arc::clone(&self.room)
    }

    /// Sends `pieces`, and waits until all of it is taken; each write must make progress within `patience`.
    ///
    /// # Errors
    /// Those of the connection, and [`io::ErrorKind::TimedOut`].
    pub async fn send_all(&mut self, pieces: &[Bytes], patience: Duration) -> io::Result<()> {
        self.send(pieces)?;
        while !self.flush()? {
            let deadline = self.blocked_since.unwrap_or_else(Instant::now) + patience;
            timeout_at(deadline, self.room.wait()).await?;
        }
        Ok(())
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn close(&mut self) -> io::Result<()> {
        self.flush()?;
        for stream in &mut self.streams {
            stream.finish()?;
        }
        self.has_ended = true;
        Ok(())
    }

    /// Keeps `piece` until [`Self::poll_flush`] has given it on.
    pub(super) fn put(&mut self, piece: Bytes) -> io::Result<()> {
        self.splitter.split(piece, &mut self.rest)
    }

    /// Gives what is kept to the streams. A lane that takes nothing holds up no other.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut has_moved = false;
        for (stream, rest) in self.streams.iter_mut().zip(&mut self.rest) {
            while !rest.is_empty() {
                let Poll::Ready(written) = pin!(stream.write_chunks(rest.make_contiguous())).poll(cx) else { break };
                rest.drain(..written?.chunks);
                has_moved = true;
            }
        }
        if self.rest.iter().all(VecDeque::is_empty) {
            self.blocked_since = None;
            return Poll::Ready(Ok(()));
        }
        if has_moved || self.blocked_since.is_none() {
            self.blocked_since = Some(Instant::now());
        }
        Poll::Pending
    }
}

impl Drop for LaneWriter {
    fn drop(&mut self) {
        self.connection.close(if self.has_ended { DONE } else { CUT }, b"");
    }
}

/// Finds the lane of each byte in a run of frames, wherever the run is cut.
#[derive(Debug, Default)]
struct Splitter {
    /// The beginning of a header.
    head: Vec<u8>,
    /// The frame under way, and what is missing of it.
    frame: Option<(Lane, usize)>,
}

impl Splitter {
    fn split(&mut self, mut piece: Bytes, lanes: &mut [VecDeque<Bytes>; 4]) -> io::Result<()> {
        while !piece.is_empty() {
            let Some((lane, left)) = self.frame.take() else {
                let whole = piece.first_chunk::<FRAME_HEADER_LEN>().filter(|_| self.head.is_empty()).copied();
                let header = if let Some(header) = whole {
                    header
                } else {
                    let missing = FRAME_HEADER_LEN.saturating_sub(self.head.len()).min(piece.len());
                    self.head.extend_from_slice(&piece.split_to(missing));
                    let Some(header) = self.head.first_chunk::<FRAME_HEADER_LEN>().copied() else { return Ok(()) };
                    self.head.clear();
                    // What came in parts goes out in front of its payload.
                    let mut joined = header.to_vec();
                    joined.extend_from_slice(&piece);
                    piece = Bytes::from(joined);
                    header
                };
                let header =
                    FrameHeader::parse(header).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                self.frame = Some((header.lane, FRAME_HEADER_LEN.saturating_add(usize::from(header.len))));
                continue;
            };
            let part = piece.split_to(left.min(piece.remaining()));
            let left = left.saturating_sub(part.len());
            self.frame = (0 < left).then_some((lane, left));
            if let Some(lane) = lanes.get_mut(usize::from(lane.code())) {
                lane.push_back(part);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::frame::Frame;

    use super::*;
    use crate::framed::to_wire;

    proptest! {
        #[test]
        fn every_lane_gets_its_frames_in_order_wherever_the_run_is_cut(
            frames in prop::collection::vec((0u8..4, 0usize..300), 1..30),
            cuts in prop::collection::vec(1usize..40, 1..200),
        ) {
            let mut expected: [Vec<u8>; 4] = Default::default();
            let mut run = Vec::new();
            for (number, (lane, len)) in frames.into_iter().enumerate() {
                let payload = vec![u8::try_from(number).unwrap(); len];
                let wire = to_wire(&Frame::sealed(Lane::from_code(lane).unwrap(), 0, payload.into()).unwrap());
                expected[usize::from(lane)].extend_from_slice(&wire);
                run.extend_from_slice(&wire);
            }
            let (mut splitter, mut lanes) = (Splitter::default(), <[VecDeque<Bytes>; 4]>::default());
            let (mut run, mut cuts) = (Bytes::from(run), cuts.into_iter().cycle());
            while !run.is_empty() {
                let piece = run.split_to(cuts.next().unwrap().min(run.len()));
                splitter.split(piece, &mut lanes).unwrap();
            }
            let got = lanes.map(|lane| lane.into_iter().flatten().collect::<Vec<u8>>());
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn what_is_no_frame_is_not_sent() {
        let mut lanes = Default::default();

        let refused = Splitter::default().split(Bytes::from_static(&[0xEE; 5]), &mut lanes).unwrap_err();

        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
