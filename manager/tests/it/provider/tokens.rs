//! Tokens: which are taken, and that no other opens anything.

use manager::fetch_one;
use serde_json::json;

use super::{
    ADMIN, bind, company, failed, go,
    idp::{CLIENT, Forge, Idp, Key, SECRET, hs256, part},
    manager, sign_in,
};
use crate::{browser::Browser, testing::on_both};

#[tokio::test]
async fn every_kind_of_signature_that_is_taken_opens_the_account() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        for key in [Key::rsa("r", "RS256"), Key::rsa("p", "PS256"), Key::ed25519("d"), Key::es256("e")] {
            // Another key each time: the one that is remembered is not it, so the keys are fetched once more.
            idp.has_keys(vec![key]);
            sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to("/operators?q=a");
        }
        assert_eq!(idp.times_asked_for_keys(), 5);
        // Without a name the only key is meant; of two, none is.
        idp.heads(|head| {
            head.as_object_mut().unwrap().remove("kid");
        });
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to("/operators?q=a");
        idp.has_keys(vec![Key::es256("one"), Key::es256("two")]);
        manager.advance(std::time::Duration::from_hours(1));
        idp.clock(manager.app.now_ms());
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to(&failed("provider_wrong"));
    })
    .await;
}

#[tokio::test]
async fn a_key_that_nobody_knows_and_a_wrong_signature_make_the_keys_be_fetched_once() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        assert_eq!(idp.times_asked_for_keys(), 1);
        idp.heads(|head| head["kid"] = json!("unknown"));
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to(&failed("provider_wrong"));
        assert_eq!(idp.times_asked_for_keys(), 2);
        // Another key under the name of the one before.
        idp.behaves();
        idp.has_keys(vec![Key::es256("first")]);
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to("/operators?q=a");
        assert_eq!(idp.times_asked_for_keys(), 3);
        // Nobody's key: fetched once, and the token is not taken.
        idp.forges(|claims, key| format!("{}.{claims}.AAAA", part(&json!({ "alg": "ES256", "kid": key.kid }))));
        sign_in(&Browser::new(&manager), &idp, ADMIN).await.goes_to(&failed("provider_wrong"));
        assert_eq!(idp.times_asked_for_keys(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_not_right_opens_nothing() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        let browser = Browser::from(&manager, "198.51.100.7");
        let now = manager.app.now_ms() / 1000;
        let wrong = failed("provider_wrong");

        for (name, value) in [
            ("iss", json!("https://localhost/realms/other")),
            ("iss", json!(format!("{}/", idp.issuer()))),
            ("aud", json!("another-client")),
            ("aud", json!([CLIENT, "another-client"])),
            ("azp", json!("another-client")),
            ("exp", json!(now - 61)),
            ("exp", json!("never")),
            ("iat", json!(now - 3600)),
            ("iat", json!(now + 3600)),
            ("nbf", json!(now + 3600)),
            ("nonce", json!("another")),
            ("nonce", json!(null)),
            ("sub", json!("")),
            ("sub", json!({})),
        ] {
            let changed = value.clone();
            idp.claims(move |claims| claims[name] = changed.clone());
            assert_eq!(sign_in(&browser, &idp, ADMIN).await.location.as_ref(), Some(&wrong), "{name} {value}");
        }
        idp.behaves();
        for (name, value) in
            [("typ", json!("at+jwt")), ("crit", json!(["exp"])), ("alg", json!("RS256")), ("alg", json!("ES384"))]
        {
            let changed = value.clone();
            idp.heads(move |head| head[name] = changed.clone());
            assert_eq!(sign_in(&browser, &idp, ADMIN).await.location.as_ref(), Some(&wrong), "{name} {value}");
        }
        idp.behaves();

        // Nobody signed it, or somebody without the provider's key.
        let other = Browser::from(&manager, "203.0.113.9");
        let forgeries: [Forge; 6] = [
            Box::new(|claims, _| format!("{}.{claims}.", part(&json!({ "alg": "none" })))),
            Box::new(|claims, key| format!("{}.{claims}.", part(&json!({ "alg": "ES256", "kid": key.kid })))),
            Box::new(|claims, key| hs256(claims, &key.kid, &key.public())),
            Box::new(|claims, key| hs256(claims, &key.kid, SECRET.as_bytes())),
            Box::new(|claims, _| claims.to_owned()),
            Box::new(|claims, key| format!("{}.{claims}.AAAA", part(&json!({ "alg": "ES256", "kid": key.kid })))),
        ];
        for (index, forge) in forgeries.into_iter().enumerate() {
            idp.forges(forge);
            assert_eq!(sign_in(&other, &idp, ADMIN).await.location.as_ref(), Some(&wrong), "{index}");
        }
        idp.behaves();
        sign_in(&other, &idp, ADMIN).await.goes_to("/operators?q=a");

        let mut tx = manager.app.db.read().await.unwrap();
        let (logins,) =
            fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM site_logins WHERE by_provider = TRUE").unwrap();
        assert_eq!(logins, 1, "the last one only");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_show_its_secret_gets_no_token_and_one_may_show_it_in_the_form() {
    on_both(|db| async move {
        let idp = Idp::start().await;
        let manager = manager(db, &idp);
        let (_, _, admin) = company(&manager, &idp).await;
        bind(&admin, &idp, ADMIN).await;
        super::set(&admin, idp.issuer(), &[("secret", ""), ("no_secret", "on")]).await.goes_to(super::SETTINGS);
        let browser = Browser::new(&manager);
        sign_in(&browser, &idp, ADMIN).await.goes_to(&failed("provider_client"));
        super::set(&admin, idp.issuer(), &[]).await.goes_to(super::SETTINGS);
        idp.says(|metadata| metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]));
        manager.advance(std::time::Duration::from_hours(1));
        idp.clock(manager.app.now_ms());
        go(&browser, "acme").await.says("IDプロバイダーへ進みます");
        sign_in(&browser, &idp, ADMIN).await.goes_to("/operators?q=a");
    })
    .await;
}
