//! Rows of the logins of tools.

use std::{net::IpAddr, time::Duration};

use proto::{api::UnixMillis, id::OperatorId};

use super::{
    LoggedIn,
    store::{HOUR_MS, parse_id},
};
use crate::{
    bearer::BearerHash,
    company::Policy,
    db::{DbResult, Tx},
    execute, fetch_optional, role, site,
    throttle::millis,
};

#[derive(sqlx::FromRow)]
struct LoginRow {
    operator_id: String,
    operator_name: String,
    company_id: String,
    company_name: String,
    role: String,
    role_permissions: Option<String>,
    policy: String,
    has_factor: bool,
    created_at_ms: i64,
    used_at_ms: i64,
}

impl LoginRow {
    /// Whether the company's rules allow this login to be used.
    fn is_within(&self, policy: &Policy, source: IpAddr, now: UnixMillis) -> bool {
        let rules = &policy.login;
        let ends_at_ms = self.created_at_ms.saturating_add(rules.life_hours.saturating_mul(HOUR_MS));
        let idle_at_ms = self.used_at_ms.saturating_add(rules.tool_idle_hours.saturating_mul(HOUR_MS));
        now < ends_at_ms.min(idle_at_ms)
            && (self.has_factor || !rules.needs_factor(now))
            && rules.allows(&self.role, source)
            && rules.week.is_open_at(now, site::time::zone(&policy.time_zone))
    }
}

/// Stores a login.
///
/// # Errors
/// [`crate::db::DbError`].
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

/// Finds a login of a tool that is valid now and from where it is used, as the company's rules are now; and when it was
/// used last.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find(
    tx: &mut Tx,
    token: &BearerHash,
    idle: Duration,
    source: IpAddr,
    now: UnixMillis,
) -> DbResult<Option<(LoggedIn, UnixMillis)>> {
    let row = fetch_optional!(
        tx,
        LoginRow,
        "SELECT o.operator_id, o.name AS operator_name, c.company_id, c.name AS company_name, o.role,
            r.permissions AS role_permissions, c.policy, o.totp_sealed IS NOT NULL AS has_factor, l.created_at_ms,
            l.used_at_ms
        FROM logins l
        JOIN operators o ON o.operator_id = l.operator_id
        JOIN companies c ON c.company_id = o.company_id
        LEFT JOIN roles r ON r.role_id = o.role_id
        WHERE l.token_hash = $1
        AND l.revoked_at_ms IS NULL
        AND l.expires_at_ms > $2
        AND l.used_at_ms > $3
        AND o.stopped = FALSE
        AND c.state = 'active'
        AND c.realm = 'company'
        AND (SELECT halted_at_ms FROM service) IS NULL",
        token.as_str(),
        now,
        now.saturating_sub(millis(idle))
    )?;
    let Some(row) = row else { return Ok(None) };
    let policy = Policy::stored(&row.policy);
    if !row.is_within(&policy, source, now) {
        return Ok(None);
    }
    let login = LoggedIn {
        operator_id: parse_id("operators", "operator_id", &row.operator_id)?,
        operator_name: row.operator_name,
        company_id: parse_id("companies", "company_id", &row.company_id)?,
        company_name: row.company_name,
        permissions: role::effective(&row.role, row.role_permissions.as_deref()),
        token: token.clone(),
        policy,
        source,
    };
    Ok(Some((login, row.used_at_ms)))
}

/// Notes that a login was used.
///
/// # Errors
/// [`crate::db::DbError`].
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
/// [`crate::db::DbError`].
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

/// Revokes every login of an account by tools but one.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn revoke_tools(tx: &mut Tx, operator_id: OperatorId, but: &BearerHash, now: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "UPDATE logins
        SET revoked_at_ms = $2
        WHERE operator_id = $1
        AND token_hash <> $3
        AND revoked_at_ms IS NULL",
        operator_id.to_string(),
        now,
        but.as_str()
    )
}
