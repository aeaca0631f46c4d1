//! Rows of starts, and the device of a session.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId, ReceptionId, SessionId},
};
use serde_json::json;

use super::state::{Device, Start, StartState};
use crate::{
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
    role::{self, Permission},
};

#[derive(sqlx::FromRow)]
struct Row {
    reception_id: String,
    company_id: String,
    token_id: String,
    device: String,
    applications: String,
    customer_name: String,
    case_number: String,
    reason: String,
    operator_id: Option<String>,
    group_id: Option<String>,
    locator_sealed: String,
    state: String,
    started_at_ms: i64,
    life_ms: i64,
    expires_at_ms: i64,
}

/// Where the reception of a start stands that an operator took.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Taken {
    /// Its state.
    pub state: String,
    /// Who took it.
    pub operator_id: String,
    /// When its number stops being usable.
    pub expires_at_ms: i64,
    /// The session it led to, or leads to.
    pub session_id: Option<String>,
}

/// A start that waits for nobody any more.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Over {
    /// Its reception.
    pub reception_id: String,
    /// Its company.
    pub company_id: String,
    /// Whether its time is over; else its company, its account or the whole service is out of service.
    pub late: bool,
}

/// Inserts a start that waits.
///
/// `false` when the idempotency key was used before or the device waits already: look again.
///
/// # Errors
/// [`DbError`].
pub async fn insert(tx: &mut Tx, start: &Start, mac: &str, key: &str) -> DbResult<bool> {
    let inserted = execute!(
        tx,
        "INSERT INTO device_starts
        (reception_id, company_id, token_id, idempotency_key, device_id, device, applications, search, customer_name,
            case_number, reason, operator_id, group_id, locator_mac, locator_sealed, state, started_at_ms, life_ms,
            expires_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'waiting', $16, $17, $18)
        ON CONFLICT DO NOTHING",
        start.reception_id.to_string(),
        start.company_id.to_string(),
        &start.token_id,
        key,
        &start.device.id,
        json!(start.device).to_string(),
        json!(start.applications).to_string(),
        start.device.search(),
        &start.customer_name,
        &start.case_number,
        &start.reason,
        start.operator_id.map(|id| id.to_string()),
        start.group_id.as_deref(),
        mac,
        &start.locator_sealed,
        start.started_at_ms,
        start.life_ms,
        start.expires_at_ms
    )?;
    Ok(inserted == 1)
}

/// The start that a token made with this idempotency key.
///
/// # Errors
/// [`DbError`].
pub async fn find_by_key(tx: &mut Tx, token_id: &str, key: &str) -> DbResult<Option<Start>> {
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT reception_id, company_id, token_id, device, applications, customer_name, case_number, reason, operator_id,
            group_id, locator_sealed, state, started_at_ms, life_ms, expires_at_ms
        FROM device_starts
        WHERE token_id = $1
        AND idempotency_key = $2",
        token_id,
        key
    )?;
    row.map(Start::try_from).transpose()
}

/// The start of a reception of a company.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, company_id: CompanyId, reception_id: &str) -> DbResult<Option<Start>> {
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT reception_id, company_id, token_id, device, applications, customer_name, case_number, reason, operator_id,
            group_id, locator_sealed, state, started_at_ms, life_ms, expires_at_ms
        FROM device_starts
        WHERE company_id = $1
        AND reception_id = $2",
        company_id.to_string(),
        reception_id
    )?;
    row.map(Start::try_from).transpose()
}

/// Where the reception of a start stands; nothing when nobody took it.
///
/// # Errors
/// [`DbError`].
pub async fn taken(tx: &mut Tx, reception_id: ReceptionId) -> DbResult<Option<Taken>> {
    fetch_optional!(
        tx,
        Taken,
        "SELECT state, operator_id, expires_at_ms, session_id
        FROM receptions
        WHERE reception_id = $1",
        reception_id.to_string()
    )
}

/// How many starts of a company wait.
///
/// # Errors
/// [`DbError`].
pub async fn count_waiting(tx: &mut Tx, company_id: CompanyId) -> DbResult<i64> {
    let (waiting,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM device_starts
        WHERE company_id = $1
        AND state = 'waiting'",
        company_id.to_string()
    )?;
    Ok(waiting)
}

/// The start of a device that waits, if there is one.
///
/// # Errors
/// [`DbError`].
pub async fn waiting_of(tx: &mut Tx, company_id: CompanyId, device_id: &str) -> DbResult<Option<ReceptionId>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT reception_id
        FROM device_starts
        WHERE company_id = $1
        AND device_id = $2
        AND state = 'waiting'",
        company_id.to_string(),
        device_id
    )?;
    row.map(|(id,)| id.parse().map_err(|_not_an_id| impossible("reception_id", &id))).transpose()
}

/// Takes the number of a start that waits for this operator, for a group of theirs or for anybody: of any number of
/// operators one gets it.
///
/// # Errors
/// [`DbError`].
pub async fn take(
    tx: &mut Tx,
    mac: &str,
    (company_id, operator_id): (CompanyId, OperatorId),
    now_ms: UnixMillis,
) -> DbResult<Option<Start>> {
    let row = fetch_optional!(
        tx,
        Row,
        "UPDATE device_starts
        SET state = 'taken', closed_at_ms = $4
        WHERE locator_mac = $1
        AND company_id = $2
        AND state = 'waiting'
        AND expires_at_ms > $4
        AND (operator_id IS NULL OR operator_id = $3)
        AND (group_id IS NULL OR EXISTS (
            SELECT 1
            FROM account_group_members m
            WHERE m.group_id = device_starts.group_id
            AND m.operator_id = $3
        ))
        RETURNING reception_id, company_id, token_id, device, applications, customer_name, case_number, reason,
            operator_id, group_id, locator_sealed, state, started_at_ms, life_ms, expires_at_ms",
        mac,
        company_id.to_string(),
        operator_id.to_string(),
        now_ms
    )?;
    row.map(Start::try_from).transpose()
}

/// Closes a start that waits; whether it did.
///
/// # Errors
/// [`DbError`].
pub async fn close(tx: &mut Tx, reception_id: ReceptionId, state: StartState, now_ms: UnixMillis) -> DbResult<bool> {
    let closed = execute!(
        tx,
        "UPDATE device_starts
        SET state = $2, closed_at_ms = $3
        WHERE reception_id = $1
        AND state = 'waiting'",
        reception_id.to_string(),
        state.as_str(),
        now_ms
    )?;
    Ok(closed == 1)
}

/// Starts that wait although their time is over, or that nobody can take any more.
///
/// # Errors
/// [`DbError`].
pub async fn over(tx: &mut Tx, now_ms: UnixMillis, limit: i64) -> DbResult<Vec<Over>> {
    fetch_all!(
        tx,
        Over,
        "SELECT d.reception_id, d.company_id, (d.expires_at_ms <= $1) AS late
        FROM device_starts d
        JOIN companies c ON c.company_id = d.company_id
        LEFT JOIN operators o ON o.operator_id = d.operator_id
        WHERE d.state = 'waiting'
        AND (d.expires_at_ms <= $1 OR c.state <> 'active' OR o.stopped = TRUE OR o.deleted_at_ms IS NOT NULL
            OR (SELECT halted_at_ms FROM service) IS NOT NULL)
        ORDER BY d.expires_at_ms
        LIMIT $2",
        now_ms,
        limit
    )
}

/// Whether an account of a company is in service, and may issue numbers.
///
/// # Errors
/// [`DbError`].
pub async fn may_issue(tx: &mut Tx, company_id: CompanyId, operator_id: OperatorId) -> DbResult<Option<bool>> {
    let row = fetch_optional!(
        tx,
        (String, Option<String>),
        "SELECT o.role, r.permissions
        FROM operators o
        LEFT JOIN roles r ON r.role_id = o.role_id
        WHERE o.company_id = $1
        AND o.operator_id = $2
        AND o.stopped = FALSE
        AND o.deleted_at_ms IS NULL",
        company_id.to_string(),
        operator_id.to_string()
    )?;
    Ok(row.map(|(role, own)| role::effective(&role, own.as_deref()).has(Permission::ReceptionIssue)))
}

/// Gives a new session what its reception was started with: device, customer and case; whether there was any.
///
/// # Errors
/// [`DbError`].
pub async fn attach(tx: &mut Tx, reception_id: ReceptionId, session_id: SessionId) -> DbResult<bool> {
    let row = fetch_optional!(
        tx,
        (String, String, String, String),
        "SELECT device_id, device, customer_name, case_number
        FROM device_starts
        WHERE reception_id = $1",
        reception_id.to_string()
    )?;
    let Some((device_id, device, customer_name, case_number)) = row else { return Ok(false) };
    execute!(
        tx,
        "UPDATE sessions
        SET managed_device = $2, managed = $3, customer_name = $4, case_number = $5
        WHERE session_id = $1",
        session_id.to_string(),
        device_id,
        device,
        customer_name,
        case_number
    )?;
    Ok(true)
}

/// How many sessions a device of a company had; counted up to 1000.
///
/// # Errors
/// [`DbError`].
pub async fn count_sessions(tx: &mut Tx, company_id: CompanyId, device_id: &str) -> DbResult<i64> {
    let (sessions,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM (
            SELECT 1
            FROM sessions
            WHERE company_id = $1
            AND managed_device = $2
            LIMIT 1000
        ) AS known",
        company_id.to_string(),
        device_id
    )?;
    Ok(sessions)
}

impl TryFrom<Row> for Start {
    type Error = DbError;

    fn try_from(row: Row) -> DbResult<Self> {
        let wrong = |column| impossible(column, &row.reception_id);
        Ok(Self {
            reception_id: row.reception_id.parse().map_err(|_not_an_id| wrong("reception_id"))?,
            company_id: row.company_id.parse().map_err(|_not_an_id| wrong("company_id"))?,
            operator_id: row.operator_id.map(|id| id.parse()).transpose().map_err(|_not_an_id| wrong("operator_id"))?,
            device: Device::stored(Some(&row.device)).ok_or_else(|| wrong("device"))?,
            applications: serde_json::from_str(&row.applications).map_err(|_no_list| wrong("applications"))?,
            state: StartState::stored(&row.state).ok_or_else(|| wrong("state"))?,
            token_id: row.token_id,
            customer_name: row.customer_name,
            case_number: row.case_number,
            reason: row.reason,
            group_id: row.group_id,
            locator_sealed: row.locator_sealed,
            started_at_ms: row.started_at_ms,
            life_ms: row.life_ms,
            expires_at_ms: row.expires_at_ms,
        })
    }
}

fn impossible(column: &'static str, id: &str) -> DbError {
    DbError::InconsistentRow { table: "device_starts", column, id: id.to_owned() }
}
