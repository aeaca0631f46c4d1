//! What a token changes: over the version that was read, within the reach and the role of its maker, and in the log.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use manager::{
    audit::verify::{Verdict, verify},
    execute, fetch_all, fetch_one, organisation,
    role::{Permission, Permissions, Role},
    token::Scope,
};
use proto::{
    api::error::ErrorCode,
    id::{CompanyId, OperatorId},
};
use serde_json::{Value, json};

use crate::{
    manage::{login_of, token},
    roles::Walker,
    session::Desk,
    testing::{Answer, Manager, START_MS, on_both},
};

async fn ask(manager: &Manager, method: Method, path: &str, token: &str, body: &Value) -> Answer {
    let path = format!("/v1/manage/{path}");
    manager.send(method, &path, Some(token), "192.0.2.1", Body::from(body.to_string())).await
}

async fn organisation(manager: &Manager, company_id: CompanyId, name: &str) -> String {
    let mut tx = manager.app.db.begin().await.unwrap();
    let id = organisation::store::insert(&mut tx, company_id, None, name, "", START_MS).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn place(manager: &Manager, operator_id: OperatorId, organisation_id: &str) {
    let mut tx = manager.app.db.begin().await.unwrap();
    let sql_id = operator_id.to_string();
    execute!(&mut tx, "UPDATE operators SET organisation_id = $2 WHERE operator_id = $1", sql_id, organisation_id)
        .unwrap();
    tx.commit().await.unwrap();
}

/// Actors of an event in the chain.
async fn actors(manager: &Manager, event: &str) -> Vec<String> {
    let mut tx = manager.app.db.read().await.unwrap();
    let rows = fetch_all!(&mut tx, (String,), "SELECT actor FROM audit WHERE event = $1 ORDER BY seq", event).unwrap();
    rows.into_iter().map(|(actor,)| actor).collect()
}

#[tokio::test]
async fn an_account_is_made_and_changed_over_its_version_but_not_its_address_or_to_an_administrator() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = manager.company("acme").await;
        let maker = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let own = token(&manager, maker, &[Scope::AccountsRead, Scope::AccountsWrite, Scope::LogsRead]).await;
        let east = organisation(&manager, company_id, "東日本").await;
        let mut tx = manager.app.db.begin().await.unwrap();
        let group = manager::group::store::insert(&mut tx, company_id, "夜間", START_MS).await.unwrap().unwrap();
        tx.commit().await.unwrap();

        let new = json!({ "user_id": "tanaka", "name": "田中 一", "email": "tanaka@example.co.jp", "role": "operator",
            "organisation_id": east, "groups": [group] });
        let made = ask(&manager, Method::POST, "operators", &own, &new).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        let made: Value = made.json();
        assert_eq!((&made["state"], &made["organisation"]), (&json!("initial"), &json!("東日本")));
        assert_eq!(made["groups"], json!([group]));
        let taken = ask(&manager, Method::POST, "operators", &own, &new).await;
        assert_eq!((taken.status, taken.error().code), (StatusCode::CONFLICT, ErrorCode::WrongState));

        let path = format!("operators/{}", made["operator_id"].as_str().unwrap());
        let change = |field: &str, value: Value| {
            let mut body = json!({ "name": "田中 二", "kana": "タナカ", "email": "tanaka@example.co.jp", "role": "operator",
                "organisation_id": "", "groups": [], "version": made["version"] });
            body[field] = value;
            body
        };
        for (field, value, status) in [
            ("email", json!("thief@example.com"), StatusCode::FORBIDDEN),
            ("role", json!("company_admin"), StatusCode::FORBIDDEN),
            ("role", json!("organisation_admin"), StatusCode::FORBIDDEN),
            ("role", json!("root"), StatusCode::BAD_REQUEST),
            ("name", json!("\u{202e}x\n"), StatusCode::BAD_REQUEST),
            ("kana", json!("x".repeat(65)), StatusCode::BAD_REQUEST),
            ("role", json!("\u{0}"), StatusCode::BAD_REQUEST),
            ("organisation_id", json!("0".repeat(32)), StatusCode::BAD_REQUEST),
            ("organisation_id", json!("\u{0}"), StatusCode::BAD_REQUEST),
            ("groups", json!(["\u{0}"]), StatusCode::BAD_REQUEST),
            ("groups", json!(["0".repeat(32)]), StatusCode::BAD_REQUEST),
            ("version", json!(99), StatusCode::CONFLICT),
        ] {
            let refused = ask(&manager, Method::PUT, &path, &own, &change(field, value)).await;
            assert_eq!(refused.status, status, "{field}: {:?}", refused.body);
            assert!(!refused.error().message.is_empty());
        }
        let changed = ask(&manager, Method::PUT, &path, &own, &change("role", json!("supervisor"))).await;
        let changed: Value = changed.json();
        assert_eq!((&changed["name"], &changed["role"]), (&json!("田中 二"), &json!("supervisor")));
        assert_eq!((&changed["organisation_id"], &changed["groups"]), (&json!(""), &json!([])));
        let late = ask(&manager, Method::PUT, &path, &own, &change("role", json!("operator"))).await;
        assert_eq!(late.status, StatusCode::CONFLICT, "of two who change one account the second is told");

        for (verb, state) in [("stop", "stopped"), ("start", "initial"), ("unlock", "initial")] {
            let after = ask(&manager, Method::POST, &format!("{path}/{verb}"), &own, &json!({})).await;
            assert_eq!(after.json::<Value>()["state"], json!(state));
        }
        let out = ask(&manager, Method::POST, &format!("{path}/logout"), &own, &json!({})).await;
        assert_eq!(out.status, StatusCode::NO_CONTENT);
        let admin = format!("operators/{maker}");
        for (method, path) in [(Method::DELETE, admin.clone()), (Method::POST, format!("{admin}/stop"))] {
            assert_eq!(ask(&manager, method, &path, &own, &json!({})).await.status, StatusCode::FORBIDDEN, "{path}");
        }
        assert_eq!(ask(&manager, Method::DELETE, &path, &own, &json!({})).await.status, StatusCode::NO_CONTENT);
        assert_eq!(ask(&manager, Method::GET, &path, &own, &json!({})).await.status, StatusCode::NOT_FOUND);

        for event in ["operator.created", "operator.changed", "operator.stopped", "operator.logged_out", "operator.deleted"] {
            let actors = actors(&manager, event).await;
            assert!(actors.last().is_some_and(|actor| actor.starts_with("token:")), "{event}: {actors:?}");
        }
        let log = ask(&manager, Method::GET, "log/operations?event=operator.deleted", &own, &json!({})).await;
        assert_eq!(log.json::<Value>()["items"][0]["actor_name"], json!("API: チケットシステム"));
        assert!(matches!(verify(&db).await.unwrap(), Verdict::Holds { .. }));
    })
    .await;
}

#[tokio::test]
async fn a_token_reaches_what_its_maker_reaches_now() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let (east, west) =
            (organisation(&manager, company_id, "東日本").await, organisation(&manager, company_id, "西日本").await);
        let maker = manager.account(company_id, "local", Role::OrganisationAdmin).await;
        let near = manager.operator(company_id, "east1").await;
        let far = manager.operator(company_id, "west1").await;
        for (operator_id, organisation_id) in [(maker, &east), (near, &east), (far, &west)] {
            place(&manager, operator_id, organisation_id).await;
        }
        let own = token(&manager, maker, &Scope::ALL).await;
        let seen = async |path: &str| ask(&manager, Method::GET, path, &own, &json!({})).await;

        let list: Value = seen("operators?sort=user").await.json();
        let users: Vec<&str> = list["items"].as_array().unwrap().iter().filter_map(|o| o["user_id"].as_str()).collect();
        assert_eq!(users, ["east1", "local"]);
        let tree: Value = seen("organisations").await.json();
        assert_eq!(tree["organisations"].as_array().unwrap().len(), 1);
        for (method, verb) in
            [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "/stop"), (Method::POST, "/unlock")]
        {
            let answer = ask(&manager, method, &format!("operators/{far}{verb}"), &own, &json!({})).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{verb}");
        }
        let near_path = format!("operators/{near}");
        let mut body = json!({ "name": "x", "kana": "", "email": "", "role": "operator", "organisation_id": west,
            "groups": [], "version": 0 });
        assert_eq!(ask(&manager, Method::PUT, &near_path, &own, &body).await.status, StatusCode::BAD_REQUEST);
        body["organisation_id"] = json!("");
        let out_of_sight = ask(&manager, Method::PUT, &near_path, &own, &body).await;
        assert_eq!(out_of_sight.status, StatusCode::BAD_REQUEST);
        body["organisation_id"] = json!(east);
        body["role"] = json!("auditor");
        assert_eq!(ask(&manager, Method::PUT, &near_path, &own, &body).await.status, StatusCode::FORBIDDEN, "too wide");
        let made = json!({ "user_id": "east2", "name": "x", "role": "operator" });
        let made: Value = ask(&manager, Method::POST, "operators", &own, &made).await.json();
        assert_eq!(made["organisation"], json!("東日本"), "who sees a part of the tree makes accounts in it");

        // A role of the company decides from the next request on.
        let walker = Walker::new(&manager, company_id, maker).await;
        walker.may(Role::OrganisationAdmin, [Permission::OperatorView].into_iter().collect()).await;
        assert_eq!(seen(&near_path).await.status, StatusCode::OK);
        let stop = ask(&manager, Method::POST, &format!("{near_path}/stop"), &own, &json!({})).await;
        assert_eq!(stop.status, StatusCode::FORBIDDEN);
        walker.may(Role::OrganisationAdmin, Permissions::default()).await;
        for path in [near_path.as_str(), "organisations", "groups", "roles", "operators"] {
            assert_eq!(seen(path).await.status, StatusCode::FORBIDDEN, "{path}");
        }
        let roles = login_of(&manager, maker).await;
        assert_eq!(roles.permissions, Permissions::default());
    })
    .await;
}

#[tokio::test]
async fn the_tree_is_changed_by_a_token_within_the_reach_of_its_maker() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let maker = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let own = token(&manager, maker, &[Scope::AccountsRead, Scope::AccountsWrite]).await;
        let call = async |method: Method, path: &str, body: Value| ask(&manager, method, path, &own, &body).await;
        let made = async |name: &str, parent: &Value| -> Value {
            let body = json!({ "name": name, "parent_id": parent });
            call(Method::POST, "organisations", body).await.json::<Value>()["organisation_id"].clone()
        };
        let east = made("東日本", &json!("")).await;
        let tokyo = made("東京", &east).await;
        let west = made("西日本", &json!("")).await;
        let path = |id: &Value, rest: &str| format!("organisations/{}{rest}", id.as_str().unwrap());
        for (field, value, status) in [
            ("name", json!("西日本"), StatusCode::CONFLICT),
            ("name", json!("x".repeat(31)), StatusCode::BAD_REQUEST),
            ("note", json!("x".repeat(101)), StatusCode::BAD_REQUEST),
            ("parent_id", json!("0".repeat(32)), StatusCode::BAD_REQUEST),
            ("parent_id", tokyo.clone(), StatusCode::CONFLICT),
            ("version", json!(7), StatusCode::CONFLICT),
        ] {
            let mut body = json!({ "name": "東日本", "note": "", "parent_id": "", "version": 0 });
            body[field] = value;
            let refused = call(Method::PUT, &path(&east, ""), body).await;
            assert_eq!(refused.status, status, "{field} {:?}", refused.body);
        }
        let body = json!({ "name": "関東", "note": "本社", "parent_id": west, "version": 0 });
        let moved: Value = call(Method::PUT, &path(&east, ""), body.clone()).await.json();
        assert_eq!((&moved["name"], &moved["parent_id"]), (&json!("関東"), &west));
        assert_eq!(call(Method::PUT, &path(&east, ""), body).await.status, StatusCode::CONFLICT, "the second is told");
        assert_eq!(call(Method::DELETE, &path(&east, ""), json!({})).await.status, StatusCode::CONFLICT, "not empty");
        let into = call(Method::POST, &path(&east, "/merge"), json!({ "into": west })).await;
        assert_eq!(into.json::<Value>()["organisation_id"], west);
        assert_eq!(call(Method::DELETE, &path(&tokyo, ""), json!({})).await.status, StatusCode::NO_CONTENT);
        let tree: Value = call(Method::GET, "organisations", json!({})).await.json();
        assert_eq!(tree["organisations"].as_array().unwrap().len(), 1);

        for (event, count) in [
            ("organisation.created", 3),
            ("organisation.changed", 1),
            ("organisation.merged", 1),
            ("organisation.deleted", 1),
        ] {
            let actors = actors(&manager, event).await;
            assert_eq!(actors.len(), count, "{event}");
            assert!(actors.iter().all(|actor| actor.starts_with("token:")), "{event}: {actors:?}");
        }

        // Whoever reaches a part of the tree changes nothing outside of it, and not its top.
        let local = manager.account(company_id, "local", Role::OrganisationAdmin).await;
        place(&manager, local, west.as_str().unwrap()).await;
        let far = organisation(&manager, company_id, "北日本").await;
        let own = token(&manager, local, &[Scope::AccountsWrite]).await;
        let west = west.as_str().unwrap();
        for (method, path, body, status) in [
            (Method::DELETE, format!("organisations/{far}"), json!({}), StatusCode::NOT_FOUND),
            (Method::DELETE, format!("organisations/{west}"), json!({}), StatusCode::FORBIDDEN),
            (Method::POST, format!("organisations/{west}/merge"), json!({ "into": far }), StatusCode::FORBIDDEN),
            (Method::POST, "organisations".to_owned(), json!({ "name": "x" }), StatusCode::BAD_REQUEST),
            (
                Method::POST,
                "organisations".to_owned(),
                json!({ "name": "x", "parent_id": far }),
                StatusCode::BAD_REQUEST,
            ),
            (Method::POST, "organisations".to_owned(), json!({ "name": "x", "parent_id": west }), StatusCode::CREATED),
        ] {
            let answer = ask(&manager, method, &path, &own, &body).await;
            assert_eq!(answer.status, status, "{path} {body} {:?}", answer.body);
        }
    })
    .await;
}

#[tokio::test]
async fn groups_are_made_renamed_and_deleted_by_a_token() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let maker = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let own = token(&manager, maker, &[Scope::AccountsRead, Scope::AccountsWrite]).await;
        let call = async |method: Method, path: &str, body: Value| ask(&manager, method, path, &own, &body).await;
        let group: Value = call(Method::POST, "groups", json!({ "name": "夜間" })).await.json();
        assert_eq!(call(Method::POST, "groups", json!({ "name": "夜間" })).await.status, StatusCode::CONFLICT);
        assert_eq!(call(Method::POST, "groups", json!({ "name": "" })).await.status, StatusCode::BAD_REQUEST);
        let path = format!("groups/{}", group["group_id"].as_str().unwrap());
        let body = json!({ "name": "早朝", "version": group["version"] });
        let renamed: Value = call(Method::PUT, &path, body.clone()).await.json();
        assert_eq!(call(Method::PUT, &path, body).await.status, StatusCode::CONFLICT, "the second is told");
        let groups: Value = call(Method::GET, "groups", json!({})).await.json();
        assert_eq!(groups["groups"], json!([renamed]));
        assert_eq!(call(Method::DELETE, &path, json!({})).await.status, StatusCode::NO_CONTENT);
        assert_eq!(call(Method::DELETE, &path, json!({})).await.status, StatusCode::NOT_FOUND);
        for event in ["group.created", "group.changed", "group.deleted"] {
            let actors = actors(&manager, event).await;
            assert!(matches!(&actors[..], [actor] if actor.starts_with("token:")), "{event}: {actors:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn categories_and_notices_are_made_changed_and_ended_by_a_token() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let maker = manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let scopes = [Scope::SettingsWrite, Scope::SessionsRead, Scope::NoticesRead];
        let own = token(&manager, maker, &scopes).await;
        let made: Value = ask(&manager, Method::POST, "categories", &own, &json!({ "name": "メール" })).await.json();
        let path = format!("categories/{}", made["category_id"].as_str().unwrap());
        for (name, status) in [("メール", StatusCode::CONFLICT), ("", StatusCode::BAD_REQUEST)] {
            let refused = ask(&manager, Method::POST, "categories", &own, &json!({ "name": name })).await;
            assert_eq!(refused.status, status, "{name:?}");
        }
        let body = json!({ "name": "電子メール", "retired": true, "version": 0 });
        let changed: Value = ask(&manager, Method::PUT, &path, &own, &body).await.json();
        assert_eq!(
            changed,
            json!({ "category_id": made["category_id"], "name": "電子メール", "retired": true, "version": 1 })
        );
        assert_eq!(ask(&manager, Method::PUT, &path, &own, &body).await.status, StatusCode::CONFLICT);
        let listed: Value = ask(&manager, Method::GET, "categories", &own, &json!({})).await.json();
        assert_eq!(listed["categories"], json!([changed]));
        assert_eq!(ask(&manager, Method::DELETE, &path, &own, &json!({})).await.status, StatusCode::NO_CONTENT);
        assert_eq!(ask(&manager, Method::DELETE, &path, &own, &json!({})).await.status, StatusCode::NOT_FOUND);
        for event in ["category.created", "category.changed", "category.retired", "category.deleted"] {
            assert_eq!(actors(&manager, event).await.len(), 1, "{event}");
        }

        let notice = json!({ "kind": "other", "important": true, "title": "棚卸し", "body": "本日休みます。",
            "begins_at_ms": START_MS, "ends_at_ms": START_MS + 1 });
        for (field, value) in [
            ("kind", json!("news")),
            ("title", json!("")),
            ("body", json!("\u{0}")),
            ("ends_at_ms", json!(START_MS)),
            ("ends_at_ms", json!(i64::MAX)),
        ] {
            let mut body = notice.clone();
            body[field] = value;
            let refused = ask(&manager, Method::POST, "notices", &own, &body).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{field}");
            assert!(refused.error().message.contains(field), "{}", refused.error().message);
        }
        let made: Value = ask(&manager, Method::POST, "notices", &own, &notice).await.json();
        assert_eq!((&made["is_own"], &made["author"]), (&json!(true), &json!("API: チケットシステム")));
        let end = format!("notices/{}/end", made["notice_id"].as_str().unwrap());
        assert_eq!(ask(&manager, Method::POST, &end, &own, &json!({})).await.status, StatusCode::NO_CONTENT);
        assert_eq!(ask(&manager, Method::POST, &end, &own, &json!({})).await.status, StatusCode::NOT_FOUND);
        for event in ["notice.created", "notice.ended"] {
            assert!(actors(&manager, event).await.iter().all(|actor| actor.starts_with("token:")), "{event}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_notice_that_is_sent_again_under_its_key_is_written_once() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        let maker = manager.account(desk.operator.company_id, "admin", Role::CompanyAdmin).await;
        let (own, other) = (token(manager, maker, &Scope::ALL).await, token(manager, maker, &Scope::ALL).await);
        let notice = |title: &str| {
            json!({ "kind": "other", "important": true, "title": title, "body": "本日休みます。",
                "begins_at_ms": START_MS, "ends_at_ms": START_MS + 1 })
        };
        let write = async |token: &str, key: &str, title: &str| {
            let request = Request::post("/v1/manage/notices")
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .header("idempotency-key", key)
                .body(Body::from(notice(title).to_string()))
                .unwrap();
            Answer::read(manager.respond(request).await).await
        };

        let (first, second) = tokio::join!(write(&own, "a-1", "棚卸し"), write(&own, "a-1", "棚卸し"));
        assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
        let [first, second]: [Value; 2] = [first.json(), second.json()];
        assert_eq!(first, second);
        let end = format!("notices/{}/end", first["notice_id"].as_str().unwrap());
        assert_eq!(ask(manager, Method::POST, &end, &own, &json!({})).await.status, StatusCode::NO_CONTENT);
        let again: Value = write(&own, "a-1", "棚卸し").await.json();
        assert_eq!(again["notice_id"], first["notice_id"], "it was written, whatever became of it");

        assert_eq!(write(&own, "a-1", "別の件名").await.status, StatusCode::CONFLICT);
        for key in ["", &"x".repeat(65)] {
            assert_eq!(write(&own, key, "棚卸し").await.status, StatusCode::BAD_REQUEST, "{key}");
        }
        // Another key, another program with the same key, and no key are other notices.
        for (token, key) in [(&own, "a-2"), (&other, "a-1")] {
            let made: Value = write(token, key, "棚卸し").await.json();
            assert_ne!(made["notice_id"], first["notice_id"], "{key}");
        }
        for _ in 0..2 {
            assert_eq!(
                ask(manager, Method::POST, "notices", &own, &notice("棚卸し")).await.status,
                StatusCode::CREATED
            );
        }
        let listed: Value = ask(manager, Method::GET, "notices", &own, &json!({})).await.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), 5);
        assert_eq!(actors(manager, "notice.created").await.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn numbers_sessions_and_cases_are_changed_by_a_token_and_both_sides_are_told() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        let maker = manager.account(desk.operator.company_id, "admin", Role::CompanyAdmin).await;
        let own = token(manager, maker, &Scope::ALL).await;
        let reception = desk.issue().await;
        let verb = |verb: &str| format!("live/receptions/{}/{verb}", reception.reception_id);
        for (name, status) in
            [("extend", StatusCode::NO_CONTENT), ("cancel", StatusCode::NO_CONTENT), ("cancel", StatusCode::CONFLICT)]
        {
            let answer = ask(manager, Method::POST, &verb(name), &own, &json!({})).await;
            assert_eq!(answer.status, status, "{name} {:?}", answer.body);
        }

        let entered = desk.connected().await;
        let session_id = entered.pairing.session_id;
        let running: Value = ask(manager, Method::GET, "live/sessions?state=connected", &own, &json!({})).await.json();
        assert_eq!(running["items"][0]["permissions"], json!(["view"]));
        let case = format!("sessions/{session_id}/case");
        let body = json!({ "case_number": "T-1", "result": "resolved", "note": "済み", "version": 0 });
        let written: Value = ask(manager, Method::PUT, &case, &own, &body).await.json();
        assert_eq!((&written["case_number"], &written["result"]), (&json!("T-1"), &json!("resolved")));
        let mut other = body.clone();
        other["note"] = json!("別");
        assert_eq!(ask(manager, Method::PUT, &case, &own, &other).await.status, StatusCode::CONFLICT);
        other["version"] = json!(1);
        for (field, value) in [("category_id", json!("\u{0}")), ("note", json!("\u{0}")), ("result", json!("perfect"))]
        {
            let mut wrong = other.clone();
            wrong[field] = value;
            assert_eq!(ask(manager, Method::PUT, &case, &own, &wrong).await.status, StatusCode::BAD_REQUEST, "{field}");
        }

        let end = format!("live/sessions/{session_id}/end");
        assert_eq!(ask(manager, Method::POST, &end, &own, &json!({})).await.status, StatusCode::NO_CONTENT);
        assert_eq!(ask(manager, Method::POST, &end, &own, &json!({})).await.status, StatusCode::CONFLICT);
        let detail: Value = ask(manager, Method::GET, &format!("sessions/{session_id}"), &own, &json!({})).await.json();
        assert_eq!(detail["session"]["end_reason"], json!("revoked"));
        let events: Vec<&str> =
            detail["events"].as_array().unwrap().iter().filter_map(|event| event["event"].as_str()).collect();
        assert!(events.contains(&"session.connected") && events.contains(&"session.ended"), "{events:?}");
        for event in ["reception.extended", "reception.cancelled", "session.ended"] {
            let actors = actors(manager, event).await;
            assert!(actors.iter().all(|actor| actor.starts_with("token:")), "{event}: {actors:?}");
        }
        let mut tx = manager.app.db.read().await.unwrap();
        let (used,) = fetch_one!(&mut tx, (Option<i64>,), "SELECT used_at_ms FROM api_tokens").unwrap();
        assert_eq!(used, Some(START_MS));
    })
    .await;
}
