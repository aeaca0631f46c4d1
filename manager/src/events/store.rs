//! Rows of the outbox.

use proto::{
    api::{UnixMillis, reception::Event},
    id::{OperatorId, SessionId},
};

use crate::{
    db::{self, Db, DbError, DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
};

/// Channel of PostgreSQL's notifications; the payload is the operator's id.
pub const CHANNEL: &str = "uketsuke_events";

/// Events of an operator among which a session that is joining is looked for: it began a minute and a half ago at most.
const RECENT: i64 = 100;

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its number among the events of its operator.
    pub seq: i64,
    /// The event as JSON.
    pub body: String,
}

/// Appends an event in the transaction of the change it tells of.
///
/// The operator's head stays locked until the transaction ends, so append late, but before the audit event.
/// After the commit, [`super::Hub::wake`] makes the streams of this manager faster.
///
/// # Errors
/// [`DbError`]; then the transaction must not be committed.
pub async fn append(tx: &mut Tx, operator_id: OperatorId, event: &Event, now_ms: UnixMillis) -> DbResult<i64> {
    let operator = operator_id.to_string();
    let body = serde_json::to_string(event).map_err(|_no_json| DbError::InconsistentRow {
        table: "events",
        column: "body",
        id: operator.clone(),
    })?;
    if let Tx::Postgres(scope) = tx {
        // In one statement; PostgreSQL delivers what it notifies when, and only when, the transaction commits.
        let (seq,): (i64,) = sqlx::query_as(
            "WITH head AS (
                INSERT INTO event_heads (operator_id, last_seq)
                VALUES ($1, 1)
                ON CONFLICT (operator_id) DO UPDATE
                SET last_seq = event_heads.last_seq + 1
                RETURNING last_seq
            ), told AS (
                INSERT INTO events (operator_id, seq, at_ms, body)
                SELECT $1, last_seq, $2, $3
                FROM head
                RETURNING seq
            )
            SELECT seq
            FROM told, pg_notify($4, $1)",
        )
        .bind(operator)
        .bind(now_ms)
        .bind(body)
        .bind(CHANNEL)
        .fetch_one(&mut **scope)
        .await?;
        return Ok(seq);
    }
    let (seq,) = fetch_one!(
        tx,
        (i64,),
        "INSERT INTO event_heads (operator_id, last_seq)
        VALUES ($1, 1)
        ON CONFLICT (operator_id) DO UPDATE
        SET last_seq = event_heads.last_seq + 1
        RETURNING last_seq",
        &operator
    )?;
    execute!(
        tx,
        "INSERT INTO events (operator_id, seq, at_ms, body)
        VALUES ($1, $2, $3, $4)",
        &operator,
        seq,
        now_ms,
        body
    )?;
    Ok(seq)
}

/// The introduction with which an operator was told of a session, while it is among the newest [`RECENT`] events.
///
/// # Errors
/// [`DbError`].
pub async fn introduction(tx: &mut Tx, operator_id: OperatorId, session: SessionId) -> DbResult<Option<String>> {
    let rows = fetch_all!(
        tx,
        Row,
        "SELECT seq, body
        FROM events
        WHERE operator_id = $1
        ORDER BY seq DESC
        LIMIT $2",
        operator_id.to_string(),
        RECENT
    )?;
    Ok(rows.iter().find_map(|row| {
        let Event::Entered { pairing, .. } = serde_json::from_str(&row.body).ok()? else { return None };
        (pairing.session_id == session).then_some(pairing.introduction)
    }))
}

/// The next `limit` events after `seq`, in order.
///
/// # Errors
/// [`DbError`].
pub async fn after(db: &Db, operator_id: OperatorId, seq: i64, limit: i64) -> DbResult<Vec<Row>> {
    db::in_time(async {
        let mut tx = db.read_once().await?;
        fetch_all!(
            &mut tx,
            Row,
            "SELECT seq, body
            FROM events
            WHERE operator_id = $1
            AND seq > $2
            ORDER BY seq
            LIMIT $3",
            operator_id.to_string(),
            seq,
            limit
        )
    })
    .await
}

/// The number after which a stream begins that names none: what happened since the login whose token has this hash.
///
/// # Errors
/// [`DbError`].
pub async fn before_login(db: &Db, operator_id: OperatorId, token_hash: &str) -> DbResult<i64> {
    let mut tx = db.read().await?;
    let first = fetch_optional!(
        &mut tx,
        (i64,),
        "SELECT e.seq
        FROM events e
        JOIN logins l ON l.operator_id = e.operator_id
        WHERE e.operator_id = $1
        AND l.token_hash = $2
        AND e.at_ms >= l.created_at_ms
        ORDER BY e.seq
        LIMIT 1",
        operator_id.to_string(),
        token_hash
    )?;
    match first {
        Some((seq,)) => Ok(seq.saturating_sub(1)),
        None => newest(&mut tx, operator_id).await,
    }
}

/// The numbers of the newest events of these operators, given and compared as a JSON array of ids.
///
/// # Errors
/// [`DbError`].
pub async fn heads(db: &Db, operators: &str) -> DbResult<Vec<(String, i64)>> {
    db::in_time(async {
        let mut tx = db.read_once().await?;
        fetch_all!(
            &mut tx,
            (String, i64),
            "SELECT operator_id, last_seq
            FROM event_heads
            WHERE operator_id IN (SELECT value FROM json_each($1))",
            operators
        )
    })
    .await
}

/// Deletes events that happened before `before_ms`; how many.
///
/// # Errors
/// [`DbError`].
pub async fn forget(tx: &mut Tx, before_ms: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "DELETE FROM events
        WHERE at_ms < $1",
        before_ms
    )
}

async fn newest(tx: &mut Tx, operator_id: OperatorId) -> DbResult<i64> {
    let head = fetch_optional!(
        tx,
        (i64,),
        "SELECT last_seq
        FROM event_heads
        WHERE operator_id = $1",
        operator_id.to_string()
    )?;
    Ok(head.map_or(0, |(seq,)| seq))
}
