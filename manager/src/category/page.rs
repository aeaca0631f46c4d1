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

use super::store::{self, Category};
use crate::{
    app::App,
    audit::{self, change},
    company::ShownName,
    db::{DbError, Tx},
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
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let mistake = match store::insert(&mut tx, login.company_id, name.as_str(), now).await {
        Ok(Some(category_id)) => {
            log(&mut tx, &login, "category.created", &category_id, ("", name.as_str()), now).await?;
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
    InPath(category_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let w = &Words::of(login.lang).categories;
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, login.company_id, &category_id).await?.ok_or(Problem::NotFound)?;
    let Ok(name) = filled.name.trim().parse::<ShownName>() else {
        drop(tx);
        return page(&app, &login, &headers, String::new(), Some(w.name_wrong)).await;
    };
    let new = Category { name: name.as_str().to_owned(), version: filled.version, ..old.clone() };
    match store::update(&mut tx, login.company_id, &new).await {
        Ok(true) => {}
        Ok(false) => return Err(Problem::Changed { back: PAGE.to_owned() }),
        Err(DbError::Duplicate(_)) => {
            drop(tx);
            return page(&app, &login, &headers, String::new(), Some(w.name_taken)).await;
        }
        Err(error) => return Err(error.into()),
    }
    log(&mut tx, &login, "category.changed", &category_id, (&old.name, &new.name), now).await?;
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
    let (event, flash) = match verb.as_str() {
        "retire" => ("category.retired", Flash::Saved),
        "return" => ("category.returned", Flash::Saved),
        "delete" => ("category.deleted", Flash::Deleted),
        _ => return Err(Problem::NotFound),
    };
    if verb == "delete" {
        if !store::delete(&mut tx, login.company_id, &category_id).await? {
            drop(tx);
            let used = Words::of(login.lang).categories.used;
            return page(&app, &login, &headers, String::new(), Some(used)).await;
        }
    } else {
        let new = Category { retired: verb == "retire", version: filled.version, ..old.clone() };
        if !store::update(&mut tx, login.company_id, &new).await? {
            return Err(Problem::Changed { back: PAGE.to_owned() });
        }
    }
    log(&mut tx, &login, event, &category_id, (&old.name, &old.name), now).await?;
    tx.commit().await?;
    Ok(flash.then(PAGE))
}

/// The row of the operation log; the names stand beside the chain.
async fn log(
    tx: &mut Tx,
    login: &SiteLogin,
    event: &'static str,
    category_id: &str,
    (old, new): (&str, &str),
    now: i64,
) -> Result<(), DbError> {
    let fields = vec![change::Field { name: "name".to_owned(), old: old.to_owned(), new: new.to_owned() }];
    let subject = format!("category:{category_id}");
    let detail = change::store(tx, login.company_id, &subject, &login.name, fields, now).await?;
    audit::append(tx, login.event(event, detail, now)).await?;
    Ok(())
}
