//! Rows of sessions as relays tell of them: who was heard, who met, and how it ended there.

use proto::{api::UnixMillis, close::CloseReason, id::SessionId};

use super::store::{lock, parse_id, save};
use crate::{
    db::{DbResult, Tx},
    execute, fetch_all,
    relays::region::Region,
};

/// Stands for the region of a relay of which nobody has said where it is.
pub const NOWHERE: &str = "none";

/// Renews the lease of those of these sessions, a JSON array of ids, of which nothing was written since
/// `stale_before_ms` or which another relay lost since; how many.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn seen(tx: &mut Tx, sessions: &str, stale_before_ms: UnixMillis, now_ms: UnixMillis) -> DbResult<u64> {
    if let Tx::Postgres(_) = tx {
        // Two relays list the same sessions: whoever locks them in one order never waits in a circle.
        fetch_all!(
            tx,
            (String,),
            "SELECT session_id
            FROM sessions
            WHERE session_id IN (SELECT value FROM json_each($1))
            AND ended_at_ms IS NULL
            AND (last_seen_at_ms <= $2 OR lost_reason IS NOT NULL)
            ORDER BY session_id
            FOR UPDATE",
            sessions,
            stale_before_ms
        )?;
    }
    execute!(
        tx,
        "UPDATE sessions
        SET last_seen_at_ms = CASE WHEN last_seen_at_ms < $3 THEN $3 ELSE last_seen_at_ms END,
            lost_reason = NULL
        WHERE session_id IN (SELECT value FROM json_each($1))
        AND ended_at_ms IS NULL
        AND (last_seen_at_ms <= $2 OR lost_reason IS NOT NULL)",
        sessions,
        stale_before_ms,
        now_ms
    )
}

/// Those of these sessions, a JSON array of ids, that somebody ended since `ended_since_ms`; all of them while the service is
/// halted, whether they were closed already or not.
///
/// One that the sweep closed because nothing was heard of it is not among them: the relay that names it was only cut off
/// from the manager, and a running session is not ended for that.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn ended_among(tx: &mut Tx, sessions: &str, ended_since_ms: UnixMillis) -> DbResult<Vec<SessionId>> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT session_id
        FROM sessions
        WHERE session_id IN (SELECT value FROM json_each($1))
        AND (
            (SELECT halted_at_ms FROM service) IS NOT NULL
            OR (
                ended_at_ms >= $2
                AND end_reason <> $3
                AND (lost_reason IS NULL OR lost_reason <> end_reason)
            )
        )
        ORDER BY session_id",
        sessions,
        ended_since_ms,
        CloseReason::Abnormal.as_str()
    )?;
    rows.iter().map(|(id,)| parse_id(id)).collect()
}

/// One side was heard at `at_ms`, by a relay or by the manager.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn seen_at(tx: &mut Tx, session_id: SessionId, at_ms: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE sessions
        SET last_seen_at_ms = $2, lost_reason = NULL
        WHERE session_id = $1
        AND ended_at_ms IS NULL
        AND last_seen_at_ms < $2",
        session_id.to_string(),
        at_ms
    )?;
    Ok(())
}

/// Both sides were at a relay of a region at `at_ms`.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn paired(
    tx: &mut Tx,
    session_id: SessionId,
    region: Option<Region>,
    at_ms: UnixMillis,
    now_ms: UnixMillis,
) -> DbResult<()> {
    let Some(session) = lock(tx, session_id).await? else { return Ok(()) };
    met_in(tx, session_id, region.map_or(NOWHERE, Region::as_str)).await?;
    match session.pair(at_ms, now_ms) {
        Ok(session) => save(tx, &session).await,
        // It ended before the report came.
        Err(_over) => Ok(()),
    }
}

/// Keeps where both sides met: the first region, and beside it each other one once.
async fn met_in(tx: &mut Tx, session_id: SessionId, region: &str) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE sessions
        SET region = CASE WHEN region = '' THEN $2 ELSE region END,
            other_regions = CASE
                WHEN region = '' OR region = $2 OR ' ' || other_regions || ' ' LIKE '% ' || $2 || ' %' THEN other_regions
                WHEN other_regions = '' THEN $2
                ELSE other_regions || ' ' || $2
            END
        WHERE session_id = $1",
        session_id.to_string(),
        region
    )?;
    Ok(())
}

/// A relay lost the session, which may go on elsewhere: keeps the bytes, and the reason until somebody is heard of it.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn lost_at_relay(
    tx: &mut Tx,
    session_id: SessionId,
    at_ms: UnixMillis,
    reason: CloseReason,
    [customer_bytes, operator_bytes]: [i64; 2],
) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE sessions
        SET lost_reason = CASE WHEN ended_at_ms IS NULL AND last_seen_at_ms <= $2 THEN $3 ELSE lost_reason END,
            last_seen_at_ms = CASE WHEN ended_at_ms IS NULL AND last_seen_at_ms < $2 THEN $2 ELSE last_seen_at_ms END,
            customer_bytes = customer_bytes + $4,
            operator_bytes = operator_bytes + $5
        WHERE session_id = $1",
        session_id.to_string(),
        at_ms,
        reason.as_str(),
        customer_bytes,
        operator_bytes
    )?;
    Ok(())
}

/// A tool ended the session at a relay: keeps the bytes, and the reason until a tool says a better one.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn ended_at_relay(
    tx: &mut Tx,
    session_id: SessionId,
    at_ms: UnixMillis,
    reason: CloseReason,
    [customer_bytes, operator_bytes]: [i64; 2],
) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE sessions
        SET relay_ended_at_ms = COALESCE(relay_ended_at_ms, $2),
            relay_end_reason = COALESCE(relay_end_reason, $3),
            customer_bytes = customer_bytes + $4,
            operator_bytes = operator_bytes + $5
        WHERE session_id = $1",
        session_id.to_string(),
        at_ms,
        reason.as_str(),
        customer_bytes,
        operator_bytes
    )?;
    Ok(())
}
