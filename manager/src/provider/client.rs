//! What is asked of a provider: what it can do, its keys, and a token for a code.
//!
//! What it can do and its keys are remembered for an hour, unless something is missing; a key that nobody knows and a wrong
//! signature make the keys be fetched once more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proto::api::UnixMillis;
use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Config, Issuer, Provider,
    secret::FlowSecret,
    token::{self, ALGORITHMS, Expected, Keys, TokenError},
};
use crate::{
    list::params::encode,
    outward::{self, Address, AddressError, Cause, Kind, Outward, OutwardError, ReadError},
};

/// Longest answer of a provider, in bytes. Those of the large ones have 2 to 10 KiB.
const BODY_MAX: usize = 256 * 1024;
/// Longest address that the browser opens, before what is asked is added, in bytes.
const URL_LEN_MAX: usize = 2000;
/// Longest ID token, in bytes.
const TOKEN_LEN_MAX: usize = 32 * 1024;
/// Longest code, in bytes.
pub const CODE_LEN_MAX: usize = 4096;
/// For how long what a provider says of itself is remembered.
const REMEMBER_MS: i64 = 60 * 60 * 1000;
/// Providers that are remembered.
const REMEMBERED_MAX: usize = 256;
/// Longest word of a provider's refusal that goes to the log.
const ERROR_LEN_MAX: usize = 60;

/// The way to identity providers, and what they said of themselves. Clones share both.
#[derive(Clone)]
pub struct Providers(Arc<Shared>);

struct Shared {
    config: Config,
    /// For everything that one sign-in asks.
    timeout: Duration,
    outward: OnceLock<Outward>,
    known: Mutex<HashMap<String, Known>>,
}

/// What a provider said of itself.
#[derive(Clone)]
struct Known {
    metadata: Arc<Metadata>,
    keys: Keys,
    at_ms: UnixMillis,
}

/// What a provider says that it can do, as far as it is read. Source: OpenID Connect Discovery 1.0, 3.
#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    response_types_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 9207, 3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What of it is used, and remembered.
#[derive(Debug, Clone)]
pub struct Metadata {
    issuer: String,
    authorization: Url,
    token: Address,
    keys: Address,
    /// What is missing for a client with a secret.
    lack_with_secret: Option<Lack>,
    /// What is missing for a client without one.
    lack_without: Option<Lack>,
    /// Whether the secret goes into the body: only when nothing else is offered.
    wants_post: bool,
    /// Whether its answers name it.
    names_itself: bool,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    error: String,
}

/// Which of a provider's addresses is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where it says what it can do.
    Discovery,
    /// Where people sign in.
    Authorization,
    /// Where a code becomes a token.
    Token,
    /// Where its keys are.
    Keys,
}

/// Why a provider is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// There is no way out at all.
    #[error(transparent)]
    Setup(#[from] OutwardError),
    /// An address is none that may be called.
    #[error("{0:?}: {1}")]
    Address(Place, AddressError),
    /// Nothing came back.
    #[error("{0:?}: {detail}", detail = .1.detail)]
    Away(Place, Cause),
    /// It took too long with everything.
    #[error("it did not answer in time")]
    Late,
    /// It answered with a status that says no.
    #[error("{0:?}: {1}")]
    Status(Place, StatusCode),
    /// What came back is too long.
    #[error("{0:?}: the answer is too long")]
    TooLong(Place),
    /// What came back is not what it should be.
    #[error("{0:?}: the answer is not what the specification says")]
    Form(Place),
    /// It calls itself by another name.
    #[error("it calls itself {0:?}")]
    Issuer(String),
    /// It has no way that is used here.
    #[error("it has no {0}")]
    Lacks(Lack),
    /// An answer names another provider than the one that was asked.
    #[error("an answer names another provider than the one that was asked")]
    MixedUp,
    /// It sent the browser back with a refusal.
    #[error("it sent the browser back: {0}")]
    Declined(String),
    /// It does not give a token for the code.
    #[error("it gives no token: {0}")]
    Refused(String),
    /// It gives no token now.
    #[error("it gives no token now: {0}")]
    Unavailable(String),
    /// It does not know this client, or does not take its secret.
    #[error("it does not take this client, or its secret: {0}")]
    Client(String),
    /// Its token is not taken.
    #[error("its token is not taken: {0}")]
    Token(#[from] TokenError),
}

/// What a provider must have and lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The code flow.
    Code,
    /// PKCE with SHA-256.
    Pkce,
    /// A signature that is taken.
    Algorithm,
    /// A way to say who asks for a token.
    ClientAuthentication,
    /// A key that can sign.
    Key,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Code => "code flow",
            Self::Pkce => "PKCE with S256",
            Self::Algorithm => "signature that is taken",
            Self::ClientAuthentication => "way for this client to prove itself",
            Self::Key => "key that can sign",
        })
    }
}

impl ProviderError {
    /// Whether trying later may help, and nothing else does.
    pub const fn is_away(&self) -> bool {
        match self {
            Self::Away(..) | Self::Late | Self::Unavailable(_) => true,
            Self::Status(_, status) => is_later(*status),
            Self::Setup(_)
            | Self::Address(..)
            | Self::TooLong(_)
            | Self::Form(_)
            | Self::Issuer(_)
            | Self::Lacks(_)
            | Self::MixedUp
            | Self::Declined(_)
            | Self::Refused(_)
            | Self::Client(_)
            | Self::Token(_) => false,
        }
    }
}

impl Document {
    /// What of it is used; `address` reads an address that is called.
    fn boil(self, address: impl Fn(Place, &str) -> Result<Address, ProviderError>) -> Result<Metadata, ProviderError> {
        let ways = self.token_endpoint_auth_methods_supported.as_ref();
        let has_way = |way: &str| ways.is_some_and(|ways| ways.iter().any(|one| one == way));
        Ok(Metadata {
            authorization: shown_address(&self.authorization_endpoint)?,
            token: address(Place::Token, &self.token_endpoint)?,
            keys: address(Place::Keys, &self.jwks_uri)?,
            lack_with_secret: self.lack(true),
            lack_without: self.lack(false),
            wants_post: !has_way("client_secret_basic") && has_way("client_secret_post"),
            names_itself: self.authorization_response_iss_parameter_supported,
            issuer: self.issuer,
        })
    }

    /// What is missing for a client, which may have a secret.
    fn lack(&self, has_secret: bool) -> Option<Lack> {
        let has = |list: &Option<Vec<String>>, wanted: &[&str]| {
            list.as_ref().is_none_or(|list| list.iter().any(|one| wanted.contains(&one.as_str())))
        };
        let algorithms = ALGORITHMS.map(|(_, name)| name);
        let ways: &[&str] = if has_secret { &["client_secret_basic", "client_secret_post"] } else { &["none"] };
        [
            (has(&self.response_types_supported, &["code"]), Lack::Code),
            (has(&self.code_challenge_methods_supported, &["S256"]), Lack::Pkce),
            (has(&self.id_token_signing_alg_values_supported, &algorithms), Lack::Algorithm),
            (has(&self.token_endpoint_auth_methods_supported, ways), Lack::ClientAuthentication),
        ]
        .into_iter()
        .find(|(is_there, _)| !is_there)
        .map(|(_, lack)| lack)
    }
}

impl Metadata {
    /// Where the browser goes.
    pub const fn authorization(&self) -> &Url {
        &self.authorization
    }

    /// Whether an answer that names an issuer, or none, is from this one. Source: RFC 9207, 2.4.
    pub fn is_from(&self, iss: Option<&str>) -> bool {
        match iss {
            Some(iss) => iss == self.issuer,
            None => !self.names_itself,
        }
    }

    /// What is missing for this service as the provider's client.
    const fn lack(&self, provider: &Provider) -> Option<Lack> {
        if provider.client_secret.is_some() { self.lack_with_secret } else { self.lack_without }
    }
}

/// An address that the browser opens, which may be one inside the house.
fn shown_address(text: &str) -> Result<Url, ProviderError> {
    let wrong = ProviderError::Address(Place::Authorization, AddressError::Form);
    match Url::parse(text) {
        Ok(url)
            if url.scheme() == "https" && url.has_host() && url.fragment().is_none() && text.len() <= URL_LEN_MAX =>
        {
            Ok(url)
        }
        Ok(_) | Err(_) => Err(wrong),
    }
}

impl Providers {
    /// The way by the settings of a configuration; files are read when it is used first, or by [`Providers::check`].
    /// Everything that one sign-in asks must be answered in `timeout`.
    pub fn new(config: Config, timeout: Duration) -> Self {
        Self(Arc::new(Shared { config, timeout, outward: OnceLock::new(), known: Mutex::default() }))
    }

    /// Says whether there is a way out, before somebody needs it.
    ///
    /// # Errors
    /// [`OutwardError`].
    pub fn check(&self) -> Result<(), OutwardError> {
        self.outward().map(drop)
    }

    fn outward(&self) -> Result<&Outward, OutwardError> {
        if let Some(outward) = self.0.outward.get() {
            return Ok(outward);
        }
        let Config { networks, ca_file, timeout: _ } = &self.0.config;
        let outward = Outward::new("providers", networks, ca_file.as_deref(), self.0.timeout)?;
        Ok(self.0.outward.get_or_init(|| outward))
    }

    /// Whether an address may be called, as far as it says so itself.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn may_ask(&self, text: &str) -> Result<(), AddressError> {
        self.outward().map_or(Ok(()), |outward| outward.address(text).map(drop))
    }

    /// What the provider can do, if it can what is needed. Callers ask inside [`Providers::in_time`].
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn metadata(&self, provider: &Provider, now: UnixMillis) -> Result<Arc<Metadata>, ProviderError> {
        Ok(self.known(provider, now).await?.metadata)
    }

    /// Asks the provider anew what it can do, and for its keys.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn look(&self, provider: &Provider, now: UnixMillis) -> Result<(), ProviderError> {
        self.forget(&provider.issuer);
        self.in_time(self.known(provider, now)).await.map(drop)
    }

    /// Whom a code that came back is about, by the provider's own name of the person. Callers ask inside
    /// [`Providers::in_time`].
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn redeem(
        &self,
        provider: &Provider,
        code: &str,
        redirect_uri: &str,
        secret: &FlowSecret,
        now: impl Fn() -> UnixMillis,
    ) -> Result<String, ProviderError> {
        let known = self.known(provider, now()).await?;
        let token = self.token(provider, &known.metadata, code, redirect_uri, secret).await?;
        let nonce = secret.nonce();
        let expected =
            || Expected { issuer: provider.issuer.as_str(), client_id: &provider.client_id, nonce: &nonce, now: now() };
        match token::verify(&token, &known.keys, expected()) {
            // It may have changed its keys since they were fetched, also under a name that it had before.
            Err(TokenError::Key | TokenError::Signature) => {
                let keys = self.keys(&known.metadata).await?;
                let verified = token::verify(&token, &keys, expected());
                self.remember(&provider.issuer, Known { keys, ..known });
                Ok(verified?)
            }
            verified => Ok(verified?),
        }
    }

    /// Everything that one sign-in asks has one deadline, shorter than that of the browser's request.
    ///
    /// # Errors
    /// What `work` gives, or [`ProviderError::Late`].
    pub async fn in_time<T>(&self, work: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
        tokio::time::timeout(self.0.timeout, work).await.unwrap_or(Err(ProviderError::Late))
    }

    /// An ID token for a code.
    async fn token(
        &self,
        provider: &Provider,
        metadata: &Metadata,
        code: &str,
        redirect_uri: &str,
        secret: &FlowSecret,
    ) -> Result<String, ProviderError> {
        let place = Place::Token;
        let outward = self.outward()?;
        let verifier = secret.verifier();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", &verifier),
        ];
        let mut request = outward.request(Method::POST, &metadata.token).header(ACCEPT, "application/json");
        match &provider.client_secret {
            Some(client_secret) if !metadata.wants_post => {
                // Source: RFC 6749, 2.3.1: both are encoded as in a form first.
                let pair = format!("{}:{}", encode(&provider.client_id), encode(client_secret));
                request = request.header("authorization", format!("Basic {}", STANDARD.encode(pair)));
            }
            Some(client_secret) => {
                fields.extend([("client_id", provider.client_id.as_str()), ("client_secret", client_secret.as_str())]);
            }
            None => fields.push(("client_id", &provider.client_id)),
        }
        let body = serde_html_form::to_string(&fields).map_err(|_impossible| ProviderError::Form(place))?;
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let (status, body) = answer(place, request).await?;
        if !status.is_success() {
            let refused: Option<Refused> = serde_json::from_slice(&body).ok();
            return Err(refusal(status, refused.map(|refused| word(&refused.error)).unwrap_or_default()));
        }
        let Tokens { id_token } = read(place, &body)?;
        if TOKEN_LEN_MAX < id_token.len() { Err(ProviderError::TooLong(place)) } else { Ok(id_token) }
    }

    /// What is known of a provider that can what is needed, or what it says now.
    async fn known(&self, provider: &Provider, now: UnixMillis) -> Result<Known, ProviderError> {
        let issuer = &provider.issuer;
        if let Some(known) = self.remembered(issuer, now).filter(|known| known.metadata.lack(provider).is_none()) {
            return Ok(known);
        }
        let outward = self.outward()?;
        let body = self.fetch(Place::Discovery, &address(outward, Place::Discovery, &issuer.discovery())?).await?;
        let document: Document = read(Place::Discovery, &body)?;
        if document.issuer != issuer.as_str() {
            return Err(ProviderError::Issuer(word(&document.issuer)));
        }
        let metadata = document.boil(|place, text| address(outward, place, text))?;
        if let Some(lack) = metadata.lack(provider) {
            return Err(ProviderError::Lacks(lack));
        }
        let keys = self.keys(&metadata).await?;
        if keys.is_empty() {
            return Err(ProviderError::Lacks(Lack::Key));
        }
        let known = Known { metadata: Arc::new(metadata), keys, at_ms: now };
        self.remember(issuer, known.clone());
        Ok(known)
    }

    async fn keys(&self, metadata: &Metadata) -> Result<Keys, ProviderError> {
        let body = self.fetch(Place::Keys, &metadata.keys).await?;
        Keys::parse(&body).ok_or(ProviderError::Form(Place::Keys))
    }

    async fn fetch(&self, place: Place, address: &Address) -> Result<Vec<u8>, ProviderError> {
        let request = self.outward()?.request(Method::GET, address).header(ACCEPT, "application/json");
        match answer(place, request).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(ProviderError::Status(place, status)),
        }
    }

    /// What is remembered of a provider; what is older than an hour leaves, whosever it is.
    fn remembered(&self, issuer: &Issuer, now: UnixMillis) -> Option<Known> {
        let mut all = self.0.known.lock().ok()?;
        all.retain(|_, known| now < known.at_ms.saturating_add(REMEMBER_MS));
        all.get(issuer.as_str()).cloned()
    }

    fn remember(&self, issuer: &Issuer, known: Known) {
        let Ok(mut all) = self.0.known.lock() else { return };
        if REMEMBERED_MAX <= all.len() && !all.contains_key(issuer.as_str()) {
            let oldest = all.iter().min_by_key(|(_, known)| known.at_ms).map(|(issuer, _)| issuer.clone());
            oldest.and_then(|issuer| all.remove(&issuer));
        }
        all.insert(issuer.as_str().to_owned(), known);
    }

    fn forget(&self, issuer: &Issuer) {
        if let Ok(mut all) = self.0.known.lock() {
            all.remove(issuer.as_str());
        }
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Providers(…)")
    }
}

fn address(outward: &Outward, place: Place, text: &str) -> Result<Address, ProviderError> {
    outward.address(text).map_err(|error| ProviderError::Address(place, error))
}

/// Status and body of an answer.
async fn answer(place: Place, request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>), ProviderError> {
    let away = |error: &reqwest::Error| ProviderError::Away(place, Cause::of_error(error));
    let response = request.send().await.map_err(|error| away(&error))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(ProviderError::Away(place, Cause::new(Kind::Redirect, status.to_string())));
    }
    match outward::read(response, BODY_MAX).await {
        Ok(body) => Ok((status, body)),
        Err(ReadError::TooLong) => Err(ProviderError::TooLong(place)),
        Err(ReadError::Broken(error)) => Err(away(&error)),
    }
}

/// Whether a status says that it may be well later.
const fn is_later(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500..)
}

/// What it means that the token endpoint gives no token. Source: RFC 6749, 5.2.
fn refusal(status: StatusCode, error: String) -> ProviderError {
    match error.as_str() {
        _ if is_later(status) => ProviderError::Status(Place::Token, status),
        "temporarily_unavailable" | "server_error" => ProviderError::Unavailable(error),
        "invalid_client" | "unauthorized_client" => ProviderError::Client(error),
        "" if status == StatusCode::UNAUTHORIZED => ProviderError::Client(status.to_string()),
        "" => ProviderError::Status(Place::Token, status),
        _ => ProviderError::Refused(error),
    }
}

fn read<T: DeserializeOwned>(place: Place, body: &[u8]) -> Result<T, ProviderError> {
    serde_json::from_slice(body).map_err(|_other| ProviderError::Form(place))
}

/// A provider's word, short and without anything but what such words have, for the log.
pub fn word(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    text.chars().filter(plain).take(ERROR_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(more: &serde_json::Value) -> Metadata {
        let mut all = json!({
            "issuer": "https://id.example", "authorization_endpoint": "https://id.example/authorize",
            "token_endpoint": "https://id.example/token", "jwks_uri": "https://id.example/keys",
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let document: Document = serde_json::from_value(all).unwrap();
        let address =
            |place, text: &str| Address::parse(text, &[]).map_err(|error| ProviderError::Address(place, error));
        document.boil(address).unwrap()
    }

    fn lack(metadata: &Metadata, has_secret: bool) -> Option<Lack> {
        if has_secret { metadata.lack_with_secret } else { metadata.lack_without }
    }

    #[test]
    fn what_a_provider_lacks_is_named() {
        assert_eq!(lack(&metadata(&json!({})), true), None);
        for (more, has_secret, expected) in [
            (json!({ "response_types_supported": ["id_token"] }), true, Lack::Code),
            (json!({ "code_challenge_methods_supported": ["plain"] }), true, Lack::Pkce),
            (json!({ "id_token_signing_alg_values_supported": ["HS256", "none"] }), true, Lack::Algorithm),
            (json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt"] }), true, Lack::ClientAuthentication),
            (
                json!({ "token_endpoint_auth_methods_supported": ["client_secret_basic"] }),
                false,
                Lack::ClientAuthentication,
            ),
        ] {
            assert_eq!(lack(&metadata(&more), has_secret), Some(expected), "{more}");
        }
        let post = json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
        assert!(metadata(&post).wants_post && !metadata(&json!({})).wants_post);
    }

    #[test]
    fn what_is_older_than_an_hour_leaves() {
        let providers = Providers::new(Config::default(), Duration::from_secs(1));
        let issuer = |name: &str| Issuer::parse(&format!("https://{name}.example")).unwrap();
        for (name, at_ms) in [("a", 0), ("b", 1)] {
            let metadata = Arc::new(metadata(&json!({})));
            providers.remember(&issuer(name), Known { metadata, keys: Keys::default(), at_ms });
        }
        let left = || providers.0.known.lock().unwrap().len();

        assert!(providers.remembered(&issuer("a"), REMEMBER_MS - 1).is_some());
        assert_eq!(left(), 2);
        assert!(providers.remembered(&issuer("b"), REMEMBER_MS).is_some());
        assert_eq!(left(), 1);
        assert!(providers.remembered(&issuer("c"), REMEMBER_MS + 1).is_none());
        assert_eq!(left(), 0);
    }

    #[test]
    fn an_answer_must_name_its_issuer_when_the_provider_says_that_it_does() {
        let silent = metadata(&json!({}));
        assert!(silent.is_from(None) && silent.is_from(Some("https://id.example")));
        assert!(!silent.is_from(Some("https://other.example")));
        assert!(!metadata(&json!({ "authorization_response_iss_parameter_supported": true })).is_from(None));
    }

    #[test]
    fn a_word_of_a_provider_is_short_and_plain() {
        assert_eq!(word("invalid_grant"), "invalid_grant");
        assert_eq!(word("a\r\n<b>\"c"), "abc");
        assert_eq!(word(&"a".repeat(1000)).len(), ERROR_LEN_MAX);
    }
}
