//! The page of statistics.

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{Html, IntoResponse as _},
    routing::get,
};
use jiff::tz::TimeZone;

use super::{
    chart::{self, COUNTS, Chart, Series, TIMES},
    file,
    state::{Figures, HOUR_MS, Step, Unit, steps},
    store::{self, Asked, Group},
};
use crate::{
    app::App,
    db::{DbResult, Tx},
    list::Params,
    live,
    login::SiteLogin,
    role::{Permission, Reach},
    site::{Frame, Here, PageResult, Words, time},
};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * HOUR_MS;

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new().route("/statistics", get(show)).route("/statistics/file", get(file::file))
}

#[derive(Template)]
#[template(path = "statistics/show.html")]
struct StatisticsPage {
    frame: Frame,
    params: Params,
    unit: Unit,
    from: String,
    to: String,
    cut: bool,
    made_at: String,
    total: Line,
    lines: Vec<Line>,
    charts: Vec<Chart>,
    operators: Vec<Line>,
    groups: Vec<Line>,
    organisations: Vec<(String, String)>,
    shows_peak: bool,
    may_export: bool,
}

impl StatisticsPage {
    const fn is_empty(&self) -> bool {
        self.total.receptions == 0 && self.total.connected == 0
    }
}

/// One row of a table.
pub(super) struct Line {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) receptions: i64,
    pub(super) connected: i64,
    pub(super) rate: String,
    pub(super) wait_middle: String,
    pub(super) wait_most: String,
    pub(super) handle: String,
    pub(super) abnormal: i64,
    pub(super) peak: i64,
}

/// What is asked, and what there is.
pub struct Read {
    /// The steps.
    pub unit: Unit,
    /// The period, and whose.
    pub asked: Asked,
    /// Whether the period was longer than is shown.
    pub cut: bool,
    /// Step by step.
    pub steps: Vec<Step>,
    /// Whether peaks mean something: only those of a whole company do.
    pub shows_peak: bool,
}

async fn show(State(app): State<App>, login: SiteLogin, RawQuery(query): RawQuery, headers: HeaderMap) -> PageResult {
    login.need(Permission::StatisticsView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let read = read(&app, &mut tx, &login, &params).await?;
    let operators = store::operators(&mut tx, &login, &read.asked).await?;
    let groups = store::organisations(&mut tx, &login, &read.asked).await?;
    let organisations = live::store::organisations(&mut tx, &login).await?;
    let made_at_ms = store::made_at(&mut tx).await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::Statistics);
    let total = read.steps.iter().fold(Figures::default(), |sum, step| sum.and(step.figures));
    let peak = read.steps.iter().map(|step| step.peak).max().unwrap_or(0);
    let w = frame.words;
    let group = |group: Group| {
        let name = if group.name.is_empty() { w.statistics.no_organisation.to_owned() } else { group.name };
        Line::new(group.id, name, &group.figures, 0)
    };
    let page = StatisticsPage {
        params,
        unit: read.unit,
        from: time::input_day(read.asked.since_ms, &zone),
        to: time::input_day(read.asked.until_ms - 1, &zone),
        cut: read.cut,
        made_at: if made_at_ms == 0 { "–".to_owned() } else { time::seconds(made_at_ms, &zone) },
        total: Line::new(String::new(), w.statistics.total.to_owned(), &total, peak),
        lines: read.steps.iter().map(|step| Line::of_step(*step, read.unit, &zone)).collect(),
        charts: charts(&read, &zone, w),
        operators: operators.into_iter().map(group).collect(),
        groups: groups.into_iter().map(group).collect(),
        organisations,
        shows_peak: read.shows_peak,
        may_export: login.may(Permission::LogExport),
        frame,
    };
    Ok(Html(page.render()?).into_response())
}

/// Reads the period, the unit and the figures of every step.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn read(app: &App, tx: &mut Tx, login: &SiteLogin, params: &Params) -> DbResult<Read> {
    let zone = login.zone();
    let unit = Unit::parse(params.text("unit").unwrap_or_default());
    let text = |name| params.text(name).map(str::to_owned);
    let (since_ms, until_ms, cut) = period(params, unit, app.now_ms(), &zone);
    let asked = Asked { since_ms, until_ms, operator_id: text("operator"), organisation_id: text("organisation") };
    let hours = store::hours(tx, login, &asked).await?.into_iter().map(|hour| (hour.hour_ms, hour.figures));
    let shows_peak = login.reach == Reach::Company && asked.operator_id.is_none() && asked.organisation_id.is_none();
    let peaks = if shows_peak { store::peaks(tx, login, &asked).await? } else { Vec::new() };
    let steps = steps(unit, (since_ms, until_ms), hours, peaks, &zone);
    Ok(Read { unit, asked, cut, steps, shows_peak })
}

/// From where to where, and whether that is less than was asked. Without days: a day of hours, a month of days, a year
/// of months, up to today.
fn period(params: &Params, unit: Unit, now_ms: i64, zone: &TimeZone) -> (i64, i64, bool) {
    let tomorrow = Unit::Day.begin(Unit::Day.begin(now_ms, zone) + DAY_MS + DAY_MS / 2, zone);
    let until_ms = params.day_end("to", zone).unwrap_or(tomorrow);
    let usual = match unit {
        Unit::Hour => until_ms - DAY_MS,
        Unit::Day => until_ms - 30 * DAY_MS,
        Unit::Month => until_ms - 365 * DAY_MS,
    };
    let since_ms = params.day("from", zone).unwrap_or(usual);
    let longest = until_ms.saturating_sub(unit.days_max() * DAY_MS);
    let since_ms = if since_ms < until_ms { since_ms } else { until_ms - DAY_MS };
    (unit.begin(since_ms.max(longest), zone), until_ms, since_ms < longest)
}

fn charts(read: &Read, zone: &TimeZone, words: &'static Words) -> Vec<Chart> {
    let w = &words.statistics;
    let names: Vec<String> = read.steps.iter().map(|step| short_name(step.at_ms, read.unit, zone)).collect();
    let row = |class, name, value: fn(&Step) -> Option<i64>| Series {
        class,
        name,
        values: read.steps.iter().map(value).collect(),
    };
    let numbers = [
        row("one", w.receptions, |step| Some(step.figures.receptions)),
        row("two", w.connected, |step| Some(step.figures.connected)),
    ];
    let waits = [
        row("one", w.wait_middle, |step| step.figures.wait_ms_at(50)),
        row("three", w.wait_most, |step| step.figures.wait_ms_at(90)),
    ];
    let handles = [row("two", w.handle, |step| step.figures.handle_mean_ms())];
    let mut charts = vec![
        chart::bars(w.chart_numbers, &names, &numbers, COUNTS),
        chart::lines(w.chart_waits, &names, &waits, TIMES),
        chart::bars(w.chart_handle, &names, &handles, TIMES),
    ];
    if read.shows_peak {
        let peaks = [row("one", w.peak, |step| Some(step.peak))];
        charts.push(chart::bars(w.chart_peak, &names, &peaks, COUNTS));
    }
    charts
}

/// What a step is called: `04/01 09:00`, `2026/04/01`, `2026/04`.
pub(super) fn name(at_ms: i64, unit: Unit, zone: &TimeZone) -> String {
    let whole = time::seconds(at_ms, zone);
    let part = match unit {
        Unit::Hour => whole.get(5..16),
        Unit::Day => whole.get(..10),
        Unit::Month => whole.get(..7),
    };
    part.unwrap_or(&whole).to_owned()
}

/// The same for a drawing, where a day needs no year: `04/01`.
fn short_name(at_ms: i64, unit: Unit, zone: &TimeZone) -> String {
    let whole = name(at_ms, unit, zone);
    match unit {
        Unit::Day => whole.get(5..).map_or(whole.clone(), str::to_owned),
        Unit::Hour | Unit::Month => whole,
    }
}

impl Line {
    fn of_step(step: Step, unit: Unit, zone: &TimeZone) -> Self {
        Self::new(String::new(), name(step.at_ms, unit, zone), &step.figures, step.peak)
    }

    pub(super) fn new(id: String, name: String, figures: &Figures, peak: i64) -> Self {
        let shown = |ms: Option<i64>| ms.map_or_else(|| "–".to_owned(), time::duration);
        Self {
            id,
            name,
            receptions: figures.receptions,
            connected: figures.connected,
            rate: figures.connect_percent().map_or_else(|| "–".to_owned(), |rate| format!("{rate}%")),
            wait_middle: shown(figures.wait_ms_at(50)),
            wait_most: shown(figures.wait_ms_at(90)),
            handle: shown(figures.handle_mean_ms()),
            abnormal: figures.abnormal,
            peak,
        }
    }
}
