//! Input goes over the spare path, too, so that a packet that is lost on one of the two paths holds up no key press.
//!
//! A reliable stream that has lost a packet brings nothing before that packet comes again, a round trip later at the
//! least. A copy is the same sealed frame; whichever comes first is opened, and its number tells that the other one is
//! old. A relay forwards both as they are, and knows of nothing.
//!
//! A loss is noticed by what is acknowledged behind it. Pictures come behind on the active path; on the spare one nothing
//! does, and a loss there would be noticed by a timer only, two round trips and 200 ms later over TCP. So the last copies
//! of a burst go once more a moment later.
//! Guarantees: the copies on a path have no gap, and begin with the first frame that the other tool may not have; one
//! batch of them waits to be written at most, and nothing else waits for them.

use std::time::Duration;

use proto::frame::Lane;
use tokio::time::Instant;

use super::{Actor, PathId, WRITE_FRAMES_MAX};

/// The last copies go once more after this long: in a packet of their own, and long before a round trip is over that is
/// worth mentioning.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

impl Actor {
    /// Gives the spare path a copy of the input that is under way, if it is free and there is something.
    pub(super) fn copy(&mut self) {
        let now = Instant::now();
        let Some(life) = &mut self.life else { return };
        let again = life.copies.take_again(now);
        let Some(id) = self.roam.spare() else { return };
        let next = life.copies.next(id);
        let (first, count) = self.give_copies(id, next);
        if 0 < count {
            if let Some(life) = &mut self.life {
                life.copies.went(id, [first, first.saturating_add(count)], now + AGAIN_AFTER);
            }
        } else if let Some(number) = again {
            self.give_copies(id, number);
        }
    }

    /// Gives a path the input from this number on that is under way; the number of the first frame, and how many.
    fn give_copies(&self, id: PathId, number: u64) -> (u64, u64) {
        let (Some(life), Some(path)) = (&self.life, self.paths.get(&id).filter(|path| path.is_idle())) else {
            return (number, 0);
        };
        let (first, frames) = life.keeper.since(Lane::Input, number, WRITE_FRAMES_MAX);
        let batch: Vec<_> = frames.flatten().cloned().collect();
        let count = u64::try_from(batch.len() / 2).unwrap_or_default();
        (first, if 0 < count && path.give(batch) { count } else { 0 })
    }
}
