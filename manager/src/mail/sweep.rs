//! The task that empties the outbox.

use std::time::Duration;

use proto::api::UnixMillis;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Config,
    smtp::{Line, Outgoing, Smtp, Unsent},
    store::{self, Claimed, Settled},
};
use crate::{
    app::{self, App},
    db::DbResult,
    throttle::millis,
};

/// Pause between two looks into the outbox: how long a mail waits for nothing.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Mails that go over one connection.
const BATCH: i64 = 10;
/// A claimed mail is this manager's for so long; when it dies, another sends the mail afterwards.
const LEASE: Duration = Duration::from_mins(5);
/// The lease ends so much earlier for its holder, because clocks of managers differ.
const MARGIN: Duration = Duration::from_mins(1);
/// Pause between two rounds of forgetting.
const FORGET_EVERY_MS: i64 = 60 * 60 * 1000;

/// Sends what is due, again and again, until `stop`.
pub async fn run(app: App, smtp: Option<Smtp>, stop: CancellationToken) {
    let Some(smtp) = smtp else {
        info!(event = "mail.off", "No mail is sent: mail.server is not set");
        return;
    };
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut forgot_at_ms: UnixMillis = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        // A mail that is being handed over is finished before the manager stops; its connection has its own deadlines.
        if let Err(error) = send_due(&app, &smtp).await {
            warn!(event = "mail.failed", error = %error, "The outbox could not be read or written");
        }
        let now = app.now_ms();
        if forgot_at_ms.saturating_add(FORGET_EVERY_MS) <= now {
            forgot_at_ms = now;
            if let Err(error) = forget(&app).await {
                warn!(event = "mail.forget_failed", error = %error, "Old mails could not be forgotten");
            }
        }
    }
}

/// Sends one batch of what is due; how many mails were settled.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn send_due(app: &App, smtp: &Smtp) -> DbResult<usize> {
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let due = store::is_due(&mut tx, now).await?;
    let (waiting, oldest) = store::waiting(&mut tx).await?;
    drop(tx);
    let metrics = &app.metrics.mail;
    metrics.manager_mails_waiting.set(waiting);
    metrics.manager_mail_wait_seconds.set(oldest.map_or(0, |at| now.saturating_sub(at).max(0) / 1000));
    if !due {
        return Ok(0);
    }
    let claim = hex::encode(app::draw_id());
    let mut tx = app.db.begin().await?;
    let mails = store::claim(&mut tx, &claim, BATCH, LEASE, now).await?;
    tx.commit().await?;
    let held_until = tokio::time::Instant::now() + LEASE.saturating_sub(MARGIN);
    let mut round = Round { app, smtp, claim, line: None, away: None };
    let mut settled: usize = 0;
    for mail in &mails {
        // What is left is another round's, when the lease is over.
        if held_until <= tokio::time::Instant::now() + app.config.mail.timeout.get().saturating_mul(2) {
            break;
        }
        let outcome = round.send(mail).await;
        round.settle(mail, &outcome).await?;
        settled = settled.saturating_add(1);
    }
    if let Some(line) = round.line {
        line.close().await;
    }
    Ok(settled)
}

/// Forgets what the list need not remember; how many mails.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forget(app: &App) -> DbResult<u64> {
    let mut tx = app.db.begin().await?;
    let before_ms = app.now_ms().saturating_sub(millis(app.config.mail.keep.get()));
    let forgotten = store::forget(&mut tx, before_ms).await?;
    tx.commit().await?;
    Ok(forgotten)
}

/// One batch under one claim.
struct Round<'a> {
    app: &'a App,
    smtp: &'a Smtp,
    claim: String,
    line: Option<Line>,
    /// Why no further connection is tried in this round.
    away: Option<String>,
}

impl Round<'_> {
    async fn send(&mut self, mail: &Claimed) -> Settled {
        let now = self.app.now_ms();
        if mail.expires_at_ms <= now {
            return Settled::Expired;
        }
        let Some(body) = store::body(self.app, mail) else {
            return Settled::Failed { answer: "the text was sealed under another signing key".to_owned() };
        };
        let outgoing = Outgoing {
            mail_id: &mail.mail_id,
            address: &mail.address,
            subject: &mail.subject,
            body: &body,
            at_ms: mail.created_at_ms,
        };
        match self.hand_over(&outgoing).await {
            Ok(()) => Settled::Sent,
            Err(Unsent::Refused { for_good: true, answer }) => Settled::Failed { answer },
            Err(Unsent::Refused { for_good: false, answer } | Unsent::Away(answer)) => {
                later(&self.app.config.mail, mail, answer, self.app.now_ms())
            }
        }
    }

    async fn hand_over(&mut self, mail: &Outgoing<'_>) -> Result<(), Unsent> {
        if let Some(why) = &self.away {
            return Err(Unsent::Away(why.clone()));
        }
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.smtp.connect().await.inspect_err(|unsent| self.note_away(unsent))?,
        };
        line.send(mail).await.inspect_err(|unsent| self.note_away(unsent))?;
        self.line = Some(line);
        Ok(())
    }

    /// A server that is away is away for the other mails of this round, too.
    fn note_away(&mut self, unsent: &Unsent) {
        if let Unsent::Away(why) = unsent {
            warn!(event = "mail.server_away", error = %why, "The mail server cannot be used: {why}");
            self.away = Some(why.clone());
        }
    }

    async fn settle(&self, mail: &Claimed, settled: &Settled) -> DbResult<()> {
        let mut tx = self.app.db.begin().await?;
        if !store::settle(&mut tx, &self.claim, mail, settled, self.app.now_ms()).await? {
            warn!(mail.id = %mail.mail_id, event = "mail.claim_lost", "Mail {} was claimed by another manager", mail.mail_id);
            return Ok(());
        }
        tx.commit().await?;
        self.app.metrics.mail.manager_mails_total.with_label_values(&[settled.as_str()]).inc();
        let result = settled.as_str();
        info!(mail.id = %mail.mail_id, event = "mail.settled", result, "Mail {}: {result}", mail.mail_id);
        Ok(())
    }
}

/// When a mail is tried again; failed when it has been waiting for too long.
fn later(config: &Config, mail: &Claimed, answer: String, now: UnixMillis) -> Settled {
    let (first, most) = (millis(config.retry_first.get()), millis(config.retry_max.get()));
    // Ten doublings of a second are more than a quarter of an hour; `retry_max` is the bound.
    let doublings = u32::try_from(mail.tries.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    let pause = first.saturating_mul(1_i64.checked_shl(doublings).unwrap_or(i64::MAX)).min(most);
    let due_at_ms = now.saturating_add(pause);
    let given_up_at_ms = mail.created_at_ms.saturating_add(millis(config.give_up_after.get()));
    if given_up_at_ms <= due_at_ms { Settled::Failed { answer } } else { Settled::Again { due_at_ms, answer } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_to_its_bound_and_days_later_the_mail_has_failed() {
        let config = Config::default();
        let pause = |tries: i64, now: i64| {
            let mail = Claimed {
                mail_id: String::new(),
                company_id: None,
                kind: String::new(),
                about: String::new(),
                address: String::new(),
                subject: String::new(),
                body_sealed: String::new(),
                tries,
                created_at_ms: 0,
                expires_at_ms: i64::MAX,
            };
            match later(&config, &mail, String::new(), now) {
                Settled::Again { due_at_ms, .. } => Some(due_at_ms - now),
                Settled::Sent | Settled::Failed { .. } | Settled::Expired => None,
            }
        };
        let minute = 60_000;

        assert_eq!([1, 2, 3, 4, 5].map(|tries| pause(tries, 0).unwrap() / minute), [1, 2, 4, 8, 15]);
        assert_eq!(pause(5000, 0), Some(15 * minute));
        assert_eq!(pause(300, 3 * 24 * 60 * minute), None);
    }
}
