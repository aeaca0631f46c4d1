//! When the next picture may be encoded: newest wins, and only when the operator has kept up.
//!
//! The gate is pure: sent updates, acks and the time go in, one answer comes out. It opens when no update is being
//! handed to the link, what is under way fits `max(16 KiB, 1.25 × rate × shortest round trip)`, and the last encode is
//! long enough ago for 30 pictures a second and half a core. Rate and round trip come from the operator's acks, which
//! see the whole way; what the relay's sockets hold says nothing about the second leg.
//! Source: research on pacing, section "Adaptive rate"; the estimator follows the delivery rate of BBR.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Under way whatever the rate: one small update never waits.
const FLOOR_BYTES: u64 = 16 * 1024;
/// Shortest pause between two pictures: 30 a second.
const INTERVAL_MIN: Duration = Duration::from_millis(33);
/// Longest pause that the guard of the processor may ask for: 2 pictures a second.
const INTERVAL_MAX: Duration = Duration::from_millis(500);
/// How long a measured rate and round trip count.
const WINDOW: Duration = Duration::from_secs(10);
/// Measurements kept; at 30 a second the window is full.
const SAMPLES_MAX: usize = 300;
/// Smallest and largest refinement, in bytes.
const BUDGET_MIN: usize = 64 * 1024;
/// See [`BUDGET_MIN`].
const BUDGET_MAX: usize = 2 * 1024 * 1024;
/// Updates on their way at most; beyond this the operator is not answering.
const UNDER_WAY_MAX: usize = 64;

/// Decides when to encode.
#[derive(Debug)]
pub struct Gate {
    under_way: VecDeque<UnderWay>,
    under_way_bytes: u64,
    /// Bytes acknowledged so far.
    delivered: u64,
    delivered_at: Option<Instant>,
    samples: VecDeque<Sample>,
    handing_over: bool,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct UnderWay {
    update: u64,
    bytes: u64,
    sent_at: Instant,
    delivered: u64,
    delivered_at: Instant,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    bytes_per_sec: u64,
    round_trip: Duration,
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Encode now.
    Now,
    /// Not before this time.
    At(Instant),
    /// Not before an ack or the link's taking over.
    Later,
}

impl Gate {
    /// A gate that nothing has passed yet: open.
    pub const fn new() -> Self {
        Self {
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            delivered: 0,
            delivered_at: None,
            samples: VecDeque::new(),
            handing_over: false,
            not_before: None,
        }
    }

    /// Whether a picture may be encoded.
    pub fn open(&self, now: Instant) -> Open {
        if self.handing_over || self.limit(now) < self.under_way_bytes || UNDER_WAY_MAX <= self.under_way.len() {
            return Open::Later;
        }
        match self.not_before {
            Some(at) if now < at => Open::At(at),
            Some(_) | None => Open::Now,
        }
    }

    /// An update of `bytes` was encoded in `cost` (capture and encode) and is handed to the link.
    pub fn encoded(&mut self, update: u64, bytes: u64, cost: Duration, now: Instant) {
        let delivered_at = *self.delivered_at.get_or_insert(now);
        self.under_way.push_back(UnderWay { update, bytes, sent_at: now, delivered: self.delivered, delivered_at });
        self.under_way_bytes = self.under_way_bytes.saturating_add(bytes);
        self.handing_over = true;
        self.worked(cost, now);
    }

    /// Work of `cost` was done without a result; the processor is guarded all the same.
    pub fn worked(&mut self, cost: Duration, now: Instant) {
        self.not_before = Some(now + cost.saturating_mul(2).clamp(INTERVAL_MIN, INTERVAL_MAX).saturating_sub(cost));
    }

    /// The link took the update over, or it was thrown away.
    pub const fn handed_over(&mut self) {
        self.handing_over = false;
    }

    /// The operator applied every update up to `update`.
    pub fn acked(&mut self, update: u64, now: Instant) {
        let mut newest = None;
        while let Some(sent) = self.under_way.pop_front_if(|sent| sent.update <= update) {
            self.under_way_bytes = self.under_way_bytes.saturating_sub(sent.bytes);
            self.delivered = self.delivered.saturating_add(sent.bytes);
            newest = Some(sent);
        }
        let Some(sent) = newest else { return };
        self.delivered_at = Some(now);
        let round_trip = now.saturating_duration_since(sent.sent_at);
        let span = now.saturating_duration_since(sent.delivered_at).max(round_trip).max(Duration::from_micros(100));
        let bytes = u128::from(self.delivered.saturating_sub(sent.delivered));
        let bytes_per_sec = u64::try_from(bytes * 1_000_000 / span.as_micros().max(1)).unwrap_or(u64::MAX);
        self.samples.push_back(Sample { at: now, bytes_per_sec, round_trip });
        if SAMPLES_MAX < self.samples.len() {
            self.samples.pop_front();
        }
    }

    /// Everything under way is void: a new stream begins. The processor stays guarded, whoever asks for it how often.
    pub fn forget(&mut self) {
        self.under_way.clear();
        self.under_way_bytes = 0;
        self.handing_over = false;
    }

    /// Whether the operator has applied everything.
    pub fn is_settled(&self) -> bool {
        self.under_way.is_empty() && !self.handing_over
    }

    /// Bytes worth spending on a refinement: what the line takes in 100 ms.
    pub fn budget(&self, now: Instant) -> usize {
        let bytes = usize::try_from(self.rate(now) / 10).unwrap_or(BUDGET_MAX);
        bytes.clamp(BUDGET_MIN, BUDGET_MAX)
    }

    /// The best rate of the window, bytes per second.
    fn rate(&self, now: Instant) -> u64 {
        self.fresh(now).map(|sample| sample.bytes_per_sec).max().unwrap_or(0)
    }

    fn fresh(&self, now: Instant) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| now.saturating_duration_since(sample.at) <= WINDOW)
    }

    /// Bytes that may be under way and still let another picture start.
    fn limit(&self, now: Instant) -> u64 {
        let round_trip = self.fresh(now).map(|sample| sample.round_trip).min().unwrap_or_default();
        let product = u128::from(self.rate(now)) * round_trip.as_micros() * 5 / 4 / 1_000_000;
        FLOOR_BYTES.max(u64::try_from(product).unwrap_or(u64::MAX))
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn nothing_is_encoded_while_an_update_is_handed_over() {
        let (mut gate, start) = (Gate::new(), now());
        assert_eq!(gate.open(start), Open::Now);
        gate.encoded(1, 100, MS, start);
        assert_eq!(gate.open(start + 50 * MS), Open::Later);
        gate.handed_over();
        assert_eq!(gate.open(start + 50 * MS), Open::Now);
    }

    #[test]
    fn pictures_are_at_least_33_ms_apart_and_slow_ones_twice_their_cost() {
        let (mut gate, start) = (Gate::new(), now());
        gate.worked(3 * MS, start);
        assert_eq!(gate.open(start), Open::At(start + 30 * MS));
        gate.worked(100 * MS, start);
        assert_eq!(gate.open(start), Open::At(start + 100 * MS), "100 ms of work, then 100 ms of rest");
    }

    #[test]
    fn a_large_update_closes_the_gate_until_it_is_acknowledged() {
        let (mut gate, start) = (Gate::new(), now());
        gate.encoded(1, 1_000_000, MS, start);
        gate.handed_over();
        assert_eq!(gate.open(start + 5_000 * MS), Open::Later);
        gate.acked(1, start + 5_000 * MS);
        assert_eq!(gate.open(start + 5_000 * MS), Open::Now);
        assert!(gate.is_settled());
    }

    #[test]
    fn a_fast_line_lets_several_updates_be_under_way_and_a_slow_one_does_not() {
        for (round_trip, pipelined) in [(20 * MS, true), (2_000 * MS, false)] {
            let (mut gate, start) = (Gate::new(), now());
            gate.encoded(1, if pipelined { 400_000 } else { 4_000 }, MS, start);
            gate.handed_over();
            gate.acked(1, start + round_trip);
            gate.encoded(2, 100_000, MS, start + round_trip);
            gate.handed_over();
            let open = gate.open(start + round_trip + 40 * MS);
            assert_eq!(open == Open::Now, pipelined, "{round_trip:?}: {open:?}");
        }
    }

    #[test]
    fn an_old_measurement_is_forgotten() {
        let (mut gate, start) = (Gate::new(), now());
        gate.encoded(1, 4_000_000, MS, start);
        gate.handed_over();
        gate.acked(1, start + 20 * MS);
        assert!(gate.limit(start + 30 * MS) > FLOOR_BYTES);
        assert_eq!(gate.limit(start + WINDOW + 30 * MS), FLOOR_BYTES);
    }

    proptest! {
        #[test]
        fn what_is_under_way_is_what_was_sent_and_not_acknowledged(
            steps in prop::collection::vec((any::<bool>(), 1u64..200_000, 0u64..300), 1..120)
        ) {
            let (mut gate, mut now) = (Gate::new(), now());
            let (mut next, mut acked) = (1u64, 0u64);
            let mut sizes = vec![0u64];
            for (send, bytes, wait_ms) in steps {
                now += Duration::from_millis(wait_ms);
                if send && gate.open(now) == Open::Now {
                    gate.encoded(next, bytes, MS, now);
                    gate.handed_over();
                    sizes.push(bytes);
                    next += 1;
                } else if !send && acked + 1 < next {
                    acked += 1;
                    gate.acked(acked, now);
                }
                let open: u64 = sizes.iter().skip(usize::try_from(acked).unwrap() + 1).sum();
                prop_assert_eq!(gate.under_way_bytes, open);
                prop_assert_eq!(gate.is_settled(), acked + 1 == next);
            }
        }
    }
}
