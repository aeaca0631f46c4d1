//! How many numbers two managers issue and let enter in a second, each entered by two customers at once.
//!
//!     cargo bench --profile server -p uketsuke-manager --bench receptions -- [--numbers N] [--at-once N]
//!
//! Both managers are in this process, called without a network, on one database: SQLite, and PostgreSQL when
//! `UKETSUKE_TEST_POSTGRES` names a server. A number is issued at one manager, entered at both at the same time, and its
//! session ended by the operator. Whoever loses is refused at once here, and may lose as often as it likes; a server makes
//! them wait, and listens to none who loses every time.
#![expect(
    clippy::unwrap_used,
    clippy::doc_markdown,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench ends at the first thing that does not work, prints what it measured, and uses the tests' harness"
)]

#[path = "../../tests/it/testing.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod testing;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use manager::{config::Config, db::Db, relays};
use ops::config::Span;
use proto::api::{login::LoginAnswer, reception::EnterAnswer, reception::ReceptionBody};
use serde_json::json;
use testing::{Manager, PASSWORD, START_MS, config};

#[tokio::main]
async fn main() {
    let (numbers, at_once) = (flag("--numbers", 4_000), flag("--at-once", 32));
    testing::on_both(async |db| measure(db, numbers, at_once).await).await;
}

fn flag(name: &str, default: i64) -> i64 {
    let given: Vec<String> = std::env::args().collect();
    let value = given.iter().position(|text| text == name).and_then(|at| given.get(at + 1));
    value.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Refuses at once, and nobody for having been refused or having issued before.
fn patient() -> Config {
    config(|config| {
        config.reception.issued_per_hour_max = NonZeroU32::MAX;
        config.reception.issued_per_day_max = NonZeroU32::MAX;
        let session = &mut config.session;
        session.refusal_time = Span::secs(0);
        for most in [
            &mut session.wrong_per_5_minutes_max,
            &mut session.wrong_per_hour_max,
            &mut session.wrong_per_day_max,
            &mut session.wrong_soft_max,
            &mut session.wrong_hard_max,
        ] {
            *most = NonZeroU32::MAX;
        }
    })
}

async fn measure(db: Db, numbers: i64, at_once: i64) {
    let managers = Arc::new([Manager::with(db.clone(), patient()), Manager::with(db.clone(), patient())]);
    let company_id = managers[0].company("acme").await;
    let (_, token) = relays::enroll(&db, "relay1", START_MS).await.unwrap();
    let alive = json!({
        "address": "relay1.example.jp:443", "spki": "ab".repeat(32), "version": "0.1.0", "draining": false,
        "free_sessions": 100_000, "sessions": [],
    });
    let heard = managers[0].post("/v1/relay/heartbeat", Some(token.reveal()), &alive.to_string()).await;
    assert_eq!(heard.status, StatusCode::OK, "{:?}", heard.body);
    let mut operators = Vec::new();
    for number in 0..at_once {
        managers[0].operator(company_id, &format!("operator{number}")).await;
        let body = json!({ "company": "acme", "user": format!("operator{number}"), "password": PASSWORD }).to_string();
        let answer = managers[0].send(Method::POST, "/v1/login", None, &source(number), Body::from(body)).await;
        operators.push(answer.json::<LoginAnswer>().token);
    }

    let (left, twice) = (Arc::new(AtomicI64::new(numbers)), Arc::new(AtomicU32::new(0)));
    let begun = Instant::now();
    let desks: Vec<_> = (0..)
        .zip(operators)
        .map(|(desk, token)| {
            let (managers, left, twice) = (Arc::clone(&managers), Arc::clone(&left), Arc::clone(&twice));
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    if left.fetch_sub(1, Ordering::Relaxed) <= 0 {
                        break;
                    }
                    times.push(one(&managers, desk, &token, &twice).await);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for desk in desks {
        times.extend(desk.await.unwrap());
    }
    let took = begun.elapsed().as_secs_f64();
    times.sort();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1000.0;
    println!(
        "{db:?}: {} numbers in {took:.1} s: {:.0} issued and entered a second, with the other entry, the proof and the end {:.0} \
         requests a second; from issue to entry p50 {:.1} ms, p99 {:.1} ms; won twice: {}",
        times.len(),
        2.0 * times.len() as f64 / took,
        5.0 * times.len() as f64 / took,
        at(50),
        at(99),
        twice.load(Ordering::Relaxed)
    );
}

/// One number from its issue to the end of its session; how long until both entries were answered.
async fn one(managers: &[Manager; 2], desk: i64, token: &str, twice: &AtomicU32) -> Duration {
    let begun = Instant::now();
    let [here, there] = managers;
    let body = json!({ "proof_key": hex::encode([0x0a; 32]), "reason": "プリンター" }).to_string();
    let issued = here.send(Method::POST, "/v1/receptions", Some(token), &source(desk), Body::from(body)).await;
    let reception: ReceptionBody = issued.json();
    let body = json!({ "locator": reception.locator, "proof_key": hex::encode([0x0c; 32]) }).to_string();
    let (first, second) = (source(1_000 + desk), source(2_000 + desk));
    let (one, other) = tokio::join!(
        here.send(Method::POST, "/v1/enter", None, &first, Body::from(body.clone())),
        there.send(Method::POST, "/v1/enter", None, &second, Body::from(body)),
    );
    let took = begun.elapsed();
    let won = [&one, &other].into_iter().filter(|answer| answer.status.is_success()).count();
    if won != 1 {
        twice.fetch_add(1, Ordering::Relaxed);
    }
    let winner: EnterAnswer = if one.status.is_success() { one.json() } else { other.json() };
    // An entry that is not proved would open the number again.
    let ends = [("proved", json!({})), ("end", json!({ "reason": "operator_ended" }))];
    for (verb, body) in ends {
        let path = format!("/v1/sessions/{}/{verb}", winner.pairing.session_id);
        let said = here.send(Method::POST, &path, Some(token), &source(desk), Body::from(body.to_string())).await;
        assert!(said.status.is_success(), "{verb}: {:?}", said.body);
    }
    took
}

fn source(number: i64) -> String {
    format!("198.{}.{}.{}", 18 + number / 65_536, number / 256 % 256, number % 256)
}
