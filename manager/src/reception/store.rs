//! Rows of receptions and of the locators in use.

use proto::{
    api::{UnixMillis, reception::ReceptionState},
    id::{OperatorId, ReceptionId, SessionId},
    limits,
};

use super::state::{Reception, Stage, name};
use crate::{
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
    throttle::millis,
};

/// A reception with what only its row knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The reception.
    pub reception: Reception,
    /// Its digits, sealed (`locator.rs`).
    pub locator_sealed: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    reception_id: String,
    company_id: String,
    operator_id: String,
    locator_sealed: String,
    proof_key: String,
    reason: String,
    state: String,
    session_id: Option<String>,
    issued_at_ms: i64,
    life_ms: i64,
    expires_at_ms: i64,
    closed_at_ms: Option<i64>,
    unproved_count: i64,
}

/// Takes a locator that is neither in use nor resting, until `free_at_ms`; whether it was free.
///
/// # Errors
/// [`DbError`].
pub async fn take_locator(tx: &mut Tx, mac: &str, free_at_ms: UnixMillis, now_ms: UnixMillis) -> DbResult<bool> {
    let taken = fetch_optional!(
        tx,
        (i64,),
        "INSERT INTO locators (locator_mac, free_at_ms)
        VALUES ($1, $2)
        ON CONFLICT (locator_mac) DO UPDATE
        SET free_at_ms = $2
        WHERE locators.free_at_ms <= $3
        RETURNING free_at_ms",
        mac,
        free_at_ms,
        now_ms
    )?;
    Ok(taken.is_some())
}

/// Inserts a new reception into a free place of its operator, who has fewer than `open_max`.
///
/// `false` when the operator has no place left, when the place was taken at the same moment, or when the idempotency
/// key was used before: look with [`find_by_key`], then at [`count_open`].
///
/// # Errors
/// [`DbError`].
pub async fn insert(tx: &mut Tx, new: &Stored, mac: &str, key: &str, open_max: i64) -> DbResult<bool> {
    let reception = &new.reception;
    let inserted = execute!(
        tx,
        "WITH used AS (
            SELECT open_slot
            FROM receptions
            WHERE operator_id = $3
            AND open_slot IS NOT NULL
        )
        INSERT INTO receptions
        (reception_id, company_id, operator_id, idempotency_key, locator_mac, locator_sealed, proof_key, reason,
            state, open_slot, issued_at_ms, life_ms, expires_at_ms, unproved_count, version)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, 'issued', MIN(slots.slot), $9, $10, $11, 0, 0
        FROM (SELECT 1 AS slot UNION ALL SELECT 2 UNION ALL SELECT 3) AS slots
        WHERE slots.slot NOT IN (SELECT open_slot FROM used)
        AND (SELECT COUNT(*) FROM used) < $12
        HAVING MIN(slots.slot) IS NOT NULL
        ON CONFLICT DO NOTHING",
        reception.id.to_string(),
        reception.company_id.to_string(),
        reception.operator_id.to_string(),
        key,
        mac,
        &new.locator_sealed,
        &reception.proof_key,
        &reception.reason,
        reception.issued_at_ms,
        reception.life_ms,
        reception.expires_at_ms,
        open_max
    )?;
    Ok(inserted == 1)
}

/// The reception that an operator issued with this idempotency key.
///
/// # Errors
/// [`DbError`].
pub async fn find_by_key(tx: &mut Tx, operator_id: OperatorId, key: &str) -> DbResult<Option<Stored>> {
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT reception_id, company_id, operator_id, locator_sealed, proof_key, reason, state, session_id,
            issued_at_ms, life_ms, expires_at_ms, closed_at_ms, unproved_count
        FROM receptions
        WHERE operator_id = $1
        AND idempotency_key = $2",
        operator_id.to_string(),
        key
    )?;
    row.map(Stored::try_from).transpose()
}

/// How many numbers of an operator are open.
///
/// # Errors
/// [`DbError`].
pub async fn count_open(tx: &mut Tx, operator_id: OperatorId) -> DbResult<i64> {
    let (open,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM receptions
        WHERE operator_id = $1
        AND open_slot IS NOT NULL",
        operator_id.to_string()
    )?;
    Ok(open)
}

/// The open receptions of an operator, newest first.
///
/// # Errors
/// [`DbError`].
pub async fn open_of(tx: &mut Tx, operator_id: OperatorId) -> DbResult<Vec<Stored>> {
    let rows = fetch_all!(
        tx,
        Row,
        "SELECT reception_id, company_id, operator_id, locator_sealed, proof_key, reason, state, session_id,
            issued_at_ms, life_ms, expires_at_ms, closed_at_ms, unproved_count
        FROM receptions
        WHERE operator_id = $1
        AND open_slot IS NOT NULL
        ORDER BY issued_at_ms DESC, reception_id
        LIMIT 100",
        operator_id.to_string()
    )?;
    rows.into_iter().map(Stored::try_from).collect()
}

/// Enters the open reception with this locator: of any number of simultaneous entries one gets it.
///
/// Says the same as [`Reception::enter`]; the number of an operator who was stopped cannot be entered, and none
/// while the service is halted.
///
/// # Errors
/// [`DbError`].
pub async fn enter(tx: &mut Tx, mac: &str, session_id: SessionId, now_ms: UnixMillis) -> DbResult<Option<Reception>> {
    let row = fetch_optional!(
        tx,
        Row,
        "UPDATE receptions
        SET state = 'entered', session_id = $2, version = version + 1
        WHERE locator_mac = $1
        AND state = 'issued'
        AND expires_at_ms > $3
        AND EXISTS (
            SELECT 1
            FROM operators o
            WHERE o.operator_id = receptions.operator_id
            AND o.stopped = FALSE
        )
        AND (SELECT halted_at_ms FROM service) IS NULL
        RETURNING reception_id, company_id, operator_id, locator_sealed, proof_key, reason, state, session_id,
            issued_at_ms, life_ms, expires_at_ms, closed_at_ms, unproved_count",
        mac,
        session_id.to_string(),
        now_ms
    )?;
    row.map(|row| Stored::try_from(row).map(|stored| stored.reception)).transpose()
}

/// The reception with this locator that the tool with this proof key has entered, while its session is joining and its
/// operator is not stopped.
///
/// # Errors
/// [`DbError`].
pub async fn entered_by(tx: &mut Tx, mac: &str, proof_key_hash: &str) -> DbResult<Option<Reception>> {
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT r.reception_id, r.company_id, r.operator_id, r.locator_sealed, r.proof_key, r.reason, r.state,
            r.session_id, r.issued_at_ms, r.life_ms, r.expires_at_ms, r.closed_at_ms, r.unproved_count
        FROM receptions r
        JOIN sessions s ON s.session_id = r.session_id
        JOIN operators o ON o.operator_id = r.operator_id
        WHERE r.locator_mac = $1
        AND r.state = 'entered'
        AND s.state = 'joining'
        AND o.stopped = FALSE
        AND s.customer_key_hash = $2",
        mac,
        proof_key_hash
    )?;
    row.map(|row| Stored::try_from(row).map(|stored| stored.reception)).transpose()
}

/// Reads a reception and locks its row until the transaction ends. Lock the reception before its session.
///
/// # Errors
/// [`DbError`].
pub async fn lock(tx: &mut Tx, reception_id: ReceptionId) -> DbResult<Option<Stored>> {
    let row = fetch_optional!(
        tx,
        Row,
        "UPDATE receptions
        SET version = version + 1
        WHERE reception_id = $1
        RETURNING reception_id, company_id, operator_id, locator_sealed, proof_key, reason, state, session_id,
            issued_at_ms, life_ms, expires_at_ms, closed_at_ms, unproved_count",
        reception_id.to_string()
    )?;
    row.map(Stored::try_from).transpose()
}

/// Writes what can change of a reception that was locked; a closed one gives its place free.
///
/// # Errors
/// [`DbError`].
pub async fn save(tx: &mut Tx, reception: &Reception) -> DbResult<()> {
    let id = reception.id.to_string();
    execute!(
        tx,
        "UPDATE receptions
        SET state = $2, session_id = $3, expires_at_ms = $4, closed_at_ms = $5, unproved_count = $6,
            open_slot = CASE WHEN $7 THEN open_slot ELSE NULL END
        WHERE reception_id = $1",
        &id,
        name(reception.stage.state()),
        reception.stage.session_id().map(|id| id.to_string()),
        reception.expires_at_ms,
        reception.stage.closed_at_ms(),
        i64::from(reception.unproved_count),
        reception.stage.is_open()
    )?;
    execute!(
        tx,
        "UPDATE locators
        SET free_at_ms = $2
        WHERE locator_mac = (SELECT locator_mac FROM receptions WHERE reception_id = $1)
        AND free_at_ms < $2",
        &id,
        reception.expires_at_ms.saturating_add(millis(limits::LOCATOR_REST))
    )?;
    Ok(())
}

/// Receptions whose time is over and which nobody is entering.
///
/// # Errors
/// [`DbError`].
pub async fn expired(tx: &mut Tx, now_ms: UnixMillis, limit: i64) -> DbResult<Vec<(String,)>> {
    fetch_all!(
        tx,
        (String,),
        "SELECT reception_id
        FROM receptions
        WHERE state = 'issued'
        AND expires_at_ms <= $1
        ORDER BY expires_at_ms
        LIMIT $2",
        now_ms,
        limit
    )
}

/// Numbers that nobody is entering, of accounts that were stopped or of companies whose contract does not run; while the service
/// is halted, of everybody.
///
/// # Errors
/// [`DbError`].
pub async fn revoked(tx: &mut Tx, limit: i64) -> DbResult<Vec<(String,)>> {
    fetch_all!(
        tx,
        (String,),
        "SELECT r.reception_id
        FROM receptions r
        JOIN operators o ON o.operator_id = r.operator_id
        JOIN companies c ON c.company_id = r.company_id
        WHERE r.state = 'issued'
        AND (o.stopped = TRUE OR c.state <> 'active' OR (SELECT halted_at_ms FROM service) IS NOT NULL)
        LIMIT $1",
        limit
    )
}

/// Forgets locators that have rested; how many.
///
/// # Errors
/// [`DbError`].
pub async fn forget_locators(tx: &mut Tx, now_ms: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "DELETE FROM locators
        WHERE free_at_ms <= $1",
        now_ms
    )
}

impl TryFrom<Row> for Stored {
    type Error = DbError;

    fn try_from(row: Row) -> DbResult<Self> {
        let wrong = |column| DbError::InconsistentRow { table: "receptions", column, id: row.reception_id.clone() };
        let session_id: Option<SessionId> =
            row.session_id.as_deref().map(str::parse).transpose().map_err(|_not_an_id| wrong("session_id"))?;
        let stage = stage(&row, session_id).ok_or_else(|| wrong("state"))?;
        Ok(Self {
            reception: Reception {
                id: row.reception_id.parse().map_err(|_not_an_id| wrong("reception_id"))?,
                company_id: row.company_id.parse().map_err(|_not_an_id| wrong("company_id"))?,
                operator_id: row.operator_id.parse().map_err(|_not_an_id| wrong("operator_id"))?,
                unproved_count: u32::try_from(row.unproved_count).map_err(|_too_many| wrong("unproved_count"))?,
                proof_key: row.proof_key,
                reason: row.reason,
                issued_at_ms: row.issued_at_ms,
                life_ms: row.life_ms,
                expires_at_ms: row.expires_at_ms,
                stage,
            },
            locator_sealed: row.locator_sealed,
        })
    }
}

fn stage(row: &Row, session_id: Option<SessionId>) -> Option<Stage> {
    let states = [
        ReceptionState::Issued,
        ReceptionState::Entered,
        ReceptionState::Proved,
        ReceptionState::Expired,
        ReceptionState::Cancelled,
        ReceptionState::Burned,
    ];
    Some(match states.into_iter().find(|state| name(*state) == row.state)? {
        ReceptionState::Issued => Stage::Issued,
        ReceptionState::Entered => Stage::Entered { session_id: session_id? },
        ReceptionState::Proved => Stage::Proved { session_id: session_id?, closed_at_ms: row.closed_at_ms? },
        ReceptionState::Expired => Stage::Expired { closed_at_ms: row.closed_at_ms? },
        ReceptionState::Cancelled => Stage::Cancelled { closed_at_ms: row.closed_at_ms? },
        ReceptionState::Burned => Stage::Burned { closed_at_ms: row.closed_at_ms? },
    })
}
