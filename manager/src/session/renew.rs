//! `POST /v1/sessions/{session_id}/ticket`: a fresh ticket for a tool whose session goes on.
//!
//! Each tool renews every few minutes, so a renewal is counted and not audited: it changes nothing of the session but
//! when it was last seen, and the order of its relays when one of them is gone.

use std::time::Duration;

use axum::{Json, extract::State};
use proto::{
    api::{
        error::{ErrorBody, ErrorCode},
        session::{RenewAnswer, SESSION_TICKET},
    },
    id::SessionId,
};

use super::{api::lock_own, caller::Caller, store, ticket};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    extract::InPath,
    halt, relays,
    throttle::{self, Rate, Taken},
};

/// Renewals of one tool of one session; counted in the database, for all managers together.
const RATE: Rate = Rate { max: 1, window: Duration::from_secs(1) };

/// A fresh ticket for the caller's proof key, with the relays of now. Both tools are told the same relays in the same
/// order: living ones that the session had keep their places, those that are gone come last or make room for others.
#[utoipa::path(
    post,
    path = SESSION_TICKET,
    tag = "sessions",
    security(("bearer" = [])),
    params(("session_id" = SessionId, Path)),
    responses(
        (status = 200, body = RenewAnswer),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It is over, or it began before tickets could be renewed"),
        (status = 429, body = ErrorBody, description = "More than one in a second"),
        (status = 503, body = ErrorBody, description = "No relay is alive, or the whole service is stopped"),
    ),
)]
pub(super) async fn renew(
    State(app): State<App>,
    caller: Caller,
    InPath(session_id): InPath<SessionId>,
) -> ApiResult<Json<RenewAnswer>> {
    let answer = try_renew(&app, caller, session_id).await;
    let result = match answer.as_ref().map_err(ApiError::code) {
        Ok(_) => "ok",
        Err(ErrorCode::Throttled) => "throttled",
        Err(ErrorCode::WrongState) => "wrong_state",
        Err(ErrorCode::ServiceHalted) => "halted",
        Err(_) => "failed",
    };
    app.metrics.session.manager_ticket_renewals_total.with_label_values(&[result]).inc();
    answer.map(Json)
}

async fn try_renew(app: &App, caller: Caller, session_id: SessionId) -> ApiResult<RenewAnswer> {
    let now_ms = app.now_ms();
    let role = caller.role();
    let mut tx = app.db.begin().await?;
    // The lock puts renewals of both tools in a row, so that the second one is told what the first one was.
    let session = lock_own(&mut tx, caller, session_id).await?;
    if session.stage.ended().is_some() || session.hard_end_at_ms <= now_ms {
        return Err(ApiError::wrong_state("a session that is ended cannot be renewed"));
    }
    if halt::store::halted_at(&mut tx).await?.is_some() {
        // The transaction is dropped, so that it counts as no renewal; the relays end the session.
        return Err(ApiError::new(ErrorCode::ServiceHalted));
    }
    let bucket = format!("{session_id} {}", role.as_str());
    if let Taken::Beyond { retry_after_secs } = throttle::take(&mut tx, "renew", &bucket, RATE, now_ms).await? {
        return Err(ApiError::throttled(retry_after_secs));
    }
    let (keys, had) = store::renewal(&mut tx, session_id).await?;
    let keys = keys.ok_or(ApiError::wrong_state("a session that began before an upgrade cannot be renewed"))?;
    let relays = relays::choose::for_running_session(app, &mut tx, session.company_id, &had, now_ms).await?;
    if relays.is_empty() {
        return Err(ApiError::new(ErrorCode::NoRelay));
    }
    let relay_ids: Vec<_> = relays.iter().map(|relay| relay.relay_id).collect();
    store::renewed(&mut tx, session_id, &relay_ids, now_ms).await?;
    let issued = ticket::issue(app, &session, role, keys.of(role), relays, now_ms)?;
    tx.commit().await?;
    Ok(RenewAnswer { ticket: issued.ticket, relays: issued.relays, expires_at_ms: issued.expires_at_ms })
}
