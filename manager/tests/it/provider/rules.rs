//! What holds for a login by password holds for one by the provider.

use std::time::Duration;

use manager::{admin::AdminRole, execute, fetch_one, role::Role};

use super::{
    ADMIN, bind, company, connect, failed, go,
    idp::{Fault, Idp},
    manager, set, sign_in,
};
use crate::{
    browser::Browser,
    doors::set_policy,
    system::{
        code,
        halt::{halt, lift},
        logged_in,
    },
    testing::{PASSWORD, on_both},
};

#[tokio::test]
async fn stopped_accounts_suspended_companies_networks_and_hours_hold() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, operator_id, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let (id, browser) = (operator_id.to_string(), Browser::new(&manager));
        let refused = failed("provider_refused");
        let account = async |set: bool| {
            let mut tx = manager.app.db.begin().await.unwrap();
            execute!(&mut tx, "UPDATE operators SET stopped = $2 WHERE operator_id = $1", &id, set).unwrap();
            tx.commit().await.unwrap();
        };
        let state = async |state: &'static str| {
            let mut tx = manager.app.db.begin().await.unwrap();
            execute!(&mut tx, "UPDATE companies SET state = $2 WHERE company_id = $1", company_id.to_string(), state)
                .unwrap();
            tx.commit().await.unwrap();
        };

        account(true).await;
        sign_in(&browser, &idp, ADMIN).await.goes_to(&refused);
        browser.get(&refused).await.says("今ログインできません");
        account(false).await;
        state("suspended").await;
        sign_in(&browser, &idp, ADMIN).await.goes_to(&failed("provider_suspended"));
        browser.get(&failed("provider_suspended")).await.says("契約は停止中");
        state("active").await;
        set_policy(&manager, company_id, r#"{"login":{"networks":["198.51.100.0/24"]}}"#).await;
        sign_in(&browser, &idp, ADMIN).await.goes_to(&refused);
        sign_in(&Browser::from(&manager, "198.51.100.7"), &idp, ADMIN).await.goes_to("/operators?q=a");
        // It is Monday night in Japan; Monday is closed.
        let closed = r#"{"login":{"week":[null,{"from":0,"to":0},null,null,null,null,null]}}"#;
        set_policy(&manager, company_id, closed).await;
        sign_in(&browser, &idp, ADMIN).await.goes_to(&refused);
        set_policy(&manager, company_id, "{}").await;
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");

        let log = browser.get("/log/logins").await;
        for result in
            ["停止中のアカウント", "企業が利用停止中", "許可されていないネットワーク", "許可されていない時間帯"]
        {
            log.says(result);
        }
    })
    .await;
}

#[tokio::test]
async fn while_the_service_is_halted_nobody_comes_in_and_the_provider_is_not_asked() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let browser = Browser::new(&manager);
        let door = "/login?next=%2Foperators%3Fq%3Da";
        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        let binds = idp.authorize(&connect(&admin, PASSWORD).await, ADMIN);

        halt(&root).await;
        // Who was asked would be away, and the browser be told so.
        idp.fails("/token", Fault::Says(503, ""));
        browser.get(&back).await.goes_to(door);
        browser.get(door).await.says("ただいまサービスを停止しています");
        browser.post("/login/provider", &[("company", "acme"), ("next", "/operators?q=a")]).await.goes_to(door);
        admin.get(&binds).await.goes_to("/login?next=%2Faccount");
        idp.behaves();
        lift(&root).await;
        // And who is asked when it is halted.
        let back = idp.authorize(&go(&browser, "acme").await, ADMIN);
        idp.while_asked("/token", browser.get(&back), halt(&root)).await.goes_to(door);
        let counted = manager.app.metrics.registry.text();
        assert!(counted.contains("manager_logins_total{result=\"halted\"} 2\n"), "{counted}");
        lift(&root).await;
        let mut tx = manager.app.db.read().await.unwrap();
        let (counted,) = fetch_one!(
            &mut tx,
            (i64,),
            "SELECT COUNT(*)
            FROM throttles
            WHERE scope IN ('login.provider', 'login.provider_together')
            AND taken > 0"
        )
        .unwrap();
        drop(tx);
        assert_eq!(counted, 0, "who was refused has lost no try");

        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
    })
    .await;
}

#[tokio::test]
async fn limits_and_one_login_at_a_time_hold_and_a_lock_of_the_password_stays() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, operator_id, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        set_policy(&manager, company_id, r#"{"login":{"single":true}}"#).await;
        let browser = Browser::new(&manager);
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
        admin.get("/").await.goes_to("/login");
        browser.get("/").await.says("お疲れさまです");
        manager.advance(Duration::from_mins(30));
        idp.clock(manager.app.now_ms());
        browser.get("/").await.goes_to("/login");

        let guesser = Browser::from(&manager, "203.0.113.9");
        for _ in 0..10 {
            guesser.log_in("acme", "admin", "wrong-password").await;
        }
        guesser.log_in("acme", "admin", PASSWORD).await.says("ログインできませんでした");
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
        let mut tx = manager.app.db.read().await.unwrap();
        let (locked_until_ms,) = fetch_one!(
            &mut tx,
            (i64,),
            "SELECT locked_until_ms FROM operators WHERE operator_id = $1",
            operator_id.to_string()
        )
        .unwrap();
        drop(tx);
        assert!(manager.app.now_ms() < locked_until_ms);
        guesser.log_in("acme", "admin", PASSWORD).await.says("ログインできませんでした");
    })
    .await;
}

#[tokio::test]
async fn the_second_factor_is_asked_for_here_unless_the_provider_asks() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, operator_id, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        set_policy(&manager, company_id, r#"{"login":{"totp_required":true}}"#).await;
        let browser = Browser::new(&manager);

        sign_in(&browser, &idp, ADMIN).await.goes_to("/login/factor");
        browser.get("/operators").await.goes_to("/login/factor");
        browser.get("/login/factor").await.says("<svg class=\"qr\"");
        let shown = code(&manager, operator_id).await;
        browser.post("/login/factor", &[("code", &shown)]).await.says("回復コード");
        browser.get("/operators").await.says("山田 太郎");
        manager.advance(Duration::from_secs(30));
        let again = Browser::new(&manager);
        sign_in(&again, &idp, ADMIN).await.goes_to("/login/code");
        again.get("/operators").await.goes_to("/login/code");
        again.get("/login/code").await;
        again.post("/login/code", &[("code", "000000")]).await.says("コードが違います");
        let shown = code(&manager, operator_id).await;
        again.post("/login/code", &[("code", &shown)]).await.goes_to("/");
        again.get("/log/logins").await.says("方法:</span> IDプロバイダー");

        set(&again, idp.issuer(), &[("asks_factor", "on")]).await.goes_to(super::SETTINGS);
        let asked = Browser::new(&manager);
        sign_in(&asked, &idp, ADMIN).await.goes_to("/operators?q=a");
        // By password it is asked for all the same.
        Browser::new(&manager).log_in("acme", "admin", PASSWORD).await.goes_to("/login/code");
        // An account without a factor, too.
        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET totp_sealed = NULL WHERE operator_id = $1", operator_id.to_string())
            .unwrap();
        tx.commit().await.unwrap();
        asked.get("/operators").await.says("山田 太郎");
        let another = Browser::new(&manager);
        sign_in(&another, &idp, ADMIN).await.goes_to("/operators?q=a");
        // Whom the provider let in without a code here is out when it no longer asks for one.
        set(&asked, idp.issuer(), &[("asks_factor", "")]).await.goes_to(super::SETTINGS);
        asked.get("/operators").await.goes_to("/login?next=%2Foperators");
        another.get("/operators").await.goes_to("/login?next=%2Foperators");
        sign_in(&another, &idp, ADMIN).await.goes_to("/login/factor");
    })
    .await;
}

#[tokio::test]
async fn how_old_a_password_is_matters_to_those_who_use_it() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        set_policy(&manager, company_id, r#"{"password":{"expiry_days":1}}"#).await;
        manager.advance(Duration::from_hours(25));
        idp.clock(manager.app.now_ms());
        let browser = Browser::new(&manager);
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
        browser.get("/operators").await.says("山田 太郎");
        Browser::new(&manager).log_in("acme", "admin", PASSWORD).await.goes_to("/account/password");
    })
    .await;
}

#[tokio::test]
async fn the_same_person_opens_in_each_company_the_account_that_was_bound_there() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let other = manager.company("other").await;
        manager.account(other, "boss", Role::CompanyAdmin).await;
        let boss = Browser::new(&manager);
        boss.log_in("other", "boss", PASSWORD).await.goes_to("/");
        set(&boss, idp.issuer(), &[]).await.goes_to(super::SETTINGS);

        let browser = Browser::new(&manager);
        let back = idp.authorize(&go(&browser, "other").await, ADMIN);
        let unlinked = "/login?why=provider_unlinked&company=other&next=%2Foperators%3Fq%3Da";
        browser.get(&back).await.goes_to(unlinked);
        bind(&boss, &idp, ADMIN).await;
        let back = idp.authorize(&go(&browser, "other").await, ADMIN);
        browser.get(&back).await.goes_to("/operators?q=a");
        browser.get("/account").await.says("<dd class=\"mono\">boss</dd>");
        // Another issuer is another person, whatever it calls somebody.
        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE provider_links SET issuer = 'https://id.example.jp'").unwrap();
        tx.commit().await.unwrap();
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to(&failed("provider_unlinked"));
    })
    .await;
}

#[tokio::test]
async fn an_administrator_who_uses_the_password_leaves_an_alarm() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        manager.account(company_id, "yamada", Role::Operator).await;
        let admin = Browser::new(&manager);
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let alarms = async || {
            let mut tx = manager.app.db.read().await.unwrap();
            let counted = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit WHERE event = 'login.past_provider'");
            counted.unwrap().0
        };
        assert_eq!(alarms().await, 0, "there is no provider yet");
        set(&admin, idp.issuer(), &[]).await.goes_to(super::SETTINGS);
        bind(&admin, &idp, ADMIN).await;
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to("/operators?q=a");
        Browser::new(&manager).log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        manager.login("acme", "admin", PASSWORD).await;
        assert_eq!(alarms().await, 0, "by the provider, by somebody who is no administrator, and in the tool");
        Browser::new(&manager).log_in("acme", "admin", PASSWORD).await.goes_to("/");
        assert_eq!(alarms().await, 1);
        admin
            .get("/log/logins?event=login.past_provider")
            .await
            .says("管理者がプロバイダーを使わずパスワードでログイン");
        let counted = manager.app.metrics.registry.text();
        assert!(counted.contains("manager_logins_past_provider_total{realm=\"company\"} 1"), "{counted}");
    })
    .await;
}
