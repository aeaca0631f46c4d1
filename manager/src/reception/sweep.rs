//! What time does to receptions: they expire, and their locators rest.

use super::{closed, state::name, store};
use crate::{
    app::App,
    audit::Actor,
    db::{DbError, DbResult},
};

/// Receptions looked at in one round.
const BATCH: i64 = 200;

/// Expires what is over; how many.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn sweep(app: &App) -> DbResult<u64> {
    let now_ms = app.now_ms();
    let mut tx = app.db.read().await?;
    let over = store::expired(&mut tx, now_ms, BATCH).await?;
    drop(tx);
    let mut count = 0u64;
    for (id,) in over {
        let Ok(reception_id) = id.parse() else { continue };
        let mut tx = app.db.begin().await?;
        let stored = match store::lock(&mut tx, reception_id).await {
            Ok(Some(stored)) => stored,
            Ok(None) => continue,
            Err(error @ DbError::InconsistentRow { .. }) => {
                // One unreadable row keeps nobody else from expiring.
                tracing::warn!(reception.id = %reception_id, event = "sweep.stuck", error = %error,
                    "Reception {reception_id} cannot be expired");
                continue;
            }
            Err(error) => return Err(error),
        };
        // Entered, extended or closed since the look: then there is nothing to do.
        let Ok(reception) = stored.reception.expire(now_ms) else { continue };
        closed(&mut tx, &reception, None, Actor::Manager, now_ms).await?;
        tx.commit().await?;
        app.events.wake(reception.operator_id);
        let state = name(reception.stage.state());
        app.metrics.reception.manager_receptions_closed_total.with_label_values(&[state]).inc();
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// Cancels open numbers of accounts that were stopped or deleted, and of companies whose contract does not run, and every
/// one while the service is halted; how many.
/// One that is being entered is cancelled once its session has ended.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn cancel_revoked(app: &App) -> DbResult<u64> {
    let now_ms = app.now_ms();
    let mut tx = app.db.read().await?;
    let revoked = store::revoked(&mut tx, BATCH).await?;
    drop(tx);
    let mut count = 0u64;
    for (id,) in revoked {
        let Ok(reception_id) = id.parse() else { continue };
        let mut tx = app.db.begin().await?;
        let Some(stored) = store::lock(&mut tx, reception_id).await? else { continue };
        let Ok(reception) = stored.reception.cancel(now_ms) else { continue };
        closed(&mut tx, &reception, None, Actor::Manager, now_ms).await?;
        tx.commit().await?;
        app.events.wake(reception.operator_id);
        let state = name(reception.stage.state());
        app.metrics.reception.manager_receptions_closed_total.with_label_values(&[state]).inc();
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// Forgets locators that have rested; how many.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forget(app: &App) -> DbResult<u64> {
    let mut tx = app.db.begin().await?;
    let forgotten = store::forget_locators(&mut tx, app.now_ms()).await?;
    tx.commit().await?;
    Ok(forgotten)
}
