//! The way to the provider and back.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{db::Db, fetch_all, role::Role};

use super::{
    ADMIN, bind, company, connect, failed, go,
    idp::{Fault, Idp, Key},
    login, manager, set, sign_in,
};
use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, config, count, on_both},
};

/// The cookie that binds a way to a browser.
const COOKIE: &str = "__Host-uketsuke-provider";

#[tokio::test]
async fn who_has_bound_the_own_account_logs_in_by_the_provider() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        let browser = Browser::new(&manager);

        // The provider says a mail address and that it is verified: no account is found by it, and none is made.
        sign_in(&browser, &idp, ADMIN).await.goes_to(&failed("provider_unlinked"));
        browser.get(&login("provider_unlinked")).await.says("接続されたアカウントがここにありません");
        bind(&admin, &idp, ADMIN).await;
        let page = go(&browser, " ACME ").await;
        page.says("IDプロバイダーへ進みます");
        assert!(!page.text.contains(&browser.cookie(COOKIE)), "the page does not tell the cookie");
        browser.get(&idp.authorize(&page, ADMIN)).await.goes_to("/operators?q=a");
        browser.get("/operators").await.says("山田 太郎");
        sign_in(&browser, &idp, "somebody-else").await.goes_to(&failed("provider_unlinked"));

        let log = browser.get("/log/logins").await;
        log.says("方法:</span> IDプロバイダー");
        log.says("プロバイダーの人に接続されたアカウントがない");
        browser.get("/log/operations").await.says("IDプロバイダーに接続");
        browser.post("/logout", &[]).await.goes_to("/login");
        browser.get("/operators").await.goes_to("/login?next=%2Foperators");
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_taken_once_in_time_and_from_the_browser_that_went() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let (browser, other) = (Browser::new(&manager), Browser::new(&manager));
        let stale = login("provider_stale");

        // Somebody else's browser, with and without a way of its own.
        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        other.get(&back).await.goes_to(&stale);
        go(&other, "acme").await;
        other.get(&back).await.goes_to(&stale);
        // The same address again, also with the cookie again.
        let cookie = browser.cookie(COOKIE);
        browser.get(&back).await.goes_to("/operators?q=a");
        browser.get(&back).await.goes_to(&stale);
        browser.plant(COOKIE, &cookie);
        browser.get(&back).await.goes_to(&stale);
        // A code that was used, in a way of its own.
        let used = back.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
        let page = go(&browser, "acme").await;
        let fresh = idp.authorize(&page, ADMIN);
        let code = fresh.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
        browser.get(&fresh.replace(&code, &used)).await.goes_to(&failed("provider_wrong"));
        // Too late.
        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        manager.advance(Duration::from_mins(10));
        browser.get(&back).await.goes_to(&failed("provider_stale"));
        idp.clock(manager.app.now_ms());
        // At the address of another company, or without anything.
        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        let elsewhere = back.replace(&company_id.to_string(), &"0".repeat(32));
        browser.get(&elsewhere).await.goes_to(&stale);
        for nothing in ["", "?code=1", "?state=1&code=1", "?state=1&state=1&code=1", "?state=%00&code=%ff"] {
            go(&browser, "acme").await;
            browser.get(&format!("/login/provider/return/{company_id}{nothing}")).await.goes_to(&stale);
        }
        browser.get(&stale).await.says("もう一度始めてください");

        manager::login::sweep(&manager.app).await.unwrap();
        manager.advance(Duration::from_mins(10));
        manager::login::sweep(&manager.app).await.unwrap();
        let mut tx = manager.app.db.read().await.unwrap();
        let left = fetch_all!(&mut tx, (String,), "SELECT secret_hash FROM provider_flows").unwrap();
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn another_manager_takes_the_return() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let (here, there) = (manager(db.clone(), &idp), manager(db, &idp));
        let (_, _, admin) = company(&here, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let (before, after) = (Browser::new(&here), Browser::new(&there));

        let back = idp.authorize(&go(&before, "acme").await, ADMIN);
        after.plant(COOKIE, &before.cookie(COOKIE));
        after.get(&back).await.goes_to("/operators?q=a");
        after.get("/").await.says("お疲れさまです");
        before.get(&back).await.goes_to(&login("provider_stale"));
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_is_away_or_wrong_is_told_in_our_words_and_the_password_still_works() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let browser = Browser::new(&manager);

        for (error, why) in [
            ("access_denied", "provider_denied"),
            ("login_required", "provider_denied"),
            ("temporarily_unavailable", "provider_away"),
            ("server_error", "provider_away"),
            ("unauthorized_client", "provider_wrong"),
            ("<script>alert(1)</script>", "provider_wrong"),
        ] {
            let page = go(&browser, "acme").await;
            let seen = browser.get(&idp.refuses(&page, error, "<script>alert(2)</script>")).await;
            seen.goes_to(&failed(why));
            browser.get(&failed(why)).await.lacks("alert(");
        }
        browser.get("/login?why=%3Cscript%3E").await.lacks("role=\"alert\"");

        // What is wrong at the return.
        for (path, fault, why) in [
            ("/token", Fault::NotFound, "provider_wrong"),
            ("/token", Fault::Says(503, ""), "provider_away"),
            ("/token", Fault::Says(429, "slow_down"), "provider_away"),
            ("/token", Fault::Says(500, "server_error"), "provider_away"),
            ("/token", Fault::Says(400, "temporarily_unavailable"), "provider_away"),
            ("/token", Fault::Says(400, "unauthorized_client"), "provider_client"),
            ("/token", Fault::Says(401, ""), "provider_client"),
            ("/token", Fault::Redirect, "provider_away"),
            ("/token", Fault::Huge, "provider_wrong"),
            ("/token", Fault::Garbage, "provider_wrong"),
        ] {
            let page = go(&browser, "acme").await;
            idp.fails(path, fault);
            browser.get(&idp.authorize(&page, ADMIN)).await.goes_to(&failed(why));
            idp.behaves();
        }
        // What is wrong at the beginning, once nobody remembers what the provider said.
        for (path, fault, why) in [
            ("/.well-known/openid-configuration", Fault::NotFound, "provider_wrong"),
            ("/.well-known/openid-configuration", Fault::Says(502, ""), "provider_away"),
            ("/.well-known/openid-configuration", Fault::Redirect, "provider_away"),
            ("/.well-known/openid-configuration", Fault::Huge, "provider_wrong"),
            ("/.well-known/openid-configuration", Fault::Garbage, "provider_wrong"),
            ("/keys", Fault::NotFound, "provider_wrong"),
            ("/keys", Fault::Says(503, ""), "provider_away"),
            ("/keys", Fault::Garbage, "provider_wrong"),
        ] {
            idp.fails(path, fault);
            manager.advance(Duration::from_hours(1));
            go(&browser, "acme").await.goes_to(&failed(why));
            idp.behaves();
        }
        for (name, value) in [
            ("issuer", "https://localhost/other"),
            ("token_endpoint", "https://10.1.2.3/token"),
            ("token_endpoint", "http://localhost/token"),
            ("jwks_uri", "https://169.254.169.254/keys"),
            ("authorization_endpoint", "javascript:alert(1)"),
        ] {
            idp.says(move |metadata| metadata[name] = value.into());
            manager.advance(Duration::from_hours(1));
            go(&browser, "acme").await.goes_to(&failed("provider_wrong"));
            idp.behaves();
        }
        idp.clock(manager.app.now_ms());
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
        browser.get("/log/logins").await.says("プロバイダーでログインしていない");
        Browser::new(&manager).log_in("acme", "admin", PASSWORD).await.goes_to("/");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_lacks_something_is_asked_again_as_soon_as_it_was_mended() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        company(&manager, &idp).await;
        let browser = Browser::new(&manager);

        idp.says(|metadata| metadata["code_challenge_methods_supported"] = ["plain"].as_slice().into());
        go(&browser, "acme").await.goes_to(&failed("provider_wrong"));
        idp.behaves();
        go(&browser, "acme").await.says("IDプロバイダーへ進みます");
        idp.has_keys(Vec::new());
        manager.advance(Duration::from_hours(1));
        go(&browser, "acme").await.goes_to(&failed("provider_wrong"));
        idp.has_keys(vec![Key::es256("second")]);
        go(&browser, "acme").await.says("IDプロバイダーへ進みます");
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_the_provider_does_not_take_is_said_to_be_that() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        set(&admin, idp.issuer(), &[("secret", "expired")]).await.goes_to(super::SETTINGS);

        let browser = Browser::new(&manager);
        sign_in(&browser, &idp, ADMIN).await.goes_to(&failed("provider_client"));
        browser.get(&login("provider_client")).await.says("新しいシークレットを入力します");
        browser.get("/system/login?why=provider_client").await.says("system.provider.client_secret_file");
        admin.get("/log/logins").await.says("プロバイダーがクライアントシークレットを受け付けない");
        let back = idp.authorize(&connect(&admin, PASSWORD).await, ADMIN);
        admin.get(&back).await.goes_to("/account?why=provider_client");
        // Trying it cannot know.
        admin.get(super::SETTINGS).await;
        let seen = admin.post(&format!("{}/check", super::SETTINGS), &[]).await;
        seen.says("シークレットは、接続するときに初めて確かめられます");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_left_in_time() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let start = |db: Db| {
            let timeout = Some(ops::config::Span::secs(1));
            let providers = manager::provider::Config { timeout, ..idp.config() };
            Manager::with(db, config(|config| config.providers = providers))
        };
        let (manager, there) = (start(db.clone()), start(db));
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let browser = Browser::new(&manager);

        let page = go(&browser, "acme").await;
        idp.fails("/token", Fault::Silent);
        browser.get(&idp.authorize(&page, ADMIN)).await.goes_to(&failed("provider_away"));
        idp.behaves();
        // Each answer is in time and all together are not, at a manager that knows nothing of the provider yet.
        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        for path in ["/.well-known/openid-configuration", "/token"] {
            idp.fails(path, Fault::Slow);
        }
        let elsewhere = Browser::new(&there);
        elsewhere.plant(COOKIE, &browser.cookie(COOKIE));
        elsewhere.get(&back).await.goes_to(&failed("provider_away"));
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_another_provider_is_not_taken() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let browser = Browser::new(&manager);
        let issuer = manager::list::params::encode(idp.issuer());

        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        browser.get(&format!("{back}&iss=https%3A%2F%2Fevil.example")).await.goes_to(&failed("provider_wrong"));
        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        browser.get(&format!("{back}&iss={issuer}")).await.goes_to("/operators?q=a");
        // A provider that says that it names itself must do so.
        idp.says(|metadata| metadata["authorization_response_iss_parameter_supported"] = true.into());
        manager.advance(Duration::from_hours(1));
        idp.clock(manager.app.now_ms());
        let browser = Browser::new(&manager);
        sign_in(&browser, &idp, ADMIN).await.goes_to(&failed("provider_wrong"));
        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        browser.get(&format!("{back}&iss={issuer}")).await.goes_to("/operators?q=a");
    })
    .await;
}

#[tokio::test]
async fn the_button_is_there_where_somebody_has_a_provider_and_says_the_same_of_unknown_companies() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let stranger = Browser::new(&manager);
        stranger.get("/login").await.lacks("/login/provider");
        let other = manager.company("other").await;
        manager.account(other, "admin", Role::CompanyAdmin).await;
        let (_, _, admin) = company(&manager, &idp).await;

        stranger.get("/login").await.says("会社のIDプロバイダーでログイン");
        let nobody = |code: &str| format!("/login?why=provider_nobody&company={code}&next=%2Foperators%3Fq%3Da");
        go(&stranger, "other").await.goes_to(&nobody("other"));
        go(&stranger, "nowhere").await.goes_to(&nobody("nowhere"));
        go(&stranger, "").await.goes_to(&nobody(""));
        go(&stranger, ":system").await.goes_to(&nobody("%3Asystem"));
        set(&admin, idp.issuer(), &[("button", "サンプルIDでログイン")]).await.goes_to(super::SETTINGS);
        stranger.get("/login?company=acme").await.says(">サンプルIDでログイン</button>");
        stranger.get("/login").await.lacks("サンプルIDでログイン");
        stranger.log_in("acme", "admin", "wrong-password").await.lacks("サンプルIDでログイン");
        // Who did not come in finds the login as it was.
        let page = go(&stranger, "acme").await;
        let seen = stranger.get(&idp.refuses(&page, "access_denied", "no")).await;
        let back = seen.location.unwrap();
        let page = stranger.get(&back).await;
        page.says(">サンプルIDでログイン</button>");
        page.says("name=\"company\" value=\"acme\"");
        page.says("name=\"next\" value=\"/operators?q=a\"");
        // Turned off between going and coming back.
        let page = go(&stranger, "acme").await;
        set(&admin, idp.issuer(), &[("in_force", "")]).await.goes_to(super::SETTINGS);
        stranger.get(&idp.authorize(&page, ADMIN)).await.goes_to(&failed("provider_stale"));
        go(&stranger, "acme").await.goes_to(&nobody("acme"));
        let seen = connect(&admin, PASSWORD).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn a_source_that_begins_again_and_again_is_slowed_and_who_arrives_is_not_counted() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = Manager::with(
            db,
            config(|config| {
                config.providers = idp.config();
                config.login.attempts_per_source_max = count(3);
            }),
        );
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        for _ in 0..6 {
            sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to("/operators?q=a");
        }
        let browser = Browser::new(&manager);
        for _ in 0..3 {
            assert_eq!(go(&browser, "acme").await.status, StatusCode::OK);
        }
        let slowed = go(&browser, "acme").await;
        assert_eq!(slowed.status, StatusCode::TOO_MANY_REQUESTS);
        let counted = manager.app.metrics.registry.text();
        assert!(counted.contains("manager_logins_total{result=\"throttled\"} 1"), "{counted}");
        // Nothing was guessed: tools and passwords of the same office are not slowed.
        assert_eq!(manager.login("acme", "admin", PASSWORD).await.status, StatusCode::OK);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let elsewhere = Browser::from(&manager, "198.51.100.7");
        sign_in(&elsewhere, &idp, ADMIN).await.goes_to("/operators?q=a");
    })
    .await;
}
