//! What time it is, as a value that tests can move.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Tells the time in UTC milliseconds since 1970. Clones of a manual clock move together.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved by [`Clock::advance`].
    pub fn manual(start_ms: i64) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start_ms))))
    }

    /// UTC milliseconds since 1970; 0 when the machine believes in an earlier year.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis),
            Source::Manual(now_ms) => now_ms.load(Ordering::SeqCst),
        }
    }

    /// Moves a manual clock forward. The machine's clock does not listen.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System => {}
            Source::Manual(now_ms) => {
                now_ms.fetch_add(millis(by), Ordering::SeqCst);
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = Clock::manual(1_000);
        let other = clock.clone();

        clock.advance(Duration::from_millis(250));

        assert_eq!(other.now_ms(), 1_250);
    }

    #[test]
    fn the_system_clock_is_after_2020_and_does_not_jump_when_told_to() {
        let clock = Clock::system();
        let before = clock.now_ms();

        clock.advance(Duration::from_hours(24));

        assert!(1_577_836_800_000 < before);
        assert!(clock.now_ms() < before + 3_600_000);
    }
}
