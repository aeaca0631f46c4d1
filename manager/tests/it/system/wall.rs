//! Who gets in, and that nobody gets from one realm into the other.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use axum::http::{Method, StatusCode, header};
use manager::{admin::AdminRole, execute, role::Role};
use proto::api::error::ErrorCode::{LoginFailed, NotLoggedIn};

use super::{account, code, first_login, knock, logged_in};
use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, config, on_both},
};

/// The cookies of the two realms.
const COMPANY: &str = "__Host-uketsuke";
pub(crate) const SYSTEM: &str = "__Host-uketsuke-system";

/// Every address that a `.route(…)` of the program names, with something in the places of its values; so a page that is
/// added is looked at, too.
pub(crate) fn addresses() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            for rest in text.split(".route(").skip(1) {
                let rest = rest.trim_start();
                let (rest, bases) =
                    rest.strip_prefix("&at(").map_or((rest, vec![""]), |rest| (rest, vec!["", "/system"]));
                let Some(address) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) else { continue };
                for base in bases {
                    let pieces = address.split('/').map(|piece| if piece.starts_with('{') { "0" } else { piece });
                    found.insert(format!("{base}{}", pieces.collect::<Vec<_>>().join("/")));
                }
            }
        }
    }
    assert!(30 < found.len() && found.contains("/system/login") && found.contains("/operators/0"), "{found:?}");
    found
}

fn is_system(address: &str) -> bool {
    address == "/system" || address.starts_with("/system/")
}

#[tokio::test]
async fn an_administrator_comes_in_by_the_own_door_with_a_second_factor() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let operator_id = account(&manager, "root", AdminRole::Operations).await;
        let browser = Browser::new(&manager);

        browser.get("/system/log").await.goes_to("/system/login?next=%2Fsystem%2Flog");
        browser.get("/system/login").await.lacks("企業コード");
        knock(&browser, "root", PASSWORD).await.goes_to("/system/login/factor");
        browser.get("/system").await.goes_to("/system/login/factor");
        let browser = first_login(&manager, "root", operator_id).await;
        browser.get("/system/account").await.says("設定済み");
        browser.post("/system/account/factor", &[("password", PASSWORD)]).await.says("権限がありません");
        browser.post("/system/logout", &[]).await.goes_to("/system/login");
        browser.get("/system").await.goes_to("/system/login");

        manager.advance(Duration::from_mins(1));
        knock(&browser, "root", PASSWORD).await.goes_to("/system/login/code");
        browser.get("/system/login/code").await;
        browser.post("/system/login/code", &[("code", "000000")]).await.says("コードが違います");
        browser.post("/system/login/code", &[("code", &code(&manager, operator_id).await)]).await.goes_to("/system");
        browser.get("/system").await.says("rootさん");
    })
    .await;
}

#[tokio::test]
async fn no_login_of_one_realm_opens_an_address_of_the_other() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let company = Browser::new(&manager);
        company.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let system = logged_in(&manager, "root", AdminRole::Operations).await;
        // Each tries its cookie under the name of the other realm, too.
        let (own, other) = (company.cookie(COMPANY), system.cookie(SYSTEM));
        company.plant(SYSTEM, &own);
        system.plant(COMPANY, &other);

        let open = [
            "/login",
            "/login/forgotten",
            "/login/link/0",
            "/login/provider",
            "/login/provider/return/0",
            "/system/login/provider",
            "/system/login/provider/return",
            "/manual",
            "/manual/",
            "/manual/0",
            "/terms",
            "/terms/0",
            "/system/login",
            "/language",
            "/v1/openapi.json",
        ];
        let mut seen = 0;
        for address in addresses().iter().filter(|address| !open.contains(&address.as_str())) {
            let (browser, door) = if is_system(address) { (&company, "/system/login") } else { (&system, "/login") };
            for method in [Method::GET, Method::POST] {
                let csrf = format!("csrf={}", browser.csrf.borrow());
                let answer = browser.send(method.clone(), address, csrf, "same-origin").await;
                if answer.status == StatusCode::METHOD_NOT_ALLOWED {
                    continue;
                }
                seen += 1;
                assert_eq!(answer.status, StatusCode::SEE_OTHER, "{method} {address} {}", answer.text);
                let location = answer.location.unwrap();
                assert!(location == door || location.starts_with(&format!("{door}?next=")), "{address} {location}");
            }
        }
        assert!(40 < seen, "{seen}");
        company.get("/").await.says("お疲れさまです");
        system.get("/system").await.says("お疲れさまです");
    })
    .await;
}

#[tokio::test]
async fn no_cookie_of_the_site_is_a_token_of_the_api() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let token = logged_in(&manager, "root", AdminRole::Operations).await.cookie(SYSTEM);

        let mut seen = 0;
        for (path, item) in manager::router::openapi().paths.paths {
            let path = path.split('/').map(|piece| if piece.starts_with('{') { "00" } else { piece });
            let path = path.collect::<Vec<_>>().join("/").replace("/00", &format!("/{}", "0".repeat(32)));
            let secured = |operation: Option<utoipa::openapi::path::Operation>| {
                operation.is_some_and(|operation| operation.security.is_some())
            };
            for (method, secured) in [(Method::GET, secured(item.get)), (Method::POST, secured(item.post))] {
                if secured {
                    let answer = manager.send(method, &path, Some(&token), "192.0.2.1", "{}".into()).await;
                    assert_eq!(answer.error().code, NotLoggedIn, "{path}");
                    seen += 1;
                }
            }
        }
        assert!(10 < seen, "{seen}");
    })
    .await;
}

#[tokio::test]
async fn nobody_logs_in_to_the_system_where_companies_do_or_the_other_way_round() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        account(&manager, "root", AdminRole::Operations).await;
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);

        for code in [":system", ":SYSTEM ", "system", ""] {
            browser.log_in(code, "root", PASSWORD).await.says("ログインできませんでした");
            assert_eq!(manager.login(code, "root", PASSWORD).await.error().code, LoginFailed);
        }
        knock(&browser, "admin", PASSWORD).await.says("ログインできませんでした");
        browser.get("/system/login").await;
        let fields = [("company", "acme"), ("user", "admin"), ("password", PASSWORD)];
        browser.post("/system/login", &fields).await.says("ログインできませんでした");
        browser.get("/system/login").await;
        let fields = [("user", "root"), ("password", PASSWORD), ("next", "/operators")];
        browser.post("/system/login", &fields).await.goes_to("/system/login/factor");
    })
    .await;
}

#[tokio::test]
async fn from_another_network_the_pages_are_not_there() {
    on_both(|db| async move {
        let networks = vec!["192.0.2.0/24".parse().unwrap()];
        let manager = Manager::with(db, config(|config| config.system.networks = networks));
        logged_in(&manager, "root", AdminRole::Operations).await.get("/system").await.says("rootさん");
        let elsewhere = Browser::from(&manager, "198.51.100.7");

        for address in addresses().iter().filter(|address| is_system(address)) {
            for method in [Method::GET, Method::POST] {
                let answer = elsewhere.send(method, address, String::new(), "same-origin").await;
                let missing = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
                assert!(missing, "{address} {}", answer.status);
            }
        }
        let nowhere = elsewhere.get("/nowhere").await.text;
        assert_eq!(elsewhere.get("/system/login").await.text, nowhere, "nothing tells that there is something");
        assert_eq!(elsewhere.get("/login").await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn wrong_passwords_lock_an_administrator_and_tell_nothing() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        account(&manager, "root", AdminRole::Operations).await;
        let stranger = Browser::from(&manager, "198.51.100.7");
        let masked = |text: &str, user: &str| text.replace(&format!("value=\"{user}\""), "");

        let wrong = knock(&stranger, "root", "wrong-password-1").await.text;
        let unknown = knock(&stranger, "nobody", "wrong-password-1").await.text;
        assert_eq!(masked(&wrong, "root"), masked(&unknown, "nobody"));
        for _ in 0..4 {
            knock(&stranger, "root", "wrong-password-1").await;
        }
        knock(&stranger, "root", PASSWORD).await.says("ログインできませんでした");
        manager.advance(Duration::from_mins(16));
        knock(&stranger, "root", PASSWORD).await.goes_to("/system/login/factor");
    })
    .await;
}

#[tokio::test]
async fn who_did_what_and_why_is_read_by_the_audit_alone() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let auditor = logged_in(&manager, "auditor", AdminRole::Audit).await;
        manager.company("acme").await;

        let log = auditor.get("/system/log").await;
        for told in ["システム管理者を追加", "最初の管理者", "会社を作成", "acme", "サーバーのコマンド", "auditorさん"]
        {
            log.says(told);
        }
        auditor.get("/system/log?event=operator.").await.says("2段階認証を設定");
        auditor.get("/system/log?q=ACME").await.says("全1件");
        auditor.get("/system/log/file").await.says("admin.created");
        auditor.get("/system/log").await;
        auditor.post("/system/log/verify", &[]).await.says("改ざんはありません");
        let seen = auditor.get("/system/log").await;
        seen.lacks("<script>");
        assert!(seen.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("default-src 'none'"));
        for role in [AdminRole::Operations, AdminRole::Data] {
            let browser = logged_in(&manager, role.as_str(), role).await;
            for page in ["/system/log", "/system/log/file"] {
                assert_eq!(browser.get(page).await.status, StatusCode::FORBIDDEN, "{role} {page}");
            }
            assert_eq!(browser.post("/system/log/verify", &[]).await.status, StatusCode::FORBIDDEN);
        }
    })
    .await;
}

#[tokio::test]
async fn only_who_knows_the_password_is_told_that_a_company_is_suspended() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE companies SET state = 'suspended' WHERE company_id = $1", company_id.to_string())
            .unwrap();
        tx.commit().await.unwrap();
        let browser = Browser::new(&manager);

        browser.log_in("acme", "admin", PASSWORD).await.says("契約は停止中か、終了しています");
        browser.log_in("acme", "admin", "wrong-password").await.lacks("契約");
        assert_eq!(manager.login("acme", "admin", PASSWORD).await.error().code, LoginFailed);
    })
    .await;
}
