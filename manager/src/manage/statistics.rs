//! Figures.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    answer::Refused,
    query::{Asking, Filter, Kind, ListQuery},
};
use crate::{
    app::App,
    error::ApiResult,
    list::Column,
    role::Permission,
    statistics::{
        page,
        state::{Figures, Step},
        store::{self, Group},
    },
    token::{By, scope::StatisticsRead},
};

/// What figures can be asked for.
#[derive(Debug)]
pub(super) struct Period;

/// Figures of a period.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct StatisticsBody {
    /// When the period begins.
    since_ms: i64,
    /// When it ends.
    until_ms: i64,
    /// Whether a longer one was asked for: 31 days of hours, 3 years of days or months at most.
    cut: bool,
    /// Until when things are counted; 0 when nothing was counted yet.
    counted_until_ms: i64,
    /// The period step by step.
    steps: Vec<StepBody>,
    /// By account, who did most first; at most 500.
    operators: Vec<GroupBody>,
    /// By organisation; the id of those in none is empty.
    organisations: Vec<GroupBody>,
}

/// An hour, a day or a month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct StepBody {
    /// When it begins.
    at_ms: i64,
    /// The most sessions at the same time; only of a whole company.
    peak_sessions: Option<i64>,
    /// Its figures.
    #[serde(flatten)]
    figures: FiguresBody,
}

/// An account or an organisation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct GroupBody {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// Its figures.
    #[serde(flatten)]
    figures: FiguresBody,
}

/// What happened.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FiguresBody {
    /// Numbers that were issued.
    receptions: i64,
    /// Entries of a number.
    entered: i64,
    /// Sessions that connected.
    connected: i64,
    /// Connected sessions of a hundred numbers.
    connect_percent: Option<i64>,
    /// The wait from issue to entry that half of all entries were within.
    wait_p50_ms: Option<i64>,
    /// That nine of ten were within.
    wait_p90_ms: Option<i64>,
    /// Its mean.
    wait_mean_ms: Option<i64>,
    /// Mean time of a session.
    handle_mean_ms: Option<i64>,
    /// Sessions that ended because something broke.
    abnormal: i64,
}

impl From<&Figures> for FiguresBody {
    fn from(figures: &Figures) -> Self {
        Self {
            receptions: figures.receptions,
            entered: figures.entered,
            connected: figures.connected,
            connect_percent: figures.connect_percent(),
            wait_p50_ms: figures.wait_ms_at(50),
            wait_p90_ms: figures.wait_ms_at(90),
            wait_mean_ms: figures.wait_mean_ms(),
            handle_mean_ms: figures.handle_mean_ms(),
            abnormal: figures.abnormal,
        }
    }
}

impl From<Group> for GroupBody {
    fn from(group: Group) -> Self {
        Self { figures: FiguresBody::from(&group.figures), id: group.id, name: group.name }
    }
}

impl Asking for Period {
    const FILTERS: &'static [Filter] = &[
        Filter { name: "unit", kind: Kind::OneOf(&["hour", "day", "month"]), what: "The steps; days without" },
        Filter { name: "from", kind: Kind::Day, what: "The first day" },
        Filter { name: "to", kind: Kind::Day, what: "The last day; today without" },
        Filter { name: "operator", kind: Kind::Text, what: "Id of an account" },
        Filter { name: "organisation", kind: Kind::Text, what: "Id of an organisation; with those below it" },
    ];
    const COLUMNS: &'static [Column] = &[];
}

/// The figures of a period.
#[utoipa::path(
    get, path = "/v1/manage/statistics", tag = "manage", operation_id = "manage_statistics",
    security(("token" = ["statistics.read"])),
    params(ListQuery::<Period>),
    responses((status = 200, body = StatisticsBody), Refused),
)]
pub(super) async fn read(
    State(app): State<App>,
    by: By<StatisticsRead>,
    query: ListQuery<Period>,
) -> ApiResult<Json<StatisticsBody>> {
    by.need(Permission::StatisticsView)?;
    let mut tx = app.db.read().await?;
    let read = page::read(&app, &mut tx, &by, &query.params).await?;
    let operators = store::operators(&mut tx, &by, &read.asked).await?;
    let organisations = store::organisations(&mut tx, &by, &read.asked).await?;
    let counted_until_ms = store::made_at(&mut tx).await?;
    let step = |step: &Step| StepBody {
        at_ms: step.at_ms,
        peak_sessions: read.shows_peak.then_some(step.peak),
        figures: FiguresBody::from(&step.figures),
    };
    Ok(Json(StatisticsBody {
        since_ms: read.asked.since_ms,
        until_ms: read.asked.until_ms,
        cut: read.cut,
        counted_until_ms,
        steps: read.steps.iter().map(step).collect(),
        operators: operators.into_iter().map(GroupBody::from).collect(),
        organisations: organisations.into_iter().map(GroupBody::from).collect(),
    }))
}
