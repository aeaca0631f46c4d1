//! Rows of requests.

use proto::api::UnixMillis;

use super::{RequestKind, RequestState};
use crate::{
    db::{DbResult, Tx},
    execute, fetch_all, fetch_optional,
};

/// The most requests on the page.
const SHOWN_MAX: i64 = 200;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id in addresses, and the number of its certificate.
    pub request_id: String,
    /// What is asked for.
    pub kind: String,
    /// About whom.
    pub company_id: String,
    /// The code it had.
    pub company_code: String,
    /// The name it had.
    pub company_name: String,
    /// The account that a disclosure is about; empty for all.
    pub user_id: String,
    /// Its period.
    pub since_ms: i64,
    /// See above; the moment behind it.
    pub until_ms: i64,
    /// Why.
    pub reason: String,
    /// Where it stands.
    pub state: String,
    /// Who asked.
    pub asked_by: String,
    /// By name.
    pub asked_name: String,
    /// When.
    pub asked_at_ms: i64,
    /// Who decided, by name.
    pub decided_name: Option<String>,
    /// When.
    pub decided_at_ms: Option<i64>,
    /// Why.
    pub decided_reason: String,
    /// When it was done.
    pub done_at_ms: Option<i64>,
    /// Rows that are gone, JSON.
    pub counts: String,
    /// The certificate, JSON; empty until it is done.
    pub certificate: String,
}

impl Row {
    /// What is asked for.
    pub fn kind(&self) -> RequestKind {
        RequestKind::parse(&self.kind).unwrap_or(RequestKind::Disclose)
    }

    /// Where it stands.
    pub fn state(&self) -> RequestState {
        RequestState::stored(&self.state)
    }
}

/// A new request.
#[derive(Debug)]
pub struct NewRequest<'a> {
    /// What is asked for.
    pub kind: RequestKind,
    /// About whom: id, code and name.
    pub company: (&'a str, &'a str, &'a str),
    /// The account that a disclosure is about; empty for all.
    pub user_id: &'a str,
    /// Its period.
    pub period: (UnixMillis, UnixMillis),
    /// Why.
    pub reason: &'a str,
    /// Who asks.
    pub asked_by: &'a str,
}

/// Stores a request; one that waits already is [`crate::db::DbError::Duplicate`].
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn insert(tx: &mut Tx, request_id: &str, new: &NewRequest<'_>, now: UnixMillis) -> DbResult<()> {
    let (company_id, code, name) = new.company;
    let (since, until) = new.period;
    execute!(
        tx,
        "INSERT INTO requests
        (request_id, kind, company_id, company_code, company_name, user_id, since_ms, until_ms, reason, state, asked_by,
            asked_at_ms, decided_reason, counts, certificate)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'asked', $10, $11, '', '{}', '')",
        request_id,
        new.kind.as_str(),
        company_id,
        code,
        name,
        new.user_id,
        since,
        until,
        new.reason,
        new.asked_by,
        now
    )?;
    Ok(())
}

/// The latest requests, newest first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn latest(tx: &mut Tx) -> DbResult<Vec<Row>> {
    fetch_all!(
        tx,
        Row,
        "SELECT r.request_id, r.kind, r.company_id, r.company_code, r.company_name, r.user_id, r.since_ms, r.until_ms,
            r.reason, r.state, r.asked_by, a.name AS asked_name, r.asked_at_ms, d.name AS decided_name, r.decided_at_ms,
            r.decided_reason, r.done_at_ms, r.counts, r.certificate
        FROM requests r
        JOIN operators a ON a.operator_id = r.asked_by
        LEFT JOIN operators d ON d.operator_id = r.decided_by
        ORDER BY r.asked_at_ms DESC, r.request_id
        LIMIT $1",
        SHOWN_MAX
    )
}

/// One request.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find(tx: &mut Tx, request_id: &str) -> DbResult<Option<Row>> {
    fetch_optional!(
        tx,
        Row,
        "SELECT r.request_id, r.kind, r.company_id, r.company_code, r.company_name, r.user_id, r.since_ms, r.until_ms,
            r.reason, r.state, r.asked_by, a.name AS asked_name, r.asked_at_ms, d.name AS decided_name, r.decided_at_ms,
            r.decided_reason, r.done_at_ms, r.counts, r.certificate
        FROM requests r
        JOIN operators a ON a.operator_id = r.asked_by
        LEFT JOIN operators d ON d.operator_id = r.decided_by
        WHERE r.request_id = $1",
        request_id
    )
}

/// Decides a request that waits; whether it did.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn decide(
    tx: &mut Tx,
    request_id: &str,
    state: RequestState,
    (by, reason): (&str, &str),
    now: UnixMillis,
) -> DbResult<bool> {
    let decided = execute!(
        tx,
        "UPDATE requests
        SET state = $2, decided_by = $3, decided_at_ms = $4, decided_reason = $5
        WHERE request_id = $1
        AND state = 'asked'",
        request_id,
        state.as_str(),
        by,
        now,
        reason
    )?;
    Ok(decided == 1)
}

/// Erasures that are under way, oldest first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn erasures(tx: &mut Tx) -> DbResult<Vec<(String, String)>> {
    fetch_all!(
        tx,
        (String, String),
        "SELECT request_id, company_id
        FROM requests
        WHERE kind = 'erase'
        AND state = 'agreed'
        ORDER BY decided_at_ms
        LIMIT 10"
    )
}

/// Holds an erasure that is under way, so that of two managers one goes on with it; what is gone so far.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn hold(tx: &mut Tx, request_id: &str) -> DbResult<Option<String>> {
    let held = fetch_optional!(
        tx,
        (String,),
        "UPDATE requests
        SET state = state
        WHERE request_id = $1
        AND state = 'agreed'
        RETURNING counts",
        request_id
    )?;
    Ok(held.map(|(counts,)| counts))
}

/// Stores what is gone so far.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn count(tx: &mut Tx, request_id: &str, counts: &str) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE requests
        SET counts = $2
        WHERE request_id = $1",
        request_id,
        counts
    )?;
    Ok(())
}

/// Notes that a request is done.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn done(tx: &mut Tx, request_id: &str, certificate: &str, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE requests
        SET state = 'done', certificate = $2, done_at_ms = $3
        WHERE request_id = $1",
        request_id,
        certificate,
        now
    )?;
    Ok(())
}
