//! Rows of the outbox.

use std::time::Duration;

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};
use serde_json::json;

use super::{Kind, Text};
use crate::{
    app::{self, App},
    audit::{self, Actor, AuditEvent},
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
    operator::MailAddress,
    throttle::millis,
};

/// Most characters of a server's answer that are kept.
const ANSWER_LEN_MAX: usize = 300;
/// `expires_at_ms` of a mail that is worth reading whenever it comes.
const NEVER: UnixMillis = i64::MAX;

/// A mail that shall be sent.
#[derive(Debug, Clone)]
pub struct NewMail<'a> {
    /// Whose it is; `None` for the system's.
    pub company: Option<CompanyId>,
    /// The account it goes to.
    pub operator: Option<OperatorId>,
    /// What it is about.
    pub kind: Kind,
    /// What it tells of, as in `changes.subject`; empty for nothing.
    pub about: String,
    /// Where it goes.
    pub address: &'a MailAddress,
    /// What it says.
    pub text: Text,
    /// When it is not worth sending any more.
    pub expires_at_ms: Option<UnixMillis>,
}

/// A mail that this manager is sending.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Claimed {
    /// Its id, which is in its Message-ID.
    pub mail_id: String,
    /// Whose it is.
    pub company_id: Option<String>,
    /// What it is about.
    pub kind: String,
    /// What it tells of.
    pub about: String,
    /// Where it goes.
    pub address: String,
    /// One line.
    pub subject: String,
    /// What it says, sealed.
    pub body_sealed: String,
    /// Tries, this one included.
    pub tries: i64,
    /// When it was stored.
    pub created_at_ms: i64,
    /// When it is not worth sending any more.
    pub expires_at_ms: i64,
}

/// What came of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The server took it.
    Sent,
    /// It is tried again at this time.
    Again {
        /// When.
        due_at_ms: UnixMillis,
        /// What the server said.
        answer: String,
    },
    /// Refused for good, or given up.
    Failed {
        /// What the server said last.
        answer: String,
    },
    /// What it tells of is over.
    Expired,
}

impl Settled {
    /// The label of the metric.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Again { .. } => "again",
            Self::Failed { .. } => "failed",
            Self::Expired => "expired",
        }
    }

    /// The value of `state` afterwards.
    const fn state(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Again { .. } => "queued",
            Self::Failed { .. } => "failed",
            Self::Expired => "expired",
        }
    }
}

/// Puts a mail into the outbox, in the transaction of what it tells of; its id. `None` when mail is off.
///
/// # Errors
/// [`DbError`]; then the transaction must not be committed.
pub async fn queue(app: &App, tx: &mut Tx, new: NewMail<'_>, now: UnixMillis) -> DbResult<Option<String>> {
    if !app.config.mail.is_on() || new.address.as_str().is_empty() {
        return Ok(None);
    }
    let mail_id = hex::encode(app::draw_id());
    let sealed = app.columns.seal(new.text.body.as_bytes(), &place(&mail_id), &mut app::os_rng());
    let unsealed = || DbError::InconsistentRow { table: "mails", column: "body_sealed", id: mail_id.clone() };
    execute!(
        tx,
        "INSERT INTO mails
        (mail_id, company_id, operator_id, kind, about, address, subject, body_sealed, state, tries, created_at_ms,
            due_at_ms, expires_at_ms, answer, claim, claimed_until_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', 0, $9, $9, $10, '', '', 0)",
        &mail_id,
        new.company.map(|id| id.to_string()),
        new.operator.map(|id| id.to_string()),
        new.kind.as_str(),
        &new.about,
        new.address.as_str(),
        &new.text.subject,
        sealed.ok_or_else(unsealed)?,
        now,
        new.expires_at_ms.unwrap_or(NEVER)
    )?;
    Ok(Some(mail_id))
}

/// Where a body is sealed for.
fn place(mail_id: &str) -> String {
    format!("mail:{mail_id}")
}

/// What a mail says; `None` when it was sealed under another key.
pub fn body(app: &App, mail: &Claimed) -> Option<String> {
    let plain = app.columns.open(&mail.body_sealed, &place(&mail.mail_id))?;
    String::from_utf8(plain.to_vec()).ok()
}

/// Takes up to `limit` mails that are due, so that nobody else sends them for `lease`; a try is counted at once, so
/// that one which ends the process is not tried without end.
///
/// # Errors
/// [`DbError`].
pub async fn claim(tx: &mut Tx, claim: &str, limit: i64, lease: Duration, now: UnixMillis) -> DbResult<Vec<Claimed>> {
    // The conditions stand twice: of two managers that choose the same row, the second finds it claimed.
    let mut claimed = fetch_all!(
        tx,
        Claimed,
        "UPDATE mails
        SET claim = $1, claimed_until_ms = $2, tries = tries + 1
        WHERE mail_id IN (
            SELECT mail_id
            FROM mails
            WHERE state = 'queued'
            AND due_at_ms <= $3
            AND claimed_until_ms <= $3
            ORDER BY due_at_ms, mail_id
            LIMIT $4
        )
        AND state = 'queued'
        AND claimed_until_ms <= $3
        RETURNING mail_id, company_id, kind, about, address, subject, body_sealed, tries, created_at_ms, expires_at_ms",
        claim,
        now.saturating_add(millis(lease)),
        now,
        limit
    )?;
    claimed.sort_by(|a, b| (a.created_at_ms, &a.mail_id).cmp(&(b.created_at_ms, &b.mail_id)));
    Ok(claimed)
}

/// Stores what came of a mail, with its row in the operation log; whether the claim was still this manager's.
///
/// # Errors
/// [`DbError`].
pub async fn settle(tx: &mut Tx, claim: &str, mail: &Claimed, settled: &Settled, now: UnixMillis) -> DbResult<bool> {
    let (due_at_ms, answer) = match settled {
        Settled::Again { due_at_ms, answer } => (*due_at_ms, answer.as_str()),
        Settled::Failed { answer } => (now, answer.as_str()),
        Settled::Sent | Settled::Expired => (now, ""),
    };
    let sent_at_ms = (*settled == Settled::Sent).then_some(now);
    let settled_rows = execute!(
        tx,
        "UPDATE mails
        SET state = $3, due_at_ms = $4, answer = $5, sent_at_ms = $6, claim = '', claimed_until_ms = 0,
            body_sealed = CASE WHEN $7 THEN body_sealed ELSE '' END
        WHERE mail_id = $1
        AND claim = $2
        AND state = 'queued'",
        &mail.mail_id,
        claim,
        settled.state(),
        due_at_ms,
        shorten(answer),
        sent_at_ms,
        matches!(settled, Settled::Again { .. } | Settled::Failed { .. })
    )?;
    if settled_rows == 0 {
        return Ok(false);
    }
    let event = match settled {
        Settled::Sent => "mail.sent",
        Settled::Failed { .. } => "mail.failed",
        Settled::Expired => "mail.expired",
        Settled::Again { .. } => return Ok(true),
    };
    // The address stays out of the chain, from which nothing can be erased.
    let detail = json!({ "mail_id": mail.mail_id, "kind": mail.kind, "about": mail.about, "tries": mail.tries });
    let company = mail.company_id.as_deref().and_then(|id| id.parse().ok());
    let actor = Actor::Manager;
    audit::append(tx, AuditEvent { at_ms: now, company, actor, event, reception: None, session: None, detail }).await?;
    Ok(true)
}

/// Puts a failed mail of a company back into the outbox; whether there was one.
///
/// # Errors
/// [`DbError`].
pub async fn again(tx: &mut Tx, company_id: CompanyId, mail_id: &str, now: UnixMillis) -> DbResult<bool> {
    let queued = execute!(
        tx,
        "UPDATE mails
        SET state = 'queued', tries = 0, due_at_ms = $3, created_at_ms = $3, answer = ''
        WHERE mail_id = $1
        AND company_id = $2
        AND state = 'failed'
        AND body_sealed <> ''
        AND expires_at_ms > $3",
        mail_id,
        company_id.to_string(),
        now
    )?;
    Ok(queued == 1)
}

/// What mails tell of is over: none of those about it that are not sent goes out any more, unless it is being sent just
/// now.
///
/// # Errors
/// [`DbError`].
pub async fn expire(tx: &mut Tx, about: &str, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE mails
        SET expires_at_ms = $2
        WHERE about = $1
        AND state IN ('queued', 'failed')
        AND expires_at_ms > $2",
        about,
        now
    )?;
    Ok(())
}

/// How many mails wait, and since when the oldest does.
///
/// # Errors
/// [`DbError`].
pub async fn waiting(tx: &mut Tx) -> DbResult<(i64, Option<UnixMillis>)> {
    fetch_one!(
        tx,
        (i64, Option<i64>),
        "SELECT COUNT(*), MIN(created_at_ms)
        FROM mails
        WHERE state = 'queued'"
    )
}

/// Whether a mail is due.
///
/// # Errors
/// [`DbError`].
pub async fn is_due(tx: &mut Tx, now: UnixMillis) -> DbResult<bool> {
    let found = fetch_optional!(
        tx,
        (String,),
        "SELECT mail_id
        FROM mails
        WHERE state = 'queued'
        AND due_at_ms <= $1
        AND claimed_until_ms <= $1
        LIMIT 1",
        now
    )?;
    Ok(found.is_some())
}

/// Forgets mails that were settled before; how many.
///
/// # Errors
/// [`DbError`].
pub async fn forget(tx: &mut Tx, before_ms: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "DELETE FROM mails
        WHERE state <> 'queued'
        AND created_at_ms < $1",
        before_ms
    )
}

/// Forgets every mail to an account.
///
/// # Errors
/// [`DbError`].
pub async fn forget_account(tx: &mut Tx, operator_id: OperatorId) -> DbResult<()> {
    execute!(tx, "DELETE FROM mails WHERE operator_id = $1", operator_id.to_string())?;
    Ok(())
}

fn shorten(answer: &str) -> String {
    answer.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ANSWER_LEN_MAX).collect()
}
