//! What stands between a right password and the pages: its change, the second factor, and the browser that is known.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{execute, login::totp::Factor, role::Role};
use proto::{
    api::error::ErrorCode::{CodeRequired, LoginFailed, PasswordChange},
    id::{CompanyId, OperatorId},
};

use crate::{
    browser::Browser,
    site::admin,
    testing::{Manager, PASSWORD, on_both},
};

/// Another password that the default rules take.
const OTHER: &str = "Table-9-Lamp";

/// Sets the company's rules.
pub(crate) async fn set_policy(manager: &Manager, company_id: CompanyId, policy: &str) {
    let mut tx = manager.app.db.begin().await.unwrap();
    execute!(&mut tx, "UPDATE companies SET policy = $2 WHERE company_id = $1", company_id.to_string(), policy)
        .unwrap();
    tx.commit().await.unwrap();
}

/// The secret of an account, as its authenticator has it.
async fn factor(manager: &Manager, operator_id: OperatorId) -> Factor {
    let mut tx = manager.app.db.begin().await.unwrap();
    let (sealed,) = manager::fetch_one!(
        &mut tx,
        (String,),
        "SELECT COALESCE(o.totp_sealed, (SELECT MAX(l.totp_sealed) FROM site_logins l WHERE l.operator_id = o.operator_id))
        FROM operators o
        WHERE o.operator_id = $1",
        operator_id.to_string()
    )
    .unwrap();
    Factor::open(&sealed, &manager.app.columns, operator_id).unwrap()
}

#[tokio::test]
async fn an_initial_password_leads_nowhere_but_to_its_change() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, _, admin) = admin(&manager).await;
        admin.get("/operators/new").await;
        let fields = [
            ("name", "佐藤 花子"),
            ("kana", "サトウ ハナコ"),
            ("user", "sato"),
            ("email", "sato@example.co.jp"),
            ("role", "operator"),
        ];
        let shown = admin.post("/operators/new", &fields).await;
        let password = shown.between("<span class=\"secret\">", "</span>").replace("&#38;", "&").replace("&#60;", "<");
        let sato = Browser::new(&manager);

        assert_eq!(manager.login("acme", "sato", &password).await.error().code, PasswordChange);
        sato.log_in("acme", "sato", &password).await.goes_to("/account/password");
        sato.get("/log/sessions").await.goes_to("/account/password");
        sato.get("/account/password").await.says("新しいパスワードを設定してください");
        let change =
            |old: &str, new: &str| [("old", old.to_owned()), ("new", new.to_owned()), ("again", new.to_owned())];
        for (old, new, sentence) in [
            ("wrong-old-one", OTHER, "今のパスワードが違います"),
            (&password, "short", "8〜20文字"),
            (&password, "sato-the-great", "推測されやすい"),
            (&password, &password, "前に使ったパスワード"),
        ] {
            let fields = change(old, new);
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let seen = sato.post("/account/password", &fields).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
            seen.says(sentence);
        }
        sato.post("/account/password", &[("old", &password), ("new", OTHER), ("again", OTHER)])
            .await
            .goes_to("/account");
        sato.get("/log/sessions").await.says("サポート履歴");
        assert!(manager.login("acme", "sato", OTHER).await.status.is_success());
    })
    .await;
}

#[tokio::test]
async fn a_company_that_asks_for_the_second_factor_gets_it_and_each_code_once() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let operator_id = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        set_policy(&manager, company_id, r#"{"login":{"totp_required":true}}"#).await;
        let browser = Browser::new(&manager);

        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/login/factor");
        browser.get("/").await.goes_to("/login/factor");
        browser.get("/login/factor").await.says("<svg class=\"qr\"");
        browser.post("/login/factor", &[("code", "000000")]).await.says("コードが違います");
        let code = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        let recovery =
            browser.post("/login/factor", &[("code", &code)]).await.between("<li class=\"secret\">", "</li>");
        browser.get("/account").await.says("設定済み");

        let again = Browser::new(&manager);
        again.log_in("acme", "admin", PASSWORD).await.goes_to("/login/code");
        again.get("/").await.goes_to("/login/code");
        again.get("/login/code").await;
        again.post("/login/code", &[("code", &code)]).await.says("コードが違います");
        manager.advance(Duration::from_secs(30));
        let next = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        again.post("/login/code", &[("code", &next)]).await.goes_to("/");

        let lost = Browser::new(&manager);
        lost.log_in("acme", "admin", PASSWORD).await.goes_to("/login/code");
        lost.get("/login/code").await;
        lost.post("/login/code", &[("code", &recovery)]).await.goes_to("/");
        let twice = Browser::new(&manager);
        twice.log_in("acme", "admin", PASSWORD).await;
        twice.get("/login/code").await;
        twice.post("/login/code", &[("code", &recovery)]).await.says("コードが違います");
    })
    .await;
}

#[tokio::test]
async fn a_first_factor_is_set_up_by_whoever_knows_the_password_and_guessing_it_ends_the_login() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, operator_id, browser) = admin(&manager).await;
        browser.get("/login/factor").await.says("パスワードをもう一度入力");
        let code = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        browser.post("/login/factor", &[("code", &code)]).await.says("今のパスワードが違います");
        browser.get("/account").await.says("未設定");
        browser.get("/login/factor").await;
        for _ in 0..3 {
            let wrong = browser.post("/login/factor", &[("code", &code), ("password", OTHER)]).await;
            wrong.says("今のパスワードが違います");
        }
        browser.post("/login/factor", &[("code", &code), ("password", OTHER)]).await.goes_to("/login");
        browser.get("/account").await.goes_to("/login?next=%2Faccount");

        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE site_logins SET totp_sealed = NULL").unwrap();
        tx.commit().await.unwrap();
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        browser.get("/login/factor").await;
        let code = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        browser.post("/login/factor", &[("code", &code), ("password", PASSWORD)]).await.says("回復コード");
        browser.get("/account").await.says("設定済み");
    })
    .await;
}

#[tokio::test]
async fn an_initial_password_that_nobody_uses_is_worth_nothing_after_a_week() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, _, admin) = admin(&manager).await;
        let sato = manager.operator(company_id, "sato").await;
        admin.get(&format!("/operators/{sato}")).await;
        let shown = admin.post(&format!("/operators/{sato}/password"), &[]).await;
        shown.says("7日以内に使わないと");
        let password = shown.between("<span class=\"secret\">", "</span>").replace("&#38;", "&").replace("&#60;", "<");
        admin.get(&format!("/operators/{sato}")).await.says("まで使えます");
        let week = Duration::from_hours(7 * 24);

        manager.advance(week.saturating_sub(Duration::from_millis(1)));
        Browser::new(&manager).log_in("acme", "sato", &password).await.goes_to("/account/password");
        manager.advance(Duration::from_millis(1));
        let late = Browser::new(&manager);
        late.log_in("acme", "sato", &password).await.says("期限が切れました。会社の管理者に、パスワードの再発行を依頼");
        assert_eq!(manager.login("acme", "sato", &password).await.error().code, PasswordChange);
        // Who does not know it is told nothing.
        late.log_in("acme", "sato", OTHER).await.lacks("期限が切れました");
        late.log_in("acme", "nobody", &password).await.lacks("期限が切れました");

        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        admin.get(&format!("/operators/{sato}")).await.says("期限切れです");
        let again = admin.post(&format!("/operators/{sato}/password"), &[]).await;
        let password = again.between("<span class=\"secret\">", "</span>").replace("&#38;", "&").replace("&#60;", "<");
        late.log_in("acme", "sato", &password).await.goes_to("/account/password");
        admin.get("/log/logins?event=login.failed&q=initial_over").await.says("全2件");
    })
    .await;
}

#[tokio::test]
async fn a_tool_needs_the_code_too() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, operator_id, browser) = admin(&manager).await;
        browser.get("/login/factor").await;
        let code = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        browser.post("/login/factor", &[("code", &code), ("password", PASSWORD)]).await;
        let log_in = async |code: &str| {
            let body = serde_json::json!({ "company": "acme", "user": "admin", "password": PASSWORD, "code": code });
            manager.post("/v1/login", None, &body.to_string()).await
        };

        let missing = manager.login("acme", "admin", PASSWORD).await.error().code;
        let wrong = log_in("123456").await.error().code;
        let used = log_in(&code).await.error().code;
        manager.advance(Duration::from_mins(1));
        let fresh = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();

        assert_eq!((missing, wrong, used), (CodeRequired, LoginFailed, LoginFailed));
        assert!(log_in(&fresh).await.status.is_success());
        assert_eq!(log_in(&fresh).await.error().code, LoginFailed);
    })
    .await;
}

#[tokio::test]
async fn five_wrong_codes_end_a_login() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, operator_id, browser) = admin(&manager).await;
        browser.get("/login/factor").await;
        let code = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        browser.post("/login/factor", &[("code", &code), ("password", PASSWORD)]).await;
        manager.advance(Duration::from_mins(1));
        let thief = Browser::from(&manager, "192.0.2.9");
        thief.log_in("acme", "admin", PASSWORD).await.goes_to("/login/code");
        thief.get("/login/code").await;

        for _ in 0..4 {
            thief.post("/login/code", &[("code", "999999")]).await.says("コードが違います");
        }
        thief.post("/login/code", &[("code", "999999")]).await.goes_to("/login");
        let right = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        thief.post("/login/code", &[("code", &right)]).await.goes_to("/login");
    })
    .await;
}

#[tokio::test]
async fn a_stranger_who_knows_an_id_cannot_lock_its_owner_out_of_a_known_browser() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, _, owner) = admin(&manager).await;
        owner.post("/logout", &[]).await;
        let stranger = Browser::from(&manager, "198.51.100.7");

        for _ in 0..10 {
            stranger.log_in("acme", "admin", "wrong-password").await.says("ログインできませんでした");
        }
        stranger.log_in("acme", "admin", PASSWORD).await.says("ログインできませんでした");
        owner.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        owner.get("/log/logins?event=login.locked").await.says("全1件");
    })
    .await;
}

#[tokio::test]
async fn a_browser_whose_code_was_right_is_known_too() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, operator_id, owner) = admin(&manager).await;
        owner.get("/login/factor").await;
        let code = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        owner.post("/login/factor", &[("code", &code), ("password", PASSWORD)]).await;
        let second = Browser::from(&manager, "192.0.2.2");
        manager.advance(Duration::from_mins(1));
        second.log_in("acme", "admin", PASSWORD).await.goes_to("/login/code");
        second.get("/login/code").await;
        let code = factor(&manager, operator_id).await.code_at(manager.app.now_ms()).unwrap();
        second.post("/login/code", &[("code", &code)]).await.goes_to("/");
        second.get("/").await;
        second.post("/logout", &[]).await;
        let stranger = Browser::from(&manager, "198.51.100.7");

        for _ in 0..10 {
            stranger.log_in("acme", "admin", "wrong-password").await.says("ログインできませんでした");
        }
        stranger.log_in("acme", "admin", PASSWORD).await.says("ログインできませんでした");
        second.log_in("acme", "admin", PASSWORD).await.goes_to("/login/code");
    })
    .await;
}
