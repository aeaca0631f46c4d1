//! The file of statistics: the steps of the page, one a line.

use std::borrow::Cow;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::header,
    response::Response,
};
use serde_json::json;

use super::{page, state::Step};
use crate::{
    app::App,
    audit,
    list::{Params, csv},
    login::SiteLogin,
    role::Permission,
    site::{PageResult, download::attachment, time},
};

/// Columns of the file.
const HEADS: [&str; 11] = [
    "from",
    "receptions",
    "entered",
    "connected",
    "connect_percent",
    "wait_p50_seconds",
    "wait_p90_seconds",
    "wait_mean_seconds",
    "handle_mean_seconds",
    "abnormal",
    "peak_sessions",
];

/// Writes what the page shows in its charts.
pub(super) async fn file(State(app): State<App>, login: SiteLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(Permission::StatisticsView)?;
    login.need(Permission::LogExport)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let read = page::read(&app, &mut tx, &login, &params).await?;
    drop(tx);
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "statistics", "filter": params.filter() });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let mut text = csv::begin(encoding);
    csv::line(HEADS.map(Cow::Borrowed), encoding, &mut text);
    for step in read.steps {
        let at = time::machine(step.at_ms, &zone);
        csv::line(cells(&step, at, read.shows_peak).map(Cow::Owned), encoding, &mut text);
    }
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment("statistics.csv"));
    response.headers_mut().insert(header::CONTENT_TYPE, csv::kind(encoding));
    Ok(response)
}

fn cells(step: &Step, at: String, shows_peak: bool) -> [String; 11] {
    let figures = &step.figures;
    let seconds = |ms: Option<i64>| ms.map(|ms| (ms / 1000).to_string()).unwrap_or_default();
    [
        at,
        figures.receptions.to_string(),
        figures.entered.to_string(),
        figures.connected.to_string(),
        figures.connect_percent().map(|percent| percent.to_string()).unwrap_or_default(),
        seconds(figures.wait_ms_at(50)),
        seconds(figures.wait_ms_at(90)),
        seconds(figures.wait_mean_ms()),
        seconds(figures.handle_mean_ms()),
        figures.abnormal.to_string(),
        if shows_peak { step.peak.to_string() } else { String::new() },
    ]
}
