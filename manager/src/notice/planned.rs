//! Maintenance windows as a file: what was announced, and when the work was finished.

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
const HEADS: [&str; 10] = [
    "maintenance_id",
    "services",
    "emergency",
    "reason",
    "announced_by",
    "announced",
    "starts",
    "announced_end",
    "finished",
    "called_off",
];

/// Every maintenance window.
#[derive(Debug, Clone, Copy)]
struct Windows;

/// One window.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Row {
    maintenance_id: String,
    services: String,
    emergency: bool,
    reason: String,
    author: String,
    announced_at_ms: i64,
    starts_at_ms: i64,
    ends_at_ms: i64,
    finished_at_ms: Option<i64>,
    cancelled_at_ms: Option<i64>,
}

impl Listing for Windows {
    type Row = Row;
    const COLUMNS: &'static [Column] =
        &[Column { key: "starts", sql: "w.starts_at_ms", kind: Kind::Number, descending: true }];
    const ID: &'static str = "w.maintenance_id";
    const SELECT: &'static str = "w.maintenance_id, w.services, w.emergency, w.reason, w.author, w.announced_at_ms, \
        w.starts_at_ms, w.ends_at_ms, w.finished_at_ms, w.cancelled_at_ms";

    fn narrow(&self, select: &mut Select) {
        select.add("FROM maintenances w WHERE 1 = 1");
    }
}

/// The file. That somebody took it stands in the log.
pub(super) async fn file(State(app): State<App>, login: AdminLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "maintenance", "filter": "" });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let asked = Asked::read::<Windows>(&Params::default());
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &Row, cell: &mut dyn FnMut(Cow<'_, str>)| cells(row, &zone, cell);
    Ok(csv::export(&app, Windows, asked, ("maintenance", encoding), &HEADS, cells))
}

fn cells(row: &Row, zone: &TimeZone, cell: &mut dyn FnMut(Cow<'_, str>)) {
    let time = |at: Option<i64>| at.map(|at| time::machine(at, zone)).unwrap_or_default();
    let emergency = if row.emergency { "yes" } else { "no" };
    for text in [row.maintenance_id.as_str(), &row.services, emergency, &row.reason, &row.author] {
        cell(Cow::Borrowed(text));
    }
    for at in [Some(row.announced_at_ms), Some(row.starts_at_ms), Some(row.ends_at_ms)] {
        cell(Cow::Owned(time(at)));
    }
    for at in [row.finished_at_ms, row.cancelled_at_ms] {
        cell(Cow::Owned(time(at)));
    }
}
