//! What time does to starts: those that nobody took expire, and those that nobody can take are cancelled.

use serde_json::json;

use super::{state::StartState, store};
use crate::{
    app::App,
    audit::{self, Actor, AuditEvent},
    db::{DbError, DbResult},
};

/// Starts looked at in one round.
const BATCH: i64 = 200;

/// Closes what waits for nobody any more; how many.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn sweep(app: &App) -> DbResult<u64> {
    let now_ms = app.now_ms();
    let mut tx = app.db.read().await?;
    let over = store::over(&mut tx, now_ms, BATCH).await?;
    drop(tx);
    let mut count = 0u64;
    for over in over {
        let wrong = |column| DbError::InconsistentRow { table: "device_starts", column, id: over.reception_id.clone() };
        let reception_id = over.reception_id.parse().map_err(|_not_an_id| wrong("reception_id"))?;
        let company_id = over.company_id.parse().map_err(|_not_an_id| wrong("company_id"))?;
        let (state, event) = if over.late {
            (StartState::Expired, "reception.expired")
        } else {
            (StartState::Cancelled, "reception.cancelled")
        };
        let mut tx = app.db.begin().await?;
        // Taken or called off since the look: then there is nothing to do.
        if !store::close(&mut tx, reception_id, state, now_ms).await? {
            continue;
        }
        let event = AuditEvent {
            at_ms: now_ms,
            company: Some(company_id),
            actor: Actor::Manager,
            event,
            reception: Some(reception_id),
            session: None,
            detail: json!({ "state": state.as_str() }),
        };
        audit::append(&mut tx, event).await?;
        tx.commit().await?;
        count = count.saturating_add(1);
    }
    Ok(count)
}
