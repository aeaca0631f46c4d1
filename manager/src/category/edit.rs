//! Changes of categories, the same at the site and in the API.

use proto::api::UnixMillis;

use super::store::{self, Category};
use crate::{
    audit::{self, change},
    company::ShownName,
    db::{DbError, DbResult, Tx},
    login::SiteLogin,
};

/// Why a category was not made or changed.
#[derive(Debug)]
pub enum EditError {
    /// The company has [`store::CATEGORIES_MAX`].
    Many,
    /// The name is taken.
    Taken,
    /// Somebody else changed it meanwhile.
    Changed,
    /// A case has it.
    Used,
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

/// Makes a category; its id.
///
/// # Errors
/// [`EditError`].
pub async fn create(tx: &mut Tx, login: &SiteLogin, name: &ShownName, now: UnixMillis) -> Result<String, EditError> {
    let category_id = store::insert(tx, login.company_id, name.as_str(), now).await?.ok_or(EditError::Many)?;
    log(tx, login, "category.created", &category_id, ("", name.as_str()), now).await?;
    Ok(category_id)
}

/// Renames a category, retires it, or offers it again: what `new` says, over its version.
///
/// # Errors
/// [`EditError`].
pub async fn change(
    tx: &mut Tx,
    login: &SiteLogin,
    old: &Category,
    new: &Category,
    now: UnixMillis,
) -> Result<(), EditError> {
    if !store::update(tx, login.company_id, new).await? {
        return Err(EditError::Changed);
    }
    if old.name != new.name {
        log(tx, login, "category.changed", &old.id, (&old.name, &new.name), now).await?;
    }
    if old.retired != new.retired {
        let event = if new.retired { "category.retired" } else { "category.returned" };
        log(tx, login, event, &old.id, (&new.name, &new.name), now).await?;
    }
    Ok(())
}

/// Deletes a category that no case has.
///
/// # Errors
/// [`EditError`].
pub async fn delete(tx: &mut Tx, login: &SiteLogin, old: &Category, now: UnixMillis) -> Result<(), EditError> {
    if !store::delete(tx, login.company_id, &old.id).await? {
        return Err(EditError::Used);
    }
    log(tx, login, "category.deleted", &old.id, (&old.name, &old.name), now).await?;
    Ok(())
}

/// The row of the operation log; the names stand beside the chain.
async fn log(
    tx: &mut Tx,
    login: &SiteLogin,
    event: &'static str,
    category_id: &str,
    (old, new): (&str, &str),
    now: UnixMillis,
) -> DbResult<()> {
    let fields = vec![change::Field { name: "name".to_owned(), old: old.to_owned(), new: new.to_owned() }];
    let subject = format!("category:{category_id}");
    let detail = change::store(tx, login.company_id, &subject, &login.name, fields, now).await?;
    audit::append(tx, login.event(event, detail, now)).await?;
    Ok(())
}
