//! Oracles: one function for each thing that a stranger can send, over arbitrary bytes.
//!
//! An oracle panics when the protocol breaks a promise: when bytes that were accepted do not survive writing and
//! reading, when something opens that was never sealed, when keys differ, or when anything of ours panics itself.
//! `proto/fuzz/tests/replay.rs` feeds them the corpus and seeded mutations of it; `proto/fuzz/libfuzzer` feeds them
//! with coverage guidance. A new target is a function here, its name in [`TARGETS`], seeds in [`seeds`], a folder of
//! the corpus and a file in `libfuzzer/fuzz_targets`.

mod keys;
pub mod seeds;
mod streams;
mod wire;

use bytes::Bytes;
use proto::{
    frame::{FLAG_MORE, Frame, FrameHeader, FrameType, Lane},
    hello::{Hello, RelayWord},
    introduction::Introduction,
    limits,
    message::Message,
    number::{Locator, ReceptionNumber},
    proxied::{self, OPENING_LEN, Proxied, ProxiedError},
    screen::Decoder,
    ticket::Ticket,
};

pub use keys::{handshake, rejoin, sealed_frame};
pub use streams::streams;
pub use wire::{frame_reader, pre_ticket, record};

/// Judges any bytes; panics when a promise is broken.
pub type Oracle = fn(&[u8]);

/// Every oracle with the name of its corpus folder.
pub const TARGETS: &[(&str, Oracle)] = &[
    ("frame", frame),
    ("hello", hello),
    ("ticket", ticket),
    ("sealed_frame", sealed_frame),
    ("screen_update", screen_update),
    ("input", input),
    ("number", number),
    ("message", message),
    ("handshake", handshake),
    ("rejoin", rejoin),
    ("proxy_v2", proxy_v2),
    ("frame_reader", frame_reader),
    ("record", record),
    ("pre_ticket", pre_ticket),
    ("streams", streams),
];

/// A stream of frames, as a relay reads it.
pub fn frame(data: &[u8]) {
    let mut rest = data;
    while let Some((header, after)) = rest.split_first_chunk::<{ limits::FRAME_HEADER_LEN }>() {
        let Ok(parsed) = FrameHeader::parse(*header) else { return };
        assert_eq!(parsed.to_bytes(), *header, "a header is written as it was read");
        let Some((payload, after)) = after.split_at_checked(usize::from(parsed.len)) else { return };
        let payload = Bytes::copy_from_slice(payload);
        let made = match parsed.kind {
            FrameType::Sealed => Frame::sealed(parsed.lane, parsed.flags, payload),
            FrameType::Hello
            | FrameType::Welcome
            | FrameType::Refused
            | FrameType::PeerPresent
            | FrameType::PeerGone
            | FrameType::Ping
            | FrameType::Pong
            | FrameType::Goaway
            | FrameType::Resume
            | FrameType::Rejoin
            | FrameType::Prove => Frame::plain(parsed.kind, payload),
        };
        assert_eq!(made.as_ref().map(Frame::header), Ok(Ok(parsed)), "what was read can be written");
        if let Some((word, frame)) = made.ok().and_then(|frame| RelayWord::parse(&frame).map(|word| (word, frame))) {
            assert_eq!(RelayWord::parse(&word.to_frame()), Some(word), "a relay's word is read as it is said");
            assert_eq!(word.to_frame().kind, frame.kind);
        }
        rest = after;
    }
}

/// The payload of a hello.
pub fn hello(data: &[u8]) {
    if let Ok(hello) = Hello::parse(data) {
        assert!(hello.ticket.len() <= limits::TICKET_LEN_MAX);
        assert_eq!(hello.to_frame().map(|frame| frame.payload), Ok(Bytes::copy_from_slice(data)));
    }
}

/// A ticket or an introduction in its text form.
pub fn ticket(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(key) = seeds::signing_key() else { return };
    let keys = [key.verifying_key()];
    if let Ok(ticket) = Ticket::verify(text, &keys, seeds::NOW_MS) {
        let again = ticket.sign(&key).and_then(|text| Ticket::verify(&text, &keys, seeds::NOW_MS));
        assert_eq!(again, Ok(ticket), "a ticket that admits can be signed again");
    }
    if let Ok(introduction) = Introduction::verify(text, &keys) {
        assert_eq!(Introduction::read(text), Ok(introduction), "both readers see the same");
    } else if let Ok(introduction) = Introduction::read(text) {
        assert!(introduction.company_name.len() <= text.len(), "nothing grows in reading");
    }
}

/// A run of screen updates, each behind its length (2 bytes, little-endian).
pub fn screen_update(data: &[u8]) {
    let mut decoder = Decoder::new();
    let mut rest = data;
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(after.len());
        let (update, after) = after.split_at(len);
        let Ok(applied) = decoder.apply(update) else { return };
        if let Some(picture) = decoder.picture() {
            let picture = picture.as_ref();
            let (width, height) = (u32::from(picture.width), u32::from(picture.height));
            assert!(u64::from(width) * u64::from(height) <= limits::PICTURE_PIXELS_MAX);
            for rect in applied.changed {
                assert!(u32::from(rect.x) + u32::from(rect.width) <= width, "changes are inside the picture");
                assert!(u32::from(rect.y) + u32::from(rect.height) <= height, "changes are inside the picture");
            }
        }
        rest = after;
    }
}

/// A message on the input lane.
pub fn input(data: &[u8]) {
    message_on(Lane::Input, data);
}

/// A message; the first byte chooses the lane.
pub fn message(data: &[u8]) {
    if let Some((lane, data)) = data.split_first() {
        message_on(lane_of(*lane), data);
    }
}

/// A reception number as somebody typed it.
pub fn number(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else { return };
    if let Ok(number) = ReceptionNumber::parse(typed) {
        assert_eq!(ReceptionNumber::parse(&number.reveal()), Ok(number.clone()));
        assert_eq!(number.locator().as_str().parse(), Ok(number.locator()));
        assert!(number.reveal().starts_with(number.locator().as_str().get(..3).unwrap_or("x")));
    }
    if let Ok(locator) = typed.parse::<Locator>() {
        let json = serde_json::to_string(&locator).and_then(|json| serde_json::from_str(&json));
        assert!(json.is_ok_and(|again: Locator| again == locator));
    }
}

/// What a load balancer says about who connected to it.
pub fn proxy_v2(data: &[u8]) {
    let announced = data.first_chunk::<OPENING_LEN>().map(proxied::rest_len);
    let parsed = proxied::parse(data);
    if let Ok(proxied) = parsed {
        assert!(data.len() <= limits::PROXY_HEADER_LEN_MAX);
        assert_eq!(announced, Some(Ok(data.len().saturating_sub(OPENING_LEN))), "a header is as long as it says");
        if let Proxied::From(source) = proxied {
            assert_eq!(proxied::parse(&proxied::header(source, source)), parsed, "an address is read as it is written");
        }
    } else if let Some(Ok(len)) = announced
        && len != data.len().saturating_sub(OPENING_LEN)
    {
        assert_eq!(parsed, Err(ProxiedError::Length), "what is cut off or goes on is no header");
    }
}

fn message_on(lane: Lane, data: &[u8]) {
    if let Ok(message) = Message::decode(data, lane) {
        let again = message.encode().and_then(|bytes| Message::decode(&bytes, lane));
        assert_eq!(again, Ok(message), "a message is read as it is written");
    }
}

/// A lane for any byte.
fn lane_of(byte: u8) -> Lane {
    Lane::from_code(byte % 4).unwrap_or(Lane::Control)
}

/// A flag byte that is not `flags`, for any byte.
const fn other_flags(flags: u8, byte: u8) -> u8 {
    flags ^ if byte == 0 { FLAG_MORE } else { byte }
}
