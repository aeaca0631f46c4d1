//! What a crowd costs: event streams that wait, and how long others wait for their pages while logins pour in.
//!
//!     cargo bench --profile server -p uketsuke-manager --bench crowd -- [--streams N] [--seconds N] [--at-once N]
//!
//! The manager is in this process, called without a network, on SQLite and on PostgreSQL when `UKETSUKE_TEST_POSTGRES`
//! names a server. Memory is that of the whole process. Requests of others are due every 10 ms, and their times count from
//! then, so that waiting is not hidden; the flood is of wrong passwords from everywhere, as many at once as are given, with
//! the limits of attempts lifted, because those would end it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::assigning_clones,
    clippy::doc_markdown,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench ends at the first thing that does not work, prints what it measured, and uses the tests' harness"
)]

#[path = "../../tests/it/browser.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod browser;
#[path = "../../tests/it/testing.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod testing;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use browser::Browser;
use futures_util::StreamExt as _;
use manager::{db::Db, role::Role};
use proto::{api::login::LoginAnswer, id::CompanyId};
use serde_json::json;
use testing::{Manager, PASSWORD, config};
use tokio::task::JoinHandle;

/// What the streams may take together.
const STREAMS_KIB: usize = 50 * 1024;
/// What the others may wait during a flood, at the 99th percentile.
const OTHERS_P99: Duration = Duration::from_millis(100);
/// One request of others every so often.
const EVERY: Duration = Duration::from_millis(10);
/// Streams of one operator, as many as a manager allows.
const STREAMS_EACH: i64 = 4;
/// After this long every stream waits.
const SETTLED: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let (streams, seconds, at_once) = (flag("--streams", 500), flag("--seconds", 10), flag("--at-once", 64));
    testing::on_both(async |db| measure(db, streams, seconds, at_once).await).await;
}

fn flag(name: &str, default: i64) -> i64 {
    let given: Vec<String> = std::env::args().collect();
    let value = given.iter().position(|text| text == name).and_then(|at| given.get(at + 1));
    value.and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn measure(db: Db, streams: i64, seconds: i64, at_once: i64) {
    let unlimited = NonZeroU32::MAX;
    let manager = Arc::new(Manager::with(
        db.clone(),
        config(|config| {
            config.login.attempts_per_source_max = unlimited;
            config.login.attempts_max = unlimited;
        }),
    ));
    let company_id = manager.company("acme").await;
    manager.account(company_id, "admin", Role::CompanyAdmin).await;
    println!("\n== {db:?}");
    let tokens = operators(&manager, company_id, streams.div_euclid(STREAMS_EACH).max(1)).await;
    let before = resident_kib();
    let mut open = Vec::new();
    for number in 0..streams {
        let token = &tokens[usize::try_from(number).unwrap() % tokens.len()];
        open.push(stream(&manager, token).await);
    }
    // Each looks once whether there is something for it, and then waits.
    tokio::time::sleep(SETTLED).await;
    let more = resident_kib().saturating_sub(before);
    let verdict = if more < STREAMS_KIB { "" } else { "BEYOND" };
    println!("{streams} event streams: + {more} KiB of memory {verdict}");

    let browser = Browser::new(&manager);
    browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
    let seconds = Duration::from_secs(seconds.unsigned_abs());
    others("nobody else", &manager, &browser, &tokens[0], seconds).await;
    let (stop, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let flood: Vec<_> = (0..at_once)
        .map(|number| tokio::spawn(guess(Arc::clone(&manager), number, Arc::clone(&stop), Arc::clone(&tried))))
        .collect();
    let begun = Instant::now();
    others("a flood of logins", &manager, &browser, &tokens[0], seconds).await;
    stop.store(true, Ordering::Relaxed);
    for guesser in flood {
        guesser.await.unwrap();
    }
    assert!(open.iter().all(|stream| !stream.is_finished()), "a stream ended");
    for stream in open {
        stream.abort();
    }
    println!("{:.0} wrong logins a second", tried.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64());
}

/// Accounts that are logged in.
async fn operators(manager: &Manager, company_id: CompanyId, count: i64) -> Vec<String> {
    let mut tokens = Vec::new();
    for number in 0..count {
        let user = format!("operator{number}");
        manager.operator(company_id, &user).await;
        tokens.push(manager.login("acme", &user, PASSWORD).await.json::<LoginAnswer>().token);
    }
    tokens
}

/// Opens a stream and reads it to its end, as a connection does.
async fn stream(manager: &Manager, token: &str) -> JoinHandle<()> {
    let request = Request::builder().uri("/v1/events").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = manager.respond(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut stream = response.into_body().into_data_stream();
    tokio::spawn(async move { while stream.next().await.is_some() {} })
}

/// Asks for pages and for what tools ask for, in turn.
async fn others(beside: &str, manager: &Manager, browser: &Browser<'_>, token: &str, seconds: Duration) {
    let begun = tokio::time::Instant::now();
    let mut times = Vec::new();
    for number in 0.. {
        let due = begun + EVERY * number;
        if seconds <= due.duration_since(begun) {
            break;
        }
        tokio::time::sleep_until(due).await;
        if number % 2 == 0 {
            assert_eq!(browser.get("/operators").await.status, StatusCode::OK);
        } else {
            assert_eq!(manager.get("/v1/receptions", Some(token)).await.status, StatusCode::OK);
        }
        times.push(due.elapsed());
    }
    times.sort();
    let at = |share: usize| times[times.len() * share / 100];
    let verdict = if at(99) <= OTHERS_P99 { "" } else { "LATE" };
    println!(
        "beside {beside}: {} requests, p50 {:.1} ms, p99 {:.1} ms {verdict}",
        times.len(),
        at(50).as_secs_f64() * 1000.0,
        at(99).as_secs_f64() * 1000.0
    );
}

/// Guesses passwords without end, each from another address.
async fn guess(manager: Arc<Manager>, first: i64, stop: Arc<AtomicBool>, tried: Arc<AtomicU64>) {
    for number in 0i64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let source = format!("198.18.{}.{}", first % 256, number % 256);
        let body =
            json!({ "company": "acme", "user": format!("nobody{first}-{number}"), "password": "Wrong-Horse-42" });
        let answer = manager.send(Method::POST, "/v1/login", None, &source, Body::from(body.to_string())).await;
        assert!(!answer.status.is_success());
        tried.fetch_add(u64::from(answer.status == StatusCode::UNAUTHORIZED), Ordering::Relaxed);
    }
}

/// Memory of this process, from `/proc/self/statm`.
fn resident_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4
}
