//! How many numbers two managers issue and let enter in a second, each entered by two customers at once.
//!
//!     cargo bench --profile server -p uketsuke-manager --bench receptions -- [--numbers N] [--at-once N] [--connections N]
//!
//! Both managers are in this process, called without a network, on one database: SQLite, and PostgreSQL when
//! `UKETSUKE_TEST_POSTGRES` names a server, with six connections each. Each operator issues as many numbers as one may have
//! open, one after the other, each at one manager and entered at both at the same time; that is what is measured first. Then
//! their sessions are proved and ended, which the second figure includes. Whoever loses is refused at once here, and may
//! lose as often as it likes; a server makes them wait, and listens to none who loses every time. A rate counts the issue
//! and the entry that wins; the company has no webhooks.
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
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use manager::{
    app::os_rng,
    bearer::BearerToken,
    config::Config,
    db::{Db, url::DatabaseUrl},
    execute,
    login::password::NewPassword,
    operator::{self, store::NewOperator},
    relays,
    role::Role,
};
use ops::config::Span;
use proto::{
    api::reception::{EnterAnswer, ReceptionBody},
    limits,
};
use serde_json::json;
use testing::{Manager, PASSWORD, START_MS, config};

#[tokio::main]
async fn main() {
    let (numbers, at_once) = (flag("--numbers", 4_000), flag("--at-once", 32));
    let connections = flag("--connections", CONNECTIONS);
    testing::on_both(async |db| measure(db, numbers, at_once, u32::try_from(connections).unwrap()).await).await;
}

fn flag(name: &str, default: usize) -> usize {
    let given: Vec<String> = std::env::args().collect();
    let value = given.iter().position(|text| text == name).and_then(|at| given.get(at + 1));
    value.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Numbers that an operator may have open.
const PLACES: usize = limits::RECEPTIONS_OPEN_MAX as usize;

/// Connections of each manager to PostgreSQL. More of them only stand in line at the head of the log, on two cores.
const CONNECTIONS: usize = 6;

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

async fn measure(db: Db, numbers: usize, at_once: usize, connections: u32) {
    let own = [connected(&db, connections).await, connected(&db, connections).await];
    let managers = Arc::new(own.clone().map(|db| Manager::with(db, patient())));
    let operators = operators(&managers[0], &db, numbers.div_ceil(PLACES)).await;
    let (count, twice) = (operators.len() * PLACES, Arc::new(AtomicU32::new(0)));

    let begun = Instant::now();
    let entered = at_desks(at_once, operators, |desk, token: Arc<str>| {
        let (managers, twice) = (Arc::clone(&managers), Arc::clone(&twice));
        async move {
            let mut entered = Vec::new();
            for _ in 0..PLACES {
                entered.push(enter(&managers, desk, &token, &twice).await);
            }
            (token, entered)
        }
    })
    .await;
    let entering = begun.elapsed().as_secs_f64();
    let mut times: Vec<_> = entered.iter().flat_map(|(_, entered)| entered.iter().map(|(_, took)| *took)).collect();

    let begun = Instant::now();
    at_desks(at_once, entered, |desk, (token, entered): (Arc<str>, Vec<_>)| {
        let managers = Arc::clone(&managers);
        async move {
            for (session, _) in &entered {
                end(&managers, desk, &token, session).await;
            }
        }
    })
    .await;
    let ending = begun.elapsed().as_secs_f64();

    times.sort();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1000.0;
    let rate = |each: usize, seconds: f64| (each * count) as f64 / seconds;
    println!(
        "{db:?}: {count} numbers: {:.0} issued and entered a second, the entry that loses beside it; with proof and end {:.0}, in \
         {:.0} requests a second; from issue to entry p50 {:.1} ms, p99 {:.1} ms; won twice: {}",
        rate(2, entering),
        rate(2, entering + ending),
        rate(5, entering + ending),
        at(50),
        at(99),
        twice.load(Ordering::Relaxed)
    );
    if let Db::Postgres(_) = db {
        for own in own {
            own.close().await;
        }
    }
}

/// The database with so many connections of a manager's own.
async fn connected(db: &Db, connections: u32) -> Db {
    let Db::Postgres(pool) = db else { return db.clone() };
    let url = DatabaseUrl::Postgres(Box::new(pool.connect_options().as_ref().clone()));
    Db::open(&url, connections).await.unwrap()
}

/// The tokens of so many operators of one company, and a relay for their sessions.
async fn operators(manager: &Manager, db: &Db, count: usize) -> Vec<Arc<str>> {
    let company_id = manager.company("acme").await;
    let (_, token) = relays::enroll(db, "relay1", START_MS).await.unwrap();
    let alive = json!({
        "address": "relay1.example.jp:443", "spki": "ab".repeat(32), "version": "0.1.0", "draining": false,
        "free_sessions": 100_000, "sessions": [],
    });
    let heard = manager.post("/v1/relay/heartbeat", Some(token.reveal()), &alive.to_string()).await;
    assert_eq!(heard.status, StatusCode::OK, "{:?}", heard.body);
    let password_hash = NewPassword::parse(PASSWORD, 20).unwrap().hash(&mut os_rng()).unwrap();
    let mut tokens = Vec::new();
    for number in 0..count {
        let (user_id, name) = (format!("operator{number}").parse().unwrap(), "山田 太郎".parse().unwrap());
        let new = NewOperator { company_id, user_id, name, password_hash: password_hash.clone(), role: Role::Operator };
        let token = BearerToken::random(&mut os_rng());
        let mut tx = db.begin().await.unwrap();
        let operator_id = operator::store::create(&mut tx, &new, START_MS).await.unwrap();
        execute!(
            &mut tx,
            "INSERT INTO logins (token_hash, operator_id, created_at_ms, used_at_ms, expires_at_ms)
            VALUES ($1, $2, $3, $3, $4)",
            token.hash().as_str(),
            operator_id.to_string(),
            START_MS,
            START_MS + 3_600_000
        )
        .unwrap();
        tx.commit().await.unwrap();
        tokens.push(Arc::from(token.reveal()));
    }
    tokens
}

/// Does something with each of `all`, so many at once.
async fn at_desks<T, R, F>(at_once: usize, all: Vec<T>, each: impl Fn(i64, T) -> F) -> Vec<R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let (mut running, mut done) = (tokio::task::JoinSet::new(), Vec::new());
    for (desk, one) in (0..).zip(all) {
        if at_once <= running.len() {
            done.push(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(each(desk, one));
    }
    while let Some(one) = running.join_next().await {
        done.push(one.unwrap());
    }
    done
}

/// Both managers, beginning with the one of this operator.
fn in_turn(managers: &[Manager; 2], desk: i64) -> [&Manager; 2] {
    let [one, other] = managers;
    if desk % 2 == 0 { [one, other] } else { [other, one] }
}

/// Issues a number and lets two enter it at once: the session of the one who won, and how long it took until both were
/// answered.
async fn enter(managers: &[Manager; 2], desk: i64, token: &str, twice: &AtomicU32) -> (String, Duration) {
    let begun = Instant::now();
    let [here, there] = in_turn(managers, desk);
    let body = json!({ "proof_key": hex::encode([0x0a; 32]), "reason": "プリンター" }).to_string();
    let issued = here.send(Method::POST, "/v1/receptions", Some(token), &source(desk), Body::from(body)).await;
    let reception: ReceptionBody = issued.json();
    let body = json!({ "locator": reception.locator, "proof_key": hex::encode([0x0c; 32]) }).to_string();
    let (first, second) = (source(100_000 + desk), source(200_000 + desk));
    let (one, other) = tokio::join!(
        here.send(Method::POST, "/v1/enter", None, &first, Body::from(body.clone())),
        there.send(Method::POST, "/v1/enter", None, &second, Body::from(body)),
    );
    let took = begun.elapsed();
    let won = [&one, &other].into_iter().filter(|answer| answer.status.is_success()).count();
    assert_ne!(won, 0, "{:?} {:?}", one.body, other.body);
    if 1 < won {
        twice.fetch_add(1, Ordering::Relaxed);
    }
    let winner: EnterAnswer = if one.status.is_success() { one.json() } else { other.json() };
    (winner.pairing.session_id.to_string(), took)
}

/// Proves and ends a session: an entry that is not proved would open the number again.
async fn end(managers: &[Manager; 2], desk: i64, token: &str, session: &str) {
    let ends = [("proved", json!({})), ("end", json!({ "reason": "operator_ended" }))];
    for (verb, body) in ends {
        let path = format!("/v1/sessions/{session}/{verb}");
        let said = in_turn(managers, desk)[0]
            .send(Method::POST, &path, Some(token), &source(desk), Body::from(body.to_string()))
            .await;
        assert!(said.status.is_success(), "{verb}: {:?}", said.body);
    }
}

fn source(number: i64) -> String {
    format!("198.{}.{}.{}", 18 + number / 65_536, number / 256 % 256, number % 256)
}
