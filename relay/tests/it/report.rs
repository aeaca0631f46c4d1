//! Heartbeats, reports, keys and revocations, with something that answers like a manager.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use ops::{clock::Clock, shutdown::Shutdown, tls, web};
use proto::{
    api::{
        error::{ErrorBody, ErrorCode},
        relay::{
            HEARTBEAT, HeartbeatAnswer, HeartbeatRequest, REPORT, ReportAnswer, ReportEvent, ReportRequest, ReportWhat,
            TicketKey,
        },
    },
    close::CloseReason,
    hello::RelayWord,
    id::SessionId,
    role::Role,
    ticket::SigningKey,
};
use relay::config::Config;
use tokio::net::TcpListener;

use crate::world::{World, config};

/// What the answering side knows and was told.
#[derive(Default)]
struct Desk {
    heartbeats: Vec<HeartbeatRequest>,
    events: Vec<ReportEvent>,
    revoked: Vec<SessionId>,
    /// Pause between heartbeats that is asked for.
    next_secs: u32,
    /// Reports that are refused before one is stored.
    refusals: u32,
    /// Calls that name this session are refused for good.
    never: Option<SessionId>,
}

type Shared = Arc<Mutex<Desk>>;

async fn heartbeat(State(desk): State<Shared>, Json(request): Json<HeartbeatRequest>) -> Json<HeartbeatAnswer> {
    let mut desk = desk.lock().unwrap();
    let now_ms = Clock::system().now_ms();
    desk.heartbeats.push(request);
    let key = SigningKey::from_seed("test", [7; 32]).unwrap().verifying_key();
    let ticket_keys = vec![TicketKey { key_id: key.key_id().to_owned(), public_key: key.to_hex() }];
    Json(HeartbeatAnswer { ticket_keys, revoked: desk.revoked.clone(), now_ms, next_secs: desk.next_secs })
}

async fn report(
    State(desk): State<Shared>,
    Json(request): Json<ReportRequest>,
) -> Result<Json<ReportAnswer>, (StatusCode, Json<ErrorBody>)> {
    let mut desk = desk.lock().unwrap();
    let refuse = |status, code| {
        let body = ErrorBody { code, message: "no".to_owned(), retry_after_secs: None };
        Err((status, Json(body)))
    };
    if 0 < desk.refusals {
        desk.refusals -= 1;
        return refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy);
    }
    if request.events.iter().any(|event| Some(event.session_id) == desk.never) {
        return refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest);
    }
    let stored_seq = request.events.last().unwrap().seq;
    desk.events.extend(request.events);
    Ok(Json(ReportAnswer { stored_seq }))
}

/// A relay without keys of its own, and the desk it reports to.
async fn start() -> (World, Shared, Shutdown) {
    start_with(config(), 1).await
}

/// The desk asks for this pause between heartbeats.
async fn start_with(own: Config, next_secs: u32) -> (World, Shared, Shutdown) {
    start_by(own, next_secs, Clock::system()).await
}

async fn start_by(own: Config, next_secs: u32, clock: Clock) -> (World, Shared, Shutdown) {
    link::tls::install_provider();
    let desk: Shared = Arc::new(Mutex::new(Desk { next_secs, ..Desk::default() }));
    let authority = tls::authority().unwrap();
    let files = authority.issue(&["127.0.0.1"]).unwrap();
    let certificate =
        Arc::new(tls::Certificate::from_pem(files.cert_pem.as_bytes(), files.key_pem.as_bytes()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route(HEARTBEAT, post(heartbeat)).route(REPORT, post(report)).with_state(Arc::clone(&desk));
    let stop = Shutdown::new();
    let tls = tls::web_config(certificate).unwrap();
    tokio::spawn(web::serve_tls(listener, tls, app, web::Limits::private(), stop.clone()));

    let folder = tempfile::tempdir().unwrap();
    let (ca, token) = (folder.path().join("ca.pem"), folder.path().join("token"));
    std::fs::write(&ca, authority.ca_pem()).unwrap();
    std::fs::write(&token, "secret\n").unwrap();
    let config = Config {
        ticket_keys: Vec::new(),
        manager: Some(format!("https://{address}")),
        manager_ca_file: Some(ca),
        token_file: Some(token),
        ..own
    };
    (World::start_by(config, clock).await, desk, stop)
}

#[tokio::test]
async fn keys_come_by_heartbeat_and_a_session_is_reported_once_from_join_to_end() {
    let (world, desk, stop) = start().await;
    desk.lock().unwrap().refusals = 1;
    world.until_metric("relay_heartbeats_total{result=\"ok\"}", 1.0).await;

    let (mut customer, mut operator) = world.pair(1).await;
    customer.send(proto::frame::Lane::Screen, vec![1; 500]).await;
    operator.next().await.unwrap();
    customer.connection.farewell().await;
    operator.last_word().await;
    world.until("every report is stored", |_| desk.lock().unwrap().events.len() == 4).await;

    let what: Vec<_> = desk.lock().unwrap().events.iter().map(|event| (event.seq, event.what.clone())).collect();
    let ended = ReportWhat::Ended { reason: CloseReason::CustomerEnded, customer_bytes: 500, operator_bytes: 0 };
    assert_eq!(
        what,
        [
            (1, ReportWhat::Joined { role: Role::Customer }),
            (2, ReportWhat::Joined { role: Role::Operator }),
            (3, ReportWhat::Paired),
            (4, ended),
        ]
    );
    let first = desk.lock().unwrap().heartbeats.first().cloned().unwrap();
    assert_eq!((first.spki, first.draining), (world.relay.spki(), false));
    world.stop().await;
    stop.force();
}

#[tokio::test]
async fn a_relay_whose_clock_is_more_than_a_minute_off_the_managers_is_not_ready_until_it_is_right() {
    let clock = Clock::manual(Clock::system().now_ms() - 90_000);
    let (world, _desk, stop) = start_by(config(), 1, clock.clone()).await;

    world.until_readiness("not ready: clock").await;
    let offset_secs = world.metric("relay_clock_offset_seconds");
    assert!((89.0..120.0).contains(&offset_secs), "{offset_secs}");
    // Whoever comes with a good ticket is served all the same.
    world.pair(1).await;

    clock.advance(Duration::from_mins(1));
    world.until_readiness("ready").await;
    assert!(world.metric("relay_clock_offset_seconds") < 60.0);
    clock.advance(Duration::from_mins(2));
    world.until_readiness("not ready: clock").await;
    assert!(world.metric("relay_clock_offset_seconds") < -60.0);
    world.stop().await;
    stop.force();
}

#[tokio::test]
async fn a_relay_that_never_heard_a_manager_takes_its_own_clock_for_right() {
    let world = World::start_by(config(), Clock::manual(1_000)).await;

    world.until_readiness("ready").await;
    world.stop().await;
}

#[tokio::test]
async fn a_revoked_session_is_ended_on_both_sides() {
    let (world, desk, stop) = start().await;
    world.until_metric("relay_heartbeats_total{result=\"ok\"}", 1.0).await;
    let (mut customer, mut operator) = world.pair(1).await;

    desk.lock().unwrap().revoked.push(SessionId::from_bytes([1; 16]));

    let word = Some(RelayWord::Refused(CloseReason::Revoked));
    assert_eq!(customer.last_word().await, word);
    assert_eq!(operator.last_word().await, word);
    world.stop().await;
    stop.force();
}

#[tokio::test]
async fn a_relay_goes_on_with_its_keys_when_the_manager_is_gone() {
    let (world, desk, stop) = start().await;
    world.until_metric("relay_heartbeats_total{result=\"ok\"}", 1.0).await;
    stop.force();
    world.until_metric("relay_heartbeats_total{result=\"failed\"}", 1.0).await;

    let (mut customer, mut operator) = world.pair(1).await;
    customer.send(proto::frame::Lane::Input, b"still".to_vec()).await;

    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"still");
    assert!(desk.lock().unwrap().events.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_new_key_of_the_relay_is_told_at_once() {
    let files = crate::swap::Files::new();
    let (world, desk, stop) = start_with(files.config(), 600).await;
    let before = world.relay.spki();
    world.until_metric("relay_heartbeats_total{result=\"ok\"}", 1.0).await;

    files.renew();
    assert!(world.relay.renew_certificate().unwrap());

    let after = world.relay.spki();
    assert_ne!(before, after);
    let last = |desk: &Shared| desk.lock().unwrap().heartbeats.last().map(|heartbeat| heartbeat.spki.clone());
    world.until("the manager knows the new key", |_| last(&desk).as_ref() == Some(&after)).await;
    world.stop().await;
    stop.force();
}

#[tokio::test]
async fn a_report_that_is_refused_for_good_is_dropped_and_counted_and_the_others_arrive() {
    let (world, desk, stop) = start().await;
    world.until_metric("relay_heartbeats_total{result=\"ok\"}", 1.0).await;
    desk.lock().unwrap().never = Some(SessionId::from_bytes([1; 16]));

    let _refused = world.join(Role::Customer, 1).await;
    let _taken = world.join(Role::Customer, 2).await;

    world.until_metric("relay_reports_dropped_total{reason=\"refused\"}", 1.0).await;
    world.until("the other report is stored", |_| !desk.lock().unwrap().events.is_empty()).await;
    let stored: Vec<_> = desk.lock().unwrap().events.iter().map(|event| event.session_id).collect();
    assert_eq!(stored, [SessionId::from_bytes([2; 16])]);
    world.stop().await;
    stop.force();
}
