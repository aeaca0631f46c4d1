//! F16, F18 and F19: clocks that differ, certificates that are renewed, and a machine that is busy.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::weather::ways_of;
use crate::{
    desktop::pause,
    fault::{
        Call,
        crowd::Load,
        relays::Plan,
        score::Outcome,
        trial::{PATIENCE, Trial},
    },
    process::Process,
};

/// By how many seconds the clock of who signs tickets is ahead of the relays', and whether they take the ticket: it
/// begins now, lives an hour, and two minutes count as none.
const OFFSETS: [(i64, bool); 8] = [
    (60, true),
    (-60, true),
    (110, true),
    (600, false),
    (-600, true),
    (-3_660, true),
    (-3_800, false),
    (86_400, false),
];
/// Sessions under load meanwhile.
const SESSIONS: usize = 10;
/// A renewed certificate is taken up within a minute; a little more for a machine that is busy.
const RENEWAL_MAX: Duration = Duration::from_secs(80);
/// Pause between two new sessions meanwhile.
const NEWCOMER_EVERY: Duration = Duration::from_millis(250);
/// Programs that take all the processor they get.
const HOGS: usize = 4;
/// What input may take on a busy machine, milliseconds.
const BUSY_MAX_MS: f64 = 150.0;
/// How long a busy machine is measured.
const BUSY: Duration = Duration::from_secs(10);

/// F16: tickets of a clock that is ahead or behind; running sessions notice nothing.
pub(super) async fn clocks(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start_with(call, Plan::of(2, false, call.seed), Load::of(SESSIONS)).await?;
    for _ in 0..call.repeat {
        for (index, (ahead_secs, is_good)) in OFFSETS.into_iter().enumerate() {
            let met = trial.relays.matchmaker_ahead(ahead_secs).make(index).await.is_ok();
            trial.outcome.faults = trial.outcome.faults.saturating_add(1);
            trial.outcome.bad_inputs = trial.outcome.bad_inputs.saturating_add(u64::from(!is_good));
            trial.outcome.bad_accepted = trial.outcome.bad_accepted.saturating_add(u64::from(!is_good && met));
            trial.outcome.must(met == is_good, || {
                format!("signer {ahead_secs} s ahead: admitted {met}, and it should be {is_good}")
            });
        }
    }
    trial.outcome.note("the relays' clock stands, the signer's is moved: a relay that is off sees the same");
    trial.outcome.note("not here: a tool's own clock (the link reads none), the step of a one-time password (manager)");
    trial.finish().await
}

/// F18: a relay's certificate and key are replaced while sessions begin all the time.
pub(super) async fn certificates(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start_with(call, Plan::of(1, false, call.seed), Load::of(SESSIONS)).await?;
    let swaps = if call.is_quick { 0 } else { call.repeat };
    let (mut begun, mut failed) = (0u32, 0u32);
    for _ in 0..swaps {
        let earlier = trial.relays.matchmaker();
        trial.relays.renew_certificate(0).await?;
        let renewed = trial.relays.matchmaker();
        let until = Instant::now() + RENEWAL_MAX;
        let mut is_taken_up = false;
        let mut index = 0;
        while !is_taken_up && Instant::now() < until {
            // Tickets that name the earlier key are good before and after.
            begun += 1;
            failed += u32::from(earlier.make(index).await.is_err());
            is_taken_up = index % 8 == 0 && renewed.make(index).await.is_ok();
            index += 1;
            sleep(NEWCOMER_EVERY).await;
        }
        trial.outcome.must(is_taken_up, || format!("the new certificate is not served after {RENEWAL_MAX:?}"));
        begun += 1;
        failed += u32::from(earlier.make(index).await.is_err());
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    trial.outcome.note(format!("{begun} sessions with tickets of the earlier key began meanwhile, {failed} failed"));
    trial.outcome.note("an expired certificate is no fault: tools know a relay by its key");
    trial.outcome.must(failed == 0, || format!("{failed} of {begun} sessions did not begin"));
    trial.finish().await
}

/// F19: hogs beside the relays, then half of one processor for both relays together.
pub(super) async fn busy(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start_with(call, Plan::of(2, false, call.seed), Load::of(SESSIONS)).await?;
    let span = if call.is_quick { BUSY / 5 } else { BUSY };
    for _ in 0..call.repeat {
        let calm = ways_of(&trial.crowd, span).await?;
        let mut hogs = Vec::new();
        for index in 0..HOGS {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]);
            hogs.push(Process::start(&format!("hog-{index}"), command, trial.relays.folder())?);
        }
        let beside = ways_of(&trial.crowd, span).await?;
        drop(hogs);
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
        let mut readings = vec![("beside four hogs", beside)];
        match Quota::half(trial.relays.all().iter().map(crate::fault::relays::Relay::process_id)) {
            Ok(quota) => {
                readings.push(("with half a processor", ways_of(&trial.crowd, span).await?));
                drop(quota);
                trial.outcome.faults = trial.outcome.faults.saturating_add(1);
            }
            Err(error) => trial.outcome.note(format!("no quota: {error:#}")),
        }
        trial.outcome.note(format!("input p99 {calm:.1} ms alone"));
        for (when, p99) in readings {
            trial.outcome.note(format!("input p99 {p99:.1} ms {when}"));
            let is_fine = call.is_quick || p99 < BUSY_MAX_MS;
            trial.outcome.must(is_fine, || format!("input p99 {p99:.1} ms {when}"));
        }
        pause(Duration::from_millis(100)).await;
    }
    let flows = trial.crowd.flows_since(Instant::now(), PATIENCE).await;
    trial.outcome.must(flows.is_some(), || "not every session went on".to_owned());
    trial.finish().await
}

/// A control group with half of one processor. Dropping it puts its processes back.
struct Quota {
    folder: std::path::PathBuf,
    home: std::path::PathBuf,
}

impl Quota {
    fn half(processes: impl Iterator<Item = u32>) -> Result<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup")?;
        let group = own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == "cpu").then(|| path.trim_start_matches('/').to_owned())
        });
        let home = std::path::Path::new("/sys/fs/cgroup/cpu").join(group.context("no control groups of version 1")?);
        let folder = home.join(format!("uketsuke-fault-{}", std::process::id()));
        std::fs::create_dir(&folder).context("this user may make no control group")?;
        let quota = Self { folder, home };
        std::fs::write(quota.folder.join("cpu.cfs_period_us"), "20000")?;
        std::fs::write(quota.folder.join("cpu.cfs_quota_us"), "10000")?;
        for process in processes.filter(|id| *id != 0) {
            std::fs::write(quota.folder.join("cgroup.procs"), process.to_string())?;
        }
        Ok(quota)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let held = std::fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for process in held.lines() {
            // One that has ended needs no place.
            drop(std::fs::write(self.home.join("cgroup.procs"), process));
        }
        drop(std::fs::remove_dir(&self.folder));
    }
}
