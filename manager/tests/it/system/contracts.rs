//! Companies as operations runs them, and partners.

use axum::http::StatusCode;
use manager::{admin::AdminRole, relays, role::Role, token::Scope};
use proto::{
    api::{error::ErrorCode, relay::ReportAnswer, session::RenewAnswer},
    id::SessionId,
};
use serde_json::{Value, json};

use super::logged_in;
use crate::{
    browser::{Browser, Seen},
    live, manage,
    session::Desk,
    testing::{Manager, PASSWORD, on_both},
};

/// A whole form of a new company.
const NEW: [(&str, &str); 11] = [
    ("code", "acme"),
    ("name", "株式会社サンプル"),
    ("seats", "2"),
    ("begins", "2026-04-01"),
    ("ends", "2027-03-31"),
    ("region", "jp"),
    ("contact", "総務部"),
    ("note", "内々のメモ"),
    ("user", "kanri"),
    ("admin_name", "管理 花子"),
    ("reason", "契約書 第12号"),
];

/// A form with one field changed.
fn with<'a>(fields: &[(&'a str, &'a str)], changed: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    let kept = fields.iter().copied().filter(|(name, _)| *name != changed.0);
    kept.chain([changed]).collect()
}

/// Makes a company; its id and the password of its administrator.
async fn make(browser: &Browser<'_>, fields: &[(&str, &str)]) -> (String, String) {
    browser.get("/system/companies/new").await;
    let shown = browser.post("/system/companies/new", fields).await;
    shown.says("今だけ表示されます");
    let unescaped = |text: String| text.replace("&#38;", "&").replace("&#60;", "<").replace("&#62;", ">");
    let password = unescaped(shown.between("<span class=\"secret\">", "</span>"));
    (shown.between("<a class=\"button primary\" href=\"/system/companies/", "\""), password)
}

fn version(page: &Seen) -> String {
    page.between("name=\"version\" value=\"", "\"")
}

#[tokio::test]
async fn operations_makes_a_company_whose_administrator_goes_on_alone() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let browser = logged_in(&manager, "root", AdminRole::Operations).await;
        browser.get("/system/companies").await.says("企業はまだありません");
        browser.get("/system/companies/new").await;
        for (changed, sentence) in [
            (("code", "A"), "3〜32文字の半角小文字"),
            (("name", " "), "1〜64文字で入力"),
            (("seats", "0"), "1以上の数"),
            (("begins", "2026-13-01"), "日付を 2026-04-01 のように"),
            (("ends", "2026-03-01"), "終了日は開始日より後"),
            (("region", "mars"), "地域を選んで"),
            (("partner", "nobody"), "パートナーを選んで"),
            (("user", "管理"), "半角英数字"),
            (("reason", " "), "理由を200文字以内"),
            (("contact", "a\u{202E}b"), "200文字以内の1行"),
        ] {
            let seen = browser.post("/system/companies/new", &with(&NEW, changed)).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{changed:?}");
            seen.says(sentence);
        }
        browser.get("/system/companies").await.says("企業はまだありません");

        let (company_id, password) = make(&browser, &NEW).await;
        browser.get("/system/companies/new").await;
        browser.post("/system/companies/new", &NEW).await.says("すでに使われています");
        let page = browser.get(&format!("/system/companies/{company_id}")).await;
        for told in ["2026/04/01〜2027/03/31", "1/2", "日本国内のみ", "管理 花子", "総務部", "契約書 第12号"]
        {
            page.says(told);
        }
        let company = Browser::new(&manager);
        company.log_in("acme", "kanri", &password).await.goes_to("/account/password");
        company.get("/account/password").await;
        let change = [("old", password.as_str()), ("new", PASSWORD), ("again", PASSWORD)];
        company.post("/account/password", &change).await.goes_to("/account");
        company.get("/operators").await.says("管理 花子");
        company.get("/log/operations").await.says("サービスの管理者");
        company.get("/operators/new").await;
        let seat = [("name", "X"), ("user", "second"), ("role", "operator")];
        assert_eq!(company.post("/operators/new", &seat).await.status, StatusCode::OK);
        let seat = [("name", "X"), ("user", "third"), ("role", "operator")];
        company.post("/operators/new", &seat).await.says("席数に空きがありません");
    })
    .await;
}

#[tokio::test]
async fn a_contract_changes_with_a_reason_and_the_second_of_two_is_told() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let browser = logged_in(&manager, "root", AdminRole::Operations).await;
        let (company_id, _) = make(&browser, &NEW).await;
        let address = format!("/system/companies/{company_id}");
        let page = browser.get(&address).await;
        let version = version(&page);
        let fields = with(&NEW, ("version", version.as_str()));

        browser.post(&address, &with(&fields, ("seats", "30"))).await.goes_to(&address);
        let second = browser.post(&address, &with(&fields, ("name", "二人目"))).await;
        assert_eq!(second.status, StatusCode::CONFLICT);
        second.says("ほかの人が先に変更しました");
        let stale = [("to", "suspended"), ("reason", "x"), ("version", version.as_str())];
        assert_eq!(browser.post(&format!("{address}/state"), &stale).await.status, StatusCode::CONFLICT);
        let page = browser.get(&address).await;
        page.says("<span class=\"quiet\">席数</span>: 2 → 30");
        page.lacks("二人目");

        let fields = [("user", "rescue"), ("admin_name", "救済"), ("reason", "管理者の退職")];
        browser.post(&format!("{address}/administrator"), &fields).await.says("会社管理者を追加しました");
        browser.get(&address).await;
        browser.post(&format!("{address}/administrator"), &fields).await.says("すでに使われています");
        let page = browser.get(&address).await;
        let fields = with(&NEW, ("version", "0"));
        let version = super::contracts::version(&page);
        let fewer = with(&fields, ("version", version.as_str()));
        browser.post(&address, &with(&fewer, ("seats", "1"))).await.says("少なくできません");
        let auditor = logged_in(&manager, "auditor", AdminRole::Audit).await;
        auditor.get("/system/log?event=company.").await.says("契約を変更");
        auditor.get("/system/log?q=acme").await.says("2 → 30");
    })
    .await;
}

#[tokio::test]
async fn only_operations_changes_a_contract() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let (company_id, _) = make(&root, &NEW).await;
        let address = format!("/system/companies/{company_id}");
        let version = version(&root.get(&address).await);

        for role in [AdminRole::Data, AdminRole::Audit, AdminRole::Partner] {
            let browser = logged_in(&manager, role.as_str(), role).await;
            let sees = role != AdminRole::Partner;
            let expected = if sees { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(browser.get(&address).await.status, expected, "{role}");
            browser.get("/system/companies").await;
            for page in ["/system/companies/new", "/system/partners", "/system/admins/new"] {
                assert_eq!(browser.get(page).await.status, StatusCode::FORBIDDEN, "{role} {page}");
            }
            let fields = with(&NEW, ("version", version.as_str()));
            for verb in ["", "/state", "/administrator"] {
                let seen = browser.post(&format!("{address}{verb}"), &with(&fields, ("to", "ended"))).await;
                assert_eq!(seen.status, StatusCode::FORBIDDEN, "{role} {verb}");
            }
            for page in ["/system/companies/new", "/system/partners", "/system/admins/new"] {
                assert_eq!(browser.post(page, &fields).await.status, StatusCode::FORBIDDEN, "{role} {page}");
            }
        }
        let page = root.get(&address).await;
        page.says("利用中");
        assert_eq!(super::contracts::version(&page), version);
    })
    .await;
}

#[tokio::test]
async fn a_partner_sees_its_own_companies_and_no_other() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        root.get("/system/partners").await.says("パートナーはまだいません");
        for name in ["東の販売店", "西の販売店"] {
            root.post("/system/partners", &[("name", name), ("reason", "契約")]).await.goes_to("/system/partners");
            root.get("/system/partners").await;
        }
        root.post("/system/partners", &[("name", "東の販売店"), ("reason", "契約")]).await.says("この名前はすでに");
        let id_of = |page: &Seen, name: &str| {
            let before = page.text.split_once(&format!("\">{name}</a>")).unwrap().0;
            before.rsplit('/').next().unwrap().to_owned()
        };
        let page = root.get("/system/partners").await;
        let (east, west) = (id_of(&page, "東の販売店"), id_of(&page, "西の販売店"));
        let (mine, _) = make(&root, &with(&NEW, ("partner", &east))).await;
        let (other, _) = make(&root, &with(&with(&NEW, ("partner", &west)), ("code", "other"))).await;
        let (direct, _) = make(&root, &with(&NEW, ("code", "direct"))).await;

        root.get("/system/admins/new").await;
        let fields = [("user", "east"), ("name", "東 太郎"), ("role", "partner"), ("reason", "窓口")];
        root.post("/system/admins/new", &fields).await.says("パートナーを選んで");
        let shown = root.post("/system/admins/new", &with(&fields, ("partner", &east))).await;
        let password = shown.between("<span class=\"secret\">", "</span>").replace("&#38;", "&");
        let operator_id = shown.between("href=\"/system/admins/", "\"").parse().unwrap();
        let partner = super::accounts::first_login_with_change(&manager, "east", operator_id, &password).await;

        let list = partner.get("/system/companies").await;
        list.says("全1件");
        list.says("acme");
        list.lacks("direct");
        let page = partner.get(&format!("/system/companies/{mine}")).await;
        page.says("総務部");
        for inside in ["変更の履歴", "契約書 第12号", "内々のメモ"] {
            page.lacks(inside);
        }
        for foreign in [&other, &direct] {
            let page = format!("/system/companies/{foreign}");
            assert_eq!(partner.get(&page).await.status, StatusCode::NOT_FOUND);
            partner.get("/system/companies").await;
            let verb = [("to", "ended"), ("reason", "x")];
            assert_eq!(partner.post(&format!("{page}/state"), &verb).await.status, StatusCode::FORBIDDEN);
        }
        let file = partner.get(&format!("/system/companies/file?partner={west}")).await.text;
        assert_eq!(file.lines().count(), 1, "{file}");
        let top = partner.get("/system").await;
        top.says("<dd><a href=\"/system/companies?state=active\">1</a></dd>");
        for page in ["/system/admins", "/system/partners", "/system/log"] {
            assert_eq!(partner.get(page).await.status, StatusCode::FORBIDDEN, "{page}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_company_of_a_region_never_gets_a_relay_of_another() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let (manager, db) = (&desk.manager, &desk.manager.app.db);
        let now = manager.app.now_ms();
        let mut tokens = vec![("relay1", desk.relay.clone())];
        for name in ["relay2", "relay3"] {
            tokens.push((name, relays::enroll(db, name, now).await.unwrap().1.reveal().to_owned()));
        }
        let heartbeats = async || {
            for (name, token) in &tokens {
                let body = json!({
                    "address": format!("{name}.example.jp:443"), "spki": "ab".repeat(32), "version": "0.1.0",
                    "draining": false, "free_sessions": 100, "sessions": [],
                });
                manager.post("/v1/relay/heartbeat", Some(token), &body.to_string()).await;
            }
        };
        let renew = async |session: SessionId, token: &str| -> Vec<String> {
            let answer: RenewAnswer = desk.say(session, "ticket", token, &json!({})).await.json();
            answer.relays.into_iter().map(|relay| relay.address).collect()
        };
        heartbeats().await;
        relays::store::place(db, "relay2", "us".parse().unwrap(), now).await.unwrap();
        let before = desk.connected().await;
        assert_eq!(before.pairing.relays.len(), 3, "a company without a region gets any relay");
        let root = logged_in(manager, "root", AdminRole::Operations).await;
        let list = root.get("/system/companies").await;
        let company_id = list.between("href=\"/system/companies/", "\">acme");
        let company_id = company_id.rsplit('/').next().unwrap();
        let address = format!("/system/companies/{company_id}");
        let version = version(&root.get(&address).await);
        let bound = [("name", "株式会社サンプル"), ("region", "jp"), ("reason", "国内のみ"), ("version", &version)];
        root.post(&address, &bound).await.goes_to(&address);

        let reception = desk.issue().await;
        let refused = desk.enter(reception.locator.as_str(), "203.0.113.5").await;
        assert_eq!(refused.error().code, ErrorCode::NoRelay, "neither a relay elsewhere nor one that is nowhere");
        let renewed = desk.say(before.pairing.session_id, "ticket", &before.token, &json!({})).await;
        assert_eq!(renewed.error().code, ErrorCode::NoRelay, "and none that it had");

        relays::store::place(db, "relay3", "jp".parse().unwrap(), now).await.unwrap();
        let entered = desk.entered(&reception).await;
        let given: Vec<&str> = entered.pairing.relays.iter().map(|relay| relay.address.as_str()).collect();
        assert_eq!(given, ["relay3.example.jp:443"], "the number was not used up by the refusal");
        manager.advance(std::time::Duration::from_secs(2));
        heartbeats().await;
        assert_eq!(renew(before.pairing.session_id, &before.token).await, ["relay3.example.jp:443"]);
        relays::store::place(db, "relay3", "eu".parse().unwrap(), now).await.unwrap();
        manager.advance(std::time::Duration::from_secs(2));
        heartbeats().await;
        let moved = desk.say(entered.pairing.session_id, "ticket", &entered.token, &json!({})).await;
        assert_eq!(moved.error().code, ErrorCode::NoRelay);
    })
    .await;
}

#[tokio::test]
async fn the_region_of_the_time_stands_in_the_log_with_those_of_spare_connections() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let (manager, db) = (&desk.manager, &desk.manager.app.db);
        let now = manager.app.now_ms();
        let spare = relays::enroll(db, "relay2", now).await.unwrap().1.reveal().to_owned();
        let mut seq = 0;
        let mut meet = async |relay: &str, session: SessionId, at_ms: i64| {
            seq += 1;
            let event = json!({ "seq": seq, "session_id": session, "at_ms": at_ms, "what": "paired" });
            let body = json!({ "boot": "ab".repeat(16), "events": [event] }).to_string();
            manager.post("/v1/relay/report", Some(relay), &body).await.json::<ReportAnswer>()
        };
        let nowhere = desk.connected().await.pairing.session_id;
        meet(&desk.relay, nowhere, now).await;
        relays::store::place(db, "relay1", "jp".parse().unwrap(), now).await.unwrap();
        relays::store::place(db, "relay2", "us".parse().unwrap(), now).await.unwrap();
        let home = desk.connected().await.pairing.session_id;
        for relay in [&desk.relay, &spare, &spare, &desk.relay] {
            meet(relay, home, now).await;
        }
        let over = desk.connected().await.pairing.session_id;
        let told = desk.say(over, "end", &desk.operator.token, &json!({ "reason": "operator_ended" })).await;
        assert_eq!(told.status, StatusCode::NO_CONTENT, "the report comes after the end");
        meet(&spare, over, now).await;
        let unheard = desk.connected().await.pairing.session_id;
        relays::store::place(db, "relay1", "eu".parse().unwrap(), now).await.unwrap();
        meet(&desk.relay, home, now).await;

        let (admin_id, admin) = live::browser(&desk, "admin", Role::CompanyAdmin).await;
        let own = manage::token(manager, admin_id, &[Scope::SessionsRead]).await;
        for (session, region, others) in
            [(nowhere, "none", vec![]), (home, "jp", vec!["us", "eu"]), (over, "us", vec![])]
        {
            let list: Value = manager.get(&format!("/v1/manage/sessions?region={region}"), Some(&own)).await.json();
            assert_eq!((&list["total"], &list["items"][0]["session_id"]), (&json!(1), &json!(session)), "{region}");
            assert_eq!(
                (&list["items"][0]["region"], &list["items"][0]["other_regions"]),
                (&json!(region), &json!(others))
            );
            let file = admin.get(&format!("/log/sessions/file?region={region}")).await;
            file.says("region,other_regions\r\n");
            file.says(&format!("{region},{}\r\n", others.join(" ")));
            assert_eq!(file.text.lines().count(), 2, "{}", file.text);
        }
        let wrong = manager.get("/v1/manage/sessions?region=mars", Some(&own)).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
        let list = admin.get("/log/sessions?region=jp").await;
        list.says("<option value=\"jp\" selected>日本</option>");
        list.says("class=\"nowrap\">日本</td>");
        list.says("全1件");
        let page = admin.get(&format!("/log/sessions/{home}")).await;
        page.says("<dt>地域</dt><dd>日本 <span class=\"quiet\">（ほかに接続: 北米、欧州）</span></dd>");
        admin.get(&format!("/log/sessions/{nowhere}")).await.says("<dt>地域</dt><dd>不明</dd>");
        admin.get(&format!("/log/sessions/{unheard}")).await.says("<dt>地域</dt><dd>–</dd>");
    })
    .await;
}
