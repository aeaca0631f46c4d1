//! The history of something as its page shows it.

use super::{AdminLogin, store::COMMAND_LINE};
use crate::{
    audit::{
        change,
        told::{self, Told},
    },
    db::{DbResult, Tx},
    site::{Words, time},
};

/// A change as the page shows it.
#[derive(Debug, Clone)]
pub struct ShownChange {
    /// When.
    pub at: String,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The other fields.
    pub fields: Vec<Told>,
}

/// The latest changes of a subject in the log of a company, newest first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn history(tx: &mut Tx, company_id: &str, subject: &str, login: &AdminLogin) -> DbResult<Vec<ShownChange>> {
    let (zone, words) = (login.zone(), Words::of(login.lang));
    let Ok(company_id) = company_id.parse() else { return Ok(Vec::new()) };
    let changes = change::of_subject(tx, company_id, subject).await?;
    let shown = |change: change::Change| {
        let (reasons, fields): (Vec<_>, Vec<_>) = change.fields.into_iter().partition(|field| field.name == "reason");
        let reason = reasons.first().map(|why| told::field(why, words).new).unwrap_or_default();
        let actor = if change.actor == COMMAND_LINE { words.audit.actor_command_line.to_owned() } else { change.actor };
        let fields = fields.iter().map(|field| told::field(field, words)).collect();
        ShownChange { at: time::seconds(change.at_ms, &zone), actor, reason, fields }
    };
    Ok(changes.into_iter().map(shown).collect())
}
