//! F26: faults at random, one on top of another, for as long as the call says.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustix::process::Signal;
use tokio::time::Instant;

use crate::{
    desktop::pause,
    fault::{
        Call,
        gate::{Climate, Gate, Weather},
        score::Outcome,
        trial::{PATIENCE, Trial},
    },
};

/// One repeat of the row is this long.
const SPOON: Duration = Duration::from_mins(1);
/// The same in the short form.
const SPOON_QUICK: Duration = Duration::from_secs(12);
/// Relays: one is always left alone, so that sessions have somewhere to go.
const RELAYS: usize = 3;
/// Pauses between two faults are up to this long.
const PAUSE_MAX_MS: u64 = 3_000;

/// What happens to a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Kill,
    Drain,
    Stop,
    CutOff,
    OneWay,
    Reset,
    Storm,
}

/// What a relay suffers from until it is healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ailment {
    Dead,
    Stopped,
    Weather,
}

/// F26: every invariant holds after a random soup; its seed tells which one it was.
pub(super) async fn soup(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start(call, RELAYS, true).await?;
    let mut random = StdRng::seed_from_u64(call.seed);
    let spoon = if call.is_quick { SPOON_QUICK } else { SPOON };
    let until = Instant::now() + spoon * call.repeat;
    let mut ill: [Option<Ailment>; RELAYS] = [None; RELAYS];
    let mark = trial.crowd.mark();
    while Instant::now() < until {
        let place = random.random_range(0..RELAYS);
        if let Some(ailment) = ill[place].take() {
            heal(&mut trial, place, ailment).await?;
        } else if ill.iter().flatten().count() + 1 < RELAYS {
            ill[place] = suffer(&mut trial, place, deed(&mut random), &mut random).await?;
            trial.outcome.faults = trial.outcome.faults.saturating_add(1);
        }
        pause(Duration::from_millis(random.random_range(0..PAUSE_MAX_MS))).await;
    }
    for (place, ailment) in ill.into_iter().enumerate() {
        if let Some(ailment) = ailment {
            heal(&mut trial, place, ailment).await?;
        }
    }
    trial.ready().await?;
    let flows = trial.crowd.flows_since(Instant::now(), PATIENCE).await;
    trial.outcome.must(flows.is_some(), || "not every session went on".to_owned());
    let split = trial.crowd.split();
    trial.outcome.must(split == 0, || format!("{split} sessions are split"));
    trial.crowd.take_gaps(&mark, None, &mut trial.gaps);
    trial.outcome.note(format!("seed {}", call.seed));
    trial.finish().await
}

fn deed(random: &mut StdRng) -> Deed {
    let deeds = [Deed::Kill, Deed::Drain, Deed::Stop, Deed::CutOff, Deed::OneWay, Deed::Reset, Deed::Storm];
    deeds[random.random_range(0..deeds.len())]
}

/// Does it; gives what has to be healed.
async fn suffer(trial: &mut Trial, place: usize, deed: Deed, random: &mut StdRng) -> Result<Option<Ailment>> {
    match deed {
        Deed::Kill => trial.relays.kill(place).await?,
        Deed::Drain => {
            let begun = Instant::now();
            let left = trial.relays.drain(place).await;
            left.with_context(|| trial.crowd.whereabouts(begun))?;
        }
        Deed::Stop => {
            trial.relays.relay(place)?.signal(Signal::STOP);
            return Ok(Some(Ailment::Stopped));
        }
        Deed::CutOff | Deed::OneWay | Deed::Storm => {
            let hole = Weather { hole: true, ..Weather::GOOD };
            let climate = match deed {
                Deed::OneWay if random.random() => Climate { there: hole, ..Climate::default() },
                Deed::OneWay => Climate { back: hole, ..Climate::default() },
                Deed::Storm => Climate::both(Weather {
                    delay: Duration::from_millis(random.random_range(0..200)),
                    jitter: Duration::from_millis(random.random_range(0..100)),
                    loss: random.random_range(0.0..0.1),
                    ..Weather::GOOD
                }),
                Deed::Kill | Deed::Drain | Deed::Stop | Deed::CutOff | Deed::Reset => Climate::hole(),
            };
            let side = random.random_range(0..3);
            for (place, gate) in trial.relays.relay(place)?.gates()?.iter().enumerate() {
                if side != place {
                    gate.set(climate);
                }
            }
            return Ok(Some(Ailment::Weather));
        }
        Deed::Reset => {
            trial.relays.relay(place)?.gates()?.iter().for_each(Gate::cut);
            return Ok(None);
        }
    }
    Ok(Some(Ailment::Dead))
}

async fn heal(trial: &mut Trial, place: usize, ailment: Ailment) -> Result<()> {
    match ailment {
        Ailment::Dead => trial.relays.restart(place).await?,
        Ailment::Stopped => trial.relays.relay(place)?.signal(Signal::CONT),
        Ailment::Weather => {
            trial.relays.relay(place)?.gates()?.iter().for_each(|gate| gate.set(Climate::default()));
        }
    }
    Ok(())
}
