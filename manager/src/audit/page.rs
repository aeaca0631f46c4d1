//! The pages of the operation log and the login log, and the look at the whole chain.

use std::borrow::Cow;

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{
    list::{self, Events, HEADS, Log, Row},
    verify::{self, Verdict},
};
use crate::{
    app::App,
    audit,
    list::{
        Asked, Page, Params, csv,
        saved::{self, Saved},
    },
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Words, form::Pressed, time},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route(
            "/log/operations",
            get(async |app, login, query, headers| show(app, login, query, headers, Log::Operations).await),
        )
        .route(
            "/log/logins",
            get(async |app, login, query, headers| show(app, login, query, headers, Log::Logins).await),
        )
        .route("/log/operations/file", get(async |app, login, query| file(app, login, query, Log::Operations).await))
        .route("/log/logins/file", get(async |app, login, query| file(app, login, query, Log::Logins).await))
        .route("/log/operations/verify", post(verify_chain))
}

/// One line of a log.
struct Line {
    at: String,
    actor: String,
    event: String,
    detail: String,
    row: Row,
}

#[derive(Template)]
#[template(path = "audit/list.html")]
struct ListPage {
    frame: Frame,
    log: Log,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    kinds: Vec<(&'static str, &'static str)>,
    saved: Vec<Saved>,
}

#[derive(Template)]
#[template(path = "audit/verify.html")]
struct VerifyPage {
    frame: Frame,
    holds: bool,
    verdict: String,
}

impl Log {
    const fn permission(self) -> Permission {
        match self {
            Self::Operations => Permission::AuditView,
            Self::Logins => Permission::LoginLogView,
        }
    }

    const fn here(self) -> Here {
        match self {
            Self::Operations => Here::Audit,
            Self::Logins => Here::LoginLog,
        }
    }

    /// Where it is.
    const fn address(self) -> &'static str {
        match self {
            Self::Operations => "/log/operations",
            Self::Logins => "/log/logins",
        }
    }

    /// Where its file is.
    const fn file_address(self) -> &'static str {
        match self {
            Self::Operations => "/log/operations/file",
            Self::Logins => "/log/logins/file",
        }
    }

    /// The file's name.
    const fn file(self) -> &'static str {
        match self {
            Self::Operations => "operations",
            Self::Logins => "logins",
        }
    }

    /// What can be asked for: the beginning of an event's name, and what it is called.
    fn kinds(self, words: &'static Words) -> Vec<(&'static str, &'static str)> {
        let w = &words.audit;
        match self {
            Self::Operations => vec![
                ("reception.", w.kind_reception),
                ("session.", w.kind_session),
                ("operator.", w.kind_operator),
                ("notice.", w.kind_notice),
                ("mail.", w.kind_mail),
                ("webhook.", w.kind_webhook),
                ("token.", w.kind_token),
                ("list.", w.kind_export),
            ],
            Self::Logins => vec![
                ("login.succeeded", words.events.login_succeeded),
                ("login.failed", words.events.login_failed),
                ("login.locked", words.events.login_locked),
                ("login.ended", words.events.login_ended),
            ],
        }
    }
}

async fn show(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    log: Log,
) -> PageResult {
    login.need(log.permission())?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let asked = Asked::read::<Events>(&params);
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Events::read(log, &params, &login), &asked).await?;
    let saved = saved::of(&mut tx, &login, log.address()).await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, log.here());
    let (rows, page) = page.split();
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, &zone)).collect();
    let kinds = log.kinds(frame.words);
    Ok(Html(ListPage { frame, log, params, asked, page, lines, kinds, saved }.render()?).into_response())
}

async fn file(State(app): State<App>, login: SiteLogin, RawQuery(query): RawQuery, log: Log) -> PageResult {
    login.need(log.permission())?;
    login.need(Permission::LogExport)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": log.file(), "filter": params.filter() });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let asked = Asked { from: crate::list::From::Start, ..Asked::read::<Events>(&params) };
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &Row, cell: &mut dyn FnMut(Cow<'_, str>)| list::cells(row, &zone, cell);
    Ok(csv::export(&app, Events::read(log, &params, &login), asked, (log.file(), encoding), &HEADS, cells))
}

/// Walks the whole chain, which has the events of every company, and tells no more of it than whether it holds.
async fn verify_chain(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::AuditView)?;
    let verdict = verify::verify(&app.db).await?;
    let frame = Frame::of(&app, &login, &headers, Here::Audit);
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
    fn new(row: Row, words: &'static Words, zone: &TimeZone) -> Self {
        let w = &words.audit;
        let kind = row.actor.split(':').next().unwrap_or_default();
        let other = match kind {
            "customer" => w.actor_customer,
            "relay" => w.actor_relay,
            "admin" => w.actor_admin,
            "token" => w.actor_token,
            "manager" => w.actor_manager,
            "command_line" => w.actor_command_line,
            _ => w.actor_stranger,
        };
        Self {
            at: time::seconds(row.at_ms, zone),
            actor: row.actor_name.clone().unwrap_or_else(|| other.to_owned()),
            event: event_name(&row.event, words),
            detail: shown_detail(&row.detail),
            row,
        }
    }
}

/// What an event is called; its own name when it has no other.
pub fn event_name(event: &str, words: &Words) -> String {
    words.events.get(&event.replace('.', "_")).map_or_else(|| event.to_owned(), str::to_owned)
}

/// The detail of an event as people read it: names and values, without ids that lead nowhere.
pub fn shown_detail(detail: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(detail) else { return String::new() };
    let dull = |name: &str| name.ends_with("_id") || matches!(name, "sha256" | "subject");
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    let shown = fields.iter().filter(|(name, _)| !dull(name)).map(|(name, value)| format!("{name}: {}", text(value)));
    shown.collect::<Vec<_>>().join(" · ")
}
