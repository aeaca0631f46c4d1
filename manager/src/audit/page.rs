//! The pages of the operation log and the login log, and the look at the whole chain.

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
    change::{self, Change},
    list::{self, Events, HEADS, Log, Row},
    told::{self, Told},
    verify::{self, Verdict},
};
use crate::{
    app::App,
    audit,
    db::{DbResult, Tx},
    fetch_all,
    list::{
        Asked, Page, Params, csv,
        saved::{self, Saved},
    },
    login::SiteLogin,
    role::{Permission, Reach},
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
    told: Vec<Told>,
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
                ("terms.", words.terms.heading),
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
                ("login.past_provider", words.events.login_past_provider),
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
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Events::read(log, &params, &login), &asked).await?;
    let saved = saved::of(&mut tx, &login, log.address()).await?;
    let (rows, page) = page.split();
    let mut telling = Telling::read(&mut tx, &login, &rows).await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, log.here());
    let lines = rows.into_iter().map(|row| telling.line(row)).collect();
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

/// What the lines of a page are made with.
struct Telling {
    words: &'static Words,
    zone: TimeZone,
    changes: BTreeMap<String, Change>,
    subjects: BTreeMap<String, Subject>,
}

/// What an event is about: its name, and its page when it has one that whoever looks may see.
struct Subject {
    name: String,
    link: Option<String>,
}

impl Telling {
    /// Reads what the events of a page name. Values of a change are shown to those who reach the whole company, and never
    /// those of what system administrators did, whose reasons are not the company's.
    async fn read(tx: &mut Tx, login: &SiteLogin, rows: &[Row]) -> DbResult<Self> {
        let shown = rows.iter().filter(|row| login.reach == Reach::Company && is_of_the_company(&row.actor));
        let ids: Vec<String> = shown.filter_map(|row| told::change_id(&row.detail)).collect();
        let changes = if ids.is_empty() { BTreeMap::new() } else { change::by_ids(tx, &ids).await? };
        let subjects = subjects(tx, login, rows).await?;
        Ok(Self { words: Words::of(login.lang), zone: login.zone(), changes, subjects })
    }

    fn line(&mut self, row: Row) -> Line {
        let words = self.words;
        let w = &words.audit;
        let other = match row.actor.split(':').next().unwrap_or_default() {
            "customer" => w.actor_customer,
            "relay" => w.actor_relay,
            "admin" => w.actor_admin,
            "token" => w.actor_token,
            "manager" => w.actor_manager,
            "command_line" => w.actor_command_line,
            _ => w.actor_stranger,
        };
        let change = told::change_id(&row.detail).and_then(|id| self.changes.remove(&id));
        let subject = told::subject(&row.detail).filter(|subject| *subject != row.actor);
        let about = subject.and_then(|subject| self.subjects.get(&subject).map(|found| (subject, found)));
        let about = about.map(|(subject, Subject { name, link })| {
            let kind =
                if subject.starts_with("operator:") { words.details.account } else { words.details.organisation };
            Told { name: kind.to_owned(), old: String::new(), new: name.clone(), link: link.clone() }
        });
        let detail = told::detail(&row.detail, change.as_ref(), words, &self.zone);
        Line {
            at: time::seconds(row.at_ms, &self.zone),
            actor: row.actor_name.clone().unwrap_or_else(|| other.to_owned()),
            event: event_name(&row.event, words),
            told: about.into_iter().chain(detail).collect(),
            row,
        }
    }
}

/// The accounts and organisations that events are about, by `operator:…` and `organisation:…`.
async fn subjects(tx: &mut Tx, login: &SiteLogin, rows: &[Row]) -> DbResult<BTreeMap<String, Subject>> {
    let all: Vec<String> = rows.iter().filter_map(|row| told::subject(&row.detail)).collect();
    let ids = |kind: &str| -> Vec<&str> { all.iter().filter_map(|subject| subject.strip_prefix(kind)).collect() };
    let (accounts, organisations) = (ids("operator:"), ids("organisation:"));
    let company_id = login.company_id.to_string();
    let mut found = BTreeMap::new();
    if !accounts.is_empty() {
        let rows = fetch_all!(
            tx,
            (String, String, bool),
            "SELECT operator_id, name, deleted_at_ms IS NULL
            FROM operators
            WHERE company_id = $1
            AND operator_id IN (SELECT value FROM json_each($2))
            LIMIT 1000",
            &company_id,
            json!(accounts).to_string()
        )?;
        found.extend(rows.into_iter().map(|(id, name, is_there)| {
            let link = (is_there && login.may(Permission::OperatorView)).then(|| format!("/operators/{id}"));
            (format!("operator:{id}"), Subject { name, link })
        }));
    }
    if !organisations.is_empty() {
        let rows = fetch_all!(
            tx,
            (String, String),
            "SELECT organisation_id, name
            FROM organisations
            WHERE company_id = $1
            AND organisation_id IN (SELECT value FROM json_each($2))
            LIMIT 1000",
            &company_id,
            json!(organisations).to_string()
        )?;
        found.extend(rows.into_iter().map(|(id, name)| {
            let link = login.may(Permission::OrganisationEdit).then(|| format!("/organisations/{id}"));
            (format!("organisation:{id}"), Subject { name, link })
        }));
    }
    Ok(found)
}

/// Whether somebody of the company did it, or a token of theirs.
fn is_of_the_company(actor: &str) -> bool {
    actor.starts_with("operator:") || actor.starts_with("token:")
}

/// What an event is called; its own name when it has no other.
pub fn event_name(event: &str, words: &Words) -> String {
    words.events.get(&event.replace('.', "_")).map_or_else(|| event.to_owned(), str::to_owned)
}
