//! An entry whose answer was lost is answered again.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use manager::{App, execute, session::enter::enter_from};
use proto::{
    api::{
        error::ErrorCode,
        reception::{EnterAnswer, EnterRequest},
    },
    close::CloseReason,
    role::Role,
    ticket::{ProofKey, Ticket, proof_key_hash},
};
use serde_json::json;

use crate::{
    session::{Desk, ended},
    testing::{START_MS, at_once, on_both},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_asks_again_gets_the_same_session_and_no_second_one() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        let key = ProofKey::from_seed(&[7; 32]);
        let request = EnterRequest::new(reception.locator, &key);
        let app: App = desk.manager.app.clone();
        let source = std::net::Ipv4Addr::new(203, 0, 113, 5);

        let answers = at_once(20, |_| {
            let (app, request) = (app.clone(), request.clone());
            async move { enter_from(&app, source.into(), &request).await.unwrap() }
        })
        .await;

        let keys = [app.signing_key.verifying_key()];
        let given: BTreeSet<_> = answers.iter().map(|a| (a.pairing.introduction.clone(), a.token.clone())).collect();
        assert_eq!(given.len(), 1, "one session, one token");
        for EnterAnswer { pairing, .. } in &answers {
            let ticket = Ticket::verify(&pairing.ticket, &keys, START_MS).unwrap();
            assert_eq!((ticket.session_id, ticket.role), (pairing.session_id, Role::Customer));
            assert_eq!(ticket.proof_key_hash, proof_key_hash(&key.public()));
            assert_eq!(pairing.relays, answers[0].pairing.relays);
        }
        assert_eq!((desk.history().await.len(), desk.told().await.len()), (1, 1), "stored and told once");
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_reception_entries_total{result=\"ok\"} 1\n"), "{text}");
        assert!(text.contains("manager_reception_entries_total{result=\"repeated\"} 19\n"), "{text}");
        // None of them counts as a guess: five wrong ones of this source are still looked at.
        for _ in 0..5 {
            desk.enter(reception.locator.as_str(), "203.0.113.5").await;
        }
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_reception_entries_total{result=\"unusable\"} 5\n"), "{text}");

        let entered = &answers[0];
        let id = entered.pairing.session_id;
        let view = json!({ "kind": "view", "answer": "granted" });
        assert_eq!(desk.say(id, "consent", &entered.token, &view).await.status, StatusCode::NO_CONTENT);
    })
    .await;
}

#[tokio::test]
async fn an_entry_is_repeated_while_its_session_joins_and_for_its_own_tool_only() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        let locator = reception.locator.as_str();
        let request = EnterRequest::new(reception.locator, &ProofKey::from_seed(&[7; 32]));
        let entered: EnterAnswer = desk.enter_by(&request, "203.0.113.5").await.json();
        let id = entered.pairing.session_id;
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET name = 'renamed meanwhile', role = 'viewer'").unwrap();
        tx.commit().await.unwrap();
        let again: EnterAnswer = desk.enter_by(&request, "203.0.113.6").await.json();
        assert_eq!(again.pairing.introduction, entered.pairing.introduction, "the one that the operator has");
        assert_eq!((again.pairing.session_id, &again.token), (id, &entered.token), "from another network");

        // What a relay and the operator know of the session does not suffice.
        let stranger = EnterRequest::new(reception.locator, &ProofKey::from_seed(&[8; 32]));
        for wrong in [
            EnterRequest { signature: None, ..request.clone() },
            EnterRequest { signature: stranger.signature.clone(), ..request.clone() },
            stranger,
        ] {
            assert_eq!(desk.enter_by(&wrong, "203.0.113.7").await.error().code, ErrorCode::NumberUnusable);
        }

        // The tool did not come, the number was given back, and the same tool begins anew.
        desk.say(id, "end", &desk.operator.token, &ended(CloseReason::PeerTimeout)).await;
        let anew: EnterAnswer = desk.enter_by(&request, "203.0.113.5").await.json();
        assert_ne!(anew.pairing.session_id, id);
        assert_ne!(anew.token, entered.token);

        desk.say(anew.pairing.session_id, "proved", &desk.operator.token, &json!({})).await;
        let met = desk.enter_by(&request, "203.0.113.5").await;
        assert_eq!(met.error().code, ErrorCode::NumberUnusable, "they have met");
        assert_eq!(desk.enter(locator, "203.0.113.5").await.error().code, ErrorCode::NumberUnusable);
    })
    .await;
}

#[tokio::test]
async fn an_entry_is_not_repeated_for_a_stopped_operator_nor_without_end_nor_with_a_token_of_before() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let key = ProofKey::from_seed(&[7; 32]);
        let enter_again = async |request: &EnterRequest| desk.enter_by(request, "203.0.113.5").await.status;
        let request = EnterRequest::new(desk.issue().await.locator, &key);
        assert_eq!(enter_again(&request).await, StatusCode::OK);
        for _ in 0..20 {
            assert_eq!(enter_again(&request).await, StatusCode::OK);
        }
        assert_eq!(enter_again(&request).await, StatusCode::NOT_FOUND, "twenty times at most");

        let request = EnterRequest::new(desk.issue().await.locator, &key);
        assert_eq!(enter_again(&request).await, StatusCode::OK);
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET stopped = TRUE").unwrap();
        tx.commit().await.unwrap();
        assert_eq!(enter_again(&request).await, StatusCode::NOT_FOUND);
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET stopped = FALSE").unwrap();
        tx.commit().await.unwrap();
        assert_eq!(enter_again(&request).await, StatusCode::OK);
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE sessions SET customer_token_hash = session_id").unwrap();
        tx.commit().await.unwrap();
        assert_eq!(enter_again(&request).await, StatusCode::NOT_FOUND, "nobody has the token that was drawn");
    })
    .await;
}
