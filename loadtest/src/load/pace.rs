//! The time to the microsecond: tokio's own timers fire by the millisecond, which is longer than what is measured.

use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

const NS_PER_SEC: u64 = 1_000_000_000;

/// Nanoseconds of the monotonic clock, the same for every process of this machine.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (secs, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    secs.saturating_mul(NS_PER_SEC).saturating_add(nanos)
}

/// A timer of the kernel.
#[derive(Debug)]
pub struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    pub fn new() -> Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an owned descriptor stays open and the same for as long as the value that it is moved into.
        #[expect(unsafe_code, reason = "tokio offers no other way that it does not call deprecated")]
        let timer = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
        Ok(Self(timer))
    }

    /// Waits until `due_ns`; returns at once when that is over.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn sleep_until(&self, due_ns: u64) -> Result<()> {
        if due_ns <= now_ns() {
            return Ok(());
        }
        let value =
            Timespec { tv_sec: i64::try_from(due_ns / NS_PER_SEC)?, tv_nsec: i64::try_from(due_ns % NS_PER_SEC)? };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &spec)?;
        while now_ns() < due_ns {
            let mut ready = self.0.readable().await?;
            let mut count = [0; 8];
            // Whether it had fired or not: the loop asks the clock.
            match rustix::io::read(&self.0, &mut count) {
                Ok(_) | Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
