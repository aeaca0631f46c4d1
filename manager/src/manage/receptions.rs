//! The reception log. Numbers are not in it.

use axum::{Json, extract::State};
use proto::id::{ReceptionId, SessionId};
use serde::Serialize;

use super::{
    answer::{ListBody, Refused},
    query::{Asking, Filter, Kind, ListQuery, PAST},
};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    extract::InPath,
    list::{Asked, Column, Listing, Params},
    reception::list::{ReceptionLog, Row},
    role::Permission,
    token::{By, scope::ReceptionsRead},
};

/// A reception.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LoggedReception {
    /// Its id.
    #[schema(value_type = ReceptionId)]
    reception_id: String,
    /// The account's name now.
    operator_name: String,
    /// What the customer was told.
    reason: String,
    /// `issued`, `entered`, `proved`, `expired`, `cancelled` or `burned`.
    state: String,
    /// When the number was issued.
    issued_at_ms: i64,
    /// When it ran out, or would have.
    expires_at_ms: i64,
    /// When the number was entered.
    entered_at_ms: Option<i64>,
    /// When it was closed.
    closed_at_ms: Option<i64>,
    /// Entries that left before the secret was proved.
    unproved_count: i64,
    /// The session it led to.
    #[schema(value_type = Option<SessionId>)]
    session_id: Option<String>,
}

impl From<Row> for LoggedReception {
    fn from(row: Row) -> Self {
        Self {
            reception_id: row.reception_id,
            operator_name: row.operator_name,
            reason: row.reason,
            state: row.state,
            issued_at_ms: row.issued_at_ms,
            expires_at_ms: row.expires_at_ms,
            entered_at_ms: row.entered_at_ms,
            closed_at_ms: row.closed_at_ms,
            unproved_count: row.unproved_count,
            session_id: row.session_id,
        }
    }
}

impl Asking for ReceptionLog {
    const FILTERS: &'static [Filter] = &[
        Filter { name: "q", kind: Kind::Text, what: "Words of the operator's name or the reason" },
        Filter { name: "from", kind: Kind::Day, what: "Issued on this day or later" },
        Filter { name: "to", kind: Kind::Day, what: "Issued on this day or earlier" },
        Filter {
            name: "state",
            kind: Kind::OneOf(&["issued", "entered", "proved", "expired", "cancelled", "burned"]),
            what: "The state",
        },
        PAST,
    ];
    const COLUMNS: &'static [Column] = <Self as Listing>::COLUMNS;
}

/// The reception log.
#[utoipa::path(
    get, path = "/v1/manage/receptions", tag = "manage", operation_id = "manage_receptions",
    security(("token" = ["receptions.read"])),
    params(ListQuery::<ReceptionLog>),
    responses((status = 200, body = ListBody<LoggedReception>), Refused),
)]
pub(super) async fn list(
    State(app): State<App>,
    by: By<ReceptionsRead>,
    query: ListQuery<ReceptionLog>,
) -> ApiResult<Json<ListBody<LoggedReception>>> {
    by.need(Permission::LogView)?;
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &ReceptionLog::read(&query.params, &by), &query.asked()).await?;
    Ok(Json(ListBody::of(page, LoggedReception::from)))
}

/// One reception.
#[utoipa::path(
    get, path = "/v1/manage/receptions/{reception_id}", tag = "manage", operation_id = "manage_reception",
    security(("token" = ["receptions.read"])),
    params(("reception_id" = ReceptionId, Path)),
    responses((status = 200, body = LoggedReception), Refused),
)]
pub(super) async fn read(
    State(app): State<App>,
    by: By<ReceptionsRead>,
    InPath(reception_id): InPath<ReceptionId>,
) -> ApiResult<Json<LoggedReception>> {
    by.need(Permission::LogView)?;
    let one = ReceptionLog::one(&reception_id.to_string(), &by);
    let mut tx = app.db.read().await?;
    let (rows, _) = crate::list::stretch(&mut tx, &one, &Asked::read::<ReceptionLog>(&Params::default()), 1).await?;
    let row = rows.into_iter().next().ok_or(ApiError::not_found())?;
    Ok(Json(row.into()))
}
