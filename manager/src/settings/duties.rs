//! Who is responsible for what: shown to the company, and acknowledged once for each edition.

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{Html, IntoResponse as _},
};
use serde::Deserialize;

use super::store;
use crate::{
    app::App,
    audit::{self, change},
    company::policy::Acknowledged,
    login::SiteLogin,
    manual,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, frame::Flash, time},
};

/// Where it is.
pub(super) const ADDRESS: &str = "/settings/responsibility";
/// The edition of the chapter; a new one is acknowledged anew.
pub(super) const EDITION: &str = "2026-11";

#[derive(Template)]
#[template(path = "settings/duties.html")]
struct DutiesPage {
    frame: Frame,
    text: &'static str,
    edition: &'static str,
    /// When and by whom, when it is this edition that was acknowledged.
    done: Option<(String, String)>,
    /// The edition that was acknowledged before.
    earlier: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Sent {
    edition: String,
}

pub(super) async fn show(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let frame = Frame::of(&app, &login, &headers, Here::Settings);
    let acknowledged = login.policy.responsibility.clone();
    let is_now = acknowledged.as_ref().is_some_and(|acknowledged| acknowledged.edition == EDITION);
    let shown = |acknowledged: Acknowledged| (time::seconds(acknowledged.at_ms, &login.zone()), acknowledged.by);
    let (done, earlier) = match acknowledged {
        Some(acknowledged) if is_now => (Some(shown(acknowledged)), None),
        Some(acknowledged) => (None, Some(acknowledged.edition)),
        None => (None, None),
    };
    let text = manual::text("responsibility", login.lang);
    Ok(Html(DutiesPage { frame, text, edition: EDITION, done, earlier }.render()?).into_response())
}

pub(super) async fn acknowledge(State(app): State<App>, login: SiteLogin, Form(sent): Form<Sent>) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    // The program was renewed while the page was open.
    if sent.edition != EDITION {
        return Err(Problem::Changed { back: ADDRESS.to_owned() });
    }
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let mut policy = store::hold(&mut tx, login.company_id).await?;
    let before = policy.responsibility.take();
    if before.as_ref().is_some_and(|before| before.edition == EDITION) {
        return Ok(Flash::Unchanged.then(ADDRESS));
    }
    policy.responsibility = Some(Acknowledged { edition: EDITION.to_owned(), at_ms: now, by: login.name.clone() });
    store::save(&mut tx, login.company_id, &policy).await?;
    let old = before.map(|before| before.edition).unwrap_or_default();
    let fields = change::differences([("edition", old.as_str(), EDITION)]);
    let detail = change::store(&mut tx, login.company_id, "settings:responsibility", &login.name, fields, now).await?;
    audit::append(&mut tx, login.event("settings.responsibility_acknowledged", detail, now)).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then(ADDRESS))
}
