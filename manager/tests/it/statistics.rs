//! Statistics: figures of hours, made again until they are final, and what the page shows of them.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{db::Db, execute, fetch_one, role::Role, statistics::sweep::round};
use proto::close::CloseReason;
use serde_json::json;

use crate::{
    browser::Browser,
    live::browser,
    session::Desk,
    testing::{PASSWORD, on_both},
};

/// A session that was entered after `wait` and lasted `time`.
async fn session(desk: &Desk, wait: Duration, time: Duration, reason: CloseReason) {
    let reception = desk.issue().await;
    desk.manager.advance(wait);
    desk.heartbeat(&[]).await;
    let entered = desk.entered(&reception).await;
    let id = entered.pairing.session_id;
    desk.say(id, "proved", &desk.operator.token, &json!({})).await;
    desk.say(id, "consent", &entered.token, &json!({ "kind": "view", "answer": "granted" })).await;
    desk.manager.advance(time);
    desk.say(id, "end", &desk.operator.token, &json!({ "reason": reason })).await;
}

async fn made(desk: &Desk) -> usize {
    desk.manager.advance(Duration::from_mins(1));
    round(&desk.manager.app).await.unwrap()
}

async fn final_until(db: &Db) -> i64 {
    let mut tx = db.begin().await.unwrap();
    fetch_one!(&mut tx, (i64,), "SELECT final_until_ms FROM statistics_state WHERE id = 1").unwrap().0
}

#[tokio::test]
async fn figures_are_those_of_the_logs_also_when_a_session_ends_hours_later() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let (_, admin) = browser(&desk, "admin", Role::CompanyAdmin).await;
        admin.get("/statistics").await.says("この期間の数値はありません");
        for _ in 0..3 {
            session(&desk, Duration::from_secs(15), Duration::from_mins(10), CloseReason::OperatorEnded).await;
        }
        session(&desk, Duration::from_mins(4), Duration::from_mins(20), CloseReason::PeerLost).await;
        desk.issue().await;
        desk.heartbeat(&[]).await;
        let running = desk.connected().await.pairing.session_id;
        assert!(0 < made(&desk).await);

        admin.log_in("acme", "admin", PASSWORD).await;
        let page = admin.get("/statistics").await;
        for text in [
            "<dt>発行した受付番号</dt><dd>6</dd>",
            "<dt>つながったサポート</dt><dd>5</dd>",
            "<dt>接続率</dt><dd>83%</dd>",
            "<dt>平均サポート時間</dt><dd>12:30</dd>",
            "<dt>異常終了</dt><dd>1</dd>",
            "<dt>同時サポート最大</dt><dd>1</dd>",
            "<dt>待ち時間（90%）</dt><dd>5:00</dd>",
            "山田 太郎</a>",
            "<polyline class=\"one\"",
        ] {
            page.says(text);
        }
        desk.manager.advance(Duration::from_hours(3));
        desk.say(running, "end", &desk.operator.token, &json!({ "reason": "customer_ended" })).await;
        made(&desk).await;
        admin.log_in("acme", "admin", PASSWORD).await;
        admin.get("/statistics").await.says("<dt>平均サポート時間</dt><dd>46:12</dd>");
        let file = admin.get("/statistics/file?unit=month").await.text;
        let line = file.lines().last().unwrap();
        assert!(line.ends_with(",6,5,5,83,16,300,57,2772,1,1"), "{file}");
    })
    .await;
}

#[tokio::test]
async fn hours_become_final_when_nothing_can_change_them_and_one_manager_makes_them_at_a_time() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        session(&desk, Duration::from_secs(15), Duration::from_mins(10), CloseReason::OperatorEnded).await;
        assert_eq!(made(&desk).await, 1);
        assert_eq!(round(&desk.manager.app).await.unwrap(), 0, "somebody made them less than a minute ago");
        desk.manager.advance(Duration::from_hours(24 * 3));
        assert!(3 <= made(&desk).await);
        let now_ms = desk.manager.app.now_ms();
        let until_ms = final_until(&db).await;
        assert!(until_ms <= now_ms - 9 * 3_600_000 && now_ms - 11 * 3_600_000 <= until_ms, "{until_ms}");

        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "DELETE FROM consents").unwrap();
        execute!(&mut tx, "DELETE FROM sessions").unwrap();
        tx.commit().await.unwrap();
        made(&desk).await;
        let mut tx = db.begin().await.unwrap();
        let (connected,) =
            fetch_one!(&mut tx, (i64,), "SELECT CAST(SUM(connected) AS BIGINT) FROM statistics").unwrap();
        assert_eq!(connected, 1, "what is final stays");
    })
    .await;
}

#[tokio::test]
async fn statistics_show_what_the_role_reaches() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        session(&desk, Duration::from_secs(15), Duration::from_mins(10), CloseReason::OperatorEnded).await;
        made(&desk).await;
        let (_, supervisor) = browser(&desk, "supervisor", Role::Supervisor).await;
        let seen = supervisor.get("/statistics").await;
        seen.says("この期間の数値はありません");
        seen.lacks("同時サポート最大");
        let (_, viewer) = browser(&desk, "viewer", Role::Viewer).await;
        viewer.get("/statistics").await.says("<dt>つながったサポート</dt><dd>1</dd>");
        assert_eq!(viewer.get("/statistics/file").await.status, StatusCode::FORBIDDEN);
        let (_, operator) = browser(&desk, "tanaka", Role::Operator).await;
        assert_eq!(operator.get("/statistics").await.status, StatusCode::FORBIDDEN);
        let other = desk.manager.company("other").await;
        desk.manager.account(other, "admin", Role::CompanyAdmin).await;
        let foreign = Browser::new(&desk.manager);
        foreign.log_in("other", "admin", PASSWORD).await.goes_to("/");
        let path = format!("/statistics?operator={}", desk.operator.operator_id);
        foreign.get(&path).await.says("この期間の数値はありません");

        let long = viewer.get("/statistics?unit=hour&from=2020-01-01&to=2026-12-31").await;
        long.says("終わりに近い部分だけ");
        for odd in ["?from=x&to=y", "?from=2026-12-31&to=2026-01-01", "?unit=%00&from=9999-12-31&to=9999-12-31"] {
            assert_eq!(viewer.get(&format!("/statistics{odd}")).await.status, StatusCode::OK, "{odd}");
        }
    })
    .await;
}
