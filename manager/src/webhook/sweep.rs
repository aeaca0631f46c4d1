//! The task that makes the calls.

use std::time::Duration;

use futures_util::future::join_all;
use proto::api::UnixMillis;
use reqwest::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    call::{Answer, Caller},
    store::{self, Claimed, Settled},
};
use crate::{
    app::{self, App},
    audit::{self, Actor, AuditEvent},
    db::DbResult,
    outward::{Cause, Kind},
    throttle::millis,
};

/// Pause between two looks: how long a call waits for nothing.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Calls of one round, which are made at once.
const BATCH: i64 = 100;
/// Rounds at once: while one waits for a program that does not answer, the next ones serve the others.
const ROUNDS_MAX: usize = 8;
/// A claimed call is this manager's for so long; when it dies, another makes it afterwards. Longer than a call may take.
const LEASE: Duration = Duration::from_mins(5);
/// Pause before a call is made again; it doubles.
const RETRY_FIRST: Duration = Duration::from_secs(30);
/// The longest such pause.
const RETRY_MAX: Duration = Duration::from_hours(1);
/// Pause between two rounds of forgetting.
const FORGET_EVERY_MS: i64 = 60 * 60 * 1000;

/// Makes what is due, again and again, until `stop`.
pub async fn run(app: App, caller: Caller, stop: CancellationToken) {
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut forgot_at_ms: UnixMillis = 0;
    let mut rounds = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_ended) = rounds.join_next() => continue,
            _ = turn.tick() => {}
        }
        if rounds.len() < ROUNDS_MAX {
            rounds.spawn(round(app.clone(), caller.clone()));
        }
        let now = app.now_ms();
        if forgot_at_ms.saturating_add(FORGET_EVERY_MS) <= now {
            forgot_at_ms = now;
            if let Err(error) = forget(&app).await {
                warn!(event = "webhook.forget_failed", error = %error, "Old calls could not be forgotten");
            }
        }
    }
    // What is under way is finished before the manager stops; a call has its own deadline.
    while rounds.join_next().await.is_some() {}
}

async fn round(app: App, caller: Caller) {
    if let Err(error) = call_due(&app, &caller).await {
        warn!(event = "webhook.failed", error = %error, "Calls could not be read or written");
    }
}

/// Makes one round of what is due, all at once; how many calls were settled.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn call_due(app: &App, caller: &Caller) -> DbResult<usize> {
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let (waiting, is_due) = store::waiting(&mut tx, now).await?;
    drop(tx);
    app.metrics.webhook.manager_webhook_calls_waiting.set(waiting);
    if !is_due {
        return Ok(0);
    }
    let claim = hex::encode(app::draw_id());
    let mut tx = app.db.begin().await?;
    let calls = store::claim(&mut tx, &claim, BATCH, LEASE, now).await?;
    tx.commit().await?;
    let answers = join_all(calls.iter().map(|call| one(app, caller, call))).await;
    for (call, answer) in calls.iter().zip(answers) {
        settle(app, &claim, call, answer).await?;
    }
    Ok(calls.len())
}

/// Forgets what the page need not remember; how many calls.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forget(app: &App) -> DbResult<u64> {
    let before_ms = app.now_ms().saturating_sub(millis(app.config.webhooks.keep.get()));
    let mut tx = app.db.begin().await?;
    let forgotten = store::forget(&mut tx, before_ms).await?;
    tx.commit().await?;
    Ok(forgotten)
}

async fn one(app: &App, caller: &Caller, call: &Claimed) -> Answer {
    match store::secret(app, call) {
        Some(secret) => caller.call(call, &secret, app.now_ms()).await,
        None => Answer::Refused(Cause::new(Kind::Secret, "the secret was sealed under another signing key")),
    }
}

async fn settle(app: &App, claim: &str, call: &Claimed, answer: Answer) -> DbResult<()> {
    let now = app.now_ms();
    let gone = answer == Answer::Gone;
    let settled = match answer {
        Answer::Taken => Settled::Sent,
        Answer::Gone => Settled::Failed { cause: Cause::of_status(StatusCode::GONE) },
        Answer::Refused(cause) => later(app, call, cause, now),
    };
    let mut tx = app.db.begin().await?;
    if !store::settle(&mut tx, claim, &call.call_id, &settled, now).await? {
        warn!(event = "webhook.claim_lost", "Call {} was claimed by another manager, or is gone", call.call_id);
        return Ok(());
    }
    if gone {
        stop(&mut tx, call, now).await?;
    }
    tx.commit().await?;
    let result = settled.as_str();
    app.metrics.webhook.manager_webhook_calls_total.with_label_values(&[result]).inc();
    info!(event = "webhook.settled", result, "Call {}: {result}", call.call_id);
    Ok(())
}

/// A program that says 410 wants no more calls.
async fn stop(tx: &mut crate::db::Tx, call: &Claimed, now: UnixMillis) -> DbResult<()> {
    let Some(company_id) = store::company_of(tx, &call.webhook_id).await? else { return Ok(()) };
    store::set_stopped(tx, &call.webhook_id, true).await?;
    let event = AuditEvent {
        at_ms: now,
        company: Some(company_id),
        actor: Actor::Manager,
        event: "webhook.stopped",
        reception: None,
        session: None,
        detail: json!({ "webhook_id": call.webhook_id, "why": "410" }),
    };
    audit::append(tx, event).await?;
    Ok(())
}

/// When a call is made again; failed when nobody took it for too long.
fn later(app: &App, call: &Claimed, cause: Cause, now: UnixMillis) -> Settled {
    let doublings = u32::try_from(call.tries.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    let pause = millis(RETRY_FIRST).saturating_mul(1_i64.checked_shl(doublings).unwrap_or(i64::MAX));
    let due_at_ms = now.saturating_add(pause.min(millis(RETRY_MAX)));
    let given_up_at_ms = call.since_ms.saturating_add(millis(app.config.webhooks.give_up_after.get()));
    if given_up_at_ms <= due_at_ms { Settled::Failed { cause } } else { Settled::Again { due_at_ms, cause } }
}
