//! A frame's payload that can be checked: when it was due, which one of its lane it is, and a checksum over all of it.
//!
//! | offset | size | field, little-endian |
//! |---|---|---|
//! | 0 | 8 | XXH3 of everything behind it |
//! | 8 | 8 | when the frame was due, nanoseconds of the monotonic clock |
//! | 16 | 8 | sequence, from 0 for each session, direction and lane |
//! | 24 | 4 | session |
//! | 28 | 1 | kind |
//! | 29 | 3 | zero |
//! | 32 | rest | for [`Kind::End`] the frames of each lane, 8 bytes each; else filler |

use proto::{
    frame::{FrameHeader, FrameType, Lane},
    limits,
};
use xxhash_rust::xxh3::xxh3_64;

/// Shortest payload.
pub const LEN_MIN: usize = 32;
/// Length of an end.
pub const END_LEN: usize = LEN_MIN + 8 * Lane::ALL.len();

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A piece of a message.
    Piece,
    /// Nothing more comes; says how many frames of each lane there were.
    End,
}

/// A payload that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// When it was due, nanoseconds.
    pub due_ns: u64,
    /// Which one of its lane.
    pub sequence: u64,
    /// Its session.
    pub session: u32,
    /// What it is.
    pub kind: Kind,
    /// Frames of each lane, in an end; else zeros.
    pub counts: [u64; 4],
}

/// Appends a frame of `len` payload bytes, with its header, to `out`. `len` is brought within the limits of a frame.
pub fn put(out: &mut Vec<u8>, lane: Lane, len: usize, payload: &Payload) {
    let shortest = if payload.kind == Kind::End { END_LEN } else { LEN_MIN };
    let len = len.clamp(shortest, limits::FRAME_PAYLOAD_MAX);
    let header =
        FrameHeader { kind: FrameType::Sealed, lane, flags: 0, len: u16::try_from(len).unwrap_or(u16::MAX) }.to_bytes();
    out.extend_from_slice(&header);
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&payload.due_ns.to_le_bytes());
    out.extend_from_slice(&payload.sequence.to_le_bytes());
    out.extend_from_slice(&payload.session.to_le_bytes());
    out.extend_from_slice(&[u8::from(payload.kind == Kind::End), 0, 0, 0]);
    if payload.kind == Kind::End {
        payload.counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    }
    // Neither TLS nor anything else on the way looks at it.
    out.resize(start + len, 0xA5);
    let checksum = out.get(start + 8..).map_or(0, xxh3_64);
    if let Some(place) = out.get_mut(start..start + 8) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
}

impl Payload {
    /// Reads a payload; `None` when it is not what was sent.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (checksum, rest) = bytes.split_first_chunk()?;
        if xxh3_64(rest) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let (due, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let ([kind, ..], mut rest) = rest.split_first_chunk::<4>()?;
        let mut counts = [0; 4];
        let kind = match kind {
            0 => Kind::Piece,
            1 => {
                for count in &mut counts {
                    let (bytes, more) = rest.split_first_chunk()?;
                    (*count, rest) = (u64::from_le_bytes(*bytes), more);
                }
                Kind::End
            }
            _ => return None,
        };
        Some(Self {
            due_ns: u64::from_le_bytes(*due),
            sequence: u64::from_le_bytes(*sequence),
            session: u32::from_le_bytes(*session),
            kind,
            counts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: Payload = Payload { due_ns: 7, sequence: 9, session: 3, kind: Kind::Piece, counts: [0; 4] };

    fn wire(payload: &Payload, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, Lane::Screen, len, payload);
        out.split_off(limits::FRAME_HEADER_LEN)
    }

    #[test]
    fn a_payload_is_read_as_it_was_written() {
        let end = Payload { kind: Kind::End, counts: [1, 2, 3, 4], ..PIECE };

        assert_eq!(Payload::read(&wire(&PIECE, 1000)), Some(PIECE));
        assert_eq!(Payload::read(&wire(&end, 0)), Some(end));
        assert_eq!(wire(&PIECE, 1000).len(), 1000);
    }

    #[test]
    fn a_payload_of_which_one_bit_was_turned_is_none() {
        let good = wire(&PIECE, 100);

        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert_eq!(Payload::read(&bad), None, "byte {place}");
        }
        assert_eq!(Payload::read(&good[..99]), None);
    }
}
