//! The page of groups.

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
    store::{self, Group},
};
use crate::{
    app::App,
    company::ShownName,
    extract::InPath,
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, form::Pressed, frame::Flash},
};

/// Where they are.
const PAGE: &str = "/groups";

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route(PAGE, get(show).post(create))
        .route("/groups/{group_id}", post(rename))
        .route("/groups/{group_id}/delete", post(delete))
}

#[derive(Template)]
#[template(path = "group/list.html")]
struct ListPage {
    frame: Frame,
    groups: Vec<Group>,
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
    login.need(Permission::OrganisationEdit)?;
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
    let groups = store::of_company(&mut tx, login.company_id).await?;
    drop(tx);
    let frame = Frame::of(app, login, headers, Here::Groups);
    let status = if mistake.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Html(ListPage { frame, groups, typed, mistake }.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    let w = &Words::of(login.lang).groups;
    let Ok(name) = filled.name.trim().parse::<ShownName>() else {
        return page(&app, &login, &headers, filled.name, Some(w.name_wrong)).await;
    };
    let mut tx = app.db.begin().await?;
    match edit::create(&mut tx, &login, &name, app.now_ms()).await {
        Ok(_) => {
            tx.commit().await?;
            Ok(Flash::Saved.then(PAGE))
        }
        Err(error) => {
            drop(tx);
            page(&app, &login, &headers, filled.name, Some(mistake(error, &login)?)).await
        }
    }
}

async fn rename(
    State(app): State<App>,
    login: SiteLogin,
    InPath(group_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    let w = &Words::of(login.lang).groups;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, login.company_id, &group_id).await?.ok_or(Problem::NotFound)?;
    let Ok(name) = filled.name.trim().parse::<ShownName>() else {
        drop(tx);
        return page(&app, &login, &headers, String::new(), Some(w.name_wrong)).await;
    };
    match edit::rename(&mut tx, &login, &old, filled.version, &name, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Flash::Saved.then(PAGE))
        }
        Err(error) => {
            drop(tx);
            page(&app, &login, &headers, String::new(), Some(mistake(error, &login)?)).await
        }
    }
}

/// Deletes a group; its accounts stay.
async fn delete(
    State(app): State<App>,
    login: SiteLogin,
    InPath(group_id): InPath<String>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, login.company_id, &group_id).await?.ok_or(Problem::NotFound)?;
    edit::delete(&mut tx, &login, &old, app.now_ms()).await?;
    tx.commit().await?;
    Ok(Flash::Deleted.then(PAGE))
}

/// What stood against a change.
fn mistake(error: EditError, login: &SiteLogin) -> Result<&'static str, Problem> {
    let w = &Words::of(login.lang).groups;
    match error {
        EditError::Many => Ok(w.too_many),
        EditError::Taken => Ok(w.name_taken),
        EditError::Changed => Err(Problem::Changed { back: PAGE.to_owned() }),
        EditError::Db(error) => Err(error.into()),
    }
}
