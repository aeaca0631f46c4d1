//! The call by which a device management (MDM) starts a reception for a device that it knows.

use axum::{Json, extract::State, http::StatusCode};
use proto::{
    api::UnixMillis,
    id::{OperatorId, ReceptionId, SessionId},
    number::Locator,
};
use serde::{Deserialize, Serialize};

use super::answer::{Conflict, Refused};
use crate::{
    app::{self, App},
    db::Tx,
    device::{
        Application, Device, Start, StartState,
        start::{self, Asked},
        store,
    },
    error::{ApiError, ApiResult},
    extract::{Body, IdempotencyKey, InPath},
    role::Permission,
    token::{By, scope::ReceptionsStart},
};

/// Digits that the device management draws itself.
const SECRET_DIGITS: u8 = 4;

/// A reception for a device. Fields that are not named here are refused.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "device": {
        "id": "MDM-000123", "name": "営業3号", "model": "ThinkPad X1", "os": "Windows 11 24H2", "serial": "PF-3A9K2",
    },
    "applications": [{ "name": "表計算", "version": "16.0.1" }],
    "customer_name": "佐藤 花子",
    "case_number": "T-2041",
    "reason": "印刷ができない",
}))]
pub(super) struct NewStart {
    /// The device.
    device: Device,
    /// What is installed on it.
    #[serde(default)]
    #[schema(max_items = 300)]
    applications: Vec<Application>,
    /// Who uses it.
    #[serde(default)]
    #[schema(max_length = 64)]
    customer_name: String,
    /// The number of the case in another system.
    #[serde(default)]
    #[schema(max_length = 64)]
    case_number: String,
    /// Shown to the customer, and needed when the company's rules say so. At most 300 bytes.
    #[serde(default)]
    #[schema(max_length = 300)]
    reason: String,
    /// The only account that may take the number; any without it.
    #[serde(default)]
    operator_id: Option<OperatorId>,
    /// The group whose accounts may take it; not together with `operator_id`.
    #[serde(default)]
    group_id: Option<String>,
    /// Life of the number in seconds, 60 to 3600; the company's usual one without it, and never a longer one.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 3600)]
    life_secs: Option<u64>,
}

/// A reception that was started for a device, as it stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct StartedReception {
    /// Its id: that of the reception log, of webhooks and of the boards.
    reception_id: ReceptionId,
    /// `waiting` for an operator to take the number; then `issued`, `entered`, `proved`, `burned`; `expired` or `cancelled`.
    /// A device can enter the number once it is `issued`.
    state: String,
    /// The first six digits of the number, while it can be used, for the token that started it.
    locator: Option<Locator>,
    /// How many digits the device management draws at random and puts behind the locator. It sends them to no server: it
    /// hands all ten to the operator and to the device.
    secret_digits: u8,
    /// What the client tool on the device is started with; `{secret}` stands for the digits that were drawn.
    client_arguments: Option<Vec<String>>,
    /// The id of the device in its device management.
    device_id: String,
    /// Sessions that the log has of this device; 1000 says that there may be more.
    sessions: i64,
    /// When it was started.
    started_at_ms: UnixMillis,
    /// When its number stops being usable.
    expires_at_ms: UnixMillis,
    /// Who took it.
    #[schema(value_type = Option<OperatorId>)]
    operator_id: Option<String>,
    /// The session that it led to.
    #[schema(value_type = Option<SessionId>)]
    session_id: Option<String>,
}

impl From<NewStart> for Asked {
    fn from(new: NewStart) -> Self {
        Self {
            device: new.device,
            applications: new.applications,
            customer_name: new.customer_name,
            case_number: new.case_number,
            reason: new.reason,
            operator_id: new.operator_id,
            group_id: new.group_id,
            life_secs: new.life_secs,
        }
    }
}

/// Starts a reception for a device that a device management knows. A device waits with one number at a time: starting it
/// anew makes the number before void. The same `Idempotency-Key` of the same token gives the same reception again.
#[utoipa::path(
    post, path = "/v1/manage/receptions", tag = "manage", operation_id = "manage_start_reception",
    security(("token" = ["receptions.start"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "At most 64 printable ASCII characters")),
    request_body = NewStart,
    responses((status = 201, body = StartedReception), Refused, Conflict),
)]
pub(super) async fn start(
    State(app): State<App>,
    by: By<ReceptionsStart>,
    IdempotencyKey(key): IdempotencyKey,
    Body(new): Body<NewStart>,
) -> ApiResult<(StatusCode, Json<StartedReception>)> {
    by.need(Permission::ReceptionIssue)?;
    let key = key.unwrap_or_else(|| hex::encode(app::draw_id()));
    let token_id = by.api_token.ok_or_else(|| ApiError::internal("a token has no id"))?;
    let start = start::start(&app, &by, token_id, &new.into(), &key).await?;
    let mut tx = app.db.read().await?;
    Ok((StatusCode::CREATED, Json(shown(&app, &mut tx, &by, start).await?)))
}

/// Where a reception stands that was started for a device.
#[utoipa::path(
    get, path = "/v1/manage/receptions/{reception_id}/start", tag = "manage", operation_id = "manage_started_reception",
    security(("token" = ["receptions.start"])),
    params(("reception_id" = ReceptionId, Path)),
    responses((status = 200, body = StartedReception), Refused),
)]
pub(super) async fn read(
    State(app): State<App>,
    by: By<ReceptionsStart>,
    InPath(reception_id): InPath<ReceptionId>,
) -> ApiResult<Json<StartedReception>> {
    by.need(Permission::ReceptionIssue)?;
    let mut tx = app.db.read().await?;
    let found = store::find(&mut tx, by.company_id, &reception_id.to_string()).await?;
    Ok(Json(shown(&app, &mut tx, &by, found.ok_or(ApiError::not_found())?).await?))
}

/// Calls a reception off that was started for a device, while it waits for an operator.
#[utoipa::path(
    delete, path = "/v1/manage/receptions/{reception_id}/start", tag = "manage",
    operation_id = "manage_cancel_started_reception",
    security(("token" = ["receptions.start"])),
    params(("reception_id" = ReceptionId, Path)),
    responses((status = 204, description = "Done"), Refused, Conflict),
)]
pub(super) async fn cancel(
    State(app): State<App>,
    by: By<ReceptionsStart>,
    InPath(reception_id): InPath<ReceptionId>,
) -> ApiResult<StatusCode> {
    by.need(Permission::ReceptionIssue)?;
    let mut tx = app.db.begin().await?;
    start::cancel(&mut tx, &by, reception_id, app.now_ms()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A start as it stands; the digits only for the token that started it, and only while they are good for something.
async fn shown(app: &App, tx: &mut Tx, by: &By<ReceptionsStart>, start: Start) -> ApiResult<StartedReception> {
    let taken = match start.state {
        StartState::Taken => store::taken(tx, start.reception_id).await?,
        StartState::Waiting | StartState::Expired | StartState::Cancelled => None,
    };
    let state = taken.as_ref().map_or(start.state.as_str(), |taken| taken.state.as_str());
    let usable = matches!(state, "waiting" | "issued" | "entered");
    let own = by.api_token.is_some_and(|token_id| token_id.to_string() == start.token_id);
    let locator = (usable && own).then(|| app.locators.open(&start.locator_sealed, start.reception_id)).flatten();
    let sessions = store::count_sessions(tx, start.company_id, &start.device.id).await?;
    Ok(StartedReception {
        reception_id: start.reception_id,
        state: state.to_owned(),
        client_arguments: locator.map(|locator| {
            let number = format!("{}{{secret}}", locator.as_str());
            vec!["--number".to_owned(), number]
        }),
        locator,
        secret_digits: SECRET_DIGITS,
        device_id: start.device.id,
        sessions,
        started_at_ms: start.started_at_ms,
        expires_at_ms: taken.as_ref().map_or(start.expires_at_ms, |taken| taken.expires_at_ms),
        operator_id: taken.as_ref().map(|taken| taken.operator_id.clone()),
        session_id: taken.and_then(|taken| taken.session_id),
    })
}
