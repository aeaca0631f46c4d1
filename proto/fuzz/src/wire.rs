//! Oracles of what a relay reads from a stranger: a stream cut at any place, the records it comes in, and everything up
//! to the admission.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use link::{
    framed::{FrameReader, ReadError, WireFrame, cut},
    record::{BODY_MAX, HEADER_LEN, Opened, Opener, Room, Sealer, record_len},
};
use proto::{
    frame::{FrameError, FrameHeader},
    limits,
};
use relay::admit::{Expected, HELLO_LEN_MAX, Keys, understand};
use rustls::CipherSuite;
use tokio::io::{AsyncRead, ReadBuf};

use crate::seeds;

/// What a reader made of a stream: its frames, and how it ended.
pub(crate) type Read = (Vec<WireFrame>, End);

/// How a stream of frames ends for its reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Between,
    Inside,
    Malformed(FrameError),
}

/// A stream of frames that arrives in pieces. First byte: how long a payload may be; second: how many piece lengths
/// follow (modulo 16), one byte each, used again and again.
///
/// Promise: wherever the stream is cut, the reader of a tool and that of a relay see the same frames and the same end as
/// somebody who has all of it at once.
pub fn frame_reader(data: &[u8]) {
    let Some(([bound, count], rest)) = data.split_first_chunk::<2>() else { return };
    let payload_max = if bound % 2 == 0 { limits::FRAME_PAYLOAD_MAX } else { HELLO_LEN_MAX };
    let (lengths, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let whole = read_whole(stream, payload_max);
    assert_eq!(read_by_cutting(Pieces::new(stream, lengths), payload_max), whole, "a relay's reader");
    assert_eq!(read_by_reader(Pieces::new(stream, lengths), payload_max), Some(whole), "a tool's reader");
}

/// The reference: headers one by one, over all bytes.
pub(crate) fn read_whole(stream: &[u8], payload_max: usize) -> Read {
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        if rest.is_empty() {
            return (frames, End::Between);
        }
        let Some(head) = rest.first_chunk::<{ limits::FRAME_HEADER_LEN }>() else { return (frames, End::Inside) };
        let header = match FrameHeader::parse(*head) {
            Ok(header) => header,
            Err(error) => return (frames, End::Malformed(error)),
        };
        let len = usize::from(header.len);
        if payload_max < len {
            return (frames, End::Malformed(FrameError::Length(len)));
        }
        let Some((wire, after)) = rest.split_at_checked(limits::FRAME_HEADER_LEN.saturating_add(len)) else {
            return (frames, End::Inside);
        };
        frames.push(WireFrame { header, wire: Bytes::copy_from_slice(wire) });
        rest = after;
    }
}

fn read_by_cutting(mut pieces: Pieces<'_>, payload_max: usize) -> Read {
    let mut frames = Vec::new();
    let mut buffer = BytesMut::new();
    loop {
        let piece = pieces.take(usize::MAX);
        if piece.is_empty() {
            return (frames, if buffer.is_empty() { End::Between } else { End::Inside });
        }
        buffer.extend_from_slice(piece);
        loop {
            match cut(&mut buffer, payload_max) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, End::Malformed(error)),
            }
        }
    }
}

/// `None` when the reader waits although there is something to read.
fn read_by_reader(pieces: Pieces<'_>, payload_max: usize) -> Option<Read> {
    let mut frames = Vec::new();
    let mut reader = FrameReader::new(pieces);
    reader.set_payload_max(payload_max);
    loop {
        let Poll::Ready(next) = pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop())) else { return None };
        let end = match next {
            Ok(Some(frame)) => {
                frames.push(frame);
                continue;
            }
            Ok(None) => End::Between,
            Err(ReadError::Malformed(error)) => End::Malformed(error),
            Err(ReadError::Broken(error)) if error.kind() == io::ErrorKind::UnexpectedEof => End::Inside,
            Err(ReadError::Broken(_)) => return None,
        };
        return Some((frames, end));
    }
}

/// A stream in pieces of given lengths, over and over; a length of 0 is 256. Without lengths it comes all at once.
struct Pieces<'a> {
    rest: &'a [u8],
    lengths: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl<'a> Pieces<'a> {
    fn new(stream: &'a [u8], lengths: &'a [u8]) -> Self {
        Self { rest: stream, lengths: lengths.iter().cycle() }
    }

    /// The next piece, of this length at most; empty at the end.
    fn take(&mut self, max: usize) -> &'a [u8] {
        let len = self.lengths.next().map_or(usize::MAX, |len| if *len == 0 { 256 } else { usize::from(*len) });
        let (piece, rest) = self.rest.split_at(len.min(max).min(self.rest.len()));
        self.rest = rest;
        piece
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let piece = self.take(room.remaining());
        room.put_slice(piece);
        Poll::Ready(Ok(()))
    }
}

/// A script of two-byte steps about one direction of TLS records: verb and argument. The first byte chooses the cipher,
/// the second the length of the pieces in which the records arrive.
///
/// Verb modulo 8: seal, change the key, say the end, flip a bit of the next record, lose it, repeat it, hold it back
/// behind the following one, throw in bytes of the script.
/// Promise: what opens is a beginning of what was sealed; a record that does not open leaves nothing behind, and nothing
/// opens after it.
pub fn record(data: &[u8]) {
    let Some(([suite, piece], script)) = data.split_first_chunk::<2>() else { return };
    let (suite, secret) = suite_of(*suite);
    let (Ok(sealer), Ok(mut opener)) = (Sealer::new(suite, secret), Opener::new(suite, secret)) else { return };
    let (sealed, wire) = seal_and_tamper(sealer, script);
    let mut opened = Room::default();
    let mut buffer: Vec<u8> = Vec::new();
    for piece in wire.chunks(usize::from(*piece).max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            let Ok(len) = record_len(&buffer) else { return };
            let Some(record) = len.and_then(|len| buffer.get(..len)) else { break };
            let before = opened.len();
            let result = opener.open(record, &mut opened);
            assert!(sealed.starts_with(&opened), "only a true beginning opens");
            match result {
                Ok(Opened::Data) => assert!(before <= opened.len(), "data is appended"),
                Ok(Opened::Rekeyed { asks }) => assert!(!asks && before == opened.len(), "a new key is no data"),
                Ok(Opened::Closed) | Err(_) => {
                    assert_eq!(before, opened.len(), "what is no data leaves nothing");
                    return;
                }
            }
            buffer.drain(..record.len());
        }
        assert!(buffer.len() < HEADER_LEN + BODY_MAX, "a reader never keeps more than one record");
    }
}

/// The data that was sealed, and what came of its records on the way.
fn seal_and_tamper(mut sealer: Sealer, script: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut sealed, mut wire) = (Vec::new(), Vec::new());
    let (mut held, mut next) = (Vec::new(), Deed::Nothing);
    let mut rest = script;
    while let Some(([verb, argument], after)) = rest.split_first_chunk::<2>() {
        rest = after;
        let mut record = Room::default();
        let made = match verb % 8 {
            0 => {
                // Up to four full records, so that one call makes several.
                let plain = vec![*argument; usize::from(*argument).saturating_mul(257)];
                sealed.extend_from_slice(&plain);
                sealer.seal(&[Bytes::from(plain)], &mut record)
            }
            1 => sealer.rekey(&mut record),
            2 => sealer.close(&mut record),
            3 => {
                next = Deed::Flip(*argument);
                continue;
            }
            4 => {
                next = Deed::Lose;
                continue;
            }
            5 => {
                next = Deed::Repeat;
                continue;
            }
            6 => {
                next = Deed::Hold;
                continue;
            }
            _ => {
                record.extend_from_slice(after.get(..usize::from(*argument)).unwrap_or(after));
                Ok(())
            }
        };
        assert_eq!(made, Ok(()), "what is ours is always sealed");
        let record = record.to_vec();
        match std::mem::replace(&mut next, Deed::Nothing) {
            Deed::Nothing => wire.extend_from_slice(&record),
            Deed::Flip(bit) => wire.extend(flipped(record, bit)),
            Deed::Lose => {}
            Deed::Repeat => wire.extend(record.repeat(2)),
            Deed::Hold => {
                held = record;
                continue;
            }
        }
        wire.append(&mut held);
    }
    (sealed, wire)
}

/// What happens to the next record.
enum Deed {
    Nothing,
    Flip(u8),
    Lose,
    Repeat,
    Hold,
}

/// One bit turned: by the low values in the header, by the others anywhere.
fn flipped(mut record: Vec<u8>, bit: u8) -> Vec<u8> {
    let place = usize::from(bit >> 3).checked_rem(record.len()).unwrap_or(0);
    if let Some(byte) = record.get_mut(place) {
        *byte ^= 1 << (bit & 7);
    }
    record
}

/// One of the three ciphers, and a secret of its length.
fn suite_of(byte: u8) -> (CipherSuite, &'static [u8]) {
    match byte % 3 {
        0 => (CipherSuite::TLS13_AES_128_GCM_SHA256, &[1; 32]),
        1 => (CipherSuite::TLS13_AES_256_GCM_SHA384, &[2; 48]),
        _ => (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, &[3; 32]),
    }
}

/// Everything that a stranger sends until it is admitted. First byte even: a stream, in pieces as in [`frame_reader`].
/// Odd: a true hello with patches, three bytes each: place (2 bytes, little-endian) and what is added there.
///
/// Promise: nobody is admitted but by the ticket, the key and the generation that were signed for this connection.
pub fn pre_ticket(data: &[u8]) {
    let (Some(true_hello), Ok(key)) = (seeds::true_hello(), seeds::signing_key()) else { return };
    let Some((way, rest)) = data.split_first() else { return };
    let (lengths, stream) = if way % 2 == 0 {
        let (count, rest) = rest.split_first().unwrap_or((&0, rest));
        let (lengths, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
        (lengths, stream.to_vec())
    } else {
        ([].as_slice(), patched(seeds::wire_of(&true_hello), rest))
    };
    let keys = Keys::new(vec![key.verifying_key()]);
    let expected = Expected { exporter: &seeds::EXPORTER, is_own: &|spki| spki == seeds::SPKI, now_ms: seeds::NOW_MS };
    let (frames, _) = read_by_cutting(Pieces::new(&stream, lengths), HELLO_LEN_MAX);
    let Some(first) = frames.first() else { return };
    let Ok(hello) = understand(first) else { return };
    assert!(hello.ticket.len() <= limits::TICKET_LEN_MAX);
    if let Ok(ticket) = keys.admit(&hello, &expected) {
        assert_eq!(hello.ticket, true_hello.ticket, "only the signed ticket admits");
        assert_eq!(hello.proof_key, true_hello.proof_key, "only with its own key");
        assert_eq!(hello.generation, true_hello.generation, "only as often as was signed");
        assert_eq!(ticket.session_id, seeds::SESSION_ID);
    }
}

fn patched(mut bytes: Vec<u8>, patches: &[u8]) -> Vec<u8> {
    for patch in patches.chunks_exact(3) {
        let [low, high, add] = *patch else { continue };
        let place = usize::from(u16::from_le_bytes([low, high])).checked_rem(bytes.len()).unwrap_or(0);
        if let Some(byte) = bytes.get_mut(place) {
            *byte = byte.wrapping_add(add);
        }
    }
    bytes
}
