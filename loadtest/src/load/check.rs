//! Counts what is lost, doubled, out of order or altered in one direction of one session. Pure.
//!
//! Order holds within a lane only: a relay lets input overtake pictures.

use std::collections::BTreeSet;

use proto::frame::Lane;
use serde::Serialize;

use super::payload::{Kind, Payload};

/// Missing frames of a lane that are remembered, to tell one that is late from one that comes twice.
const MISSING_MAX: usize = 4096;

/// What went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Frames that never came.
    pub lost: u64,
    /// Frames that came again.
    pub duplicated: u64,
    /// Frames that came after a later one of their lane.
    pub reordered: u64,
    /// Frames whose bytes are not what was sent, or that belong to another session.
    pub altered: u64,
}

/// Watches one direction of one session.
#[derive(Debug)]
pub struct Checker {
    session: u32,
    lanes: [Watch; 4],
    sent: Option<[u64; 4]>,
    altered: u64,
}

#[derive(Debug, Default)]
struct Watch {
    /// The sequence that comes next when nothing goes wrong.
    next: u64,
    /// Different frames that came.
    came: u64,
    missing: BTreeSet<u64>,
    duplicated: u64,
    reordered: u64,
}

impl Faults {
    /// Whether nothing went wrong.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another count to this one.
    pub const fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.altered += other.altered;
    }
}

impl Checker {
    /// Nothing has come yet.
    pub fn new(session: u32) -> Self {
        Self { session, lanes: Default::default(), sent: None, altered: 0 }
    }

    /// A frame came. `payload` is `None` when its bytes are not what was sent.
    pub fn on(&mut self, lane: Lane, payload: Option<&Payload>) {
        let Some(payload) = payload.filter(|payload| payload.session == self.session) else {
            self.altered += 1;
            return;
        };
        if payload.kind == Kind::End {
            self.sent = Some(payload.counts);
        } else if let Some(watch) = self.lanes.get_mut(usize::from(lane.code())) {
            watch.on(payload.sequence);
        }
    }

    /// Whether the end has come, and every frame before it.
    pub fn is_complete(&self) -> bool {
        self.sent.is_some_and(|sent| self.lanes.iter().zip(sent).all(|(watch, sent)| sent <= watch.came))
    }

    /// The counts. `sent` are the frames of each lane that were handed to the network.
    pub fn faults(&self, sent: [u64; 4]) -> Faults {
        let mut faults = Faults { altered: self.altered, ..Faults::default() };
        for (watch, sent) in self.lanes.iter().zip(sent) {
            faults.lost += sent.saturating_sub(watch.came);
            faults.duplicated += watch.duplicated;
            faults.reordered += watch.reordered;
        }
        faults
    }
}

impl Watch {
    fn on(&mut self, sequence: u64) {
        if self.next <= sequence {
            let room = MISSING_MAX.saturating_sub(self.missing.len());
            self.missing.extend((self.next..sequence).take(room));
            self.next = sequence.saturating_add(1);
            self.came += 1;
        } else if self.missing.remove(&sequence) {
            self.reordered += 1;
            self.came += 1;
        } else {
            self.duplicated += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sequence: u64) -> Payload {
        Payload { due_ns: 0, sequence, session: 1, kind: Kind::Piece, counts: [0; 4] }
    }

    fn after(sequences: &[u64]) -> Checker {
        let mut checker = Checker::new(1);
        for sequence in sequences {
            checker.on(Lane::Screen, Some(&piece(*sequence)));
        }
        checker
    }

    #[test]
    fn frames_in_order_are_clean_and_complete_after_the_end() {
        let mut checker = after(&[0, 1, 2]);
        assert!(!checker.is_complete(), "the end has not come");

        checker.on(Lane::Control, Some(&Payload { kind: Kind::End, counts: [0, 0, 3, 0], ..piece(0) }));

        assert!(checker.is_complete());
        assert!(checker.faults([0, 0, 3, 0]).is_clean());
    }

    #[test]
    fn each_fault_is_counted_as_what_it_is() {
        let lost = after(&[0, 2]).faults([0, 0, 3, 0]);
        let last_lost = after(&[0, 1]).faults([0, 0, 3, 0]);
        let doubled = after(&[0, 1, 1, 2]).faults([0, 0, 3, 0]);
        let swapped = after(&[0, 2, 1]).faults([0, 0, 3, 0]);

        assert_eq!(lost, Faults { lost: 1, ..Faults::default() });
        assert_eq!(last_lost, Faults { lost: 1, ..Faults::default() });
        assert_eq!(doubled, Faults { duplicated: 1, ..Faults::default() });
        assert_eq!(swapped, Faults { reordered: 1, ..Faults::default() });
    }

    #[test]
    fn a_frame_of_another_session_or_with_other_bytes_is_altered() {
        let mut checker = after(&[0]);

        checker.on(Lane::Screen, None);
        checker.on(Lane::Screen, Some(&Payload { session: 2, ..piece(1) }));

        assert_eq!(checker.faults([0, 0, 1, 0]), Faults { altered: 2, ..Faults::default() });
    }

    #[test]
    fn lanes_are_counted_apart() {
        let mut checker = after(&[0]);

        checker.on(Lane::Input, Some(&piece(0)));

        assert!(checker.faults([0, 1, 1, 0]).is_clean());
    }
}
