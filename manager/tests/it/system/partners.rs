//! What partners tell their own companies, and nobody else.

use axum::http::StatusCode;
use manager::{admin::AdminRole, execute, role::Role, token::Scope};
use proto::{
    api::login::LoginAnswer,
    id::{CompanyId, OperatorId},
};
use serde_json::Value;

use super::{account, first_login, logged_in};
use crate::{
    browser::Browser,
    manage,
    testing::{Manager, PASSWORD, on_both},
};

/// Where partners write.
const PAGE: &str = "/system/notices";

/// A notice that is in force when the clock starts, on 21 September 2026.
fn notice<'a>(title: &'a str, audience: &'a str, companies: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("kind", "release"),
        ("important", "yes"),
        ("title", title),
        ("body", "詳しくは https://east.example/ を。"),
        ("begins", "2026-09-21T00:00"),
        ("ends", "2026-09-30T00:00"),
        ("audience", audience),
        ("companies", companies),
    ]
}

/// Two partners, `east` with the companies acme and second, and `west` with other; direct has none.
struct House {
    manager: Manager,
    admins: Vec<(&'static str, CompanyId, OperatorId)>,
}

impl House {
    async fn open(db: manager::db::Db) -> Self {
        let manager = Manager::new(db);
        let mut admins = Vec::new();
        for code in ["acme", "second", "other", "direct"] {
            let company_id = manager.company(code).await;
            admins.push((code, company_id, manager.account(company_id, "admin", Role::CompanyAdmin).await));
        }
        let mut tx = manager.app.db.begin().await.unwrap();
        for (id, name) in [("east", "東の販売店"), ("west", "西の販売店")] {
            execute!(
                &mut tx,
                "INSERT INTO partners (partner_id, name, note, created_at_ms, version) VALUES ($1, $2, '', 0, 0)",
                id,
                name
            )
            .unwrap();
        }
        tx.commit().await.unwrap();
        let house = Self { manager, admins };
        for (code, partner) in [("acme", "east"), ("second", "east"), ("other", "west")] {
            house.bring(code, partner).await;
        }
        house
    }

    /// Makes a company one of a partner.
    async fn bring(&self, code: &str, partner: &str) {
        let mut tx = self.manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE companies SET partner_id = $2 WHERE code = $1", code, partner).unwrap();
        tx.commit().await.unwrap();
    }

    /// An account of a partner, logged in.
    async fn of(&self, partner: &str, user: &str) -> Browser<'_> {
        let operator_id = account(&self.manager, user, AdminRole::Partner).await;
        let mut tx = self.manager.app.db.begin().await.unwrap();
        let id = operator_id.to_string();
        execute!(&mut tx, "UPDATE operators SET partner_id = $2 WHERE operator_id = $1", id, partner).unwrap();
        tx.commit().await.unwrap();
        first_login(&self.manager, user, operator_id).await
    }

    /// The administrator of a company, logged in.
    async fn company(&self, code: &str) -> Browser<'_> {
        let browser = Browser::new(&self.manager);
        browser.log_in(code, "admin", PASSWORD).await.goes_to("/");
        browser
    }
}

/// Writes a notice; its id.
async fn write(partner: &Browser<'_>, title: &str, audience: &str, companies: &str) -> String {
    partner.get(PAGE).await;
    partner.post(PAGE, &notice(title, audience, companies)).await.goes_to(PAGE);
    let list = partner.get(PAGE).await;
    let before = list.text.split_once(&format!("\">{title}</a>")).unwrap().0;
    before.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_partner_tells_its_own_companies_all_or_some_and_no_other() {
    on_both(|db| async move {
        let house = House::open(db).await;
        let (east, west) = (house.of("east", "east1").await, house.of("west", "west1").await);
        let (acme, second) = (house.company("acme").await, house.company("second").await);
        let (other, direct) = (house.company("other").await, house.company("direct").await);
        east.get(PAGE).await.says("担当する企業に知らせることができます");
        for (audience, companies, says) in [
            ("some", "", "企業コードを1つ以上"),
            ("all", "acme", "企業コードを空に"),
            ("some", "acme other", "other という企業コードはありません"),
            ("some", "acme nowhere", "nowhere という企業コードはありません"),
        ] {
            let seen = east.post(PAGE, &notice("だめ", audience, companies)).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{companies}");
            seen.says(says);
        }
        let all = write(&east, "東からみなさんへ", "all", "").await;
        let some = write(&east, "一社だけ", "some", "ACME").await;

        acme.get("/account").await.says("東からみなさんへ（東の販売店）");
        let list = acme.get("/notices").await;
        list.says("全2件");
        list.says("パートナー（東の販売店）");
        acme.get(&format!("/notices/{some}")).await.says("<dd>パートナー（東の販売店）</dd>");
        acme.get("/notices").await;
        assert_eq!(acme.post(&format!("/notices/{some}/end"), &[]).await.status, StatusCode::NOT_FOUND);
        second.get("/notices").await.says("全1件");
        assert_eq!(second.get(&format!("/notices/{some}")).await.status, StatusCode::NOT_FOUND);
        for stranger in [&other, &direct] {
            stranger.get("/notices").await.says("お知らせはありません");
            stranger.get("/account").await.lacks("東から");
            for id in [&all, &some] {
                assert_eq!(stranger.get(&format!("/notices/{id}")).await.status, StatusCode::NOT_FOUND);
            }
        }
        Browser::new(&house.manager).get("/login").await.lacks("東から");

        west.get(PAGE).await.says("お知らせはありません");
        for id in [&all, &some] {
            let address = format!("{PAGE}/{id}");
            assert_eq!(west.get(&address).await.status, StatusCode::NOT_FOUND);
            west.get(PAGE).await;
            assert_eq!(west.post(&address, &notice("横取り", "all", "")).await.status, StatusCode::NOT_FOUND);
            west.get(PAGE).await;
            assert_eq!(west.post(&format!("{address}/end"), &[]).await.status, StatusCode::NOT_FOUND);
        }
        acme.get("/notices").await.says("一社だけ");
        for page in ["/system/maintenance", "/system/incidents"] {
            assert_eq!(east.get(page).await.status, StatusCode::FORBIDDEN, "{page}");
        }
    })
    .await;
}

#[tokio::test]
async fn tools_and_programs_are_told_who_wrote_a_notice() {
    on_both(|db| async move {
        let house = House::open(db).await;
        let east = house.of("east", "east1").await;
        write(&east, "東からみなさんへ", "all", "").await;

        for (code, company_id, admin) in &house.admins {
            let seen = ["acme", "second"].contains(code);
            let answer: LoginAnswer = house.manager.login(code, "admin", PASSWORD).await.json();
            let titles: Vec<_> = answer.notices.iter().map(|notice| notice.title.as_str()).collect();
            assert_eq!(titles, if seen { vec!["東からみなさんへ（東の販売店）"] } else { vec![] }, "{company_id}");
            let token = manage::token(&house.manager, *admin, &[Scope::NoticesRead]).await;
            let listed: Value = house.manager.get("/v1/manage/notices", Some(&token)).await.json();
            let items = listed["items"].as_array().unwrap();
            assert_eq!(items.len(), usize::from(seen), "{code}");
            for item in items {
                assert_eq!((&item["is_own"], &item["partner"]), (&false.into(), &"東の販売店".into()));
                let path = format!("/v1/manage/notices/{}", item["notice_id"].as_str().unwrap());
                let one: Value = house.manager.get(&path, Some(&token)).await.json();
                assert_eq!(one["author"], "東の販売店");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_who_change_a_notice_the_second_is_told_and_whoever_read_it_reads_it_again() {
    on_both(|db| async move {
        let house = House::open(db).await;
        let (east, colleague) = (house.of("east", "east1").await, house.of("east", "east2").await);
        let (acme, second) = (house.company("acme").await, house.company("second").await);
        let id = write(&east, "棚卸し", "some", "acme").await;
        let address = format!("{PAGE}/{id}");
        acme.get(&format!("/notices/{id}")).await;
        acme.get("/notices?unread=yes").await.says("条件に合うものはありません");
        let page = colleague.get(&address).await;
        page.says("value=\"acme\"");
        let version = page.between("name=\"version\" value=\"", "\"");
        let with_version = |title: &'static str, audience: &'static str, companies: &'static str| {
            let mut fields = notice(title, audience, companies);
            fields.push(("version", &version));
            fields
        };
        east.get(&address).await;
        east.post(&address, &with_version("棚卸し", "some", " Acme acme")).await.goes_to(&address);
        acme.get("/notices?unread=yes").await.says("条件に合うものはありません");

        east.get(&address).await;
        east.post(&address, &with_version("棚卸しの中止", "all", "")).await.goes_to(&address);
        let told = colleague.post(&address, &with_version("棚卸しの延期", "all", "")).await;
        assert_eq!(told.status, StatusCode::CONFLICT);
        told.says("ほかの人が先に変更しました");
        acme.get("/notices?unread=yes").await.says("棚卸しの中止");
        second.get("/notices").await.says("棚卸しの中止");
        let wrong = colleague.get(&address).await.between("name=\"version\" value=\"", "\"");
        let mut fields = notice("a\u{202E}b", "all", "");
        fields.push(("version", &wrong));
        let seen = colleague.post(&address, &fields).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        seen.says("1〜100文字の1行");

        colleague.get(PAGE).await;
        colleague.post(&format!("{address}/end"), &[]).await.goes_to(PAGE);
        acme.get("/account").await.lacks("棚卸し");
        let page = east.get(&address).await;
        page.lacks("name=\"version\"");
        east.get(PAGE).await;
        assert_eq!(east.post(&address, &fields).await.status, StatusCode::CONFLICT, "it is over");
        let auditor = logged_in(&house.manager, "auditor", AdminRole::Audit).await;
        let log = auditor.get("/system/log?event=notice.").await;
        for says in [
            "お知らせを掲載",
            "お知らせを変更",
            "お知らせの掲載を終了",
            "棚卸し → 棚卸しの中止",
            "選んだ企業 → すべての企業",
        ] {
            log.says(says);
        }
    })
    .await;
}

#[tokio::test]
async fn system_administrators_see_what_partners_write_and_end_it_but_put_no_words_into_their_mouths() {
    on_both(|db| async move {
        let house = House::open(db).await;
        let (east, acme) = (house.of("east", "east1").await, house.company("acme").await);
        let id = write(&east, "東からみなさんへ", "all", "").await;
        let address = format!("{PAGE}/{id}");

        for role in [AdminRole::Data, AdminRole::Audit, AdminRole::Operations] {
            let browser = logged_in(&house.manager, role.as_str(), role).await;
            browser.get("/system/notices?q=%E6%9D%B1%E3%81%AE").await.says("パートナー（東の販売店）");
            let page = browser.get(&address).await;
            page.says("このパートナーが担当するすべての企業");
            page.says("<a href=\"https://east.example/\" rel=\"noopener noreferrer\">");
            page.lacks("name=\"version\"");
            browser.get(PAGE).await;
            let fields = [("title", "X"), ("version", "0")];
            assert_eq!(browser.post(&address, &fields).await.status, StatusCode::FORBIDDEN, "{role}");
            browser.get(PAGE).await;
            if role == AdminRole::Operations {
                browser.post(&format!("{address}/end"), &[]).await.goes_to(PAGE);
            } else {
                assert_eq!(browser.post(&format!("{address}/end"), &[]).await.status, StatusCode::FORBIDDEN, "{role}");
            }
        }
        acme.get("/account").await.lacks("東から");
        let root = logged_in(&house.manager, "root", AdminRole::Operations).await;
        root.get(PAGE).await;
        root.post(PAGE, &notice("サービスから", "", "")).await.goes_to(PAGE);
        east.get(PAGE).await.lacks("サービスから");
        let unbound = logged_in(&house.manager, "unbound", AdminRole::Partner).await;
        unbound.get(PAGE).await.says("お知らせはありません");
        assert_eq!(unbound.post(PAGE, &notice("X", "all", "")).await.status, StatusCode::FORBIDDEN);
    })
    .await;
}

#[tokio::test]
async fn a_company_that_leaves_a_partner_sees_its_notices_no_more() {
    on_both(|db| async move {
        let house = House::open(db).await;
        let (east, acme) = (house.of("east", "east1").await, house.company("acme").await);
        let all = write(&east, "東からみなさんへ", "all", "").await;
        let some = write(&east, "一社だけ", "some", "acme").await;
        acme.get("/notices").await.says("全2件");

        house.bring("acme", "west").await;
        house.bring("direct", "east").await;

        acme.get("/notices").await.says("お知らせはありません");
        acme.get("/account").await.lacks("東の販売店");
        for id in [&all, &some] {
            assert_eq!(acme.get(&format!("/notices/{id}")).await.status, StatusCode::NOT_FOUND);
        }
        house.company("direct").await.get("/notices").await.says("全1件");
        let page = east.get(&format!("{PAGE}/{some}")).await;
        page.says("今は対象の企業がありません");
        page.lacks("acme");
    })
    .await;
}
