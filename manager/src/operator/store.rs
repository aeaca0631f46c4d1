//! Rows of operators.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};
use serde_json::json;

use super::UserId;
use crate::{
    app,
    audit::{self, Actor, AuditEvent},
    company::{CompanyCode, ShownName},
    db::{DbError, DbResult, Tx},
    execute, fetch_optional,
    fold::fold_all,
    login::{
        password::PasswordHash,
        store::{self as logins, AccountHash},
    },
    role::Role,
};

/// What a new operator is made of.
#[derive(Debug, Clone)]
pub struct NewOperator {
    /// The company.
    pub company_id: CompanyId,
    /// The id for the login, free in the company.
    pub user_id: UserId,
    /// Name that customers see.
    pub name: ShownName,
    /// The password's hash.
    pub password_hash: PasswordHash,
    /// What the account may do.
    pub role: Role,
}

/// Creates an operator. The user id must be free in the company, else [`DbError::Duplicate`].
///
/// # Errors
/// [`DbError`].
pub async fn create(tx: &mut Tx, new: &NewOperator, now: UnixMillis) -> DbResult<OperatorId> {
    let operator_id = OperatorId::from_bytes(app::draw_id());
    execute!(
        tx,
        "INSERT INTO operators
        (operator_id, company_id, user_id, name, search, role, password_hash, password_changed_at_ms, stopped, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, FALSE, $8)",
        operator_id.to_string(),
        new.company_id.to_string(),
        new.user_id.as_str(),
        new.name.as_str(),
        fold_all([new.user_id.as_str(), new.name.as_str()]),
        new.role.as_str(),
        new.password_hash.as_str(),
        now
    )?;
    audit::append(tx, event("operator.created", new.company_id, operator_id, now)).await?;
    Ok(operator_id)
}

/// Finds an operator by company code and user id.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, company: &CompanyCode, user: &UserId) -> DbResult<Option<(CompanyId, OperatorId)>> {
    let row = fetch_optional!(
        tx,
        (String, String),
        "SELECT o.company_id, o.operator_id
        FROM operators o
        JOIN companies c ON c.company_id = o.company_id
        WHERE c.code = $1
        AND o.user_id = $2",
        company.as_str(),
        user.as_str()
    )?;
    let Some((company_id, operator_id)) = row else { return Ok(None) };
    let impossible = |column, id: &str| DbError::InconsistentRow { table: "operators", column, id: id.to_owned() };
    Ok(Some((
        company_id.parse().map_err(|_not_an_id| impossible("company_id", &company_id))?,
        operator_id.parse().map_err(|_not_an_id| impossible("operator_id", &operator_id))?,
    )))
}

/// Stops an operator: every login ends now, and no new one begins. Whether it was not stopped before.
///
/// # Errors
/// [`DbError`].
pub async fn stop(tx: &mut Tx, company_id: CompanyId, operator_id: OperatorId, now: UnixMillis) -> DbResult<bool> {
    let stopped = execute!(
        tx,
        "UPDATE operators
        SET stopped = TRUE
        WHERE operator_id = $1
        AND stopped = FALSE",
        operator_id.to_string()
    )?;
    if stopped == 0 {
        return Ok(false);
    }
    let ended = logins::revoke_all(tx, operator_id, now).await?;
    let stopped = event("operator.stopped", company_id, operator_id, now);
    audit::append(tx, AuditEvent { detail: json!({ "operator_id": operator_id, "logins_ended": ended }), ..stopped })
        .await?;
    Ok(true)
}

/// Forgets the failed logins of an operator, so that a locked account opens.
///
/// # Errors
/// [`DbError`].
pub async fn unlock(tx: &mut Tx, company: &CompanyCode, user: &UserId, now: UnixMillis) -> DbResult<bool> {
    let Some((company_id, operator_id)) = find(tx, company, user).await? else { return Ok(false) };
    logins::forgive(tx, &AccountHash::of(company.as_str(), user.as_str())).await?;
    logins::note_lock(tx, operator_id, 0).await?;
    audit::append(tx, event("operator.unlocked", company_id, operator_id, now)).await?;
    Ok(true)
}

fn event(event: &'static str, company_id: CompanyId, operator_id: OperatorId, now: UnixMillis) -> AuditEvent {
    AuditEvent {
        at_ms: now,
        company: Some(company_id),
        actor: Actor::CommandLine,
        event,
        reception: None,
        session: None,
        detail: json!({ "operator_id": operator_id }),
    }
}
