//! Rows of groups.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};

use super::GROUPS_MAX;
use crate::{
    app,
    db::{DbResult, Tx},
    execute, fetch_all, fetch_optional,
};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Group {
    /// 32 hexadecimal digits.
    #[sqlx(rename = "group_id")]
    pub id: String,
    /// Its name, unique in the company.
    pub name: String,
    /// Counts changes.
    pub version: i64,
    /// Accounts that have it.
    pub members: i64,
}

/// The groups of a company, by name.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn of_company(tx: &mut Tx, company_id: CompanyId) -> DbResult<Vec<Group>> {
    fetch_all!(
        tx,
        Group,
        "SELECT g.group_id, g.name, g.version,
            (SELECT COUNT(*) FROM account_group_members m WHERE m.group_id = g.group_id) AS members
        FROM account_groups g
        WHERE g.company_id = $1
        ORDER BY g.name
        LIMIT 1000",
        company_id.to_string()
    )
}

/// The ids of the groups of an account.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn of_account(tx: &mut Tx, operator_id: &str) -> DbResult<Vec<String>> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT group_id
        FROM account_group_members
        WHERE operator_id = $1
        ORDER BY group_id
        LIMIT 1000",
        operator_id
    )?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// One group of a company.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find(tx: &mut Tx, company_id: CompanyId, group_id: &str) -> DbResult<Option<Group>> {
    fetch_optional!(
        tx,
        Group,
        "SELECT g.group_id, g.name, g.version,
            (SELECT COUNT(*) FROM account_group_members m WHERE m.group_id = g.group_id) AS members
        FROM account_groups g
        WHERE g.company_id = $1
        AND g.group_id = $2",
        company_id.to_string(),
        group_id
    )
}

/// Stores a new group, unless the company has [`GROUPS_MAX`]; its id. A name that is taken is
/// [`crate::db::DbError::Duplicate`].
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn insert(tx: &mut Tx, company_id: CompanyId, name: &str, now: UnixMillis) -> DbResult<Option<String>> {
    let group_id = hex::encode(app::draw_id());
    let inserted = execute!(
        tx,
        "INSERT INTO account_groups (group_id, company_id, name, note, created_at_ms, version)
        SELECT $1, $2, $3, '', $4, 0
        WHERE (SELECT COUNT(*) FROM account_groups WHERE company_id = $2) < $5",
        &group_id,
        company_id.to_string(),
        name,
        now,
        GROUPS_MAX
    )?;
    Ok((inserted == 1).then_some(group_id))
}

/// Renames a group that nobody changed since it was shown; whether it did.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn rename(tx: &mut Tx, group: &Group, version: i64, name: &str) -> DbResult<bool> {
    let updated = execute!(
        tx,
        "UPDATE account_groups
        SET name = $3, version = version + 1
        WHERE group_id = $1
        AND version = $2",
        &group.id,
        version,
        name
    )?;
    Ok(updated == 1)
}

/// Deletes a group and takes it off every account.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn delete(tx: &mut Tx, group: &Group) -> DbResult<()> {
    execute!(tx, "DELETE FROM account_group_members WHERE group_id = $1", &group.id)?;
    execute!(tx, "DELETE FROM account_groups WHERE group_id = $1", &group.id)?;
    Ok(())
}

/// Gives an account exactly these groups of its company.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn set(tx: &mut Tx, company_id: CompanyId, operator_id: OperatorId, groups: &[String]) -> DbResult<()> {
    let operator_id = operator_id.to_string();
    execute!(tx, "DELETE FROM account_group_members WHERE operator_id = $1", &operator_id)?;
    for group_id in groups {
        execute!(
            tx,
            "INSERT INTO account_group_members (group_id, operator_id)
            SELECT group_id, $3
            FROM account_groups
            WHERE company_id = $1
            AND group_id = $2
            ON CONFLICT DO NOTHING",
            company_id.to_string(),
            group_id,
            &operator_id
        )?;
    }
    Ok(())
}
