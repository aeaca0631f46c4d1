//! Binding an account, and taking the binding away.

use axum::http::StatusCode;
use manager::{
    execute, fetch_one,
    login::link::{self, Purpose},
    role::Role,
};

use super::{ADMIN, SETTINGS, bind, company, connect, events, failed, go, idp::Idp, manager, set, sign_in};
use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, config, on_both},
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
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to(&failed("provider_unlinked"));
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
        // The owner binds the account to somebody else; the person before opens it no more, and is out.
        let before = Browser::new(&manager);
        sign_in(&before, &idp, ADMIN).await.goes_to("/operators?q=a");
        bind(&admin, &idp, "admin-2").await;
        before.get("/account").await.goes_to("/login?next=%2Faccount");
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to(&failed("provider_unlinked"));
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
        sign_in(&other, &idp, "yamada").await.goes_to(&failed("provider_unlinked"));
        let gone = yamada.post("/account/provider/remove", &[("password", PASSWORD)]).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);

        bind(&yamada, &idp, "yamada").await;
        let page = format!("/operators/{yamada_id}");
        admin.get(&page).await.says("接続済み");
        admin.post(&format!("{page}/unlink"), &[]).await.goes_to(&page);
        admin.get(&page).await.lacks("接続済み");
        yamada.get("/account").await.goes_to("/login?next=%2Faccount");
        sign_in(&other, &idp, "yamada").await.goes_to(&failed("provider_unlinked"));
        admin.get("/log/operations").await.says("IDプロバイダーとの接続を解除");
        // Once more there is nothing to take away, and nothing ends.
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        admin.get(&page).await;
        assert_eq!(admin.post(&format!("{page}/unlink"), &[]).await.status, StatusCode::CONFLICT);
        yamada.get("/account").await.says("未接続");
        assert_eq!(events(&manager, "operator.provider_unlinked").await, 2, "by the owner and by the administrator");
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
async fn what_recovers_an_account_takes_its_binding_away_and_the_owner_is_told_of_one() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = Manager::with(
            db,
            config(|config| {
                config.providers = idp.config();
                config.mail.server = Some("localhost".to_owned());
                config.mail.from = Some("no-reply@example.co.jp".parse().unwrap());
                config.mail.site = Some("https://desk.example.jp".parse().unwrap());
            }),
        );
        let (company_id, _, admin) = company(&manager, &idp).await;
        let other = Browser::new(&manager);
        for (user, verb) in [("sato", "link"), ("yamada", "password"), ("tanaka", "factor")] {
            let operator_id = manager.account(company_id, user, Role::Operator).await;
            let id = operator_id.to_string();
            let mut tx = manager.app.db.begin().await.unwrap();
            let address = format!("{user}@example.jp");
            execute!(&mut tx, "UPDATE operators SET email = $2 WHERE operator_id = $1", &id, &address).unwrap();
            tx.commit().await.unwrap();
            let owner = Browser::new(&manager);
            owner.log_in("acme", user, PASSWORD).await.goes_to("/");
            bind(&owner, &idp, user).await;
            let mut tx = manager.app.db.read().await.unwrap();
            let (subject,) = fetch_one!(
                &mut tx,
                (String,),
                "SELECT subject FROM mails WHERE kind = 'provider_linked' AND address = $1",
                &address
            )
            .unwrap();
            drop(tx);
            assert!(subject.contains("アカウントがIDプロバイダーに接続されました"), "{subject}");
            sign_in(&other, &idp, user).await.goes_to("/operators?q=a");

            admin.get("/operators").await;
            if verb == "link" {
                let mut tx = manager.app.db.begin().await.unwrap();
                let (page, _) = link::issue(&mut tx, operator_id, Purpose::Reset, manager.app.now_ms()).await.unwrap();
                tx.commit().await.unwrap();
                other.get(&page).await;
                other.post(&page, &[("new", "Table-9-Lamp"), ("again", "Table-9-Lamp")]).await.goes_to("/login");
            } else {
                admin.post(&format!("/operators/{id}/{verb}"), &[]).await;
            }
            owner.get("/account").await.goes_to("/login?next=%2Faccount");
            sign_in(&other, &idp, user).await.goes_to(&failed("provider_unlinked"));
        }
        assert_eq!(events(&manager, "operator.provider_unlinked").await, 3);
        admin.get("/mails?kind=provider_linked").await.says("IDプロバイダーへの接続");
    })
    .await;
}

#[tokio::test]
async fn what_ended_while_the_provider_was_asked_does_not_come_back() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, admin_id, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let yamada_id = manager.account(company_id, "yamada", Role::Operator).await;
        let yamada = Browser::new(&manager);
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        let browser = Browser::new(&manager);
        let unlink = format!("/operators/{yamada_id}/unlink");

        // The login that binds.
        let back = idp.authorize(&connect(&yamada, PASSWORD).await, "yamada");
        let meanwhile = async {
            admin.get("/operators").await;
            let out = admin.post(&format!("/operators/{yamada_id}/logout"), &[]).await;
            out.goes_to(&format!("/operators/{yamada_id}"));
        };
        idp.while_asked("/token", yamada.get(&back), meanwhile).await.goes_to("/account?why=provider_stale");
        sign_in(&browser, &idp, "yamada").await.goes_to(&failed("provider_unlinked"));
        // The binding that opens.
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        bind(&yamada, &idp, "yamada").await;
        let back = idp.authorize(&go(&browser, "acme").await, "yamada");
        let meanwhile = async {
            admin.get("/operators").await;
            admin.post(&unlink, &[]).await.goes_to(&format!("/operators/{yamada_id}"));
        };
        idp.while_asked("/token", browser.get(&back), meanwhile).await.goes_to(&failed("provider_unlinked"));
        browser.get("/account").await.goes_to("/login?next=%2Faccount");
        // The provider, for who signs in and for who binds.
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        for (asking, back, to) in [
            (&browser, idp.authorize(&go(&browser, "acme").await, ADMIN), failed("provider_stale")),
            (
                &yamada,
                idp.authorize(&connect(&yamada, PASSWORD).await, "yamada"),
                "/account?why=provider_stale".to_owned(),
            ),
        ] {
            let meanwhile = async {
                set(&admin, idp.issuer(), &[("in_force", "")]).await.goes_to(SETTINGS);
            };
            idp.while_asked("/token", asking.get(&back), meanwhile).await.goes_to(&to);
            set(&admin, idp.issuer(), &[]).await.goes_to(SETTINGS);
        }
        browser.get("/account").await.goes_to("/login?next=%2Faccount");
        yamada.get("/account").await.says("未接続");
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
        browser.get(&format!("/operators/{admin_id}")).await.says("接続済み");
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
        sign_in(&yamada, &idp, "yamada").await.goes_to(&failed("provider_unlinked"));
        bind(&admin, &idp, "yamada").await;
    })
    .await;
}
