//! The page of the switch that stops the whole service.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use serde::Deserialize;

use super::store::{self, Concerned, SUBJECT, Service};
use crate::{
    admin::{
        AdminLogin, AdminPermission, Reason,
        frame::{Here, frame},
        history::{ShownChange, history},
    },
    app::App,
    login::realm::SYSTEM,
    site::{Form, Frame, PageResult, Problem, Words, frame::Flash, time},
};

/// Where the page is.
pub const ADDRESS: &str = "/system/halt";

/// The page of this slice.
pub fn router() -> Router<App> {
    Router::new().route(ADDRESS, get(show).post(halt)).route("/system/halt/lift", post(lift))
}

#[derive(Template)]
#[template(path = "halt/show.html")]
struct HaltPage {
    frame: Frame,
    service: Service,
    /// Since when it is halted.
    since: Option<String>,
    concerned: Concerned,
    filled: Filled,
    mistakes: Mistakes,
    may_halt: bool,
    may_declare: bool,
    changes: Vec<ShownChange>,
}

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Filled {
    reason: String,
    sure: String,
    version: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mistakes {
    reason: Option<&'static str>,
    sure: Option<&'static str>,
}

async fn show(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    page(&app, &login, &headers, Filled::default(), Mistakes::default()).await
}

async fn page(app: &App, login: &AdminLogin, headers: &HeaderMap, filled: Filled, mistakes: Mistakes) -> PageResult {
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let service = store::read(&mut tx).await?;
    let concerned = store::concerned(&mut tx).await?;
    let changes = history(&mut tx, &SYSTEM.to_string(), SUBJECT, login).await?;
    drop(tx);
    let page = HaltPage {
        frame: frame(app, login, headers, Here::Halt),
        service,
        since: service.halted_at_ms.map(|at| time::seconds(at, &zone)),
        concerned,
        filled,
        mistakes,
        may_halt: login.may(AdminPermission::ServiceHalt),
        may_declare: login.may(AdminPermission::NoticeEdit),
        changes,
    };
    let good = mistakes == Mistakes::default();
    let status = if good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Html(page.render()?)).into_response())
}

async fn halt(State(app): State<App>, login: AdminLogin, headers: HeaderMap, Form(filled): Form<Filled>) -> PageResult {
    login.need(AdminPermission::ServiceHalt)?;
    let words = Words::of(login.lang);
    let reason: Option<Reason> = filled.reason.parse().ok();
    let mistakes = Mistakes {
        reason: reason.is_none().then_some(words.system.reason_wrong),
        sure: (filled.sure != "yes").then_some(words.halt.sure_wrong),
    };
    let Some(reason) = reason.filter(|_| mistakes == Mistakes::default()) else {
        return page(&app, &login, &headers, filled, mistakes).await;
    };
    let mut tx = app.db.begin().await?;
    if !store::halt(&mut tx, &login, filled.version, &reason, app.now_ms()).await? {
        return Err(Problem::Changed { back: ADDRESS.to_owned() });
    }
    tx.commit().await?;
    tracing::warn!(event = "service.halted", operator.id = %login.operator_id, "The service is halted for every company");
    app.events.wake_all();
    Ok(Flash::Saved.then(ADDRESS))
}

async fn lift(State(app): State<App>, login: AdminLogin, headers: HeaderMap, Form(filled): Form<Filled>) -> PageResult {
    login.need(AdminPermission::ServiceHalt)?;
    let words = Words::of(login.lang);
    let reason: Option<Reason> = filled.reason.parse().ok();
    let mut tx = app.db.begin().await?;
    let service = store::read(&mut tx).await?;
    // Of another halt than the one that was shown, the answer is that it changed.
    let is_shown = service.halted_at_ms.is_some() && service.version == filled.version;
    let unsure = is_shown && filled.sure != "yes" && store::concerned(&mut tx).await?.is_anything_open();
    let mistakes = Mistakes {
        reason: reason.is_none().then_some(words.system.reason_wrong),
        sure: unsure.then_some(words.halt.lift_sure_wrong),
    };
    let Some(reason) = reason.filter(|_| mistakes == Mistakes::default()) else {
        drop(tx);
        return page(&app, &login, &headers, filled, mistakes).await;
    };
    if !store::lift(&mut tx, &login, filled.version, &reason, app.now_ms()).await? {
        return Err(Problem::Changed { back: ADDRESS.to_owned() });
    }
    tx.commit().await?;
    tracing::warn!(event = "service.lifted", operator.id = %login.operator_id, "The service is there for companies again");
    Ok(Flash::Saved.then(ADDRESS))
}
