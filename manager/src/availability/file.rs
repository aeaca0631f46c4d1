//! The file of availability: the months of the page, one a line.

use std::borrow::Cow;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::header,
    response::Response,
};
use serde_json::json;

use super::{
    page::{percent, read},
    state::Month,
};
use crate::{
    admin::{AdminLogin, AdminPermission},
    app::App,
    audit,
    list::{Params, csv},
    site::{PageResult, download::attachment, time},
};

/// Columns of the file.
const HEADS: [&str; 11] = [
    "month",
    "from",
    "until",
    "running",
    "length_seconds",
    "planned_seconds",
    "lost_seconds",
    "availability_percent",
    "budget_seconds",
    "over_budget_seconds",
    "kept",
];

/// Characters of `2026-09`.
const MONTH_CHARS: usize = 7;

/// Writes what the page shows. That somebody took it stands in the log.
pub(super) async fn file(State(app): State<App>, login: AdminLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let months = read(&app).await?;
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "availability", "filter": "" });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let encoding = csv::Encoding::parse(Params::parse(query.as_deref().unwrap_or_default()).text("encoding"));
    let mut text = csv::begin(encoding);
    csv::line(HEADS.map(Cow::Borrowed), encoding, &mut text);
    for month in &months {
        csv::line(cells(month).map(Cow::Owned), encoding, &mut text);
    }
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment("availability.csv"));
    response.headers_mut().insert(header::CONTENT_TYPE, csv::kind(encoding));
    Ok(response)
}

fn cells(month: &Month) -> [String; 11] {
    let zone = time::zone(time::TOKYO);
    let seconds = |millis: i64| (millis / 1000).to_string();
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    [
        time::input_day(month.begins_at_ms, &zone).chars().take(MONTH_CHARS).collect(),
        time::machine(month.begins_at_ms, &zone),
        time::machine(month.begins_at_ms.saturating_add(month.length_ms), &zone),
        yes_or_no(month.is_running),
        seconds(month.length_ms),
        seconds(month.planned_ms),
        seconds(month.lost_ms),
        month.parts().map(percent).unwrap_or_default(),
        seconds(month.budget_ms),
        seconds(month.left_ms().saturating_neg().max(0)),
        yes_or_no(month.is_kept()),
    ]
}
