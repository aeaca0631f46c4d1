//! The first page: what happened today, and how full the contract is.

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{Html, IntoResponse as _},
};
use jiff::Timestamp;

use super::{Frame, Here, PageResult, time};
use crate::{
    app::App,
    db::{DbResult, Tx, select::Select},
    login::SiteLogin,
    role::Permission,
};

#[derive(Template)]
#[template(path = "top.html")]
struct TopPage {
    frame: Frame,
    name: String,
    day: String,
    today: Option<Today>,
    seats: Option<Seats>,
}

/// What the role reaches of today.
struct Today {
    receptions: i64,
    sessions: i64,
    running: i64,
    average: String,
    abnormal: i64,
}

/// The accounts of the company.
struct Seats {
    used: i64,
    total: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct SessionsRow {
    connected: i64,
    running: i64,
    duration_ms: i64,
    ended: i64,
    abnormal: i64,
}

pub(super) async fn show(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    let (now, zone) = (app.now_ms(), login.zone());
    let midnight = Timestamp::from_millisecond(now).ok().and_then(|now| now.to_zoned(zone.clone()).start_of_day().ok());
    let since = midnight.map_or(now, |midnight| midnight.timestamp().as_millisecond());
    let mut tx = app.db.read().await?;
    let today = if login.may(Permission::LogView) { Some(read_today(&mut tx, &login, since).await?) } else { None };
    let seats = if login.may(Permission::OperatorView) { Some(read_seats(&mut tx, &login).await?) } else { None };
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::Top);
    let page = TopPage { frame, name: login.name.clone(), day: time::day(now, &zone), today, seats };
    Ok(Html(page.render()?).into_response())
}

async fn read_today(tx: &mut Tx, login: &SiteLogin, since: i64) -> DbResult<Today> {
    let mut receptions = Select::new("SELECT COUNT(*) FROM receptions s");
    of_operators(&mut receptions, login);
    receptions.add("AND s.issued_at_ms >=").bind(since);
    let counted: Vec<(i64,)> = receptions.fetch_all(tx).await?;

    let mut sessions = Select::new(
        "SELECT COUNT(s.connected_at_ms) AS connected,
            COUNT(*) - COUNT(s.ended_at_ms) AS running,
            CAST(COALESCE(SUM(s.duration_ms), 0) AS BIGINT) AS duration_ms,
            COUNT(s.duration_ms) AS ended,
            CAST(COALESCE(SUM(CASE WHEN s.connected_at_ms IS NOT NULL AND s.end_reason IN ('peer_lost', 'seal_broken')
                THEN 1 ELSE 0 END), 0) AS BIGINT) AS abnormal
        FROM sessions s",
    );
    of_operators(&mut sessions, login);
    sessions.add("AND s.entered_at_ms >=").bind(since);
    let rows: Vec<SessionsRow> = sessions.fetch_all(tx).await?;
    let none = SessionsRow { connected: 0, running: 0, duration_ms: 0, ended: 0, abnormal: 0 };
    let row = rows.into_iter().next().unwrap_or(none);
    Ok(Today {
        receptions: counted.first().map_or(0, |(count,)| *count),
        sessions: row.connected,
        running: row.running,
        average: time::duration(row.duration_ms.checked_div(row.ended).unwrap_or(0)),
        abnormal: row.abnormal,
    })
}

/// Joins the operator of `s` and narrows to what the role reaches.
fn of_operators(select: &mut Select, login: &SiteLogin) {
    select
        .add("JOIN operators o ON o.operator_id = s.operator_id")
        .add("LEFT JOIN organisations g ON g.organisation_id = o.organisation_id")
        .add("WHERE s.company_id =")
        .bind(login.company_id.to_string());
    login.narrow(select);
}

async fn read_seats(tx: &mut Tx, login: &SiteLogin) -> DbResult<Seats> {
    let mut select = Select::new("SELECT c.seats, (SELECT COUNT(*) FROM operators o WHERE o.company_id = c.company_id");
    select.add("AND o.deleted_at_ms IS NULL) FROM companies c WHERE c.company_id =").bind(login.company_id.to_string());
    let rows: Vec<(Option<i64>, i64)> = select.fetch_all(tx).await?;
    let (total, used) = rows.first().copied().unwrap_or((None, 0));
    Ok(Seats { used, total })
}
