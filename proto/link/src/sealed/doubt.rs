//! How long the other tool has not said that anything arrived. A relay answers for itself, so only the other tool shows
//! that it is still there, and that it hears. Pure: the time is an argument.

use std::time::Duration;

use proto::{frame::Lane, seal::resume::Due};
use tokio::time::Instant;

use super::keeper::Keeper;

/// The other tool answers within this time at least: a relay that is silent itself is left before, and one that sends
/// again what was lost is not left for that.
const PATIENCE_MIN: Duration = Duration::from_secs(2);
/// And within so many round trips.
const ROUND_TRIPS: u32 = 4;
/// However slow the line is.
const PATIENCE_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Since when nothing has arrived there although an answer is due.
    since: Option<Instant>,
    /// What had arrived there by then.
    arrived: Due,
    /// What follows the last frame that is answered, in each lane: words that only tell what arrived are not.
    asked: Due,
}

impl Doubt {
    /// Something was said that is answered; these numbers follow.
    pub(super) fn asked(&mut self, next: Due, now: Instant) {
        self.asked = next;
        self.since.get_or_insert(now);
    }

    /// The session moved: what is kept is sent again.
    pub(super) fn begin_anew(&mut self, keeper: &Keeper, now: Instant) {
        self.arrived = keeper.arrived();
        self.since = keeper.is_news(self.asked, None).then_some(now);
    }

    /// The other tool was heard. What went another way, too, does not show that anything arrives on this one.
    pub(super) fn heard(&mut self, keeper: &Keeper, besides: Option<Lane>, now: Instant) {
        let is_due = keeper.is_news(self.asked, None);
        if !is_due || keeper.has_news_since(self.arrived, besides) {
            self.since = is_due.then_some(now);
        }
        self.arrived = keeper.arrived();
    }

    /// When the other tool counts as not answering.
    pub(super) fn at(&self, round_trip: Option<Duration>) -> Option<Instant> {
        let patience = round_trip.unwrap_or_default().saturating_mul(ROUND_TRIPS).clamp(PATIENCE_MIN, PATIENCE_MAX);
        self.since.map(|since| since + patience)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::frame::Frame;

    use super::*;

    #[test]
    fn silence_counts_from_the_first_word_that_was_not_answered() {
        let begun = Instant::now();
        let after = |secs| begun + Duration::from_secs(secs);
        let mut doubt = Doubt::default();
        let mut keeper = Keeper::default();
        for byte in 0..3 {
            keeper.keep(&Frame::sealed(Lane::Screen, 0, Bytes::copy_from_slice(&[byte])).unwrap(), Bytes::new());
        }
        assert_eq!(doubt.at(None), None, "nothing was asked");

        doubt.asked([0, 0, 1, 0], begun);
        doubt.asked([0, 0, 2, 0], after(1));
        assert_eq!(doubt.at(None), Some(after(2)));
        assert_eq!(doubt.at(Some(Duration::from_secs(1))), Some(after(4)), "a slow line");
        assert_eq!(doubt.at(Some(Duration::from_mins(1))), Some(after(10)));

        keeper.received([0, 0, 1, 0]).unwrap();
        doubt.heard(&keeper, None, after(3));
        assert_eq!(doubt.at(None), Some(after(5)), "an answer is still due");
        doubt.heard(&keeper, None, after(4));
        assert_eq!(doubt.at(None), Some(after(5)), "what it says does not show that it hears");
        keeper.received([0, 0, 2, 0]).unwrap();
        doubt.heard(&keeper, None, after(4));
        assert_eq!(doubt.at(None), None, "the last frame tells what arrived, and is not answered");
    }

    #[test]
    fn what_went_another_way_too_shows_nothing_and_a_move_begins_anew() {
        let begun = Instant::now();
        let after = |secs| begun + Duration::from_secs(secs);
        let mut doubt = Doubt::default();
        let mut keeper = Keeper::default();
        for lane in [Lane::Input, Lane::Control] {
            keeper.keep(&Frame::sealed(lane, 0, Bytes::from_static(&[1])).unwrap(), Bytes::new());
        }
        doubt.asked([1, 1, 0, 0], begun);
        keeper.received([0, 1, 0, 0]).unwrap();
        doubt.heard(&keeper, Some(Lane::Input), after(1));
        assert_eq!(doubt.at(None), Some(after(2)));

        doubt.begin_anew(&keeper, after(3));
        assert_eq!(doubt.at(None), Some(after(5)));
    }
}
