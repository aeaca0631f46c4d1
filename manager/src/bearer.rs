//! Bearer tokens: 32 bytes that nobody can guess, base64url; the database has only their SHA-256.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::{id::SessionId, ticket::SigningKey};
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

    /// The token of the customer of a session: the same one each time and at every manager, so that an entry whose answer
    /// was lost can be answered again. It comes from the signing key and the session's id.
    pub fn of_customer(key: &SigningKey, session_id: SessionId) -> Self {
        let purpose = [b"uketsuke-customer-token-v1".as_slice(), session_id.as_bytes()].concat();
        let bytes = key.derive(&purpose);
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

    #[test]
    fn a_customer_s_token_is_that_of_one_session_under_one_key() {
        let token = |seed: u8, session: u8| {
            let key = SigningKey::from_seed("test", [seed; 32]).unwrap();
            BearerToken::of_customer(&key, SessionId::from_bytes([session; 16])).reveal().to_owned()
        };

        assert_eq!(token(1, 1).len(), 43);
        assert_eq!(token(1, 1), token(1, 1));
        assert_ne!(token(1, 1), token(1, 2));
        assert_ne!(token(1, 1), token(2, 1));
    }
}
