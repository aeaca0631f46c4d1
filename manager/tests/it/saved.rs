//! Filters that an account keeps under names.

use axum::http::StatusCode;
use manager::{fetch_one, role::Role};

use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, on_both},
};

#[tokio::test]
async fn a_filter_is_kept_under_a_name_stands_above_its_list_and_goes() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");

        browser.get("/operators").await.lacks("この条件を保存");
        let list = browser.get("/operators?state=stopped&q=%E5%B1%B1&after=x~1").await;
        let link = list.between("<a class=\"quiet\" href=\"", "\"").replace("&amp;", "&");
        let asked = browser.get(&link).await;
        asked.says("name=\"query\" value=\"?state=stopped&#38;q=%E5%B1%B1\"");
        let query = "?state=stopped&q=%E5%B1%B1";
        let save = |name: &'static str, query: &'static str| [("list", "/operators"), ("query", query), ("name", name)];
        browser.post("/filters", &save("停止中の山さん", query)).await.goes_to(&format!("/operators{query}"));
        let list = browser.get(&format!("/operators{query}")).await;
        list.says("aria-current=\"true\">停止中の山さん</a>");
        browser.get("/notices").await.lacks("停止中の山さん");

        browser
            .post("/filters", &save("停止中の山さん", "?state=active&after=x~1"))
            .await
            .goes_to("/operators?state=active");
        let list = browser.get("/operators").await;
        assert_eq!(list.text.matches("停止中の山さん").count(), 1, "the same name is replaced");
        list.says("href=\"/operators?state=active\"");
        let page = browser.get("/filters?list=%2Foperators").await;
        let address = page.between("action=\"/filters/", "\"");
        browser.post(&format!("/filters/{address}"), &[]).await.goes_to("/filters?list=%2Foperators");
        browser.get("/operators").await.lacks("停止中の山さん");
        let mut tx = manager.app.db.read().await.unwrap();
        let (count,) =
            fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit WHERE event IN ('filter.saved', 'filter.deleted')")
                .unwrap();
        assert_eq!(count, 3);
    })
    .await;
}

#[tokio::test]
async fn a_filter_is_its_owners_alone_and_its_form_takes_nothing_else() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        manager.account(company_id, "second", Role::CompanyAdmin).await;
        let (owner, other) = (Browser::new(&manager), Browser::new(&manager));
        owner.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        other.log_in("acme", "second", PASSWORD).await.goes_to("/");
        owner.get("/account").await;
        other.get("/account").await;

        let fields = [("list", "/operators"), ("query", "?q=a"), ("name", "<b>mine</b>")];
        owner.post("/filters", &fields).await.goes_to("/operators?q=a");
        let page = owner.get("/filters?list=%2Foperators").await;
        page.lacks("<b>mine");
        let address = page.between("action=\"/filters/", "\"");
        other.get("/operators").await.lacks("mine");
        assert_eq!(other.post(&format!("/filters/{address}"), &[]).await.status, StatusCode::NOT_FOUND);
        let wrong = owner.post("/filters", &[("list", "/operators"), ("query", "?q=a"), ("name", " ")]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        wrong.says("1〜64文字で入力してください");
        for list in ["https://evil.example", "//evil.example", "/account", ""] {
            let seen = owner.post("/filters", &[("list", list), ("query", "?q=a"), ("name", "x")]).await;
            assert_eq!(seen.status, StatusCode::NOT_FOUND, "{list}");
        }
        for number in 0..19 {
            let name = format!("filter {number}");
            let fields = [("list", "/operators"), ("query", "?q=a"), ("name", name.as_str())];
            owner.post("/filters", &fields).await.goes_to("/operators?q=a");
        }
        let full = owner.post("/filters", &[("list", "/operators"), ("query", "?q=a"), ("name", "one more")]).await;
        assert_eq!(full.status, StatusCode::UNPROCESSABLE_ENTITY);
        full.says("20件までです");
        owner.post("/filters", &fields).await.goes_to("/operators?q=a");
    })
    .await;
}
