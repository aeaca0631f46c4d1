//! The row of the whole service, and what its halts took.

use proto::api::UnixMillis;

use crate::{
    admin::{
        AdminLogin, Reason,
        record::{About, record},
    },
    audit::change,
    db::{DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
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

/// One halt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Halt {
    /// The version of the service that it made.
    pub version: i64,
    /// Since when.
    pub halted_at_ms: i64,
    /// Until when; none while it goes on.
    pub lifted_at_ms: Option<i64>,
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
    /// Starts of device managements that wait for an operator.
    pub starts: i64,
    /// Calls that wait, of webhooks that nobody has stopped; while it is halted, until it is lifted.
    pub calls: i64,
}

impl Concerned {
    /// Whether there is anything that a halt ends.
    pub const fn is_anything_open(self) -> bool {
        0 < self.receptions || 0 < self.sessions || 0 < self.starts
    }
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

/// The halts that were not lifted before `since`, the newest first; at most a thousand of them.
///
/// A manager of before writes none of them. One that it lifted ended when the service was lifted last, and one that it
/// pressed is known while it goes on, and afterwards when [`lift`] ended it.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn halts(tx: &mut Tx, since: UnixMillis) -> DbResult<Vec<Halt>> {
    let (halted_at_ms, lifted_at_ms, version) = fetch_one!(
        tx,
        (Option<i64>, Option<i64>, i64),
        "SELECT halted_at_ms, lifted_at_ms, version
        FROM service"
    )?;
    let going_on = halted_at_ms.map(|halted_at_ms| Halt { version, halted_at_ms, lifted_at_ms: None });
    let halts = fetch_all!(
        tx,
        Halt,
        "SELECT version, halted_at_ms, lifted_at_ms
        FROM halts
        WHERE lifted_at_ms IS NULL
        OR lifted_at_ms > $1
        ORDER BY version DESC
        LIMIT 1000",
        since
    )?;
    let ended = halts
        .into_iter()
        .filter(|halt| going_on.is_none_or(|now| now.version != halt.version))
        .map(|halt| Halt { lifted_at_ms: halt.lifted_at_ms.or(lifted_at_ms).or(Some(halt.halted_at_ms)), ..halt });
    Ok(going_on.into_iter().chain(ended).collect())
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
            (SELECT COUNT(*) FROM sessions WHERE ended_at_ms IS NULL) AS sessions,
            (SELECT COUNT(*) FROM device_starts WHERE state = 'waiting') AS starts,
            (
                SELECT COUNT(*)
                FROM webhook_calls k
                JOIN webhooks w ON w.webhook_id = k.webhook_id
                WHERE k.state = 'queued'
                AND w.stopped = FALSE
            ) AS calls"
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
    end_halts(tx).await?;
    execute!(
        tx,
        "INSERT INTO halts (version, halted_at_ms)
        VALUES ($1, $2)",
        version.saturating_add(1),
        now
    )?;
    note(tx, login, "service.halted", (RUNNING, HALTED), reason, now).await?;
    Ok(true)
}

/// Lifts the halt that was shown, and ends every login of before; whether it was still there.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn lift(tx: &mut Tx, login: &AdminLogin, version: i64, reason: &Reason, now: UnixMillis) -> DbResult<bool> {
    let halted = fetch_optional!(
        tx,
        (i64,),
        "SELECT halted_at_ms
        FROM service
        WHERE version = $1
        AND halted_at_ms IS NOT NULL",
        version
    )?;
    let Some((halted_at_ms,)) = halted else { return Ok(false) };
    // A manager of before may have pressed it: then it is in no row, or the row that is open is not its own.
    execute!(
        tx,
        "INSERT INTO halts (version, halted_at_ms, lifted_at_ms)
        VALUES ($1, $2, $3)
        ON CONFLICT (version) DO UPDATE
        SET lifted_at_ms = $3",
        version,
        halted_at_ms,
        now
    )?;
    end_halts(tx).await?;
    let lifted = execute!(
        tx,
        "UPDATE service
        SET halted_at_ms = NULL, lifted_at_ms = $2, version = version + 1
        WHERE version = $1
        AND halted_at_ms IS NOT NULL",
        version,
        now
    )?;
    if lifted == 0 {
        return Ok(false);
    }
    end_logins(tx, now).await?;
    note(tx, login, "service.lifted", (HALTED, RUNNING), reason, now).await?;
    Ok(true)
}

/// Ends what a manager of before lifted, which is in `service` until the next halt is lifted.
async fn end_halts(tx: &mut Tx) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE halts
        SET lifted_at_ms = (SELECT COALESCE(s.lifted_at_ms, halts.halted_at_ms) FROM service s)
        WHERE lifted_at_ms IS NULL"
    )?;
    Ok(())
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
