//! A manager, relays and a crowd together: what every row begins with and ends with.
//!
//! The sessions are made at the manager, as both tools make them, and their ends are told there. After each row every
//! one of [`super::invariants`] must hold.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use link::{BoxFuture, sealed::Sealed};
use proto::id::RelayId;
use tokio::time::Instant;

use super::{
    Call, bounds,
    crowd::{Crowd, Load, Mark, Matchmaker},
    footprint::Baseline,
    gaps::Gaps,
    invariants::{self, Invariant},
    receptions::{Made, Receptions},
    relays::{Plan, Relays},
    score::Outcome,
};

/// Whatever must come about does so within this time, also on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// A session on which nothing said within this time has come is silent.
const RECENT: Duration = Duration::from_secs(5);
/// Times are not judged, but this long nobody waits.
const QUICK_GAP_MAX_MS: f64 = 30_000.0;
/// How often a condition on the servers is looked at.
pub const LOOK: Duration = Duration::from_millis(100);
/// Sessions of a load that the manager makes, the first ones.
const RECEPTIONS_MAX: usize = 50;

/// See the module.
pub struct Trial {
    /// The relays, and their manager.
    pub relays: Relays,
    /// Makes sessions at the manager.
    pub receptions: Receptions,
    /// The sessions.
    pub crowd: Crowd,
    /// What comes of it.
    pub outcome: Outcome,
    /// Pauses and delays so far.
    pub gaps: Gaps,
    /// What others have made at the managers, by their company; they are through with it before [`Self::finish`].
    pub others: Vec<(String, Made)>,
    spares: bool,
    baseline: Baseline,
    is_quick: bool,
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
        let (receptions, tickets) = (relays.receptions().await?, relays.matchmaker());
        Self::start_at(call, relays, load, Mixed { receptions, tickets }).await
    }

    /// As [`Self::start_with`], with tools that dial past the gates.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn start_past_gates(call: &Call, plan: Plan, load: Load) -> Result<Self> {
        let relays = Relays::start(plan).await?;
        let (receptions, tickets) = (relays.direct_receptions().await?, relays.direct_matchmaker());
        Self::start_at(call, relays, load, Mixed { receptions, tickets }).await
    }

    async fn start_at(call: &Call, relays: Relays, load: Load, maker: Mixed) -> Result<Self> {
        let baseline = Baseline::idle(&relays)?;
        let receptions = maker.receptions.clone();
        let crowd = Crowd::start(load, call.seed, Arc::new(maker)).await?;
        let mut outcome = call.row.outcome();
        outcome.sessions = load.sessions;
        let (gaps, spares) = (Gaps::new()?, 1 < relays.all().len());
        let is_quick = call.is_quick;
        let others = Vec::new();
        let mut own = Self { relays, receptions, crowd, outcome, gaps, others, spares, baseline, is_quick };
        own.ready().await?;
        // As at the end, so that what the question itself costs is no growth.
        bounds::show_bad_tickets(&own.relays).await?;
        own.rebase()?;
        Ok(own)
    }

    /// Waits until every session has a path and, when there are more relays, a spare one.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn ready(&mut self) -> Result<()> {
        let pairs = if self.spares { 2 * self.crowd.len() } else { self.crowd.len() };
        let are_there = self.relays.wait_for_pairs(pairs, PATIENCE).await?;
        if are_there {
            return Ok(());
        }
        let (held, missed) = (self.relays.held().await?, &self.outcome.missed);
        let now = Instant::now();
        let whereabouts = self.crowd.whereabouts(now.checked_sub(RECENT).unwrap_or(now));
        anyhow::bail!("not {pairs} pairs within {PATIENCE:?}, but {held:?}; {whereabouts}; before that: {missed:?}")
    }

    /// Counts what the servers hold in memory now as what they need: a first flood has shown how much that is, and an
    /// allocator keeps it for the next.
    ///
    /// # Errors
    /// When a server is gone.
    pub fn rebase(&mut self) -> Result<()> {
        self.baseline.under_load(&self.relays)
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

    /// Adds up a crowd that says nothing more, and ends its sessions as their operators do.
    pub async fn part(outcome: &mut Outcome, crowd: Crowd) {
        let sum = crowd.settle(PATIENCE).await;
        outcome.count(sum);
        let mut broken = Vec::new();
        if !sum.is_clean() {
            broken.push(format!("messages were lost or doubled: {sum:?}"));
        }
        let cut = crowd.cut();
        outcome.cut = outcome.cut.saturating_add(cut.len());
        if let Some(first) = cut.first() {
            broken.push(format!("{} sessions ended by themselves: {first:?}", cut.len()));
        }
        let seen = format!("{} messages of {} sessions", sum.said, crowd.len());
        if let Err(error) = crowd.end().await {
            broken.push(error.to_string());
        }
        outcome.find(Invariant::Delivery, seen, broken);
    }

    /// Stops the load, checks what must hold, and gives the outcome.
    ///
    /// # Errors
    /// When a server cannot be asked.
    pub async fn finish(self) -> Result<Outcome> {
        let Self { relays, receptions, crowd, mut outcome, gaps, mut others, baseline, .. } = self;
        outcome.gap = Some(gaps.pauses()).filter(|gap| 0 < gap.count);
        outcome.delay = Some(gaps.delays()).filter(|gap| 0 < gap.count);
        let left_out = crowd.pictures_left_out();
        if 0 < left_out {
            outcome.note(format!("{left_out} pictures were left out because too much was under way"));
        }
        let seen = crowd.switches_seen();
        if 0 < seen {
            outcome.note(format!("users were told of {seen} changes of relays (longer than 500 ms)"));
        }
        invariants::check_running(&relays, &mut outcome).await?;
        Self::part(&mut outcome, crowd).await;
        receptions.tell_ends().await?;
        let world = relays.world();
        others.insert(0, (world.account().company.clone(), receptions.made()));
        for (company, made) in &others {
            invariants::check_records(world, company, made, &mut outcome).await?;
        }
        invariants::check_audit(world, &mut outcome).await;
        let (seen, broken) = baseline.check(&relays, PATIENCE).await?;
        outcome.find(Invariant::Footprint, seen, broken);
        Ok(outcome)
    }
}

/// Sessions of the short form.
const QUICK_SESSIONS: usize = 12;

/// Makes the first sessions at the manager and the others with tickets of our own: numbers are issued one after another,
/// and one operator gets no more than 60 an hour.
struct Mixed {
    receptions: Receptions,
    tickets: Arc<dyn Matchmaker>,
}

impl Matchmaker for Mixed {
    fn make(&self, index: usize) -> BoxFuture<Result<[Sealed; 2]>> {
        if index < RECEPTIONS_MAX { self.receptions.make(index) } else { self.tickets.make(index) }
    }
}
