//! System administrators and their provider.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{
    admin::AdminRole,
    db::Db,
    fetch_one,
    provider::{self, SystemConfig},
};
use proto::id::OperatorId;

use super::{
    events,
    idp::{CLIENT, Idp, SECRET},
};
use crate::{
    browser::{Browser, Seen},
    system::{account, code, first_login, knock},
    testing::{Manager, PASSWORD, config, on_both},
};

/// A manager whose configuration names the provider, or none.
fn manager_with(db: Db, idp: &Idp, provider: Option<SystemConfig>) -> Manager {
    Manager::with(
        db,
        config(|config| {
            config.providers = idp.config();
            config.system.provider = provider;
        }),
    )
}

fn manager(db: Db, idp: &Idp, asks_second_factor: bool) -> Manager {
    manager_with(db, idp, Some(named(idp, asks_second_factor)))
}

fn named(idp: &Idp, asks_second_factor: bool) -> SystemConfig {
    let secret = idp.ca_file().with_file_name("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    SystemConfig {
        issuer: idp.issuer().to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret_file: Some(secret),
        asks_second_factor,
    }
}

async fn bind(browser: &Browser<'_>, idp: &Idp, sub: &str) -> Seen {
    browser.get("/system/account").await;
    let page = browser.post("/system/account/provider", &[("password", PASSWORD)]).await;
    browser.get(&idp.authorize(&page, sub)).await
}

async fn sign_in(browser: &Browser<'_>, idp: &Idp, sub: &str) -> Seen {
    browser.get("/system/login").await.says("IDプロバイダーでログイン");
    let page = browser.post("/system/login/provider", &[("next", "/system/log")]).await;
    browser.get(&idp.authorize(&page, sub)).await
}

async fn alarms(manager: &Manager) -> i64 {
    events(manager, "login.past_provider").await
}

async fn handed_out(manager: &Manager, operator_id: OperatorId) -> i64 {
    let mut tx = manager.app.db.read().await.unwrap();
    let id = operator_id.to_string();
    fetch_one!(&mut tx, (i64,), "SELECT handed_out_at_ms FROM operators WHERE operator_id = $1", id).unwrap().0
}

#[tokio::test]
async fn an_administrator_signs_in_by_the_provider_and_the_factor_stays() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp, false);
        let operator_id = account(&manager, "root", AdminRole::Operations).await;
        let browser = first_login(&manager, "root", operator_id).await;
        assert_eq!(alarms(&manager).await, 1, "by password while there is a provider");
        sign_in(&Browser::new(&manager), &idp, "root")
            .await
            .goes_to("/system/login?why=provider_unlinked&next=%2Fsystem%2Flog");
        bind(&browser, &idp, "root").await.goes_to("/system/account");
        assert_eq!(handed_out(&manager, operator_id).await, 0, "nobody else held it");

        manager.advance(Duration::from_mins(1));
        idp.clock(manager.app.now_ms());
        let again = Browser::new(&manager);
        sign_in(&again, &idp, "root").await.goes_to("/system/login/code");
        again.get("/system").await.goes_to("/system/login/code");
        again.get("/system/login/code").await;
        again.post("/system/login/code", &[("code", &code(&manager, operator_id).await)]).await.goes_to("/system");
        again.get("/system").await.says("rootさん");
        assert_eq!(alarms(&manager).await, 1);
        let auditor = account(&manager, "audit", AdminRole::Audit).await;
        let auditor = first_login(&manager, "audit", auditor).await;
        auditor.get("/system/log").await.says("管理者がプロバイダーを使わずパスワードでログイン");
        // The other realm's door does not know the person.
        let company = manager.company("acme").await;
        let elsewhere = Browser::new(&manager);
        elsewhere.get("/system/login").await;
        let page = elsewhere.post("/system/login/provider", &[]).await;
        let back = idp
            .authorize(&page, "root")
            .replace("/system/login/provider/return", &format!("/login/provider/return/{company}"));
        elsewhere.get(&back).await.goes_to("/login?why=provider_stale");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_asks_for_the_factor_opens_the_account_alone() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp, true);
        let operator_id = account(&manager, "root", AdminRole::Operations).await;
        let browser = first_login(&manager, "root", operator_id).await;
        bind(&browser, &idp, "root").await.goes_to("/system/account");
        let again = Browser::new(&manager);
        sign_in(&again, &idp, "root").await.goes_to("/system/log");
        again.get("/system").await.says("rootさん");
        knock(&Browser::new(&manager), "root", PASSWORD).await.goes_to("/system/login/code");
    })
    .await;
}

#[tokio::test]
async fn a_binding_that_somebody_else_takes_away_counts_as_handed_out() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp, true);
        let root = account(&manager, "root", AdminRole::Operations).await;
        let data = account(&manager, "data", AdminRole::Data).await;
        let root = first_login(&manager, "root", root).await;
        let browser = first_login(&manager, "data", data).await;
        bind(&browser, &idp, "data").await.goes_to("/system/account");

        let page = format!("/system/admins/{data}");
        root.get(&page).await.says("接続済み");
        root.post(&format!("{page}/unlink"), &[("reason", "異動")]).await.goes_to(&page);
        assert_eq!(handed_out(&manager, data).await, manager.app.now_ms());
        browser.get("/system").await.goes_to("/system/login");
        sign_in(&browser, &idp, "data").await.goes_to("/system/login?why=provider_unlinked&next=%2Fsystem%2Flog");
        let auditor = account(&manager, "audit", AdminRole::Audit).await;
        let auditor = first_login(&manager, "audit", auditor).await;
        auditor.get("/system/log").await.says("管理者のIDプロバイダーとの接続を解除");
        // Once more there is nothing to take away.
        root.get(&page).await;
        let again = root.post(&format!("{page}/unlink"), &[("reason", "異動")]).await;
        assert_eq!(again.status, StatusCode::CONFLICT);
    })
    .await;
}

#[tokio::test]
async fn a_new_password_or_factor_from_another_administrator_takes_the_binding_away() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp, true);
        let root = account(&manager, "root", AdminRole::Operations).await;
        let root = first_login(&manager, "root", root).await;
        for (user, verb) in [("data", "factor"), ("ito", "password")] {
            let operator_id = account(&manager, user, AdminRole::Data).await;
            let browser = first_login(&manager, user, operator_id).await;
            bind(&browser, &idp, user).await.goes_to("/system/account");
            let page = format!("/system/admins/{operator_id}");
            root.get(&page).await.says("接続済み");
            root.post(&format!("{page}/{verb}"), &[("reason", "紛失")]).await;
            root.get(&page).await.lacks("接続済み");
            browser.get("/system").await.goes_to("/system/login");
            sign_in(&browser, &idp, user).await.goes_to("/system/login?why=provider_unlinked&next=%2Fsystem%2Flog");
        }
        assert_eq!(events(&manager, "admin.provider_unlinked").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_start_with_another_provider_ends_the_logins_that_came_by_the_one_before() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let first = manager(db.clone(), &idp, true);
        provider::settle(&first.app).await.unwrap();
        let operator_id = account(&first, "root", AdminRole::Operations).await;
        let browser = first_login(&first, "root", operator_id).await;
        bind(&browser, &idp, "root").await.goes_to("/system/account");
        // No company has one, whatever system administrators have.
        Browser::new(&first).get("/login").await.lacks("/login/provider");

        let same = || Some(named(&idp, true));
        let asks_no_more = || Some(named(&idp, false));
        let another = || Some(SystemConfig { client_id: "another".to_owned(), ..named(&idp, true) });
        for (next, stays) in [(same(), true), (asks_no_more(), false), (another(), false), (None, false)] {
            provider::settle(&first.app).await.unwrap();
            let by_provider = Browser::new(&first);
            sign_in(&by_provider, &idp, "root").await.goes_to("/system/log");
            let started = manager_with(db.clone(), &idp, next);
            provider::settle(&started.app).await.unwrap();
            if stays {
                by_provider.get("/system").await.says("rootさん");
            } else {
                by_provider.get("/system").await.goes_to("/system/login");
            }
            browser.get("/system").await.says("rootさん");
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_provider_there_is_no_door_for_one() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let browser = Browser::new(&manager);
        browser.get("/system/login").await.lacks("/system/login/provider");
        let seen = browser.post("/system/login/provider", &[]).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND);
        assert_eq!(browser.get("/system/login/provider/return?code=a&state=b").await.status, StatusCode::NOT_FOUND);
        let operator_id = account(&manager, "root", AdminRole::Operations).await;
        let root = first_login(&manager, "root", operator_id).await;
        root.get("/system/account").await.lacks("/system/account/provider");
        assert_eq!(alarms(&manager).await, 0);
    })
    .await;
}
