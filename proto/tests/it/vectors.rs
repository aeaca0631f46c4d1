//! The vectors of PROTOCOL.md are what the code makes.
//!
//! When a vector changes on purpose, the failing test prints the block to put into PROTOCOL.md.

use std::fmt::Write as _;

use proto::{
    frame::{FLAG_MORE, FrameHeader, FrameType, Lane},
    grant::GrantKind,
    hello::{Hello, proof_text},
    id::RelayId,
    input::{Input, Key},
    introduction::Introduction,
    message::Message,
    number::ReceptionNumber,
    role::Role,
    seal::rejoin::Rejoin,
    ticket::{ProofKey, SigningKey, Ticket, TicketRelay, proof_holds, proof_key_hash},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use crate::session::{SESSION_ID, exchange};

const PROTOCOL: &str = include_str!("../../PROTOCOL.md");
const NOW_MS: i64 = 1_700_000_000_000;
const EXPORTER: [u8; 32] = [0x22; 32];

/// Lines of the fenced block that begins with `name`.
fn block(name: &str) -> String {
    let fence = format!("```{name}\n");
    let (_, after) = PROTOCOL.split_once(&fence).unwrap_or_else(|| panic!("no block {name} in PROTOCOL.md"));
    after.split_once("```").unwrap().0.to_owned()
}

fn check(name: &str, made: &[(&str, String)]) {
    let mut lines = String::new();
    for (key, value) in made {
        writeln!(lines, "{key} = {value}").unwrap();
    }
    assert!(lines == block(name), "PROTOCOL.md, block {name}, should be:\n{lines}");
}

fn signing_key() -> SigningKey {
    SigningKey::from_seed("vector", [7; 32]).unwrap()
}

fn proof_key() -> ProofKey {
    ProofKey::random(&mut ChaCha20Rng::from_seed([3; 32]))
}

fn ticket() -> Ticket {
    Ticket {
        session_id: SESSION_ID,
        role: Role::Customer,
        proof_key_hash: proof_key_hash(&proof_key().public()),
        relays: vec![TicketRelay { relay_id: RelayId::from_bytes([1; 16]), spki: "cd".repeat(32) }],
        rate_max: 12_500_000,
        issued_at_ms: NOW_MS,
        expires_at_ms: NOW_MS + 3_600_000,
        hard_end_at_ms: NOW_MS + 28_800_000,
    }
}

#[test]
fn tickets_and_introductions_are_the_vectors() {
    let introduction = Introduction {
        session_id: SESSION_ID,
        company_name: "みどり電機サポート".to_owned(),
        operator_name: "佐藤 花子".to_owned(),
        reason: String::new(),
        ceiling: vec![GrantKind::View, GrantKind::Control],
    };
    check(
        "manager",
        &[
            ("public_key", signing_key().verifying_key().to_hex()),
            ("ticket", ticket().sign(&signing_key()).unwrap()),
            ("introduction", introduction.sign(&signing_key()).unwrap()),
        ],
    );
    let text = block("manager");
    let text = text.lines().find_map(|line| line.strip_prefix("ticket = ")).unwrap();
    assert_eq!(Ticket::verify(text, &[signing_key().verifying_key()], NOW_MS), Ok(ticket()));
}

#[test]
fn a_hello_is_the_vector_and_its_proof_holds() {
    let text = ticket().sign(&signing_key()).unwrap();
    let signed = proof_text(&EXPORTER, &text, 1);
    let hello =
        Hello { proof_key: proof_key().public(), generation: 1, signature: proof_key().sign(&signed), ticket: text };
    let frame = hello.to_frame().unwrap();
    let fixed = frame.payload.slice(..101);
    check(
        "hello",
        &[
            ("proof_text", hex::encode(&signed)),
            ("header", hex::encode(frame.header().unwrap().to_bytes())),
            ("before_ticket", hex::encode(fixed)),
        ],
    );
    let read = Hello::parse(&frame.payload).unwrap();
    assert!(proof_holds(&ticket(), &read.proof_key, &signed, &read.signature));
}

#[test]
fn headers_are_the_vectors() {
    let header = |kind, lane, flags, len| hex::encode(FrameHeader { kind, lane, flags, len }.to_bytes());
    check(
        "headers",
        &[
            ("welcome", header(FrameType::Welcome, Lane::Control, 0, 1)),
            ("prove", header(FrameType::Prove, Lane::Control, 0, 34)),
            ("sealed_screen_more", header(FrameType::Sealed, Lane::Screen, FLAG_MORE, 32_768)),
        ],
    );
}

#[test]
fn the_key_exchange_and_the_first_sealed_frames_are_the_vectors() {
    let exchange = exchange([b"3381"; 2], ["introduction"; 2]);
    let [customer, operator] = exchange.ends.map(Result::unwrap);
    let code = customer.safety_code();
    assert_eq!(operator.safety_code(), code);
    let ((mut sealer, _), (_, mut opener)) = (customer.split(Role::Customer), operator.split(Role::Operator));
    let mut sealed = |lane, flags, plain: &[u8]| {
        let frame = sealer.seal(lane, flags, plain).unwrap();
        assert_eq!(opener.open(&frame).unwrap(), plain);
        hex::encode([&frame.header().unwrap().to_bytes(), frame.payload.as_ref()].concat())
    };
    let [element_a, element_b] = exchange.elements.map(hex::encode);
    let [mac_a, mac_b] = exchange.confirmations.map(hex::encode);
    check(
        "prove",
        &[
            ("customer_element", element_a),
            ("operator_element", element_b),
            ("customer_confirmation", mac_a),
            ("operator_confirmation", mac_b),
            ("safety_code", code),
            ("control_0", sealed(Lane::Control, 0, b"hello")),
            ("control_1", sealed(Lane::Control, 0, b"hello")),
            ("screen_0_more", sealed(Lane::Screen, FLAG_MORE, b"")),
        ],
    );
}

#[test]
fn a_rejoin_and_the_first_sealed_frame_after_it_are_the_vectors() {
    let [keys, _] = exchange([b"3381"; 2], ["introduction"; 2]).ends.map(Result::unwrap);
    let secret = keys.rejoin_secret();
    let side = |role| Rejoin { role, session_id: SESSION_ID, introduction: "introduction", secret: &secret };
    let mut rng = [1, 2].map(|seed| ChaCha20Rng::from_seed([seed; 32]));
    let (call, called) = side(Role::Customer).call(&mut rng[0]).unwrap();
    let (answer, answered) = side(Role::Operator).answer(&called, &mut rng[1]).unwrap();
    let (customer, confirmed) = call.on(&answered).unwrap();
    let operator = answer.on(&confirmed).unwrap();
    let ((mut sealer, _), (_, mut opener)) = (customer.split(Role::Customer), operator.split(Role::Operator));
    let frame = sealer.seal(Lane::Control, 0, b"hello").unwrap();
    assert_eq!(opener.open(&frame).unwrap(), b"hello");
    check(
        "rejoin",
        &[
            ("call", hex::encode(called)),
            ("answer", hex::encode(answered)),
            ("confirmation", hex::encode(confirmed)),
            ("control_first", hex::encode([&frame.header().unwrap().to_bytes(), frame.payload.as_ref()].concat())),
        ],
    );
}

#[test]
fn messages_are_the_vectors() {
    let hex = |message: Message| hex::encode(message.encode().unwrap());
    check(
        "messages",
        &[
            ("greeting_1_a", hex(Message::Greeting { version: 1, tool: "a".to_owned() })),
            ("ask_view", hex(Message::Ask { kind: GrantKind::View, reason: String::new() })),
            ("echo_300", hex(Message::Echo { nonce: 300 })),
            ("cursor_position", hex(Message::CursorPosition { x: -1, y: 700, visible: true })),
            ("key_return_down", hex(Message::Input(Input::Key { key: Key(0x28), pressed: true }))),
            ("credit_screen", hex(Message::Credit { lane: Lane::Screen, taken: 65_536 })),
        ],
    );
}

#[test]
fn typed_numbers_are_the_vectors() {
    for line in block("numbers").lines() {
        let (typed, expected) = line.rsplit_once(" = ").unwrap();
        let typed: String = serde_json::from_str(typed).unwrap();
        let read = ReceptionNumber::parse(&typed).map_or("error".to_owned(), |number| number.reveal());
        assert_eq!(read, expected, "{typed:?}");
    }
    assert!(block("numbers").lines().count() > 10);
}
