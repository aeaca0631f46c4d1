//! The locator in the database: found by its keyed hash, shown again to its operator from its sealed form.
//!
//! Whoever reads the database without the manager's key file learns no digits. Both keys come from the signing key.

use std::sync::Arc;

use chacha20poly1305::{AeadInPlace as _, ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use hmac::{Hmac, Mac as _};
use proto::{id::ReceptionId, number::Locator, ticket::SigningKey};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Digits of a locator.
const DIGITS: usize = 6;
/// Bytes of the authentication tag.
const TAG: usize = 16;

/// Hashes and seals locators. Prints as nothing.
#[derive(Clone)]
pub struct LocatorKey {
    hash: Arc<Zeroizing<[u8; 32]>>,
    seal: Arc<Zeroizing<[u8; 32]>>,
}

impl LocatorKey {
    /// The keys that belong to a signing key.
    pub fn of(key: &SigningKey) -> Self {
        Self {
            hash: Arc::new(key.derive(b"uketsuke-locator-hash-v1")),
            seal: Arc::new(key.derive(b"uketsuke-locator-seal-v1")),
        }
    }

    /// By which a reception is found: 64 hexadecimal digits.
    pub fn mac(&self, locator: Locator) -> String {
        // HMAC takes a key of any length, so there is always one.
        let Ok(mut mac) = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&**self.hash) else { return String::new() };
        mac.update(locator.as_str().as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// What the reception keeps of its digits, hexadecimal; `None` when the library refuses, which nothing causes.
    pub fn seal(&self, locator: Locator, reception_id: ReceptionId) -> Option<String> {
        let mut text = locator.as_str().as_bytes().to_vec();
        let tag = self.cipher().encrypt_in_place_detached(&nonce(reception_id), reception_id.as_bytes(), &mut text);
        text.extend_from_slice(&tag.ok()?);
        Some(hex::encode(text))
    }

    /// The digits again; `None` when they were sealed under another key or for another reception.
    pub fn open(&self, sealed: &str, reception_id: ReceptionId) -> Option<Locator> {
        let mut sealed: [u8; DIGITS + TAG] = hex::decode(sealed).ok()?.try_into().ok()?;
        let (text, tag) = sealed.split_at_mut(DIGITS);
        self.cipher()
            .decrypt_in_place_detached(&nonce(reception_id), reception_id.as_bytes(), text, Tag::from_slice(tag))
            .ok()?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&**self.seal).into())
    }
}

/// A reception is sealed once, so a part of its random id is a nonce that is used once.
fn nonce(reception_id: ReceptionId) -> Nonce {
    let [nonce @ .., _, _, _, _] = *reception_id.as_bytes();
    Nonce::from(nonce)
}

impl std::fmt::Debug for LocatorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocatorKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> LocatorKey {
        LocatorKey::of(&SigningKey::from_seed("test", [seed; 32]).unwrap())
    }

    #[test]
    fn digits_come_back_for_the_same_reception_and_key_only() {
        let locator: Locator = "412905".parse().unwrap();
        let (here, there) = (ReceptionId::from_bytes([1; 16]), ReceptionId::from_bytes([2; 16]));
        let sealed = key(1).seal(locator, here).unwrap();

        assert_eq!(key(1).open(&sealed, here), Some(locator));
        assert_eq!(key(1).open(&sealed, there), None);
        assert_eq!(key(2).open(&sealed, here), None);
        assert_eq!(key(1).open("00", here), None);
    }

    #[test]
    fn hash_and_sealed_form_hold_no_digits() {
        let locator: Locator = "412905".parse().unwrap();
        let mac = key(1).mac(locator);
        assert_eq!(mac, key(1).mac(locator));
        assert_ne!(mac, key(2).mac(locator));
        assert!(!mac.contains(&hex::encode("412905")));
    }
}
