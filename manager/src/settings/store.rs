//! The rules of a company in its row, and whom a change concerns.

use proto::{api::UnixMillis, id::CompanyId};
use serde_json::json;

use crate::{
    audit::{self, Actor, AuditEvent},
    company::{self, CompanyCode, Policy, policy::LoginPolicy},
    db::{DbResult, Tx},
    execute, fetch_all, fetch_one,
    role::{self, Permission},
};

/// Logins that are looked at for what a change means.
const LOGINS_MAX: i64 = 10_000;

/// A login at the site that is valid now.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OpenLogin {
    /// Whose.
    pub operator_id: String,
    /// The account's role.
    pub role: String,
    /// The bucket of its source.
    pub source: String,
    /// When it began.
    pub created_at_ms: i64,
    /// When it was used last.
    pub used_at_ms: i64,
}

/// An account that may log in.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    /// When its password was set.
    pub password_changed_at_ms: i64,
    /// Whether it has a second factor.
    pub has_factor: bool,
    /// Whether it has an address of mail.
    pub has_email: bool,
    /// Its role.
    pub role: String,
}

/// The rules of a company.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn policy(tx: &mut Tx, company_id: CompanyId) -> DbResult<Policy> {
    let (policy,) = fetch_one!(
        tx,
        (String,),
        "SELECT policy
        FROM companies
        WHERE company_id = $1",
        company_id.to_string()
    )?;
    Ok(Policy::stored(&policy))
}

/// The same, with the company's row held until the end of the transaction, so that two changes cannot pass both.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn hold(tx: &mut Tx, company_id: CompanyId) -> DbResult<Policy> {
    let (policy,) = fetch_one!(
        tx,
        (String,),
        "UPDATE companies
        SET policy = policy
        WHERE company_id = $1
        RETURNING policy",
        company_id.to_string()
    )?;
    Ok(Policy::stored(&policy))
}

/// Stores the rules of a company whose row is held.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn save(tx: &mut Tx, company_id: CompanyId, policy: &Policy) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE companies
        SET policy = $2
        WHERE company_id = $1",
        company_id.to_string(),
        policy.to_column()
    )?;
    Ok(())
}

/// Lifts the limits of networks and hours at the command line; whether there were any, `None` when there is no such
/// company.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn rescue(tx: &mut Tx, code: &CompanyCode, now: UnixMillis) -> DbResult<Option<bool>> {
    let Some(company) = company::store::find(tx, code).await? else { return Ok(None) };
    let mut policy = hold(tx, company.company_id).await?;
    let usual = LoginPolicy::default();
    let rules = &policy.login;
    let is_limited = !rules.networks.is_empty() || !rules.networks_of.is_empty() || rules.week != usual.week;
    if !is_limited {
        return Ok(Some(false));
    }
    policy.login.networks = usual.networks;
    policy.login.networks_of = usual.networks_of;
    policy.login.week = usual.week;
    save(tx, company.company_id, &policy).await?;
    let event = AuditEvent {
        at_ms: now,
        company: Some(company.company_id),
        actor: Actor::CommandLine,
        event: "company.rescued",
        reception: None,
        session: None,
        detail: json!({ "code": code.as_str() }),
    };
    audit::append(tx, event).await?;
    Ok(Some(true))
}

/// Every account of a company that may log in.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn accounts(tx: &mut Tx, company_id: CompanyId) -> DbResult<Vec<Account>> {
    fetch_all!(
        tx,
        Account,
        "SELECT password_changed_at_ms, totp_sealed IS NOT NULL AS has_factor, email <> '' AS has_email, role
        FROM operators
        WHERE company_id = $1
        AND stopped = FALSE
        AND deleted_at_ms IS NULL",
        company_id.to_string()
    )
}

/// Accounts that may issue reception numbers by their role.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn issuers(tx: &mut Tx, company_id: CompanyId) -> DbResult<usize> {
    let roles = fetch_all!(
        tx,
        (String, Option<String>),
        "SELECT o.role, r.permissions
        FROM operators o
        LEFT JOIN roles r ON r.role_id = o.role_id
        WHERE o.company_id = $1
        AND o.stopped = FALSE
        AND o.deleted_at_ms IS NULL",
        company_id.to_string()
    )?;
    let issues = |(role, custom): &&(String, Option<String>)| {
        role::effective(role, custom.as_deref()).has(Permission::ReceptionIssue)
    };
    Ok(roles.iter().filter(issues).count())
}

/// Numbers that are open now.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn open_numbers(tx: &mut Tx, company_id: CompanyId) -> DbResult<i64> {
    let (open,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM receptions
        WHERE company_id = $1
        AND closed_at_ms IS NULL",
        company_id.to_string()
    )?;
    Ok(open)
}

/// Sessions and receptions that ended, and changes that were made, before two moments.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn older(
    tx: &mut Tx,
    company_id: CompanyId,
    logs_before_ms: UnixMillis,
    changes_before_ms: UnixMillis,
) -> DbResult<(i64, i64)> {
    fetch_one!(
        tx,
        (i64, i64),
        "SELECT (SELECT COUNT(*) FROM sessions WHERE company_id = $1 AND ended_at_ms < $2)
                + (SELECT COUNT(*) FROM receptions WHERE company_id = $1 AND closed_at_ms < $2),
            (SELECT COUNT(*) FROM changes WHERE company_id = $1 AND at_ms < $3)",
        company_id.to_string(),
        logs_before_ms,
        changes_before_ms
    )
}

/// The logins at a company's site that are valid now, the newest ones.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn open_logins(tx: &mut Tx, company_id: CompanyId, now: UnixMillis) -> DbResult<Vec<OpenLogin>> {
    fetch_all!(
        tx,
        OpenLogin,
        "SELECT l.operator_id, o.role, l.source, l.created_at_ms, l.used_at_ms
        FROM site_logins l
        JOIN operators o ON o.operator_id = l.operator_id
        WHERE o.company_id = $1
        AND l.stage = 'full'
        AND l.revoked_at_ms IS NULL
        AND l.expires_at_ms > $2
        ORDER BY l.created_at_ms DESC
        LIMIT $3",
        company_id.to_string(),
        now,
        LOGINS_MAX
    )
}
