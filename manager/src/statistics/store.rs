//! Rows of the figures.

use std::collections::HashSet;

use proto::api::UnixMillis;

use super::state::Figures;
use crate::{
    db::{DbResult, Tx, select::Select},
    execute, fetch_all, fetch_one, fetch_optional,
    login::SiteLogin,
    organisation,
};

/// Rows of a table by account or organisation.
pub const GROUPS_MAX: i64 = 500;

/// What the figures are of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// From here on.
    pub since_ms: UnixMillis,
    /// Up to here.
    pub until_ms: UnixMillis,
    /// Only this account.
    pub operator_id: Option<String>,
    /// Only this organisation and those below it.
    pub organisation_id: Option<String>,
}

/// The figures of one hour.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Hour {
    /// When it begins.
    pub hour_ms: i64,
    /// What happened.
    #[sqlx(flatten)]
    pub figures: Figures,
}

/// The figures of an account or an organisation.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Group {
    /// Its id; empty for those of no organisation.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What happened.
    #[sqlx(flatten)]
    pub figures: Figures,
}

/// Sums of every figure, with the types of the row.
const SUMS: &str = "CAST(SUM(s.receptions) AS BIGINT) AS receptions, CAST(SUM(s.entered) AS BIGINT) AS entered,
    CAST(SUM(s.connected) AS BIGINT) AS connected, CAST(SUM(s.ended) AS BIGINT) AS ended,
    CAST(SUM(s.handle_ms) AS BIGINT) AS handle_ms, CAST(SUM(s.abnormal) AS BIGINT) AS abnormal,
    CAST(SUM(s.wait_ms) AS BIGINT) AS wait_ms, CAST(SUM(s.w0) AS BIGINT) AS w0, CAST(SUM(s.w1) AS BIGINT) AS w1,
    CAST(SUM(s.w2) AS BIGINT) AS w2, CAST(SUM(s.w3) AS BIGINT) AS w3, CAST(SUM(s.w4) AS BIGINT) AS w4,
    CAST(SUM(s.w5) AS BIGINT) AS w5, CAST(SUM(s.w6) AS BIGINT) AS w6, CAST(SUM(s.w7) AS BIGINT) AS w7,
    CAST(SUM(s.w8) AS BIGINT) AS w8, CAST(SUM(s.w9) AS BIGINT) AS w9, CAST(SUM(s.w10) AS BIGINT) AS w10,
    CAST(SUM(s.w11) AS BIGINT) AS w11";

/// The hours in which something happened that the role reaches.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn hours(tx: &mut Tx, login: &SiteLogin, asked: &Asked) -> DbResult<Vec<Hour>> {
    let mut select = Select::new("SELECT s.hour_ms,");
    select.add(SUMS);
    narrow(&mut select, login, asked);
    // No period is longer than three years and some days.
    select.add("GROUP BY s.hour_ms ORDER BY s.hour_ms LIMIT 30000");
    select.fetch_all(tx).await
}

/// Accounts, who did most first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn operators(tx: &mut Tx, login: &SiteLogin, asked: &Asked) -> DbResult<Vec<Group>> {
    let mut select = Select::new("SELECT o.operator_id AS id, o.name,");
    select.add(SUMS);
    narrow(&mut select, login, asked);
    select.add("GROUP BY o.operator_id, o.name ORDER BY SUM(s.connected) DESC, o.name, o.operator_id LIMIT");
    select.bind(GROUPS_MAX);
    select.fetch_all(tx).await
}

/// Organisations, each without those below it, where most was done first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn organisations(tx: &mut Tx, login: &SiteLogin, asked: &Asked) -> DbResult<Vec<Group>> {
    let mut select = Select::new("SELECT COALESCE(g.organisation_id, '') AS id, COALESCE(g.name, '') AS name,");
    select.add(SUMS);
    narrow(&mut select, login, asked);
    select.add("GROUP BY g.organisation_id, g.name ORDER BY SUM(s.connected) DESC, 2, 1 LIMIT").bind(GROUPS_MAX);
    let mut groups: Vec<Group> = select.fetch_all(tx).await?;
    let names: HashSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    if names.len() < groups.len() {
        // Several have one name, so each says where it is.
        let mut full_names = organisation::store::full_names(&organisation::store::reached(tx, login).await?);
        for group in &mut groups {
            group.name = full_names.remove(&group.id).unwrap_or_else(|| group.name.clone());
        }
    }
    Ok(groups)
}

/// The most sessions at the same time of the whole company, hour by hour.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn peaks(tx: &mut Tx, login: &SiteLogin, asked: &Asked) -> DbResult<Vec<(i64, i64)>> {
    fetch_all!(
        tx,
        (i64, i64),
        "SELECT hour_ms, sessions
        FROM statistics_peaks
        WHERE company_id = $1
        AND hour_ms >= $2
        AND hour_ms < $3
        ORDER BY hour_ms
        LIMIT 30000",
        login.company_id.to_string(),
        asked.since_ms,
        asked.until_ms
    )
}

fn narrow(select: &mut Select, login: &SiteLogin, asked: &Asked) {
    select
        .add("FROM statistics s")
        .add("JOIN operators o ON o.operator_id = s.operator_id")
        .add("LEFT JOIN organisations g ON g.organisation_id = o.organisation_id")
        .add("WHERE s.company_id =")
        .bind(login.company_id.to_string())
        .add("AND s.hour_ms >=")
        .bind(asked.since_ms)
        .add("AND s.hour_ms <")
        .bind(asked.until_ms);
    login.narrow(select);
    if let Some(operator_id) = &asked.operator_id {
        select.add("AND s.operator_id =").bind(operator_id);
    }
    if let Some(organisation_id) = &asked.organisation_id {
        select
            .add("AND g.path LIKE (SELECT u.path || '%' FROM organisations u WHERE u.company_id =")
            .bind(login.company_id.to_string())
            .add("AND u.organisation_id =")
            .bind(organisation_id)
            .add(")");
    }
}

/// When the figures were last made; 0 when never.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn made_at(tx: &mut Tx) -> DbResult<UnixMillis> {
    Ok(fetch_one!(tx, (i64,), "SELECT made_at_ms FROM statistics_state WHERE id = 1")?.0)
}

/// Begins a round unless another manager began one less than `turn_ms` ago; up to where the figures are final.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn begin(tx: &mut Tx, now_ms: UnixMillis, turn_ms: i64) -> DbResult<Option<UnixMillis>> {
    let begun = fetch_optional!(
        tx,
        (i64,),
        "UPDATE statistics_state
        SET made_at_ms = $1
        WHERE id = 1
        AND made_at_ms <= $2
        RETURNING final_until_ms",
        now_ms,
        now_ms.saturating_sub(turn_ms)
    )?;
    Ok(begun.map(|(final_until_ms,)| final_until_ms))
}

/// When the first number was issued.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn first(tx: &mut Tx) -> DbResult<Option<UnixMillis>> {
    let first = fetch_optional!(tx, (i64,), "SELECT issued_at_ms FROM receptions ORDER BY issued_at_ms LIMIT 1")?;
    Ok(first.map(|(first,)| first))
}

/// Up to where the figures are final; 0 before the first round.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn final_until(tx: &mut Tx) -> DbResult<UnixMillis> {
    let (final_until_ms,) = fetch_one!(tx, (i64,), "SELECT final_until_ms FROM statistics_state WHERE id = 1")?;
    Ok(final_until_ms)
}

/// Keeps up to where the figures are final; it never goes back.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn done(tx: &mut Tx, final_until_ms: UnixMillis, now_ms: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE statistics_state
        SET made_at_ms = $2, final_until_ms = CASE WHEN final_until_ms < $1 THEN $1 ELSE final_until_ms END
        WHERE id = 1",
        final_until_ms,
        now_ms
    )?;
    Ok(())
}

/// Makes the figures of every hour from `since_ms` to `until_ms` anew.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn make(tx: &mut Tx, since_ms: UnixMillis, until_ms: UnixMillis) -> DbResult<()> {
    execute!(tx, "DELETE FROM statistics WHERE hour_ms >= $1 AND hour_ms < $2", since_ms, until_ms)?;
    execute!(tx, "DELETE FROM statistics_peaks WHERE hour_ms >= $1 AND hour_ms < $2", since_ms, until_ms)?;
    execute!(
        tx,
        "INSERT INTO statistics (company_id, hour_ms, operator_id, receptions, entered, connected, ended, handle_ms,
            abnormal, wait_ms, w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11)
        SELECT u.company_id, u.hour_ms, u.operator_id, SUM(u.receptions), SUM(u.entered), SUM(u.connected),
            SUM(u.ended), SUM(u.handle_ms), SUM(u.abnormal), COALESCE(SUM(u.wait_ms), 0),
            SUM(CASE WHEN u.wait_ms < 5000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 5000 AND u.wait_ms < 10000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 10000 AND u.wait_ms < 20000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 20000 AND u.wait_ms < 30000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 30000 AND u.wait_ms < 60000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 60000 AND u.wait_ms < 90000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 90000 AND u.wait_ms < 120000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 120000 AND u.wait_ms < 180000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 180000 AND u.wait_ms < 300000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 300000 AND u.wait_ms < 600000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 600000 AND u.wait_ms < 1800000 THEN 1 ELSE 0 END),
            SUM(CASE WHEN u.wait_ms >= 1800000 THEN 1 ELSE 0 END)
        FROM (
            SELECT r.company_id, r.issued_at_ms - r.issued_at_ms % 3600000 AS hour_ms, r.operator_id, 1 AS receptions,
                0 AS entered, 0 AS connected, 0 AS ended, CAST(0 AS BIGINT) AS handle_ms, 0 AS abnormal,
                CAST(NULL AS BIGINT) AS wait_ms
            FROM receptions r
            WHERE r.issued_at_ms >= $1
            AND r.issued_at_ms < $2
            UNION ALL
            SELECT s.company_id, s.entered_at_ms - s.entered_at_ms % 3600000, s.operator_id, 0, 1,
                CASE WHEN s.connected_at_ms IS NULL THEN 0 ELSE 1 END,
                CASE WHEN s.duration_ms IS NULL THEN 0 ELSE 1 END,
                COALESCE(s.duration_ms, 0),
                CASE WHEN s.connected_at_ms IS NOT NULL AND s.end_reason IN ('peer_lost', 'seal_broken', 'abnormal',
                    'malformed', 'transport_lost', 'relay_stopped') THEN 1 ELSE 0 END,
                s.entered_at_ms - r.issued_at_ms
            FROM sessions s
            JOIN receptions r ON r.reception_id = s.reception_id
            WHERE s.entered_at_ms >= $1
            AND s.entered_at_ms < $2
        ) u
        GROUP BY u.company_id, u.hour_ms, u.operator_id",
        since_ms,
        until_ms
    )?;
    Ok(())
}

/// When sessions were connected and ended that were entered since `entered_since_ms` and ran in a span.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn connected(
    tx: &mut Tx,
    entered_since_ms: UnixMillis,
    (since_ms, until_ms): (UnixMillis, UnixMillis),
) -> DbResult<Vec<(String, i64, Option<i64>)>> {
    fetch_all!(
        tx,
        (String, i64, Option<i64>),
        "SELECT company_id, connected_at_ms, ended_at_ms
        FROM sessions
        WHERE entered_at_ms >= $1
        AND entered_at_ms < $3
        AND connected_at_ms < $3
        AND (ended_at_ms IS NULL OR ended_at_ms > $2)
        LIMIT 1000000",
        entered_since_ms,
        since_ms,
        until_ms
    )
}

/// Keeps the peak of an hour.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn keep_peak(tx: &mut Tx, company_id: &str, hour_ms: UnixMillis, sessions: i64) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO statistics_peaks (company_id, hour_ms, sessions)
        VALUES ($1, $2, $3)",
        company_id,
        hour_ms,
        sessions
    )?;
    Ok(())
}
