//! Setting a password by a link in a mail: who has forgotten it, and who has none yet.
//!
//! Guarantees: a link works once and not for long, and only the newest one of an account; the database has its hash;
//! setting a password by it ends every login of the account, takes its binding to the identity provider away, and leaves
//! the second factor as it is. Who asks for a link is answered before anything is looked up: the same words after the same
//! work, whether there is such an account or not.

use std::time::Duration;

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Realm,
    password::PasswordHash,
    store::{self, AccountHash},
};
use crate::{
    app::{self, App},
    audit::{self, Actor, AuditEvent},
    bearer::{BearerHash, BearerToken},
    company::{CompanyCode, Policy},
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_optional,
    mail::{self, Kind, NewMail, Text},
    operator::{MailAddress, UserId},
    provider,
    site::{Lang, Words, time},
    throttle::{self, Rate, Taken, millis},
};

/// Where a link leads; the token follows.
pub const ADDRESS: &str = "/login/link/";
/// How long a link of who has forgotten the password works: as long as somebody waits for a mail.
const RESET_LIFE: Duration = Duration::from_mins(30);
/// How long the link of a new account works: over a long weekend.
const INVITATION_LIFE: Duration = Duration::from_hours(7 * 24);
/// Pause between two looks for who asked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Who asked, answered in one transaction.
const BATCH: i64 = 20;
/// Links that one source may ask for.
const PER_SOURCE: Rate = Rate { max: 10, window: Duration::from_hours(1) };
/// Links that may be asked for one account; what is more is answered with the same words, and not sent.
const PER_ACCOUNT: Rate = Rate { max: 3, window: Duration::from_hours(1) };
/// Links that everybody together may ask for.
const TOGETHER: Rate = Rate { max: 600, window: Duration::from_hours(1) };

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The password was forgotten.
    Reset,
    /// The account is new.
    Invitation,
}

/// Whose link it is.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The account.
    pub operator_id: OperatorId,
    /// Its id at login.
    pub user_id: String,
    /// The company.
    pub company_id: CompanyId,
    /// Its code.
    pub company_code: String,
    /// The company's rules.
    pub policy: Policy,
}

#[derive(sqlx::FromRow)]
struct OwnerRow {
    operator_id: String,
    user_id: String,
    company_id: String,
    company_code: String,
    policy: String,
}

#[derive(sqlx::FromRow)]
struct Addressee {
    company_id: String,
    company_code: String,
    company_name: String,
    policy: String,
    user_id: String,
    email: String,
    lang: String,
}

#[derive(sqlx::FromRow)]
struct Request {
    company: String,
    user_id: String,
    lang: String,
    source: String,
    at_ms: i64,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Invitation => "invitation",
        }
    }

    const fn life(self) -> Duration {
        match self {
            Self::Reset => RESET_LIFE,
            Self::Invitation => INVITATION_LIFE,
        }
    }
}

/// Notes that somebody asked for a link; the seconds to wait when there were too many.
///
/// # Errors
/// [`DbError`].
pub async fn ask(app: &App, company: &str, user: &str, lang: Lang, source: &str) -> DbResult<Option<u64>> {
    let now = app.now_ms();
    let (company, user) = (CompanyCode::fold(company), user.trim());
    let mut tx = app.db.begin().await?;
    for (scope, bucket, rate) in [("reset.source", source, PER_SOURCE), ("reset.together", "", TOGETHER)] {
        if let Taken::Beyond { retry_after_secs } = throttle::take(&mut tx, scope, bucket, rate, now).await? {
            tx.commit().await?;
            return Ok(Some(retry_after_secs));
        }
    }
    // What cannot be an account is noted, too, under a name that nobody has.
    let possible = company.parse::<CompanyCode>().is_ok() && user.parse::<UserId>().is_ok();
    let (company, user) = if possible { (company.as_str(), user) } else { ("", "") };
    let account = BearerHash::of(&format!("{company}\0{user}"));
    if throttle::take(&mut tx, "reset.account", account.as_str(), PER_ACCOUNT, now).await? == Taken::Within {
        execute!(
            &mut tx,
            "INSERT INTO password_requests (request_id, company, user_id, lang, source, at_ms)
            VALUES ($1, $2, $3, $4, $5, $6)",
            hex::encode(app::draw_id()),
            company,
            user,
            lang.tag(),
            source,
            now
        )?;
    }
    tx.commit().await?;
    Ok(None)
}

/// Answers who asked, again and again, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        if let Err(error) = answer(&app).await {
            tracing::warn!(event = "password.answer_failed", error = %error, "Links for passwords could not be made");
        }
    }
}

/// Puts a mail into the outbox for everybody who asked and has an account with an address; how many asked.
///
/// # Errors
/// [`DbError`].
pub async fn answer(app: &App) -> DbResult<usize> {
    let mut tx = app.db.read().await?;
    // Nobody gets a link while the service is halted.
    let any = fetch_optional!(
        &mut tx,
        (String,),
        "SELECT request_id
        FROM password_requests
        WHERE (SELECT halted_at_ms FROM service) IS NULL
        LIMIT 1"
    )?;
    drop(tx);
    if any.is_none() {
        return Ok(0);
    }
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let requests = fetch_all!(
        &mut tx,
        Request,
        "DELETE FROM password_requests
        WHERE request_id IN (SELECT request_id FROM password_requests ORDER BY at_ms, request_id LIMIT $1)
        RETURNING company, user_id, lang, source, at_ms",
        BATCH
    )?;
    for request in &requests {
        // Who asked before a long outage has asked again.
        let is_old = request.at_ms.saturating_add(millis(RESET_LIFE)) <= now;
        let account = store::find_account(&mut tx, Realm::Company, &request.company, &request.user_id).await?;
        let account = account.filter(|account| !account.stopped && account.company_is_active && !is_old);
        let Some(account) = account else { continue };
        let lang = Lang::parse(&request.lang).unwrap_or_default();
        if send(app, &mut tx, account.operator_id, Purpose::Reset, lang, now).await? {
            let detail = json!({ "subject": format!("operator:{}", account.operator_id), "source": request.source });
            let event = AuditEvent {
                at_ms: now,
                company: Some(account.company_id),
                actor: Actor::Stranger,
                event: "operator.password_link_sent",
                reception: None,
                session: None,
                detail,
            };
            audit::append(&mut tx, event).await?;
        }
    }
    tx.commit().await?;
    Ok(requests.len())
}

/// Makes a link for an account; earlier ones end. The path of its page, which nobody can know again, and when it ends.
///
/// # Errors
/// [`DbError`].
pub async fn issue(
    tx: &mut Tx,
    operator_id: OperatorId,
    purpose: Purpose,
    now: UnixMillis,
) -> DbResult<(String, UnixMillis)> {
    execute!(tx, "DELETE FROM password_links WHERE operator_id = $1", operator_id.to_string())?;
    let token = BearerToken::random(&mut app::os_rng());
    let expires_at_ms = now.saturating_add(millis(purpose.life()));
    execute!(
        tx,
        "INSERT INTO password_links (token_hash, operator_id, purpose, created_at_ms, expires_at_ms)
        VALUES ($1, $2, $3, $4, $5)",
        token.hash().as_str(),
        operator_id.to_string(),
        purpose.as_str(),
        now,
        expires_at_ms
    )?;
    Ok((format!("{ADDRESS}{}", token.reveal()), expires_at_ms))
}

/// Makes a link for an account and puts the mail with it into the outbox; earlier links end. `false` when mail is off
/// or the account has no address. `lang` is for an account that never chose a language.
///
/// # Errors
/// [`DbError`].
pub async fn send(
    app: &App,
    tx: &mut Tx,
    operator_id: OperatorId,
    purpose: Purpose,
    lang: Lang,
    now: UnixMillis,
) -> DbResult<bool> {
    let Some((to, address)) = addressee(app, tx, operator_id).await? else { return Ok(false) };
    let (page, expires_at_ms) = issue(tx, operator_id, purpose, now).await?;
    let link = app.config.mail.link(&page);
    let until = time::seconds(expires_at_ms, &time::zone(&Policy::stored(&to.policy).time_zone));
    let (code, company, user) = (&to.company_code, &to.company_name, &to.user_id);
    let say = |words: &'static Words| {
        let w = &words.mail;
        match purpose {
            Purpose::Reset => Text {
                subject: w.password_reset_subject.to_owned(),
                body: w.password_reset_body(code, company, &link, &until, user),
            },
            Purpose::Invitation => Text {
                subject: w.invitation_subject(company),
                body: w.invitation_body(code, company, &link, &until, user),
            },
        }
    };
    let kind = match purpose {
        Purpose::Reset => Kind::PasswordReset,
        Purpose::Invitation => Kind::Invitation,
    };
    let text = mail::bilingual(Lang::parse(&to.lang).unwrap_or(lang), say);
    queue(app, tx, operator_id, &to, &address, kind, text, Some(expires_at_ms), now).await
}

#[expect(clippy::too_many_arguments, reason = "what a mail is made of, from two callers")]
async fn queue(
    app: &App,
    tx: &mut Tx,
    operator_id: OperatorId,
    to: &Addressee,
    address: &MailAddress,
    kind: Kind,
    text: Text,
    expires_at_ms: Option<UnixMillis>,
    now: UnixMillis,
) -> DbResult<bool> {
    let new = NewMail {
        company: Some(parse_id("company_id", &to.company_id)?),
        operator: Some(operator_id),
        kind,
        about: format!("operator:{operator_id}"),
        address,
        text,
        expires_at_ms,
    };
    Ok(mail::queue(app, tx, new, now).await?.is_some())
}

/// The account and its address, when mail is on and it has one.
async fn addressee(app: &App, tx: &mut Tx, operator_id: OperatorId) -> DbResult<Option<(Addressee, MailAddress)>> {
    let found = fetch_optional!(
        tx,
        Addressee,
        "SELECT c.company_id, c.code AS company_code, c.name AS company_name, c.policy, o.user_id, o.email, o.lang
        FROM operators o
        JOIN companies c ON c.company_id = o.company_id
        WHERE o.operator_id = $1
        AND o.deleted_at_ms IS NULL
        AND c.realm = 'company'",
        operator_id.to_string()
    )?;
    let Some(to) = found.filter(|_| app.config.mail.is_on()) else { return Ok(None) };
    let address: Option<MailAddress> = to.email.parse().ok();
    Ok(address.filter(|address| !address.as_str().is_empty()).map(|address| (to, address)))
}

/// Whose link it is, while it works.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, token: &BearerHash, now: UnixMillis) -> DbResult<Option<Owner>> {
    let row = fetch_optional!(
        tx,
        OwnerRow,
        "SELECT o.operator_id, o.user_id, c.company_id, c.code AS company_code, c.policy
        FROM password_links l
        JOIN operators o ON o.operator_id = l.operator_id
        JOIN companies c ON c.company_id = o.company_id
        WHERE l.token_hash = $1
        AND l.used_at_ms IS NULL
        AND l.expires_at_ms > $2
        AND o.stopped = FALSE
        AND o.deleted_at_ms IS NULL
        AND c.realm = 'company'
        AND c.state = 'active'
        AND (SELECT halted_at_ms FROM service) IS NULL",
        token.as_str(),
        now
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Owner {
        operator_id: parse_id("operator_id", &row.operator_id)?,
        user_id: row.user_id,
        company_id: parse_id("company_id", &row.company_id)?,
        company_code: row.company_code,
        policy: Policy::stored(&row.policy),
    }))
}

/// What a mail to the owner of an account can say.
#[derive(Debug)]
pub struct Told<'a> {
    /// The time, as the company shows it.
    pub at: &'a str,
    /// The company's name.
    pub company: &'a str,
    /// The account's id at login.
    pub user: &'a str,
}

/// Tells the owner of an account by mail what happened to it now; `false` when mail is off or the account has no address.
/// `lang` is for an account that never chose a language.
///
/// # Errors
/// [`DbError`].
pub async fn tell(
    app: &App,
    tx: &mut Tx,
    operator_id: OperatorId,
    (kind, lang): (Kind, Lang),
    now: UnixMillis,
    say: impl Fn(&'static Words, &Told<'_>) -> Text,
) -> DbResult<bool> {
    let Some((to, address)) = addressee(app, tx, operator_id).await? else { return Ok(false) };
    let at = time::seconds(now, &time::zone(&Policy::stored(&to.policy).time_zone));
    let told = Told { at: &at, company: &to.company_name, user: &to.user_id };
    let text = mail::bilingual(Lang::parse(&to.lang).unwrap_or(lang), |words| say(words, &told));
    queue(app, tx, operator_id, &to, &address, kind, text, None, now).await
}

/// Sets the password of a link's owner, ends every login of the account, takes its binding to the identity provider away,
/// opens its lock and tells the owner by mail. `false` when the link was used meanwhile: of two uses one counts.
///
/// # Errors
/// [`DbError`].
pub async fn set_password(
    app: &App,
    tx: &mut Tx,
    token: &BearerHash,
    owner: &Owner,
    hash: &PasswordHash,
    lang: Lang,
) -> DbResult<bool> {
    let now = app.now_ms();
    let operator_id = owner.operator_id;
    let taken = execute!(
        tx,
        "UPDATE password_links
        SET used_at_ms = $2
        WHERE token_hash = $1
        AND used_at_ms IS NULL
        AND expires_at_ms > $2",
        token.as_str(),
        now
    )?;
    if taken == 0 {
        return Ok(false);
    }
    store::set_password(tx, operator_id, hash, false, now).await?;
    store::revoke_all(tx, operator_id, now).await?;
    if !owner.policy.login.unlock_by_hand {
        store::forgive(tx, &AccountHash::of(&owner.company_code, &owner.user_id)).await?;
        store::note_lock(tx, operator_id, 0).await?;
    }
    tell(app, tx, operator_id, (Kind::PasswordChanged, lang), now, |words, told| Text {
        subject: words.mail.password_changed_subject.to_owned(),
        body: words.mail.password_changed_body(told.at, told.company, told.user),
    })
    .await?;
    let event = |event| AuditEvent {
        at_ms: now,
        company: Some(owner.company_id),
        actor: Actor::Operator(operator_id),
        event,
        reception: None,
        session: None,
        detail: json!({ "operator_id": operator_id }),
    };
    if provider::store::unlink(tx, operator_id).await? {
        audit::append(tx, event("operator.provider_unlinked")).await?;
    }
    audit::append(tx, event("operator.password_set_by_link")).await?;
    Ok(true)
}

/// Forgets links that are over; how many.
///
/// # Errors
/// [`DbError`].
pub async fn sweep(tx: &mut Tx, now: UnixMillis) -> DbResult<u64> {
    execute!(tx, "DELETE FROM password_links WHERE expires_at_ms <= $1", now)
}

/// Forgets every link of an account.
///
/// # Errors
/// [`DbError`].
pub async fn forget_account(tx: &mut Tx, operator_id: OperatorId) -> DbResult<()> {
    execute!(tx, "DELETE FROM password_links WHERE operator_id = $1", operator_id.to_string())?;
    Ok(())
}

fn parse_id<T: std::str::FromStr>(column: &'static str, text: &str) -> DbResult<T> {
    text.parse().map_err(|_not_an_id| DbError::InconsistentRow { table: "operators", column, id: text.to_owned() })
}
