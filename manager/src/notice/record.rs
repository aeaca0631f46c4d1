//! The record of incidents as a file: every moment, what companies were told, and whether in time.

use std::borrow::Cow;

use axum::extract::{RawQuery, State};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::{
    admin::{AdminLogin, AdminPermission},
    app::App,
    audit,
    db::select::Select,
    list::{Asked, Column, Kind, Listing, Params, csv},
    site::{PageResult, time},
};

/// Columns of the file.
const HEADS: [&str; 14] = [
    "incident_id",
    "title",
    "declared_by",
    "detected",
    "declared",
    "tell_until",
    "told",
    "told_in_time",
    "contained",
    "closed",
    "notice_title",
    "notice_body",
    "service_stopped",
    "service_stopped_until",
];

/// Every incident.
#[derive(Debug, Clone, Copy)]
struct Incidents;

/// One incident with what companies were told.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Row {
    incident_id: String,
    title: String,
    author: String,
    detected_at_ms: i64,
    declared_at_ms: i64,
    due_at_ms: i64,
    notified_at_ms: Option<i64>,
    contained_at_ms: Option<i64>,
    closed_at_ms: Option<i64>,
    notice_title: Option<String>,
    notice_body: Option<String>,
    stopped_at_ms: Option<i64>,
    stopped_until_ms: Option<i64>,
}

impl Listing for Incidents {
    type Row = Row;
    const COLUMNS: &'static [Column] =
        &[Column { key: "detected", sql: "i.detected_at_ms", kind: Kind::Number, descending: true }];
    const ID: &'static str = "i.incident_id";
    const SELECT: &'static str = "i.incident_id, i.title, i.author, i.detected_at_ms, i.declared_at_ms, i.due_at_ms, \
        i.notified_at_ms, i.contained_at_ms, i.closed_at_ms, n.title AS notice_title, n.body AS notice_body, \
        i.stopped_at_ms, i.stopped_until_ms";

    fn narrow(&self, select: &mut Select) {
        select.add("FROM incidents i LEFT JOIN notices n ON n.notice_id = i.notice_id WHERE 1 = 1");
    }
}

/// The file. That somebody took it stands in the log.
pub(super) async fn file(State(app): State<App>, login: AdminLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "incidents", "filter": "" });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let asked = Asked::read::<Incidents>(&Params::default());
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &Row, cell: &mut dyn FnMut(Cow<'_, str>)| cells(row, &zone, cell);
    Ok(csv::export(&app, Incidents, asked, ("incidents", encoding), &HEADS, cells))
}

fn cells(row: &Row, zone: &TimeZone, cell: &mut dyn FnMut(Cow<'_, str>)) {
    let time = |at: Option<i64>| at.map(|at| time::machine(at, zone)).unwrap_or_default();
    for text in [&row.incident_id, &row.title, &row.author] {
        cell(Cow::Borrowed(text));
    }
    for at in [Some(row.detected_at_ms), Some(row.declared_at_ms), Some(row.due_at_ms), row.notified_at_ms] {
        cell(Cow::Owned(time(at)));
    }
    cell(Cow::Borrowed(match row.notified_at_ms {
        Some(at) if at <= row.due_at_ms => "yes",
        Some(_) => "no",
        None => "",
    }));
    for at in [row.contained_at_ms, row.closed_at_ms] {
        cell(Cow::Owned(time(at)));
    }
    for text in [&row.notice_title, &row.notice_body] {
        cell(Cow::Borrowed(text.as_deref().unwrap_or_default()));
    }
    for at in [row.stopped_at_ms, row.stopped_until_ms] {
        cell(Cow::Owned(time(at)));
    }
}
