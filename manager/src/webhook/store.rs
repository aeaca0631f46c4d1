//! Rows of webhooks and of their calls.

use std::time::Duration;

use proto::{api::UnixMillis, id::CompanyId};
use zeroize::Zeroizing;

use super::{EVENTS, TEST, WEBHOOKS_MAX};
use crate::{
    app::{self, App},
    audit,
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional, halt,
    outward::Cause,
    throttle::millis,
};

/// Bytes of a secret.
pub const SECRET_LEN: usize = 32;
/// Most characters of an answer that are kept.
const ANSWER_LEN_MAX: usize = 200;
/// Calls of one webhook that are made at once.
pub const AT_ONCE_MAX: i64 = 20;
/// Calls of a webhook that its page shows.
pub const SHOWN_MAX: i64 = 50;

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "the id has the name of its column")]
pub struct Webhook {
    /// Its id.
    pub webhook_id: String,
    /// Where it leads.
    pub url: String,
    events: String,
    /// Whether it is stopped: it is told nothing until somebody starts it again.
    pub stopped: bool,
    /// When it was made.
    pub created_at_ms: i64,
    /// Changes so far.
    pub version: i64,
}

/// What a webhook was, or shall be, told.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "the id has the name of its column")]
pub struct Call {
    /// Its id.
    pub call_id: String,
    /// Which event.
    pub event: String,
    /// When that was.
    pub at_ms: i64,
    /// queued, sent or failed.
    pub state: String,
    /// Tries so far.
    pub tries: i64,
    /// When it is tried next.
    pub due_at_ms: i64,
    /// When it was taken.
    pub sent_at_ms: Option<i64>,
    /// Why it was not taken, a [`crate::outward::Kind`]; empty when it was, or nobody noted it.
    pub cause: String,
    /// What came back last, as it came.
    pub answer: String,
}

/// A call that this manager is making.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Claimed {
    /// Its id.
    pub call_id: String,
    /// Whose.
    pub webhook_id: String,
    /// Where it goes.
    pub url: String,
    /// The webhook's secret, sealed.
    pub secret_sealed: String,
    /// Which event.
    pub event: String,
    /// When that was.
    pub at_ms: i64,
    /// The number that it is about.
    pub reception_id: Option<String>,
    /// The session that it is about.
    pub session_id: Option<String>,
    /// Tries, this one included.
    pub tries: i64,
    /// Since when somebody could have taken it: since the event, or since the service was there again after a halt.
    pub since_ms: i64,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was taken.
    Sent,
    /// It is tried again at this time.
    Again {
        /// When.
        due_at_ms: UnixMillis,
        /// Why.
        cause: Cause,
    },
    /// Given up.
    Failed {
        /// Why it was not taken at last.
        cause: Cause,
    },
}

impl Webhook {
    /// Whether it is told of an event.
    pub fn hears(&self, event: &str) -> bool {
        self.events.split(' ').any(|heard| heard == event)
    }

    /// The events that it is told of, as the log has their names.
    pub fn events(&self) -> impl Iterator<Item = &'static str> + '_ {
        EVENTS.into_iter().filter(|event| self.hears(event))
    }
}

impl Settled {
    /// The label of the metric.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Again { .. } => "again",
            Self::Failed { .. } => "failed",
        }
    }
}

/// The value of the column `events`.
pub fn column(events: &[&str]) -> String {
    format!(" {} ", events.join(" "))
}

/// Where a secret is sealed for.
fn place(webhook_id: &str) -> String {
    format!("webhook:{webhook_id}")
}

/// The webhooks of a company, the oldest first.
///
/// # Errors
/// [`DbError`].
pub async fn of_company(tx: &mut Tx, company_id: CompanyId) -> DbResult<Vec<Webhook>> {
    fetch_all!(
        tx,
        Webhook,
        "SELECT webhook_id, url, events, stopped, created_at_ms, version
        FROM webhooks
        WHERE company_id = $1
        ORDER BY created_at_ms, webhook_id",
        company_id.to_string()
    )
}

/// One webhook of a company.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, company_id: CompanyId, webhook_id: &str) -> DbResult<Option<Webhook>> {
    fetch_optional!(
        tx,
        Webhook,
        "SELECT webhook_id, url, events, stopped, created_at_ms, version
        FROM webhooks
        WHERE company_id = $1
        AND webhook_id = $2",
        company_id.to_string(),
        webhook_id
    )
}

/// Stores a new webhook; its id and its secret, or nothing when the company has as many as it may have.
///
/// # Errors
/// [`DbError`].
pub async fn insert(
    app: &App,
    tx: &mut Tx,
    company_id: CompanyId,
    url: &str,
    events: &[&str],
) -> DbResult<Option<(String, Zeroizing<Vec<u8>>)>> {
    // The company's row is held, so that two requests do not pass the limit together.
    execute!(tx, "UPDATE companies SET policy = policy WHERE company_id = $1", company_id.to_string())?;
    let (count,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM webhooks
        WHERE company_id = $1",
        company_id.to_string()
    )?;
    if WEBHOOKS_MAX <= count {
        return Ok(None);
    }
    let webhook_id = hex::encode(app::draw_id());
    let secret = draw_secret();
    execute!(
        tx,
        "INSERT INTO webhooks (webhook_id, company_id, url, events, secret_sealed, stopped, created_at_ms, version)
        VALUES ($1, $2, $3, $4, $5, FALSE, $6, 0)",
        &webhook_id,
        company_id.to_string(),
        url,
        column(events),
        seal(app, &webhook_id, &secret)?,
        app.now_ms()
    )?;
    Ok(Some((webhook_id, secret)))
}

fn draw_secret() -> Zeroizing<Vec<u8>> {
    use rand_core::RngCore as _;

    let mut secret = Zeroizing::new(vec![0; SECRET_LEN]);
    app::os_rng().fill_bytes(&mut secret);
    secret
}

fn seal(app: &App, webhook_id: &str, secret: &[u8]) -> DbResult<String> {
    app.columns.seal(secret, &place(webhook_id), &mut app::os_rng()).ok_or_else(|| DbError::InconsistentRow {
        table: "webhooks",
        column: "secret_sealed",
        id: webhook_id.to_owned(),
    })
}

/// The secret of the webhook of a call; `None` when it was sealed under another key.
pub fn secret(app: &App, claimed: &Claimed) -> Option<Zeroizing<Vec<u8>>> {
    app.columns.open(&claimed.secret_sealed, &place(&claimed.webhook_id))
}

/// Gives a webhook another secret, from the next call on.
///
/// # Errors
/// [`DbError`].
pub async fn renew(app: &App, tx: &mut Tx, webhook: &Webhook) -> DbResult<Zeroizing<Vec<u8>>> {
    let secret = draw_secret();
    execute!(
        tx,
        "UPDATE webhooks
        SET secret_sealed = $2, version = version + 1
        WHERE webhook_id = $1",
        &webhook.webhook_id,
        seal(app, &webhook.webhook_id, &secret)?
    )?;
    Ok(secret)
}

/// Changes where a webhook leads and what it is told; whether it is still the one that was seen.
///
/// # Errors
/// [`DbError`].
pub async fn update(tx: &mut Tx, webhook: &Webhook, version: i64, url: &str, events: &[&str]) -> DbResult<bool> {
    let updated = execute!(
        tx,
        "UPDATE webhooks
        SET url = $3, events = $4, version = version + 1
        WHERE webhook_id = $1
        AND version = $2",
        &webhook.webhook_id,
        version,
        url,
        column(events)
    )?;
    Ok(updated == 1)
}

/// Whose a webhook is.
///
/// # Errors
/// [`DbError`].
pub async fn company_of(tx: &mut Tx, webhook_id: &str) -> DbResult<Option<CompanyId>> {
    let found = fetch_optional!(
        tx,
        (String,),
        "SELECT company_id
        FROM webhooks
        WHERE webhook_id = $1",
        webhook_id
    )?;
    let Some((id,)) = found else { return Ok(None) };
    let wrong =
        |_not_an_id| DbError::InconsistentRow { table: "webhooks", column: "company_id", id: webhook_id.to_owned() };
    id.parse().map(Some).map_err(wrong)
}

/// Stops a webhook, or starts it again. What happens meanwhile it is never told.
///
/// # Errors
/// [`DbError`].
pub async fn set_stopped(tx: &mut Tx, webhook_id: &str, stopped: bool) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE webhooks
        SET stopped = $2, version = version + 1
        WHERE webhook_id = $1",
        webhook_id,
        stopped
    )?;
    Ok(())
}

/// Deletes a webhook with everything that it was told.
///
/// # Errors
/// [`DbError`].
pub async fn delete(tx: &mut Tx, webhook: &Webhook) -> DbResult<()> {
    execute!(tx, "DELETE FROM webhook_calls WHERE webhook_id = $1", &webhook.webhook_id)?;
    execute!(tx, "DELETE FROM webhooks WHERE webhook_id = $1", &webhook.webhook_id)?;
    Ok(())
}

/// Stores a call for each webhook that is told of an event, in the event's transaction; on PostgreSQL while that has the
/// head of the audit record, which whoever deletes a webhook takes first, too.
///
/// # Errors
/// [`DbError`]; then the transaction must not be committed.
pub async fn queue(tx: &mut Tx, event: &audit::AuditEvent) -> DbResult<()> {
    let (Some(company_id), true) = (event.company, EVENTS.contains(&event.event)) else { return Ok(()) };
    for webhook in of_company(tx, company_id).await? {
        if !webhook.stopped && webhook.hears(event.event) {
            let about = [event.reception.map(|id| id.to_string()), event.session.map(|id| id.to_string())];
            queue_one(tx, company_id, &webhook, event.event, about, event.at_ms).await?;
        }
    }
    Ok(())
}

/// Stores a call by which somebody tries whether calls arrive.
///
/// # Errors
/// [`DbError`].
pub async fn queue_test(tx: &mut Tx, company_id: CompanyId, webhook: &Webhook, now: UnixMillis) -> DbResult<()> {
    queue_one(tx, company_id, webhook, TEST, [None, None], now).await
}

async fn queue_one(
    tx: &mut Tx,
    company_id: CompanyId,
    webhook: &Webhook,
    event: &str,
    [reception_id, session_id]: [Option<String>; 2],
    at_ms: UnixMillis,
) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO webhook_calls
        (call_id, webhook_id, company_id, event, at_ms, reception_id, session_id, state, tries, due_at_ms, answer, claim,
            claimed_until_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', 0, $5, '', '', 0)",
        hex::encode(app::draw_id()),
        &webhook.webhook_id,
        company_id.to_string(),
        event,
        at_ms,
        reception_id,
        session_id
    )?;
    Ok(())
}

/// The newest calls of a webhook.
///
/// # Errors
/// [`DbError`].
pub async fn calls(tx: &mut Tx, webhook_id: &str) -> DbResult<Vec<Call>> {
    fetch_all!(
        tx,
        Call,
        "SELECT call_id, event, at_ms, state, tries, due_at_ms, sent_at_ms, cause, answer
        FROM webhook_calls
        WHERE webhook_id = $1
        ORDER BY at_ms DESC, call_id
        LIMIT $2",
        webhook_id,
        SHOWN_MAX
    )
}

/// Calls that failed in the time that the page remembers, by webhook.
///
/// # Errors
/// [`DbError`].
pub async fn failures(tx: &mut Tx, company_id: CompanyId) -> DbResult<Vec<(String, i64)>> {
    fetch_all!(
        tx,
        (String, i64),
        "SELECT webhook_id, COUNT(*)
        FROM webhook_calls
        WHERE company_id = $1
        AND state = 'failed'
        GROUP BY webhook_id",
        company_id.to_string()
    )
}

/// Makes a failed call wait again; whether there was one.
///
/// # Errors
/// [`DbError`].
pub async fn again(tx: &mut Tx, webhook: &Webhook, call_id: &str, now: UnixMillis) -> DbResult<bool> {
    let queued = execute!(
        tx,
        "UPDATE webhook_calls
        SET state = 'queued', tries = 0, due_at_ms = $3, cause = '', answer = ''
        WHERE call_id = $1
        AND webhook_id = $2
        AND state = 'failed'",
        call_id,
        &webhook.webhook_id,
        now
    )?;
    Ok(queued == 1)
}

/// Takes up to `limit` calls that are due, so that nobody else makes them for `lease`; of one webhook the oldest
/// [`AT_ONCE_MAX`], and none while earlier ones of it are under way; nothing while the service is halted.
///
/// # Errors
/// [`DbError`].
pub async fn claim(tx: &mut Tx, claim: &str, limit: i64, lease: Duration, now: UnixMillis) -> DbResult<Vec<Claimed>> {
    // The conditions stand twice: of two managers that choose the same row, the second finds it claimed.
    execute!(
        tx,
        "UPDATE webhook_calls
        SET claim = $1, claimed_until_ms = $2, tries = tries + 1
        WHERE call_id IN (
            SELECT q.call_id
            FROM (
                SELECT k.call_id, k.due_at_ms,
                    ROW_NUMBER() OVER (PARTITION BY k.webhook_id ORDER BY k.due_at_ms, k.call_id) AS place
                FROM webhook_calls k
                JOIN webhooks w ON w.webhook_id = k.webhook_id
                WHERE k.state = 'queued'
                AND k.due_at_ms <= $3
                AND w.stopped = FALSE
                AND NOT EXISTS (
                    SELECT 1
                    FROM webhook_calls u
                    WHERE u.webhook_id = k.webhook_id
                    AND u.state = 'queued'
                    AND u.claimed_until_ms > $3
                )
            ) q
            WHERE q.place <= $5
            ORDER BY q.due_at_ms, q.call_id
            LIMIT $4
        )
        AND state = 'queued'
        AND claimed_until_ms <= $3
        AND (SELECT halted_at_ms FROM service) IS NULL",
        claim,
        now.saturating_add(millis(lease)),
        now,
        limit,
        AT_ONCE_MAX
    )?;
    fetch_all!(
        tx,
        Claimed,
        "SELECT k.call_id, k.webhook_id, w.url, w.secret_sealed, k.event, k.at_ms, k.reception_id, k.session_id,
            k.tries,
            CASE WHEN k.at_ms < s.lifted_at_ms THEN s.lifted_at_ms ELSE k.at_ms END AS since_ms
        FROM webhook_calls k
        JOIN webhooks w ON w.webhook_id = k.webhook_id
        CROSS JOIN service s
        WHERE k.claim = $1
        AND k.state = 'queued'
        ORDER BY k.at_ms, k.call_id",
        claim
    )
}

/// Stores what came of a call; whether the claim was still this manager's.
///
/// # Errors
/// [`DbError`].
pub async fn settle(tx: &mut Tx, claim: &str, call_id: &str, settled: &Settled, now: UnixMillis) -> DbResult<bool> {
    let (state, due_at_ms, cause) = match settled {
        Settled::Sent => ("sent", now, None),
        Settled::Again { due_at_ms, cause } => ("queued", *due_at_ms, Some(cause)),
        Settled::Failed { cause } => ("failed", now, Some(cause)),
    };
    let settled_rows = execute!(
        tx,
        "UPDATE webhook_calls
        SET state = $3, due_at_ms = $4, cause = $5, answer = $6, sent_at_ms = $7, claim = '', claimed_until_ms = 0
        WHERE call_id = $1
        AND claim = $2",
        call_id,
        claim,
        state,
        due_at_ms,
        cause.map_or("", |cause| cause.kind.as_str()),
        cause.map(|cause| shorten(&cause.detail)).unwrap_or_default(),
        (*settled == Settled::Sent).then_some(now)
    )?;
    Ok(settled_rows == 1)
}

/// How many calls wait, and whether one is due; none is while the service is halted.
///
/// # Errors
/// [`DbError`].
pub async fn waiting(tx: &mut Tx, now: UnixMillis) -> DbResult<(i64, bool)> {
    let (count, due) = fetch_one!(
        tx,
        (i64, i64),
        "SELECT COUNT(*), COALESCE(SUM(CASE WHEN due_at_ms <= $1 AND claimed_until_ms <= $1 THEN 1 ELSE 0 END), 0)
        FROM webhook_calls
        WHERE state = 'queued'",
        now
    )?;
    Ok((count, 0 < due && halt::store::halted_at(tx).await?.is_none()))
}

/// Forgets calls that are older and settled, or that wait for a webhook that is stopped; how many.
///
/// # Errors
/// [`DbError`].
pub async fn forget(tx: &mut Tx, before_ms: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "DELETE FROM webhook_calls
        WHERE at_ms < $1
        AND (state <> 'queued' OR webhook_id IN (SELECT webhook_id FROM webhooks WHERE stopped = TRUE))",
        before_ms
    )
}

fn shorten(answer: &str) -> String {
    answer.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ANSWER_LEN_MAX).collect()
}
