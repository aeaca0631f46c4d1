//! Rows of notices.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};

use super::Class;
use crate::{
    app,
    db::{DbResult, Tx},
    execute, fetch_all, fetch_optional,
};

/// Notices that stand on every page at once; a page is for something else.
const BANNERS_MAX: i64 = 3;

/// A notice that shall be shown.
#[derive(Debug, Clone)]
pub struct NewNotice<'a> {
    /// The company that writes it to its own accounts; `None` for the service.
    pub company: Option<CompanyId>,
    /// For which companies a notice of the service is; none for all.
    pub only: &'a [CompanyId],
    /// What it is about.
    pub class: Class,
    /// Whether it stands on every page as long as it is in force.
    pub important: bool,
    /// One line.
    pub title: &'a str,
    /// Plain text.
    pub body: &'a str,
    /// From when it is in force.
    pub begins_at_ms: UnixMillis,
    /// Until when.
    pub ends_at_ms: UnixMillis,
    /// From when it stands on every page even when it was read; `None` for as `important` says.
    pub stays_from_ms: Option<UnixMillis>,
    /// Who wrote it, for people.
    pub author: &'a str,
}

/// A notice that stands on every page now.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Running {
    /// Its id in addresses.
    pub notice_id: String,
    /// What it is about.
    pub kind: String,
    /// Whether it is important.
    pub important: bool,
    /// One line.
    pub title: String,
    /// When it is over.
    pub ends_at_ms: i64,
}

/// A notice with its text.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "the id has the name of its column")]
pub struct Notice {
    /// Its id in addresses.
    pub notice_id: String,
    /// The company's own, or `None` for the service's.
    pub company_id: Option<String>,
    /// What it is about.
    pub kind: String,
    /// Whether it is important.
    pub important: bool,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
    /// From when it is in force.
    pub begins_at_ms: i64,
    /// Until when.
    pub ends_at_ms: i64,
    /// Who wrote it.
    pub author: String,
    /// When it was written.
    pub created_at_ms: i64,
}

/// Stores a notice; its id.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn create(tx: &mut Tx, new: &NewNotice<'_>, now: UnixMillis) -> DbResult<String> {
    let notice_id = hex::encode(app::draw_id());
    let stays_from_ms = new.stays_from_ms.unwrap_or(if new.important { new.begins_at_ms } else { new.ends_at_ms });
    execute!(
        tx,
        "INSERT INTO notices
        (notice_id, company_id, for_all, kind, important, title, body, begins_at_ms, ends_at_ms, stays_from_ms, author,
            created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &notice_id,
        new.company.map(|id| id.to_string()),
        new.company.is_none() && new.only.is_empty(),
        new.class.as_str(),
        new.important,
        new.title,
        new.body,
        new.begins_at_ms,
        new.ends_at_ms,
        stays_from_ms,
        new.author,
        now
    )?;
    for company_id in new.only {
        execute!(
            tx,
            "INSERT INTO notice_companies (notice_id, company_id)
            VALUES ($1, $2)
            ON CONFLICT DO NOTHING",
            &notice_id,
            company_id.to_string()
        )?;
    }
    Ok(notice_id)
}

/// Ends a notice now; whether it was still in force. `company` is whose it must be, `None` for the service's.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn end(tx: &mut Tx, company: Option<CompanyId>, notice_id: &str, now: UnixMillis) -> DbResult<bool> {
    let ended = execute!(
        tx,
        "UPDATE notices
        SET ends_at_ms = $3
        WHERE notice_id = $1
        AND COALESCE(company_id, '') = $2
        AND ends_at_ms > $3",
        notice_id,
        company.map(|id| id.to_string()).unwrap_or_default(),
        now
    )?;
    Ok(ended == 1)
}

/// What stands on every page of an account now: the newest first, important ones before the others.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn running(
    tx: &mut Tx,
    company_id: CompanyId,
    operator_id: OperatorId,
    now: UnixMillis,
) -> DbResult<Vec<Running>> {
    fetch_all!(
        tx,
        Running,
        "SELECT n.notice_id, n.kind, n.important, n.title, n.ends_at_ms
        FROM notices n
        WHERE n.begins_at_ms <= $3
        AND n.ends_at_ms > $3
        AND (n.company_id = $1
            OR (n.company_id IS NULL
                AND (n.for_all = TRUE
                    OR EXISTS (SELECT 1 FROM notice_companies x WHERE x.notice_id = n.notice_id AND x.company_id = $1))))
        AND (n.stays_from_ms <= $3
            OR NOT EXISTS (SELECT 1 FROM notice_reads r WHERE r.notice_id = n.notice_id AND r.operator_id = $2))
        ORDER BY n.important DESC, n.created_at_ms DESC, n.notice_id
        LIMIT $4",
        company_id.to_string(),
        operator_id.to_string(),
        now,
        BANNERS_MAX
    )
}

/// What stands on the page of the login: important notices of the service for all companies.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn outside(tx: &mut Tx, now: UnixMillis) -> DbResult<Vec<Running>> {
    fetch_all!(
        tx,
        Running,
        "SELECT n.notice_id, n.kind, n.important, n.title, n.ends_at_ms
        FROM notices n
        WHERE n.begins_at_ms <= $1
        AND n.ends_at_ms > $1
        AND n.stays_from_ms <= $1
        AND n.company_id IS NULL
        AND n.for_all = TRUE
        ORDER BY n.created_at_ms DESC, n.notice_id
        LIMIT $2",
        now,
        BANNERS_MAX
    )
}

/// A notice that a company may see; one of another company is as good as none.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find(tx: &mut Tx, company_id: CompanyId, notice_id: &str) -> DbResult<Option<Notice>> {
    fetch_optional!(
        tx,
        Notice,
        "SELECT n.notice_id, n.company_id, n.kind, n.important, n.title, n.body, n.begins_at_ms, n.ends_at_ms, n.author,
            n.created_at_ms
        FROM notices n
        WHERE n.notice_id = $2
        AND (n.company_id = $1
            OR (n.company_id IS NULL
                AND (n.for_all = TRUE
                    OR EXISTS (SELECT 1 FROM notice_companies x WHERE x.notice_id = n.notice_id AND x.company_id = $1))))",
        company_id.to_string(),
        notice_id
    )
}

/// Notes that an account read a notice.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn note_read(tx: &mut Tx, notice_id: &str, operator_id: OperatorId, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO notice_reads (notice_id, operator_id, read_at_ms)
        VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING",
        notice_id,
        operator_id.to_string(),
        now
    )?;
    Ok(())
}

/// The notices of the service, newest first, with how many accounts read each.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn of_service(tx: &mut Tx) -> DbResult<Vec<(String, String, bool, String, i64, i64, i64)>> {
    fetch_all!(
        tx,
        (String, String, bool, String, i64, i64, i64),
        "SELECT n.notice_id, n.kind, n.important, n.title, n.begins_at_ms, n.ends_at_ms,
            (SELECT COUNT(*) FROM notice_reads r WHERE r.notice_id = n.notice_id)
        FROM notices n
        WHERE n.company_id IS NULL
        ORDER BY n.created_at_ms DESC, n.notice_id
        LIMIT 200"
    )
}

/// Forgets what an account read.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forget_account(tx: &mut Tx, operator_id: OperatorId) -> DbResult<()> {
    execute!(tx, "DELETE FROM notice_reads WHERE operator_id = $1", operator_id.to_string())?;
    Ok(())
}
