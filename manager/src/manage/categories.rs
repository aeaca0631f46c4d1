//! Categories of cases.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::{Conflict, Refused};
use crate::{
    app::App,
    category::{
        edit::{self, EditError},
        store::{self, CATEGORIES_MAX, Category},
    },
    company::ShownName,
    error::{ApiError, ApiResult},
    extract::{Body, InPath},
    role::Permission,
    token::{
        By,
        scope::{SessionsRead, SettingsWrite},
    },
};

/// The categories of a company.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ManagedCategories {
    /// Those that are offered first, by name; at most 200.
    categories: Vec<ManagedCategory>,
}

/// A category.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ManagedCategory {
    /// Its id.
    category_id: String,
    /// Its name, unique in the company.
    name: String,
    /// Whether it is offered no more.
    retired: bool,
    /// Counts changes; a change must name it.
    version: i64,
}

/// A new category.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "name": "メール" }))]
pub(super) struct NewCategory {
    /// Its name, 1 to 64 characters, unique in the company.
    #[schema(max_length = 64, min_length = 1)]
    name: String,
}

/// A changed category; every field is written.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "name": "メール", "retired": false, "version": 0 }))]
pub(super) struct ChangedCategory {
    /// Its name, 1 to 64 characters, unique in the company.
    #[schema(max_length = 64, min_length = 1)]
    name: String,
    /// Whether it is offered no more; cases that have it keep it.
    retired: bool,
    /// The version that was read; another one means that somebody else changed it meanwhile.
    version: i64,
}

impl From<Category> for ManagedCategory {
    fn from(category: Category) -> Self {
        let Category { id, name, retired, version } = category;
        Self { category_id: id, name, retired, version }
    }
}

/// The categories of the company.
#[utoipa::path(
    get, path = "/v1/manage/categories", tag = "manage", operation_id = "manage_categories",
    security(("token" = ["sessions.read"])),
    responses((status = 200, body = ManagedCategories), Refused),
)]
pub(super) async fn list(State(app): State<App>, by: By<SessionsRead>) -> ApiResult<Json<ManagedCategories>> {
    by.need(Permission::LogView)?;
    let mut tx = app.db.read().await?;
    let categories = store::of_company(&mut tx, by.company_id).await?;
    Ok(Json(ManagedCategories { categories: categories.into_iter().map(ManagedCategory::from).collect() }))
}

/// Makes a category.
#[utoipa::path(
    post, path = "/v1/manage/categories", tag = "manage", operation_id = "manage_create_category",
    security(("token" = ["settings.write"])),
    request_body = NewCategory,
    responses((status = 201, body = ManagedCategory), Refused, Conflict),
)]
pub(super) async fn create(
    State(app): State<App>,
    by: By<SettingsWrite>,
    Body(new): Body<NewCategory>,
) -> ApiResult<(StatusCode, Json<ManagedCategory>)> {
    by.need(Permission::SettingsEdit)?;
    let name = read_name(&new.name)?;
    let mut tx = app.db.begin().await?;
    let id = edit::create(&mut tx, &by, &name, app.now_ms()).await.map_err(refuse)?;
    tx.commit().await?;
    let made = Category { id, name: name.as_str().to_owned(), retired: false, version: 0 };
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Changes a category over the version that was read.
#[utoipa::path(
    put, path = "/v1/manage/categories/{category_id}", tag = "manage", operation_id = "manage_change_category",
    security(("token" = ["settings.write"])),
    params(("category_id" = String, Path, description = "Its id")),
    request_body = ChangedCategory,
    responses((status = 200, body = ManagedCategory), Refused, Conflict),
)]
pub(super) async fn change(
    State(app): State<App>,
    by: By<SettingsWrite>,
    InPath(category_id): InPath<String>,
    Body(new): Body<ChangedCategory>,
) -> ApiResult<Json<ManagedCategory>> {
    by.need(Permission::SettingsEdit)?;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, by.company_id, &category_id).await?.ok_or(ApiError::not_found())?;
    let name = read_name(&new.name)?.as_str().to_owned();
    let written = Category { name, retired: new.retired, version: new.version, id: old.id.clone() };
    edit::change(&mut tx, &by, &old, &written, app.now_ms()).await.map_err(refuse)?;
    let changed = store::find(&mut tx, by.company_id, &category_id).await?.ok_or(ApiError::not_found())?;
    tx.commit().await?;
    Ok(Json(changed.into()))
}

/// Deletes a category that no case has.
#[utoipa::path(
    delete, path = "/v1/manage/categories/{category_id}", tag = "manage", operation_id = "manage_delete_category",
    security(("token" = ["settings.write"])),
    params(("category_id" = String, Path, description = "Its id")),
    responses((status = 204, description = "Deleted"), Refused, Conflict),
)]
pub(super) async fn delete(
    State(app): State<App>,
    by: By<SettingsWrite>,
    InPath(category_id): InPath<String>,
) -> ApiResult<StatusCode> {
    by.need(Permission::SettingsEdit)?;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, by.company_id, &category_id).await?.ok_or(ApiError::not_found())?;
    edit::delete(&mut tx, &by, &old, app.now_ms()).await.map_err(refuse)?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read_name(text: &str) -> ApiResult<ShownName> {
    text.trim().parse().map_err(|_no_name| ApiError::bad_request("name must be one line of 1 to 64 characters"))
}

fn refuse(error: EditError) -> ApiError {
    match error {
        EditError::Many => ApiError::wrong_state(format!("a company has at most {CATEGORIES_MAX} categories")),
        EditError::Taken => ApiError::wrong_state("name is taken"),
        EditError::Changed => ApiError::wrong_state("somebody else changed it meanwhile; read it again"),
        EditError::Used => ApiError::wrong_state("a case has it; retire it instead"),
        EditError::Db(error) => error.into(),
    }
}
