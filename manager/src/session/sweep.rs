//! What time does: sessions whose tools or relays died are closed, numbers expire, old rows go.

use std::{collections::BTreeSet, time::Duration};

use proto::{api::UnixMillis, close::CloseReason};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::close::{self, Closed};
use crate::{
    app::App,
    audit::Actor,
    db::{DbError, DbResult},
    device, fetch_all, reception, relays,
    throttle::millis,
};

/// Pause between two rounds.
pub const EVERY: Duration = Duration::from_secs(1);
/// Sessions closed for one cause in one round.
const BATCH: i64 = 200;
/// Pause between two rounds of forgetting.
const FORGET_EVERY_MS: i64 = 10 * 60 * 1000;
/// Runs of relays are remembered this long after their last report.
const REPORTS_KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// A gap between rounds from which every wait is counted anew: nobody could say anything meanwhile.
const GAP_MAX_MS: i64 = 15_000;
/// Rows that cannot be closed and are remembered as logged.
const STUCK_MAX: usize = 1000;

/// What a sweep remembers between its rounds.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Rounds have followed each other without a gap since then.
    steady_since: UnixMillis,
    last_round: UnixMillis,
    forgot_at: UnixMillis,
    /// Sessions that could not be closed and were logged.
    stuck: BTreeSet<String>,
}

#[derive(sqlx::FromRow)]
struct Due {
    session_id: String,
    at_ms: i64,
    reason: String,
}

/// Sweeps again and again until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut turn = tokio::time::interval(EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sweep = Sweep::begin(app.now_ms());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        if let Err(error) = sweep.round(&app).await {
            warn!(event = "sweep.failed", error = %error, "What is over could not be closed; the next round tries again");
        }
    }
}

impl Sweep {
    /// A sweep that begins now: every wait gets its full time, because nobody could say anything before.
    pub const fn begin(now_ms: UnixMillis) -> Self {
        Self { steady_since: now_ms, last_round: now_ms, forgot_at: 0, stuck: BTreeSet::new() }
    }

    /// One round; how many sessions it closed.
    ///
    /// # Errors
    /// [`crate::db::DbError`].
    pub async fn round(&mut self, app: &App) -> DbResult<usize> {
        let now_ms = app.now_ms();
        self.notice_gap(app, now_ms);
        let mut due = due(app, self, now_ms).await?;
        due.extend(revoked(app, now_ms).await?);
        let mut closed = 0usize;
        for due in due {
            match close_one(app, &due, now_ms).await {
                Ok(ended) => {
                    ended.tell(app);
                    closed = closed.saturating_add(usize::from(ended.ended()));
                }
                Err(error @ DbError::Busy(_)) => return Err(error),
                Err(error) => self.note_stuck(&due.session_id, &error),
            }
        }
        reception::sweep::sweep(app).await?;
        reception::sweep::cancel_revoked(app).await?;
        device::sweep::sweep(app).await?;
        self.count_relays(app, now_ms).await?;
        if self.forgot_at.saturating_add(FORGET_EVERY_MS) <= now_ms {
            self.forgot_at = now_ms;
            reception::sweep::forget(app).await?;
            let mut tx = app.db.begin().await?;
            relays::store::forget(&mut tx, now_ms.saturating_sub(REPORTS_KEPT_MS)).await?;
            tx.commit().await?;
        }
        self.last_round = now_ms;
        Ok(closed)
    }

    /// Time in which this manager or the database was away does not count.
    fn notice_gap(&mut self, app: &App, now_ms: UnixMillis) {
        if self.last_round.saturating_add(GAP_MAX_MS) < now_ms {
            self.steady_since = now_ms;
            app.note_gap();
        }
    }

    /// What waited since then has waited for all of `span`, and somebody could hear of it all that time.
    fn before(&self, span: Duration, now_ms: UnixMillis) -> UnixMillis {
        let span_ms = millis(span);
        if self.steady_since.saturating_add(span_ms) <= now_ms { now_ms.saturating_sub(span_ms) } else { 0 }
    }

    /// A row that cannot be closed stops nothing else; it is logged once, and tried again in every round.
    fn note_stuck(&mut self, id: &str, error: &DbError) {
        if self.stuck.len() < STUCK_MAX && self.stuck.insert(id.to_owned()) {
            warn!(session.id = %id, event = "sweep.stuck", error = %error, "Session {id} cannot be closed");
        }
    }

    async fn count_relays(&self, app: &App, now_ms: UnixMillis) -> DbResult<()> {
        let mut tx = app.db.read().await?;
        let since_ms = now_ms.saturating_sub(millis(app.config.relays.alive_for.get()));
        app.metrics.relays.manager_relays_alive.set(relays::store::count_alive(&mut tx, since_ms).await?);
        Ok(())
    }
}

/// Sessions that must be closed, why, and since when they are over.
async fn due(app: &App, sweep: &Sweep, now_ms: UnixMillis) -> DbResult<Vec<Due>> {
    let config = &app.config.session;
    let before = |span: Duration| sweep.before(span, now_ms);
    let mut tx = app.db.read().await?;
    fetch_all!(
        &mut tx,
        Due,
        "SELECT session_id,
            CASE
                WHEN relay_ended_at_ms <= $1 THEN relay_ended_at_ms
                WHEN hard_end_at_ms <= $2 THEN hard_end_at_ms
                WHEN state = 'joining' AND entered_at_ms <= $3 THEN $2
                WHEN state = 'proving' AND paired_at_ms <= $4 THEN $2
                ELSE last_seen_at_ms
            END AS at_ms,
            CASE
                WHEN relay_ended_at_ms <= $1 THEN COALESCE(relay_end_reason, 'abnormal')
                WHEN hard_end_at_ms <= $2 THEN 'hard_end'
                WHEN state = 'joining' AND entered_at_ms <= $3 THEN 'peer_timeout'
                WHEN state = 'proving' AND paired_at_ms <= $4 THEN 'prove_timeout'
                ELSE COALESCE(lost_reason, 'abnormal')
            END AS reason
        FROM sessions
        WHERE ended_at_ms IS NULL
        AND (
            relay_ended_at_ms <= $1
            OR hard_end_at_ms <= $2
            OR (state = 'joining' AND entered_at_ms <= $3)
            OR (state = 'proving' AND paired_at_ms <= $4)
            OR last_seen_at_ms <= $5
        )
        ORDER BY last_seen_at_ms
        LIMIT $6",
        before(config.relay_grace.get()),
        now_ms,
        before(config.joining_max.get()),
        before(config.proving_max.get()),
        before(config.silence_max()),
        BATCH
    )
}

/// Running sessions of accounts that were stopped or deleted, and of companies whose contract does not run, and all of them
/// while the service is halted: whoever did that, and at whichever manager, they end in the next round.
async fn revoked(app: &App, now_ms: UnixMillis) -> DbResult<Vec<Due>> {
    let mut tx = app.db.read().await?;
    fetch_all!(
        &mut tx,
        Due,
        "SELECT s.session_id, $1 AS at_ms, 'revoked' AS reason
        FROM sessions s
        JOIN operators o ON o.operator_id = s.operator_id
        JOIN companies c ON c.company_id = s.company_id
        WHERE s.ended_at_ms IS NULL
        AND (o.stopped = TRUE OR c.state <> 'active' OR (SELECT halted_at_ms FROM service) IS NOT NULL)
        LIMIT $2",
        now_ms,
        BATCH
    )
}

/// Closes one of them.
async fn close_one(app: &App, due: &Due, now_ms: UnixMillis) -> DbResult<Closed> {
    let wrong =
        |_not_an_id| DbError::InconsistentRow { table: "sessions", column: "session_id", id: due.session_id.clone() };
    let session_id = due.session_id.parse().map_err(wrong)?;
    let reason = CloseReason::from_name(&due.reason).unwrap_or(CloseReason::Abnormal);
    let mut tx = app.db.begin().await?;
    let closed = close::end(&mut tx, session_id, (reason, due.at_ms), Actor::Manager, now_ms).await?;
    tx.commit().await?;
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{events::api::LOGIN_EVERY, live};

    /// From the stop at one manager to the end at every other: a round closes the session, the next heartbeat tells the
    /// relay, and a stream that nobody wakes looks by itself.
    #[test]
    fn whoever_is_stopped_is_out_within_five_seconds() {
        let most = Duration::from_secs(5);

        assert!(EVERY.saturating_add(relays::Config::default().heartbeat_every.get()) < most);
        assert!(LOGIN_EVERY < most && live::LOGIN_EVERY < most);
    }
}
