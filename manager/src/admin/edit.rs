//! Accounts of system administrators made and changed at the site.

use proto::{api::UnixMillis, id::OperatorId};

use super::{
    AdminLogin, AdminRole, Reason,
    list::Row,
    record::{About, record},
    store::{self, NewAdmin},
};
use crate::{
    audit::change::{self, Field},
    company::ShownName,
    db::{DbError, DbResult, Tx},
    execute, fetch_one,
    fold::fold_all,
    login::{
        password::PasswordHash,
        realm::{SYSTEM, SYSTEM_CODE},
        second,
        store::{self as logins, AccountHash},
    },
    provider,
};

/// What can be changed of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// The name.
    pub name: ShownName,
    /// The role.
    pub role: AdminRole,
    /// Whose companies it sees: id and name; of a partner's account only.
    pub partner: Option<(String, String)>,
}

/// What is done to an account by a button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Out of everything, and not in again.
    Stop,
    /// It may log in again.
    Start,
    /// Open a lock that failures made.
    Unlock,
    /// Take the second factor and the binding to the identity provider away; both are set up anew after the next login.
    ResetFactor,
    /// Take the binding to the identity provider away; the owner can bind it anew.
    Unlink,
    /// End every login.
    LogOut,
}

/// Why an account was not made or changed.
#[derive(Debug)]
pub enum EditError {
    /// Somebody else changed it meanwhile.
    Changed,
    /// The id is taken.
    Taken,
    /// Nobody of operations would be left.
    LastOperations,
    /// One cannot do this to oneself.
    Oneself,
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

impl Verb {
    /// Reads the end of an address.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "stop" => Some(Self::Stop),
            "start" => Some(Self::Start),
            "unlock" => Some(Self::Unlock),
            "factor" => Some(Self::ResetFactor),
            "unlink" => Some(Self::Unlink),
            "logout" => Some(Self::LogOut),
            _ => None,
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Stop => "admin.stopped",
            Self::Start => "admin.started",
            Self::Unlock => "admin.unlocked",
            Self::ResetFactor => "admin.factor_reset",
            Self::Unlink => "admin.provider_unlinked",
            Self::LogOut => "admin.logged_out",
        }
    }
}

/// Makes an account with a password that must be changed; its id.
///
/// # Errors
/// [`EditError`].
pub async fn create(
    tx: &mut Tx,
    login: &AdminLogin,
    (new, partner): (&NewAdmin<'_>, Option<&(String, String)>),
    reason: &Reason,
    now: UnixMillis,
) -> Result<OperatorId, EditError> {
    let operator_id = store::insert(tx, new, now).await?;
    bind(tx, &operator_id.to_string(), partner.map(|(id, _)| id.as_str())).await?;
    let fields = change::differences([
        ("user", "", new.user_id.as_str()),
        ("name", "", new.name.as_str()),
        ("role", "", new.role.as_str()),
        ("partner", "", partner.map(|(_, name)| name.as_str()).unwrap_or_default()),
    ]);
    note(tx, login, ("admin.created", &operator_id.to_string()), reason, fields, now).await?;
    Ok(operator_id)
}

/// Changes an account that nobody changed since it was shown. Another role ends its logins.
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
    let role_changes = row.role != values.role.as_str()
        || row.partner_id.as_deref() != values.partner.as_ref().map(|(id, _)| id.as_str());
    let operator_id = if role_changes { not_oneself(login, row)? } else { id_of(row)? };
    let name = values.name.as_str();
    let updated = execute!(
        tx,
        "UPDATE operators
        SET name = $3, search = $4, role = $5, version = version + 1,
            handed_out_at_ms = CASE WHEN role = $5 THEN handed_out_at_ms ELSE $6 END
        WHERE operator_id = $1
        AND version = $2",
        &row.operator_id,
        version,
        name,
        fold_all([row.user_id.as_str(), name]),
        values.role.as_str(),
        now
    )?;
    if updated == 0 {
        return Err(EditError::Changed);
    }
    bind(tx, &row.operator_id, values.partner.as_ref().map(|(id, _)| id.as_str())).await?;
    if role_changes {
        logins::revoke_all(tx, operator_id, now).await?;
        keep_operations(tx).await?;
    }
    let fields = change::differences([
        ("name", row.name.as_str(), name),
        ("role", &row.role, values.role.as_str()),
        (
            "partner",
            row.partner_name.as_deref().unwrap_or_default(),
            values.partner.as_ref().map(|(_, name)| name.as_str()).unwrap_or_default(),
        ),
    ]);
    note(tx, login, ("admin.changed", &row.operator_id), reason, fields, now).await
}

/// What is done by a button.
///
/// # Errors
/// [`EditError`].
pub async fn act(
    tx: &mut Tx,
    login: &AdminLogin,
    row: &Row,
    verb: Verb,
    reason: &Reason,
    now: UnixMillis,
) -> Result<(), EditError> {
    let operator_id = not_oneself(login, row)?;
    let mut fields = Vec::new();
    match verb {
        Verb::Stop | Verb::Start => {
            let stopped = verb == Verb::Stop;
            execute!(
                tx,
                "UPDATE operators
                SET stopped = $2, version = version + 1
                WHERE operator_id = $1",
                &row.operator_id,
                stopped
            )?;
            let text = |stopped: bool| if stopped { "stopped" } else { "active" };
            fields = change::differences([("state", text(row.stopped), text(stopped))]);
        }
        Verb::Unlock => {
            logins::forgive(tx, &AccountHash::of(SYSTEM_CODE, &row.user_id)).await?;
            logins::note_lock(tx, operator_id, 0).await?;
        }
        Verb::ResetFactor => {
            second::take_away(tx, operator_id).await?;
            forget_binding(tx, login, (operator_id, row), reason, now).await?;
            hand_out(tx, &row.operator_id, now).await?;
        }
        Verb::Unlink => {
            if !provider::store::unlink(tx, operator_id).await? {
                return Err(EditError::Changed);
            }
            hand_out(tx, &row.operator_id, now).await?;
        }
        Verb::LogOut => {}
    }
    match verb {
        Verb::Stop | Verb::ResetFactor | Verb::Unlink | Verb::LogOut => {
            logins::revoke_all(tx, operator_id, now).await?;
        }
        Verb::Start | Verb::Unlock => {}
    }
    keep_operations(tx).await?;
    note(tx, login, (verb.event(), &row.operator_id), reason, fields, now).await
}

/// Sets a password that must be changed; every login of the account ends, and its binding to the identity provider goes.
///
/// # Errors
/// [`EditError`].
pub async fn reissue(
    tx: &mut Tx,
    login: &AdminLogin,
    row: &Row,
    hash: &PasswordHash,
    reason: &Reason,
    now: UnixMillis,
) -> Result<(), EditError> {
    let operator_id = not_oneself(login, row)?;
    logins::set_password(tx, operator_id, hash, true, now).await?;
    logins::revoke_all(tx, operator_id, now).await?;
    forget_binding(tx, login, (operator_id, row), reason, now).await?;
    hand_out(tx, &row.operator_id, now).await?;
    note(tx, login, ("admin.password_reissued", &row.operator_id), reason, Vec::new(), now).await
}

/// Takes the binding to the identity provider away, if there is one.
async fn forget_binding(
    tx: &mut Tx,
    login: &AdminLogin,
    (operator_id, row): (OperatorId, &Row),
    reason: &Reason,
    now: UnixMillis,
) -> Result<(), EditError> {
    if provider::store::unlink(tx, operator_id).await? {
        note(tx, login, (Verb::Unlink.event(), &row.operator_id), reason, Vec::new(), now).await?;
    }
    Ok(())
}

/// Notes that somebody else held what opens the account; see `handed_out_at_ms`.
async fn hand_out(tx: &mut Tx, operator_id: &str, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE operators
        SET handed_out_at_ms = $2
        WHERE operator_id = $1",
        operator_id,
        now
    )?;
    Ok(())
}

async fn bind(tx: &mut Tx, operator_id: &str, partner_id: Option<&str>) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE operators
        SET partner_id = $2
        WHERE operator_id = $1",
        operator_id,
        partner_id
    )?;
    Ok(())
}

/// Refuses a change after which nobody can run the service; the realm's row is held, so that two changes cannot pass both.
async fn keep_operations(tx: &mut Tx) -> Result<(), EditError> {
    let system = SYSTEM.to_string();
    execute!(tx, "UPDATE companies SET seats = seats WHERE company_id = $1", &system)?;
    let (left,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM operators
        WHERE company_id = $1
        AND role = 'operations'
        AND stopped = FALSE",
        &system
    )?;
    if 0 < left { Ok(()) } else { Err(EditError::LastOperations) }
}

fn id_of(row: &Row) -> Result<OperatorId, EditError> {
    let wrong = DbError::InconsistentRow { table: "operators", column: "operator_id", id: row.operator_id.clone() };
    row.operator_id.parse().map_err(|_not_an_id| EditError::Db(wrong))
}

fn not_oneself(login: &AdminLogin, row: &Row) -> Result<OperatorId, EditError> {
    let operator_id = id_of(row)?;
    if operator_id == login.operator_id { Err(EditError::Oneself) } else { Ok(operator_id) }
}

async fn note(
    tx: &mut Tx,
    login: &AdminLogin,
    (event, operator_id): (&'static str, &str),
    reason: &Reason,
    fields: Vec<Field>,
    now: UnixMillis,
) -> Result<(), EditError> {
    let about = About { company_id: SYSTEM, event, subject: &format!("admin:{operator_id}") };
    record(tx, login, about, reason, fields, now).await?;
    Ok(())
}
