//! What a process uses: CPU time to the nanosecond where the kernel counts it so, and its own memory.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::{desktop::pause, process::usage};

/// A process that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// What it is called in reports.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Reading {
    /// User and system time of all its threads, seconds.
    pub cpu_secs: f64,
    /// Its share of memory (PSS), KiB.
    pub memory_kib: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

impl Meter {
    /// Reads everything.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn read(&self) -> Result<Reading> {
        let memory_kib = self.memory_kib()?;
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, |all| all.count() as u64);
        Ok(Reading { cpu_secs: self.cpu_secs()?, memory_kib, descriptors })
    }

    /// User and system time of all its threads so far, seconds.
    ///
    /// The scheduler's own count of each thread is exact; threads that have ended are in the coarse count only, so the
    /// larger of both holds.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_secs(&self) -> Result<f64> {
        let coarse = usage(self.pid).with_context(|| self.gone())?.cpu_secs;
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).with_context(|| self.gone())?;
        let mut nanos = 0;
        for thread in threads.flatten() {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            nanos += text.split_whitespace().next().and_then(|on_cpu| on_cpu.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos).as_secs_f64().max(coarse - COARSE_SECS))
    }

    /// Its share of memory (PSS), KiB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory_kib(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).with_context(|| self.gone())?;
        let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok());
        kib.with_context(|| format!("no memory is counted for {}", self.name))
    }

    /// Waits until the process rests: next to no CPU for a while, so that what was before is over.
    ///
    /// # Errors
    /// When the process is gone, or does not rest within 20 s.
    pub async fn rest(&self) -> Result<()> {
        let mut before = self.cpu_secs()?;
        for _ in 0..200 {
            pause(Duration::from_millis(100)).await;
            let now = self.cpu_secs()?;
            if now - before < 0.001 {
                return Ok(());
            }
            before = now;
        }
        bail!("{} does not come to rest", self.name)
    }

    fn gone(&self) -> String {
        format!("{} (process {}) is gone", self.name, self.pid)
    }
}

/// The coarse count is rounded up to one tick, and user and system time each.
const COARSE_SECS: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_of_a_process_are_seen() {
        let own = Meter { name: "own".to_owned(), pid: std::process::id() };
        let before = own.read().unwrap();

        let kept: Vec<u64> = (0..4_000_000).map(std::hint::black_box).collect();
        let after = own.read().unwrap();

        assert!(before.cpu_secs < after.cpu_secs, "{before:?} {after:?}");
        assert!(before.memory_kib + 20_000 < after.memory_kib, "{} values: {before:?} {after:?}", kept.len());
        assert!(3 <= after.descriptors);
    }

    #[test]
    fn a_process_that_is_gone_is_named() {
        let gone = Meter { name: "relay".to_owned(), pid: u32::MAX };

        assert!(gone.read().unwrap_err().to_string().starts_with("relay (process 4294967295) is gone"));
    }
}
