//! Rows of tokens.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};

use super::Scopes;
use crate::{
    app,
    bearer::{BearerHash, BearerToken},
    company::{ShownName, policy::Network},
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_optional,
    login::{SiteLogin, site_store},
};

/// Tokens in force that a company may have.
pub const TOKENS_MAX: i64 = 50;
/// Networks that a token may be bound to.
pub const NETWORKS_MAX: usize = 20;
/// Days that a token may live.
pub const DAYS: [i64; 4] = [30, 90, 180, 365];
/// What every token begins with, so that a search for secrets knows one.
const MARK: &str = "uks_";
/// Characters of a token that are kept for people.
const PREFIX_LEN: usize = 12;
/// How long a token that is over stays in the list.
const KEPT_MS: i64 = 400 * 24 * 60 * 60 * 1000;

/// A new token.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// What it is for, in the words of who makes it.
    pub name: &'a ShownName,
    /// What it may do.
    pub scopes: Scopes,
    /// From where; none for wherever accounts of the company log in from.
    pub networks: &'a [Network],
    /// Until when.
    pub expires_at_ms: UnixMillis,
}

/// A token as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id in addresses.
    pub token_id: String,
    /// What it is for.
    pub name: String,
    /// What it begins with.
    pub prefix: String,
    /// What it may do.
    pub scopes: String,
    /// From where.
    pub networks: String,
    /// Who made it.
    pub maker: String,
    /// Whether that account can still do anything.
    pub maker_is_active: bool,
    /// When it was made.
    pub created_at_ms: i64,
    /// Until when it is valid.
    pub expires_at_ms: i64,
    /// When it was used last.
    pub used_at_ms: Option<i64>,
    /// From where.
    pub used_from: String,
    /// When it was revoked.
    pub revoked_at_ms: Option<i64>,
}

/// A token that is valid now, with the account that made it.
#[derive(Debug)]
pub struct Valid {
    /// The maker, with what it may do now; events and histories have the token's name.
    pub login: SiteLogin,
    /// What the token is for.
    pub scopes: Scopes,
    /// From where it may be used.
    pub networks: Vec<Network>,
    /// When it was used last.
    pub used_at_ms: Option<i64>,
    /// From where.
    pub used_from: String,
}

#[derive(sqlx::FromRow)]
struct ValidRow {
    token_id: String,
    operator_id: String,
    name: String,
    scopes: String,
    networks: String,
    used_at_ms: Option<i64>,
    used_from: String,
}

impl Row {
    /// Whether it can be used at all.
    pub const fn is_in_force(&self, now: UnixMillis) -> bool {
        self.revoked_at_ms.is_none() && now < self.expires_at_ms
    }
}

/// Makes a token, unless the company has [`TOKENS_MAX`]; its id, and the token itself, which nobody has afterwards.
///
/// # Errors
/// [`DbError`].
pub async fn create(
    tx: &mut Tx,
    login: &SiteLogin,
    new: &NewToken<'_>,
    now: UnixMillis,
) -> DbResult<Option<(String, String)>> {
    let company_id = login.company_id.to_string();
    execute!(
        tx,
        "DELETE FROM api_tokens
        WHERE company_id = $1
        AND COALESCE(revoked_at_ms, expires_at_ms) < $2",
        &company_id,
        now.saturating_sub(KEPT_MS)
    )?;
    let token = format!("{MARK}{}", BearerToken::random(&mut app::os_rng()).reveal());
    let token_id = hex::encode(app::draw_id());
    let networks: Vec<String> = new.networks.iter().map(ToString::to_string).collect();
    let inserted = execute!(
        tx,
        "INSERT INTO api_tokens
        (token_id, company_id, operator_id, name, prefix, token_hash, scopes, networks, created_at_ms, expires_at_ms,
            used_from)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, ''
        WHERE (
            SELECT COUNT(*)
            FROM api_tokens
            WHERE company_id = $2
            AND revoked_at_ms IS NULL
            AND expires_at_ms > $9
        ) < $11",
        &token_id,
        &company_id,
        login.operator_id.to_string(),
        new.name.as_str(),
        token.get(..PREFIX_LEN).unwrap_or_default(),
        BearerHash::of(&token).as_str(),
        new.scopes.to_string(),
        networks.join(" "),
        now,
        new.expires_at_ms,
        TOKENS_MAX
    )?;
    Ok((inserted == 1).then_some((token_id, token)))
}

/// The tokens of a company, the newest first.
///
/// # Errors
/// [`DbError`].
pub async fn list(tx: &mut Tx, company_id: CompanyId) -> DbResult<Vec<Row>> {
    fetch_all!(
        tx,
        Row,
        "SELECT t.token_id, t.name, t.prefix, t.scopes, t.networks, o.name AS maker,
            (o.stopped = FALSE AND o.password_initial = FALSE AND o.deleted_at_ms IS NULL) AS maker_is_active, t.created_at_ms, t.expires_at_ms,
            t.used_at_ms, t.used_from, t.revoked_at_ms
        FROM api_tokens t
        JOIN operators o ON o.operator_id = t.operator_id
        WHERE t.company_id = $1
        ORDER BY t.created_at_ms DESC, t.token_id
        LIMIT 1000",
        company_id.to_string()
    )
}

/// Revokes a token of a company; its name, or `None` when there is none in force.
///
/// # Errors
/// [`DbError`].
pub async fn revoke(tx: &mut Tx, company_id: CompanyId, token_id: &str, now: UnixMillis) -> DbResult<Option<String>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "UPDATE api_tokens
        SET revoked_at_ms = $3
        WHERE company_id = $1
        AND token_id = $2
        AND revoked_at_ms IS NULL
        RETURNING name",
        company_id.to_string(),
        token_id,
        now
    )?;
    Ok(row.map(|(name,)| name))
}

/// The token that has this hash, if it is valid now and its maker is an account in force of a company in force.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, hash: &BearerHash, now: UnixMillis) -> DbResult<Option<Valid>> {
    let row = fetch_optional!(
        tx,
        ValidRow,
        "SELECT token_id, operator_id, name, scopes, networks, used_at_ms, used_from
        FROM api_tokens
        WHERE token_hash = $1
        AND revoked_at_ms IS NULL
        AND expires_at_ms > $2",
        hash.as_str(),
        now
    )?;
    let Some(row) = row else { return Ok(None) };
    let wrong = |column| DbError::InconsistentRow { table: "api_tokens", column, id: row.token_id.clone() };
    let operator_id: OperatorId = row.operator_id.parse().map_err(|_not_an_id| wrong("operator_id"))?;
    let Some(mut login) = site_store::find_account(tx, operator_id, hash).await? else { return Ok(None) };
    login.holder.name = format!("API: {}", row.name);
    login.holder.api_token = Some(row.token_id.parse().map_err(|_not_an_id| wrong("token_id"))?);
    let networks = row.networks.split_ascii_whitespace().map(str::parse::<Network>).collect::<Result<Vec<_>, _>>();
    Ok(Some(Valid {
        login,
        scopes: Scopes::from(row.scopes.as_str()),
        networks: networks.map_err(|_no_network| wrong("networks"))?,
        used_at_ms: row.used_at_ms,
        used_from: row.used_from,
    }))
}

/// Notes when and from where a token was used.
///
/// # Errors
/// [`DbError`].
pub async fn touch(tx: &mut Tx, hash: &BearerHash, source: &str, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE api_tokens
        SET used_at_ms = $2, used_from = $3
        WHERE token_hash = $1",
        hash.as_str(),
        now,
        source
    )?;
    Ok(())
}
