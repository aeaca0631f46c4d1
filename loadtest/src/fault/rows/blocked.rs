//! F14: a network that spoils UDP. Sessions begin by TCP, a moment later at first and at once when that is known; or by
//! QUIC with packets that fit.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use link::transport::{Choice, Transport};
use tokio::time::Instant;

use crate::fault::{
    Call,
    crowd::{Crowd, Load, Matchmaker},
    gate::{Climate, Weather},
    relays::Plan,
    score::Outcome,
    trial::{PATIENCE, Trial},
};

/// Sessions under load meanwhile.
const SESSIONS: usize = 10;
/// Sessions under load that are begun while UDP is bad.
const GUESTS: usize = 4;
/// TCP starts so much later than QUIC, milliseconds. Source: `link::race`.
const HEAD_START_MS: f64 = 250.0;
/// What a blocked network may cost beside that, milliseconds.
const COST_MAX_MS: f64 = 50.0;
/// How long sessions talk in each kind of network.
const TALK: Duration = Duration::from_secs(5);

/// What becomes of UDP, by name.
const KINDS: [(&str, Weather); 3] = [
    ("all UDP is swallowed", Weather { hole: true, ..Weather::GOOD }),
    ("90 % of UDP is lost", Weather { loss: 0.9, ..Weather::GOOD }),
    // An IPv6 packet of 1,280 bytes has 40 of its own header and 8 of UDP's.
    ("packets beyond an MTU of 1,280 vanish", Weather { packet_max: 1_232, ..Weather::GOOD }),
];

/// F14: how long a session takes to begin, by TCP alone, by whatever works, and by whatever worked.
pub(super) async fn blocked(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start_with(call, Plan::of(2, true, call.seed), Load::of(SESSIONS)).await?;
    for (name, weather) in KINDS {
        set_packets(&trial, Climate::both(weather))?;
        let (mut plain, mut first, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..call.repeat {
            plain.push(begin(&trial.relays.matchmaker_by(Choice::Only(Transport::Tcp))).await?);
            let dialer = trial.relays.matchmaker_by(Choice::Auto);
            first.push(begin(&dialer).await.with_context(|| format!("{name}: the first session"))?);
            next.push(begin(&dialer).await.with_context(|| format!("{name}: the next session"))?);
            trial.outcome.faults = trial.outcome.faults.saturating_add(1);
        }
        let [plain, first, next] = [plain, first, next].map(median);
        trial.outcome.note(format!(
            "{name}: a session begins in {plain:.0} ms by TCP alone, in {first:.0} ms by what works, the next in {next:.0} ms"
        ));
        for (what, found, most) in
            [("first", first, plain + HEAD_START_MS + COST_MAX_MS), ("next", next, plain + COST_MAX_MS)]
        {
            trial.outcome.must(call.is_quick || found <= most, || {
                format!("{name}: the {what} session began after {found:.0} ms, {most:.0} at most")
            });
        }
        talk(call, &mut trial, name).await?;
    }
    set_packets(&trial, Climate::default())?;
    trial.finish().await
}

/// Sessions that begin in this network say everything, and it arrives.
async fn talk(call: &Call, trial: &mut Trial, name: &str) -> Result<()> {
    let load = Load::of(GUESTS);
    let guests = Crowd::start(load, call.seed, trial.relays.matchmaker_by(Choice::Auto)).await?;
    let until = Instant::now() + TALK;
    tokio::time::sleep_until(until).await;
    let flows = guests.flows_since(until, PATIENCE).await;
    trial.outcome.must(flows.is_some(), || format!("{name}: not every session goes on"));
    let sum = guests.settle(PATIENCE).await;
    trial.outcome.count(sum);
    trial.outcome.must(sum.is_clean(), || format!("{name}: lost or doubled: {sum:?}"));
    guests.end().await.with_context(|| format!("{name}: the sessions that began in it"))
}

/// At every gate, in both directions.
fn set_packets(trial: &Trial, climate: Climate) -> Result<()> {
    for relay in trial.relays.all() {
        for gate in relay.gates()? {
            gate.set_packets(climate);
        }
    }
    Ok(())
}

/// How long both tools take to meet.
async fn begin(maker: &Arc<dyn Matchmaker>) -> Result<Duration> {
    let begun = Instant::now();
    let made = maker.make(0).await?;
    let took = begun.elapsed();
    drop(made);
    Ok(took)
}

/// Milliseconds.
fn median(mut values: Vec<Duration>) -> f64 {
    values.sort();
    values.get(values.len() / 2).map_or(f64::INFINITY, |value| value.as_secs_f64() * 1_000.0)
}
