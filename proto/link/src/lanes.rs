//! Four send queues with strict priority: control, then input, then screen, then bulk. Pure.
//!
//! A message goes out in pieces; before each piece the highest lane that has anything is asked again, so a key press
//! waits for one frame of a large picture and not for the picture. Pieces of one lane stay in order and are never mixed
//! with another message of the same lane. Each lane is bounded in bytes; one message may always enter an empty lane.

use std::collections::VecDeque;

use bytes::Bytes;
use proto::frame::Lane;

/// Four send queues.
#[derive(Debug)]
pub struct Lanes {
    queues: [Queue; 4],
}

/// A part of a message, ready to be put into one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its lane.
    pub lane: Lane,
    /// Its bytes.
    pub bytes: Bytes,
    /// The message goes on in the next piece of this lane.
    pub more: bool,
}

/// The lane has no room for the message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lane has no room now")]
pub struct Full;

#[derive(Debug)]
struct Queue {
    messages: VecDeque<Bytes>,
    /// The first message has lost a piece already.
    begun: bool,
    len: usize,
    len_max: usize,
}

impl Lanes {
    /// Empty lanes; each holds up to `len_max(lane)` bytes.
    pub fn new(len_max: impl Fn(Lane) -> usize) -> Self {
        let queue = |lane| Queue { messages: VecDeque::new(), begun: false, len: 0, len_max: len_max(lane) };
        Self { queues: Lane::ALL.map(queue) }
    }

    /// Whether a message of `len` bytes may enter the lane now.
    pub fn fits(&self, lane: Lane, len: usize) -> bool {
        let queue = &self.queues[place(lane)];
        queue.messages.is_empty() || queue.len.saturating_add(len) <= queue.len_max
    }

    /// Puts a message at the end of its lane.
    ///
    /// # Errors
    /// [`Full`]; the message is dropped.
    pub fn push(&mut self, lane: Lane, message: Bytes) -> Result<(), Full> {
        if !self.fits(lane, message.len()) {
            return Err(Full);
        }
        let queue = &mut self.queues[place(lane)];
        queue.len = queue.len.saturating_add(message.len());
        queue.messages.push_back(message);
        Ok(())
    }

    /// Takes up to `len_max` bytes of the first message of the most urgent lane that is no less urgent than `lowest`.
    pub fn take(&mut self, len_max: usize, lowest: Lane) -> Option<Piece> {
        let lane = Lane::ALL.into_iter().filter(|lane| *lane <= lowest).find(|lane| self.has(*lane))?;
        let queue = &mut self.queues[place(lane)];
        let message = queue.messages.front_mut()?;
        let more = len_max < message.len();
        let bytes = if more { message.split_to(len_max) } else { queue.messages.pop_front()? };
        queue.begun = more;
        queue.len = queue.len.saturating_sub(bytes.len());
        Some(Piece { lane, bytes, more })
    }

    /// Whether anything waits in the lane.
    pub fn has(&self, lane: Lane) -> bool {
        !self.queues[place(lane)].messages.is_empty()
    }

    /// Whether the lane's next piece is in the middle of a message: nothing else may be put in between.
    pub fn is_amid(&self, lane: Lane) -> bool {
        self.queues[place(lane)].begun
    }

    /// Length of the first thing [`Self::take`] would look at.
    pub fn next_len(&self, lowest: Lane) -> Option<usize> {
        self.first(lowest).map(Bytes::len)
    }

    /// The first thing [`Self::take`] would look at.
    pub fn first(&self, lowest: Lane) -> Option<&Bytes> {
        let lane = Lane::ALL.into_iter().filter(|lane| *lane <= lowest).find(|lane| self.has(*lane))?;
        self.queues[place(lane)].messages.front()
    }

    /// Bytes waiting in all lanes.
    pub fn len(&self) -> usize {
        self.queues.iter().map(|queue| queue.len).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.messages.is_empty())
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        for queue in &mut self.queues {
            *queue = Queue { messages: VecDeque::new(), begun: false, len: 0, len_max: queue.len_max };
        }
    }
}

fn place(lane: Lane) -> usize {
    usize::from(lane.code())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_press_waits_for_one_piece_of_a_picture_and_not_for_the_picture() {
        let mut lanes = Lanes::new(|_| 1 << 20);
        lanes.push(Lane::Screen, Bytes::from(vec![1; 100])).unwrap();

        let first = lanes.take(40, Lane::Bulk).unwrap();
        lanes.push(Lane::Input, Bytes::from_static(b"key")).unwrap();
        let order: Vec<_> = std::iter::from_fn(|| lanes.take(40, Lane::Bulk)).collect();

        assert!(first.more);
        let lengths: Vec<_> = order.iter().map(|piece| (piece.lane, piece.bytes.len(), piece.more)).collect();
        assert_eq!(lengths, [(Lane::Input, 3, false), (Lane::Screen, 40, true), (Lane::Screen, 20, false)]);
    }

    #[test]
    fn a_lane_that_is_held_back_lets_more_urgent_ones_pass() {
        let mut lanes = Lanes::new(|_| 1 << 20);
        lanes.push(Lane::Screen, Bytes::from_static(b"pixels")).unwrap();
        lanes.push(Lane::Input, Bytes::from_static(b"key")).unwrap();

        assert_eq!(lanes.take(9, Lane::Input).unwrap().lane, Lane::Input);
        assert_eq!(lanes.take(9, Lane::Input), None);
        assert_eq!(lanes.take(9, Lane::Bulk).unwrap().lane, Lane::Screen);
    }

    #[test]
    fn a_message_longer_than_the_lane_enters_only_when_the_lane_is_empty() {
        let mut lanes = Lanes::new(|_| 10);

        assert_eq!(lanes.push(Lane::Bulk, Bytes::from(vec![0; 50])), Ok(()));
        assert_eq!(lanes.push(Lane::Bulk, Bytes::from(vec![0; 1])), Err(Full));
    }

    proptest! {
        #[test]
        fn everything_comes_out_once_in_the_order_of_its_lane_and_within_bounds(
            steps in prop::collection::vec((0u8..4, 0usize..200, any::<bool>()), 0..200),
        ) {
            let mut lanes = Lanes::new(|_| 500);
            let mut put: [Vec<Vec<u8>>; 4] = Default::default();
            let mut got: [Vec<Vec<u8>>; 4] = Default::default();
            let mut partial: [Vec<u8>; 4] = Default::default();
            for (serial, (lane, len, is_push)) in steps.into_iter().enumerate() {
                let lane = Lane::from_code(lane).unwrap();
                if is_push {
                    let message = vec![u8::try_from(serial).unwrap(); len];
                    if lanes.push(lane, Bytes::from(message.clone())).is_ok() {
                        put[place(lane)].push(message);
                    }
                } else if let Some(piece) = lanes.take(64, lane) {
                    prop_assert!(piece.bytes.len() <= 64 && piece.lane <= lane);
                    collect(&mut partial, &mut got, &piece);
                }
                prop_assert!(lanes.len() <= 4 * 500);
            }
            while let Some(piece) = lanes.take(64, Lane::Bulk) {
                collect(&mut partial, &mut got, &piece);
            }
            prop_assert_eq!(put, got);
            prop_assert_eq!(lanes.len(), 0);
            prop_assert!(lanes.is_empty());
        }
    }

    fn collect(partial: &mut [Vec<u8>; 4], got: &mut [Vec<Vec<u8>>; 4], piece: &Piece) {
        let lane = place(piece.lane);
        partial[lane].extend_from_slice(&piece.bytes);
        if !piece.more {
            got[lane].push(std::mem::take(&mut partial[lane]));
        }
    }
}
