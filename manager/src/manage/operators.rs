//! Accounts.

use axum::{Json, extract::State};
use proto::{api::UnixMillis, id::OperatorId};
use serde::Serialize;

use super::{
    answer::{ListBody, Refused},
    query::{Asking, Filter, Kind, ListQuery},
};
use crate::{
    app::App,
    error::ApiResult,
    extract::InPath,
    group::store as groups,
    list::{Column, Listing},
    login::SiteLogin,
    operator::{
        list::{Accounts, Row},
        page,
    },
    role::Permission,
    token::{By, scope::AccountsRead},
};

/// An account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct OperatorBody {
    /// Its id in addresses.
    #[schema(value_type = OperatorId)]
    operator_id: String,
    /// The id at login.
    user_id: String,
    /// Name that customers see.
    name: String,
    /// Its reading.
    kana: String,
    /// Address of mail; may be empty.
    email: String,
    /// `company_admin`, `organisation_admin`, `supervisor`, `operator`, `viewer` or `auditor`; the base when there is a
    /// role of the company.
    role: String,
    /// The role of the company that decides instead.
    role_id: Option<String>,
    /// Its name.
    role_name: Option<String>,
    /// Id of the organisation; empty for none.
    organisation_id: String,
    /// Its name.
    organisation: Option<String>,
    /// `active`, `stopped`, `locked` or `initial` (the first password was not changed yet).
    state: String,
    /// Whether there is a second factor.
    has_factor: bool,
    /// The last login.
    last_login_at_ms: Option<i64>,
    /// The last support.
    last_support_at_ms: Option<i64>,
    /// When it was made.
    created_at_ms: i64,
    /// Counts changes; a change must name it.
    version: i64,
}

/// An account with its groups.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct OperatorDetail {
    /// What the list has.
    #[serde(flatten)]
    operator: OperatorBody,
    /// Ids of its groups.
    groups: Vec<String>,
}

impl OperatorBody {
    fn new(row: Row, now: UnixMillis) -> Self {
        Self {
            state: row.state(now).as_str().to_owned(),
            operator_id: row.operator_id,
            user_id: row.user_id,
            name: row.name,
            kana: row.kana,
            email: row.email,
            role: row.role,
            role_id: row.role_id,
            role_name: row.role_name,
            organisation_id: row.organisation_id.unwrap_or_default(),
            organisation: row.organisation,
            has_factor: row.has_factor,
            last_login_at_ms: row.last_login_at_ms,
            last_support_at_ms: row.last_support_at_ms,
            created_at_ms: row.created_at_ms,
            version: row.version,
        }
    }
}

impl Asking for Accounts {
    const FILTERS: &'static [Filter] = &[
        Filter { name: "q", kind: Kind::Text, what: "Words of name, reading, id or address of mail" },
        Filter { name: "role", kind: Kind::Text, what: "A role of the product, or the id of one of the company" },
        Filter {
            name: "state",
            kind: Kind::OneOf(&["active", "stopped", "locked", "initial"]),
            what: "The state of the account",
        },
        Filter { name: "organisation", kind: Kind::Text, what: "Id of an organisation; with those below it" },
        Filter { name: "group", kind: Kind::Text, what: "Id of a group" },
        Filter { name: "factor", kind: Kind::OneOf(&["yes", "no"]), what: "Whether there is a second factor" },
    ];
    const COLUMNS: &'static [Column] = <Self as Listing>::COLUMNS;
}

/// The accounts that the maker of the token sees.
#[utoipa::path(
    get, path = "/v1/manage/operators", tag = "manage", operation_id = "manage_operators",
    security(("token" = ["accounts.read"])),
    params(ListQuery::<Accounts>),
    responses((status = 200, body = ListBody<OperatorBody>), Refused),
)]
pub(super) async fn list(
    State(app): State<App>,
    by: By<AccountsRead>,
    query: ListQuery<Accounts>,
) -> ApiResult<Json<ListBody<OperatorBody>>> {
    by.need(Permission::OperatorView)?;
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Accounts::read(&query.params, &by, now), &query.asked()).await?;
    Ok(Json(ListBody::of(page, |row| OperatorBody::new(row, now))))
}

/// One account.
#[utoipa::path(
    get, path = "/v1/manage/operators/{operator_id}", tag = "manage", operation_id = "manage_operator",
    security(("token" = ["accounts.read"])),
    params(("operator_id" = OperatorId, Path)),
    responses((status = 200, body = OperatorDetail), Refused),
)]
pub(super) async fn read(
    State(app): State<App>,
    by: By<AccountsRead>,
    InPath(operator_id): InPath<OperatorId>,
) -> ApiResult<Json<OperatorDetail>> {
    by.need(Permission::OperatorView)?;
    Ok(Json(detail(&app, &by, operator_id).await?))
}

/// One account in reach, with its groups.
pub(super) async fn detail(app: &App, login: &SiteLogin, operator_id: OperatorId) -> ApiResult<OperatorDetail> {
    let row = page::find(app, login, &operator_id.to_string()).await?;
    let mut tx = app.db.read().await?;
    let groups = groups::of_account(&mut tx, &row.operator_id).await?;
    Ok(OperatorDetail { operator: OperatorBody::new(row, app.now_ms()), groups })
}
