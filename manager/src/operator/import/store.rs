//! Files that wait to be run, and what they are read against.

use std::collections::{HashMap, HashSet};

use proto::api::UnixMillis;

use super::{LIFE_MS, Mode, plan::World};
use crate::{
    app,
    db::{DbResult, Tx},
    execute, fetch_all, fetch_optional,
    list::{self, Asked, Params},
    login::SiteLogin,
    operator::{edit::Choice, list::Accounts},
    organisation,
    role::{self, Role},
    site::{Lang, Words, frame::role_name},
};

/// Accounts that are read at once.
const STRETCH: i64 = 5_000;

/// Keeps a file for an hour; an earlier one of the same account goes. Its id.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn keep(tx: &mut Tx, login: &SiteLogin, mode: Mode, text: &str, now: UnixMillis) -> DbResult<String> {
    forget(tx, login).await?;
    let import_id = hex::encode(app::draw_id());
    execute!(
        tx,
        "INSERT INTO imports (import_id, company_id, operator_id, mode, content, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6)",
        &import_id,
        login.company_id.to_string(),
        login.operator_id.to_string(),
        mode.as_str(),
        text,
        now
    )?;
    Ok(import_id)
}

/// The mode and the text of a file that this account brought within the hour.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn find(
    tx: &mut Tx,
    login: &SiteLogin,
    import_id: &str,
    now: UnixMillis,
) -> DbResult<Option<(Mode, String)>> {
    let row = fetch_optional!(
        tx,
        (String, String),
        "SELECT mode, content
        FROM imports
        WHERE import_id = $1
        AND operator_id = $2
        AND created_at_ms > $3",
        import_id,
        login.operator_id.to_string(),
        now.saturating_sub(LIFE_MS)
    )?;
    Ok(row.and_then(|(mode, content)| Some((Mode::parse(&mode)?, content))))
}

/// Forgets the files of an account.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forget(tx: &mut Tx, login: &SiteLogin) -> DbResult<()> {
    execute!(tx, "DELETE FROM imports WHERE operator_id = $1", login.operator_id.to_string())?;
    Ok(())
}

/// Forgets files that nobody ran; how many.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn sweep(tx: &mut Tx, now: UnixMillis) -> DbResult<u64> {
    execute!(tx, "DELETE FROM imports WHERE created_at_ms <= $1", now.saturating_sub(LIFE_MS))
}

/// What a file of this account is read against.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn world(tx: &mut Tx, login: &SiteLogin, now: UnixMillis) -> DbResult<World> {
    let company_id = login.company_id.to_string();
    let taken = fetch_all!(
        tx,
        (String,),
        "SELECT user_id
        FROM operators
        WHERE company_id = $1
        AND deleted_at_ms IS NULL
        LIMIT 1000000",
        &company_id
    )?;
    let seats = fetch_optional!(tx, (Option<i64>,), "SELECT seats FROM companies WHERE company_id = $1", &company_id)?;
    let used = i64::try_from(taken.len()).unwrap_or(i64::MAX);
    Ok(World {
        accounts: accounts(tx, login, now).await?,
        seats_left: seats.and_then(|(seats,)| seats).map(|seats| seats.saturating_sub(used)),
        taken: taken.into_iter().map(|(user,)| user).collect::<HashSet<_>>(),
        roles: roles(tx, login).await?,
        organisations: organisations(tx, login).await?,
        oneself: Some(login.operator_id),
    })
}

async fn accounts(
    tx: &mut Tx,
    login: &SiteLogin,
    now: UnixMillis,
) -> DbResult<HashMap<String, crate::operator::list::Row>> {
    let params = Params::default();
    let listing = Accounts::read(&params, login, now);
    let mut asked = Asked::read::<Accounts>(&params);
    let mut accounts = HashMap::new();
    loop {
        let (rows, next) = list::stretch(tx, &listing, &asked, STRETCH).await?;
        accounts.extend(rows.into_iter().map(|row| (row.user_id.clone(), row)));
        match next {
            Some(cursor) => asked.from = list::From::After(cursor),
            None => return Ok(accounts),
        }
    }
}

/// By their keys and their names in both languages; a name of the company's own gives way to those of the product.
async fn roles(tx: &mut Tx, login: &SiteLogin) -> DbResult<HashMap<String, Choice>> {
    let own = role::store::of_company(tx, login.company_id).await?;
    let mut roles: HashMap<String, Choice> =
        own.into_iter().map(|role| (role.name.clone(), Choice::from(role))).collect();
    for role in Role::ALL {
        roles.insert(role.to_string(), role.into());
        for lang in Lang::ALL {
            roles.insert(role_name(role, Words::of(lang)).to_owned(), role.into());
        }
    }
    Ok(roles)
}

/// Those that the account reaches, by their names and their full names; a name of several leads to none.
async fn organisations(tx: &mut Tx, login: &SiteLogin) -> DbResult<HashMap<String, Option<String>>> {
    let tree = organisation::store::reached(tx, login).await?;
    let mut full_names = organisation::store::full_names(&tree);
    let mut found: HashMap<String, Option<String>> = HashMap::new();
    for one in tree {
        let full_name = full_names.remove(&one.id).unwrap_or_default();
        for name in [one.name, full_name] {
            let known = found.entry(name).or_insert_with(|| Some(one.id.clone()));
            if known.as_ref() != Some(&one.id) {
                *known = None;
            }
        }
    }
    Ok(found)
}
