//! File descriptors: as many as the system gives, and some that stay free for what is not a tool.

use tracing::{info, warn};

use crate::config::Limits;

/// Descriptors that no tool gets: for calls of the manager, for metrics and health, and for the threads' own.
const RESERVE: usize = 64;

/// What a thread holds: its events, its wake-ups and its signals.
const PER_THREAD: usize = 3;

/// Raises the limit of this process to what it may have.
#[cfg(unix)]
pub(crate) fn raise() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limits = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limits.maximum, maximum: limits.maximum };
    if limits.current != limits.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        warn!(event = "descriptors.kept", error = %error, "The limit of file descriptors could not be raised");
    }
}

/// How many this process may have; the largest number where the system does not say.
#[cfg(unix)]
pub(crate) fn limit() -> usize {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limits.current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Systems that count something else.
#[cfg(not(unix))]
pub(crate) const fn raise() {}

/// See the other one.
#[cfg(not(unix))]
pub(crate) const fn limit() -> usize {
    usize::MAX
}

/// Connections over TCP that fit into `limit` descriptors beside those that are open already and those of `threads` to
/// come, two kinds of as many.
pub(crate) fn room(limit: usize, threads: usize) -> usize {
    // Where the open ones cannot be counted, the reserve is for them too.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let own = threads.saturating_mul(2 * PER_THREAD).saturating_add(open).saturating_add(RESERVE);
    limit.saturating_sub(own)
}

/// Says what fits, and that something is to be done when the configuration wants more.
pub(crate) fn say(limit: usize, room: usize, limits: &Limits) {
    let wanted = limits.connections.saturating_add(limits.handshakes);
    if room < wanted {
        warn!(
            event = "relay.descriptors",
            count = room,
            "{limit} file descriptors are room for {room} connections, but limits.connections and limits.handshakes \
             allow {wanted}: raise LimitNOFILE (systemd) or ulimit -Hn to {}, or lower the two",
            wanted.saturating_add(2 * RESERVE)
        );
    } else {
        info!(
            event = "relay.descriptors",
            count = room,
            "{limit} file descriptors are enough for {wanted} connections"
        );
    }
}
