//! `POST /v1/relay/heartbeat` and `POST /v1/relay/report`.

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequestParts, State},
    http::request::Parts,
};
use proto::{
    api::{
        UnixMillis,
        error::{ErrorBody, ErrorCode},
        relay::{
            HEARTBEAT, HeartbeatAnswer, HeartbeatRequest, REPORT, ReportAnswer, ReportEvent, ReportRequest, ReportWhat,
            TicketKey,
        },
    },
    id::RelayId,
    limits,
};
use tracing::warn;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::store;
use crate::{
    app::App,
    db::{DbError, DbResult, Tx},
    error::{ApiError, ApiResult},
    extract::{Bearer, Body},
    session::{self, state::ends_everywhere},
    throttle::millis,
};

/// A host name, a colon and a port.
const ADDRESS_LEN_MAX: usize = 260;
/// A program version.
const VERSION_LEN_MAX: usize = 64;
/// Bytes that one report may add to a session (1 PiB, far more than eight hours carry), so that a sum has room for all.
const BYTES_MAX: u64 = 1 << 50;

/// A relay that is known, as an argument of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay(pub RelayId);

impl FromRequestParts<App> for Relay {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Bearer(token) = Bearer::from_request_parts(parts, app).await?;
        let mut tx = app.db.read().await?;
        store::find(&mut tx, &token).await?.map(Self).ok_or(ApiError::new(ErrorCode::NotLoggedIn))
    }
}

/// Routes of this slice.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(heartbeat))
        .routes(routes!(report))
        .layer(DefaultBodyLimit::max(limits::RELAY_BODY_MAX))
}

/// A relay says that it is alive and which sessions it has; they keep their lease.
#[utoipa::path(
    post,
    path = HEARTBEAT,
    tag = "relays",
    security(("bearer" = [])),
    request_body = HeartbeatRequest,
    responses(
        (status = 200, body = HeartbeatAnswer),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
    ),
)]
async fn heartbeat(
    State(app): State<App>,
    Relay(relay_id): Relay,
    Body(said): Body<HeartbeatRequest>,
) -> ApiResult<Json<HeartbeatAnswer>> {
    check_heartbeat(&said)?;
    let now_ms = app.now_ms();
    let sessions = serde_json::json!(said.sessions).to_string();
    let mut tx = app.db.begin().await?;
    store::heard(&mut tx, relay_id, &said, now_ms).await?;
    let stale_before_ms = now_ms.saturating_sub(millis(app.config.session.seen_every()));
    session::relayed::seen(&mut tx, &sessions, stale_before_ms, now_ms).await?;
    let ended_since_ms = now_ms.saturating_sub(millis(limits::TICKET_LIFE.saturating_add(limits::CLOCK_SKEW_MAX)));
    let revoked = session::relayed::ended_among(&mut tx, &sessions, ended_since_ms).await?;
    tx.commit().await?;
    app.metrics.relays.manager_relay_heartbeats_total.inc();
    let key = app.signing_key.verifying_key();
    Ok(Json(HeartbeatAnswer {
        ticket_keys: vec![TicketKey { key_id: key.key_id().to_owned(), public_key: key.to_hex() }],
        revoked,
        now_ms,
        next_secs: u32::try_from(app.config.relays.heartbeat_every.get().as_secs()).unwrap_or(u32::MAX).max(1),
    }))
}

/// A relay tells what happened; repeated until it is acknowledged, stored once.
#[utoipa::path(
    post,
    path = REPORT,
    tag = "relays",
    security(("bearer" = [])),
    request_body = ReportRequest,
    responses(
        (status = 200, body = ReportAnswer),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
    ),
)]
async fn report(
    State(app): State<App>,
    Relay(relay_id): Relay,
    Body(report): Body<ReportRequest>,
) -> ApiResult<Json<ReportAnswer>> {
    check_report(&report)?;
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let stored_before = store::lock_reports(&mut tx, relay_id, &report.boot, now_ms).await?;
    let mut stored_seq = u64::try_from(stored_before).unwrap_or(0);
    let (mut news, mut repeated) = (Vec::new(), 0u64);
    for event in report.events {
        if event.seq <= stored_seq {
            repeated = repeated.saturating_add(1);
        } else {
            stored_seq = event.seq;
            news.push(event);
        }
    }
    // Two relays report about the same sessions: whoever locks them in one order never waits in a circle. The sort is
    // stable, so what happened to one session stays in its order.
    news.sort_by_key(|event| event.session_id);
    let taken = u64::try_from(news.len()).unwrap_or(u64::MAX);
    for event in news {
        let id = event.session_id;
        match take(&mut tx, relay_id, event, now_ms).await {
            Err(error @ DbError::InconsistentRow { .. }) => {
                warn!(session.id = %id, event = "report.passed_over", error = %error, "A report of session {id} was lost");
            }
            result => result?,
        }
    }
    store::stored(&mut tx, relay_id, &report.boot, i64::try_from(stored_seq).unwrap_or(i64::MAX)).await?;
    tx.commit().await?;
    let counted = &app.metrics.relays.manager_relay_reports_total;
    counted.with_label_values(&["stored"]).inc_by(taken);
    counted.with_label_values(&["repeated"]).inc_by(repeated);
    Ok(Json(ReportAnswer { stored_seq }))
}

/// Stores one event; one of a session that is not known tells nothing and is passed over.
async fn take(tx: &mut Tx, relay_id: RelayId, event: ReportEvent, now_ms: UnixMillis) -> DbResult<()> {
    // A relay whose clock is ahead must not write the future.
    let at_ms = event.at_ms.min(now_ms);
    match event.what {
        ReportWhat::Joined { role: _ } => session::relayed::seen_at(tx, event.session_id, at_ms).await,
        ReportWhat::Paired => {
            let region = store::region_at(tx, relay_id).await?;
            session::relayed::paired(tx, event.session_id, region, at_ms, now_ms).await
        }
        ReportWhat::Ended { reason, customer_bytes, operator_bytes } => {
            let bytes = [customer_bytes, operator_bytes].map(|bytes| i64::try_from(bytes.min(BYTES_MAX)).unwrap_or(0));
            if ends_everywhere(reason) {
                session::relayed::ended_at_relay(tx, event.session_id, at_ms, reason, bytes).await
            } else {
                session::relayed::lost_at_relay(tx, event.session_id, at_ms, reason, bytes).await
            }
        }
    }
}

fn check_heartbeat(said: &HeartbeatRequest) -> ApiResult<()> {
    let port = said.address.rsplit_once(':').and_then(|(host, port)| {
        let host_ok = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
        host_ok.then_some(port)?.parse::<u16>().ok()
    });
    if ADDRESS_LEN_MAX < said.address.len() || port.is_none_or(|port| port == 0) {
        return Err(ApiError::bad_request("address must be a host and a port"));
    }
    if !is_hex(&said.spki, 64) {
        return Err(ApiError::bad_request("spki must have 64 lower-case hexadecimal digits"));
    }
    if VERSION_LEN_MAX < said.version.len() {
        return Err(ApiError::bad_request("version is too long"));
    }
    if limits::HEARTBEAT_SESSIONS_MAX < said.sessions.len() {
        return Err(ApiError::bad_request("sessions has more than 20000 ids"));
    }
    Ok(())
}

fn check_report(report: &ReportRequest) -> ApiResult<()> {
    if !is_hex(&report.boot, 32) {
        return Err(ApiError::bad_request("boot must have 32 lower-case hexadecimal digits"));
    }
    if limits::REPORT_EVENTS_MAX < report.events.len() {
        return Err(ApiError::bad_request("events has more than 500 events"));
    }
    Ok(())
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
