//! F14: a network that swallows UDP. Sessions begin by TCP, a moment later at first and at once when that is known.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use link::transport::{Choice, Transport};
use tokio::{net::UdpSocket, time::Instant};

use crate::fault::{
    Call,
    crowd::{Load, Matchmaker},
    relays::Plan,
    score::Outcome,
    trial::Trial,
};

/// Sessions under load meanwhile.
const SESSIONS: usize = 10;
/// TCP starts so much later than QUIC, milliseconds. Source: `link::race`.
const HEAD_START_MS: f64 = 250.0;
/// What a blocked network may cost beside that, milliseconds.
const COST_MAX_MS: f64 = 50.0;

/// F14: how long a session takes to begin, by TCP alone, by whatever works, and by whatever worked.
pub(super) async fn blocked(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start_with(call, Plan::of(2, true, call.seed), Load::of(SESSIONS)).await?;
    // A gate carries TCP. These take what comes by UDP to the same ports and answer nothing.
    let mut holes = Vec::new();
    for relay in trial.relays.all() {
        for gate in relay.gates()? {
            holes.push(UdpSocket::bind(gate.address()).await?);
        }
    }
    let (mut plain, mut first, mut next) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..call.repeat {
        plain.push(begin(&trial.relays.matchmaker_by(Choice::Only(Transport::Tcp))).await?);
        let dialer = trial.relays.matchmaker_by(Choice::Auto);
        first.push(begin(&dialer).await?);
        next.push(begin(&dialer).await?);
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    let [plain, first, next] = [plain, first, next].map(median);
    trial.outcome.note(format!(
        "a session begins in {plain:.0} ms by TCP alone, in {first:.0} ms when UDP is swallowed, the next in {next:.0} ms"
    ));
    trial.outcome.note("not here: UDP with 90 % loss, and an MTU of 1,280 that nobody tells: the gates carry TCP only");
    for (what, found, most) in
        [("first", first, plain + HEAD_START_MS + COST_MAX_MS), ("next", next, plain + COST_MAX_MS)]
    {
        trial.outcome.must(call.is_quick || found <= most, || {
            format!("the {what} session began after {found:.0} ms, {most:.0} at most")
        });
    }
    drop(holes);
    trial.finish().await
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
