//! Sign-in by an identity provider, against a real HTTPS server that signs real tokens and misbehaves when told.

mod account;
mod flow;
mod idp;
mod rules;
mod settings;
mod system;
mod tokens;

use manager::{db::Db, fetch_one, role::Role};
use proto::id::{CompanyId, OperatorId};

use self::idp::{CLIENT, Idp, SECRET};
use crate::{
    browser::{Browser, Seen},
    testing::{Manager, PASSWORD, config},
};

/// Where the settings are.
const SETTINGS: &str = "/settings/provider";
/// How the provider names the administrator.
const ADMIN: &str = "sub-of-the-admin";

/// A manager that may ask the provider.
fn manager(db: Db, idp: &Idp) -> Manager {
    Manager::with(db, config(|config| config.providers = idp.config()))
}

/// Company `acme` whose provider is in force, and its administrator, who is logged in.
async fn company<'a>(manager: &'a Manager, idp: &Idp) -> (CompanyId, OperatorId, Browser<'a>) {
    let company_id = manager.company("acme").await;
    let operator_id = manager.account(company_id, "admin", Role::CompanyAdmin).await;
    let admin = Browser::new(manager);
    admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
    set(&admin, idp.issuer(), &[]).await.goes_to(SETTINGS);
    (company_id, operator_id, admin)
}

/// Sends the form of the settings with a provider in force, and more fields.
async fn set(admin: &Browser<'_>, issuer: &str, more: &[(&str, &str)]) -> Seen {
    let page = admin.get(SETTINGS).await;
    let version = page.between("name=\"version\" value=\"", "\"");
    let mut fields =
        vec![("issuer", issuer), ("client_id", CLIENT), ("secret", SECRET), ("in_force", "on"), ("version", &version)];
    fields.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    fields.extend(more.iter().copied().filter(|(_, value)| !value.is_empty()));
    admin.post(SETTINGS, &fields).await
}

/// Presses “connect” at the own account.
async fn connect(browser: &Browser<'_>, password: &str) -> Seen {
    browser.get("/account").await;
    browser.post("/account/provider", &[("password", password)]).await
}

/// Binds the account of who is logged in.
async fn bind(browser: &Browser<'_>, idp: &Idp, sub: &str) {
    let page = connect(browser, PASSWORD).await;
    browser.get(&idp.authorize(&page, sub)).await.goes_to("/account");
    browser.get("/account").await.says("接続済み");
}

/// Presses the button of the login; the page that leads to the provider.
async fn go(browser: &Browser<'_>, code: &str) -> Seen {
    browser.get("/login").await;
    browser.post("/login/provider", &[("company", code), ("next", "/operators?q=a")]).await
}

/// The whole way; what the browser sees after it came back.
async fn sign_in(browser: &Browser<'_>, idp: &Idp, sub: &str) -> Seen {
    let page = go(browser, "acme").await;
    browser.get(&idp.authorize(&page, sub)).await
}

/// How often something happened, by the audit record.
async fn events(manager: &Manager, event: &str) -> i64 {
    let mut tx = manager.app.db.read().await.unwrap();
    fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit WHERE event = $1", event).unwrap().0
}

/// Where an answer that belongs to no sign-in leads.
fn login(why: &str) -> String {
    format!("/login?why={why}")
}

/// Where a sign-in of [`go`] at `acme` that failed leads: to the login as it was left.
fn failed(why: &str) -> String {
    format!("/login?why={why}&company=acme&next=%2Foperators%3Fq%3Da")
}
