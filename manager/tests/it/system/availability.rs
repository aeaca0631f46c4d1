//! The report by month: what was planned, what was lost, and who may see and write it.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{admin::AdminRole, db::Db, execute, halt::page::ADDRESS, list::params::encode};

use super::{account, code, first_login, knock, logged_in};
use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, on_both},
};

const PAGE: &str = "/system/availability";
const MAINTENANCE: &str = "/system/maintenance";
const INCIDENTS: &str = "/system/incidents";

/// Presses the switch of the whole service.
async fn press(browser: &Browser<'_>, address: &str) {
    let version = browser.get(ADDRESS).await.between("name=\"version\" value=\"", "\"");
    let fields = [("reason", "不正アクセスの疑い"), ("sure", "yes"), ("version", version.as_str())];
    browser.post(address, &fields).await.goes_to(ADDRESS);
}

/// The address of a step of the incident that stands first.
async fn step(browser: &Browser<'_>, name: &str) -> String {
    let incident = browser.get(INCIDENTS).await.between("action=\"/system/incidents/", "/");
    format!("{INCIDENTS}/{incident}/{name}")
}

#[tokio::test]
async fn each_month_says_what_was_planned_what_was_lost_and_what_is_left() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root_id = account(&manager, "root", AdminRole::Operations).await;
        let root = first_login(&manager, "root", root_id).await;
        // The clock starts on 21 September 2026, 23:13:20 in Japan, and so does the service.
        let page = root.get(PAGE).await;
        page.says(">2026/09</th>");
        page.lacks(">2026/08</th>");
        let planned = [("starts", "2026-09-29T01:00"), ("ends", "2026-09-29T03:00"), ("services", "manager")];
        let late = [
            ("starts", "2026-09-22T01:00"),
            ("ends", "2026-09-22T01:20"),
            ("services", "relay"),
            ("emergency", "yes"),
            ("reason", "重大な脆弱性の修正"),
        ];
        root.post(MAINTENANCE, &planned).await.goes_to(MAINTENANCE);
        root.post(MAINTENANCE, &late).await.goes_to(MAINTENANCE);
        press(&root, ADDRESS).await;
        manager.advance(Duration::from_mins(10));
        root.get(PAGE).await.says("<td data-name=\"停止\" class=\"number\">10:00</td>");
        press(&root, "/system/halt/lift").await;

        manager.advance(Duration::from_hours(12 * 24));
        knock(&root, "root", PASSWORD).await.goes_to("/system/login/code");
        root.get("/system/login/code").await;
        let code = code(&manager, root_id).await;
        root.post("/system/login/code", &[("code", &code)]).await.goes_to("/system");
        root.get(INCIDENTS).await;
        let declare = [("title", "全面停止"), ("detected", "2026-09-30T23:50"), ("stopped", "2026-09-30T23:45")];
        root.post(INCIDENTS, &declare).await.goes_to(INCIDENTS);
        let contain = step(&root, "contain").await;
        root.post(&contain, &[("at", "2026-10-01T00:30")]).await.goes_to(INCIDENTS);
        let stop = step(&root, "stop").await;
        let whole = [("at", "2026-09-30T23:45"), ("until", "2026-10-01T00:05")];
        root.post(&stop, &whole).await.goes_to(INCIDENTS);

        let page = root.get(PAGE).await;
        // 20 minutes of the late window, 10 of the halt, 15 of the incident; 9 days and 46:40 without two hours.
        for told in [
            ">2026/10</th>",
            "<span class=\"state off\">今月</span>",
            ">5:00</td>",
            ">99.883%</td>",
            ">44:38</td>",
            ">39:38</td>",
            ">2026/09</th>",
            "<span class=\"state bad\">未達</span>",
            ">2:00:00</td>",
            ">45:00</td>",
            ">99.650%</td>",
            ">12:53</td>",
            ">32:06 超過</td>",
        ] {
            page.says(told);
        }
        let file = root.get(&format!("{PAGE}/file?encoding=utf8")).await;
        assert_eq!(file.headers["content-disposition"], "attachment; filename=\"availability.csv\"");
        file.says("month,from,until,running,length_seconds,planned_seconds,lost_seconds,availability_percent,");
        file.says(
            "2026-09,2026-09-21T23:13:20+09:00,2026-10-01T00:00:00+09:00,no,780400,7200,2700,99.650,773,1926,no\r\n",
        );
        let audit = logged_in(&manager, "audit", AdminRole::Audit).await;
        let log = audit.get("/system/log?event=list.").await;
        assert_eq!(log.text.matches("稼働率").count(), 2, "in the menu and in the log: {}", log.text);
    })
    .await;
}

#[tokio::test]
async fn since_when_and_until_when_an_incident_stopped_the_service_is_said_before_it_is_closed() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        manager.advance(Duration::from_mins(10));
        root.get(INCIDENTS).await;
        let declare =
            |stopped: &'static str| [("title", "遅い"), ("detected", "2026-09-21T23:15"), ("stopped", stopped)];
        for wrong in ["2026-09-21T23:24", "いつか"] {
            let seen = root.post(INCIDENTS, &declare(wrong)).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
            seen.says("収束より後、または未来の日時にはできません。");
        }
        root.post(INCIDENTS, &declare("")).await.goes_to(INCIDENTS);
        root.get(PAGE).await.says("<td data-name=\"停止\" class=\"number\">0:00</td>");
        let stop = step(&root, "stop").await;
        root.post(&stop, &[("at", "2026-09-21T23:18")]).await.goes_to(INCIDENTS);
        // It is 23:23:20, and nothing is contained.
        root.get(PAGE).await.says("<td data-name=\"停止\" class=\"number\">5:20</td>");

        let contain = step(&root, "contain").await;
        let seen = root.post(&contain, &[("at", "2026-09-21T23:17")]).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "before it stood still");
        seen.says("value=\"2026-09-21T23:17\"");
        root.post(&contain, &[("at", "2026-09-21T23:20")]).await.goes_to(INCIDENTS);
        root.get(PAGE).await.says("<td data-name=\"停止\" class=\"number\">5:20</td>");
        let notify = step(&root, "notify").await;
        let seen = root.post(&notify, &[("title", ""), ("body", "直りました。")]).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        seen.says(">直りました。</textarea>");
        root.post(&notify, &[("title", "遅い"), ("body", "直りました。")]).await.goes_to(INCIDENTS);
        let close = step(&root, "close").await;
        let seen = root.post(&close, &[]).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "it stands still");
        seen.says("停止が終わった日時を記録してから、完了にしてください。");
        root.post(&stop, &[("at", "2026-09-21T23:18"), ("until", "2026-09-21T23:22")]).await.goes_to(INCIDENTS);
        root.get(PAGE).await.says("<td data-name=\"停止\" class=\"number\">4:00</td>");
        root.post(&close, &[]).await.goes_to(INCIDENTS);
        let gone = root.post(&format!("{INCIDENTS}/0/stop"), &[("at", "")]).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn the_stop_of_a_closed_incident_is_mended_with_a_reason() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        manager.advance(Duration::from_mins(10));
        root.get(INCIDENTS).await;
        let declare = [("title", "遅い"), ("detected", "2026-09-21T23:15"), ("stopped", "2026-09-21T23:18")];
        root.post(INCIDENTS, &declare).await.goes_to(INCIDENTS);
        let stop = step(&root, "stop").await;
        let contain = step(&root, "contain").await;
        root.post(&contain, &[("at", "2026-09-21T23:20")]).await.goes_to(INCIDENTS);
        root.post(&stop, &[("at", "2026-09-21T23:18"), ("until", "2026-09-21T23:22")]).await.goes_to(INCIDENTS);
        let notify = step(&root, "notify").await;
        root.post(&notify, &[("title", "遅い"), ("body", "直りました。")]).await.goes_to(INCIDENTS);
        let close = step(&root, "close").await;
        root.post(&close, &[]).await.goes_to(INCIDENTS);

        root.get(INCIDENTS).await;
        let changed = |at: &'static str, until: &'static str, reason: &'static str| {
            [("at", at), ("until", until), ("reason", reason)]
        };
        for (at, until, reason, wrong) in [
            ("2026-09-21T23:21", "2026-09-21T23:22", "誤記", "収束より後、または未来"),
            ("2026-09-22T00:00", "2026-09-22T00:00", "誤記", "収束より後、または未来"),
            ("いつか", "", "誤記", "収束より後、または未来"),
            ("2026-09-21T23:19", "2026-09-21T23:18", "誤記", "止まった日時より前、または未来"),
            ("2026-09-21T23:19", "2026-09-21T23:24", "誤記", "止まった日時より前、または未来"),
            ("2026-09-21T23:19", "", "誤記", "停止が終わった日時を入力してください。"),
            ("2026-09-21T23:19", "2026-09-21T23:20", "", "理由を200文字以内で入力してください。"),
        ] {
            let seen = root.post(&stop, &changed(at, until, reason)).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{at} {until} {reason}");
            seen.says(wrong);
            seen.says(&format!("value=\"{at}\""));
        }
        let mended = changed("2026-09-21T23:19", "2026-09-21T23:20", "監視の記録で確認");
        root.post(&stop, &mended).await.goes_to(INCIDENTS);
        root.get(PAGE).await.says("<td data-name=\"停止\" class=\"number\">1:00</td>");
        let page = root.get(INCIDENTS).await;
        page.says("<dt>サービスの停止</dt><dd>2026/09/21 23:19:00</dd>");
        page.says("<dt>停止の終わり</dt><dd>2026/09/21 23:20:00</dd>");
        let file = root.get("/system/incidents/file").await;
        file.says(",2026-09-21T23:19:00+09:00,2026-09-21T23:20:00+09:00\r\n");
        root.get(INCIDENTS).await;
        root.post(&stop, &changed("", "", "止まっていない")).await.goes_to(INCIDENTS);
        root.get(PAGE).await.says("<td data-name=\"停止\" class=\"number\">0:00</td>");
        let audit = logged_in(&manager, "audit", AdminRole::Audit).await;
        let log = audit.get("/system/log?event=incident.stop_recorded").await;
        for told in [
            "サービスの停止を記録",
            "2026/09/21 23:18:00",
            "2026/09/21 23:19:00",
            "サービスの停止の終わり（変更前）",
            "2026/09/21 23:22:00",
            "監視の記録で確認",
        ] {
            log.says(told);
        }
    })
    .await;
}

#[tokio::test]
async fn maintenance_of_downloads_alone_is_neither_planned_nor_lost_and_hides_no_stop() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        // It is 21 September, 23:13:20; the first is announced in time, the second is not.
        let planned = [("starts", "2026-09-29T01:00"), ("ends", "2026-09-29T03:00"), ("services", "download")];
        let late = [
            ("starts", "2026-09-22T01:00"),
            ("ends", "2026-09-22T01:20"),
            ("services", "download"),
            ("emergency", "yes"),
            ("reason", "重大な脆弱性の修正"),
        ];
        root.post(MAINTENANCE, &planned).await.goes_to(MAINTENANCE);
        root.post(MAINTENANCE, &late).await.goes_to(MAINTENANCE);
        manager.advance(Duration::from_hours(8 * 24));
        let root = logged_in(&manager, "later", AdminRole::Operations).await;
        let page = root.get(PAGE).await;
        page.says("<td data-name=\"計画停止\" class=\"number\">0:00</td>");
        page.says("<td data-name=\"停止\" class=\"number\">0:00</td>");

        root.get(INCIDENTS).await;
        let declare = [("title", "全面停止"), ("detected", "2026-09-29T02:00"), ("stopped", "2026-09-29T02:00")];
        root.post(INCIDENTS, &declare).await.goes_to(INCIDENTS);
        let stop = step(&root, "stop").await;
        let whole = [("at", "2026-09-29T02:00"), ("until", "2026-09-29T02:10")];
        root.post(&stop, &whole).await.goes_to(INCIDENTS);

        let page = root.get(PAGE).await;
        page.says("<td data-name=\"計画停止\" class=\"number\">0:00</td>");
        page.says("<td data-name=\"停止\" class=\"number\">10:00</td>");
    })
    .await;
}

#[tokio::test]
async fn maintenance_whose_work_is_finished_sooner_is_planned_until_then_and_what_stops_afterwards_is_lost() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let planned = [("starts", "2026-09-29T01:00"), ("ends", "2026-09-29T03:00"), ("services", "manager")];
        root.post(MAINTENANCE, &planned).await.goes_to(MAINTENANCE);
        // It is 29 September, 02:13:20.
        manager.advance(Duration::from_hours(7 * 24 + 3));
        let root = logged_in(&manager, "second", AdminRole::Operations).await;
        let id = root.get(MAINTENANCE).await.between("action=\"/system/maintenance/", "/finish\"");
        root.post(&format!("{MAINTENANCE}/{id}/finish"), &[]).await.goes_to(MAINTENANCE);

        manager.advance(Duration::from_hours(1));
        let root = logged_in(&manager, "third", AdminRole::Operations).await;
        root.get(INCIDENTS).await;
        let declare = [("title", "遅い"), ("detected", "2026-09-29T02:30"), ("stopped", "2026-09-29T02:30")];
        root.post(INCIDENTS, &declare).await.goes_to(INCIDENTS);
        let stop = step(&root, "stop").await;
        let whole = [("at", "2026-09-29T02:30"), ("until", "2026-09-29T02:40")];
        root.post(&stop, &whole).await.goes_to(INCIDENTS);

        let page = root.get(PAGE).await;
        // The month has nine days and 46:40 from the first administrator on, and 1:13:20 of it were planned.
        for told in [
            "<td data-name=\"計画停止\" class=\"number\">1:13:20</td>",
            "<td data-name=\"停止\" class=\"number\">10:00</td>",
            ">12:56</td>",
            ">2:56</td>",
            "<summary>計算のしかた</summary>",
        ] {
            page.says(told);
        }
    })
    .await;
}

/// Halts or lifts as a manager does that knows no `halts`.
async fn press_at_one_of_before(db: &Db, halted_at_ms: Option<i64>, now: i64) {
    let mut tx = db.begin().await.unwrap();
    let pressed = execute!(
        &mut tx,
        "UPDATE service
        SET halted_at_ms = $1, lifted_at_ms = CASE WHEN $2 THEN lifted_at_ms ELSE $3 END, version = version + 1",
        halted_at_ms,
        halted_at_ms.is_some(),
        now
    );
    assert_eq!(pressed.unwrap(), 1);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_halt_that_a_manager_of_before_pressed_or_lifted_counts_as_long_as_it_was() {
    const LIFT: &str = "/system/halt/lift";
    const MINUTE: Duration = Duration::from_mins(1);
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let before = |halts: bool| {
            let now = manager.app.now_ms();
            press_at_one_of_before(&db, halts.then_some(now), now)
        };
        let lost = async |minutes: u32, what: &str| {
            let page = root.get(PAGE).await;
            let told = format!("<td data-name=\"停止\" class=\"number\">{minutes}:00</td>");
            assert!(page.text.contains(&told), "{what}: {minutes} in {}", page.text);
        };

        // Pressed here, lifted there: it ends when it was lifted.
        press(&root, ADDRESS).await;
        manager.advance(MINUTE);
        before(false).await;
        manager.advance(MINUTE);
        lost(1, "lifted there").await;
        // Pressed there: it goes on without a row, and the one of before does not.
        before(true).await;
        manager.advance(MINUTE);
        lost(2, "pressed there").await;
        // Lifted here: both have their ends.
        press(&root, LIFT).await;
        manager.advance(MINUTE);
        lost(2, "pressed there and lifted here").await;
        // Pressed here and lifted there again, and then pressed and lifted here: the first keeps its end.
        press(&root, ADDRESS).await;
        manager.advance(MINUTE);
        before(false).await;
        manager.advance(MINUTE);
        press(&root, ADDRESS).await;
        manager.advance(MINUTE);
        lost(4, "goes on").await;
        press(&root, LIFT).await;
        manager.advance(MINUTE);
        lost(4, "all are lifted").await;
    })
    .await;
}

#[tokio::test]
async fn operations_data_and_audit_see_availability_and_operations_records_stops() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        for (user, role) in [("data", AdminRole::Data), ("audit", AdminRole::Audit)] {
            let browser = logged_in(&manager, user, role).await;
            let page = browser.get(PAGE).await;
            assert_eq!(page.status, StatusCode::OK, "{user}");
            page.says("href=\"/system/availability/file?encoding=cp932\"");
            page.lacks("障害の停止を記録する");
            let posted = browser.post("/system/incidents/0/stop", &[("at", "")]).await;
            assert_eq!(posted.status, StatusCode::FORBIDDEN, "{user}");
        }
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        root.get(PAGE).await.says("障害の停止を記録する");
        let partner = logged_in(&manager, "partner", AdminRole::Partner).await;
        for path in [PAGE, "/system/availability/file"] {
            assert_eq!(partner.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
            Browser::new(&manager).get(path).await.goes_to(&format!("/system/login?next={}", encode(path)));
        }
        partner.get("/system").await.lacks(PAGE);
    })
    .await;
}
