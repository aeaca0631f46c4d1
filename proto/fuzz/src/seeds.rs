//! The inputs to begin with: true ones of every kind, always the same bytes.
//!
//! `cargo run -p uketsuke-proto-fuzz --example seeds` writes them into `proto/fuzz/corpus`. Inputs that broke us once
//! are added to the corpus by hand, under a name that says what broke.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use proto::{
    close::CloseReason,
    frame::{FLAG_MORE, Frame, FrameType, Lane},
    grant::GrantKind,
    hello::{Hello, RelayWord, proof_text},
    id::{RelayId, SessionId},
    input::{Button, Input, Key},
    introduction::Introduction,
    message::{Message, Monitor, ScreenAck},
    proxied,
    role::Role,
    screen::{Damage, EncodeOptions, Encoder, PictureRef, cursor::CursorShape},
    ticket::{ProofKey, SigningKey, Ticket, TicketError, TicketRelay, proof_key_hash},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

/// The time at which the tickets of the corpus admit.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Folder of the corpus.
    pub target: &'static str,
    /// Name of the file.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The key that signs the tickets of the corpus.
///
/// # Errors
/// None for this seed.
pub fn signing_key() -> Result<SigningKey, TicketError> {
    SigningKey::from_seed("fuzz", [7; 32])
}

/// Every seed.
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, name: &str, bytes: Vec<u8>| seeds.push(Seed { target, name: name.to_owned(), bytes });
    for (name, bytes) in frames() {
        add("frame", name, bytes);
    }
    for (name, text) in texts() {
        let hello = Hello { proof_key: [3; 32], generation: 1, signature: [4; 64], ticket: text.clone() };
        if let Ok(frame) = hello.to_frame() {
            add("hello", name, frame.payload.to_vec());
        }
        add("ticket", name, text.into_bytes());
    }
    for (name, script) in SEAL_SCRIPTS {
        add("sealed_frame", name, script.to_vec());
    }
    for (name, script) in HANDSHAKE_SCRIPTS {
        add("handshake", name, script.to_vec());
    }
    for (name, script) in REJOIN_SCRIPTS {
        add("rejoin", name, script.to_vec());
    }
    for (name, typed) in NUMBERS {
        add("number", name, typed.as_bytes().to_vec());
    }
    for (place, message) in messages().iter().enumerate() {
        let Ok(bytes) = message.encode() else { continue };
        let name = format!("{place:02}");
        if message.lane() == Lane::Input {
            add("input", &name, bytes.clone());
        }
        add("message", &name, [&[message.lane().code()], bytes.as_slice()].concat());
    }
    for (name, header) in proxy_headers() {
        add("proxy_v2", name, header);
    }
    for (name, bytes) in streams() {
        add("frame_reader", name, bytes);
    }
    for (name, script) in RECORD_SCRIPTS {
        add("record", name, script.to_vec());
    }
    for (name, bytes) in first_words() {
        add("pre_ticket", name, bytes);
    }
    for (name, pieces) in lanes() {
        add("streams", name, pieces);
    }
    for (name, updates) in screens() {
        add("screen_update", name, updates);
    }
    seeds
}

const SEAL_SCRIPTS: &[(&str, &[u8])] = &[
    ("clean", &[0, 0, 3, 0, 1, 0, 0, 2, 200, 0, 3, 1, 0, 0, 9]),
    ("drop", &[0, 0, 1, 1, 0, 2, 0, 0, 3]),
    ("repeat", &[0, 1, 1, 2, 1, 2, 0, 1, 3]),
    ("flip_sequence", &[3, 0, 8, 0, 0, 1]),
    ("flip_body", &[3, 2, 90, 0, 2, 1]),
    ("other_lane", &[0, 2, 1, 4, 2, 0, 0, 2, 1]),
    ("other_flags", &[5, 3, 0, 0, 3, 1]),
    ("reorder", &[6, 0, 1, 0, 0, 2, 0, 0, 3]),
    ("copies", &[64, 1, 1, 64, 1, 2, 0, 1, 3, 128, 1, 4, 0, 1, 5, 67, 1, 20]),
    ("copy_twice", &[64, 1, 1, 66, 1, 2, 0, 1, 3]),
    ("thrown_in", &[7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]),
];

/// Even bytes: to the operator when odd, and which payload (`what >> 1`).
const HANDSHAKE_SCRIPTS: &[(&str, &[u8])] = &[
    ("clean", &[0, 2, 0, 1, 0, 6, 0, 5, 0]),
    ("wrong_secret", &[1, 2, 0, 1, 0, 6, 0, 5, 0]),
    ("reflected", &[0, 0, 0, 3, 0]),
    ("confirmation_first", &[0, 1, 0, 4, 0]),
    ("own_confirmation", &[0, 2, 0, 4, 0]),
    ("altered_element", &[0, 2, 77, 1, 0]),
    ("altered_confirmation", &[0, 2, 0, 1, 0, 6, 20, 5, 0]),
    ("twice", &[0, 2, 0, 2, 0, 1, 0, 1, 0]),
];

/// First byte as in the oracle, then three bytes a step.
const REJOIN_SCRIPTS: &[(&str, &[u8])] = &[
    ("clean", &[0, 2, 0, 0, 0, 1, 0, 1, 2, 0]),
    ("operator_calls", &[2, 2, 0, 0, 0, 1, 0, 1, 2, 0]),
    ("other_secret", &[1, 2, 0, 0, 0, 1, 0, 1, 2, 0]),
    ("called_twice", &[0, 2, 0, 0, 2, 0, 0, 0, 1, 0, 1, 3, 0]),
    ("two_that_answer", &[0, 2, 0, 0, 3, 1, 9, 1, 2, 0]),
    ("altered_answer", &[0, 2, 0, 0, 0, 1, 44, 1, 1, 0]),
    ("altered_confirmation", &[0, 2, 0, 0, 0, 1, 0, 1, 2, 99]),
];

/// Cipher, length of the pieces, then two bytes a step.
const RECORD_SCRIPTS: &[(&str, &[u8])] = &[
    ("clean", &[0, 200, 0, 1, 0, 0, 0, 255, 2, 0]),
    ("rekeyed", &[1, 7, 0, 3, 1, 0, 0, 4, 1, 0, 0, 5]),
    ("flip_header", &[2, 64, 0, 3, 3, 25, 0, 4, 0, 5]),
    ("flip_body", &[0, 64, 0, 3, 3, 99, 0, 4]),
    ("lost", &[1, 0, 0, 3, 4, 0, 0, 4, 0, 5]),
    ("repeated", &[2, 255, 5, 0, 0, 3, 0, 4]),
    ("reordered", &[0, 1, 6, 0, 0, 3, 0, 4]),
    ("thrown_in", &[0, 16, 0, 3, 7, 8, 23, 3, 3, 0, 3, 1, 2, 3]),
    ("too_long", &[0, 16, 7, 6, 23, 3, 3, 255, 255, 1]),
];

const NUMBERS: &[(&str, &str)] = &[
    ("plain", "4129053381"),
    ("grouped", "412-905-3381"),
    ("locator", "412905"),
    ("spaces", " 412 905\u{3000}3381\r\n"),
    ("full_width", "４１２－９０５－３３８１"),
    ("long_vowel_mark", "412ー905ー3381"),
    ("invisible", "\u{FEFF}412\u{200B}905-3381"),
    ("too_long", "412-905-33811"),
    ("letters", "412-905-33B1"),
    ("other_digits", "٤١٢٩٠٥٣٣٨١"),
    ("empty", ""),
];

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let word = |word: RelayWord| wire(&word.to_frame());
    let plain = |kind, payload: &'static [u8]| {
        Frame::plain(kind, Bytes::from_static(payload)).map(|frame| wire(&frame)).unwrap_or_default()
    };
    let sealed = |lane, flags, len: usize| {
        Frame::sealed(lane, flags, Bytes::from(vec![0xee; len])).map(|frame| wire(&frame)).unwrap_or_default()
    };
    vec![
        ("welcome", word(RelayWord::Welcome { peer_present: true })),
        ("refused", word(RelayWord::Refused(CloseReason::TicketExpired))),
        ("peer", [word(RelayWord::PeerPresent), word(RelayWord::PeerGone(CloseReason::PeerLost))].concat()),
        ("ping_pong", [plain(FrameType::Ping, &[1; 8]), plain(FrameType::Pong, &[1; 8])].concat()),
        ("prove", plain(FrameType::Prove, &[1; 34])),
        ("sealed", [sealed(Lane::Screen, FLAG_MORE, 300), sealed(Lane::Input, 0, 24)].concat()),
        ("short_payload", sealed(Lane::Bulk, 0, 100).split_at(50).0.to_vec()),
        ("unknown_type", vec![0x7f, 0, 0, 0, 0]),
        ("too_long", vec![0x11, 0, 0, 1, 0x80]),
    ]
}

/// Frames in pieces: bound, number of lengths, lengths, stream.
fn streams() -> Vec<(&'static str, Vec<u8>)> {
    let all: Vec<u8> = frames().into_iter().take(6).flat_map(|(_, bytes)| bytes).collect();
    let stream = |head: &[u8], bytes: &[u8]| [head, bytes].concat();
    vec![
        ("at_once", stream(&[0, 0], &all)),
        ("byte_by_byte", stream(&[0, 1, 1], &all)),
        ("odd_pieces", stream(&[0, 3, 5, 0, 2], &all)),
        ("short_bound", stream(&[1, 1, 9], &all)),
        ("cut_off", stream(&[0, 1, 4], all.split_last().map_or(&[], |(_, rest)| rest))),
        ("unknown_type", stream(&[0, 1, 2], &[0x7f, 0, 0, 0, 0])),
    ]
}

/// Streams of a connection, in pieces: bound, then stream, length and bytes of each.
fn lanes() -> Vec<(&'static str, Vec<u8>)> {
    let sealed = |lane, len: usize| {
        Frame::sealed(lane, 0, Bytes::from(vec![0xee; len])).map(|frame| wire(&frame)).unwrap_or_default()
    };
    let piece = |stream: u8, bytes: &[u8]| [&[stream, u8::try_from(bytes.len()).unwrap_or(0)], bytes].concat();
    let opened = [piece(0, &[0]), piece(1, &[1]), piece(2, &[2]), piece(3, &[3])].concat();
    let run = |bound: u8, pieces: &[Vec<u8>]| [&[bound], pieces.concat().as_slice()].concat();
    let (control, screen) = (sealed(Lane::Control, 24), sealed(Lane::Screen, 90));
    let (begun, rest) = screen.split_at(40);
    let later = 0x80;
    vec![
        ("opened", run(0, std::slice::from_ref(&opened))),
        ("other_order", run(0, &[piece(5, &[3]), piece(2, &[1]), piece(7, &[0]), piece(0, &[2])])),
        ("first_byte_with_frame", run(0, &[piece(0, &[&[2], screen.as_slice()].concat())])),
        ("interleaved", run(0, &[opened.clone(), piece(2, begun), piece(0, &control), piece(2, rest)])),
        ("urgent_first", run(0, &[opened.clone(), piece(2 | later, &screen), piece(0, &control)])),
        ("cut_off", run(0, &[opened.clone(), piece(2, begun)])),
        ("short_bound", run(1, &[opened.clone(), piece(3, &[0x11, 3, 0, 0xff, 0x7f])])),
        ("other_lane", run(0, &[opened.clone(), piece(1, &control)])),
        ("malformed", run(0, &[opened.clone(), piece(0, &[0x7f, 0, 0, 0, 0])])),
        ("fifth", run(0, &[opened, piece(4, &[0])])),
        ("again", run(0, &[piece(0, &[1]), piece(1, &[1])])),
        ("no_lane", run(0, &[piece(0, &[4])])),
    ]
}

/// A hello that admits, as it is, in pieces, and altered.
fn first_words() -> Vec<(&'static str, Vec<u8>)> {
    let Some(hello) = true_hello() else { return Vec::new() };
    let bytes = wire_of(&hello);
    let raw = |lengths: &[u8]| [&[0, u8::try_from(lengths.len()).unwrap_or(0)], lengths, bytes.as_slice()].concat();
    vec![
        ("admitted", raw(&[])),
        ("in_pieces", raw(&[1, 30, 2])),
        ("untouched", vec![1]),
        ("other_version", vec![1, 5, 0, 1]),
        ("other_key", vec![1, 9, 0, 1]),
        ("other_generation", vec![1, 38, 0, 1]),
        ("other_signature", vec![1, 50, 0, 1]),
        ("other_ticket", vec![1, 130, 0, 1]),
        ("not_a_hello", vec![0, 0, 0x11, 2, 0, 1, 0, 9]),
        ("too_long", vec![0, 0, 0x01, 0, 0, 0xff, 0x7f]),
    ]
}

/// What a connection of the corpus is bound to.
pub const EXPORTER: [u8; 32] = [3; 32];
/// The relay of the corpus, as tickets name it.
pub const SPKI: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
/// The session of the corpus.
pub const SESSION_ID: SessionId = SessionId::from_bytes([5; 16]);

/// A hello that [`SPKI`] admits on the connection [`EXPORTER`], always the same one.
pub fn true_hello() -> Option<Hello> {
    let proof_key = ProofKey::random(&mut ChaCha20Rng::from_seed([9; 32]));
    let ticket = Ticket {
        session_id: SESSION_ID,
        role: Role::Customer,
        proof_key_hash: proof_key_hash(&proof_key.public()),
        relays: vec![TicketRelay { relay_id: RelayId::from_bytes([1; 16]), spki: SPKI.to_owned() }],
        rate_max: 12_500_000,
        issued_at_ms: NOW_MS,
        expires_at_ms: NOW_MS.saturating_add(3_600_000),
        hard_end_at_ms: NOW_MS.saturating_add(28_800_000),
    };
    let ticket = ticket.sign(&signing_key().ok()?).ok()?;
    let signature = proof_key.sign(&proof_text(&EXPORTER, &ticket, 1));
    Some(Hello { proof_key: proof_key.public(), generation: 1, signature, ticket })
}

/// The frame of a hello, as it goes over the wire.
pub fn wire_of(hello: &Hello) -> Vec<u8> {
    hello.to_frame().map(|frame| wire(&frame)).unwrap_or_default()
}

fn wire(frame: &Frame) -> Vec<u8> {
    let header = frame.header().map(|header| header.to_bytes().to_vec()).unwrap_or_default();
    [header.as_slice(), frame.payload.as_ref()].concat()
}

/// Texts signed by the manager, and some that only look like it.
fn texts() -> Vec<(&'static str, String)> {
    let Ok(key) = signing_key() else { return Vec::new() };
    let ticket = |role, relays: u8| Ticket {
        session_id: SESSION_ID,
        role,
        proof_key_hash: "ab".repeat(32),
        relays: (0..relays)
            .map(|n| TicketRelay { relay_id: RelayId::from_bytes([n; 16]), spki: "cd".repeat(32) })
            .collect(),
        rate_max: 12_500_000,
        issued_at_ms: NOW_MS,
        expires_at_ms: NOW_MS.saturating_add(3_600_000),
        hard_end_at_ms: NOW_MS.saturating_add(28_800_000),
    };
    let late = Ticket { expires_at_ms: 0, ..ticket(Role::Operator, 1) };
    let introduction = Introduction {
        session_id: SESSION_ID,
        company_name: "みどり電機サポート".to_owned(),
        operator_name: "佐藤 花子".to_owned(),
        reason: "印刷できない".to_owned(),
        ceiling: vec![GrantKind::View, GrantKind::Control],
    };
    let signed = |ticket: Ticket| ticket.sign(&key).unwrap_or_default();
    vec![
        ("customer", signed(ticket(Role::Customer, 2))),
        ("operator", signed(ticket(Role::Operator, 4))),
        ("no_relay", signed(ticket(Role::Operator, 0))),
        ("expired", signed(late)),
        ("introduction", introduction.sign(&key).unwrap_or_default()),
        ("other_version", "v3.public.e30".to_owned()),
        ("short", "v4.public.AAAA.ZnV6eg".to_owned()),
    ]
}

/// One message of every kind, in the order of their indices, then more inputs.
fn messages() -> Vec<Message> {
    let monitor = Monitor { id: 1, x: -1280, y: 0, width: 1280, height: 800, name: "HDMI-1".to_owned(), primary: true };
    let shape = CursorShape { width: 2, height: 2, hot_x: 1, hot_y: 0, bgra: vec![0x80; 16] };
    let kind = GrantKind::Control;
    vec![
        Message::Greeting { version: 1, tool: "uketsuke-client 0.1.0".to_owned() },
        Message::Ask { kind, reason: "設定を直します".to_owned() },
        Message::Granted { kind },
        Message::Refused { kind, timed_out: true },
        Message::TakenBack { kind },
        Message::Paused { paused: true },
        Message::End { reason: CloseReason::OperatorEnded },
        Message::Echo { nonce: 300 },
        Message::Echoed { nonce: u64::MAX },
        Message::Monitors { monitors: vec![monitor.clone(), Monitor { id: 2, primary: false, ..monitor }], shared: 1 },
        Message::ChooseMonitor { monitor: 2 },
        Message::ResetScreen,
        Message::Check { update: 9, hash: 0x0123_4567_89ab_cdef },
        Message::Checked { update: 9, exact: false },
        Message::CursorShape(shape),
        Message::CursorPosition { x: -1, y: 700, visible: true },
        Message::Input(Input::Pointer { monitor: 1, x: 640, y: 400 }),
        Message::Screen(vec![1, 2, 3]),
        Message::ScreenAck(ScreenAck { update: 9, bytes_total: 70_000, decode_us: 1_500 }),
        Message::Credit { lane: Lane::Screen, taken: 1 << 40 },
        Message::Input(Input::Button { button: Button::Right, pressed: true }),
        Message::Input(Input::Wheel { dx: 0, dy: -3 }),
        Message::Input(Input::Key { key: Key(0x28), pressed: true }),
        Message::Input(Input::Text("こんにちは".to_owned())),
        Message::Input(Input::ReleaseAll),
    ]
}

/// What load balancers say, and what only looks like it.
fn proxy_headers() -> Vec<(&'static str, Vec<u8>)> {
    let address = |ip: [u16; 8], port| SocketAddr::new(IpAddr::from(ip).to_canonical(), port);
    let ipv4 = [0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0207];
    let ipv6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7];
    let of_ipv4 = proxied::header(address(ipv4, 40_000), address(ipv4, 443));
    let of_ipv6 = proxied::header(address(ipv6, 40_000), address(ipv6, 443));
    let with = |mut header: Vec<u8>, place: usize, value: u8, extras: &[u8]| {
        header.extend(extras);
        if let Some(byte) = header.get_mut(place) {
            *byte = value;
        }
        header
    };
    vec![
        ("local", with(of_ipv4.clone(), 12, 0x20, &[])),
        ("unnamed", with(of_ipv4.clone(), 13, 0, &[])),
        ("datagram", with(of_ipv4.clone(), 13, 0x12, &[])),
        ("extras", with(of_ipv4.clone(), 15, 20, &[4, 0, 5, 0, 0, 0, 0, 0])),
        ("extras_cut_off", with(of_ipv4.clone(), 15, 20, &[4, 0, 9, 0, 0, 0, 0, 0])),
        ("more_behind", with(of_ipv4.clone(), 12, 0x21, b"\x16\x03\x01")),
        ("too_long", with(of_ipv4.clone(), 14, 0xff, &[])),
        ("version_1", b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n".to_vec()),
        ("ipv4", of_ipv4),
        ("ipv6", of_ipv6),
    ]
}

/// Runs of updates of a small screen: flat, text-like, scrolled, resized.
fn screens() -> Vec<(&'static str, Vec<u8>)> {
    let run = |pictures: &[(u16, u16, Vec<u8>)]| {
        let mut encoder = Encoder::new(EncodeOptions::default());
        let mut bytes = Vec::new();
        for (width, height, bgrx) in pictures {
            let stride = usize::from(*width).saturating_mul(4);
            let picture = PictureRef { width: *width, height: *height, stride, bgrx };
            let Ok(Some(update)) = encoder.encode(picture, Damage::Unknown) else { continue };
            bytes.extend(u16::try_from(update.bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend(update.bytes);
        }
        bytes
    };
    let flat = (96, 80, vec![0x40; 96 * 80 * 4]);
    let lines = |shift: u32| (96, 80, pixels(96, 80, |x, y| ((x * 7) ^ ((y + shift) * 13)) & 0xff));
    let small = (3, 2, pixels(3, 2, |x, y| x + y));
    vec![
        ("flat", run(std::slice::from_ref(&flat))),
        ("text", run(&[flat.clone(), lines(0)])),
        ("scrolled", run(&[lines(0), lines(8), lines(16)])),
        ("resized", run(&[lines(0), small.clone(), flat])),
        ("tiny", run(&[small])),
        ("empty", vec![]),
    ]
}

fn pixels(width: u32, height: u32, value: impl Fn(u32, u32) -> u32) -> Vec<u8> {
    let value = &value;
    let pixel = |y| move |x| u8::try_from(value(x, y) & 0xff).unwrap_or(0);
    (0..height).flat_map(|y| (0..width).map(pixel(y))).flat_map(|level| [level, level, level, 0]).collect()
}
