//! Frames that came over a path before the word that the session goes on there. Pure.
//!
//! On QUIC a lane may overtake `Resume`, which is on the control lane; a relay passes on what comes in the order in
//! which it comes, so it may stand that way on TCP, too. What comes early waits here until the path is the active one; input
//! that is due does not wait (`actor/copies.rs`).

use std::collections::HashMap;

use bytes::Bytes;
use proto::frame::{FrameType, Lane};

use crate::{framed::WireFrame, roam::PathId};

/// Bytes that wait for one path at most, and a frame counts for [`FRAME_COST`] more: the other side has no more under way
/// than its credit, and what is not the screen is little. A quarter more is for the frames around it.
const HELD_MAX: u64 = Lane::Screen.credit() / 4 * 5;
/// What a frame costs beside its bytes: many small ones must not cost more than few large ones.
const FRAME_COST: u64 = 128;
/// A frame is a slice of the read it came in; a shorter one is copied, else it would hold on to all of a large read.
const COPY_LEN_MAX: usize = 16 * 1024;

/// Frames by their path.
#[derive(Debug, Default)]
pub(super) struct Held {
    paths: HashMap<PathId, Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: Vec<WireFrame>,
    len: u64,
}

/// More came than can have been under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more frames came before their path was resumed than can be under way")]
pub(super) struct Full;

impl Held {
    /// Keeps a frame of a path that is not the active one, if it may have overtaken the word it belongs behind. What is
    /// on the control lane itself cannot have: it was sent before.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn keep(&mut self, id: PathId, frame: &WireFrame) -> Result<(), Full> {
        if frame.header.kind != FrameType::Sealed || frame.header.lane == Lane::Control {
            return Ok(());
        }
        let waiting = self.paths.entry(id).or_default();
        waiting.len = waiting.len.saturating_add(u64::from(frame.header.len)).saturating_add(FRAME_COST);
        if HELD_MAX < waiting.len {
            return Err(Full);
        }
        let is_short = frame.wire.len() < COPY_LEN_MAX;
        let wire = if is_short { Bytes::copy_from_slice(&frame.wire) } else { frame.wire.clone() };
        waiting.frames.push(WireFrame { header: frame.header, wire });
        Ok(())
    }

    /// What waits for other paths is from before and means nothing any more.
    pub(super) fn forget_others(&mut self, id: PathId) {
        self.paths.retain(|path, _| *path == id);
    }

    /// Gives what waits for a path, in the order in which it came.
    pub(super) fn take(&mut self, id: PathId) -> Vec<WireFrame> {
        self.paths.remove(&id).unwrap_or_default().frames
    }
}

#[cfg(test)]
mod tests {
    use proto::frame::Frame;

    use super::*;
    use crate::framed::to_wire;

    fn frame(lane: Lane, len: usize) -> WireFrame {
        let frame = Frame::sealed(lane, 0, Bytes::from(vec![0; len])).unwrap();
        WireFrame { header: frame.header().unwrap(), wire: to_wire(&frame) }
    }

    #[test]
    fn what_may_have_overtaken_waits_in_order_for_its_own_path() {
        let mut held = Held::default();
        for (path, lane, len) in [(1, Lane::Screen, 1), (2, Lane::Input, 2), (1, Lane::Control, 3), (1, Lane::Input, 4)]
        {
            held.keep(path, &frame(lane, len)).unwrap();
        }

        let lens = |frames: Vec<WireFrame>| frames.iter().map(|frame| frame.header.len).collect::<Vec<_>>();
        assert_eq!(lens(held.take(1)), [1, 4]);
        assert_eq!(lens(held.take(1)), [] as [u16; 0]);
        assert_eq!(lens(held.take(2)), [2]);
    }

    #[test]
    fn no_more_waits_than_can_be_under_way() {
        let (mut held, large) = (Held::default(), frame(Lane::Screen, 32 * 1024));

        let kept = (0..1_000).take_while(|_| held.keep(1, &large).is_ok()).count();

        assert_eq!(kept, 318);
    }

    #[test]
    fn frames_of_nothing_are_no_more_than_so_many_either() {
        let (mut held, empty) = (Held::default(), frame(Lane::Input, 0));

        let kept = (0..1_000_000).take_while(|_| held.keep(1, &empty).is_ok()).count();

        assert_eq!(kept, 81_920);
    }
}
