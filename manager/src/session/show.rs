//! The page of one session: what is known of it, what happened, and what people write about it.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
};
use proto::{api::session::CaseResult, device::DeviceFact, id::SessionId};
use serde::Deserialize;

use super::{
    case::{self, Case, WriteError, Writing, Wrong},
    list::{Row, SupportLog},
    page::{Line, region_name, shown},
};
use crate::{
    app::App,
    audit::{self, change},
    category::{self, store::Category},
    db::{DbResult, Tx},
    device::{self, Application, Device},
    extract::InPath,
    fetch_all,
    list::{Asked, Params},
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, frame::Flash, time},
};

#[derive(Template)]
#[template(path = "session/show.html")]
struct ShowPage {
    frame: Frame,
    line: Line,
    connected: String,
    /// Where else both tools met; may be empty.
    other_regions: String,
    facts: Vec<DeviceFact>,
    managed: Option<Managed>,
    events: Vec<Event>,
    filled: Filled,
    mistakes: Vec<Wrong>,
    may_note: bool,
    categories: Vec<Category>,
    results: Vec<(&'static str, &'static str)>,
    changes: Vec<ShownChange>,
}

/// The device as its device management described it.
struct Managed {
    device: Device,
    applications: Vec<Application>,
    /// Sessions of this device that there are, this one included.
    sessions: i64,
    /// Leads to them.
    link: String,
}

/// What happened in a session, in order.
struct Event {
    at: String,
    name: String,
    detail: String,
}

/// A change of the case as the page shows it.
struct ShownChange {
    at: String,
    actor: String,
    fields: Vec<(String, String, String)>,
}

/// What was typed into the form of the case.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    case_number: String,
    category: String,
    result: String,
    customer_name: String,
    note: String,
    version: i64,
}

pub(super) async fn show(
    State(app): State<App>,
    login: SiteLogin,
    InPath(session_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LogView)?;
    page(&app, &login, &headers, &session_id, None).await
}

/// Writes the case over the version that the page showed.
pub(super) async fn write(
    State(app): State<App>,
    login: SiteLogin,
    InPath(session_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::LogView)?;
    login.need(Permission::LogNote)?;
    let back = format!("/log/sessions/{session_id}");
    let id: SessionId = session_id.parse().map_err(|_not_an_id| Problem::NotFound)?;
    let mut tx = app.db.begin().await?;
    if !crate::list::exists(&mut tx, &SupportLog::one(&session_id, &login)).await? {
        return Err(Problem::NotFound);
    }
    let old = case::read(&mut tx, login.company_id, id).await?.ok_or(Problem::NotFound)?;
    let written = filled.case();
    let actor = login.actor();
    let writing = Writing { company_id: login.company_id, session_id: id, actor, actor_name: &login.name };
    let result = match written {
        Some(case) => case::write(&mut tx, writing, &old, (&case, filled.version), app.now_ms()).await,
        None => Err(WriteError::Wrong(vec![Wrong::Result])),
    };
    match result {
        Ok(()) => {
            tx.commit().await?;
            Ok(Flash::Saved.then(&back))
        }
        Err(WriteError::Changed) => Err(Problem::Changed { back }),
        Err(WriteError::Db(error)) => Err(error.into()),
        Err(WriteError::Wrong(mistakes)) => {
            drop(tx);
            page(&app, &login, &headers, &session_id, Some((filled, mistakes))).await
        }
    }
}

async fn page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    session_id: &str,
    typed: Option<(Filled, Vec<Wrong>)>,
) -> PageResult {
    let zone = login.zone();
    let words = Words::of(login.lang);
    let id: SessionId = session_id.parse().map_err(|_not_an_id| Problem::NotFound)?;
    let mut tx = app.db.read().await?;
    let first = Asked::read::<SupportLog>(&Params::default());
    let (rows, _) = crate::list::stretch(&mut tx, &SupportLog::one(session_id, login), &first, 1).await?;
    let row = rows.into_iter().next().ok_or(Problem::NotFound)?;
    let stored = case::read(&mut tx, login.company_id, id).await?.ok_or(Problem::NotFound)?;
    let mut categories = category::store::of_company(&mut tx, login.company_id).await?;
    categories.retain(|category| !category.retired || Some(&category.id) == stored.case.category_id.as_ref());
    let events = events(&mut tx, login, &row.session_id, &row.reception_id).await?;
    let changes = change::of_subject(&mut tx, login.company_id, &case::subject(id)).await?;
    let managed = Managed::of(&mut tx, login, &row).await?;
    drop(tx);
    let event = |(at, event, detail): (i64, String, String)| Event {
        at: time::seconds(at, &zone),
        name: audit::page::event_name(&event, words),
        detail: audit::told::line(&detail, words, &zone),
    };
    let other_regions: Vec<_> = row.other_regions.split_whitespace().map(|region| region_name(region, words)).collect();
    let status = if typed.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (filled, mistakes) = typed.unwrap_or_else(|| (Filled::of(stored), Vec::new()));
    let page = ShowPage {
        frame: Frame::of(app, login, headers, Here::SupportLog),
        connected: shown(row.connected_at_ms, &zone),
        other_regions: other_regions.join(words.sessions.regions_and),
        facts: serde_json::from_str(&row.device).unwrap_or_default(),
        managed,
        line: Line::new(row, words, &zone),
        events: events.into_iter().map(event).collect(),
        filled,
        mistakes,
        may_note: login.may(Permission::LogNote),
        categories,
        results: results(words),
        changes: changes.into_iter().map(|change| ShownChange::new(change, words, &zone)).collect(),
    };
    Ok((status, Html(page.render()?)).into_response())
}

/// What the audit record has about a session and its reception.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn events(
    tx: &mut Tx,
    login: &SiteLogin,
    session_id: &str,
    reception_id: &str,
) -> DbResult<Vec<(i64, String, String)>> {
    fetch_all!(
        tx,
        (i64, String, String),
        "SELECT at_ms, event, detail
        FROM audit
        WHERE (session_id = $1 OR (reception_id = $2 AND session_id IS NULL))
        AND company_id = $3
        ORDER BY seq
        LIMIT 500",
        session_id,
        reception_id,
        login.company_id.to_string()
    )
}

impl ShowPage {
    fn is_wrong(&self, field: Wrong) -> bool {
        self.mistakes.contains(&field)
    }

    /// The sentence of a field that is wrong.
    fn wrong(&self, field: Wrong, sentence: &'static str) -> Option<&'static str> {
        self.is_wrong(field).then_some(sentence)
    }
}

/// The results that can be chosen: value and name.
pub(super) fn results(words: &'static Words) -> Vec<(&'static str, &'static str)> {
    let name = |value: &'static str| words.cases.get(&format!("result_{value}")).unwrap_or(value);
    CaseResult::ALL.into_iter().map(CaseResult::as_str).map(|value| (value, name(value))).collect()
}

impl Filled {
    fn of(stored: case::Stored) -> Self {
        Self {
            case_number: stored.case.number,
            category: stored.case.category_id.unwrap_or_default(),
            result: stored.case.result.map_or_else(String::new, |result| result.as_str().to_owned()),
            customer_name: stored.case.customer_name,
            note: stored.case.note,
            version: stored.version,
        }
    }

    /// What is to be written; `None` when the result is none of the list.
    fn case(&self) -> Option<Case> {
        let result = if self.result.is_empty() { None } else { Some(CaseResult::from_name(&self.result)?) };
        Some(Case {
            number: self.case_number.trim().to_owned(),
            category_id: Some(self.category.clone()).filter(|id| !id.is_empty()),
            result,
            customer_name: self.customer_name.trim().to_owned(),
            // Browsers end the lines of a form with both characters.
            note: self.note.replace("\r\n", "\n").trim_end().to_owned(),
        })
    }
}

impl Managed {
    async fn of(tx: &mut Tx, login: &SiteLogin, row: &Row) -> DbResult<Option<Self>> {
        let Some(device) = Device::stored(row.managed.as_deref()) else { return Ok(None) };
        let sessions = device::store::count_sessions(tx, login.company_id, &device.id).await?;
        let query = serde_html_form::to_string([("device", &device.id)]).unwrap_or_default();
        let applications = serde_json::from_str(row.applications.as_deref().unwrap_or_default()).unwrap_or_default();
        Ok(Some(Self { link: format!("/log/sessions?{query}"), device, applications, sessions }))
    }

    /// What is told of the device, each under its caption, without what is empty.
    fn facts(&self, words: &'static Words) -> impl Iterator<Item = (&'static str, &str)> {
        let w = &words.devices;
        let [id, name, model, os, serial] = self.device.texts();
        let facts = [(w.name, name), (w.model, model), (w.os, os), (w.serial, serial), (w.id, id)];
        facts.into_iter().filter(|(_, value)| !value.is_empty())
    }
}

impl ShownChange {
    fn new(change: change::Change, words: &'static Words, zone: &jiff::tz::TimeZone) -> Self {
        let w = &words.cases;
        let shown = |name: &str, value: String| {
            let result = (name == "result").then(|| w.get(&format!("result_{value}"))).flatten();
            result.map_or(value, str::to_owned)
        };
        let field = |field: change::Field| {
            let name = w.get(&field.name).map_or_else(|| field.name.clone(), str::to_owned);
            (name, shown(&field.name, field.old), shown(&field.name, field.new))
        };
        Self {
            at: time::seconds(change.at_ms, zone),
            actor: change.actor,
            fields: change.fields.into_iter().map(field).collect(),
        }
    }
}
