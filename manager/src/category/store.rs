//! Rows of categories.

use proto::{api::UnixMillis, id::CompanyId};

use crate::{
    app,
    db::{DbResult, Tx},
    execute, fetch_all, fetch_optional,
};

/// Categories that a company may have.
pub const CATEGORIES_MAX: i64 = 200;

/// A category.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Category {
    /// 32 hexadecimal digits.
    #[sqlx(rename = "category_id")]
    pub id: String,
    /// Its name, unique in the company.
    pub name: String,
    /// Whether it is offered no more.
    pub retired: bool,
    /// Counts changes.
    pub version: i64,
}

/// The categories of a company, by name.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn of_company(tx: &mut Tx, company_id: CompanyId) -> DbResult<Vec<Category>> {
    fetch_all!(
        tx,
        Category,
        "SELECT category_id, name, retired, version
        FROM categories
        WHERE company_id = $1
        ORDER BY retired, name
        LIMIT 1000",
        company_id.to_string()
    )
}

/// One category of a company.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find(tx: &mut Tx, company_id: CompanyId, category_id: &str) -> DbResult<Option<Category>> {
    // No id has a NUL, and PostgreSQL takes none in a text.
    if category_id.contains('\0') {
        return Ok(None);
    }
    fetch_optional!(
        tx,
        Category,
        "SELECT category_id, name, retired, version
        FROM categories
        WHERE company_id = $1
        AND category_id = $2",
        company_id.to_string(),
        category_id
    )
}

/// Stores a new category, unless the company has [`CATEGORIES_MAX`]; its id. A name that is taken is
/// [`crate::db::DbError::Duplicate`].
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn insert(tx: &mut Tx, company_id: CompanyId, name: &str, now: UnixMillis) -> DbResult<Option<String>> {
    let category_id = hex::encode(app::draw_id());
    let inserted = execute!(
        tx,
        "INSERT INTO categories (category_id, company_id, name, retired, created_at_ms, version)
        SELECT $1, $2, $3, FALSE, $4, 0
        WHERE (SELECT COUNT(*) FROM categories WHERE company_id = $2) < $5",
        &category_id,
        company_id.to_string(),
        name,
        now,
        CATEGORIES_MAX
    )?;
    Ok((inserted == 1).then_some(category_id))
}

/// Changes a category that nobody changed since it was read; whether it did.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn update(tx: &mut Tx, company_id: CompanyId, category: &Category) -> DbResult<bool> {
    let updated = execute!(
        tx,
        "UPDATE categories
        SET name = $3, retired = $4, version = version + 1
        WHERE company_id = $1
        AND category_id = $2
        AND version = $5",
        company_id.to_string(),
        &category.id,
        &category.name,
        category.retired,
        category.version
    )?;
    Ok(updated == 1)
}

/// Deletes a category that no case has; whether it did.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn delete(tx: &mut Tx, company_id: CompanyId, category_id: &str) -> DbResult<bool> {
    let deleted = execute!(
        tx,
        "DELETE FROM categories
        WHERE company_id = $1
        AND category_id = $2
        AND NOT EXISTS (
            SELECT 1
            FROM sessions s
            WHERE s.company_id = $1
            AND s.category_id = $2
        )",
        company_id.to_string(),
        category_id
    )?;
    Ok(deleted == 1)
}
