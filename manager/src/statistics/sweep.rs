//! Makes the figures of the hours that are not final yet, again and again; one manager of a database at a time.

use std::{collections::BTreeMap, time::Duration};

use proto::api::UnixMillis;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    state::{self, HOUR_MS},
    store,
};
use crate::{
    app::App,
    db::{DbResult, Tx},
};

/// Pause between two rounds: figures are at most so old.
const EVERY: Duration = Duration::from_mins(1);
/// Another manager that began a round within this time is still at it.
const TURN_MS: i64 = 45_000;
/// Hours after which every session that began in one is over: a working day and a lease.
const FINAL_AFTER_MS: i64 = 10 * HOUR_MS;
/// Hours that are made in one transaction, so that a first round over a year holds no lock for long.
const WINDOW_MS: i64 = 24 * HOUR_MS;

/// Makes figures until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut turn = tokio::time::interval(EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            made = round(&app) => if let Err(error) = made {
                warn!(event = "statistics.failed", error = %error, "The figures could not be made; the next round tries again");
            },
        }
    }
}

/// Makes every hour up to now that is not final, unless another manager does; how many windows.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn round(app: &App) -> DbResult<usize> {
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let begun = store::begin(&mut tx, now_ms, TURN_MS).await?;
    let Some(final_until_ms) = begun else { return Ok(0) };
    let first = if final_until_ms == 0 { store::first(&mut tx).await? } else { Some(final_until_ms) };
    tx.commit().await?;
    let mut since_ms = hour(first.unwrap_or(now_ms));
    let mut windows = 0usize;
    while since_ms <= now_ms {
        let until_ms = since_ms.saturating_add(WINDOW_MS).min(hour(now_ms).saturating_add(HOUR_MS));
        let mut tx = app.db.begin().await?;
        make(&mut tx, since_ms, until_ms).await?;
        let final_until_ms = until_ms.min(hour(now_ms.saturating_sub(FINAL_AFTER_MS)));
        store::done(&mut tx, final_until_ms, now_ms).await?;
        tx.commit().await?;
        windows = windows.saturating_add(1);
        since_ms = until_ms;
    }
    Ok(windows)
}

/// Makes the hours since `since_ms` anew that are final already, for whoever has written into the past; how many windows.
/// What is not final the next round makes.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn make_past(app: &App, since_ms: UnixMillis) -> DbResult<usize> {
    let mut tx = app.db.read().await?;
    let end_ms = store::final_until(&mut tx).await?;
    drop(tx);
    let mut since_ms = hour(since_ms);
    let mut windows = 0usize;
    while since_ms < end_ms {
        let until_ms = since_ms.saturating_add(WINDOW_MS).min(end_ms);
        let mut tx = app.db.begin().await?;
        make(&mut tx, since_ms, until_ms).await?;
        tx.commit().await?;
        windows = windows.saturating_add(1);
        since_ms = until_ms;
    }
    Ok(windows)
}

async fn make(tx: &mut Tx, since_ms: UnixMillis, until_ms: UnixMillis) -> DbResult<()> {
    store::make(tx, since_ms, until_ms).await?;
    make_peaks(tx, since_ms, until_ms).await
}

/// The most sessions at the same time, company by company.
async fn make_peaks(tx: &mut Tx, since_ms: UnixMillis, until_ms: UnixMillis) -> DbResult<()> {
    let rows = store::connected(tx, since_ms.saturating_sub(FINAL_AFTER_MS), (since_ms, until_ms)).await?;
    let mut companies: BTreeMap<String, Vec<(UnixMillis, Option<UnixMillis>)>> = BTreeMap::new();
    for (company_id, began, ended) in rows {
        companies.entry(company_id).or_default().push((began, ended));
    }
    for (company_id, sessions) in companies {
        for (hour_ms, peak) in state::peaks((since_ms, until_ms), &sessions) {
            store::keep_peak(tx, &company_id, hour_ms, peak).await?;
        }
    }
    Ok(())
}

const fn hour(at_ms: UnixMillis) -> UnixMillis {
    at_ms - at_ms.rem_euclid(HOUR_MS)
}
