//! The page of availability.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    response::{Html, IntoResponse as _},
    routing::get,
};

use super::{
    file,
    state::{Month, months},
    store,
};
use crate::{
    admin::{
        AdminLogin, AdminPermission,
        frame::{Here, frame},
    },
    app::App,
    db::DbResult,
    list::Params,
    site::{Frame, PageResult, Words, time},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new().route("/system/availability", get(show)).route("/system/availability/file", get(file::file))
}

/// A month as the table has it.
struct Line {
    /// `2026/11`.
    month: String,
    availability: String,
    planned: String,
    lost: String,
    budget: String,
    left: String,
    state: &'static str,
    class: &'static str,
}

#[derive(Template)]
#[template(path = "availability/show.html")]
struct AvailabilityPage {
    frame: Frame,
    lines: Vec<Line>,
    may_edit: bool,
    /// For the links of the file.
    params: Params,
}

async fn show(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let months = read(&app).await?;
    let frame = frame(&app, &login, &headers, Here::Availability);
    let lines = months.iter().map(|month| Line::new(month, frame.words)).collect();
    let may_edit = login.may(AdminPermission::NoticeEdit);
    let page = AvailabilityPage { frame, lines, may_edit, params: Params::default() };
    Ok(Html(page.render()?).into_response())
}

/// The months up to now, this one first.
pub(super) async fn read(app: &App) -> DbResult<Vec<Month>> {
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let known = store::known(&mut tx, now).await?;
    Ok(months(&known, now, &time::zone(time::TOKYO)))
}

/// `2026/11`, in Japanese time.
fn name(month: &Month) -> String {
    let day = time::day(month.begins_at_ms, &time::zone(time::TOKYO));
    day.rsplit_once('/').map_or_else(String::new, |(month, _day)| month.to_owned())
}

/// `99.950`, of thousandths of a percent.
pub(super) fn percent(parts: i64) -> String {
    format!("{}.{:03}", parts / 1000, parts % 1000)
}

impl Line {
    fn new(month: &Month, words: &'static Words) -> Self {
        let w = &words.availability;
        let (state, class) = match (month.is_kept(), month.is_running) {
            (false, _) => (w.state_missed, "bad"),
            (true, true) => (w.state_running, "off"),
            (true, false) => (w.state_kept, "good"),
        };
        let left = time::duration(month.left_ms().saturating_abs());
        Self {
            month: name(month),
            availability: month.parts().map_or_else(|| "–".to_owned(), |parts| format!("{}%", percent(parts))),
            planned: time::duration(month.planned_ms),
            lost: time::duration(month.lost_ms),
            budget: time::duration(month.budget_ms),
            left: if month.is_kept() { left } else { w.over(left) },
            state,
            class,
        }
    }
}
