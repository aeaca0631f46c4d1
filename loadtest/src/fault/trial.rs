//! Relays and a crowd together: what every row begins with and ends with.
//!
//! After each row these must hold: every reliable message came once, in order and whole; no session ended that nobody
//! ended; every tool hears the end; the relays hold no session, and no more files, threads and memory than before.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use proto::id::RelayId;
use tokio::time::Instant;

use super::{
    Call,
    crowd::{Crowd, Load, Mark, Matchmaker},
    gaps::Gaps,
    relays::{Plan, Relays},
    score::Outcome,
};
use crate::{desktop::pause, process::usage};

/// Whatever must come about does so within this time, also on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Times are not judged, but this long nobody waits.
const QUICK_GAP_MAX_MS: f64 = 30_000.0;
/// How often it is asked whether a relay is as it was.
const LOOK: Duration = Duration::from_millis(100);
/// Growth that counts as none.
const SLACK: f64 = 1.05;
/// Memory that an allocator keeps for the next session, KiB: under load it is a few percent, on a young process more.
const RESIDENT_SLACK_KIB: f64 = 4.0 * 1024.0;
/// Files that a relay may have open for the question itself.
const FILES_SLACK: f64 = 4.0;

/// See the module.
pub struct Trial {
    /// The relays.
    pub relays: Relays,
    /// The sessions.
    pub crowd: Crowd,
    /// What comes of it.
    pub outcome: Outcome,
    /// Pauses and delays so far.
    pub gaps: Gaps,
    spares: bool,
    idle: Vec<Footprint>,
    loaded: Vec<Footprint>,
    is_quick: bool,
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    process_id: u32,
    files: f64,
    threads: f64,
    resident_kib: f64,
}

impl Trial {
    /// Starts relays and the standing load, and waits until every session has a spare path.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(call: &Call, count: usize, gated: bool) -> Result<Self> {
        let load = if call.is_quick { Load::of(QUICK_SESSIONS) } else { Load::STANDING };
        Self::start_with(call, Plan::of(count, gated, call.seed), load).await
    }

    /// As [`Self::start`], with another load.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn start_with(call: &Call, plan: Plan, load: Load) -> Result<Self> {
        let relays = Relays::start(plan).await?;
        let maker = relays.matchmaker();
        Self::start_at(call, relays, load, maker).await
    }

    /// As [`Self::start_with`], with tools that dial past the gates.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn start_past_gates(call: &Call, plan: Plan, load: Load) -> Result<Self> {
        let relays = Relays::start(plan).await?;
        let maker = relays.direct_matchmaker();
        Self::start_at(call, relays, load, maker).await
    }

    async fn start_at(call: &Call, relays: Relays, load: Load, maker: Arc<dyn Matchmaker>) -> Result<Self> {
        let idle = footprints(&relays);
        let crowd = Crowd::start(load, call.seed, maker).await?;
        let mut outcome = call.row.outcome();
        outcome.sessions = load.sessions;
        let (gaps, spares) = (Gaps::new()?, 1 < relays.all().len());
        let mut own = Self { relays, crowd, outcome, gaps, spares, idle, loaded: Vec::new(), is_quick: call.is_quick };
        own.ready().await?;
        own.loaded = footprints(&own.relays);
        Ok(own)
    }

    /// Waits until every session has a path and, when there are more relays, a spare one.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn ready(&mut self) -> Result<()> {
        let pairs = if self.spares { 2 * self.crowd.len() } else { self.crowd.len() };
        let are_there = self.relays.wait_for_pairs(pairs, PATIENCE).await?;
        let (held, missed) = (self.relays.held().await?, &self.outcome.missed);
        anyhow::ensure!(are_there, "not {pairs} pairs within {PATIENCE:?}, but {held:?}; before that: {missed:?}");
        Ok(())
    }

    /// Counts what the relays hold in memory now as what they need: a first flood has shown how much that is, and an
    /// allocator keeps it for the next.
    pub fn rebase(&mut self) {
        self.loaded = footprints(&self.relays);
    }

    /// The relay over which most sessions go, and its place.
    ///
    /// # Errors
    /// When there is no session.
    pub fn busiest(&self) -> Result<(RelayId, usize)> {
        let id = self.crowd.busiest().context("there is no session")?;
        Ok((id, self.relays.place(id)?))
    }

    /// Waits until everything that was said from `after` the mark on arrives again, and takes the gaps since the mark
    /// of the sessions that were at `relay`.
    pub async fn recover(&mut self, mark: &Mark, after: Duration, relay: RelayId) {
        let flows = self.crowd.flows_since(mark.at + after, PATIENCE).await;
        self.outcome.must(flows.is_some(), || {
            let since = mark.at + after;
            format!("not every session went on within {PATIENCE:?}: {}", self.crowd.whereabouts(since))
        });
        self.crowd.take_gaps(mark, Some(relay), &mut self.gaps);
        self.outcome.faults = self.outcome.faults.saturating_add(1);
    }

    /// Judges the gaps: p50 and p99, milliseconds; in the short form only that they end.
    pub fn judge(&mut self, p50_max: f64, p99_max: f64) {
        let gap = self.gaps.pauses();
        if self.is_quick {
            return self.outcome.must(gap.max < QUICK_GAP_MAX_MS, || format!("a gap of {:.0} ms", gap.max));
        }
        self.outcome.must(gap.p50 < p50_max, || format!("gap p50 {:.0} ms is not below {p50_max:.0}", gap.p50));
        self.outcome.must(gap.p99 < p99_max, || format!("gap p99 {:.0} ms is not below {p99_max:.0}", gap.p99));
    }

    /// Stops the load, checks what must hold, and gives the outcome.
    ///
    /// # Errors
    /// When a relay does not answer.
    pub async fn finish(self) -> Result<Outcome> {
        let Self { relays, crowd, mut outcome, gaps, idle, loaded, .. } = self;
        outcome.gap = Some(gaps.pauses()).filter(|gap| 0 < gap.count);
        outcome.delay = Some(gaps.delays()).filter(|gap| 0 < gap.count);
        let sum = crowd.settle(PATIENCE).await;
        outcome.count(sum);
        outcome.must(sum.is_clean(), || format!("messages were lost or doubled: {sum:?}"));
        let cut = crowd.cut();
        outcome.cut = outcome.cut.saturating_add(cut.len());
        outcome.must(cut.is_empty(), || format!("{} sessions ended by themselves: {:?}", cut.len(), cut.first()));
        let left_out = crowd.pictures_left_out();
        if 0 < left_out {
            outcome.note(format!("{left_out} pictures were left out because too much was under way"));
        }
        let seen = crowd.switches_seen();
        if 0 < seen {
            outcome.note(format!("users were told of {seen} changes of relays (longer than 500 ms)"));
        }
        if let Err(error) = crowd.end().await {
            outcome.must(false, || error.to_string());
        }
        check_footprints(&relays, (&idle, &loaded), &mut outcome).await?;
        Ok(outcome)
    }
}

/// Sessions of the short form.
const QUICK_SESSIONS: usize = 12;

fn footprints(relays: &Relays) -> Vec<Footprint> {
    relays.all().iter().filter_map(|relay| footprint(relay.process_id()).ok()).collect()
}

fn footprint(process_id: u32) -> Result<Footprint> {
    let count = |what: &str| -> Result<f64> {
        let entries = std::fs::read_dir(format!("/proc/{process_id}/{what}"))?.count();
        Ok(f64::from(u32::try_from(entries)?))
    };
    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    let resident_kib = usage(process_id)?.resident_kib as f64;
    Ok(Footprint { process_id, files: count("fd")?, threads: count("task")?, resident_kib })
}

/// Waits until the relays hold nothing of the crowd any more.
async fn check_footprints(
    relays: &Relays,
    (idle, loaded): (&[Footprint], &[Footprint]),
    outcome: &mut Outcome,
) -> Result<()> {
    let files_max = idle.iter().map(|own| own.files).fold(0.0, f64::max) * SLACK + FILES_SLACK;
    let threads_max = idle.iter().map(|own| own.threads).fold(0.0, f64::max) * SLACK;
    for relay in relays.all().iter().filter(|relay| relay.process_id() != 0) {
        let until = Instant::now() + PATIENCE;
        let (mut held, mut now) = (relay.sessions_held().await?, footprint(relay.process_id())?);
        while Instant::now() < until && (0.5 < held || files_max < now.files) {
            pause(LOOK).await;
            (held, now) = (relay.sessions_held().await?, footprint(relay.process_id())?);
        }
        outcome.must(held < 0.5, || format!("a relay still holds {held} sessions"));
        outcome
            .must(now.files <= files_max, || format!("a relay has {} files open, {files_max:.0} at most", now.files));
        outcome.must(now.threads <= threads_max, || format!("a relay has {} threads", now.threads));
        if let Some(then) = loaded.iter().find(|then| then.process_id == now.process_id) {
            let most = then.resident_kib * SLACK + RESIDENT_SLACK_KIB;
            outcome.must(now.resident_kib <= most, || {
                format!("a relay has grown from {:.0} to {:.0} KiB", then.resident_kib, now.resident_kib)
            });
        }
    }
    Ok(())
}
