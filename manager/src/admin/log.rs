//! The log of the whole system: what system administrators did, with reason and values, and who logged in or could not.
//!
//! What companies do among themselves is in their own logs and not here.

use std::{borrow::Cow, collections::BTreeMap};

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use serde_json::json;

use super::{
    AdminLogin, AdminPermission,
    frame::{Here, frame},
};
use crate::{
    app::App,
    audit::{
        self,
        change::{self, Change},
        page::event_name,
        told::{self, Told},
        verify::{self, Verdict},
    },
    db::select::{Select, begins_with, contains},
    list::{Asked, Column, From, Kind, Listing, Page, Params, csv},
    site::{Form, Frame, PageResult, Words, form::Pressed, time},
};

/// The pages of this slice.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/system/log", get(show))
        .route("/system/log/file", get(file))
        .route("/system/log/verify", post(verify_chain))
}

/// What can be asked of the log.
#[derive(Debug, Clone)]
struct Events {
    since: Option<i64>,
    until: Option<i64>,
    event: Option<String>,
    search: Option<String>,
}

/// One row of the chain.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Row {
    seq: i64,
    at_ms: i64,
    actor: String,
    actor_name: Option<String>,
    company_code: Option<String>,
    event: String,
    detail: String,
    hash: String,
}

/// One line of the page.
struct Line {
    at: String,
    actor: String,
    company: String,
    event: String,
    told: Vec<Told>,
    /// As the chain has it.
    raw: String,
    seq: i64,
}

#[derive(Template)]
#[template(path = "system/log.html")]
struct LogPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    kinds: [(&'static str, &'static str); 8],
}

#[derive(Template)]
#[template(path = "system/verify.html")]
struct VerifyPage {
    frame: Frame,
    holds: bool,
    verdict: String,
}

impl Events {
    fn read(params: &Params, zone: &TimeZone) -> Self {
        let text = |name| params.text(name).map(str::to_owned);
        Self {
            since: params.day("from", zone),
            until: params.day_end("to", zone),
            event: text("event"),
            search: text("q"),
        }
    }
}

impl Listing for Events {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[Column { key: "at", sql: "a.seq", kind: Kind::Number, descending: true }];
    const ID: &'static str = "a.hash";
    const SELECT: &'static str =
        "a.seq, a.at_ms, a.actor, o.name AS actor_name, c.code AS company_code, a.event, a.detail, a.hash";

    fn narrow(&self, select: &mut Select) {
        // The condition of the index `audit_system`, to the letter.
        select
            .add("FROM audit a")
            .add("LEFT JOIN operators o ON o.operator_id = SUBSTR(a.actor, 7) AND SUBSTR(a.actor, 1, 6) = 'admin:'")
            .add("LEFT JOIN companies c ON c.company_id = a.company_id AND c.realm = 'company'")
            .add("WHERE (a.company_id IS NULL OR a.company_id = '00000000000000000000000000000000'")
            .add("OR a.actor = 'command_line' OR SUBSTR(a.actor, 1, 6) = 'admin:')");
        if let Some(event) = &self.event {
            select.add("AND a.event LIKE").bind(begins_with(event)).add("ESCAPE '!'");
        }
        if let Some(since) = self.since {
            select.add("AND a.at_ms >=").bind(since);
        }
        if let Some(until) = self.until {
            select.add("AND a.at_ms <").bind(until);
        }
        if let Some(search) = &self.search {
            select
                .add("AND LOWER(COALESCE(o.name, '') || ' ' || COALESCE(c.code, '') || ' ' || a.event || ' ' || a.detail) LIKE")
                .bind(contains(&search.to_lowercase()))
                .add("ESCAPE '!'");
        }
    }
}

async fn show(State(app): State<App>, login: AdminLogin, RawQuery(query): RawQuery, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::LogView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let asked = Asked::read::<Events>(&params);
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Events::read(&params, &zone), &asked).await?;
    let (rows, page) = page.split();
    let ids: Vec<String> = rows.iter().filter_map(|row| told::change_id(&row.detail)).collect();
    let mut changes = change::by_ids(&mut tx, &ids).await?;
    drop(tx);
    let frame = frame(&app, &login, &headers, Here::Log);
    let words = frame.words;
    let lines = rows.into_iter().map(|row| Line::new(&row, &mut changes, words, &zone)).collect();
    let w = &words.system;
    let kinds = [
        ("company.", w.kind_company),
        ("admin.", w.kind_admin),
        ("data.", w.kind_data),
        ("notice.", words.audit.kind_notice),
        ("terms.", words.terms.heading),
        ("service.", words.halt.heading),
        ("login.", w.kind_login),
        ("list.", words.audit.kind_export),
    ];
    Ok(Html(LogPage { frame, params, asked, page, lines, kinds }.render()?).into_response())
}

async fn file(State(app): State<App>, login: AdminLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(AdminPermission::LogView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "system", "filter": params.filter() });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let asked = Asked { from: From::Start, ..Asked::read::<Events>(&params) };
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let events = Events::read(&params, &zone);
    let cells = move |row: &Row, cell: &mut dyn FnMut(Cow<'_, str>)| {
        cell(Cow::Owned(row.seq.to_string()));
        cell(Cow::Owned(time::machine(row.at_ms, &zone)));
        cell(Cow::Borrowed(row.actor_name.as_deref().unwrap_or(&row.actor)));
        cell(Cow::Borrowed(row.company_code.as_deref().unwrap_or_default()));
        for text in [&row.event, &row.detail, &row.hash] {
            cell(Cow::Borrowed(text));
        }
    };
    let heads = &["number", "at", "actor", "company", "event", "detail", "hash"];
    Ok(csv::export(&app, events, asked, ("system", encoding), heads, cells))
}

async fn verify_chain(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(AdminPermission::LogView)?;
    let verdict = verify::verify(&app.db).await?;
    let frame = frame(&app, &login, &headers, Here::Log);
    let w = &frame.words.audit;
    let (holds, verdict) = match verdict {
        Verdict::Holds { rows } => (true, w.holds(rows)),
        Verdict::Broken(flaw) => {
            tracing::error!(event = "audit.broken", row = flaw.seq, "The audit chain is broken at row {}", flaw.seq);
            (false, w.broken(flaw.seq))
        }
    };
    Ok(Html(VerifyPage { frame, holds, verdict }.render()?).into_response())
}

impl Line {
    fn new(row: &Row, changes: &mut BTreeMap<String, Change>, words: &'static Words, zone: &TimeZone) -> Self {
        let w = &words.audit;
        let other = match row.actor.split(':').next().unwrap_or_default() {
            "manager" => w.actor_manager,
            "command_line" => w.actor_command_line,
            "relay" => w.actor_relay,
            "admin" => w.actor_admin,
            _ => w.actor_stranger,
        };
        let change = told::change_id(&row.detail).and_then(|id| changes.remove(&id));
        Self {
            at: time::seconds(row.at_ms, zone),
            actor: row.actor_name.clone().unwrap_or_else(|| other.to_owned()),
            company: row.company_code.clone().unwrap_or_else(|| words.shared.never.to_owned()),
            event: event_name(&row.event, words),
            told: told::detail(&row.detail, change.as_ref(), words, zone),
            raw: row.detail.clone(),
            seq: row.seq,
        }
    }
}
