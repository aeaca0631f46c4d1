//! What both tools say about a session, and the operator's support log.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use proto::{
    api::{
        UnixMillis,
        error::ErrorBody,
        session::{
            ConsentAnswer, ConsentRequest, DeviceRequest, EndRequest, SESSION_CONSENT, SESSION_DEVICE, SESSION_END,
            SESSION_PROVED, SESSIONS, SessionList,
        },
    },
    device::DeviceFact,
    grant::GrantKind,
    id::SessionId,
    limits,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    caller::Caller,
    close::{self, Closed, audited},
    relayed,
    state::{Session, WrongState},
    store,
};
use crate::{
    app::App,
    audit,
    db::{DbResult, Tx},
    error::{ApiError, ApiResult},
    extract::{Body, InPath, InQuery},
    login::LoggedIn,
    reception,
    throttle::{self, Rate, Taken},
};

/// Sessions in a list when nothing is asked, and at most.
const LIMIT: i64 = 50;
const LIMIT_MAX: i64 = 200;
/// Answers and device facts that one customer's token may send, repeats included: many times what a session of eight
/// hours has. The window is longer than any session, so that this is all there will ever be.
const SAID: Rate = Rate { max: 256, window: Duration::from_hours(24) };

/// Query of [`sessions`].
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// How many, 1 to 200; 50 when absent.
    limit: Option<i64>,
}

/// Both confirmations of the key exchange held. Repeatable. The number is used up when the operator says so.
#[utoipa::path(
    post,
    path = SESSION_PROVED,
    tag = "sessions",
    security(("bearer" = [])),
    params(("session_id" = SessionId, Path)),
    responses(
        (status = 204),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It ended unproved"),
    ),
)]
pub(super) async fn proved(
    State(app): State<App>,
    caller: Caller,
    InPath(session_id): InPath<SessionId>,
) -> ApiResult<StatusCode> {
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let reception_id = store::reception_of(&mut tx, session_id).await?.ok_or(ApiError::not_found())?;
    let reception = reception::store::lock(&mut tx, reception_id).await?.map(|stored| stored.reception);
    let session = lock_own(&mut tx, caller, session_id).await?;
    let before = session.stage;
    if let Caller::Customer(_) = caller {
        // Only the operator's word counts; this one says that the customer's tool is there.
        relayed::seen_at(&mut tx, session_id, now_ms).await?;
        tx.commit().await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let session = session.prove(now_ms).map_err(refuse)?;
    store::save(&mut tx, &session).await?;
    let mut closed = Closed::default();
    if before.proved_at_ms().is_none() {
        // A number that was cancelled at this moment ends the session by itself.
        if let Some(reception) = reception.and_then(|reception| reception.prove(session_id, now_ms).ok()) {
            reception::closed(&mut tx, &reception, Some(session_id), caller.actor(), now_ms).await?;
            closed = Closed::of_reception(reception);
        }
        let event = audited(&session, "session.proved", caller.actor(), now_ms, json!({}));
        audit::append(&mut tx, event).await?;
        note_connected(&mut tx, &session, caller, now_ms).await?;
    }
    tx.commit().await?;
    closed.tell(&app);
    Ok(StatusCode::NO_CONTENT)
}

/// The customer answered a question, or took a grant back. The first view connects the session. Repeatable.
/// Before the operator's word of the proof has come only the view is taken: whoever is there may be a stranger.
#[utoipa::path(
    post,
    path = SESSION_CONSENT,
    tag = "sessions",
    security(("bearer" = [])),
    params(("session_id" = SessionId, Path)),
    request_body = ConsentRequest,
    responses(
        (status = 204),
        (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody, description = "Only the customer may"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It is over"),
        (status = 429, body = ErrorBody, description = "More than a session has to say"),
        (status = 503, body = ErrorBody, description = "The operator's word of the proof has not come yet"),
    ),
)]
pub(super) async fn consent(
    State(app): State<App>,
    caller: Caller,
    InPath(session_id): InPath<SessionId>,
    Body(request): Body<ConsentRequest>,
) -> ApiResult<StatusCode> {
    let caller = caller.customer()?;
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let session = lock_own(&mut tx, caller, session_id).await?;
    let before = session.stage;
    if request.kind != GrantKind::View {
        wait_for_proof(&session)?;
    }
    if let Some(refusal) = said_too_much(&mut tx, session_id, now_ms).await? {
        tx.commit().await?;
        return Err(refusal);
    }
    let session = session.consent(request.kind, request.answer, now_ms).map_err(refuse)?;
    store::save(&mut tx, &session).await?;
    let (kind, answer) = (request.kind.as_str(), answer_name(request.answer));
    if store::log_consent(&mut tx, session_id, kind, answer, now_ms).await? {
        let detail = json!({ "kind": kind, "answer": answer });
        audit::append(&mut tx, audited(&session, "session.consented", caller.actor(), now_ms, detail)).await?;
    }
    if before.connected_at_ms().is_none() {
        note_connected(&mut tx, &session, caller, now_ms).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Facts about the device that the customer saw and agreed to send. Repeatable.
#[utoipa::path(
    post,
    path = SESSION_DEVICE,
    tag = "sessions",
    security(("bearer" = [])),
    params(("session_id" = SessionId, Path)),
    request_body = DeviceRequest,
    responses(
        (status = 204),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody, description = "Only the customer may"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It is over"),
        (status = 429, body = ErrorBody, description = "More than a session has to say"),
        (status = 503, body = ErrorBody, description = "The operator's word of the proof has not come yet"),
    ),
)]
pub(super) async fn device(
    State(app): State<App>,
    caller: Caller,
    InPath(session_id): InPath<SessionId>,
    Body(request): Body<DeviceRequest>,
) -> ApiResult<StatusCode> {
    let caller = caller.customer()?;
    if limits::DEVICE_FACTS_MAX < request.facts.len() {
        return Err(ApiError::bad_request("facts has more than 64 facts"));
    }
    if !request.facts.iter().all(DeviceFact::is_valid) {
        return Err(ApiError::bad_request("value must be one line of at most 256 bytes"));
    }
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let session = lock_own(&mut tx, caller, session_id).await?;
    if session.stage.ended().is_some() {
        return Err(ApiError::wrong_state("a session that is ended takes no device facts"));
    }
    wait_for_proof(&session)?;
    if let Some(refusal) = said_too_much(&mut tx, session_id, now_ms).await? {
        tx.commit().await?;
        return Err(refusal);
    }
    if store::keep_device(&mut tx, session_id, &json!(request.facts).to_string()).await? {
        let detail = json!({ "facts": request.facts.len() });
        audit::append(&mut tx, audited(&session, "session.device_sent", caller.actor(), now_ms, detail)).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The session is over. Repeatable; the first reason counts.
#[utoipa::path(
    post,
    path = SESSION_END,
    tag = "sessions",
    security(("bearer" = [])),
    params(("session_id" = SessionId, Path)),
    request_body = EndRequest,
    responses((status = 204), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
)]
pub(super) async fn end(
    State(app): State<App>,
    caller: Caller,
    InPath(session_id): InPath<SessionId>,
    Body(request): Body<EndRequest>,
) -> ApiResult<StatusCode> {
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let session = store::find(&mut tx, session_id).await?.filter(|session| caller.owns(session));
    let session = session.ok_or(ApiError::not_found())?;
    let closed = close::end(&mut tx, session.id, (request.reason, now_ms), caller.actor(), now_ms).await?;
    tx.commit().await?;
    closed.tell(&app);
    Ok(StatusCode::NO_CONTENT)
}

/// The operator's own sessions, newest first.
#[utoipa::path(
    get,
    path = SESSIONS,
    tag = "sessions",
    security(("bearer" = [])),
    params(Page),
    responses((status = 200, body = SessionList), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)),
)]
pub(super) async fn sessions(
    State(app): State<App>,
    login: LoggedIn,
    InQuery(page): InQuery<Page>,
) -> ApiResult<Json<SessionList>> {
    let limit = page.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::bad_request("limit must be from 1 to 200"));
    }
    let mut tx = app.db.read().await?;
    Ok(Json(SessionList { sessions: store::of_operator(&mut tx, login.operator_id, limit).await? }))
}

/// Locks a session of this caller; anybody else's is not there.
///
/// # Errors
/// `NotFound`, or what the database says.
pub(super) async fn lock_own(tx: &mut Tx, caller: Caller, session_id: SessionId) -> ApiResult<Session> {
    store::lock(tx, session_id).await?.filter(|session| caller.owns(session)).ok_or(ApiError::not_found())
}

/// Audits the beginning of support, when this step was it.
async fn note_connected(tx: &mut Tx, session: &Session, caller: Caller, now_ms: UnixMillis) -> ApiResult<()> {
    if session.stage.connected_at_ms().is_some() {
        audit::append(tx, audited(session, "session.connected", caller.actor(), now_ms, json!({}))).await?;
        let id = session.id;
        tracing::info!(session.id = %id, event = "session.connected", "Session {id} connected");
    }
    Ok(())
}

/// What only a proved customer may say is refused for now before the operator's word of the proof has come, which may be
/// on its way: the tool tries again.
fn wait_for_proof(session: &Session) -> ApiResult<()> {
    if session.stage.proved_at_ms().is_some() || session.stage.ended().is_some() {
        return Ok(());
    }
    Err(ApiError::not_yet("the operator's tool has not said that the secret is proved"))
}

/// Counts one more word of a customer; the refusal when there were too many. The count must be committed either way.
async fn said_too_much(tx: &mut Tx, session_id: SessionId, now_ms: UnixMillis) -> DbResult<Option<ApiError>> {
    Ok(match throttle::take(tx, "session.said", &session_id.to_string(), SAID, now_ms).await? {
        Taken::Within => None,
        Taken::Beyond { retry_after_secs } => Some(ApiError::throttled(retry_after_secs)),
    })
}

fn refuse(wrong: WrongState) -> ApiError {
    ApiError::wrong_state(wrong.to_string())
}

const fn answer_name(answer: ConsentAnswer) -> &'static str {
    match answer {
        ConsentAnswer::Granted => "granted",
        ConsentAnswer::Refused => "refused",
        ConsentAnswer::TakenBack => "taken_back",
        ConsentAnswer::Lapsed => "lapsed",
    }
}
