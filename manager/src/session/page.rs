//! The pages of the support log: the list, the file, and one session.

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
use proto::device::DeviceFact;
use serde_json::json;

use super::list::{self, HEADS, Row, SupportLog};
use crate::{
    app::App,
    audit,
    extract::InPath,
    fetch_all,
    list::{Asked, Page, Params, csv},
    login::SiteLogin,
    role::Permission,
    site::{Frame, Here, PageResult, Problem, Words, time},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/log/sessions", get(show_list))
        .route("/log/sessions/file", get(file))
        .route("/log/sessions/{session_id}", get(show))
}

/// One line of the list.
struct Line {
    began: String,
    ended: String,
    duration: String,
    state: &'static str,
    class: &'static str,
    device: String,
    row: Row,
}

#[derive(Template)]
#[template(path = "session/list.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    may_export: bool,
}

#[derive(Template)]
#[template(path = "session/show.html")]
struct ShowPage {
    frame: Frame,
    line: Line,
    connected: String,
    facts: Vec<DeviceFact>,
    events: Vec<Event>,
}

/// What happened in a session, in order.
struct Event {
    at: String,
    name: String,
    detail: String,
}

/// Ways to end that can be asked for.
const REASONS: [&str; 8] = [
    "operator_ended",
    "customer_ended",
    "consent_refused",
    "consent_timeout",
    "peer_timeout",
    "peer_lost",
    "wrong_secret",
    "manager_ended",
];

async fn show_list(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LogView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let asked = Asked::read::<SupportLog>(&params);
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &SupportLog::read(&params, &login), &asked).await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::SupportLog);
    let (rows, page) = page.split();
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, &zone)).collect();
    let may_export = login.may(Permission::LogExport);
    Ok(Html(ListPage { frame, params, asked, page, lines, may_export }.render()?).into_response())
}

async fn file(State(app): State<App>, login: SiteLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(Permission::LogExport)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "sessions", "filter": params.filter() });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let asked = Asked { from: crate::list::From::Start, ..Asked::read::<SupportLog>(&params) };
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &Row, cell: &mut dyn FnMut(Cow<'_, str>)| list::cells(row, &zone, cell);
    Ok(csv::export(&app, SupportLog::read(&params, &login), asked, ("sessions", encoding), &HEADS, cells))
}

async fn show(
    State(app): State<App>,
    login: SiteLogin,
    InPath(session_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LogView)?;
    let zone = login.zone();
    let words = Words::of(login.lang);
    let mut tx = app.db.read().await?;
    let first = Asked::read::<SupportLog>(&Params::default());
    let (rows, _) = crate::list::stretch(&mut tx, &SupportLog::one(&session_id, &login), &first, 1).await?;
    let row = rows.into_iter().next().ok_or(Problem::NotFound)?;
    let events = fetch_all!(
        &mut tx,
        (i64, String, String),
        "SELECT at_ms, event, detail
        FROM audit
        WHERE session_id = $1
        OR reception_id = $2
        ORDER BY seq
        LIMIT 500",
        &row.session_id,
        &row.reception_id
    )?;
    drop(tx);
    let event = |(at, event, detail): (i64, String, String)| Event {
        at: time::seconds(at, &zone),
        name: audit::page::event_name(&event, words),
        detail: audit::page::shown_detail(&detail),
    };
    let page = ShowPage {
        frame: Frame::of(&app, &login, &headers, Here::SupportLog),
        connected: shown(row.connected_at_ms, &zone),
        facts: serde_json::from_str(&row.device).unwrap_or_default(),
        line: Line::new(row, words, &zone),
        events: events.into_iter().map(event).collect(),
    };
    Ok(Html(page.render()?).into_response())
}

fn shown(at: Option<i64>, zone: &TimeZone) -> String {
    at.map_or_else(|| "–".to_owned(), |at| time::seconds(at, zone))
}

impl Line {
    fn new(row: Row, words: &'static Words, zone: &TimeZone) -> Self {
        let reason = row.end_reason.as_deref().and_then(|reason| words.ends.get(reason));
        let state = words.sessions.get(&format!("state_{}", row.state)).unwrap_or(words.sessions.state_ended);
        let class = match (row.ended_at_ms, row.connected_at_ms) {
            (None, Some(_)) => "good",
            (None, None) => "warning",
            (Some(_), Some(_)) if row.end_reason.as_deref() == Some("peer_lost") => "bad",
            (Some(_), _) => "off",
        };
        let facts: Vec<DeviceFact> = serde_json::from_str(&row.device).unwrap_or_default();
        Self {
            began: time::seconds(row.entered_at_ms, zone),
            ended: shown(row.ended_at_ms, zone),
            duration: row.duration_ms.map_or_else(|| "–".to_owned(), time::duration),
            state: reason.unwrap_or(state),
            class,
            device: facts.iter().take(2).map(|fact| fact.value.clone()).collect::<Vec<_>>().join(" / "),
            row,
        }
    }
}
