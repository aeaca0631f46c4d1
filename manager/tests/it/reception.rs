//! Numbers from issue to expiry.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use manager::session::sweep::Sweep;
use proto::api::{
    error::ErrorCode,
    reception::{Event, ReceptionBody, ReceptionList, ReceptionState},
};
use serde_json::json;

use crate::{
    session::Desk,
    testing::{Manager, START_MS, at_once, config, on_both},
};

fn issue(desk: &Desk, key: &str) -> Request<Body> {
    let body = json!({ "proof_key": "0a".repeat(32), "reason": "", "life_secs": 120 });
    Request::builder()
        .method(Method::POST)
        .uri("/v1/receptions")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", desk.operator.token))
        .header("Idempotency-Key", key)
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn answer(desk: &Desk, request: Request<Body>) -> (StatusCode, serde_json::Value) {
    let response = desk.manager.respond(request).await;
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 64 * 1024).await.unwrap();
    (parts.status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn an_issued_number_is_listed_extended_and_cancelled() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let first = desk.issue().await;
        assert_eq!(first.expires_at_ms, START_MS + 600_000);
        desk.manager.advance(Duration::from_mins(1));
        let second = desk.issue().await;
        let list: ReceptionList = desk.manager.get("/v1/receptions", Some(&desk.operator.token)).await.json();
        assert_eq!(list.receptions, [second.clone(), first.clone()], "newest first, with their digits");

        let path = format!("/v1/receptions/{}/extend", first.reception_id);
        let extended: ReceptionBody = desk.as_operator(&path, &json!({})).await.json();
        assert_eq!(extended.expires_at_ms, START_MS + 660_000);
        let path = format!("/v1/receptions/{}/cancel", second.reception_id);
        let cancelled: ReceptionBody = desk.as_operator(&path, &json!({})).await.json();
        assert_eq!(cancelled.state, ReceptionState::Cancelled);
        let list: ReceptionList = desk.manager.get("/v1/receptions", Some(&desk.operator.token)).await.json();
        assert_eq!(list.receptions, [extended]);
        assert_eq!(desk.told().await, [Event::Cancelled { reception_id: second.reception_id }]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gives_the_same_reception_however_often_it_is_asked() {
    on_both(|db| async {
        let desk = Arc::new(Desk::open(db).await);
        let answers = at_once(12, |_| {
            let desk = Arc::clone(&desk);
            async move { answer(&desk, issue(&desk, "one-click")).await }
        })
        .await;
        let (status, first) = &answers[0];
        assert_eq!(*status, StatusCode::OK, "{first}");
        assert!(answers.iter().all(|(_, body)| body == first), "{answers:?}");
        let (_, other) = answer(&desk, issue(&desk, "another-click")).await;
        assert_ne!(other["reception_id"], first["reception_id"]);
        let last = at_once(12, |_| {
            let desk = Arc::clone(&desk);
            async move { answer(&desk, issue(&desk, "last-place")).await }
        })
        .await;
        assert_eq!(last[0].0, StatusCode::OK, "{last:?}");
        assert!(last.iter().all(|answer| *answer == last[0]), "{last:?}");
        let (status, _) = answer(&desk, issue(&desk, &"x".repeat(65))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_are_one_also_where_one_is_all_that_may_be_issued_in_an_hour() {
    on_both(|db| async {
        let settings = config(|config| config.reception.issued_per_hour_max = NonZeroU32::MIN);
        let desk = Arc::new(Desk::with(Manager::with(db, settings)).await);
        let answers = at_once(12, |_| {
            let desk = Arc::clone(&desk);
            async move { answer(&desk, issue(&desk, "one-click")).await }
        })
        .await;

        assert_eq!(answers[0].0, StatusCode::OK, "{answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(answer(&desk, issue(&desk, "another-click")).await.0, StatusCode::TOO_MANY_REQUESTS);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_three_open_numbers_whatever_is_asked_at_once() {
    on_both(|db| async {
        let desk = Arc::new(Desk::open(db).await);
        let answers = at_once(20, |index| {
            let desk = Arc::clone(&desk);
            async move { answer(&desk, issue(&desk, &format!("click {index}"))).await }
        })
        .await;
        assert_eq!(answers.iter().filter(|(status, _)| *status == StatusCode::OK).count(), 3, "{answers:?}");
        for (status, body) in answers.iter().filter(|(status, _)| *status != StatusCode::OK) {
            assert_eq!((*status, &body["code"]), (StatusCode::CONFLICT, &json!("too_many_open")));
        }
        let list: ReceptionList = desk.manager.get("/v1/receptions", Some(&desk.operator.token)).await.json();
        let path = format!("/v1/receptions/{}/cancel", list.receptions[0].reception_id);
        desk.as_operator(&path, &json!({})).await;
        assert_eq!(answer(&desk, issue(&desk, "a place is free")).await.0, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn numbers_expire_and_the_operator_is_told_once() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        let mut sweep = Sweep::begin(START_MS);
        desk.manager.advance(Duration::from_millis(599_999));
        sweep.round(&desk.manager.app).await.unwrap();
        assert_eq!(desk.told().await, []);
        desk.manager.advance(Duration::from_millis(1));
        for _ in 0..2 {
            sweep.round(&desk.manager.app).await.unwrap();
        }
        assert_eq!(desk.told().await, [Event::Expired { reception_id: reception.reception_id }]);
        let path = format!("/v1/receptions/{}/extend", reception.reception_id);
        assert_eq!(desk.as_operator(&path, &json!({})).await.error().code, ErrorCode::WrongState);
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_receptions_issued_total 1\n"), "{text}");
        assert!(text.contains("manager_receptions_closed_total{state=\"expired\"} 1\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_locator_rests_a_day_before_it_is_given_out_again() {
    on_both(|db| async move {
        let day_ms = 24 * 60 * 60 * 1000;
        let take = async |now_ms: i64| {
            let mut tx = db.begin().await.unwrap();
            let free = manager::reception::store::take_locator(&mut tx, "mac", now_ms + day_ms, now_ms).await.unwrap();
            tx.commit().await.unwrap();
            free
        };
        assert!(take(START_MS).await);
        assert!(!take(START_MS + day_ms - 1).await);
        assert!(take(START_MS + day_ms).await);
        assert!(!take(START_MS + day_ms + 1).await);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_issued_is_refused_by_name() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let key = "0a".repeat(32);
        for (body, names) in [
            (json!({ "proof_key": "0a" }), "proof_key"),
            (json!({ "proof_key": key, "life_secs": 59 }), "life_secs"),
            (json!({ "proof_key": key, "life_secs": 3601 }), "life_secs"),
            (json!({ "proof_key": key, "reason": "x".repeat(301) }), "reason"),
            (json!({ "proof_key": key, "reason": "a\u{0}b" }), "reason"),
        ] {
            let refusal = desk.as_operator("/v1/receptions", &body).await.error();
            assert_eq!(refusal.code, ErrorCode::BadRequest);
            assert!(refusal.message.contains(names), "{}", refusal.message);
        }
        assert_eq!(desk.manager.post("/v1/receptions", None, "{}").await.status, StatusCode::UNAUTHORIZED);
    })
    .await;
}
