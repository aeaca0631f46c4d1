//! Rows of organisations.

use std::collections::{BTreeMap, HashMap};

use proto::{api::UnixMillis, id::CompanyId};

use crate::{
    app,
    db::{
        DbResult, Tx,
        select::{Select, begins_with},
    },
    execute, fetch_all, fetch_one,
    login::SiteLogin,
};

/// Accounts, and organisations below, that [`inside`] names.
const NAMED_MAX: i64 = 20;

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Organisation {
    /// 32 hexadecimal digits.
    #[sqlx(rename = "organisation_id")]
    pub id: String,
    /// The one above it.
    pub parent_id: Option<String>,
    /// The ids from the root to this one, each followed by a slash.
    pub path: String,
    /// Its name, unique among those under the same one.
    pub name: String,
    /// Anything else.
    pub note: String,
    /// Counts changes.
    pub version: i64,
    /// Accounts that belong to it.
    pub members: i64,
}

/// What stands in an organisation: the first of each kind, as id and name, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// Accounts that belong to it.
    pub members: Vec<(String, String)>,
    /// All of them.
    pub members_total: i64,
    /// Organisations under it.
    pub below: Vec<(String, String)>,
    /// All of them.
    pub below_total: i64,
}

impl Inside {
    /// Accounts that are not named.
    pub fn members_more(&self) -> i64 {
        self.members_total.saturating_sub(i64::try_from(self.members.len()).unwrap_or_default())
    }

    /// Organisations that are not named.
    pub fn below_more(&self) -> i64 {
        self.below_total.saturating_sub(i64::try_from(self.below.len()).unwrap_or_default())
    }
}

impl Organisation {
    /// How many are above it.
    pub fn depth(&self) -> usize {
        self.path.matches('/').count().saturating_sub(1)
    }

    /// Whether it is this one or above it.
    pub fn holds(&self, other: &Self) -> bool {
        other.path.starts_with(&self.path)
    }
}

const SELECT: &str = "SELECT g.organisation_id, g.parent_id, g.path, g.name, g.note, g.version,
    (SELECT COUNT(*) FROM operators o WHERE o.organisation_id = g.organisation_id AND o.deleted_at_ms IS NULL) AS members
    FROM organisations g WHERE g.company_id =";

/// Those that an account reaches, each behind the one above it, by name.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn reached(tx: &mut Tx, login: &SiteLogin) -> DbResult<Vec<Organisation>> {
    let mut select = Select::new(SELECT);
    select.bind(login.company_id.to_string());
    login.narrow_organisations(&mut select);
    select.add("ORDER BY g.name, g.organisation_id LIMIT 10000");
    Ok(as_tree(select.fetch_all(tx).await?))
}

/// One that an account reaches.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find(tx: &mut Tx, login: &SiteLogin, organisation_id: &str) -> DbResult<Option<Organisation>> {
    // No id has a NUL, and PostgreSQL takes none in a text.
    if organisation_id.contains('\0') {
        return Ok(None);
    }
    let mut select = Select::new(SELECT);
    select.bind(login.company_id.to_string()).add("AND g.organisation_id =").bind(organisation_id);
    login.narrow_organisations(&mut select);
    let rows: Vec<Organisation> = select.fetch_all(tx).await?;
    Ok(rows.into_iter().next())
}

/// What stands in an organisation.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn inside(tx: &mut Tx, organisation: &Organisation) -> DbResult<Inside> {
    let members = fetch_all!(
        tx,
        (String, String),
        "SELECT operator_id, name
        FROM operators
        WHERE organisation_id = $1
        ORDER BY COALESCE(NULLIF(kana, ''), name), operator_id
        LIMIT $2",
        &organisation.id,
        NAMED_MAX
    )?;
    let below = fetch_all!(
        tx,
        (String, String),
        "SELECT organisation_id, name
        FROM organisations
        WHERE parent_id = $1
        ORDER BY name
        LIMIT $2",
        &organisation.id,
        NAMED_MAX
    )?;
    let (members_total, below_total) = fetch_one!(
        tx,
        (i64, i64),
        "SELECT (SELECT COUNT(*) FROM operators WHERE organisation_id = $1),
            (SELECT COUNT(*) FROM organisations WHERE parent_id = $1)",
        &organisation.id
    )?;
    Ok(Inside { members, members_total, below, below_total })
}

/// The names from the top of a tree to each of it, joined by slashes; by id. Each is behind the one above it.
pub fn full_names(tree: &[Organisation]) -> HashMap<String, String> {
    let mut names: HashMap<String, String> = HashMap::new();
    for one in tree {
        let above = one.parent_id.as_ref().and_then(|parent| names.get(parent));
        let name = above.map_or_else(|| one.name.clone(), |above| format!("{above}/{}", one.name));
        names.insert(one.id.clone(), name);
    }
    names
}

/// Puts each behind the one above it; one whose upper one is not among them is a root.
fn as_tree(rows: Vec<Organisation>) -> Vec<Organisation> {
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let mut below: BTreeMap<Option<String>, Vec<Organisation>> = BTreeMap::new();
    for row in rows {
        let parent = row.parent_id.clone().filter(|parent| ids.contains(parent));
        below.entry(parent).or_default().push(row);
    }
    let mut tree = Vec::new();
    let mut open: Vec<Organisation> = below.remove(&None).unwrap_or_default();
    open.reverse();
    while let Some(next) = open.pop() {
        let mut under = below.remove(&Some(next.id.clone())).unwrap_or_default();
        under.reverse();
        open.append(&mut under);
        tree.push(next);
    }
    tree
}

/// Holds the company's row, so that of two changes of its tree the second sees the first; how many organisations it has.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn hold(tx: &mut Tx, company_id: CompanyId) -> DbResult<i64> {
    let company_id = company_id.to_string();
    execute!(tx, "UPDATE companies SET seats = seats WHERE company_id = $1", &company_id)?;
    let (count,) = fetch_one!(tx, (i64,), "SELECT COUNT(*) FROM organisations WHERE company_id = $1", &company_id)?;
    Ok(count)
}

/// Stores a new one; its id. A name that is taken is [`crate::db::DbError::Duplicate`].
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn insert(
    tx: &mut Tx,
    company_id: CompanyId,
    parent: Option<&Organisation>,
    name: &str,
    note: &str,
    now: UnixMillis,
) -> DbResult<String> {
    let id = hex::encode(app::draw_id());
    let path = format!("{}{id}/", parent.map_or("", |parent| parent.path.as_str()));
    execute!(
        tx,
        "INSERT INTO organisations (organisation_id, company_id, parent_id, path, name, note, created_at_ms, version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
        &id,
        company_id.to_string(),
        parent.map(|parent| parent.id.clone()),
        path,
        name,
        note,
        now
    )?;
    Ok(id)
}

/// Changes one that nobody changed since it was read; whether it did. The paths of those below follow by [`repath`].
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn update(
    tx: &mut Tx,
    organisation: &Organisation,
    version: i64,
    (name, note): (&str, &str),
    parent: Option<&Organisation>,
) -> DbResult<bool> {
    let updated = execute!(
        tx,
        "UPDATE organisations
        SET name = $3, note = $4, parent_id = $5, version = version + 1
        WHERE organisation_id = $1
        AND version = $2",
        &organisation.id,
        version,
        name,
        note,
        parent.map(|parent| parent.id.clone())
    )?;
    Ok(updated == 1)
}

/// Hangs one, with everything below it, under another or at the root.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn hang(
    tx: &mut Tx,
    company_id: CompanyId,
    organisation: &Organisation,
    parent: Option<&Organisation>,
) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE organisations
        SET parent_id = $2
        WHERE organisation_id = $1",
        &organisation.id,
        parent.map(|parent| parent.id.clone())
    )?;
    repath(tx, company_id, organisation, parent).await
}

/// Gives one and everything below it the paths that belong under another one or at the root.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn repath(
    tx: &mut Tx,
    company_id: CompanyId,
    organisation: &Organisation,
    parent: Option<&Organisation>,
) -> DbResult<()> {
    let path = format!("{}{}/", parent.map_or("", |parent| parent.path.as_str()), organisation.id);
    execute!(
        tx,
        "UPDATE organisations
        SET path = $3 || SUBSTR(path, LENGTH($2) + 1), version = version + 1
        WHERE company_id = $1
        AND path LIKE $4 ESCAPE '!'",
        company_id.to_string(),
        &organisation.path,
        path,
        begins_with(&organisation.path)
    )?;
    Ok(())
}

/// Puts the accounts of one into another.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn move_members(tx: &mut Tx, from: &Organisation, to: &Organisation) -> DbResult<u64> {
    execute!(
        tx,
        "UPDATE operators
        SET organisation_id = $2, version = version + 1
        WHERE organisation_id = $1",
        &from.id,
        &to.id
    )
}

/// Deletes one that holds nothing; whether it did.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn delete(tx: &mut Tx, organisation: &Organisation) -> DbResult<bool> {
    let deleted = execute!(
        tx,
        "DELETE FROM organisations
        WHERE organisation_id = $1
        AND NOT EXISTS (SELECT 1 FROM organisations b WHERE b.parent_id = $1)
        AND NOT EXISTS (SELECT 1 FROM operators o WHERE o.organisation_id = $1)",
        &organisation.id
    )?;
    Ok(deleted == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, parent: Option<&str>, name: &str) -> Organisation {
        let (id, parent_id) = (id.to_owned(), parent.map(str::to_owned));
        let (path, name) = (format!("{id}/"), name.to_owned());
        Organisation { id, parent_id, path, name, note: String::new(), version: 0, members: 0 }
    }

    #[test]
    fn a_tree_has_each_behind_the_one_above_it_and_one_without_it_as_a_root() {
        let rows = vec![
            row("c", Some("a"), "1"),
            row("b", None, "2"),
            row("a", None, "3"),
            row("d", Some("c"), "4"),
            row("e", Some("elsewhere"), "5"),
            row("f", Some("a"), "6"),
        ];
        let order: String = as_tree(rows).into_iter().map(|row| row.id).collect();
        assert_eq!(order, "bacdfe");
    }

    #[test]
    fn a_full_name_begins_at_the_top_of_what_is_seen() {
        let tree =
            as_tree(vec![row("b", Some("a"), "東京"), row("a", Some("elsewhere"), "東日本"), row("c", None, "東京")]);
        let names = full_names(&tree);
        assert_eq!((names["a"].as_str(), names["b"].as_str(), names["c"].as_str()), ("東日本", "東日本/東京", "東京"));
    }
}
