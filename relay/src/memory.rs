//! The memory ceiling: above it the relay begins nothing new, and goes on with what it has.
//!
//! What this process uses is asked of the system, at most every [`LOOK`] and only when somebody comes; never for a
//! frame. Where the system cannot be asked there is no ceiling, and the bounds on connections and queues hold alone.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ops::config::Bytes;
use tokio::time::Instant;

/// How often it is looked at, at most: a flood of handshakes takes longer to fill what is kept free.
const LOOK: Duration = Duration::from_millis(200);
/// The part of the machine's or the control group's memory that the relay fills by itself, in hundredths. The rest is
/// for the kernel's side of the sockets, which counts for the control group too.
const SHARE: u64 = 80;

/// See the module.
pub struct Memory {
    ceiling: u64,
    used: fn() -> Option<u64>,
    looked_at: Mutex<Option<Instant>>,
    is_over: AtomicBool,
}

impl Memory {
    /// With this ceiling, or [`SHARE`] of what there is.
    pub fn new(ceiling: Option<Bytes>) -> Self {
        let ceiling = ceiling.map(Bytes::get).or_else(|| available().map(|bytes| bytes / 100 * SHARE));
        Self::with(ceiling.unwrap_or(u64::MAX), used)
    }

    /// Bytes; the largest number when nothing is known.
    pub const fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// Whether nothing new is to begin.
    pub fn is_over(&self, now: Instant) -> bool {
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if looked_at.is_none_or(|looked_at| LOOK <= now.saturating_duration_since(looked_at)) {
            *looked_at = Some(now);
            self.is_over.store((self.used)().is_some_and(|used| self.ceiling <= used), Ordering::Relaxed);
        }
        drop(looked_at);
        self.is_over.load(Ordering::Relaxed)
    }

    const fn with(ceiling: u64, used: fn() -> Option<u64>) -> Self {
        Self { ceiling, used, looked_at: Mutex::new(None), is_over: AtomicBool::new(false) }
    }
}

/// Bytes of memory that this process fills now.
pub fn used() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    resident(&text, u64::try_from(rustix::param::page_size()).ok()?)
}

/// Reads `/proc/self/statm`: the second number is pages in memory.
fn resident(statm: &str, page_len: u64) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(page_len)
}

/// Bytes that the machine has, or that the control groups of this process allow, whichever is less.
fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = limit_files(&groups).iter().filter_map(|file| group_limit(&fs::read_to_string(file).ok()?)).min();
    machine.into_iter().chain(group).min()
}

/// Reads `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Where the limits of the control groups in `/proc/self/cgroup` stand: those of the group and of all above it.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let inner = Path::new(root).join(group.trim_start_matches('/'));
        files.extend(inner.ancestors().take_while(|folder| folder.starts_with(root)).map(|folder| folder.join(name)));
    }
    files
}

/// Reads the limit of a control group; `max` and the number that older kernels say for it are none.
fn group_limit(text: &str) -> Option<u64> {
    const NONE: u64 = 1 << 62;
    text.trim().parse().ok().filter(|limit| *limit < NONE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_rarely_and_both_ways() {
        static USED: AtomicU64 = AtomicU64::new(100);
        static LOOKS: AtomicU64 = AtomicU64::new(0);
        let memory = Memory::with(200, || {
            LOOKS.fetch_add(1, Ordering::Relaxed);
            Some(USED.load(Ordering::Relaxed))
        });
        let begun = Instant::now();

        assert!((0..1_000).all(|_| !memory.is_over(begun)));
        USED.store(200, Ordering::Relaxed);
        assert!(!memory.is_over(begun + LOOK / 2), "not looked at yet");
        assert!(memory.is_over(begun + LOOK));
        USED.store(199, Ordering::Relaxed);
        assert!(!memory.is_over(begun + LOOK * 2), "it recovers by itself");

        assert_eq!(LOOKS.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn without_an_answer_of_the_system_there_is_no_ceiling() {
        let memory = Memory::with(1, || None);

        assert!(!memory.is_over(Instant::now()));
    }

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(resident("765 423 395 5 0 123 0\n", 4096), Some(423 * 4096));
        assert_eq!(total("MemTotal:       24684084 kB\nMemFree:  1 kB\n"), Some(24_684_084 * 1024));
        assert_eq!((group_limit("max\n"), group_limit("9223372036854771712\n")), (None, None));
        assert_eq!(group_limit("268435456\n"), Some(268_435_456));
    }

    #[test]
    fn every_control_group_above_this_one_counts() {
        let files = limit_files("9:name=systemd:/\n4:memory:/box\n0::/system.slice/relay.service\n");

        let expected = [
            "/sys/fs/cgroup/memory/box/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/system.slice/relay.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(files, expected.map(PathBuf::from));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_fills_some_of_what_there_is() {
        assert!(used().unwrap() < available().unwrap());
        assert!(Memory::new(None).ceiling() < available().unwrap());
    }
}
