//! What each record of a file means, decided against the accounts that there are. Changes nothing.

use std::collections::{HashMap, HashSet};

use proto::id::OperatorId;

use super::{
    CHANGES_MAX, Mode, SHOWN_MAX,
    read::{Column, Record, Sheet},
};
use crate::{
    company::ShownName,
    login::SiteLogin,
    operator::{
        MailAddress, UserId,
        edit::{Choice, Values},
        is_reading,
        list::Row,
    },
    role::Role,
};

/// What a file is read against.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The accounts that whoever runs the file may change, by id.
    pub accounts: HashMap<String, Row>,
    /// Every id of the company.
    pub taken: HashSet<String>,
    /// Roles by their keys and names.
    pub roles: HashMap<String, Choice>,
    /// Ids of organisations by their names and full names; none when several have it.
    pub organisations: HashMap<String, Option<String>>,
    /// Accounts that the contract has room for; none when it has no bound.
    pub seats_left: Option<i64>,
    /// Whoever runs the file.
    pub oneself: Option<OperatorId>,
}

/// What a file would do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// In the order of the file.
    pub changes: Vec<Change>,
    /// Records that say what is so already.
    pub unchanged: usize,
    /// The first [`SHOWN_MAX`] mistakes.
    pub mistakes: Vec<Mistake>,
    /// All of them.
    pub mistaken: usize,
}

/// What one record does.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its line.
    pub line: u64,
    /// The id.
    pub user: UserId,
    /// What is done.
    pub what: What,
    /// What is different afterwards.
    pub differences: Vec<(Column, String, String)>,
}

/// What is done with an account.
#[derive(Debug, Clone)]
pub enum What {
    /// It is made.
    Add {
        /// Its values.
        values: Values,
        /// Its organisation: id and name.
        organisation: Option<(String, String)>,
        /// It may not log in yet.
        stopped: bool,
    },
    /// It is changed.
    Update {
        /// As it is.
        row: Box<Row>,
        /// As it will be.
        values: Values,
        /// Where it will be.
        organisation: Place,
        /// Whether it may log in, when that is another thing.
        stopped: Option<bool>,
    },
    /// It goes.
    Delete {
        /// As it is.
        row: Box<Row>,
    },
}

/// Where an account will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Where it is.
    Same,
    /// In no organisation.
    Nowhere,
    /// In another one: id and name.
    In(String, String),
}

/// A cell that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line of the record.
    pub line: u64,
    /// The column; none when it is about the whole record.
    pub column: Option<Column>,
    /// What stands in the cell.
    pub value: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a cell or a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// More or fewer cells than columns.
    Ragged,
    /// No id, or not one.
    User,
    /// The id stands in the file twice.
    Twice,
    /// There is such an account already.
    Taken,
    /// There is no such account.
    Unknown,
    /// Not a name.
    Name,
    /// Not a reading.
    Kana,
    /// Not an address.
    Email,
    /// Not a role.
    Role,
    /// The role gives more than whoever runs the file has.
    TooWide,
    /// Not an organisation.
    Organisation,
    /// Several organisations have this name.
    Ambiguous,
    /// Neither of the words for a state.
    State,
    /// One cannot do this to oneself.
    Oneself,
    /// The contract has no seat left.
    NoSeat,
    /// More than [`CHANGES_MAX`] changes.
    TooMany,
    /// Nobody would be left who can administer the company.
    LastAdmin,
    /// Somebody changed it at this moment.
    Changed,
}

/// A mistake in a cell, until its record is known.
type Wrong = (Option<Column>, Fault);

/// Decides what a file does.
pub fn plan(sheet: &Sheet, mode: Mode, world: &World, login: &SiteLogin) -> Plan {
    let mut plan = Plan::default();
    let mut seen: HashMap<&str, u64> = HashMap::new();
    let (mut seats_left, mut is_full) = (world.seats_left, false);
    for record in &sheet.records {
        let user = record.cell(Column::User).unwrap_or_default();
        let decided = if seen.insert(user, record.line).is_some() {
            Err((Some(Column::User), Fault::Twice))
        } else {
            decide(record, mode, world, login)
        };
        let decided = decided.and_then(|change| {
            if let Some(left) = &mut seats_left {
                *left = left.saturating_sub(change.as_ref().map_or(0, |change| change.what.seats()));
            }
            let is_over = seats_left.is_some_and(|left| left < 0);
            let takes = change.as_ref().is_some_and(|change| 0 < change.what.seats());
            if is_over && takes { Err((None, Fault::NoSeat)) } else { Ok(change) }
        });
        match decided {
            Ok(None) => plan.unchanged = plan.unchanged.saturating_add(1),
            // The first one that is too much is told, and what is wrong with later ones.
            Ok(Some(_)) if CHANGES_MAX <= plan.changes.len() => {
                if !std::mem::replace(&mut is_full, true) {
                    plan.note(record, (None, Fault::TooMany));
                }
            }
            Ok(Some(change)) => plan.changes.push(change),
            Err(wrong) => plan.note(record, wrong),
        }
    }
    plan
}

impl Plan {
    fn note(&mut self, record: &Record, (column, fault): Wrong) {
        self.mistaken = self.mistaken.saturating_add(1);
        if self.mistakes.len() < SHOWN_MAX {
            let value = record.cell(column.unwrap_or(Column::User)).unwrap_or_default().to_owned();
            self.mistakes.push(Mistake { line: record.line, column, value, fault });
        }
    }

    /// Accounts that are added, changed and deleted.
    pub fn counts(&self) -> (usize, usize, usize) {
        self.changes.iter().fold((0, 0, 0), |(added, changed, deleted), change| match change.what {
            What::Add { .. } => (added + 1, changed, deleted),
            What::Update { .. } => (added, changed + 1, deleted),
            What::Delete { .. } => (added, changed, deleted + 1),
        })
    }
}

impl What {
    /// Seats that it takes; fewer than none when it gives one back.
    const fn seats(&self) -> i64 {
        match self {
            Self::Add { .. } => 1,
            Self::Update { .. } => 0,
            Self::Delete { .. } => -1,
        }
    }
}

/// What one record does; nothing when everything is so already.
fn decide(record: &Record, mode: Mode, world: &World, login: &SiteLogin) -> Result<Option<Change>, Wrong> {
    if record.is_ragged {
        return Err((None, Fault::Ragged));
    }
    let text = record.cell(Column::User).unwrap_or_default();
    let user: UserId = text.parse().map_err(|_not_an_id| (Some(Column::User), Fault::User))?;
    let (found, is_taken) = (world.accounts.get(text), world.taken.contains(text));
    match (mode, found) {
        (Mode::Add | Mode::Both, None) if is_taken => Err((Some(Column::User), Fault::Taken)),
        (Mode::Add, Some(_)) => Err((Some(Column::User), Fault::Taken)),
        (Mode::Update | Mode::Delete, None) => Err((Some(Column::User), Fault::Unknown)),
        (Mode::Delete, Some(row)) => delete(record, user, row, world).map(Some),
        (Mode::Update | Mode::Both, Some(row)) => update(record, user, row, world, login),
        (Mode::Add | Mode::Both, None) => add(record, user, world, login).map(Some),
    }
}

fn delete(record: &Record, user: UserId, row: &Row, world: &World) -> Result<Change, Wrong> {
    if is_oneself(row, world) {
        return Err((None, Fault::Oneself));
    }
    let differences = vec![(Column::User, row.user_id.clone(), String::new())];
    Ok(Change { line: record.line, user, what: What::Delete { row: Box::new(row.clone()) }, differences })
}

fn add(record: &Record, user: UserId, world: &World, login: &SiteLogin) -> Result<Change, Wrong> {
    let cell = |column| record.cell(column).unwrap_or_default();
    let role = match cell(Column::Role) {
        "" => Choice::from(Role::Operator),
        text => role(text, world)?,
    };
    within(&role, login)?;
    let values = values(cell(Column::Name), cell(Column::Kana), cell(Column::Email), role)?;
    let organisation = organisation(cell(Column::Organisation), world)?;
    let stopped = state(cell(Column::State))?.unwrap_or(false);
    let differences = Column::ALL
        .into_iter()
        .filter(|column| !cell(*column).is_empty())
        .map(|column| (column, String::new(), cell(column).to_owned()))
        .collect();
    Ok(Change { line: record.line, user, what: What::Add { values, organisation, stopped }, differences })
}

fn update(record: &Record, user: UserId, row: &Row, world: &World, login: &SiteLogin) -> Result<Option<Change>, Wrong> {
    let is_oneself = is_oneself(row, world);
    let role_before = row.role_name.as_deref().unwrap_or(&row.role);
    let role = match record.cell(Column::Role) {
        None | Some("") => role(role_before, world)?,
        Some(text) => role(text, world)?,
    };
    let is_other = role.role_id != row.role_id || (role.role_id.is_none() && role.role.as_str() != row.role);
    if is_other {
        within(&role, login)?;
        if is_oneself {
            return Err((Some(Column::Role), Fault::Oneself));
        }
    }
    let kept = |column, before: &str| record.cell(column).unwrap_or(before).to_owned();
    let role_after = role.name.clone();
    let values =
        values(&kept(Column::Name, &row.name), &kept(Column::Kana, &row.kana), &kept(Column::Email, &row.email), role)?;
    if is_oneself && values.email.as_str() != row.email {
        // It needs the own password, which no file holds.
        return Err((Some(Column::Email), Fault::Oneself));
    }
    let organisation_before = row.organisation.as_deref().unwrap_or_default();
    let mut organisation_after = kept(Column::Organisation, organisation_before);
    let organisation = if organisation_after == organisation_before {
        Place::Same
    } else {
        organisation(&organisation_after, world)?.map_or(Place::Nowhere, |(id, name)| Place::In(id, name))
    };
    // The full name of where it is.
    let is_there = matches!(&organisation, Place::In(id, _) if row.organisation_id.as_ref() == Some(id));
    let organisation = if is_there {
        organisation_before.clone_into(&mut organisation_after);
        Place::Same
    } else {
        organisation
    };
    let stopped = state(record.cell(Column::State).unwrap_or_default())?.filter(|stopped| *stopped != row.stopped);
    if stopped == Some(true) && is_oneself {
        return Err((Some(Column::State), Fault::Oneself));
    }
    let word = |stopped: bool| if stopped { STOPPED } else { ACTIVE };
    let differences: Vec<_> = [
        (Column::Name, row.name.as_str(), values.name.as_str()),
        (Column::Kana, &row.kana, &values.kana),
        (Column::Email, &row.email, values.email.as_str()),
        (Column::Role, role_before, if is_other { &role_after } else { role_before }),
        (Column::Organisation, organisation_before, &organisation_after),
        (Column::State, word(row.stopped), word(stopped.unwrap_or(row.stopped))),
    ]
    .into_iter()
    .filter(|(_, before, after)| before != after)
    .map(|(column, before, after)| (column, before.to_owned(), after.to_owned()))
    .collect();
    if differences.is_empty() {
        return Ok(None);
    }
    let what = What::Update { row: Box::new(row.clone()), values, organisation, stopped };
    Ok(Some(Change { line: record.line, user, what, differences }))
}

fn values(name: &str, kana: &str, email: &str, role: Choice) -> Result<Values, Wrong> {
    let name: ShownName = name.parse().map_err(|_not_a_name| (Some(Column::Name), Fault::Name))?;
    if !is_reading(kana) {
        return Err((Some(Column::Kana), Fault::Kana));
    }
    let email: MailAddress = email.parse().map_err(|_not_an_address| (Some(Column::Email), Fault::Email))?;
    Ok(Values { name, kana: kana.to_owned(), email, role, proved: false })
}

fn role(text: &str, world: &World) -> Result<Choice, Wrong> {
    world.roles.get(text).cloned().ok_or((Some(Column::Role), Fault::Role))
}

fn within(role: &Choice, login: &SiteLogin) -> Result<(), Wrong> {
    if role.is_within(login) { Ok(()) } else { Err((Some(Column::Role), Fault::TooWide)) }
}

fn organisation(name: &str, world: &World) -> Result<Option<(String, String)>, Wrong> {
    if name.is_empty() {
        return Ok(None);
    }
    let found = world.organisations.get(name).ok_or((Some(Column::Organisation), Fault::Organisation))?;
    let id = found.clone().ok_or((Some(Column::Organisation), Fault::Ambiguous))?;
    Ok(Some((id, name.to_owned())))
}

const STOPPED: &str = "stopped";
const ACTIVE: &str = "active";

/// Whether a word means stopped; none when it says nothing. The export's words for accounts that may log in are all read.
fn state(text: &str) -> Result<Option<bool>, Wrong> {
    match text {
        "" => Ok(None),
        STOPPED | "停止" | "Stopped" => Ok(Some(true)),
        ACTIVE | "locked" | "initial" | "有効" | "Active" => Ok(Some(false)),
        _ => Err((Some(Column::State), Fault::State)),
    }
}

fn is_oneself(row: &Row, world: &World) -> bool {
    world.oneself.is_some_and(|operator_id| operator_id.to_string() == row.operator_id)
}
