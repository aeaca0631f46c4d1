//! `POST` and `GET /v1/receptions`, and extending one.

use std::time::Duration;

use axum::{Json, extract::State};
use proto::{
    api::{
        UnixMillis,
        error::{ErrorBody, ErrorCode},
        reception::{IssueRequest, RECEPTION_EXTEND, RECEPTIONS, ReceptionBody, ReceptionList},
    },
    id::{OperatorId, ReceptionId},
    limits,
    number::Locator,
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    proof_key::PublicProofKey,
    state::{Reception, Stage},
    store::{self, Stored},
};
use crate::{
    app::{self, App},
    audit::{self, Actor, AuditEvent},
    company::{is_hidden, policy::ReceptionPolicy},
    db::{DbResult, Tx},
    device,
    error::{ApiError, ApiResult},
    extract::{Body, IdempotencyKey, InPath},
    login::LoggedIn,
    role::Permission,
    throttle::{self, Rate, Taken, millis},
};

/// Locators drawn before giving up; with a tenth of all in use, 32 misses in a row never happen.
const DRAWS_MAX: usize = 32;
/// Attempts to find a free place when several tools of one operator issue at the same moment.
const PLACES_MAX: usize = 4;

/// Routes of this slice.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(issue, list)).routes(routes!(extend))
}

/// Issues a number, or takes the one that a device management started. The same `Idempotency-Key` gives the same
/// reception again.
#[utoipa::path(
    post,
    path = RECEPTIONS,
    tag = "receptions",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "At most 64 printable ASCII characters")),
    request_body = IssueRequest,
    responses(
        (status = 200, body = ReceptionBody),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody, description = "No number with this locator waits for this operator"),
        (status = 409, body = ErrorBody, description = "Three numbers are open already"),
        (status = 429, body = ErrorBody, description = "Too many were issued in this hour or day"),
    ),
)]
async fn issue(
    State(app): State<App>,
    login: LoggedIn,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<IssueRequest>,
) -> ApiResult<Json<ReceptionBody>> {
    login.need(Permission::ReceptionIssue)?;
    let proof_key = PublicProofKey::parse(&request.proof_key)?;
    let rules = &login.policy.reception;
    let reason = match request.locator {
        // That of the start, which was checked then.
        Some(_) if request.reason.is_empty() => String::new(),
        Some(_) | None => checked_reason(request.reason, rules)?,
    };
    let asked = Asked { key: key.as_deref(), locator: request.locator, open_max: rules.open_max };
    let life_ms = checked_life(&app, rules, request.life_secs)?;
    for _ in 0..PLACES_MAX {
        let now_ms = app.now_ms();
        let reception = Reception {
            id: ReceptionId::from_bytes(app::draw_id()),
            company_id: login.company_id,
            operator_id: login.operator_id,
            proof_key: proof_key.to_hex(),
            reason: reason.clone(),
            issued_at_ms: now_ms,
            life_ms,
            expires_at_ms: now_ms.saturating_add(life_ms),
            unproved_count: 0,
            stage: Stage::Issued,
        };
        if let Some(stored) = try_issue(&app, reception, &asked).await? {
            return Ok(Json(shown(&app, stored)?));
        }
    }
    Err(ApiError::busy("every place for a number was taken at the same moment"))
}

/// The operator's own open receptions.
#[utoipa::path(
    get,
    path = RECEPTIONS,
    tag = "receptions",
    security(("bearer" = [])),
    responses((status = 200, body = ReceptionList), (status = 401, body = ErrorBody)),
)]
async fn list(State(app): State<App>, login: LoggedIn) -> ApiResult<Json<ReceptionList>> {
    let mut tx = app.db.read().await?;
    let open = store::open_of(&mut tx, login.operator_id).await?;
    let receptions = open.into_iter().map(|stored| shown(&app, stored)).collect::<ApiResult<_>>()?;
    Ok(Json(ReceptionList { receptions }))
}

/// Gives a number its full life again, counted from now.
#[utoipa::path(
    post,
    path = RECEPTION_EXTEND,
    tag = "receptions",
    security(("bearer" = [])),
    params(("reception_id" = ReceptionId, Path)),
    responses(
        (status = 200, body = ReceptionBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It is closed already"),
    ),
)]
async fn extend(
    State(app): State<App>,
    login: LoggedIn,
    InPath(reception_id): InPath<ReceptionId>,
) -> ApiResult<Json<ReceptionBody>> {
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let stored = lock_own(&mut tx, &login, reception_id).await?;
    let reception = stored.reception.extend(now_ms).map_err(|wrong| ApiError::wrong_state(wrong.to_string()))?;
    store::save(&mut tx, &reception).await?;
    let detail = json!({ "expires_at_ms": reception.expires_at_ms });
    audit::append(&mut tx, audited(&reception, "reception.extended", now_ms, detail)).await?;
    tx.commit().await?;
    Ok(Json(shown(&app, Stored { reception, ..stored })?))
}

/// Locks a reception of this operator; anybody else's is not there.
///
/// # Errors
/// `NotFound`, or what the database says.
pub async fn lock_own(tx: &mut Tx, login: &LoggedIn, reception_id: ReceptionId) -> ApiResult<Stored> {
    store::lock(tx, reception_id)
        .await?
        .filter(|stored| stored.reception.operator_id == login.operator_id)
        .ok_or(ApiError::not_found())
}

/// A reception as its operator sees it.
///
/// # Errors
/// `Internal` when the digits were sealed under another key.
pub fn shown(app: &App, stored: Stored) -> ApiResult<ReceptionBody> {
    let Stored { reception, locator_sealed } = stored;
    let locator = app
        .locators
        .open(&locator_sealed, reception.id)
        .ok_or_else(|| ApiError::internal(format!("reception {} was sealed under another key", reception.id)))?;
    Ok(ReceptionBody {
        reception_id: reception.id,
        locator,
        state: reception.stage.state(),
        reason: reception.reason,
        issued_at_ms: reception.issued_at_ms,
        expires_at_ms: reception.expires_at_ms,
        unproved_count: reception.unproved_count,
    })
}

/// How a number is asked for.
struct Asked<'a> {
    /// The caller's name for it, if it has one; it may have asked with that before.
    key: Option<&'a str>,
    /// Of the start whose number is taken.
    locator: Option<Locator>,
    /// Numbers that the company lets one operator have open.
    open_max: i64,
}

/// Stores a new reception, or finds the one of this key; `None` when the place was taken at the same moment.
async fn try_issue(app: &App, reception: Reception, asked: &Asked<'_>) -> ApiResult<Option<Stored>> {
    let operator_id = reception.operator_id;
    let mut tx = app.db.begin().await?;
    if let Some(found) = found_by_key(&mut tx, operator_id, asked).await? {
        return Ok(Some(found));
    }
    let open_max = asked.open_max.min(limits::RECEPTIONS_OPEN_MAX.into());
    // Whoever has no place left learns nothing of a number, and it counts as none.
    if asked.locator.is_some() && open_max <= store::count_open(&mut tx, operator_id).await? {
        let found = found_by_key(&mut tx, operator_id, asked).await?;
        return found.map(Some).ok_or(ApiError::new(ErrorCode::TooManyOpen));
    }
    if let Some(retry_after_secs) = issued_too_often(app, &mut tx, operator_id, reception.issued_at_ms).await? {
        if let Some(found) = found_by_key(&mut tx, operator_id, asked).await? {
            return Ok(Some(found));
        }
        tx.commit().await?;
        return Err(ApiError::throttled(retry_after_secs));
    }
    let (locator, stored) = match asked.locator {
        None => {
            let locator = free_locator(app, &mut tx, reception.expires_at_ms, reception.issued_at_ms).await?;
            let locator_sealed = app
                .locators
                .seal(locator, reception.id)
                .ok_or_else(|| ApiError::internal("the locator cannot be sealed"))?;
            (locator, Stored { reception, locator_sealed })
        }
        Some(locator) => {
            let Some(stored) = take(app, &mut tx, reception, locator).await? else {
                if let Some(found) = found_by_key(&mut tx, operator_id, asked).await? {
                    return Ok(Some(found));
                }
                // It counts, so that nobody guesses.
                tx.commit().await?;
                return Err(ApiError::new(ErrorCode::NumberUnusable));
            };
            (locator, stored)
        }
    };
    let key = asked.key.map_or_else(|| hex::encode(app::draw_id()), str::to_owned);
    // It looks for a free place by itself, so that nobody who has one is asked first how many are taken.
    if !store::insert(&mut tx, &stored, &app.locators.mac(locator), &key, open_max).await? {
        let found = found_by_key(&mut tx, operator_id, asked).await?;
        let is_full = found.is_none() && open_max <= store::count_open(&mut tx, operator_id).await?;
        return if is_full { Err(ApiError::new(ErrorCode::TooManyOpen)) } else { Ok(found) };
    }
    let reception = &stored.reception;
    let detail = json!({ "expires_at_ms": reception.expires_at_ms });
    audit::append(&mut tx, audited(reception, "reception.issued", reception.issued_at_ms, detail)).await?;
    tx.commit().await?;
    app.metrics.reception.manager_receptions_issued_total.inc();
    let id = reception.id;
    tracing::info!(reception.id = %id, event = "reception.issued", "Reception {id} issued");
    Ok(Some(stored))
}

/// What the same request was answered before: asked again whenever something is taken, because it may have come twice at
/// once, and the other one has taken it.
async fn found_by_key(tx: &mut Tx, operator_id: OperatorId, asked: &Asked<'_>) -> DbResult<Option<Stored>> {
    let Some(key) = asked.key else { return Ok(None) };
    store::find_by_key(tx, operator_id, key).await
}

/// Makes a reception of the start that waits with this number; nothing when none waits for its operator.
async fn take(app: &App, tx: &mut Tx, reception: Reception, locator: Locator) -> DbResult<Option<Stored>> {
    let by = (reception.company_id, reception.operator_id);
    let taken = device::store::take(tx, &app.locators.mac(locator), by, reception.issued_at_ms).await?;
    Ok(taken.map(|start| Stored {
        locator_sealed: start.locator_sealed,
        reception: Reception {
            id: start.reception_id,
            reason: if reception.reason.is_empty() { start.reason } else { reception.reason },
            life_ms: start.life_ms,
            expires_at_ms: start.expires_at_ms,
            ..reception
        },
    }))
}

/// Counts a number that is being issued; the seconds to wait when there were too many.
async fn issued_too_often(
    app: &App,
    tx: &mut Tx,
    operator_id: OperatorId,
    now_ms: UnixMillis,
) -> DbResult<Option<u64>> {
    let config = &app.config.reception;
    let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
    let windows = [("reception.issued_hour", hour), ("reception.issued_day", day), ("", Duration::ZERO)];
    let taken = throttle::take_three(tx, &operator_id.to_string(), ["", ""], windows, now_ms).await?;
    let rates = [(config.issued_per_hour_max, hour), (config.issued_per_day_max, day)];
    let waits =
        taken.iter().flat_map(|taken| taken.buckets.iter().flatten().zip(rates)).filter_map(|(bucket, rate)| {
            let (max, window) = rate;
            match bucket.against(Rate { max: max.get().into(), window }, now_ms) {
                Taken::Within => None,
                Taken::Beyond { retry_after_secs } => Some(retry_after_secs),
            }
        });
    Ok(waits.max())
}

/// Draws locators until one is neither in use nor resting.
///
/// # Errors
/// `Busy` when none was found, or what the database says.
pub async fn free_locator(app: &App, tx: &mut Tx, expires_at_ms: UnixMillis, now_ms: UnixMillis) -> ApiResult<Locator> {
    let free_at_ms = expires_at_ms.saturating_add(millis(limits::LOCATOR_REST));
    for _ in 0..DRAWS_MAX {
        let locator = Locator::random(&mut app::os_rng());
        if store::take_locator(tx, &app.locators.mac(locator), free_at_ms, now_ms).await? {
            return Ok(locator);
        }
    }
    Err(ApiError::busy("no free locator was found"))
}

fn audited(reception: &Reception, event: &'static str, at_ms: UnixMillis, detail: serde_json::Value) -> AuditEvent {
    AuditEvent {
        at_ms,
        company: Some(reception.company_id),
        actor: Actor::Operator(reception.operator_id),
        event,
        reception: Some(reception.id),
        session: None,
        detail,
    }
}

/// A reason that can be stored, and that the company needs.
///
/// # Errors
/// `BadRequest`.
pub fn checked_reason(reason: String, rules: &ReceptionPolicy) -> ApiResult<String> {
    if rules.reason_required && reason.trim().is_empty() {
        return Err(ApiError::bad_request("this company needs a reason for every number"));
    }
    if limits::REASON_LEN_MAX < reason.len() {
        return Err(ApiError::bad_request("reason must have at most 300 bytes"));
    }
    if reason.chars().any(is_hidden) {
        return Err(ApiError::bad_request("reason must have no control characters"));
    }
    Ok(reason)
}

/// The life that was asked for, or the company's when that is shorter or nothing was asked.
///
/// # Errors
/// `BadRequest`.
pub fn checked_life(app: &App, rules: &ReceptionPolicy, life_secs: Option<u64>) -> ApiResult<i64> {
    let own = u64::try_from(rules.life_minutes).ok().filter(|minutes| 0 < *minutes).map(Duration::from_mins);
    let longest = own.unwrap_or(limits::RECEPTION_LIFE_MAX);
    let usual = own.unwrap_or(app.config.reception.life.get());
    let life = life_secs.map_or(usual, Duration::from_secs);
    if (limits::RECEPTION_LIFE_MIN..=limits::RECEPTION_LIFE_MAX).contains(&life) {
        Ok(millis(life.min(longest)))
    } else {
        Err(ApiError::bad_request("life_secs must be from 60 to 3600"))
    }
}
