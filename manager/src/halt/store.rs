//! The row of the whole service.

use proto::api::UnixMillis;

use crate::{
    admin::{
        AdminLogin, Reason,
        record::{About, record},
    },
    audit::change,
    db::{DbResult, Tx},
    execute, fetch_one,
    login::realm::SYSTEM,
};

/// What changes of the switch are about, in the history.
pub const SUBJECT: &str = "service";
/// The state before and after, in the history.
const RUNNING: &str = "running";
/// See [`RUNNING`].
const HALTED: &str = "halted";

/// The service as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Service {
    /// Since when it is halted; none while it runs.
    pub halted_at_ms: Option<i64>,
    /// Goes up with each change.
    pub version: i64,
}

/// Whom a halt concerns now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Concerned {
    /// Companies whose contract runs.
    pub companies: i64,
    /// Open numbers.
    pub receptions: i64,
    /// Running sessions.
    pub sessions: i64,
}

/// The service as it is now.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn read(tx: &mut Tx) -> DbResult<Service> {
    fetch_one!(tx, Service, "SELECT halted_at_ms, version FROM service")
}

/// Since when it is halted; none while it runs.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn halted_at(tx: &mut Tx) -> DbResult<Option<UnixMillis>> {
    Ok(read(tx).await?.halted_at_ms)
}

/// Whom a halt would concern now.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn concerned(tx: &mut Tx) -> DbResult<Concerned> {
    fetch_one!(
        tx,
        Concerned,
        "SELECT (SELECT COUNT(*) FROM companies WHERE realm = 'company' AND state = 'active') AS companies,
            (SELECT COUNT(*) FROM receptions WHERE open_slot IS NOT NULL) AS receptions,
            (SELECT COUNT(*) FROM sessions WHERE ended_at_ms IS NULL) AS sessions"
    )
}

/// Halts the service that nobody halted or lifted since it was shown; whether that was so. Logins stay as they are, and are
/// refused by the row: nothing that somebody else holds is waited for.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn halt(tx: &mut Tx, login: &AdminLogin, version: i64, reason: &Reason, now: UnixMillis) -> DbResult<bool> {
    let halted = execute!(
        tx,
        "UPDATE service
        SET halted_at_ms = $2, version = version + 1
        WHERE version = $1
        AND halted_at_ms IS NULL",
        version,
        now
    )?;
    if halted == 0 {
        return Ok(false);
    }
    note(tx, login, "service.halted", (RUNNING, HALTED), reason, now).await?;
    Ok(true)
}

/// Lifts the halt that was shown, and ends every login of before; whether it was still there.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn lift(tx: &mut Tx, login: &AdminLogin, version: i64, reason: &Reason, now: UnixMillis) -> DbResult<bool> {
    let lifted = execute!(
        tx,
        "UPDATE service
        SET halted_at_ms = NULL, version = version + 1
        WHERE version = $1
        AND halted_at_ms IS NOT NULL",
        version
    )?;
    if lifted == 0 {
        return Ok(false);
    }
    end_logins(tx, now).await?;
    note(tx, login, "service.lifted", (HALTED, RUNNING), reason, now).await?;
    Ok(true)
}

async fn note(
    tx: &mut Tx,
    login: &AdminLogin,
    event: &'static str,
    (before, after): (&str, &str),
    reason: &Reason,
    now: UnixMillis,
) -> DbResult<()> {
    let about = About { company_id: SYSTEM, event, subject: SUBJECT };
    record(tx, login, about, reason, change::differences([("state", before, after)]), now).await
}

/// Ends every login of every company, so that none comes back when the halt is lifted.
async fn end_logins(tx: &mut Tx, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE logins
        SET revoked_at_ms = $1
        WHERE revoked_at_ms IS NULL",
        now
    )?;
    execute!(
        tx,
        "UPDATE site_logins
        SET revoked_at_ms = $1
        WHERE revoked_at_ms IS NULL
        AND operator_id IN (
            SELECT o.operator_id
            FROM operators o
            JOIN companies c ON c.company_id = o.company_id
            WHERE c.realm = 'company'
        )",
        now
    )?;
    Ok(())
}
