//! One attempt to log in, at whatever door: what was typed is throttled, counted, and compared, in this order.
//!
//! Guarantees: whatever is wrong, the caller is told the same and the work is the same; an attempt counts as failed
//! until the whole login is done, so that neither passwords nor codes can be tried without end; the cause goes to the
//! login log.

use std::net::IpAddr;

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};
use serde_json::json;

use super::{
    Holder, Realm,
    password::{self, Password},
    realm::SYSTEM,
    second,
    store::{self, Account, AccountHash, Counted},
};
use crate::{
    app::App,
    audit::{self, Actor, AuditEvent},
    company::{CompanyCode, Lockout},
    db::{DbError, DbResult, Tx},
    error::ApiError,
    halt, site,
    throttle::{self, Rate, Taken},
};

/// What is counted apart, so that a provider that is away takes nobody's tries of the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tries {
    /// Passwords and their codes.
    Password,
    /// Ways to a provider.
    Provider,
}

/// What somebody typed, and from where.
#[derive(Debug)]
pub struct Typed {
    /// At whose door.
    pub realm: Realm,
    /// Company code.
    pub company: String,
    /// The account's id.
    pub user: String,
    /// The password.
    pub password: Password,
    /// Where the request comes from.
    pub source: IpAddr,
    /// The mark of a browser that may have logged in before.
    pub device: Option<String>,
}

/// An attempt whose password was right. It counts as failed until [`Proved::forgive`].
#[derive(Debug)]
pub struct Proved {
    /// Whose it is.
    pub account: Account,
    /// The bucket of the source, for the log.
    pub source: String,
    account_hash: AccountHash,
}

/// Why there is no login.
#[derive(Debug)]
pub enum Refusal {
    /// Something that was typed, or the account, or the place, or the hour: one answer for all.
    Failed,
    /// The company is suspended, or its contract is over; only who knows the password is told.
    Suspended,
    /// The password is an initial one that nobody used in time; only who knows it is told.
    InitialOver,
    /// The whole service is halted; everybody is told.
    Halted,
    /// Too many attempts.
    Throttled {
        /// Seconds to wait.
        retry_after_secs: u64,
    },
    /// Overloaded, or a mistake of ours.
    Error(ApiError),
}

/// How an attempt ended, the label of the metric and the word in the login log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The password was right.
    Ok,
    /// No such company or id.
    Unknown,
    /// Locked by failures.
    Locked,
    /// The account was stopped.
    Stopped,
    /// The company is suspended, or its contract is over.
    Suspended,
    /// Not from this address.
    WrongPlace,
    /// Not at this hour.
    WrongHour,
    /// An initial password that nobody used in time.
    InitialOver,
    /// The password was wrong.
    WrongPassword,
    /// The code of the second factor was wrong.
    WrongCode,
    /// No account is bound to whoever the provider named.
    Unlinked,
}

impl Outcome {
    /// The label and the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Locked => "locked",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::WrongPlace => "wrong_place",
            Self::WrongHour => "wrong_hour",
            Self::InitialOver => "initial_over",
            Self::WrongPassword => "wrong_password",
            Self::WrongCode => "wrong_code",
            Self::Unlinked => "unlinked",
        }
    }
}

impl Outcome {
    /// What whoever tried is told.
    const fn refusal(self) -> Refusal {
        match self {
            Self::Suspended => Refusal::Suspended,
            Self::InitialOver => Refusal::InitialOver,
            Self::Ok
            | Self::Unknown
            | Self::Locked
            | Self::Stopped
            | Self::WrongPlace
            | Self::WrongHour
            | Self::WrongPassword
            | Self::WrongCode
            | Self::Unlinked => Refusal::Failed,
        }
    }
}

/// What an attempt found before the password is looked at.
struct Attempt {
    account_hash: AccountHash,
    account: Option<Account>,
    counted: Counted,
}

/// Proves a password.
///
/// # Errors
/// [`Refusal`].
pub async fn prove(app: &App, typed: Typed) -> Result<Proved, Refusal> {
    let logins = &app.metrics.core.manager_logins_total;
    // Before anything is counted, so that nobody is locked out by having tried meanwhile.
    if typed.realm == Realm::Company && halt::is_halted(app).await? {
        logins.with_label_values(&["halted"]).inc();
        return Err(Refusal::Halted);
    }
    let source = throttle::source_bucket(typed.source);
    if let Some(retry_after_secs) = throttled(app, Tries::Password, &source).await? {
        return Err(Refusal::Throttled { retry_after_secs });
    }
    let place = app.hash_gate.enter().await.map_err(|busy| {
        logins.with_label_values(&["busy"]).inc();
        Refusal::Error(ApiError::busy(busy))
    })?;
    let attempt = begin(app, &typed).await?;
    let hash = attempt.account.as_ref().map(|account| account.password_hash.clone());
    let (matches, renewed) = app.hash_gate.verify_and_renew(place, typed.password, hash).await;
    let outcome = judge(&attempt, matches, typed.source, app.now_ms());
    logins.with_label_values(&[outcome.as_str()]).inc();
    match (attempt.account, outcome) {
        (Some(account), Outcome::Ok) => {
            if let Some(renewed) = renewed {
                let mut tx = app.db.begin().await?;
                store::renew_hash(&mut tx, &account, &renewed).await?;
                tx.commit().await?;
            }
            Ok(Proved { account, source, account_hash: attempt.account_hash })
        }
        (account, outcome) => {
            let mut tx = app.db.begin().await?;
            note_failure(&mut tx, account.as_ref(), attempt.counted, &source, outcome, app.now_ms()).await?;
            tx.commit().await?;
            Err(outcome.refusal())
        }
    }
}

impl Tries {
    /// Scopes of the counters of one source, and of everybody.
    const fn scopes(self) -> (&'static str, &'static str) {
        match self {
            Self::Password => ("login.source", "login.together"),
            Self::Provider => ("login.provider", "login.provider_together"),
        }
    }
}

impl Proved {
    /// Takes back what the attempt was counted for: the login is done.
    ///
    /// # Errors
    /// [`crate::db::DbError`].
    pub async fn forgive(&self, tx: &mut Tx, now: UnixMillis) -> DbResult<()> {
        store::forgive(tx, &self.account_hash).await?;
        forgive_source(tx, Tries::Password, &self.source, now).await
    }

    /// Whether the code of the second factor is right; a wrong one is noted in the login log.
    ///
    /// # Errors
    /// [`crate::db::DbError`].
    pub async fn takes(&self, app: &App, tx: &mut Tx, code: &str) -> DbResult<bool> {
        let now = app.now_ms();
        if second::take(app, tx, self.account.operator_id, code).await? {
            return Ok(true);
        }
        app.metrics.core.manager_logins_total.with_label_values(&[Outcome::WrongCode.as_str()]).inc();
        let account = Some(&self.account);
        note_failure(tx, account, Counted::Open { locked_until_ms: 0 }, &self.source, Outcome::WrongCode, now).await?;
        Ok(false)
    }
}

/// Takes back what a login at the site was counted for, once the code of its second factor was right, too.
///
/// # Errors
/// [`crate::db::DbError`].
pub(super) async fn forgive_site(
    tx: &mut Tx,
    login: &Holder,
    device: Option<&str>,
    source: IpAddr,
    now: UnixMillis,
) -> DbResult<()> {
    let (company, user, device) = (&login.company_code, &login.user_id, device.unwrap_or_default());
    let tries = if login.by_provider { Tries::Provider } else { Tries::Password };
    if tries == Tries::Password {
        let account_hash = if store::is_known_device(tx, Some(login.operator_id), device).await? {
            AccountHash::of_device(company, user, device)
        } else {
            AccountHash::of(company, user)
        };
        store::forgive(tx, &account_hash).await?;
    }
    forgive_source(tx, tries, &throttle::source_bucket(source), now).await
}

/// Takes back what an attempt was counted for against its source and against everybody.
///
/// # Errors
/// [`crate::db::DbError`].
pub(crate) async fn forgive_source(tx: &mut Tx, tries: Tries, source: &str, now: UnixMillis) -> DbResult<()> {
    let (per_source, together) = tries.scopes();
    throttle::put_back(tx, per_source, source, now).await?;
    throttle::put_back(tx, together, "", now).await
}

/// Counts the attempt against its source and against everybody, before anything is looked up, hashed or asked; seconds to
/// wait when there were too many, which is counted as a login, too.
///
/// # Errors
/// [`crate::db::DbError`].
pub(crate) async fn throttled(app: &App, tries: Tries, source: &str) -> DbResult<Option<u64>> {
    let (per_source, together) = rates(app);
    let (source_scope, together_scope) = tries.scopes();
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let mut taken = throttle::take(&mut tx, source_scope, source, per_source, now).await?;
    if taken == Taken::Within {
        taken = throttle::take(&mut tx, together_scope, "", together, now).await?;
    }
    tx.commit().await?;
    match taken {
        Taken::Within => Ok(None),
        Taken::Beyond { retry_after_secs } => {
            app.metrics.core.manager_logins_total.with_label_values(&["throttled"]).inc();
            Ok(Some(retry_after_secs))
        }
    }
}

/// Finds the account and counts the attempt as failed until it is known better; the same work for unknown ones.
async fn begin(app: &App, typed: &Typed) -> DbResult<Attempt> {
    let (company, user) = (CompanyCode::fold(&typed.company), typed.user.trim());
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let account = store::find_account(&mut tx, typed.realm, &company, user).await?;
    let lockout = account.as_ref().map_or_else(Lockout::default, Account::lockout);
    let device = typed.device.as_deref().unwrap_or_default();
    let known = store::is_known_device(&mut tx, account.as_ref().map(|account| account.operator_id), device).await?;
    let account_hash =
        if known { AccountHash::of_device(&company, user, device) } else { AccountHash::of(&company, user) };
    let counted = store::count(&mut tx, &account_hash, lockout, now).await?;
    tx.commit().await?;
    Ok(Attempt { account_hash, account, counted })
}

fn judge(attempt: &Attempt, matches: bool, source: IpAddr, now: UnixMillis) -> Outcome {
    let Some(account) = &attempt.account else { return Outcome::Unknown };
    if attempt.counted == Counted::Locked {
        Outcome::Locked
    } else if account.stopped {
        Outcome::Stopped
    } else if !matches {
        Outcome::WrongPassword
    } else {
        let outcome = admit(account, source, now);
        if outcome == Outcome::Ok && is_initial_over(account, now) { Outcome::InitialOver } else { outcome }
    }
}

/// Whether somebody who has proved to be the owner of an account may log in now, from there.
pub(crate) fn admit(account: &Account, source: IpAddr, now: UnixMillis) -> Outcome {
    let rules = &account.policy.login;
    if !account.company_is_active {
        Outcome::Suspended
    } else if !rules.allows(&account.role, source) {
        Outcome::WrongPlace
    } else if !rules.week.is_open_at(now, site::time::zone(&account.policy.time_zone)) {
        Outcome::WrongHour
    } else {
        Outcome::Ok
    }
}

fn is_initial_over(account: &Account, now: UnixMillis) -> bool {
    account.password_is_initial && password::initial_until(account.password_changed_at_ms) <= now
}

async fn note_failure(
    tx: &mut Tx,
    account: Option<&Account>,
    counted: Counted,
    source: &str,
    outcome: Outcome,
    now: UnixMillis,
) -> DbResult<()> {
    if let (Some(account), Counted::Open { locked_until_ms }) = (account, counted)
        && now < locked_until_ms
    {
        store::note_lock(tx, account.operator_id, locked_until_ms).await?;
        let event = login_event("login.locked", Some((account.company_id, account.operator_id)), now);
        audit::append(tx, AuditEvent { detail: json!({ "source": source }), ..event }).await?;
    }
    let who = account.map(|account| (account.company_id, account.operator_id));
    let detail = json!({ "source": source, "result": outcome.as_str() });
    audit::append(tx, AuditEvent { detail, ..login_event("login.failed", who, now) }).await?;
    tracing::info!(event = "login.failed", reason = outcome.as_str(), "A login failed: {}", outcome.as_str());
    Ok(())
}

/// An event of the login log.
pub fn login_event(event: &'static str, who: Option<(CompanyId, OperatorId)>, now: UnixMillis) -> AuditEvent {
    AuditEvent {
        at_ms: now,
        company: who.map(|(company_id, _)| company_id),
        actor: who.map_or(Actor::Stranger, |(company_id, operator_id)| {
            if company_id == SYSTEM { Actor::Admin(operator_id) } else { Actor::Operator(operator_id) }
        }),
        event,
        reception: None,
        session: None,
        detail: json!({}),
    }
}

fn rates(app: &App) -> (Rate, Rate) {
    let config = &app.config.login;
    let window = config.attempts_window.get();
    (
        Rate { max: config.attempts_per_source_max.get().into(), window },
        Rate { max: config.attempts_max.get().into(), window },
    )
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        Self::Error(error.into())
    }
}
