//! What OWASP ASVS asks of pages and logins, where no other test does.

use std::{fs, path::Path, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use manager::{bearer::BearerHash, execute, fetch_all, fetch_one, role::Role, token::Scope};
use proto::{
    api::{error::ErrorCode::LoginFailed, login::LoginAnswer, reception::ReceptionState, session::SessionState},
    id::OperatorId,
};

use crate::{
    browser::Browser,
    live, manage,
    session::Desk,
    system::{code, wall::addresses},
    testing::{Manager, PASSWORD, on_both},
};

/// The cookie of a company account.
const COOKIE: &str = "__Host-uketsuke";
/// Another password that the default rules take.
const OTHER: &str = "Table-9-Lamp";

/// Everything below a folder of the manager whose name ends so.
fn files(folder: &str, end: &str) -> Vec<(String, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[tokio::test]
async fn every_answer_says_what_it_is() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let page = browser.get("/").await;
        let style = page.between("rel=\"stylesheet\" href=\"", "\"");
        for (path, kind) in [
            ("/", "text/html; charset=utf-8"),
            ("/nowhere", "text/html; charset=utf-8"),
            ("/manual/start", "text/html; charset=utf-8"),
            ("/operators/file", "text/csv; charset=utf-8"),
            ("/statistics/file", "text/csv; charset=utf-8"),
            (style.as_str(), "text/css; charset=utf-8"),
            ("/v1/openapi.json", "application/json"),
        ] {
            assert_eq!(browser.get(path).await.headers[header::CONTENT_TYPE], kind, "{path}");
        }
        assert_eq!(manager.get("/v1/nothing", None).await.headers[header::CONTENT_TYPE], "application/json");
    })
    .await;
}

#[tokio::test]
async fn exports_have_a_name_of_our_own() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        for list in ["/operators", "/log/sessions", "/log/receptions", "/log/operations", "/log/logins", "/statistics"]
        {
            let seen = browser.get(&format!("{list}/file?q=%22%0D%0Ax&filename=evil.exe&name=..%2Fx")).await;
            let name = seen.headers[header::CONTENT_DISPOSITION].to_str().unwrap();
            let bare = name.strip_prefix("attachment; filename=\"").and_then(|rest| rest.strip_suffix(".csv\""));
            let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            assert!(bare.is_some_and(|name| plain(name) && !name.contains("evil")), "{list} {name}");
        }
    })
    .await;
}

#[test]
fn fields_of_passwords_are_masked_and_managers_are_welcome() {
    let mut seen = 0;
    for (path, text) in files("templates", ".html") {
        assert!(!text.contains("onpaste") && !text.contains("oncopy"), "{path}");
        for field in text.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap()) {
            if ["password", "old", "new", "again"].iter().any(|name| field.contains(&format!(" name=\"{name}\""))) {
                seen += 1;
                assert!(field.contains("type=\"password\""), "{path}: {field}");
                let known = ["current-password", "new-password"].map(|kind| format!("autocomplete=\"{kind}\""));
                assert!(known.iter().any(|kind| field.contains(kind)), "{path}: {field}");
                assert!(!field.contains("maxlength"), "{path}: what is pasted is not cut: {field}");
            }
        }
    }
    assert!(7 < seen, "{seen}");
}

#[test]
fn scripts_store_nothing_in_the_browser_but_long_texts_in_their_tab() {
    for (path, text) in files("static", ".js") {
        for word in ["localStorage", "indexedDB", "document.cookie", "eval(", "Function("] {
            assert!(!text.contains(word), "{path} has {word}");
        }
        assert_eq!(text.matches("sessionStorage").count(), usize::from(path.ends_with("/site.js")), "{path}");
        // Tabs of this site tell each other of a logout, and of nothing that was typed.
        assert_eq!(text.matches("postMessage").count(), text.matches("tabs.postMessage(\"logout\")").count(), "{path}");
        // What is kept comes from these fields and from no other.
        assert_eq!(text.matches("[data-keep]").count(), text.matches("textarea[data-keep]").count(), "{path}");
    }
    let mut kept = 0;
    for (path, text) in files("templates", ".html") {
        let areas: Vec<&str> = text.split("<textarea").skip(1).filter_map(|rest| rest.split('>').next()).collect();
        let marked = areas.iter().filter(|area| area.contains(" data-keep=\"")).count();
        assert_eq!(text.matches("data-keep").count(), marked, "{path}: another field");
        kept += marked;
    }
    assert_eq!(kept, 7, "terms, notices, maintenance and incidents; a case may hold personal data");
}

#[tokio::test]
async fn a_password_is_taken_as_it_was_typed() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        manager.logged_in().await;
        let cut = PASSWORD.get(..PASSWORD.len() - 1).unwrap();
        for typed in
            [&PASSWORD.to_lowercase(), &format!("{PASSWORD} "), &format!(" {PASSWORD}"), &format!("{PASSWORD}x"), cut]
        {
            assert_eq!(manager.login("acme", "yamada", typed).await.error().code, LoginFailed, "{typed:?}");
        }
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn every_step_of_a_login_has_a_new_cookie() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let operator_id = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let mut tx = manager.app.db.begin().await.unwrap();
        let policy = r#"{"login":{"totp_required":true}}"#;
        execute!(&mut tx, "UPDATE companies SET policy = $2 WHERE company_id = $1", company_id.to_string(), policy)
            .unwrap();
        tx.commit().await.unwrap();
        let browser = Browser::new(&manager);
        browser.plant(COOKIE, "what-somebody-else-chose");
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/login/factor");
        let half = browser.cookie(COOKIE);
        browser.get("/login/factor").await;
        let shown = code(&manager, operator_id).await;
        assert_eq!(browser.post("/login/factor", &[("code", &shown)]).await.status, StatusCode::OK);
        let whole = browser.cookie(COOKIE);
        browser.get("/account").await.says("admin");
        assert!(half != whole && half != "what-somebody-else-chose");

        browser.post("/logout", &[]).await.goes_to("/login");
        for old in ["what-somebody-else-chose", &half, &whole] {
            let thief = Browser::from(&manager, "198.51.100.7");
            thief.plant(COOKIE, old);
            thief.get("/account").await.goes_to("/login?next=%2Faccount");
        }
    })
    .await;
}

#[tokio::test]
async fn changing_what_protects_an_account_needs_its_password_and_ends_other_logins() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let operator_id = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let (browser, other) = (Browser::new(&manager), Browser::from(&manager, "192.0.2.2"));
        for browser in [&browser, &other] {
            browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        }
        let tool: LoginAnswer = manager.login("acme", "admin", PASSWORD).await.json();
        browser.get("/account").await;
        let change = |old: &'static str| [("old", old), ("new", OTHER), ("again", OTHER)];
        browser.post("/account/password", &change("wrong-one")).await.says("今のパスワードが違います");
        other.get("/account").await.says("admin");
        browser.post("/account/password", &change(PASSWORD)).await.goes_to("/account");
        other.get("/account").await.goes_to("/login?next=%2Faccount");
        assert_eq!(manager.get("/v1/receptions", Some(&tool.token)).await.status, StatusCode::UNAUTHORIZED);

        browser.get("/login/factor").await;
        let shown = code(&manager, operator_id).await;
        browser.post("/login/factor", &[("code", &shown), ("password", OTHER)]).await;
        browser.get("/account").await;
        for address in ["/account/recovery", "/account/factor"] {
            browser.post(address, &[("password", "wrong-one")]).await.says("今のパスワードが違います");
        }
        browser.get("/account").await.says("設定済み");
    })
    .await;
}

#[tokio::test]
async fn an_own_mail_address_changes_only_with_the_own_password() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = manager.company("acme").await;
        let own = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let other = manager.account(company_id, "yamada", Role::Operator).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let address_of = async |id: OperatorId| -> String {
            let mut tx = db.read().await.unwrap();
            let row =
                fetch_one!(&mut tx, (String,), "SELECT email FROM operators WHERE operator_id = $1", id.to_string());
            row.unwrap().0
        };
        let change = async |id: OperatorId, role: &str, name: &str, email: &str, password: &str| {
            let page = format!("/operators/{id}");
            let version = browser.get(&page).await.between("name=\"version\" value=\"", "\"");
            let fields =
                [("name", name), ("email", email), ("role", role), ("version", &version), ("password", password)];
            browser.post(&page, &fields).await
        };
        for wrong in ["", "wrong-password"] {
            let seen = change(own, "company_admin", "山田", "thief@evil.example", wrong).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong:?}");
            seen.says("今のパスワードを正しく入力してください");
            assert_eq!(address_of(own).await, "");
        }
        let file = "ID,名前,メール\r\nadmin,山田,thief@evil.example\r\n";
        browser.get("/operators/csv").await;
        let looked = browser.upload("/operators/csv", &[("mode", "update")], file.as_bytes()).await;
        assert!(!looked.text.contains("実行する"), "{}", looked.text);
        let page = format!("/operators/{own}");
        change(own, "company_admin", "山田", "admin@example.jp", PASSWORD).await.goes_to(&page);
        assert_eq!(address_of(own).await, "admin@example.jp");
        change(own, "company_admin", "別の名前", "admin@example.jp", "").await.goes_to(&page);
        // Whoever administers others changes theirs, as before.
        change(other, "operator", "佐藤", "sato@example.jp", "").await.goes_to(&format!("/operators/{other}"));
        assert_eq!(address_of(other).await, "sato@example.jp");
        for _ in 0..3 {
            assert!(change(own, "company_admin", "山田", "x@evil.example", "wrong").await.status.is_client_error());
        }
        change(own, "company_admin", "山田", "x@evil.example", "wrong").await.goes_to("/login");
        assert_eq!(address_of(own).await, "admin@example.jp");
    })
    .await;
}

#[tokio::test]
async fn an_open_browser_does_not_let_its_password_be_guessed() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        let change = |old: &'static str| [("old", old), ("new", OTHER), ("again", OTHER)];

        for _ in 0..2 {
            browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
            browser.get("/account").await;
            for _ in 0..4 {
                browser.post("/account/password", &change("wrong-one")).await.says("今のパスワードが違います");
            }
            browser.post("/account/password", &change("wrong-one")).await.goes_to("/login");
        }
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        browser.get("/account").await;
        let tried = browser.post("/account/password", &change(PASSWORD)).await;
        assert_eq!(tried.status, StatusCode::TOO_MANY_REQUESTS, "{}", tried.text);
        manager.advance(Duration::from_mins(15));
        browser.get("/account").await;
        browser.post("/account/password", &change(PASSWORD)).await.goes_to("/account");
    })
    .await;
}

#[tokio::test]
async fn logins_are_seen_and_ended_by_their_owner_and_by_administrators() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let operator_id = manager.account(company_id, "yamada", Role::Operator).await;
        let (here, there) = (Browser::new(&manager), Browser::from(&manager, "203.0.113.77"));
        for browser in [&here, &there] {
            browser.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        }
        let page = here.get("/account").await;
        page.says("203.0.113.77");
        let listed = page.between("name=\"token_hash\" value=\"", "\"");
        here.post("/account/logins", &[("token_hash", &listed)]).await.goes_to("/account");
        there.get("/account").await.goes_to("/login?next=%2Faccount");
        here.get("/account").await.lacks("203.0.113.77");

        let tool: LoginAnswer = manager.login("acme", "yamada", PASSWORD).await.json();
        let admin = Browser::from(&manager, "192.0.2.9");
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        admin.get("/account").await;
        let theirs = BearerHash::of(&here.cookie(COOKIE));
        let foreign = admin.post("/account/logins", &[("token_hash", theirs.as_str())]).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND);
        let address = format!("/operators/{operator_id}");
        admin.get(&address).await;
        admin.post(&format!("{address}/logout"), &[]).await.goes_to(&address);
        here.get("/account").await.goes_to("/login?next=%2Faccount");
        assert_eq!(manager.get("/v1/receptions", Some(&tool.token)).await.status, StatusCode::UNAUTHORIZED);
    })
    .await;
}

#[tokio::test]
async fn every_page_of_an_account_has_the_logout() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let mut seen = 0;
        // The stream of the boards has no end.
        for address in addresses().into_iter().filter(|address| address != "/live/changes") {
            let page = browser.get(&address).await;
            let is_page = page.text.starts_with("<!") && page.status == StatusCode::OK;
            if is_page && !["/login", "/manual", "/system", "/terms"].iter().any(|begin| address.starts_with(begin)) {
                page.says("action=\"/logout\"");
                seen += 1;
            }
        }
        assert!(10 < seen, "{seen}");
    })
    .await;
}

#[tokio::test]
async fn figures_are_not_public() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        for path in ["/metrics", "/livez", "/readyz", "/debug", "/.git/config", "/.env", "/v1/openapi.yaml"] {
            assert_eq!(manager.get(path, None).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn logins_are_written_down_good_and_bad() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        manager.logged_in().await;
        manager.login("acme", "yamada", "wrong-password").await;
        manager.login("acme", "nobody", "wrong-password").await;
        Browser::new(&manager).log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        let mut tx = manager.app.db.read().await.unwrap();
        let rows = fetch_all!(
            &mut tx,
            (String, String),
            "SELECT event, detail FROM audit WHERE event LIKE 'login.%' ORDER BY seq"
        )
        .unwrap();
        let events: Vec<&str> = rows.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(events, ["login.succeeded", "login.failed", "login.failed", "login.succeeded"]);
        assert!(rows.iter().all(|(_, detail)| !detail.contains("wrong-password") && !detail.contains(PASSWORD)));
        assert!(rows[1].1.contains("wrong_password") && rows[3].1.contains("site"), "{rows:?}");
    })
    .await;
}

#[tokio::test]
async fn ids_of_another_company_are_nowhere() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        let (running, waiting) = (desk.connected().await.pairing.session_id, desk.issue().await);
        let (_, owner) = live::browser(&desk, "owner", Role::CompanyAdmin).await;
        owner.get("/settings/categories").await;
        owner.post("/settings/categories", &[("name", "分類")]).await.goes_to("/settings/categories");
        let category = owner.get("/settings/categories").await.between("action=\"/settings/categories/", "\"");
        let other = manager.company("other").await;
        let admin = manager.account(other, "admin", Role::CompanyAdmin).await;
        let program = manage::token(manager, admin, &Scope::ALL).await;
        let thief = Browser::from(manager, "198.51.100.7");
        thief.log_in("other", "admin", PASSWORD).await.goes_to("/");
        thief.get("/account").await;
        let token: LoginAnswer = manager.login("other", "admin", PASSWORD).await.json();
        let category = category.split('/').next().unwrap().to_owned();
        let ids = [
            desk.operator.operator_id.to_string(),
            desk.operator.company_id.to_string(),
            running.to_string(),
            waiting.reception_id.to_string(),
            category,
        ];

        let mut tried = 0;
        // A chapter of the manual is no company's, and whoever comes back from a provider is looked at below.
        let left_out = ["/system", "/manual", "/login/provider"];
        let with_id = addresses()
            .into_iter()
            .filter(|address| address.contains("/0") && !left_out.iter().any(|begin| address.starts_with(begin)));
        for address in with_id {
            for id in &ids {
                for verb in ["cancel", "extend", "end", "stop", "start", "delete", "password", "logout", "retire"] {
                    let address = address.replacen("/0", &format!("/{id}"), 1).replacen("/0", &format!("/{verb}"), 1);
                    for method in [Method::GET, Method::POST] {
                        let body = format!("csrf={}&name=X&role=operator&version=0", thief.csrf.borrow());
                        let seen = thief.send(method.clone(), &address, body, "same-origin").await;
                        let shut = matches!(seen.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
                        assert!(shut, "{method} {address} {}", seen.status);
                        tried += 1;
                    }
                    if !address.ends_with(verb) {
                        break;
                    }
                }
            }
        }
        for company in [other.to_string(), desk.operator.company_id.to_string(), "0".repeat(32), "x".to_owned()] {
            // One sentence for the own company, another one, one that nobody has, and none.
            let back = format!("/login/provider/return/{company}?state=s&code=c");
            thief.get(&back).await.goes_to("/login?why=provider_stale");
        }
        for path in manager::router::openapi().paths.paths.into_keys().filter(|path| path.contains('{')) {
            for id in &ids {
                let pieces = path.split('/').map(|piece| if piece.starts_with('{') { id.as_str() } else { piece });
                let path = pieces.collect::<Vec<_>>().join("/");
                let bearer = if path.starts_with("/v1/manage/") { &program } else { &token.token };
                let seen = manager.get(&path, Some(bearer)).await.status;
                assert!(matches!(seen, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED), "{path} {seen}");
                tried += 1;
            }
        }
        assert!(100 < tried, "{tried}");
        assert_eq!(desk.state_of(&waiting).await, ReceptionState::Issued);
        let session = desk.history().await.into_iter().find(|session| session.session_id == running).unwrap();
        assert_eq!(session.state, SessionState::Connected);
        assert_eq!(manager.login("acme", "yamada", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_broken_database_tells_nothing_and_lets_nobody_in() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let login = manager.logged_in().await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        browser.get("/login").await;
        db.close().await;

        let mut texts = Vec::new();
        for path in ["/", "/log/sessions", "/login/link/x"] {
            let seen = browser.get(path).await;
            assert!(seen.status.is_server_error(), "{path} {}", seen.status);
            texts.push(seen.text);
        }
        for answer in [
            manager.get("/v1/receptions", Some(&login.token)).await,
            manager.login("acme", "yamada", PASSWORD).await,
            manager.post("/v1/receptions", Some(&login.token), "{}").await,
        ] {
            assert!(answer.status.is_server_error(), "{} {:?}", answer.status, answer.body);
            texts.push(String::from_utf8(answer.body.to_vec()).unwrap());
        }
        for text in texts {
            for inside in ["sqlx", "SELECT", "pool", "Pool", "sqlite", "postgres", "panicked", ".rs:"] {
                assert!(!text.contains(inside), "{inside} is in {text}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_changed_role_counts_at_the_next_request() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let id = manager.account(company_id, "yamada", Role::Operator).await;
        let (admin, yamada) = (Browser::new(&manager), Browser::new(&manager));
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        let address = format!("/operators/{id}");
        for (role, allowed) in [("auditor", true), ("viewer", false), ("company_admin", true), ("operator", false)] {
            let version = admin.get(&address).await.between("name=\"version\" value=\"", "\"");
            let fields = [("name", "X"), ("kana", ""), ("email", ""), ("role", role), ("version", version.as_str())];
            admin.post(&address, &fields).await.goes_to(&address);
            let expected = if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(yamada.get("/log/operations").await.status, expected, "{role}");
        }
    })
    .await;
}

#[tokio::test]
async fn bodies_of_other_kinds_and_shapes_are_refused() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        manager.logged_in().await;
        let good = serde_json::json!({ "company": "acme", "user": "yamada", "password": PASSWORD }).to_string();
        let post = async |kind: &str, body: String| {
            let request = Request::post("/v1/login").header(header::CONTENT_TYPE, kind);
            manager.respond(request.body(Body::from(body)).unwrap()).await.status()
        };
        assert_eq!(post("application/json", good.clone()).await, StatusCode::OK);
        for kind in [
            "application/xml",
            "text/xml",
            "application/yaml",
            "application/x-java-serialized-object",
            "application/vnd.php.serialized",
            "application/x-python-pickle",
            "application/msgpack",
            "application/cbor",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "text/html",
            "application/jsonp",
            "",
        ] {
            let status = post(kind, good.clone()).await;
            assert!(status.is_client_error(), "{kind:?} {status}");
        }
        for body in [
            r#"{"company":"acme","user":"yamada","password":{"$ne":null}}"#.to_owned(),
            r#"{"company":"acme","user":["yamada"],"password":"x"}"#.to_owned(),
            r#"{"company":"acme","user":true,"password":7}"#.to_owned(),
            good.replace('{', r#"{"company":"other","#),
            format!("[{good}]"),
            format!("{good}{good}"),
            "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY y SYSTEM \"file:///etc/passwd\">]><x>&y;</x>".to_owned(),
            "!!python/object/apply:os.system ['id']".to_owned(),
            "\u{ac}\u{ed}\0\u{5}sr".to_owned(),
            "a:1:{s:7:\"company\";O:8:\"stdClass\":0:{}}".to_owned(),
        ] {
            let status = post("application/json", body.clone()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_encoded_twice_is_decoded_once() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        for typed in ["%3Cb%3E", "%253Cb%253E", "&lt;b&gt;", "&amp;lt;b", "\\u003cb\\u003e", "a+b%20c", "%E3%81%82"] {
            browser.get("/settings/categories").await;
            browser.post("/settings/categories", &[("name", typed)]).await.goes_to("/settings/categories");
            let shown = typed.replace('&', "&#38;");
            browser.get("/settings/categories").await.says(&format!("value=\"{shown}\""));
            let asked = browser.get(&format!("/operators?q={}", manager::list::params::encode(typed))).await;
            asked.says(&format!("type=\"search\" value=\"{shown}\""));
        }
        // A dot and a slash that are encoded twice are parts of a name that is not there.
        for path in ["/operators/%252e%252e%252fsettings", "/manual/%252e%252e%252fstart", "/%252fsystem"] {
            let seen = browser.get(path).await;
            assert!(seen.status != StatusCode::OK, "{path} {}", seen.status);
        }
    })
    .await;
}
