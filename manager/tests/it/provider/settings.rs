//! The page on which a company names its provider.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{fetch_one, role::Role};

use super::{
    ADMIN, SETTINGS, bind, company,
    idp::{Fault, Idp, Key, SECRET},
    manager, set, sign_in,
};
use crate::{
    browser::{Browser, Seen},
    testing::{Manager, PASSWORD, on_both},
};

async fn check(admin: &Browser<'_>) -> Seen {
    admin.get(SETTINGS).await;
    admin.post(&format!("{SETTINGS}/check"), &[]).await
}

#[tokio::test]
async fn what_is_typed_is_looked_at_and_the_secret_is_never_shown() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (company_id, _, admin) = company(&manager, &idp).await;

        let page = admin.get(SETTINGS).await;
        page.says(&format!("https://desk.example.jp/login/provider/return/{company_id}"));
        page.says("保存されています");
        page.lacks(SECRET);
        let mut tx = manager.app.db.read().await.unwrap();
        let (sealed,) = fetch_one!(&mut tx, (String,), "SELECT secret_sealed FROM providers").unwrap();
        assert!(!sealed.contains(SECRET) && !sealed.contains(&hex::encode(SECRET)));
        drop(tx);
        for (issuer, more, sentence) in [
            ("http://id.example.jp", ("button", ""), "https:// で始まり"),
            ("https://10.1.2.3", ("button", ""), "公開されていません"),
            ("https://id.example.jp", ("client_id", ""), "クライアントIDを"),
            ("https://id.example.jp", ("button", "\u{202e}evil"), "40文字まで"),
            // A secret goes to nobody but the provider that gave it.
            ("https://id.example.jp", ("secret", ""), "シークレットを入力するか"),
            ("https://id.example.jp", ("secret", "秘密"), "半角で入力"),
        ] {
            let seen = set(&admin, issuer, &[more]).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{issuer} {more:?}");
            seen.says(sentence);
            seen.lacks(SECRET);
        }
        // Both at once is a mistake; what was said about the secret stays as it was sent.
        let both = set(&admin, idp.issuer(), &[("no_secret", "on")]).await;
        assert_eq!(both.status, StatusCode::UNPROCESSABLE_ENTITY);
        both.says("どちらか一方に");
        both.says("name=\"no_secret\" value=\"on\" checked");
        both.lacks(SECRET);
        admin.get(SETTINGS).await.lacks("name=\"no_secret\" value=\"on\" checked");
        // The same provider keeps its secret.
        set(&admin, idp.issuer(), &[("secret", ""), ("button", "会社のID")]).await.goes_to(SETTINGS);
        bind(&admin, &idp, ADMIN).await;
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to("/operators?q=a");
        set(&admin, idp.issuer(), &[("secret", ""), ("button", "会社のID")]).await.goes_to(SETTINGS);
        admin.get(SETTINGS).await.says("変更はありませんでした");
        let log = admin.get("/log/operations?event=settings.").await;
        log.says("IDプロバイダーの設定を変更");
        log.lacks(SECRET);
        // The second of two who change it is told.
        let stale = admin.post(SETTINGS, &[("issuer", idp.issuer()), ("client_id", "desk"), ("version", "1")]).await;
        assert_eq!(stale.status, StatusCode::CONFLICT);
    })
    .await;
}

#[tokio::test]
async fn who_came_by_a_provider_that_is_no_longer_used_is_out() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let browser = Browser::new(&manager);
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
        set(&admin, idp.issuer(), &[("button", "ID")]).await.goes_to(SETTINGS);
        browser.get("/account").await.says("接続済み");
        set(&admin, idp.issuer(), &[("in_force", "")]).await.goes_to(SETTINGS);
        browser.get("/account").await.goes_to("/login?next=%2Faccount");
        admin.get("/account").await.says("プロバイダーは今使われていません");
        set(&admin, idp.issuer(), &[]).await.goes_to(SETTINGS);
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
        set(&admin, "https://id.example.jp", &[]).await.goes_to(SETTINGS);
        browser.get("/account").await.goes_to("/login?next=%2Faccount");
    })
    .await;
}

#[tokio::test]
async fn trying_it_says_what_is_wrong() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let admin = Browser::new(&manager);
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        check(&admin).await.says("先に発行者を保存してください");
        set(&admin, idp.issuer(), &[("in_force", "")]).await.goes_to(SETTINGS);
        check(&admin).await.says("必要なことができます");

        let discovery = "/.well-known/openid-configuration";
        for (path, fault, sentence) in [
            (discovery, Fault::NotFound, "ディスカバリー文書が 404 と答えました"),
            (discovery, Fault::Says(503, ""), "ディスカバリー文書が 503 と答えました。混み合っているか"),
            (discovery, Fault::Redirect, "転送には従いません"),
            (discovery, Fault::Huge, "長すぎます"),
            (discovery, Fault::Garbage, "OpenID Connectの形ではありません"),
            ("/keys", Fault::Garbage, "鍵の文書（jwks_uri）の応答"),
        ] {
            idp.fails(path, fault);
            manager.advance(Duration::from_mins(1));
            let seen = check(&admin).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
            seen.says(sentence);
            idp.behaves();
        }
        for (name, value, sentence) in [
            ("issuer", serde_json::json!("https://other.example/<b>"), "「https://other.example/b」と名乗って"),
            ("token_endpoint", "https://10.1.2.3/".into(), "トークンエンドポイントのアドレスは公開されていない"),
            ("authorization_endpoint", "http://localhost/".into(), "https:// で始まっていません"),
            ("response_types_supported", ["id_token"].as_slice().into(), "認可コードフロー"),
            ("code_challenge_methods_supported", ["plain"].as_slice().into(), "PKCE"),
            ("id_token_signing_alg_values_supported", ["HS256"].as_slice().into(), "RS256、PS256、ES256、EdDSA"),
            ("token_endpoint_auth_methods_supported", ["private_key_jwt"].as_slice().into(), "シークレットの渡し方"),
        ] {
            let value = value.clone();
            idp.says(move |metadata| metadata[name] = value.clone());
            manager.advance(Duration::from_mins(1));
            check(&admin).await.says(sentence);
            idp.behaves();
        }
        idp.has_keys(Vec::<Key>::new());
        manager.advance(Duration::from_mins(1));
        check(&admin).await.says("鍵を公開していません");
        // Nobody knocks all day.
        let mut last = StatusCode::OK;
        for _ in 0..6 {
            last = check(&admin).await.status;
        }
        assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    })
    .await;
}

#[tokio::test]
async fn a_provider_whose_certificate_nobody_trusts_or_that_is_inside_is_not_asked() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let untrusting = manager::provider::Config { ca_file: None, ..idp.config() };
        let manager = Manager::with(db.clone(), crate::testing::config(|config| config.providers = untrusting));
        let (_, _, admin) = company(&manager, &idp).await;
        check(&admin).await.says("証明書を信頼できません");

        let walled = manager::provider::Config { networks: Vec::new(), ..idp.config() };
        let manager = Manager::with(db, crate::testing::config(|config| config.providers = walled));
        let admin = Browser::new(&manager);
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        check(&admin).await.says("名前の指すアドレスが公開されていません");
    })
    .await;
}
