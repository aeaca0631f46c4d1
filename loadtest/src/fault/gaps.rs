//! Percentiles of pauses and delays.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest pause that is told apart; a longer one counts as this long.
const LONGEST: Duration = Duration::from_mins(10);

/// Pauses and delays, in microseconds with three digits.
#[derive(Debug)]
pub struct Gaps {
    pauses: Histogram<u64>,
    delays: Histogram<u64>,
}

/// What is told of a histogram, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Readings.
    pub count: u64,
    /// Half are no longer.
    pub p50: f64,
    /// 99 of 100 are no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Gaps {
    /// No readings yet.
    ///
    /// # Errors
    /// Never with these bounds.
    pub fn new() -> anyhow::Result<Self> {
        let most = u64::try_from(LONGEST.as_micros())?;
        Ok(Self { pauses: Histogram::new_with_bounds(1, most, 3)?, delays: Histogram::new_with_bounds(1, most, 3)? })
    }

    /// Adds a pause and a delay.
    pub fn add(&mut self, pause: Duration, delay: Duration) {
        self.pauses.saturating_record(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX));
        self.add_delay(delay);
    }

    /// Adds a delay.
    pub fn add_delay(&mut self, delay: Duration) {
        self.delays.saturating_record(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
    }

    /// Percentiles of the pauses.
    pub fn pauses(&self) -> Percentiles {
        percentiles(&self.pauses)
    }

    /// Percentiles of the delays.
    pub fn delays(&self) -> Percentiles {
        percentiles(&self.delays)
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of minutes")]
    let millis = |micros: u64| micros as f64 / 1_000.0;
    let at = |share| millis(histogram.value_at_quantile(share));
    Percentiles { count: histogram.len(), p50: at(0.5), p99: at(0.99), max: millis(histogram.max()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut gaps = Gaps::new().unwrap();
        for millis in 1..=100 {
            gaps.add(Duration::from_millis(millis), Duration::ZERO);
        }
        let pauses = gaps.pauses();
        assert_eq!(pauses.count, 100);
        assert!((pauses.p50 - 50.0).abs() < 0.2 && (pauses.p99 - 99.0).abs() < 0.2, "{pauses:?}");
        assert!((pauses.max - 100.0).abs() < 0.2);
    }

    #[test]
    fn a_pause_without_end_counts_as_the_longest() {
        let mut gaps = Gaps::new().unwrap();
        gaps.add(Duration::from_hours(9), Duration::ZERO);
        assert!(500_000.0 < gaps.pauses().max);
    }
}
