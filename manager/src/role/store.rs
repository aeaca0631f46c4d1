//! Rows of the roles that companies made.

use proto::{api::UnixMillis, id::CompanyId};

use super::{Permissions, Reach, Role};
use crate::{
    app,
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_optional,
};

/// A role of a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// 32 hexadecimal digits.
    pub role_id: String,
    /// Its name, unique in the company.
    pub name: String,
    /// The role it was cloned from.
    pub base: Role,
    /// Over whom it goes; never wider than the base.
    pub reach: Reach,
    /// What it allows.
    pub permissions: Permissions,
    /// Accounts that have it.
    pub accounts: i64,
    /// Counts changes.
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    role_id: String,
    name: String,
    base: String,
    reach: String,
    permissions: String,
    accounts: i64,
    version: i64,
}

/// The most roles that a company may make.
pub const ROLES_MAX: i64 = 50;

/// The roles of a company, by name.
///
/// # Errors
/// [`DbError`].
pub async fn of_company(tx: &mut Tx, company_id: CompanyId) -> DbResult<Vec<Custom>> {
    let rows = fetch_all!(
        tx,
        Row,
        "SELECT r.role_id, r.name, r.base, r.reach, r.permissions, r.version,
            (SELECT COUNT(*) FROM operators o WHERE o.role_id = r.role_id AND o.deleted_at_ms IS NULL) AS accounts
        FROM roles r
        WHERE r.company_id = $1
        ORDER BY r.name
        LIMIT 100",
        company_id.to_string()
    )?;
    rows.into_iter().map(Custom::try_from).collect()
}

/// One role of a company.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, company_id: CompanyId, role_id: &str) -> DbResult<Option<Custom>> {
    // No id has a NUL, and PostgreSQL takes none in a text.
    if role_id.contains('\0') {
        return Ok(None);
    }
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT r.role_id, r.name, r.base, r.reach, r.permissions, r.version,
            (SELECT COUNT(*) FROM operators o WHERE o.role_id = r.role_id AND o.deleted_at_ms IS NULL) AS accounts
        FROM roles r
        WHERE r.company_id = $1
        AND r.role_id = $2",
        company_id.to_string(),
        role_id
    )?;
    row.map(Custom::try_from).transpose()
}

/// Stores a new role, unless the company has [`ROLES_MAX`]; a name that is taken is [`DbError::Duplicate`].
///
/// # Errors
/// [`DbError`].
pub async fn insert(tx: &mut Tx, company_id: CompanyId, role: &Custom, now: UnixMillis) -> DbResult<Option<String>> {
    let role_id = hex::encode(app::draw_id());
    let inserted = execute!(
        tx,
        "INSERT INTO roles (role_id, company_id, name, base, reach, permissions, created_at_ms, version)
        SELECT $1, $2, $3, $4, $5, $6, $7, 0
        WHERE (SELECT COUNT(*) FROM roles WHERE company_id = $2) < $8",
        &role_id,
        company_id.to_string(),
        &role.name,
        role.base.as_str(),
        role.reach.as_str(),
        role.permissions.to_string(),
        now,
        ROLES_MAX
    )?;
    Ok((inserted == 1).then_some(role_id))
}

/// Changes a role that nobody changed since it was read; whether it did.
///
/// # Errors
/// [`DbError`].
pub async fn update(tx: &mut Tx, company_id: CompanyId, role: &Custom) -> DbResult<bool> {
    let updated = execute!(
        tx,
        "UPDATE roles
        SET name = $3, reach = $4, permissions = $5, version = version + 1
        WHERE company_id = $1
        AND role_id = $2
        AND version = $6",
        company_id.to_string(),
        &role.role_id,
        &role.name,
        role.reach.as_str(),
        role.permissions.to_string(),
        role.version
    )?;
    Ok(updated == 1)
}

/// Deletes a role that no account has; whether it did.
///
/// # Errors
/// [`DbError`].
pub async fn delete(tx: &mut Tx, company_id: CompanyId, role_id: &str) -> DbResult<bool> {
    let deleted = execute!(
        tx,
        "DELETE FROM roles
        WHERE company_id = $1
        AND role_id = $2
        AND NOT EXISTS (
            SELECT 1
            FROM operators o
            WHERE o.role_id = $2
            AND o.deleted_at_ms IS NULL
        )",
        company_id.to_string(),
        role_id
    )?;
    Ok(deleted == 1)
}

impl TryFrom<Row> for Custom {
    type Error = DbError;

    fn try_from(row: Row) -> DbResult<Self> {
        let wrong = |column| DbError::InconsistentRow { table: "roles", column, id: row.role_id.clone() };
        Ok(Self {
            base: row.base.parse().map_err(|_unknown| wrong("base"))?,
            reach: row.reach.parse().map_err(|_unknown| wrong("reach"))?,
            permissions: Permissions::from(row.permissions.as_str()),
            role_id: row.role_id,
            name: row.name,
            accounts: row.accounts,
            version: row.version,
        })
    }
}
