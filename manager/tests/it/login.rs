//! Logging in through the router, on both engines.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use manager::{
    execute, fetch_one, login,
    operator::{self, UserId},
};
use proto::api::{error::ErrorCode, login::LoginAnswer};

use crate::testing::{Answer, Manager, PASSWORD, START_MS, at_once, config, count, on_both};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn an_operator_logs_in_and_out() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let login = manager.logged_in().await;

        assert_eq!(login.token.len(), 43);
        assert_eq!(login.expires_at_ms, START_MS + 12 * 60 * 60 * 1000);
        assert_eq!(login.company_name, "株式会社サンプル");
        assert_eq!(login.operator_name, "山田 太郎");
        assert_eq!(logout(&manager, &login.token).await.status, StatusCode::NO_CONTENT);
        assert_eq!(logout(&manager, &login.token).await.error().code, ErrorCode::NotLoggedIn);
    })
    .await;
}

#[tokio::test]
async fn a_hash_that_is_made_otherwise_now_is_made_anew_at_the_next_login() {
    use argon2::{
        Algorithm, Argon2, Params, Version,
        password_hash::{PasswordHasher as _, SaltString},
    };

    on_both(|db| async {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let operator_id = manager.operator(company_id, "yamada").await.to_string();
        let weaker = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let salt = SaltString::from_b64("c2FsdHNhbHQ").unwrap();
        let old = weaker.hash_password(PASSWORD.as_bytes(), &salt).unwrap();
        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(
            &mut tx,
            "UPDATE operators SET password_hash = $2 WHERE operator_id = $1",
            &operator_id,
            old.to_string()
        )
        .unwrap();
        tx.commit().await.unwrap();
        let stored = async || {
            let mut tx = manager.app.db.read().await.unwrap();
            let row = fetch_one!(
                &mut tx,
                (String,),
                "SELECT password_hash FROM operators WHERE operator_id = $1",
                &operator_id
            );
            row.unwrap().0
        };

        assert!(!manager.login("acme", "yamada", "Wrong-Horse-42").await.status.is_success());
        assert_eq!(stored().await, old.to_string(), "only the right password can be hashed anew");
        assert!(manager.login("acme", "yamada", PASSWORD).await.status.is_success());
        let renewed = stored().await;
        assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{renewed}");
        assert!(manager.login("acme", "yamada", PASSWORD).await.status.is_success());
        assert_eq!(stored().await, renewed, "and then it stays");
    })
    .await;
}

#[tokio::test]
async fn what_was_typed_around_the_company_code_does_not_matter() {
    on_both(|db| async {
        let manager = Manager::new(db);
        manager.logged_in().await;

        assert_eq!(manager.login(" ACME ", " yamada ", PASSWORD).await.status, StatusCode::OK);
        assert_eq!(manager.login("acme", "Yamada", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    })
    .await;
}

#[tokio::test]
async fn every_failed_login_reads_the_same() {
    on_both(|db| async {
        let manager = Manager::with(db, config(|config| config.login.attempts_per_source_max = count(1000)));
        let company_id = manager.company("acme").await;
        for user in ["open", "locked", "stopped"] {
            manager.operator(company_id, user).await;
        }
        for _ in 0..10 {
            manager.login("acme", "locked", "wrong").await;
        }
        stop(&manager, "stopped").await;

        let attempts = [
            ("nowhere", "open", PASSWORD),
            ("acme", "nobody", PASSWORD),
            ("acme", "open", "wrong-password"),
            ("acme", "open", ""),
            ("acme", "locked", PASSWORD),
            ("acme", "stopped", PASSWORD),
            ("", "", ""),
            ("acme\0", "open", PASSWORD),
        ];
        let mut answers = Vec::new();
        let hashed = &manager.app.metrics.core.manager_password_hashes_total;
        for (company, user, password) in attempts {
            let before = hashed.get();
            answers.push(manager.login(company, user, password).await);
            assert_eq!(hashed.get() - before, 1, "as much work for {company} {user} as for any other");
        }

        let first = answers.first().unwrap();
        assert_eq!((first.status, first.error().code), (StatusCode::UNAUTHORIZED, ErrorCode::LoginFailed));
        for (answer, attempt) in answers.iter().zip(attempts) {
            assert_eq!(answer.status, first.status, "{attempt:?}");
            assert_eq!(answer.body, first.body, "{attempt:?}");
            let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(names(answer), names(first), "{attempt:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn ten_failures_lock_an_account_for_a_quarter_of_an_hour() {
    on_both(|db| async {
        let manager = Manager::new(db);
        manager.logged_in().await;

        for _ in 0..10 {
            assert_eq!(manager.login("acme", "yamada", "wrong").await.status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
        manager.advance(14 * MINUTE);
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
        manager.advance(MINUTE);
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn attempts_at_a_locked_account_do_not_keep_it_locked() {
    on_both(|db| async {
        let manager = Manager::new(db);
        manager.logged_in().await;
        for _ in 0..10 {
            manager.login("acme", "yamada", "wrong").await;
        }

        manager.advance(10 * MINUTE);
        manager.login("acme", "yamada", "wrong").await;
        manager.advance(5 * MINUTE);

        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_good_login_and_a_quiet_window_both_forget_failures() {
    on_both(|db| async {
        let manager = Manager::new(db);
        manager.logged_in().await;

        for _ in 0..3 {
            for _ in 0..9 {
                manager.login("acme", "yamada", "wrong").await;
            }
            assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
            manager.advance(5 * MINUTE);
        }
        for _ in 0..9 {
            manager.login("acme", "yamada", "wrong").await;
        }
        manager.advance(15 * MINUTE);
        manager.login("acme", "yamada", "wrong").await;
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn simultaneous_guesses_do_not_get_past_the_lock() {
    on_both(|db| async {
        let manager = Manager::with(db, config(|config| config.login.attempts_per_source_max = count(1000)));
        manager.logged_in().await;
        let manager = std::sync::Arc::new(manager);

        at_once(24, |_| {
            let manager = std::sync::Arc::clone(&manager);
            async move { manager.login("acme", "yamada", "wrong").await.status }
        })
        .await;

        let text = manager.app.metrics.registry.text();
        assert!(text.contains("manager_logins_total{result=\"wrong_password\"} 10"), "{text}");
        assert!(text.contains("manager_logins_total{result=\"locked\"} 14"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn the_command_line_unlocks_an_account() {
    on_both(|db| async {
        let manager = Manager::new(db);
        manager.logged_in().await;
        for _ in 0..10 {
            manager.login("acme", "yamada", "wrong").await;
        }

        let mut tx = manager.app.db.begin().await.unwrap();
        let (company, user) = ("acme".parse().unwrap(), "yamada".parse().unwrap());
        assert!(operator::store::unlock(&mut tx, &company, &user, START_MS).await.unwrap());
        tx.commit().await.unwrap();

        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn one_source_is_throttled_before_any_hashing_and_others_are_not() {
    on_both(|db| async {
        let manager = Manager::with(db, config(|config| config.login.attempts_per_source_max = count(5)));
        manager.logged_in().await;
        for user in ["a", "b", "c", "d", "e"] {
            assert_eq!(manager.login("acme", user, "wrong").await.status, StatusCode::UNAUTHORIZED);
        }

        let throttled = manager.login("acme", "yamada", PASSWORD).await;
        assert_eq!(throttled.error().code, ErrorCode::Throttled);
        assert_eq!(throttled.error().retry_after_secs, Some(300));
        assert_eq!(throttled.headers["retry-after"], "300");
        assert_eq!(from(&manager, "192.0.2.2").await, StatusCode::OK);
        assert_eq!(from(&manager, "::ffff:192.0.2.1").await, StatusCode::TOO_MANY_REQUESTS);

        manager.advance(5 * MINUTE);
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn good_logins_of_a_large_office_are_not_throttled() {
    on_both(|db| async {
        let manager = Manager::with(db, config(|config| config.login.attempts_per_source_max = count(2)));
        manager.logged_in().await;

        for _ in 0..5 {
            assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
        }
    })
    .await;
}

#[tokio::test]
async fn guessing_from_everywhere_is_throttled_together() {
    on_both(|db| async {
        let manager = Manager::with(db, config(|config| config.login.attempts_max = count(3)));
        manager.logged_in().await;
        for source in ["2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1"] {
            send(&manager, source, "acme", "nobody", "wrong").await;
        }

        assert_eq!(from(&manager, "2001:db8:4::1").await, StatusCode::TOO_MANY_REQUESTS);
    })
    .await;
}

#[tokio::test]
async fn a_full_hash_queue_says_busy_and_counts_no_failure() {
    on_both(|db| async {
        let manager = Manager::with(
            db,
            config(|config| {
                config.login.hash_parallel = std::num::NonZeroU16::MIN;
                config.login.hash_wait = ops::config::Span::new(Duration::from_millis(1));
            }),
        );
        manager.logged_in().await;

        let place = manager.app.hash_gate.enter().await.unwrap();
        for _ in 0..12 {
            assert_eq!(manager.login("acme", "yamada", PASSWORD).await.error().code, ErrorCode::Busy);
        }
        drop(place);

        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_login_ends_by_age_by_idleness_and_by_stopping_the_operator() {
    on_both(|db| async {
        let manager = Manager::with(
            db,
            config(|config| {
                config.login.life = ops::config::Span::secs(3600);
                config.login.idle = ops::config::Span::secs(1200);
            }),
        );
        let aged = manager.logged_in().await;
        for _ in 0..3 {
            manager.advance(15 * MINUTE);
            assert!(is_valid(&manager, &aged).await);
        }
        manager.advance(15 * MINUTE);
        assert!(!is_valid(&manager, &aged).await);

        let idle: LoginAnswer = manager.login("acme", "yamada", PASSWORD).await.json();
        manager.advance(20 * MINUTE);
        assert!(!is_valid(&manager, &idle).await);

        let stopped: LoginAnswer = manager.login("acme", "yamada", PASSWORD).await.json();
        assert!(is_valid(&manager, &stopped).await);
        stop(&manager, "yamada").await;
        assert!(!is_valid(&manager, &stopped).await);
    })
    .await;
}

#[tokio::test]
async fn tokens_that_are_none_are_not_logged_in() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let login = manager.logged_in().await;

        let long = "x".repeat(5000);
        for token in [None, Some(""), Some("x"), Some(long.as_str()), login.token.get(1..)] {
            let answer = manager.post("/v1/logout", token, "").await;
            assert_eq!((answer.status, answer.error().code), (StatusCode::UNAUTHORIZED, ErrorCode::NotLoggedIn));
        }
        assert!(is_valid(&manager, &login).await);
    })
    .await;
}

#[tokio::test]
async fn what_is_over_is_forgotten() {
    on_both(|db| async {
        let manager = Manager::new(db);
        manager.logged_in().await;
        manager.login("acme", "yamada", "wrong").await;

        assert_eq!(login::sweep(&manager.app).await.unwrap(), 0);
        manager.advance(13 * 60 * MINUTE);
        // One login, one counter of the account, and the counters of the source and of everybody.
        assert_eq!(login::sweep(&manager.app).await.unwrap(), 4);
    })
    .await;
}

async fn logout(manager: &Manager, token: &str) -> Answer {
    manager.post("/v1/logout", Some(token), "").await
}

async fn is_valid(manager: &Manager, login: &LoginAnswer) -> bool {
    let token = manager::bearer::BearerHash::of(&login.token);
    login::LoggedIn::find(&manager.app, &token, "192.0.2.1".parse().unwrap()).await.is_ok()
}

async fn send(manager: &Manager, source: &str, company: &str, user: &str, password: &str) -> Answer {
    let body = serde_json::json!({ "company": company, "user": user, "password": password }).to_string();
    manager.send(Method::POST, "/v1/login", None, source, Body::from(body)).await
}

async fn from(manager: &Manager, source: &str) -> StatusCode {
    send(manager, source, "acme", "yamada", PASSWORD).await.status
}

async fn stop(manager: &Manager, user: &str) {
    let user: UserId = user.parse().unwrap();
    let mut tx = manager.app.db.begin().await.unwrap();
    let (company_id, operator_id) =
        operator::store::find(&mut tx, &"acme".parse().unwrap(), &user).await.unwrap().unwrap();
    assert!(operator::store::stop(&mut tx, company_id, operator_id, manager.app.now_ms()).await.unwrap());
    tx.commit().await.unwrap();
}
