//! The operator's stream of events.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode, header},
};
use futures_util::StreamExt as _;
use manager::events;
use proto::api::reception::Event;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    session::Desk,
    testing::{Manager, START_MS, on_both},
};

/// An open stream.
struct Listening {
    body: BodyDataStream,
    text: String,
}

impl Listening {
    async fn open(manager: &Manager, token: &str, last: Option<&str>) -> Self {
        let response = manager.respond(request(token, last)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event with its number; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Event)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                    return Some((id.to_owned(), serde_json::from_str(data).unwrap()));
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.body.next()).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}

fn request(token: &str, last: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri("/v1/events").header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    request.body(Body::empty()).unwrap()
}

/// Makes one event and gives it.
async fn cancelled(desk: &Desk) -> Event {
    let reception_id = desk.issue().await.reception_id;
    let answer = desk.as_operator(&format!("/v1/receptions/{reception_id}/cancel"), &json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
    Event::Cancelled { reception_id }
}

#[tokio::test]
async fn a_resumed_stream_gives_every_event_once() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let token = desk.operator.token.as_str();
        let mut expected = vec![cancelled(&desk).await];
        let mut found = Vec::new();
        let mut last: Option<String> = None;
        for round in 0..4 {
            let mut listening = Listening::open(&desk.manager, token, last.as_deref()).await;
            for _ in 0..round {
                expected.push(cancelled(&desk).await);
            }
            while found.len() < expected.len() {
                let (id, event) = listening.next().await.unwrap();
                found.push(event);
                last = Some(id);
            }
            drop(listening);
            expected.push(cancelled(&desk).await);
        }
        let mut listening = Listening::open(&desk.manager, token, last.as_deref()).await;
        found.push(listening.next().await.unwrap().1);
        assert_eq!(found, expected);
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_event_streams 1\n"), "{text}");
        drop(listening);
        assert!(desk.manager.app.metrics.registry.text().contains("manager_event_streams 0\n"));
    })
    .await;
}

#[tokio::test]
async fn a_stream_without_a_number_begins_at_its_login() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        cancelled(&desk).await;
        desk.manager.advance(Duration::from_secs(1));
        let again: proto::api::login::LoginAnswer =
            desk.manager.login("acme", "yamada", crate::testing::PASSWORD).await.json();
        let first = cancelled(&desk).await;
        let mut listening = Listening::open(&desk.manager, &again.token, None).await;
        assert_eq!(listening.next().await.unwrap().1, first);
        let next = cancelled(&desk).await;
        assert_eq!(listening.next().await.unwrap().1, next);
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_when_its_login_is_revoked() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let mut listening = Listening::open(&desk.manager, &desk.operator.token, None).await;
        desk.manager.post("/v1/logout", Some(&desk.operator.token), "").await;
        desk.manager.app.events.wake(desk.operator.operator_id);
        assert_eq!(listening.next().await, None);
    })
    .await;
}

#[tokio::test]
async fn events_reach_a_stream_at_another_manager() {
    on_both(|db| async {
        let desk = Desk::open(db.clone()).await;
        let other = Manager::new(db);
        let stop = CancellationToken::new();
        let running = tokio::spawn(events::run(other.app.clone(), stop.clone()));
        let mut listening = Listening::open(&other, &desk.operator.token, None).await;
        for _ in 0..3 {
            let event = cancelled(&desk).await;
            assert_eq!(listening.next().await.unwrap().1, event);
        }
        stop.cancel();
        running.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn streams_of_one_operator_are_bounded() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let mut open = Vec::new();
        for _ in 0..8 {
            open.push(Listening::open(&desk.manager, &desk.operator.token, None).await);
        }
        let refused = desk.manager.respond(request(&desk.operator.token, None)).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        open.pop();
        Listening::open(&desk.manager, &desk.operator.token, None).await;
        let wrong = desk.manager.respond(request(&desk.operator.token, Some("-1"))).await;
        assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
        assert_eq!(desk.manager.respond(request("nobody", None)).await.status(), StatusCode::UNAUTHORIZED);
    })
    .await;
}

#[tokio::test]
async fn old_events_are_forgotten_and_the_numbers_go_on() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        cancelled(&desk).await;
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        assert_eq!(events::store::forget(&mut tx, START_MS + 1).await.unwrap(), 1);
        tx.commit().await.unwrap();
        cancelled(&desk).await;
        let rows = events::store::after(&desk.manager.app.db, desk.operator.operator_id, 0, 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [2]);
    })
    .await;
}
