//! Rows of companies' providers, and of accounts that are bound to somebody there.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};
use zeroize::Zeroizing;

use super::{Issuer, Provider};
use crate::{
    app::{self, App},
    company::CompanyCode,
    db::{DbError, DbResult, Tx},
    execute, fetch_one, fetch_optional,
    login::realm::SYSTEM,
};

/// The settings of a company; those of system administrators are what the configuration said at the last start.
#[derive(Debug, Clone, PartialEq, Eq, Default, sqlx::FromRow)]
pub struct Row {
    /// Whether people may sign in by it.
    pub in_force: bool,
    /// Who it is.
    pub issuer: String,
    /// What it calls this service.
    pub client_id: String,
    /// The secret of this client, sealed.
    pub secret_sealed: Option<String>,
    /// What the button says.
    pub button: String,
    /// Whether it asks for the second factor.
    pub asks_factor: bool,
    /// Changes so far.
    pub version: i64,
}

impl Row {
    /// Whether who came by this provider must come in again by what holds after a change to `new`: by another provider or
    /// client, by none, or with the second factor here.
    pub fn ends_logins(&self, new: &Self) -> bool {
        let is_another = (&self.issuer, &self.client_id) != (&new.issuer, &new.client_id);
        !new.in_force || is_another || (self.asks_factor && !new.asks_factor)
    }
}

/// What an account is bound to.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Link {
    /// Which provider.
    pub issuer: String,
    /// Since when.
    pub linked_at_ms: i64,
}

/// Whose client a secret belongs to.
fn place(company_id: CompanyId) -> String {
    format!("provider:{company_id}")
}

/// A secret as it is stored; `None` when the library refuses, which nothing causes.
pub fn seal(app: &App, company_id: CompanyId, secret: &str) -> Option<String> {
    app.columns.seal(secret.as_bytes(), &place(company_id), &mut app::os_rng())
}

/// The settings of a company, if it has made any.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, company_id: CompanyId) -> DbResult<Option<Row>> {
    fetch_optional!(
        tx,
        Row,
        "SELECT in_force, issuer, client_id, secret_sealed, button, asks_factor, version
        FROM providers
        WHERE company_id = $1",
        company_id.to_string()
    )
}

/// Stores them, unless somebody else did meanwhile; whether it was done.
///
/// # Errors
/// [`DbError`].
pub async fn save(tx: &mut Tx, company_id: CompanyId, row: &Row) -> DbResult<bool> {
    let saved = execute!(
        tx,
        "INSERT INTO providers
        (company_id, in_force, issuer, client_id, secret_sealed, button, asks_factor, version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 1)
        ON CONFLICT (company_id) DO UPDATE
        SET in_force = $2, issuer = $3, client_id = $4, secret_sealed = $5, button = $6, asks_factor = $7,
            version = providers.version + 1
        WHERE providers.version = $8",
        company_id.to_string(),
        row.in_force,
        &row.issuer,
        &row.client_id,
        &row.secret_sealed,
        &row.button,
        row.asks_factor,
        row.version
    )?;
    Ok(saved == 1)
}

/// The provider of a company by its settings, in force or not; `None` when they do not make one.
pub fn read(app: &App, company_id: CompanyId, row: &Row) -> Option<Provider> {
    let client_secret = row.secret_sealed.as_ref().and_then(|sealed| {
        let opened = app.columns.open(sealed, &place(company_id));
        let text = opened.and_then(|plain| String::from_utf8(plain.to_vec()).ok()).map(Zeroizing::new);
        if text.is_none() {
            tracing::error!(event = "provider.secret_failed", "The secret of a client was sealed under another key");
        }
        text
    });
    Some(Provider {
        company_id,
        issuer: Issuer::parse(&row.issuer)?,
        client_id: row.client_id.clone(),
        client_secret,
        button: row.button.clone(),
        asks_factor: row.asks_factor,
    })
}

/// The provider of a company that is in force.
///
/// # Errors
/// [`DbError`].
pub async fn in_force(app: &App, tx: &mut Tx, company_id: CompanyId) -> DbResult<Option<Provider>> {
    let row = find(tx, company_id).await?.filter(|row| row.in_force);
    Ok(row.and_then(|row| read(app, company_id, &row)))
}

/// The same by the company's code, as it was typed.
///
/// # Errors
/// [`DbError`].
pub async fn of_code(app: &App, tx: &mut Tx, typed: &str) -> DbResult<Option<Provider>> {
    let Ok(code) = CompanyCode::fold(typed).parse::<CompanyCode>() else { return Ok(None) };
    let found = fetch_optional!(
        tx,
        (String,),
        "SELECT c.company_id
        FROM companies c
        JOIN providers p ON p.company_id = c.company_id
        WHERE c.code = $1
        AND c.realm = 'company'
        AND p.in_force = TRUE",
        code.as_str()
    )?;
    let Some((id,)) = found else { return Ok(None) };
    let wrong = DbError::InconsistentRow { table: "providers", column: "company_id", id: id.clone() };
    in_force(app, tx, id.parse().map_err(|_not_an_id| wrong)?).await
}

/// The code of a company, for its login.
///
/// # Errors
/// [`DbError`].
pub async fn code_of(tx: &mut Tx, company_id: CompanyId) -> DbResult<String> {
    let (code,) =
        fetch_one!(tx, (String,), "SELECT code FROM companies WHERE company_id = $1", company_id.to_string())?;
    Ok(code)
}

/// Whether any company has one in force.
///
/// # Errors
/// [`DbError`].
pub async fn any(tx: &mut Tx) -> DbResult<bool> {
    let found = fetch_optional!(
        tx,
        (String,),
        "SELECT company_id
        FROM providers
        WHERE in_force = TRUE
        AND company_id <> $1
        LIMIT 1",
        SYSTEM.to_string()
    )?;
    Ok(found.is_some())
}

/// Holds the provider of a company as it is until the transaction ends.
///
/// # Errors
/// [`DbError`].
pub async fn hold(tx: &mut Tx, company_id: CompanyId) -> DbResult<()> {
    execute!(tx, "UPDATE providers SET version = version WHERE company_id = $1", company_id.to_string())?;
    Ok(())
}

/// Holds an account as it is until the transaction ends: its password, whether it is stopped, and what it is bound to.
///
/// # Errors
/// [`DbError`].
pub async fn hold_account(tx: &mut Tx, operator_id: OperatorId) -> DbResult<()> {
    execute!(tx, "UPDATE operators SET stopped = stopped WHERE operator_id = $1", operator_id.to_string())?;
    Ok(())
}

/// The same for the account that is bound to a person, if there is one.
///
/// # Errors
/// [`DbError`].
pub async fn hold_linked(tx: &mut Tx, company_id: CompanyId, issuer: &str, subject: &str) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE operators
        SET stopped = stopped
        WHERE operator_id IN (
            SELECT operator_id
            FROM provider_links
            WHERE company_id = $1
            AND issuer = $2
            AND subject = $3
        )",
        company_id.to_string(),
        issuer,
        subject
    )?;
    Ok(())
}

/// Binds an account to somebody at a provider, instead of whoever it was bound to.
///
/// # Errors
/// [`DbError::Duplicate`] when that person opens another account of the company.
pub async fn link(
    tx: &mut Tx,
    (company_id, operator_id): (CompanyId, OperatorId),
    issuer: &str,
    subject: &str,
    now: UnixMillis,
) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO provider_links (operator_id, company_id, issuer, subject, linked_at_ms)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (operator_id) DO UPDATE
        SET issuer = $3, subject = $4, linked_at_ms = $5",
        operator_id.to_string(),
        company_id.to_string(),
        issuer,
        subject,
        now
    )?;
    Ok(())
}

/// What an account is bound to.
///
/// # Errors
/// [`DbError`].
pub async fn link_of(tx: &mut Tx, operator_id: &str) -> DbResult<Option<Link>> {
    fetch_optional!(
        tx,
        Link,
        "SELECT issuer, linked_at_ms
        FROM provider_links
        WHERE operator_id = $1",
        operator_id
    )
}

/// Takes the binding of an account away; whether there was one.
///
/// # Errors
/// [`DbError`].
pub async fn unlink(tx: &mut Tx, operator_id: OperatorId) -> DbResult<bool> {
    hold_account(tx, operator_id).await?;
    let id = operator_id.to_string();
    execute!(tx, "DELETE FROM provider_flows WHERE operator_id = $1", &id)?;
    let had = execute!(tx, "DELETE FROM provider_links WHERE operator_id = $1", &id)?;
    Ok(had == 1)
}

/// Accounts of a company that its provider opens.
///
/// # Errors
/// [`DbError`].
pub async fn links(tx: &mut Tx, company_id: CompanyId, issuer: &str) -> DbResult<i64> {
    let (count,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM provider_links
        WHERE company_id = $1
        AND issuer = $2",
        company_id.to_string(),
        issuer
    )?;
    Ok(count)
}
