//! F13n: packets that the kernel loses, under TCP and under QUIC, and a line that is much too slow.

use std::time::Duration;

use anyhow::Result;
use link::transport::Transport;
use tokio::time::Instant;

use super::weather::measure;

use crate::{
    desktop::pause,
    fault::{
        Call,
        crowd::Load,
        gaps::Gaps,
        gate::{Climate, Weather},
        relays::Plan,
        score::Outcome,
        trial::{PATIENCE, Trial},
    },
};

/// Percent of the packets between a tool and a relay, each way.
const LOSSES: [u32; 3] = [1, 5, 10];
/// Each loss is measured this long.
const CELL: Duration = Duration::from_secs(8);
/// The same in the short form.
const CELL_QUICK: Duration = Duration::from_secs(2);
/// Sessions under load.
const SESSIONS: usize = 10;
/// Bits a second of a line that is too slow for what the sessions have to say, which is 3.6 million each way.
const SLOW: u64 = 2_500_000;

/// F13n: each loss by each transport, in a network of our own.
pub(super) async fn lossy(call: &Call) -> Result<Outcome> {
    let mut outcome = call.row.outcome();
    for transport in [Transport::Tcp, Transport::Quic] {
        outcome = by(call, transport, outcome).await?;
    }
    Ok(outcome)
}

async fn by(call: &Call, transport: Transport, outcome: Outcome) -> Result<Outcome> {
    let plan = Plan { housed: true, transport, ..Plan::of(2, false, call.seed) };
    let mut trial = Trial::start_with(call, plan, Load::of(SESSIONS)).await?;
    trial.outcome = Outcome { sessions: SESSIONS, ..outcome };
    let (losses, span) = if call.is_quick { (&LOSSES[1..2], CELL_QUICK) } else { (&LOSSES[..], CELL) };
    for percent in losses {
        let weather = Weather { loss: f64::from(*percent) / 100.0, ..Weather::GOOD };
        set_all(&mut trial, Climate::both(weather)).await?;
        trial.crowd.mark();
        let own = measure(&trial.crowd, span).await?;
        let (delay, dropped) = (own.delays(), trial.relays.house()?.dropped().await?);
        trial.outcome.note(format!(
            "{transport:?}, {percent} % lost: input p50 {:.0} p99 {:.0} ms, {dropped} packets dropped",
            delay.p50, delay.p99
        ));
        trial.outcome.must(0 < dropped, || "the filters dropped nothing".to_owned());
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    set_all(&mut trial, Climate::default()).await?;
    let flows = trial.crowd.flows_since(Instant::now(), PATIENCE).await;
    trial.outcome.must(flows.is_some(), || "not every session went on when nothing was lost any more".to_owned());
    if transport == Transport::Tcp {
        slow(&mut trial, span).await?;
    }
    // Loss fills queues, and an allocator keeps what they took.
    trial.rebase()?;
    trial.finish().await
}

/// On a slow line answers wait behind pictures for longer than a dead relay is given, and nobody leaves it.
async fn slow(trial: &mut Trial, span: Duration) -> Result<()> {
    let (id, _) = trial.busiest()?;
    let (there, switches) = (trial.crowd.at(id), trial.crowd.switches_seen());
    trial.relays.house()?.slow_down(SLOW).await?;
    trial.crowd.mark();
    pause(span).await;
    // What is still under way is waited for when the line is fast again: a line that is slow for longer is another one.
    let (until, stay) = (Instant::now(), trial.crowd.at(id));
    let switched = trial.crowd.switches_seen() - switches;
    trial.relays.house()?.speed_up().await?;
    let flows = trial.crowd.flows_since(until, PATIENCE).await;
    let mut own = Gaps::new()?;
    trial.crowd.take_ways(until, &mut own);
    let delay = own.delays();
    trial.outcome.note(format!(
        "a line of {SLOW} bit/s: input p50 {:.0} p99 {:.0} ms, {stay} of {there} sessions stayed",
        delay.p50, delay.p99
    ));
    trial.outcome.must(there == stay && switched == 0, || format!("{switched} times a slow line was left"));
    trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    trial.outcome.must(flows.is_some(), || "not every session went on after a slow line".to_owned());
    Ok(())
}

async fn set_all(trial: &mut Trial, climate: Climate) -> Result<()> {
    for place in 0..trial.relays.all().len() {
        trial.relays.set_weather(place, &[climate; 2]).await?;
    }
    Ok(())
}
