//! What the relay tells the manager: heartbeats, and reports of what happened. It also learns keys and revocations.
//!
//! Reports wait in memory until the manager says it has stored them, and are repeated until then; the manager takes each
//! number once. With the manager away the relay keeps its keys and goes on serving; when more reports wait than fit,
//! the oldest are dropped and counted, and the manager's own sweep closes those sessions. A report that the manager
//! refuses for good, such as one it cannot read, is found by ever smaller calls, dropped and counted: it holds up nothing.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use link::api::ApiError;
use ops::{private::Condition, shutdown::Shutdown};
use proto::{
    api::{
        UnixMillis,
        relay::{HeartbeatAnswer, HeartbeatRequest, ReportEvent, ReportRequest, ReportWhat},
    },
    close::CloseReason,
    id::SessionId,
    limits,
    ticket::VerifyingKey,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use crate::Relay;

/// Reports that wait at most: three for each of some 6,000 sessions.
const WAITING_MAX: usize = 20_000;
/// Reports gather this long, so that a session's beginning is one call.
const GATHER: Duration = Duration::from_millis(500);
/// First and longest pause after a failed call; between them it doubles, with jitter.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// See [`RETRY_MIN`]. Well below the lease of 90 s.
const RETRY_MAX: Duration = Duration::from_secs(20);
/// Longest pause between heartbeats, whatever the manager asks for: well below the lease of 90 s.
const HEARTBEAT_MAX: Duration = Duration::from_secs(30);
/// After the relay has drained, its last reports have this long.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The clocks of relay and manager may differ by this much for the relay to be ready: half of what tickets allow
/// (`limits::CLOCK_SKEW_MAX`), so that somebody hears of it before a ticket is refused.
const CLOCK_OFFSET_MAX: Duration = Duration::from_mins(1);

/// Reports that wait.
#[derive(Debug)]
pub struct Reports {
    queue: Mutex<Queue>,
    boot: String,
    wake: Notify,
    /// A manager is configured.
    wanted: bool,
}

#[derive(Debug)]
struct Queue {
    events: VecDeque<ReportEvent>,
    last_seq: u64,
    /// Dropped because more waited than fit.
    dropped: u64,
    /// Reports in the next call at most.
    call_max: usize,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The manager has it.
    Stored,
    /// The manager will never take it; the next call is a smaller one.
    Refused,
    /// The same call may succeed later.
    Later,
}

impl Reports {
    /// Nothing waits yet. When nobody wants reports, none are kept.
    pub fn new(wanted: bool) -> Self {
        let boot = format!("{:032x}", rand::random::<u128>());
        let queue = Queue { events: VecDeque::new(), last_seq: 0, dropped: 0, call_max: limits::REPORT_EVENTS_MAX };
        Self { queue: Mutex::new(queue), boot, wake: Notify::new(), wanted }
    }

    /// Logs a verb of a session and, when a manager is configured, adds a report.
    pub fn push(&self, session_id: SessionId, at_ms: UnixMillis, what: ReportWhat) {
        log(session_id, &what);
        if !self.wanted {
            return;
        }
        let mut queue = self.lock();
        if WAITING_MAX <= queue.events.len() {
            queue.events.pop_front();
            queue.dropped = queue.dropped.saturating_add(1);
        }
        queue.last_seq = queue.last_seq.saturating_add(1);
        let seq = queue.last_seq;
        queue.events.push_back(ReportEvent { seq, session_id, at_ms, what });
        drop(queue);
        self.wake.notify_one();
    }

    /// Reports that wait.
    pub fn len(&self) -> usize {
        self.lock().events.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next call, if there is anything to say.
    pub fn next_call(&self) -> Option<ReportRequest> {
        let queue = self.lock();
        let events: Vec<_> = queue.events.iter().take(queue.call_max).cloned().collect();
        drop(queue);
        (!events.is_empty()).then(|| ReportRequest { boot: self.boot.clone(), events })
    }

    /// Forgets what the manager has stored.
    pub fn stored(&self, stored_seq: u64) {
        let mut queue = self.lock();
        while queue.events.front().is_some_and(|event| event.seq <= stored_seq) {
            queue.events.pop_front();
        }
        queue.call_max = queue.call_max.saturating_mul(2).min(limits::REPORT_EVENTS_MAX);
    }

    /// The manager refuses this call for good: the next one has half of its reports, and a single one is dropped.
    /// How many were dropped.
    pub fn refused(&self, call: &ReportRequest) -> u64 {
        let mut queue = self.lock();
        queue.call_max = (call.events.len() / 2).max(1);
        let [refused] = call.events.as_slice() else { return 0 };
        // It may have made room for a newer one meanwhile, and is counted already.
        if queue.events.front().is_none_or(|front| front.seq != refused.seq) {
            return 0;
        }
        queue.events.pop_front();
        1
    }

    fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.lock().dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What must be true for the relay to be ready, as far as the manager tells.
pub(crate) struct Told {
    /// A ticket key is known.
    pub(crate) has_key: Condition,
    /// The manager's clock was not far off when it last answered. Until then, and without a manager, nobody says that one
    /// of both is wrong.
    pub(crate) clock: Condition,
}

/// Sends heartbeats until the relay is stopped, and takes keys, revocations and the time from their answers.
pub(crate) async fn heartbeats(relay: &Relay, told: &Told, shutdown: &Shutdown) {
    let Told { has_key, clock } = told;
    let Some(manager) = &relay.manager else { return };
    let draining = shutdown.draining();
    let mut failures = 0;
    loop {
        let (is_draining, asked_ms) = (draining.is_cancelled(), relay.clock.now_ms());
        let pause = match manager.heartbeat(&heartbeat_of(relay, is_draining)).await {
            Ok(answer) => {
                if 0 < failures || !has_key.is_met() {
                    info!(event = "manager.reached", count = answer.ticket_keys.len(), "The manager answers");
                }
                failures = 0;
                let pause = Duration::from_secs(u64::from(answer.next_secs)).clamp(RETRY_MIN, HEARTBEAT_MAX);
                compare_clocks(relay, clock, offset_ms(answer.now_ms, asked_ms, relay.clock.now_ms()));
                learn(relay, answer);
                has_key.set(relay.keys.has_any());
                relay.metrics.relay_heartbeats_total.with_label_values(&["ok"]).inc();
                pause
            }
            Err(error) => {
                relay.metrics.relay_heartbeats_total.with_label_values(&["failed"]).inc();
                if failures == 0 {
                    warn!(event = "manager.lost", error = %error, "A heartbeat failed; the relay goes on with its keys");
                }
                failures += 1;
                backoff(failures, rand::random())
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            // The manager must know at once that nobody is to be sent here any more.
            () = draining.cancelled(), if !is_draining => {}
            // Nor that tickets must name another key from now on.
            () = relay.key_renewed() => {}
            () = over(relay, shutdown), if is_draining => return,
        }
    }
}

/// Delivers reports until the relay is stopped and, for a short while, those of the stop itself.
pub(crate) async fn deliver(relay: &Relay, shutdown: &Shutdown) {
    if relay.manager.is_none() {
        return;
    }
    tokio::select! {
        () = deliver_forever(relay) => {}
        () = over(relay, shutdown) => {
            let _in_time = timeout(FLUSH_TIMEOUT, deliver_rest(relay)).await;
        }
    }
}

/// Ends when the relay drains and nobody is here any more.
async fn over(relay: &Relay, shutdown: &Shutdown) {
    shutdown.draining().cancelled().await;
    while !relay.pairs.is_empty() {
        sleep(Duration::from_millis(50)).await;
    }
}

async fn deliver_forever(relay: &Relay) {
    let mut failures = 0;
    loop {
        relay.reports.wake.notified().await;
        sleep(GATHER).await;
        while !relay.reports.is_empty() {
            match deliver_once(relay).await {
                Outcome::Stored => failures = 0,
                Outcome::Refused => sleep(GATHER).await,
                Outcome::Later => {
                    failures += 1;
                    sleep(backoff(failures, rand::random())).await;
                }
            }
        }
    }
}

async fn deliver_rest(relay: &Relay) {
    while !relay.reports.is_empty() {
        if deliver_once(relay).await == Outcome::Later {
            sleep(RETRY_MIN).await;
        }
    }
}

/// One call.
async fn deliver_once(relay: &Relay) -> Outcome {
    let (Some(manager), Some(call)) = (&relay.manager, relay.reports.next_call()) else { return Outcome::Stored };
    let dropped = &relay.metrics.relay_reports_dropped_total;
    let outcome = match manager.report(&call).await {
        Ok(answer) => {
            relay.reports.stored(answer.stored_seq);
            let is_stored = call.events.first().is_some_and(|first| first.seq <= answer.stored_seq);
            if is_stored { Outcome::Stored } else { Outcome::Later }
        }
        Err(error) if is_for_good(&error) => {
            let lost = relay.reports.refused(&call);
            dropped.with_label_values(&["refused"]).inc_by(lost);
            if 0 < lost {
                error!(event = "report.refused", error = %error, "The manager refuses a report for good; it is dropped");
            }
            Outcome::Refused
        }
        Err(error) => {
            warn!(event = "report.failed", error = %error, count = call.events.len(), "Reports were not stored yet");
            Outcome::Later
        }
    };
    dropped.with_label_values(&["overflow"]).inc_by(relay.reports.take_dropped());
    relay.metrics.relay_reports_pending.set(i64::try_from(relay.reports.len()).unwrap_or(i64::MAX));
    outcome
}

/// Whether the manager read the call and will never take it. A relay whose token is not known may be enrolled again.
const fn is_for_good(error: &ApiError) -> bool {
    match error {
        ApiError::Refused { status, .. } => matches!(status, 400 | 413 | 415 | 422),
        ApiError::Unreachable(_) | ApiError::Malformed(_) | ApiError::Proxy(_) => false,
    }
}

fn heartbeat_of(relay: &Relay, draining: bool) -> HeartbeatRequest {
    let free = relay.limits.sessions.saturating_sub(relay.pairs.len());
    HeartbeatRequest {
        address: relay.public_address.clone(),
        spki: relay.spki(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        draining,
        free_sessions: if draining { 0 } else { u32::try_from(free).unwrap_or(u32::MAX) },
        sessions: relay.pairs.ids(limits::HEARTBEAT_SESSIONS_MAX),
    }
}

/// Milliseconds by which the manager's clock is ahead of this one, or behind when negative: the least that fits what it
/// said at some time between the question and the answer.
fn offset_ms(manager_ms: UnixMillis, asked_ms: UnixMillis, heard_ms: UnixMillis) -> i64 {
    manager_ms.saturating_sub(manager_ms.clamp(asked_ms, heard_ms.max(asked_ms)))
}

/// Says how far the clocks differ, and whether that is little enough.
fn compare_clocks(relay: &Relay, clock: &Condition, offset_ms: i64) {
    let offset = Duration::from_millis(offset_ms.unsigned_abs());
    let offset_secs = if offset_ms < 0 { -offset.as_secs_f64() } else { offset.as_secs_f64() };
    relay.metrics.relay_clock_offset_seconds.set(offset_secs);
    let is_right = offset <= CLOCK_OFFSET_MAX;
    if is_right != clock.is_met() {
        if is_right {
            info!(event = "clock.right", offset_secs, "The clocks of manager and relay agree again");
        } else {
            warn!(
                event = "clock.off",
                offset_secs,
                "The manager's clock is {offset_secs} s ahead of this one: set the wrong one, or tickets will be refused"
            );
        }
    }
    clock.set(is_right);
}

/// Takes keys and revocations, and ends what is revoked.
fn learn(relay: &Relay, answer: HeartbeatAnswer) {
    let mut keys = Vec::new();
    for key in answer.ticket_keys {
        match VerifyingKey::from_hex(&key.key_id, &key.public_key) {
            Ok(key) => keys.push(key),
            Err(_not_hex) => warn!(event = "key.unusable", "The manager told a ticket key that is not one"),
        }
    }
    if relay.keys.tell(keys, answer.revoked.iter().copied()) {
        relay.gate.keys_changed();
    }
    for session_id in answer.revoked {
        relay.end_session(session_id, CloseReason::Revoked);
    }
}

/// The pause after so many failures: doubling, between half and all of it at random. `spread` is in 0..1.
fn backoff(failures: u32, spread: f64) -> Duration {
    let whole = RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(RETRY_MAX);
    whole.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0)
}

/// One line for each verb, four for a whole session.
fn log(session_id: SessionId, what: &ReportWhat) {
    match what {
        ReportWhat::Joined { role } => info!(
            session.id = %session_id, peer.role = role.as_str(), event = "session.admitted",
            "The {} of session {session_id} is admitted", role.as_str()
        ),
        ReportWhat::Paired => {
            info!(session.id = %session_id, event = "session.paired", "Both sides of session {session_id} are here");
        }
        ReportWhat::Ended { reason, customer_bytes, operator_bytes } => info!(
            session.id = %session_id, reason = reason.as_str(), event = "session.ended",
            size_bytes = customer_bytes.saturating_add(*operator_bytes),
            "Session {session_id} ended: {}", reason.as_str()
        ),
    }
}

#[cfg(test)]
mod tests {
    use proto::role::Role;

    use super::*;

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);

    #[test]
    fn reports_are_numbered_and_repeated_until_they_are_stored() {
        let reports = Reports::new(true);
        reports.push(SESSION, 1, ReportWhat::Joined { role: Role::Customer });
        reports.push(SESSION, 2, ReportWhat::Paired);

        let first = reports.next_call().unwrap();
        reports.stored(1);
        let second = reports.next_call().unwrap();

        assert_eq!(first.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(second.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2]);
        assert_eq!(first.boot, second.boot);
    }

    #[test]
    fn a_manager_that_stays_away_costs_a_bounded_queue_and_the_loss_is_counted() {
        let reports = Reports::new(true);

        for _ in 0..=WAITING_MAX {
            reports.push(SESSION, 1, ReportWhat::Paired);
        }

        assert_eq!((reports.len(), reports.take_dropped()), (WAITING_MAX, 1));
        assert_eq!(reports.next_call().unwrap().events.len(), limits::REPORT_EVENTS_MAX);
    }

    #[test]
    fn a_report_that_is_refused_for_good_is_found_and_dropped_and_nothing_else_is() {
        const BAD: u64 = 700;
        let reports = Reports::new(true);
        for _ in 0..1_000 {
            reports.push(SESSION, 1, ReportWhat::Paired);
        }

        let (mut stored, mut dropped, mut calls) = (Vec::new(), 0, 0);
        while let Some(call) = reports.next_call() {
            calls += 1;
            if call.events.iter().any(|event| event.seq == BAD) {
                dropped += reports.refused(&call);
            } else {
                stored.extend(call.events.iter().map(|event| event.seq));
                reports.stored(*stored.last().unwrap());
            }
        }

        assert_eq!(stored, (1..=1_000).filter(|seq| *seq != BAD).collect::<Vec<_>>());
        assert!(dropped == 1 && calls < 50, "{dropped} dropped after {calls} calls");
    }

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        assert_eq!(offset_ms(5_000, 1_000, 9_000), 0);
        assert_eq!(offset_ms(10_000, 1_000, 9_000), 1_000);
        assert_eq!(offset_ms(-500, 1_000, 9_000), -1_500);
        assert_eq!(offset_ms(5_000, 9_000, 1_000), -4_000, "a clock that was set back meanwhile");
    }

    #[test]
    fn the_pause_grows_and_stays_below_the_lease() {
        assert_eq!(backoff(1, 1.0), RETRY_MIN);
        assert!(backoff(1, 0.0) < backoff(3, 0.0));
        assert_eq!(backoff(60, 1.0), RETRY_MAX);
    }
}
