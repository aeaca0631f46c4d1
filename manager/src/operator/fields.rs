//! What is typed about an account, read into values; the same at the site and in the API.

use super::{
    MailAddress,
    edit::{Choice, Values},
    is_reading,
};
use crate::{
    company::ShownName,
    db::{DbResult, Tx},
    login::SiteLogin,
    organisation::store::{self as organisations, Organisation},
    role::Reach,
};

/// What was typed.
#[derive(Debug, Clone, Copy)]
pub struct Typed<'a> {
    /// Name that customers see.
    pub name: &'a str,
    /// Its reading; may be empty.
    pub kana: &'a str,
    /// Address of mail; may be empty.
    pub email: &'a str,
    /// A role of the product, or the id of one of the company.
    pub role: &'a str,
}

/// A field that cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// See [`ShownName`].
    Name,
    /// Too long, or with control characters.
    Kana,
    /// See [`MailAddress`].
    Email,
    /// There is no such role.
    Role,
}

/// An organisation that is not there, or not in reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfReach;

/// Reads what was typed; every field that is wrong.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn read(tx: &mut Tx, login: &SiteLogin, typed: Typed<'_>) -> DbResult<Result<Values, Vec<Wrong>>> {
    let name: Option<ShownName> = typed.name.trim().parse().ok();
    let kana = typed.kana.trim();
    let email: Option<MailAddress> = typed.email.trim().parse().ok();
    let role = Choice::read(tx, login, typed.role).await?;
    Ok(match (name, is_reading(kana), email, role) {
        (Some(name), true, Some(email), Some(role)) => {
            Ok(Values { name, kana: kana.to_owned(), email, role, proved: false })
        }
        (name, kana_is_right, email, role) => {
            let wrong = [
                (Wrong::Name, name.is_none()),
                (Wrong::Kana, !kana_is_right),
                (Wrong::Email, email.is_none()),
                (Wrong::Role, role.is_none()),
            ];
            Err(wrong.into_iter().filter(|(_, is_wrong)| *is_wrong).map(|(field, _)| field).collect())
        }
    })
}

/// Where an account shall be (the id of an organisation, or empty for none), when that is another place than `before`.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn organisation_of(
    tx: &mut Tx,
    login: &SiteLogin,
    after: &str,
    before: Option<&str>,
) -> DbResult<Result<Option<Option<Organisation>>, OutOfReach>> {
    if after == before.unwrap_or_default() {
        return Ok(Ok(None));
    }
    if after.is_empty() {
        // Who sees a part of the tree only would lose sight of it.
        return Ok(if login.reach == Reach::Company { Ok(Some(None)) } else { Err(OutOfReach) });
    }
    Ok(organisations::find(tx, login, after).await?.map(|found| Some(Some(found))).ok_or(OutOfReach))
}
