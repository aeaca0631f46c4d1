//! What one token and one operator may do at most, and that every manager of a database signs with one key.

use std::{path::Path, time::Duration};

use axum::http::StatusCode;
use manager::{
    app::os_rng,
    db::Db,
    fetch_one,
    signing_key::{SharedKeyError, SigningKeyError, adopt, shared},
};
use ops::config::Span;
use proto::api::{error::ErrorCode, reception::ReceptionBody};
use serde_json::json;

use crate::{
    session::{Desk, OPERATOR_KEY},
    testing::{Manager, PASSWORD, START_MS, config, count, on_both},
};

async fn rows(desk: &Desk, event: &str) -> i64 {
    let mut tx = desk.manager.app.db.read().await.unwrap();
    fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit WHERE event = $1", event).unwrap().0
}

#[tokio::test]
async fn before_the_proof_a_customer_can_allow_the_view_and_say_nothing_else() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let entered = desk.entered(&desk.issue().await).await;
        let (id, token) = (entered.pairing.session_id, entered.token.as_str());
        let control = json!({ "kind": "control", "answer": "granted" });
        let facts = json!({ "facts": [{ "kind": "os_name", "value": "Debian GNU/Linux 12" }] });

        for (verb, body) in [("consent", &control), ("device", &facts)] {
            let refused = desk.say(id, verb, token, body).await;
            assert_eq!((refused.status, refused.error().code), (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy));
        }
        let view = json!({ "kind": "view", "answer": "granted" });
        assert_eq!(desk.say(id, "consent", token, &view).await.status, StatusCode::NO_CONTENT);
        desk.say(id, "proved", &desk.operator.token, &json!({})).await;

        for (verb, body) in [("consent", &control), ("device", &facts)] {
            assert_eq!(desk.say(id, verb, token, body).await.status, StatusCode::NO_CONTENT, "{verb}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_rows_that_one_customer_can_make_are_bounded() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let entered = desk.connected().await;
        let (id, token) = (entered.pairing.session_id, entered.token.as_str());

        let mut refused = 0;
        for turn in 0..300 {
            let answer = if turn % 2 == 0 { "granted" } else { "taken_back" };
            let said = desk.say(id, "consent", token, &json!({ "kind": "control", "answer": answer })).await;
            refused += i32::from(said.status == StatusCode::TOO_MANY_REQUESTS);
        }
        let facts = json!({ "facts": [{ "kind": "os_name", "value": "Debian GNU/Linux 12" }] });
        assert_eq!(desk.say(id, "device", token, &facts).await.error().code, ErrorCode::Throttled);

        assert_eq!(refused, 300 - 255, "one of 256 was the view");
        assert_eq!(rows(&desk, "session.consented").await, 256);
    })
    .await;
}

#[tokio::test]
async fn the_same_device_facts_are_audited_once() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let entered = desk.connected().await;
        let facts = json!({ "facts": [{ "kind": "os_name", "value": "Debian GNU/Linux 12" }] });

        for _ in 0..3 {
            let said = desk.say(entered.pairing.session_id, "device", &entered.token, &facts).await;
            assert_eq!(said.status, StatusCode::NO_CONTENT);
        }

        assert_eq!(rows(&desk, "session.device_sent").await, 1);
    })
    .await;
}

/// Issues a number and cancels it; when that is refused, the seconds to wait.
async fn issue_and_cancel(desk: &Desk) -> Option<u64> {
    let body = json!({ "proof_key": hex::encode(OPERATOR_KEY), "reason": "" });
    let issued = desk.as_operator("/v1/receptions", &body).await;
    if issued.status != StatusCode::OK {
        assert_eq!(issued.error().code, ErrorCode::Throttled);
        return issued.error().retry_after_secs;
    }
    let reception: ReceptionBody = issued.json();
    let path = format!("/v1/receptions/{}/cancel", reception.reception_id);
    assert_eq!(desk.as_operator(&path, &json!({})).await.status, StatusCode::OK);
    None
}

#[tokio::test]
async fn an_operator_who_issues_and_cancels_without_end_must_wait() {
    on_both(|db| async {
        let settings = config(|config| {
            config.session.refusal_time = Span::secs(0);
            config.reception.issued_per_hour_max = count(3);
            config.reception.issued_per_day_max = count(4);
        });
        let mut desk = Desk::with(Manager::with(db, settings)).await;

        for _ in 0..3 {
            assert_eq!(issue_and_cancel(&desk).await, None);
        }
        assert_eq!(issue_and_cancel(&desk).await, Some(3600));
        desk.manager.advance(Duration::from_hours(1));
        // The refused one counted for the day, too.
        assert_eq!(issue_and_cancel(&desk).await, Some(23 * 3600));
        desk.manager.advance(Duration::from_hours(23));
        // No login lasts that long.
        desk.operator = desk.manager.login("acme", "yamada", PASSWORD).await.json();
        assert_eq!(issue_and_cancel(&desk).await, None);
    })
    .await;
}

fn not_shared(refused: Result<proto::ticket::SigningKey, SharedKeyError>) -> String {
    match refused {
        Err(SharedKeyError::Key(error @ SigningKeyError::NotShared { .. })) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a second key was taken"),
    }
}

#[tokio::test]
async fn a_manager_with_a_key_of_its_own_does_not_serve_the_same_database() {
    on_both(keys_are_shared).await;
}

async fn keys_are_shared(db: Db) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let open = async |file: &Path| shared(file, &db, &mut os_rng()).await;

    let first = open(&at("first")).await.unwrap();
    assert_eq!(open(&at("first")).await.unwrap().verifying_key(), first.verifying_key());
    let said = not_shared(open(&at("missing")).await);
    assert!(said.contains(first.verifying_key().key_id()) && said.contains("key adopt"), "{said}");
    assert!(!at("missing").exists(), "no key is made that nobody shares");

    let other = manager::signing_key::load_or_make(&at("other"), &mut os_rng()).unwrap();
    not_shared(open(&at("other")).await);
    let (adopted, before) = adopt(&at("other"), &db, START_MS, &mut os_rng()).await.unwrap();
    assert_eq!(adopted, other.verifying_key().key_id());
    assert_eq!(before.as_deref(), Some(first.verifying_key().key_id()));
    assert_eq!(open(&at("other")).await.unwrap().verifying_key(), other.verifying_key());
    not_shared(open(&at("first")).await);
}
