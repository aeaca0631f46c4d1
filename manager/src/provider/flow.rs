//! Rows of browsers that are at a provider: what they went for, and that they come back once.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};

use super::{Provider, secret::FlowSecret};
use crate::{
    db::{DbError, DbResult, Tx},
    execute, fetch_optional,
};

/// For how long somebody may be at the provider.
pub const LIFE_SECS: u64 = 10 * 60;
/// The same in the unit of the database.
const LIFE_MS: i64 = 10 * 60 * 1000;

/// A way to a provider and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Whose provider it is.
    pub company_id: CompanyId,
    /// Who binds the own account; nobody for a login.
    pub operator_id: Option<OperatorId>,
    /// Which provider was asked.
    pub issuer: String,
    /// As which client.
    pub client_id: String,
    /// Where the provider was told to send the browser.
    pub redirect_uri: String,
    /// Where the login leads.
    pub next: String,
    /// When it is too late.
    pub expires_at_ms: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct Row {
    company_id: String,
    operator_id: Option<String>,
    issuer: String,
    client_id: String,
    redirect_uri: String,
    next: String,
    expires_at_ms: i64,
}

impl Flow {
    /// Whether it led to this provider, as the same client.
    pub fn is_to(&self, provider: &Provider) -> bool {
        (provider.issuer.as_str(), provider.client_id.as_str()) == (self.issuer.as_str(), self.client_id.as_str())
    }
}

/// When a way that begins now is over.
pub const fn ends(now: UnixMillis) -> UnixMillis {
    now.saturating_add(LIFE_MS)
}

/// Notes that a browser goes to a provider.
///
/// # Errors
/// [`DbError`].
pub async fn insert(tx: &mut Tx, secret: &FlowSecret, flow: &Flow) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO provider_flows
        (secret_hash, company_id, operator_id, issuer, client_id, redirect_uri, next, expires_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        secret.hash().as_str(),
        flow.company_id.to_string(),
        flow.operator_id.map(|id| id.to_string()),
        &flow.issuer,
        &flow.client_id,
        &flow.redirect_uri,
        &flow.next,
        flow.expires_at_ms
    )?;
    Ok(())
}

/// Takes the way of a browser that came back; the second time there is none.
///
/// # Errors
/// [`DbError`].
pub async fn take(tx: &mut Tx, secret: &FlowSecret) -> DbResult<Option<Flow>> {
    let row = fetch_optional!(
        tx,
        Row,
        "DELETE FROM provider_flows
        WHERE secret_hash = $1
        RETURNING company_id, operator_id, issuer, client_id, redirect_uri, next, expires_at_ms",
        secret.hash().as_str()
    )?;
    let Some(row) = row else { return Ok(None) };
    let wrong = |column, id: &str| DbError::InconsistentRow { table: "provider_flows", column, id: id.to_owned() };
    let operator_id = match &row.operator_id {
        Some(id) => Some(id.parse().map_err(|_not_an_id| wrong("operator_id", id))?),
        None => None,
    };
    Ok(Some(Flow {
        company_id: row.company_id.parse().map_err(|_not_an_id| wrong("company_id", &row.company_id))?,
        operator_id,
        issuer: row.issuer,
        client_id: row.client_id,
        redirect_uri: row.redirect_uri,
        next: row.next,
        expires_at_ms: row.expires_at_ms,
    }))
}

/// Forgets those who did not come back in time; how many.
///
/// # Errors
/// [`DbError`].
pub async fn sweep(tx: &mut Tx, now: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "DELETE FROM provider_flows
        WHERE expires_at_ms <= $1",
        now
    )
}
