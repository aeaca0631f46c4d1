//! Making and changing accounts, but none that administers others, and no password.

use axum::{Json, extract::State, http::StatusCode};
use proto::{api::UnixMillis, id::OperatorId};
use serde::Deserialize;

use super::{
    answer::{Conflict, Refused},
    operators::{OperatorDetail, detail},
};
use crate::{
    app::{self, App},
    db::Tx,
    error::{ApiError, ApiResult},
    extract::{Body, InPath},
    group::store as groups,
    login::{SiteLogin, password::NewPassword},
    operator::{
        UserId,
        bulk::Verb,
        edit::{self, EditError, Values},
        fields::{self, OutOfReach, Typed, Wrong},
        page,
    },
    organisation::store::Organisation,
    role::Permission,
    token::{By, scope::AccountsWrite},
};

/// A new account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "user_id": "tanaka", "name": "田中 一", "kana": "タナカ ハジメ", "email": "tanaka@example.co.jp", "role": "operator"
}))]
pub(super) struct NewAccount {
    /// The id at login: 1 to 64 half-width letters, digits and `. _ - @ +`.
    #[schema(max_length = 64, min_length = 1)]
    user_id: String,
    /// Name that customers see, 1 to 64 characters.
    #[schema(max_length = 64, min_length = 1)]
    name: String,
    /// Its reading, at most 64 characters.
    #[serde(default)]
    #[schema(max_length = 64)]
    kana: String,
    /// Address of mail, to which an administrator can send the link for the first password; may be empty.
    #[serde(default)]
    #[schema(max_length = 254)]
    email: String,
    /// A role of the product or the id of one of the company; none that administers others.
    #[schema(max_length = 64)]
    role: String,
    /// Id of an organisation in reach; without it the account is where the maker of the token is, or in none when that
    /// sees the whole company.
    #[serde(default)]
    #[schema(max_length = 32)]
    organisation_id: String,
    /// Ids of groups.
    #[serde(default)]
    #[schema(max_items = 1000)]
    groups: Vec<String>,
}

/// A changed account; every field is written.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "田中 一", "kana": "タナカ ハジメ", "email": "tanaka@example.co.jp", "role": "operator",
    "organisation_id": "", "groups": [], "version": 0
}))]
pub(super) struct ChangedAccount {
    /// Name that customers see, 1 to 64 characters.
    #[schema(max_length = 64, min_length = 1)]
    name: String,
    /// Its reading, at most 64 characters.
    #[schema(max_length = 64)]
    kana: String,
    /// Address of mail as it is: it is changed at the site only, because links for passwords go there.
    #[schema(max_length = 254)]
    email: String,
    /// A role of the product or the id of one of the company; none that administers others.
    #[schema(max_length = 64)]
    role: String,
    /// Id of an organisation in reach, or empty for none.
    #[schema(max_length = 32)]
    organisation_id: String,
    /// Ids of all its groups.
    #[schema(max_items = 1000)]
    groups: Vec<String>,
    /// The version that was read; another one means that somebody else changed it meanwhile.
    version: i64,
}

/// Makes an account that nobody can log in to yet: an administrator sends the link for its password, or sets one, at
/// the site.
#[utoipa::path(
    post, path = "/v1/manage/operators", tag = "manage", operation_id = "manage_create_operator",
    security(("token" = ["accounts.write"])),
    request_body = NewAccount,
    responses((status = 201, body = OperatorDetail), Refused, Conflict),
)]
pub(super) async fn create(
    State(app): State<App>,
    by: By<AccountsWrite>,
    Body(new): Body<NewAccount>,
) -> ApiResult<(StatusCode, Json<OperatorDetail>)> {
    by.need(Permission::OperatorEdit)?;
    let user: UserId = new.user_id.parse().map_err(|error| ApiError::bad_request(format!("user_id: {error}")))?;
    let password = NewPassword::draw(&by.policy.password, &mut app::os_rng());
    let turn = app.hash_gate.enter().await.map_err(ApiError::busy)?;
    let hash = app.hash_gate.hash(turn, password.same()).await.ok_or_else(|| ApiError::internal("no hash"))?;
    let mut tx = app.db.begin().await?;
    let typed = Typed { name: &new.name, kana: &new.kana, email: &new.email, role: &new.role };
    let values = fields::read(&mut tx, &by, typed).await?.map_err(|wrong| refuse_fields(&wrong))?;
    let new_place = place(&mut tx, &by, &new.organisation_id, None).await?;
    let now = app.now_ms();
    let operator_id = edit::create(&mut tx, &by, &user, &values, &hash, now).await.map_err(refuse)?;
    if let Some(into) = &new_place {
        let into = into.as_ref().map(|into| (into.id.as_str(), into.name.as_str()));
        edit::place_in(&mut tx, &by, operator_id, "", into, now).await.map_err(refuse)?;
    }
    set_groups(&mut tx, &by, operator_id, &new.groups, now).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(detail(&app, &by, operator_id).await?)))
}

/// Changes an account over the version that was read.
#[utoipa::path(
    put, path = "/v1/manage/operators/{operator_id}", tag = "manage", operation_id = "manage_change_operator",
    security(("token" = ["accounts.write"])),
    params(("operator_id" = OperatorId, Path)),
    request_body = ChangedAccount,
    responses((status = 200, body = OperatorDetail), Refused, Conflict),
)]
pub(super) async fn change(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(operator_id): InPath<OperatorId>,
    Body(new): Body<ChangedAccount>,
) -> ApiResult<Json<OperatorDetail>> {
    by.need(Permission::OperatorEdit)?;
    let row = page::find(&app, &by, &operator_id.to_string()).await?;
    let mut tx = app.db.begin().await?;
    let typed = Typed { name: &new.name, kana: &new.kana, email: &new.email, role: &new.role };
    let values: Values = fields::read(&mut tx, &by, typed).await?.map_err(|wrong| refuse_fields(&wrong))?;
    let new_place = place(&mut tx, &by, &new.organisation_id, row.organisation_id.as_deref()).await?;
    let now = app.now_ms();
    edit::update(&mut tx, &by, &row, new.version, &values, now).await.map_err(refuse)?;
    set_groups(&mut tx, &by, operator_id, &new.groups, now).await?;
    if let Some(into) = &new_place {
        let before = row.organisation.as_deref().unwrap_or_default();
        let into = into.as_ref().map(|into| (into.id.as_str(), into.name.as_str()));
        edit::place_in(&mut tx, &by, operator_id, before, into, now).await.map_err(refuse)?;
    }
    tx.commit().await?;
    Ok(Json(detail(&app, &by, operator_id).await?))
}

/// Stops an account: it is logged out everywhere at once.
#[utoipa::path(
    post, path = "/v1/manage/operators/{operator_id}/stop", tag = "manage", operation_id = "manage_stop_operator",
    security(("token" = ["accounts.write"])),
    params(("operator_id" = OperatorId, Path)),
    responses((status = 200, body = OperatorDetail), Refused, Conflict),
)]
pub(super) async fn stop(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(operator_id): InPath<OperatorId>,
) -> ApiResult<Json<OperatorDetail>> {
    act(&app, &by, operator_id, Verb::Stop).await?;
    Ok(Json(detail(&app, &by, operator_id).await?))
}

/// Lets a stopped account log in again.
#[utoipa::path(
    post, path = "/v1/manage/operators/{operator_id}/start", tag = "manage", operation_id = "manage_start_operator",
    security(("token" = ["accounts.write"])),
    params(("operator_id" = OperatorId, Path)),
    responses((status = 200, body = OperatorDetail), Refused, Conflict),
)]
pub(super) async fn start(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(operator_id): InPath<OperatorId>,
) -> ApiResult<Json<OperatorDetail>> {
    act(&app, &by, operator_id, Verb::Start).await?;
    Ok(Json(detail(&app, &by, operator_id).await?))
}

/// Opens an account that failed logins have locked.
#[utoipa::path(
    post, path = "/v1/manage/operators/{operator_id}/unlock", tag = "manage", operation_id = "manage_unlock_operator",
    security(("token" = ["accounts.write"])),
    params(("operator_id" = OperatorId, Path)),
    responses((status = 200, body = OperatorDetail), Refused, Conflict),
)]
pub(super) async fn unlock(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(operator_id): InPath<OperatorId>,
) -> ApiResult<Json<OperatorDetail>> {
    act(&app, &by, operator_id, Verb::Unlock).await?;
    Ok(Json(detail(&app, &by, operator_id).await?))
}

/// Ends every login of an account, at the site and in the tools.
#[utoipa::path(
    post, path = "/v1/manage/operators/{operator_id}/logout", tag = "manage", operation_id = "manage_log_out_operator",
    security(("token" = ["accounts.write"])),
    params(("operator_id" = OperatorId, Path)),
    responses((status = 204, description = "Done"), Refused),
)]
pub(super) async fn log_out(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(operator_id): InPath<OperatorId>,
) -> ApiResult<StatusCode> {
    act(&app, &by, operator_id, Verb::LogOut).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes an account: its seat and its id are free at once, and the logs keep its name.
#[utoipa::path(
    delete, path = "/v1/manage/operators/{operator_id}", tag = "manage", operation_id = "manage_delete_operator",
    security(("token" = ["accounts.write"])),
    params(("operator_id" = OperatorId, Path)),
    responses((status = 204, description = "Deleted"), Refused, Conflict),
)]
pub(super) async fn delete(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(operator_id): InPath<OperatorId>,
) -> ApiResult<StatusCode> {
    act(&app, &by, operator_id, Verb::Delete).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does something to an account that the token reaches.
async fn act(app: &App, by: &By<AccountsWrite>, operator_id: OperatorId, verb: Verb) -> ApiResult<()> {
    by.need(Permission::OperatorEdit)?;
    let row = page::find(app, by, &operator_id.to_string()).await?;
    let mut tx = app.db.begin().await?;
    verb.apply(&mut tx, by, &row, app.now_ms()).await.map_err(refuse)?;
    tx.commit().await?;
    Ok(())
}

/// Where the account shall be, when that is another place.
async fn place(
    tx: &mut Tx,
    login: &SiteLogin,
    after: &str,
    before: Option<&str>,
) -> ApiResult<Option<Option<Organisation>>> {
    let place = fields::organisation_of(tx, login, after, before).await?;
    place.map_err(|OutOfReach| ApiError::bad_request("organisation_id is no organisation that this token reaches"))
}

async fn set_groups(
    tx: &mut Tx,
    login: &SiteLogin,
    operator_id: OperatorId,
    groups: &[String],
    now: UnixMillis,
) -> ApiResult<()> {
    let all = groups::of_company(tx, login.company_id).await?;
    if !groups.iter().all(|id| all.iter().any(|group| group.id == *id)) {
        return Err(ApiError::bad_request("groups has an id that is no group of the company"));
    }
    edit::set_groups(tx, login, operator_id, groups, now).await.map_err(refuse)
}

fn refuse_fields(wrong: &[Wrong]) -> ApiError {
    ApiError::bad_request(match wrong.first() {
        Some(Wrong::Name) => "name must be one line of 1 to 64 characters",
        Some(Wrong::Kana) => "kana must be one line of at most 64 characters",
        Some(Wrong::Email) => "email must be like name@example.co.jp, or empty",
        Some(Wrong::Role) | None => "role is neither a role of the product nor the id of one of the company",
    })
}

fn refuse(error: EditError) -> ApiError {
    match error {
        EditError::Changed => ApiError::wrong_state("somebody else changed it meanwhile; read it again"),
        EditError::Taken => ApiError::wrong_state("user_id is taken"),
        EditError::NoSeat => ApiError::wrong_state("the contract has no seat left"),
        EditError::TooWide => {
            ApiError::forbidden("a token gives no role that administers, or is wider than its maker's")
        }
        EditError::LastAdmin => ApiError::wrong_state("nobody would be left who can administer the company"),
        EditError::Oneself => ApiError::forbidden("a token cannot do this to the account that made it"),
        EditError::Unproved | EditError::ByToken => ApiError::forbidden(
            "a token changes no account that administers others, no address of mail and no password; do it at the site",
        ),
        EditError::NoMail => ApiError::wrong_state("there is no address of mail, or mail is off"),
        EditError::Db(error) => error.into(),
    }
}
