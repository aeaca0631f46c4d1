//! A tool that was started again comes back to its session: new keys from a secret that both tools keep.
//!
//! The tool that was started again *calls* over a new connection, the other one *answers*, and the caller *confirms*.
//! It is the exchange of [`super::handshake`] over the [`RejoinSecret`] of the session, with identities of its own, in
//! [`FrameType::Rejoin`](crate::frame::FrameType::Rejoin) frames:
//!
//! | step | size | payload |
//! |---|---|---|
//! | call | 35 | `0x01` ‖ element 34 |
//! | answer | 68 | `0x02` ‖ element 34 ‖ confirmation 33 |
//! | confirmation | 34 | `0x03` ‖ confirmation 33 |
//!
//! The identity of a side is
//! `"uketsuke rejoin v1 by " ‖ role of the caller ‖ " " ‖ role name ‖ 0x00 ‖ session id 16 ‖ SHA-256(introduction) 32`.
//! Its keys are those of the handshake, but that the rejoin secret and the safety code of the session stay, and that
//! each lane counts from `2⁵⁹ + HKDF-Expand(key of the direction, "uketsuke v1 first" ‖ lane, 8) modulo 2⁵⁹`.
//!
//! Guarantees: nobody makes keys who does not hold the secret; both sides draw fresh numbers, so a step from an earlier
//! exchange makes none; only who calls can be answered, so two tools that both live never make new keys, whatever the
//! relay repeats to them; who steals the secret later opens nothing that was sealed before.

use bytes::Bytes;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use super::{
    Begin, KEY_LEN, Key, SessionKeys,
    handshake::{Handshake, ProveError, Step},
};
use crate::{id::SessionId, role::Role};

/// Bytes of a [`RejoinSecret`].
pub const SECRET_LEN: usize = 40;
/// Bytes of an element with its first two.
const ELEMENT_LEN: usize = 34;
/// First byte of a call.
const CALL: u8 = 1;
/// First byte of an answer.
const ANSWER: u8 = 2;
/// First byte of a confirmation.
const CONFIRMATION: u8 = 3;

/// What both tools of a session keep until its end: it opens no frame, and makes new keys with whoever holds it, too.
/// Prints as nothing.
#[derive(Clone)]
pub struct RejoinSecret {
    key: Key,
    /// What the safety code is made of: it stays what the two people compared.
    safety: u64,
}

/// Who rejoins what.
#[derive(Debug, Clone, Copy)]
pub struct Rejoin<'a> {
    /// The side that calls or answers.
    pub role: Role,
    /// The session.
    pub session_id: SessionId,
    /// The manager's signed text, byte by byte.
    pub introduction: &'a str,
    /// The session's secret.
    pub secret: &'a RejoinSecret,
}

/// A call that waits for its answer. Prints as nothing.
pub struct Call {
    handshake: Handshake,
    secret: RejoinSecret,
}

/// An answer that waits for its confirmation. Prints as nothing.
pub struct Answer {
    handshake: Handshake,
    secret: RejoinSecret,
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From a tool that was started again.
    Call,
    /// To such a tool.
    Answer,
    /// The last word of such a tool.
    Confirmation,
}

impl Kind {
    /// What a payload says it is.
    pub const fn of(payload: &[u8]) -> Option<Self> {
        match payload.first() {
            Some(&CALL) => Some(Self::Call),
            Some(&ANSWER) => Some(Self::Answer),
            Some(&CONFIRMATION) => Some(Self::Confirmation),
            Some(_) | None => None,
        }
    }
}

impl RejoinSecret {
    pub(super) const fn new(key: Key, safety: u64) -> Self {
        Self { key, safety }
    }

    /// The secret that [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; SECRET_LEN]) -> Self {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let (first, last) = bytes.split_at(KEY_LEN);
        key.copy_from_slice(first);
        let safety = last.first_chunk::<8>().map_or(0, |safety| u64::from_le_bytes(*safety));
        Self { key, safety }
    }

    /// For the tool's own safe-keeping.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SECRET_LEN]> {
        let mut bytes = Zeroizing::new([0; SECRET_LEN]);
        let (first, last) = bytes.split_at_mut(KEY_LEN);
        first.copy_from_slice(&*self.key);
        last.copy_from_slice(&self.safety.to_le_bytes());
        bytes
    }

    /// The safety code of the session: `123 456`.
    pub fn safety_code(&self) -> String {
        let code = self.safety.rem_euclid(1_000_000);
        format!("{:03} {:03}", code.div_euclid(1000), code.rem_euclid(1000))
    }

    #[cfg(test)]
    pub(super) const fn safety(&self) -> u64 {
        self.safety
    }

    #[cfg(test)]
    pub(super) fn key(&self) -> &[u8; KEY_LEN] {
        &self.key
    }

    /// Keys of an exchange over this secret.
    fn keys(self, made: SessionKeys) -> SessionKeys {
        SessionKeys { rejoin: self, begin: Begin::AtDrawn, ..made }
    }
}

impl Rejoin<'_> {
    /// Calls the other tool; gives the payload to send.
    ///
    /// # Errors
    /// None that a secret of this length can have.
    pub fn call(self, rng: &mut impl CryptoRngCore) -> Result<(Call, Bytes), ProveError> {
        let (handshake, element) = self.start(self.role, rng)?;
        Ok((Call { handshake, secret: self.secret.clone() }, payload(CALL, &[&element])))
    }

    /// Answers a call of the other tool; gives the payload to send.
    ///
    /// # Errors
    /// [`ProveError::Malformed`].
    pub fn answer(self, call: &[u8], rng: &mut impl CryptoRngCore) -> Result<(Answer, Bytes), ProveError> {
        let Some((&CALL, theirs)) = call.split_first() else { return Err(ProveError::Malformed) };
        let (handshake, element) = self.start(self.role.other(), rng)?;
        let (handshake, confirmation) = go_on(handshake, theirs)?;
        let answer = Answer { handshake, secret: self.secret.clone() };
        Ok((answer, payload(ANSWER, &[&element, &confirmation])))
    }

    fn start(self, caller: Role, rng: &mut impl CryptoRngCore) -> Result<(Handshake, Vec<u8>), ProveError> {
        let label: &[u8] = match caller {
            Role::Customer => b"uketsuke rejoin v1 by customer ",
            Role::Operator => b"uketsuke rejoin v1 by operator ",
        };
        Handshake::start_for(label, self.role, &*self.secret.key, (self.session_id, self.introduction), rng)
    }
}

impl Call {
    /// Takes the answer; gives the keys, and the payload that confirms them.
    ///
    /// # Errors
    /// [`ProveError::Malformed`], and [`ProveError::WrongSecret`] when it does not answer this call.
    pub fn on(self, answer: &[u8]) -> Result<(SessionKeys, Bytes), ProveError> {
        let Some((&ANSWER, steps)) = answer.split_first() else { return Err(ProveError::Malformed) };
        let (element, theirs) = steps.split_at_checked(ELEMENT_LEN).ok_or(ProveError::Malformed)?;
        let (handshake, confirmation) = go_on(self.handshake, element)?;
        Ok((self.secret.keys(finish(handshake, theirs)?), payload(CONFIRMATION, &[&confirmation])))
    }
}

impl Answer {
    /// Takes the confirmation; gives the keys.
    ///
    /// # Errors
    /// [`ProveError::Malformed`], and [`ProveError::WrongSecret`] when it does not confirm this answer.
    pub fn on(self, confirmation: &[u8]) -> Result<SessionKeys, ProveError> {
        let Some((&CONFIRMATION, theirs)) = confirmation.split_first() else { return Err(ProveError::Malformed) };
        Ok(self.secret.keys(finish(self.handshake, theirs)?))
    }
}

fn go_on(handshake: Handshake, element: &[u8]) -> Result<(Handshake, Vec<u8>), ProveError> {
    match handshake.on(element)? {
        Step::Continue { handshake, send } => Ok((handshake, send)),
        Step::Done { .. } => Err(ProveError::Malformed),
    }
}

fn finish(handshake: Handshake, confirmation: &[u8]) -> Result<SessionKeys, ProveError> {
    match handshake.on(confirmation)? {
        Step::Done { keys } => Ok(keys),
        Step::Continue { .. } => Err(ProveError::Malformed),
    }
}

fn payload(kind: u8, steps: &[&[u8]]) -> Bytes {
    let mut payload = vec![kind];
    for step in steps {
        payload.extend_from_slice(step);
    }
    payload.into()
}

prints_as_nothing! { RejoinSecret Call Answer }

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;
    use crate::frame::Lane;

    fn secret(byte: u8) -> RejoinSecret {
        RejoinSecret::new(Zeroizing::new([byte; 32]), 1_000_042_007)
    }

    fn side(role: Role, secret: &RejoinSecret) -> Rejoin<'_> {
        Rejoin { role, session_id: SessionId::from_bytes([5; 16]), introduction: "introduction", secret }
    }

    fn rng(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    #[test]
    fn whoever_was_started_again_gets_new_keys_with_the_other_side() {
        let secret = secret(7);
        for caller in [Role::Customer, Role::Operator] {
            let (call, called) = side(caller, &secret).call(&mut rng(1)).unwrap();
            let (answer, answered) = side(caller.other(), &secret).answer(&called, &mut rng(2)).unwrap();
            let (keys, confirmed) = call.on(&answered).unwrap();
            let others = answer.on(&confirmed).unwrap();

            assert_eq!((called.len(), answered.len(), confirmed.len()), (35, 68, 34));
            assert_eq!(keys.safety_code(), "042 007", "what people compared stays");
            assert_eq!(*keys.rejoin_secret().to_bytes(), *secret.to_bytes(), "it can be done again");
            let ((mut sealer, _), (_, mut opener)) = (keys.split(caller), others.split(caller.other()));
            assert_eq!(opener.open(&sealer.seal(Lane::Screen, 0, b"new").unwrap()).unwrap(), b"new");
        }
    }

    #[test]
    fn who_does_not_hold_the_secret_gets_no_keys_and_gives_none() {
        let (ours, theirs) = (secret(7), secret(8));
        let (call, called) = side(Role::Customer, &theirs).call(&mut rng(1)).unwrap();
        let (answer, answered) = side(Role::Operator, &ours).answer(&called, &mut rng(2)).unwrap();

        assert_eq!(call.on(&answered).unwrap_err(), ProveError::WrongSecret);
        let made_up = payload(CONFIRMATION, &[&[2; 33]]);
        assert_eq!(answer.on(&made_up).unwrap_err(), ProveError::WrongSecret);
    }

    #[test]
    fn steps_of_an_earlier_exchange_make_no_keys() {
        let secret = secret(7);
        let (customer, operator) = (side(Role::Customer, &secret), side(Role::Operator, &secret));
        let (call, old_call) = customer.call(&mut rng(1)).unwrap();
        let (_, old_answer) = operator.answer(&old_call, &mut rng(2)).unwrap();
        let (_, old_confirmation) = call.on(&old_answer).unwrap();

        let (answer, _) = operator.answer(&old_call, &mut rng(3)).unwrap();
        assert_eq!(answer.on(&old_confirmation).unwrap_err(), ProveError::WrongSecret);
        let (call, _) = customer.call(&mut rng(4)).unwrap();
        assert_eq!(call.on(&old_answer).unwrap_err(), ProveError::WrongSecret);
    }

    #[test]
    fn two_tools_that_only_answer_never_make_keys() {
        let secret = secret(7);
        let (_, old_call) = side(Role::Customer, &secret).call(&mut rng(1)).unwrap();
        // The relay repeats an old call to the operator, and passes what it answers to the customer as a call.
        let (operator, answered) = side(Role::Operator, &secret).answer(&old_call, &mut rng(2)).unwrap();
        let as_call = payload(CALL, &[&answered[1..=ELEMENT_LEN]]);
        let (customer, answered_again) = side(Role::Customer, &secret).answer(&as_call, &mut rng(3)).unwrap();

        for (side, words) in [(operator, &answered_again), (customer, &answered)] {
            let as_confirmation = payload(CONFIRMATION, &[&words[1 + ELEMENT_LEN..]]);
            assert_eq!(side.on(&as_confirmation).unwrap_err(), ProveError::WrongSecret);
        }
    }

    #[test]
    fn another_session_or_introduction_is_another_exchange() {
        let secret = secret(7);
        let operator = side(Role::Operator, &secret);
        for other in [
            Rejoin { session_id: SessionId::from_bytes([6; 16]), ..side(Role::Customer, &secret) },
            Rejoin { introduction: "introductioN", ..side(Role::Customer, &secret) },
        ] {
            let (call, called) = other.call(&mut rng(1)).unwrap();
            let (_, answered) = operator.answer(&called, &mut rng(2)).unwrap();
            assert_eq!(call.on(&answered).unwrap_err(), ProveError::WrongSecret);
        }
    }

    #[test]
    fn a_secret_survives_its_bytes_and_prints_as_nothing() {
        let secret = secret(9);
        assert_eq!(*RejoinSecret::from_bytes(&secret.to_bytes()).to_bytes(), *secret.to_bytes());
        assert_eq!(format!("{secret:?}"), "RejoinSecret(…)");
    }

    proptest! {
        #[test]
        fn an_altered_step_makes_no_keys(step in 0..3usize, bit: usize) {
            let secret = secret(7);
            let alter = |at: usize, bytes: Bytes| {
                let mut bytes = bytes.to_vec();
                if at == step {
                    let bit = bit % (bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                bytes
            };
            let (call, called) = side(Role::Operator, &secret).call(&mut rng(1)).unwrap();
            let answered = side(Role::Customer, &secret).answer(&alter(0, called), &mut rng(2));
            if let Ok((answer, answered)) = answered
                && let Ok((_, confirmed)) = call.on(&alter(1, answered))
            {
                prop_assert!(answer.on(&alter(2, confirmed)).is_err());
            }
        }
    }
}
