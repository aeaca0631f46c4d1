//! Notices of a company to its own accounts: what is typed, and what is stored; the same at the site and in the API.

use proto::api::UnixMillis;
use serde_json::json;

use super::{
    Class, form,
    store::{self, Created, NewNotice, Writer},
};
use crate::{
    audit,
    db::{DbResult, Tx},
    login::SiteLogin,
};

/// A notice that can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What it is about.
    pub class: Class,
    /// Whether it stands on every page as long as it is in force.
    pub important: bool,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
    /// From when it is in force.
    pub begins_at_ms: UnixMillis,
    /// Until when.
    pub ends_at_ms: UnixMillis,
}

/// Which parts of a notice cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wrong {
    /// The title is not one line of 1 to 100 characters.
    pub title: bool,
    /// The body is longer than 4,000 characters, or has controls in it.
    pub body: bool,
    /// It would end before it begins, or is over already.
    pub period: bool,
}

impl Written {
    /// Reads what was typed; `period` is `None` when it could not be read.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read(
        (class, important): (Class, bool),
        (title, body): (&str, &str),
        period: Option<(UnixMillis, UnixMillis)>,
        now: UnixMillis,
    ) -> Result<Self, Wrong> {
        let period = period.filter(|(begins, ends)| begins < ends && now < *ends);
        match (form::title(title), form::body(body), period) {
            (Some(title), Some(body), Some((begins_at_ms, ends_at_ms))) => {
                Ok(Self { class, important, title, body, begins_at_ms, ends_at_ms })
            }
            (title, body, period) => {
                Err(Wrong { title: title.is_none(), body: body.is_none(), period: period.is_none() })
            }
        }
    }

    /// As a company's notice to its own accounts.
    fn by<'a>(&'a self, login: &'a SiteLogin) -> NewNotice<'a> {
        NewNotice {
            writer: Writer::Company(login.company_id),
            only: &[],
            class: self.class,
            important: self.important,
            title: &self.title,
            body: &self.body,
            begins_at_ms: self.begins_at_ms,
            ends_at_ms: self.ends_at_ms,
            stays_from_ms: None,
            author: &login.name,
        }
    }
}

/// Stores a notice; its id.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn create(tx: &mut Tx, login: &SiteLogin, written: &Written, now: UnixMillis) -> DbResult<String> {
    let notice_id = store::create(tx, &written.by(login), now).await?;
    log_created(tx, login, written, &notice_id, now).await?;
    Ok(notice_id)
}

/// Stores a notice unless this token stored one under this key.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn create_once(
    tx: &mut Tx,
    login: &SiteLogin,
    key: &str,
    written: &Written,
    now: UnixMillis,
) -> DbResult<Created> {
    // What one program named so is not what another named so.
    let key = format!("{}:{key}", login.api_token.map(|token_id| token_id.to_string()).unwrap_or_default());
    let created = store::create_once(tx, &written.by(login), &key, now).await?;
    if created.is_new {
        log_created(tx, login, written, &created.notice_id, now).await?;
    }
    Ok(created)
}

async fn log_created(
    tx: &mut Tx,
    login: &SiteLogin,
    written: &Written,
    notice_id: &str,
    now: UnixMillis,
) -> DbResult<()> {
    let detail = json!({ "notice_id": notice_id, "kind": written.class.as_str(), "important": written.important });
    audit::append(tx, login.event("notice.created", detail, now)).await?;
    Ok(())
}

/// Ends a notice of the company now; whether there was one in force.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn end(tx: &mut Tx, login: &SiteLogin, notice_id: &str, now: UnixMillis) -> DbResult<bool> {
    if !store::end(tx, Writer::Company(login.company_id), notice_id, now).await? {
        return Ok(false);
    }
    audit::append(tx, login.event("notice.ended", json!({ "notice_id": notice_id }), now)).await?;
    Ok(true)
}
