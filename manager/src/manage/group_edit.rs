//! Changes of groups.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::{
    answer::{Conflict, Refused},
    tree::ManagedGroup,
};
use crate::{
    app::App,
    company::ShownName,
    db::Tx,
    error::{ApiError, ApiResult},
    extract::{Body, InPath},
    group::{
        GROUPS_MAX,
        edit::{self, EditError},
        store,
    },
    login::SiteLogin,
    role::Permission,
    token::{By, scope::AccountsWrite},
};

/// A new group.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "name": "夜間" }))]
pub(super) struct NewGroup {
    /// Its name, 1 to 64 characters, unique in the company.
    #[schema(max_length = 64, min_length = 1)]
    name: String,
}

/// A changed group; every field is written.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "name": "夜間", "version": 0 }))]
pub(super) struct ChangedGroup {
    /// Its name, 1 to 64 characters, unique in the company.
    #[schema(max_length = 64, min_length = 1)]
    name: String,
    /// The version that was read; another one means that somebody else changed it meanwhile.
    version: i64,
}

/// Makes a group.
#[utoipa::path(
    post, path = "/v1/manage/groups", tag = "manage", operation_id = "manage_create_group",
    security(("token" = ["accounts.write"])),
    request_body = NewGroup,
    responses((status = 201, body = ManagedGroup), Refused, Conflict),
)]
pub(super) async fn create(
    State(app): State<App>,
    by: By<AccountsWrite>,
    Body(new): Body<NewGroup>,
) -> ApiResult<(StatusCode, Json<ManagedGroup>)> {
    by.need(Permission::OrganisationEdit)?;
    let name = read_name(&new.name)?;
    let mut tx = app.db.begin().await?;
    let id = edit::create(&mut tx, &by, &name, app.now_ms()).await.map_err(refuse)?;
    let made = read(&mut tx, &by, &id).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Renames a group over the version that was read.
#[utoipa::path(
    put, path = "/v1/manage/groups/{group_id}", tag = "manage", operation_id = "manage_rename_group",
    security(("token" = ["accounts.write"])),
    params(("group_id" = String, Path, description = "Its id")),
    request_body = ChangedGroup,
    responses((status = 200, body = ManagedGroup), Refused, Conflict),
)]
pub(super) async fn rename(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(group_id): InPath<String>,
    Body(new): Body<ChangedGroup>,
) -> ApiResult<Json<ManagedGroup>> {
    by.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, by.company_id, &group_id).await?.ok_or(ApiError::not_found())?;
    let name = read_name(&new.name)?;
    edit::rename(&mut tx, &by, &old, new.version, &name, app.now_ms()).await.map_err(refuse)?;
    let changed = read(&mut tx, &by, &group_id).await?;
    tx.commit().await?;
    Ok(Json(changed))
}

/// Deletes a group; its accounts stay.
#[utoipa::path(
    delete, path = "/v1/manage/groups/{group_id}", tag = "manage", operation_id = "manage_delete_group",
    security(("token" = ["accounts.write"])),
    params(("group_id" = String, Path, description = "Its id")),
    responses((status = 204, description = "Deleted"), Refused),
)]
pub(super) async fn delete(
    State(app): State<App>,
    by: By<AccountsWrite>,
    InPath(group_id): InPath<String>,
) -> ApiResult<StatusCode> {
    by.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, by.company_id, &group_id).await?.ok_or(ApiError::not_found())?;
    edit::delete(&mut tx, &by, &old, app.now_ms()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read_name(text: &str) -> ApiResult<ShownName> {
    text.trim().parse().map_err(|_no_name| ApiError::bad_request("name must be one line of 1 to 64 characters"))
}

async fn read(tx: &mut Tx, login: &SiteLogin, group_id: &str) -> ApiResult<ManagedGroup> {
    Ok(store::find(tx, login.company_id, group_id).await?.ok_or(ApiError::not_found())?.into())
}

fn refuse(error: EditError) -> ApiError {
    match error {
        EditError::Many => ApiError::wrong_state(format!("a company has at most {GROUPS_MAX} groups")),
        EditError::Taken => ApiError::wrong_state("name is taken"),
        EditError::Changed => ApiError::wrong_state("somebody else changed it meanwhile; read it again"),
        EditError::Db(error) => error.into(),
    }
}
