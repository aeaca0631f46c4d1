//! Changes of groups: what is stored, and what stands in the log.

use proto::api::UnixMillis;

use super::store::{self, Group};
use crate::{
    audit::{self, change},
    company::ShownName,
    db::{DbError, DbResult, Tx},
    login::SiteLogin,
};

/// Why a group was not made or changed.
#[derive(Debug)]
pub enum EditError {
    /// There are [`super::GROUPS_MAX`].
    Many,
    /// The name is taken.
    Taken,
    /// Somebody else changed it meanwhile.
    Changed,
    /// The database.
    Db(DbError),
}

impl From<DbError> for EditError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Duplicate(_) => Self::Taken,
            DbError::Busy(_) | DbError::InconsistentRow { .. } | DbError::Failed(_) | DbError::Migrate(_) => {
                Self::Db(error)
            }
        }
    }
}

/// Makes a group; its id.
///
/// # Errors
/// [`EditError`].
pub async fn create(tx: &mut Tx, login: &SiteLogin, name: &ShownName, now: UnixMillis) -> Result<String, EditError> {
    let made = store::insert(tx, login.company_id, name.as_str(), now).await?;
    let group_id = made.ok_or(EditError::Many)?;
    record(tx, login, "group.created", &group_id, ("", name.as_str()), now).await?;
    Ok(group_id)
}

/// Renames a group that nobody changed since it was shown.
///
/// # Errors
/// [`EditError`].
pub async fn rename(
    tx: &mut Tx,
    login: &SiteLogin,
    old: &Group,
    version: i64,
    name: &ShownName,
    now: UnixMillis,
) -> Result<(), EditError> {
    if !store::rename(tx, old, version, name.as_str()).await? {
        return Err(EditError::Changed);
    }
    record(tx, login, "group.changed", &old.id, (&old.name, name.as_str()), now).await?;
    Ok(())
}

/// Deletes a group; its accounts stay.
///
/// # Errors
/// [`DbError`].
pub async fn delete(tx: &mut Tx, login: &SiteLogin, old: &Group, now: UnixMillis) -> DbResult<()> {
    store::delete(tx, old).await?;
    record(tx, login, "group.deleted", &old.id, (&old.name, ""), now).await
}

/// The row of the operation log; the names stand beside the chain.
async fn record(
    tx: &mut Tx,
    login: &SiteLogin,
    event: &'static str,
    group_id: &str,
    (old, new): (&str, &str),
    now: UnixMillis,
) -> DbResult<()> {
    let fields = vec![change::Field { name: "name".to_owned(), old: old.to_owned(), new: new.to_owned() }];
    let subject = format!("group:{group_id}");
    let detail = change::store(tx, login.company_id, &subject, &login.name, fields, now).await?;
    audit::append(tx, login.event(event, detail, now)).await?;
    Ok(())
}
