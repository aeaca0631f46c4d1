//! What a system administrator did, with its reason and its values, in the transaction that does it.

use proto::{api::UnixMillis, id::CompanyId};

use super::{AdminLogin, Reason};
use crate::{
    audit::{
        self,
        change::{self, Field},
    },
    db::{DbResult, Tx},
};

/// What an event is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// In whose log it stands.
    pub company_id: CompanyId,
    /// What happened.
    pub event: &'static str,
    /// To what: `company:…`, `admin:…`, `partner:…`.
    pub subject: &'a str,
}

/// Records it.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn record(
    tx: &mut Tx,
    login: &AdminLogin,
    about: About<'_>,
    reason: &Reason,
    fields: Vec<Field>,
    now: UnixMillis,
) -> DbResult<()> {
    let why = Field { name: "reason".to_owned(), old: String::new(), new: reason.as_str().to_owned() };
    let fields = [why].into_iter().chain(fields).collect();
    let detail = change::store(tx, about.company_id, about.subject, &login.name, fields, now).await?;
    audit::append(tx, login.event_about(about.company_id, about.event, detail, now)).await?;
    Ok(())
}
