//! The accounts of system administrators.

use std::time::Duration;

use axum::http::StatusCode;
use manager::admin::AdminRole;
use proto::id::OperatorId;

use super::{account, code, first_login, knock, logged_in};
use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, on_both},
};

/// Another password that the rules of administrators take.
const OTHER: &str = "Table-9-Lamp-And-Chair";

/// The first login with a password that must be changed.
pub(crate) async fn first_login_with_change<'a>(
    manager: &'a Manager,
    user: &str,
    operator_id: OperatorId,
    password: &str,
) -> Browser<'a> {
    let browser = Browser::new(manager);
    knock(&browser, user, password).await.goes_to("/system/login/factor");
    browser.get("/system/login/factor").await;
    browser.post("/system/login/factor", &[("code", &code(manager, operator_id).await)]).await.says("回復コード");
    browser.get("/system").await.goes_to("/system/account/password");
    browser.get("/system/account/password").await.says("12〜128文字");
    let short = [("old", password), ("new", "Short-9-Pw"), ("again", "Short-9-Pw")];
    browser.post("/system/account/password", &short).await.says("12〜128文字");
    let change = [("old", password), ("new", OTHER), ("again", OTHER)];
    browser.post("/system/account/password", &change).await.goes_to("/system/account");
    browser.get("/system").await.says("今の状況");
    browser
}

#[tokio::test]
async fn an_administrator_is_added_and_sets_up_everything_alone() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        root.get("/system/admins/new").await;
        let fields = [("user", "data1"), ("name", "データ 一郎"), ("role", "data"), ("reason", "人事異動")];
        let shown = root.post("/system/admins/new", &fields).await;
        let password = shown.between("<span class=\"secret\">", "</span>").replace("&#38;", "&");
        let operator_id = shown.between("href=\"/system/admins/", "\"").parse().unwrap();
        root.get("/system/admins/new").await;
        root.post("/system/admins/new", &fields).await.says("このIDはすでに使われています");
        let bad = [("user", "a b"), ("name", ""), ("role", "company_admin"), ("reason", "")];
        let seen = root.post("/system/admins/new", &bad).await;
        assert_eq!(seen.text.matches("class=\"mistake\"").count(), 4, "{}", seen.text);

        first_login_with_change(&manager, "data1", operator_id, &password).await;
        root.get("/system/admins?role=data").await.says("全1件");
        root.get("/system/admins?q=データ").await.says("データ 一郎");
        let auditor = logged_in(&manager, "auditor", AdminRole::Audit).await;
        assert_eq!(auditor.get(&format!("/system/admins/{operator_id}")).await.status, StatusCode::OK);
        auditor.get("/system/log?event=admin.").await.says("人事異動");
        for verb in ["", "/stop", "/password", "/factor", "/logout", "/unlock", "/start"] {
            let seen = auditor.post(&format!("/system/admins/{operator_id}{verb}"), &fields).await;
            assert_eq!(seen.status, StatusCode::FORBIDDEN, "{verb}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stopped_administrator_is_out_at_the_next_request_and_back_when_started() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let operator_id = account(&manager, "ito", AdminRole::Audit).await;
        let ito = first_login(&manager, "ito", operator_id).await;
        let address = format!("/system/admins/{operator_id}");

        root.get(&address).await;
        root.post(&format!("{address}/stop"), &[("reason", "")]).await.says("理由を200文字以内");
        ito.get("/system").await.says("今の状況");
        root.post(&format!("{address}/stop"), &[("reason", "退職")]).await.goes_to(&address);
        ito.get("/system").await.goes_to("/system/login");
        knock(&ito, "ito", PASSWORD).await.says("ログインできませんでした");
        root.get(&address).await.says("退職");
        root.post(&format!("{address}/start"), &[("reason", "復職")]).await.goes_to(&address);
        manager.advance(Duration::from_mins(1));
        knock(&ito, "ito", PASSWORD).await.goes_to("/system/login/code");
        ito.get("/system/login/code").await;
        ito.post("/system/login/code", &[("code", &code(&manager, operator_id).await)]).await.goes_to("/system");
        root.get(&address).await;
        root.post(&format!("{address}/logout"), &[("reason", "置き忘れ")]).await.goes_to(&address);
        ito.get("/system").await.goes_to("/system/login");

        root.get(&address).await;
        root.post(&format!("{address}/factor"), &[("reason", "紛失")]).await.goes_to(&address);
        knock(&ito, "ito", PASSWORD).await.goes_to("/system/login/factor");
        root.get(&address).await;
        let shown = root.post(&format!("{address}/password"), &[("reason", "忘れた")]).await;
        let password = shown.between("<span class=\"secret\">", "</span>").replace("&#38;", "&");
        knock(&ito, "ito", PASSWORD).await.says("ログインできませんでした");
        first_login_with_change(&manager, "ito", operator_id, &password).await;
    })
    .await;
}

#[tokio::test]
async fn another_role_counts_at_the_next_login_and_the_last_of_operations_stays() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root_id = account(&manager, "root", AdminRole::Operations).await;
        let root = first_login(&manager, "root", root_id).await;
        let ito_id = account(&manager, "ito", AdminRole::Operations).await;
        let ito = first_login(&manager, "ito", ito_id).await;
        let (own, other) = (format!("/system/admins/{root_id}"), format!("/system/admins/{ito_id}"));
        let fields = |version: &'static str, role: &'static str| {
            [("name", "改名"), ("role", role), ("reason", "異動"), ("version", version)]
        };

        let version = root.get(&other).await.between("name=\"version\" value=\"", "\"");
        let version: &'static str = version.leak();
        root.post(&other, &fields(version, "audit")).await.goes_to(&other);
        assert_eq!(root.post(&other, &fields(version, "data")).await.status, StatusCode::CONFLICT);
        ito.get("/system").await.goes_to("/system/login");
        let version: &'static str = root.get(&own).await.between("name=\"version\" value=\"", "\"").leak();
        root.post(&own, &fields(version, "audit")).await.says("自分自身にはできない操作です");
        root.post(&own, &fields(version, "operations")).await.goes_to(&own);
        for verb in ["stop", "password", "factor", "logout"] {
            root.get(&own).await;
            let seen = root.post(&format!("{own}/{verb}"), &[("reason", "x")]).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{verb}");
        }
        for (verb, status) in [("fly", StatusCode::NOT_FOUND), ("stop", StatusCode::SEE_OTHER)] {
            assert_eq!(root.post(&format!("{other}/{verb}"), &[("reason", "x")]).await.status, status);
        }
        for foreign in ["0", "00000000000000000000000000000000"] {
            let page = format!("/system/admins/{foreign}");
            assert_eq!(root.get(&page).await.status, StatusCode::NOT_FOUND);
            assert_eq!(root.post(&page, &fields("0", "data")).await.status, StatusCode::NOT_FOUND);
        }
        let company_id = manager.company("acme").await;
        let operator = manager.operator(company_id, "yamada").await;
        assert_eq!(root.get(&format!("/system/admins/{operator}")).await.status, StatusCode::NOT_FOUND);
        let stop = root.post(&format!("/system/admins/{operator}/stop"), &[("reason", "x")]).await;
        assert_eq!(stop.status, StatusCode::NOT_FOUND);
    })
    .await;
}
