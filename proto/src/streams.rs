//! Which lane a stream of a QUIC connection is.
//!
//! A tool opens one stream for each lane. The first byte of a stream is the lane's number, then come frames, each on the
//! stream of its own lane.

use crate::frame::{FrameError, FrameHeader, Lane};

/// The streams of one connection that were opened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streams {
    opened: [bool; 4],
}

/// A first byte that opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// No such lane.
    #[error("a stream of lane {0}, which does not exist")]
    Lane(u8),
    /// The lane has a stream already.
    #[error("a second stream of lane {}", .0.as_str())]
    Again(Lane),
}

impl Streams {
    /// Takes the first byte of a stream.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn open(&mut self, first: u8) -> Result<Lane, StreamError> {
        let lane = Lane::from_code(first).ok_or(StreamError::Lane(first))?;
        let opened = self.opened.get_mut(usize::from(first)).ok_or(StreamError::Lane(first))?;
        if std::mem::replace(opened, true) {
            return Err(StreamError::Again(lane));
        }
        Ok(lane)
    }

    /// Whether every lane has its stream.
    pub fn are_complete(self) -> bool {
        self.opened.iter().all(|opened| *opened)
    }
}

/// Whether a frame with this header may stand on the stream of `lane`.
///
/// # Errors
/// [`FrameError::Lane`].
pub fn check(lane: Lane, header: FrameHeader) -> Result<(), FrameError> {
    if header.lane == lane { Ok(()) } else { Err(FrameError::Lane(header.lane.code())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_is_opened_once_in_any_order_and_nothing_else_is() {
        let mut streams = Streams::default();

        for lane in [Lane::Screen, Lane::Control, Lane::Bulk] {
            assert_eq!(streams.open(lane.code()), Ok(lane));
        }
        assert!(!streams.are_complete());
        assert_eq!(streams.open(2), Err(StreamError::Again(Lane::Screen)));
        for code in 4..=u8::MAX {
            assert_eq!(streams.open(code), Err(StreamError::Lane(code)));
        }
        assert_eq!(streams.open(1), Ok(Lane::Input));
        assert!(streams.are_complete());
    }

    #[test]
    fn a_frame_stands_on_the_stream_of_its_lane() {
        for lane in Lane::ALL {
            let sealed = FrameHeader::parse([0x11, lane.code(), 0, 0, 0]).unwrap();
            let ping = FrameHeader::parse([0x06, 0, 0, 8, 0]).unwrap();
            for stream in Lane::ALL {
                assert_eq!(check(stream, sealed).is_ok(), stream == lane);
                assert_eq!(check(stream, ping).is_ok(), stream == Lane::Control);
            }
        }
    }
}
