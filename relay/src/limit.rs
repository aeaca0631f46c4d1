//! Limits of rate: a token bucket. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens that come back at a steady rate, up to a burst; may be overdrawn by what must not wait.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Tokens a second.
    rate: u64,
    burst: u64,
    /// Negative when overdrawn.
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: u64, burst: u64, now: Instant) -> Self {
        Self { rate, burst, tokens: as_float(burst), filled_at: now }
    }

    /// Whether anything may be taken now.
    pub fn is_open(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = passed.mul_add(as_float(self.rate), self.tokens).min(as_float(self.burst));
        self.filled_at = now;
        0.0 < self.tokens
    }

    /// Takes `count` tokens, more than there are if need be.
    pub fn take(&mut self, count: u64) {
        self.tokens -= as_float(count);
    }

    /// When [`Self::is_open`] will be true again, if nothing more is taken. A bucket without rate opens in an hour.
    pub fn opens_at(&self) -> Instant {
        let wait = (-self.tokens).max(0.0) / as_float(self.rate.max(1));
        // One millisecond more, so that rounding never wakes the writer too early.
        let wait = Duration::try_from_secs_f64(wait.min(3600.0)).unwrap_or_default();
        self.filled_at + wait + Duration::from_millis(1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates and bursts are far below 2^52 bytes")]
const fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_lets_its_rate_through_and_no_more() {
        let begun = Instant::now();
        let mut bucket = Bucket::new(1_000, 500, begun);

        let mut taken = 0u64;
        for millisecond in 0..10_000u64 {
            let now = begun + Duration::from_millis(millisecond);
            while bucket.is_open(now) {
                bucket.take(100);
                taken += 100;
            }
        }

        assert!((10_400..=10_700).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_not_wait_overdraws_and_the_rest_waits_longer() {
        let begun = Instant::now();
        let mut bucket = Bucket::new(1_000, 100, begun);

        bucket.take(2_100);

        assert!(!bucket.is_open(begun));
        assert!(bucket.opens_at() - begun >= Duration::from_secs(2));
        assert!(bucket.is_open(bucket.opens_at()));
    }
}
