//! Notices, maintenance windows, incidents and the manual, as a browser sees them.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{admin::AdminRole, fetch_one, notice::sweep, role::Role};
use proto::api::login::LoginAnswer;

use crate::{
    browser::Browser,
    mail::Post,
    system,
    testing::{Manager, PASSWORD, config, on_both},
};

/// A manager whose mail goes nowhere in this test.
pub(crate) fn with_mail(db: manager::db::Db) -> Manager {
    Manager::with(db, Post::new().config(9))
}

/// An administrator of operations, logged in.
async fn operations(manager: &Manager) -> Browser<'_> {
    system::logged_in(manager, "root", AdminRole::Operations).await
}

/// A company with an administrator, who is logged in and has an address.
pub(crate) async fn company<'a>(manager: &'a Manager, code: &str) -> Browser<'a> {
    let company_id = manager.company(code).await;
    let operator_id = manager.account(company_id, "admin", Role::CompanyAdmin).await;
    let mut tx = manager.app.db.begin().await.unwrap();
    let (id, email) = (operator_id.to_string(), format!("admin@{code}.example"));
    manager::execute!(&mut tx, "UPDATE operators SET email = $2 WHERE operator_id = $1", id, email).unwrap();
    tx.commit().await.unwrap();
    let browser = Browser::new(manager);
    browser.log_in(code, "admin", PASSWORD).await.goes_to("/");
    browser
}

pub(crate) async fn count(manager: &Manager, about: &str) -> i64 {
    let mut tx = manager.app.db.read().await.unwrap();
    let pattern = format!("{about}%");
    let (count,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM mails WHERE about LIKE $1", pattern).unwrap();
    count
}

#[tokio::test]
async fn a_notice_stands_on_every_page_until_it_is_read_and_an_important_one_until_it_is_over() {
    on_both(|db| async move {
        let manager = with_mail(db);
        let acme = company(&manager, "acme").await;
        let other = company(&manager, "other").await;
        acme.get("/notices").await.says("お知らせはありません");
        acme.get("/notices/new").await;
        let notice = |title: &'static str, important: &'static str| {
            [
                ("kind", "release"),
                ("important", important),
                ("title", title),
                ("body", "詳しくは https://a.example/x を。<b>"),
                ("begins", "2026-09-21T00:00"),
                ("ends", "2026-09-30T00:00"),
            ]
        };
        acme.post("/notices/new", &notice("普通の件名", "no")).await.goes_to("/notices");
        acme.get("/notices/new").await;
        acme.post("/notices/new", &notice("大事な件名", "yes")).await.goes_to("/notices");

        let page = acme.get("/account").await;
        page.says("普通の件名");
        page.says("大事な件名");
        let list = acme.get("/notices?unread=yes&kind=release").await;
        list.says("全2件");
        let hrefs: Vec<&str> =
            list.text.split("<span><a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        for href in &hrefs {
            let shown = acme.get(href).await;
            shown.says("<a href=\"https://a.example/x\" rel=\"noopener noreferrer\">");
            shown.says("&#60;b&#62;");
            assert_eq!(other.get(href).await.status, StatusCode::NOT_FOUND);
            other.get("/account").await;
            assert_eq!(other.post(&format!("{href}/end"), &[]).await.status, StatusCode::NOT_FOUND);
        }
        let page = acme.get("/account").await;
        page.lacks("普通の件名");
        page.says("大事な件名");
        acme.get("/notices?unread=yes").await.says("条件に合うものはありません");
        other.get("/account").await.lacks("大事な件名");

        let important = acme.get("/notices?q=%E5%A4%A7%E4%BA%8B").await.between("<span><a href=\"", "\"");
        acme.post(&format!("{important}/end"), &[]).await.goes_to("/notices");
        acme.get("/account").await.lacks("大事な件名");
        acme.get("/log/operations?event=notice.").await.says("お知らせの掲載を終了");
        acme.get("/notices/new").await;
        let mut wrong = notice("a\u{202E}b", "no");
        wrong[5] = ("ends", "2026-09-01T00:00");
        let seen = acme.post("/notices/new", &wrong).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(seen.text.matches("class=\"mistake\"").count(), 2, "{}", seen.text);
    })
    .await;
}

#[tokio::test]
async fn who_may_not_write_notices_reads_them_only() {
    on_both(|db| async move {
        let manager = with_mail(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "yamada", Role::Operator).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "yamada", PASSWORD).await.goes_to("/");

        assert_eq!(browser.get("/notices").await.status, StatusCode::OK);
        browser.get("/notices").await.lacks("/notices/new");
        assert_eq!(browser.get("/notices/new").await.status, StatusCode::FORBIDDEN);
        let posted = browser.post("/notices/new", &[("title", "X")]).await;
        assert_eq!(posted.status, StatusCode::FORBIDDEN);
        for path in ["/system/notices", "/system/maintenance", "/system/incidents"] {
            browser.get(path).await.goes_to(&format!("/system/login?next={}", manager::list::params::encode(path)));
        }
    })
    .await;
}

#[tokio::test]
async fn the_service_tells_all_companies_or_some() {
    on_both(|db| async move {
        let manager = with_mail(db);
        let (acme, other, root) =
            (company(&manager, "acme").await, company(&manager, "other").await, operations(&manager).await);
        let fields = |title: &'static str, companies: &'static str| {
            [
                ("kind", "other"),
                ("important", "yes"),
                ("title", title),
                ("begins", "2026-09-21T00:00"),
                ("ends", "2026-09-30T00:00"),
                ("companies", companies),
            ]
        };
        root.get("/system/notices").await.says("お知らせはありません");
        root.post("/system/notices", &fields("みなさんへ", "")).await.goes_to("/system/notices");
        root.get("/system/notices").await;
        root.post("/system/notices", &fields("一社だけ", "acme nowhere"))
            .await
            .says("nowhere という企業コードはありません");
        root.post("/system/notices", &fields("一社だけ", "acme")).await.goes_to("/system/notices");

        let page = acme.get("/").await;
        page.says("みなさんへ");
        let id = acme.get("/notices?q=%E4%B8%80%E7%A4%BE").await.between("<span><a href=\"", "\"");
        assert_eq!(other.get(&id).await.status, StatusCode::NOT_FOUND);
        other.get("/").await.lacks("一社だけ");
        other.get("/notices").await.says("全1件");
        Browser::new(&manager).get("/login").await.says("みなさんへ");
        Browser::new(&manager).get("/login").await.lacks("一社だけ");
        // Ending is for whoever wrote it.
        acme.get("/notices").await;
        assert_eq!(acme.post(&format!("{id}/end"), &[]).await.status, StatusCode::NOT_FOUND);
        // A company that is erased does not make what was for it a notice for all.
        let mut tx = manager.app.db.begin().await.unwrap();
        manager::execute!(&mut tx, "DELETE FROM notice_companies").unwrap();
        tx.commit().await.unwrap();
        other.get("/notices").await.lacks("一社だけ");
        let list = root.get("/system/notices").await;
        let first = list.between("action=\"/system/notices/", "\"");
        root.post(&format!("/system/notices/{first}"), &[]).await.goes_to("/system/notices");
    })
    .await;
}

#[tokio::test]
async fn maintenance_is_announced_in_time_with_notice_mails_and_a_row_in_the_chain() {
    on_both(|db| async move {
        let manager = with_mail(db);
        let (acme, root) = (company(&manager, "acme").await, operations(&manager).await);
        company(&manager, "other").await;
        // The clock starts on 21 September 2026, 23:13 in Japan.
        let window = |starts: &'static str, ends: &'static str, emergency: &'static str, reason: &'static str| {
            [("starts", starts), ("ends", ends), ("services", "relay"), ("emergency", emergency), ("reason", reason)]
        };
        let proposed =
            root.get("/system/maintenance").await.between("name=\"starts\" type=\"datetime-local\" value=\"", "\"");
        assert_eq!(proposed, "2026-10-21T23:13", "thirty days");
        for (fields, says) in [
            (window("2026-09-28T22:00", "2026-09-28T23:00", "", ""), "開始まで7日ありません"),
            (window("2026-09-22T22:00", "2026-09-22T23:00", "yes", ""), "緊急の理由を書いてください"),
            (window("2026-09-20T22:00", "2026-09-20T23:00", "yes", "x"), "もう過ぎています"),
            (window("2026-09-30T22:00", "2026-09-30T21:00", "", ""), "終了は開始より後"),
            (window("tomorrow", "", "", ""), "終了は開始より後"),
        ] {
            let seen = root.post("/system/maintenance", &fields).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{says}");
            seen.says(says);
        }
        assert_eq!(count(&manager, "maintenance:").await, 0);

        let good = window("2026-09-29T01:00", "2026-09-29T03:00", "", "");
        root.post("/system/maintenance", &good).await.goes_to("/system/maintenance");
        assert_eq!(count(&manager, "maintenance:").await, 2, "both companies' administrators");
        root.get("/system/maintenance").await.says("待ち 2");
        acme.get("/mails?kind=maintenance").await.says("2026/09/29 01:00");
        acme.get("/account").await.says("メンテナンスのお知らせ（2026/09/29 01:00");
        let tool: LoginAnswer = manager.login("acme", "admin", PASSWORD).await.json();
        let told: Vec<_> = tool.notices.iter().map(|notice| (notice.title.as_str(), notice.important)).collect();
        assert!(matches!(told[..], [(title, true)] if title.contains("2026/09/29 01:00")), "{told:?}");
        let notice = acme.get("/notices?kind=maintenance").await.between("<span><a href=\"", "\"");
        acme.get(&notice).await.says("リレーサーバー");
        acme.get("/account").await.lacks("メンテナンスのお知らせ");
        let mut tx = manager.app.db.read().await.unwrap();
        let (at, detail) =
            fetch_one!(&mut tx, (i64, String), "SELECT at_ms, detail FROM audit WHERE event = 'maintenance.announced'")
                .unwrap();
        drop(tx);
        assert_eq!(at, manager.app.now_ms(), "the chain proves when");
        assert!(detail.contains("2026-09-29T01:00:00+09:00") && detail.contains("\"mails\":2"), "{detail}");

        let metric = |manager: &Manager| {
            let text = manager.app.metrics.registry.text();
            text.lines()
                .find(|line| line.starts_with("manager_maintenance_running{service=\"relay\"}"))
                .unwrap()
                .to_owned()
        };
        sweep::look(&manager.app).await.unwrap();
        assert!(metric(&manager).ends_with(" 0"));
        // From 16:00 to 18:00 of UTC, known while it is to come.
        let text = manager.app.metrics.registry.text();
        for line in [
            "manager_maintenance_begins_timestamp_seconds{service=\"relay\"} 1790611200",
            "manager_maintenance_ends_timestamp_seconds{service=\"relay\"} 1790618400",
            "manager_maintenance_begins_timestamp_seconds{service=\"manager\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        manager.advance(Duration::from_hours(7 * 24 + 3));
        sweep::look(&manager.app).await.unwrap();
        assert!(metric(&manager).ends_with(" 1"), "planned time is told");
        let again = Browser::new(&manager);
        again.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        again.get("/account").await.says("メンテナンスのお知らせ");
        manager.advance(Duration::from_hours(2));
        sweep::look(&manager.app).await.unwrap();
        assert!(metric(&manager).ends_with(" 0"));
    })
    .await;
}

#[tokio::test]
async fn an_emergency_says_why_and_a_window_can_be_called_off() {
    on_both(|db| async move {
        let manager = with_mail(db);
        let (acme, root) = (company(&manager, "acme").await, operations(&manager).await);
        root.get("/system/maintenance").await;
        let fields = [
            ("starts", "2026-09-22T01:00"),
            ("ends", "2026-09-22T03:00"),
            ("services", "manager"),
            ("services", "relay"),
            ("emergency", "yes"),
            ("reason", "重大な脆弱性の修正"),
        ];
        root.post("/system/maintenance", &fields).await.goes_to("/system/maintenance");
        sweep::look(&manager.app).await.unwrap();
        let text = manager.app.metrics.registry.text();
        let line = "manager_maintenance_begins_timestamp_seconds{service=\"manager\"} 0";
        assert!(text.contains(line), "what is announced too late is no planned stop: {text}");
        let notice = acme.get("/notices").await.between("<span><a href=\"", "\"");
        acme.get(&notice).await.says("緊急の理由: 重大な脆弱性の修正");
        acme.get("/mails").await.says("【緊急】メンテナンスのお知らせ");
        acme.get("/account").await.says("メンテナンスのお知らせ");

        let action = root.get("/system/maintenance").await.between("action=\"/system/maintenance/", "\"");
        root.post(&format!("/system/maintenance/{action}"), &[]).await.goes_to("/system/maintenance");
        root.get("/system/maintenance").await.says("中止");
        acme.get("/account").await.says("メンテナンスの中止");
        acme.get("/account").await.lacks("メンテナンスのお知らせ（");
        assert_eq!(count(&manager, "maintenance:").await, 2);
        let again = root.post(&format!("/system/maintenance/{action}"), &[]).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "who is second is told");
        assert_eq!(root.post("/system/maintenance/0/cancel", &[]).await.status, StatusCode::NOT_FOUND);
        manager.advance(Duration::from_hours(2));
        sweep::look(&manager.app).await.unwrap();
        let text = manager.app.metrics.registry.text();
        assert!(text.contains("manager_maintenance_running{service=\"manager\"} 0"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn an_incident_is_overdue_after_one_business_day_until_companies_are_told() {
    on_both(|db| async move {
        let manager = with_mail(db);
        let acme = company(&manager, "acme").await;
        let root_id = system::account(&manager, "root", AdminRole::Operations).await;
        let root = system::first_login(&manager, "root", root_id).await;
        root.get("/system/incidents").await;
        let declare = [("title", "ログインできない"), ("detected", "2026-09-21T20:00")];
        root.post("/system/incidents", &[("title", "x"), ("detected", "2027-01-01T00:00")]).await.says("今より前");
        root.post("/system/incidents", &declare).await.goes_to("/system/incidents");
        // 21 to 23 September 2026 are holidays, so the day is the 24th, which ends when the 25th begins.
        let page = root.get("/system/incidents").await;
        page.says("2026/09/25 00:00:00");
        page.says("未通知");
        let incident = page.between("action=\"/system/incidents/", "/notify\"");
        let at = |step: &str| format!("/system/incidents/{incident}/{step}");
        assert_eq!(root.post(&at("close"), &[]).await.status, StatusCode::CONFLICT, "not before companies were told");
        sweep::look(&manager.app).await.unwrap();
        let text = manager.app.metrics.registry.text();
        assert!(text.contains("manager_incidents_open 1") && text.contains("manager_incidents_overdue 0"), "{text}");

        manager.advance(Duration::from_hours(4 * 24));
        sweep::look(&manager.app).await.unwrap();
        assert!(manager.app.metrics.registry.text().contains("manager_incidents_overdue 1"));
        let late = Browser::new(&manager);
        system::knock(&late, "root", PASSWORD).await.goes_to("/system/login/code");
        late.get("/system/login/code").await;
        let code = system::code(&manager, root_id).await;
        late.post("/system/login/code", &[("code", &code)]).await.goes_to("/system");
        late.get("/system/incidents").await.says("通知の期限超過");
        late.post(&at("notify"), &[("title", "ログインの障害"), ("body", "復旧しました。")])
            .await
            .goes_to("/system/incidents");
        late.get("/system/incidents").await.says("期限後の通知");
        assert_eq!(count(&manager, "incident:").await, 1);
        sweep::look(&manager.app).await.unwrap();
        assert!(manager.app.metrics.registry.text().contains("manager_incidents_overdue 0"));
        acme.get("/").await.goes_to("/login");
        acme.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        acme.get("/account").await.says("ログインの障害");
        late.get("/system/incidents").await;
        for wrong in ["", "tomorrow", "2026-09-21T19:59", "2027-01-01T00:00"] {
            let seen = late.post(&at("contain"), &[("at", wrong)]).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong:?}");
            seen.says("検知より後で、今より前");
        }
        late.post(&at("contain"), &[("at", "2026-09-22T03:30")]).await.goes_to("/system/incidents");
        late.get("/system/incidents").await.says("<dt>収束</dt><dd>2026/09/22 03:30:00</dd>");
        assert_eq!(late.post(&at("contain"), &[("at", "2026-09-22T03:30")]).await.status, StatusCode::CONFLICT);
        late.get("/system/incidents").await;
        late.post(&at("close"), &[]).await.goes_to("/system/incidents");
        late.get("/system/incidents").await.says("完了");
        acme.get("/account").await.lacks("ログインの障害");
        assert_eq!(late.post(&at("close"), &[]).await.status, StatusCode::CONFLICT);
        assert_eq!(late.post(&at("fly"), &[]).await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn the_record_of_incidents_is_a_file_with_every_moment_and_what_was_told() {
    on_both(|db| async move {
        let manager = with_mail(db);
        company(&manager, "acme").await;
        let root = operations(&manager).await;
        for (title, detected) in [("最初の障害", "2026-09-21T20:00"), ("=1+1", "2026-09-21T21:00")] {
            root.get("/system/incidents").await;
            let declare = [("title", title), ("detected", detected)];
            root.post("/system/incidents", &declare).await.goes_to("/system/incidents");
        }
        let page = root.get("/system/incidents").await;
        page.says("href=\"/system/incidents/file?encoding=utf8\"");
        // The newest stands first.
        let incident = page.between("action=\"/system/incidents/", "/notify\"");
        let told = [("title", "ログインの障害"), ("body", "復旧しました。\r\n原因は \"証明書\" です。")];
        root.post(&format!("/system/incidents/{incident}/notify"), &told).await.goes_to("/system/incidents");
        root.get("/system/incidents").await;
        let contain = format!("/system/incidents/{incident}/contain");
        root.post(&contain, &[("at", "2026-09-21T22:15")]).await.goes_to("/system/incidents");
        root.get("/system/incidents").await;
        root.post(&format!("/system/incidents/{incident}/close"), &[]).await.goes_to("/system/incidents");

        let file = root.get("/system/incidents/file").await;
        let name = file.headers["content-disposition"].to_str().unwrap();
        assert_eq!(name, "attachment; filename=\"incidents.csv\"");
        file.says("incident_id,title,declared_by,detected,declared,tell_until,told,told_in_time,contained,closed,");
        let now = manager::site::time::machine(manager.app.now_ms(), &jiff::tz::TimeZone::get("Asia/Tokyo").unwrap());
        file.says(&format!(
            "{incident},'=1+1,rootさん,2026-09-21T21:00:00+09:00,{now},2026-09-25T00:00:00+09:00,{now},yes,\
             2026-09-21T22:15:00+09:00,{now},ログインの障害,\"復旧しました。\n原因は \"\"証明書\"\" です。\",,\r\n"
        ));
        file.says(&format!(
            ",最初の障害,rootさん,2026-09-21T20:00:00+09:00,{now},2026-09-25T00:00:00+09:00,,,,,,,,\r\n"
        ));
        let audit = system::logged_in(&manager, "audit", AdminRole::Audit).await;
        assert_eq!(audit.open("/system/incidents/file?encoding=cp932").await.status(), StatusCode::OK);
        let log = audit.get("/system/log?event=list.").await;
        log.says("障害");
        audit.get("/system/log?event=incident.contained").await.says("2026/09/21 22:15:00");
        let partner = system::logged_in(&manager, "partner", AdminRole::Partner).await;
        assert_eq!(partner.get("/system/incidents/file").await.status, StatusCode::FORBIDDEN);
    })
    .await;
}

#[tokio::test]
async fn only_operations_write_for_the_service() {
    on_both(|db| async move {
        let manager = with_mail(db);
        for (user, role) in [("data", AdminRole::Data), ("audit", AdminRole::Audit)] {
            let browser = system::logged_in(&manager, user, role).await;
            for path in ["/system/notices", "/system/maintenance", "/system/incidents"] {
                let seen = browser.get(path).await;
                assert_eq!(seen.status, StatusCode::OK, "{path}");
                let posted = browser.post(path, &[("title", "X")]).await;
                assert_eq!(posted.status, StatusCode::FORBIDDEN, "{path}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn without_mail_maintenance_is_announced_on_the_site_and_says_so() {
    on_both(|db| async move {
        let manager = Manager::with(db, config(|_| {}));
        let (acme, root) = (company(&manager, "acme").await, operations(&manager).await);
        root.get("/system/maintenance").await.says("メールの送信が設定されていない");
        let fields = [("starts", "2026-10-29T01:00"), ("ends", "2026-10-29T03:00"), ("services", "relay")];
        root.post("/system/maintenance", &fields).await.goes_to("/system/maintenance");
        assert_eq!(count(&manager, "maintenance:").await, 0);
        acme.get("/account").await.says("メンテナンスのお知らせ");
        acme.get("/mails").await.says("メールの送信は設定されていません");
    })
    .await;
}

#[tokio::test]
async fn every_page_links_its_chapter_of_the_manual_which_needs_no_login() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let acme = company(&manager, "acme").await;
        for page in [
            "/",
            "/account",
            "/operators",
            "/log/sessions",
            "/log/receptions",
            "/log/operations",
            "/log/logins",
            "/mails",
            "/notices",
            "/live/receptions",
            "/live/sessions",
            "/statistics",
        ] {
            let chapter = acme.get(page).await.between("class=\"help\" href=\"", "\"");
            let seen = Browser::new(&manager).get(&chapter).await;
            assert_eq!(seen.status, StatusCode::OK, "{page} {chapter}");
        }
        let stranger = Browser::new(&manager);
        stranger.get("/manual").await;
        let contents = stranger.get("/manual/").await;
        for chapter in [
            "start",
            "reception",
            "live",
            "logs",
            "statistics",
            "accounts",
            "roles",
            "security",
            "notices",
            "faq",
            "api",
            "webhooks",
            "system",
            "responsibility",
            "revisions",
        ] {
            contents.says(&format!("href=\"/manual/{chapter}\""));
            stranger.get(&format!("/manual/{chapter}")).await.says("<h1>");
        }
        contents.says(&format!("バージョン {}", env!("CARGO_PKG_VERSION")));
        stranger.get("/manual/nothing").await.goes_to("/manual/");
        stranger.get("/manual/").await;
        stranger.post("/language", &[("lang", "en"), ("back", "/manual/start")]).await.goes_to("/manual/start");
        stranger.get("/manual/start").await.says("Forgotten password");
    })
    .await;
}

#[tokio::test]
async fn questions_and_answers_are_at_a_fixed_place_to_which_every_error_leads() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let acme = company(&manager, "acme").await;
        for path in ["/nowhere", "/operators/nobody", "/notices/nothing"] {
            let seen = acme.get(path).await;
            assert_eq!(seen.status, StatusCode::NOT_FOUND, "{path}");
            seen.says("<a href=\"/manual/faq\">よくある質問</a>");
        }
        // Nobody needs a login to read them: customers have none.
        let stranger = Browser::new(&manager);
        let seen = stranger.get("/manual/faq").await;
        assert_eq!(seen.status, StatusCode::OK);
        for audience in ["customers", "operators", "administrators"] {
            seen.says(&format!("<h2 id=\"{audience}\">"));
        }
        stranger.post("/language", &[("lang", "en"), ("back", "/manual/faq")]).await.goes_to("/manual/faq");
        stranger.get("/manual/faq").await.says("Is my screen recorded?");

        let root = operations(&manager).await;
        let seen = root.get("/system/nowhere").await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND);
        seen.says("<a href=\"/manual/system\">");
        seen.lacks("/manual/faq");
    })
    .await;
}
