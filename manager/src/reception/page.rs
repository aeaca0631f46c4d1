//! The pages of the reception log: the list and the file.

use std::borrow::Cow;

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{Html, IntoResponse as _},
    routing::get,
};
use jiff::tz::TimeZone;
use serde_json::json;

use super::list::{self, HEADS, ReceptionLog, Row};
use crate::{
    app::App,
    audit,
    list::{
        Asked, Page, Params, csv,
        saved::{self, Saved},
    },
    login::SiteLogin,
    role::Permission,
    site::{Frame, Here, PageResult, Words, time},
};

/// States that can be asked for.
const STATES: [&str; 6] = ["issued", "entered", "proved", "expired", "cancelled", "burned"];

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new().route("/log/receptions", get(show_list)).route("/log/receptions/file", get(file))
}

/// One line of the list.
struct Line {
    issued: String,
    entered: String,
    waited: String,
    state: &'static str,
    class: &'static str,
    row: Row,
}

#[derive(Template)]
#[template(path = "reception/list.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    may_export: bool,
    saved: Vec<Saved>,
}

async fn show_list(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LogView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let asked = Asked::read::<ReceptionLog>(&params);
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &ReceptionLog::read(&params, &login), &asked).await?;
    let saved = saved::of(&mut tx, &login, "/log/receptions").await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::ReceptionLog);
    let (rows, page) = page.split();
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, &zone)).collect();
    let may_export = login.may(Permission::LogExport);
    Ok(Html(ListPage { frame, params, asked, page, lines, may_export, saved }.render()?).into_response())
}

async fn file(State(app): State<App>, login: SiteLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(Permission::LogExport)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "receptions", "filter": params.filter() });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let asked = Asked { from: crate::list::From::Start, ..Asked::read::<ReceptionLog>(&params) };
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &Row, cell: &mut dyn FnMut(Cow<'_, str>)| list::cells(row, &zone, cell);
    Ok(csv::export(&app, ReceptionLog::read(&params, &login), asked, ("receptions", encoding), &HEADS, cells))
}

impl Line {
    fn new(row: Row, words: &'static Words, zone: &TimeZone) -> Self {
        let shown = |at: Option<i64>| at.map_or_else(|| "–".to_owned(), |at| time::seconds(at, zone));
        let waited = row.entered_at_ms.map(|at| at.saturating_sub(row.issued_at_ms));
        Self {
            issued: time::seconds(row.issued_at_ms, zone),
            entered: shown(row.entered_at_ms),
            waited: waited.map_or_else(|| "–".to_owned(), time::duration),
            state: words.receptions.get(&row.state).unwrap_or(words.receptions.proved),
            class: match row.state.as_str() {
                "issued" | "entered" => "warning",
                "proved" => "good",
                "burned" => "bad",
                _ => "off",
            },
            row,
        }
    }
}
