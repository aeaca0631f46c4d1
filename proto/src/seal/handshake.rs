//! From the secret digits to the keys: SPAKE2, then a confirmation from each side.
//!
//! Walk "a reception number": the hop before is `proto/src/hello.rs` (both sides are at the relay), the hop after is
//! `proto/src/seal/mod.rs` (both sides hold keys).
//!
//! Guarantees: both sides reach [`Step::Done`] only when they hold the same secret, the same session id and the same
//! introduction, and then with the same keys. Whoever stands between them — relay and manager included — gets one
//! guess at the secret per exchange, and a wrong guess is an error that both tools show. A handshake is consumed by
//! each step and by each error, so no step can be taken twice and no exchange continues after a fault.
//! It does not count attempts: that is the manager's and the operator tool's work ([`crate::limits::UNPROVED_MAX`]).
//!
//! Each side sends two payloads in [`FrameType::Prove`](crate::frame::FrameType::Prove) frames, the operator in answer to
//! the customer's first:
//!
//! | step | size | payload |
//! |---|---|---|
//! | element | 34 | `0x01` ‖ `A` (customer) or `B` (operator) ‖ SPAKE2 element 32 |
//! | confirmation | 33 | `0x02` ‖ HMAC-SHA256 32 |
//!
//! SPAKE2 is the one of the crate `spake2` over Ed25519, customer as A. The identity of a side is
//! `"uketsuke prove v1 " ‖ role name ‖ 0x00 ‖ session id 16 ‖ SHA-256(introduction) 32`.
//!
//! ```text
//! transcript = SHA-256(identity A ‖ identity B ‖ element A 33 ‖ element B 33), each with its length (4, LE) in front
//! master     = HKDF-Extract(salt = transcript, SPAKE2 output)
//! confirm(r) = HKDF-Expand(master, "uketsuke v1 confirm " ‖ role name, 32)
//! mac(r)     = HMAC-SHA256(confirm(r), transcript)
//! key(r)     = HKDF-Expand(master, "uketsuke v1 seal " ‖ role name of the sender, 32)
//! safety     = HKDF-Expand(master, "uketsuke v1 safety code", 8), little-endian, modulo 1,000,000
//! rejoin     = HKDF-Expand(master, "uketsuke v1 rejoin", 32)
//! ```
//!
//! What is erased: the master key, every derived key and the SPAKE2 output. The library keeps its scalar and the
//! secret in memory of its own until the first answer; it drops that memory without erasing it.

use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use zeroize::Zeroizing;

use super::{Begin, KEY_LEN, Key, SessionKeys, rejoin::RejoinSecret};
use crate::{close::CloseReason, id::SessionId, role::Role};

/// First byte of a SPAKE2 element.
const STEP_ELEMENT: u8 = 1;
/// First byte of a confirmation.
const STEP_CONFIRMATION: u8 = 2;
/// What both identities begin with when the secret is a number's or a link's.
const LABEL: &[u8] = b"uketsuke prove v1 ";

/// One side of one key exchange. Prints as nothing.
pub struct Handshake {
    role: Role,
    state: State,
}

/// What follows a payload of the other side.
#[derive(Debug)]
pub enum Step {
    /// Send this, then wait for the other side's next payload.
    Continue {
        /// The exchange so far.
        handshake: Handshake,
        /// Payload of the next [`FrameType::Prove`](crate::frame::FrameType::Prove) frame.
        send: Vec<u8>,
    },
    /// Both sides hold the same keys, and know it.
    Done {
        /// The keys.
        keys: SessionKeys,
    },
}

/// Why no key was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// No secret was given; an exchange over nothing would prove nothing.
    #[error("the key exchange needs a secret")]
    EmptySecret,
    /// Not the payload that comes next: wrong step, wrong length, the own role, or no point of the curve.
    #[error("not the next step of the key exchange")]
    Malformed,
    /// The other side holds another secret, session or introduction.
    #[error("the other side does not know the secret")]
    WrongSecret,
}

impl ProveError {
    /// What the peer and the manager are told.
    pub const fn reason(self) -> CloseReason {
        match self {
            Self::EmptySecret | Self::WrongSecret => CloseReason::WrongSecret,
            Self::Malformed => CloseReason::Malformed,
        }
    }
}

enum State {
    /// Own element sent; waits for the other's.
    Element { spake: Box<Spake2<Ed25519Group>>, own: Vec<u8>, identities: [Vec<u8>; 2] },
    /// Own confirmation sent; waits for the other's.
    Confirmation { master: Key, transcript: [u8; 32] },
}

impl Handshake {
    /// Starts an exchange and gives the payload to send first.
    ///
    /// `secret` is the four ASCII digits of the number, or the 16 bytes of a link. `introduction` is the manager's
    /// signed text as it was received, byte by byte.
    ///
    /// # Errors
    /// [`ProveError::EmptySecret`].
    pub fn start(
        role: Role,
        secret: &[u8],
        session_id: SessionId,
        introduction: &str,
        rng: &mut impl CryptoRngCore,
    ) -> Result<(Self, Vec<u8>), ProveError> {
        Self::start_for(LABEL, role, secret, (session_id, introduction), rng)
    }

    /// As [`Self::start`], with another beginning of both identities: an exchange for one purpose is worth nothing for
    /// another.
    pub(super) fn start_for(
        label: &[u8],
        role: Role,
        secret: &[u8],
        (session_id, introduction): (SessionId, &str),
        rng: &mut impl CryptoRngCore,
    ) -> Result<(Self, Vec<u8>), ProveError> {
        if secret.is_empty() {
            return Err(ProveError::EmptySecret);
        }
        let customer = identity(label, Role::Customer, session_id, introduction);
        let operator = identity(label, Role::Operator, session_id, introduction);
        let (password, a, b) = (Password::new(secret), Identity::new(&customer), Identity::new(&operator));
        let (spake, own) = match role {
            Role::Customer => Spake2::start_a_with_rng(&password, &a, &b, rng),
            Role::Operator => Spake2::start_b_with_rng(&password, &a, &b, rng),
        };
        let send = step(STEP_ELEMENT, &own);
        let state = State::Element { spake: Box::new(spake), own, identities: [customer, operator] };
        Ok((Self { role, state }, send))
    }

    /// Takes the payload that the other side sent.
    ///
    /// # Errors
    /// [`ProveError::Malformed`] and [`ProveError::WrongSecret`]; the exchange is over then.
    pub fn on(self, payload: &[u8]) -> Result<Step, ProveError> {
        let role = self.role;
        match (self.state, payload.split_first()) {
            (State::Element { spake, own, identities }, Some((&STEP_ELEMENT, theirs))) => {
                let shared = Zeroizing::new(spake.finish(theirs).map_err(|_not_their_element| ProveError::Malformed)?);
                let transcript = match role {
                    Role::Customer => transcript(&identities, &own, theirs),
                    Role::Operator => transcript(&identities, theirs, &own),
                };
                let (master, _expander) = Hkdf::<Sha256>::extract(Some(&transcript), &shared);
                let master = Zeroizing::new(<[u8; KEY_LEN]>::from(master));
                let send = step(STEP_CONFIRMATION, &confirmation(&master, role, &transcript).finalize().into_bytes());
                Ok(Step::Continue { handshake: Self { role, state: State::Confirmation { master, transcript } }, send })
            }
            (State::Confirmation { master, transcript }, Some((&STEP_CONFIRMATION, mac))) => {
                if mac.len() != 32 {
                    return Err(ProveError::Malformed);
                }
                // Compares in constant time.
                confirmation(&master, role.other(), &transcript)
                    .verify_slice(mac)
                    .map_err(|_different| ProveError::WrongSecret)?;
                Ok(Step::Done { keys: session_keys(&master) })
            }
            (State::Element { .. } | State::Confirmation { .. }, _) => Err(ProveError::Malformed),
        }
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handshake(…)")
    }
}

/// Fills a key from another one; `info` is the concatenation of its parts. The only way keys are derived.
pub(super) fn expand<const N: usize>(key: &[u8; KEY_LEN], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    let filled = Hkdf::<Sha256>::from_prk(key)
        .and_then(|hkdf| hkdf.expand_multi_info(info, out.as_mut_slice()).map_err(|_too_long| hkdf::InvalidPrkLength));
    // Only a mistake of ours can fail here, and then no key is better than a key of zeros.
    assert!(filled.is_ok(), "HKDF-SHA256 takes 32-byte keys and gives up to 8,160 bytes");
    out
}

fn step(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(body.len().saturating_add(1));
    payload.push(kind);
    payload.extend_from_slice(body);
    payload
}

fn identity(label: &[u8], role: Role, session_id: SessionId, introduction: &str) -> Vec<u8> {
    let mut identity = label.to_vec();
    identity.extend_from_slice(role.as_str().as_bytes());
    identity.push(0);
    identity.extend_from_slice(session_id.as_bytes());
    identity.extend_from_slice(&Sha256::digest(introduction.as_bytes()));
    identity
}

fn transcript(identities: &[Vec<u8>; 2], element_a: &[u8], element_b: &[u8]) -> [u8; 32] {
    let [customer, operator] = identities;
    let mut hash = Sha256::new();
    for part in [customer, operator, element_a, element_b] {
        // INVARIANT: identities are under 100 bytes and elements 33.
        hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn confirmation(master: &[u8; KEY_LEN], role: Role, transcript: &[u8; 32]) -> Hmac<Sha256> {
    let key = expand::<KEY_LEN>(master, &[b"uketsuke v1 confirm ", role.as_str().as_bytes()]);
    // HMAC-SHA256 pads a 32-byte key to its 64-byte block; `new` takes that block and cannot fail.
    let mut block = Zeroizing::new([0; 64]);
    let (start, _zeros) = block.split_at_mut(KEY_LEN);
    start.copy_from_slice(&*key);
    let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new((&*block).into());
    mac.update(transcript);
    mac
}

fn session_keys(master: &[u8; KEY_LEN]) -> SessionKeys {
    let key = |role: Role| expand(master, &[b"uketsuke v1 seal ", role.as_str().as_bytes()]);
    let safety = u64::from_le_bytes(*expand(master, &[b"uketsuke v1 safety code"]));
    let rejoin = RejoinSecret::new(expand(master, &[b"uketsuke v1 rejoin"]), safety);
    SessionKeys { customer: key(Role::Customer), operator: key(Role::Operator), rejoin, begin: Begin::AtZero }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::{super::Chain, *};
    use crate::frame::Lane;

    const SESSION: SessionId = SessionId::from_bytes([3; 16]);

    /// Both sides over the same introduction, with the elements they send.
    fn start_both(customer: &[u8], operator: &[u8]) -> [(Handshake, Vec<u8>); 2] {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        [
            Handshake::start(Role::Customer, customer, SESSION, "introduction", &mut rng).unwrap(),
            Handshake::start(Role::Operator, operator, SESSION, "introduction", &mut rng).unwrap(),
        ]
    }

    fn go_on(handshake: Handshake, payload: &[u8]) -> (Handshake, Vec<u8>) {
        match handshake.on(payload).unwrap() {
            Step::Continue { handshake, send } => (handshake, send),
            Step::Done { .. } => panic!("done after one payload"),
        }
    }

    fn finish(handshake: Handshake, payload: &[u8]) -> Result<SessionKeys, ProveError> {
        match handshake.on(payload)? {
            Step::Done { keys } => Ok(keys),
            Step::Continue { .. } => panic!("the confirmation is the last payload"),
        }
    }

    /// Runs both sides to their ends.
    fn run(
        [(customer, element_a), (operator, element_b)]: [(Handshake, Vec<u8>); 2],
    ) -> [Result<SessionKeys, ProveError>; 2] {
        let (customer, confirmation_a) = go_on(customer, &element_b);
        let (operator, confirmation_b) = go_on(operator, &element_a);
        [finish(customer, &confirmation_b), finish(operator, &confirmation_a)]
    }

    fn same_keys(a: &SessionKeys, b: &SessionKeys) -> bool {
        a.customer == b.customer && a.operator == b.operator && a.rejoin.to_bytes() == b.rejoin.to_bytes()
    }

    #[test]
    fn the_same_secret_gives_the_same_keys() {
        let [customer, operator] = run(start_both(b"3381", b"3381")).map(Result::unwrap);
        assert!(same_keys(&customer, &operator));
        assert_ne!(customer.customer, customer.operator, "each direction has its own key");
        let (mut sealer, _) = customer.split(Role::Customer);
        let (_, mut opener) = operator.split(Role::Operator);
        assert_eq!(opener.open(&sealer.seal(Lane::Control, 0, b"hi").unwrap()).unwrap(), b"hi");
    }

    #[test]
    fn another_secret_is_an_error_on_both_sides() {
        assert!(run(start_both(b"3381", b"3382")).iter().all(|end| matches!(end, Err(ProveError::WrongSecret))));
    }

    #[test]
    fn an_empty_secret_starts_nothing() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let started = Handshake::start(Role::Customer, b"", SESSION, "introduction", &mut rng);
        assert_eq!(started.unwrap_err(), ProveError::EmptySecret);
    }

    #[test]
    fn another_introduction_or_session_is_an_error_on_both_sides() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        for (session_id, introduction) in [(SESSION, "introductioN"), (SessionId::from_bytes([4; 16]), "introduction")]
        {
            let [customer, _] = start_both(b"3381", b"3381");
            let operator = Handshake::start(Role::Operator, b"3381", session_id, introduction, &mut rng).unwrap();
            assert!(run([customer, operator]).iter().all(|end| matches!(end, Err(ProveError::WrongSecret))));
        }
    }

    #[test]
    fn an_element_that_comes_back_to_its_sender_is_refused() {
        for (handshake, element) in start_both(b"3381", b"3381") {
            assert_eq!(handshake.on(&element).unwrap_err(), ProveError::Malformed);
        }
    }

    #[test]
    fn a_confirmation_that_comes_back_to_its_sender_is_refused() {
        let [(customer, _), (_, element_b)] = start_both(b"3381", b"3381");
        let (customer, confirmation) = go_on(customer, &element_b);
        assert_eq!(finish(customer, &confirmation).unwrap_err(), ProveError::WrongSecret);
    }

    #[test]
    fn a_payload_of_another_step_is_refused() {
        let [(customer, _), (operator, element_b)] = start_both(b"3381", b"3381");
        assert_eq!(operator.on(&step(STEP_CONFIRMATION, &[0; 32])).unwrap_err(), ProveError::Malformed);
        let (customer, _) = go_on(customer, &element_b);
        assert_eq!(customer.on(&element_b).unwrap_err(), ProveError::Malformed);
    }

    #[test]
    fn errors_name_their_close_reason() {
        assert_eq!(ProveError::WrongSecret.reason(), CloseReason::WrongSecret);
        assert_eq!(ProveError::EmptySecret.reason(), CloseReason::WrongSecret);
        assert_eq!(ProveError::Malformed.reason(), CloseReason::Malformed);
    }

    #[test]
    fn the_key_schedule_is_the_vector() {
        let start = |role, seed| {
            let mut rng = ChaCha20Rng::from_seed([seed; 32]);
            Handshake::start(role, b"3381", SessionId::from_bytes([0x5e; 16]), "introduction", &mut rng).unwrap()
        };
        let ((customer, _), (_, element_b)) = (start(Role::Customer, 1), start(Role::Operator, 2));
        let (customer, _) = go_on(customer, &element_b);
        let State::Confirmation { master, transcript } = customer.state else { panic!("the element was taken") };
        let keys = session_keys(&master);
        let mut chain = Chain::new(&keys.customer, Lane::Input, 1, 0);
        let first = *chain.key;
        chain.advance(Lane::Input);
        let made = format!(
            "transcript = {}\nmaster = {}\nkey_customer = {}\nkey_operator = {}\nsafety = {}\nrejoin = {}\n\
             key_customer_input_0 = {}\nkey_customer_input_1 = {}\n",
            hex::encode(transcript),
            hex::encode(*master),
            hex::encode(*keys.customer),
            hex::encode(*keys.operator),
            keys.rejoin.safety(),
            hex::encode(keys.rejoin.key()),
            hex::encode(first),
            hex::encode(*chain.key),
        );
        let protocol = include_str!("../../PROTOCOL.md");
        let (_, after) = protocol.split_once("```keys\n").unwrap();
        assert!(after.starts_with(&format!("{made}```")), "PROTOCOL.md, block keys, should be:\n{made}");
    }

    #[test]
    fn a_handshake_prints_as_nothing() {
        let [customer, _] = start_both(b"3381", b"3381");
        assert_eq!(format!("{:?}", customer.0), "Handshake(…)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Payloads from both sides, in any order, repeated, altered or invented, delivered to either side: keys are
        /// only ever made from the other side's two true payloads, and then both sides' keys are the same.
        #[test]
        fn random_deliveries_never_make_keys_that_differ(
            secrets in prop_oneof![
                3 => "[0-9]{4}".prop_map(|secret| [secret.clone(), secret]),
                1 => ["[0-9]{4}", "[0-9]{4}"],
            ],
            deliveries in prop::collection::vec((0..2usize, 0..5usize, prop::option::weighted(0.1, any::<usize>())), 0..16),
        ) {
            let [(customer, element_a), (operator, element_b)] = start_both(secrets[0].as_bytes(), secrets[1].as_bytes());
            let mut sides = [Some(customer), Some(operator)];
            let mut sent = vec![element_a, element_b, vec![]];
            let mut keys: [Option<SessionKeys>; 2] = [None, None];
            for (to, what, flip) in deliveries {
                let Some(side) = sides[to].take() else { continue };
                let mut payload = sent[what % sent.len()].clone();
                if let Some(bit) = flip.filter(|_| !payload.is_empty()).map(|bit| bit % (payload.len() * 8)) {
                    payload[bit / 8] ^= 1 << (bit % 8);
                }
                match side.on(&payload) {
                    Ok(Step::Continue { handshake, send }) => {
                        sides[to] = Some(handshake);
                        sent.push(send);
                    }
                    Ok(Step::Done { keys: made }) => keys[to] = Some(made),
                    Err(_) => {}
                }
            }
            if keys.iter().any(Option::is_some) {
                prop_assert_eq!(&secrets[0], &secrets[1]);
            }
            if let [Some(a), Some(b)] = &keys {
                prop_assert!(same_keys(a, b));
            }
        }
    }
}
