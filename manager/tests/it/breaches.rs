//! What broke products of this kind, tried here: a set-up page that stays open, paths with tricks, a stolen copy of the
//! database, a key of an interface that sets passwords, headers that lie about who asks.

use std::{collections::BTreeSet, fs, path::Path};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, StatusCode, header},
};
use manager::{
    admin::AdminRole,
    db::{Db, Tx},
    fetch_one,
    role::Role,
};
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::{
    browser::Browser,
    live,
    session::Desk,
    system::{
        self,
        requests::schema,
        wall::{SYSTEM, addresses},
    },
    testing::{Manager, PASSWORD, config, count, on_both},
};

/// Ways to write an address that programs in front of a check and behind it have read differently.
const TRICKS: [&str; 22] = [
    "/setup",
    "/setup/",
    "/SetupWizard.aspx/x",
    "/install",
    "/system/setup",
    "/system/admins/new/",
    "/system//admins/new",
    "//system/admins/new",
    "/system/./admins/new",
    "/system/login/../admins/new",
    "/system/login/%2e%2e/admins/new",
    "/login/..%2fsystem/admins/new",
    "/System/Admins/New",
    "/system/%61dmins/new",
    "/%73ystem/admins/new",
    "/system/admins%2fnew",
    "/system/admins/new;x=1",
    "/system;/admins/new",
    "/static/../system/admins/new",
    "/manual/../system/admins/new",
    "/system/admins/new%00",
    "/system/admins/new.css",
];
/// Files that a path may be led to.
const FILES: [&str; 8] = [
    "/manual/../../../etc/passwd",
    "/manual/..%2f..%2f..%2fetc%2fpasswd",
    "/manual/%2e%2e%2f%2e%2e%2fCargo.toml",
    "/manual/....//....//etc/passwd",
    "/manual/C:%5cWindows%5cwin.ini",
    "/manual/start%00.html",
    "/static/../manager.sqlite",
    "/static/%2e%2e/signing.key",
];

#[tokio::test]
async fn no_address_makes_a_first_administrator() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let fields = "user=thief&name=X&role=operations&reason=x&password=Correct-Horse-42";
        for later in [false, true] {
            if later {
                system::logged_in(&manager, "root", AdminRole::Operations).await;
            }
            let before = accounts(&db).await;
            let stranger = Browser::new(&manager);
            stranger.get("/system/login").await;
            for address in TRICKS.into_iter().chain(["/system/admins/new", "/system/companies/new"]) {
                for method in [Method::GET, Method::POST] {
                    let body = format!("csrf={}&{fields}", stranger.csrf.borrow());
                    let seen = stranger.send(method.clone(), address, body, "same-origin").await;
                    let shut = matches!(
                        seen.status,
                        StatusCode::NOT_FOUND
                            | StatusCode::METHOD_NOT_ALLOWED
                            | StatusCode::BAD_REQUEST
                            | StatusCode::FORBIDDEN
                    );
                    let asked = seen.location.is_some_and(|to| to.starts_with("/system/login"));
                    assert!(shut || asked, "{method} {address} {}", seen.status);
                }
            }
            assert_eq!(accounts(&db).await, before);
        }
    })
    .await;
}

#[tokio::test]
async fn no_path_leads_to_a_file_and_no_address_restores() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        for path in FILES {
            let seen = browser.get(path).await;
            // What is no chapter of the manual leads to its contents.
            let is_shut = matches!(seen.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST);
            assert!(is_shut || seen.location.as_deref() == Some("/manual/"), "{path} {}", seen.status);
            seen.lacks("root:");
            seen.lacks("[package]");
        }
        let restores: Vec<String> = addresses().into_iter().filter(|address| address.contains("restor")).collect();
        assert!(restores.is_empty(), "a backup is brought back by the provider only: {restores:?}");
    })
    .await;
}

#[tokio::test]
async fn a_copy_of_the_database_opens_no_door() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let manager = &desk.manager;
        let (_, company) = live::browser(&desk, "admin", Role::CompanyAdmin).await;
        let admin = system::logged_in(manager, "root", AdminRole::Operations).await;
        let entered = desk.connected().await;
        let secrets = [
            desk.operator.token.clone(),
            desk.relay.clone(),
            entered.token.clone(),
            company.cookie("__Host-uketsuke"),
            company.cookie("__Host-uketsuke-device"),
            admin.cookie(SYSTEM),
        ];

        let stored = values(&db).await;
        assert!(30 < stored.len(), "{}", stored.len());
        for secret in &secrets {
            assert!(!stored.iter().any(|value| value.contains(secret.as_str())), "a secret is stored as it is");
        }
        for value in &stored {
            for path in ["/v1/receptions", "/v1/sessions", "/v1/events"] {
                let status = manager.get(path, Some(value)).await.status;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {value}");
            }
            let thief = Browser::from(manager, "198.51.100.7");
            for cookie in ["__Host-uketsuke", SYSTEM] {
                thief.plant(cookie, value);
            }
            thief.get("/account").await.goes_to("/login?next=%2Faccount");
            thief.get("/system/account").await.goes_to("/system/login?next=%2Fsystem%2Faccount");
            assert_eq!(thief.get(&format!("/login/link/{value}")).await.status, StatusCode::NOT_FOUND, "{value}");
            let end = desk.say(entered.pairing.session_id, "end", value, &json!({ "reason": "operator_ended" })).await;
            assert_eq!(end.status, StatusCode::UNAUTHORIZED, "{value}");
            let beat = manager.post("/v1/relay/heartbeat", Some(value), "{}").await.status;
            assert!(matches!(beat, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST), "{value} {beat}");
        }
        assert_eq!(manager.get("/v1/receptions", Some(&desk.operator.token)).await.status, StatusCode::OK);
        company.get("/account").await.says("admin");
    })
    .await;
}

#[tokio::test]
async fn no_token_sets_a_password() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        let (other_id, _) = live::browser(&desk, "suzuki", Role::Operator).await;
        let id = other_id.to_string();
        for address in addresses() {
            let page = !address.starts_with("/v1") && !address.starts_with("/static");
            if page && ["password", "factor", "link"].iter().any(|word| address.contains(word)) {
                let address = address.replace("/operators/0", &format!("/operators/{id}"));
                let body = "csrf=x&old=x&new=Table-9-Lamp&again=Table-9-Lamp";
                let answer = manager
                    .send(Method::POST, &address, Some(&desk.operator.token), "192.0.2.1", Body::from(body))
                    .await;
                assert!(!answer.status.is_success(), "{address} {}", answer.status);
            }
        }
        let document = serde_json::to_value(manager::router::openapi()).unwrap();
        let takes = |schema: &serde_json::Value| schema["properties"].get("password").is_some();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let names: Vec<&String> = schemas.iter().filter(|(_, schema)| takes(schema)).map(|(name, _)| name).collect();
        assert_eq!(names, ["LoginRequest"], "no other body of the API holds a password");
        let paths = document["paths"].as_object().unwrap();
        assert!(!paths.keys().any(|path| path.contains("password") || path.contains("factor")));
        assert_eq!(manager.login("acme", "suzuki", PASSWORD).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn who_asks_is_the_connection_whatever_a_header_says() {
    on_both(|db| async move {
        let manager = Manager::with(db, config(|config| config.login.attempts_per_source_max = count(5)));
        manager.logged_in().await;
        let mut statuses = Vec::new();
        for turn in 0..6 {
            let claimed = format!("198.51.100.{turn}");
            let body = json!({ "company": "acme", "user": "nobody", "password": "wrong" }).to_string();
            let mut request = Request::builder()
                .method(Method::POST)
                .uri("/v1/login")
                .header(header::CONTENT_TYPE, "application/json")
                .header("x-forwarded-for", &claimed)
                .header("x-real-ip", &claimed)
                .header("forwarded", format!("for={claimed}"))
                .body(Body::from(body))
                .unwrap();
            request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::from(([192, 0, 2, 1], 50_000))));
            statuses.push(manager.respond(request).await.status());
        }
        assert_eq!(statuses[..5], [StatusCode::UNAUTHORIZED; 5]);
        assert_eq!(statuses[5], StatusCode::TOO_MANY_REQUESTS);
    })
    .await;
}

#[tokio::test]
async fn no_other_site_may_read_an_answer_and_nothing_is_echoed() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        for path in ["/", "/login", "/v1/receptions", "/v1/openapi.json", "/system", "/nowhere"] {
            for method in [Method::GET, Method::OPTIONS, Method::TRACE] {
                let request = Request::builder()
                    .method(method.clone())
                    .uri(path)
                    .header(header::ORIGIN, "https://evil.example")
                    .header("access-control-request-method", "POST")
                    .header(header::AUTHORIZATION, format!("Bearer {}", desk.operator.token));
                let mut request = request.body(Body::empty()).unwrap();
                request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::from(([192, 0, 2, 1], 50_000))));
                let response = desk.manager.respond(request).await;
                let allowed: Vec<_> =
                    response.headers().keys().filter(|name| name.as_str().starts_with("access-control")).collect();
                assert!(allowed.is_empty(), "{method} {path} {allowed:?}");
                if method != Method::GET {
                    assert!(response.status().is_client_error(), "{method} {path} {}", response.status());
                }
                let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
                assert!(!String::from_utf8_lossy(&body).contains(desk.operator.token.as_str()), "{method} {path}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn fields_that_a_form_does_not_have_or_has_twice_change_nothing() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = manager.company("acme").await;
        let other = manager.company("other").await.to_string();
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        browser.get("/operators/new").await;
        let fields = [
            ("name", "X"),
            ("user", "more"),
            ("role", "operator"),
            ("company_id", other.as_str()),
            ("operator_id", "0"),
            ("password_hash", "x"),
            ("password_initial", "false"),
            ("totp_sealed", "x"),
            ("system_role", "operations"),
        ];
        assert_eq!(browser.post("/operators/new", &fields).await.status, StatusCode::OK);
        let mut tx = db.read().await.unwrap();
        let (company, hash, totp) = fetch_one!(
            &mut tx,
            (String, String, String),
            "SELECT company_id, password_hash, COALESCE(totp_sealed, '')
            FROM operators
            WHERE user_id = 'more'"
        )
        .unwrap();
        drop(tx);
        assert_eq!((company, totp), (company_id.to_string(), String::new()));
        assert!(hash.starts_with("$argon2id$"), "{hash}");

        let before = accounts(&db).await;
        browser.get("/operators/new").await;
        let twice = [("name", "X"), ("user", "one"), ("user", "two"), ("role", "operator"), ("role", "company_admin")];
        let seen = browser.post("/operators/new", &twice).await;
        assert!(seen.status.is_client_error(), "{}", seen.status);
        assert_eq!(accounts(&db).await, before);
    })
    .await;
}

#[test]
fn no_server_starts_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders: Vec<_> = ["manager/src", "relay/src", "download/src", "ops/src", "proto/src", "proto/link/src"]
        .map(|folder| root.join(folder))
        .into();
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for word in ["process::Command", "Command::new(", "execve", "posix_spawn", "libc::system"] {
                    assert!(!text.contains(word), "{} has {word}", path.display());
                }
                seen += 1;
            }
        }
    }
    assert!(100 < seen, "{seen}");
    for server in ["manager", "relay", "download"] {
        let unit = fs::read_to_string(root.join(format!("ops/systemd/uketsuke-{server}.service"))).unwrap();
        assert!(unit.contains("NoExecPaths=/\n") && unit.contains("NoNewPrivileges=yes"), "{server}");
    }
}

async fn accounts(db: &Db) -> i64 {
    let mut tx = db.read().await.unwrap();
    let (operators,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM operators").unwrap();
    let (companies,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM companies").unwrap();
    operators + companies
}

/// Every text in the database that could be a secret: long enough, and of what stands in a header.
async fn values(db: &Db) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (table, columns) in schema(db).await {
        for column in columns {
            let sql =
                AssertSqlSafe(format!("SELECT DISTINCT \"{column}\" FROM \"{table}\" WHERE \"{column}\" IS NOT NULL"));
            let mut tx = db.read().await.unwrap();
            let rows: Vec<(String,)> = match &mut tx {
                Tx::Sqlite(tx) => sqlx::query_as(sql).fetch_all(&mut **tx).await.unwrap(),
                Tx::Postgres(tx) => sqlx::query_as(sql).fetch_all(&mut **tx).await.unwrap(),
            };
            let sendable = |text: &String| {
                16 <= text.len() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=:".contains(&byte))
            };
            found.extend(rows.into_iter().map(|(value,)| value).filter(sendable));
        }
    }
    found
}
