//! The ticket: admission of one tool to one session at the relays it names.
//!
//! A ticket is PASETO v4.public (Ed25519): signed by the manager, checked by relays with public keys only.
//! Footer: the key's name. Implicit assertion: [`ASSERTION`]. Claims are JSON, see [`Ticket`]; they hold no name,
//! number or address. A ticket alone admits nobody: the bearer must also prove the key whose hash it names
//! (`proto/src/hello.rs`). Claims that this version does not know are ignored.
//! Source: PASETO specification, version 4.

use ed25519_compact::{KeyPair, PublicKey, SecretKey, Seed, Signature};
use hkdf::Hkdf;
use pasetors::{
    Public,
    keys::{AsymmetricPublicKey, AsymmetricSecretKey},
    token::UntrustedToken,
    version4::{PublicToken, V4},
};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    api::UnixMillis,
    id::{RelayId, SessionId},
    limits,
    role::Role,
};

/// Bound into every signature, so that no other token of the same key is a ticket.
pub const ASSERTION: &[u8] = b"uketsuke-ticket-v1";

/// The claims of a ticket. Their names in JSON are short, so that four relays fit [`limits::TICKET_LEN_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The session.
    #[serde(rename = "sid")]
    pub session_id: SessionId,
    /// Which side its bearer is.
    pub role: Role,
    /// SHA-256 of the bearer's proof key, hexadecimal.
    #[serde(rename = "pkh")]
    pub proof_key_hash: String,
    /// The relays, in the order in which they are tried; at most [`limits::TICKET_RELAYS_MAX`].
    #[serde(rename = "rel")]
    pub relays: Vec<TicketRelay>,
    /// Bytes per second the relay forwards from this side.
    #[serde(rename = "rate")]
    pub rate_max: u64,
    /// When it was made.
    #[serde(rename = "iat")]
    pub issued_at_ms: UnixMillis,
    /// When it stops admitting.
    #[serde(rename = "exp")]
    pub expires_at_ms: UnixMillis,
    /// When the session ends, whatever is renewed.
    #[serde(rename = "end")]
    pub hard_end_at_ms: UnixMillis,
}

/// A relay in a ticket. In JSON it is an array of its two fields, for the ticket's length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(RelayId, String)", into = "(RelayId, String)")]
pub struct TicketRelay {
    /// Its id.
    pub relay_id: RelayId,
    /// SHA-256 of its certificate's public key, hexadecimal.
    pub spki: String,
}

/// Why a text is not a ticket that admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Too long, or not in the form of a ticket.
    #[error("not a ticket")]
    Malformed,
    /// The footer names a key that is not known.
    #[error("the ticket's key is not known")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the ticket's signature is wrong")]
    Signature,
    /// Its time is over, or has not begun.
    #[error("the ticket's time is over or has not begun")]
    Time,
}

/// Signs tickets and introductions. Lives in the manager.
pub struct SigningKey {
    key_id: String,
    secret: AsymmetricSecretKey<V4>,
    public: [u8; 32],
}

/// The public half of a [`SigningKey`], with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    key_id: String,
    public: [u8; 32],
}

/// The Ed25519 key by which a tool proves that a ticket is its own; drawn for one session, or by
/// the customer's tool for the number that it enters.
pub struct ProofKey(KeyPair);

impl From<(RelayId, String)> for TicketRelay {
    fn from((relay_id, spki): (RelayId, String)) -> Self {
        Self { relay_id, spki }
    }
}

impl From<TicketRelay> for (RelayId, String) {
    fn from(relay: TicketRelay) -> Self {
        (relay.relay_id, relay.spki)
    }
}

impl Ticket {
    /// Signs the ticket.
    ///
    /// # Errors
    /// [`TicketError::Malformed`] when it would be longer than [`limits::TICKET_LEN_MAX`] or names too many relays.
    pub fn sign(&self, key: &SigningKey) -> Result<String, TicketError> {
        if limits::TICKET_RELAYS_MAX < self.relays.len() {
            return Err(TicketError::Malformed);
        }
        let text = key.sign(self, ASSERTION)?;
        if text.len() <= limits::TICKET_LEN_MAX { Ok(text) } else { Err(TicketError::Malformed) }
    }

    /// Checks a ticket against the known keys and the time.
    ///
    /// # Errors
    /// See [`TicketError`]. Length and form are checked before any cryptography.
    pub fn verify(text: &str, keys: &[VerifyingKey], now_ms: UnixMillis) -> Result<Self, TicketError> {
        if limits::TICKET_LEN_MAX < text.len() {
            return Err(TicketError::Malformed);
        }
        let ticket: Self = verify_token(text, keys, ASSERTION)?;
        if limits::TICKET_RELAYS_MAX < ticket.relays.len() {
            return Err(TicketError::Malformed);
        }
        let skew = i64::try_from(limits::CLOCK_SKEW_MAX.as_millis()).unwrap_or(0);
        let begun = ticket.issued_at_ms <= now_ms.saturating_add(skew);
        let alive = now_ms < ticket.expires_at_ms.saturating_add(skew) && now_ms < ticket.hard_end_at_ms;
        if begun && alive { Ok(ticket) } else { Err(TicketError::Time) }
    }

    /// Reads the claims without the signature: enough for the tool that the ticket was given to over TLS.
    ///
    /// # Errors
    /// [`TicketError::Malformed`].
    pub fn read(text: &str) -> Result<Self, TicketError> {
        if limits::TICKET_LEN_MAX < text.len() {
            return Err(TicketError::Malformed);
        }
        let token = UntrustedToken::<Public, V4>::try_from(text).map_err(|_bad_form| TicketError::Malformed)?;
        serde_json::from_slice(token.untrusted_payload()).map_err(|_bad_claims| TicketError::Malformed)
    }
}

impl SigningKey {
    /// Makes the key for a 32-byte seed; the seed is the secret to keep.
    ///
    /// # Errors
    /// [`TicketError::Malformed`] when the library refuses the key, which no seed causes.
    pub fn from_seed(key_id: impl Into<String>, seed: [u8; 32]) -> Result<Self, TicketError> {
        let pair = KeyPair::from_seed(Seed::new(seed));
        let secret = AsymmetricSecretKey::from(pair.sk.as_ref()).map_err(|_refused| TicketError::Malformed)?;
        Ok(Self { key_id: key_id.into(), secret, public: *pair.pk })
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { key_id: self.key_id.clone(), public: self.public }
    }

    /// A secret for another purpose, which tells nothing of this key: HKDF-SHA-256 with `purpose` as its info.
    pub fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        // 32 bytes is a length that HKDF-SHA-256 always gives.
        let expanded = Hkdf::<Sha256>::new(None, self.secret.as_bytes()).expand(purpose, &mut *secret);
        debug_assert!(expanded.is_ok());
        secret
    }

    /// Signs any claims under an assertion of their own.
    pub(crate) fn sign<T: Serialize>(&self, claims: &T, assertion: &[u8]) -> Result<String, TicketError> {
        let message = serde_json::to_vec(claims).map_err(|_not_json| TicketError::Malformed)?;
        PublicToken::sign(&self.secret, &message, Some(self.key_id.as_bytes()), Some(assertion))
            .map_err(|_refused| TicketError::Malformed)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl VerifyingKey {
    /// Reads a public key in the form of the API.
    ///
    /// # Errors
    /// [`TicketError::Malformed`] when `public_key` is not 64 hexadecimal digits.
    pub fn from_hex(key_id: impl Into<String>, public_key: &str) -> Result<Self, TicketError> {
        let mut public = [0; 32];
        hex::decode_to_slice(public_key, &mut public).map_err(|_not_hex| TicketError::Malformed)?;
        Ok(Self { key_id: key_id.into(), public })
    }

    /// The key's name.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key as 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.public)
    }
}

/// Checks the signature of a token of this project and reads its claims.
pub(crate) fn verify_token<T: for<'de> Deserialize<'de>>(
    text: &str,
    keys: &[VerifyingKey],
    assertion: &[u8],
) -> Result<T, TicketError> {
    let token = UntrustedToken::<Public, V4>::try_from(text).map_err(|_bad_form| TicketError::Malformed)?;
    let key =
        keys.iter().find(|key| key.key_id.as_bytes() == token.untrusted_footer()).ok_or(TicketError::UnknownKey)?;
    let public = AsymmetricPublicKey::<V4>::from(&key.public).map_err(|_bad_key| TicketError::UnknownKey)?;
    let trusted = PublicToken::verify(&public, &token, Some(key.key_id.as_bytes()), Some(assertion))
        .map_err(|_wrong| TicketError::Signature)?;
    serde_json::from_str(trusted.payload()).map_err(|_bad_claims| TicketError::Malformed)
}

impl ProofKey {
    /// Draws a new key.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self(KeyPair::from_seed(Seed::new(seed)))
    }

    /// The key of a seed that [`Self::seed`] gave.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(KeyPair::from_seed(Seed::new(*seed)))
    }

    /// What the key is made of, for the tool's own safe-keeping.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.0.sk.seed())
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        *self.0.pk
    }

    /// The public half as the API wants it: 64 hexadecimal digits.
    pub fn public_hex(&self) -> String {
        hex::encode(self.public())
    }

    /// Signs [`crate::hello::proof_text`] or [`crate::api::reception::entry_text`].
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        let secret: &SecretKey = &self.0.sk;
        *secret.sign(text, None)
    }
}

impl std::fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProofKey(…)")
    }
}

/// The value of [`Ticket::proof_key_hash`] for a proof key.
pub fn proof_key_hash(proof_key: &[u8; 32]) -> String {
    hex::encode(Sha256::digest(proof_key))
}

/// Whether `signature` over `text` was made by `proof_key`, and the ticket names that key.
pub fn proof_holds(ticket: &Ticket, proof_key: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    ticket.proof_key_hash == proof_key_hash(proof_key) && signed_by(proof_key, text, signature)
}

/// Whether `signature` over `text` was made by `proof_key`.
pub fn signed_by(proof_key: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    PublicKey::new(*proof_key).verify(text, &Signature::new(*signature)).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;
    use crate::introduction::{self, Introduction};

    const HOUR_MS: i64 = 3_600_000;
    const NOW_MS: i64 = 1_700_000_000_000;

    fn ticket(relays: u8) -> Ticket {
        Ticket {
            session_id: SessionId::from_bytes([0xa5; 16]),
            role: Role::Customer,
            proof_key_hash: "ab".repeat(32),
            relays: (0..relays)
                .map(|n| TicketRelay { relay_id: RelayId::from_bytes([n; 16]), spki: "cd".repeat(32) })
                .collect(),
            rate_max: u64::MAX,
            issued_at_ms: NOW_MS,
            expires_at_ms: NOW_MS + HOUR_MS,
            hard_end_at_ms: NOW_MS + 8 * HOUR_MS,
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_seed("key-2026-01", [7; 32]).unwrap()
    }

    #[test]
    fn a_ticket_with_all_its_relays_fits_and_is_read_as_it_was_signed() {
        let full = ticket(4);
        assert_eq!(full.relays.len(), limits::TICKET_RELAYS_MAX);
        let text = full.sign(&key()).unwrap();
        assert!(text.len() <= limits::TICKET_LEN_MAX, "{} bytes", text.len());
        assert_eq!(Ticket::verify(&text, &[key().verifying_key()], NOW_MS), Ok(full));
        assert_eq!(ticket(5).sign(&key()), Err(TicketError::Malformed));
    }

    #[test]
    fn a_ticket_admits_only_in_its_time() {
        let skew = i64::try_from(limits::CLOCK_SKEW_MAX.as_millis()).unwrap();
        let text = ticket(1).sign(&key()).unwrap();
        let at = |now_ms| Ticket::verify(&text, &[key().verifying_key()], now_ms).err();
        assert_eq!(at(NOW_MS - skew - 1), Some(TicketError::Time));
        assert_eq!(at(NOW_MS - skew), None);
        assert_eq!(at(NOW_MS + HOUR_MS + skew - 1), None);
        assert_eq!(at(NOW_MS + HOUR_MS + skew), Some(TicketError::Time));
        let ends_early = Ticket { hard_end_at_ms: NOW_MS + 1, ..ticket(1) }.sign(&key()).unwrap();
        assert!(Ticket::verify(&ends_early, &[key().verifying_key()], NOW_MS).is_ok());
        assert_eq!(
            Ticket::verify(&ends_early, &[key().verifying_key()], NOW_MS + 1),
            Err(TicketError::Time),
            "no skew widens the hard end"
        );
    }

    #[test]
    fn a_ticket_of_an_unknown_or_another_key_is_refused() {
        let text = ticket(1).sign(&key()).unwrap();
        let other_name = SigningKey::from_seed("other", [7; 32]).unwrap().verifying_key();
        let other_key = SigningKey::from_seed("key-2026-01", [8; 32]).unwrap().verifying_key();
        assert_eq!(Ticket::verify(&text, &[], NOW_MS), Err(TicketError::UnknownKey));
        assert_eq!(Ticket::verify(&text, std::slice::from_ref(&other_name), NOW_MS), Err(TicketError::UnknownKey));
        assert_eq!(Ticket::verify(&text, &[other_name, other_key], NOW_MS), Err(TicketError::Signature));
    }

    #[test]
    fn an_introduction_is_no_ticket_and_a_ticket_no_introduction() {
        let introduction = Introduction {
            session_id: SessionId::from_bytes([1; 16]),
            company_name: String::new(),
            operator_name: String::new(),
            reason: String::new(),
            ceiling: vec![],
        };
        let keys = [key().verifying_key()];
        let text = introduction.sign(&key()).unwrap();
        assert_eq!(Ticket::verify(&text, &keys, NOW_MS), Err(TicketError::Signature));
        let text = ticket(1).sign(&key()).unwrap();
        assert_eq!(Introduction::verify(&text, &keys), Err(TicketError::Signature));
        assert_ne!(ASSERTION, introduction::ASSERTION);
    }

    #[test]
    fn a_verifying_key_is_read_as_it_was_written() {
        let verifying = key().verifying_key();
        assert_eq!(VerifyingKey::from_hex(verifying.key_id(), &verifying.to_hex()), Ok(verifying));
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(66)] {
            assert_eq!(VerifyingKey::from_hex("k", wrong), Err(TicketError::Malformed));
        }
    }

    #[test]
    fn only_the_tool_that_the_ticket_names_can_prove_it() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (own, other) = (ProofKey::random(&mut rng), ProofKey::random(&mut rng));
        let ticket = Ticket { proof_key_hash: proof_key_hash(&own.public()), ..ticket(1) };
        let text = crate::hello::proof_text(&[3; 32], "ticket", 1);
        assert!(proof_holds(&ticket, &own.public(), &text, &own.sign(&text)));
        assert!(!proof_holds(&ticket, &other.public(), &text, &other.sign(&text)));
        assert!(!proof_holds(&ticket, &own.public(), &text, &other.sign(&text)));
        let elsewhere = crate::hello::proof_text(&[4; 32], "ticket", 1);
        assert!(!proof_holds(&ticket, &own.public(), &elsewhere, &own.sign(&text)));
    }

    #[test]
    fn keys_print_as_nothing() {
        assert_eq!(
            format!("{:?} {:?}", ProofKey::random(&mut ChaCha20Rng::from_seed([1; 32])), key()),
            "ProofKey(…) SigningKey(…)"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_changed_ticket_is_never_accepted(at: usize, with in "[A-Za-z0-9_.-]") {
            let text = ticket(2).sign(&key()).unwrap();
            let mut changed = text.clone();
            let at = at % text.len();
            changed.replace_range(at..=at, &with);
            let verified = Ticket::verify(&changed, &[key().verifying_key()], NOW_MS);
            prop_assert!(verified.is_err() || changed == text);
        }

        #[test]
        fn any_text_is_a_ticket_or_an_error(text in ".{0,60}", tail in "(v4\\.public\\.)?[A-Za-z0-9_-]{0,200}(\\.[A-Za-z0-9_-]{0,20})?") {
            let keys = [key().verifying_key()];
            prop_assert!(Ticket::verify(&text, &keys, NOW_MS).is_err());
            prop_assert!(Ticket::verify(&tail, &keys, NOW_MS).is_err());
        }
    }
}
