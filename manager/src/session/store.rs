//! Rows of sessions.

use proto::{
    api::{
        UnixMillis,
        session::{SessionBody, SessionState},
    },
    close::CloseReason,
    device::DeviceFact,
    id::{CompanyId, OperatorId, ReceptionId, RelayId, SessionId},
    role::Role,
};
use serde_json::json;

use super::state::{Ended, Session, Stage, name};
use crate::{
    bearer::BearerHash,
    db::{DbError, DbResult, Tx},
    device::Device,
    execute, fetch_all, fetch_one, fetch_optional,
    fold::fold_all,
};

/// Every state, to read one by its name.
const STATES: [SessionState; 5] = [
    SessionState::Joining,
    SessionState::Proving,
    SessionState::Consenting,
    SessionState::Connected,
    SessionState::Ended,
];

/// What a new session is made of, beside its state.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// The session, joining.
    pub session: &'a Session,
    /// Name of the operator, as the customer sees it.
    pub operator_name: &'a str,
    /// Shown to the customer.
    pub reason: &'a str,
    /// The customer's token.
    pub token: &'a BearerHash,
    /// Whose tickets it gets.
    pub keys: &'a ProofKeyHashes,
    /// Its relays, in their order.
    pub relay_ids: &'a [RelayId],
}

/// Hashes of the proof keys of both tools, as tickets name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofKeyHashes {
    /// Of the client tool.
    pub customer: String,
    /// Of the operator tool.
    pub operator: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    session_id: String,
    reception_id: String,
    company_id: String,
    operator_id: String,
    state: String,
    entered_at_ms: i64,
    hard_end_at_ms: i64,
    last_seen_at_ms: i64,
    paired_at_ms: Option<i64>,
    proved_at_ms: Option<i64>,
    view_granted_at_ms: Option<i64>,
    connected_at_ms: Option<i64>,
    ended_at_ms: Option<i64>,
    end_reason: Option<String>,
}

#[derive(sqlx::FromRow)]
struct RenewalRow {
    customer_key_hash: Option<String>,
    operator_key_hash: Option<String>,
    relay_ids: String,
}

#[derive(sqlx::FromRow)]
struct LogRow {
    session_id: String,
    state: String,
    operator_name: String,
    reason: String,
    entered_at_ms: i64,
    connected_at_ms: Option<i64>,
    ended_at_ms: Option<i64>,
    duration_ms: Option<i64>,
    end_reason: Option<String>,
    device: String,
}

#[derive(sqlx::FromRow)]
struct SearchRow {
    operator_name: String,
    reason: String,
    device: String,
    managed: Option<String>,
    case_number: String,
    customer_name: String,
    note: String,
}

/// Inserts a session that is joining.
///
/// # Errors
/// [`DbError`].
pub async fn insert(tx: &mut Tx, new: NewSession<'_>) -> DbResult<()> {
    let session = new.session;
    execute!(
        tx,
        "INSERT INTO sessions
        (session_id, reception_id, company_id, operator_id, operator_name, reason, customer_token_hash, state,
            entered_at_ms, hard_end_at_ms, last_seen_at_ms, customer_bytes, operator_bytes, device, version,
            customer_key_hash, operator_key_hash, relay_ids, search)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'joining', $8, $9, $8, 0, 0, '[]', 0, $10, $11, $12, $13)",
        session.id.to_string(),
        session.reception_id.to_string(),
        session.company_id.to_string(),
        session.operator_id.to_string(),
        new.operator_name,
        new.reason,
        new.token.as_str(),
        session.entered_at_ms,
        session.hard_end_at_ms,
        &new.keys.customer,
        &new.keys.operator,
        json!(new.relay_ids).to_string(),
        fold_all([new.operator_name, new.reason])
    )?;
    Ok(())
}

/// What a fresh ticket is made of: the keys, if they were kept when the session began, and the relays in their order.
///
/// # Errors
/// [`DbError`].
pub async fn renewal(tx: &mut Tx, session_id: SessionId) -> DbResult<(Option<ProofKeyHashes>, Vec<RelayId>)> {
    let row = fetch_one!(
        tx,
        RenewalRow,
        "SELECT customer_key_hash, operator_key_hash, relay_ids
        FROM sessions
        WHERE session_id = $1",
        session_id.to_string()
    )?;
    let relay_ids =
        serde_json::from_str(&row.relay_ids).map_err(|_not_ids| impossible("relay_ids", &session_id.to_string()))?;
    let keys = row.customer_key_hash.zip(row.operator_key_hash);
    Ok((keys.map(|(customer, operator)| ProofKeyHashes { customer, operator }), relay_ids))
}

/// Notes a renewal, which is a sign of life, and the order of the relays that it told.
///
/// # Errors
/// [`DbError`].
pub async fn renewed(tx: &mut Tx, session_id: SessionId, relay_ids: &[RelayId], now_ms: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE sessions
        SET relay_ids = $2, lost_reason = NULL,
            last_seen_at_ms = CASE WHEN last_seen_at_ms < $3 THEN $3 ELSE last_seen_at_ms END
        WHERE session_id = $1
        AND ended_at_ms IS NULL",
        session_id.to_string(),
        json!(relay_ids).to_string(),
        now_ms
    )?;
    Ok(())
}

/// Reads a session and locks its row until the transaction ends. Lock the reception before its session.
///
/// # Errors
/// [`DbError`].
pub async fn lock(tx: &mut Tx, session_id: SessionId) -> DbResult<Option<Session>> {
    let row = fetch_optional!(
        tx,
        Row,
        "UPDATE sessions
        SET version = version + 1
        WHERE session_id = $1
        RETURNING session_id, reception_id, company_id, operator_id, state, entered_at_ms, hard_end_at_ms,
            last_seen_at_ms, paired_at_ms, proved_at_ms, view_granted_at_ms, connected_at_ms, ended_at_ms, end_reason",
        session_id.to_string()
    )?;
    row.map(Session::try_from).transpose()
}

/// Reads a session.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, session_id: SessionId) -> DbResult<Option<Session>> {
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT session_id, reception_id, company_id, operator_id, state, entered_at_ms, hard_end_at_ms,
            last_seen_at_ms, paired_at_ms, proved_at_ms, view_granted_at_ms, connected_at_ms, ended_at_ms, end_reason
        FROM sessions
        WHERE session_id = $1",
        session_id.to_string()
    )?;
    row.map(Session::try_from).transpose()
}

/// Writes what can change of a session that was locked.
///
/// # Errors
/// [`DbError`].
pub async fn save(tx: &mut Tx, session: &Session) -> DbResult<()> {
    let ended = session.stage.ended();
    execute!(
        tx,
        "UPDATE sessions
        SET state = $2, lost_reason = CASE WHEN last_seen_at_ms < $3 THEN NULL ELSE lost_reason END,
            last_seen_at_ms = $3, paired_at_ms = $4, proved_at_ms = $5, view_granted_at_ms = $6,
            connected_at_ms = $7, ended_at_ms = $8, end_reason = $9, duration_ms = $10
        WHERE session_id = $1",
        session.id.to_string(),
        name(session.stage.state()),
        session.last_seen_at_ms,
        session.stage.paired_at_ms(),
        session.stage.proved_at_ms(),
        session.view_granted_at_ms,
        session.stage.connected_at_ms(),
        ended.map(|ended| ended.at_ms),
        ended.map(|ended| ended.reason.as_str()),
        ended.and_then(Ended::duration_ms)
    )?;
    Ok(())
}

/// The session whose customer has the token with this hash.
///
/// # Errors
/// [`DbError`].
pub async fn of_customer(tx: &mut Tx, token: &BearerHash) -> DbResult<Option<SessionId>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT session_id
        FROM sessions
        WHERE customer_token_hash = $1",
        token.as_str()
    )?;
    row.map(|(id,)| parse_id(&id)).transpose()
}

/// Appends to the consent log, unless it says what the newest row of the kind says already; whether it did.
///
/// The session must be locked, so that the rows have an order.
///
/// # Errors
/// [`DbError`].
pub async fn log_consent(
    tx: &mut Tx,
    session_id: SessionId,
    kind: &'static str,
    answer: &'static str,
    now_ms: UnixMillis,
) -> DbResult<bool> {
    let logged = execute!(
        tx,
        "INSERT INTO consents (session_id, seq, at_ms, kind, answer)
        SELECT $1, COALESCE(MAX(c.seq), 0) + 1, $2, $3, $4
        FROM consents c
        WHERE c.session_id = $1
        HAVING COALESCE(MAX(CASE WHEN c.kind = $3 THEN c.seq END), 0) = 0
        OR COALESCE(MAX(CASE WHEN c.kind = $3 AND c.answer = $4 THEN c.seq END), 0)
            < MAX(CASE WHEN c.kind = $3 THEN c.seq END)",
        session_id.to_string(),
        now_ms,
        kind,
        answer
    )?;
    Ok(logged == 1)
}

/// Keeps device facts, as JSON, unless they are kept already; whether it did.
///
/// # Errors
/// [`DbError`].
pub async fn keep_device(tx: &mut Tx, session_id: SessionId, facts: &str) -> DbResult<bool> {
    let kept = execute!(
        tx,
        "UPDATE sessions
        SET device = $2
        WHERE session_id = $1
        AND device <> $2",
        session_id.to_string(),
        facts
    )?;
    if kept == 1 {
        refold(tx, session_id).await?;
    }
    Ok(kept == 1)
}

/// Folds anew by what a session is found.
///
/// # Errors
/// [`DbError`].
pub(super) async fn refold(tx: &mut Tx, session_id: SessionId) -> DbResult<()> {
    let row = fetch_one!(
        tx,
        SearchRow,
        "SELECT operator_name, reason, device, managed, case_number, customer_name, note
        FROM sessions
        WHERE session_id = $1",
        session_id.to_string()
    )?;
    let facts: Vec<DeviceFact> = serde_json::from_str(&row.device).unwrap_or_default();
    let texts = [&row.operator_name, &row.reason, &row.case_number, &row.customer_name, &row.note];
    let managed = Device::stored(row.managed.as_deref());
    let texts = texts.into_iter().chain(facts.iter().map(|fact| &fact.value)).map(String::as_str);
    let texts = texts.chain(managed.iter().flat_map(Device::texts));
    execute!(
        tx,
        "UPDATE sessions
        SET search = $2
        WHERE session_id = $1",
        session_id.to_string(),
        fold_all(texts)
    )?;
    Ok(())
}

/// The newest sessions of an operator.
///
/// # Errors
/// [`DbError`].
pub async fn of_operator(tx: &mut Tx, operator_id: OperatorId, limit: i64) -> DbResult<Vec<SessionBody>> {
    let rows = fetch_all!(
        tx,
        LogRow,
        "SELECT session_id, state, operator_name, reason, entered_at_ms, connected_at_ms, ended_at_ms, duration_ms,
            end_reason, device
        FROM sessions
        WHERE operator_id = $1
        ORDER BY entered_at_ms DESC, session_id
        LIMIT $2",
        operator_id.to_string(),
        limit
    )?;
    rows.into_iter().map(SessionBody::try_from).collect()
}

/// The newest sessions of a company, or of all, for the command line.
///
/// # Errors
/// [`DbError`].
pub async fn recent(tx: &mut Tx, company: Option<CompanyId>, limit: i64) -> DbResult<Vec<SessionBody>> {
    let rows = fetch_all!(
        tx,
        LogRow,
        "SELECT session_id, state, operator_name, reason, entered_at_ms, connected_at_ms, ended_at_ms, duration_ms,
            end_reason, device
        FROM sessions
        WHERE $1 = ''
        OR company_id = $1
        ORDER BY entered_at_ms DESC, session_id
        LIMIT $2",
        company.map_or_else(String::new, |id| id.to_string()),
        limit
    )?;
    rows.into_iter().map(SessionBody::try_from).collect()
}

/// The reception of a session, which never changes.
///
/// # Errors
/// [`DbError`].
pub async fn reception_of(tx: &mut Tx, session_id: SessionId) -> DbResult<Option<ReceptionId>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT reception_id
        FROM sessions
        WHERE session_id = $1",
        session_id.to_string()
    )?;
    row.map(|(id,)| id.parse().map_err(|_not_an_id| impossible("reception_id", &id))).transpose()
}

impl ProofKeyHashes {
    /// The one of a side.
    pub fn of(&self, role: Role) -> &str {
        match role {
            Role::Customer => &self.customer,
            Role::Operator => &self.operator,
        }
    }
}

impl TryFrom<Row> for Session {
    type Error = DbError;

    fn try_from(row: Row) -> DbResult<Self> {
        let stage = stage(&row).ok_or_else(|| impossible("state", &row.session_id))?;
        Ok(Self {
            reception_id: row.reception_id.parse().map_err(|_not_an_id| impossible("reception_id", &row.session_id))?,
            company_id: row.company_id.parse().map_err(|_not_an_id| impossible("company_id", &row.session_id))?,
            operator_id: row.operator_id.parse().map_err(|_not_an_id| impossible("operator_id", &row.session_id))?,
            id: parse_id(&row.session_id)?,
            entered_at_ms: row.entered_at_ms,
            hard_end_at_ms: row.hard_end_at_ms,
            last_seen_at_ms: row.last_seen_at_ms,
            view_granted_at_ms: row.view_granted_at_ms,
            stage,
        })
    }
}

impl TryFrom<LogRow> for SessionBody {
    type Error = DbError;

    fn try_from(row: LogRow) -> DbResult<Self> {
        let wrong = |column| impossible(column, &row.session_id);
        let end_reason = row.end_reason.as_deref().map(|text| CloseReason::from_name(text).ok_or("end_reason"));
        let device: Vec<DeviceFact> = serde_json::from_str(&row.device).map_err(|_not_facts| wrong("device"))?;
        Ok(Self {
            session_id: parse_id(&row.session_id)?,
            state: state(&row.state).ok_or_else(|| wrong("state"))?,
            end_reason: end_reason.transpose().map_err(wrong)?,
            operator_name: row.operator_name,
            reason: row.reason,
            entered_at_ms: row.entered_at_ms,
            connected_at_ms: row.connected_at_ms,
            ended_at_ms: row.ended_at_ms,
            duration_ms: row.duration_ms,
            device,
        })
    }
}

fn stage(row: &Row) -> Option<Stage> {
    Some(match state(&row.state)? {
        SessionState::Joining => Stage::Joining,
        SessionState::Proving => Stage::Proving { paired_at_ms: row.paired_at_ms? },
        SessionState::Consenting => Stage::Consenting { proved_at_ms: row.proved_at_ms? },
        SessionState::Connected => {
            Stage::Connected { proved_at_ms: row.proved_at_ms?, connected_at_ms: row.connected_at_ms? }
        }
        SessionState::Ended => Stage::Ended(Ended {
            proved_at_ms: row.proved_at_ms,
            connected_at_ms: row.connected_at_ms,
            at_ms: row.ended_at_ms?,
            reason: CloseReason::from_name(row.end_reason.as_deref()?)?,
        }),
    })
}

fn state(text: &str) -> Option<SessionState> {
    STATES.into_iter().find(|state| name(*state) == text)
}

pub(super) fn parse_id(text: &str) -> DbResult<SessionId> {
    text.parse().map_err(|_not_an_id| impossible("session_id", text))
}

fn impossible(column: &'static str, id: &str) -> DbError {
    DbError::InconsistentRow { table: "sessions", column, id: id.to_owned() }
}
