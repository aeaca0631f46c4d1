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
    maintenance::{self, NewWindow, Refusal, SERVICES, Window},
    page::period,
    system::status,
};
use crate::{
    admin::{
        AdminLogin, AdminPermission,
        frame::{Here, frame},
    },
    app::App,
    extract::InPath,
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

async fn show(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
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
