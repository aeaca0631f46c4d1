//! Oracle of what a relay reads from the streams of a QUIC connection.

use link::{framed::WireFrame, quic::unread::Unread};
use proto::{
    frame::{FrameError, Lane},
    limits,
    streams::{StreamError, Streams},
};
use relay::admit::HELLO_LEN_MAX;

use crate::wire::{End, Read, read_whole};

/// The streams of a QUIC connection, in pieces, as they come from a stranger. First byte: how long a payload may be.
/// Then pieces: which stream (modulo 8; bit 7: look for frames only after the next piece), how many bytes, the bytes.
///
/// Promise: each lane has one stream, and a fifth is refused; the frames of a lane are those that somebody sees who has
/// all of its bytes at once, whatever the others do; an urgent lane is read first; a frame of another lane is refused.
pub fn streams(data: &[u8]) {
    let Some((bound, mut rest)) = data.split_first() else { return };
    let payload_max = if bound % 2 == 0 { limits::FRAME_PAYLOAD_MAX } else { HELLO_LEN_MAX };
    let (mut connection, mut lanes_of) = (StreamsRead::new(payload_max), [None; 8]);
    while let Some(([which, len], after)) = rest.split_first_chunk::<2>() {
        let (mut piece, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        let Some(lane_of) = lanes_of.get_mut(usize::from(which % 8)) else { return };
        if lane_of.is_none() {
            let Some((first, after)) = piece.split_first() else { continue };
            let Some(lane) = connection.open(*first) else { return };
            (*lane_of, piece) = (Some(lane), after);
        }
        let Some(lane) = *lane_of else { return };
        connection.feed(lane, piece);
        if which & 0x80 == 0 && connection.read().is_err() {
            return;
        }
    }
    if connection.read().is_ok() {
        connection.assert_is_whole();
    }
}

/// What a relay makes of streams, beside all that each lane was given.
struct StreamsRead {
    opened: Streams,
    unread: Unread,
    payload_max: usize,
    given: [Vec<u8>; 4],
    frames: [Vec<WireFrame>; 4],
}

impl StreamsRead {
    fn new(payload_max: usize) -> Self {
        let mut unread = Unread::default();
        unread.set_payload_max(payload_max);
        Self { opened: Streams::default(), unread, payload_max, given: Default::default(), frames: Default::default() }
    }

    /// The lane of a stream with this first byte, if it may be opened.
    fn open(&mut self, first: u8) -> Option<Lane> {
        let (before, result) = (self.opened, self.opened.open(first));
        match result {
            Ok(lane) => {
                assert_eq!(lane.code(), first, "a stream is of the lane that it says");
                assert!(!before.are_complete(), "a fifth stream is refused");
                Some(lane)
            }
            Err(StreamError::Lane(code)) => {
                assert!(code == first && Lane::from_code(first).is_none(), "every lane may be opened");
                None
            }
            Err(StreamError::Again(lane)) => {
                assert_eq!(lane.code(), first);
                None
            }
        }
    }

    /// Bytes of a lane arrive, unless enough of it waits: then they stay in the stream, which is what the script says
    /// by giving no more.
    fn feed(&mut self, lane: Lane, piece: &[u8]) {
        let Some(room) = self.unread.room(lane) else { return };
        room.extend_from_slice(piece);
        if let Some(given) = self.given.get_mut(usize::from(lane.code())) {
            given.extend_from_slice(piece);
        }
        self.unread.rest(lane);
    }

    /// Takes every frame that is there.
    fn read(&mut self) -> Result<(), FrameError> {
        let mut last = Lane::Control;
        loop {
            match self.unread.next_frame() {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => {
                    let lane = frame.header.lane;
                    assert!(last.code() <= lane.code(), "an urgent lane is read first");
                    last = lane;
                    if let Some(frames) = self.frames.get_mut(usize::from(lane.code())) {
                        frames.push(frame);
                    }
                }
                Err(error) => {
                    self.assert_is_true(error);
                    return Err(error);
                }
            }
        }
    }

    /// Some lane has this fault, and none has given a frame that is not in it.
    fn assert_is_true(&self, error: FrameError) {
        let mut is_there = false;
        for lane in Lane::ALL {
            let (frames, end) = self.reference(lane);
            is_there |= end == End::Malformed(error);
            let read = self.frames.get(usize::from(lane.code())).map_or(&[][..], Vec::as_slice);
            assert!(frames.starts_with(read), "frames of a lane come in order");
        }
        assert!(is_there, "no lane has this fault: {error}");
    }

    /// Everything that is whole was read, and there is no fault.
    fn assert_is_whole(&self) {
        let mut is_between = true;
        for lane in Lane::ALL {
            let (frames, end) = self.reference(lane);
            assert_eq!(self.frames.get(usize::from(lane.code())), Some(&frames), "frames of a lane");
            assert!(matches!(end, End::Between | End::Inside), "a fault was not seen");
            is_between &= end == End::Between;
        }
        assert_eq!(self.unread.is_empty(), is_between, "what is left is the beginning of a frame");
    }

    /// What somebody sees who has all bytes of a lane.
    fn reference(&self, lane: Lane) -> Read {
        let given = self.given.get(usize::from(lane.code())).map_or(&[][..], Vec::as_slice);
        let (mut frames, end) = read_whole(given, self.payload_max);
        match frames.iter().position(|frame| frame.header.lane != lane) {
            Some(place) => {
                let stray = frames.get(place).map_or(0, |frame| frame.header.lane.code());
                frames.truncate(place);
                (frames, End::Malformed(FrameError::Lane(stray)))
            }
            None => (frames, end),
        }
    }
}
