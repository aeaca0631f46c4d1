//! Seals columns that nobody may read from the database alone: secrets of the second factor, keys of webhooks.
//!
//! The key comes from the manager's signing key, which is in a file and never in the database.

use std::sync::Arc;

use chacha20poly1305::{AeadInPlace as _, ChaCha20Poly1305, KeyInit as _, Nonce};
use proto::ticket::SigningKey;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

/// Bytes of a nonce.
const NONCE: usize = 12;

/// Seals and opens. Prints as nothing.
#[derive(Clone)]
pub struct ColumnKey(Arc<Zeroizing<[u8; 32]>>);

impl ColumnKey {
    /// The key that belongs to a signing key.
    pub fn of(key: &SigningKey) -> Self {
        Self(Arc::new(key.derive(b"uketsuke-column-seal-v1")))
    }

    /// The value of a column, hexadecimal. `place` says whose it is and what for: in another place it does not open.
    ///
    /// `None` when the library refuses, which nothing causes.
    pub fn seal(&self, plain: &[u8], place: &str, rng: &mut impl CryptoRngCore) -> Option<String> {
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let mut sealed = plain.to_vec();
        self.cipher().encrypt_in_place(&Nonce::from(nonce), place.as_bytes(), &mut sealed).ok()?;
        Some(format!("{}{}", hex::encode(nonce), hex::encode(sealed)))
    }

    /// The plain bytes again; `None` when they were sealed under another key, for another place, or are damaged.
    pub fn open(&self, sealed: &str, place: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = hex::decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        self.cipher().decrypt_in_place(&Nonce::from(*nonce), place.as_bytes(), &mut *plain).ok()?;
        Some(plain)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&**self.0).into())
    }
}

impl std::fmt::Debug for ColumnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ColumnKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    #[test]
    fn a_column_opens_in_its_place_and_under_its_key_only() {
        let key = |seed: u8| ColumnKey::of(&SigningKey::from_seed("test", [seed; 32]).unwrap());
        let sealed = key(1).seal(b"secret", "totp:a", &mut OsRng).unwrap();

        assert_eq!(key(1).open(&sealed, "totp:a").unwrap().as_slice(), b"secret");
        assert!(key(1).open(&sealed, "totp:b").is_none());
        assert!(key(2).open(&sealed, "totp:a").is_none());
        assert!(key(1).open("00", "totp:a").is_none());
        assert_ne!(key(1).seal(b"secret", "totp:a", &mut OsRng).unwrap(), sealed);
    }
}
