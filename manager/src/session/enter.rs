//! `POST /v1/enter`: a customer typed a number, and one session begins.
//!
//! A tool that got no answer asks again with the same proof key and gets the same session and token (`repeat.rs`).
//! Unknown, expired, used, burned, cancelled and throttled numbers give one answer, one text, and one time: a refusal
//! takes at least the configured time, whatever happened inside.

use std::{net::IpAddr, time::Duration};

use axum::{Json, extract::State};
use proto::{
    api::{
        UnixMillis,
        error::{ErrorBody, ErrorCode},
        reception::{ENTER, EnterAnswer, EnterRequest, Event, Pairing, RelayAddress},
    },
    grant::GrantKind,
    id::SessionId,
    introduction::Introduction,
    limits,
    role::Role,
};
use rand_core::RngCore as _;
use serde_json::json;

use super::{
    close::audited,
    guess::{self, Level, Verdict},
    repeat,
    state::{Session, Stage},
    store::{self, NewSession, ProofKeyHashes},
    ticket,
};
use crate::{
    app::{self, App},
    audit::{self, Actor, AuditEvent},
    bearer::BearerToken,
    db::{DbResult, Tx},
    device,
    error::{ApiError, ApiResult},
    events,
    extract::{Body, Source},
    fetch_one, halt,
    reception::{self, proof_key::PublicProofKey, state::Reception},
    relays,
    role::{self, Permission, Permissions},
    throttle::millis,
};

/// A refusal takes up to this much longer at random, so that nothing can be learnt from many measurements.
const JITTER_MS: u32 = 50;

/// The operator of a reception, as the role and the company's region are now.
#[derive(sqlx::FromRow)]
struct OperatorRow {
    company_name: String,
    region: String,
    operator_name: String,
    role: String,
    role_permissions: Option<String>,
    /// Whether a device management started the reception.
    managed: bool,
}

/// Enters a number. Every reason why it cannot be used reads the same.
#[utoipa::path(
    post,
    path = ENTER,
    tag = "receptions",
    request_body = EnterRequest,
    responses(
        (status = 200, body = EnterAnswer),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody, description = "Unknown, expired, used, burned or throttled"),
        (status = 503, body = ErrorBody, description = "No relay is alive, or the whole service is stopped"),
    ),
)]
pub(super) async fn enter(
    State(app): State<App>,
    Source(source): Source,
    Body(request): Body<EnterRequest>,
) -> ApiResult<Json<EnterAnswer>> {
    let refused_at = refusal_time(app.config.session.refusal_time.get());
    let answer = enter_from(&app, source, &request).await;
    if answer.as_ref().err().is_some_and(|refusal| refusal.code() == ErrorCode::NumberUnusable) {
        tokio::time::sleep_until(refused_at).await;
    }
    answer.map(Json)
}

/// What [`enter`] does, without its waiting.
///
/// # Errors
/// `NumberUnusable`, `BadRequest`, `NoRelay`, `ServiceHalted`, or what the database says.
pub async fn enter_from(app: &App, source: IpAddr, request: &EnterRequest) -> ApiResult<EnterAnswer> {
    let proof_key = PublicProofKey::parse(&request.proof_key)?;
    let result = try_enter(app, source, request, proof_key).await;
    let label = match &result {
        Ok((label, _)) => label,
        // It is counted where the reason is known.
        Err(refusal) if refusal.code() == ErrorCode::NumberUnusable => return result.map(|(_, answer)| answer),
        Err(refusal) if refusal.code() == ErrorCode::NoRelay => "no_relay",
        Err(refusal) if refusal.code() == ErrorCode::ServiceHalted => "halted",
        Err(_) => "failed",
    };
    count(app, label);
    result.map(|(_, answer)| answer)
}

/// The answer, and how it is counted.
async fn try_enter(
    app: &App,
    source: IpAddr,
    request: &EnterRequest,
    proof_key: PublicProofKey,
) -> ApiResult<(&'static str, EnterAnswer)> {
    let now_ms = app.now_ms();
    let config = &app.config.session;
    let mut tx = app.db.begin().await?;
    // Before anything is known of the number, so that the answer does not depend on it.
    let relays = choose_relays(app, &mut tx, now_ms).await?;
    let (verdict, level) = guess::count(&mut tx, config, source, now_ms).await?;
    note_level(app, level);
    if verdict == Verdict::Throttled {
        tx.commit().await?;
        return Err(unusable(app, "throttled"));
    }
    let session_id = SessionId::from_bytes(app::draw_id());
    let mac = app.locators.mac(request.locator);
    let Some(reception) = reception::store::enter(&mut tx, &mac, session_id, now_ms).await? else {
        if halt::store::halted_at(&mut tx).await?.is_some() {
            // Whatever the number is; and the transaction is dropped, so that it counts as no guess.
            return Err(ApiError::new(ErrorCode::ServiceHalted));
        }
        let again = repeat::entered_before(app, &mut tx, &mac, request, proof_key, now_ms).await?;
        match again {
            Some(_) => guess::forgive(&mut tx, source, now_ms).await?,
            None => guess::count_wrong(&mut tx, now_ms).await?,
        }
        tx.commit().await?;
        return again.map(|answer| ("repeated", answer)).ok_or_else(|| unusable(app, "unusable"));
    };
    guess::forgive(&mut tx, source, now_ms).await?;
    let operator = operator(&mut tx, &reception).await?;
    let relays = relays::choose::in_region(app, &mut tx, &operator.region, relays, now_ms).await?;
    if relays.is_empty() {
        // The transaction is dropped, so the number can be entered again.
        return Err(ApiError::new(ErrorCode::NoRelay));
    }
    let token = BearerToken::of_customer(&app.signing_key, session_id);
    let entry = Entry { session_id, now_ms, relays, operator };
    let (pairing, told) = begin(app, &mut tx, &reception, &entry, proof_key, &token).await?;
    tx.commit().await?;
    app.events.wake(told);
    let id = reception.id;
    tracing::info!(reception.id = %id, session.id = %session_id, event = "reception.entered", "Reception {id} entered");
    Ok(("ok", EnterAnswer { pairing, token: token.reveal().to_owned() }))
}

/// What every part of a new session needs to know.
struct Entry {
    session_id: SessionId,
    now_ms: UnixMillis,
    relays: Vec<RelayAddress>,
    operator: OperatorRow,
}

/// Stores the session, and tells the operator and the audit; gives the customer's pairing and whom to wake.
async fn begin(
    app: &App,
    tx: &mut Tx,
    reception: &Reception,
    entry: &Entry,
    customer_key: PublicProofKey,
    token: &BearerToken,
) -> ApiResult<(Pairing, proto::id::OperatorId)> {
    let now_ms = entry.now_ms;
    let session = Session {
        id: entry.session_id,
        reception_id: reception.id,
        company_id: reception.company_id,
        operator_id: reception.operator_id,
        entered_at_ms: now_ms,
        hard_end_at_ms: now_ms.saturating_add(millis(limits::SESSION_LIFE_MAX)),
        last_seen_at_ms: now_ms,
        view_granted_at_ms: None,
        stage: Stage::Joining,
    };
    let operator = &entry.operator;
    let introduction = introduction(operator, reception, session.id);
    let introduction = introduction.sign(&app.signing_key).map_err(ApiError::internal)?;
    let operator_key = PublicProofKey::parse(&reception.proof_key)?;
    let keys = ProofKeyHashes { customer: customer_key.hash(), operator: operator_key.hash() };
    let pairing = |role| {
        let issued = ticket::issue(app, &session, role, keys.of(role), entry.relays.clone(), now_ms)?;
        let (ticket, relays) = (issued.ticket, issued.relays);
        ApiResult::Ok(Pairing { session_id: session.id, introduction: introduction.clone(), ticket, relays })
    };
    let (operator_side, customer_side) = (pairing(Role::Operator)?, pairing(Role::Customer)?);
    let relay_ids: Vec<_> = entry.relays.iter().map(|relay| relay.relay_id).collect();
    let new = NewSession {
        session: &session,
        operator_name: &operator.operator_name,
        reason: &reception.reason,
        token: &token.hash(),
        keys: &keys,
        relay_ids: &relay_ids,
    };
    store::insert(tx, new).await?;
    if operator.managed && device::store::attach(tx, reception.id, session.id).await? {
        store::refold(tx, session.id).await?;
    }
    let told = Event::Entered { reception_id: reception.id, pairing: operator_side };
    events::store::append(tx, session.operator_id, &told, now_ms).await?;
    let detail = json!({ "relays": relay_ids });
    let entered = AuditEvent {
        detail: json!({ "unproved_count": reception.unproved_count }),
        ..audited(&session, "reception.entered", Actor::Stranger, now_ms, json!({}))
    };
    audit::append_both(tx, entered, audited(&session, "session.began", Actor::Manager, now_ms, detail)).await?;
    Ok((customer_side, session.operator_id))
}

async fn choose_relays(app: &App, tx: &mut Tx, now_ms: UnixMillis) -> ApiResult<Vec<RelayAddress>> {
    let relays = relays::choose::for_new_session(app, tx, now_ms).await?;
    if relays.is_empty() { Err(ApiError::new(ErrorCode::NoRelay)) } else { Ok(relays) }
}

async fn operator(tx: &mut Tx, reception: &Reception) -> DbResult<OperatorRow> {
    fetch_one!(
        tx,
        OperatorRow,
        "SELECT c.name AS company_name, c.region, o.name AS operator_name, o.role, r.permissions AS role_permissions,
            EXISTS (SELECT 1 FROM device_starts d WHERE d.reception_id = $2) AS managed
        FROM operators o
        JOIN companies c ON c.company_id = o.company_id
        LEFT JOIN roles r ON r.role_id = o.role_id
        WHERE o.operator_id = $1",
        reception.operator_id.to_string(),
        reception.id.to_string()
    )
}

/// Who asks and what for, as the customer shall see it; the role of the operator sets the most that may be allowed.
fn introduction(operator: &OperatorRow, reception: &Reception, session_id: SessionId) -> Introduction {
    Introduction {
        session_id,
        company_name: operator.company_name.clone(),
        operator_name: operator.operator_name.clone(),
        reason: reception.reason.clone(),
        ceiling: ceiling(role::effective(&operator.role, operator.role_permissions.as_deref())),
    }
}

/// The most that a customer may allow to an operator with these permissions, in this version.
fn ceiling(permissions: Permissions) -> Vec<GrantKind> {
    let reached = |kind: &GrantKind| match kind {
        GrantKind::View | GrantKind::Device => true,
        GrantKind::Control => permissions.has(Permission::SessionControl),
    };
    GrantKind::ALL.iter().copied().filter(reached).collect()
}

fn unusable(app: &App, result: &'static str) -> ApiError {
    count(app, result);
    tracing::info!(event = "reception.refused", reason = result, "An entry was refused: {result}");
    ApiError::new(ErrorCode::NumberUnusable)
}

fn count(app: &App, result: &'static str) {
    app.metrics.session.manager_reception_entries_total.with_label_values(&[result]).inc();
}

fn note_level(app: &App, level: Level) {
    let value = match level {
        Level::Calm => 0,
        Level::Soft => 1,
        Level::Hard => 2,
    };
    app.metrics.session.manager_reception_throttle_level.set(value);
}

/// When a refusal may be told.
fn refusal_time(least: Duration) -> tokio::time::Instant {
    let jitter = app::os_rng().next_u32() % JITTER_MS.saturating_add(1);
    let wait = least.saturating_add(Duration::from_millis(jitter.into()));
    tokio::time::Instant::now().checked_add(wait).unwrap_or_else(tokio::time::Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_waits_the_configured_time_and_a_little_longer_at_random() {
        let now = tokio::time::Instant::now();
        let waits: std::collections::BTreeSet<_> =
            (0..200).map(|_| refusal_time(Duration::from_millis(250)).duration_since(now).as_millis()).collect();
        assert!(waits.iter().all(|wait| (250..=300).contains(wait)), "{waits:?}");
        assert!(10 < waits.len(), "{waits:?}");
    }
}
