//! The outer frame: all that a relay may see.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | type, see [`FrameType`] |
//! | 1 | 1 | lane, see [`Lane`] |
//! | 2 | 1 | flags, see [`FLAG_MORE`] |
//! | 3 | 2 | payload length, little-endian, at most [`limits::FRAME_PAYLOAD_MAX`] |
//! | 5 | length | payload |
//!
//! The payload of a sealed frame is opaque to everybody but the two tools (`proto/src/seal`).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits;

/// The message goes on in the next frame of the same lane.
pub const FLAG_MORE: u8 = 1;
/// Every flag that exists.
const FLAGS: u8 = FLAG_MORE;

/// Priority class inside a link: a waiting frame of a smaller lane always goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lane {
    /// Questions, answers, acks, credit, the pointer's shape.
    Control,
    /// Pointer and keys.
    Input,
    /// Screen updates.
    Screen,
    /// Files, later.
    Bulk,
}

impl Lane {
    /// Every lane, highest priority first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Input, Self::Screen, Self::Bulk];

    /// The byte on the wire, also the place in arrays.
    pub const fn code(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Input => 1,
            Self::Screen => 2,
            Self::Bulk => 3,
        }
    }

    /// The lane for a byte.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Control),
            1 => Some(Self::Input),
            2 => Some(Self::Screen),
            3 => Some(Self::Bulk),
            _ => None,
        }
    }

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Input => "input",
            Self::Screen => "screen",
            Self::Bulk => "bulk",
        }
    }

    /// Longest message on this lane, in bytes.
    pub const fn message_len_max(self) -> usize {
        match self {
            Self::Screen => limits::SCREEN_MESSAGE_LEN_MAX,
            Self::Control | Self::Input | Self::Bulk => limits::MESSAGE_LEN_MAX,
        }
    }

    /// Unacknowledged message bytes that the sender may have under way. One message may always start when nothing is
    /// under way, however long it is.
    pub const fn credit(self) -> u64 {
        match self {
            Self::Control => limits::CREDIT_CONTROL,
            Self::Input => limits::CREDIT_INPUT,
            Self::Screen => limits::CREDIT_SCREEN,
            Self::Bulk => limits::CREDIT_BULK,
        }
    }
}

/// What a frame is. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// Tool → relay, first: see `proto/src/hello.rs`. Control lane.
    Hello,
    /// Relay → tool: admitted.
    Welcome,
    /// Relay → tool: not admitted, or no longer; payload is a close reason. The connection ends.
    Refused,
    /// Relay → tool: the other side is here.
    PeerPresent,
    /// Relay → tool: the other side is gone; payload is a close reason.
    PeerGone,
    /// Either → other end of the same connection: are you there? Payload is 8 bytes, returned in a pong.
    Ping,
    /// Answer to a ping.
    Pong,
    /// Relay → tool: this relay is being stopped; go on at another one while this one still works.
    Goaway,
    /// Tool → relay → tool: a step of the key exchange, forwarded as it is (`proto/src/seal/handshake.rs`).
    Prove,
    /// Tool → relay → tool: sealed, forwarded as it is.
    Sealed,
    /// Tool → relay → tool: the session goes on over this relay, forwarded as it is (`proto/src/seal/resume.rs`).
    Resume,
    /// Tool → relay → tool: a step by which a tool that was started again comes back to its session, forwarded as it is
    /// (`proto/src/seal/rejoin.rs`).
    Rejoin,
}

impl FrameType {
    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Hello => 0x01,
            Self::Welcome => 0x02,
            Self::Refused => 0x03,
            Self::PeerPresent => 0x04,
            Self::PeerGone => 0x05,
            Self::Ping => 0x06,
            Self::Pong => 0x07,
            Self::Goaway => 0x08,
            Self::Prove => 0x10,
            Self::Sealed => 0x11,
            Self::Resume => 0x12,
            Self::Rejoin => 0x13,
        }
    }

    /// The type for a byte.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x01 => Some(Self::Hello),
            0x02 => Some(Self::Welcome),
            0x03 => Some(Self::Refused),
            0x04 => Some(Self::PeerPresent),
            0x05 => Some(Self::PeerGone),
            0x06 => Some(Self::Ping),
            0x07 => Some(Self::Pong),
            0x08 => Some(Self::Goaway),
            0x10 => Some(Self::Prove),
            0x11 => Some(Self::Sealed),
            0x12 => Some(Self::Resume),
            0x13 => Some(Self::Rejoin),
            _ => None,
        }
    }
}

/// The five bytes in front of every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub kind: FrameType,
    /// Its lane; [`Lane::Control`] for everything that is not sealed.
    pub lane: Lane,
    /// A sum of flags.
    pub flags: u8,
    /// Bytes of payload.
    pub len: u16,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the frame is.
    pub kind: FrameType,
    /// Its lane.
    pub lane: Lane,
    /// A sum of flags.
    pub flags: u8,
    /// At most [`limits::FRAME_PAYLOAD_MAX`] bytes.
    pub payload: Bytes,
}

/// Five bytes that are not a header, or a payload that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No such type.
    #[error("frame type {0:#04x} does not exist")]
    Type(u8),
    /// No such lane, or not the control lane although the frame is not sealed.
    #[error("lane {0} does not fit the frame")]
    Lane(u8),
    /// A flag that does not exist.
    #[error("frame flags {0:#04x} do not exist")]
    Flags(u8),
    /// Too long.
    #[error("a payload of {0} bytes is too long")]
    Length(usize),
}

impl FrameHeader {
    /// The header's bytes; for a sealed frame they are also what the seal authenticates.
    pub const fn to_bytes(self) -> [u8; limits::FRAME_HEADER_LEN] {
        let [low, high] = self.len.to_le_bytes();
        [self.kind.code(), self.lane.code(), self.flags, low, high]
    }

    /// Reads a header.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn parse(bytes: [u8; limits::FRAME_HEADER_LEN]) -> Result<Self, FrameError> {
        let [kind, lane, flags, low, high] = bytes;
        let kind = FrameType::from_code(kind).ok_or(FrameError::Type(kind))?;
        let lane = Lane::from_code(lane)
            .filter(|lane| kind == FrameType::Sealed || *lane == Lane::Control)
            .ok_or(FrameError::Lane(lane))?;
        if flags & !FLAGS != 0 || (kind != FrameType::Sealed && flags != 0) {
            return Err(FrameError::Flags(flags));
        }
        let len = u16::from_le_bytes([low, high]);
        if limits::FRAME_PAYLOAD_MAX < usize::from(len) {
            return Err(FrameError::Length(usize::from(len)));
        }
        Ok(Self { kind, lane, flags, len })
    }
}

impl Frame {
    /// A frame that is not sealed.
    ///
    /// # Errors
    /// [`FrameError::Length`].
    pub fn plain(kind: FrameType, payload: Bytes) -> Result<Self, FrameError> {
        Self { kind, lane: Lane::Control, flags: 0, payload }.checked()
    }

    /// A sealed frame.
    ///
    /// # Errors
    /// [`FrameError::Length`] and [`FrameError::Flags`].
    pub fn sealed(lane: Lane, flags: u8, payload: Bytes) -> Result<Self, FrameError> {
        Self { kind: FrameType::Sealed, lane, flags, payload }.checked()
    }

    /// The header for this frame.
    ///
    /// # Errors
    /// [`FrameError::Length`].
    pub fn header(&self) -> Result<FrameHeader, FrameError> {
        let len = u16::try_from(self.payload.len())
            .ok()
            .filter(|len| usize::from(*len) <= limits::FRAME_PAYLOAD_MAX)
            .ok_or(FrameError::Length(self.payload.len()))?;
        Ok(FrameHeader { kind: self.kind, lane: self.lane, flags: self.flags, len })
    }

    /// What the other side will check too.
    fn checked(self) -> Result<Self, FrameError> {
        FrameHeader::parse(self.header()?.to_bytes())?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_type_and_lane_has_one_byte() {
        let types: Vec<u8> = (0..=u8::MAX).filter(|code| FrameType::from_code(*code).is_some()).collect();
        assert_eq!(types, [1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x11, 0x12, 0x13]);
        assert!(types.iter().all(|code| FrameType::from_code(*code).map(FrameType::code) == Some(*code)));
        for (code, lane) in (0..).zip(Lane::ALL) {
            assert_eq!((lane.code(), Lane::from_code(code)), (code, Some(lane)));
        }
        assert_eq!(Lane::from_code(4), None);
    }

    #[test]
    fn only_sealed_frames_have_lanes_and_flags() {
        assert_eq!(FrameHeader::parse([0x10, 1, 0, 0, 0]), Err(FrameError::Lane(1)));
        assert_eq!(FrameHeader::parse([0x10, 0, 1, 0, 0]), Err(FrameError::Flags(1)));
        assert_eq!(FrameHeader::parse([0x11, 4, 0, 0, 0]), Err(FrameError::Lane(4)));
        assert_eq!(FrameHeader::parse([0x11, 3, 2, 0, 0]), Err(FrameError::Flags(2)));
        assert_eq!(FrameHeader::parse([0x09, 0, 0, 0, 0]), Err(FrameError::Type(9)));
        assert_eq!(FrameHeader::parse([0x11, 3, 1, 1, 0x80]), Err(FrameError::Length(0x8001)));
        let longest = FrameHeader::parse([0x11, 3, 1, 0, 0x80]).map(|header| usize::from(header.len));
        assert_eq!(longest, Ok(limits::FRAME_PAYLOAD_MAX));
    }

    #[test]
    fn a_frame_the_other_side_would_refuse_is_not_made() {
        let long = Bytes::from(vec![0; limits::FRAME_PAYLOAD_MAX + 1]);
        assert_eq!(Frame::plain(FrameType::Prove, long.clone()), Err(FrameError::Length(long.len())));
        assert_eq!(Frame::sealed(Lane::Bulk, 0, long.clone()), Err(FrameError::Length(long.len())));
        assert_eq!(Frame::sealed(Lane::Bulk, 4, Bytes::new()), Err(FrameError::Flags(4)));
    }

    #[test]
    fn one_longest_message_always_fits_its_limits() {
        for lane in Lane::ALL {
            assert!(lane.credit() > 0 && lane.message_len_max() > 0, "{}", lane.as_str());
        }
        assert!(limits::MESSAGE_LEN_MAX as u64 <= Lane::Control.credit());
    }

    proptest! {
        #[test]
        fn five_bytes_are_a_header_that_writes_the_same_bytes_or_an_error(bytes: [u8; limits::FRAME_HEADER_LEN]) {
            if let Ok(header) = FrameHeader::parse(bytes) {
                prop_assert_eq!(header.to_bytes(), bytes);
            }
        }

        #[test]
        fn a_sealed_frame_keeps_its_header(lane in prop::sample::select(Lane::ALL.as_slice()), more: bool, len in 0..=limits::FRAME_PAYLOAD_MAX) {
            let frame = Frame::sealed(lane, u8::from(more), Bytes::from(vec![0; len])).unwrap();
            let header = frame.header().unwrap();
            prop_assert_eq!(FrameHeader::parse(header.to_bytes()), Ok(header));
            prop_assert_eq!((header.lane, usize::from(header.len)), (lane, len));
        }
    }
}
