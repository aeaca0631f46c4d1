//! End to end: sealing and opening of frames, with keys that only the two tools have.
//!
//! [`handshake`] makes the keys; [`Sealer`] and [`Opener`] use them, one of each per side.
//!
//! After the session has moved to another connection ([`Opener::move_on`]), frames that were sent before may still come
//! over it: [`Opener::is_stale`] tells which ones say nothing new, and they are dropped. A frame may come twice, over two
//! connections: [`Opener::open_copy`] opens the one over the other connection when it is the first to come.
//!
//! Guarantees: a frame that was altered, repeated, dropped, reordered, given another flag, moved to another lane or
//! taken from another session, direction or key does not open; after the first such frame an [`Opener`] opens nothing
//! any more, which ends the session. No (key, nonce) pair is used twice.
//! It hides neither lane, length nor time of a frame from the relay.
//!
//! Sealed payload, by ChaCha20-Poly1305:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | sequence number of the lane, little-endian, below 2⁶¹ |
//! | 8 | length of the plain bytes | ciphertext |
//! | last 16 | 16 | tag |
//!
//! Nonce: lane 1 byte ‖ three zero bytes ‖ sequence number 8 bytes, little-endian.
//! Associated data: the five bytes of the outer frame's header, so lane, flags and length cannot be altered.
//!
//! Each lane counts on its own, from 0, without gaps, and has its own chain of keys:
//! `K(lane, 0) = HKDF-Expand(key of the direction, "uketsuke v1 lane" ‖ lane, 32)`, after which the key of the
//! direction is erased, and `K(lane, e + 1) = HKDF-Expand(K(lane, e), "uketsuke v1 ratchet" ‖ lane, 32)`, after which
//! the old key is erased.
//! Frame `n` of a lane is sealed under `K(lane, n / RATCHET_EVERY)` with [`limits::RATCHET_EVERY`]. Both sides know
//! `n` without asking, because the opener accepts the next number and nothing else; so they turn at the same frame,
//! and a lane that is never used holds back no other lane's ratchet.
//!
//! When a tool that was started again has rejoined the session ([`rejoin`]), both sides have new keys and each lane
//! counts from a number that these keys decide, in `n` above from 0. So a frame from before is known by its number
//! ([`Opener::is_foreign`]), wherever it comes, and breaks nothing.

/// Secrets are not for logs.
macro_rules! prints_as_nothing {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

pub mod handshake;
pub mod rejoin;
pub mod resume;

use std::cmp::Ordering;

use bytes::Bytes;
use chacha20poly1305::{AeadInPlace as _, ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use zeroize::Zeroizing;

use self::{
    handshake::expand,
    rejoin::RejoinSecret,
    resume::{Arrived, Due, Resume, Said},
};
use crate::{
    frame::{FLAG_MORE, Frame, FrameHeader, FrameType, Lane},
    limits,
    role::Role,
};

/// Bytes of every key here.
pub(crate) const KEY_LEN: usize = 32;
/// A key that is erased when it is dropped.
pub(crate) type Key = Zeroizing<[u8; KEY_LEN]>;
/// Bytes of a sequence number in front of the ciphertext.
const SEQUENCE_LEN: usize = 8;
/// Bytes of the tag behind the ciphertext.
const TAG_LEN: usize = 16;
/// Sequence numbers are below this, so that three bits stay free in the nonce.
const SEQUENCE_END: u64 = 1 << 61;
/// Frames of a lane under one set of keys: after decades of the fastest line.
const SEQUENCE_SPAN: u64 = 1 << 40;
/// Lanes of keys that were made by a rejoin begin at or above this number, and below twice this number.
const SEQUENCE_REJOINED: u64 = 1 << 59;

/// What both sides hold after the key exchange. Prints as nothing.
pub struct SessionKeys {
    customer: Key,
    operator: Key,
    rejoin: RejoinSecret,
    begin: Begin,
}

/// Where the lanes begin to count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    AtZero,
    /// At a number that the key of the direction decides.
    AtDrawn,
}

/// Seals what this side sends. Prints as nothing.
pub struct Sealer {
    lanes: [Chain; 4],
    resume: Resume,
}

/// Opens what the other side sealed. Prints as nothing. A clone stands where this one does, so that many frames can be
/// tried at one place.
#[derive(Clone)]
pub struct Opener {
    lanes: [Chain; 4],
    resume: Resume,
    broken: bool,
    /// What may still come of each lane from before the session moved; nothing, as long as it never has.
    stale: Option<[Stale; 4]>,
    /// Frames of each lane of which a copy was opened and the first one is still on its way.
    ahead: [u64; 4],
}

/// What a copy of a frame is worth that came over another connection than the one the session goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// Nothing: the frame was opened already.
    Old,
    /// It is the frame that is due: [`Opener::open_copy`] opens it.
    Due,
    /// Frames before it are due.
    Early,
}

/// One lane after a move.
#[derive(Clone, Copy, Default)]
struct Stale {
    /// The lane has gone on since.
    goes_on: bool,
    /// Bytes that were dropped because frames before them are due.
    dropped: u64,
}

/// Why a frame was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More plain bytes than [`limits::SEALED_PLAIN_MAX`].
    #[error("{0} bytes do not fit into one sealed frame")]
    TooLong(usize),
    /// A flag that does not exist.
    #[error("frame flags {0:#04x} do not exist")]
    Flags(u8),
    /// The lane has used up its sequence numbers.
    #[error("the lane has no sequence number left")]
    Exhausted,
    /// Not a sealed frame, or one too short to be one.
    #[error("not a sealed frame")]
    NotSealed,
    /// Repeated, dropped, reordered or from another lane.
    #[error("frame {found} came where {expected} was due")]
    Sequence {
        /// The number in the frame.
        found: u64,
        /// The only number that opens.
        expected: u64,
    },
    /// The tag is wrong: altered, or sealed under another key.
    #[error("the frame was altered or sealed under another key")]
    Altered,
    /// A frame before this one did not open.
    #[error("the seal was broken before")]
    Broken,
}

impl SessionKeys {
    /// Six digits derived from the keys, equal on both sides: `123 456`. For people who want to compare them aloud.
    pub fn safety_code(&self) -> String {
        self.rejoin.safety_code()
    }

    /// What a tool keeps so that it can rejoin the session after a restart.
    pub fn rejoin_secret(&self) -> RejoinSecret {
        self.rejoin.clone()
    }

    /// Parts the keys into what `role` sends with and what it receives with.
    pub fn split(self, role: Role) -> (Sealer, Opener) {
        self.split_turning(role, limits::RATCHET_EVERY)
    }

    /// As [`Self::split`], with the ratchet turning every `every` frames, which is more than 0.
    fn split_turning(self, role: Role, every: u64) -> (Sealer, Opener) {
        let key = |sender: Role| match sender {
            Role::Customer => &self.customer,
            Role::Operator => &self.operator,
        };
        let lanes = |key: &Key| Lane::ALL.map(|lane| Chain::new(key, lane, every, self.begin.first(key, lane)));
        let (own, others) = (key(role), key(role.other()));
        let sealer = Sealer { lanes: lanes(own), resume: Resume::new(own) };
        (sealer, Opener::new(lanes(others), Resume::new(others)))
    }
}

impl Begin {
    /// The number of a lane's first frame.
    fn first(self, direction: &Key, lane: Lane) -> u64 {
        match self {
            Self::AtZero => 0,
            Self::AtDrawn => {
                let drawn = u64::from_le_bytes(*expand(direction, &[b"uketsuke v1 first", &[lane.code()]]));
                SEQUENCE_REJOINED | (drawn & (SEQUENCE_REJOINED - 1))
            }
        }
    }
}

impl Sealer {
    /// Seals up to [`limits::SEALED_PLAIN_MAX`] bytes under the lane's next sequence number.
    ///
    /// Every sealed frame must be sent, in this order: the other side accepts no gap. It is kept until the other side
    /// says that it arrived, and sent again as it is when the session goes on over another relay.
    ///
    /// # Errors
    /// [`SealError::TooLong`], [`SealError::Flags`] and [`SealError::Exhausted`]; no number is used then.
    pub fn seal(&mut self, lane: Lane, flags: u8, plain: &[u8]) -> Result<Frame, SealError> {
        let too_long = SealError::TooLong(plain.len());
        if limits::SEALED_PLAIN_MAX < plain.len() {
            return Err(too_long);
        }
        if flags & !FLAG_MORE != 0 {
            return Err(SealError::Flags(flags));
        }
        let len = plain.len().checked_add(limits::SEAL_OVERHEAD).and_then(|len| u16::try_from(len).ok());
        let header = FrameHeader { kind: FrameType::Sealed, lane, flags, len: len.ok_or(too_long)? };
        let chain = chain(&mut self.lanes, lane);
        let sequence = chain.next()?;

        let mut payload = Vec::with_capacity(plain.len().saturating_add(limits::SEAL_OVERHEAD));
        payload.extend_from_slice(&sequence.to_le_bytes());
        payload.extend_from_slice(plain);
        let (_sequence, body) = payload.split_at_mut(SEQUENCE_LEN);
        let tag = chain
            .cipher()
            .encrypt_in_place_detached(&nonce(lane, sequence), &header.to_bytes(), body)
            .map_err(|_longer_than_256_gib| too_long)?;
        payload.extend_from_slice(&tag);
        chain.advance(lane);
        Ok(Frame { kind: FrameType::Sealed, lane, flags, payload: Bytes::from(payload) })
    }
}

impl Sealer {
    /// Says over a new relay what has arrived here, [`Opener::arrived`], and whether an answer is waited for.
    ///
    /// # Errors
    /// [`SealError::Exhausted`] after 2⁶¹ of them.
    pub fn seal_resume(&mut self, said: Said) -> Result<Frame, SealError> {
        self.resume.seal(said)
    }

    /// The serial number that the next `Resume` gets.
    pub const fn resumes(&self) -> u64 {
        self.resume.serial()
    }

    /// The sequence number that the next frame of each lane gets.
    pub fn due(&self) -> Due {
        due(&self.lanes)
    }
}

impl Opener {
    const fn new(lanes: [Chain; 4], resume: Resume) -> Self {
        Self { lanes, resume, broken: false, stale: None, ahead: [0; 4] }
    }

    /// Reads what the other side says over a new relay: what has arrived there, and whether it waits for an answer.
    ///
    /// # Errors
    /// [`SealError::NotSealed`], [`SealError::Sequence`] (an old one again) and [`SealError::Altered`]. None of them
    /// breaks the seal: whoever made the bytes up is the relay.
    pub fn open_resume(&mut self, frame: &Frame) -> Result<Said, SealError> {
        self.resume.open(frame)
    }

    /// What has arrived here.
    pub fn arrived(&self) -> Arrived {
        Arrived { due: self.due(), resumes: self.resume.serial() }
    }

    /// The sequence number that is due next on each lane.
    pub fn due(&self) -> Due {
        due(&self.lanes)
    }

    /// The session goes on over another connection: the other side sends again what is due, and before that frames may
    /// come which it sent over this connection earlier.
    pub fn move_on(&mut self) {
        self.stale = Some([Stale::default(); 4]);
        self.ahead = [0; 4];
    }

    /// Whether a frame says nothing new and is to be dropped: one of which a copy was opened, once; after a move, a copy of
    /// one that was opened, or one behind others that are due and come again.
    ///
    /// A lane that has gone on since the move has no gap any more, and nobody has more of a lane under way than its
    /// credit and one message: beyond that a gap is what it always is, and [`Self::open`] refuses it.
    pub fn is_stale(&mut self, frame: &Frame) -> bool {
        let Some((found, _rest)) = frame.payload.split_first_chunk::<SEQUENCE_LEN>() else { return false };
        let found = u64::from_le_bytes(*found);
        let (expected, place) = (chain(&mut self.lanes, frame.lane).sequence, usize::from(frame.lane.code()));
        if let Some(ahead) = self.ahead.get_mut(place).filter(|ahead| 0 < **ahead)
            && expected.checked_sub(*ahead) == Some(found)
        {
            *ahead = ahead.saturating_sub(1);
            return true;
        }
        let Some(lane) = self.stale.as_mut().and_then(|lanes| lanes.get_mut(place)) else { return false };
        if found <= expected || lane.goes_on {
            return found < expected;
        }
        let len = u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
        lane.dropped = lane.dropped.saturating_add(len);
        lane.dropped <= stale_max(frame.lane)
    }

    /// Whether a frame was sealed under other keys of the session, as its number tells: earlier ones, or those of a
    /// rejoin whose last word has not come yet.
    pub fn is_foreign(&self, frame: &Frame) -> bool {
        let Some((found, _rest)) = frame.payload.split_first_chunk::<SEQUENCE_LEN>() else { return false };
        let [control, input, screen, bulk] = &self.lanes;
        let lane = match frame.lane {
            Lane::Control => control,
            Lane::Input => input,
            Lane::Screen => screen,
            Lane::Bulk => bulk,
        };
        u64::from_le_bytes(*found).checked_sub(lane.first).is_none_or(|count| SEQUENCE_SPAN <= count)
    }

    /// Whether these are the keys of the meeting, and not those of a rejoin.
    pub fn is_first(&self) -> bool {
        self.lanes.iter().all(|lane| lane.first == 0)
    }

    /// Opens the next frame of a lane.
    ///
    /// # Errors
    /// [`SealError::NotSealed`], [`SealError::Sequence`], [`SealError::Altered`] and [`SealError::Exhausted`], and
    /// [`SealError::Broken`] for every frame after one of those.
    pub fn open(&mut self, frame: &Frame) -> Result<Vec<u8>, SealError> {
        if self.broken {
            return Err(SealError::Broken);
        }
        let opened = self.open_next(frame);
        self.broken = opened.is_err();
        if let Some(lane) = self.stale.as_mut().and_then(|lanes| lanes.get_mut(usize::from(frame.lane.code()))) {
            lane.goes_on |= opened.is_ok();
        }
        opened
    }

    /// What a frame is worth that came over another connection than the one the session goes over. What is no frame is
    /// due: it does not open.
    pub fn copied(&mut self, frame: &Frame) -> Copied {
        let Some((found, _rest)) = frame.payload.split_first_chunk::<SEQUENCE_LEN>() else { return Copied::Due };
        match u64::from_le_bytes(*found).cmp(&chain(&mut self.lanes, frame.lane).sequence) {
            Ordering::Less => Copied::Old,
            Ordering::Equal => Copied::Due,
            Ordering::Greater => Copied::Early,
        }
    }

    /// Opens the next frame of a lane from a copy. The frame itself is dropped when it comes: [`Self::is_stale`].
    ///
    /// # Errors
    /// As [`Self::open`], but the seal does not break: whoever made the copy up is the relay, and the frame itself comes.
    pub fn open_copy(&mut self, frame: &Frame) -> Result<Vec<u8>, SealError> {
        if self.broken {
            return Err(SealError::Broken);
        }
        let plain = self.open_next(frame)?;
        if let Some(ahead) = self.ahead.get_mut(usize::from(frame.lane.code())) {
            *ahead = ahead.saturating_add(1);
        }
        Ok(plain)
    }

    fn open_next(&mut self, frame: &Frame) -> Result<Vec<u8>, SealError> {
        let header = frame.header().map_err(|_too_long| SealError::NotSealed)?;
        if header.kind != FrameType::Sealed {
            return Err(SealError::NotSealed);
        }
        let (found, rest) = frame.payload.split_first_chunk::<SEQUENCE_LEN>().ok_or(SealError::NotSealed)?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(SealError::NotSealed)?;
        let found = u64::from_le_bytes(*found);
        let chain = chain(&mut self.lanes, header.lane);
        let expected = chain.next()?;
        if found != expected {
            return Err(SealError::Sequence { found, expected });
        }
        let mut plain = body.to_vec();
        chain
            .cipher()
            .decrypt_in_place_detached(&nonce(header.lane, found), &header.to_bytes(), &mut plain, Tag::from_slice(tag))
            .map_err(|_wrong_tag| SealError::Altered)?;
        chain.advance(header.lane);
        Ok(plain)
    }
}

/// Bytes of a lane that may have been under way when the session moved: its credit and one message of the longest kind,
/// and as much again for what sealing adds to small messages.
fn stale_max(lane: Lane) -> u64 {
    let longest = u64::try_from(lane.message_len_max()).unwrap_or(u64::MAX);
    lane.credit().saturating_add(longest).saturating_mul(2)
}

/// The keys of one lane in one direction, one after the other.
#[derive(Clone)]
struct Chain {
    key: Key,
    /// Number of the first frame.
    first: u64,
    /// Number of the next frame.
    sequence: u64,
    /// Frames under one key.
    every: u64,
    /// Frames still to go under this key; more than 0.
    left: u64,
}

impl Chain {
    fn new(direction: &Key, lane: Lane, every: u64, first: u64) -> Self {
        let key = expand(direction, &[b"uketsuke v1 lane", &[lane.code()]]);
        Self { key, first, sequence: first, every, left: every }
    }

    /// The number of the frame that is due.
    const fn next(&self) -> Result<u64, SealError> {
        if self.sequence < self.first.saturating_add(SEQUENCE_SPAN) {
            Ok(self.sequence)
        } else {
            Err(SealError::Exhausted)
        }
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.key).into())
    }

    /// Counts a frame, and turns the ratchet when it was the last one under its key.
    fn advance(&mut self, lane: Lane) {
        self.sequence = self.sequence.saturating_add(1);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.key = expand(&self.key, &[b"uketsuke v1 ratchet", &[lane.code()]]);
            self.left = self.every;
        }
    }
}

fn due(lanes: &[Chain; 4]) -> Due {
    lanes.each_ref().map(|chain| chain.sequence)
}

fn chain(lanes: &mut [Chain; 4], lane: Lane) -> &mut Chain {
    let [control, input, screen, bulk] = lanes;
    match lane {
        Lane::Control => control,
        Lane::Input => input,
        Lane::Screen => screen,
        Lane::Bulk => bulk,
    }
}

fn nonce(lane: Lane, sequence: u64) -> Nonce {
    let mut nonce = Nonce::default();
    let (lane_part, sequence_part) = nonce.split_at_mut(4);
    lane_part.copy_from_slice(&[lane.code(), 0, 0, 0]);
    sequence_part.copy_from_slice(&sequence.to_le_bytes());
    nonce
}

prints_as_nothing! { SessionKeys Sealer Opener }

#[cfg(test)]
mod tests;
