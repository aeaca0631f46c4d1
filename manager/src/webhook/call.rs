//! One call: what is said, its signature, and what came back.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use proto::api::UnixMillis;
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::json;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Config, store::Claimed};
use crate::{
    outward::{Cause, Kind, Outward, OutwardError},
    site::time,
};

/// What a secret begins with, so that people know what they hold.
const SECRET_PREFIX: &str = "whsec_";
/// The way to the programs of companies. Clones share connections.
#[derive(Debug, Clone)]
pub struct Caller(Outward);

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

impl Caller {
    /// Reads the file that the configuration names.
    ///
    /// # Errors
    /// [`OutwardError`].
    pub fn new(config: &Config) -> Result<Self, OutwardError> {
        Outward::new("webhooks", &config.networks, config.ca_file.as_deref(), config.timeout.get()).map(Self)
    }

    /// Says one thing to one program.
    pub async fn call(&self, claimed: &Claimed, secret: &[u8], now: UnixMillis) -> Answer {
        let address = match self.0.address(&claimed.url) {
            Ok(address) => address,
            Err(error) => return Answer::Refused(Cause::of_address(error)),
        };
        let body = body(claimed);
        let Some(headers) = headers(&claimed.call_id, &body, secret, now) else {
            return Answer::Refused(Cause::new(Kind::Other, "the call cannot be signed"));
        };
        match self.0.request(Method::POST, &address).headers(headers).body(body).send().await {
            Ok(response) if response.status().is_success() => Answer::Taken,
            Ok(response) if response.status() == StatusCode::GONE => Answer::Gone,
            Ok(response) => Answer::Refused(Cause::of_status(response.status())),
            Err(error) => Answer::Refused(Cause::of_error(&error)),
        }
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
}
