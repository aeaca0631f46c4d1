//! Rows of companies.

use proto::{api::UnixMillis, id::CompanyId};

use super::{CompanyCode, Policy, ShownName};
use crate::{
    app,
    audit::{self, Actor, AuditEvent},
    db::{DbError, DbResult, Tx},
    execute, fetch_optional,
    fold::fold_all,
};

/// `companies.state` of a company whose accounts may log in.
pub const ACTIVE: &str = "active";

/// A company as other slices need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Its id.
    pub company_id: CompanyId,
    /// Its rules.
    pub policy: Policy,
}

#[derive(sqlx::FromRow)]
struct CompanyRow {
    company_id: String,
    policy: String,
}

/// Stores a company with the usual rules. The code must be free, else [`DbError::Duplicate`].
///
/// # Errors
/// [`DbError`].
pub async fn insert(tx: &mut Tx, code: &CompanyCode, name: &ShownName, now: UnixMillis) -> DbResult<CompanyId> {
    let company_id = CompanyId::from_bytes(app::draw_id());
    execute!(
        tx,
        "INSERT INTO companies (company_id, code, name, created_at_ms, search)
        VALUES ($1, $2, $3, $4, $5)",
        company_id.to_string(),
        code.as_str(),
        name.as_str(),
        now,
        fold_all([code.as_str(), name.as_str()])
    )?;
    Ok(company_id)
}

/// Creates a company at the command line. The code must be free, else [`DbError::Duplicate`].
///
/// # Errors
/// [`DbError`].
pub async fn create(tx: &mut Tx, code: &CompanyCode, name: &ShownName, now: UnixMillis) -> DbResult<CompanyId> {
    let company_id = insert(tx, code, name, now).await?;
    let event = AuditEvent {
        at_ms: now,
        company: Some(company_id),
        actor: Actor::CommandLine,
        event: "company.created",
        reception: None,
        session: None,
        detail: serde_json::json!({ "code": code.as_str() }),
    };
    audit::append(tx, event).await?;
    Ok(company_id)
}

/// Finds a company by its code.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, code: &CompanyCode) -> DbResult<Option<Company>> {
    let row = fetch_optional!(
        tx,
        CompanyRow,
        "SELECT company_id, policy
        FROM companies
        WHERE code = $1",
        code.as_str()
    )?;
    let Some(row) = row else { return Ok(None) };
    let company_id = row.company_id.parse().map_err(|_not_an_id| DbError::InconsistentRow {
        table: "companies",
        column: "company_id",
        id: row.company_id.clone(),
    })?;
    Ok(Some(Company { company_id, policy: Policy::stored(&row.policy) }))
}
