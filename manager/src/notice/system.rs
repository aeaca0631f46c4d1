//! The pages of system administrators: maintenance windows and incidents.

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
    incident::{self, Incident, Step},
    maintenance::{self, NewWindow, Refusal, SERVICES, Window},
    page::period,
    record,
};
use crate::{
    admin::{
        AdminLogin, AdminPermission,
        frame::{Here, frame},
    },
    app::App,
    extract::InPath,
    list::Params,
    site::{Form, Frame, PageResult, Problem, Words, form::Pressed, frame::Flash, time},
    throttle::millis,
};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 60 * 60 * 1000;

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/system/maintenance", get(show_windows).post(announce))
        .route("/system/maintenance/{maintenance_id}/cancel", post(call_off))
        .route("/system/incidents", get(show_incidents).post(declare))
        .route("/system/incidents/{incident_id}/notify", post(notify))
        .route("/system/incidents/{incident_id}/contain", post(contain))
        .route("/system/incidents/{incident_id}/close", post(close))
        .route("/system/incidents/file", get(record::file))
}

/// One window of the list.
struct WindowLine {
    period: String,
    announced: String,
    services: String,
    state: &'static str,
    class: &'static str,
    can_cancel: bool,
    window: Window,
}

/// What was typed into the form of a window.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FilledWindow {
    starts: String,
    ends: String,
    services: Vec<String>,
    body: String,
    emergency: String,
    reason: String,
}

impl FilledWindow {
    fn has(&self, service: &str) -> bool {
        self.services.iter().any(|typed| typed == service)
    }
}

#[derive(Template)]
#[template(path = "notice/maintenance.html")]
struct WindowsPage {
    frame: Frame,
    lines: Vec<WindowLine>,
    filled: FilledWindow,
    mistake: Option<&'static str>,
    mail_is_on: bool,
    may_edit: bool,
}

/// One incident of the list.
struct IncidentLine {
    detected: String,
    due: String,
    notified: String,
    contained: String,
    closed: String,
    state: &'static str,
    class: &'static str,
    incident: Incident,
}

/// What was typed into the form of an incident.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FilledIncident {
    title: String,
    detected: String,
}

/// Since when an incident does no more harm.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Contained {
    at: String,
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
    /// Now, as a field shows it.
    now: String,
    /// For the links of the file.
    params: Params,
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}

// --- maintenance windows ---

async fn show_windows(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let zone = login.zone();
    let starts = app.now_ms().saturating_add(millis(maintenance::NOTICE_DEFAULT));
    let filled = FilledWindow {
        starts: form::shown(starts, &zone),
        ends: form::shown(starts.saturating_add(2 * HOUR_MS), &zone),
        services: vec!["manager".to_owned()],
        ..FilledWindow::default()
    };
    windows_page(&app, &login, &headers, filled, None).await
}

async fn windows_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    filled: FilledWindow,
    mistake: Option<&'static str>,
) -> PageResult {
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.read().await?;
    let windows = maintenance::all(&mut tx).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Maintenance);
    let lines = windows.into_iter().map(|window| WindowLine::new(window, frame.words, now, &zone)).collect();
    let (mail_is_on, may_edit) = (app.config.mail.is_on(), login.may(AdminPermission::NoticeEdit));
    let page = WindowsPage { frame, lines, filled, mistake, mail_is_on, may_edit };
    Ok((status(page.mistake.is_none()), Html(page.render()?)).into_response())
}

async fn announce(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(filled): Form<FilledWindow>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let w = &Words::of(login.lang).maintenance;
    let zone = login.zone();
    let times = form::moment(&filled.starts, &zone).zip(form::moment(&filled.ends, &zone));
    let (Some((starts_at_ms, ends_at_ms)), Some(body), Some(reason)) =
        (times, form::body(&filled.body), form::body(&filled.reason))
    else {
        return windows_page(&app, &login, &headers, filled, Some(w.times_wrong)).await;
    };
    let window = NewWindow {
        starts_at_ms,
        ends_at_ms,
        services: SERVICES.into_iter().filter(|service| filled.has(service)).collect(),
        body,
        reason,
        emergency: filled.emergency == "yes",
    };
    let mut tx = app.db.begin().await?;
    match maintenance::announce(&app, &mut tx, &login, &window).await {
        Ok(_) => {
            tx.commit().await?;
            Ok(Flash::Saved.then("/system/maintenance"))
        }
        Err(refusal) => {
            drop(tx);
            let mistake = match refusal {
                Refusal::Times => w.times_wrong,
                Refusal::NoService => w.service_wrong,
                Refusal::TooSoon => w.too_soon,
                Refusal::NoReason => w.reason_wrong,
                Refusal::Past => w.past,
                Refusal::Db(error) => return Err(error.into()),
            };
            windows_page(&app, &login, &headers, filled, Some(mistake)).await
        }
    }
}

async fn call_off(
    State(app): State<App>,
    login: AdminLogin,
    InPath(maintenance_id): InPath<String>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let mut tx = app.db.begin().await?;
    if !maintenance::call_off(&app, &mut tx, &login, &maintenance_id).await? {
        return Err(Problem::NotFound);
    }
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/maintenance"))
}

impl WindowLine {
    fn new(window: Window, words: &'static Words, now: i64, zone: &TimeZone) -> Self {
        let w = &words.maintenance;
        let (state, class) = if window.cancelled_at_ms.is_some() {
            (w.state_off, "off")
        } else if now < window.starts_at_ms {
            (w.state_planned, "warning")
        } else if now < window.ends_at_ms {
            (w.state_running, "bad")
        } else {
            (w.state_over, "good")
        };
        let names: Vec<&str> = window.services.split(' ').filter_map(|service| w.get(service)).collect();
        Self {
            period: period(window.starts_at_ms, window.ends_at_ms, zone),
            announced: time::seconds(window.announced_at_ms, zone),
            services: names.join(w.and),
            state,
            class,
            can_cancel: window.cancelled_at_ms.is_none() && now < window.ends_at_ms,
            window,
        }
    }
}

// --- incidents ---

async fn show_incidents(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let filled = FilledIncident { title: String::new(), detected: form::shown(app.now_ms(), &login.zone()) };
    incidents_page(&app, &login, &headers, filled, None).await
}

async fn incidents_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    filled: FilledIncident,
    mistake: Option<&'static str>,
) -> PageResult {
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.read().await?;
    let incidents = incident::all(&mut tx).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Incidents);
    let lines = incidents.into_iter().map(|incident| IncidentLine::new(incident, frame.words, now, &zone)).collect();
    let may_edit = login.may(AdminPermission::NoticeEdit);
    let params = Params::default();
    let page = IncidentsPage { frame, lines, filled, mistake, may_edit, now: form::shown(now, &zone), params };
    Ok((status(page.mistake.is_none()), Html(page.render()?)).into_response())
}

async fn declare(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(filled): Form<FilledIncident>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let words = Words::of(login.lang);
    let detected = form::moment(&filled.detected, &login.zone()).filter(|at| *at <= app.now_ms());
    let (title, detected) = match (form::title(&filled.title), detected) {
        (Some(title), Some(detected)) => (title, detected),
        (None, _) => return incidents_page(&app, &login, &headers, filled, Some(words.notices.title_wrong)).await,
        (Some(_), None) => {
            return incidents_page(&app, &login, &headers, filled, Some(words.incidents.detected_wrong)).await;
        }
    };
    let mut tx = app.db.begin().await?;
    incident::declare(&app, &mut tx, &login, &title, detected).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/incidents"))
}

async fn notify(
    State(app): State<App>,
    login: AdminLogin,
    InPath(incident_id): InPath<String>,
    headers: HeaderMap,
    Form(told): Form<Told>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let (Some(title), Some(body)) = (form::title(&told.title), form::body(&told.body)) else {
        let filled = FilledIncident { title: String::new(), detected: form::shown(app.now_ms(), &login.zone()) };
        let mistake = Some(Words::of(login.lang).incidents.told_wrong);
        return incidents_page(&app, &login, &headers, filled, mistake).await;
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
    Form(contained): Form<Contained>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.read().await?;
    let detected = incident::detected_at(&mut tx, &incident_id).await?.ok_or(Problem::NotFound)?;
    drop(tx);
    let Some(at_ms) = form::moment(&contained.at, &zone).filter(|at| detected <= *at && *at <= now) else {
        let filled = FilledIncident { title: String::new(), detected: form::shown(now, &zone) };
        let mistake = Some(Words::of(login.lang).incidents.contained_wrong);
        return incidents_page(&app, &login, &headers, filled, mistake).await;
    };
    step(&app, &login, &incident_id, Step::Contain { at_ms }).await
}

async fn close(
    State(app): State<App>,
    login: AdminLogin,
    InPath(incident_id): InPath<String>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    step(&app, &login, &incident_id, Step::Close).await
}

async fn step(app: &App, login: &AdminLogin, incident_id: &str, step: Step) -> PageResult {
    let mut tx = app.db.begin().await?;
    if !incident::step(app, &mut tx, login, incident_id, step).await? {
        return Err(Problem::Changed { back: "/system/incidents".to_owned() });
    }
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/incidents"))
}

impl IncidentLine {
    fn new(incident: Incident, words: &'static Words, now: i64, zone: &TimeZone) -> Self {
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
        Self {
            detected: time::seconds(incident.detected_at_ms, zone),
            due: time::seconds(incident.due_at_ms, zone),
            notified: shown(incident.notified_at_ms),
            contained: shown(incident.contained_at_ms),
            closed: shown(incident.closed_at_ms),
            state,
            class,
            incident,
        }
    }
}
