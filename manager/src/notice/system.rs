//! The pages of system administrators: incidents, and with them maintenance windows.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{
    form,
    incident::{self, Incident, Step, StopRefusal, Stopped},
    record, windows,
};
use crate::{
    admin::{
        AdminLogin, AdminPermission, Reason,
        frame::{Here, frame},
    },
    app::App,
    extract::InPath,
    list::Params,
    site::{Form, Frame, PageResult, Problem, Words, form::Pressed, frame::Flash, time},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .merge(windows::router())
        .route("/system/incidents", get(show_incidents).post(declare))
        .route("/system/incidents/{incident_id}/notify", post(notify))
        .route("/system/incidents/{incident_id}/contain", post(contain))
        .route("/system/incidents/{incident_id}/stop", post(record_stop))
        .route("/system/incidents/{incident_id}/close", post(close))
        .route("/system/incidents/file", get(record::file))
}

/// One incident of the list.
struct IncidentLine {
    detected: String,
    due: String,
    notified: String,
    contained: String,
    closed: String,
    /// Since when the service stood still.
    stopped: String,
    /// Until when; none when it did not.
    stopped_until: Option<String>,
    state: &'static str,
    class: &'static str,
    forms: IncidentForms,
    incident: Incident,
}

/// What the forms of one incident show.
#[derive(Debug)]
struct IncidentForms {
    told: Told,
    contained: Moment,
    stop: FilledStop,
    mistakes: IncidentMistakes,
}

/// What is wrong with what was typed into one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct IncidentMistakes {
    told: Option<&'static str>,
    contained: Option<&'static str>,
    stopped: Option<&'static str>,
    stopped_until: Option<&'static str>,
    reason: Option<&'static str>,
    closed: Option<&'static str>,
}

/// What was typed into the form of an incident.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FilledIncident {
    title: String,
    detected: String,
    stopped: String,
}

/// Since when an incident does no more harm.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Moment {
    at: String,
}

/// Since when and until when the service stood still because of an incident, and why that is changed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FilledStop {
    at: String,
    until: String,
    reason: String,
}

/// What companies are told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Told {
    title: String,
    body: String,
}

#[derive(Template)]
#[template(path = "notice/incidents.html")]
struct IncidentsPage {
    frame: Frame,
    lines: Vec<IncidentLine>,
    filled: FilledIncident,
    mistake: Option<&'static str>,
    may_edit: bool,
    /// For the links of the file.
    params: Params,
}

/// Of a page with forms, by whether what was sent was taken.
pub(super) fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}

async fn show_incidents(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let filled = FilledIncident::at(app.now_ms(), &login.zone());
    incidents_page(&app, &login, &headers, (filled, None), None).await
}

/// The page with what was typed into the form of a new incident and what is wrong with it, or with the forms of one.
async fn incidents_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    (filled, mistake): (FilledIncident, Option<&'static str>),
    mut refused: Option<(&str, IncidentForms)>,
) -> PageResult {
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.read().await?;
    let incidents = incident::all(&mut tx).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Incidents);
    let words = frame.words;
    let is_good = mistake.is_none() && refused.is_none();
    let line = |incident: Incident| {
        let typed = refused.take_if(|(incident_id, _)| *incident_id == incident.incident_id);
        let forms = typed.map_or_else(|| IncidentForms::of(&incident, now, &zone), |(_, forms)| forms);
        IncidentLine::new(incident, forms, words, now, &zone)
    };
    let lines = incidents.into_iter().map(line).collect();
    let may_edit = login.may(AdminPermission::NoticeEdit);
    let page = IncidentsPage { frame, lines, filled, mistake, may_edit, params: Params::default() };
    Ok((status(is_good), Html(page.render()?)).into_response())
}

/// The page with what was typed into the forms of one incident.
async fn refuse(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    incident_id: &str,
    forms: IncidentForms,
) -> PageResult {
    let filled = FilledIncident::at(app.now_ms(), &login.zone());
    incidents_page(app, login, headers, (filled, None), Some((incident_id, forms))).await
}

/// An incident as it is now.
async fn found(app: &App, incident_id: &str) -> Result<Incident, Problem> {
    let mut tx = app.db.read().await?;
    incident::one(&mut tx, incident_id).await?.ok_or(Problem::NotFound)
}

fn changed() -> Problem {
    Problem::Changed { back: "/system/incidents".to_owned() }
}

async fn declare(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(filled): Form<FilledIncident>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let words = Words::of(login.lang);
    let (now, zone) = (app.now_ms(), login.zone());
    let detected = form::moment(&filled.detected, &zone).filter(|at| *at <= now);
    let mistake = match (form::title(&filled.title), detected, past(&filled.stopped, now, &zone)) {
        (Some(title), Some(detected), Ok(stopped)) => {
            let mut tx = app.db.begin().await?;
            incident::declare(&app, &mut tx, &login, &title, detected, stopped).await?;
            tx.commit().await?;
            return Ok(Flash::Saved.then("/system/incidents"));
        }
        (None, _, _) => words.notices.title_wrong,
        (Some(_), None, _) => words.incidents.detected_wrong,
        (Some(_), Some(_), Err(NotPast)) => words.incidents.stopped_wrong,
    };
    incidents_page(&app, &login, &headers, (filled, Some(mistake)), None).await
}

async fn notify(
    State(app): State<App>,
    login: AdminLogin,
    InPath(incident_id): InPath<String>,
    headers: HeaderMap,
    Form(told): Form<Told>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let incident = found(&app, &incident_id).await?;
    if incident.closed_at_ms.is_some() {
        return Err(Problem::NotFound);
    }
    let (Some(title), Some(body)) = (form::title(&told.title), form::body(&told.body)) else {
        let wrong = Some(Words::of(login.lang).incidents.told_wrong);
        let mistakes = IncidentMistakes { told: wrong, ..IncidentMistakes::default() };
        let forms = IncidentForms { told, mistakes, ..IncidentForms::of(&incident, app.now_ms(), &login.zone()) };
        return refuse(&app, &login, &headers, &incident_id, forms).await;
    };
    let mut tx = app.db.begin().await?;
    if !incident::notify(&app, &mut tx, &login, &incident_id, (&title, &body)).await? {
        return Err(Problem::NotFound);
    }
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/incidents"))
}

async fn contain(
    State(app): State<App>,
    login: AdminLogin,
    InPath(incident_id): InPath<String>,
    headers: HeaderMap,
    Form(contained): Form<Moment>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let (now, zone) = (app.now_ms(), login.zone());
    let incident = found(&app, &incident_id).await?;
    if incident.contained_at_ms.is_some() || incident.closed_at_ms.is_some() {
        return Err(changed());
    }
    let from = incident.containable_from();
    let Some(at_ms) = form::moment(&contained.at, &zone).filter(|at| from <= *at && *at <= now) else {
        let wrong = Some(Words::of(login.lang).incidents.contained_wrong);
        let mistakes = IncidentMistakes { contained: wrong, ..IncidentMistakes::default() };
        let forms = IncidentForms { contained, mistakes, ..IncidentForms::of(&incident, now, &zone) };
        return refuse(&app, &login, &headers, &incident_id, forms).await;
    };
    step(&app, &login, &incident_id, Step::Contain { at_ms }).await
}

async fn record_stop(
    State(app): State<App>,
    login: AdminLogin,
    InPath(incident_id): InPath<String>,
    headers: HeaderMap,
    Form(stop): Form<FilledStop>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let (now, zone) = (app.now_ms(), login.zone());
    let incident = found(&app, &incident_id).await?;
    let (stopped, reason) = match stop.read(&incident, Words::of(login.lang), now, &zone) {
        Ok(read) => read,
        Err(mistakes) => {
            let forms = IncidentForms { stop, mistakes, ..IncidentForms::of(&incident, now, &zone) };
            return refuse(&app, &login, &headers, &incident_id, forms).await;
        }
    };
    let mut tx = app.db.begin().await?;
    if !incident::record_stop(&app, &mut tx, &login, &incident, stopped, reason.as_ref()).await? {
        return Err(changed());
    }
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/incidents"))
}

async fn close(
    State(app): State<App>,
    login: AdminLogin,
    InPath(incident_id): InPath<String>,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let incident = found(&app, &incident_id).await?;
    if incident.has_open_stop() {
        let wrong = Some(Words::of(login.lang).incidents.close_wrong);
        let mistakes = IncidentMistakes { closed: wrong, ..IncidentMistakes::default() };
        let forms = IncidentForms { mistakes, ..IncidentForms::of(&incident, app.now_ms(), &login.zone()) };
        return refuse(&app, &login, &headers, &incident_id, forms).await;
    }
    step(&app, &login, &incident_id, Step::Close).await
}

async fn step(app: &App, login: &AdminLogin, incident_id: &str, step: Step) -> PageResult {
    let mut tx = app.db.begin().await?;
    if !incident::step(app, &mut tx, login, incident_id, step).await? {
        return Err(changed());
    }
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/incidents"))
}

/// What was typed is no time, or one to come.
struct NotPast;

/// A time that may be left out.
fn past(text: &str, now: i64, zone: &TimeZone) -> Result<Option<i64>, NotPast> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    form::moment(text, zone).filter(|at| *at <= now).map(Some).ok_or(NotPast)
}

impl FilledIncident {
    /// What the form proposes: seen now.
    fn at(now: i64, zone: &TimeZone) -> Self {
        Self { detected: form::shown(now, zone), ..Self::default() }
    }
}

impl IncidentForms {
    /// What they propose: contained now, and the stop that is recorded.
    fn of(incident: &Incident, now: i64, zone: &TimeZone) -> Self {
        let shown = |at: Option<i64>| at.map_or_else(String::new, |at| form::shown(at, zone));
        let (at, until) = (shown(incident.stopped_at_ms), shown(incident.stopped_until_ms));
        Self {
            told: Told { title: incident.title.clone(), body: String::new() },
            contained: Moment { at: form::shown(now, zone) },
            stop: FilledStop { at, until, reason: String::new() },
            mistakes: IncidentMistakes::default(),
        }
    }
}

impl IncidentMistakes {
    /// Whether something is wrong with the stop.
    const fn is_in_stop(self) -> bool {
        self.stopped.is_some() || self.stopped_until.is_some() || self.reason.is_some()
    }
}

impl FilledStop {
    /// The stop, and why it is changed, which must be said when the incident is closed.
    fn read(
        &self,
        incident: &Incident,
        words: &'static Words,
        now: i64,
        zone: &TimeZone,
    ) -> Result<(Stopped, Option<Reason>), IncidentMistakes> {
        let w = &words.incidents;
        let begin = past(&self.at, now, zone).map_err(|NotPast| StopRefusal::Begin);
        let end = past(&self.until, now, zone).map_err(|NotPast| StopRefusal::End);
        let stopped = begin.and_then(|at_ms| Ok(Stopped { at_ms, until_ms: end? }));
        let stopped = stopped.and_then(|stopped| incident.check(stopped, now).map(|()| stopped));
        let is_closed = incident.closed_at_ms.is_some();
        let reason: Option<Reason> = if is_closed { self.reason.parse().ok() } else { None };
        let mut mistakes = IncidentMistakes::default();
        if is_closed && reason.is_none() {
            mistakes.reason = Some(words.system.reason_wrong);
        }
        match stopped {
            Ok(stopped) if mistakes.reason.is_none() => return Ok((stopped, reason)),
            Ok(_) => {}
            Err(StopRefusal::Begin) => mistakes.stopped = Some(w.stopped_wrong),
            Err(StopRefusal::End) => mistakes.stopped_until = Some(w.until_wrong),
            Err(StopRefusal::NoEnd) => mistakes.stopped_until = Some(w.until_missing),
        }
        Err(mistakes)
    }
}

impl IncidentLine {
    fn new(incident: Incident, forms: IncidentForms, words: &'static Words, now: i64, zone: &TimeZone) -> Self {
        let w = &words.incidents;
        let shown = |at: Option<i64>| at.map_or_else(|| words.shared.never.to_owned(), |at| time::seconds(at, zone));
        let (state, class) = if incident.closed_at_ms.is_some() {
            (w.state_closed, "good")
        } else if incident.is_overdue(now) {
            (w.state_overdue, "bad")
        } else if incident.notified_at_ms.is_none() {
            (w.state_untold, "warning")
        } else {
            (w.state_open, "warning")
        };
        let until = incident.stopped_until_ms;
        let until = until.map_or_else(|| w.until_open.to_owned(), |at| time::seconds(at, zone));
        Self {
            detected: time::seconds(incident.detected_at_ms, zone),
            due: time::seconds(incident.due_at_ms, zone),
            notified: shown(incident.notified_at_ms),
            contained: shown(incident.contained_at_ms),
            closed: shown(incident.closed_at_ms),
            stopped: shown(incident.stopped_at_ms),
            stopped_until: incident.stopped_at_ms.map(|_| until),
            state,
            class,
            forms,
            incident,
        }
    }
}
