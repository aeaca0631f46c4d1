//! Maintenance whose work is finished before its announced end.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{
    admin::AdminRole,
    fetch_one,
    mail::{self, Smtp},
    notice::sweep,
};

use super::logged_in;
use crate::{
    browser::Browser,
    mail::Post,
    notices::{company, count, with_mail},
    testing::{Manager, PASSWORD, on_both},
};

const PAGE: &str = "/system/maintenance";
/// From when the clock starts, on 21 September 2026, 23:13:20 in Japan, to 29 September, 02:13:20.
const INTO_IT: Duration = Duration::from_hours(7 * 24 + 3);

/// Announces that relays stop on 29 September from one to three; the addresses that finish that and call it off.
async fn announced(root: &Browser<'_>) -> (String, String) {
    root.get(PAGE).await;
    let window = [("starts", "2026-09-29T01:00"), ("ends", "2026-09-29T03:00"), ("services", "relay")];
    root.post(PAGE, &window).await.goes_to(PAGE);
    let id = root.get(PAGE).await.between("action=\"/system/maintenance/", "/cancel\"");
    (format!("{PAGE}/{id}/finish"), format!("{PAGE}/{id}/cancel"))
}

/// Whether the metrics have these lines.
async fn measured(manager: &Manager, lines: &[&str]) {
    sweep::look(&manager.app).await.unwrap();
    let text = manager.app.metrics.registry.text();
    for line in lines {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn who_says_that_the_work_is_finished_ends_the_window_its_notice_and_its_planned_stop() {
    on_both(|db| async move {
        let manager = with_mail(db);
        company(&manager, "acme").await;
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let (finish, cancel) = announced(&root).await;
        let early = root.post(&finish, &[]).await;
        assert_eq!(early.status, StatusCode::UNPROCESSABLE_ENTITY);
        early.says("まだ始まっていないため、作業を終了できません。");
        early.lacks(&finish);

        manager.advance(INTO_IT);
        measured(&manager, &["manager_maintenance_running{service=\"relay\"} 1"]).await;
        let acme = Browser::new(&manager);
        acme.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        acme.get("/account").await.says("メンテナンスのお知らせ");
        let root = logged_in(&manager, "later", AdminRole::Operations).await;
        root.get(PAGE).await.says(&finish);
        root.post(&finish, &[]).await.goes_to(PAGE);

        let page = root.get(PAGE).await;
        page.says(">2026/09/29 01:00 – 2026/09/29 03:00</th>");
        page.says("<span class=\"state good\">作業終了</span>");
        page.says("<td data-name=\"作業の終了\" class=\"time\">2026/09/29 02:13:20</td>");
        page.lacks(&finish);
        page.lacks(&cancel);
        acme.get("/account").await.lacks("メンテナンスのお知らせ");
        assert_eq!(count(&manager, "maintenance:").await, 1, "no mail says so");
        let over = [
            "manager_maintenance_running{service=\"relay\"} 0",
            "manager_maintenance_begins_timestamp_seconds{service=\"relay\"} 0",
            "manager_maintenance_ends_timestamp_seconds{service=\"relay\"} 0",
        ];
        measured(&manager, &over).await;
    })
    .await;
}

#[tokio::test]
async fn operations_finishes_a_window_once_and_log_and_file_say_when() {
    on_both(|db| async move {
        let manager = with_mail(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let (finish, cancel) = announced(&root).await;
        manager.advance(INTO_IT);
        let data = logged_in(&manager, "data", AdminRole::Data).await;
        data.get(PAGE).await.lacks(&finish);
        assert_eq!(data.post(&finish, &[]).await.status, StatusCode::FORBIDDEN);
        let first = logged_in(&manager, "first", AdminRole::Operations).await;
        let second = logged_in(&manager, "second", AdminRole::Operations).await;
        second.get(PAGE).await.says(&finish);
        first.get(PAGE).await;
        first.post(&finish, &[]).await.goes_to(PAGE);
        for late in [&finish, &cancel] {
            let seen = second.post(late, &[]).await;
            assert_eq!(seen.status, StatusCode::CONFLICT, "{late}");
            seen.says("ほかの人が先に変更しました");
        }
        for unknown in ["/system/maintenance/0/finish", "/system/maintenance/0/cancel"] {
            assert_eq!(second.post(unknown, &[]).await.status, StatusCode::NOT_FOUND, "{unknown}");
        }

        let file = second.get("/system/maintenance/file?encoding=utf8").await;
        assert_eq!(file.headers["content-disposition"], "attachment; filename=\"maintenance.csv\"");
        file.says("maintenance_id,services,emergency,reason,announced_by,announced,starts,announced_end,finished,");
        file.says(
            ",relay,no,,rootさん,2026-09-21T23:13:20+09:00,2026-09-29T01:00:00+09:00,2026-09-29T03:00:00+09:00,\
             2026-09-29T02:13:20+09:00,\r\n",
        );
        let audit = logged_in(&manager, "audit", AdminRole::Audit).await;
        let log = audit.get("/system/log?event=maintenance.finished").await;
        for told in ["メンテナンスの作業を終了", "firstさん", "2026/09/29 03:00:00", "2026/09/29 02:13:20"]
        {
            log.says(told);
        }
        let mut tx = manager.app.db.read().await.unwrap();
        let (told,) =
            fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit WHERE event = 'maintenance.finished'").unwrap();
        drop(tx);
        assert_eq!(told, 1, "who was second stands in no row");
        let partner = logged_in(&manager, "partner", AdminRole::Partner).await;
        assert_eq!(partner.get("/system/maintenance/file").await.status, StatusCode::FORBIDDEN);
    })
    .await;
}

#[tokio::test]
async fn a_window_that_is_over_or_called_off_cannot_be_finished() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        root.get(PAGE).await;
        let mut windows = Vec::new();
        for (starts, ends) in [("2026-09-21T23:15", "2026-09-21T23:20"), ("2026-09-21T23:20", "2026-09-21T23:40")] {
            let emergency =
                [("starts", starts), ("ends", ends), ("services", "relay"), ("emergency", "yes"), ("reason", "修正")];
            root.post(PAGE, &emergency).await.goes_to(PAGE);
            // The one that begins last stands first.
            windows.push(root.get(PAGE).await.between("action=\"/system/maintenance/", "/cancel\""));
        }
        // It is 23:23:20.
        manager.advance(Duration::from_mins(10));

        let seen = root.post(&format!("{PAGE}/{}/finish", windows[0]), &[]).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        seen.says("予告した終了がもう過ぎているため、終了を早めることはできません。");
        let seen = root.post(&format!("{PAGE}/{}/cancel", windows[0]), &[]).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        seen.says("予告した終了がもう過ぎているため、中止できません。");
        seen.lacks("ほかの人が先に変更しました");
        root.post(&format!("{PAGE}/{}/cancel", windows[1]), &[]).await.goes_to(PAGE);
        let seen = root.post(&format!("{PAGE}/{}/finish", windows[1]), &[]).await;
        assert_eq!(seen.status, StatusCode::CONFLICT);

        let mut tx = manager.app.db.read().await.unwrap();
        let (finished, off) =
            fetch_one!(&mut tx, (i64, i64), "SELECT COUNT(finished_at_ms), COUNT(cancelled_at_ms) FROM maintenances")
                .unwrap();
        assert_eq!((finished, off), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn mails_that_wait_to_announce_a_window_are_not_sent_once_its_work_is_finished() {
    on_both(|db| async move {
        // Nothing listens there, so that a mail that is tried waits again.
        let post = Post::new();
        let manager = Manager::with(db, post.config(9));
        company(&manager, "acme").await;
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let (finish, _cancel) = announced(&root).await;
        manager.advance(INTO_IT);
        let waiting = async || {
            let mut tx = manager.app.db.read().await.unwrap();
            fetch_one!(&mut tx, (String, i64), "SELECT state, expires_at_ms FROM mails").unwrap()
        };
        let (state, expires_at_ms) = waiting().await;
        assert_eq!(state, "queued");
        assert!(manager.app.now_ms() < expires_at_ms, "until the announced end");

        let root = logged_in(&manager, "later", AdminRole::Operations).await;
        root.get(PAGE).await.says(&finish);
        root.post(&finish, &[]).await.goes_to(PAGE);

        let smtp = Smtp::new(&manager.app.config.mail).unwrap().unwrap();
        assert_eq!(mail::sweep::send_due(&manager.app, &smtp).await.unwrap(), 1);
        assert_eq!(waiting().await.0, "expired");
    })
    .await;
}
