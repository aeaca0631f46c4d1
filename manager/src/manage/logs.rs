//! The operation log and the login log.

use axum::{Json, extract::State};
use proto::id::SessionId;
use serde::Serialize;
use serde_json::Value;

use super::{
    answer::{ListBody, Refused},
    query::{Asking, Filter, Kind, ListQuery, PAST},
};
use crate::{
    app::App,
    audit::list::{Events, Log, Row},
    error::ApiResult,
    list::{Column, Listing},
    login::SiteLogin,
    role::Permission,
    token::{By, scope::LogsRead},
};

/// A row of the chain.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LogEntry {
    /// Its number in the chain.
    number: i64,
    /// When.
    at_ms: i64,
    /// Who, as the chain has it: `operator:…`, `token:…`, `customer:…`, `manager` and so on.
    actor: String,
    /// The name of the account or token, when it is one.
    actor_name: Option<String>,
    /// `noun.verb`, for example `operator.created`.
    event: String,
    /// The session it is about.
    #[schema(value_type = Option<SessionId>)]
    session_id: Option<String>,
    /// More, by event.
    #[schema(value_type = Object)]
    detail: Value,
    /// The row's hash, 64 hexadecimal digits.
    hash: String,
}

impl From<Row> for LogEntry {
    fn from(row: Row) -> Self {
        Self {
            number: row.seq,
            at_ms: row.at_ms,
            actor: row.actor,
            actor_name: row.actor_name,
            event: row.event,
            session_id: row.session_id,
            detail: serde_json::from_str(&row.detail).unwrap_or_default(),
            hash: row.hash,
        }
    }
}

impl Asking for Events {
    const FILTERS: &'static [Filter] = &[
        Filter { name: "q", kind: Kind::Text, what: "Words of actor, event or detail" },
        Filter { name: "from", kind: Kind::Day, what: "On this day or later" },
        Filter { name: "to", kind: Kind::Day, what: "On this day or earlier" },
        Filter { name: "event", kind: Kind::Text, what: "What the event's name begins with, for example `operator.`" },
        Filter { name: "actor", kind: Kind::Text, what: "Id of an account" },
        PAST,
    ];
    const COLUMNS: &'static [Column] = <Self as Listing>::COLUMNS;
}

/// What was done.
#[utoipa::path(
    get, path = "/v1/manage/log/operations", tag = "manage", operation_id = "manage_log_operations",
    security(("token" = ["logs.read"])),
    params(ListQuery::<Events>),
    responses((status = 200, body = ListBody<LogEntry>), Refused),
)]
pub(super) async fn operations(
    State(app): State<App>,
    by: By<LogsRead>,
    query: ListQuery<Events>,
) -> ApiResult<Json<ListBody<LogEntry>>> {
    by.need(Permission::AuditView)?;
    page(&app, &by, &query, Log::Operations).await
}

/// Who logged in, and who could not.
#[utoipa::path(
    get, path = "/v1/manage/log/logins", tag = "manage", operation_id = "manage_log_logins",
    security(("token" = ["logs.read"])),
    params(ListQuery::<Events>),
    responses((status = 200, body = ListBody<LogEntry>), Refused),
)]
pub(super) async fn logins(
    State(app): State<App>,
    by: By<LogsRead>,
    query: ListQuery<Events>,
) -> ApiResult<Json<ListBody<LogEntry>>> {
    by.need(Permission::LoginLogView)?;
    page(&app, &by, &query, Log::Logins).await
}

async fn page(
    app: &App,
    login: &SiteLogin,
    query: &ListQuery<Events>,
    log: Log,
) -> ApiResult<Json<ListBody<LogEntry>>> {
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Events::read(log, &query.params, login), &query.asked()).await?;
    Ok(Json(ListBody::of(page, LogEntry::from)))
}
