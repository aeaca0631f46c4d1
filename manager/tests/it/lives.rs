//! How long a session lives when relays lose it, and that it ends once, whoever says what in which order.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{execute, fetch_one, relays, session::sweep::Sweep};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRng, TestRunner},
};
use proto::{
    api::{reception::Event, relay::HeartbeatAnswer, session::SessionState},
    close::CloseReason,
    id::SessionId,
};
use serde_json::{Value, json};

use crate::{
    session::Desk,
    testing::{START_MS, on_both},
};

/// Default of `session.lease`, `session.relay_grace`, and the pause between two rounds in these tests.
const LEASE_MS: i64 = 150_000;
const GRACE_MS: i64 = 5_000;
const ROUND: Duration = Duration::from_secs(10);

/// A desk with two relays and a sweep.
struct Scene {
    desk: Desk,
    relays: [(String, u64); 2],
    sweep: Sweep,
}

impl Scene {
    async fn open(db: manager::db::Db) -> Self {
        let desk = Desk::open(db).await;
        let (_, second) = relays::enroll(&desk.manager.app.db, "relay2", START_MS).await.unwrap();
        let relays = [(desk.relay.clone(), 0), (second.reveal().to_owned(), 0)];
        Self { desk, relays, sweep: Sweep::begin(START_MS) }
    }

    fn now_ms(&self) -> i64 {
        self.desk.manager.app.now_ms()
    }

    async fn connected(&self) -> (SessionId, String) {
        self.heartbeat(0, &[]).await;
        let entered = self.desk.connected().await;
        (entered.pairing.session_id, entered.token)
    }

    /// Time passes, with rounds of the sweep.
    async fn pass(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(ROUND);
            self.desk.manager.advance(step);
            self.sweep.round(&self.desk.manager.app).await.unwrap();
            left -= step;
        }
    }

    async fn heartbeat(&self, relay: usize, sessions: &[SessionId]) -> HeartbeatAnswer {
        let body = json!({
            "address": format!("relay{relay}.example.jp:443"), "spki": "ab".repeat(32), "version": "0.1.0",
            "draining": false, "free_sessions": 100, "sessions": sessions,
        });
        self.desk.manager.post("/v1/relay/heartbeat", Some(&self.relays[relay].0), &body.to_string()).await.json()
    }

    async fn report(&mut self, relay: usize, session: SessionId, at_ms: i64, what: Value) {
        let (token, seq) = &mut self.relays[relay];
        *seq += 1;
        let mut event = json!({ "seq": *seq, "session_id": session, "at_ms": at_ms });
        event.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        let report = json!({ "boot": relay.to_string().repeat(32), "events": [event] });
        let answer = self.desk.manager.post("/v1/relay/report", Some(token), &report.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    }

    async fn ended(&mut self, relay: usize, session: SessionId, reason: CloseReason) {
        let what = json!({ "what": "ended", "reason": reason, "customer_bytes": 1000, "operator_bytes": 10 });
        self.report(relay, session, self.now_ms(), what).await;
    }

    /// When it ended, why, and how long it was.
    async fn end_of(&self, session: SessionId) -> Option<(i64, CloseReason, i64)> {
        let history = self.desk.history().await;
        let row = history.into_iter().find(|row| row.session_id == session).unwrap();
        (row.state == SessionState::Ended)
            .then(|| (row.ended_at_ms.unwrap(), row.end_reason.unwrap(), row.duration_ms.unwrap()))
    }

    /// How often its end is in the audit, and how often the operator was told.
    async fn ends(&self, session: SessionId) -> (i64, usize) {
        let mut tx = self.desk.manager.app.db.read().await.unwrap();
        let (audited,) = fetch_one!(
            &mut tx,
            (i64,),
            "SELECT COUNT(*) FROM audit WHERE session_id = $1 AND event = 'session.ended'",
            session.to_string()
        )
        .unwrap();
        drop(tx);
        let told = self.desk.told().await;
        let is_end = |event: &&Event| matches!(event, Event::Ended { session_id, .. } if *session_id == session);
        (audited, told.iter().filter(is_end).count())
    }

    async fn last_seen_ms(&self, session: SessionId) -> i64 {
        let mut tx = self.desk.manager.app.db.read().await.unwrap();
        let id = session.to_string();
        let seen =
            fetch_one!(&mut tx, (i64,), "SELECT last_seen_at_ms FROM sessions WHERE session_id = $1", id).unwrap();
        seen.0
    }
}

#[tokio::test]
async fn a_session_that_a_relay_lost_lives_on_where_it_is_listed() {
    on_both(|db| async {
        let mut scene = Scene::open(db).await;
        let (session, _) = scene.connected().await;
        for reason in [CloseReason::PeerLost, CloseReason::RelayStopped, CloseReason::Draining, CloseReason::Unknown] {
            scene.ended(0, session, reason).await;
            for _ in 0..30 {
                scene.pass(ROUND).await;
                scene.heartbeat(1, &[session]).await;
            }
            assert_eq!(scene.end_of(session).await, None, "{reason:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_that_every_relay_lost_ends_with_the_last_reason_when_it_was_lost() {
    on_both(|db| async {
        let mut scene = Scene::open(db).await;
        let (session, _) = scene.connected().await;
        scene.pass(Duration::from_secs(30)).await;
        scene.ended(0, session, CloseReason::Displaced).await;
        scene.pass(Duration::from_secs(30)).await;
        scene.ended(1, session, CloseReason::TransportLost).await;
        let lost_ms = scene.now_ms();
        scene.pass(Duration::from_secs(140)).await;
        assert_eq!(scene.end_of(session).await, None, "the tools may still meet again");
        scene.pass(Duration::from_secs(70)).await;
        assert_eq!(scene.end_of(session).await, Some((lost_ms, CloseReason::TransportLost, 60_000)));
        let answer = scene.heartbeat(1, &[session]).await;
        assert_eq!(answer.revoked, [], "a relay that was cut off may still have it");
    })
    .await;
}

#[tokio::test]
async fn a_renewal_keeps_a_session_that_no_relay_lists() {
    on_both(|db| async {
        let mut scene = Scene::open(db).await;
        let (session, token) = scene.connected().await;
        scene.ended(0, session, CloseReason::PeerLost).await;
        for _ in 0..3 {
            scene.pass(Duration::from_secs(140)).await;
            let renewed = scene.desk.say(session, "ticket", &token, &json!({})).await;
            assert_eq!(renewed.status, StatusCode::OK);
        }
        let renewed_ms = scene.now_ms();
        scene.pass(Duration::from_secs(210)).await;
        let end = scene.end_of(session).await.unwrap();
        assert_eq!((end.0, end.1), (renewed_ms, CloseReason::Abnormal), "the lost connection was not the last thing");
    })
    .await;
}

#[tokio::test]
async fn what_a_tool_said_at_a_relay_ends_a_session_that_another_relay_lists() {
    on_both(|db| async {
        let mut scene = Scene::open(db).await;
        let (session, _) = scene.connected().await;
        scene.ended(0, session, CloseReason::CustomerEnded).await;
        scene.heartbeat(1, &[session]).await;
        scene.pass(Duration::from_secs(5)).await;
        assert_eq!(scene.end_of(session).await.unwrap().1, CloseReason::CustomerEnded);
        assert_eq!(scene.heartbeat(1, &[session]).await.revoked, [session]);
    })
    .await;
}

#[tokio::test]
async fn bytes_of_two_relays_are_added() {
    on_both(|db| async {
        let mut scene = Scene::open(db).await;
        let (session, _) = scene.connected().await;
        scene.ended(0, session, CloseReason::Draining).await;
        scene.ended(1, session, CloseReason::PeerLost).await;
        let endless = json!({ "what": "ended", "reason": "operator_ended", "customer_bytes": u64::MAX,
            "operator_bytes": 5 });
        for relay in [0, 1] {
            scene.report(relay, session, scene.now_ms(), endless.clone()).await;
        }
        let mut tx = scene.desk.manager.app.db.read().await.unwrap();
        let id = session.to_string();
        let bytes = fetch_one!(
            &mut tx,
            (i64, i64),
            "SELECT customer_bytes, operator_bytes FROM sessions WHERE session_id = $1",
            id
        );
        assert_eq!(bytes.unwrap(), (2000 + (1 << 51), 30));
    })
    .await;
}

#[tokio::test]
async fn a_heartbeat_writes_a_session_down_three_times_in_a_lease() {
    on_both(|db| async {
        let mut scene = Scene::open(db).await;
        let (session, _) = scene.connected().await;
        let mut written = Vec::new();
        for _ in 0..150 {
            scene.desk.manager.advance(Duration::from_secs(1));
            scene.heartbeat(0, &[session]).await;
            written.push(scene.last_seen_ms(session).await - START_MS);
        }
        written.dedup();
        assert_eq!(written, [0, 50_000, 100_000, 150_000]);
        scene.ended(1, session, CloseReason::Displaced).await;
        scene.desk.manager.advance(Duration::from_secs(1));
        scene.heartbeat(0, &[session]).await;
        assert_eq!(scene.last_seen_ms(session).await - START_MS, 151_000, "sooner, when another relay lost it");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_neither_a_round_nor_a_report() {
    on_both(|db| async {
        let mut scene = Scene::open(db).await;
        let (broken, _) = scene.connected().await;
        let (nameless, _) = scene.connected().await;
        let (good, _) = scene.connected().await;
        let mut tx = scene.desk.manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE sessions SET state = 'odd' WHERE session_id = $1", broken.to_string()).unwrap();
        execute!(
            &mut tx,
            "UPDATE sessions SET relay_ended_at_ms = 1, relay_end_reason = NULL WHERE session_id = $1",
            nameless.to_string()
        )
        .unwrap();
        tx.commit().await.unwrap();
        scene.report(0, broken, START_MS, json!({ "what": "paired" })).await;
        for _ in 0..21 {
            scene.desk.manager.advance(ROUND);
            scene.sweep.round(&scene.desk.manager.app).await.unwrap();
        }
        let mut tx = scene.desk.manager.app.db.read().await.unwrap();
        let open = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM sessions WHERE ended_at_ms IS NULL").unwrap();
        assert_eq!(open, (1,), "only the broken one is left");
        drop(tx);
        assert_eq!(scene.ends(good).await, (1, 1));
    })
    .await;
}

/// Something that is said about a session, or time that passes.
#[derive(Debug, Clone)]
enum Step {
    Joined(usize),
    Paired(usize),
    Ended(usize, CloseReason),
    Heartbeat(usize),
    Renew { customer: bool },
    End { customer: bool, reason: CloseReason },
    Rounds(u64),
}

/// Steps, each with how late the word of a relay arrives, in seconds.
fn steps() -> impl Strategy<Value = Vec<(Step, i64)>> {
    let relay = 0..2usize;
    let lost = prop::sample::select(vec![
        CloseReason::PeerLost,
        CloseReason::PeerTimeout,
        CloseReason::TransportLost,
        CloseReason::Silent,
        CloseReason::WriteStalled,
        CloseReason::Displaced,
        CloseReason::Draining,
        CloseReason::RelayStopped,
        CloseReason::Malformed,
    ]);
    let step = prop_oneof![
        4 => relay.clone().prop_map(Step::Joined),
        3 => relay.clone().prop_map(Step::Paired),
        6 => (relay.clone(), lost.clone()).prop_map(|(relay, reason)| Step::Ended(relay, reason)),
        1 => relay.clone().prop_map(|relay| Step::Ended(relay, CloseReason::OperatorEnded)),
        6 => relay.prop_map(Step::Heartbeat),
        2 => any::<bool>().prop_map(|customer| Step::Renew { customer }),
        1 => (any::<bool>(), lost).prop_map(|(customer, reason)| Step::End { customer, reason }),
        8 => (1..12u64).prop_map(Step::Rounds),
    ];
    prop::collection::vec((step, 0..20i64), 10..40)
}

/// What is known of a session from outside.
struct Known {
    last_sign_ms: i64,
    said_at_relay_ms: Option<i64>,
    said_by_tool: bool,
}

impl Scene {
    async fn take(&mut self, step: &Step, late_secs: i64, session: SessionId, token: &str, known: &mut Known) {
        let now_ms = self.now_ms();
        let at_ms = now_ms - late_secs * 1000;
        let operator = self.desk.operator.token.clone();
        match step {
            Step::Joined(relay) => {
                self.report(*relay, session, at_ms, json!({ "what": "joined", "role": "customer" })).await;
                known.last_sign_ms = known.last_sign_ms.max(at_ms);
            }
            Step::Paired(relay) => {
                self.report(*relay, session, at_ms, json!({ "what": "paired" })).await;
                known.last_sign_ms = known.last_sign_ms.max(at_ms);
            }
            Step::Ended(relay, reason) => {
                let what = json!({ "what": "ended", "reason": reason, "customer_bytes": 1, "operator_bytes": 1 });
                self.report(*relay, session, at_ms, what).await;
                if *reason == CloseReason::OperatorEnded {
                    known.said_at_relay_ms.get_or_insert(at_ms);
                } else {
                    known.last_sign_ms = known.last_sign_ms.max(at_ms);
                }
            }
            Step::Heartbeat(relay) => {
                self.heartbeat(*relay, &[session]).await;
                known.last_sign_ms = now_ms;
            }
            Step::Renew { customer } => {
                let token = if *customer { token } else { operator.as_str() };
                if self.desk.say(session, "ticket", token, &json!({})).await.status == StatusCode::OK {
                    known.last_sign_ms = now_ms;
                }
            }
            Step::End { customer, reason } => {
                let token = if *customer { token } else { operator.as_str() };
                let answer = self.desk.say(session, "end", token, &json!({ "reason": reason })).await;
                assert_eq!(answer.status, StatusCode::NO_CONTENT);
                known.said_by_tool = true;
            }
            Step::Rounds(_) => self.pass(ROUND).await,
        }
    }
}

#[tokio::test]
async fn in_any_order_of_words_a_session_ends_once_and_not_while_it_lives() {
    on_both(|db| async {
        let mut scene = Scene::open(db).await;
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha),
        );
        for _ in 0..16 {
            let steps = steps().new_tree(&mut runner).unwrap().current();
            let (session, token) = scene.connected().await;
            let mut known = Known { last_sign_ms: scene.now_ms(), said_at_relay_ms: None, said_by_tool: false };
            let mut end = None;
            for (step, late_secs) in &steps {
                // Time passes round by round, so that each round is judged at its own time.
                let times = if let Step::Rounds(count) = step { *count } else { 1 };
                for _ in 0..times {
                    scene.take(step, *late_secs, session, &token, &mut known).await;
                    let now = scene.end_of(session).await;
                    if let (None, Some((at_ms, reason, duration_ms))) = (end, now) {
                        let silent_ms = scene.now_ms() - known.last_sign_ms;
                        let said = known.said_at_relay_ms.is_some_and(|at_ms| at_ms + GRACE_MS <= scene.now_ms());
                        assert!(
                            known.said_by_tool || said || LEASE_MS <= silent_ms,
                            "ended {reason:?} at {at_ms} after {silent_ms} ms: {steps:?}"
                        );
                        assert!(0 <= duration_ms && at_ms <= scene.now_ms(), "{steps:?}");
                    }
                    assert!(end.is_none() || end == now, "the first end counts: {steps:?}");
                    end = now;
                }
            }
            scene.pass(Duration::from_secs(210)).await;
            assert!(scene.end_of(session).await.is_some(), "it ends when nobody is heard: {steps:?}");
            assert_eq!(scene.ends(session).await, (1, 1), "{steps:?}");
        }
    })
    .await;
}
