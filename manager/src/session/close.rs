//! The end of a session, once, with everything that follows from it in one transaction.

use proto::{
    api::{UnixMillis, reception::Event},
    close::CloseReason,
    id::SessionId,
};
use serde_json::json;

use super::{
    state::{Ended, Session},
    store,
};
use crate::{
    app::App,
    audit::{self, Actor, AuditEvent},
    db::{DbResult, Tx},
    events,
    reception::{self, state::Reception},
};

/// What a transaction did, to be told after its commit.
#[derive(Debug, Default)]
pub struct Closed {
    session: Option<Session>,
    reception: Option<Reception>,
}

impl Closed {
    /// A reception that was closed or opened again.
    pub const fn of_reception(reception: Reception) -> Self {
        Self { session: None, reception: Some(reception) }
    }

    /// Whether the session ended by this.
    pub const fn ended(&self) -> bool {
        self.session.is_some()
    }

    /// With what another step of the same transaction did.
    pub fn and(self, other: Self) -> Self {
        Self { session: self.session.or(other.session), reception: self.reception.or(other.reception) }
    }

    /// Wakes the operator's streams, counts and logs. Call it after the commit.
    pub fn tell(&self, app: &App) {
        if let Some(reception) = &self.reception {
            app.events.wake(reception.operator_id);
            if !reception.stage.is_open() {
                let state = reception::state::name(reception.stage.state());
                app.metrics.reception.manager_receptions_closed_total.with_label_values(&[state]).inc();
            }
        }
        let Some(session) = &self.session else { return };
        app.events.wake(session.operator_id);
        let Some(ended) = session.stage.ended() else { return };
        let (id, reason) = (session.id, ended.reason.as_str());
        app.metrics.session.ended(ended.reason, session.stage.connected_at_ms().is_some());
        if let Some(seconds) = ended.duration_ms().and_then(|ms| u32::try_from(ms / 1000).ok()) {
            app.metrics.session.manager_session_seconds.observe(f64::from(seconds));
        }
        tracing::info!(session.id = %id, event = "session.ended", reason, "Session {id} ended: {reason}");
    }
}

/// Ends a session unless it ended before; an unproved one gives its number back or burns it.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn end(
    tx: &mut Tx,
    session_id: SessionId,
    (reason, at_ms): (CloseReason, UnixMillis),
    actor: Actor,
    now_ms: UnixMillis,
) -> DbResult<Closed> {
    let Some(reception_id) = store::reception_of(tx, session_id).await? else { return Ok(Closed::default()) };
    let reception = reception::store::lock(tx, reception_id).await?.map(|stored| stored.reception);
    let Some(session) = store::lock(tx, session_id).await? else { return Ok(Closed::default()) };
    let Ok(session) = session.end(reason, at_ms) else { return Ok(Closed::default()) };
    store::save(tx, &session).await?;
    let reception = reception.filter(|_| session.stage.proved_at_ms().is_none());
    // A number that was cancelled meanwhile stays cancelled.
    let reception = reception.and_then(|reception| reception.leave(session_id, now_ms).ok());
    events::store::append(tx, session.operator_id, &Event::Ended { session_id, reason }, now_ms).await?;
    if let Some(reception) = &reception {
        reception::closed(tx, reception, Some(session_id), Actor::Manager, now_ms).await?;
    }
    let ended = session.stage.ended();
    let detail = json!({
        "reason": reason.as_str(),
        "connected_at_ms": session.stage.connected_at_ms(),
        "ended_at_ms": ended.map(|ended| ended.at_ms),
        "duration_ms": ended.and_then(Ended::duration_ms),
    });
    audit::append(tx, audited(&session, "session.ended", actor, now_ms, detail)).await?;
    Ok(Closed { session: Some(session), reception })
}

/// An audit event about a session.
pub fn audited(
    session: &Session,
    event: &'static str,
    actor: Actor,
    at_ms: UnixMillis,
    detail: serde_json::Value,
) -> AuditEvent {
    AuditEvent {
        at_ms,
        company: Some(session.company_id),
        actor,
        event,
        reception: Some(session.reception_id),
        session: Some(session.id),
        detail,
    }
}
