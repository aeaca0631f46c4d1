//! What was said and heard in one direction of one session: the proof that nothing was lost, doubled or turned around.
//!
//! Pure: the time is an argument. The sender writes a message down before it goes, the receiver when it comes.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Ways that are kept between two marks: an hour of five messages a second.
const WAYS_MAX: usize = 20_000;

/// The lanes that a session of the load uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A picture on the screen lane.
    Screen,
    /// A pointer or key on the input lane.
    Input,
}

/// One direction of one session.
#[derive(Debug)]
pub struct Ledger {
    screen: Line,
    input: Line,
    heard_at: Instant,
    pause_max: Duration,
    late_max: Duration,
    marked_at: Instant,
    /// Messages of the input lane that were said since the last mark and heard: when, and how long they were on their way.
    ways: Vec<(Instant, Duration)>,
    newest: Option<Instant>,
    newest_input: Option<Instant>,
    broken: u64,
}

/// One lane of it.
#[derive(Debug, Default)]
struct Line {
    said: u64,
    due: u64,
    doubled: u64,
    skipped: u64,
    /// When each message from `due` on was said.
    said_at: VecDeque<Instant>,
}

/// What a ledger adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Messages said.
    pub said: u64,
    /// Messages heard, each counted once.
    pub heard: u64,
    /// Messages that were passed over or never came.
    pub lost: u64,
    /// Messages that came again, or after a later one.
    pub doubled: u64,
    /// Messages whose content was not what was said.
    pub broken: u64,
}

impl Ledger {
    /// Opens a ledger now.
    pub fn new(now: Instant) -> Self {
        Self {
            screen: Line::default(),
            input: Line::default(),
            heard_at: now,
            pause_max: Duration::ZERO,
            late_max: Duration::ZERO,
            marked_at: now,
            ways: Vec::new(),
            newest: None,
            newest_input: None,
            broken: 0,
        }
    }

    /// The number of the next message, which is said now.
    pub fn say(&mut self, kind: Kind, now: Instant) -> u64 {
        let line = self.line(kind);
        let number = line.said;
        line.said = line.said.saturating_add(1);
        line.said_at.push_back(now);
        number
    }

    /// A message was heard.
    pub fn hear(&mut self, kind: Kind, number: u64, now: Instant) {
        self.pause_max = self.pause(now);
        self.heard_at = now;
        let line = self.line(kind);
        if number < line.due {
            line.doubled = line.doubled.saturating_add(1);
            return;
        }
        if line.said <= number {
            // Nobody has said this.
            self.broken = self.broken.saturating_add(1);
            return;
        }
        let mut said_at = None;
        while line.due <= number {
            line.skipped = line.skipped.saturating_add(u64::from(line.due < number));
            line.due = line.due.saturating_add(1);
            said_at = line.said_at.pop_front();
        }
        if let Some(said_at) = said_at {
            self.newest = self.newest.max(Some(said_at));
            if kind == Kind::Input {
                self.newest_input = self.newest_input.max(Some(said_at));
                let way = now.saturating_duration_since(said_at);
                self.late_max = self.late_max.max(way);
                if self.marked_at <= said_at && self.ways.len() < WAYS_MAX {
                    self.ways.push((said_at, way));
                }
            }
        }
    }

    /// A message was heard whose content is not what was said.
    pub const fn hear_broken(&mut self) {
        self.broken = self.broken.saturating_add(1);
    }

    /// Measures pauses and delays from now on.
    pub fn mark(&mut self, now: Instant) {
        (self.heard_at, self.pause_max, self.late_max) = (now, Duration::ZERO, Duration::ZERO);
        self.marked_at = now;
        self.ways.clear();
    }

    /// How long messages of the input lane were on their way that were said from the last mark on and before `until`.
    /// What the network held up before the mark is not among them; what it still holds is missing, so the caller waits
    /// until something newer was heard.
    pub fn ways(&self, until: Instant) -> impl Iterator<Item = Duration> {
        self.ways.iter().filter(move |(said_at, _)| *said_at < until).map(|(_, way)| *way)
    }

    /// The longest time without a message since the last mark, the present one included.
    pub fn pause(&self, now: Instant) -> Duration {
        self.pause_max.max(now.saturating_duration_since(self.heard_at))
    }

    /// The longest way of a message of the input lane that was heard since the last mark.
    pub const fn late(&self) -> Duration {
        self.late_max
    }

    /// When the newest message that was heard had been said.
    pub const fn newest(&self) -> Option<Instant> {
        self.newest
    }

    /// When the newest message of the input lane that was heard had been said: lanes overtake each other, so a picture
    /// says nothing about it.
    pub const fn newest_input(&self) -> Option<Instant> {
        self.newest_input
    }

    /// Messages under way.
    pub fn under_way(&self) -> u64 {
        [&self.screen, &self.input].map(|line| line.said.saturating_sub(line.due)).iter().sum()
    }

    /// Adds up. What is under way counts as lost, so the caller waits for it first.
    pub fn sum(&self) -> Sum {
        let lines = [&self.screen, &self.input];
        let total = |of: fn(&Line) -> u64| lines.iter().map(|line| of(line)).sum::<u64>();
        let skipped = total(|line| line.skipped);
        Sum {
            said: total(|line| line.said),
            heard: total(|line| line.due).saturating_sub(skipped),
            lost: skipped.saturating_add(self.under_way()),
            doubled: total(|line| line.doubled),
            broken: self.broken,
        }
    }

    /// What counts as lost beyond `most` messages.
    pub fn lost_beyond(&self, most: u64) -> u64 {
        self.sum().lost.saturating_sub(most)
    }

    const fn line(&mut self, kind: Kind) -> &mut Line {
        match kind {
            Kind::Screen => &mut self.screen,
            Kind::Input => &mut self.input,
        }
    }
}

impl Sum {
    /// Both together.
    pub const fn with(self, other: Self) -> Self {
        Self {
            said: self.said.saturating_add(other.said),
            heard: self.heard.saturating_add(other.heard),
            lost: self.lost.saturating_add(other.lost),
            doubled: self.doubled.saturating_add(other.doubled),
            broken: self.broken.saturating_add(other.broken),
        }
    }

    /// Whether every message came once, in order and whole.
    pub const fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.broken == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(said: u64) -> (Ledger, Instant) {
        let now = Instant::now();
        let mut ledger = Ledger::new(now);
        for _ in 0..said {
            ledger.say(Kind::Input, now);
        }
        (ledger, now)
    }

    #[test]
    fn what_comes_once_and_in_order_is_clean() {
        let (mut ledger, now) = ledger(3);
        ledger.say(Kind::Screen, now);
        for number in 0..3 {
            ledger.hear(Kind::Input, number, now);
        }
        assert_eq!(ledger.under_way(), 1);
        ledger.hear(Kind::Screen, 0, now);

        assert_eq!(ledger.sum(), Sum { said: 4, heard: 4, lost: 0, doubled: 0, broken: 0 });
        assert!(ledger.sum().is_clean());
    }

    #[test]
    fn what_is_missing_comes_again_or_was_never_said_is_seen() {
        let (mut ledger, now) = ledger(5);
        for number in [0, 2, 1, 2, 9] {
            ledger.hear(Kind::Input, number, now);
        }

        let sum = ledger.sum();
        assert_eq!((sum.lost, sum.doubled, sum.broken), (3, 2, 1), "1, 3 and 4 are lost; 1 and 2 came late or again");
        assert!(!sum.is_clean());
    }

    #[test]
    fn what_may_be_under_way_at_an_end_is_not_lost_and_what_is_more_is() {
        let (mut ledger, now) = ledger(6);
        for number in [0, 2] {
            ledger.hear(Kind::Input, number, now);
        }

        assert_eq!(ledger.sum().lost, 4, "1 was passed over, 3 to 5 never came");
        assert_eq!([3, 4, 5].map(|most| ledger.lost_beyond(most)), [1, 0, 0]);
    }

    #[test]
    fn pauses_and_delays_count_from_the_mark() {
        let (mut ledger, begun) = ledger(3);
        let after = |millis| begun + Duration::from_millis(millis);
        ledger.hear(Kind::Input, 0, after(900));
        ledger.mark(after(1_000));
        assert_eq!(ledger.pause(after(1_100)), Duration::from_millis(100));
        ledger.hear(Kind::Input, 1, after(1_300));
        ledger.hear(Kind::Input, 2, after(1_350));

        assert_eq!(ledger.pause(after(1_400)), Duration::from_millis(300));
        assert_eq!(ledger.late(), Duration::from_millis(1_350));
        assert_eq!(ledger.newest(), Some(begun));
    }

    #[test]
    fn ways_are_those_of_input_that_was_said_after_the_mark_and_before_the_end() {
        let (mut ledger, begun) = ledger(1);
        let after = |millis| begun + Duration::from_millis(millis);
        ledger.say(Kind::Screen, after(990));
        ledger.hear(Kind::Screen, 0, after(995));
        assert_eq!(ledger.newest(), Some(after(990)));
        assert_eq!(ledger.newest_input(), None, "a picture came, and the key before it is still on its way");

        ledger.mark(after(1_000));
        ledger.say(Kind::Input, after(1_000));
        ledger.say(Kind::Input, after(1_500));
        ledger.say(Kind::Input, after(2_000));
        for number in 0..4 {
            ledger.hear(Kind::Input, number, after(2_100));
        }

        let ways: Vec<_> = ledger.ways(after(2_000)).collect();
        assert_eq!(ways, [Duration::from_millis(1_100), Duration::from_millis(600)]);
        assert_eq!(ledger.newest_input(), Some(after(2_000)));
    }
}
