//! Rows of logins and of failed attempts.

use std::time::Duration;

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};
use sha2::{Digest as _, Sha256};

use super::{LoggedIn, password::PasswordHash};
use crate::{
    bearer::BearerHash,
    company::{CompanyCode, Lockout},
    db::{DbError, DbResult, Tx},
    execute, fetch_optional,
    operator::UserId,
    throttle::millis,
};

/// An account as a login needs it.
#[derive(Debug)]
pub struct Account {
    /// The operator.
    pub operator_id: OperatorId,
    /// Name that customers see.
    pub operator_name: String,
    /// The company.
    pub company_id: CompanyId,
    /// Name that customers see.
    pub company_name: String,
    /// What the password must match.
    pub password_hash: PasswordHash,
    /// Whether the account may not log in any more.
    pub stopped: bool,
    /// When failures lock the account.
    pub lockout: Lockout,
}

/// Names the counter of one company code and user id, whether they exist or not.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountHash(String);

/// What counting an attempt gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// The attempt may be made; it counts as failed until [`forgive`].
    Open,
    /// The account is locked.
    Locked,
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    operator_id: String,
    operator_name: String,
    company_id: String,
    company_name: String,
    password_hash: String,
    stopped: bool,
    lockout_failures_max: i64,
    lockout_ms: i64,
    lockout_window_ms: i64,
}

#[derive(sqlx::FromRow)]
struct LoginRow {
    operator_id: String,
    operator_name: String,
    company_id: String,
    company_name: String,
    used_at_ms: i64,
}

impl AccountHash {
    /// The hash of what was typed; a NUL cannot be in a company code, so no two pairs have one text.
    pub fn of(company: &str, user: &str) -> Self {
        let mut hasher = Sha256::new();
        for part in [company, "\0", user] {
            hasher.update(part.as_bytes());
        }
        Self(hex::encode(hasher.finalize()))
    }
}

/// Finds an account. What cannot be a company code or a user id is looked for as well, under a name that nobody has, so
/// that it costs the same and no engine sees a byte it does not take.
///
/// # Errors
/// [`DbError`].
pub async fn find_account(tx: &mut Tx, company: &str, user: &str) -> DbResult<Option<Account>> {
    let possible = company.parse::<CompanyCode>().is_ok() && user.parse::<UserId>().is_ok();
    let (company, user) = if possible { (company, user) } else { ("", "") };
    let row = fetch_optional!(
        tx,
        AccountRow,
        "SELECT o.operator_id, o.name AS operator_name, c.company_id, c.name AS company_name, o.password_hash,
            o.stopped, c.lockout_failures_max, c.lockout_ms, c.lockout_window_ms
        FROM operators o
        JOIN companies c ON c.company_id = o.company_id
        WHERE c.code = $1
        AND o.user_id = $2",
        company,
        user
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Account {
        operator_id: parse_id("operators", "operator_id", &row.operator_id)?,
        operator_name: row.operator_name,
        company_id: parse_id("companies", "company_id", &row.company_id)?,
        company_name: row.company_name,
        password_hash: PasswordHash::stored(row.password_hash),
        stopped: row.stopped,
        lockout: Lockout {
            failures_max: row.lockout_failures_max,
            time: from_millis(row.lockout_ms),
            window: from_millis(row.lockout_window_ms),
        },
    }))
}

/// Counts an attempt as failed before it is made, so that no number of simultaneous attempts gets past the lock.
///
/// The failure that reaches the maximum locks the account.
///
/// # Errors
/// [`DbError`].
pub async fn count(tx: &mut Tx, account: &AccountHash, lockout: Lockout, now: UnixMillis) -> DbResult<Counted> {
    let locked_until = now.saturating_add(millis(lockout.time));
    let forget_at = locked_until.saturating_add(millis(lockout.window));
    let counted = fetch_optional!(
        tx,
        (i64,),
        "INSERT INTO login_attempts (account_hash, failures, window_start_ms, locked_until_ms, forget_at_ms)
        VALUES ($1, 1, $2, CASE WHEN $3 <= 1 THEN $4 ELSE 0 END, $6)
        ON CONFLICT (account_hash) DO UPDATE
        SET failures = CASE
                WHEN login_attempts.window_start_ms + $5 <= $2 OR $3 <= login_attempts.failures THEN 1
                ELSE login_attempts.failures + 1
            END,
            window_start_ms = CASE
                WHEN login_attempts.window_start_ms + $5 <= $2 OR $3 <= login_attempts.failures THEN $2
                ELSE login_attempts.window_start_ms
            END,
            locked_until_ms = CASE
                WHEN login_attempts.window_start_ms + $5 <= $2 OR $3 <= login_attempts.failures
                    THEN CASE WHEN $3 <= 1 THEN $4 ELSE 0 END
                WHEN $3 <= login_attempts.failures + 1 THEN $4
                ELSE 0
            END,
            forget_at_ms = $6
        WHERE login_attempts.locked_until_ms <= $2
        RETURNING failures",
        &account.0,
        now,
        lockout.failures_max,
        locked_until,
        millis(lockout.window),
        forget_at
    )?;
    Ok(counted.map_or(Counted::Locked, |_| Counted::Open))
}

/// Forgets the failures of an account: it logged in, or was unlocked.
///
/// # Errors
/// [`DbError`].
pub async fn forgive(tx: &mut Tx, account: &AccountHash) -> DbResult<()> {
    execute!(
        tx,
        "DELETE FROM login_attempts
        WHERE account_hash = $1",
        &account.0
    )?;
    Ok(())
}

/// Stores a login.
///
/// # Errors
/// [`DbError`].
pub async fn insert(
    tx: &mut Tx,
    token: &BearerHash,
    operator_id: OperatorId,
    now: UnixMillis,
    expires_at_ms: UnixMillis,
) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO logins (token_hash, operator_id, created_at_ms, used_at_ms, expires_at_ms)
        VALUES ($1, $2, $3, $3, $4)",
        token.as_str(),
        operator_id.to_string(),
        now,
        expires_at_ms
    )?;
    Ok(())
}

/// Finds a login that is valid now, and when it was used last.
///
/// # Errors
/// [`DbError`].
pub async fn find(
    tx: &mut Tx,
    token: &BearerHash,
    idle: Duration,
    now: UnixMillis,
) -> DbResult<Option<(LoggedIn, UnixMillis)>> {
    let row = fetch_optional!(
        tx,
        LoginRow,
        "SELECT o.operator_id, o.name AS operator_name, c.company_id, c.name AS company_name, l.used_at_ms
        FROM logins l
        JOIN operators o ON o.operator_id = l.operator_id
        JOIN companies c ON c.company_id = o.company_id
        WHERE l.token_hash = $1
        AND l.revoked_at_ms IS NULL
        AND l.expires_at_ms > $2
        AND l.used_at_ms > $3
        AND o.stopped = FALSE",
        token.as_str(),
        now,
        now.saturating_sub(millis(idle))
    )?;
    let Some(row) = row else { return Ok(None) };
    let login = LoggedIn {
        operator_id: parse_id("operators", "operator_id", &row.operator_id)?,
        operator_name: row.operator_name,
        company_id: parse_id("companies", "company_id", &row.company_id)?,
        company_name: row.company_name,
        token: token.clone(),
    };
    Ok(Some((login, row.used_at_ms)))
}

/// Notes that a login was used.
///
/// # Errors
/// [`DbError`].
pub async fn touch(tx: &mut Tx, token: &BearerHash, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE logins
        SET used_at_ms = $2
        WHERE token_hash = $1
        AND used_at_ms < $2",
        token.as_str(),
        now
    )?;
    Ok(())
}

/// Revokes one login; whether it was valid until now.
///
/// # Errors
/// [`DbError`].
pub async fn revoke(tx: &mut Tx, token: &BearerHash, now: UnixMillis) -> DbResult<bool> {
    let revoked = execute!(
        tx,
        "UPDATE logins
        SET revoked_at_ms = $2
        WHERE token_hash = $1
        AND revoked_at_ms IS NULL",
        token.as_str(),
        now
    )?;
    Ok(revoked == 1)
}

/// Revokes every login of an operator; how many there were.
///
/// # Errors
/// [`DbError`].
pub async fn revoke_all(tx: &mut Tx, operator_id: OperatorId, now: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "UPDATE logins
        SET revoked_at_ms = $2
        WHERE operator_id = $1
        AND revoked_at_ms IS NULL
        AND expires_at_ms > $2",
        operator_id.to_string(),
        now
    )
}

/// Deletes logins that ended and counters that count nothing any more; how many rows.
///
/// # Errors
/// [`DbError`].
pub async fn sweep(tx: &mut Tx, now: UnixMillis) -> DbResult<u64> {
    let logins = execute!(
        tx,
        "DELETE FROM logins
        WHERE expires_at_ms <= $1",
        now
    )?;
    let attempts = execute!(
        tx,
        "DELETE FROM login_attempts
        WHERE forget_at_ms <= $1",
        now
    )?;
    Ok(logins.saturating_add(attempts))
}

fn from_millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn parse_id<T: std::str::FromStr>(table: &'static str, column: &'static str, text: &str) -> DbResult<T> {
    text.parse().map_err(|_not_an_id| DbError::InconsistentRow { table, column, id: text.to_owned() })
}
