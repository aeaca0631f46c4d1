//! Fresh tickets: for whom, for which key, with which relays in which order.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{admin::AdminRole, execute, relays};
use proto::{
    api::{
        error::ErrorCode,
        login::LoginAnswer,
        reception::{EnterAnswer, RelayAddress},
        session::RenewAnswer,
    },
    id::{RelayId, SessionId},
    limits,
    role::Role,
    ticket::{Ticket, proof_key_hash},
};
use serde_json::json;

use crate::{
    session::{CUSTOMER_KEY, Desk, OPERATOR_KEY},
    system::{
        halt::{halt, lift},
        logged_in,
    },
    testing::{Answer, PASSWORD, START_MS, on_both},
};

/// Another relay beside the one of the desk.
struct Other {
    id: RelayId,
    token: String,
}

impl Other {
    async fn enroll(desk: &Desk, name: &str) -> Self {
        let (id, token) = relays::enroll(&desk.manager.app.db, name, START_MS).await.unwrap();
        let other = Self { id, token: token.reveal().to_owned() };
        other.heartbeat(desk, name, false).await;
        other
    }

    async fn heartbeat(&self, desk: &Desk, address: &str, draining: bool) {
        let body = json!({
            "address": format!("{address}:443"), "spki": "cd".repeat(32), "version": "0.1.0", "draining": draining,
            "free_sessions": 50, "sessions": [],
        });
        let answer = desk.manager.post("/v1/relay/heartbeat", Some(&self.token), &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}

async fn renew(desk: &Desk, session: SessionId, token: &str) -> Answer {
    desk.say(session, "ticket", token, &json!({})).await
}

fn addresses(relays: &[RelayAddress]) -> Vec<&str> {
    relays.iter().map(|relay| relay.address.trim_end_matches(":443")).collect()
}

fn verified(desk: &Desk, answer: &RenewAnswer) -> Ticket {
    let keys = [desk.manager.app.signing_key.verifying_key()];
    let ticket = Ticket::verify(&answer.ticket, &keys, desk.manager.app.now_ms()).unwrap();
    let named: Vec<_> = ticket.relays.iter().map(|relay| (relay.relay_id, relay.spki.clone())).collect();
    let told: Vec<_> = answer.relays.iter().map(|relay| (relay.relay_id, relay.spki.clone())).collect();
    assert_eq!(named, told, "the ticket names the relays that are told");
    ticket
}

#[tokio::test]
async fn each_tool_gets_a_fresh_ticket_for_its_own_role_and_key() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let EnterAnswer { pairing, token } = desk.connected().await;
        let first = Ticket::verify(&pairing.ticket, &[desk.manager.app.signing_key.verifying_key()], START_MS).unwrap();
        desk.manager.advance(Duration::from_mins(5));
        desk.heartbeat(&[]).await;
        let now_ms = desk.manager.app.now_ms();

        for (token, role, key) in
            [(&token, Role::Customer, &CUSTOMER_KEY), (&desk.operator.token, Role::Operator, &OPERATOR_KEY)]
        {
            let answer: RenewAnswer = renew(&desk, pairing.session_id, token).await.json();
            let ticket = verified(&desk, &answer);
            assert_eq!((ticket.session_id, ticket.role), (pairing.session_id, role));
            assert_eq!(ticket.proof_key_hash, proof_key_hash(key));
            assert_eq!(answer.relays, pairing.relays);
            let expires_at_ms = now_ms + i64::try_from(limits::TICKET_LIFE.as_millis()).unwrap();
            assert_eq!((ticket.expires_at_ms, answer.expires_at_ms), (expires_at_ms, expires_at_ms));
            assert_eq!(ticket.hard_end_at_ms, first.hard_end_at_ms, "a session cannot be made longer");
            assert!(!format!("{answer:?}").contains(&answer.ticket));
        }
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_ticket_renewals_total{result=\"ok\"} 2\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_ticket_of_the_last_hour_ends_with_the_session() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let entered = desk.connected().await;
        let id = entered.pairing.session_id;
        desk.manager.advance(limits::SESSION_LIFE_MAX.saturating_sub(Duration::from_mins(1)));
        let answer: RenewAnswer = renew(&desk, id, &entered.token).await.json();
        assert_eq!(answer.expires_at_ms, desk.manager.app.now_ms() + 60_000);
        desk.manager.advance(Duration::from_mins(1));
        assert_eq!(renew(&desk, id, &entered.token).await.error().code, ErrorCode::WrongState);
    })
    .await;
}

#[tokio::test]
async fn sessions_of_others_ended_ones_and_old_ones_are_not_renewed() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        desk.manager.operator(desk.operator.company_id, "tanaka").await;
        let colleague: LoginAnswer = desk.manager.login("acme", "tanaka", PASSWORD).await.json();
        let (entered, second) = (desk.connected().await, desk.connected().await);
        let id = entered.pairing.session_id;
        for token in [&colleague.token, &second.token] {
            assert_eq!(renew(&desk, id, token).await.error().code, ErrorCode::NotFound);
        }
        assert_eq!(renew(&desk, id, "nobody").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            renew(&desk, SessionId::from_bytes([9; 16]), &desk.operator.token).await.status,
            StatusCode::NOT_FOUND
        );

        let mut tx = desk.manager.app.db.begin().await.unwrap();
        let old = second.pairing.session_id.to_string();
        execute!(&mut tx, "UPDATE sessions SET customer_key_hash = NULL WHERE session_id = $1", old).unwrap();
        tx.commit().await.unwrap();
        let refused = renew(&desk, second.pairing.session_id, &second.token).await.error();
        assert_eq!(refused.code, ErrorCode::WrongState);
        assert!(refused.message.contains("before an upgrade"), "{}", refused.message);

        desk.say(id, "end", &entered.token, &json!({ "reason": "customer_ended" })).await;
        for token in [&entered.token, &desk.operator.token] {
            assert_eq!(renew(&desk, id, token).await.error().code, ErrorCode::WrongState);
        }
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_ticket_renewals_total{result=\"wrong_state\"} 3\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn no_tool_renews_while_the_service_is_halted() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (running, over) = (desk.connected().await, desk.connected().await);
        let (id, ended) = (running.pairing.session_id, over.pairing.session_id);
        desk.say(ended, "end", &over.token, &json!({ "reason": "customer_ended" })).await;
        let root = logged_in(&desk.manager, "root", AdminRole::Operations).await;

        halt(&root).await;
        for token in [&running.token, &desk.operator.token, &running.token] {
            let refused = renew(&desk, id, token).await;
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{:?}", refused.body);
            assert_eq!(refused.error().code, ErrorCode::ServiceHalted);
        }
        let refused = renew(&desk, ended, &over.token).await.error();
        assert_eq!(refused.code, ErrorCode::WrongState, "it need not try again");
        lift(&root).await;

        // In the same second: what was refused counts as no renewal.
        let answer: RenewAnswer = renew(&desk, id, &running.token).await.json();
        assert_eq!(verified(&desk, &answer).role, Role::Customer);
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_ticket_renewals_total{result=\"halted\"} 2\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_tool_renews_once_in_a_second() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let entered = desk.connected().await;
        let id = entered.pairing.session_id;
        assert_eq!(renew(&desk, id, &entered.token).await.status, StatusCode::OK);
        let refused = renew(&desk, id, &entered.token).await;
        assert_eq!((refused.status, refused.error().code), (StatusCode::TOO_MANY_REQUESTS, ErrorCode::Throttled));
        assert_eq!(refused.error().retry_after_secs, Some(1));
        assert_eq!(renew(&desk, id, &desk.operator.token).await.status, StatusCode::OK, "the other tool may");
        desk.manager.advance(Duration::from_secs(1));
        assert_eq!(renew(&desk, id, &entered.token).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn the_relays_of_a_session_keep_their_order_and_the_dead_go_to_the_end() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let second = Other::enroll(&desk, "relay2.example.jp").await;
        let entered = desk.connected().await;
        let (id, customer, operator) = (entered.pairing.session_id, &entered.token, &desk.operator.token);
        let first = ["relay1.example.jp", "relay2.example.jp"];
        assert_eq!(addresses(&entered.pairing.relays), first);
        let order = async |token: &str| {
            desk.manager.advance(Duration::from_secs(1));
            let answer: RenewAnswer = renew(&desk, id, token).await.json();
            verified(&desk, &answer);
            addresses(&answer.relays).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };

        let third = Other::enroll(&desk, "relay3.example.jp").await;
        let joined = [first[0], first[1], "relay3.example.jp"];
        assert_eq!(order(customer).await, joined, "a new one comes last");
        desk.manager.advance(Duration::from_secs(20));
        for relay in [&second, &third] {
            let name = if relay.id == second.id { "moved.example.jp" } else { "relay3.example.jp" };
            relay.heartbeat(&desk, name, false).await;
        }
        let moved = [first[0], "moved.example.jp", "relay3.example.jp"];
        assert_eq!(order(operator).await, moved, "a restart costs no place, and the address is the one of now");
        desk.manager.advance(Duration::from_secs(50));
        second.heartbeat(&desk, "moved.example.jp", false).await;
        third.heartbeat(&desk, "relay3.example.jp", false).await;
        let without = ["moved.example.jp", "relay3.example.jp", first[0]];
        assert_eq!(order(customer).await, without, "one that is silent for a minute is the last choice");
        desk.heartbeat(&[]).await;
        assert_eq!(order(operator).await, without, "one that came back does not push in");
        second.heartbeat(&desk, "moved.example.jp", true).await;
        let draining = ["relay3.example.jp", first[0], "moved.example.jp"];
        assert_eq!(order(operator).await, draining, "one that is being stopped is left");
        assert_eq!(order(customer).await, draining, "both are told the same");
    })
    .await;
}

#[tokio::test]
async fn after_a_gap_of_the_manager_no_relay_is_called_dead() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let second = Other::enroll(&desk, "relay2.example.jp").await;
        let entered = desk.connected().await;
        let id = entered.pairing.session_id;
        desk.manager.advance(Duration::from_mins(10));
        desk.manager.app.note_gap();
        let answer: RenewAnswer = renew(&desk, id, &entered.token).await.json();
        assert_eq!(answer.relays, entered.pairing.relays, "nobody was heard, and the session goes on");
        second.heartbeat(&desk, "relay2.example.jp", false).await;
        desk.manager.advance(Duration::from_secs(10));
        let answer: RenewAnswer = renew(&desk, id, &entered.token).await.json();
        assert_eq!(answer.relays, entered.pairing.relays, "the first to come back is not the first choice for that");
        desk.manager.advance(Duration::from_mins(1));
        second.heartbeat(&desk, "relay2.example.jp", false).await;
        let answer: RenewAnswer = renew(&desk, id, &entered.token).await.json();
        assert_eq!(addresses(&answer.relays), ["relay2.example.jp", "relay1.example.jp"]);
    })
    .await;
}

#[tokio::test]
async fn a_renewal_is_a_sign_of_life_and_no_audit_row() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let entered = desk.connected().await;
        let id = entered.pairing.session_id;
        let rows = async || {
            let mut tx = desk.manager.app.db.read().await.unwrap();
            let rows = manager::fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit").unwrap();
            let seen = manager::fetch_one!(
                &mut tx,
                (i64,),
                "SELECT last_seen_at_ms FROM sessions WHERE session_id = $1",
                id.to_string()
            );
            (rows.0, seen.unwrap().0)
        };
        let (before, _) = rows().await;
        desk.manager.advance(Duration::from_secs(80));
        assert_eq!(renew(&desk, id, &entered.token).await.status, StatusCode::OK);
        assert_eq!(rows().await, (before, desk.manager.app.now_ms()));
    })
    .await;
}
