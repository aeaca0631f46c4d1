//! Two sides after a true key exchange, for the other modules.

use bytes::Bytes;
use proto::{
    frame::{FLAG_MORE, Frame, FrameHeader, Lane},
    id::SessionId,
    limits,
    message::Message,
    role::Role,
    seal::{
        Opener, Sealer, SessionKeys,
        handshake::{Handshake, ProveError, Step},
    },
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

/// The session of every test here.
pub(crate) const SESSION_ID: SessionId = SessionId::from_bytes([0x5e; 16]);

/// What both sides sent and reached; customer first.
pub(crate) struct Exchange {
    pub(crate) elements: [Vec<u8>; 2],
    pub(crate) confirmations: [Vec<u8>; 2],
    pub(crate) ends: [Result<SessionKeys, ProveError>; 2],
}

/// Runs a key exchange without faults; the customer draws from seed 1…1, the operator from 2…2.
pub(crate) fn exchange(secrets: [&[u8]; 2], introductions: [&str; 2]) -> Exchange {
    let start = |role, secret, introduction, seed| {
        Handshake::start(role, secret, SESSION_ID, introduction, &mut ChaCha20Rng::from_seed([seed; 32])).unwrap()
    };
    let (customer, element_a) = start(Role::Customer, secrets[0], introductions[0], 1);
    let (operator, element_b) = start(Role::Operator, secrets[1], introductions[1], 2);
    let Step::Continue { handshake: customer, send: mac_a } = customer.on(&element_b).unwrap() else { panic!() };
    let Step::Continue { handshake: operator, send: mac_b } = operator.on(&element_a).unwrap() else { panic!() };
    let end = |side: Handshake, mac: &[u8]| match side.on(mac)? {
        Step::Done { keys } => Ok(keys),
        Step::Continue { .. } => panic!("two payloads are all"),
    };
    let ends = [end(customer, &mac_b), end(operator, &mac_a)];
    Exchange { elements: [element_a, element_b], confirmations: [mac_a, mac_b], ends }
}

/// Sealer and opener of both sides; customer first.
pub(crate) fn sealed_sides() -> [(Sealer, Opener); 2] {
    let [customer, operator] = exchange([b"3381"; 2], ["introduction"; 2]).ends.map(Result::unwrap);
    [customer.split(Role::Customer), operator.split(Role::Operator)]
}

/// Cuts a message into sealed frames of at most `piece` plain bytes, as they stand on the wire.
pub(crate) fn to_wire(sealer: &mut Sealer, message: &Message, piece: usize) -> Vec<u8> {
    let bytes = message.encode().unwrap();
    let mut wire = Vec::new();
    let mut pieces = bytes.chunks(piece.min(limits::SEALED_PLAIN_MAX)).peekable();
    while let Some(plain) = pieces.next() {
        let flags = if pieces.peek().is_some() { FLAG_MORE } else { 0 };
        let frame = sealer.seal(message.lane(), flags, plain).unwrap();
        wire.extend(frame.header().unwrap().to_bytes());
        wire.extend(&frame.payload);
    }
    wire
}

/// Reads messages from the wire, putting their pieces together by lane.
pub(crate) fn from_wire(opener: &mut Opener, mut wire: &[u8]) -> Vec<Message> {
    let mut partial: [Vec<u8>; 4] = Default::default();
    let mut messages = Vec::new();
    while let Some((header, rest)) = wire.split_first_chunk::<{ limits::FRAME_HEADER_LEN }>() {
        let FrameHeader { kind, lane, flags, len } = FrameHeader::parse(*header).unwrap();
        let (payload, rest) = rest.split_at(usize::from(len));
        wire = rest;
        let frame = Frame { kind, lane, flags, payload: Bytes::copy_from_slice(payload) };
        let whole = place(&mut partial, lane);
        whole.extend(opener.open(&frame).unwrap());
        if flags & FLAG_MORE == 0 {
            messages.push(Message::decode(whole, lane).unwrap());
            whole.clear();
        }
    }
    messages
}

fn place(lanes: &mut [Vec<u8>; 4], lane: Lane) -> &mut Vec<u8> {
    &mut lanes[usize::from(lane.code())]
}
