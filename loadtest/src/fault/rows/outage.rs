//! F07: the only manager is gone while sessions run, a relay dies meanwhile, and some sessions end.
//!
//! Nobody tells the manager of those ends but the relays: tools that were closed meanwhile cannot.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use ops::clock::Clock;
use proto::id::SessionId;
use tokio::time::{Instant, sleep_until};

use crate::{
    desktop::pause,
    fault::{
        Call,
        crowd::{Crowd, Load},
        gaps::Gaps,
        invariants::ended_rows,
        relays::Plan,
        score::Outcome,
        trial::{LOOK, PATIENCE, Trial},
    },
    world::World,
};

/// The manager is away this long: longer than relays that say nothing count as living.
const AWAY: Duration = Duration::from_secs(50);
/// The same in the short form: the relays have tried in vain a few times.
const AWAY_QUICK: Duration = Duration::from_secs(5);
/// Share of it after which a relay dies.
const RELAY_DIES_AFTER: f64 = 0.8;
/// What is said this long after a death cannot have passed the dead relay.
const AFTER_DEATH: Duration = Duration::from_millis(200);
/// Relays: one dies, and two are left, so that every session has a spare again.
const RELAYS: usize = 3;
/// Sessions under load, all of them together.
const SESSIONS: usize = 50;
/// The same in the short form.
const SESSIONS_QUICK: usize = 12;

/// A time by the clock of this machine, in milliseconds, from and until.
type Span = (i64, i64);

/// F07: each repeat has servers of its own.
pub(super) async fn outage(call: &Call) -> Result<Outcome> {
    let mut outcome = call.row.outcome();
    let mut gaps = Gaps::new()?;
    for round in 0..call.repeat {
        let one = Call { seed: call.seed.wrapping_add(u64::from(round)), ..call.clone() };
        once(&one, &mut outcome, &mut gaps).await?;
    }
    outcome.gap = Some(gaps.pauses()).filter(|gap| 0 < gap.count);
    outcome.note("the gap is that of the relay's death; a ticket lives an hour, so none runs out here");
    Ok(outcome)
}

async fn once(call: &Call, outcome: &mut Outcome, gaps: &mut Gaps) -> Result<()> {
    let (sessions, away) = if call.is_quick { (SESSIONS_QUICK, AWAY_QUICK) } else { (SESSIONS, AWAY) };
    let leaving = sessions / 3;
    let plan = Plan::of(RELAYS, false, call.seed);
    let mut trial = Trial::start_with(call, plan, Load::of(sessions - leaving)).await?;
    trial.outcome = Outcome { sessions, ..std::mem::take(outcome) };
    let receptions = trial.receptions.clone();
    let maker = || Arc::new(receptions.clone());
    let leaving = Crowd::start(Load::of(leaving), !call.seed, maker()).await?;
    let leavers = receptions.made().sessions.split_off(trial.crowd.len());
    // Their tools are closed while nobody hears them.
    receptions.leave_ends();
    let are_there = trial.relays.wait_for_pairs(2 * sessions, PATIENCE).await?;
    anyhow::ensure!(are_there, "not every session has a spare path");

    let gone_at = Instant::now();
    trial.relays.world_mut().kill_manager().await?;
    go_on(&mut trial, Some(&leaving), Instant::now(), "without a manager").await;
    trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    sleep_until(gone_at + away.mul_f64(RELAY_DIES_AFTER)).await;
    lose_a_relay(&mut trial, &leaving, gaps).await?;

    let ended_from = Clock::system().now_ms();
    Trial::part(&mut trial.outcome, leaving).await;
    sleep_until(gone_at + away).await;
    trial.relays.world_mut().restart_manager().await?;
    let back_at = Instant::now();
    let ended = (ended_from, Clock::system().now_ms());
    check_ends(&mut trial, &leavers, ended).await?;
    let took_secs = back_at.elapsed().as_secs_f64();
    trial.outcome.note(format!("the relays' reports were in the log {took_secs:.0} s after its return"));
    go_on(&mut trial, None, Instant::now(), "after the manager's return").await;

    until_relays_live(trial.relays.world(), RELAYS - 1).await?;
    let newcomer = Crowd::start(Load::of(1), call.seed, maker()).await.context("a session after the return")?;
    Trial::part(&mut trial.outcome, newcomer).await;
    *outcome = trial.finish().await?;
    Ok(())
}

/// The relay dies over which most sessions go, and they go on.
async fn lose_a_relay(trial: &mut Trial, leaving: &Crowd, gaps: &mut Gaps) -> Result<()> {
    let (busiest, place) = trial.busiest()?;
    let marks = [leaving.mark(), trial.crowd.mark()];
    trial.relays.kill(place).await?;
    go_on(trial, Some(leaving), marks[1].at + AFTER_DEATH, "after a relay's death without a manager").await;
    for (crowd, mark) in [leaving, &trial.crowd].into_iter().zip(&marks) {
        crowd.take_gaps(mark, Some(busiest), gaps);
    }
    trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    Ok(())
}

/// What is said from `since` on arrives.
async fn go_on(trial: &mut Trial, leaving: Option<&Crowd>, since: Instant, when: &str) {
    for crowd in leaving.into_iter().chain([&trial.crowd]) {
        let flows = crowd.flows_since(since, PATIENCE).await;
        trial
            .outcome
            .must(flows.is_some(), || format!("not every session went on {when}: {}", crowd.whereabouts(since)));
    }
}

/// Waits until the support log has the end of these sessions, and looks whether it is in time.
async fn check_ends(trial: &mut Trial, sessions: &[SessionId], span: Span) -> Result<()> {
    let rows = ended_rows(trial.relays.world(), sessions).await?;
    for row in rows.iter().filter(|row| sessions.contains(&row.session_id)) {
        let is_right = row.ended_at_ms.is_some_and(|at_ms| span.0 <= at_ms && at_ms <= span.1);
        trial.outcome.must(is_right, || format!("ended between {} and {}, but the log says {row:?}", span.0, span.1));
    }
    Ok(())
}

/// Waits until the manager counts so many living relays.
async fn until_relays_live(world: &World, count: usize) -> Result<()> {
    let (until, count) = (Instant::now() + PATIENCE, u32::try_from(count)?);
    while world.manager_metric("manager_relays_alive").await? + 0.5 < f64::from(count) {
        anyhow::ensure!(Instant::now() < until, "the relays do not come back to the manager");
        pause(LOOK).await;
    }
    Ok(())
}
