//! What exactly was changed, beside the chain: fields with the value before and after.
//!
//! The chain has only the hash of a change, with a salt. So a company can be erased, and the chain of the others still
//! holds; and a change that was altered does not match its hash.

use std::collections::BTreeMap;

use proto::{api::UnixMillis, id::CompanyId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    app,
    db::{DbResult, Tx},
    execute, fetch_all,
};

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name in the database and in CSV files.
    #[serde(rename = "field")]
    pub name: String,
    /// Its value before; empty for something new.
    pub old: String,
    /// Its value after.
    pub new: String,
}

/// A change as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at_ms: UnixMillis,
    /// The account that made it, by name.
    pub actor: String,
    /// The fields.
    pub fields: Vec<Field>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    /// Makes the hash tell nothing about values that could be guessed.
    salt: String,
    actor: String,
    fields: Vec<Field>,
}

/// The fields whose values differ.
pub fn differences<'a>(fields: impl IntoIterator<Item = (&'static str, &'a str, &'a str)>) -> Vec<Field> {
    let differing = fields.into_iter().filter(|(_, old, new)| old != new);
    differing
        .map(|(field, old, new)| Field { name: field.to_owned(), old: old.to_owned(), new: new.to_owned() })
        .collect()
}

/// Stores a change of `subject` (`operator:…`); gives what stands of it in the chain.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn store(
    tx: &mut Tx,
    company_id: CompanyId,
    subject: &str,
    actor: &str,
    fields: Vec<Field>,
    now: UnixMillis,
) -> DbResult<serde_json::Value> {
    let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    let body = Body { salt: hex::encode(app::draw_id()), actor: actor.to_owned(), fields };
    let body = serde_json::to_string(&body).unwrap_or_default();
    let change_id = hex::encode(app::draw_id());
    execute!(
        tx,
        "INSERT INTO changes (change_id, company_id, subject, at_ms, body)
        VALUES ($1, $2, $3, $4, $5)",
        &change_id,
        company_id.to_string(),
        subject,
        now,
        &body
    )?;
    Ok(
        json!({ "subject": subject, "fields": names, "change_id": change_id, "sha256": hex::encode(Sha256::digest(&body)) }),
    )
}

/// The most changes that [`by_ids`] reads: those of the longest page.
const IDS_MAX: usize = 200;

/// Changes by their ids.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn by_ids(tx: &mut Tx, ids: &[String]) -> DbResult<BTreeMap<String, Change>> {
    let ids: Vec<&String> = ids.iter().take(IDS_MAX).collect();
    let rows = fetch_all!(
        tx,
        (String, i64, String),
        "SELECT change_id, at_ms, body
        FROM changes
        WHERE change_id IN (SELECT value FROM json_each($1))",
        json!(ids).to_string()
    )?;
    let read = |(change_id, at_ms, body): (String, i64, String)| {
        let body: Body = serde_json::from_str(&body).ok()?;
        Some((change_id, Change { at_ms, actor: body.actor, fields: body.fields }))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// The latest changes of a subject, newest first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn of_subject(tx: &mut Tx, company_id: CompanyId, subject: &str) -> DbResult<Vec<Change>> {
    let rows = fetch_all!(
        tx,
        (i64, String),
        "SELECT at_ms, body
        FROM changes
        WHERE company_id = $1
        AND subject = $2
        ORDER BY at_ms DESC, change_id
        LIMIT 100",
        company_id.to_string(),
        subject
    )?;
    let read = |(at_ms, body): (i64, String)| {
        let body: Body = serde_json::from_str(&body).ok()?;
        Some(Change { at_ms, actor: body.actor, fields: body.fields })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
