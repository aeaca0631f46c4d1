//! The pages of the support log: the list, the file, and one session.

use std::borrow::Cow;

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use proto::device::DeviceFact;
use serde_json::json;

use super::{
    list::{self, HEADS, Row, SupportLog},
    relayed, show,
};
use crate::{
    app::App,
    audit,
    category::{self, store::Category},
    device::Device,
    list::{
        Asked, Page, Params, csv,
        saved::{self, Saved},
    },
    login::SiteLogin,
    relays::region::Region,
    role::Permission,
    site::{Frame, Here, PageResult, Words, time},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/log/sessions", get(show_list))
        .route("/log/sessions/file", get(file))
        .route("/log/sessions/{session_id}", get(show::show))
        .route("/log/sessions/{session_id}/case", post(show::write))
}

/// One session as lists and pages show it.
pub(super) struct Line {
    pub(super) began: String,
    pub(super) ended: String,
    pub(super) duration: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) device: String,
    pub(super) result: &'static str,
    pub(super) region: &'static str,
    pub(super) row: Row,
}

#[derive(Template)]
#[template(path = "session/list.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    categories: Vec<Category>,
    results: Vec<(&'static str, &'static str)>,
    regions: [(&'static str, &'static str); 4],
    may_export: bool,
    saved: Vec<Saved>,
    /// Whether a relay told of any of these where it is.
    has_regions: bool,
}

/// Regions that can be asked for.
const REGIONS: [&str; 4] =
    [Region::Japan.as_str(), Region::Europe.as_str(), Region::NorthAmerica.as_str(), relayed::NOWHERE];

/// Ways to end that can be asked for.
const REASONS: [&str; 12] = [
    "operator_ended",
    "customer_ended",
    "consent_refused",
    "consent_timeout",
    "peer_timeout",
    "peer_lost",
    "wrong_secret",
    "prove_timeout",
    "revoked",
    "cancelled",
    "hard_end",
    "abnormal",
];

async fn show_list(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LogView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let asked = Asked::read::<SupportLog>(&params);
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &SupportLog::read(&params, &login), &asked).await?;
    let categories = category::store::of_company(&mut tx, login.company_id).await?;
    let saved = saved::of(&mut tx, &login, "/log/sessions").await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::SupportLog);
    let (rows, page) = page.split();
    let has_regions = rows.iter().any(|row| !row.region.is_empty());
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, &zone)).collect();
    let may_export = login.may(Permission::LogExport);
    let results = show::results(frame.words);
    let regions = REGIONS.map(|region| (region, region_name(region, frame.words)));
    let page =
        ListPage { frame, params, asked, page, lines, categories, results, regions, may_export, saved, has_regions };
    Ok(Html(page.render()?).into_response())
}

async fn file(State(app): State<App>, login: SiteLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(Permission::LogExport)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "sessions", "filter": params.filter() });
    audit::append(&mut tx, login.event("list.exported", detail, app.now_ms())).await?;
    tx.commit().await?;
    let asked = Asked { from: crate::list::From::Start, ..Asked::read::<SupportLog>(&params) };
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &Row, cell: &mut dyn FnMut(Cow<'_, str>)| list::cells(row, &zone, cell);
    Ok(csv::export(&app, SupportLog::read(&params, &login), asked, ("sessions", encoding), &HEADS, cells))
}

pub(super) fn shown(at: Option<i64>, zone: &TimeZone) -> String {
    at.map_or_else(|| "–".to_owned(), |at| time::seconds(at, zone))
}

/// What the region of a relay is called; `–` when no relay told it.
pub(super) fn region_name(region: &str, words: &'static Words) -> &'static str {
    words.sessions.get(&format!("region_{region}")).unwrap_or("–")
}

/// A device in a few words: what the customer sent about it, or else what its device management says.
fn shown_device(facts: &[DeviceFact], managed: Option<&Device>) -> String {
    let sent: Vec<&str> = facts.iter().take(2).map(|fact| fact.value.as_str()).collect();
    let managed = managed.into_iter().flat_map(|device| [device.label(), &device.model]);
    let told = if sent.is_empty() { managed.filter(|text| !text.is_empty()).collect() } else { sent };
    told.join(" / ")
}

impl Line {
    pub(super) fn new(row: Row, words: &'static Words, zone: &TimeZone) -> Self {
        let reason = row.end_reason.as_deref().and_then(|reason| words.ends.get(reason));
        let state = words.sessions.get(&format!("state_{}", row.state)).unwrap_or(words.sessions.state_ended);
        let class = match (row.ended_at_ms, row.connected_at_ms) {
            (None, Some(_)) => "good",
            (None, None) => "warning",
            (Some(_), Some(_))
                if matches!(row.end_reason.as_deref(), Some("peer_lost" | "seal_broken" | "abnormal")) =>
            {
                "bad"
            }
            (Some(_), _) => "off",
        };
        let facts: Vec<DeviceFact> = serde_json::from_str(&row.device).unwrap_or_default();
        Self {
            began: time::seconds(row.entered_at_ms, zone),
            ended: shown(row.ended_at_ms, zone),
            duration: row.duration_ms.map_or_else(|| "–".to_owned(), time::duration),
            state: reason.unwrap_or(state),
            class,
            device: shown_device(&facts, Device::stored(row.managed.as_deref()).as_ref()),
            region: region_name(&row.region, words),
            result: words.cases.get(&format!("result_{}", row.result)).unwrap_or(""),
            row,
        }
    }
}
