//! Contracts made and changed: what is stored, and who is told no.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};

use super::{State, list::Row};
use crate::{
    admin::{
        AdminLogin, Reason,
        record::{About, record},
    },
    app,
    audit::change,
    company::{CompanyCode, ShownName, store as companies},
    db::{DbError, DbResult, Tx},
    execute, fetch_one,
    fold::fold_all,
    login::password::PasswordHash,
    operator::UserId,
    relays::region::Region,
    role::Role,
    site::time,
};

/// What can be changed of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// The name that customers see.
    pub name: ShownName,
    /// Seats; none for no limit.
    pub seats: Option<i64>,
    /// First moment.
    pub begins_at_ms: Option<UnixMillis>,
    /// The moment behind the last one.
    pub ends_at_ms: Option<UnixMillis>,
    /// Where its sessions must stay; none for anywhere.
    pub region: Option<Region>,
    /// Who brought it: id and name.
    pub partner: Option<(String, String)>,
    /// Whom to ask about the contract; may be empty.
    pub contact: String,
    /// What operations notes; may be empty.
    pub note: String,
}

/// An administrator that a company gets.
#[derive(Debug)]
pub struct NewAdmin<'a> {
    /// The id at login.
    pub user_id: &'a UserId,
    /// The name.
    pub name: &'a ShownName,
    /// The password's hash; it must be changed.
    pub hash: &'a PasswordHash,
}

/// Why a contract was not made or changed.
#[derive(Debug)]
pub enum EditError {
    /// Somebody else changed it meanwhile, or it does not allow this any more.
    Changed,
    /// The code, or the id of the administrator, is taken.
    Taken,
    /// There are more accounts than the seats that were typed.
    SeatsUsed,
    /// No seat is left for one more administrator.
    NoSeat,
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

/// Makes a company with its first administrator; its id.
///
/// # Errors
/// [`EditError`].
pub async fn create(
    tx: &mut Tx,
    login: &AdminLogin,
    code: &CompanyCode,
    values: &Values,
    reason: &Reason,
    now: UnixMillis,
) -> Result<CompanyId, EditError> {
    let company_id = companies::insert(tx, code, &values.name, now).await?;
    store(tx, &company_id.to_string(), code.as_str(), values).await?;
    let (before, after) = (Shown::default(), Shown::of(values));
    let fields = [("code", "", code.as_str())].into_iter().chain(after.fields(&before));
    let about = About { company_id, event: "company.created", subject: &subject(company_id) };
    record(tx, login, about, reason, change::differences(fields), now).await?;
    Ok(company_id)
}

/// Changes a contract that nobody changed since it was shown.
///
/// # Errors
/// [`EditError`].
pub async fn update(
    tx: &mut Tx,
    login: &AdminLogin,
    (row, version): (&Row, i64),
    values: &Values,
    reason: &Reason,
    now: UnixMillis,
) -> Result<(), EditError> {
    let company_id = id_of(row)?;
    hold(tx, row, version).await?;
    if values.seats.is_some_and(|seats| seats < row.used) {
        return Err(EditError::SeatsUsed);
    }
    store(tx, &row.company_id, &row.code, values).await?;
    let (before, after) = (Shown::of_row(row), Shown::of(values));
    let fields = change::differences(after.fields(&before));
    let about = About { company_id, event: "company.changed", subject: &subject(company_id) };
    record(tx, login, about, reason, fields, now).await?;
    Ok(())
}

/// Suspends, resumes or ends a contract that nobody changed since it was shown. Who leaves is out at once.
///
/// # Errors
/// [`EditError`].
pub async fn set_state(
    tx: &mut Tx,
    login: &AdminLogin,
    (row, version): (&Row, i64),
    next: State,
    reason: &Reason,
    now: UnixMillis,
) -> Result<(), EditError> {
    if !row.state().leads_to(next) {
        return Err(EditError::Changed);
    }
    let company_id = id_of(row)?;
    hold(tx, row, version).await?;
    execute!(
        tx,
        "UPDATE companies
        SET state = $2, ended_at_ms = $3
        WHERE company_id = $1",
        &row.company_id,
        next.as_str(),
        (next == State::Ended).then_some(now)
    )?;
    if next != State::Active {
        end_logins(tx, &row.company_id, now).await?;
    }
    let event = match next {
        State::Active => "company.resumed",
        State::Suspended => "company.suspended",
        State::Ended | State::Erased => "company.ended",
    };
    let fields = change::differences([("state", row.state.as_str(), next.as_str())]);
    record(tx, login, About { company_id, event, subject: &subject(company_id) }, reason, fields, now).await?;
    Ok(())
}

/// Gives a company one more administrator, the first one or one that rescues it.
///
/// # Errors
/// [`EditError`].
pub async fn add_admin(
    tx: &mut Tx,
    login: &AdminLogin,
    company_id: CompanyId,
    new: &NewAdmin<'_>,
    reason: &Reason,
    now: UnixMillis,
) -> Result<(), EditError> {
    let company = company_id.to_string();
    let (seats, used) = fetch_one!(
        tx,
        (Option<i64>, i64),
        "UPDATE companies
        SET version = version + 1
        WHERE company_id = $1
        RETURNING seats,
            (SELECT COUNT(*) FROM operators o WHERE o.company_id = companies.company_id AND o.deleted_at_ms IS NULL)",
        &company
    )?;
    if seats.is_some_and(|seats| seats <= used) {
        return Err(EditError::NoSeat);
    }
    let operator_id = OperatorId::from_bytes(app::draw_id());
    execute!(
        tx,
        "INSERT INTO operators
        (operator_id, company_id, user_id, name, search, role, password_hash, password_initial, password_changed_at_ms,
            stopped, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, TRUE, $8, FALSE, $8)",
        operator_id.to_string(),
        &company,
        new.user_id.as_str(),
        new.name.as_str(),
        fold_all([new.user_id.as_str(), new.name.as_str()]),
        Role::CompanyAdmin.as_str(),
        new.hash.as_str(),
        now
    )?;
    let fields = change::differences([
        ("user", "", new.user_id.as_str()),
        ("name", "", new.name.as_str()),
        ("role", "", Role::CompanyAdmin.as_str()),
    ]);
    let about = About { company_id, event: "operator.created", subject: &format!("operator:{operator_id}") };
    record(tx, login, about, reason, fields, now).await?;
    Ok(())
}

/// Holds the row of a contract that is as it was shown, so that of two changes one is made.
async fn hold(tx: &mut Tx, row: &Row, version: i64) -> Result<(), EditError> {
    let held = execute!(
        tx,
        "UPDATE companies
        SET version = version + 1
        WHERE company_id = $1
        AND version = $2
        AND realm = 'company'
        AND state <> 'erased'",
        &row.company_id,
        version
    )?;
    if held == 1 { Ok(()) } else { Err(EditError::Changed) }
}

async fn store(tx: &mut Tx, company_id: &str, code: &str, values: &Values) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE companies
        SET name = $2, search = $3, seats = $4, contract_begins_at_ms = $5, contract_ends_at_ms = $6, region = $7,
            partner_id = $8, contact = $9, note = $10
        WHERE company_id = $1",
        company_id,
        values.name.as_str(),
        fold_all([code, values.name.as_str()]),
        values.seats,
        values.begins_at_ms,
        values.ends_at_ms,
        values.region.map_or("", Region::as_str),
        values.partner.as_ref().map(|(partner_id, _)| partner_id),
        &values.contact,
        &values.note
    )?;
    Ok(())
}

/// Ends every login of a company, so that none comes back when it is resumed.
async fn end_logins(tx: &mut Tx, company_id: &str, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE logins
        SET revoked_at_ms = $2
        WHERE revoked_at_ms IS NULL
        AND operator_id IN (SELECT operator_id FROM operators WHERE company_id = $1)",
        company_id,
        now
    )?;
    execute!(
        tx,
        "UPDATE site_logins
        SET revoked_at_ms = $2
        WHERE revoked_at_ms IS NULL
        AND operator_id IN (SELECT operator_id FROM operators WHERE company_id = $1)",
        company_id,
        now
    )?;
    Ok(())
}

/// The id of a row.
///
/// # Errors
/// [`EditError::Db`] when it is none.
pub fn id_of(row: &Row) -> Result<CompanyId, EditError> {
    let wrong = DbError::InconsistentRow { table: "companies", column: "company_id", id: row.company_id.clone() };
    row.company_id.parse().map_err(|_not_an_id| EditError::Db(wrong))
}

/// The subject of changes of a contract.
pub fn subject(company_id: CompanyId) -> String {
    format!("company:{company_id}")
}

/// The values of a contract as its history tells them.
#[derive(Debug, Default)]
struct Shown([String; 8]);

/// Their names in the history, in the same order.
const NAMES: [&str; 8] = ["name", "seats", "contract_begins", "contract_ends", "region", "partner", "contact", "note"];

impl Shown {
    fn of(values: &Values) -> Self {
        Self([
            values.name.as_str().to_owned(),
            number(values.seats),
            day(values.begins_at_ms),
            day(values.ends_at_ms.map(|ends| ends.saturating_sub(1))),
            values.region.map_or("", Region::as_str).to_owned(),
            values.partner.as_ref().map(|(_, name)| name.clone()).unwrap_or_default(),
            values.contact.clone(),
            values.note.clone(),
        ])
    }

    fn of_row(row: &Row) -> Self {
        Self([
            row.name.clone(),
            number(row.seats),
            day(row.contract_begins_at_ms),
            day(row.contract_ends_at_ms.map(|ends| ends.saturating_sub(1))),
            row.region.clone(),
            row.partner_name.clone().unwrap_or_default(),
            row.contact.clone(),
            row.note.clone(),
        ])
    }

    /// Names with the values before and after.
    fn fields<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (&'static str, &'a str, &'a str)> {
        NAMES.into_iter().zip(before.0.iter().zip(&self.0)).map(|(name, (old, new))| (name, old.as_str(), new.as_str()))
    }
}

fn number(value: Option<i64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn day(at: Option<UnixMillis>) -> String {
    at.map(|at| time::day(at, &time::zone(time::TOKYO))).unwrap_or_default()
}
