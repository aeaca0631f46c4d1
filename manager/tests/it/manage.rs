//! Tokens of the API, and what can be done with one: driven by the document, so that a new route is tried, too.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use manager::{
    bearer::BearerHash,
    company::policy::Network,
    execute, fetch_all, fetch_one,
    login::{SiteLogin, site_store},
    notice::{
        Class,
        store::{self as notices, NewNotice, Writer},
    },
    role::Role,
    router,
    token::{
        Scope, Scopes,
        store::{self as tokens, NewToken},
    },
};
use proto::{
    api::{error::ErrorCode, reception::ReceptionBody},
    id::{CompanyId, OperatorId},
};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    session::Desk,
    testing::{Answer, Manager, PASSWORD, START_MS, config, on_both},
};

/// One route of the document.
struct Route {
    method: Method,
    path: String,
    /// The scope that it names; `None` for a route of the tools.
    scope: Option<Scope>,
    body: String,
}

impl Route {
    /// Every route of the document.
    fn all() -> Vec<Self> {
        let document = serde_json::to_value(router::openapi()).unwrap();
        let mut routes = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let scope = operation["security"][0]["token"][0].as_str().map(|scope| scope.parse().unwrap());
                let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
                let body = schema.map(|schema| example(&document, schema)).unwrap_or_default();
                let method = method.to_uppercase().parse().unwrap();
                routes.push(Self { method, path: path.clone(), scope, body });
            }
        }
        routes
    }

    /// Those of this slice.
    fn managed() -> Vec<Self> {
        let routes: Vec<Self> = Self::all().into_iter().filter(|route| route.path.starts_with("/v1/manage/")).collect();
        assert!(15 < routes.len() && routes.iter().all(|route| route.scope.is_some()), "each names its scope");
        routes
    }

    /// The path with the ids of a company's things; a new kind of id must be given one.
    fn filled(&self, ids: &BTreeMap<&str, String>) -> String {
        let mut path = self.path.clone();
        while let Some((before, rest)) = path.split_once('{') {
            let (name, after) = rest.split_once('}').unwrap();
            let id = ids.get(name).unwrap_or_else(|| panic!("give this test an id of {name}"));
            path = format!("{before}{id}{after}");
        }
        path
    }

    async fn call(&self, manager: &Manager, ids: &BTreeMap<&str, String>, token: &str) -> Answer {
        let body = Body::from(self.body.clone());
        manager.send(self.method.clone(), &self.filled(ids), Some(token), "192.0.2.1", body).await
    }
}

/// The example of a body that the document has.
fn example(document: &Value, schema: &str) -> String {
    let name = schema.rsplit('/').next().unwrap();
    document["components"]["schemas"][name]["example"].to_string()
}

pub(crate) async fn login_of(manager: &Manager, operator_id: OperatorId) -> SiteLogin {
    let mut tx = manager.app.db.read().await.unwrap();
    site_store::find_account(&mut tx, operator_id, &BearerHash::of("nobody")).await.unwrap().unwrap()
}

async fn make(manager: &Manager, maker: OperatorId, scopes: &[Scope], networks: &[Network]) -> (String, String) {
    let login = login_of(manager, maker).await;
    let name = "チケットシステム".parse().unwrap();
    let expires_at_ms = manager.app.now_ms() + 24 * 60 * 60 * 1000;
    let new = NewToken { name: &name, scopes: scopes.iter().copied().collect(), networks, expires_at_ms };
    let mut tx = manager.app.db.begin().await.unwrap();
    let made = tokens::create(&mut tx, &login, &new, manager.app.now_ms()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    made
}

/// A token with these scopes.
pub(crate) async fn token(manager: &Manager, maker: OperatorId, scopes: &[Scope]) -> String {
    make(manager, maker, scopes, &[]).await.1
}

/// One thing of each kind that has an id, of the company of a desk.
pub(crate) async fn things(desk: &Desk) -> BTreeMap<&'static str, String> {
    let entered = desk.connected().await;
    let admin = desk.manager.account(desk.operator.company_id, "mdm", Role::CompanyAdmin).await;
    let own = token(&desk.manager, admin, &[Scope::ReceptionsStart]).await;
    let started: Value = crate::devices::start(desk, &own, &crate::devices::laptop()).await.json();
    let reception = crate::devices::take(desk, &desk.operator.token, &started).await;
    let reception: ReceptionBody = reception.json();
    let mut tx = desk.manager.app.db.begin().await.unwrap();
    let new = NewNotice {
        writer: Writer::Company(desk.operator.company_id),
        only: &[],
        class: Class::ALL[0],
        important: false,
        title: "棚卸し",
        body: "",
        begins_at_ms: START_MS,
        ends_at_ms: START_MS + 1_000_000_000,
        stays_from_ms: None,
        author: "x",
    };
    let notice_id = notices::create(&mut tx, &new, START_MS).await.unwrap();
    let company_id = desk.operator.company_id;
    let category_id = manager::category::store::insert(&mut tx, company_id, "プリンター", START_MS).await.unwrap();
    let mail_id = hex::encode(manager::app::draw_id());
    execute!(
        &mut tx,
        "INSERT INTO mails
        (mail_id, company_id, kind, about, address, subject, body_sealed, state, tries, created_at_ms, due_at_ms,
            expires_at_ms, answer, claim, claimed_until_ms)
        VALUES ($1, $2, 'reset', '', 'a@example.jp', 'x', '', 'failed', 1, $3, $3, $3, '', '', 0)",
        &mail_id,
        company_id.to_string(),
        START_MS
    )
    .unwrap();
    let group_id = manager::group::store::insert(&mut tx, company_id, "早番", START_MS).await.unwrap().unwrap();
    let organisation_id =
        manager::organisation::store::insert(&mut tx, company_id, None, "南日本", "", START_MS).await.unwrap();
    tx.commit().await.unwrap();
    BTreeMap::from([
        ("mail_id", mail_id),
        ("group_id", group_id),
        ("organisation_id", organisation_id),
        ("operator_id", desk.operator.operator_id.to_string()),
        ("session_id", entered.pairing.session_id.to_string()),
        ("reception_id", reception.reception_id.to_string()),
        ("notice_id", notice_id),
        ("category_id", category_id.unwrap()),
    ])
}

#[tokio::test]
async fn a_token_is_made_at_the_site_shown_once_and_stored_as_its_hash() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        manager.account(company_id, "viewer", Role::Viewer).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        browser.get("/settings/tokens").await.says("APIトークンはまだありません");
        browser.get("/settings/tokens/new").await.says("accounts.read");
        let nothing = browser.post("/settings/tokens/new", &[("name", ""), ("days", "9"), ("networks", "home")]).await;
        assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
        for sentence in ["1〜64文字", "1つ以上選んでください", "一覧から選んで", "203.0.113.7"] {
            nothing.says(sentence);
        }
        let networks = "192.0.2.0/24\r\n2001:db8::/32";
        let fields = [("name", "<b>票</b>"), ("scope", "accounts.read"), ("scope", "notices.read"), ("days", "90")];
        let fields = fields.into_iter().chain([("networks", networks)]).collect::<Vec<_>>();
        let shown = browser.post("/settings/tokens/new", &fields).await;
        let token = shown.between("class=\"secret\">", "<");
        assert!(token.starts_with("uks_") && token.len() == 47, "{token}");

        let mut tx = manager.app.db.read().await.unwrap();
        let rows = fetch_all!(&mut tx, (String, String), "SELECT token_hash, scopes FROM api_tokens").unwrap();
        assert_eq!(rows, [(BearerHash::of(&token).as_str().to_owned(), "accounts.read notices.read".to_owned())]);
        drop(tx);
        let list = browser.get("/settings/tokens").await;
        list.lacks(&token);
        list.says(token.get(..12).unwrap());
        list.says("&#60;b&#62;票");
        list.says("接続元: 192.0.2.0/24 2001:db8::/32");
        assert_eq!(manager.get("/v1/manage/operators", Some(&token)).await.status, StatusCode::OK);
        browser.get("/settings/tokens").await.says("192.0.2.1");
        browser.get("/log/operations?event=token.").await.says("APIトークンを作成");

        let address = list.between("action=\"/settings/tokens/", "\"");
        let stranger = manager.company("other").await;
        manager.account(stranger, "admin", Role::CompanyAdmin).await;
        let other = Browser::new(&manager);
        other.log_in("other", "admin", PASSWORD).await.goes_to("/");
        other.get("/settings/tokens").await.says("APIトークンはまだありません");
        let refused = other.post(&format!("/settings/tokens/{address}"), &[]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "another company's token is not there");
        browser.post(&format!("/settings/tokens/{address}"), &[]).await.goes_to("/settings/tokens");
        assert_eq!(manager.get("/v1/manage/operators", Some(&token)).await.status, StatusCode::UNAUTHORIZED);

        let viewer = Browser::new(&manager);
        viewer.log_in("acme", "viewer", PASSWORD).await.goes_to("/");
        assert_eq!(viewer.get("/settings/tokens").await.status, StatusCode::FORBIDDEN);
        assert_eq!(viewer.get("/settings/tokens/new").await.status, StatusCode::FORBIDDEN);
    })
    .await;
}

#[tokio::test]
async fn each_route_takes_its_own_scope_and_no_other() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let ids = things(&desk).await;
        let admin = desk.manager.account(desk.operator.company_id, "admin", Role::CompanyAdmin).await;
        let viewer = desk.manager.account(desk.operator.company_id, "viewer", Role::Viewer).await;
        let mut others = BTreeMap::new();
        for scope in Scope::ALL {
            let rest: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
            others.insert(scope, token(&desk.manager, admin, &rest).await);
        }
        let by_viewer = token(&desk.manager, viewer, &Scope::ALL).await;

        for route in Route::managed() {
            let scope = route.scope.unwrap();
            let refused = route.call(&desk.manager, &ids, &others[&scope]).await;
            let seen = (refused.status, refused.error().code);
            assert_eq!(seen, (StatusCode::FORBIDDEN, ErrorCode::Forbidden), "{} {}", route.method, route.path);
            assert!(refused.error().message.contains(scope.as_str()));
            let nobody = route.call(&desk.manager, &ids, "uks_nobody").await;
            assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{} {}", route.method, route.path);
            let narrow = route.call(&desk.manager, &ids, &by_viewer).await;
            let reads = [Scope::ReceptionsRead, Scope::SessionsRead, Scope::StatisticsRead, Scope::NoticesRead];
            let expected = if reads.contains(&scope) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(narrow.status, expected, "what its maker may not do: {} {}", route.method, route.path);
        }
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_another_company_is_not_there() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let ids = things(&desk).await;
        let admin = desk.manager.account(desk.operator.company_id, "admin", Role::CompanyAdmin).await;
        let own = token(&desk.manager, admin, &Scope::ALL).await;
        let stranger = desk.manager.company("other").await;
        let stranger = desk.manager.account(stranger, "admin", Role::CompanyAdmin).await;
        let foreign = token(&desk.manager, stranger, &Scope::ALL).await;

        let routes = Route::managed();
        let strange: BTreeMap<&str, String> = ids.keys().map(|name| (*name, "%00%22'".to_owned())).collect();
        for route in routes.iter().filter(|route| route.path.contains('{')) {
            for (ids, token) in [(&ids, &foreign), (&strange, &own)] {
                let answer = route.call(&desk.manager, ids, token).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{} {}", route.method, route.path);
                assert_eq!(answer.error().code, ErrorCode::NotFound);
            }
        }
        for route in routes.iter().filter(|route| route.method == Method::GET) {
            let answer = route.call(&desk.manager, &ids, &own).await;
            assert_eq!(answer.status, StatusCode::OK, "{} {:?}", route.path, answer.body);
            if !route.path.contains('{') {
                let answer = route.call(&desk.manager, &ids, &foreign).await;
                let text = String::from_utf8(answer.body.to_vec()).unwrap();
                for id in ids.values() {
                    assert!(!text.contains(id), "{} tells {id}", route.path);
                }
            }
        }
    })
    .await;
}

/// What opens accounts: passwords, second factors, addresses to which links go, links, and tokens.
async fn keys(manager: &Manager) -> Vec<(String, String)> {
    let mut tx = manager.app.db.read().await.unwrap();
    let mut keys = fetch_all!(
        &mut tx,
        (String, String),
        "SELECT operator_id, password_hash || ' ' || COALESCE(totp_sealed, '') || ' ' || email || ' ' || role
        FROM operators WHERE deleted_at_ms IS NULL ORDER BY operator_id"
    )
    .unwrap();
    keys.extend(
        fetch_all!(&mut tx, (String, String), "SELECT token_id, scopes FROM api_tokens ORDER BY token_id").unwrap(),
    );
    let links = fetch_all!(&mut tx, (String, String), "SELECT token_hash, operator_id FROM password_links").unwrap();
    keys.extend(links);
    keys
}

#[tokio::test]
async fn no_route_gives_a_token_what_opens_an_account() {
    on_both(|db| async move {
        // Mail is on, so that a link could be sent.
        let config = config(|config| {
            config.mail.server = Some("localhost".to_owned());
            config.mail.from = Some("受付 <no-reply@example.co.jp>".parse().unwrap());
            config.mail.site = Some("https://support.example.co.jp".parse().unwrap());
        });
        let desk = Desk::with(Manager::with(db, config)).await;
        let ids = things(&desk).await;
        let admin = desk.manager.account(desk.operator.company_id, "admin", Role::CompanyAdmin).await;
        let own = token(&desk.manager, admin, &Scope::ALL).await;
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET email = 'a@example.jp', totp_sealed = 'sealed'").unwrap();
        tx.commit().await.unwrap();
        let before = keys(&desk.manager).await;
        let admin_ids = BTreeMap::from([("operator_id", admin.to_string())]).into_iter();
        let admin_ids: BTreeMap<&str, String> = ids.clone().into_iter().chain(admin_ids).collect();

        let routes = Route::managed();
        // Deleting comes last, because nothing can be done to who is not there.
        let (last, first): (Vec<&Route>, Vec<&Route>) = routes.iter().partition(|route| route.method == Method::DELETE);
        for route in first.into_iter().chain(last) {
            for ids in [&ids, &admin_ids] {
                let answer = route.call(&desk.manager, ids, &own).await;
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{}", route.path);
                assert!(!answer.status.is_server_error(), "{} {:?}", route.path, answer.body);
            }
        }
        let after = keys(&desk.manager).await;
        let mut tx = desk.manager.app.db.read().await.unwrap();
        let (links,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM password_links").unwrap();
        assert_eq!(links, 0, "nor does an account that a token makes get a link");
        drop(tx);
        for key in before.iter().filter(|(id, _)| after.iter().any(|(left, _)| left == id)) {
            assert!(after.contains(key), "{key:?} became another");
        }
        assert!(after.iter().any(|(id, _)| *id == admin.to_string()), "who administers cannot be deleted");
    })
    .await;
}

#[tokio::test]
async fn a_token_opens_nothing_but_its_own_routes() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let mut ids = things(&desk).await;
        ids.insert("relay_id", "0".repeat(32));
        let admin = desk.manager.account(desk.operator.company_id, "admin", Role::CompanyAdmin).await;
        let own = token(&desk.manager, admin, &Scope::ALL).await;
        let routes = Route::all();
        let others = routes.iter().filter(|route| route.scope.is_none());
        for route in others.filter(|route| !["/v1/login", "/v1/enter"].contains(&route.path.as_str())) {
            let answer = route.call(&desk.manager, &ids, &own).await;
            assert!(!answer.status.is_success(), "{} {}", route.method, route.path);
        }
        let tool = desk.manager.get("/v1/manage/operators", Some(&desk.operator.token)).await;
        assert_eq!(tool.status, StatusCode::UNAUTHORIZED, "the token of a tool is none of these");
        let browser = Browser::new(&desk.manager);
        browser.plant("__Host-uketsuke", &own);
        assert_eq!(browser.get("/operators").await.status, StatusCode::SEE_OTHER);
    })
    .await;
}

#[tokio::test]
async fn a_token_ends_with_its_time_its_maker_and_its_company() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let maker = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let works = async |token: &str| manager.get("/v1/manage/operators", Some(token)).await.status;
        let set = async |sql: &'static str| {
            let mut tx = manager.app.db.begin().await.unwrap();
            let sql = sqlx::AssertSqlSafe(sql);
            match &mut tx {
                manager::db::Tx::Sqlite(tx) => drop(sqlx::query(sql).execute(&mut **tx).await.unwrap()),
                manager::db::Tx::Postgres(tx) => drop(sqlx::query(sql).execute(&mut **tx).await.unwrap()),
            }
            tx.commit().await.unwrap();
        };
        let own = token(&manager, maker, &[Scope::AccountsRead]).await;
        assert_eq!(works(&own).await, StatusCode::OK);

        for (off, on) in [
            ("UPDATE operators SET stopped = TRUE", "UPDATE operators SET stopped = FALSE"),
            ("UPDATE operators SET password_initial = TRUE", "UPDATE operators SET password_initial = FALSE"),
            ("UPDATE operators SET deleted_at_ms = 1", "UPDATE operators SET deleted_at_ms = NULL"),
            (
                "UPDATE companies SET state = 'suspended' WHERE code = 'acme'",
                "UPDATE companies SET state = 'active' WHERE code = 'acme'",
            ),
        ] {
            set(off).await;
            assert_eq!(works(&own).await, StatusCode::UNAUTHORIZED, "{off}");
            set(on).await;
            assert_eq!(works(&own).await, StatusCode::OK);
        }
        set("UPDATE operators SET role = 'operator'").await;
        assert_eq!(works(&own).await, StatusCode::FORBIDDEN, "it can do no more than its maker");
        set("UPDATE operators SET role = 'company_admin'").await;

        let elsewhere: Network = "198.51.100.0/24".parse().unwrap();
        let bound = make(&manager, maker, &[Scope::AccountsRead], &[elsewhere]).await.1;
        assert_eq!(works(&bound).await, StatusCode::UNAUTHORIZED, "not from 192.0.2.1");
        let path = "/v1/manage/operators";
        let there = manager.send(Method::GET, path, Some(&bound), "198.51.100.7", Body::empty()).await;
        assert_eq!(there.status, StatusCode::OK);
        manager.advance(Duration::from_hours(25));
        assert_eq!(works(&own).await, StatusCode::UNAUTHORIZED, "its time is over");
    })
    .await;
}

#[tokio::test]
async fn requests_of_one_token_and_guesses_of_one_source_are_limited() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let maker = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let (token_id, own) = make(&manager, maker, &[Scope::AccountsRead], &[]).await;
        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "INSERT INTO throttles VALUES ('api.token', $1, 599, $2)", &token_id, START_MS + 30_000)
            .unwrap();
        tx.commit().await.unwrap();
        let ask = async |token: &str| manager.get("/v1/manage/operators", Some(token)).await;
        assert_eq!(ask(&own).await.status, StatusCode::OK);
        let refused = ask(&own).await;
        assert_eq!((refused.status, refused.error().retry_after_secs), (StatusCode::TOO_MANY_REQUESTS, Some(30)));
        manager.advance(Duration::from_secs(31));
        assert_eq!(ask(&own).await.status, StatusCode::OK);

        for _ in 0..60 {
            assert_eq!(ask("uks_guess").await.status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(ask("uks_guess").await.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(ask(&own).await.status, StatusCode::OK, "who has a token is not kept out by a neighbour");
    })
    .await;
}

#[tokio::test]
async fn a_list_goes_page_by_page_and_refuses_what_it_cannot_read() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id: CompanyId = manager.company("acme").await;
        let maker = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        for number in 0..7 {
            manager.account(company_id, &format!("user{number}"), Role::Operator).await;
        }
        let own = token(&manager, maker, &[Scope::AccountsRead, Scope::LogsRead]).await;
        let mut seen = Vec::new();
        let mut path = "/v1/manage/operators?role=operator&sort=-user&size=3".to_owned();
        loop {
            let page: Value = manager.get(&path, Some(&own)).await.json();
            assert_eq!(page["total"], 7);
            seen.extend(
                page["items"].as_array().unwrap().iter().map(|item| item["user_id"].as_str().unwrap().to_owned()),
            );
            let Some(after) = page["after"].as_str() else { break };
            path = format!("/v1/manage/operators?role=operator&sort=-user&size=3&after={after}");
        }
        let expected: Vec<String> = (0..7).rev().map(|number| format!("user{number}")).collect();
        assert_eq!(seen, expected);

        for bad in ["size=0", "size=201", "size=x", "sort=password_hash", "after=x", "state=gone", "nothing=1", "q=%00"]
        {
            let refused = manager.get(&format!("/v1/manage/operators?{bad}"), Some(&own)).await;
            assert_eq!(
                (refused.status, refused.error().code),
                (StatusCode::BAD_REQUEST, ErrorCode::BadRequest),
                "{bad}"
            );
        }
        let days = manager.get("/v1/manage/log/operations?from=2026-02-30", Some(&own)).await;
        assert_eq!(days.status, StatusCode::BAD_REQUEST);
        let log: Value = manager.get("/v1/manage/log/operations?event=operator.&size=1", Some(&own)).await.json();
        assert_eq!(log["items"][0]["event"], json!("operator.created"));
    })
    .await;
}

#[tokio::test]
async fn a_company_has_fifty_tokens_and_those_that_are_over_do_not_count() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let maker = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        for _ in 0..50 {
            token(&manager, maker, &[Scope::NoticesRead]).await;
        }
        let login = login_of(&manager, maker).await;
        let name = "もう1つ".parse().unwrap();
        let scopes: Scopes = [Scope::NoticesRead].into_iter().collect();
        let new = NewToken { name: &name, scopes, networks: &[], expires_at_ms: i64::MAX };
        let mut tx = manager.app.db.begin().await.unwrap();
        assert!(tokens::create(&mut tx, &login, &new, manager.app.now_ms()).await.unwrap().is_none());
        drop(tx);
        manager.advance(Duration::from_hours(25));
        let mut tx = manager.app.db.begin().await.unwrap();
        assert!(tokens::create(&mut tx, &login, &new, manager.app.now_ms()).await.unwrap().is_some());
        tx.commit().await.unwrap();
        let mut tx = manager.app.db.read().await.unwrap();
        let (count,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM api_tokens").unwrap();
        assert_eq!(count, 51);
    })
    .await;
}
