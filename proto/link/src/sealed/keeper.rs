//! Sealed frames that may have to be sent again over another relay. Pure.
//!
//! Bounded by the credit of the lanes, because what was taken was received before, and by what the link itself says
//! between two acks.

use std::collections::VecDeque;

use bytes::Bytes;
use proto::{
    frame::{Frame, Lane},
    seal::resume::Due,
};

/// Frames of each lane that the other side has not said it received, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    lanes: [VecDeque<[Bytes; 2]>; 4],
    /// The sequence number of the first frame of each lane.
    first: Due,
}

/// Numbers that were never sent, or are asked for although they arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frames that were never sent cannot have been received")]
pub(super) struct Impossible;

impl Keeper {
    /// Keeps nothing; these are the numbers of the first frames.
    pub(super) fn new(first: Due) -> Self {
        Self { first, ..Self::default() }
    }

    /// Keeps a frame that has just been sealed: header and payload.
    pub(super) fn keep(&mut self, frame: &Frame, header: Bytes) {
        self.lanes[place(frame.lane)].push_back([header, frame.payload.clone()]);
    }

    /// The other side says which numbers are due next there. What it said before a newer word, and comes late because it
    /// was sent again, is no news.
    ///
    /// # Errors
    /// [`Impossible`]; nothing is forgotten then.
    pub(super) fn received(&mut self, due: Due) -> Result<(), Impossible> {
        let lanes = self.lanes.iter().zip(self.first).zip(due);
        let possible = |((lane, first), due): ((&VecDeque<_>, u64), u64)| {
            usize::try_from(due.saturating_sub(first)).is_ok_and(|count| count <= lane.len())
        };
        if !lanes.into_iter().all(possible) {
            return Err(Impossible);
        }
        for ((lane, first), due) in self.lanes.iter_mut().zip(&mut self.first).zip(due) {
            let count = usize::try_from(due.saturating_sub(*first)).unwrap_or(lane.len());
            lane.drain(..count.min(lane.len()));
            *first = due.max(*first);
        }
        Ok(())
    }

    /// Whether the other side has received something new of a lane, besides what went another way, too.
    pub(super) fn is_news(&self, due: Due, besides: Option<Lane>) -> bool {
        let besides = besides.map(place);
        let news = |(lane, (first, due)): (usize, (&u64, u64))| *first < due && Some(lane) != besides;
        self.first.iter().zip(due).enumerate().any(news)
    }

    /// What the other side has said is due next there.
    pub(super) const fn arrived(&self) -> Due {
        self.first
    }

    /// Whether the other side has received something since these numbers were due there, besides a lane.
    pub(super) fn has_news_since(&self, due: Due, besides: Option<Lane>) -> bool {
        let besides = besides.map(place);
        let news = |(lane, (first, due)): (usize, (&u64, u64))| due < *first && Some(lane) != besides;
        self.first.iter().zip(due).enumerate().any(news)
    }

    /// The other side says over a new connection which numbers are due next there: these are sent again.
    ///
    /// # Errors
    /// [`Impossible`], also for numbers that it has said it received; nothing is forgotten then.
    pub(super) fn resumed(&mut self, due: Due) -> Result<(), Impossible> {
        if due.iter().zip(self.first).any(|(due, first)| *due < first) {
            return Err(Impossible);
        }
        self.received(due)
    }

    /// Everything that is kept, most urgent lane first: header and payload of each frame.
    pub(super) fn kept(&self) -> VecDeque<[Bytes; 2]> {
        self.lanes.iter().flatten().cloned().collect()
    }

    /// The kept frames of a lane from this number on, at most `count`, and the number of the first.
    pub(super) fn since(&self, lane: Lane, number: u64, count: usize) -> (u64, impl Iterator<Item = &[Bytes; 2]>) {
        let first = self.first[place(lane)];
        let known = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
        (number.max(first), self.lanes[place(lane)].iter().skip(known).take(count))
    }

    /// Bytes of everything that is kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().flatten().flatten().map(Bytes::len).sum()
    }
}

fn place(lane: Lane) -> usize {
    usize::from(lane.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(lane: Lane, byte: u8) -> Frame {
        Frame::sealed(lane, 0, Bytes::copy_from_slice(&[byte])).unwrap()
    }

    fn kept(keeper: &Keeper) -> Vec<u8> {
        keeper.kept().iter().map(|[_, payload]| payload[0]).collect()
    }

    #[test]
    fn what_was_not_received_is_sent_again_in_order_most_urgent_first() {
        let mut keeper = Keeper::default();
        for (lane, byte) in [(Lane::Screen, 1), (Lane::Input, 2), (Lane::Screen, 3), (Lane::Control, 4)] {
            keeper.keep(&frame(lane, byte), Bytes::from_static(b"head!"));
        }
        assert_eq!(kept(&keeper), [4, 2, 1, 3]);
        assert_eq!(keeper.received([0, 1, 1, 0]), Ok(()));
        assert_eq!(kept(&keeper), [4, 3]);
        assert_eq!(keeper.len(), 12);
    }

    #[test]
    fn what_went_two_ways_is_no_news_about_one_of_them() {
        let mut keeper = Keeper::default();
        for lane in [Lane::Screen, Lane::Input] {
            keeper.keep(&frame(lane, 1), Bytes::new());
        }
        assert!(keeper.is_news([0, 1, 0, 0], None) && !keeper.is_news([0, 1, 0, 0], Some(Lane::Input)));
        assert!(keeper.is_news([0, 1, 1, 0], Some(Lane::Input)));
        keeper.received([0, 1, 1, 0]).unwrap();
        assert!(!keeper.is_news([0, 1, 1, 0], None), "it is said again");
    }

    #[test]
    fn what_is_kept_of_a_lane_is_read_from_any_number_on() {
        let mut keeper = Keeper::new([7; 4]);
        for byte in 7..12 {
            keeper.keep(&frame(Lane::Input, byte), Bytes::new());
        }
        keeper.received([7, 9, 7, 7]).unwrap();
        let since = |number, count| {
            let (first, frames) = keeper.since(Lane::Input, number, count);
            (first, frames.map(|[_, payload]| payload[0]).collect::<Vec<_>>())
        };

        assert_eq!(since(0, 9), (9, vec![9, 10, 11]));
        assert_eq!(since(10, 9), (10, vec![10, 11]));
        assert_eq!(since(10, 1), (10, vec![10]));
        assert_eq!(since(12, 9), (12, vec![]));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_and_nothing_is_forgotten() {
        let mut keeper = Keeper::default();
        keeper.keep(&frame(Lane::Bulk, 1), Bytes::new());
        assert_eq!(keeper.received([0, 0, 0, 2]), Err(Impossible));
        assert_eq!(keeper.received([1, 0, 0, 1]), Err(Impossible));
        assert_eq!(kept(&keeper), [1]);
        assert_eq!(keeper.received([0, 0, 0, 1]), Ok(()));
        assert_eq!(keeper.received([0; 4]), Ok(()), "an older word that comes late is no news");
        assert_eq!(keeper.resumed([0; 4]), Err(Impossible), "what was forgotten cannot be sent again");
        assert_eq!(keeper.resumed([0, 0, 0, 1]), Ok(()));
    }
}
