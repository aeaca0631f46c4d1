//! What servers hold of files, threads and memory: before the load, under it, and when it is gone.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use tokio::time::Instant;

use super::relays::Relays;
use crate::{desktop::pause, process::usage};

/// How often it is asked whether a server is as it was.
const LOOK: Duration = Duration::from_millis(100);
/// Growth that counts as none.
const SLACK: f64 = 1.05;
/// Memory that counts as none, KiB: what an allocator keeps of queues that a bad network filled, and of the first sessions
/// by another transport. Source: relays of 16 MiB grew by up to 5.5 in F13q and F14; 5 % would be 1.
const RELAY_SLACK_KIB: f64 = 8.0 * 1024.0;
/// The same for a manager, whose database connections come when several ask at once: five at most, each of which fills a
/// cache of 2 MiB. Source: the default of its `cache_size`; 6.5 MiB were measured after a dozen sessions, 5 % would be 1.
const MANAGER_SLACK_KIB: f64 = 4.0 * 1024.0 + 5.0 * 2.0 * 1024.0;
/// Files that a server may have open beside: the connection of the question itself, calls between servers.
const RELAY_FILES_SLACK: f64 = 4.0;
/// The same for a manager: three files for each connection to its database.
const MANAGER_FILES_SLACK: f64 = RELAY_FILES_SLACK + 5.0 * 3.0;
/// Threads that count as none: each connection to a manager's database has one.
const MANAGER_THREADS_SLACK: f64 = 5.0;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    files: f64,
    threads: f64,
    own_kib: f64,
}

/// What the servers hold at most when nobody is there any more. All relays have one bound, because sessions move from
/// each to each; the manager has its own.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    most: BTreeMap<Kind, Footprint>,
}

/// Servers that are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Manager,
    Relay,
}

impl Kind {
    /// Growth that counts as none, beside [`SLACK`]: files, threads, KiB.
    const fn slack(self) -> [f64; 3] {
        match self {
            Self::Manager => [MANAGER_FILES_SLACK, MANAGER_THREADS_SLACK, MANAGER_SLACK_KIB],
            Self::Relay => [RELAY_FILES_SLACK, 0.0, RELAY_SLACK_KIB],
        }
    }
}

impl Baseline {
    /// Takes files and threads as they are before the load.
    ///
    /// # Errors
    /// When a server is gone.
    pub fn idle(relays: &Relays) -> Result<Self> {
        let mut own = Self::default();
        own.take(relays, |most, now| {
            most.files = most.files.max(now.files);
            most.threads = most.threads.max(now.threads);
        })?;
        Ok(own)
    }

    /// Takes memory as it is under the load.
    ///
    /// # Errors
    /// When a server is gone.
    pub fn under_load(&mut self, relays: &Relays) -> Result<()> {
        self.take(relays, |most, now| most.own_kib = most.own_kib.max(now.own_kib))
    }

    fn take(&mut self, relays: &Relays, add: impl Fn(&mut Footprint, &Footprint)) -> Result<()> {
        for (kind, _name, id) in servers(relays) {
            let now = footprint(id)?;
            let most = self.most.entry(kind).or_insert(Footprint { files: 0.0, threads: 0.0, own_kib: 0.0 });
            add(most, &now);
        }
        Ok(())
    }

    /// Waits until the relays hold no session and every server holds no more than this; what does not come true.
    ///
    /// # Errors
    /// When a server is gone.
    pub async fn check(&self, relays: &Relays, patience: Duration) -> Result<(String, Vec<String>)> {
        let until = Instant::now() + patience;
        loop {
            let (seen, broken) = self.compare(relays).await?;
            if broken.is_empty() || until <= Instant::now() {
                return Ok((seen, broken));
            }
            pause(LOOK).await;
        }
    }

    async fn compare(&self, relays: &Relays) -> Result<(String, Vec<String>)> {
        let (mut seen, mut broken) = (Vec::new(), Vec::new());
        for relay in relays.all().iter().filter(|relay| relay.process_id() != 0) {
            let held = relay.sessions_held().await?;
            broken.extend((0.5 < held).then(|| format!("{} still holds {held} sessions", relay.name())));
        }
        for (kind, name, id) in servers(relays) {
            let (now, Some(most)) = (footprint(id)?, self.most.get(&kind)) else { continue };
            seen.push(format!("{name} {} files {} threads {:.0} KiB", now.files, now.threads, now.own_kib));
            let [files, threads, own_kib] = kind.slack();
            for (what, now, most) in [
                ("files", now.files, most.files.mul_add(SLACK, files)),
                ("threads", now.threads, most.threads.mul_add(SLACK, threads)),
                ("KiB", now.own_kib, most.own_kib.mul_add(SLACK, own_kib)),
            ] {
                broken.extend((most < now).then(|| format!("{name} has {now:.0} {what}, {most:.0} at most")));
            }
        }
        Ok((seen.join(", "), broken))
    }
}

/// The servers that run.
fn servers(relays: &Relays) -> Vec<(Kind, String, u32)> {
    let kind = |name: &str| if name.starts_with("manager") { Kind::Manager } else { Kind::Relay };
    relays.servers().into_iter().map(|(name, id)| (kind(&name), name, id)).collect()
}

fn footprint(process_id: u32) -> Result<Footprint> {
    let count = |what: &str| -> Result<f64> {
        let entries = std::fs::read_dir(format!("/proc/{process_id}/{what}"))?.count();
        Ok(f64::from(u32::try_from(entries)?))
    };
    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    let own_kib = usage(process_id)?.own_kib as f64;
    Ok(Footprint { files: count("fd")?, threads: count("task")?, own_kib })
}
