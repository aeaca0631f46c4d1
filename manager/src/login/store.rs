//! Rows of accounts as a login needs them, of failed attempts, and of what holds for logins at every door.

use std::time::Duration;

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};
use sha2::{Digest as _, Sha256};

use super::{Realm, password::PasswordHash, realm::SYSTEM_CODE, site_store};
use crate::{
    bearer::BearerHash,
    company::{CompanyCode, Lockout, Policy, store::ACTIVE},
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
    operator::UserId,
    throttle::millis,
};

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 60 * 60 * 1000;
/// A browser that did not log in for this long is a stranger again.
const DEVICE_LIFE: Duration = Duration::from_hours(90 * 24);

/// An account as a login needs it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the account that a login asks for by itself")]
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
    /// Whether the company is neither suspended nor over.
    pub company_is_active: bool,
    /// Whose accounts it is one of.
    pub realm: Realm,
    /// The company's rules.
    pub policy: Policy,
    /// Whether there is a second factor.
    pub has_factor: bool,
    /// Whether somebody else set the password.
    pub password_is_initial: bool,
    /// When the password was set.
    pub password_changed_at_ms: UnixMillis,
    /// Its role, as the column has it.
    pub role: String,
}

/// Names the counter of one company code and user id, whether they exist or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountHash(String);

/// What counting an attempt gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// The attempt may be made; it counts as failed until [`forgive`].
    Open {
        /// Until when the account is locked if it fails; 0 when it is not.
        locked_until_ms: UnixMillis,
    },
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
    company_state: String,
    policy: String,
    has_factor: bool,
    password_initial: bool,
    password_changed_at_ms: i64,
    role: String,
}

impl AccountHash {
    /// The hash of what was typed; a NUL cannot be in a company code, so no two pairs have one text.
    pub fn of(company: &str, user: &str) -> Self {
        Self::hash(&[company, user])
    }

    /// The counter of one browser of the account, for one that logged in before.
    pub fn of_device(company: &str, user: &str, device: &str) -> Self {
        Self::hash(&[company, user, device])
    }

    fn hash(parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        for (index, part) in parts.iter().enumerate() {
            if 0 < index {
                hasher.update([0]);
            }
            hasher.update(part.as_bytes());
        }
        Self(hex::encode(hasher.finalize()))
    }
}

impl Account {
    /// When failures lock the account, as the company's rules say.
    pub fn lockout(&self) -> Lockout {
        self.policy.login.lockout()
    }
}

/// Finds an account of a realm. What cannot be a company code or a user id is looked for as well, under a name that nobody has, so
/// that it costs the same and no engine sees a byte it does not take.
///
/// # Errors
/// [`DbError`].
pub async fn find_account(tx: &mut Tx, realm: Realm, company: &str, user: &str) -> DbResult<Option<Account>> {
    let code = match realm {
        Realm::Company => company.parse::<CompanyCode>().is_ok(),
        Realm::System => company == SYSTEM_CODE,
    };
    let possible = code && user.parse::<UserId>().is_ok();
    let (company, user) = if possible { (company, user) } else { ("", "") };
    let row = fetch_optional!(
        tx,
        AccountRow,
        "SELECT o.operator_id, o.name AS operator_name, c.company_id, c.name AS company_name, o.password_hash,
            o.stopped, c.state AS company_state, c.policy, o.totp_sealed IS NOT NULL AS has_factor, o.password_initial,
            o.password_changed_at_ms, o.role
        FROM operators o
        JOIN companies c ON c.company_id = o.company_id
        WHERE c.code = $1
        AND o.user_id = $2
        AND c.realm = $3",
        company,
        user,
        realm.as_str()
    )?;
    row.map(|row| read(row, realm)).transpose()
}

/// Finds the account that is bound to a person of a company's provider.
///
/// # Errors
/// [`DbError`].
pub async fn find_linked(
    tx: &mut Tx,
    realm: Realm,
    company_id: CompanyId,
    issuer: &str,
    subject: &str,
) -> DbResult<Option<Account>> {
    let row = fetch_optional!(
        tx,
        AccountRow,
        "SELECT o.operator_id, o.name AS operator_name, c.company_id, c.name AS company_name, o.password_hash,
            o.stopped, c.state AS company_state, c.policy, o.totp_sealed IS NOT NULL AS has_factor, o.password_initial,
            o.password_changed_at_ms, o.role
        FROM provider_links l
        JOIN operators o ON o.operator_id = l.operator_id
        JOIN companies c ON c.company_id = o.company_id
        WHERE l.company_id = $1
        AND l.issuer = $2
        AND l.subject = $3
        AND o.company_id = l.company_id
        AND o.deleted_at_ms IS NULL
        AND c.realm = $4",
        company_id.to_string(),
        issuer,
        subject,
        realm.as_str()
    )?;
    row.map(|row| read(row, realm)).transpose()
}

fn read(row: AccountRow, realm: Realm) -> DbResult<Account> {
    Ok(Account {
        operator_id: parse_id("operators", "operator_id", &row.operator_id)?,
        operator_name: row.operator_name,
        company_id: parse_id("companies", "company_id", &row.company_id)?,
        company_name: row.company_name,
        password_hash: PasswordHash::stored(row.password_hash),
        stopped: row.stopped,
        company_is_active: row.company_state == ACTIVE,
        realm,
        policy: realm.policy(&row.policy),
        has_factor: row.has_factor,
        password_is_initial: row.password_initial,
        password_changed_at_ms: row.password_changed_at_ms,
        role: row.role,
    })
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
        RETURNING locked_until_ms",
        &account.0,
        now,
        lockout.failures_max,
        locked_until,
        millis(lockout.window),
        forget_at
    )?;
    Ok(counted.map_or(Counted::Locked, |(locked_until_ms,)| Counted::Open { locked_until_ms }))
}

/// Stores the same password under a hash as they are made now, unless another password was set meanwhile.
///
/// # Errors
/// [`DbError`].
pub async fn renew_hash(tx: &mut Tx, account: &Account, renewed: &PasswordHash) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE operators
        SET password_hash = $3
        WHERE operator_id = $1
        AND password_hash = $2",
        account.operator_id.to_string(),
        account.password_hash.as_str(),
        renewed.as_str()
    )?;
    Ok(())
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

/// Notes for the list that failures locked an account.
///
/// # Errors
/// [`DbError`].
pub async fn note_lock(tx: &mut Tx, operator_id: OperatorId, until: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE operators
        SET locked_until_ms = $2
        WHERE operator_id = $1",
        operator_id.to_string(),
        until
    )?;
    Ok(())
}

/// Notes that an account logged in by its password, which opens its lock.
///
/// # Errors
/// [`DbError`].
pub async fn note_login(tx: &mut Tx, operator_id: OperatorId, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE operators
        SET last_login_at_ms = $2, locked_until_ms = 0
        WHERE operator_id = $1",
        operator_id.to_string(),
        now
    )?;
    Ok(())
}

/// Notes that an account logged in by a provider. A lock is of the password, and stays.
///
/// # Errors
/// [`DbError`].
pub async fn note_login_by_provider(tx: &mut Tx, operator_id: OperatorId, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE operators
        SET last_login_at_ms = $2
        WHERE operator_id = $1",
        operator_id.to_string(),
        now
    )?;
    Ok(())
}

/// Whether this browser logged into the account before, lately. Without an account the same is asked of nobody.
///
/// # Errors
/// [`DbError`].
pub async fn is_known_device(tx: &mut Tx, operator_id: Option<OperatorId>, device: &str) -> DbResult<bool> {
    let found = fetch_optional!(
        tx,
        (i64,),
        "SELECT seen_at_ms
        FROM known_devices
        WHERE operator_id = $1
        AND device_hash = $2",
        operator_id.map(|id| id.to_string()).unwrap_or_default(),
        BearerHash::of(device).as_str()
    )?;
    Ok(found.is_some())
}

/// Remembers a browser that logged in.
///
/// # Errors
/// [`DbError`].
pub async fn remember_device(tx: &mut Tx, operator_id: OperatorId, device: &str, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO known_devices (operator_id, device_hash, seen_at_ms)
        VALUES ($1, $2, $3)
        ON CONFLICT (operator_id, device_hash) DO UPDATE
        SET seen_at_ms = $3",
        operator_id.to_string(),
        BearerHash::of(device).as_str(),
        now
    )?;
    Ok(())
}

/// Whether somebody else set the password.
///
/// # Errors
/// [`DbError`].
pub async fn password_is_initial(tx: &mut Tx, operator_id: OperatorId) -> DbResult<bool> {
    let (initial,) = fetch_one!(
        tx,
        (bool,),
        "SELECT password_initial
        FROM operators
        WHERE operator_id = $1",
        operator_id.to_string()
    )?;
    Ok(initial)
}

/// The password in force and those before it that may not come back, newest first.
///
/// # Errors
/// [`DbError`].
pub async fn passwords(
    tx: &mut Tx,
    operator_id: OperatorId,
    history: usize,
) -> DbResult<(PasswordHash, Vec<PasswordHash>)> {
    let id = operator_id.to_string();
    let (current,) = fetch_one!(tx, (String,), "SELECT password_hash FROM operators WHERE operator_id = $1", &id)?;
    let earlier = fetch_all!(
        tx,
        (String,),
        "SELECT password_hash
        FROM password_history
        WHERE operator_id = $1
        ORDER BY replaced_at_ms DESC
        LIMIT $2",
        &id,
        // The one in force counts, too.
        i64::try_from(history.saturating_sub(1)).unwrap_or(0)
    )?;
    let earlier = earlier.into_iter().map(|(hash,)| PasswordHash::stored(hash)).collect();
    Ok((PasswordHash::stored(current), earlier))
}

/// Sets a password and keeps the one before among those that may not come back.
///
/// # Errors
/// [`DbError`].
pub async fn set_password(
    tx: &mut Tx,
    operator_id: OperatorId,
    hash: &PasswordHash,
    initial: bool,
    now: UnixMillis,
) -> DbResult<()> {
    let id = operator_id.to_string();
    execute!(
        tx,
        "INSERT INTO password_history (operator_id, replaced_at_ms, password_hash)
        SELECT operator_id, $2, password_hash
        FROM operators
        WHERE operator_id = $1
        ON CONFLICT DO NOTHING",
        &id,
        now
    )?;
    execute!(
        tx,
        "UPDATE operators
        SET password_hash = $2, password_initial = $3, password_changed_at_ms = $4, version = version + 1
        WHERE operator_id = $1",
        &id,
        hash.as_str(),
        initial,
        now
    )?;
    Ok(())
}

/// Revokes every login of an account but one at the site.
///
/// # Errors
/// [`DbError`].
pub async fn revoke_others(tx: &mut Tx, operator_id: OperatorId, but: &BearerHash, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE logins
        SET revoked_at_ms = $2
        WHERE operator_id = $1
        AND revoked_at_ms IS NULL",
        operator_id.to_string(),
        now
    )?;
    site_store::revoke_all(tx, operator_id, Some(but), now).await?;
    Ok(())
}

/// Revokes every login of an operator, those of browsers too; how many there were.
///
/// # Errors
/// [`DbError`].
pub async fn revoke_all(tx: &mut Tx, operator_id: OperatorId, now: UnixMillis) -> DbResult<u64> {
    let tools = execute!(
        tx,
        "UPDATE logins
        SET revoked_at_ms = $2
        WHERE operator_id = $1
        AND revoked_at_ms IS NULL
        AND expires_at_ms > $2",
        operator_id.to_string(),
        now
    )?;
    let browsers = site_store::revoke_all(tx, operator_id, None, now).await?;
    Ok(tools.saturating_add(browsers))
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
    let devices = execute!(
        tx,
        "DELETE FROM known_devices
        WHERE seen_at_ms <= $1",
        now.saturating_sub(millis(DEVICE_LIFE))
    )?;
    let browsers = site_store::sweep(tx, now).await?;
    Ok(logins.saturating_add(attempts).saturating_add(devices).saturating_add(browsers))
}

pub(super) fn parse_id<T: std::str::FromStr>(table: &'static str, column: &'static str, text: &str) -> DbResult<T> {
    text.parse().map_err(|_not_an_id| DbError::InconsistentRow { table, column, id: text.to_owned() })
}
