//! The page of the categories.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    edit::{self, EditError},
    store::{self, Category},
};
use crate::{
    app::App,
    company::ShownName,
    extract::InPath,
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, frame::Flash},
};

/// Where they are.
const PAGE: &str = "/settings/categories";

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route(PAGE, get(show).post(create))
        .route("/settings/categories/{category_id}", post(rename))
        .route("/settings/categories/{category_id}/{verb}", post(act))
}

#[derive(Template)]
#[template(path = "category/list.html")]
struct ListPage {
    frame: Frame,
    categories: Vec<Category>,
    typed: String,
    mistake: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Filled {
    name: String,
    version: i64,
}

async fn show(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    page(&app, &login, &headers, String::new(), None).await
}

async fn page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    typed: String,
    mistake: Option<&'static str>,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let categories = store::of_company(&mut tx, login.company_id).await?;
    drop(tx);
    let frame = Frame::of(app, login, headers, Here::Categories);
    let status = if mistake.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Html(ListPage { frame, categories, typed, mistake }.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let w = &Words::of(login.lang).categories;
    let Ok(name) = filled.name.trim().parse::<ShownName>() else {
        return page(&app, &login, &headers, filled.name, Some(w.name_wrong)).await;
    };
    let mut tx = app.db.begin().await?;
    if let Err(error) = edit::create(&mut tx, &login, &name, app.now_ms()).await {
        drop(tx);
        return refused(&app, &login, &headers, filled.name, error).await;
    }
    tx.commit().await?;
    Ok(Flash::Saved.then(PAGE))
}

async fn rename(
    State(app): State<App>,
    login: SiteLogin,
    InPath(category_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let w = &Words::of(login.lang).categories;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, login.company_id, &category_id).await?.ok_or(Problem::NotFound)?;
    let Ok(name) = filled.name.trim().parse::<ShownName>() else {
        drop(tx);
        return page(&app, &login, &headers, String::new(), Some(w.name_wrong)).await;
    };
    let new = Category { name: name.as_str().to_owned(), version: filled.version, ..old.clone() };
    if let Err(error) = edit::change(&mut tx, &login, &old, &new, app.now_ms()).await {
        drop(tx);
        return refused(&app, &login, &headers, String::new(), error).await;
    }
    tx.commit().await?;
    Ok(Flash::Saved.then(PAGE))
}

/// Retires a category, offers it again, or deletes it.
async fn act(
    State(app): State<App>,
    login: SiteLogin,
    InPath((category_id, verb)): InPath<(String, String)>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, login.company_id, &category_id).await?.ok_or(Problem::NotFound)?;
    let retired = |retired| Category { retired, version: filled.version, ..old.clone() };
    let (done, flash) = match verb.as_str() {
        "retire" => (edit::change(&mut tx, &login, &old, &retired(true), now).await, Flash::Saved),
        "return" => (edit::change(&mut tx, &login, &old, &retired(false), now).await, Flash::Saved),
        "delete" => (edit::delete(&mut tx, &login, &old, now).await, Flash::Deleted),
        _ => return Err(Problem::NotFound),
    };
    if let Err(error) = done {
        drop(tx);
        return refused(&app, &login, &headers, String::new(), error).await;
    }
    tx.commit().await?;
    Ok(flash.then(PAGE))
}

/// The page with what stood against a change.
async fn refused(app: &App, login: &SiteLogin, headers: &HeaderMap, typed: String, error: EditError) -> PageResult {
    let w = &Words::of(login.lang).categories;
    let mistake = match error {
        EditError::Many => w.too_many,
        EditError::Taken => w.name_taken,
        EditError::Used => w.used,
        EditError::Changed => return Err(Problem::Changed { back: PAGE.to_owned() }),
        EditError::Db(error) => return Err(error.into()),
    };
    page(app, login, headers, typed, Some(mistake)).await
}
