//! F05: one of two managers is killed, again and again in turns, while numbers are issued and entered all the time.
//!
//! The product's tools know one address and try again there, so the managers stand behind the balancer of
//! `manager/README.md` ([`crate::managers`]): the second try goes to whoever is left.

use std::time::Duration;

use anyhow::Result;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep_until};

use crate::{
    desktop::pause,
    fault::{
        Call,
        crowd::Load,
        desks::{COMPANY, Desks, Served},
        invariants::Invariant,
        relays::{Managed, Plan},
        score::Outcome,
        trial::{PATIENCE, Trial},
    },
};

/// Relays of each session.
pub(super) const RELAYS: usize = 2;
/// Sessions that stand the whole time.
pub(super) const SESSIONS: usize = 50;
/// The same in the short form.
pub(super) const SESSIONS_QUICK: usize = 12;
/// Operators who serve one customer after another.
pub(super) const DESKS: usize = 6;
/// The same in the short form.
pub(super) const DESKS_QUICK: usize = 2;
/// A manager is dead at least this long.
const AWAY: Duration = Duration::from_secs(4);
/// Customers whom each desk serves while a manager is dead, and before the next one dies.
const CUSTOMERS: u64 = 2;
/// A manager dies up to this much later: in the middle of whatever is being asked of it.
const MOMENT_MAX_MS: u64 = 1_000;

/// F05.
pub(super) async fn one_of_two(call: &Call) -> Result<Outcome> {
    let (sessions, desks) = if call.is_quick { (SESSIONS_QUICK, DESKS_QUICK) } else { (SESSIONS, DESKS) };
    let plan = Plan { managers: Managed::Two, ..Plan::of(RELAYS, false, call.seed) };
    let mut trial = Trial::start_with(call, plan, Load::of(sessions)).await?;
    let desks = Desks::open(&trial.relays, desks, call.seed).await?;
    go_on(&mut trial, &desks, "before any fault").await;
    trial.rebase()?;

    let mut random = StdRng::seed_from_u64(call.seed);
    for place in [0, 1].into_iter().cycle().take(usize::try_from(call.repeat)?) {
        pause(Duration::from_millis(random.random_range(0..MOMENT_MAX_MS))).await;
        trial.relays.world_mut().managers_mut().kill(place).await?;
        let dead_at = Instant::now();
        go_on(&mut trial, &desks, "while one manager was dead").await;
        if !call.is_quick {
            sleep_until(dead_at + AWAY).await;
        }
        trial.relays.world_mut().managers_mut().restart(place).await?;
        go_on(&mut trial, &desks, "when both managers were there again").await;
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    tell(&mut trial, desks).await?;
    trial.finish().await
}

/// What is said arrives in every standing session, and every desk serves more customers.
pub(super) async fn go_on(trial: &mut Trial, desks: &Desks, when: &str) {
    let since = Instant::now();
    let serves = desks.serve_more(CUSTOMERS, PATIENCE).await;
    trial.outcome.must(serves, || format!("not every desk served {CUSTOMERS} customers within {PATIENCE:?} {when}"));
    let flows = trial.crowd.flows_since(since, PATIENCE).await;
    trial
        .outcome
        .must(flows.is_some(), || format!("not every session went on {when}: {}", trial.crowd.whereabouts(since)));
}

/// Closes the desks, and judges what their tools asked.
pub(super) async fn tell(trial: &mut Trial, desks: Desks) -> Result<()> {
    let (Served { customers, sum, broken }, made, counts) = desks.close().await?;
    let outcome = &mut trial.outcome;
    outcome.count(sum);
    outcome.find(Invariant::Delivery, format!("{} messages of {customers} customers at the desks", sum.said), broken);
    let again: u64 = counts.again.values().sum();
    outcome.note(format!(
        "{} requests; {again} were not answered at first {:?}, {} not by the second try either",
        counts.asked,
        counts.again,
        counts.failed.len()
    ));
    outcome.must(counts.failed.is_empty(), || {
        format!("{} requests failed twice, first of all {:?}", counts.failed.len(), counts.failed.first())
    });
    trial.others.push((COMPANY.to_owned(), made));
    Ok(())
}
