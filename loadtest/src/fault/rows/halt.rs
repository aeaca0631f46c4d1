//! halt: operations stop the whole service at one of two managers, by the site's own form, while sessions run, numbers
//! are issued and entered and operators log in at both; then they lift it, and everything begins anew.
//!
//! Measured from before the button is pressed until each tool has heard that its session is over, until each stream of
//! events has ended, and until a login, a number and an entry are refused at each manager with the word of the halt.
//! Relays end what they have with their next heartbeat, every 3 s at whichever manager the balancer gives, and a stream
//! at the other manager looks after its login every 4 s: the 5 s leave one for everything else.
//! Relays may pass nothing after those 5 s; whoever is still in a session then goes on saying messages. In the short
//! form that counts from when each tool has heard that its session is over.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use proto::close::CloseReason;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    redundant::{SESSIONS, SESSIONS_QUICK},
    stop::{root, until_stream_ends, until_streams},
};
use crate::{
    browser::{Browser, between},
    desktop::pause,
    fault::{
        Call,
        crowd::{Crowd, Load},
        doors::{Answers, Doors, MANAGERS, log_in},
        invariants::Invariant,
        ledger::Sum,
        relays::{Managed, Plan, Relays},
        score::Outcome,
        trial::{LOOK, PATIENCE, Trial},
    },
    managers::Managers,
    tool::Account,
    world::World,
};

/// Everybody is out of everything within this time. Source: OR-00d.
const OUT_MAX: Duration = Duration::from_secs(5);
/// Relays; each session knows all of them.
const RELAYS: usize = 3;
/// Operators at each manager who listen for events.
const LISTENERS: usize = 10;
/// The same in the short form.
const LISTENERS_QUICK: usize = 2;
/// Their company.
const COMPANY: &str = "listeners";
/// The page of the switch, and where its form goes that halts.
const SWITCH: &str = "/system/halt";
/// Where the form goes that lifts.
const LIFT: &str = "/system/halt/lift";
/// What a halt should have ended and has not: numbers that are open, and sessions that go on, or were not ended once by
/// their operator or the halt. No row: nothing.
const LEFT: &str = "SELECT 'number ' || reception_id || ' is open' FROM receptions WHERE open_slot IS NOT NULL \
                    UNION ALL \
                    SELECT 'session ' || s.session_id || ' was ended ' || COUNT(a.seq) || ' times, as ' || \
                    COALESCE(s.end_reason, 'running') \
                    FROM sessions s \
                    LEFT JOIN audit a ON a.session_id = s.session_id AND a.event = 'session.ended' \
                    GROUP BY s.session_id, s.end_reason \
                    HAVING COALESCE(s.end_reason, 'running') NOT IN ('operator_ended', 'revoked') \
                    OR COUNT(a.seq) <> 1";

/// halt.
pub(super) async fn halt(call: &Call) -> Result<Outcome> {
    let (sessions, count) = if call.is_quick { (SESSIONS_QUICK, LISTENERS_QUICK) } else { (SESSIONS, LISTENERS) };
    let plan = Plan { managers: Managed::Two, ..Plan::of(RELAYS, false, call.seed) };
    let mut trial = Trial::start_with(call, plan, Load::of(sessions)).await?;
    let mut root = root(trial.relays.world()).await?;
    Doors::prepare(trial.relays.world()).await?;
    let listeners = listeners(trial.relays.world(), count).await?;
    for round in 0..call.repeat {
        let doors = everybody_in(&trial).await?;
        trial.rebase()?;
        watch(call, &mut trial, &mut root, doors, &listeners).await?;
        press(&mut root, LIFT).await?;
        begin_anew(&mut trial, sessions, call.seed.wrapping_add(u64::from(round)).wrapping_add(1)).await?;
    }
    let doors = everybody_in(&trial).await?;
    trial.rebase()?;
    for (what, answers) in doors.close().await? {
        trial
            .outcome
            .must(answers.halted == 0 && answers.odd == 0, || format!("{what} after the halt was lifted: {answers:?}"));
    }
    let out = trial.gaps.pauses();
    let most = if call.is_quick { PATIENCE } else { OUT_MAX };
    trial.outcome.must(out.max <= most.as_secs_f64() * 1_000.0, || {
        format!("out of everything after {:.0} ms, {most:?} at most", out.max)
    });
    trial.outcome.note("the gap is the time from the press of the button until a tool, a stream or a question is out");
    trial.finish().await
}

/// Operators who listen for events: so many at each manager, one manager after the other.
async fn listeners(world: &World, count: usize) -> Result<Vec<Account>> {
    world.add_company(COMPANY).await?;
    let mut all = Vec::new();
    for place in 0..MANAGERS {
        for index in 0..count {
            let user = format!("listener-{place}-{index}");
            world.add_account(COMPANY, &user, "operator").await?;
            all.push(Account { company: COMPANY.to_owned(), user, ..world.account_at(place)? });
        }
    }
    Ok(all)
}

/// Every session goes, and at both managers a login, a number and an entry are taken: those who go on asking.
async fn everybody_in(trial: &Trial) -> Result<Doors> {
    let doors = Doors::open(trial.relays.world()).await?;
    let since = Instant::now();
    let taken = doors.wait(PATIENCE, |answers| 0 < answers.taken).await;
    ensure!(taken, "not everybody is let in within {PATIENCE:?}: {:?}", doors.answers());
    let flows = trial.crowd.flows_since(since, PATIENCE).await;
    ensure!(flows.is_some(), "not every session goes: {}", trial.crowd.whereabouts(since));
    Ok(doors)
}

/// Sends a form of the switch, after the page with it was opened; when that was.
async fn press(root: &mut Browser, form: &str) -> Result<Instant> {
    let version = between(&root.see(SWITCH).await?, "name=\"version\" value=\"", "\"")?.to_owned();
    let begun = Instant::now();
    root.press(form, &[("reason", "不正アクセスの疑い"), ("sure", "yes"), ("version", &version)]).await?;
    Ok(begun)
}

/// Halts the service and waits until everybody is out of everything, for good.
async fn watch(call: &Call, trial: &mut Trial, root: &mut Browser, doors: Doors, listeners: &[Account]) -> Result<()> {
    let mut streams = JoinSet::new();
    for place in 0..MANAGERS {
        until_streams(trial.relays.world(), place, 0.0).await?;
    }
    for account in listeners {
        let login = log_in(account).await?;
        streams.spawn(timeout(PATIENCE, until_stream_ends(login)));
    }
    let each = f64::from(u32::try_from(listeners.len() / MANAGERS)?);
    for place in 0..MANAGERS {
        until_streams(trial.relays.world(), place, each).await?;
    }
    trial.receptions.expect_revoked();

    let begun = press(root, SWITCH).await?;
    let answered = begun.elapsed();
    let (ends, _judged_below, passed) = tokio::join!(
        trial.crowd.ends(PATIENCE),
        doors.wait(PATIENCE, |answers| answers.halted_at.is_some()),
        frames_when_out(call, trial, begun)
    );
    let passed = passed?;
    trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    let (sessions, reasons) = judge_sessions(trial, begun, ends);

    trial.crowd.nudge();
    let is_empty = trial.relays.wait_for_pairs(0, PATIENCE).await?;
    trial.outcome.must(is_empty, || format!("relays hold sessions {PATIENCE:?} after the halt"));
    let mut last_stream = Duration::ZERO;
    while let Some(ended) = streams.join_next().await {
        let took = ended?.ok().and_then(|at| at.checked_duration_since(begun));
        trial.outcome.must(took.is_some(), || "a stream of events ended before the halt, or goes on".to_owned());
        if let Some(took) = took {
            last_stream = last_stream.max(took);
            trial.gaps.add(took, took);
        }
    }
    let left = until_nothing_left(trial.relays.world().managers()).await?;
    trial.outcome.must(left.is_empty(), || format!("not ended once by the halt: {left}"));
    let more = frames(&trial.relays).await? - passed;
    trial.outcome.must(more < 0.5, || format!("relays passed {more:.0} frames after everybody should have been out"));

    // They were asking until now.
    let answers = doors.close().await?;
    trial.outcome.missed.extend(answers.iter().filter_map(|(what, answers)| let_in(what, answers)));
    let shut: Vec<_> = answers
        .iter()
        .filter_map(|(_what, answers)| Some(answers.halted_at?.saturating_duration_since(begun)))
        .collect();
    for took in &shut {
        trial.gaps.add(*took, *took);
    }
    let shut = shut.into_iter().max().unwrap_or_default();
    trial.outcome.note(format!(
        "the page answered after {answered:.1?}; sessions ended after {sessions:.1?} {reasons:?}, questions refused \
         {shut:.1?}, streams {last_stream:.1?}"
    ));
    Ok(())
}

/// Takes over how the sessions ended: when the last one did, and how often each reason was told.
fn judge_sessions(
    trial: &mut Trial,
    begun: Instant,
    ends: Option<Vec<(CloseReason, Instant)>>,
) -> (Duration, BTreeMap<&'static str, u32>) {
    let outcome = &mut trial.outcome;
    outcome.must(ends.is_some(), || format!("not every tool heard of the end within {PATIENCE:?}"));
    let ends = ends.unwrap_or_default();
    let untold = untold(&ends);
    outcome.must(untold == 0, || format!("in {untold} sessions no tool was told why"));
    let (mut last, mut reasons) = (Duration::ZERO, BTreeMap::<_, u32>::new());
    for (reason, at) in ends {
        *reasons.entry(reason.as_str()).or_default() += 1;
        let took = at.saturating_duration_since(begun);
        last = last.max(took);
        trial.gaps.add(took, took);
    }
    let sum = trial.crowd.sum();
    // What was under way when a session was ended goes with it: nobody says anything later than that, and nothing is
    // under way for longer than it may take until everybody is out.
    let under_way = Load::of(trial.crowd.len()).said_in(OUT_MAX);
    let lost = trial.crowd.lost_beyond(under_way);
    outcome.count(Sum { lost, ..sum });
    let broken = [
        (0 < sum.doubled || 0 < sum.broken)
            .then(|| format!("messages were doubled or altered before the halt: {sum:?}")),
        (0 < lost).then(|| format!("{lost} messages were lost beyond the {under_way} of a direction: {sum:?}")),
    ];
    let seen = format!(
        "{} messages of {} sessions that were halted, {} of them never came, {under_way} of a direction are allowed",
        sum.said,
        trial.crowd.len(),
        sum.lost
    );
    outcome.find(Invariant::Delivery, seen, broken.into_iter().flatten().collect());
    (last, reasons)
}

/// Sessions of which neither tool was told that the manager had ended them; customers and operators take turns.
/// A tool that hears of it at its spare relay leaves the other one, where the other tool may hear only of that.
fn untold(ends: &[(CloseReason, Instant)]) -> usize {
    ends.chunks(2).filter(|tools| tools.iter().all(|(reason, _at)| *reason != CloseReason::Revoked)).count()
}

/// Why a door was not shut by the halt, if so.
fn let_in(what: &str, answers: &Answers) -> Option<String> {
    let is_shut = answers.halted_at.is_some() && answers.taken_late == 0 && answers.odd == 0;
    (!is_shut).then(|| format!("{what} was not always refused with the word of the halt: {answers:?}"))
}

/// Frames that the relays had passed on when everybody had to be out; in the short form, when each tool had heard of it.
async fn frames_when_out(call: &Call, trial: &Trial, begun: Instant) -> Result<f64> {
    if call.is_quick {
        // Judged with what they say.
        let _ends = trial.crowd.ends(PATIENCE).await;
    } else {
        sleep_until(begun + OUT_MAX).await;
    }
    frames(&trial.relays).await
}

/// Frames that the relays have passed on so far.
async fn frames(relays: &Relays) -> Result<f64> {
    let mut all = 0.0;
    for relay in relays.all() {
        all += relay.metric("relay_forwarded_frames_total").await?;
    }
    Ok(all)
}

/// Waits until nothing is left of what a halt ends; what is, when that does not come about.
async fn until_nothing_left(managers: &Managers) -> Result<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = managers.rows(LEFT).await?.context("these managers have no PostgreSQL")?;
        let left = left.trim();
        if left.is_empty() || until <= Instant::now() {
            return Ok(left.to_owned());
        }
        pause(LOOK).await;
    }
}

/// The operator logs in anew, and makes as many sessions as there were.
async fn begin_anew(trial: &mut Trial, sessions: usize, seed: u64) -> Result<()> {
    let receptions = trial.relays.receptions().await.context("after the halt was lifted")?;
    receptions.take_over(trial.receptions.made());
    trial.receptions = receptions;
    let maker = Arc::new(trial.receptions.clone());
    trial.crowd = Crowd::start(Load::of(sessions), seed, maker).await.context("after the halt was lifted")?;
    trial.ready().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_when_one_of_its_tools_is() {
        let at = Instant::now();
        let ends = |reasons: &[CloseReason]| reasons.iter().map(|reason| (*reason, at)).collect::<Vec<_>>();
        let (told, other) = (CloseReason::Revoked, CloseReason::PeerLost);

        assert_eq!(untold(&ends(&[told, told, told, other, other, told])), 0);
        assert_eq!(untold(&ends(&[told, other, other, other, told, told])), 1);
        assert_eq!(untold(&ends(&[other, other, other, other])), 2);
    }

    #[test]
    fn a_door_is_shut_when_nobody_comes_in_after_the_first_word_of_the_halt_and_nothing_else_is_said() {
        let shut = Answers { taken: 3, halted: 2, halted_at: Some(Instant::now()), ..Answers::default() };
        assert_eq!(let_in("a login", &shut), None);

        for open in [
            Answers { halted_at: None, halted: 0, ..shut.clone() },
            Answers { taken_late: 1, ..shut.clone() },
            Answers { odd: 1, ..shut },
        ] {
            let missed = let_in("a login", &open);
            assert!(missed.is_some_and(|missed| missed.starts_with("a login was not always refused")), "{open:?}");
        }
    }
}
