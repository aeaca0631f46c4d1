//! F07: the only manager is gone while sessions run, a relay dies meanwhile, and some sessions end.
//!
//! Nobody tells the manager of those ends but the relays: tools that were closed meanwhile cannot.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use ops::clock::Clock;
use proto::{
    api::session::{SessionBody, SessionList, SessionState},
    close::CloseReason,
    id::SessionId,
};
use tokio::time::{Instant, sleep_until};

use crate::{
    desktop::pause,
    fault::{
        Call,
        crowd::{Crowd, Load},
        gaps::Gaps,
        receptions::Receptions,
        relays::WIDE,
        score::Outcome,
        trial::PATIENCE,
    },
    world::{World, metric},
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
const RELAYS: u32 = 3;
/// Sessions under load, all of them together.
const SESSIONS: usize = 50;
/// The same in the short form.
const SESSIONS_QUICK: usize = 12;
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A time by the clock of this machine, in milliseconds, from and until.
type Span = (i64, i64);

/// F07: each repeat has servers of its own.
pub(super) async fn outage(call: &Call) -> Result<Outcome> {
    let mut outcome = call.row.outcome();
    let mut gaps = Gaps::new()?;
    for round in 0..call.repeat {
        let one = Call { seed: call.seed.wrapping_add(u64::from(round)), ..*call };
        once(&one, &mut outcome, &mut gaps).await?;
    }
    outcome.gap = Some(gaps.pauses()).filter(|gap| 0 < gap.count);
    outcome.note("the gap is that of the relay's death; a ticket lives an hour, so none runs out here");
    Ok(outcome)
}

async fn once(call: &Call, outcome: &mut Outcome, gaps: &mut Gaps) -> Result<()> {
    let (sessions, away) = if call.is_quick { (SESSIONS_QUICK, AWAY_QUICK) } else { (SESSIONS, AWAY) };
    outcome.sessions = sessions;
    let mut world = World::with_manager().await?;
    for _ in 0..RELAYS {
        world.add_relay_with(&format!("[limits]\n{WIDE}")).await?;
    }
    let receptions = Receptions::open(world.account()).await?;
    let maker = || Arc::new(receptions.clone());
    let leaving = Crowd::start(Load::of(sessions / 3), call.seed, maker()).await?;
    let leavers = receptions.made().sessions;
    let staying = Crowd::start(Load::of(sessions - leaving.len()), !call.seed, maker()).await?;
    until_relays_hold(&world, 2 * sessions).await?;

    let gone_at = Instant::now();
    world.kill_manager().await?;
    go_on(outcome, [&leaving, &staying], Instant::now(), "without a manager").await;
    outcome.faults = outcome.faults.saturating_add(1);
    sleep_until(gone_at + away.mul_f64(RELAY_DIES_AFTER)).await;
    lose_a_relay(&mut world, &receptions, [&leaving, &staying], (outcome, gaps)).await?;

    let ended_from = Clock::system().now_ms();
    finish(outcome, leaving).await;
    sleep_until(gone_at + away).await;
    world.restart_manager().await?;
    let back_at = Instant::now();
    let ended = (ended_from, Clock::system().now_ms());
    check_log(&world, outcome, &leavers, ended).await?;
    outcome
        .note(format!("the relays' reports were in the log {:.0} s after its return", back_at.elapsed().as_secs_f64()));
    go_on(outcome, [&staying], Instant::now(), "after the manager's return").await;

    until_relays_live(&world, RELAYS - 1).await?;
    let newcomer = Crowd::start(Load::of(1), call.seed, maker()).await.context("a session after the return")?;
    let ended_from = Clock::system().now_ms();
    finish(outcome, newcomer).await;
    finish(outcome, staying).await;
    let rest = receptions.made().sessions.split_off(leavers.len());
    check_log(&world, outcome, &rest, (ended_from, i64::MAX)).await?;
    check_whole(&world, outcome, &receptions.made().sessions).await?;
    until_relays_hold(&world, 0).await?;
    world.stop().await
}

/// The relay dies over which most sessions go, and they go on.
async fn lose_a_relay(
    world: &mut World,
    receptions: &Receptions,
    crowds: [&Crowd; 2],
    (outcome, gaps): (&mut Outcome, &mut Gaps),
) -> Result<()> {
    let busiest = crowds[1].busiest().context("there is no session")?;
    let known = receptions.made().relays;
    let known = known.iter().find(|relay| relay.relay_id == busiest).context("a relay that no ticket names")?;
    let place = world.relays().iter().position(|relay| relay.address.to_string() == known.address);
    let place = place.context("a session is at a relay that nobody started")?;
    let marks = crowds.map(Crowd::mark);
    world.kill_relay(place);
    anyhow::ensure!(world.relay_left(place, PATIENCE).await?, "the relay did not die");
    go_on(outcome, crowds, marks[1].at + AFTER_DEATH, "after a relay's death without a manager").await;
    for (crowd, mark) in crowds.iter().zip(&marks) {
        crowd.take_gaps(mark, Some(busiest), gaps);
    }
    outcome.faults = outcome.faults.saturating_add(1);
    Ok(())
}

/// What is said from `since` on arrives.
async fn go_on<const N: usize>(outcome: &mut Outcome, crowds: [&Crowd; N], since: Instant, when: &str) {
    for crowd in crowds {
        let flows = crowd.flows_since(since, PATIENCE).await;
        outcome.must(flows.is_some(), || format!("not every session went on {when}: {}", crowd.whereabouts(since)));
    }
}

/// Says nothing more, adds up, and ends every session as its operator does.
async fn finish(outcome: &mut Outcome, crowd: Crowd) {
    let sum = crowd.settle(PATIENCE).await;
    outcome.count(sum);
    outcome.must(sum.is_clean(), || format!("messages were lost or doubled: {sum:?}"));
    let cut = crowd.cut();
    outcome.cut = outcome.cut.saturating_add(cut.len());
    outcome.must(cut.is_empty(), || format!("{} sessions ended by themselves: {:?}", cut.len(), cut.first()));
    if let Err(error) = crowd.end().await {
        outcome.must(false, || error.to_string());
    }
}

/// Waits until the support log has the end of these sessions, and looks whether it is the right one.
async fn check_log(world: &World, outcome: &mut Outcome, sessions: &[SessionId], span: Span) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut rows = support_log(world).await?;
    let lacks = |rows: &[SessionBody]| {
        let ended = rows.iter().filter(|row| row.ended_at_ms.is_some() && sessions.contains(&row.session_id));
        ended.count() < sessions.len()
    };
    while lacks(&rows) && Instant::now() < until {
        pause(LOOK).await;
        rows = support_log(world).await?;
    }
    for row in rows.iter().filter(|row| sessions.contains(&row.session_id)) {
        let is_right = row.state == SessionState::Ended
            && row.end_reason == Some(CloseReason::OperatorEnded)
            && row.connected_at_ms.is_some()
            && row.ended_at_ms.is_some_and(|at_ms| span.0 <= at_ms && at_ms <= span.1);
        outcome.must(is_right, || format!("ended between {} and {}, but the log says {row:?}", span.0, span.1));
    }
    Ok(())
}

/// Each session stands in the support log once, was ended once, and the audit record is whole.
async fn check_whole(world: &World, outcome: &mut Outcome, sessions: &[SessionId]) -> Result<()> {
    let mut rows = BTreeMap::new();
    for row in support_log(world).await? {
        *rows.entry(row.session_id).or_insert(0u32) += 1;
    }
    let log = tokio::fs::read_to_string(world.folder().join("manager.log")).await?;
    for session in sessions {
        let found = rows.remove(session).unwrap_or(0);
        outcome.must(found == 1, || format!("session {session} stands {found} times in the support log"));
        let name = session.to_string();
        let ends = log.lines().filter(|line| line.contains("session.ended") && line.contains(&name)).count();
        outcome.must(ends == 1, || format!("session {session} was ended {ends} times"));
    }
    outcome.must(rows.is_empty(), || format!("the support log has sessions that nobody made: {rows:?}"));
    let verdict = world.manager_command(&["audit", "verify"]).await;
    outcome.must(verdict.is_ok(), || format!("the audit record is not whole: {:?}", verdict.err()));
    Ok(())
}

async fn support_log(world: &World) -> Result<Vec<SessionBody>> {
    let printed = world.manager_command(&["sessions", "list", "--limit", "200", "--json"]).await?;
    Ok(serde_json::from_str::<SessionList>(&printed).context("sessions list --json is no list of sessions")?.sessions)
}

/// Waits until all living relays together hold this many pairs of tools, and nobody who waits for the other.
async fn until_relays_hold(world: &World, pairs: usize) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let (mut held, mut waiting) = (0.0, 0.0);
        for relay in world.relays().iter().filter(|relay| relay.id() != 0) {
            held += metric(relay.private, "relay_sessions_active").await?;
            waiting += metric(relay.private, "relay_sessions_waiting").await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "some hundred pairs")]
        let off = f64::abs(held - pairs as f64) + waiting;
        if off < 0.5 {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "the relays hold {held} pairs and not {pairs}, and {waiting} wait");
        pause(LOOK).await;
    }
}

/// Waits until the manager counts so many living relays.
async fn until_relays_live(world: &World, count: u32) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while world.manager_metric("manager_relays_alive").await? + 0.5 < f64::from(count) {
        anyhow::ensure!(Instant::now() < until, "the relays do not come back to the manager");
        pause(LOOK).await;
    }
    Ok(())
}
