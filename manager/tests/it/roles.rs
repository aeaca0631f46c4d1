//! What the role of an account, changed between two requests, does to the sessions that it begins.

use manager::{
    app, execute,
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
    session::Desk,
    testing::{Manager, START_MS, on_both},
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
