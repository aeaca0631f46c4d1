//! The ID token of a provider: who signed it, for whom, when, and about whom.
//!
//! Signatures are `jsonwebtoken`'s work. The claims are compared here, by the manager's own clock. Source: OpenID Connect
//! Core 1.0, 3.1.3.7; RFC 8725.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use proto::api::UnixMillis;
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

/// Signatures that are taken: none by a secret that two share, and not none.
pub const ALGORITHMS: [(Algorithm, &str); 4] = [
    (Algorithm::RS256, "RS256"),
    (Algorithm::PS256, "PS256"),
    (Algorithm::ES256, "ES256"),
    (Algorithm::EdDSA, "EdDSA"),
];
/// Seconds by which two clocks may differ.
const SKEW_SECS: i64 = 60;
/// Seconds after which a token was not made for this sign-in any more.
const AGE_MAX_SECS: i64 = 10 * 60;
/// Longest name of a person. Source: OpenID Connect Core 1.0, 2.
pub const SUBJECT_LEN_MAX: usize = 255;
/// Keys of a provider that are looked at.
const KEYS_MAX: usize = 100;
/// What of a key is used. Source: RFC 7517, 4; RFC 7518, 6.
const KEY_PARTS: [&str; 9] = ["kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"];
/// Longest part of a key, in bytes. The modulus of the longest RSA keys has 2,731.
const KEY_PART_LEN_MAX: usize = 4096;

/// The keys of a provider that can sign ID tokens.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<Jwk>);

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who made it.
    pub issuer: &'a str,
    /// For whom.
    pub client_id: &'a str,
    /// For which sign-in.
    pub nonce: &'a str,
    /// When.
    pub now: UnixMillis,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no signed token, or its header asks for what is not understood.
    #[error("it is no signed token")]
    Form,
    /// Its signature is of a kind that is not taken.
    #[error("its signature is of a kind that is not taken")]
    Algorithm,
    /// None of the provider's keys is the one that it names.
    #[error("its key is not one of the provider's")]
    Key,
    /// The key did not sign it.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing or of another type.
    #[error("a claim is missing, or is not of its type")]
    Claims,
    /// Another provider made it.
    #[error("its issuer is another one")]
    Issuer,
    /// It is for another service.
    #[error("it is for another client")]
    Audience,
    /// It is too old, or of the future.
    #[error("it is not in force now")]
    Time,
    /// It belongs to another sign-in.
    #[error("it belongs to another sign-in")]
    Nonce,
    /// It names nobody, or by a name that is too long.
    #[error("it names nobody")]
    Subject,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Keys {
    /// Reads a set of keys (RFC 7517, 5); those that sign nothing of ours are left out. `None` when it is no such set.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let Value::Object(mut set) = serde_json::from_slice(body).ok()? else { return None };
        let Value::Array(keys) = set.remove("keys")? else { return None };
        Some(Self(keys.into_iter().take(KEYS_MAX).filter_map(read_key).filter(is_usable).collect()))
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token names; without a name the only one of the algorithm.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Jwk> {
        let mut fitting = self.0.iter().filter(|key| {
            let named = kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid));
            named && fits(key, algorithm)
        });
        let first = fitting.next()?;
        // Two keys and no name: nobody says which is meant.
        fitting.next().is_none().then_some(first)
    }
}

/// A key without what nobody uses of it, such as its certificates.
fn read_key(key: Value) -> Option<Jwk> {
    let Value::Object(mut parts) = key else { return None };
    parts.retain(|name, part| {
        let fits = part.as_str().is_none_or(|part| part.len() <= KEY_PART_LEN_MAX);
        fits && KEY_PARTS.contains(&name.as_str())
    });
    serde_json::from_value(Value::Object(parts)).ok()
}

/// Whether a key can have signed an ID token.
fn is_usable(key: &Jwk) -> bool {
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    signs && ALGORITHMS.into_iter().any(|(algorithm, _)| fits(key, algorithm))
}

/// Whether a key is of the kind that an algorithm needs, and is not meant for another one.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        (_, _) => false,
    };
    let name = ALGORITHMS.into_iter().find(|(known, _)| *known == algorithm).map(|(_, name)| name);
    let meant = key.common.key_algorithm.map(|meant| meant.to_string());
    is_kind && meant.is_none_or(|meant| Some(meant.as_str()) == name)
}

/// Whom a token is about, if it is what it must be.
///
/// # Errors
/// [`TokenError`]; [`TokenError::Key`] and [`TokenError::Signature`] may be over when the keys are fetched anew.
pub fn verify(token: &str, keys: &Keys, expected: Expected<'_>) -> Result<String, TokenError> {
    let header = decode_header(token).map_err(|_no_header| TokenError::Form)?;
    if !ALGORITHMS.into_iter().any(|(algorithm, _)| algorithm == header.alg) {
        return Err(TokenError::Algorithm);
    }
    // A token of another kind, or one that needs an extension to be understood, is not taken for an ID token.
    let is_kind = header.typ.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("JWT"));
    if !is_kind || has_critical(token) {
        return Err(TokenError::Form);
    }
    let key = keys.find(header.kid.as_deref(), header.alg).ok_or(TokenError::Key)?;
    let key = DecodingKey::from_jwk(key).map_err(|_unreadable| TokenError::Key)?;
    let mut validation = Validation::new(header.alg);
    // What the claims must say is compared below, by the manager's clock.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let signed = decode::<Value>(token, &key, &validation).map_err(|_wrong| TokenError::Signature)?;
    let claims: Claims = serde_json::from_value(signed.claims).map_err(|_wrong| TokenError::Claims)?;
    check(claims, expected)
}

/// Whether a header names what must be understood (RFC 7515, 4.1.11). Nothing is.
fn has_critical(token: &str) -> bool {
    let head = token.split('.').next().unwrap_or_default();
    let read = URL_SAFE_NO_PAD.decode(head).ok().and_then(|head| serde_json::from_slice::<Value>(&head).ok());
    read.is_none_or(|head| head.get("crit").is_some())
}

fn check(claims: Claims, expected: Expected<'_>) -> Result<String, TokenError> {
    if claims.iss != expected.issuer {
        return Err(TokenError::Issuer);
    }
    let (is_for_us, is_for_others) = match &claims.aud {
        Audience::One(one) => (one == expected.client_id, false),
        Audience::Several(all) => {
            let ours = |one: &String| one == expected.client_id;
            (all.iter().any(ours), !all.iter().all(ours))
        }
    };
    let by_us = match &claims.azp {
        Some(azp) => azp == expected.client_id,
        // Of several, one asked: it must say who.
        None => !is_for_others,
    };
    if !is_for_us || !by_us {
        return Err(TokenError::Audience);
    }
    let now = expected.now.div_euclid(1000);
    let is_over = claims.exp.saturating_add(SKEW_SECS) <= now;
    let is_early = now.saturating_add(SKEW_SECS) < claims.iat.max(claims.nbf.unwrap_or(claims.iat));
    let is_old = claims.iat.saturating_add(AGE_MAX_SECS).saturating_add(SKEW_SECS) <= now;
    if is_over || is_early || is_old {
        return Err(TokenError::Time);
    }
    let nonce = claims.nonce.unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(TokenError::Nonce);
    }
    let is_shown = claims.sub.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if is_shown && (1..=SUBJECT_LEN_MAX).contains(&claims.sub.len()) {
        Ok(claims.sub)
    } else {
        Err(TokenError::Subject)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: UnixMillis = 1_790_000_000_000;
    const NOW_SECS: i64 = 1_790_000_000;

    fn checked(change: impl FnOnce(&mut Value)) -> Result<String, TokenError> {
        let mut claims = json!({
            "iss": "https://id.example", "sub": "248289761001", "aud": "desk", "exp": NOW_SECS + 300,
            "iat": NOW_SECS, "nonce": "n",
        });
        change(&mut claims);
        let claims = serde_json::from_value(claims).map_err(|_wrong| TokenError::Claims)?;
        check(claims, Expected { issuer: "https://id.example", client_id: "desk", nonce: "n", now: NOW })
    }

    fn with(name: &str, value: Value) -> Result<String, TokenError> {
        checked(|claims| claims[name] = value)
    }

    #[test]
    fn every_claim_is_compared() {
        assert_eq!(checked(|_| {}), Ok("248289761001".to_owned()));
        for (name, value, error) in [
            ("iss", json!("https://id.example/"), TokenError::Issuer),
            ("iss", json!("https://ID.example"), TokenError::Issuer),
            ("aud", json!("other"), TokenError::Audience),
            ("aud", json!([]), TokenError::Audience),
            ("aud", json!(["desk", "other"]), TokenError::Audience),
            ("azp", json!("other"), TokenError::Audience),
            ("exp", json!(NOW_SECS - 60), TokenError::Time),
            ("iat", json!(NOW_SECS + 61), TokenError::Time),
            ("iat", json!(NOW_SECS - 660), TokenError::Time),
            ("nbf", json!(NOW_SECS + 61), TokenError::Time),
            ("nonce", json!("m"), TokenError::Nonce),
            ("nonce", json!(""), TokenError::Nonce),
            ("sub", json!(""), TokenError::Subject),
            ("sub", json!("a\nb"), TokenError::Subject),
            ("sub", json!("a".repeat(256)), TokenError::Subject),
            ("sub", json!(5), TokenError::Claims),
            ("exp", json!("soon"), TokenError::Claims),
        ] {
            assert_eq!(with(name, value.clone()), Err(error), "{name} {value}");
        }
        for name in ["iss", "sub", "aud", "exp", "iat", "nonce"] {
            let error = if name == "nonce" { TokenError::Nonce } else { TokenError::Claims };
            let missing = checked(|claims| {
                claims.as_object_mut().unwrap().remove(name);
            });
            assert_eq!(missing, Err(error), "{name}");
        }
        for (name, value) in [
            ("aud", json!(["desk"])),
            ("azp", json!("desk")),
            ("exp", json!(NOW_SECS - 59)),
            ("iat", json!(NOW_SECS + 60)),
            ("sub", json!("a".repeat(255))),
        ] {
            assert!(with(name, value.clone()).is_ok(), "{name} {value}");
        }
        let both = checked(|claims| {
            claims["aud"] = json!(["other", "desk"]);
            claims["azp"] = json!("desk");
        });
        assert!(both.is_ok());
    }

    #[test]
    fn keys_that_sign_no_id_token_are_left_out() {
        let rsa = |more: Value| {
            let mut key = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "1" });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let count = |keys: Value| Keys::parse(json!({ "keys": keys }).to_string().as_bytes()).map(|keys| keys.0.len());

        assert_eq!(count(json!([rsa(json!({})), rsa(json!({ "use": "sig", "alg": "RS256" }))])), Some(2));
        assert_eq!(count(json!([rsa(json!({ "use": "enc" })), rsa(json!({ "alg": "RS512" }))])), Some(0));
        assert_eq!(count(json!([{ "kty": "oct", "k": "c2VjcmV0" }, { "kty": "new" }, 5])), Some(0));
        assert_eq!(count(json!([{ "kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ" }])), Some(0));
        assert_eq!(count(json!({})), None);
        let long = "A".repeat(KEY_PART_LEN_MAX + 1);
        assert_eq!(count(json!([rsa(json!({ "n": long })), rsa(json!({ "kid": 5 }))])), Some(0));
        let chain = json!({ "keys": [rsa(json!({ "x5c": [long], "x5u": "https://id.example", "more": [1] }))] });
        let Keys(keys) = Keys::parse(chain.to_string().as_bytes()).unwrap();
        assert!(keys[0].common.x509_chain.is_none() && keys[0].common.x509_url.is_none());
        assert!(Keys::parse(b"[]").is_none() && Keys::parse(b"{").is_none());
    }
}
