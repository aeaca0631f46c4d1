//! Rows of revisions and of agreements.

use proto::{api::UnixMillis, id::OperatorId};

use super::edit::Written;
use crate::{
    app,
    db::{DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
};

/// A revision with its text.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id in addresses of system administrators.
    pub revision_id: String,
    /// What it is called: `1.2`.
    pub edition: String,
    /// From when it is in force.
    pub in_force_from_ms: i64,
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
    /// Who wrote it, for people.
    pub author: String,
    /// When it was written.
    pub created_at_ms: i64,
    /// Who published it, for people.
    pub publisher: Option<String>,
    /// When it was published; none for a draft.
    pub published_at_ms: Option<i64>,
    /// Who withdrew it before its day, for people.
    pub withdrawer: Option<String>,
    /// When it was withdrawn.
    pub withdrawn_at_ms: Option<i64>,
    /// The hash of what was published, see [`super::edit::hash`].
    pub text_sha256: Option<String>,
    /// Counts changes.
    pub version: i64,
}

/// A revision without its text, for tables.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Summary {
    /// Its id in addresses of system administrators.
    pub revision_id: String,
    /// What it is called: `1.2`.
    pub edition: String,
    /// From when it is in force.
    pub in_force_from_ms: i64,
    /// What changed, in Japanese.
    pub changes_ja: String,
    /// What changed, in English.
    pub changes_en: String,
    /// Whether every person is asked to agree anew.
    pub agree: bool,
    /// When it was published; none for a draft.
    pub published_at_ms: Option<i64>,
    /// When it was withdrawn.
    pub withdrawn_at_ms: Option<i64>,
}

impl From<&Row> for Summary {
    fn from(row: &Row) -> Self {
        Self {
            revision_id: row.revision_id.clone(),
            edition: row.edition.clone(),
            in_force_from_ms: row.in_force_from_ms,
            changes_ja: row.changes_ja.clone(),
            changes_en: row.changes_en.clone(),
            agree: row.agree,
            published_at_ms: row.published_at_ms,
            withdrawn_at_ms: row.withdrawn_at_ms,
        }
    }
}

/// What a draft gets when it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published<'a> {
    /// Who publishes it, for people.
    pub publisher: &'a str,
    /// The hash of what is published.
    pub text_sha256: &'a str,
    /// When today began in Japan.
    pub today_ms: UnixMillis,
}

/// That an account agreed.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Agreement {
    /// To which edition.
    pub edition: String,
    /// When.
    pub agreed_at_ms: i64,
}

/// Drafts that there can be.
pub const DRAFTS_MAX: i64 = 100;

/// Every draft, the latest before the earlier ones.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn drafts(tx: &mut Tx) -> DbResult<Vec<Summary>> {
    fetch_all!(
        tx,
        Summary,
        "SELECT revision_id, edition, in_force_from_ms, changes_ja, changes_en, agree, published_at_ms, withdrawn_at_ms
        FROM terms
        WHERE published_at_ms IS NULL
        ORDER BY in_force_from_ms DESC, revision_id
        LIMIT $1",
        DRAFTS_MAX
    )
}

/// How many drafts there are.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn count_drafts(tx: &mut Tx) -> DbResult<i64> {
    let (count,) = fetch_one!(tx, (i64,), "SELECT COUNT(*) FROM terms WHERE published_at_ms IS NULL")?;
    Ok(count)
}

/// Every revision that was published and not withdrawn, the latest before the earlier ones.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn published(tx: &mut Tx) -> DbResult<Vec<Summary>> {
    fetch_all!(
        tx,
        Summary,
        "SELECT revision_id, edition, in_force_from_ms, changes_ja, changes_en, agree, published_at_ms, withdrawn_at_ms
        FROM terms
        WHERE published_at_ms IS NOT NULL
        AND withdrawn_at_ms IS NULL
        ORDER BY in_force_from_ms DESC
        LIMIT 500"
    )
}

/// The revisions that were withdrawn, the last one first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn withdrawn(tx: &mut Tx) -> DbResult<Vec<Summary>> {
    fetch_all!(
        tx,
        Summary,
        "SELECT revision_id, edition, in_force_from_ms, changes_ja, changes_en, agree, published_at_ms, withdrawn_at_ms
        FROM terms
        WHERE withdrawn_at_ms IS NOT NULL
        ORDER BY withdrawn_at_ms DESC, revision_id
        LIMIT 100"
    )
}

/// Whether one was ever published, also one that was withdrawn.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn any_published(tx: &mut Tx) -> DbResult<bool> {
    let found =
        fetch_optional!(tx, (String,), "SELECT revision_id FROM terms WHERE published_at_ms IS NOT NULL LIMIT 1")?;
    Ok(found.is_some())
}

/// A revision by its id, draft or published.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find(tx: &mut Tx, revision_id: &str) -> DbResult<Option<Row>> {
    fetch_optional!(
        tx,
        Row,
        "SELECT revision_id, edition, in_force_from_ms, agree, author, created_at_ms, publisher, published_at_ms,
            withdrawer, withdrawn_at_ms, text_sha256, version, changes_ja, changes_en, body_ja, body_en
        FROM terms
        WHERE revision_id = $1",
        revision_id
    )
}

/// A published revision by its edition; a draft, or one that was withdrawn, is as good as none.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find_published(tx: &mut Tx, edition: &str) -> DbResult<Option<Row>> {
    fetch_optional!(
        tx,
        Row,
        "SELECT revision_id, edition, in_force_from_ms, agree, author, created_at_ms, publisher, published_at_ms,
            withdrawer, withdrawn_at_ms, text_sha256, version, changes_ja, changes_en, body_ja, body_en
        FROM terms
        WHERE edition = $1
        AND published_at_ms IS NOT NULL
        AND withdrawn_at_ms IS NULL",
        edition
    )
}

/// The revision that is in force.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn in_force(tx: &mut Tx, now: UnixMillis) -> DbResult<Option<Row>> {
    fetch_optional!(
        tx,
        Row,
        "SELECT revision_id, edition, in_force_from_ms, agree, author, created_at_ms, publisher, published_at_ms,
            withdrawer, withdrawn_at_ms, text_sha256, version, changes_ja, changes_en, body_ja, body_en
        FROM terms
        WHERE published_at_ms IS NOT NULL
        AND withdrawn_at_ms IS NULL
        AND in_force_from_ms <= $1
        ORDER BY in_force_from_ms DESC
        LIMIT 1",
        now
    )
}

/// Stores a draft; its id, or none when another revision has its edition.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn insert(tx: &mut Tx, new: &Written, author: &str, now: UnixMillis) -> DbResult<Option<String>> {
    let revision_id = hex::encode(app::draw_id());
    let inserted = execute!(
        tx,
        "INSERT INTO terms
        (revision_id, edition, in_force_from_ms, changes_ja, changes_en, body_ja, body_en, agree, author, created_at_ms,
            version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)
        ON CONFLICT DO NOTHING",
        &revision_id,
        &new.edition,
        new.in_force_from_ms,
        &new.changes_ja,
        &new.changes_en,
        &new.body_ja,
        &new.body_en,
        new.agree,
        author,
        now
    )?;
    Ok((inserted == 1).then_some(revision_id))
}

/// Whether another revision has this edition.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn has_other(tx: &mut Tx, edition: &str, revision_id: &str) -> DbResult<bool> {
    let found = fetch_optional!(
        tx,
        (String,),
        "SELECT revision_id
        FROM terms
        WHERE edition = $1
        AND revision_id <> $2",
        edition,
        revision_id
    )?;
    Ok(found.is_some())
}

/// Changes a draft as it was shown; whether it was still so.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn update(tx: &mut Tx, row: &Row, new: &Written) -> DbResult<bool> {
    let updated = execute!(
        tx,
        "UPDATE terms
        SET edition = $3, in_force_from_ms = $4, changes_ja = $5, changes_en = $6, body_ja = $7, body_en = $8,
            agree = $9, version = version + 1
        WHERE revision_id = $1
        AND version = $2
        AND published_at_ms IS NULL",
        &row.revision_id,
        row.version,
        &new.edition,
        new.in_force_from_ms,
        &new.changes_ja,
        &new.changes_en,
        &new.body_ja,
        &new.body_en,
        new.agree
    )?;
    Ok(updated == 1)
}

/// Deletes a draft as it was shown; whether it was still so.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn delete(tx: &mut Tx, row: &Row) -> DbResult<bool> {
    let deleted = execute!(
        tx,
        "DELETE FROM terms
        WHERE revision_id = $1
        AND version = $2
        AND published_at_ms IS NULL",
        &row.revision_id,
        row.version
    )?;
    Ok(deleted == 1)
}

/// Publishes a draft as it was shown, unless another one is in force from the same day, or its day is before `today_ms`
/// and it is not the first one; whether it was so. Two that are published at once need a lock that is taken before.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn publish(tx: &mut Tx, row: &Row, new: &Published<'_>, now: UnixMillis) -> DbResult<bool> {
    let published = execute!(
        tx,
        "UPDATE terms
        SET publisher = $3, published_at_ms = $4, text_sha256 = $5, version = version + 1
        WHERE revision_id = $1
        AND version = $2
        AND published_at_ms IS NULL
        AND NOT EXISTS (
            SELECT 1
            FROM terms t
            WHERE t.published_at_ms IS NOT NULL
            AND t.withdrawn_at_ms IS NULL
            AND (t.in_force_from_ms = terms.in_force_from_ms OR terms.in_force_from_ms < $6)
        )",
        &row.revision_id,
        row.version,
        new.publisher,
        now,
        new.text_sha256,
        new.today_ms
    )?;
    Ok(published == 1)
}

/// Withdraws a published revision as it was shown, before its day; whether it was still so.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn withdraw(tx: &mut Tx, row: &Row, withdrawer: &str, now: UnixMillis) -> DbResult<bool> {
    let withdrawn = execute!(
        tx,
        "UPDATE terms
        SET withdrawer = $3, withdrawn_at_ms = $4, version = version + 1
        WHERE revision_id = $1
        AND version = $2
        AND published_at_ms IS NOT NULL
        AND withdrawn_at_ms IS NULL
        AND in_force_from_ms > $4",
        &row.revision_id,
        row.version,
        withdrawer,
        now
    )?;
    Ok(withdrawn == 1)
}

/// How many accounts of companies would be asked to agree now: those that can log in.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn count_asked(tx: &mut Tx) -> DbResult<i64> {
    let (count,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM operators o
        JOIN companies c ON c.company_id = o.company_id
        WHERE c.realm = 'company'
        AND c.state = 'active'
        AND o.stopped = FALSE
        AND o.deleted_at_ms IS NULL"
    )?;
    Ok(count)
}

/// How many accounts agreed to a revision.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn count_agreed(tx: &mut Tx, revision_id: &str) -> DbResult<i64> {
    let (count,) = fetch_one!(tx, (i64,), "SELECT COUNT(*) FROM terms_agreements WHERE revision_id = $1", revision_id)?;
    Ok(count)
}

/// Notes that an account agreed; whether it had not before.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn agree(tx: &mut Tx, revision_id: &str, operator_id: OperatorId, now: UnixMillis) -> DbResult<bool> {
    let inserted = execute!(
        tx,
        "INSERT INTO terms_agreements (revision_id, operator_id, agreed_at_ms)
        VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING",
        revision_id,
        operator_id.to_string(),
        now
    )?;
    Ok(inserted == 1)
}

/// To what an account agreed, newest first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn agreements_of(tx: &mut Tx, operator_id: &str) -> DbResult<Vec<Agreement>> {
    fetch_all!(
        tx,
        Agreement,
        "SELECT t.edition, a.agreed_at_ms
        FROM terms_agreements a
        JOIN terms t ON t.revision_id = a.revision_id
        WHERE a.operator_id = $1
        ORDER BY a.agreed_at_ms DESC, t.edition
        LIMIT 50",
        operator_id
    )
}
