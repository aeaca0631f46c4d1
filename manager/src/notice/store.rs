//! Rows of notices.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};

use super::Class;
use crate::{
    app,
    db::{DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
    site::Words,
};

/// Notices that stand on every page at once; a page is for something else.
const BANNERS_MAX: i64 = 3;

/// Who writes a notice, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer<'a> {
    /// The service, to companies.
    Service,
    /// A company, to its own accounts.
    Company(CompanyId),
    /// A partner, to companies of its own.
    Partner(&'a str),
}

impl Writer<'_> {
    /// The value of `company_id`.
    fn company(self) -> Option<String> {
        match self {
            Self::Company(company_id) => Some(company_id.to_string()),
            Self::Service | Self::Partner(_) => None,
        }
    }

    /// The value of `partner_id`.
    pub(super) fn partner(self) -> Option<String> {
        match self {
            Self::Partner(partner_id) => Some(partner_id.to_owned()),
            Self::Service | Self::Company(_) => None,
        }
    }
}

/// A notice that shall be shown.
#[derive(Debug, Clone)]
pub struct NewNotice<'a> {
    /// Who writes it.
    pub writer: Writer<'a>,
    /// For which companies a notice of the service or of a partner is; none for all.
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

/// A notice that was stored, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub notice_id: String,
    /// Whether it was stored now.
    pub is_new: bool,
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
    /// The partner that wrote it, by name; `None` for the service and for a company.
    pub partner: Option<String>,
}

impl Running {
    /// Its line, which says when it is a partner's.
    pub fn told(&self, words: &Words) -> String {
        match &self.partner {
            Some(partner) => words.notices.with_partner(partner, &self.title),
            None => self.title.clone(),
        }
    }
}

/// A notice with its text.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "the id has the name of its column")]
pub struct Notice {
    /// Its id in addresses.
    pub notice_id: String,
    /// The company's own, or `None` for one of the service or of a partner.
    pub company_id: Option<String>,
    /// The partner that wrote it, by name; `None` for the service and for a company.
    pub partner: Option<String>,
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
    insert(tx, &notice_id, new, None, now).await?;
    limit(tx, &notice_id, new.only).await?;
    Ok(notice_id)
}

/// Stores a notice unless one was stored under this key.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn create_once(tx: &mut Tx, new: &NewNotice<'_>, key: &str, now: UnixMillis) -> DbResult<Created> {
    let notice_id = hex::encode(app::draw_id());
    if insert(tx, &notice_id, new, Some(key), now).await? {
        limit(tx, &notice_id, new.only).await?;
        return Ok(Created { notice_id, is_new: true });
    }
    let (notice_id,) = fetch_one!(tx, (String,), "SELECT notice_id FROM notices WHERE idempotency_key = $1", key)?;
    Ok(Created { notice_id, is_new: false })
}

/// Whether it was stored; it is not when one was stored under this key.
async fn insert(
    tx: &mut Tx,
    notice_id: &str,
    new: &NewNotice<'_>,
    key: Option<&str>,
    now: UnixMillis,
) -> DbResult<bool> {
    let stays_from_ms = new.stays_from_ms.unwrap_or(if new.important { new.begins_at_ms } else { new.ends_at_ms });
    let inserted = execute!(
        tx,
        "INSERT INTO notices
        (notice_id, company_id, partner_id, for_all, for_partner, kind, important, title, body, begins_at_ms, ends_at_ms,
            stays_from_ms, author, created_at_ms, idempotency_key)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT DO NOTHING",
        notice_id,
        new.writer.company(),
        new.writer.partner(),
        new.writer == Writer::Service && new.only.is_empty(),
        new.writer.partner().is_some() && new.only.is_empty(),
        new.class.as_str(),
        new.important,
        new.title,
        new.body,
        new.begins_at_ms,
        new.ends_at_ms,
        stays_from_ms,
        new.author,
        now,
        key
    )?;
    Ok(inserted == 1)
}

/// Says for which companies a notice is.
///
/// # Errors
/// [`crate::db::DbError`].
pub(super) async fn limit(tx: &mut Tx, notice_id: &str, only: &[CompanyId]) -> DbResult<()> {
    for company_id in only {
        execute!(
            tx,
            "INSERT INTO notice_companies (notice_id, company_id)
            VALUES ($1, $2)
            ON CONFLICT DO NOTHING",
            notice_id,
            company_id.to_string()
        )?;
    }
    Ok(())
}

/// Ends a notice now; whether it was still in force. It must be of the writer; the service ends those of partners, too.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn end(tx: &mut Tx, writer: Writer<'_>, notice_id: &str, now: UnixMillis) -> DbResult<bool> {
    let ended = execute!(
        tx,
        "UPDATE notices
        SET ends_at_ms = $4, version = version + 1
        WHERE notice_id = $1
        AND COALESCE(company_id, '') = $2
        AND ($3 = '' OR partner_id = $3)
        AND ends_at_ms > $4",
        notice_id,
        writer.company().unwrap_or_default(),
        writer.partner().unwrap_or_default(),
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
        "SELECT n.notice_id, n.kind, n.important, n.title, n.ends_at_ms, p.name AS partner
        FROM notices n
        LEFT JOIN partners p ON p.partner_id = n.partner_id
        WHERE n.begins_at_ms <= $3
        AND n.ends_at_ms > $3
        AND (n.company_id = $1
            OR n.for_all = TRUE
            OR ((n.for_partner = TRUE
                    OR EXISTS (SELECT 1 FROM notice_companies x WHERE x.notice_id = n.notice_id AND x.company_id = $1))
                AND (n.partner_id IS NULL
                    OR n.partner_id = (SELECT c.partner_id FROM companies c WHERE c.company_id = $1))))
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
        "SELECT n.notice_id, n.kind, n.important, n.title, n.ends_at_ms, CAST(NULL AS TEXT) AS partner
        FROM notices n
        WHERE n.begins_at_ms <= $1
        AND n.ends_at_ms > $1
        AND n.stays_from_ms <= $1
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
        "SELECT n.notice_id, n.company_id, p.name AS partner, n.kind, n.important, n.title, n.body, n.begins_at_ms,
            n.ends_at_ms, n.author, n.created_at_ms
        FROM notices n
        LEFT JOIN partners p ON p.partner_id = n.partner_id
        WHERE n.notice_id = $2
        AND (n.company_id = $1
            OR n.for_all = TRUE
            OR ((n.for_partner = TRUE
                    OR EXISTS (SELECT 1 FROM notice_companies x WHERE x.notice_id = n.notice_id AND x.company_id = $1))
                AND (n.partner_id IS NULL
                    OR n.partner_id = (SELECT c.partner_id FROM companies c WHERE c.company_id = $1))))",
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

/// Forgets what an account read.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forget_account(tx: &mut Tx, operator_id: OperatorId) -> DbResult<()> {
    execute!(tx, "DELETE FROM notice_reads WHERE operator_id = $1", operator_id.to_string())?;
    Ok(())
}
