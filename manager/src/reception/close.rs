//! What follows from a step of a reception, in the transaction of that step: its row, the operator's event, the audit.

use proto::api::{
    UnixMillis,
    reception::{Event, ReceptionState},
};
use proto::id::SessionId;
use serde_json::json;

use super::{
    state::{Reception, name},
    store,
};
use crate::{
    audit::{self, Actor, AuditEvent},
    db::{DbResult, Tx},
    events,
};

/// Writes a reception that was proved, left, cancelled or expired, and tells its operator and the audit.
///
/// `session_id` is the session that was concerned. After the commit, wake the operator's streams.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn closed(
    tx: &mut Tx,
    reception: &Reception,
    session_id: Option<SessionId>,
    actor: Actor,
    now_ms: UnixMillis,
) -> DbResult<()> {
    store::save(tx, reception).await?;
    let reception_id = reception.id;
    let unproved_count = reception.unproved_count;
    let (told, event) = match (reception.stage.state(), session_id) {
        (ReceptionState::Issued, Some(session_id)) => {
            (Some(Event::Reopened { reception_id, session_id, unproved_count }), "reception.reopened")
        }
        (ReceptionState::Proved, Some(session_id)) => {
            (Some(Event::Proved { reception_id, session_id }), "reception.proved")
        }
        (ReceptionState::Burned, _) => (Some(Event::Burned { reception_id }), "reception.burned"),
        (ReceptionState::Expired, _) => (Some(Event::Expired { reception_id }), "reception.expired"),
        (ReceptionState::Cancelled, _) => (Some(Event::Cancelled { reception_id }), "reception.cancelled"),
        (ReceptionState::Issued | ReceptionState::Entered | ReceptionState::Proved, _) => (None, "reception.changed"),
    };
    if let Some(told) = told {
        events::store::append(tx, reception.operator_id, &told, now_ms).await?;
    }
    let detail = json!({ "state": name(reception.stage.state()), "unproved_count": unproved_count });
    let company = Some(reception.company_id);
    let reception = Some(reception_id);
    audit::append(tx, AuditEvent { at_ms: now_ms, company, actor, event, reception, session: session_id, detail })
        .await?;
    tracing::info!(reception.id = %reception_id, event, "Reception {reception_id}: {event}");
    Ok(())
}
