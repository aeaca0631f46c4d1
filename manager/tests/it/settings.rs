//! The settings of a company: the sheets, and that each rule is obeyed at the site and by tools.

use std::time::Duration;

use axum::{body::Body, http::Method, http::StatusCode};
use manager::{fetch_all, fetch_one, role::Role, settings::store};
use proto::{
    api::{error::ErrorCode, login::LoginAnswer, reception::RECEPTIONS},
    id::CompanyId,
};

use crate::{
    browser::{Browser, Seen},
    testing::{Manager, PASSWORD, on_both},
};

pub(crate) const DAY: Duration = Duration::from_hours(24);
/// Another password that the default rules take.
const OTHER: &str = "Table-9-Lamp";
/// What a form of passwords sends by default.
const PASSWORDS: [(&str, &str); 9] = [
    ("len_min", "8"),
    ("len_max", "20"),
    ("kinds_min", "1"),
    ("denied", ""),
    ("history", "0"),
    ("expiry_days", "0"),
    ("warn_days", "14"),
    ("change_after_reset", "on"),
    ("initial_by_link", "on"),
];
/// What a form of logins sends by default.
const LOGIN: [(&str, &str); 7] = [
    ("lockout", "on"),
    ("failures_max", "10"),
    ("window_minutes", "15"),
    ("unlock_minutes", "15"),
    ("idle_minutes", "30"),
    ("tool_idle_hours", "24"),
    ("life_hours", "12"),
];

/// Company `acme` with an administrator, who is logged in.
pub(crate) async fn admin(manager: &Manager) -> (CompanyId, Browser<'_>) {
    let company_id = manager.company("acme").await;
    manager.account(company_id, "admin", Role::CompanyAdmin).await;
    (company_id, again(manager).await)
}

pub(crate) async fn again(manager: &Manager) -> Browser<'_> {
    let browser = Browser::new(manager);
    browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
    browser.get("/").await;
    browser
}

/// Fills a sheet as it is shown, changes some fields and sends it.
pub(crate) async fn send(
    browser: &Browser<'_>,
    page: &str,
    usual: &[(&str, &str)],
    changed: &[(&str, &str)],
    step: &str,
) -> Seen {
    let seen = browser.get(page).await.between("name=\"seen\" value=\"", "\"");
    let mut fields: Vec<(&str, &str)> =
        usual.iter().copied().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name)).collect();
    fields.extend(changed);
    fields.extend([("seen", seen.as_str()), ("step", step)]);
    browser.post(page, &fields).await
}

async fn save_passwords(browser: &Browser<'_>, changed: &[(&str, &str)]) {
    send(browser, "/settings/passwords", &PASSWORDS, changed, "save").await.goes_to("/settings/passwords");
}

async fn save_login(browser: &Browser<'_>, changed: &[(&str, &str)]) {
    send(browser, "/settings/login", &LOGIN, changed, "save").await.goes_to("/settings/login");
}

async fn change(browser: &Browser<'_>, old: &str, new: &str) -> Seen {
    browser.get("/account/password").await;
    browser.post("/account/password", &[("old", old), ("new", new), ("again", new)]).await
}

pub(crate) async fn tool(manager: &Manager, user: &str) -> LoginAnswer {
    manager.login("acme", user, PASSWORD).await.json()
}

async fn tool_works(manager: &Manager, token: &str, source: &str) -> bool {
    let answer = manager.send(Method::GET, RECEPTIONS, Some(token), source, Body::empty()).await;
    answer.status == StatusCode::OK
}

#[tokio::test]
async fn a_change_is_shown_with_its_effect_and_stored_with_before_and_after() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        browser.get("/settings").await.says("href=\"/settings/passwords\"");

        let changed = [("len_min", "１２"), ("expiry_days", "90"), ("denied", "Sample\r\n")];
        let shown = send(&browser, "/settings/passwords", &PASSWORDS, &changed, "").await;
        assert_eq!(shown.status, StatusCode::OK);
        for text in ["変更内容の確認", "最短の文字数", "有効期限（日）", "2個のアカウントが次にパスワード", "sample", "期限なし"]
        {
            shown.says(text);
        }
        browser.get("/settings/passwords").await.says("name=\"len_min\" type=\"number\" inputmode=\"numeric\" min=\"8\" max=\"64\" step=\"1\" required value=\"8\"");
        let back = send(&browser, "/settings/passwords", &PASSWORDS, &changed, "edit").await;
        back.says("value=\"90\"");
        save_passwords(&browser, &changed).await;

        browser.get("/settings/passwords").await.says("保存しました");
        let mut tx = manager.app.db.begin().await.unwrap();
        let policy = store::policy(&mut tx, company_id).await.unwrap();
        assert_eq!((policy.password.len_min, policy.password.expiry_days), (12, 90));
        assert_eq!(policy.password.denied, ["sample"]);
        let (event,) = fetch_one!(
            &mut tx,
            (String,),
            "SELECT detail FROM audit WHERE event = 'settings.passwords_changed'"
        )
        .unwrap();
        assert!(event.contains("len_min") && !event.contains("sample"), "{event}");
        let bodies =
            fetch_all!(&mut tx, (String,), "SELECT body FROM changes WHERE subject = 'settings:passwords'").unwrap();
        assert!(bodies[0].0.contains(r#""field":"len_min","old":"8","new":"12""#), "{bodies:?}");
        drop(tx);
        send(&browser, "/settings/passwords", &PASSWORDS, &changed, "save").await;
        browser.get("/settings/passwords").await.says("変更はありませんでした");
    })
    .await;
}

#[tokio::test]
async fn what_is_out_of_its_limits_is_refused_and_the_second_of_two_is_told() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        for (field, value, sentence) in [
            ("len_min", "7", "8〜64の整数"),
            ("len_max", "19", "20〜128の整数"),
            ("len_max", "129", "20〜128の整数"),
            ("kinds_min", "x", "1〜4の整数"),
            ("denied", "合言葉", "「合言葉」は使えません"),
            ("warn_days", "91", "0〜90の整数"),
        ] {
            let seen = send(&browser, "/settings/passwords", &PASSWORDS, &[(field, value)], "save").await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
            seen.says(sentence);
        }
        let crossed = send(&browser, "/settings/passwords", &PASSWORDS, &[("len_min", "30")], "save").await;
        crossed.says("最長の文字数以下にしてください");
        let bad = send(&browser, "/settings/login", &LOGIN, &[("networks", "192.0.2.0/33")], "save").await;
        bad.says("192.0.2.0/33");
        assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);

        let seen = browser.get("/settings/passwords").await.between("name=\"seen\" value=\"", "\"");
        save_passwords(&browser, &[("history", "3")]).await;
        let fields: Vec<_> = PASSWORDS.into_iter().chain([("seen", seen.as_str()), ("step", "save")]).collect();
        let late = browser.post("/settings/passwords", &fields).await;
        assert_eq!(late.status, StatusCode::CONFLICT);
        // Another sheet was not touched.
        save_login(&browser, &[("failures_max", "5")]).await;
        let mut tx = manager.app.db.begin().await.unwrap();
        let policy = store::policy(&mut tx, company_id).await.unwrap();
        assert_eq!((policy.password.history, policy.login.failures_max), (3, 5));
    })
    .await;
}

#[tokio::test]
async fn only_who_may_change_the_rules_sees_them() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, _) = admin(&manager).await;
        for (user, role) in [("viewer", Role::Viewer), ("auditor", Role::Auditor), ("super", Role::Supervisor)] {
            manager.account(company_id, user, role).await;
            let browser = Browser::new(&manager);
            browser.log_in("acme", user, PASSWORD).await.goes_to("/");
            browser.get("/").await.lacks("href=\"/settings\"");
            for page in ["/settings", "/settings/passwords", "/settings/login"] {
                assert_eq!(browser.get(page).await.status, StatusCode::FORBIDDEN, "{page}");
            }
            assert_eq!(browser.post("/settings/login", &LOGIN).await.status, StatusCode::FORBIDDEN);
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_password_obeys_length_kinds_words_and_history() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (_, browser) = admin(&manager).await;
        let rules = [("len_min", "10"), ("len_max", "128"), ("kinds_min", "3"), ("denied", "sample"), ("history", "3")];
        save_passwords(&browser, &rules).await;

        browser.get("/account/password").await.says("10〜128文字");
        for (new, sentence) in [
            ("Short-1", "10〜128文字"),
            ("onlysmallletters", "3種類以上"),
            ("My-SAMPLE-Lamp-77", "推測されやすい"),
            ("Acme-Lamp-Table-77", "推測されやすい"),
        ] {
            change(&browser, PASSWORD, new).await.says(sentence);
        }
        let long = "Long-Enough-1-".repeat(9);
        let long = long.get(..120).unwrap();
        change(&browser, PASSWORD, long).await.goes_to("/account");
        manager.advance(Duration::from_secs(1));
        change(&browser, long, "Second-Lamp-2").await.goes_to("/account");
        manager.advance(Duration::from_secs(1));
        for old in [PASSWORD, long, "Second-Lamp-2"] {
            change(&browser, "Second-Lamp-2", old).await.says("前に使ったパスワードは使えません");
        }
        change(&browser, "Second-Lamp-2", "Third-Lamp-3").await.goes_to("/account");
        manager.advance(Duration::from_secs(1));
        change(&browser, "Third-Lamp-3", PASSWORD).await.goes_to("/account");
    })
    .await;
}

#[tokio::test]
async fn a_password_warns_before_it_expires_and_then_leads_only_to_its_change() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        save_passwords(&browser, &[("expiry_days", "30"), ("warn_days", "5")]).await;

        manager.advance(DAY * 24);
        let browser = again(&manager).await;
        browser.get("/").await.lacks("有効期限まで");
        manager.advance(DAY + Duration::from_secs(1));
        let browser = again(&manager).await;
        browser.get("/").await.says("有効期限まであと5日です");
        manager.advance((DAY * 5).saturating_sub(Duration::from_mins(10)));
        let browser = again(&manager).await;
        let token = tool(&manager, "yamada").await.token;
        manager.advance(Duration::from_mins(11));

        browser.get("/").await.goes_to("/account/password");
        browser.get("/settings/passwords").await.goes_to("/account/password");
        browser.get("/account/password").await.says("続けるには、新しいパスワード");
        assert!(tool_works(&manager, &token, "192.0.2.1").await, "support that is under way goes on");
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.error().code, ErrorCode::PasswordChange);
        change(&browser, PASSWORD, OTHER).await.goes_to("/account");
        assert_eq!(browser.get("/").await.status, StatusCode::OK);
        let fresh = Browser::new(&manager);
        fresh.log_in("acme", "yamada", PASSWORD).await.goes_to("/account/password");
        fresh.get("/log/sessions").await.goes_to("/account/password");
    })
    .await;
}

#[tokio::test]
async fn a_password_issued_anew_must_be_changed_only_when_the_company_wants_it() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        let operator = manager.operator(company_id, "yamada").await;
        let reissue = async || {
            browser.get(&format!("/operators/{operator}")).await;
            let shown = browser.post(&format!("/operators/{operator}/password"), &[]).await;
            let password = shown.between("class=\"secret\"", "</").rsplit('>').next().unwrap().to_owned();
            password.replace("&#38;", "&").replace("&amp;", "&")
        };
        let first = reissue().await;
        let owner = Browser::new(&manager);
        owner.log_in("acme", "yamada", &first).await.goes_to("/account/password");

        save_passwords(&browser, &[("change_after_reset", "")]).await;
        let second = reissue().await;
        let owner = Browser::new(&manager);
        owner.log_in("acme", "yamada", &second).await.goes_to("/");
        assert!(manager.login("acme", "yamada", &second).await.status.is_success());
    })
    .await;
}

#[tokio::test]
async fn failures_lock_as_the_company_says() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        let operator = manager.operator(company_id, "yamada").await;
        save_login(&browser, &[("failures_max", "3"), ("window_minutes", "5"), ("unlock_minutes", "2")]).await;
        let fail = async |times: usize| {
            for _ in 0..times {
                manager.login("acme", "yamada", "wrong-password").await.error();
            }
        };
        fail(2).await;
        manager.advance(Duration::from_mins(6));
        fail(2).await;
        assert!(manager.login("acme", "yamada", PASSWORD).await.status.is_success(), "the first two are forgotten");
        fail(3).await;
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.error().code, ErrorCode::LoginFailed);
        manager.advance(Duration::from_mins(2));
        assert!(manager.login("acme", "yamada", PASSWORD).await.status.is_success(), "it opens by itself");

        save_login(&browser, &[("failures_max", "3"), ("unlock_by_hand", "on")]).await;
        fail(3).await;
        manager.advance(Duration::from_mins(29));
        browser.get("/").await;
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.error().code, ErrorCode::LoginFailed);
        browser.get(&format!("/operators/{operator}")).await;
        browser.post(&format!("/operators/{operator}/unlock"), &[]).await.goes_to(&format!("/operators/{operator}"));
        assert!(manager.login("acme", "yamada", PASSWORD).await.status.is_success());

        let unsafe_change = [("lockout", ""), ("failures_max", "3")];
        let asked = send(&browser, "/settings/login", &LOGIN, &unsafe_change, "save").await;
        assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
        asked.says("何度でも試せる");
        save_login(&browser, &[("lockout", ""), ("failures_max", "3"), ("sure", "on")]).await;
        fail(9).await;
        assert!(manager.login("acme", "yamada", PASSWORD).await.status.is_success());
    })
    .await;
}

#[tokio::test]
async fn a_second_factor_is_asked_of_who_is_logged_in_already_from_its_day_on() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        let token = tool(&manager, "yamada").await.token;
        let later = [("totp_required", "on"), ("totp_from", "2026-09-22")];
        let shown = send(&browser, "/settings/login", &LOGIN, &later, "").await;
        shown.says("2個のアカウントは2段階認証を設定していません。2026/09/22まで");
        save_login(&browser, &later).await;

        // It is 21 September, 23:13 in Tokyo.
        browser.get("/").await.says("2026/09/22からログインに2段階認証が必要です");
        assert!(tool_works(&manager, &token, "192.0.2.1").await);
        manager.advance(Duration::from_mins(20));
        browser.get("/").await;
        manager.advance(Duration::from_mins(29));
        browser.get("/").await.goes_to("/login/factor");
        browser.get("/login/factor").await.says("会社の設定により");
        assert!(!tool_works(&manager, &token, "192.0.2.1").await);
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.error().code, ErrorCode::PasswordChange);
        let fresh = Browser::new(&manager);
        fresh.log_in("acme", "yamada", PASSWORD).await.goes_to("/login/factor");
    })
    .await;
}

#[tokio::test]
async fn limits_of_time_end_logins_at_the_next_request() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        let token = tool(&manager, "yamada").await.token;
        let idle = Browser::new(&manager);
        idle.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        manager.advance(Duration::from_mins(20));
        browser.get("/").await;
        let changed = [("idle_minutes", "10"), ("life_hours", "1")];
        send(&browser, "/settings/login", &LOGIN, &changed, "").await.says("ログイン中のうち1件が");
        save_login(&browser, &changed).await;

        idle.get("/").await.goes_to("/login");
        assert!(tool_works(&manager, &token, "192.0.2.1").await);
        for _ in 0..5 {
            manager.advance(Duration::from_mins(9));
            browser.get("/account").await;
        }
        browser.get("/").await.goes_to("/login");
        assert!(!tool_works(&manager, &token, "192.0.2.1").await, "an hour after its beginning it is over");
    })
    .await;
}

#[tokio::test]
async fn one_login_at_a_time_ends_the_one_before_at_each_door() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        save_login(&browser, &[("single", "on")]).await;
        let first = Browser::new(&manager);
        first.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        let first_tool = tool(&manager, "yamada").await.token;
        assert_eq!(first.get("/").await.status, StatusCode::OK, "the site and the tool count apart");

        let second = Browser::new(&manager);
        second.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        let second_tool = tool(&manager, "yamada").await.token;

        first.get("/").await.goes_to("/login");
        assert!(!tool_works(&manager, &first_tool, "192.0.2.1").await);
        assert_eq!(second.get("/").await.status, StatusCode::OK);
        assert!(tool_works(&manager, &second_tool, "192.0.2.1").await);
    })
    .await;
}

#[tokio::test]
async fn networks_bind_each_role_at_the_next_request_and_nobody_locks_themselves_out_unasked() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        let token = tool(&manager, "yamada").await.token;
        let owner = Browser::from(&manager, "2001:db8::7");
        owner.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        browser.get("/settings/login").await.says("192.0.2.1</strong>");

        let changed = [("networks", "192.0.2.0/24"), ("networks_operator", "2001:db8::/32\r\n198.51.100.7")];
        send(&browser, "/settings/login", &LOGIN, &changed, "").await.says("2個のアカウントが、決めたネットワーク");
        save_login(&browser, &changed).await;

        assert_eq!(owner.get("/").await.status, StatusCode::OK);
        assert!(!tool_works(&manager, &token, "192.0.2.1").await, "this address is not one of operators");
        assert!(tool_works(&manager, &token, "198.51.100.7").await);
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.error().code, ErrorCode::LoginFailed);
        let stranger = Browser::from(&manager, "203.0.113.5");
        stranger.log_in("acme", "admin", PASSWORD).await.says("ログインできませんでした");

        let out = [("networks", "203.0.113.0/24")];
        let asked = send(&browser, "/settings/login", &LOGIN, &out, "save").await;
        assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
        asked.says("今の接続元 192.0.2.1 は");
        assert_eq!(browser.get("/").await.status, StatusCode::OK, "nothing was stored");
        save_login(&browser, &[("networks", "203.0.113.0/24"), ("sure", "on")]).await;
        browser.get("/").await.goes_to("/login");

        let mut tx = manager.app.db.begin().await.unwrap();
        let code = "acme".parse().unwrap();
        assert_eq!(store::rescue(&mut tx, &code, manager.app.now_ms()).await.unwrap(), Some(true));
        assert_eq!(store::rescue(&mut tx, &code, manager.app.now_ms()).await.unwrap(), Some(false));
        assert_eq!(store::rescue(&mut tx, &"nowhere".parse().unwrap(), 0).await.unwrap(), None);
        tx.commit().await.unwrap();
        assert_eq!(browser.get("/").await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn outside_its_hours_a_company_is_closed_at_both_doors() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        let token = tool(&manager, "yamada").await.token;
        // It is Monday, 23:13 in Tokyo.
        let hours = [("limit_hours", "on"), ("open_0", "on"), ("from_0", "22:00"), ("to_0", "00:30")];
        let shown = send(&browser, "/settings/login", &LOGIN, &hours, "").await;
        shown.says("決めた時間帯にだけ");
        save_login(&browser, &hours).await;
        assert!(tool_works(&manager, &token, "192.0.2.1").await);
        manager.advance(Duration::from_mins(25));
        assert_eq!(browser.get("/").await.status, StatusCode::OK);
        manager.advance(Duration::from_mins(25));
        browser.get("/").await;
        manager.advance(Duration::from_mins(27));

        // Tuesday, 00:30.
        browser.get("/").await.goes_to("/login");
        assert!(!tool_works(&manager, &token, "192.0.2.1").await);
        browser.log_in("acme", "admin", PASSWORD).await.says("ログインできませんでした");
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.error().code, ErrorCode::LoginFailed);

        manager.advance(DAY * 6 + Duration::from_hours(22));
        let browser = again(&manager).await;
        let closed = [("limit_hours", "on"), ("open_2", "on"), ("from_2", "9:00"), ("to_2", "18:00")];
        let asked = send(&browser, "/settings/login", &LOGIN, &closed, "save").await;
        assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
        asked.says("今は、決めた時間帯の外です");
        for (bad, sentence) in [
            (vec![("limit_hours", "on")], "少なくとも1日は"),
            (vec![("limit_hours", "on"), ("open_1", "on"), ("from_1", "25:00"), ("to_1", "9:00")], "始まりと終わり"),
        ] {
            send(&browser, "/settings/login", &LOGIN, &bad, "save").await.says(sentence);
        }
    })
    .await;
}
