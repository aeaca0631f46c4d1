//! The switch that stops the whole service: who may press it, and that nobody is served until it is lifted.

use axum::{
    body::{Body, BodyDataStream},
    http::{Method, Request, StatusCode, header},
};
use futures_util::StreamExt as _;
use manager::{
    admin::AdminRole,
    events, fetch_one,
    halt::page::ADDRESS,
    login::link::{self, Purpose},
    notice,
    role::Role,
    session::sweep::{self, Sweep},
    token::Scope,
};
use proto::{
    api::{
        error::ErrorCode::ServiceHalted,
        login::LoginAnswer,
        reception::{ReceptionBody, ReceptionState},
        relay::HeartbeatAnswer,
        session::SessionState,
    },
    close::CloseReason,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::logged_in;
use crate::{
    browser::{Browser, Seen},
    devices, live, manage,
    session::{Desk, OPERATOR_KEY},
    testing::{Answer, Manager, PASSWORD, on_both},
};

/// Where it is lifted.
const LIFT: &str = "/system/halt/lift";

/// The version on the page, as its forms send it.
async fn version(browser: &Browser<'_>) -> String {
    browser.get(ADDRESS).await.between("name=\"version\" value=\"", "\"")
}

/// Presses the switch for a version that was seen.
async fn press(browser: &Browser<'_>, address: &str, version: &str) -> Seen {
    let fields = [("reason", "不正アクセスの疑い"), ("sure", "yes"), ("version", version)];
    browser.post(address, &fields).await
}

/// Stops the whole service, as an administrator of operations does.
pub(crate) async fn halt(browser: &Browser<'_>) {
    let version = version(browser).await;
    press(browser, ADDRESS, &version).await.goes_to(ADDRESS);
}

/// Lifts that, whatever has not ended yet.
pub(crate) async fn lift(browser: &Browser<'_>) {
    let version = version(browser).await;
    press(browser, LIFT, &version).await.goes_to(ADDRESS);
}

/// Fails unless a program is told that the service is halted.
fn is_told(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what} {:?}", answer.body);
    assert_eq!(answer.error().code, ServiceHalted, "{what}");
}

/// Opens the events of the desk's operator.
async fn listen(desk: &Desk) -> BodyDataStream {
    let bearer = format!("Bearer {}", desk.operator.token);
    let request = Request::builder().uri("/v1/events").header(header::AUTHORIZATION, bearer);
    let response = desk.manager.respond(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().into_data_stream()
}

/// What of everybody is still there: running sessions, open numbers, and starts that wait.
async fn left(manager: &Manager) -> i64 {
    let mut tx = manager.app.db.read().await.unwrap();
    let (left,) = fetch_one!(
        &mut tx,
        (i64,),
        "SELECT (SELECT COUNT(*) FROM sessions WHERE ended_at_ms IS NULL)
            + (SELECT COUNT(*) FROM receptions WHERE open_slot IS NOT NULL)
            + (SELECT COUNT(*) FROM device_starts WHERE state = 'waiting')"
    )
    .unwrap();
    left
}

#[tokio::test]
async fn a_halt_at_one_manager_ends_and_refuses_everything_at_the_others() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let other = Manager::new(db.clone());
        let running = desk.connected().await.pairing.session_id;
        let (waiting, joining) = (desk.issue().await, desk.issue().await);
        let entered = desk.entered(&joining).await.pairing.session_id;
        let (admin_id, admin) = live::browser(&desk, "admin", Role::CompanyAdmin).await;
        let token = manage::token(&desk.manager, admin_id, &[Scope::AccountsRead, Scope::ReceptionsStart]).await;
        let started = devices::start(&desk, &token, &devices::laptop()).await;
        assert_eq!(started.status, StatusCode::CREATED, "{:?}", started.body);
        let board = admin.open("/live/changes").await;
        assert_eq!(board.status(), StatusCode::OK);
        let mut streams = [listen(&desk).await, board.into_body().into_data_stream()];
        let stop = CancellationToken::new();
        let tasks = [
            tokio::spawn(sweep::run(desk.manager.app.clone(), stop.clone())),
            tokio::spawn(events::run(desk.manager.app.clone(), stop.clone())),
        ];
        let root = logged_in(&other, "root", AdminRole::Operations).await;
        let page = root.get(ADDRESS).await;
        for told in ["1社のログイン", "番号2件", "サポート2件"] {
            page.says(told);
        }

        halt(&root).await;

        // The next request of each kind, at the manager that heard nothing of it and at one that starts now.
        let fresh = Manager::new(db);
        for manager in [&desk.manager, &fresh] {
            is_told(&manager.get("/v1/receptions", Some(&desk.operator.token)).await, "a tool");
            is_told(&manager.login("acme", "yamada", PASSWORD).await, "a login");
            is_told(&manager.login("acme", "yamada", "wrong-password").await, "whatever is typed");
            is_told(&manager.get("/v1/manage/operators", Some(&token)).await, "a program");
            let new = json!({ "proof_key": hex::encode(OPERATOR_KEY) }).to_string();
            is_told(&manager.post("/v1/receptions", Some(&desk.operator.token), &new).await, "a number");
            for locator in [waiting.locator.as_str(), "000000"] {
                let body = json!({ "locator": locator, "proof_key": "0c".repeat(32) }).to_string();
                let answer = manager.send(Method::POST, "/v1/enter", None, "203.0.113.9", Body::from(body)).await;
                is_told(&answer, "an entry");
            }
        }
        is_told(&devices::start(&desk, &token, &devices::laptop()).await, "a device management");
        admin.get("/operators").await.goes_to("/login?next=%2Foperators");
        admin.get("/login").await.says("ただいまサービスを停止しています");
        admin.log_in("acme", "admin", PASSWORD).await.says("ただいまサービスを停止しています");

        let patience = std::time::Duration::from_secs(30);
        let over = async {
            for stream in &mut streams {
                while stream.next().await.is_some() {}
            }
            while 0 < left(&desk.manager).await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(patience, over).await.unwrap();
        for reception in [&waiting, &joining] {
            assert_eq!(desk.state_of(reception).await, ReceptionState::Cancelled);
        }
        let heard: HeartbeatAnswer = desk.heartbeat(&[running, entered]).await.json();
        assert!([running, entered].iter().all(|session| heard.revoked.contains(session)), "{heard:?}");
        stop.cancel();
        for task in tasks {
            task.await.unwrap();
        }
    })
    .await;
}

/// However many sessions there are, relays need not wait until each is closed.
#[tokio::test]
async fn relays_end_every_session_with_their_next_heartbeat_before_any_is_closed() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let running = desk.connected().await.pairing.session_id;
        let unknown = proto::id::SessionId::from_bytes([9; 16]);
        let heard = async || desk.heartbeat(&[running, unknown]).await.json::<HeartbeatAnswer>().revoked;
        let other = Manager::new(db);
        let root = logged_in(&other, "root", AdminRole::Operations).await;

        assert!(heard().await.is_empty());
        halt(&root).await;
        assert_eq!(heard().await, [running]);
        lift(&root).await;
        assert!(heard().await.is_empty(), "it was lifted before anything ended it");
    })
    .await;
}

#[tokio::test]
async fn when_it_is_lifted_everybody_is_served_again_and_logs_in_anew() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        let session = desk.connected().await.pairing.session_id;
        let (admin_id, admin) = live::browser(&desk, "admin", Role::CompanyAdmin).await;
        let token = manage::token(manager, admin_id, &[Scope::AccountsRead]).await;
        let mut tx = manager.app.db.begin().await.unwrap();
        let (page, _) = link::issue(&mut tx, admin_id, Purpose::Reset, manager.app.now_ms()).await.unwrap();
        tx.commit().await.unwrap();
        let root = logged_in(manager, "root", AdminRole::Operations).await;
        let gauge = async || {
            notice::sweep::look(&manager.app).await.unwrap();
            let text = manager.app.metrics.registry.text();
            text.lines().find(|line| line.starts_with("manager_service_halted ")).unwrap().to_owned()
        };
        assert_eq!(gauge().await, "manager_service_halted 0");

        halt(&root).await;
        assert_eq!(gauge().await, "manager_service_halted 1");
        Sweep::begin(manager.app.now_ms()).round(&manager.app).await.unwrap();
        Browser::new(manager).get(&page).await.goes_to("/login");
        // More often than what locks an account, and than what slows who guesses numbers.
        for _ in 0..12 {
            is_told(&manager.login("acme", "yamada", PASSWORD).await, "a login");
            is_told(&desk.enter("000000", "203.0.113.5").await, "an entry");
        }
        lift(&root).await;

        assert_eq!(gauge().await, "manager_service_halted 0");
        assert_eq!(manager.get("/v1/receptions", Some(&desk.operator.token)).await.status, StatusCode::UNAUTHORIZED);
        admin.get("/").await.goes_to("/login");
        admin.get("/login").await.lacks("サービスを停止しています");
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        Browser::new(manager).get(&page).await.says("新しいパスワードの設定");
        assert_eq!(manager.get("/v1/manage/operators", Some(&token)).await.status, StatusCode::OK);
        let again: LoginAnswer = manager.login("acme", "yamada", PASSWORD).await.json();
        let new = json!({ "proof_key": hex::encode(OPERATOR_KEY) }).to_string();
        let reception: ReceptionBody = manager.post("/v1/receptions", Some(&again.token), &new).await.json();
        assert_eq!(desk.enter(reception.locator.as_str(), "203.0.113.5").await.status, StatusCode::OK);
        let list: proto::api::session::SessionList = manager.get("/v1/sessions", Some(&again.token)).await.json();
        let ended = list.sessions.into_iter().find(|row| row.session_id == session).unwrap();
        assert_eq!((ended.state, ended.end_reason), (SessionState::Ended, Some(CloseReason::Revoked)));
    })
    .await;
}

#[tokio::test]
async fn lifting_tells_what_has_not_ended_and_asks_whether_it_may_go_on() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        desk.connected().await;
        desk.issue().await;
        let root = logged_in(manager, "root", AdminRole::Operations).await;
        halt(&root).await;
        let seen = version(&root).await;
        let unsure = [("reason", "調査の終了"), ("version", seen.as_str())];

        root.get(ADDRESS).await.says("受付番号1件、サポート1件、MDMの受付0件");
        let refused = root.post(LIFT, &unsure).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        refused.says("0件になるまで待つか、チェックを入れてください");
        refused.says("サービスを停止中");
        Sweep::begin(manager.app.now_ms()).round(&manager.app).await.unwrap();

        root.get(ADDRESS).await.lacks("まだ終わっていないものがあります");
        root.post(LIFT, &unsure).await.goes_to(ADDRESS);
        root.get(ADDRESS).await.says("サービスは動いています");
    })
    .await;
}

#[tokio::test]
async fn only_operations_halts_and_lifts_with_a_reason_and_a_confirmation() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let seen = version(&root).await;
        for (reason, sure, told) in [
            ("", "yes", "理由を200文字以内"),
            ("a\u{202E}b", "yes", "理由を200文字以内"),
            ("調査", "", "チェックを入れて"),
        ] {
            let fields = [("reason", reason), ("sure", sure), ("version", seen.as_str())];
            let refused = root.post(ADDRESS, &fields).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{reason} {sure}");
            refused.says(told);
        }
        for role in [AdminRole::Data, AdminRole::Audit] {
            let reader = logged_in(&manager, role.as_str(), role).await;
            let page = reader.get(ADDRESS).await;
            page.says("サービスは動いています");
            page.lacks("サービス全体を停止する");
            for address in [ADDRESS, LIFT] {
                assert_eq!(press(&reader, address, &seen).await.status, StatusCode::FORBIDDEN, "{role} {address}");
            }
        }
        let partner = logged_in(&manager, "partner", AdminRole::Partner).await;
        assert_eq!(partner.get(ADDRESS).await.status, StatusCode::FORBIDDEN);
        assert_eq!(press(&partner, ADDRESS, &seen).await.status, StatusCode::FORBIDDEN);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let company = Browser::new(&manager);
        company.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        company.get("/account").await;
        press(&company, ADDRESS, &seen).await.goes_to("/system/login");
        company.get("/account").await.says("パスワード");
        assert_eq!(version(&root).await, seen, "nothing happened");

        halt(&root).await;
        let version = version(&root).await;
        let refused = root.post(LIFT, &[("reason", " "), ("version", &version)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        root.get(ADDRESS).await.says("サービスを停止中");
        lift(&root).await;
        root.get(ADDRESS).await.says("サービスは動いています");
    })
    .await;
}

#[tokio::test]
async fn administrators_see_it_on_every_page_still_log_in_and_find_it_in_the_log() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        halt(&root).await;

        let page = root.get(ADDRESS).await;
        for told in ["rootさん", "不正アクセスの疑い", "href=\"/system/incidents\"", "停止を解除する"]
        {
            page.says(told);
        }
        let banner = "サービス全体を停止しています";
        for address in ["/system", "/system/companies", "/system/maintenance", "/system/admins", "/system/account"] {
            root.get(address).await.says(banner);
        }
        let auditor = logged_in(&manager, "auditor", AdminRole::Audit).await;
        auditor.get("/system").await.says(banner);
        let log = auditor.get("/system/log?event=service.").await;
        for told in ["サービス全体を停止", "不正アクセスの疑い", "rootさん", "全1件"] {
            log.says(told);
        }
        let partner = logged_in(&manager, "partner", AdminRole::Partner).await;
        let seen = partner.get("/system").await;
        seen.says(banner);
        seen.lacks(ADDRESS);

        lift(&root).await;
        auditor.get("/system").await.lacks(banner);
        auditor.get("/system/log?event=service.").await.says("サービス全体の停止を解除");
        auditor.get("/system/log").await;
        auditor.post("/system/log/verify", &[]).await.says("改ざんはありません");
    })
    .await;
}

#[tokio::test]
async fn of_two_administrators_who_press_at_once_the_second_is_told() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let first = logged_in(&manager, "first", AdminRole::Operations).await;
        let second = logged_in(&manager, "second", AdminRole::Operations).await;
        for address in [ADDRESS, LIFT] {
            let (one, two) = (version(&first).await, version(&second).await);
            let (one, two) = tokio::join!(press(&first, address, &one), press(&second, address, &two));
            let mut both = [one.status, two.status];
            both.sort();
            assert_eq!(both, [StatusCode::SEE_OTHER, StatusCode::CONFLICT], "{address}");
        }
        // A halt that was lifted and set again is another one: who looks at the old one does not lift it.
        halt(&first).await;
        let old = version(&second).await;
        lift(&first).await;
        halt(&first).await;
        assert_eq!(press(&second, LIFT, &old).await.status, StatusCode::CONFLICT);
        first.get(ADDRESS).await.says("サービスを停止中");
        let answer: Value = serde_json::from_slice(&manager.login("acme", "x", "y").await.body).unwrap();
        assert_eq!(answer["code"], "service_halted");
    })
    .await;
}
