//! Rows of system administrators.

use proto::api::UnixMillis;

use crate::{
    app,
    audit::{self, Actor, AuditEvent},
    company::ShownName,
    db::{DbResult, Tx},
    execute,
    login::password::PasswordHash,
    operator::UserId,
};

/// Creates an administrator; gives the id. The user id must be free, else [`crate::db::DbError::Duplicate`].
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn create(
    tx: &mut Tx,
    user_id: &UserId,
    name: &ShownName,
    password_hash: &PasswordHash,
    now: UnixMillis,
) -> DbResult<String> {
    let admin_id = hex::encode(app::draw_id());
    execute!(
        tx,
        "INSERT INTO administrators (admin_id, user_id, name, password_hash, created_at_ms)
        VALUES ($1, $2, $3, $4, $5)",
        &admin_id,
        user_id.as_str(),
        name.as_str(),
        password_hash.as_str(),
        now
    )?;
    let event = AuditEvent {
        at_ms: now,
        company: None,
        actor: Actor::CommandLine,
        event: "admin.created",
        reception: None,
        session: None,
        detail: serde_json::json!({ "admin_id": admin_id }),
    };
    audit::append(tx, event).await?;
    Ok(admin_id)
}
