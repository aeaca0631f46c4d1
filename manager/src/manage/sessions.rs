//! The support log, one session with what happened in it, and its case.

use axum::{Json, extract::State};
use proto::{
    api::session::{CaseBody, CaseRequest},
    device::DeviceFact,
    id::{OperatorId, ReceptionId, SessionId},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    answer::{Conflict, ListBody, Refused},
    query::{Asking, Filter, Kind, ListQuery, PAST},
};
use crate::{
    app::App,
    db::Tx,
    device::{Application, Device},
    error::{ApiError, ApiResult},
    extract::{Body, InPath},
    list::{Asked, Column, Listing, Params},
    login::SiteLogin,
    role::Permission,
    session::{
        case::{self, Case, Writing},
        case_api,
        list::{Row, SupportLog},
        show,
    },
    token::{
        By,
        scope::{SessionsRead, SessionsWrite},
    },
};

/// A session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LoggedSession {
    /// Its id.
    #[schema(value_type = SessionId)]
    session_id: String,
    /// The reception it came from.
    #[schema(value_type = ReceptionId)]
    reception_id: String,
    /// The account.
    #[schema(value_type = OperatorId)]
    operator_id: String,
    /// Its name at that time.
    operator_name: String,
    /// What the customer was told.
    reason: String,
    /// `joining`, `proving`, `consenting`, `connected` or `ended`.
    state: String,
    /// When the number was entered.
    entered_at_ms: i64,
    /// When the customer allowed the view.
    connected_at_ms: Option<i64>,
    /// When it ended.
    ended_at_ms: Option<i64>,
    /// From connected to ended.
    duration_ms: Option<i64>,
    /// Why it ended.
    end_reason: Option<String>,
    /// What the customer sent about the device.
    device: Vec<DeviceFact>,
    /// Whether the customer allowed control.
    controlled: bool,
    /// The number of the case.
    case_number: String,
    /// Who was helped.
    customer_name: String,
    /// Name of the category.
    category: Option<String>,
    /// `resolved`, `ongoing`, `handed_over`, `unresolved`, or empty when nobody wrote it.
    result: String,
    /// Anything else.
    note: String,
    /// The device as its device management described it, when that started the reception.
    managed_device: Option<Device>,
    /// Where the relay is at which both tools met first: `jp`, `eu`, `us`, or `none` when nobody has said where it is;
    /// empty when no relay has told of it.
    region: String,
    /// Where others are at which they met, too, spare connections included.
    other_regions: Vec<String>,
}

/// A session with what happened in it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SessionDetail {
    /// The session.
    session: LoggedSession,
    /// What its device management said is installed on the device.
    applications: Vec<Application>,
    /// What the audit record has about it and its reception, in order.
    events: Vec<SessionEvent>,
}

/// Something that happened in a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SessionEvent {
    /// When.
    at_ms: i64,
    /// `noun.verb`, for example `session.connected`.
    event: String,
    /// More, by event.
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<Row> for LoggedSession {
    fn from(row: Row) -> Self {
        Self {
            session_id: row.session_id,
            reception_id: row.reception_id,
            operator_id: row.operator_id,
            operator_name: row.operator_name,
            reason: row.reason,
            state: row.state,
            entered_at_ms: row.entered_at_ms,
            connected_at_ms: row.connected_at_ms,
            ended_at_ms: row.ended_at_ms,
            duration_ms: row.duration_ms,
            end_reason: row.end_reason,
            device: serde_json::from_str(&row.device).unwrap_or_default(),
            controlled: row.controlled,
            case_number: row.case_number,
            customer_name: row.customer_name,
            category: row.category,
            result: row.result,
            note: row.note,
            managed_device: Device::stored(row.managed.as_deref()),
            region: row.region,
            other_regions: row.other_regions.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

impl Asking for SupportLog {
    const FILTERS: &'static [Filter] = &[
        Filter {
            name: "q",
            kind: Kind::Text,
            what: "Words of operator, reason, device, case number, customer or note",
        },
        Filter { name: "from", kind: Kind::Day, what: "Begun on this day or later" },
        Filter { name: "to", kind: Kind::Day, what: "Begun on this day or earlier" },
        Filter {
            name: "state",
            kind: Kind::OneOf(&["running", "connected", "unconnected"]),
            what: "Not ended yet; ever connected; ended without having connected",
        },
        Filter { name: "reason", kind: Kind::Text, what: "Why it ended, for example `operator_ended`" },
        Filter { name: "operator", kind: Kind::Text, what: "Id of an account" },
        Filter { name: "organisation", kind: Kind::Text, what: "Id of an organisation; with those below it" },
        Filter { name: "group", kind: Kind::Text, what: "Id of a group of accounts" },
        Filter { name: "minutes", kind: Kind::Count, what: "At least this long" },
        Filter { name: "category", kind: Kind::Text, what: "Id of a category, or `none`" },
        Filter {
            name: "result",
            kind: Kind::OneOf(&["resolved", "ongoing", "handed_over", "unresolved", "none"]),
            what: "What came of it",
        },
        Filter {
            name: "region",
            kind: Kind::OneOf(&["jp", "eu", "us", "none"]),
            what: "Where both tools met first; `none` when nobody has said where that relay is",
        },
        Filter { name: "device", kind: Kind::Text, what: "Id of a device in its device management" },
        PAST,
    ];
    const COLUMNS: &'static [Column] = <Self as Listing>::COLUMNS;
}

/// The support log.
#[utoipa::path(
    get, path = "/v1/manage/sessions", tag = "manage", operation_id = "manage_sessions",
    security(("token" = ["sessions.read"])),
    params(ListQuery::<SupportLog>),
    responses((status = 200, body = ListBody<LoggedSession>), Refused),
)]
pub(super) async fn list(
    State(app): State<App>,
    by: By<SessionsRead>,
    query: ListQuery<SupportLog>,
) -> ApiResult<Json<ListBody<LoggedSession>>> {
    by.need(Permission::LogView)?;
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &SupportLog::read(&query.params, &by), &query.asked()).await?;
    Ok(Json(ListBody::of(page, LoggedSession::from)))
}

/// One session, and what happened in it.
#[utoipa::path(
    get, path = "/v1/manage/sessions/{session_id}", tag = "manage", operation_id = "manage_session",
    security(("token" = ["sessions.read"])),
    params(("session_id" = SessionId, Path)),
    responses((status = 200, body = SessionDetail), Refused),
)]
pub(super) async fn read(
    State(app): State<App>,
    by: By<SessionsRead>,
    InPath(session_id): InPath<SessionId>,
) -> ApiResult<Json<SessionDetail>> {
    by.need(Permission::LogView)?;
    let mut tx = app.db.read().await?;
    let row = find(&mut tx, &by, session_id).await?;
    let events = show::events(&mut tx, &by, &row.session_id, &row.reception_id).await?;
    let event = |(at_ms, event, detail): (i64, String, String)| SessionEvent {
        at_ms,
        event,
        detail: serde_json::from_str(&detail).unwrap_or_default(),
    };
    let events = events.into_iter().map(event).collect();
    let applications = serde_json::from_str(row.applications.as_deref().unwrap_or_default()).unwrap_or_default();
    Ok(Json(SessionDetail { session: row.into(), applications, events }))
}

/// What is written about a session.
#[utoipa::path(
    get, path = "/v1/manage/sessions/{session_id}/case", tag = "manage", operation_id = "manage_case",
    security(("token" = ["sessions.read"])),
    params(("session_id" = SessionId, Path)),
    responses((status = 200, body = CaseBody), Refused),
)]
pub(super) async fn read_case(
    State(app): State<App>,
    by: By<SessionsRead>,
    InPath(session_id): InPath<SessionId>,
) -> ApiResult<Json<CaseBody>> {
    by.need(Permission::LogView)?;
    let mut tx = app.db.read().await?;
    find(&mut tx, &by, session_id).await?;
    let stored = case::read(&mut tx, by.company_id, session_id).await?.ok_or(ApiError::not_found())?;
    Ok(Json(case_api::shown(stored)))
}

/// Writes about a session, over the version that was read. Writing the same again changes nothing.
#[utoipa::path(
    put, path = "/v1/manage/sessions/{session_id}/case", tag = "manage", operation_id = "manage_write_case",
    security(("token" = ["sessions.write"])),
    params(("session_id" = SessionId, Path)),
    request_body = CaseRequest,
    responses((status = 200, body = CaseBody), Refused, Conflict),
)]
pub(super) async fn write_case(
    State(app): State<App>,
    by: By<SessionsWrite>,
    InPath(session_id): InPath<SessionId>,
    Body(request): Body<CaseRequest>,
) -> ApiResult<Json<CaseBody>> {
    by.need(Permission::LogView)?;
    by.need(Permission::LogNote)?;
    let mut tx = app.db.begin().await?;
    find(&mut tx, &by, session_id).await?;
    let old = case::read(&mut tx, by.company_id, session_id).await?.ok_or(ApiError::not_found())?;
    let version = request.version;
    let case = Case::from(request);
    let writing = Writing { company_id: by.company_id, session_id, actor: by.actor(), actor_name: &by.name };
    case::write(&mut tx, writing, &old, (&case, version), app.now_ms()).await.map_err(case_api::refuse)?;
    let written = case::read(&mut tx, by.company_id, session_id).await?.ok_or(ApiError::not_found())?;
    tx.commit().await?;
    Ok(Json(case_api::shown(written)))
}

/// A session that the maker of the token sees.
pub(super) async fn find(tx: &mut Tx, login: &SiteLogin, session_id: SessionId) -> ApiResult<Row> {
    let one = SupportLog::one(&session_id.to_string(), login);
    let (rows, _) = crate::list::stretch(tx, &one, &Asked::read::<SupportLog>(&Params::default()), 1).await?;
    rows.into_iter().next().ok_or(ApiError::not_found())
}
