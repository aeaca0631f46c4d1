//! The page of maintenance windows.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{
    form,
    maintenance::{self, EndRefusal, NewWindow, Refusal, SERVICES, Window},
    page::period,
    planned,
    system::status,
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

/// The page of this file.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/system/maintenance", get(show).post(announce))
        .route("/system/maintenance/{maintenance_id}/cancel", post(call_off))
        .route("/system/maintenance/{maintenance_id}/finish", post(finish))
        .route("/system/maintenance/file", get(planned::file))
}

/// One window of the list.
struct WindowLine {
    period: String,
    announced: String,
    /// When its work was finished.
    finished: String,
    services: String,
    state: &'static str,
    class: &'static str,
    can_cancel: bool,
    can_finish: bool,
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

/// What is wrong with what was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct WindowMistakes {
    /// In the form of a new window.
    announced: Option<&'static str>,
    /// Why one is not called off or finished.
    ended: Option<&'static str>,
}

impl FilledWindow {
    /// What the form proposes: two hours of the management server, a month from now.
    fn at(now: i64, zone: &TimeZone) -> Self {
        let starts = now.saturating_add(millis(maintenance::NOTICE_DEFAULT));
        Self {
            starts: form::shown(starts, zone),
            ends: form::shown(starts.saturating_add(2 * HOUR_MS), zone),
            services: vec!["manager".to_owned()],
            ..Self::default()
        }
    }

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
    mistakes: WindowMistakes,
    mail_is_on: bool,
    may_edit: bool,
    /// For the links of the file.
    params: Params,
}

async fn show(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let filled = FilledWindow::at(app.now_ms(), &login.zone());
    windows_page(&app, &login, &headers, filled, WindowMistakes::default()).await
}

async fn windows_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    filled: FilledWindow,
    mistakes: WindowMistakes,
) -> PageResult {
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.read().await?;
    let windows = maintenance::all(&mut tx).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Maintenance);
    let lines = windows.into_iter().map(|window| WindowLine::new(window, frame.words, now, &zone)).collect();
    let (mail_is_on, may_edit) = (app.config.mail.is_on(), login.may(AdminPermission::NoticeEdit));
    let is_good = mistakes == WindowMistakes::default();
    let page = WindowsPage { frame, lines, filled, mistakes, mail_is_on, may_edit, params: Params::default() };
    Ok((status(is_good), Html(page.render()?)).into_response())
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
    let wrong = |mistake| WindowMistakes { announced: Some(mistake), ..WindowMistakes::default() };
    let times = form::moment(&filled.starts, &zone).zip(form::moment(&filled.ends, &zone));
    let (Some((starts_at_ms, ends_at_ms)), Some(body), Some(reason)) =
        (times, form::body(&filled.body), form::body(&filled.reason))
    else {
        return windows_page(&app, &login, &headers, filled, wrong(w.times_wrong)).await;
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
            windows_page(&app, &login, &headers, filled, wrong(mistake)).await
        }
    }
}

async fn call_off(
    State(app): State<App>,
    login: AdminLogin,
    InPath(maintenance_id): InPath<String>,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let w = &Words::of(login.lang).maintenance;
    let mut tx = app.db.begin().await?;
    if let Err(refusal) = maintenance::call_off(&app, &mut tx, &login, &maintenance_id).await {
        drop(tx);
        return refused(&app, &login, &headers, refusal, w.cancel_over).await;
    }
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/maintenance"))
}

async fn finish(
    State(app): State<App>,
    login: AdminLogin,
    InPath(maintenance_id): InPath<String>,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let w = &Words::of(login.lang).maintenance;
    let mut tx = app.db.begin().await?;
    if let Err(refusal) = maintenance::finish(&app, &mut tx, &login, &maintenance_id).await {
        drop(tx);
        return refused(&app, &login, &headers, refusal, w.finish_over).await;
    }
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/maintenance"))
}

/// The page that says why a window goes on as it is; `over` is what it says when the announced end is over.
async fn refused(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    refusal: EndRefusal,
    over: &'static str,
) -> PageResult {
    let mistake = match refusal {
        EndRefusal::NotThere => return Err(Problem::NotFound),
        EndRefusal::Changed => return Err(changed()),
        EndRefusal::Db(error) => return Err(error.into()),
        EndRefusal::NotBegun => Words::of(login.lang).maintenance.finish_not_begun,
        EndRefusal::Over => over,
    };
    let filled = FilledWindow::at(app.now_ms(), &login.zone());
    let mistakes = WindowMistakes { ended: Some(mistake), ..WindowMistakes::default() };
    windows_page(app, login, headers, filled, mistakes).await
}

fn changed() -> Problem {
    Problem::Changed { back: "/system/maintenance".to_owned() }
}

impl WindowLine {
    fn new(window: Window, words: &'static Words, now: i64, zone: &TimeZone) -> Self {
        let w = &words.maintenance;
        let (state, class) = if window.cancelled_at_ms.is_some() {
            (w.state_off, "off")
        } else if window.finished_at_ms.is_some() {
            (w.state_finished, "good")
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
            finished: window.finished_at_ms.map_or_else(|| "–".to_owned(), |at| time::seconds(at, zone)),
            services: names.join(w.and),
            state,
            class,
            can_cancel: window.is_open(now),
            can_finish: window.is_running(now),
            window,
        }
    }
}
