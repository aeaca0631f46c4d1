//! First words between a tool and a relay, and what the relay says about the other side.
//!
//! A [`Hello`] proves that the ticket belongs to this very connection: the proof key signs
//! `"uketsuke hello v1" ‖ exporter(32) ‖ SHA-256(ticket) ‖ generation(4, LE)`, where the exporter is the TLS exporter
//! value for [`EXPORTER_LABEL`] without context. A copied ticket is useless, a copied hello too.
//!
//! Payload of a hello frame:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | version, [`version::HELLO_VERSION`] |
//! | 1 | 32 | proof key, Ed25519 public key; its SHA-256 is in the ticket |
//! | 33 | 4 | generation, little-endian; +1 for each reconnect of this tool in this session |
//! | 37 | 64 | signature |
//! | 101 | rest | ticket, ASCII, at most [`limits::TICKET_LEN_MAX`] |
//!
//! The payload of `Welcome` is one byte: 1 when the other side is present already, else 0.
//! The payload of `Refused` and `PeerGone` is one byte, a [`CloseReason`] code. `PeerPresent` and `Goaway` have no payload.

use bytes::{BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use crate::{
    close::CloseReason,
    frame::{Frame, FrameError, FrameType},
    limits, version,
};

/// Label of the TLS exporter (RFC 8446 §7.5) that a proof signs; 32 bytes are taken.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-uketsuke-proof-v1";

/// Asks a relay for admission.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Ed25519 public key of the tool for this session.
    pub proof_key: [u8; 32],
    /// Grows with each reconnect; a higher one displaces a lower one.
    pub generation: u32,
    /// Over [`proof_text`].
    pub signature: [u8; 64],
    /// The ticket as text; not yet checked.
    pub ticket: String,
}

/// Bytes that are not a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// A version this side does not speak.
    #[error("hello version {0} is not spoken here")]
    Version(u8),
    /// Too short, too long, or the ticket is not ASCII.
    #[error("not a hello")]
    Malformed,
}

/// What a relay says to a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayWord {
    /// Admitted.
    Welcome {
        /// The other side is there already.
        peer_present: bool,
    },
    /// Not admitted, or no longer.
    Refused(CloseReason),
    /// The other side has come.
    PeerPresent,
    /// The other side has gone; it may come back.
    PeerGone(CloseReason),
    /// The relay is being stopped.
    Goaway,
}

impl Hello {
    /// The frame that carries it.
    ///
    /// # Errors
    /// Never for a ticket within [`limits::TICKET_LEN_MAX`].
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        let mut payload = BytesMut::with_capacity(self.ticket.len().saturating_add(FIXED_LEN));
        payload.put_u8(version::HELLO_VERSION);
        payload.put_slice(&self.proof_key);
        payload.put_u32_le(self.generation);
        payload.put_slice(&self.signature);
        payload.put_slice(self.ticket.as_bytes());
        Frame::plain(FrameType::Hello, payload.freeze())
    }

    /// Reads the payload of a hello frame.
    ///
    /// # Errors
    /// See [`HelloError`].
    pub fn parse(payload: &[u8]) -> Result<Self, HelloError> {
        let (version, rest) = payload.split_first().ok_or(HelloError::Malformed)?;
        if *version != version::HELLO_VERSION {
            return Err(HelloError::Version(*version));
        }
        let (proof_key, rest) = rest.split_first_chunk().ok_or(HelloError::Malformed)?;
        let (generation, rest) = rest.split_first_chunk().ok_or(HelloError::Malformed)?;
        let (signature, ticket) = rest.split_first_chunk().ok_or(HelloError::Malformed)?;
        if ticket.is_empty() || limits::TICKET_LEN_MAX < ticket.len() || !ticket.is_ascii() {
            return Err(HelloError::Malformed);
        }
        Ok(Self {
            proof_key: *proof_key,
            generation: u32::from_le_bytes(*generation),
            signature: *signature,
            ticket: String::from_utf8_lossy(ticket).into_owned(),
        })
    }
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl RelayWord {
    /// The frame that carries it.
    pub fn to_frame(self) -> Frame {
        let (kind, payload) = match self {
            Self::Welcome { peer_present } => (FrameType::Welcome, Bytes::copy_from_slice(&[u8::from(peer_present)])),
            Self::Refused(reason) => (FrameType::Refused, Bytes::copy_from_slice(&[reason.code()])),
            Self::PeerPresent => (FrameType::PeerPresent, Bytes::new()),
            Self::PeerGone(reason) => (FrameType::PeerGone, Bytes::copy_from_slice(&[reason.code()])),
            Self::Goaway => (FrameType::Goaway, Bytes::new()),
        };
        Frame { kind, lane: crate::frame::Lane::Control, flags: 0, payload }
    }

    /// Reads a frame of the relay; `None` when it is of another kind or its payload is wrong.
    pub fn parse(frame: &Frame) -> Option<Self> {
        match (frame.kind, frame.payload.as_ref()) {
            (FrameType::Welcome, [0]) => Some(Self::Welcome { peer_present: false }),
            (FrameType::Welcome, [1]) => Some(Self::Welcome { peer_present: true }),
            (FrameType::Refused, [code]) => Some(Self::Refused(reason(*code))),
            (FrameType::PeerPresent, []) => Some(Self::PeerPresent),
            (FrameType::Goaway, []) => Some(Self::Goaway),
            (FrameType::PeerGone, [code]) => Some(Self::PeerGone(reason(*code))),
            _ => None,
        }
    }
}

/// The reason for a byte; a newer relay may have more of them.
fn reason(code: u8) -> CloseReason {
    CloseReason::from_code(code).unwrap_or(CloseReason::Unknown)
}

/// What the proof key signs.
pub fn proof_text(exporter: &[u8; 32], ticket: &str, generation: u32) -> Vec<u8> {
    let mut text = b"uketsuke hello v1".to_vec();
    text.extend_from_slice(exporter);
    text.extend_from_slice(&Sha256::digest(ticket.as_bytes()));
    text.extend_from_slice(&generation.to_le_bytes());
    text
}

/// Version 1 + key 32 + generation 4 + signature 64.
const FIXED_LEN: usize = 101;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello() -> Hello {
        Hello { proof_key: [1; 32], generation: 7, signature: [2; 64], ticket: "v4.public.x".to_owned() }
    }

    #[test]
    fn a_hello_is_read_as_it_was_written() {
        let frame = hello().to_frame().unwrap();
        assert_eq!((frame.kind, frame.payload.len()), (FrameType::Hello, FIXED_LEN + 11));
        assert_eq!(Hello::parse(&frame.payload), Ok(hello()));
    }

    #[test]
    fn a_hello_cut_anywhere_before_its_ticket_is_refused() {
        let payload = hello().to_frame().unwrap().payload;
        for len in 0..=FIXED_LEN {
            assert_eq!(Hello::parse(&payload[..len]), Err(HelloError::Malformed), "{len} bytes");
        }
    }

    #[test]
    fn another_version_a_long_ticket_and_a_ticket_that_is_no_text_are_refused() {
        let mut payload = hello().to_frame().unwrap().payload.to_vec();
        payload[0] = 2;
        assert_eq!(Hello::parse(&payload), Err(HelloError::Version(2)));
        payload[0] = 1;
        payload[FIXED_LEN] = 0x80;
        assert_eq!(Hello::parse(&payload), Err(HelloError::Malformed));
        let longest = Hello { ticket: "x".repeat(limits::TICKET_LEN_MAX), ..hello() };
        assert_eq!(Hello::parse(&longest.to_frame().unwrap().payload), Ok(longest));
        let too_long = Hello { ticket: "x".repeat(limits::TICKET_LEN_MAX + 1), ..hello() };
        assert_eq!(Hello::parse(&too_long.to_frame().unwrap().payload), Err(HelloError::Malformed));
    }

    #[test]
    fn a_hello_prints_no_key_and_no_ticket() {
        assert_eq!(format!("{:?}", hello()), "Hello { generation: 7, .. }");
    }

    #[test]
    fn every_word_of_a_relay_is_read_as_it_was_said() {
        let words = CloseReason::ALL.iter().flat_map(|why| [RelayWord::Refused(*why), RelayWord::PeerGone(*why)]);
        let present = [true, false].map(|peer_present| RelayWord::Welcome { peer_present });
        for word in words.chain(present).chain([RelayWord::PeerPresent]) {
            assert_eq!(RelayWord::parse(&word.to_frame()), Some(word));
        }
    }

    #[test]
    fn a_word_in_another_form_is_no_word() {
        for (kind, payload) in [
            (FrameType::Welcome, &[2][..]),
            (FrameType::Welcome, &[]),
            (FrameType::Refused, &[1, 1]),
            (FrameType::PeerPresent, &[0]),
            (FrameType::PeerGone, &[]),
            (FrameType::Hello, &[1]),
        ] {
            let frame = Frame::plain(kind, Bytes::copy_from_slice(payload)).unwrap();
            assert_eq!(RelayWord::parse(&frame), None);
        }
        let newer = Frame::plain(FrameType::Refused, Bytes::from_static(&[200])).unwrap();
        assert_eq!(RelayWord::parse(&newer), Some(RelayWord::Refused(CloseReason::Unknown)));
    }

    #[test]
    fn a_proof_is_about_one_connection_one_ticket_and_one_generation() {
        let text = proof_text(&[1; 32], "ticket", 1);
        assert_eq!(text.len(), 17 + 32 + 32 + 4);
        for other in
            [proof_text(&[2; 32], "ticket", 1), proof_text(&[1; 32], "ticKet", 1), proof_text(&[1; 32], "ticket", 2)]
        {
            assert_ne!(other, text);
        }
    }

    proptest! {
        #[test]
        fn bytes_are_a_hello_that_writes_the_same_bytes_or_an_error(
            version in prop_oneof![9 => Just(1u8), 1 => any::<u8>()],
            rest in prop::collection::vec(prop_oneof![9 => 0..0x80u8, 1 => any::<u8>()], 0..200),
        ) {
            let payload = [&[version], rest.as_slice()].concat();
            if let Ok(hello) = Hello::parse(&payload) {
                prop_assert_eq!(hello.to_frame().unwrap().payload, payload);
            }
        }
    }
}
