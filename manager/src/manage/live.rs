//! Open numbers and running sessions, as they stand now. Digits are not in it.

use axum::{Json, extract::State, http::StatusCode};
use proto::{
    device::DeviceFact,
    id::{OperatorId, ReceptionId, SessionId},
};
use serde::Serialize;
use serde_json::json;

use super::{
    answer::{Conflict, Refused},
    query::{Asking, Filter, Kind, ListQuery},
};
use crate::{
    app::App,
    device::Device,
    error::ApiResult,
    extract::InPath,
    list::Column,
    live::act,
    live::store::{self, Narrowing, OpenNumber, ROWS_MAX, RunningSession},
    role::Permission,
    token::{
        By,
        scope::{ReceptionsRead, ReceptionsWrite, SessionsRead, SessionsWrite},
    },
};

/// What the board of open numbers can be narrowed to.
#[derive(Debug)]
pub(super) struct Numbers;

/// What the board of running sessions can be narrowed to.
#[derive(Debug)]
pub(super) struct Running;

/// A board.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct BoardBody<T> {
    /// The rows, the oldest first, at most 200.
    items: Vec<T>,
    /// Whether there are more.
    more: bool,
}

/// An open number.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct OpenReception {
    /// The reception.
    #[schema(value_type = ReceptionId)]
    reception_id: String,
    /// Who issued it; of one that waits, the only account that may take it.
    #[schema(value_type = Option<OperatorId>)]
    operator_id: Option<String>,
    /// The account's name; of one that waits, that of the account or the group that it is for, or nothing.
    operator_name: String,
    /// What the customer is told.
    reason: String,
    /// `waiting` (for an operator), `issued` or `entered`.
    state: String,
    /// When it was issued.
    issued_at_ms: i64,
    /// When it stops being usable.
    expires_at_ms: i64,
    /// Entries that left unproved.
    unproved_count: i64,
    /// The device as its device management described it, when that started the reception.
    managed_device: Option<Device>,
}

/// A running session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RunningBody {
    /// Its id.
    #[schema(value_type = SessionId)]
    session_id: String,
    /// Whose it is.
    #[schema(value_type = OperatorId)]
    operator_id: String,
    /// The account's name at that time.
    operator_name: String,
    /// What the customer was told.
    reason: String,
    /// `joining`, `proving`, `consenting` or `connected`.
    state: String,
    /// When the number was entered.
    entered_at_ms: i64,
    /// When the customer allowed the view.
    connected_at_ms: Option<i64>,
    /// What the customer sent about the device.
    device: Vec<DeviceFact>,
    /// The device as its device management described it, when that started the reception.
    managed_device: Option<Device>,
    /// Names of its relays, the one it is sent to first first.
    relays: Vec<String>,
    /// What the customer allows now, for example `view`, `control`.
    permissions: Vec<String>,
}

impl From<OpenNumber> for OpenReception {
    fn from(row: OpenNumber) -> Self {
        Self {
            reception_id: row.reception_id,
            operator_id: Some(row.operator_id).filter(|id| !id.is_empty()),
            operator_name: row.operator_name,
            reason: row.reason,
            state: row.state,
            issued_at_ms: row.issued_at_ms,
            expires_at_ms: row.expires_at_ms,
            unproved_count: row.unproved_count,
            managed_device: Device::stored(row.managed.as_deref()),
        }
    }
}

impl Asking for Numbers {
    const FILTERS: &'static [Filter] = &[
        Filter { name: "q", kind: Kind::Text, what: "Words of the operator's name, the reason or the device" },
        Filter { name: "state", kind: Kind::OneOf(&["waiting", "issued", "entered"]), what: "The state" },
        Filter { name: "organisation", kind: Kind::Text, what: "Id of an organisation; with those below it" },
    ];
    const COLUMNS: &'static [Column] = &[];
}

impl Asking for Running {
    const FILTERS: &'static [Filter] = &[
        Filter { name: "q", kind: Kind::Text, what: "Words of operator, reason or device" },
        Filter { name: "state", kind: Kind::OneOf(&["beginning", "connected"]), what: "Whether it has connected" },
        Filter { name: "organisation", kind: Kind::Text, what: "Id of an organisation; with those below it" },
    ];
    const COLUMNS: &'static [Column] = &[];
}

/// Open numbers, and those that wait for an operator.
#[utoipa::path(
    get, path = "/v1/manage/live/receptions", tag = "manage", operation_id = "manage_live_receptions",
    security(("token" = ["receptions.read"])),
    params(ListQuery::<Numbers>),
    responses((status = 200, body = BoardBody<OpenReception>), Refused),
)]
pub(super) async fn receptions(
    State(app): State<App>,
    by: By<ReceptionsRead>,
    query: ListQuery<Numbers>,
) -> ApiResult<Json<BoardBody<OpenReception>>> {
    by.need(Permission::LiveView)?;
    let mut tx = app.db.read().await?;
    let rows = store::numbers(&mut tx, &by, &Narrowing::read(&query.params)).await?;
    let (rows, more) = cut(rows);
    Ok(Json(BoardBody { items: rows.map(OpenReception::from).collect(), more }))
}

/// Running sessions.
#[utoipa::path(
    get, path = "/v1/manage/live/sessions", tag = "manage", operation_id = "manage_live_sessions",
    security(("token" = ["sessions.read"])),
    params(ListQuery::<Running>),
    responses((status = 200, body = BoardBody<RunningBody>), Refused),
)]
pub(super) async fn sessions(
    State(app): State<App>,
    by: By<SessionsRead>,
    query: ListQuery<Running>,
) -> ApiResult<Json<BoardBody<RunningBody>>> {
    by.need(Permission::LiveView)?;
    let mut tx = app.db.read().await?;
    let rows = store::sessions(&mut tx, &by, &Narrowing::read(&query.params)).await?;
    let ids: Vec<&str> = rows.iter().map(|row| row.session_id.as_str()).collect();
    let mut permissions = store::permissions(&mut tx, &json!(ids).to_string()).await?;
    let relays = store::relay_names(&mut tx).await?;
    let (rows, more) = cut(rows);
    let shown = |row: RunningSession| {
        let relay_ids: Vec<String> = serde_json::from_str(&row.relay_ids).unwrap_or_default();
        RunningBody {
            permissions: permissions.remove(&row.session_id).unwrap_or_default(),
            relays: relay_ids.iter().filter_map(|id| relays.get(id).cloned()).collect(),
            device: serde_json::from_str(&row.device).unwrap_or_default(),
            managed_device: Device::stored(row.managed.as_deref()),
            session_id: row.session_id,
            operator_id: row.operator_id,
            operator_name: row.operator_name,
            reason: row.reason,
            state: row.state,
            entered_at_ms: row.entered_at_ms,
            connected_at_ms: row.connected_at_ms,
        }
    };
    Ok(Json(BoardBody { items: rows.map(shown).collect(), more }))
}

/// Makes an open number unusable.
#[utoipa::path(
    post, path = "/v1/manage/live/receptions/{reception_id}/cancel", tag = "manage",
    operation_id = "manage_cancel_reception",
    security(("token" = ["receptions.write"])),
    params(("reception_id" = ReceptionId, Path)),
    responses((status = 204, description = "Done"), Refused, Conflict),
)]
pub(super) async fn cancel(
    State(app): State<App>,
    by: By<ReceptionsWrite>,
    InPath(reception_id): InPath<ReceptionId>,
) -> ApiResult<StatusCode> {
    by.need(Permission::LiveAct)?;
    act::cancel_number(&app, &by, &reception_id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives an open number its full life again, counted from now.
#[utoipa::path(
    post, path = "/v1/manage/live/receptions/{reception_id}/extend", tag = "manage",
    operation_id = "manage_extend_reception",
    security(("token" = ["receptions.write"])),
    params(("reception_id" = ReceptionId, Path)),
    responses((status = 204, description = "Done"), Refused, Conflict),
)]
pub(super) async fn extend(
    State(app): State<App>,
    by: By<ReceptionsWrite>,
    InPath(reception_id): InPath<ReceptionId>,
) -> ApiResult<StatusCode> {
    by.need(Permission::LiveAct)?;
    act::extend_number(&app, &by, &reception_id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a running session; both tools are told within seconds.
#[utoipa::path(
    post, path = "/v1/manage/live/sessions/{session_id}/end", tag = "manage", operation_id = "manage_end_session",
    security(("token" = ["sessions.write"])),
    params(("session_id" = SessionId, Path)),
    responses((status = 204, description = "Done"), Refused, Conflict),
)]
pub(super) async fn end(
    State(app): State<App>,
    by: By<SessionsWrite>,
    InPath(session_id): InPath<SessionId>,
) -> ApiResult<StatusCode> {
    by.need(Permission::LiveAct)?;
    act::end_session(&app, &by, &session_id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The rows of a board, and whether there are more.
fn cut<T>(rows: Vec<T>) -> (impl Iterator<Item = T>, bool) {
    let max = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
    let more = max < rows.len();
    (rows.into_iter().take(max), more)
}
