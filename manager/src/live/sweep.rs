//! Looks again and again whether something happened in the companies whose boards are open here.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::store;
use crate::{app::App, db::DbResult};

/// A change is on every open board after this time and a little.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        if let Err(error) = look_once(&app).await {
            warn!(event = "live.look_failed", error = %error, "The boards could not be brought up to date");
        }
    }
}

/// One question for all companies whose boards are open here.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn look_once(app: &App) -> DbResult<()> {
    let companies = app.boards.companies();
    if companies.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.read().await?;
    let newest = store::newest(&mut tx, &serde_json::json!(companies).to_string()).await?;
    drop(tx);
    for (company, newest) in newest {
        if let Ok(company_id) = company.parse() {
            app.boards.saw(company_id, newest);
        }
    }
    Ok(())
}
