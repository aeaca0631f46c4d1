//! What system administrators do with revisions, with the events of it in the chain.

use proto::api::UnixMillis;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    form,
    store::{self, Published, Row},
};
use crate::{
    admin::AdminLogin,
    audit,
    db::{DbResult, Tx},
};

/// A revision that can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What it is called: `1.2`.
    pub edition: String,
    /// From when it is in force.
    pub in_force_from_ms: UnixMillis,
    /// What changed, in Japanese.
    pub changes_ja: String,
    /// What changed, in English.
    pub changes_en: String,
    /// The text in Japanese.
    pub body_ja: String,
    /// The text in English; may be empty.
    pub body_en: String,
    /// Whether every person is asked to agree anew.
    pub agree: bool,
}

/// Stores a draft; its id, or none when another revision has its edition.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn create(tx: &mut Tx, login: &AdminLogin, written: &Written, now: UnixMillis) -> DbResult<Option<String>> {
    let Some(revision_id) = store::insert(tx, written, &login.name, now).await? else { return Ok(None) };
    let detail = json!({ "revision_id": revision_id, "edition": written.edition });
    audit::append(tx, login.event("terms.created", detail, now)).await?;
    Ok(Some(revision_id))
}

/// Changes a draft that nobody has changed or published since it was shown; whether that was so.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn update(tx: &mut Tx, login: &AdminLogin, row: &Row, written: &Written, now: UnixMillis) -> DbResult<bool> {
    if !store::update(tx, row, written).await? {
        return Ok(false);
    }
    let detail = json!({
        "revision_id": row.revision_id,
        "edition": written.edition,
        "old_edition": row.edition,
        "in_force_from_ms": written.in_force_from_ms,
        "old_in_force_from_ms": row.in_force_from_ms,
        "agree": written.agree,
        "old_agree": row.agree,
    });
    audit::append(tx, login.event("terms.changed", detail, now)).await?;
    Ok(true)
}

/// Deletes a draft that nobody has changed or published since it was shown; whether that was so.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn delete(tx: &mut Tx, login: &AdminLogin, row: &Row, now: UnixMillis) -> DbResult<bool> {
    if !store::delete(tx, row).await? {
        return Ok(false);
    }
    let detail = json!({ "revision_id": row.revision_id, "edition": row.edition });
    audit::append(tx, login.event("terms.deleted", detail, now)).await?;
    Ok(true)
}

/// Publishes a draft that nobody has changed or published since it was shown, and that no other one stands in the way
/// of, and ends the transaction; whether that was so. The chain has the hash of what is published.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn publish(mut tx: Tx, login: &AdminLogin, row: &Row, now: UnixMillis) -> DbResult<bool> {
    let text_sha256 = hash(row);
    let detail = json!({
        "revision_id": row.revision_id,
        "edition": row.edition,
        "in_force_from_ms": row.in_force_from_ms,
        "agree": row.agree,
        "text_sha256": text_sha256,
    });
    // The chain has one end: of two who publish at once, the second waits here and then sees what the first one did.
    audit::append(&mut tx, login.event("terms.published", detail, now)).await?;
    let new = Published { publisher: &login.name, text_sha256: &text_sha256, today_ms: form::today_ms(now) };
    if !store::publish(&mut tx, row, &new, now).await? {
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

/// Withdraws a published revision before its day, when nobody has done so since it was shown; whether that was so.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn withdraw(tx: &mut Tx, login: &AdminLogin, row: &Row, now: UnixMillis) -> DbResult<bool> {
    if !store::withdraw(tx, row, &login.name, now).await? {
        return Ok(false);
    }
    let detail = json!({
        "revision_id": row.revision_id,
        "edition": row.edition,
        "in_force_from_ms": row.in_force_from_ms,
    });
    audit::append(tx, login.event("terms.withdrawn", detail, now)).await?;
    Ok(true)
}

/// The hash of everything that people read of a revision: SHA-256, in hexadecimal, of the JSON array of edition, what
/// changed in Japanese and in English, and the text in Japanese and in English, without spaces, in UTF-8.
pub(super) fn hash(row: &Row) -> String {
    let texts = json!([row.edition, row.changes_ja, row.changes_en, row.body_ja, row.body_en]);
    hex::encode(Sha256::digest(texts.to_string()))
}
