//! One call: what is said, its signature, and what came back.

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use proto::api::UnixMillis;
use reqwest::{
    Certificate, Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect, tls,
};
use serde_json::json;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    Config,
    address::{Address, is_allowed},
    cause::{Cause, Kind},
    store::Claimed,
};
use crate::{company::policy::Network, site::time};

/// What a secret begins with, so that people know what they hold.
const SECRET_PREFIX: &str = "whsec_";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to the programs of companies. Clones share connections.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    networks: Arc<[Network]>,
}

/// Why webhooks cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WebhookSetupError {
    /// The authority cannot be read.
    #[error("webhooks.ca_file {file}: {error}")]
    File {
        /// Its path.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// TLS cannot be set up with it.
    #[error("webhooks.ca_file: {0}")]
    Tls(reqwest::Error),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 2xx.
    Taken,
    /// 410: nobody wants it any more.
    Gone,
    /// Another answer, or none.
    Refused(Cause),
}

/// Finds addresses, and none that may not be called: the name is asked for once, so that it cannot mean another address
/// a moment later.
struct Guarded(Arc<[Network]>);

/// No address of a name may be called.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the name leads to no public address")]
pub(super) struct NotPublic;

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name is not known: {0}")]
pub(super) struct NotFound(#[source] io::Error);

impl Caller {
    /// Reads the file that the configuration names.
    ///
    /// # Errors
    /// [`WebhookSetupError`].
    pub fn new(config: &Config) -> Result<Self, WebhookSetupError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have been faster; then there is one.
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        }
        let networks: Arc<[Network]> = config.networks.clone().into();
        let mut builder = Client::builder()
            .user_agent(concat!("uketsuke-manager/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .no_proxy()
            .tls_version_min(tls::Version::TLS_1_2)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout.get())
            .dns_resolver(Arc::new(Guarded(Arc::clone(&networks))));
        if let Some(file) = &config.ca_file {
            let pem = fs::read(file).map_err(|error| WebhookSetupError::File { file: file.clone(), error })?;
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&pem).map_err(WebhookSetupError::Tls)?);
        }
        Ok(Self { client: builder.build().map_err(WebhookSetupError::Tls)?, networks })
    }

    /// Says one thing to one program.
    pub async fn call(&self, claimed: &Claimed, secret: &[u8], now: UnixMillis) -> Answer {
        let address = match Address::parse(&claimed.url, &self.networks) {
            Ok(address) => address,
            Err(error) => return Answer::Refused(Cause::of_address(error)),
        };
        let body = body(claimed);
        let Some(headers) = headers(&claimed.call_id, &body, secret, now) else {
            return Answer::Refused(Cause::new(Kind::Other, "the call cannot be signed"));
        };
        match self.client.post(address.url().clone()).headers(headers).body(body).send().await {
            Ok(response) if response.status().is_success() => Answer::Taken,
            Ok(response) if response.status() == StatusCode::GONE => Answer::Gone,
            Ok(response) => Answer::Refused(Cause::of_status(response.status())),
            Err(error) => Answer::Refused(Cause::of_error(&error)),
        }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(NotFound)?;
            let allowed: Vec<SocketAddr> = found.filter(|found| is_allowed(found.ip(), &networks)).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

/// What is said.
pub fn body(claimed: &Claimed) -> String {
    let zone = jiff::tz::TimeZone::UTC;
    let data = json!({ "reception_id": claimed.reception_id, "session_id": claimed.session_id });
    json!({
        "id": claimed.call_id,
        "type": claimed.event,
        "timestamp": time::machine(claimed.at_ms, &zone),
        "data": data,
    })
    .to_string()
}

/// The headers of a call; nothing when one of them cannot be one, which no call causes.
fn headers(call_id: &str, body: &str, secret: &[u8], now: UnixMillis) -> Option<HeaderMap> {
    let at = now.div_euclid(1000).to_string();
    let value = |text: &str| HeaderValue::from_str(text).ok();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", value(call_id)?);
    headers.insert("webhook-timestamp", value(&at)?);
    headers.insert("webhook-signature", value(&sign(secret, call_id, &at, body)?)?);
    Some(headers)
}

/// `v1,` and the signature over id, time and body. Source: Standard Webhooks 1.0, "Symmetric signatures".
fn sign(secret: &[u8], call_id: &str, at: &str, body: &str) -> Option<String> {
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(secret).ok()?;
    mac.update(format!("{call_id}.{at}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// A secret as people copy it.
pub fn shown(secret: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_example_in_the_specification() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;

        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body).unwrap();

        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let error = |networks: Vec<Network>| async move {
            Guarded(networks.into()).resolve("localhost".parse().unwrap()).await.map(Iterator::count)
        };

        assert_eq!(error(Vec::new()).await.unwrap_err().to_string(), NotPublic.to_string());
        let own = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        assert!(error(own).await.is_ok_and(|count| 0 < count));
    }
}
