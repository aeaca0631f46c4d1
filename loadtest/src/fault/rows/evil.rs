//! F25: what a bad relay and a bad manager try is not accepted, a million times.
//!
//! The relay's frames go to the seal itself, because a session ends with the first one. A few sessions of honest tools
//! go on meanwhile.
//! Whole sessions with a bad relay are in `tests/evil_relay.rs`.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use proto::{
    frame::{Frame, Lane},
    id::SessionId,
    role::Role,
    seal::{
        Opener, Sealer, SessionKeys,
        handshake::{Handshake, Step},
    },
};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use rand_core::OsRng;

use crate::fault::{Call, crowd::Load, relays::Plan, score::Outcome, trial::Trial};

/// Tampered frames for one repeat.
const FRAMES: u32 = 100_000;
/// The same in the short form.
const FRAMES_QUICK: u32 = 20_000;
/// One pairing with somebody in the middle for so many frames.
const FRAMES_PER_PAIRING: u32 = 200;
/// After so many tampered frames the true one is opened.
const TRUE_EVERY: u32 = 16;
/// Sessions of honest tools meanwhile.
const SESSIONS: usize = 4;
/// Bytes of a plain message at the most.
const PLAIN_MAX: usize = 512;

/// F25: tampered frames and pairings with a stranger in the middle.
pub(super) async fn evil(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start_with(call, Plan::of(2, false, call.seed), Load::of(SESSIONS)).await?;
    let outcome = &mut trial.outcome;
    let frames = if call.is_quick { FRAMES_QUICK } else { FRAMES * call.repeat };
    let seed = call.seed;
    let (tampered, paired) = tokio::task::spawn_blocking(move || {
        anyhow::Ok((tampered_frames(frames, seed)?, strangers(frames / FRAMES_PER_PAIRING, seed)?))
    })
    .await??;
    for (name, Tried { tried, accepted }) in [("frames", tampered), ("pairings", paired)] {
        outcome.note(format!("{name}: {tried} tried, {accepted} accepted"));
        outcome.bad_inputs = outcome.bad_inputs.saturating_add(tried);
        outcome.bad_accepted = outcome.bad_accepted.saturating_add(accepted);
        outcome.must(accepted == 0, || format!("{accepted} bad {name} were accepted"));
    }
    outcome.faults = 2;
    trial.finish().await
}

#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    tried: u64,
    accepted: u64,
}

/// Frames that a relay altered, moved, cut, lengthened, repeated, held back or took from elsewhere.
fn tampered_frames(count: u32, seed: u64) -> Result<Tried> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut sealer, mut opener) = seals(1)?;
    let (mut elsewhere, _) = seals(2)?;
    let mut tried = Tried::default();
    let mut earlier: Vec<Frame> = Vec::new();
    while tried.tried < u64::from(count) {
        let lane = Lane::ALL[random.random_range(0..Lane::ALL.len())];
        let mut plain = vec![0; random.random_range(1..PLAIN_MAX)];
        random.fill_bytes(&mut plain);
        let frame = sealer.seal(lane, 0, &plain)?;
        let foreign = elsewhere.seal(lane, 0, &plain)?;
        for _ in 0..TRUE_EVERY {
            let bad = tamper(&frame, &foreign, &earlier, &mut random);
            if bad == frame {
                continue;
            }
            tried.tried += 1;
            // A seal that was broken once opens nothing more, so each frame is tried on a seal of its own.
            tried.accepted += u64::from(opener.clone().open(&bad).is_ok());
        }
        // The harness itself loses nothing.
        let opened = opener.open(&frame).context("a true frame does not open any more")?;
        if opened != plain {
            bail!("a true frame opened to something else");
        }
        earlier.push(frame);
        if 64 < earlier.len() {
            earlier.remove(random.random_range(0..64));
        }
    }
    Ok(tried)
}

fn tamper(frame: &Frame, foreign: &Frame, earlier: &[Frame], random: &mut StdRng) -> Frame {
    let payload = |change: &mut dyn FnMut(&mut Vec<u8>)| {
        let mut bytes = frame.payload.to_vec();
        change(&mut bytes);
        Frame { payload: Bytes::from(bytes), ..frame.clone() }
    };
    match random.random_range(0..7) {
        0 => {
            let bit = random.random_range(0..8 * frame.payload.len());
            payload(&mut |bytes| bytes[bit / 8] ^= 1 << (bit % 8))
        }
        1 => {
            let len = random.random_range(0..frame.payload.len());
            payload(&mut |bytes| bytes.truncate(len))
        }
        2 => {
            let byte = random.random();
            payload(&mut |bytes| bytes.push(byte))
        }
        3 => Frame { lane: Lane::ALL[random.random_range(0..Lane::ALL.len())], ..frame.clone() },
        4 => Frame { flags: random.random(), ..frame.clone() },
        5 if !earlier.is_empty() => earlier[random.random_range(0..earlier.len())].clone(),
        5 | 6 => foreign.clone(),
        _ => frame.clone(),
    }
}

/// A bad manager and a bad relay together play each tool the other one, with a guess of the secret or with other names.
fn strangers(count: u32, seed: u64) -> Result<Tried> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut tried = Tried::default();
    for index in 0..count {
        let secret = format!("{:04}", random.random_range(0..10_000));
        let names = format!("operator {index} of company {}", random.random::<u32>());
        let (guess, told) = if index % 2 == 0 {
            (format!("{:04}", random.random_range(0..10_000)), names.clone())
        } else {
            (secret.clone(), format!("{names}, another"))
        };
        if guess == secret && told == names {
            continue;
        }
        tried.tried += 1;
        let honest = (secret.as_bytes(), names.as_str());
        tried.accepted += u64::from(keys(honest, (guess.as_bytes(), &told), index)?.is_some());
    }
    Ok(tried)
}

/// The keys of both sides, when both believe each other.
fn keys(customer: (&[u8], &str), operator: (&[u8], &str), session: u32) -> Result<Option<(SessionKeys, SessionKeys)>> {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&session.to_le_bytes());
    let begin = |role, (secret, names): (&[u8], &str)| {
        Handshake::start(role, secret, SessionId::from_bytes(id), names, &mut OsRng)
    };
    let (customer, from_customer) = begin(Role::Customer, customer)?;
    let (operator, from_operator) = begin(Role::Operator, operator)?;
    let (Ok(customer), Ok(operator)) = (customer.on(&from_operator), operator.on(&from_customer)) else {
        return Ok(None);
    };
    let (Step::Continue { handshake: customer, send: from_customer }, Step::Continue { handshake: operator, send }) =
        (customer, operator)
    else {
        bail!("a key exchange has two steps");
    };
    Ok(match (customer.on(&send), operator.on(&from_customer)) {
        (Ok(Step::Done { keys: customer }), Ok(Step::Done { keys: operator })) => Some((customer, operator)),
        (Ok(_), Ok(_)) => bail!("a key exchange has two steps"),
        (Err(_), _) | (_, Err(_)) => None,
    })
}

/// The customer's seal and the operator's key to it.
fn seals(session: u32) -> Result<(Sealer, Opener)> {
    let same = (b"3381".as_slice(), "the same names");
    let (customer, operator) = keys(same, same, session)?.context("two honest sides do not believe each other")?;
    Ok((customer.split(Role::Customer).0, operator.split(Role::Operator).1))
}
