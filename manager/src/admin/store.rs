//! Rows of system administrators. They are accounts of the realm's own row.

use proto::{api::UnixMillis, id::OperatorId};

use super::AdminRole;
use crate::{
    app,
    audit::{self, Actor, AuditEvent, change},
    company::ShownName,
    db::{DbResult, Tx},
    execute,
    fold::fold_all,
    login::{password::PasswordHash, realm::SYSTEM},
    operator::UserId,
};

/// Who did what was done at the command line, in the history.
pub const COMMAND_LINE: &str = "command_line";
/// Why an administrator was made there, when nobody says why; pages have words for it.
pub const COMMAND_LINE_REASON: &str = "made at the command line";

/// A new system administrator.
#[derive(Debug, Clone)]
pub struct NewAdmin<'a> {
    /// The id at login.
    pub user_id: &'a UserId,
    /// The name.
    pub name: &'a ShownName,
    /// The role.
    pub role: AdminRole,
    /// The password's hash.
    pub password_hash: &'a PasswordHash,
    /// Whether somebody else set the password, so that it must be changed.
    pub password_initial: bool,
}

/// Creates an administrator; the user id must be free, else [`crate::db::DbError::Duplicate`].
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn insert(tx: &mut Tx, new: &NewAdmin<'_>, now: UnixMillis) -> DbResult<OperatorId> {
    let operator_id = OperatorId::from_bytes(app::draw_id());
    execute!(
        tx,
        "INSERT INTO operators
        (operator_id, company_id, user_id, name, search, role, password_hash, password_initial, password_changed_at_ms,
            stopped, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, FALSE, $9)",
        operator_id.to_string(),
        SYSTEM.to_string(),
        new.user_id.as_str(),
        new.name.as_str(),
        fold_all([new.user_id.as_str(), new.name.as_str()]),
        new.role.as_str(),
        new.password_hash.as_str(),
        new.password_initial,
        now
    )?;
    Ok(operator_id)
}

/// Creates an administrator at the command line.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn create_at_command_line(
    tx: &mut Tx,
    new: &NewAdmin<'_>,
    reason: &str,
    now: UnixMillis,
) -> DbResult<OperatorId> {
    let operator_id = insert(tx, new, now).await?;
    let fields = change::differences([
        ("reason", "", reason),
        ("user", "", new.user_id.as_str()),
        ("name", "", new.name.as_str()),
        ("role", "", new.role.as_str()),
    ]);
    let detail = change::store(tx, SYSTEM, &format!("admin:{operator_id}"), COMMAND_LINE, fields, now).await?;
    let event = AuditEvent {
        at_ms: now,
        company: Some(SYSTEM),
        actor: Actor::CommandLine,
        event: "admin.created",
        reception: None,
        session: None,
        detail,
    };
    audit::append(tx, event).await?;
    Ok(operator_id)
}
