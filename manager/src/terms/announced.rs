//! The next revision that will ask for agreement, as every page of a company's account announces it until it is read.

use proto::{api::UnixMillis, id::OperatorId};

use crate::{
    db::{DbResult, Tx},
    execute, fetch_optional,
};

/// A revision that will ask.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Announced {
    /// What it is called, and what its address ends with.
    pub edition: String,
    /// From when it is in force.
    pub in_force_from_ms: i64,
}

/// The soonest revision that will ask for agreement and that an account has not read.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn unread(tx: &mut Tx, operator_id: OperatorId, now: UnixMillis) -> DbResult<Option<Announced>> {
    fetch_optional!(
        tx,
        Announced,
        "SELECT t.edition, t.in_force_from_ms
        FROM terms t
        WHERE t.agree = TRUE
        AND t.published_at_ms IS NOT NULL
        AND t.withdrawn_at_ms IS NULL
        AND t.in_force_from_ms > $2
        AND NOT EXISTS (SELECT 1 FROM terms_reads r WHERE r.revision_id = t.revision_id AND r.operator_id = $1)
        ORDER BY t.in_force_from_ms
        LIMIT 1",
        operator_id.to_string(),
        now
    )
}

/// Notes that an account read a revision.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn note_read(tx: &mut Tx, revision_id: &str, operator_id: OperatorId, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO terms_reads (revision_id, operator_id, read_at_ms)
        VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING",
        revision_id,
        operator_id.to_string(),
        now
    )?;
    Ok(())
}

/// Forgets what an account read.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forget_account(tx: &mut Tx, operator_id: OperatorId) -> DbResult<()> {
    execute!(tx, "DELETE FROM terms_reads WHERE operator_id = $1", operator_id.to_string())?;
    Ok(())
}
