//! The live boards through a browser's eyes, and the stream that keeps them up to date.

use std::time::Duration;

use axum::{
    body::BodyDataStream,
    http::{StatusCode, header},
};
use futures_util::StreamExt as _;
use manager::{execute, fetch_one, live, role::Role};
use proto::{
    api::{reception::Event, reception::ReceptionState, relay::HeartbeatAnswer},
    close::CloseReason,
    id::{CompanyId, OperatorId},
};
use serde_json::json;

use crate::{
    browser::Browser,
    session::Desk,
    testing::{PASSWORD, on_both},
};

/// The cookie that says once that something was done.
const FLASH: &str = "__Host-uketsuke-flash";

/// Another account of the desk's company, logged in at the site.
pub(crate) async fn browser<'a>(desk: &'a Desk, user: &str, role: Role) -> (OperatorId, Browser<'a>) {
    let operator_id = desk.manager.account(company(desk).await, user, role).await;
    let browser = Browser::new(&desk.manager);
    browser.log_in("acme", user, PASSWORD).await.goes_to("/");
    browser.get("/").await;
    (operator_id, browser)
}

pub(crate) async fn company(desk: &Desk) -> CompanyId {
    let mut tx = desk.manager.app.db.begin().await.unwrap();
    let (id,) = fetch_one!(&mut tx, (String,), "SELECT company_id FROM companies WHERE code = 'acme'").unwrap();
    id.parse().unwrap()
}

/// Who did the newest event of a name.
async fn actor_of(desk: &Desk, event: &str) -> String {
    let mut tx = desk.manager.app.db.begin().await.unwrap();
    let row = fetch_one!(
        &mut tx,
        (String,),
        "SELECT actor FROM audit WHERE event = $1 ORDER BY seq DESC LIMIT 1",
        event.to_owned()
    );
    row.unwrap().0
}

#[tokio::test]
async fn an_open_number_is_on_the_board_without_its_last_digits_until_it_is_cancelled() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (admin_id, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        admin.get("/live/receptions").await.says("有効な受付番号はありません");
        let reception = desk.issue().await;
        let id = reception.reception_id;

        let seen = admin.get("/live/receptions").await;
        seen.says(&format!("{}-•••-••••", reception.locator.as_str().get(..3).unwrap()));
        seen.lacks(reception.locator.as_str());
        seen.says("有効な受付番号: 1件");
        admin.post(&format!("/live/receptions/{id}/cancel"), &[]).await.goes_to("/live/receptions");

        assert_eq!(desk.state_of(&reception).await, ReceptionState::Cancelled);
        assert_eq!(desk.told().await, [Event::Cancelled { reception_id: id }]);
        assert_eq!(actor_of(&desk, "reception.cancelled").await, format!("operator:{admin_id}"));
        let again = admin.post(&format!("/live/receptions/{id}/cancel"), &[]).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
        again.says("ほかの人が先に変更しました");
    })
    .await;
}

#[tokio::test]
async fn a_number_that_is_extended_at_the_board_lives_its_full_life_from_then_on() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (admin_id, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let reception = desk.issue().await;
        desk.manager.advance(Duration::from_mins(9));
        admin.get("/live/receptions").await.says(">1:00<");

        let path = format!("/live/receptions/{}/extend?state=issued", reception.reception_id);
        admin.post(&path, &[]).await.goes_to("/live/receptions?state=issued");

        let seen = admin.get("/live/receptions?state=issued").await;
        seen.says(">10:00<");
        seen.says("受付番号の期限を延ばしました");
        assert_eq!(actor_of(&desk, "reception.extended").await, format!("operator:{admin_id}"));
        admin.get("/live/receptions?state=entered").await.says("条件に合うものはありません");
        admin.get("/live/receptions?q=%E3%83%97%E3%83%AA%E3%83%B3%E3%82%BF%E3%83%BC").await.says("1件");
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_ended_at_the_board_ends_at_its_relay_and_is_told_to_its_operator() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (admin_id, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let entered = desk.connected().await;
        let id = entered.pairing.session_id;
        let device =
            json!({ "facts": [{ "kind": "host_name", "value": "PC-7" }, { "kind": "os_name", "value": "Debian 12" }] });
        desk.say(id, "device", &entered.token, &device).await;
        let control = json!({ "kind": "control", "answer": "granted" });
        desk.say(id, "consent", &entered.token, &control).await;

        let seen = admin.get("/live/sessions").await;
        for text in ["PC-7", "Debian 12", "<li>閲覧</li><li>操作</li>", "relay1", "サポート中: 1件"] {
            seen.says(text);
        }
        let back = json!({ "kind": "control", "answer": "taken_back" });
        desk.say(id, "consent", &entered.token, &back).await;
        admin.get("/live/sessions").await.lacks("<li>操作</li>");
        admin.post(&format!("/live/sessions/{id}/end"), &[]).await.goes_to("/live/sessions");

        assert_eq!(desk.history().await[0].end_reason, Some(CloseReason::Revoked));
        assert_eq!(desk.told().await.last(), Some(&Event::Ended { session_id: id, reason: CloseReason::Revoked }));
        assert_eq!(actor_of(&desk, "session.ended").await, format!("operator:{admin_id}"));
        let answer: HeartbeatAnswer = desk.heartbeat(&[id]).await.json();
        assert_eq!(answer.revoked, [id]);
        admin.get("/live/sessions").await.says("サポート中のお客様はいません");
        admin.get("/log/sessions?reason=revoked").await.says("管理者が終了");
        let again = admin.post(&format!("/live/sessions/{id}/end"), &[]).await;
        assert_eq!(again.status, StatusCode::CONFLICT);
    })
    .await;
}

#[tokio::test]
async fn a_board_shows_and_does_what_the_role_reaches_and_no_more() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        let session = desk.connected().await.pairing.session_id;
        let cancel = format!("/live/receptions/{}/cancel", reception.reception_id);
        let extend = format!("/live/receptions/{}/extend", reception.reception_id);
        let end = format!("/live/sessions/{session}/end");
        let refused = async |browser: &Browser<'_>, status| {
            for path in [&cancel, &extend, &end] {
                assert_eq!(browser.post(path, &[]).await.status, status, "{path}");
            }
        };

        let (_, viewer) = browser(&desk, "viewer", Role::Viewer).await;
        let seen = viewer.get("/live/receptions").await;
        seen.says("data-key");
        seen.lacks("/cancel");
        viewer.get("/live/sessions").await.lacks("/end");
        refused(&viewer, StatusCode::FORBIDDEN).await;

        let (_, colleague) = browser(&desk, "tanaka", Role::Operator).await;
        colleague.get("/live/receptions").await.says("有効な受付番号はありません");
        colleague.get("/live/sessions").await.says("サポート中のお客様はいません");
        refused(&colleague, StatusCode::NOT_FOUND).await;

        let (_, auditor) = browser(&desk, "auditor", Role::Auditor).await;
        refused(&auditor, StatusCode::FORBIDDEN).await;
        for path in ["/live/receptions", "/live/sessions/rows", "/live/changes"] {
            assert_eq!(auditor.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        }

        let other = desk.manager.company("other").await;
        desk.manager.account(other, "admin", Role::CompanyAdmin).await;
        let foreign = Browser::new(&desk.manager);
        foreign.log_in("other", "admin", PASSWORD).await.goes_to("/");
        foreign.get("/live/receptions").await.says("有効な受付番号はありません");
        foreign.get("/live/sessions").await.lacks("data-key");
        refused(&foreign, StatusCode::NOT_FOUND).await;

        let own = Browser::new(&desk.manager);
        own.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        own.get("/live/receptions").await.says("/cancel");
        own.post(&cancel, &[]).await.goes_to("/live/receptions");
        own.post(&end, &[]).await.goes_to("/live/sessions");
    })
    .await;
}

#[tokio::test]
async fn rows_that_are_the_same_are_not_sent_again() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        desk.issue().await;
        let first = admin.get("/live/receptions/rows").await;
        first.lacks("<html");
        let tag = first.headers[header::ETAG].to_str().unwrap().to_owned();

        desk.manager.advance(Duration::from_secs(3));
        let same = admin.get_unless("/live/receptions/rows", &tag).await;
        assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
        desk.issue().await;

        let changed = admin.get_unless("/live/receptions/rows", &tag).await;
        assert_eq!(changed.status, StatusCode::OK);
        assert_eq!(changed.text.matches("data-key=").count(), 2);
    })
    .await;
}

/// The next text of a stream; `None` at its end.
async fn next(stream: &mut BodyDataStream) -> Option<String> {
    let chunk = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.unwrap()?;
    Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn an_open_board_is_told_what_happened_in_its_company_only_and_ends_with_its_login() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let app = &desk.manager.app;
        let (admin_id, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let response = admin.open("/live/changes").await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        let mut stream = response.into_body().into_data_stream();
        live::look_once(app).await.unwrap();
        desk.manager.company("other").await;
        live::look_once(app).await.unwrap();
        assert!(app.metrics.registry.text().contains("manager_board_streams 1\n"));
        let nothing = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");

        desk.issue().await;
        live::look_once(app).await.unwrap();
        assert_eq!(next(&mut stream).await.unwrap(), "event: changed\ndata: 1\n\n");

        let mut tx = app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET stopped = TRUE WHERE operator_id = $1", admin_id.to_string()).unwrap();
        tx.commit().await.unwrap();
        desk.issue().await;
        live::look_once(app).await.unwrap();
        assert_eq!(next(&mut stream).await, None);
        drop(stream);
        assert!(app.metrics.registry.text().contains("manager_board_streams 0\n"));
    })
    .await;
}

#[tokio::test]
async fn an_open_board_ends_when_terms_must_be_agreed_to() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let app = &desk.manager.app;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let mut stream = admin.open("/live/changes").await.into_body().into_data_stream();
        live::look_once(app).await.unwrap();
        desk.manager.terms().await;

        desk.issue().await;
        live::look_once(app).await.unwrap();

        assert_eq!(next(&mut stream).await, None);
        let again = admin.open("/live/changes").await;
        assert_eq!(again.headers()[header::LOCATION], "/terms/agree?next=%2Flive%2Fchanges");
    })
    .await;
}

#[tokio::test]
async fn a_board_that_refreshes_itself_takes_no_word_of_what_was_done_away() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        admin.plant(FLASH, "saved");

        let rows = admin.get_by_itself("/live/receptions/rows").await;

        assert_eq!(rows.status(), StatusCode::OK);
        let set = rows.headers().get_all(header::SET_COOKIE);
        assert!(!set.iter().any(|cookie| cookie.to_str().unwrap().starts_with(FLASH)));
        admin.get("/live/receptions").await.says("保存しました");
        admin.get("/live/receptions").await.lacks("保存しました");
    })
    .await;
}

#[tokio::test]
async fn a_board_that_refreshes_itself_does_not_keep_a_login_that_nobody_uses() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        for _ in 0..4 {
            desk.manager.advance(Duration::from_mins(10));
            admin.get_by_itself("/live/receptions/rows").await;
        }
        let seen = admin.get("/live/receptions/rows").await;
        assert_eq!(seen.status, StatusCode::SEE_OTHER);
    })
    .await;
}
