//! What binds a way to a provider and back to one browser: one random text in a cookie, from which the rest is derived.
//!
//! The provider and the address bar see `state`, the provider sees `nonce` and the hash of the verifier, the database has
//! a hash. None of them tells the text, so only the browser that began can come back, and only this server can use the
//! code that it brings. Source: RFC 9700, 2.1.1 and 4.7; RFC 7636; OpenID Connect Core 1.0, 15.5.2.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::bearer::{BearerHash, BearerToken};

/// Characters of the text.
const LEN: usize = 43;

/// The text in the cookie. Prints as nothing.
pub struct FlowSecret(Zeroizing<String>);

impl FlowSecret {
    /// Draws one.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        Self(Zeroizing::new(BearerToken::random(rng).reveal().to_owned()))
    }

    /// Takes what a browser sent.
    pub fn sent(cookie: &str) -> Option<Self> {
        (cookie.len() == LEN).then(|| Self(Zeroizing::new(cookie.to_owned())))
    }

    /// The text itself, for the cookie.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the database has of it.
    pub fn hash(&self) -> BearerHash {
        BearerHash::of(&self.0)
    }

    /// What the provider sends back with the browser.
    pub fn state(&self) -> String {
        self.derive(b"uketsuke-provider-state-v1")
    }

    /// What the provider writes into the token.
    pub fn nonce(&self) -> String {
        self.derive(b"uketsuke-provider-nonce-v1")
    }

    /// What proves to the provider that the code is used by who asked for it.
    pub fn verifier(&self) -> String {
        self.derive(b"uketsuke-provider-verifier-v1")
    }

    /// What the provider hears of the verifier at first (S256).
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier().as_bytes()))
    }

    /// Whether a state that came back belongs to it.
    pub fn has_state(&self, state: &str) -> bool {
        bool::from(self.state().as_bytes().ct_eq(state.as_bytes()))
    }

    fn derive(&self, what_for: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::new_with_prefix(what_for).chain_update(self.0.as_bytes()).finalize())
    }
}

impl std::fmt::Debug for FlowSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FlowSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_core::OsRng;

    use super::*;

    #[test]
    fn what_is_derived_tells_nothing_of_the_rest_and_is_the_same_again() {
        let secret = FlowSecret::random(&mut OsRng);
        let again = FlowSecret::sent(secret.reveal()).unwrap();
        let derived =
            |secret: &FlowSecret| [secret.state(), secret.nonce(), secret.verifier(), secret.challenge()].to_vec();

        assert_eq!(derived(&secret), derived(&again));
        let different: BTreeSet<String> = derived(&secret).into_iter().chain([secret.reveal().to_owned()]).collect();
        assert_eq!(different.len(), 5);
        assert!(different.iter().all(|text| text.len() == LEN), "a verifier has 43 to 128 characters");
        assert!(again.has_state(&secret.state()) && !again.has_state(&FlowSecret::random(&mut OsRng).state()));
        assert!(FlowSecret::sent("").is_none() && FlowSecret::sent(&"a".repeat(44)).is_none());
        assert!(!format!("{secret:?}").contains(secret.reveal()));
    }
}
