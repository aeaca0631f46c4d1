//! Accounts made and changed at the site: who may do what to whom, and what is stored.

use proto::{api::UnixMillis, id::OperatorId};
use serde_json::json;

use super::{MailAddress, UserId, list::Row};
use crate::{
    app::{self, App},
    audit::{self, change},
    company::ShownName,
    db::{DbError, DbResult, Tx},
    execute, fetch_one, fetch_optional,
    fold::fold_all,
    group::store as groups,
    list::saved,
    login::{
        SiteLogin,
        link::{self, Purpose},
        password::PasswordHash,
        second,
        store::{self as logins, AccountHash},
    },
    mail, notice, provider,
    role::{self, Permission, Permissions, Reach, Role},
    terms::announced,
};

/// What can be changed of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// Name that customers see.
    pub name: ShownName,
    /// Its reading; may be empty.
    pub kana: String,
    /// Address of mail; may be empty.
    pub email: MailAddress,
    /// The role.
    pub role: Choice,
    /// Whether who changes it has typed the own password again.
    pub proved: bool,
}

/// A role of the product, or one of the company with its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The product's role.
    pub role: Role,
    /// The company's role that decides instead.
    pub role_id: Option<String>,
    /// Its name in the log.
    pub name: String,
    permissions: Permissions,
    reach: Reach,
}

/// Why an account was not made or changed.
#[derive(Debug)]
pub enum EditError {
    /// Somebody else changed it meanwhile, or it is gone.
    Changed,
    /// The id is taken.
    Taken,
    /// The contract has no seat left.
    NoSeat,
    /// The role, the one that is given or the one that the account has, gives more than who changes it has.
    TooWide,
    /// Nobody would be left who can administer the company.
    LastAdmin,
    /// One cannot do this to oneself.
    Oneself,
    /// The own address of mail, to which links for passwords go, is changed by whoever types the own password only.
    Unproved,
    /// No token of the API may do this.
    ByToken,
    /// Mail is off, or there is no address.
    NoMail,
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

impl Choice {
    /// Reads a role's name or the id of a role of the company; `None` when there is none such.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn read(tx: &mut Tx, login: &SiteLogin, text: &str) -> DbResult<Option<Self>> {
        if let Ok(role) = text.parse::<Role>() {
            return Ok(Some(role.into()));
        }
        Ok(role::store::find(tx, login.company_id, text).await?.map(Self::from))
    }

    /// Whether it decides over other accounts or over the company.
    const fn administers(&self) -> bool {
        let p = self.permissions;
        p.has(Permission::OperatorEdit)
            || p.has(Permission::OrganisationEdit)
            || p.has(Permission::RoleEdit)
            || p.has(Permission::SettingsEdit)
            || p.has(Permission::ApiEdit)
    }

    /// Whether it gives nothing that `login` has not.
    pub const fn is_within(&self, login: &SiteLogin) -> bool {
        login.permissions.covers(self.permissions) && (self.reach as u8) <= (login.reach as u8)
    }
}

impl From<Role> for Choice {
    fn from(role: Role) -> Self {
        let (permissions, reach) = (role.permissions(), role.reach());
        Self { role, role_id: None, name: role.to_string(), permissions, reach }
    }
}

impl From<role::store::Custom> for Choice {
    fn from(custom: role::store::Custom) -> Self {
        let (permissions, reach) = (custom.permissions, custom.reach);
        Self { role: custom.base, role_id: Some(custom.role_id), name: custom.name, permissions, reach }
    }
}

/// Makes an account with a password that must be changed; its id.
///
/// # Errors
/// [`EditError`].
pub async fn create(
    tx: &mut Tx,
    login: &SiteLogin,
    user_id: &UserId,
    values: &Values,
    hash: &PasswordHash,
    now: UnixMillis,
) -> Result<OperatorId, EditError> {
    if !values.role.is_within(login) || (login.api_token.is_some() && values.role.administers()) {
        return Err(EditError::TooWide);
    }
    take_seat(tx, login).await?;
    let operator_id = OperatorId::from_bytes(app::draw_id());
    // Who sees an organisation only makes accounts in it.
    let organisation_id = match login.reach {
        Reach::Company => None,
        Reach::Own | Reach::Organisation => organisation_of(tx, login.operator_id).await?,
    };
    let (name, kana, email) = (values.name.as_str(), values.kana.as_str(), values.email.as_str());
    execute!(
        tx,
        "INSERT INTO operators
        (operator_id, company_id, user_id, name, kana, email, search, role, role_id, organisation_id, password_hash,
            password_initial, password_changed_at_ms, stopped, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, TRUE, $12, FALSE, $12)",
        operator_id.to_string(),
        login.company_id.to_string(),
        user_id.as_str(),
        name,
        kana,
        email,
        fold_all([user_id.as_str(), name, kana, email]),
        values.role.role.as_str(),
        &values.role.role_id,
        organisation_id,
        hash.as_str(),
        now
    )?;
    let fields = change::differences([
        ("user", "", user_id.as_str()),
        ("name", "", name),
        ("kana", "", kana),
        ("email", "", email),
        ("role", "", values.role.name.as_str()),
    ]);
    record(tx, login, "operator.created", operator_id, fields, now).await?;
    Ok(operator_id)
}

/// Changes an account that nobody changed since it was shown.
///
/// # Errors
/// [`EditError`].
pub async fn update(
    tx: &mut Tx,
    login: &SiteLogin,
    row: &Row,
    version: i64,
    values: &Values,
    now: UnixMillis,
) -> Result<(), EditError> {
    let operator_id = id_of(row)?;
    if operator_id != login.operator_id || login.api_token.is_some() {
        another(tx, login, row).await?;
    }
    if login.api_token.is_some() && (values.role.administers() || values.email.as_str() != row.email) {
        // Links for passwords go to the address of mail.
        return Err(EditError::ByToken);
    }
    if operator_id == login.operator_id && values.email.as_str() != row.email && !values.proved {
        return Err(EditError::Unproved);
    }
    let role_before = row.role_id.as_deref().unwrap_or(&row.role);
    let role_after = values.role.role_id.as_deref().unwrap_or(values.role.role.as_str());
    if role_before != role_after {
        if !values.role.is_within(login) {
            return Err(EditError::TooWide);
        }
        if operator_id == login.operator_id {
            return Err(EditError::Oneself);
        }
    }
    let (name, kana, email) = (values.name.as_str(), values.kana.as_str(), values.email.as_str());
    let updated = execute!(
        tx,
        "UPDATE operators
        SET name = $3, kana = $4, email = $5, search = $6, role = $7, role_id = $8, version = version + 1
        WHERE operator_id = $1
        AND version = $2
        AND deleted_at_ms IS NULL",
        operator_id.to_string(),
        version,
        name,
        kana,
        email,
        fold_all([row.user_id.as_str(), name, kana, email]),
        values.role.role.as_str(),
        &values.role.role_id
    )?;
    if updated == 0 {
        return Err(EditError::Changed);
    }
    keep_an_admin(tx, login).await?;
    let fields = change::differences([
        ("name", row.name.as_str(), name),
        ("kana", &row.kana, kana),
        ("email", &row.email, email),
        ("role", row.role_name.as_deref().unwrap_or(&row.role), &values.role.name),
    ]);
    if !fields.is_empty() {
        record(tx, login, "operator.changed", operator_id, fields, now).await?;
    }
    Ok(())
}

/// Stops an account, or lets it log in again; a stopped one is logged out everywhere at once.
///
/// # Errors
/// [`EditError`].
pub async fn set_stopped(
    tx: &mut Tx,
    login: &SiteLogin,
    row: &Row,
    stopped: bool,
    now: UnixMillis,
) -> Result<(), EditError> {
    let operator_id = another(tx, login, row).await?;
    execute!(
        tx,
        "UPDATE operators
        SET stopped = $2, version = version + 1
        WHERE operator_id = $1",
        operator_id.to_string(),
        stopped
    )?;
    if stopped {
        logins::revoke_all(tx, operator_id, now).await?;
        keep_an_admin(tx, login).await?;
    }
    let text = |stopped: bool| if stopped { "stopped" } else { "active" };
    let fields = change::differences([("state", text(row.stopped), text(stopped))]);
    let event = if stopped { "operator.stopped" } else { "operator.started" };
    record(tx, login, event, operator_id, fields, now).await
}

/// Puts an account into an organisation of the company, or into none; `organisation` is its id and its name.
///
/// # Errors
/// [`EditError`].
pub async fn place_in(
    tx: &mut Tx,
    login: &SiteLogin,
    operator_id: OperatorId,
    before: &str,
    organisation: Option<(&str, &str)>,
    now: UnixMillis,
) -> Result<(), EditError> {
    execute!(
        tx,
        "UPDATE operators
        SET organisation_id = $2, version = version + 1
        WHERE operator_id = $1",
        operator_id.to_string(),
        organisation.map(|(id, _)| id)
    )?;
    let after = organisation.map_or("", |(_, name)| name);
    record(tx, login, "operator.moved", operator_id, change::differences([("organisation", before, after)]), now).await
}

/// Gives an account exactly these groups, when it has others.
///
/// # Errors
/// [`EditError`].
pub async fn set_groups(
    tx: &mut Tx,
    login: &SiteLogin,
    operator_id: OperatorId,
    groups: &[String],
    now: UnixMillis,
) -> Result<(), EditError> {
    let all = groups::of_company(tx, login.company_id).await?;
    let before = groups::of_account(tx, &operator_id.to_string()).await?;
    let names = |ids: &[String]| {
        let named = all.iter().filter(|group| ids.contains(&group.id)).map(|group| group.name.as_str());
        named.collect::<Vec<_>>().join(", ")
    };
    let (old, new) = (names(&before), names(groups));
    if old == new {
        return Ok(());
    }
    groups::set(tx, login.company_id, operator_id, groups).await?;
    let fields = change::differences([("groups", old.as_str(), new.as_str())]);
    record(tx, login, "operator.grouped", operator_id, fields, now).await
}

/// Stops an account that was just made, so that nobody logs in to it before it is started.
///
/// # Errors
/// [`EditError`].
pub async fn stop_new(
    tx: &mut Tx,
    login: &SiteLogin,
    operator_id: OperatorId,
    now: UnixMillis,
) -> Result<(), EditError> {
    execute!(
        tx,
        "UPDATE operators
        SET stopped = TRUE
        WHERE operator_id = $1",
        operator_id.to_string()
    )?;
    let fields = change::differences([("state", "active", "stopped")]);
    record(tx, login, "operator.stopped", operator_id, fields, now).await
}

/// Opens an account that failures locked.
///
/// # Errors
/// [`EditError`].
pub async fn unlock(tx: &mut Tx, login: &SiteLogin, row: &Row, now: UnixMillis) -> Result<(), EditError> {
    let operator_id = id_of(row)?;
    if login.api_token.is_some() {
        another(tx, login, row).await?;
    }
    logins::forgive(tx, &AccountHash::of(&login.company_code, &row.user_id)).await?;
    logins::note_lock(tx, operator_id, 0).await?;
    record(tx, login, "operator.unlocked", operator_id, Vec::new(), now).await
}

/// Sets a password that must be changed; every login of the account ends, and its binding to the identity provider goes.
///
/// # Errors
/// [`EditError`].
pub async fn reissue(
    tx: &mut Tx,
    login: &SiteLogin,
    row: &Row,
    hash: &PasswordHash,
    now: UnixMillis,
) -> Result<(), EditError> {
    if login.api_token.is_some() {
        return Err(EditError::ByToken);
    }
    let operator_id = another(tx, login, row).await?;
    logins::set_password(tx, operator_id, hash, login.policy.password.change_after_reset, now).await?;
    logins::revoke_all(tx, operator_id, now).await?;
    forget_binding(tx, login, operator_id, now).await?;
    record(tx, login, "operator.password_reissued", operator_id, Vec::new(), now).await
}

/// Sends the owner of an account a link for a new password. The one in force stays until the link is used.
///
/// # Errors
/// [`EditError`]; [`EditError::NoMail`] when mail is off or the account has no address.
pub async fn send_link(
    app: &App,
    tx: &mut Tx,
    login: &SiteLogin,
    operator_id: OperatorId,
    purpose: Purpose,
) -> Result<(), EditError> {
    if login.api_token.is_some() {
        return Err(EditError::ByToken);
    }
    let now = app.now_ms();
    if !link::send(app, tx, operator_id, purpose, login.lang, now).await? {
        return Err(EditError::NoMail);
    }
    record(tx, login, "operator.password_link_sent", operator_id, Vec::new(), now).await
}

/// Takes the second factor away, for who has lost it and the recovery codes; every login of the account ends, and its
/// binding to the identity provider goes, so that nobody but who knows the password sets up another factor.
///
/// # Errors
/// [`EditError`].
pub async fn reset_factor(tx: &mut Tx, login: &SiteLogin, row: &Row, now: UnixMillis) -> Result<(), EditError> {
    if login.api_token.is_some() {
        return Err(EditError::ByToken);
    }
    let operator_id = another(tx, login, row).await?;
    second::take_away(tx, operator_id).await?;
    logins::revoke_all(tx, operator_id, now).await?;
    forget_binding(tx, login, operator_id, now).await?;
    record(tx, login, "operator.factor_reset", operator_id, Vec::new(), now).await
}

/// Takes the binding to the identity provider away; every login of the account ends. The owner can bind it anew.
///
/// # Errors
/// [`EditError`].
pub async fn unlink(tx: &mut Tx, login: &SiteLogin, row: &Row, now: UnixMillis) -> Result<(), EditError> {
    if login.api_token.is_some() {
        return Err(EditError::ByToken);
    }
    let operator_id = another(tx, login, row).await?;
    if !forget_binding(tx, login, operator_id, now).await? {
        return Err(EditError::Changed);
    }
    logins::revoke_all(tx, operator_id, now).await?;
    Ok(())
}

/// Takes the binding to the identity provider away, if there is one; whether there was.
async fn forget_binding(
    tx: &mut Tx,
    login: &SiteLogin,
    operator_id: OperatorId,
    now: UnixMillis,
) -> Result<bool, EditError> {
    let had = provider::store::unlink(tx, operator_id).await?;
    if had {
        record(tx, login, "operator.provider_unlinked", operator_id, Vec::new(), now).await?;
    }
    Ok(had)
}

/// Ends every login of an account.
///
/// # Errors
/// [`EditError`].
pub async fn log_out(tx: &mut Tx, login: &SiteLogin, row: &Row, now: UnixMillis) -> Result<(), EditError> {
    let operator_id = another(tx, login, row).await?;
    logins::revoke_all(tx, operator_id, now).await?;
    record(tx, login, "operator.logged_out", operator_id, Vec::new(), now).await
}

/// Deletes an account: its seat and its id are free at once; the logs keep its name.
///
/// # Errors
/// [`EditError`].
pub async fn delete(tx: &mut Tx, login: &SiteLogin, row: &Row, now: UnixMillis) -> Result<(), EditError> {
    let operator_id = another(tx, login, row).await?;
    let id = operator_id.to_string();
    logins::revoke_all(tx, operator_id, now).await?;
    second::take_away(tx, operator_id).await?;
    link::forget_account(tx, operator_id).await?;
    mail::store::forget_account(tx, operator_id).await?;
    notice::store::forget_account(tx, operator_id).await?;
    announced::forget_account(tx, operator_id).await?;
    execute!(tx, "DELETE FROM imports WHERE operator_id = $1", &id)?;
    saved::forget_account(tx, operator_id).await?;
    provider::store::unlink(tx, operator_id).await?;
    execute!(tx, "DELETE FROM password_history WHERE operator_id = $1", &id)?;
    execute!(tx, "DELETE FROM known_devices WHERE operator_id = $1", &id)?;
    execute!(tx, "DELETE FROM account_group_members WHERE operator_id = $1", &id)?;
    // A colon is in no user id, so nobody logs in as a deleted account and its id can be given again.
    let deleted = execute!(
        tx,
        "UPDATE operators
        SET deleted_at_ms = $2, user_id = 'deleted:' || operator_id, kana = '', email = '', search = '', role_id = NULL,
            organisation_id = NULL, password_hash = '', stopped = TRUE, version = version + 1
        WHERE operator_id = $1
        AND deleted_at_ms IS NULL",
        &id,
        now
    )?;
    if deleted == 0 {
        return Err(EditError::Changed);
    }
    keep_an_admin(tx, login).await?;
    let fields = change::differences([("user", row.user_id.as_str(), "")]);
    record(tx, login, "operator.deleted", operator_id, fields, now).await
}

/// The id of a row.
///
/// # Errors
/// [`EditError::Db`].
pub fn id_of(row: &Row) -> Result<OperatorId, EditError> {
    let wrong = DbError::InconsistentRow { table: "operators", column: "operator_id", id: row.operator_id.clone() };
    row.operator_id.parse().map_err(|_not_an_id| EditError::Db(wrong))
}

/// An account that is not one's own and may nothing that one may not oneself: else its password or its mail address
/// would lead to more. Who administers others is out of reach for a token of the API.
async fn another(tx: &mut Tx, login: &SiteLogin, row: &Row) -> Result<OperatorId, EditError> {
    let operator_id = id_of(row)?;
    if operator_id == login.operator_id {
        return Err(EditError::Oneself);
    }
    let held = Choice::read(tx, login, row.role_id.as_deref().unwrap_or(&row.role)).await?.ok_or(EditError::Changed)?;
    if login.api_token.is_some() && held.administers() {
        return Err(EditError::ByToken);
    }
    if held.is_within(login) { Ok(operator_id) } else { Err(EditError::TooWide) }
}

/// Holds the company's row, so that of two accounts for the last seat one is made.
async fn take_seat(tx: &mut Tx, login: &SiteLogin) -> Result<(), EditError> {
    let company_id = login.company_id.to_string();
    let (seats,) = fetch_one!(
        tx,
        (Option<i64>,),
        "UPDATE companies
        SET seats = seats
        WHERE company_id = $1
        RETURNING seats",
        &company_id
    )?;
    let (used,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM operators
        WHERE company_id = $1
        AND deleted_at_ms IS NULL",
        &company_id
    )?;
    if seats.is_none_or(|seats| used < seats) { Ok(()) } else { Err(EditError::NoSeat) }
}

/// Refuses a change after which nobody can administer the company; its row is held, so that two changes cannot pass both.
async fn keep_an_admin(tx: &mut Tx, login: &SiteLogin) -> Result<(), EditError> {
    let company_id = login.company_id.to_string();
    execute!(tx, "UPDATE companies SET seats = seats WHERE company_id = $1", &company_id)?;
    let (admins,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM operators
        WHERE company_id = $1
        AND role = 'company_admin'
        AND role_id IS NULL
        AND stopped = FALSE
        AND deleted_at_ms IS NULL",
        &company_id
    )?;
    if 0 < admins { Ok(()) } else { Err(EditError::LastAdmin) }
}

async fn organisation_of(tx: &mut Tx, operator_id: OperatorId) -> DbResult<Option<String>> {
    let row = fetch_optional!(
        tx,
        (Option<String>,),
        "SELECT organisation_id
        FROM operators
        WHERE operator_id = $1",
        operator_id.to_string()
    )?;
    Ok(row.and_then(|(id,)| id))
}

async fn record(
    tx: &mut Tx,
    login: &SiteLogin,
    event: &'static str,
    operator_id: OperatorId,
    fields: Vec<change::Field>,
    now: UnixMillis,
) -> Result<(), EditError> {
    let subject = format!("operator:{operator_id}");
    let detail = if fields.is_empty() {
        json!({ "subject": subject })
    } else {
        change::store(tx, login.company_id, &subject, &login.name, fields, now).await?
    };
    audit::append(tx, login.event(event, detail, now)).await?;
    Ok(())
}
