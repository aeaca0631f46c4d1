//! What a company decides about receptions, about itself and about who is responsible for what.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use manager::{company, fetch_one, settings::store};
use proto::api::{
    error::ErrorCode,
    reception::{RECEPTIONS, ReceptionBody},
};

use crate::{
    browser::Browser,
    settings::{DAY, admin, again, send, tool},
    testing::{Answer, Manager, on_both},
};

/// What a form of receptions sends by default.
const RECEPTION: [(&str, &str); 3] = [("life_minutes", "0"), ("open_max", "3"), ("contact", "")];
/// What a form of the company sends by default.
const COMPANY: [(&str, &str); 4] =
    [("time_zone", "Asia/Tokyo"), ("lang", ""), ("log_days", "365"), ("change_days", "365")];

async fn issue(manager: &Manager, token: &str, reason: &str, life_secs: Option<u64>) -> Answer {
    let body = serde_json::json!({ "proof_key": "0a".repeat(32), "reason": reason, "life_secs": life_secs });
    let request = Request::builder()
        .method(Method::POST)
        .uri(RECEPTIONS)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("Idempotency-Key", format!("{}-{}", hex::encode(reason), life_secs.unwrap_or_default()))
        .body(Body::from(body.to_string()))
        .unwrap();
    Answer::read(manager.respond(request).await).await
}

#[tokio::test]
async fn numbers_obey_the_company_in_life_count_and_reason() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        let token = tool(&manager, "yamada").await.token;
        let rules = [("life_minutes", "5"), ("open_max", "2"), ("reason_required", "on")];
        let shown = send(&browser, "/settings/reception", &RECEPTION, &rules, "").await;
        shown.says("2個のアカウントに、次の発行から");
        shown.says("サービスの標準のとおり");
        send(&browser, "/settings/reception", &RECEPTION, &rules, "save").await.goes_to("/settings/reception");

        browser.get("/log/operations?event=settings.").await.says("サービスの標準のとおり → 5");
        browser.post("/language", &[("lang", "en"), ("back", "/")]).await.goes_to("/");
        browser.get("/log/operations?event=settings.").await.says("as the service says → 5");
        browser.post("/language", &[("lang", "ja"), ("back", "/")]).await.goes_to("/");

        assert_eq!(issue(&manager, &token, " ", None).await.status, StatusCode::BAD_REQUEST);
        let first: ReceptionBody = issue(&manager, &token, "印刷できない", None).await.json();
        assert_eq!(first.expires_at_ms - first.issued_at_ms, 5 * 60_000);
        let second: ReceptionBody = issue(&manager, &token, "印刷できない", Some(3600)).await.json();
        assert_eq!(second.expires_at_ms - second.issued_at_ms, 5 * 60_000, "a tool does not get more");
        assert_eq!(issue(&manager, &token, "x", None).await.error().code, ErrorCode::TooManyOpen);

        manager.advance(Duration::from_mins(6));
        manager::reception::sweep::sweep(&manager.app).await.unwrap();
        let short: ReceptionBody = issue(&manager, &token, "x", Some(60)).await.json();
        assert_eq!(short.expires_at_ms - short.issued_at_ms, 60_000);
        for (field, value) in [("life_minutes", "61"), ("open_max", "4"), ("open_max", "0")] {
            let seen = send(&browser, "/settings/reception", &RECEPTION, &[(field, value)], "save").await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_contact_is_shown_to_accounts_and_to_browsers_that_logged_in_before_only() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (_, browser) = admin(&manager).await;
        let contact = "ヘルプデスク <内線 1234>";
        send(&browser, "/settings/reception", &RECEPTION, &[("contact", contact)], "save")
            .await
            .goes_to("/settings/reception");

        for page in ["/", "/notices", "/operators/none"] {
            browser.get(page).await.says("ヘルプデスク &#60;内線 1234&#62;");
        }
        browser.get("/").await;
        browser.post("/logout", &[]).await.goes_to("/login");
        browser.get("/login").await.says("ヘルプデスク");
        let stranger = Browser::new(&manager);
        stranger.get("/login").await.lacks("ヘルプデスク");
        let tried = stranger.log_in("acme", "admin", "wrong-password").await;
        tried.lacks("ヘルプデスク");
        let long = "あ".repeat(501);
        let browser = again(&manager).await;
        let seen = send(&browser, "/settings/reception", &RECEPTION, &[("contact", long.as_str())], "save").await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
    })
    .await;
}

#[tokio::test]
async fn time_zone_and_language_are_those_of_the_company_on_every_page_and_in_files() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        issue(&manager, &tool(&manager, "yamada").await.token, "x", None).await.json::<ReceptionBody>();
        browser.get("/log/receptions").await.says("2026/09/21 23:13:20");
        browser.get("/").await.says("<small>JST</small>");
        browser.get("/log/receptions/file").await.says("+09:00");

        let changed = [("time_zone", "Europe/Amsterdam"), ("lang", "en")];
        let shown = send(&browser, "/settings/company", &COMPANY, &changed, "").await;
        shown.says("今は 2026/09/21 16:13 です");
        send(&browser, "/settings/company", &COMPANY, &changed, "save").await.goes_to("/settings/company");

        browser.get("/log/receptions").await.says("2026/09/21 16:13:20");
        let top = browser.get("/").await;
        top.says("<small>CEST</small>");
        top.says("<html lang=\"en\">");
        browser.get("/log/receptions/file").await.says("2026-09-21T16:13:20+02:00");
        browser.get("/").await;
        browser.post("/language", &[("lang", "ja"), ("back", "/")]).await.goes_to("/");
        browser.get("/").await.says("<html lang=\"ja\">");
        for (field, value) in [("time_zone", "Nowhere/At_All"), ("lang", "fr"), ("log_days", "364")] {
            let seen = send(&browser, "/settings/company", &COMPANY, &[(field, value)], "save").await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        }
    })
    .await;
}

#[tokio::test]
async fn records_go_after_the_days_of_their_kind() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        manager.operator(company_id, "yamada").await;
        issue(&manager, &tool(&manager, "yamada").await.token, "x", None).await.json::<ReceptionBody>();
        manager.advance(Duration::from_mins(11));
        manager::reception::sweep::sweep(&manager.app).await.unwrap();
        send(&browser, "/settings/company", &COMPANY, &[("log_days", "800")], "save")
            .await
            .goes_to("/settings/company");
        let count = async || {
            let mut tx = manager.app.db.begin().await.unwrap();
            let row = fetch_one!(
                &mut tx,
                (i64, i64),
                "SELECT (SELECT COUNT(*) FROM receptions), (SELECT COUNT(*) FROM changes)"
            );
            row.unwrap()
        };
        assert_eq!(count().await, (1, 1));
        manager.advance(DAY * 366);
        company::retention::sweep(&manager.app).await.unwrap();
        assert_eq!(count().await, (1, 0), "each kind by its own rule");

        let browser = again(&manager).await;
        let shorter = [("log_days", "365")];
        let asked = send(&browser, "/settings/company", &COMPANY, &shorter, "save").await;
        assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
        asked.says("1件の受付とサポートの履歴、0件の変更内容が");
        let sure = [("log_days", "365"), ("sure", "on")];
        send(&browser, "/settings/company", &COMPANY, &sure, "save").await.goes_to("/settings/company");
        company::retention::sweep(&manager.app).await.unwrap();
        assert_eq!(count().await, (0, 1));
    })
    .await;
}

#[tokio::test]
async fn the_responsibilities_are_acknowledged_once_with_their_edition() {
    on_both(|db| async {
        let manager = Manager::new(db);
        let (company_id, browser) = admin(&manager).await;
        browser.get("/settings").await.says("責任分界がまだ確認されていません");
        let page = browser.get("/settings/responsibility").await;
        page.says("復元について");
        let edition = page.between("name=\"edition\" value=\"", "\"");
        assert_eq!(
            browser.post("/settings/responsibility", &[("edition", "1999-01")]).await.status,
            StatusCode::CONFLICT
        );
        browser.get("/settings/responsibility").await;
        let fields = [("edition", edition.as_str())];
        browser.post("/settings/responsibility", &fields).await.goes_to("/settings/responsibility");

        let page = browser.get("/settings/responsibility").await;
        page.says("確認済み");
        page.says("山田 太郎");
        page.lacks("確認しました");
        browser.get("/settings").await.lacks("責任分界がまだ確認されていません");
        browser.post("/settings/responsibility", &fields).await.goes_to("/settings/responsibility");
        let mut tx = manager.app.db.begin().await.unwrap();
        let (events,) = fetch_one!(
            &mut tx,
            (i64,),
            "SELECT COUNT(*) FROM audit WHERE event = 'settings.responsibility_acknowledged'"
        )
        .unwrap();
        assert_eq!(events, 1);
        let policy = store::policy(&mut tx, company_id).await.unwrap();
        assert_eq!(policy.responsibility.map(|read| read.edition), Some(edition));
    })
    .await;
}
