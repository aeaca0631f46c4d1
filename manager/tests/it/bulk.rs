//! What is done to several accounts at once.

use axum::http::StatusCode;
use manager::{app, execute, fetch_one, role::Role};
use proto::id::{CompanyId, OperatorId};

use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, START_MS, on_both},
};

/// Company `acme` with an administrator, who is logged in, and two operators.
async fn house(manager: &Manager) -> (CompanyId, Browser<'_>, [OperatorId; 2]) {
    let company_id = manager.company("acme").await;
    manager.account(company_id, "admin", Role::CompanyAdmin).await;
    let browser = Browser::new(manager);
    browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
    let operators = [manager.operator(company_id, "sato").await, manager.operator(company_id, "suzuki").await];
    browser.get("/operators").await.says("全3件");
    (company_id, browser, operators)
}

/// Events of a kind in the chain.
async fn events(manager: &Manager, event: &str) -> i64 {
    let mut tx = manager.app.db.read().await.unwrap();
    let (count,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit WHERE event = $1", event).unwrap();
    count
}

#[tokio::test]
async fn several_accounts_are_named_first_and_then_all_stopped_started_and_deleted() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, browser, operators) = house(&manager).await;
        let [sato, suzuki] = operators.map(|id| id.to_string());
        let chosen = [("filter", "?sort=user"), ("id", sato.as_str()), ("id", suzuki.as_str())];
        let ask = |verb: &'static str| [[("verb", verb)].as_slice(), chosen.as_slice()].concat();

        let asked = browser.post("/operators/bulk", &ask("stop")).await;
        asked.says("2件のアカウントを停止しますか");
        asked.says("sato");
        asked.says("suzuki");
        assert_eq!(events(&manager, "operator.stopped").await, 0, "nothing is done before the answer");

        browser.post("/operators/bulk/stop", &chosen).await.goes_to("/operators?sort=user");
        assert_eq!(events(&manager, "operator.stopped").await, 2);
        assert!(!manager.login("acme", "sato", PASSWORD).await.status.is_success());
        browser.post("/operators/bulk/stop", &chosen).await.goes_to("/operators?sort=user");
        assert_eq!(events(&manager, "operator.stopped").await, 2, "who is stopped is not stopped again");
        browser.post("/operators/bulk/start", &chosen).await.goes_to("/operators?sort=user");
        assert!(manager.login("acme", "sato", PASSWORD).await.status.is_success());
        browser.post("/operators/bulk", &ask("delete")).await.says("2件のアカウントを削除しますか");
        browser.post("/operators/bulk/delete", &chosen).await.goes_to("/operators?sort=user");
        browser.get("/operators").await.says("全1件");
        assert_eq!(events(&manager, "operator.deleted").await, 2, "the logs keep them");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_done_when_it_cannot_be_done_to_one_of_them() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, browser, operators) = house(&manager).await;
        let [sato, suzuki] = operators.map(|id| id.to_string());
        let page = browser.get("/operators?select=all").await;
        assert_eq!(page.text.matches(" checked>").count(), 2, "everybody but oneself");
        let mut tx = manager.app.db.read().await.unwrap();
        let (own,) =
            fetch_one!(&mut tx, (String,), "SELECT operator_id FROM operators WHERE user_id = 'admin'").unwrap();
        drop(tx);

        let refused = browser.post("/operators/bulk/delete", &[("id", sato.as_str()), ("id", own.as_str())]).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        refused.says("自分自身にはできない操作です。どのアカウントも変更していません。");
        let gone = "0".repeat(32);
        let refused = browser.post("/operators/bulk/stop", &[("id", sato.as_str()), ("id", gone.as_str())]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        refused.says("まだ何も変更していません");
        let empty = browser.post("/operators/bulk", &[("verb", "stop")]).await;
        assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
        empty.says("アカウントが選ばれていません");
        assert_eq!(
            browser.post("/operators/bulk", &[("verb", "erase"), ("id", suzuki.as_str())]).await.status,
            StatusCode::BAD_REQUEST
        );
        browser.get("/operators").await.says("全3件");
        assert_eq!(events(&manager, "operator.stopped").await + events(&manager, "operator.deleted").await, 0);
    })
    .await;
}

#[tokio::test]
async fn accounts_of_another_company_and_of_who_may_not_are_out_of_reach() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, browser, operators) = house(&manager).await;
        let other = manager.company("other").await;
        let foreign = manager.operator(other, "tanaka").await.to_string();
        let sato = operators[0].to_string();

        for path in ["/operators/bulk", "/operators/bulk/delete"] {
            let fields = [("verb", "delete"), ("id", foreign.as_str()), ("id", sato.as_str())];
            let seen = browser.post(path, &fields).await;
            assert_eq!(seen.status, StatusCode::NOT_FOUND);
            seen.lacks("tanaka");
        }
        manager.account(company_id, "viewer", Role::Supervisor).await;
        let viewer = Browser::new(&manager);
        viewer.log_in("acme", "viewer", PASSWORD).await.goes_to("/");
        viewer.get("/operators").await.lacks("id=\"bulk\"");
        let seen = viewer.post("/operators/bulk/delete", &[("id", sato.as_str())]).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN);
        assert_eq!(events(&manager, "operator.deleted").await, 0);
    })
    .await;
}

/// Puts accounts into a new organisation.
async fn place(manager: &Manager, company_id: CompanyId, name: &str, operators: &[OperatorId]) {
    let organisation_id = hex::encode(app::draw_id());
    let mut tx = manager.app.db.begin().await.unwrap();
    execute!(
        &mut tx,
        "INSERT INTO organisations (organisation_id, company_id, path, name, note, created_at_ms, version)
        VALUES ($1, $2, $3, $4, '', $5, 0)",
        &organisation_id,
        company_id.to_string(),
        format!("{organisation_id}/"),
        name,
        START_MS
    )
    .unwrap();
    for operator in operators {
        let id = operator.to_string();
        execute!(&mut tx, "UPDATE operators SET organisation_id = $1 WHERE operator_id = $2", &organisation_id, id)
            .unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn whoever_has_a_part_of_the_tree_does_it_to_that_part_and_to_nobody_who_may_more() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, _, [sato, suzuki]) = house(&manager).await;
        let local = manager.account(company_id, "local", Role::OrganisationAdmin).await;
        let chief = manager.account(company_id, "chief", Role::CompanyAdmin).await;
        place(&manager, company_id, "東日本", &[local, chief, sato]).await;
        place(&manager, company_id, "西日本", &[suzuki]).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "local", PASSWORD).await.goes_to("/");
        browser.get("/operators").await.says("全3件");
        let [sato, suzuki, chief] = [sato, suzuki, chief].map(|id| id.to_string());

        for verb in ["stop", "start", "unlock", "logout", "delete"] {
            let path = format!("/operators/bulk/{verb}");
            let seen = browser.post(&path, &[("id", sato.as_str()), ("id", suzuki.as_str())]).await;
            assert_eq!(seen.status, StatusCode::NOT_FOUND, "{verb}");
            seen.lacks("suzuki");
        }
        for verb in ["stop", "logout", "delete"] {
            let path = format!("/operators/bulk/{verb}");
            let seen = browser.post(&path, &[("id", sato.as_str()), ("id", chief.as_str())]).await;
            assert_eq!(seen.status, StatusCode::CONFLICT, "{verb}");
            seen.says("そのような役割の人のアカウントも変更できません。どのアカウントも変更していません。");
        }
        let mut tx = manager.app.db.read().await.unwrap();
        let (touched,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM operators WHERE version <> 0").unwrap();
        drop(tx);
        assert_eq!(touched, 0);
        browser.post("/operators/bulk/stop", &[("id", sato.as_str())]).await.goes_to("/operators");
        assert_eq!(events(&manager, "operator.stopped").await, 1);
    })
    .await;
}
