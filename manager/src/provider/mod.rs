//! Sign-in by an identity provider: OpenID Connect, the authorization code flow with PKCE.
//!
//! Guarantees: a provider proves who somebody is at the provider, and nothing else. An account is opened by it only when
//! its owner has bound the two before, by this company's provider and the provider's own name of the person (`sub`), never
//! by a mail address; no account is made at a sign-in. Whoever comes back must be the browser that went, once, within ten
//! minutes, from the provider that was asked; what ended while that one was asked does not come back. Everything that holds for a login by password holds for it: stopped accounts,
//! suspended companies, networks, hours, limits, one login at a time, throttling, the login log; the second factor is asked
//! for here, unless the company says that its provider does so. Passwords stay, for operator tools and for the day on which
//! the provider is away; an administrator who uses one meanwhile leaves an alarm in the login log.
//! Source: OpenID Connect Core 1.0 and Discovery 1.0; RFC 9700.

pub mod alarm;
pub mod client;
pub mod config;
pub mod flow;
pub mod page;
pub mod secret;
pub mod settings;
pub mod store;
pub mod token;

mod account;
mod answer;
mod sign_in;

use reqwest::Url;
use zeroize::Zeroizing;

pub use self::{
    account::{Binding, binding, unbind},
    client::Providers,
    config::{Config, SystemConfig},
    page::{Why, way},
    settings::router,
};
use crate::{
    app::App,
    db::{DbResult, Tx},
    login::{Realm, realm::SYSTEM, site_store},
};
use proto::id::CompanyId;

/// Longest address of a provider, and longest name of a client there, in bytes.
const LEN_MAX: usize = 255;

/// The provider of a company, or of system administrators, that is in force.
pub struct Provider {
    /// Whose accounts it opens.
    pub company_id: CompanyId,
    /// Who it is.
    pub issuer: Issuer,
    /// What it calls this service.
    pub client_id: String,
    /// The secret of this client, when it has one.
    pub client_secret: Option<Zeroizing<String>>,
    /// What the button says; empty for the usual words.
    pub button: String,
    /// Whether it asks for the second factor.
    pub asks_factor: bool,
}

/// The address by which a provider names itself. It is compared as it was typed, letter by letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// `https://…`, without a login, a query and a fragment. Source: OpenID Connect Discovery 1.0, 2.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let url = Url::parse(text).ok()?;
        let has_login = !url.username().is_empty() || url.password().is_some();
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'));
        let fits = text.starts_with("https://") && url.has_host() && !has_login && text.len() <= LEN_MAX;
        (plain && fits).then(|| Self(text.to_owned()))
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it says what it can do. Source: OpenID Connect Discovery 1.0, 4.1.
    pub fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }
}

/// Whether a text can be the name of a client. Source: RFC 6749, A.1.
pub fn is_client_id(text: &str) -> bool {
    (1..=LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// The provider that is in force for the accounts of a company, or of a realm.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn of(app: &App, tx: &mut Tx, realm: Realm, company_id: CompanyId) -> DbResult<Option<Provider>> {
    match realm {
        Realm::Company => store::in_force(app, tx, company_id).await,
        Realm::System => Ok(of_system(app)),
    }
}

/// The provider to which a way led, when it is still in force and the same; held so until the transaction ends.
///
/// # Errors
/// [`crate::db::DbError`].
async fn still(app: &App, tx: &mut Tx, realm: Realm, flow: &flow::Flow) -> DbResult<Option<Provider>> {
    store::hold(tx, flow.company_id).await?;
    Ok(of(app, tx, realm, flow.company_id).await?.filter(|provider| flow.is_to(provider)))
}

/// The provider of system administrators.
pub fn of_system(app: &App) -> Option<Provider> {
    let config = app.config.system.provider.as_ref()?;
    let client_secret = config.secret().unwrap_or_else(|error| {
        tracing::error!(event = "provider.secret_failed", error = %error, "The secret of the client cannot be read");
        None
    });
    Some(Provider {
        company_id: SYSTEM,
        issuer: Issuer::parse(&config.issuer)?,
        client_id: config.client_id.clone(),
        client_secret,
        button: String::new(),
        asks_factor: config.asks_second_factor,
    })
}

/// Notes at the start which provider system administrators have. When it is another one than before, is gone, or no longer
/// asks for the second factor, the logins that came by it end, as they do when a company changes its own.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn settle(app: &App) -> DbResult<()> {
    let config = app.config.system.provider.as_ref();
    let text = |part: fn(&SystemConfig) -> &String| config.map(part).cloned().unwrap_or_default();
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, SYSTEM).await?.unwrap_or_default();
    let new = store::Row {
        in_force: config.is_some(),
        issuer: text(|config| &config.issuer),
        client_id: text(|config| &config.client_id),
        secret_sealed: None,
        button: String::new(),
        asks_factor: config.is_some_and(|config| config.asks_second_factor),
        version: old.version,
    };
    // Of two managers that start at once, one notes it.
    if new == old || !store::save(&mut tx, SYSTEM, &new).await? {
        return Ok(());
    }
    if old.ends_logins(&new) {
        let ended = site_store::revoke_by_provider(&mut tx, SYSTEM, app.now_ms()).await?;
        tracing::info!(event = "provider.system_changed", ended, "Logins by the provider of before have ended");
    }
    tx.commit().await
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provider({})", self.issuer.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_https_and_stays_as_it_was_typed() {
        for (good, discovery) in [
            ("https://id.example.jp", "https://id.example.jp/.well-known/openid-configuration"),
            (" https://id.example.jp/realms/a ", "https://id.example.jp/realms/a/.well-known/openid-configuration"),
            ("https://id.example.jp/", "https://id.example.jp/.well-known/openid-configuration"),
        ] {
            let issuer = Issuer::parse(good).unwrap();
            assert_eq!((issuer.as_str(), issuer.discovery().as_str()), (good.trim(), discovery));
        }
        let long = format!("https://id.example.jp/{}", "a".repeat(LEN_MAX));
        for bad in [
            "",
            "id.example.jp",
            "http://id.example.jp",
            "http://localhost",
            "HTTPS://id.example.jp",
            "https://a@id.example.jp",
            "https://id.example.jp/?a=b",
            "https://id.example.jp/#a",
            "https://id.example.jp/a b",
            "https://",
            &long,
        ] {
            assert_eq!(Issuer::parse(bad), None, "{bad}");
        }
    }
}
