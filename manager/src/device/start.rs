//! Starting a reception for a device, and calling it off.

use std::time::Duration;

use proto::id::{OperatorId, ReceptionId, TokenId};
use serde_json::json;

use super::{
    state::{self, Application, Device, Start, StartState},
    store,
};
use crate::{
    app::{self, App},
    audit::{self, AuditEvent},
    db::{DbResult, Tx},
    error::{ApiError, ApiResult},
    group,
    login::SiteLogin,
    reception::api::{checked_life, checked_reason, free_locator},
    session::case::{Case, Wrong},
    throttle::{self, Rate, Taken},
};

/// Starts of a company that wait at the same time.
pub const WAITING_MAX: i64 = 50;
/// Starts of one token.
const RATE: Rate = Rate { max: 240, window: Duration::from_hours(1) };
/// Attempts when the same device, or the same key, is started at the same moment.
const TRIES_MAX: usize = 4;

/// What a device management asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The device.
    pub device: Device,
    /// What is installed on it.
    pub applications: Vec<Application>,
    /// Who uses it; may be empty.
    pub customer_name: String,
    /// The number of the case; may be empty.
    pub case_number: String,
    /// Shown to the customer.
    pub reason: String,
    /// The only account that may take it.
    pub operator_id: Option<OperatorId>,
    /// The group whose accounts may take it.
    pub group_id: Option<String>,
    /// Life of the number; the company's usual one when absent.
    pub life_secs: Option<u64>,
}

/// Starts a reception; the same key of the same token gives the same one again.
///
/// # Errors
/// `BadRequest` with the field; `NotFound` for an account or a group of nobody here; `WrongState` when too many wait;
/// `Throttled`; or what the database says.
pub async fn start(app: &App, login: &SiteLogin, token_id: TokenId, asked: &Asked, key: &str) -> ApiResult<Start> {
    let reason = checked(login, asked)?;
    let life_ms = checked_life(app, &login.policy.reception, asked.life_secs)?;
    for _ in 0..TRIES_MAX {
        let now_ms = app.now_ms();
        let start = Start {
            reception_id: ReceptionId::from_bytes(app::draw_id()),
            company_id: login.company_id,
            token_id: token_id.to_string(),
            device: asked.device.clone(),
            applications: asked.applications.clone(),
            customer_name: asked.customer_name.clone(),
            case_number: asked.case_number.clone(),
            reason: reason.clone(),
            operator_id: asked.operator_id,
            group_id: asked.group_id.clone(),
            locator_sealed: String::new(),
            state: StartState::Waiting,
            started_at_ms: now_ms,
            life_ms,
            expires_at_ms: now_ms.saturating_add(life_ms),
        };
        if let Some(start) = try_start(app, login, start, key).await? {
            return Ok(start);
        }
    }
    Err(ApiError::busy("this device was started again and again at the same moment"))
}

/// Calls a start off that nobody has taken yet.
///
/// # Errors
/// `NotFound`; `WrongState` when it does not wait any more.
pub async fn cancel(tx: &mut Tx, login: &SiteLogin, reception_id: ReceptionId, now_ms: i64) -> ApiResult<()> {
    let found = store::find(tx, login.company_id, &reception_id.to_string()).await?;
    found.ok_or(ApiError::not_found())?;
    if call_off(tx, login, reception_id, now_ms).await? {
        Ok(())
    } else {
        Err(ApiError::wrong_state("it does not wait any more; a number that was taken is cancelled as any other"))
    }
}

/// Calls a start off; whether it waited.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn call_off(tx: &mut Tx, login: &SiteLogin, reception_id: ReceptionId, now_ms: i64) -> DbResult<bool> {
    if !store::close(tx, reception_id, StartState::Cancelled, now_ms).await? {
        return Ok(false);
    }
    let detail = json!({ "state": StartState::Cancelled.as_str() });
    let event = AuditEvent { reception: Some(reception_id), ..login.event("reception.cancelled", detail, now_ms) };
    audit::append(tx, event).await?;
    Ok(true)
}

/// The reason, when everything else can be stored, too.
fn checked(login: &SiteLogin, asked: &Asked) -> ApiResult<String> {
    if let Some(wrong) = state::wrong(&asked.device, &asked.applications) {
        return Err(ApiError::bad_request(wrong));
    }
    let case =
        Case { number: asked.case_number.clone(), customer_name: asked.customer_name.clone(), ..Case::default() };
    match case.wrong().first() {
        Some(Wrong::Number) => {
            return Err(ApiError::bad_request("case_number must be one line of at most 64 characters"));
        }
        Some(Wrong::Customer | Wrong::Category | Wrong::Result | Wrong::Note) => {
            return Err(ApiError::bad_request("customer_name must be one line of at most 64 characters"));
        }
        None => {}
    }
    if asked.operator_id.is_some() && asked.group_id.is_some() {
        return Err(ApiError::bad_request("name operator_id or group_id, not both"));
    }
    checked_reason(asked.reason.clone(), &login.policy.reception)
}

/// Stores a start, or finds the one of this key; `None` when another was stored at the same moment.
async fn try_start(app: &App, login: &SiteLogin, start: Start, key: &str) -> ApiResult<Option<Start>> {
    let now_ms = start.started_at_ms;
    let mut tx = app.db.begin().await?;
    if let Some(found) = store::find_by_key(&mut tx, &start.token_id, key).await? {
        return Ok(Some(found));
    }
    check_whom(&mut tx, &start).await?;
    if let Taken::Beyond { retry_after_secs } =
        throttle::take(&mut tx, "device.start", &start.token_id, RATE, now_ms).await?
    {
        tx.commit().await?;
        return Err(ApiError::throttled(retry_after_secs));
    }
    if let Some(earlier) = store::waiting_of(&mut tx, start.company_id, &start.device.id).await? {
        call_off(&mut tx, login, earlier, now_ms).await?;
    }
    if WAITING_MAX <= store::count_waiting(&mut tx, start.company_id).await? {
        return Err(ApiError::wrong_state(format!(
            "{WAITING_MAX} numbers wait for an operator already; cancel one, or wait until one is taken"
        )));
    }
    let locator = free_locator(app, &mut tx, start.expires_at_ms, now_ms).await?;
    let locator_sealed = app
        .locators
        .seal(locator, start.reception_id)
        .ok_or_else(|| ApiError::internal("the locator cannot be sealed"))?;
    let start = Start { locator_sealed, ..start };
    if !store::insert(&mut tx, &start, &app.locators.mac(locator), key).await? {
        return Ok(None);
    }
    let detail = json!({
        "expires_at_ms": start.expires_at_ms,
        "applications": start.applications.len(),
        "operator_id": start.operator_id,
        "group_id": start.group_id,
    });
    let id = start.reception_id;
    let event = AuditEvent { reception: Some(id), ..login.event("reception.started", detail, now_ms) };
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    tracing::info!(reception.id = %id, event = "reception.started", "Reception {id} started for a device");
    Ok(Some(start))
}

/// Refuses an account or a group that is not there, or that may not issue numbers.
async fn check_whom(tx: &mut Tx, start: &Start) -> ApiResult<()> {
    if let Some(operator_id) = start.operator_id {
        match store::may_issue(tx, start.company_id, operator_id).await? {
            Some(true) => {}
            Some(false) => return Err(ApiError::wrong_state("the account of operator_id may not issue numbers")),
            None => return Err(ApiError::not_there("operator_id is none of the company's accounts in service")),
        }
    }
    if let Some(group_id) = &start.group_id {
        // No id of a group has anything that cannot be shown, and PostgreSQL takes no NUL.
        let found = if state::is_line(group_id, state::VALUE_LEN_MAX) {
            group::store::find(tx, start.company_id, group_id).await?
        } else {
            None
        };
        found.ok_or_else(|| ApiError::not_there("group_id is none of the company's groups"))?;
    }
    Ok(())
}
