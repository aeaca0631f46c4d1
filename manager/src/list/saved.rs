//! Saved filters: what an account asks a list for again and again, under a name of its own.
//!
//! A list's address is its whole state, so a saved filter is that address without the place. It belongs to the account,
//! is seen by nobody else, and goes with it.

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use proto::{api::UnixMillis, id::OperatorId};
use serde::Deserialize;
use serde_json::json;

use super::Params;
use crate::{
    app::{self, App},
    audit,
    company::ShownName,
    db::{DbResult, Tx},
    execute,
    extract::InPath,
    fetch_all, fetch_optional,
    login::SiteLogin,
    site::{Form, Frame, Here, PageResult, Problem, Words, form::Pressed, frame::Flash},
};

/// Saved filters of one account for one list.
const FILTERS_MAX: i64 = 20;
/// Longest query that is kept, in bytes: what [`Params`] reads is shorter in any list of ours.
const QUERY_LEN_MAX: usize = 4000;

/// The lists whose filters can be saved.
const LISTS: [(&str, Here); 7] = [
    ("/operators", Here::Operators),
    ("/log/receptions", Here::ReceptionLog),
    ("/log/sessions", Here::SupportLog),
    ("/log/operations", Here::Audit),
    ("/log/logins", Here::LoginLog),
    ("/mails", Here::Mails),
    ("/notices", Here::Notices),
];

/// One saved filter.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Saved {
    /// 32 hexadecimal digits.
    pub filter_id: String,
    /// The address of its list.
    pub list: String,
    /// What its owner calls it.
    pub name: String,
    /// `?a=b`.
    pub query: String,
}

#[derive(Template)]
#[template(path = "saved.html")]
struct SavedPage {
    frame: Frame,
    list: &'static str,
    query: String,
    saved: Vec<Saved>,
    typed: String,
    mistake: Option<&'static str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Filled {
    list: String,
    query: String,
    name: String,
}

/// The pages of this file.
pub fn router() -> Router<App> {
    Router::new().route("/filters", get(show).post(save)).route("/filters/{filter_id}/delete", post(delete))
}

/// The filters of an account for a list, by name.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn of(tx: &mut Tx, login: &SiteLogin, list: &str) -> DbResult<Vec<Saved>> {
    fetch_all!(
        tx,
        Saved,
        "SELECT filter_id, list, name, query
        FROM saved_filters
        WHERE operator_id = $1
        AND list = $2
        ORDER BY name
        LIMIT 100",
        login.operator_id.to_string(),
        list
    )
}

/// Takes the filters of an account away, when it goes.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forget_account(tx: &mut Tx, operator_id: OperatorId) -> DbResult<()> {
    execute!(tx, "DELETE FROM saved_filters WHERE operator_id = $1", operator_id.to_string())?;
    Ok(())
}

/// Stores a filter, in the place of one of the same name; `None` when there are [`FILTERS_MAX`] already.
async fn store(
    tx: &mut Tx,
    login: &SiteLogin,
    (list, query): (&str, &str),
    name: &ShownName,
    now: UnixMillis,
) -> DbResult<Option<String>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "INSERT INTO saved_filters (filter_id, operator_id, list, name, query, created_at_ms)
        SELECT $1, $2, $3, $4, $5, $6
        WHERE (
            SELECT COUNT(*)
            FROM saved_filters f
            WHERE f.operator_id = $2
            AND f.list = $3
            AND f.name <> $4
        ) < $7
        ON CONFLICT (operator_id, list, name) DO UPDATE SET query = excluded.query
        RETURNING filter_id",
        hex::encode(app::draw_id()),
        login.operator_id.to_string(),
        list,
        name.as_str(),
        query,
        now,
        FILTERS_MAX
    )?;
    Ok(row.map(|(filter_id,)| filter_id))
}

/// The page on which a filter gets its name, and on which those of the list are taken away.
async fn show(State(app): State<App>, login: SiteLogin, RawQuery(asked): RawQuery, headers: HeaderMap) -> PageResult {
    let asked: Filled = serde_html_form::from_str(asked.as_deref().unwrap_or_default()).unwrap_or_default();
    let (list, here) = find(&asked.list)?;
    page(&app, &login, &headers, (list, here, tidy(&asked.query)), (String::new(), None)).await
}

/// What the list itself would write, whatever was sent.
fn tidy(query: &str) -> String {
    Params::parse(query.trim_start_matches('?')).filter()
}

async fn save(State(app): State<App>, login: SiteLogin, headers: HeaderMap, Form(filled): Form<Filled>) -> PageResult {
    let (list, here) = find(&filled.list)?;
    let query = tidy(&filled.query);
    let w = &Words::of(login.lang).saved;
    let now = app.now_ms();
    let mistake = match filled.name.trim().parse::<ShownName>() {
        Err(_) => w.name_wrong,
        Ok(_) if QUERY_LEN_MAX < query.len() => w.too_long,
        Ok(name) => {
            let mut tx = app.db.begin().await?;
            if let Some(filter_id) = store(&mut tx, &login, (list, &query), &name, now).await? {
                let detail = json!({ "subject": format!("filter:{filter_id}"), "list": list });
                audit::append(&mut tx, login.event("filter.saved", detail, now)).await?;
                tx.commit().await?;
                return Ok(Flash::Saved.then(&format!("{list}{query}")));
            }
            w.too_many
        }
    };
    page(&app, &login, &headers, (list, here, query), (filled.name, Some(mistake))).await
}

async fn delete(
    State(app): State<App>,
    login: SiteLogin,
    InPath(filter_id): InPath<String>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let gone = fetch_optional!(
        &mut tx,
        (String,),
        "DELETE FROM saved_filters
        WHERE filter_id = $1
        AND operator_id = $2
        RETURNING list",
        &filter_id,
        login.operator_id.to_string()
    )?;
    let (list,) = gone.ok_or(Problem::NotFound)?;
    let detail = json!({ "subject": format!("filter:{filter_id}"), "list": list });
    audit::append(&mut tx, login.event("filter.deleted", detail, now)).await?;
    tx.commit().await?;
    Ok(Flash::Deleted.then(&format!("/filters?list={}", super::params::encode(&list))))
}

/// A list by its address.
fn find(address: &str) -> Result<(&'static str, Here), Problem> {
    LISTS.into_iter().find(|(list, _)| *list == address).ok_or(Problem::NotFound)
}

async fn page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    (list, here, query): (&'static str, Here, String),
    (typed, mistake): (String, Option<&'static str>),
) -> PageResult {
    let mut tx = app.db.read().await?;
    let saved = of(&mut tx, login, list).await?;
    drop(tx);
    let frame = Frame::of(app, login, headers, here);
    let status = if mistake.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Html(SavedPage { frame, list, query, saved, typed, mistake }.render()?)).into_response())
}
