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

use super::store::{self, Group};
use crate::{
    app::App,
    audit::{self, change},
    company::ShownName,
    db::{DbError, Tx},
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
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let mistake = match store::insert(&mut tx, login.company_id, name.as_str(), now).await {
        Ok(Some(group_id)) => {
            log(&mut tx, &login, "group.created", &group_id, ("", name.as_str()), now).await?;
            tx.commit().await?;
            return Ok(Flash::Saved.then(PAGE));
        }
        Ok(None) => w.too_many,
        Err(DbError::Duplicate(_)) => w.name_taken,
        Err(error) => return Err(error.into()),
    };
    drop(tx);
    page(&app, &login, &headers, filled.name, Some(mistake)).await
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
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, login.company_id, &group_id).await?.ok_or(Problem::NotFound)?;
    let Ok(name) = filled.name.trim().parse::<ShownName>() else {
        drop(tx);
        return page(&app, &login, &headers, String::new(), Some(w.name_wrong)).await;
    };
    match store::rename(&mut tx, &old, filled.version, name.as_str()).await {
        Ok(true) => {}
        Ok(false) => return Err(Problem::Changed { back: PAGE.to_owned() }),
        Err(DbError::Duplicate(_)) => {
            drop(tx);
            return page(&app, &login, &headers, String::new(), Some(w.name_taken)).await;
        }
        Err(error) => return Err(error.into()),
    }
    log(&mut tx, &login, "group.changed", &group_id, (&old.name, name.as_str()), now).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then(PAGE))
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
    store::delete(&mut tx, &old).await?;
    log(&mut tx, &login, "group.deleted", &group_id, (&old.name, ""), app.now_ms()).await?;
    tx.commit().await?;
    Ok(Flash::Deleted.then(PAGE))
}

/// The row of the operation log; the names stand beside the chain.
async fn log(
    tx: &mut Tx,
    login: &SiteLogin,
    event: &'static str,
    group_id: &str,
    (old, new): (&str, &str),
    now: i64,
) -> Result<(), DbError> {
    let fields = vec![change::Field { name: "name".to_owned(), old: old.to_owned(), new: new.to_owned() }];
    let subject = format!("group:{group_id}");
    let detail = change::store(tx, login.company_id, &subject, &login.name, fields, now).await?;
    audit::append(tx, login.event(event, detail, now)).await?;
    Ok(())
}
