//! F01, F02, F02n, F04 and the thousand: a relay is gone, or as good as gone.

use std::time::Duration;

use anyhow::Result;
use link::transport::Transport;
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use crate::fault::{
    Call,
    crowd::Load,
    gaps::Gaps,
    gate::{Climate, Weather},
    relays::Plan,
    score::Outcome,
    trial::{PATIENCE, Trial},
};

/// What is said this long after a death cannot have passed the dead relay.
const AFTER_DEATH: Duration = Duration::from_millis(200);
/// A relay is cut off at least this long: longer than the tools need to notice.
const CUT_OFF: Duration = Duration::from_secs(4);
/// A relay stands still this long.
const FROZEN: Duration = Duration::from_secs(5);
/// Longest time in which a thousand sessions go on.
const REHOME_MAX: Duration = Duration::from_secs(3);
/// One word a second from each tool: most sessions are read and not typed into.
const QUIET: Load = Load { sessions: 1_000, screens_per_sec: 0, screen_bytes: 0, inputs_per_sec: 1 };

/// F01: the active relay is killed and comes back.
pub(super) async fn kill(call: &Call) -> Result<Outcome> {
    let trial = Trial::start(call, 2, false).await?;
    kill_and_judge(call, trial, 150.0, 500.0).await
}

/// F01 over QUIC: no reset tells of the death, but the system of the dead relay refuses what comes for it.
pub(super) async fn kill_quic(call: &Call) -> Result<Outcome> {
    let load = Load::of(if call.is_quick { 12 } else { 50 });
    let plan = Plan { transport: Transport::Quic, ..Plan::of(2, false, call.seed) };
    let trial = Trial::start_with(call, plan, load).await?;
    kill_and_judge(call, trial, 150.0, 500.0).await
}

async fn kill_and_judge(call: &Call, mut trial: Trial, p50_max: f64, p99_max: f64) -> Result<Outcome> {
    for _ in 0..call.repeat {
        let (id, place) = trial.busiest()?;
        let mark = trial.crowd.mark();
        trial.relays.kill(place).await?;
        trial.recover(&mark, AFTER_DEATH, id).await;
        trial.relays.restart(place).await?;
        trial.ready().await?;
    }
    trial.judge(p50_max, p99_max);
    trial.finish().await
}

/// F02: the active relay is cut off from both tools, from one, or in one direction of one.
pub(super) async fn partition(call: &Call) -> Result<Outcome> {
    let trial = Trial::start(call, 3, true).await?;
    cut_off_and_judge(call, trial).await
}

/// F02 in a network of our own: the kernel drops the packets, and nobody tells of it.
pub(super) async fn partition_housed(call: &Call) -> Result<Outcome> {
    let load = if call.is_quick { Load::of(12) } else { Load::STANDING };
    let plan = Plan { housed: true, ..Plan::of(3, false, call.seed) };
    let trial = Trial::start_with(call, plan, load).await?;
    cut_off_and_judge(call, trial).await
}

async fn cut_off_and_judge(call: &Call, mut trial: Trial) -> Result<Outcome> {
    let mut longest = [0.0_f64; KINDS.len()];
    for round in 0..usize::try_from(call.repeat)? {
        let kind = round % KINDS.len();
        let (id, place) = trial.busiest()?;
        let mark = trial.crowd.mark();
        trial.relays.set_weather(place, &KINDS[kind].1).await?;
        trial.recover(&mark, CUT_OFF, id).await;
        let mut own = Gaps::new()?;
        trial.crowd.take_gaps(&mark, Some(id), &mut own);
        longest[kind] = longest[kind].max(own.pauses().max);
        if let Ok(house) = trial.relays.house() {
            let dropped = house.dropped().await?;
            trial.outcome.must(0 < dropped, || format!("{}: the filters dropped nothing", KINDS[kind].0));
            trial.outcome.note(format!("{}: {dropped} packets dropped", KINDS[kind].0));
        }
        trial.relays.set_weather(place, &[Climate::default(); 2]).await?;
        if let Ok(house) = trial.relays.house() {
            house.clear(PATIENCE).await?;
        }
        trial.ready().await?;
        no_split(&mut trial).await;
        if round < KINDS.len() {
            // Each kind fills queues in its own way, once.
            trial.rebase()?;
        }
    }
    let kinds = KINDS.iter().zip(longest).filter(|(_, gap)| 0.0 < *gap);
    let kinds: Vec<_> = kinds.map(|((name, _), gap)| format!("{name} {gap:.0}")).collect();
    trial.outcome.note(format!("longest gap, ms: {}", kinds.join(", ")));
    trial.judge(f64::MAX, 2_500.0);
    trial.finish().await
}

/// Who is cut off: name, and the weather between a relay and the customers, and the operators.
type Kind = (&'static str, [Climate; 2]);

const KINDS: [Kind; 7] = [
    ("both tools", [HOLES, HOLES]),
    ("the customer", [HOLES, FAIR]),
    ("customer to relay", [THERE, FAIR]),
    ("the operator", [FAIR, HOLES]),
    ("relay to customer", [BACK, FAIR]),
    ("operator to relay", [FAIR, THERE]),
    ("relay to operator", [FAIR, BACK]),
];
const HOLE: Weather = Weather { hole: true, ..Weather::GOOD };
const FAIR: Climate = Climate::both(Weather::GOOD);
const HOLES: Climate = Climate::both(HOLE);
const THERE: Climate = Climate { there: HOLE, back: Weather::GOOD };
const BACK: Climate = Climate { there: Weather::GOOD, back: HOLE };

/// Both tools of each session are at one relay, and what they say arrives.
async fn no_split(trial: &mut Trial) {
    let together = trial.crowd.wait(PATIENCE, || trial.crowd.split() == 0).await;
    let flows = trial.crowd.flows_since(Instant::now(), PATIENCE).await;
    trial.outcome.must(together && flows.is_some(), || format!("{} sessions are split", trial.crowd.split()));
}

/// F04: the active relay stands still and goes on.
pub(super) async fn freeze(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start(call, 2, false).await?;
    for round in 0..call.repeat {
        let (id, place) = trial.busiest()?;
        let mark = trial.crowd.mark();
        trial.relays.relay(place)?.signal(Signal::STOP);
        trial.recover(&mark, CUT_OFF, id).await;
        sleep_until(mark.at + FROZEN).await;
        trial.relays.relay(place)?.signal(Signal::CONT);
        trial.ready().await?;
        no_split(&mut trial).await;
        if round < 2 {
            // Each relay has stood still once.
            trial.rebase()?;
        }
    }
    trial.judge(f64::MAX, 2_500.0);
    trial.finish().await
}

/// A relay with a thousand sessions is killed.
pub(super) async fn rehome(call: &Call) -> Result<Outcome> {
    let load = if call.is_quick { Load { sessions: 60, ..QUIET } } else { QUIET };
    let plan = Plan::of(2, false, call.seed);
    let mut trial = Trial::start_with(call, plan, load).await?;
    for _ in 0..call.repeat {
        let (id, place) = trial.busiest()?;
        let (held, mark) = (trial.crowd.at(id), trial.crowd.mark());
        trial.relays.kill(place).await?;
        // One more word from every tool, so that the pace of the load does not hide when a session goes on.
        trial.crowd.nudge();
        let took = trial.crowd.flows_since(mark.at, PATIENCE).await;
        trial.crowd.take_gaps(&mark, Some(id), &mut trial.gaps);
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
        let took_ms = took.map_or(f64::INFINITY, |took| took.as_secs_f64() * 1_000.0);
        trial.outcome.note(format!("{held} sessions went on in both directions after {took_ms:.0} ms"));
        let in_time = took.is_some_and(|took| call.is_quick || took < REHOME_MAX);
        trial.outcome.must(in_time, || format!("the last session went on after {took_ms:.0} ms"));
        trial.outcome.must(held == trial.crowd.len(), || format!("only {held} sessions were at the killed relay"));
        trial.relays.restart(place).await?;
        trial.ready().await?;
    }
    trial.finish().await
}
