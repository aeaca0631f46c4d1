//! Oracles of the key exchange and of the seal: their bytes are scripts of what happens on the way.

use bytes::Bytes;
use proto::{
    frame::{Frame, Lane},
    id::SessionId,
    limits,
    role::Role,
    seal::{
        Copied, Opener, Sealer, SessionKeys,
        handshake::{Handshake, ProveError, Step},
        rejoin::{Answer, Rejoin, RejoinSecret},
    },
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use crate::{lane_of, other_flags};

/// A script of three-byte steps about one sealed direction: what is sealed, and what a relay does to it.
///
/// Step: verb, lane, argument. Verb modulo 8: deliver, drop, repeat, flip a bit, move to another lane, change the
/// flags, hold back until the next frame, throw in the rest of the script as a frame. With 64 in the verb what comes of it
/// comes as a copy over another connection before, with 128 over that one only.
/// Promise: the texts that open on each lane are a beginning of those sealed on it, and none opens after a failure; a copy
/// that does not open is no failure.
pub fn sealed_frame(data: &[u8]) {
    let Some((mut sealer, mut opener)) = one_direction() else { return };
    let mut sealed: [Vec<Vec<u8>>; 4] = Default::default();
    let mut opened: [Vec<Vec<u8>>; 4] = Default::default();
    let mut held = None;
    let mut failed = false;
    let mut rest = data;
    while let Some(([verb, lane, argument], after)) = rest.split_first_chunk::<3>() {
        rest = after;
        let lane = lane_of(*lane);
        let plain = vec![*argument; usize::from(*argument)];
        let Ok(frame) = sealer.seal(lane, 0, &plain) else { continue };
        note(&mut sealed, lane, plain);
        let mut wire: Vec<Frame> = match verb % 8 {
            0 => vec![frame],
            1 => vec![],
            2 => vec![frame.clone(), frame],
            3 => vec![flip(&frame, *argument)],
            4 => vec![Frame { lane: lane_of(lane.code().wrapping_add(1).wrapping_add(argument % 3)), ..frame }],
            5 => vec![Frame { flags: other_flags(frame.flags, *argument), ..frame }],
            6 => held.replace(frame).into_iter().collect(),
            _ => {
                let len = after.len().min(limits::FRAME_PAYLOAD_MAX);
                vec![Frame { payload: Bytes::copy_from_slice(after.split_at(len).0), ..frame }]
            }
        };
        if verb % 8 != 6 {
            wire.extend(held.take());
        }
        for copy in wire.iter().filter(|_| verb & 0xC0 != 0) {
            if opener.copied(copy) == Copied::Due
                && let Ok(plain) = opener.open_copy(copy)
            {
                assert!(!failed, "no copy opens after a failure");
                note(&mut opened, copy.lane, plain);
            }
        }
        for frame in wire.into_iter().filter(|_| verb & 0x80 == 0) {
            if opener.is_stale(&frame) {
                continue;
            }
            match opener.open(&frame) {
                Ok(plain) => {
                    assert!(!failed, "nothing opens after a failure");
                    note(&mut opened, frame.lane, plain);
                }
                Err(_refused) => failed = true,
            }
        }
    }
    for (opened, sealed) in opened.iter().zip(&sealed) {
        assert!(sealed.starts_with(opened), "only a true beginning opens");
    }
}

/// A script of two-byte deliveries between two handshakes: to whom and what, and which bit is flipped (0: none).
///
/// The first byte says whether both sides hold the same secret (even) or not.
/// Promise: keys are made only where the secrets are equal, and then they are equal.
pub fn handshake(data: &[u8]) {
    let Some((first, script)) = data.split_first() else { return };
    let same = first % 2 == 0;
    let mut rng = ChaCha20Rng::from_seed([*first; 32]);
    let secrets: [&[u8]; 2] = if same { [b"3381", b"3381"] } else { [b"3381", b"3382"] };
    let mut sent = Vec::new();
    let mut sides = Vec::new();
    for (role, secret) in [Role::Customer, Role::Operator].into_iter().zip(secrets) {
        let Ok((side, element)) = Handshake::start(role, secret, SESSION_ID, "introduction", &mut rng) else { return };
        sides.push(Some(side));
        sent.push(element);
    }
    let mut codes = Vec::new();
    for delivery in script.chunks_exact(2).take(16) {
        let [what, bit] = *delivery else { continue };
        let Some(side) = sides.get_mut(usize::from(what & 1)).and_then(Option::take) else { continue };
        let place = usize::from(what >> 1).checked_rem(sent.len()).unwrap_or(0);
        let mut payload = sent.get(place).cloned().unwrap_or_default();
        if let Some(byte) = payload.get_mut(usize::from(bit >> 3)).filter(|_| bit != 0) {
            *byte ^= 1 << (bit & 7);
        }
        match side.on(&payload) {
            Ok(Step::Continue { handshake, send }) => {
                sent.push(send);
                if let Some(place) = sides.get_mut(usize::from(what & 1)) {
                    *place = Some(handshake);
                }
            }
            Ok(Step::Done { keys }) => codes.push(keys.safety_code()),
            Err(ProveError::Malformed | ProveError::WrongSecret | ProveError::EmptySecret) => {}
        }
    }
    assert!(codes.is_empty() || same, "no keys without the secret");
    assert!(codes.windows(2).all(|pair| pair.first() == pair.last()), "both sides hold the same keys");
}

/// A script of three-byte steps of a return: to whom, what of all that was said so far, and which bit is flipped (0:
/// none).
///
/// The first byte says whether both sides hold the same secret (even) or not, and who calls. To whom, modulo 4: the
/// caller; who answered last; the other side as a call; the caller's side as a call, which no living tool says.
/// Promise: keys are made only where the secrets are equal; the two of one exchange open each other's frames.
pub fn rejoin(data: &[u8]) {
    let Some((first, script)) = data.split_first() else { return };
    let same = first % 2 == 0;
    let caller = if first & 2 == 0 { Role::Customer } else { Role::Operator };
    let mut rng = ChaCha20Rng::from_seed([*first; 32]);
    let secrets = [7, if same { 7 } else { 8 }].map(|byte| RejoinSecret::from_bytes(&[byte; 40]));
    let [own, others] = &secrets;
    let side = |role, secret| Rejoin { role, session_id: SESSION_ID, introduction: "introduction", secret };
    let Ok((call, called)) = side(caller, own).call(&mut rng) else { return };
    let (mut call, mut answer, mut said) = (Some(call), None, vec![called]);
    let mut made = Vec::new();
    for step in script.chunks_exact(3).take(16) {
        let [to, what, bit] = *step else { continue };
        let place = usize::from(what).checked_rem(said.len()).unwrap_or(0);
        let mut payload = said.get(place).map(|said| said.to_vec()).unwrap_or_default();
        if let Some(byte) = payload.get_mut(usize::from(bit >> 3)).filter(|_| bit != 0) {
            *byte ^= 1 << (bit & 7);
        }
        match to % 4 {
            0 => {
                if let Some(Ok((keys, confirmed))) = call.take().map(|call| call.on(&payload)) {
                    made.push((caller, keys));
                    said.push(confirmed);
                }
            }
            1 => {
                if let Some((role, Ok(keys))) =
                    answer.take().map(|(role, answer): (Role, Answer)| (role, answer.on(&payload)))
                {
                    made.push((role, keys));
                }
            }
            2 | 3 => {
                let (role, secret) = if to % 4 == 2 { (caller.other(), others) } else { (caller, own) };
                if let Ok((new, answered)) = side(role, secret).answer(&payload, &mut rng) {
                    answer = Some((role, new));
                    said.push(answered);
                }
            }
            _ => {}
        }
    }
    assert!(made.is_empty() || same, "no keys without the secret");
    assert!(made.iter().all(|(role, _)| *role == caller) || made.len() == 2, "who only answers needs a caller");
    if let Ok([(caller, keys), (other, others)]) = <[_; 2]>::try_from(made) {
        let ((mut sealer, _), (_, mut opener)) = (keys.split(caller), others.split(other));
        let opened = sealer.seal(Lane::Input, 0, b"x").map(|frame| opener.open(&frame));
        assert!(matches!(opened, Ok(Ok(_))), "both sides hold the same keys");
    }
}

const SESSION_ID: SessionId = SessionId::from_bytes([5; 16]);

/// Keys of both sides after an exchange without faults, always the same ones.
pub(crate) fn agreed() -> Option<(SessionKeys, SessionKeys)> {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let mut start = |role| Handshake::start(role, b"3381", SESSION_ID, "introduction", &mut rng).ok();
    let ((customer, element_a), (operator, element_b)) = (start(Role::Customer)?, start(Role::Operator)?);
    let (
        Ok(Step::Continue { handshake: customer, send: mac_a }),
        Ok(Step::Continue { handshake: operator, send: mac_b }),
    ) = (customer.on(&element_b), operator.on(&element_a))
    else {
        return None;
    };
    match (customer.on(&mac_b), operator.on(&mac_a)) {
        (Ok(Step::Done { keys: a }), Ok(Step::Done { keys: b })) => Some((a, b)),
        _ => None,
    }
}

/// The customer's sealer and the operator's opener.
fn one_direction() -> Option<(Sealer, Opener)> {
    let (customer, operator) = agreed()?;
    let ((sealer, _), (_, opener)) = (customer.split(Role::Customer), operator.split(Role::Operator));
    Some((sealer, opener))
}

fn note(lanes: &mut [Vec<Vec<u8>>; 4], lane: Lane, plain: Vec<u8>) {
    if let Some(texts) = lanes.get_mut(usize::from(lane.code())) {
        texts.push(plain);
    }
}

fn flip(frame: &Frame, bit: u8) -> Frame {
    let mut payload = frame.payload.to_vec();
    let place = usize::from(bit >> 3).checked_rem(payload.len()).unwrap_or(0);
    if let Some(byte) = payload.get_mut(place) {
        *byte ^= 1 << (bit & 7);
    }
    Frame { payload: payload.into(), ..frame.clone() }
}
