//! What has arrived on the lanes of a connection and was not asked for yet; without the connection, so that it can be
//! fuzzed.

use bytes::BytesMut;
use proto::{
    frame::{FrameError, Lane},
    limits::{FRAME_HEADER_LEN, FRAME_PAYLOAD_MAX},
    streams,
};

use crate::framed::{self, WireFrame};

/// Room for one read of one lane.
const READ_LEN: usize = 16 * 1024;
/// Bytes of one lane that are read before its frames are asked for: one of the largest is whole then, and what comes
/// after it waits in the stream.
const LANE_LEN_MAX: usize = FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX;

/// Bytes of each lane, in order.
#[derive(Debug)]
pub struct Unread {
    lanes: [BytesMut; 4],
    payload_max: usize,
}

impl Default for Unread {
    fn default() -> Self {
        Self { lanes: Default::default(), payload_max: FRAME_PAYLOAD_MAX }
    }
}

impl Unread {
    /// Refuses longer payloads from now on.
    pub const fn set_payload_max(&mut self, payload_max: usize) {
        self.payload_max = payload_max;
    }

    /// Cuts off the next frame, that of an urgent lane before others.
    ///
    /// # Errors
    /// See [`FrameError`]; a frame on the stream of another lane is [`FrameError::Lane`]. Nothing sensible follows.
    pub fn next_frame(&mut self) -> Result<Option<WireFrame>, FrameError> {
        for (lane, buffer) in Lane::ALL.into_iter().zip(&mut self.lanes) {
            let Some(frame) = framed::cut(buffer, self.payload_max)? else { continue };
            streams::check(lane, frame.header)?;
            return Ok(Some(frame));
        }
        Ok(None)
    }

    /// Whether nothing of a frame is here.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(BytesMut::is_empty)
    }

    /// Where the next bytes of a lane go, with room for a read; `None` while enough of it is here.
    pub fn room(&mut self, lane: Lane) -> Option<&mut BytesMut> {
        let buffer = self.lanes.get_mut(usize::from(lane.code()))?;
        if LANE_LEN_MAX <= buffer.len() {
            return None;
        }
        buffer.reserve(READ_LEN);
        Some(buffer)
    }

    /// Gives back the memory of a lane that is quiet.
    pub fn rest(&mut self, lane: Lane) {
        if let Some(buffer) = self.lanes.get_mut(usize::from(lane.code()))
            && buffer.is_empty()
        {
            *buffer = BytesMut::new();
        }
    }

    /// Throws everything away.
    pub fn clear(&mut self) {
        self.lanes = Default::default();
    }
}
