//! Forms: read only when they come from a page of this site in the hands of who was shown it.
//!
//! Three walls: browsers say where a form comes from (`Sec-Fetch-Site`, else `Origin`); a cookie of another site's form
//! is not sent (`SameSite`); and every form carries a token that only a page of the same login can know.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, Method, header},
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{cookie, problem::Problem};

/// The field with the token.
pub const TOKEN: &str = "csrf";
/// Header with the token, for scripts.
const TOKEN_HEADER: &str = "x-csrf-token";
/// Begins what is hashed, so that the token is nothing else's hash.
const DOMAIN: &[u8] = b"uketsuke-form-v1";

/// The fields of a form that was sent by a page of ours.
#[derive(Debug, Clone, Copy)]
pub struct Form<T>(pub T);

/// A form with a button and nothing else.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Pressed {}

/// The token for the forms of a login, or of a visit: whoever knows the cookie knows it, and nobody else.
pub fn token(cookie: &str) -> String {
    hex::encode(Sha256::new_with_prefix(DOMAIN).chain_update(cookie.as_bytes()).finalize())
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_ours(request.headers()) {
            return Err(Problem::Forged);
        }
        let headers = request.headers().clone();
        let in_header = request.headers().get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Bytes::from_request(request, state).await.map_err(|_too_large| Problem::TooLarge)?;
        let pairs: Vec<(String, String)> =
            serde_html_form::from_bytes(&body).map_err(|_unreadable| Problem::BadForm)?;
        let in_form = pairs.into_iter().find(|(name, _)| name == TOKEN).map(|(_, value)| value);
        let sent = in_header.or(in_form).unwrap_or_default();
        if !is_known(&headers, &sent) {
            return Err(Problem::Stale);
        }
        serde_html_form::from_bytes(&body).map(Self).map_err(|_unreadable| Problem::BadForm)
    }
}

/// Whether a request that changes something comes from this site. Source: Fetch Metadata, `Sec-Fetch-Site`; RFC 6454.
pub fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text(header::ORIGIN.as_str())) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text(header::HOST.as_str())
        }
        (None, None) => true,
    }
}

/// Whether a method changes nothing.
pub const fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a token is that of a login or of a visit whose cookie came with it.
pub(super) fn is_known(headers: &HeaderMap, sent: &str) -> bool {
    tokens(headers).iter().any(|known| bool::from(known.as_bytes().ct_eq(sent.as_bytes())))
}

/// The tokens that the cookies of a request stand for.
fn tokens(headers: &HeaderMap) -> Vec<String> {
    let names = [cookie::LOGIN, cookie::SYSTEM, cookie::VISIT];
    names.into_iter().filter_map(|name| cookie::find(headers, name)).map(token).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn from(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        is_ours(&headers)
    }

    #[test]
    fn a_form_of_another_site_is_not_ours() {
        assert!(from(&[("sec-fetch-site", "same-origin"), ("origin", "https://x.example")]));
        assert!(!from(&[("sec-fetch-site", "cross-site")]));
        assert!(!from(&[("sec-fetch-site", "same-site")]));
        assert!(from(&[("host", "a.example"), ("origin", "https://a.example")]));
        assert!(!from(&[("host", "a.example"), ("origin", "https://b.example")]));
        assert!(!from(&[("host", "a.example"), ("origin", "null")]));
    }

    #[test]
    fn a_token_belongs_to_one_cookie() {
        assert_eq!(token("a"), token("a"));
        assert_ne!(token("a"), token("b"));
    }
}
