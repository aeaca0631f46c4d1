//! What people write about sessions: at the site and by the operator tool, with its history.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use manager::{execute, fetch_one, role::Role};
use proto::api::session::{CaseBody, CaseResult, CategoryList};
use serde_json::json;

use crate::{
    browser::Browser,
    live::browser,
    session::Desk,
    testing::{Answer, PASSWORD, on_both},
};

/// Adds a category at the site; its id.
async fn category(admin: &Browser<'_>, name: &str) -> String {
    admin.get("/settings/categories").await;
    admin.post("/settings/categories", &[("name", name)]).await.goes_to("/settings/categories");
    let page = admin.get("/settings/categories").await.text;
    let (before, _) = page.split_once(&format!("value=\"{name}\"")).unwrap();
    before.rsplit_once("/settings/categories/").unwrap().1.split('"').next().unwrap().to_owned()
}

async fn put(desk: &Desk, path: &str, body: &serde_json::Value) -> Answer {
    let body = Body::from(body.to_string());
    desk.manager.send(Method::PUT, path, Some(&desk.operator.token), "192.0.2.1", body).await
}

#[tokio::test]
async fn what_is_written_about_a_session_is_found_exported_and_kept_with_its_history() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let printer = category(&admin, "プリンター").await;
        let entered = desk.connected().await;
        let session = entered.pairing.session_id;
        let facts = json!({ "facts": [{ "kind": "os_name", "value": "Debian GNU/Linux 12" }] });
        desk.say(session, "device", &entered.token, &facts).await;
        desk.connected().await;
        let page = format!("/log/sessions/{session}");
        let write = async |note: &str, version: &str| {
            let fields = [
                ("customer_name", "鈴木 商店"),
                ("case_number", "HD-2026-77"),
                ("category", printer.as_str()),
                ("result", "resolved"),
                ("note", note),
                ("version", version),
            ];
            admin.post(&format!("{page}/case"), &fields).await
        };
        admin.get(&page).await.says("まだ記録されていません");

        write("給紙トレイを\r\n交換", "0").await.goes_to(&page);
        write("給紙トレイを交換した", "1").await.goes_to(&page);

        let seen = admin.get(&page).await;
        for text in ["鈴木 商店", "HD-2026-77", "給紙トレイを\n交換</td>", "給紙トレイを交換した</td>", "解決"]
        {
            seen.says(text);
        }
        for query in
            ["q=HD-2026", "q=%E9%88%B4%E6%9C%A8%E5%95%86%E5%BA%97", "q=%EF%BD%84%EF%BE%9A%EF%BD%B2", "result=resolved"]
        {
            let found = admin.get(&format!("/log/sessions?{query}")).await;
            let expected = usize::from(!query.contains("%BD%84"));
            assert_eq!(found.text.matches("data-name=\"開始\"").count(), expected, "{query}");
        }
        let by_category = admin.get(&format!("/log/sessions?category={printer}")).await;
        assert_eq!(by_category.text.matches("data-name=\"開始\"").count(), 1);
        assert_eq!(admin.get("/log/sessions?category=none").await.text.matches("data-name=\"開始\"").count(), 1);
        let file = admin.get("/log/sessions/file?result=resolved").await.text;
        assert!(file.contains("Debian GNU/Linux 12"), "what the device said goes out, too: {file}");
        assert!(file.contains(",HD-2026-77,鈴木 商店,プリンター,resolved,給紙トレイを交換した,,,,,,,,\r\n"), "{file}");
        let mut tx = desk.manager.app.db.begin().await.unwrap();
        let (noted,) = fetch_one!(
            &mut tx,
            (i64,),
            "SELECT COUNT(*) FROM audit WHERE event = 'session.noted' AND detail NOT LIKE '%HD-2026%'"
        )
        .unwrap();
        assert_eq!(noted, 2);
    })
    .await;
}

#[tokio::test]
async fn sessions_that_lasted_so_long_are_found_in_any_order_and_in_the_file() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        for minutes in [Some(9i64), Some(10), Some(30), None] {
            let session = desk.connected().await.pairing.session_id.to_string();
            let duration_ms = minutes.map(|minutes| minutes * 60_000);
            let mut tx = desk.manager.app.db.begin().await.unwrap();
            execute!(&mut tx, "UPDATE sessions SET duration_ms = $1 WHERE session_id = $2", duration_ms, &session)
                .unwrap();
            tx.commit().await.unwrap();
        }

        for (minutes, found) in [(0, 3), (10, 2), (11, 1), (30, 1), (31, 0)] {
            for order in ["", "&sort=duration", "&sort=-operator"] {
                let page = admin.get(&format!("/log/sessions?minutes={minutes}{order}")).await;
                let seen = page.text.matches("data-name=\"開始\"").count();
                assert_eq!(seen, found, "minutes={minutes}{order}");
            }
            let file = admin.get(&format!("/log/sessions/file?minutes={minutes}")).await.text;
            assert_eq!(file.matches("\r\n").count(), 1 + found, "{file}");
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_who_write_about_one_session_the_second_is_told_whichever_door_they_use() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        let session = desk.connected().await.pairing.session_id;
        let api = format!("/v1/sessions/{session}/case");
        let page = format!("/log/sessions/{session}");
        admin.get(&page).await;

        let body = json!({ "customer_name": "一人目", "result": "handed_over", "version": 0 });
        let written: CaseBody = put(&desk, &api, &body).await.json();
        let second = admin.post(&format!("{page}/case"), &[("customer_name", "二人目"), ("version", "0")]).await;

        assert_eq!((written.version, written.result), (1, Some(CaseResult::HandedOver)));
        assert_eq!(second.status, StatusCode::CONFLICT);
        second.says("ほかの人が先に変更しました");
        let again: CaseBody =
            put(&desk, &api, &json!({ "customer_name": "一人目", "result": "handed_over", "version": 1 })).await.json();
        assert_eq!(again.version, 1, "the same again changes nothing");
        let late = put(&desk, &api, &json!({ "customer_name": "三人目", "version": 0 })).await;
        assert_eq!(late.status, StatusCode::CONFLICT);
        let kept: CaseBody = desk.manager.get(&api, Some(&desk.operator.token)).await.json();
        assert_eq!(kept.customer_name, "一人目");
    })
    .await;
}

#[tokio::test]
async fn only_who_reaches_a_session_writes_about_it() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let session = desk.connected().await.pairing.session_id;
        let path = format!("/log/sessions/{session}/case");
        let (_, viewer) = browser(&desk, "viewer", Role::Viewer).await;
        let seen = viewer.get(&format!("/log/sessions/{session}")).await;
        seen.lacks("name=\"customer_name\"");
        assert_eq!(viewer.post(&path, &[]).await.status, StatusCode::FORBIDDEN);
        let (_, colleague) = browser(&desk, "tanaka", Role::Operator).await;
        assert_eq!(colleague.post(&path, &[]).await.status, StatusCode::NOT_FOUND);
        let other = desk.manager.company("other").await;
        desk.manager.account(other, "admin", Role::CompanyAdmin).await;
        let foreign = Browser::new(&desk.manager);
        foreign.log_in("other", "admin", PASSWORD).await.goes_to("/");
        foreign.get("/").await;
        assert_eq!(foreign.post(&path, &[("note", "x")]).await.status, StatusCode::NOT_FOUND);
        let theirs = category(&foreign, "よその分類").await;

        let own = Browser::new(&desk.manager);
        own.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        own.get("/").await;
        let taken = own.post(&path, &[("category", theirs.as_str()), ("version", "0")]).await;
        assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
        taken.says("この分類は使えません");
        own.post(&path, &[("note", "自分の記録"), ("version", "0")]).await.goes_to(&format!("/log/sessions/{session}"));
        let refused =
            put(&desk, &format!("/v1/sessions/{session}/case"), &json!({ "category_id": theirs, "version": 1 })).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let long = json!({ "note": "x".repeat(2001), "version": 1 });
        assert_eq!(put(&desk, &format!("/v1/sessions/{session}/case"), &long).await.status, StatusCode::BAD_REQUEST);
    })
    .await;
}

#[tokio::test]
async fn a_category_that_is_used_is_retired_and_not_deleted() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        admin.get("/settings/categories").await.says("分類はまだありません");
        let mail = category(&admin, "メール").await;
        let unused = category(&admin, "使わない分類").await;
        let session = desk.connected().await.pairing.session_id;
        let case = format!("/v1/sessions/{session}/case");
        let body = json!({ "category_id": mail, "version": 0 });
        assert_eq!(put(&desk, &case, &body).await.status, StatusCode::OK);
        let at = |id: &str, verb: &str| format!("/settings/categories/{id}{verb}");

        admin.get("/settings/categories").await;
        admin.post("/settings/categories", &[("name", "メール")]).await.says("同じ名前の分類がすでにあります");
        admin.post(&at(&mail, "/delete"), &[]).await.says("使っている記録があるため");
        admin.post(&at(&unused, "/delete"), &[]).await.goes_to("/settings/categories");
        admin.post(&at(&mail, "/retire"), &[("version", "0")]).await.goes_to("/settings/categories");
        assert_eq!(
            admin.post(&at(&mail, ""), &[("name", "別名"), ("version", "0")]).await.status,
            StatusCode::CONFLICT
        );

        let offered: CategoryList = desk.manager.get("/v1/categories", Some(&desk.operator.token)).await.json();
        assert_eq!(offered.categories, []);
        let kept = json!({ "category_id": mail, "note": "続き", "version": 1 });
        assert_eq!(put(&desk, &case, &kept).await.status, StatusCode::OK, "a case keeps what it has");
        let other = desk.connected().await.pairing.session_id;
        let refused =
            put(&desk, &format!("/v1/sessions/{other}/case"), &json!({ "category_id": mail, "version": 0 })).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let (_, viewer) = browser(&desk, "viewer", Role::Viewer).await;
        assert_eq!(viewer.get("/settings/categories").await.status, StatusCode::FORBIDDEN);
    })
    .await;
}
