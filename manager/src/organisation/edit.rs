//! Changes of the tree: who may do what to which part of it, and what is stored.

use proto::api::UnixMillis;

use super::{
    DEPTH_MAX, ORGANISATIONS_MAX, is_name, is_note,
    store::{self, Organisation},
};
use crate::{
    audit::{self, change},
    db::{DbError, Tx},
    login::SiteLogin,
    role::Reach,
};

/// What is typed of an organisation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// Its name.
    pub name: String,
    /// Its note.
    pub note: String,
    /// The id of the one above it; empty for the root.
    pub parent: String,
}

/// Why the tree was not changed.
#[derive(Debug)]
pub enum EditError {
    /// Not a name.
    Name,
    /// Not a note.
    Note,
    /// Another one under the same one has the name.
    Taken,
    /// Both have one of this name under them.
    Twice(String),
    /// The one above is not there, or is not reached.
    Parent,
    /// It would be below itself.
    Cycle,
    /// The tree would be deeper than [`DEPTH_MAX`].
    Deep,
    /// There are [`ORGANISATIONS_MAX`].
    Many,
    /// Accounts or organisations belong to it.
    Used,
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

/// Makes an organisation; its id.
///
/// # Errors
/// [`EditError`].
pub async fn create(tx: &mut Tx, login: &SiteLogin, values: &Values, now: UnixMillis) -> Result<String, EditError> {
    check(values)?;
    let count = store::hold(tx, login.company_id).await?;
    if usize::try_from(count).is_ok_and(|count| ORGANISATIONS_MAX <= count) {
        return Err(EditError::Many);
    }
    let parent = parent(tx, login, values, None).await?;
    if parent.as_ref().is_some_and(|parent| DEPTH_MAX <= parent.depth().saturating_add(1)) {
        return Err(EditError::Deep);
    }
    let id = store::insert(tx, login.company_id, parent.as_ref(), &values.name, &values.note, now).await?;
    let above = parent.as_ref().map_or("", |parent| parent.name.as_str());
    let fields = [("name", "", values.name.as_str()), ("note", "", &values.note), ("parent", "", above)];
    record(tx, login, "organisation.created", &id, change::differences(fields), now).await?;
    Ok(id)
}

/// Changes an organisation that nobody changed since it was shown.
///
/// # Errors
/// [`EditError`].
pub async fn update(
    tx: &mut Tx,
    login: &SiteLogin,
    old: &Organisation,
    version: i64,
    values: &Values,
    now: UnixMillis,
) -> Result<(), EditError> {
    check(values)?;
    store::hold(tx, login.company_id).await?;
    let above = parent_of(tx, login, old).await?;
    let parent = parent(tx, login, values, Some(old)).await?;
    let moves = parent.as_ref().map(|parent| &parent.id) != old.parent_id.as_ref();
    if moves {
        if parent.as_ref().is_some_and(|parent| old.holds(parent)) {
            return Err(EditError::Cycle);
        }
        let height = height(tx, login, old).await?;
        let depth = parent.as_ref().map_or(0, |parent| parent.depth().saturating_add(1));
        if DEPTH_MAX < depth.saturating_add(height) {
            return Err(EditError::Deep);
        }
    }
    if !store::update(tx, old, version, (&values.name, &values.note), parent.as_ref()).await? {
        return Err(EditError::Changed);
    }
    if moves {
        store::repath(tx, login.company_id, old, parent.as_ref()).await?;
    }
    let below = if moves { parent.map(|parent| parent.name).unwrap_or_default() } else { above.clone() };
    let fields = [
        ("name", old.name.as_str(), values.name.as_str()),
        ("note", &old.note, &values.note),
        ("parent", above.as_str(), below.as_str()),
    ];
    let fields = change::differences(fields);
    if !fields.is_empty() {
        record(tx, login, "organisation.changed", &old.id, fields, now).await?;
    }
    Ok(())
}

/// Puts everything of one organisation into another and deletes it.
///
/// # Errors
/// [`EditError`].
pub async fn merge(
    tx: &mut Tx,
    login: &SiteLogin,
    from: &Organisation,
    into: &str,
    now: UnixMillis,
) -> Result<(), EditError> {
    store::hold(tx, login.company_id).await?;
    let target = store::find(tx, login, into).await?.ok_or(EditError::Parent)?;
    if from.holds(&target) {
        return Err(EditError::Cycle);
    }
    if DEPTH_MAX < target.depth().saturating_add(height(tx, login, from).await?) {
        return Err(EditError::Deep);
    }
    let reached = store::reached(tx, login).await?;
    for child in under(&reached, from) {
        if under(&reached, &target).any(|other| other.name == child.name) {
            return Err(EditError::Twice(child.name.clone()));
        }
        store::hang(tx, login.company_id, child, Some(&target)).await?;
    }
    let members = store::move_members(tx, from, &target).await?;
    if !store::delete(tx, from).await? {
        return Err(EditError::Changed);
    }
    let members = members.to_string();
    let fields = [("name", from.name.as_str(), target.name.as_str()), ("members", "", &members)];
    record(tx, login, "organisation.merged", &from.id, change::differences(fields), now).await
}

/// Deletes an organisation that holds nothing.
///
/// # Errors
/// [`EditError`].
pub async fn delete(tx: &mut Tx, login: &SiteLogin, old: &Organisation, now: UnixMillis) -> Result<(), EditError> {
    store::hold(tx, login.company_id).await?;
    if !store::delete(tx, old).await? {
        return Err(EditError::Used);
    }
    let fields = change::differences([("name", old.name.as_str(), "")]);
    record(tx, login, "organisation.deleted", &old.id, fields, now).await
}

/// Those right under one.
fn under<'a>(reached: &'a [Organisation], one: &'a Organisation) -> impl Iterator<Item = &'a Organisation> {
    reached.iter().filter(|other| other.parent_id.as_ref() == Some(&one.id))
}

fn check(values: &Values) -> Result<(), EditError> {
    if !is_name(&values.name) {
        return Err(EditError::Name);
    }
    if is_note(&values.note) { Ok(()) } else { Err(EditError::Note) }
}

/// The one above, as typed. Whoever reaches a part of the tree only stays in it: the top of that part does not move.
async fn parent(
    tx: &mut Tx,
    login: &SiteLogin,
    values: &Values,
    of: Option<&Organisation>,
) -> Result<Option<Organisation>, EditError> {
    let is_top = of.is_some_and(|of| login.organisation_path.as_ref() == Some(&of.path));
    match (login.reach, values.parent.as_str()) {
        (Reach::Company, "") => Ok(None),
        (Reach::Organisation | Reach::Own, "") if is_top => match of.and_then(|of| of.parent_id.clone()) {
            None => Ok(None),
            Some(id) => above(tx, login, &id).await,
        },
        (Reach::Organisation | Reach::Own, "") => Err(EditError::Parent),
        (_, id) => store::find(tx, login, id).await?.map(Some).ok_or(EditError::Parent),
    }
}

/// The one above the part that is reached, which is not reached itself.
async fn above(tx: &mut Tx, login: &SiteLogin, id: &str) -> Result<Option<Organisation>, EditError> {
    let all = SiteLogin { reach: Reach::Company, ..login.clone() };
    Ok(store::find(tx, &all, id).await?)
}

/// The name of the one above.
async fn parent_of(tx: &mut Tx, login: &SiteLogin, organisation: &Organisation) -> Result<String, EditError> {
    match &organisation.parent_id {
        None => Ok(String::new()),
        Some(id) => Ok(above(tx, login, id).await?.map(|parent| parent.name).unwrap_or_default()),
    }
}

/// Organisations from this one to the deepest below it.
async fn height(tx: &mut Tx, login: &SiteLogin, of: &Organisation) -> Result<usize, EditError> {
    let below = store::reached(tx, login).await?;
    let deepest = below.iter().filter(|other| of.holds(other)).map(Organisation::depth).max();
    Ok(deepest.unwrap_or_default().saturating_sub(of.depth()).saturating_add(1))
}

async fn record(
    tx: &mut Tx,
    login: &SiteLogin,
    event: &'static str,
    organisation_id: &str,
    fields: Vec<change::Field>,
    now: UnixMillis,
) -> Result<(), EditError> {
    let subject = format!("organisation:{organisation_id}");
    let detail = change::store(tx, login.company_id, &subject, &login.name, fields, now).await?;
    audit::append(tx, login.event(event, detail, now)).await?;
    Ok(())
}
