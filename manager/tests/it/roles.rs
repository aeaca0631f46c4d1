//! What the role of an account, changed between two requests, does to the sessions that it begins.

use axum::http::StatusCode;
use manager::{
    app, execute, fetch_one,
    role::{Permission, Permissions, Role},
};
use proto::{
    api::{error::ErrorCode, reception::Event},
    grant::GrantKind,
    id::{CompanyId, OperatorId},
    introduction::Introduction,
};
use serde_json::json;

use crate::{
    browser::Browser,
    session::Desk,
    testing::{Manager, PASSWORD, START_MS, on_both},
};

/// An account whose own role gives what a test says.
pub(crate) struct Walker<'a> {
    manager: &'a Manager,
    operator_id: OperatorId,
    role_id: String,
}

impl<'a> Walker<'a> {
    pub(crate) async fn new(manager: &'a Manager, company_id: CompanyId, operator_id: OperatorId) -> Self {
        let role_id = hex::encode(app::draw_id());
        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(
            &mut tx,
            "INSERT INTO roles (role_id, company_id, name, base, reach, permissions, created_at_ms, version)
            VALUES ($1, $2, 'walker', 'company_admin', 'company', '', $3, 0)",
            &role_id,
            company_id.to_string(),
            START_MS
        )
        .unwrap();
        tx.commit().await.unwrap();
        Self { manager, operator_id, role_id }
    }

    /// Has a role of the product from now on.
    pub(crate) async fn is(&self, role: Role) {
        self.set(role, None).await;
    }

    /// Has an own role with these permissions from now on, cloned from another.
    pub(crate) async fn may(&self, base: Role, permissions: Permissions) {
        let mut tx = self.manager.app.db.begin().await.unwrap();
        execute!(
            &mut tx,
            "UPDATE roles SET base = $2, reach = $3, permissions = $4 WHERE role_id = $1",
            &self.role_id,
            base.as_str(),
            base.reach().as_str(),
            permissions.to_string()
        )
        .unwrap();
        tx.commit().await.unwrap();
        self.set(base, Some(self.role_id.clone())).await;
    }

    async fn set(&self, role: Role, role_id: Option<String>) {
        let mut tx = self.manager.app.db.begin().await.unwrap();
        execute!(
            &mut tx,
            "UPDATE operators SET role = $2, role_id = $3 WHERE operator_id = $1",
            self.operator_id.to_string(),
            role.as_str(),
            role_id
        )
        .unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn whose_role_lacks_control_gets_sessions_in_which_no_customer_can_give_it() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let walker = Walker::new(&desk.manager, desk.operator.company_id, desk.operator.operator_id).await;
        let keys = [desk.manager.app.signing_key.verifying_key()];
        let all = [GrantKind::View, GrantKind::Control, GrantKind::Device].as_slice();
        let watching = [GrantKind::View, GrantKind::Device].as_slice();
        let issues: Permissions = [Permission::ReceptionIssue].into_iter().collect();

        for (permissions, expected) in
            [(Role::Operator.permissions(), all), (issues, watching), (Role::Operator.permissions(), all)]
        {
            // The number is issued before the role changes: what counts is what the role says when a session begins.
            let reception = desk.issue().await;
            walker.may(Role::Operator, permissions).await;
            let customer = desk.entered(&reception).await.pairing;
            let told = desk.told().await;
            let Some(Event::Entered { pairing: operator, .. }) = told.last() else { panic!("{told:?}") };
            assert_eq!(customer.introduction, operator.introduction, "both tools are bound to the same ceiling");
            assert_eq!(Introduction::verify(&customer.introduction, &keys).unwrap().ceiling, expected);
        }
        walker.may(Role::Operator, [Permission::SessionControl].into_iter().collect()).await;
        let body = json!({ "proof_key": "0a".repeat(32), "reason": "" });
        assert_eq!(desk.as_operator("/v1/receptions", &body).await.error().code, ErrorCode::Forbidden);
    })
    .await;
}

/// Puts every account of a company into one organisation.
async fn put_together(manager: &Manager, company_id: CompanyId) {
    let mut tx = manager.app.db.begin().await.unwrap();
    let organisation_id = "a".repeat(32);
    execute!(
        &mut tx,
        "INSERT INTO organisations (organisation_id, company_id, path, name, note, created_at_ms, version)
        VALUES ($1, $2, $3, '東日本', '', $4, 0)",
        &organisation_id,
        company_id.to_string(),
        format!("{organisation_id}/"),
        START_MS
    )
    .unwrap();
    execute!(&mut tx, "UPDATE operators SET organisation_id = $1", &organisation_id).unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn nobody_becomes_master_of_an_account_that_may_more() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "local", Role::OrganisationAdmin).await;
        let chief = manager.account(company_id, "chief", Role::CompanyAdmin).await;
        let auditor = manager.account(company_id, "auditor", Role::Auditor).await;
        let operator = manager.account(company_id, "suzuki", Role::Operator).await;
        put_together(&manager, company_id).await;
        let local = Browser::new(&manager);
        local.log_in("acme", "local", PASSWORD).await.goes_to("/");

        for (above, role) in [(chief, "company_admin"), (auditor, "auditor")] {
            let page = format!("/operators/{above}");
            for verb in ["password", "factor", "stop", "start", "logout", "delete"] {
                local.get(&page).await;
                let answer = local.post(&format!("{page}/{verb}"), &[]).await;
                assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{verb}");
                answer.says("そのような役割の人のアカウントも変更できません");
            }
            for role in [role, "operator"] {
                let fields = [("name", "山田 太郎"), ("email", "local@example.jp"), ("role", role), ("version", "0")];
                assert_eq!(local.post(&page, &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{role}");
            }
            let mut tx = manager.app.db.read().await.unwrap();
            let id = above.to_string();
            let (version, email) =
                fetch_one!(&mut tx, (i64, String), "SELECT version, email FROM operators WHERE operator_id = $1", &id)
                    .unwrap();
            assert_eq!((version, email.as_str()), (0, ""));
        }
        Browser::new(&manager).log_in("acme", "chief", PASSWORD).await.goes_to("/");
        local.get("/operators").await;
        local.post(&format!("/operators/{operator}/stop"), &[]).await.goes_to(&format!("/operators/{operator}"));
    })
    .await;
}

#[tokio::test]
async fn an_account_s_page_says_what_it_may_and_over_whom() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let operator_id = manager.account(company_id, "suzuki", Role::Supervisor).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let page = format!("/operators/{operator_id}");

        let seen = browser.get(&page).await;
        seen.says("自分のものだけ（組織に所属していないため）");
        seen.says("<li>履歴をCSVで出力する</li>");
        seen.says("できないこと（7）");
        seen.lacks("もとの役割");

        put_together(&manager, company_id).await;
        let walker = Walker::new(&manager, company_id, operator_id).await;
        walker.may(Role::Supervisor, [Permission::LogView, Permission::LiveView].into_iter().collect()).await;
        let seen = browser.get(&page).await;
        seen.says("東日本とその下の組織");
        seen.says("（もとの役割: 監督者）");
        seen.says("できないこと（14）");

        // An own role gives nothing that its base has not.
        walker.may(Role::Operator, Permission::ALL.into_iter().collect()).await;
        let seen = browser.get(&page).await;
        seen.says("<dd>自分のもの</dd>");
        seen.says("できないこと（11）");
        browser.post(&format!("{page}/stop"), &[]).await.goes_to(&page);
        browser.get(&page).await.says("停止中のため、今は何もできません");
    })
    .await;
}
