//! Rows of logins at the site.

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};

use super::{Holder, Login, Realm, SiteLogin, site_login::Stage, store};
use crate::{
    admin::{AdminLogin, AdminRole},
    bearer::BearerHash,
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_optional,
    role::{Permissions, Reach, Role},
    site::Lang,
};

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// A new login.
#[derive(Debug)]
pub struct NewLogin<'a> {
    /// The hash of its cookie.
    pub token: &'a BearerHash,
    /// Whose it is.
    pub operator_id: OperatorId,
    /// How far it is.
    pub stage: Stage,
    /// Where it comes from.
    pub source: &'a str,
    /// What the browser says it is.
    pub agent: &'a str,
    /// Whether a provider said whose it is.
    pub by_provider: bool,
    /// When it ends at the latest.
    pub expires_at_ms: UnixMillis,
}

/// A login as its owner and administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Open {
    /// Names it in forms; not the cookie.
    pub token_hash: String,
    /// Where it comes from.
    pub source: String,
    /// What the browser says it is.
    pub agent: String,
    /// When it began.
    pub created_at_ms: i64,
    /// When it was used last.
    pub used_at_ms: i64,
}

#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
struct Row {
    operator_id: String,
    user_id: String,
    name: String,
    company_id: String,
    company_code: String,
    company_name: String,
    policy: String,
    organisation_path: Option<String>,
    role: String,
    role_name: Option<String>,
    role_reach: Option<String>,
    role_permissions: Option<String>,
    stage: String,
    has_factor: bool,
    by_provider: bool,
    provider_asks: bool,
    password_changed_at_ms: i64,
    partner_id: Option<String>,
    created_at_ms: i64,
    used_at_ms: i64,
    halted_at_ms: Option<i64>,
    must_agree: bool,
}

/// Stores a login.
///
/// # Errors
/// [`DbError`].
pub async fn insert(tx: &mut Tx, new: &NewLogin<'_>, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO site_logins
        (token_hash, operator_id, stage, code_failures, source, agent, by_provider, created_at_ms, used_at_ms,
            expires_at_ms)
        VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $7, $8)",
        new.token.as_str(),
        new.operator_id.to_string(),
        new.stage.as_str(),
        new.source,
        new.agent,
        new.by_provider,
        now,
        new.expires_at_ms
    )?;
    Ok(())
}

/// Finds a login of a realm that is valid now, and when it was used last. While the service is halted, none of a company is.
///
/// # Errors
/// [`DbError`].
pub async fn find(
    tx: &mut Tx,
    realm: Realm,
    token: &BearerHash,
    now: UnixMillis,
) -> DbResult<Option<(Login, UnixMillis)>> {
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT o.operator_id, o.user_id, o.name, c.company_id, c.code AS company_code, c.name AS company_name, c.policy,
            g.path AS organisation_path, o.role, r.name AS role_name, r.reach AS role_reach,
            r.permissions AS role_permissions, l.stage, o.totp_sealed IS NOT NULL AS has_factor, l.by_provider,
            COALESCE(p.asks_factor, FALSE) AS provider_asks, o.password_changed_at_ms, o.partner_id, l.created_at_ms,
            l.used_at_ms, (SELECT s.halted_at_ms FROM service s) AS halted_at_ms,
            EXISTS (
                SELECT 1
                FROM terms t
                WHERE t.agree = TRUE
                AND t.published_at_ms IS NOT NULL
                AND t.withdrawn_at_ms IS NULL
                AND t.in_force_from_ms <= $2
                AND NOT EXISTS (
                    SELECT 1
                    FROM terms_agreements a
                    JOIN terms d ON d.revision_id = a.revision_id
                    WHERE a.operator_id = o.operator_id
                    AND d.in_force_from_ms >= t.in_force_from_ms
                )
            ) AS must_agree
        FROM site_logins l
        JOIN operators o ON o.operator_id = l.operator_id
        JOIN companies c ON c.company_id = o.company_id
        LEFT JOIN organisations g ON g.organisation_id = o.organisation_id
        LEFT JOIN roles r ON r.role_id = o.role_id
        LEFT JOIN providers p ON p.company_id = c.company_id AND p.in_force = TRUE
        WHERE l.token_hash = $1
        AND l.revoked_at_ms IS NULL
        AND l.expires_at_ms > $2
        AND o.stopped = FALSE
        AND o.deleted_at_ms IS NULL
        AND c.state = 'active'
        AND c.realm = $3",
        token.as_str(),
        now,
        realm.as_str()
    )?;
    let Some(row) = row.filter(|row| realm == Realm::System || row.halted_at_ms.is_none()) else { return Ok(None) };
    let (created_at_ms, used_at_ms) = (row.created_at_ms, row.used_at_ms);
    let login = match realm {
        Realm::Company => Login::Company(Box::new(read_company(row, token)?)),
        Realm::System => Login::System(Box::new(read_admin(row, token)?)),
    };
    let rules = &login.policy.login;
    let idle_at_ms = used_at_ms.saturating_add(rules.idle_minutes.saturating_mul(MINUTE_MS));
    let ends_at_ms = created_at_ms.saturating_add(rules.life_hours.saturating_mul(store::HOUR_MS));
    Ok((now < idle_at_ms.min(ends_at_ms)).then_some((login, used_at_ms)))
}

/// The account behind a token of the API, if it could use the site now: it is in force, of a company in force, need not
/// set a password first, and the service is not halted. `token` is the token's hash.
///
/// # Errors
/// [`DbError`].
pub async fn find_account(tx: &mut Tx, operator_id: OperatorId, token: &BearerHash) -> DbResult<Option<SiteLogin>> {
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT o.operator_id, o.user_id, o.name, c.company_id, c.code AS company_code, c.name AS company_name, c.policy,
            g.path AS organisation_path, o.role, r.name AS role_name, r.reach AS role_reach,
            r.permissions AS role_permissions, 'full' AS stage, o.totp_sealed IS NOT NULL AS has_factor,
            FALSE AS by_provider, FALSE AS provider_asks, o.password_changed_at_ms, o.partner_id, o.created_at_ms,
            o.created_at_ms AS used_at_ms, (SELECT s.halted_at_ms FROM service s) AS halted_at_ms,
            FALSE AS must_agree
        FROM operators o
        JOIN companies c ON c.company_id = o.company_id
        LEFT JOIN organisations g ON g.organisation_id = o.organisation_id
        LEFT JOIN roles r ON r.role_id = o.role_id
        WHERE o.operator_id = $1
        AND o.stopped = FALSE
        AND o.password_initial = FALSE
        AND o.deleted_at_ms IS NULL
        AND c.state = 'active'
        AND c.realm = 'company'",
        operator_id.to_string()
    )?;
    row.filter(|row| row.halted_at_ms.is_none()).map(|row| read_company(row, token)).transpose()
}

fn read_company(row: Row, token: &BearerHash) -> DbResult<SiteLogin> {
    let wrong = |column| DbError::InconsistentRow { table: "operators", column, id: row.operator_id.clone() };
    let role: Role = row.role.parse().map_err(|_unknown| wrong("role"))?;
    let (reach, permissions) = match (&row.role_reach, &row.role_permissions) {
        (Some(reach), Some(permissions)) => {
            let reach: Reach = reach.parse().map_err(|_unknown| wrong("role_id"))?;
            // A role can be narrower than its base, whatever its row says.
            (reach.min(role.reach()), Permissions::from(permissions.as_str()).and(role.permissions()))
        }
        (None | Some(_), _) => (role.reach(), role.permissions()),
    };
    Ok(SiteLogin {
        organisation_path: row.organisation_path.clone(),
        role,
        role_name: row.role_name.clone(),
        permissions,
        reach,
        holder: read_holder(row, Realm::Company, token)?,
    })
}

fn read_admin(row: Row, token: &BearerHash) -> DbResult<AdminLogin> {
    let wrong = |column| DbError::InconsistentRow { table: "operators", column, id: row.operator_id.clone() };
    let role: AdminRole = row.role.parse().map_err(|_unknown| wrong("role"))?;
    Ok(AdminLogin { role, partner_id: row.partner_id.clone(), holder: read_holder(row, Realm::System, token)? })
}

fn read_holder(row: Row, realm: Realm, token: &BearerHash) -> DbResult<Holder> {
    let wrong = |column| DbError::InconsistentRow { table: "operators", column, id: row.operator_id.clone() };
    Ok(Holder {
        realm,
        operator_id: row.operator_id.parse().map_err(|_not_an_id| wrong("operator_id"))?,
        company_id: row.company_id.parse().map_err(|_not_an_id| wrong("company_id"))?,
        user_id: row.user_id,
        name: row.name,
        company_code: row.company_code,
        company_name: row.company_name,
        stage: Stage::stored(&row.stage),
        has_factor: row.has_factor,
        by_provider: row.by_provider,
        provider_asks: row.provider_asks,
        password_changed_at_ms: row.password_changed_at_ms,
        policy: realm.policy(&row.policy),
        token: token.clone(),
        api_token: None,
        csrf: String::new(),
        lang: Lang::default(),
        notices: Vec::new(),
        halted_at_ms: row.halted_at_ms,
        must_agree: realm == Realm::Company && row.must_agree,
        announced: None,
    })
}

/// Notes the language of an account's pages, for its mails.
///
/// # Errors
/// [`DbError`].
pub async fn note_lang(tx: &mut Tx, operator_id: OperatorId, lang: Lang) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE operators
        SET lang = $2
        WHERE operator_id = $1
        AND lang <> $2",
        operator_id.to_string(),
        lang.tag()
    )?;
    Ok(())
}

/// Notes that a login was used.
///
/// # Errors
/// [`DbError`].
pub async fn touch(tx: &mut Tx, token: &BearerHash, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE site_logins
        SET used_at_ms = $2
        WHERE token_hash = $1
        AND used_at_ms < $2",
        token.as_str(),
        now
    )?;
    Ok(())
}

/// Puts a login into a stage under another token: what knew the old one is worth nothing then.
///
/// # Errors
/// [`DbError`].
pub async fn advance(tx: &mut Tx, old: &BearerHash, new: &BearerHash, stage: Stage) -> DbResult<bool> {
    let moved = execute!(
        tx,
        "UPDATE site_logins
        SET token_hash = $2, stage = $3, totp_sealed = NULL
        WHERE token_hash = $1
        AND revoked_at_ms IS NULL",
        old.as_str(),
        new.as_str(),
        stage.as_str()
    )?;
    Ok(moved == 1)
}

/// Counts a wrong code; the fifth ends the login. How many there were.
///
/// # Errors
/// [`DbError`].
pub async fn count_code(tx: &mut Tx, token: &BearerHash, now: UnixMillis) -> DbResult<i64> {
    let failures = fetch_optional!(
        tx,
        (i64,),
        "UPDATE site_logins
        SET code_failures = code_failures + 1,
            revoked_at_ms = CASE WHEN code_failures + 1 >= 5 THEN $2 ELSE revoked_at_ms END
        WHERE token_hash = $1
        RETURNING code_failures",
        token.as_str(),
        now
    )?;
    Ok(failures.map_or(0, |(failures,)| failures))
}

/// The secret that is being set up in this login; stores `fresh` when there is none, and gives what is there.
///
/// # Errors
/// [`DbError`].
pub async fn keep_factor(tx: &mut Tx, token: &BearerHash, fresh: &str) -> DbResult<Option<String>> {
    let kept = fetch_optional!(
        tx,
        (Option<String>,),
        "UPDATE site_logins
        SET totp_sealed = COALESCE(totp_sealed, $2)
        WHERE token_hash = $1
        RETURNING totp_sealed",
        token.as_str(),
        fresh
    )?;
    Ok(kept.and_then(|(sealed,)| sealed))
}

/// Revokes one login of an account; whether it was valid until now.
///
/// # Errors
/// [`DbError`].
pub async fn revoke(tx: &mut Tx, operator_id: OperatorId, token_hash: &str, now: UnixMillis) -> DbResult<bool> {
    let revoked = execute!(
        tx,
        "UPDATE site_logins
        SET revoked_at_ms = $3
        WHERE operator_id = $1
        AND token_hash = $2
        AND revoked_at_ms IS NULL",
        operator_id.to_string(),
        token_hash,
        now
    )?;
    Ok(revoked == 1)
}

/// Revokes every login of an account at the site but one; how many there were.
///
/// # Errors
/// [`DbError`].
pub async fn revoke_all(
    tx: &mut Tx,
    operator_id: OperatorId,
    but: Option<&BearerHash>,
    now: UnixMillis,
) -> DbResult<u64> {
    execute!(
        tx,
        "UPDATE site_logins
        SET revoked_at_ms = $2
        WHERE operator_id = $1
        AND token_hash <> $3
        AND revoked_at_ms IS NULL
        AND expires_at_ms > $2",
        operator_id.to_string(),
        now,
        but.map(BearerHash::as_str).unwrap_or_default()
    )
}

/// Revokes every login of a company's accounts that came by the identity provider; how many.
///
/// # Errors
/// [`DbError`].
pub async fn revoke_by_provider(tx: &mut Tx, company_id: CompanyId, now: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "UPDATE site_logins
        SET revoked_at_ms = $2
        WHERE by_provider = TRUE
        AND revoked_at_ms IS NULL
        AND operator_id IN (SELECT operator_id FROM operators WHERE company_id = $1)",
        company_id.to_string(),
        now
    )
}

/// The logins of an account that are valid, newest first.
///
/// # Errors
/// [`DbError`].
pub async fn open_of(tx: &mut Tx, operator_id: OperatorId, now: UnixMillis) -> DbResult<Vec<Open>> {
    fetch_all!(
        tx,
        Open,
        "SELECT token_hash, source, agent, created_at_ms, used_at_ms
        FROM site_logins
        WHERE operator_id = $1
        AND stage = 'full'
        AND revoked_at_ms IS NULL
        AND expires_at_ms > $2
        ORDER BY created_at_ms DESC
        LIMIT 50",
        operator_id.to_string(),
        now
    )
}

/// Deletes logins that ended; how many.
///
/// # Errors
/// [`DbError`].
pub async fn sweep(tx: &mut Tx, now: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "DELETE FROM site_logins
        WHERE expires_at_ms <= $1",
        now
    )
}
