//! Operators who serve one customer after another, at managers that may die meanwhile.
//!
//! Each desk is an account of its own in a company of its own: a number, two customers who enter it at once, a session of
//! whoever gets it, its end, and the next number. Every tool has connections of its own, so the balancer spreads them
//! over the managers, and asks once more what nobody answered ([`Tries`]).
//! Guarantees: one session a desk at a time; everything ends when the desks are dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    crowd::{Crowd, Load},
    ledger::Sum,
    receptions::{Made, Receptions},
    relays::Relays,
    trial::{LOOK, PATIENCE},
    tries::{Counts, Tries},
};
use crate::{desktop::pause, tool::Account};

/// The company of the desks.
pub const COMPANY: &str = "desks";
/// A desk that has failed this often serves nobody else.
const FAILURES_MAX: usize = 3;

/// Desks that are open.
pub struct Desks {
    all: Vec<(Receptions, Arc<AtomicU64>)>,
    tries: Arc<Tries>,
    closing: CancellationToken,
    tasks: JoinSet<Served>,
}

/// What became of their customers.
#[derive(Debug, Default)]
pub struct Served {
    /// Customers who were served from the number to the end.
    pub customers: u64,
    /// What was said in their sessions.
    pub sum: Sum,
    /// Why others were not served.
    pub broken: Vec<String>,
}

impl Desks {
    /// Opens so many desks.
    ///
    /// # Errors
    /// When the managers do not take the company, an account or a login.
    pub async fn open(relays: &Relays, count: usize, seed: u64) -> Result<Self> {
        let (world, tries) = (relays.world(), Arc::<Tries>::default());
        world.add_company(COMPANY).await?;
        let mut own = Self { all: Vec::new(), tries, closing: CancellationToken::new(), tasks: JoinSet::new() };
        for index in 0..count {
            let user = format!("desk-{index}");
            world.add_account(COMPANY, &user, "operator").await?;
            let account = Account { company: COMPANY.to_owned(), user, ..world.account().clone() };
            let receptions = relays.receptions_of(&account, Some(Arc::clone(&own.tries))).await?;
            own.all.push((receptions, Arc::default()));
        }
        for (index, (receptions, served)) in own.all.iter().enumerate() {
            let seed = seed.wrapping_add(u64::try_from(index)?);
            own.tasks.spawn(serve(receptions.clone(), seed, Arc::clone(served), own.closing.clone()));
        }
        Ok(own)
    }

    /// Waits until every desk has served so many more customers; whether that came about in time.
    pub async fn serve_more(&self, customers: u64, patience: Duration) -> bool {
        let count = |(_receptions, served): &(Receptions, Arc<AtomicU64>)| served.load(Ordering::Relaxed);
        let wanted: Vec<_> = self.all.iter().map(|desk| count(desk) + customers).collect();
        let until = Instant::now() + patience;
        while self.all.iter().zip(&wanted).any(|(desk, wanted)| count(desk) < *wanted) {
            if until <= Instant::now() {
                return false;
            }
            pause(LOOK).await;
        }
        true
    }

    /// Lets every desk serve its customer to the end, and closes it: what became of them, what they made at the managers,
    /// and how often a manager did not answer.
    ///
    /// # Errors
    /// When a desk panicked.
    pub async fn close(mut self) -> Result<(Served, Made, Counts)> {
        self.closing.cancel();
        let mut all = Served::default();
        while let Some(served) = self.tasks.join_next().await {
            let served = served?;
            all.customers = all.customers.saturating_add(served.customers);
            all.sum = all.sum.with(served.sum);
            all.broken.extend(served.broken);
        }
        let made = self.all.iter().map(|(receptions, _served)| receptions.made()).fold(Made::default(), Made::with);
        Ok((all, made, self.tries.counts()))
    }
}

/// One desk, until it is closed.
async fn serve(receptions: Receptions, seed: u64, count: Arc<AtomicU64>, closing: CancellationToken) -> Served {
    let mut served = Served::default();
    while !closing.is_cancelled() && served.broken.len() < FAILURES_MAX {
        match one(&receptions, seed.wrapping_add(served.customers)).await {
            Ok(sum) => {
                served.customers = served.customers.saturating_add(1);
                served.sum = served.sum.with(sum);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => served.broken.push(format!("a customer was not served: {error:#}")),
        }
    }
    served
}

/// One customer: a session over which both sides say something, and its end.
async fn one(receptions: &Receptions, seed: u64) -> Result<Sum> {
    let crowd = Crowd::start(Load::of(1), seed, Arc::new(receptions.clone())).await?;
    let flows = crowd.flows_since(Instant::now(), PATIENCE).await;
    let (sum, cut) = (crowd.settle(PATIENCE).await, crowd.cut());
    crowd.end().await?;
    receptions.tell_ends().await?;
    ensure!(flows.is_some(), "nothing came over the session");
    ensure!(cut.is_empty(), "the session ended by itself: {cut:?}");
    ensure!(sum.is_clean(), "messages were lost or doubled: {sum:?}");
    Ok(sum)
}
