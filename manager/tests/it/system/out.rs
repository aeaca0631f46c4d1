//! Whoever is stopped is out: logins, streams, numbers and sessions, at every manager.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use futures_util::StreamExt as _;
use manager::{admin::AdminRole, events, fetch_all, role::Role, session::sweep};
use proto::{
    api::{reception::ReceptionState, relay::HeartbeatAnswer, session::SessionState},
    close::CloseReason,
    id::{CompanyId, SessionId},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::logged_in;
use crate::{
    browser::Browser,
    session::Desk,
    testing::{Manager, PASSWORD, on_both},
};

/// What the first manager does, so that somebody is out.
#[derive(Clone, Copy, Debug)]
enum By {
    /// The company's administrator stops the account.
    Account,
    /// Operations suspends the company.
    Company,
    /// Operations ends its contract.
    Contract,
}

/// Does it, at another manager than the one that serves the account.
async fn shut(manager: &Manager, by: By, desk: &Desk) {
    match by {
        By::Account => {
            manager.account(desk.operator.company_id, "admin", Role::CompanyAdmin).await;
            let browser = Browser::new(manager);
            browser.log_in("acme", "admin", PASSWORD).await;
            let address = format!("/operators/{}", desk.operator.operator_id);
            browser.get(&address).await;
            browser.post(&format!("{address}/stop"), &[]).await.goes_to(&address);
        }
        By::Company | By::Contract => {
            let browser = logged_in(manager, "root", AdminRole::Operations).await;
            let address = format!("/system/companies/{}", desk.operator.company_id);
            let version = browser.get(&address).await.between("name=\"version\" value=\"", "\"");
            let to = if matches!(by, By::Company) { "suspended" } else { "ended" };
            let fields = [("to", to), ("reason", "料金の未払い"), ("version", version.as_str())];
            browser.post(&format!("{address}/state"), &fields).await.goes_to(&address);
        }
    }
}

/// Opens the account's stream of events at a manager.
async fn listen(manager: &Manager, token: &str) -> axum::body::BodyDataStream {
    let request = Request::builder().uri("/v1/events").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = manager.respond(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().into_data_stream()
}

async fn open_sessions(manager: &Manager, company_id: CompanyId) -> usize {
    let mut tx = manager.app.db.read().await.unwrap();
    let id = company_id.to_string();
    let sql = fetch_all!(
        &mut tx,
        (String,),
        "SELECT session_id FROM sessions WHERE company_id = $1 AND ended_at_ms IS NULL",
        id
    );
    sql.unwrap().len()
}

#[tokio::test]
async fn who_is_stopped_at_one_manager_is_out_of_the_other() {
    for by in [By::Account, By::Company, By::Contract] {
        on_both(|db| async move {
            let desk = Desk::open(db.clone()).await;
            let first = Manager::new(db);
            let running = desk.connected().await.pairing.session_id;
            let (waiting, joining) = (desk.issue().await, desk.issue().await);
            let entered = desk.entered(&joining).await.pairing.session_id;
            let mut stream = listen(&desk.manager, &desk.operator.token).await;
            let stop = CancellationToken::new();
            let tasks = [
                tokio::spawn(sweep::run(desk.manager.app.clone(), stop.clone())),
                tokio::spawn(events::run(desk.manager.app.clone(), stop.clone())),
            ];

            shut(&first, by, &desk).await;

            let patience = std::time::Duration::from_secs(30);
            let over = async { while stream.next().await.is_some() {} };
            tokio::time::timeout(patience, over).await.unwrap();
            let done = async {
                while 0 < open_sessions(&desk.manager, desk.operator.company_id).await
                    || desk.state_of(&waiting).await != ReceptionState::Cancelled
                    || desk.state_of(&joining).await != ReceptionState::Cancelled
                {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(patience, done).await.unwrap();
            let heard: HeartbeatAnswer = desk.heartbeat(&[running, entered]).await.json();
            let mut revoked: Vec<SessionId> = heard.revoked;
            revoked.sort();
            let mut expected = vec![running, entered];
            expected.sort();
            assert_eq!(revoked, expected, "{by:?}");
            let refused = desk.as_operator("/v1/receptions", &json!({})).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{by:?}");
            let number = desk.manager.send(
                Method::POST,
                "/v1/enter",
                None,
                "203.0.113.9",
                Body::from(json!({ "locator": waiting.locator, "proof_key": "0c".repeat(32) }).to_string()),
            );
            assert_eq!(number.await.status, StatusCode::NOT_FOUND, "{by:?}");
            stop.cancel();
            for task in tasks {
                task.await.unwrap();
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_suspended_company_comes_back_without_its_old_logins() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        let company = Browser::new(manager);
        company.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        let session = desk.connected().await.pairing.session_id;
        let browser = logged_in(manager, "root", AdminRole::Operations).await;
        let address = format!("/system/companies/{}", desk.operator.company_id);
        let go = async |to: &str| {
            let version = browser.get(&address).await.between("name=\"version\" value=\"", "\"");
            let fields = [("to", to), ("reason", "料金"), ("version", version.as_str())];
            browser.post(&format!("{address}/state"), &fields).await
        };

        go("suspended").await.goes_to(&address);
        company.get("/").await.goes_to("/login");
        sweep::Sweep::begin(manager.app.now_ms()).round(&manager.app).await.unwrap();
        for wrong in ["suspended", "erased", "active "] {
            assert!(go(wrong).await.status.is_client_error(), "{wrong}");
        }
        go("active").await.goes_to(&address);
        company.get("/").await.goes_to("/login");
        assert_eq!(manager.get("/v1/receptions", Some(&desk.operator.token)).await.status, StatusCode::UNAUTHORIZED);
        let again: proto::api::login::LoginAnswer = manager.login("acme", "yamada", PASSWORD).await.json();
        let list: proto::api::session::SessionList = manager.get("/v1/sessions", Some(&again.token)).await.json();
        let ended = list.sessions.into_iter().find(|row| row.session_id == session).unwrap();
        assert_eq!((ended.state, ended.end_reason), (SessionState::Ended, Some(CloseReason::Revoked)));
    })
    .await;
}
