//! Forgets what no longer matters: ended logins, old failures, old throttle counters.

use super::{link, store};
use crate::{app::App, db::DbResult, operator::import, provider::flow, throttle};

/// Deletes them; how many rows.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn sweep(app: &App) -> DbResult<u64> {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let logins = store::sweep(&mut tx, now).await?;
    let links = link::sweep(&mut tx, now).await?;
    let throttles = throttle::sweep(&mut tx, now).await?;
    import::store::sweep(&mut tx, now).await?;
    flow::sweep(&mut tx, now).await?;
    tx.commit().await?;
    Ok(logins.saturating_add(links).saturating_add(throttles))
}
