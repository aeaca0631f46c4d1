//! Changes of the tree of organisations.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::{
    answer::{Conflict, Refused},
    tree::ManagedOrganisation,
};
use crate::{
    app::App,
    db::Tx,
    error::{ApiError, ApiResult},
    extract::{Body, InPath},
    login::SiteLogin,
    organisation::{
        DEPTH_MAX, ORGANISATIONS_MAX,
        edit::{self, EditError, Values},
        page, store,
    },
    role::Permission,
    token::{By, scope::AccountsWrite},
};

/// A new organisation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "name": "東日本", "note": "", "parent_id": "" }))]
pub(super) struct NewOrganisation {
    /// Its name, 1 to 30 characters, unique in the company.
    #[schema(max_length = 30, min_length = 1)]
    name: String,
    /// Anything else, at most 100 characters.
    #[serde(default)]
    #[schema(max_length = 100)]
    note: String,
    /// Id of the one above it; empty for the root, which only who sees the whole company may name.
    #[serde(default)]
    #[schema(max_length = 32)]
    parent_id: String,
}

/// A changed organisation; every field is written.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "name": "東日本", "note": "", "parent_id": "", "version": 0 }))]
pub(super) struct ChangedOrganisation {
    /// Its name, 1 to 30 characters, unique in the company.
    #[schema(max_length = 30, min_length = 1)]
    name: String,
    /// Anything else, at most 100 characters.
    #[schema(max_length = 100)]
    note: String,
    /// Id of the one above it; empty for the root.
    #[schema(max_length = 32)]
    parent_id: String,
    /// The version that was read; another one means that somebody else changed it meanwhile.
    version: i64,
}

/// Where everything of an organisation goes.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "into": "00000000000000000000000000000000" }))]
pub(super) struct MergedOrganisation {
    /// Id of the organisation that takes it.
    #[schema(max_length = 32)]
    into: String,
}

/// Makes an organisation.
#[utoipa::path(
    post, path = "/v1/manage/organisations", tag = "manage", operation_id = "manage_create_organisation",
    security(("token" = ["accounts.write"])),
    request_body = NewOrganisation,
    responses((status = 201, body = ManagedOrganisation), Refused, Conflict),
)]
pub(super) async fn create(
    State(app): State<App>,
    by: By<AccountsWrite>,
    Body(new): Body<NewOrganisation>,
) -> ApiResult<(StatusCode, Json<ManagedOrganisation>)> {
    by.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let values = values(&new.name, &new.note, &new.parent_id);
    let id = edit::create(&mut tx, &by, &values, app.now_ms()).await.map_err(refuse)?;
    let made = read(&mut tx, &by, &id).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Changes an organisation over the version that was read; with another one above it, it moves with all below it.
#[utoipa::path(
    put, path = "/v1/manage/organisations/{organisation_id}", tag = "manage",
    operation_id = "manage_change_organisation",
    security(("token" = ["accounts.write"])),
    params(("organisation_id" = String, Path, description = "Its id")),
    request_body = ChangedOrganisation,
    responses((status = 200, body = ManagedOrganisation), Refused, Conflict),
)]
pub(super) async fn change(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(organisation_id): InPath<String>,
    Body(new): Body<ChangedOrganisation>,
) -> ApiResult<Json<ManagedOrganisation>> {
    by.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, &by, &organisation_id).await?.ok_or(ApiError::not_found())?;
    let values = values(&new.name, &new.note, &new.parent_id);
    edit::update(&mut tx, &by, &old, new.version, &values, app.now_ms()).await.map_err(refuse)?;
    let changed = read(&mut tx, &by, &organisation_id).await?;
    tx.commit().await?;
    Ok(Json(changed))
}

/// Puts the accounts and organisations of one organisation into another, and deletes it.
#[utoipa::path(
    post, path = "/v1/manage/organisations/{organisation_id}/merge", tag = "manage",
    operation_id = "manage_merge_organisation",
    security(("token" = ["accounts.write"])),
    params(("organisation_id" = String, Path, description = "Its id")),
    request_body = MergedOrganisation,
    responses((status = 200, body = ManagedOrganisation, description = "The one that took it"), Refused, Conflict),
)]
pub(super) async fn merge(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(organisation_id): InPath<String>,
    Body(merged): Body<MergedOrganisation>,
) -> ApiResult<Json<ManagedOrganisation>> {
    by.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let old = page::movable(store::find(&mut tx, &by, &organisation_id).await?, &by)?;
    edit::merge(&mut tx, &by, &old, &merged.into, app.now_ms()).await.map_err(refuse)?;
    let into = read(&mut tx, &by, &merged.into).await?;
    tx.commit().await?;
    Ok(Json(into))
}

/// Deletes an organisation to which nothing belongs.
#[utoipa::path(
    delete, path = "/v1/manage/organisations/{organisation_id}", tag = "manage",
    operation_id = "manage_delete_organisation",
    security(("token" = ["accounts.write"])),
    params(("organisation_id" = String, Path, description = "Its id")),
    responses((status = 204, description = "Deleted"), Refused, Conflict),
)]
pub(super) async fn delete(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(organisation_id): InPath<String>,
) -> ApiResult<StatusCode> {
    by.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let old = page::movable(store::find(&mut tx, &by, &organisation_id).await?, &by)?;
    edit::delete(&mut tx, &by, &old, app.now_ms()).await.map_err(refuse)?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn values(name: &str, note: &str, parent: &str) -> Values {
    Values { name: name.trim().to_owned(), note: note.trim().to_owned(), parent: parent.to_owned() }
}

async fn read(tx: &mut Tx, login: &SiteLogin, organisation_id: &str) -> ApiResult<ManagedOrganisation> {
    Ok(store::find(tx, login, organisation_id).await?.ok_or(ApiError::not_found())?.into())
}

fn refuse(error: EditError) -> ApiError {
    match error {
        EditError::Name => ApiError::bad_request("name must be one line of 1 to 30 characters"),
        EditError::Note => ApiError::bad_request("note must be one line of at most 100 characters"),
        EditError::Parent => ApiError::bad_request("the other organisation is none that this token reaches"),
        EditError::Taken => ApiError::wrong_state("another one under the same organisation has this name"),
        EditError::Twice(name) => ApiError::wrong_state(format!("both have {name} under them; rename one of the two")),
        EditError::Cycle => ApiError::wrong_state("it would be below itself"),
        EditError::Deep => ApiError::wrong_state(format!("the tree would be deeper than {DEPTH_MAX}")),
        EditError::Many => ApiError::wrong_state(format!("a company has at most {ORGANISATIONS_MAX} organisations")),
        EditError::Used => ApiError::wrong_state("accounts or organisations belong to it; merge it instead"),
        EditError::Changed => ApiError::wrong_state("somebody else changed it meanwhile; read it again"),
        EditError::Db(error) => error.into(),
    }
}
