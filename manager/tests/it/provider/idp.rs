//! An identity provider on loopback: real HTTPS, real keys, real checks of client, code and PKCE; it misbehaves when told.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, Mac as _};
use manager::provider::Config;
use ops::{
    shutdown::Shutdown,
    tls::{self, Certificate},
    web,
};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::Notify};

use crate::browser::Seen;

/// What the provider calls the manager.
pub(super) const CLIENT: &str = "desk";
/// The secret of that client; what must be encoded in it shows that it is.
pub(super) const SECRET: &str = "s3cret:+&%";

/// A key and how it signs.
pub(super) struct Key {
    pub(super) kid: String,
    kind: Kind,
}

enum Kind {
    Rsa(RsaKeyPair, &'static str),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// What a path does instead of what it should.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Huge,
    Silent,
    /// It answers as it should, after 0.7 seconds.
    Slow,
    /// It answers as it should, once the test has done something meanwhile.
    Held,
    Redirect,
    NotFound,
    Garbage,
    /// A status with the word of a refusal.
    Says(u16, &'static str),
}

/// Somebody who has signed in, until the code is used.
struct Grant {
    sub: String,
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

type Change = Box<dyn Fn(&mut Value) + Send>;
/// Makes a whole token of claims.
pub(super) type Forge = Box<dyn Fn(&str, &Key) -> String + Send>;

struct Shared {
    issuer: String,
    now_ms: AtomicI64,
    keys: Mutex<Vec<Key>>,
    grants: Mutex<HashMap<String, Grant>>,
    faults: Mutex<HashMap<&'static str, Fault>>,
    metadata: Mutex<Option<Change>>,
    claims: Mutex<Option<Change>>,
    head: Mutex<Option<Change>>,
    /// A token as a whole instead of one that is signed.
    forge: Mutex<Option<Forge>>,
    asked_for_keys: AtomicUsize,
    never: Notify,
    arrived: Notify,
    released: Notify,
}

pub(super) struct Idp {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    shutdown: Shutdown,
}

impl Key {
    pub(super) fn es256(kid: &str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        Self { kid: kid.to_owned(), kind: Kind::Ec(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap()) }
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { kid: kid.to_owned(), kind: Kind::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()) }
    }

    pub(super) fn rsa(kid: &str, algorithm: &'static str) -> Self {
        Self { kid: kid.to_owned(), kind: Kind::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), algorithm) }
    }

    fn algorithm(&self) -> &'static str {
        match &self.kind {
            Kind::Rsa(_, algorithm) => algorithm,
            Kind::Ec(_) => "ES256",
            Kind::Ed(_) => "EdDSA",
        }
    }

    /// The modulus, the point or the key as a program without care could take it for a secret.
    pub(super) fn public(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Rsa(key, _) => key.public_key().modulus().big_endian_without_leading_zero().to_vec(),
            Kind::Ec(key) => key.public_key().as_ref().to_vec(),
            Kind::Ed(key) => key.public_key().as_ref().to_vec(),
        }
    }

    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = self.public();
        match &self.kind {
            Kind::Rsa(key, _) => {
                let exponent = key.public_key().exponent().big_endian_without_leading_zero().to_vec();
                json!({ "kty": "RSA", "use": "sig", "kid": self.kid, "n": text(&public), "e": text(&exponent) })
            }
            Kind::Ec(_) => {
                // An uncompressed point: 4, x, y.
                let (x, y) = public[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": text(x), "y": text(y) })
            }
            Kind::Ed(_) => json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": text(&public) }),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Kind::Ed(key) => key.sign(message).as_ref().to_vec(),
            Kind::Rsa(key, algorithm) => {
                let mut signed = vec![0; key.public_modulus_len()];
                let padding: &'static dyn signature::RsaEncoding =
                    if *algorithm == "PS256" { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
                key.sign(padding, &random, message, &mut signed).unwrap();
                signed
            }
        }
    }
}

/// A part of a token.
pub(super) fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with a symmetric signature.
pub(super) fn hs256(claims: &str, kid: &str, secret: &[u8]) -> String {
    let message = format!("{}.{claims}", part(&json!({ "alg": "HS256", "typ": "JWT", "kid": kid })));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

impl Idp {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = tls::authority().unwrap();
        let files = authority.issue(&["localhost"]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.ca_pem()).unwrap();
        let certificate = Certificate::from_pem(files.cert_pem.as_bytes(), files.key_pem.as_bytes()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            issuer: format!("https://localhost:{port}/realms/acme"),
            now_ms: AtomicI64::new(crate::testing::START_MS),
            keys: Mutex::new(vec![Key::es256("first")]),
            grants: Mutex::default(),
            faults: Mutex::default(),
            metadata: Mutex::default(),
            claims: Mutex::default(),
            head: Mutex::default(),
            forge: Mutex::default(),
            asked_for_keys: AtomicUsize::new(0),
            never: Notify::new(),
            arrived: Notify::new(),
            released: Notify::new(),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let shutdown = Shutdown::new();
        let tls = tls::web_config(Arc::new(certificate)).unwrap();
        tokio::spawn(web::serve_tls(listener, tls, app, web::Limits::public(), shutdown.clone()));
        Self { folder, shared, shutdown }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Settings of a manager that may ask this provider.
    pub(super) fn config(&self) -> Config {
        let networks = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        Config { networks, ca_file: Some(self.ca_file()), timeout: None }
    }

    pub(super) fn clock(&self, now_ms: i64) {
        self.shared.now_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn has_keys(&self, keys: Vec<Key>) {
        *self.shared.keys.lock().unwrap() = keys;
    }

    pub(super) fn times_asked_for_keys(&self) -> usize {
        self.shared.asked_for_keys.load(Ordering::Relaxed)
    }

    /// A path fails so until [`Idp::behaves`].
    pub(super) fn fails(&self, path: &'static str, fault: Fault) {
        self.shared.faults.lock().unwrap().insert(path, fault);
    }

    /// What happens while the provider is asked at a path: `meanwhile` runs after the request has arrived and before it is
    /// answered.
    pub(super) async fn while_asked<T>(
        &self,
        path: &'static str,
        asking: impl Future<Output = T>,
        meanwhile: impl Future<Output = ()>,
    ) -> T {
        self.fails(path, Fault::Held);
        let then = async {
            self.shared.arrived.notified().await;
            meanwhile.await;
            self.shared.faults.lock().unwrap().remove(path);
            self.shared.released.notify_one();
        };
        tokio::join!(asking, then).0
    }

    pub(super) fn says(&self, change: impl Fn(&mut Value) + Send + 'static) {
        *self.shared.metadata.lock().unwrap() = Some(Box::new(change));
    }

    pub(super) fn claims(&self, change: impl Fn(&mut Value) + Send + 'static) {
        *self.shared.claims.lock().unwrap() = Some(Box::new(change));
    }

    pub(super) fn heads(&self, change: impl Fn(&mut Value) + Send + 'static) {
        *self.shared.head.lock().unwrap() = Some(Box::new(change));
    }

    pub(super) fn forges(&self, forge: impl Fn(&str, &Key) -> String + Send + 'static) {
        *self.shared.forge.lock().unwrap() = Some(Box::new(forge));
    }

    /// Everything is as it should be again.
    pub(super) fn behaves(&self) {
        self.shared.faults.lock().unwrap().clear();
        *self.shared.metadata.lock().unwrap() = None;
        *self.shared.claims.lock().unwrap() = None;
        *self.shared.head.lock().unwrap() = None;
        *self.shared.forge.lock().unwrap() = None;
    }

    /// Somebody comes by the page of the manager and signs in; the path and query by which the browser goes back.
    pub(super) fn authorize(&self, page: &Seen, sub: &str) -> String {
        let (asked, redirect_uri) = self.asked(page);
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], CLIENT);
        assert_eq!(asked["scope"], "openid");
        assert_eq!(asked["code_challenge_method"], "S256");
        let code = hex::encode(manager::app::draw_id());
        let grant = Grant {
            sub: sub.to_owned(),
            nonce: asked["nonce"].clone(),
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
        };
        self.shared.grants.lock().unwrap().insert(code.clone(), grant);
        back(redirect_uri, &[("code", &code), ("state", &asked["state"])])
    }

    /// Somebody comes by the page of the manager, and the provider sends the browser back with a refusal.
    pub(super) fn refuses(&self, page: &Seen, error: &str, description: &str) -> String {
        let (asked, redirect_uri) = self.asked(page);
        back(redirect_uri, &[("error", error), ("error_description", description), ("state", &asked["state"])])
    }

    fn asked(&self, page: &Seen) -> (HashMap<String, String>, Url) {
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let url: Url = page.between("0; url=", "\"").replace("&#38;", "&").parse().unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", self.shared.issuer)), "{url}");
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let redirect_uri = asked["redirect_uri"].parse().unwrap();
        (asked, redirect_uri)
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.shutdown.force();
    }
}

/// The address to return to, as the browser of a test takes it.
fn back(mut url: Url, pairs: &[(&str, &str)]) -> String {
    url.query_pairs_mut().extend_pairs(pairs);
    format!("{}?{}", url.path(), url.query().unwrap())
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().strip_prefix("/realms/acme").unwrap_or_default();
    let fault = shared.faults.lock().unwrap().get(path).copied();
    match fault {
        Some(Fault::Huge) => return Body::from(vec![b' '; 1 << 20]).into_response(),
        Some(Fault::Silent) => shared.never.notified().await,
        Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(700)).await,
        Some(Fault::Held) => {
            shared.arrived.notify_one();
            shared.released.notified().await;
        }
        Some(Fault::Redirect) => {
            return (StatusCode::FOUND, [(header::LOCATION, format!("{}{path}/", shared.issuer))]).into_response();
        }
        Some(Fault::NotFound) => return StatusCode::NOT_FOUND.into_response(),
        Some(Fault::Garbage) => return "<html>".into_response(),
        Some(Fault::Says(status, error)) => return refused(status, error),
        None => {}
    }
    let reply = match path {
        "/.well-known/openid-configuration" => metadata(&shared),
        "/keys" => {
            shared.asked_for_keys.fetch_add(1, Ordering::Relaxed);
            let keys: Vec<Value> = shared.keys.lock().unwrap().iter().map(Key::jwk).collect();
            json!({ "keys": keys })
        }
        "/token" if !knows_client(&headers, &body) => return refused(401, "invalid_client"),
        "/token" => {
            let Some(id_token) = token(&shared, &body) else { return refused(400, "invalid_grant") };
            json!({ "access_token": "unused", "token_type": "Bearer", "id_token": id_token })
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, "application/json")], reply.to_string()).into_response()
}

fn refused(status: u16, error: &str) -> Response {
    let refusal = json!({ "error": error, "error_description": "<script>" });
    (StatusCode::from_u16(status).unwrap(), refusal.to_string()).into_response()
}

fn metadata(shared: &Shared) -> Value {
    let issuer = &shared.issuer;
    let mut metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
    });
    if let Some(change) = shared.metadata.lock().unwrap().as_ref() {
        change(&mut metadata);
    }
    metadata
}

fn fields(body: &[u8]) -> HashMap<String, String> {
    let query = std::str::from_utf8(body).unwrap();
    Url::parse(&format!("https://x/?{query}")).unwrap().query_pairs().into_owned().collect()
}

/// Whether a client shows its secret.
fn knows_client(headers: &HeaderMap, body: &[u8]) -> bool {
    let fields = fields(body);
    let encode = |text: &str| manager::list::params::encode(text);
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(CLIENT), encode(SECRET))));
    let by_basic = headers.get(header::AUTHORIZATION).is_some_and(|sent| sent.as_bytes() == basic.as_bytes());
    let by_post = fields.get("client_id").map(String::as_str) == Some(CLIENT)
        && fields.get("client_secret").map(String::as_str) == Some(SECRET);
    by_basic || by_post
}

/// A token for a code, if address and verifier are right and the code is used for the first time.
fn token(shared: &Shared, body: &[u8]) -> Option<String> {
    let fields = fields(body);
    let grant = shared.grants.lock().unwrap().remove(fields.get("code")?)?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(fields.get("code_verifier")?.as_bytes()));
    let is_right = fields.get("grant_type")? == "authorization_code"
        && fields.get("redirect_uri")? == &grant.redirect_uri
        && challenge == grant.challenge;
    is_right.then(|| id_token(shared, &grant))
}

fn id_token(shared: &Shared, grant: &Grant) -> String {
    let now = shared.now_ms.load(Ordering::Relaxed) / 1000;
    let mut claims = json!({
        "iss": shared.issuer, "sub": grant.sub, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": grant.nonce,
        "email": "admin@example.co.jp", "email_verified": true,
    });
    if let Some(change) = shared.claims.lock().unwrap().as_ref() {
        change(&mut claims);
    }
    let claims = part(&claims);
    let keys = shared.keys.lock().unwrap();
    let key = keys.first().unwrap();
    if let Some(forge) = shared.forge.lock().unwrap().as_ref() {
        return forge(&claims, key);
    }
    let mut head = json!({ "alg": key.algorithm(), "typ": "JWT", "kid": key.kid });
    if let Some(change) = shared.head.lock().unwrap().as_ref() {
        change(&mut head);
    }
    let message = format!("{}.{claims}", part(&head));
    let signed = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signed}")
}
