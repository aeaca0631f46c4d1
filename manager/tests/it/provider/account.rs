//! Binding an account, and taking the binding away.

use axum::http::StatusCode;
use manager::role::Role;

use super::{ADMIN, bind, company, connect, idp::Idp, login, manager, sign_in};
use crate::{
    browser::Browser,
    testing::{PASSWORD, on_both},
};

#[tokio::test]
async fn binding_asks_for_the_password_and_is_finished_by_who_began() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, _, admin) = company(&manager, &idp).await;
        let wrong = connect(&admin, "wrong-password").await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        wrong.says("今のパスワードが違います");

        // Logged out meanwhile: nobody's account is bound.
        let page = connect(&admin, PASSWORD).await;
        let back = idp.authorize(&page, ADMIN);
        admin.get("/account").await;
        admin.post("/logout", &[]).await.goes_to("/login");
        admin.get(&back).await.goes_to("/account?why=provider_stale");
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to(&login("provider_unlinked"));
        // Somebody else is logged in meanwhile, in the same browser.
        manager.account(company_id, "yamada", Role::Operator).await;
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let page = connect(&admin, PASSWORD).await;
        let back = idp.authorize(&page, ADMIN);
        admin.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        admin.get(&back).await.goes_to("/account?why=provider_stale");
        admin.get("/account?why=provider_stale").await.says("もう一度始めてください");
        admin.get("/account").await.says("未接続");
        // Refused at the provider.
        let page = connect(&admin, PASSWORD).await;
        admin.get(&idp.refuses(&page, "access_denied", "no")).await.goes_to("/account?why=provider_denied");
        admin.get("/account").await.says("未接続");
    })
    .await;
}

#[tokio::test]
async fn a_person_of_the_provider_opens_one_account_of_a_company() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        manager.account(company_id, "yamada", Role::Operator).await;
        let yamada = Browser::new(&manager);
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");

        let page = connect(&yamada, PASSWORD).await;
        yamada.get(&idp.authorize(&page, ADMIN)).await.goes_to("/account?why=provider_taken");
        yamada.get("/account?why=provider_taken").await.says("すでに別のアカウントに接続されています");
        bind(&yamada, &idp, "yamada").await;
        // The owner binds the account to somebody else; the person before opens it no more.
        bind(&admin, &idp, "admin-2").await;
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to(&login("provider_unlinked"));
        sign_in(&Browser::new(&manager), &idp, "admin-2").await.goes_to("/operators?q=a");
    })
    .await;
}

#[tokio::test]
async fn owner_and_administrator_take_the_binding_away_and_logins_end() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, admin_id, admin) = company(&manager, &idp).await;
        let yamada_id = manager.account(company_id, "yamada", Role::Supervisor).await;
        let yamada = Browser::new(&manager);
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        bind(&yamada, &idp, "yamada").await;
        let other = Browser::new(&manager);
        sign_in(&other, &idp, "yamada").await.goes_to("/operators?q=a");

        let wrong = yamada.post("/account/provider/remove", &[("password", "wrong-password")]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        other.get("/account").await.says("接続済み");
        yamada.post("/account/provider/remove", &[("password", PASSWORD)]).await.goes_to("/account");
        yamada.get("/account").await.says("未接続");
        other.get("/account").await.goes_to("/login?next=%2Faccount");
        sign_in(&other, &idp, "yamada").await.goes_to(&login("provider_unlinked"));
        let gone = yamada.post("/account/provider/remove", &[("password", PASSWORD)]).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);

        bind(&yamada, &idp, "yamada").await;
        let page = format!("/operators/{yamada_id}");
        admin.get(&page).await.says("接続済み");
        admin.post(&format!("{page}/unlink"), &[]).await.goes_to(&page);
        admin.get(&page).await.lacks("接続済み");
        yamada.get("/account").await.goes_to("/login?next=%2Faccount");
        sign_in(&other, &idp, "yamada").await.goes_to(&login("provider_unlinked"));
        admin.get("/log/operations").await.says("IDプロバイダーとの接続を解除");
        // Not one's own, and not that of somebody who may more.
        let own = admin.post(&format!("/operators/{admin_id}/unlink"), &[]).await;
        assert_eq!(own.status, StatusCode::UNPROCESSABLE_ENTITY);
        bind(&admin, &idp, ADMIN).await;
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        yamada.get("/").await;
        let refused = yamada.post(&format!("/operators/{admin_id}/unlink"), &[]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        sign_in(&other, &idp, ADMIN).await.goes_to("/operators?q=a");
    })
    .await;
}

#[tokio::test]
async fn a_deleted_account_leaves_no_binding() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, _, admin) = company(&manager, &idp).await;
        let yamada_id = manager.account(company_id, "yamada", Role::Operator).await;
        let yamada = Browser::new(&manager);
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        bind(&yamada, &idp, "yamada").await;
        admin.get("/operators").await;
        admin.post(&format!("/operators/{yamada_id}/delete"), &[]).await.goes_to("/operators");
        sign_in(&yamada, &idp, "yamada").await.goes_to(&login("provider_unlinked"));
        bind(&admin, &idp, "yamada").await;
    })
    .await;
}
