//! Relays: heartbeats, choice, reports, revocations.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{fetch_one, relays, session::sweep::Sweep};
use proto::{
    api::{
        error::ErrorCode,
        reception::EnterAnswer,
        relay::{HeartbeatAnswer, ReportAnswer},
    },
    close::CloseReason,
    id::{RelayId, SessionId},
};
use serde_json::{Value, json};

use crate::{
    session::Desk,
    testing::{START_MS, on_both},
};

fn heartbeat(free_sessions: u32, draining: bool) -> Value {
    json!({
        "address": "relay.example.jp:443", "spki": "cd".repeat(32), "version": "0.1.0", "draining": draining,
        "free_sessions": free_sessions, "sessions": [],
    })
}

async fn say(desk: &Desk, token: &str, body: &Value) -> StatusCode {
    desk.manager.post("/v1/relay/heartbeat", Some(token), &body.to_string()).await.status
}

async fn enroll(desk: &Desk, name: &str) -> (RelayId, String) {
    let (id, token) = relays::enroll(&desk.manager.app.db, name, START_MS).await.unwrap();
    (id, token.reveal().to_owned())
}

fn ended_report(session: SessionId, at_ms: i64, reason: CloseReason) -> Value {
    json!({ "boot": "ab".repeat(16), "events": [
        { "seq": 1, "session_id": session, "at_ms": at_ms, "what": "joined", "role": "operator" },
        { "seq": 2, "session_id": session, "at_ms": at_ms, "what": "paired" },
        { "seq": 3, "session_id": session, "at_ms": at_ms, "what": "ended", "reason": reason,
          "customer_bytes": 1000, "operator_bytes": 10 },
    ]})
}

async fn bytes_of(desk: &Desk, session: SessionId) -> (i64, i64) {
    let mut tx = desk.manager.app.db.read().await.unwrap();
    fetch_one!(
        &mut tx,
        (i64, i64),
        "SELECT customer_bytes, operator_bytes FROM sessions WHERE session_id = $1",
        session.to_string()
    )
    .unwrap()
}

#[tokio::test]
async fn a_session_gets_living_relays_with_most_room_first() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (roomy, roomy_token) = enroll(&desk, "roomy").await;
        let (_, full_token) = enroll(&desk, "full").await;
        let (_, draining_token) = enroll(&desk, "draining").await;
        enroll(&desk, "never heard").await;
        say(&desk, &roomy_token, &heartbeat(5000, false)).await;
        say(&desk, &full_token, &heartbeat(0, false)).await;
        say(&desk, &draining_token, &heartbeat(9000, true)).await;

        let entered = desk.entered(&desk.issue().await).await;
        let relays: Vec<_> = entered.pairing.relays.iter().map(|relay| relay.address.as_str()).collect();
        assert_eq!(relays, ["relay.example.jp:443", "relay1.example.jp:443"]);
        assert_eq!(entered.pairing.relays[0].relay_id, roomy);

        let reception = desk.issue().await;
        desk.manager.advance(Duration::from_secs(16));
        let refused = desk.enter(reception.locator.as_str(), "203.0.113.5").await;
        assert_eq!((refused.status, refused.error().code), (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::NoRelay));
        let unknown = desk.enter("000000", "203.0.113.5").await;
        assert_eq!((unknown.status, unknown.body), (refused.status, refused.body), "the number makes no difference");
        desk.heartbeat(&[]).await;
        let _entered: EnterAnswer = desk.enter(reception.locator.as_str(), "203.0.113.5").await.json();
        Sweep::begin(START_MS).round(&desk.manager.app).await.unwrap();
        assert!(desk.manager.app.metrics.registry.text().contains("manager_relays_alive 1\n"));
    })
    .await;
}

#[tokio::test]
async fn four_relays_fit_a_ticket() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        for name in ["a", "b", "c", "d", "e"] {
            let (_, token) = enroll(&desk, name).await;
            assert_eq!(say(&desk, &token, &heartbeat(7, false)).await, StatusCode::OK);
        }
        assert_eq!(desk.entered(&desk.issue().await).await.pairing.relays.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_report_that_comes_twice_is_stored_once() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let session = desk.connected().await.pairing.session_id;
        let report = ended_report(session, START_MS, CloseReason::PeerLost).to_string();
        for _ in 0..2 {
            let answer: ReportAnswer = desk.manager.post("/v1/relay/report", Some(&desk.relay), &report).await.json();
            assert_eq!(answer.stored_seq, 3);
        }
        assert_eq!(bytes_of(&desk, session).await, (1000, 10));
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_relay_reports_total{result=\"stored\"} 3\n"), "{text}");
        assert!(text.contains("manager_relay_reports_total{result=\"repeated\"} 3\n"), "{text}");

        let restarted = report.replace(&"ab".repeat(16), &"cd".repeat(16));
        desk.manager.post("/v1/relay/report", Some(&desk.relay), &restarted).await;
        assert_eq!(bytes_of(&desk, session).await, (2000, 20), "another run of the relay counts anew");
    })
    .await;
}

#[tokio::test]
async fn what_a_tool_ended_at_its_relay_is_closed_with_that_reason_unless_a_tool_knows_better() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let mut sweep = Sweep::begin(START_MS);
        let silent = desk.connected().await.pairing.session_id;
        let told = desk.connected().await;
        desk.manager.advance(Duration::from_mins(1));
        let now_ms = desk.manager.app.now_ms();
        let ahead_ms = now_ms + 3_600_000;
        for (session, boot) in [(silent, "1"), (told.pairing.session_id, "2")] {
            let report = ended_report(session, ahead_ms, CloseReason::OperatorEnded).to_string();
            let report = report.replace(&"ab".repeat(16), &boot.repeat(32));
            desk.manager.post("/v1/relay/report", Some(&desk.relay), &report).await;
        }
        sweep.round(&desk.manager.app).await.unwrap();
        desk.say(told.pairing.session_id, "end", &told.token, &json!({ "reason": "customer_ended" })).await;
        desk.manager.advance(Duration::from_secs(5));
        assert_eq!(sweep.round(&desk.manager.app).await.unwrap(), 1);

        for session in desk.history().await {
            let reason =
                if session.session_id == silent { CloseReason::OperatorEnded } else { CloseReason::CustomerEnded };
            assert_eq!(session.end_reason, Some(reason));
            assert_eq!(session.ended_at_ms, Some(now_ms), "a relay cannot write the future");
        }
    })
    .await;
}

#[tokio::test]
async fn a_side_that_a_draining_relay_sends_on_does_not_end_its_session() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let mut sweep = Sweep::begin(START_MS);
        let session = desk.connected().await.pairing.session_id;
        let report = ended_report(session, START_MS, CloseReason::Draining).to_string();
        let answer: ReportAnswer = desk.manager.post("/v1/relay/report", Some(&desk.relay), &report).await.json();
        assert_eq!(answer.stored_seq, 3);
        desk.manager.advance(Duration::from_secs(6));
        assert_eq!(sweep.round(&desk.manager.app).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_ended_is_revoked_while_its_ticket_lives_and_the_relay_has_it() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let ended = desk.connected().await;
        let alive = desk.connected().await.pairing.session_id;
        let stranger = SessionId::from_bytes([9; 16]);
        let id = ended.pairing.session_id;
        desk.say(id, "end", &ended.token, &json!({ "reason": "customer_ended" })).await;

        let answer: HeartbeatAnswer = desk.heartbeat(&[id, alive, stranger]).await.json();
        assert_eq!(answer.revoked, [id]);
        assert_eq!(answer.now_ms, START_MS);
        assert_eq!(answer.ticket_keys[0].public_key, desk.manager.app.signing_key.verifying_key().to_hex());
        let answer: HeartbeatAnswer = desk.heartbeat(&[alive]).await.json();
        assert_eq!(answer.revoked, [], "a relay that has it no more need not know");
        desk.manager.advance(Duration::from_mins(63));
        let answer: HeartbeatAnswer = desk.heartbeat(&[id]).await.json();
        assert_eq!(answer.revoked, [], "its ticket is dead");
    })
    .await;
}

#[tokio::test]
async fn a_heartbeat_may_name_twenty_thousand_sessions() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let session = desk.connected().await.pairing.session_id;
        let mut sessions: Vec<_> = (0..19_999u32)
            .map(|n| {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&n.to_be_bytes());
                SessionId::from_bytes(bytes)
            })
            .collect();
        sessions.push(session);
        desk.manager.advance(Duration::from_secs(80));
        desk.heartbeat(&sessions).await;
        let mut body = heartbeat(1, false);
        sessions.push(session);
        body["sessions"] = json!(sessions);
        assert_eq!(say(&desk, &desk.relay, &body).await, StatusCode::BAD_REQUEST);
    })
    .await;
}

#[tokio::test]
async fn nobody_speaks_for_a_relay_without_its_token_or_with_nonsense() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        for token in ["", "guess", desk.operator.token.as_str()] {
            assert_eq!(say(&desk, token, &heartbeat(1, false)).await, StatusCode::UNAUTHORIZED);
        }
        for (key, value) in [
            ("address", json!("no port")),
            ("address", json!("host:0")),
            ("address", json!("ho st:443")),
            ("spki", json!("zz")),
            ("version", json!("x".repeat(65))),
        ] {
            let mut body = heartbeat(1, false);
            body[key] = value;
            assert_eq!(say(&desk, &desk.relay, &body).await, StatusCode::BAD_REQUEST, "{key}");
        }
        for report in [json!({ "boot": "x", "events": [] }), json!({ "boot": "0".repeat(32) })] {
            let answer = desk.manager.post("/v1/relay/report", Some(&desk.relay), &report.to_string()).await;
            assert_eq!(answer.error().code, ErrorCode::BadRequest);
        }
        let unknown = ended_report(SessionId::from_bytes([9; 16]), START_MS, CloseReason::PeerLost).to_string();
        let answer: ReportAnswer = desk.manager.post("/v1/relay/report", Some(&desk.relay), &unknown).await.json();
        assert_eq!(answer.stored_seq, 3, "a session that is not known holds nothing up");
    })
    .await;
}

#[tokio::test]
async fn a_relay_s_token_is_void_once_it_is_renewed_or_revoked() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let db = &desk.manager.app.db;
        let (_, first) = enroll(&desk, "relay2").await;
        assert_eq!(say(&desk, &first, &heartbeat(1, false)).await, StatusCode::OK);

        let second = relays::store::renew(db, "relay2", START_MS).await.unwrap().unwrap().reveal().to_owned();
        assert_eq!(say(&desk, &first, &heartbeat(1, false)).await, StatusCode::UNAUTHORIZED);
        assert_eq!(say(&desk, &second, &heartbeat(1, false)).await, StatusCode::OK);
        assert!(relays::store::revoke(db, "relay2", START_MS).await.unwrap());
        assert_eq!(say(&desk, &second, &heartbeat(1, false)).await, StatusCode::UNAUTHORIZED);
        let mut tx = db.read().await.unwrap();
        let sql_row = fetch_one!(&mut tx, (i64,), "SELECT heard_at_ms FROM relays WHERE name = 'relay2'");
        assert_eq!(sql_row.unwrap().0, 0, "no session begins at it");

        assert!(relays::store::renew(db, "nobody", START_MS).await.unwrap().is_none());
        assert!(!relays::store::revoke(db, "nobody", START_MS).await.unwrap());
    })
    .await;
}
