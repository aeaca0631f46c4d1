//! Does what a plan says, in the caller's transaction: all of it, or the transaction is not committed.

use proto::api::UnixMillis;

use super::plan::{Change, Fault, Mistake, Place, What};
use crate::{
    app::App,
    db::{DbError, Tx},
    login::{
        SiteLogin,
        link::{self, Purpose},
        password::PasswordHash,
    },
    operator::edit::{self, EditError},
};

/// Links of new accounts that nobody got a mail with: who, and the path of the page on which the password is set.
pub(super) type Links = Vec<(String, String, String)>;

/// Why a plan was not done.
#[derive(Debug)]
pub(super) enum ApplyError {
    /// A record, which somebody else's change made impossible.
    Mistake(Mistake),
    /// The database.
    Db(DbError),
}

impl From<DbError> for ApplyError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Does every change. New accounts have no password that anybody knows:
/// it is set by a link, which is mailed when that is possible.
pub(super) async fn apply(
    app: &App,
    tx: &mut Tx,
    login: &SiteLogin,
    changes: &[Change],
    now: UnixMillis,
) -> Result<Links, ApplyError> {
    let mut links = Vec::new();
    for change in changes {
        if let Err(error) = one(app, tx, login, change, now, &mut links).await {
            return Err(place(error, change));
        }
    }
    Ok(links)
}

async fn one(
    app: &App,
    tx: &mut Tx,
    login: &SiteLogin,
    change: &Change,
    now: UnixMillis,
    links: &mut Links,
) -> Result<(), EditError> {
    match &change.what {
        What::Add { values, organisation, stopped } => {
            let operator_id = edit::create(tx, login, &change.user, values, &PasswordHash::decoy(), now).await?;
            if let Some((id, name)) = organisation {
                edit::place_in(tx, login, operator_id, "", Some((id, name)), now).await?;
            }
            if *stopped {
                return edit::stop_new(tx, login, operator_id, now).await;
            }
            if !link::send(app, tx, operator_id, Purpose::Invitation, login.lang, now).await? {
                let (page, _) = link::issue(tx, operator_id, Purpose::Invitation, now).await?;
                links.push((change.user.as_str().to_owned(), values.name.as_str().to_owned(), page));
            }
        }
        What::Update { row, values, organisation, stopped } => {
            edit::update(tx, login, row, row.version, values, now).await?;
            let after = match organisation {
                Place::Same => None,
                Place::Nowhere => Some(None),
                Place::In(id, name) => Some(Some((id.as_str(), name.as_str()))),
            };
            if let Some(after) = after {
                let before = row.organisation.as_deref().unwrap_or_default();
                edit::place_in(tx, login, edit::id_of(row)?, before, after, now).await?;
            }
            if let Some(stopped) = stopped {
                edit::set_stopped(tx, login, row, *stopped, now).await?;
            }
        }
        What::Delete { row } => edit::delete(tx, login, row, now).await?,
    }
    Ok(())
}

fn place(error: EditError, change: &Change) -> ApplyError {
    let fault = match error {
        EditError::Db(error) => return ApplyError::Db(error),
        EditError::Changed | EditError::NoMail => Fault::Changed,
        EditError::Taken => Fault::Taken,
        EditError::NoSeat => Fault::NoSeat,
        EditError::TooWide | EditError::ByToken => Fault::TooWide,
        EditError::LastAdmin => Fault::LastAdmin,
        EditError::Oneself | EditError::Unproved => Fault::Oneself,
    };
    ApplyError::Mistake(Mistake { line: change.line, column: None, value: change.user.as_str().to_owned(), fault })
}
