//! Bearer tokens: 32 random bytes, base64url; the database has only their SHA-256.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// A token as its holder gets it, once. Prints as nothing.
pub struct BearerToken(Zeroizing<String>);

/// What is stored and looked up: 64 hexadecimal digits. Whoever reads it cannot log in with it.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerHash(String);

impl BearerToken {
    /// Draws a token of 43 characters.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
    }

    /// What to store.
    pub fn hash(&self) -> BearerHash {
        BearerHash::of(&self.0)
    }

    /// The token itself, for its holder only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl BearerHash {
    /// The hash of what a caller sent.
    pub fn of(token: &str) -> Self {
        Self(hex::encode(Sha256::digest(token.as_bytes())))
    }

    /// The value of the database column.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

impl fmt::Debug for BearerHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    #[test]
    fn a_token_has_43_characters_and_prints_as_nothing() {
        let token = BearerToken::random(&mut OsRng);

        assert_eq!(token.reveal().len(), 43);
        assert!(!format!("{token:?}{:?}", token.hash()).contains(token.reveal()));
        assert_eq!(token.hash(), BearerHash::of(token.reveal()));
    }
}
