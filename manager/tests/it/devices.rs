//! Receptions that a device management starts for devices that it knows.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use manager::{
    audit::verify::{Verdict, verify},
    company::retention,
    db::Db,
    execute, fetch_all, fetch_one,
    role::Role,
    session::sweep::Sweep,
    token::Scope,
};
use proto::{
    api::{error::ErrorCode, reception::ReceptionBody},
    id::OperatorId,
};
use serde_json::{Value, json};

use crate::{
    live::browser,
    manage::token,
    session::{Desk, OPERATOR_KEY},
    testing::{Answer, PASSWORD, at_once, on_both},
};

const ADDRESS: &str = "/v1/manage/receptions";

/// What a device management says of a device.
pub(crate) fn laptop() -> Value {
    json!({
        "device": {
            "id": "MDM-0007", "name": "営業3号", "model": "ThinkPad X1", "os": "Windows 11 24H2", "serial": "PF-3A9K2",
        },
        "applications": [{ "name": "表計算<b>", "version": "16.0.1" }, { "name": "=HYPERLINK(1)" }],
        "customer_name": "佐藤 花子",
        "case_number": "T-2041",
        "reason": "印刷ができない",
    })
}

/// Starts a reception.
pub(crate) async fn start(desk: &Desk, token: &str, body: &Value) -> Answer {
    desk.manager.post(ADDRESS, Some(token), &body.to_string()).await
}

/// Starts one with a key, so that it can be repeated.
async fn start_once(desk: &Desk, token: &str, key: &str, body: &Value) -> Answer {
    let request = Request::post(ADDRESS)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()));
    Answer::read(desk.manager.respond(request.unwrap()).await).await
}

/// An operator's tool takes the number of a start.
pub(crate) async fn take(desk: &Desk, operator: &str, started: &Value) -> Answer {
    let body = json!({ "proof_key": hex::encode(OPERATOR_KEY), "locator": started["locator"] });
    desk.manager.post("/v1/receptions", Some(operator), &body.to_string()).await
}

/// Where a start stands.
async fn stands(desk: &Desk, token: &str, started: &Value) -> Value {
    desk.manager.get(&address(started), Some(token)).await.json()
}

fn address(started: &Value) -> String {
    format!("{ADDRESS}/{}/start", started["reception_id"].as_str().unwrap())
}

async fn cancel(desk: &Desk, token: &str, started: &Value) -> StatusCode {
    desk.manager.send(Method::DELETE, &address(started), Some(token), "192.0.2.1", Body::empty()).await.status
}

/// A device of its own for each test that needs several.
fn device(id: &str) -> Value {
    json!({ "device": { "id": id } })
}

/// A token of a device management, made by an administrator of the desk's company.
async fn mdm(desk: &Desk) -> String {
    let admin = desk.manager.account(desk.operator.company_id, "mdm", Role::CompanyAdmin).await;
    token(&desk.manager, admin, &[Scope::ReceptionsStart]).await
}

/// Another account of the desk's company, logged in as a tool.
async fn colleague(desk: &Desk, user: &str, role: Role) -> (OperatorId, String) {
    let operator_id = desk.manager.account(desk.operator.company_id, user, role).await;
    let answer: proto::api::login::LoginAnswer = desk.manager.login("acme", user, PASSWORD).await.json();
    (operator_id, answer.token)
}

async fn sweep(desk: &Desk) {
    Sweep::begin(desk.manager.app.now_ms()).round(&desk.manager.app).await.unwrap();
}

/// The events of a reception, as the chain has them.
async fn events(db: &Db, started: &Value) -> Vec<(String, String)> {
    let mut tx = db.read().await.unwrap();
    fetch_all!(
        &mut tx,
        (String, String),
        "SELECT event, actor FROM audit WHERE reception_id = $1 AND session_id IS NULL ORDER BY seq",
        started["reception_id"].as_str().unwrap()
    )
    .unwrap()
}

#[tokio::test]
async fn a_device_management_starts_a_reception_whose_session_the_log_has_with_the_device() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let own = mdm(&desk).await;

        let answer = start(&desk, &own, &laptop()).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        let started: Value = answer.json();
        let locator = started["locator"].as_str().unwrap();
        assert_eq!((&started["state"], &started["sessions"]), (&json!("waiting"), &json!(0)));
        assert_eq!(started["client_arguments"], json!(["--number", format!("{locator}{{secret}}")]));
        assert_eq!(started["secret_digits"], 4);
        let life = started["expires_at_ms"].as_i64().unwrap() - started["started_at_ms"].as_i64().unwrap();
        assert_eq!(life, 600_000);
        let board = admin.get("/live/receptions").await;
        for text in [
            "営業3号",
            "ThinkPad X1 / Windows 11 24H2",
            "オペレーター待ち",
            "だれでも受け取れる",
            "有効な受付番号: 1件",
        ] {
            board.says(text);
        }
        board.lacks(locator);
        board.lacks("/extend");
        assert_eq!(desk.enter(locator, "203.0.113.5").await.status, StatusCode::NOT_FOUND, "nobody has taken it");

        let taken: ReceptionBody = take(&desk, &desk.operator.token, &started).await.json();
        assert_eq!(taken.reception_id.to_string(), started["reception_id"]);
        assert_eq!((taken.locator.as_str(), taken.reason.as_str()), (locator, "印刷ができない"));
        assert_eq!(stands(&desk, &own, &started).await["state"], "issued");
        admin.get("/live/receptions?q=pf-3a9").await.says("営業3号");
        admin.get("/live/receptions?q=pf-3a9").await.lacks("オペレーター待ち</span>");
        let entered = desk.entered(&taken).await;
        let id = entered.pairing.session_id;
        admin.get("/live/sessions").await.says("営業3号");
        admin.get("/live/sessions").await.says("Windows 11 24H2");
        desk.say(id, "proved", &desk.operator.token, &json!({})).await;
        desk.say(id, "consent", &entered.token, &json!({ "kind": "view", "answer": "granted" })).await;
        desk.say(id, "end", &entered.token, &json!({ "reason": "customer_ended" })).await;

        let now = stands(&desk, &own, &started).await;
        assert_eq!((&now["state"], &now["session_id"], &now["sessions"]), (&json!("proved"), &json!(id), &json!(1)));
        assert_eq!((&now["locator"], &now["client_arguments"]), (&Value::Null, &Value::Null), "it is used up");
        let page = admin.get(&format!("/log/sessions/{id}")).await;
        let told =
            ["営業3号", "ThinkPad X1", "PF-3A9K2", "MDM-0007", "表計算&#60;b&#62;", "16.0.1", "佐藤 花子", "T-2041"];
        for text in told.into_iter().chain(["この端末のサポート（1件）", "アプリ（2個）", "MDMが受付を開始"])
        {
            page.says(text);
        }
        admin.get("/log/sessions").await.says("営業3号 / ThinkPad X1");
        let events = events(&db, &started).await;
        assert_eq!(
            events.iter().map(|(event, _)| event.as_str()).collect::<Vec<_>>(),
            ["reception.started", "reception.issued"]
        );
        assert!(events[0].1.starts_with("token:") && events[1].1.starts_with("operator:"), "{events:?}");
        assert!(matches!(verify(&db).await.unwrap(), Verdict::Holds { .. }));
    })
    .await;
}

#[tokio::test]
async fn a_device_is_known_again_in_page_file_and_api() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let (admin_id, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let own = token(&desk.manager, admin_id, &Scope::ALL).await;
        desk.connected().await;
        for id in ["MDM-0007", "MDM-0007", "MDM-0008"] {
            let mut body = laptop();
            body["device"]["id"] = json!(id);
            let started: Value = start(&desk, &own, &body).await.json();
            let taken: ReceptionBody = take(&desk, &desk.operator.token, &started).await.json();
            let entered = desk.entered(&taken).await;
            desk.say(entered.pairing.session_id, "proved", &desk.operator.token, &json!({})).await;
            desk.say(entered.pairing.session_id, "end", &entered.token, &json!({ "reason": "customer_ended" })).await;
        }

        let known: Value = start(&desk, &own, &laptop()).await.json();
        assert_eq!(known["sessions"], 2);
        let list = admin.get("/log/sessions?device=MDM-0007").await;
        list.says("name=\"device\" value=\"MDM-0007\"");
        assert_eq!(list.text.matches("営業3号 / ThinkPad X1").count(), 2);
        admin.get("/log/sessions?q=pf-3a9k2&state=").await.says("営業3号");
        let page: Value = desk.manager.get("/v1/manage/sessions?device=MDM-0008", Some(&own)).await.json();
        assert_eq!((&page["total"], &page["items"][0]["managed_device"]["serial"]), (&json!(1), &json!("PF-3A9K2")));
        let path = format!("/v1/manage/sessions/{}", page["items"][0]["session_id"].as_str().unwrap());
        let detail: Value = desk.manager.get(&path, Some(&own)).await.json();
        assert_eq!(detail["applications"][0], json!({ "name": "表計算<b>", "version": "16.0.1" }));
        assert_eq!(detail["session"]["case_number"], "T-2041");
        let board: Value = desk.manager.get("/v1/manage/live/receptions?state=waiting", Some(&own)).await.json();
        assert_eq!(
            (&board["items"][0]["managed_device"]["name"], &board["items"][0]["operator_id"]),
            (&json!("営業3号"), &Value::Null)
        );
        let file = admin.get("/log/sessions/file?device=MDM-0008").await;
        file.says("device_id,device_name,device_model,device_os,device_serial,applications");
        file.says("MDM-0008,営業3号,ThinkPad X1,Windows 11 24H2,PF-3A9K2,");
        assert_eq!(file.text.lines().count(), 2, "{}", file.text);
        let whole = admin.get("/log/sessions/file").await;
        assert_eq!(whole.text.lines().count(), 5, "a session without a device has empty cells");
        let other = desk.manager.company("other").await;
        let stranger = desk.manager.account(other, "stranger", Role::CompanyAdmin).await;
        let foreign = token(&desk.manager, stranger, &Scope::ALL).await;
        let first: Value = start(&desk, &foreign, &laptop()).await.json();
        assert_eq!(first["sessions"], 0, "another company's device of the same id is another device");
    })
    .await;
}

#[tokio::test]
async fn the_same_key_gives_the_same_reception_and_a_new_start_makes_the_number_before_void() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let own = mdm(&desk).await;
        let first: Value = start_once(&desk, &own, "a-1", &laptop()).await.json();
        let again: Value = start_once(&desk, &own, "a-1", &laptop()).await.json();
        assert_eq!(first, again);
        assert_eq!(events(&db, &first).await.len(), 1, "it was started once");

        let second: Value = start_once(&desk, &own, "a-2", &laptop()).await.json();
        assert_ne!(first["reception_id"], second["reception_id"]);
        assert_eq!(stands(&desk, &own, &first).await["state"], "cancelled");
        assert_eq!(events(&db, &first).await[1].0, "reception.cancelled");
        assert_eq!(take(&desk, &desk.operator.token, &first).await.error().code, ErrorCode::NumberUnusable);
        take(&desk, &desk.operator.token, &second).await.json::<ReceptionBody>();
        let late: Value = start_once(&desk, &own, "a-2", &laptop()).await.json();
        assert_eq!(late["state"], "issued", "the answer that was lost, later");
        assert_eq!(cancel(&desk, &own, &second).await, StatusCode::CONFLICT, "it is an operator's now");
        let third: Value = start(&desk, &own, &laptop()).await.json();
        assert_eq!(cancel(&desk, &own, &third).await, StatusCode::NO_CONTENT);
        assert_eq!(cancel(&desk, &own, &third).await, StatusCode::CONFLICT);

        let other = desk.manager.account(desk.operator.company_id, "other", Role::CompanyAdmin).await;
        let other = token(&desk.manager, other, &[Scope::ReceptionsStart]).await;
        let elsewhere: Value = start_once(&desk, &other, "a-1", &device("x")).await.json();
        assert_ne!(elsewhere["reception_id"], first["reception_id"], "a key is of its token");
        assert_eq!(stands(&desk, &own, &elsewhere).await["locator"], Value::Null, "digits are for who started it");
        for key in ["", &"x".repeat(65)] {
            assert_eq!(start_once(&desk, &own, key, &laptop()).await.error().code, ErrorCode::BadRequest);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_take_a_number_at_once_one_gets_it() {
    on_both(|db| async move {
        let desk = std::sync::Arc::new(Desk::open(db.clone()).await);
        let own = mdm(&desk).await;
        let started: Value = start(&desk, &own, &laptop()).await.json();
        let mut tools = Vec::new();
        for user in ["a0", "a1", "a2", "a3", "a4", "a5"] {
            tools.push(colleague(&desk, user, Role::Operator).await.1);
        }
        let taken = at_once(6, |index| {
            let (desk, tool, started) = (std::sync::Arc::clone(&desk), tools[index].clone(), started.clone());
            async move { take(&desk, &tool, &started).await.status }
        })
        .await;
        assert_eq!(taken.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{taken:?}");

        // The same device, started by many requests at once, waits once.
        at_once(6, |_| {
            let (desk, own) = (std::sync::Arc::clone(&desk), own.clone());
            async move { start(&desk, &own, &laptop()).await.status }
        })
        .await;
        let mut tx = db.read().await.unwrap();
        let (waiting,) =
            fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM device_starts WHERE state = 'waiting'").unwrap();
        assert_eq!(waiting, 1);
    })
    .await;
}

#[tokio::test]
async fn only_whom_it_is_for_sees_and_takes_a_number() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let own = mdm(&desk).await;
        let (named, named_tool) = colleague(&desk, "sato", Role::Operator).await;
        let (viewer, viewer_tool) = colleague(&desk, "viewer", Role::Viewer).await;
        let site = browser(&desk, "suzuki", Role::Operator).await.1;
        let supervisor = browser(&desk, "boss", Role::CompanyAdmin).await.1;
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        let company_id = desk.operator.company_id;
        let group = manager::group::store::insert(&mut tx, company_id, "端末係", 1).await.unwrap().unwrap();
        execute!(&mut tx, "INSERT INTO account_group_members VALUES ($1, $2)", &group, named.to_string()).unwrap();
        tx.commit().await.unwrap();

        let whom = async |field: &str, value: &str| {
            let mut body = device(field);
            body[field] = json!(value);
            start(&desk, &own, &body).await
        };
        for (field, value) in [("operator_id", named.to_string()), ("group_id", group.clone())] {
            let started: Value = whom(field, &value).await.json();
            assert_eq!(take(&desk, &desk.operator.token, &started).await.error().code, ErrorCode::NumberUnusable);
            site.get("/live/receptions").await.says("有効な受付番号はありません");
            supervisor.get("/live/receptions").await.says("有効な受付番号: 1件");
            assert_eq!(take(&desk, &viewer_tool, &started).await.error().code, ErrorCode::Forbidden);
            take(&desk, &named_tool, &started).await.json::<ReceptionBody>();
            let open = stands(&desk, &own, &started).await;
            assert_eq!((&open["state"], &open["operator_id"]), (&json!("issued"), &json!(named)));
            desk.manager.advance(Duration::from_mins(11));
            sweep(&desk).await;
        }
        let refused = whom("operator_id", &viewer.to_string()).await;
        assert_eq!((refused.status, refused.error().code), (StatusCode::CONFLICT, ErrorCode::WrongState));
        let mut both = device("both");
        (both["operator_id"], both["group_id"]) = (json!(named), json!(group));
        assert!(start(&desk, &own, &both).await.error().message.contains("not both"));

        // Another company's account, group and tool.
        let other = desk.manager.company("other").await;
        let stranger = desk.manager.account(other, "stranger", Role::CompanyAdmin).await;
        let foreign = token(&desk.manager, stranger, &[Scope::ReceptionsStart]).await;
        for (field, value) in
            [("operator_id", named.to_string()), ("group_id", group.clone()), ("group_id", "\0".into())]
        {
            let mut body = device(field);
            body[field] = json!(value);
            let refused = start(&desk, &foreign, &body).await;
            assert_eq!((refused.status, refused.error().code), (StatusCode::NOT_FOUND, ErrorCode::NotFound));
            assert!(refused.error().message.starts_with(field));
        }
        let started: Value = start(&desk, &own, &laptop()).await.json();
        assert_eq!(desk.manager.get(&address(&started), Some(&foreign)).await.status, StatusCode::NOT_FOUND);
        assert_eq!(cancel(&desk, &foreign, &started).await, StatusCode::NOT_FOUND);
        let there: proto::api::login::LoginAnswer = desk.manager.login("other", "stranger", PASSWORD).await.json();
        assert_eq!(take(&desk, &there.token, &started).await.error().code, ErrorCode::NumberUnusable);
        site.get("/live/receptions").await.says("だれでも受け取れる");
    })
    .await;
}

#[tokio::test]
async fn what_is_too_long_too_many_or_not_known_is_refused_by_its_name() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let own = mdm(&desk).await;
        let many: Vec<Value> = (0..301).map(|_| json!({ "name": "x" })).collect();
        for (field, value, told) in [
            ("device", json!({ "id": "" }), "device.id must"),
            ("device", json!({ "id": "x".repeat(129) }), "device.id must"),
            ("device", json!({ "id": "a\u{0}" }), "device.id must"),
            ("device", json!({ "id": "a", "model": "x".repeat(65) }), "device.model must"),
            ("device", json!({ "id": "a", "screenshot": "iVBORw0KGgo=" }), "screenshot"),
            ("device", json!({ "name": "a" }), "id"),
            ("applications", json!(many), "at most 300 entries, this has 301"),
            ("applications", json!([{ "name": "a" }, { "name": "" }]), "applications[1].name must"),
            ("applications", json!([{ "name": "a", "version": "x".repeat(65) }]), "applications[0].version must"),
            ("customer_name", json!("あ".repeat(65)), "customer_name must"),
            ("case_number", json!("a\nb"), "case_number must"),
            ("reason", json!("あ".repeat(101)), "reason must"),
            ("life_secs", json!(59), "life_secs must"),
            ("operator_id", json!("nobody"), "operator_id"),
            ("screen", json!("iVBORw0KGgo="), "screen"),
        ] {
            let mut body = laptop();
            body[field] = value;
            let refused = start(&desk, &own, &body).await;
            assert_eq!(
                (refused.status, refused.error().code),
                (StatusCode::BAD_REQUEST, ErrorCode::BadRequest),
                "{told}"
            );
            assert!(refused.error().message.contains(told), "{told}: {}", refused.error().message);
        }
        let mut large = laptop();
        large["reason"] = json!("x".repeat(70_000));
        assert_eq!(start(&desk, &own, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
        let mut tx = db.read().await.unwrap();
        let (stored,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM device_starts").unwrap();
        assert_eq!(stored, 0, "what is refused leaves nothing");
        drop(tx);

        let mut short = laptop();
        short["life_secs"] = json!(60);
        let short: Value = start(&desk, &own, &short).await.json();
        let life = short["expires_at_ms"].as_i64().unwrap() - short["started_at_ms"].as_i64().unwrap();
        assert_eq!(life, 60_000);
        for number in 1..50 {
            assert_eq!(start(&desk, &own, &device(&format!("d{number}"))).await.status, StatusCode::CREATED);
        }
        let refused = start(&desk, &own, &device("one more")).await;
        assert_eq!((refused.status, refused.error().code), (StatusCode::CONFLICT, ErrorCode::WrongState));
        assert!(refused.error().message.starts_with("50 numbers wait"));
        assert_eq!(start(&desk, &own, &device("d1")).await.status, StatusCode::CREATED, "in the place of its own");
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE throttles SET taken = 240 WHERE scope = 'device.start'").unwrap();
        tx.commit().await.unwrap();
        let refused = start(&desk, &own, &device("d2")).await;
        assert_eq!((refused.status, refused.error().retry_after_secs), (StatusCode::TOO_MANY_REQUESTS, Some(3600)));
    })
    .await;
}

#[tokio::test]
async fn a_number_that_waits_for_nobody_is_closed_and_told() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let own = mdm(&desk).await;
        let started: Value = start(&desk, &own, &laptop()).await.json();
        desk.manager.advance(Duration::from_secs(601));
        assert_eq!(take(&desk, &desk.operator.token, &started).await.error().code, ErrorCode::NumberUnusable);
        sweep(&desk).await;
        assert_eq!(stands(&desk, &own, &started).await["state"], "expired");
        assert_eq!(events(&db, &started).await[1], ("reception.expired".to_owned(), "manager".to_owned()));

        let (named, _) = colleague(&desk, "sato", Role::Operator).await;
        let mut body = laptop();
        body["operator_id"] = json!(named);
        let started: Value = start(&desk, &own, &body).await.json();
        let (admin_id, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        admin.get("/live/receptions").await.says("営業3号");
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET stopped = TRUE WHERE operator_id = $1", named.to_string()).unwrap();
        tx.commit().await.unwrap();
        sweep(&desk).await;
        assert_eq!(stands(&desk, &own, &started).await["state"], "cancelled");
        admin.get("/live/receptions").await.says("有効な受付番号はありません");

        let started: Value = start(&desk, &own, &laptop()).await.json();
        let id = started["reception_id"].as_str().unwrap();
        admin.get("/live/receptions").await.says("営業3号");
        let extend = admin.post(&format!("/live/receptions/{id}/extend"), &[]).await;
        assert_eq!(extend.status, StatusCode::CONFLICT, "it has the life that it was started with");
        admin.get("/live/receptions").await.says("営業3号");
        admin.post(&format!("/live/receptions/{id}/cancel"), &[]).await.goes_to("/live/receptions");
        assert_eq!(events(&db, &started).await[1], ("reception.cancelled".to_owned(), format!("operator:{admin_id}")));
    })
    .await;
}

#[tokio::test]
async fn without_its_scope_in_time_and_by_who_may_nothing_is_started() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let admin = desk.manager.account(desk.operator.company_id, "admin", Role::CompanyAdmin).await;
        let rest: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| *scope != Scope::ReceptionsStart).collect();
        let refused = start(&desk, &token(&desk.manager, admin, &rest).await, &laptop()).await;
        assert_eq!((refused.status, refused.error().code), (StatusCode::FORBIDDEN, ErrorCode::Forbidden));
        assert!(refused.error().message.contains("receptions.start"));
        let viewer = desk.manager.account(desk.operator.company_id, "viewer", Role::Viewer).await;
        let refused = start(&desk, &token(&desk.manager, viewer, &Scope::ALL).await, &laptop()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "who made it may issue no numbers");
        let own = token(&desk.manager, admin, &[Scope::ReceptionsStart]).await;
        assert_eq!(start(&desk, &own, &laptop()).await.status, StatusCode::CREATED);
        assert_eq!(desk.manager.get(ADDRESS, Some(&own)).await.status, StatusCode::FORBIDDEN, "it reads no log");
        desk.manager.advance(Duration::from_hours(25));
        assert_eq!(start(&desk, &own, &laptop()).await.status, StatusCode::UNAUTHORIZED, "its time is over");
        assert_eq!(start(&desk, &desk.operator.token, &laptop()).await.status, StatusCode::UNAUTHORIZED);
    })
    .await;
}

#[tokio::test]
async fn what_was_told_of_a_device_goes_with_the_sessions() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let own = mdm(&desk).await;
        let never: Value = start(&desk, &own, &device("never taken")).await.json();
        let started: Value = start(&desk, &own, &laptop()).await.json();
        let taken: ReceptionBody = take(&desk, &desk.operator.token, &started).await.json();
        let entered = desk.entered(&taken).await;
        let id = entered.pairing.session_id;
        desk.say(id, "proved", &desk.operator.token, &json!({})).await;
        desk.manager.advance(Duration::from_mins(20));
        sweep(&desk).await;
        desk.say(id, "end", &entered.token, &json!({ "reason": "customer_ended" })).await;
        assert_eq!(events(&db, &never).await[1].0, "reception.expired");

        let count = async || {
            let mut tx = db.read().await.unwrap();
            fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM device_starts").unwrap().0
        };
        desk.manager.advance(Duration::from_hours(364 * 24));
        retention::sweep(&desk.manager.app).await.unwrap();
        assert_eq!(count().await, 2, "nothing is a year old");
        desk.manager.advance(Duration::from_hours(2 * 24));
        retention::sweep(&desk.manager.app).await.unwrap();
        assert_eq!(count().await, 0);
        let mut tx = db.read().await.unwrap();
        let (sessions,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM sessions").unwrap();
        assert_eq!(sessions, 0);
    })
    .await;
}
