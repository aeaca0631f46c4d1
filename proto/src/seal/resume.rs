//! A session goes on over another relay: what each side says first there.
//!
//! A `Resume` frame says which frames have arrived, so that the other side sends the rest again, as they were sealed.
//! Its payload, by ChaCha20-Poly1305 under a key of its own,
//! `HKDF-Expand(key of the direction, "uketsuke v1 resume", 32)`:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | serial number, little-endian, below 2⁶¹ |
//! | 8 | 41 | ciphertext of five u64, little-endian: the sequence number due next on each lane, and the serial number due next of the other side's `Resume`; then 1 when an answer is waited for, 0 when not |
//! | 49 | 16 | tag |
//!
//! Nonce: 0xFF ‖ three zero bytes ‖ serial number 8 bytes, little-endian. Associated data: the header of the frame.
//!
//! Guarantees: nobody but the two tools makes one, and a repeated one does not open, because the serial number only
//! grows. One that does not open says something about the relay it came over and nothing about the session.

use bytes::Bytes;
use chacha20poly1305::{AeadInPlace as _, ChaCha20Poly1305, KeyInit as _, Nonce, Tag};

use super::{Key, SEQUENCE_END, SEQUENCE_LEN, SealError, TAG_LEN, handshake::expand};
use crate::{
    frame::{Frame, FrameHeader, FrameType, Lane},
    limits::SEAL_OVERHEAD,
};

/// The sequence number that is due next on each lane, in the order of [`Lane::ALL`].
pub type Due = [u64; 4];

/// What has arrived at one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// The frames.
    pub due: Due,
    /// The serial number that the next `Resume` of the other side has at the least.
    pub resumes: u64,
}

/// What a `Resume` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// What has arrived at the side that says it.
    pub arrived: Arrived,
    /// It goes on only when it is answered; who answers does not ask.
    pub asks: bool,
}

/// Bytes of five numbers and a mark.
const PLAIN_LEN: usize = 41;

/// Seals or opens the words of one direction. Prints as nothing.
#[derive(Clone)]
pub(super) struct Resume {
    key: Key,
    /// The smallest serial number that was not used yet.
    serial: u64,
}

impl Resume {
    pub(super) fn new(direction: &Key) -> Self {
        Self { key: expand(direction, &[b"uketsuke v1 resume"]), serial: 0 }
    }

    /// The smallest serial number that was not used yet.
    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn seal(&mut self, Said { arrived: Arrived { due, resumes }, asks }: Said) -> Result<Frame, SealError> {
        if SEQUENCE_END <= self.serial {
            return Err(SealError::Exhausted);
        }
        let header = header();
        let mut body = Vec::with_capacity(PLAIN_LEN);
        for next in due.into_iter().chain([resumes]) {
            body.extend_from_slice(&next.to_le_bytes());
        }
        body.push(u8::from(asks));
        let tag = self
            .cipher()
            .encrypt_in_place_detached(&nonce(self.serial), &header.to_bytes(), &mut body)
            .map_err(|_longer_than_256_gib| SealError::TooLong(PLAIN_LEN))?;
        let mut payload = Vec::with_capacity(PLAIN_LEN + SEAL_OVERHEAD);
        payload.extend_from_slice(&self.serial.to_le_bytes());
        payload.extend_from_slice(&body);
        payload.extend_from_slice(&tag);
        self.serial = self.serial.saturating_add(1);
        Ok(Frame { kind: FrameType::Resume, lane: Lane::Control, flags: 0, payload: Bytes::from(payload) })
    }

    pub(super) fn open(&mut self, frame: &Frame) -> Result<Said, SealError> {
        if frame.header() != Ok(header()) {
            return Err(SealError::NotSealed);
        }
        let (found, rest) = frame.payload.split_first_chunk::<SEQUENCE_LEN>().ok_or(SealError::NotSealed)?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(SealError::NotSealed)?;
        let found = u64::from_le_bytes(*found);
        if found < self.serial || SEQUENCE_END <= found {
            return Err(SealError::Sequence { found, expected: self.serial });
        }
        let mut plain = body.to_vec();
        self.cipher()
            .decrypt_in_place_detached(&nonce(found), &header().to_bytes(), &mut plain, Tag::from_slice(tag))
            .map_err(|_wrong_tag| SealError::Altered)?;
        self.serial = found.saturating_add(1);
        let (fields, mark) = plain.as_chunks::<8>();
        let mut numbers = [0; 5];
        for (next, bytes) in numbers.iter_mut().zip(fields) {
            *next = u64::from_le_bytes(*bytes);
        }
        let [due @ .., resumes] = numbers;
        Ok(Said { arrived: Arrived { due, resumes }, asks: mark != [0] })
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.key).into())
    }
}

/// The only header such a frame has.
const fn header() -> FrameHeader {
    FrameHeader { kind: FrameType::Resume, lane: Lane::Control, flags: 0, len: PAYLOAD_LEN }
}

/// Bytes of the payload: serial number, what has arrived and the mark, tag.
const PAYLOAD_LEN: u16 = 65;
const _: () = assert!(PLAIN_LEN + SEAL_OVERHEAD == 65, "both are the same length");

fn nonce(serial: u64) -> Nonce {
    let mut nonce = Nonce::default();
    let (kind, number) = nonce.split_at_mut(4);
    kind.copy_from_slice(&[0xFF, 0, 0, 0]);
    number.copy_from_slice(&serial.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn pair() -> (Resume, Resume) {
        let key = Zeroizing::new([7; 32]);
        (Resume::new(&key), Resume::new(&key))
    }

    fn numbers(next: u64) -> Said {
        Said { arrived: Arrived { due: [next; 4], resumes: next }, asks: next.is_multiple_of(2) }
    }

    #[test]
    fn what_one_side_received_the_other_reads() {
        let (mut seals, mut opens) = pair();
        for (due, resumes) in [([0, 0, 0, 0], 0), ([1, 2, 3, u64::MAX], 5)] {
            for asks in [true, false] {
                let said = Said { arrived: Arrived { due, resumes }, asks };
                assert_eq!(opens.open(&seals.seal(said).unwrap()), Ok(said));
            }
        }
    }

    #[test]
    fn a_lost_word_harms_nothing_and_a_repeated_one_does_not_open() {
        let (mut seals, mut opens) = pair();
        let (first, second) = (seals.seal(numbers(1)).unwrap(), seals.seal(numbers(2)).unwrap());
        assert_eq!(opens.open(&second), Ok(numbers(2)));
        assert_eq!(opens.open(&second), Err(SealError::Sequence { found: 1, expected: 2 }));
        assert_eq!(opens.open(&first), Err(SealError::Sequence { found: 0, expected: 2 }));
        assert_eq!(opens.open(&seals.seal(numbers(3)).unwrap()), Ok(numbers(3)));
    }

    #[test]
    fn an_altered_word_does_not_open_and_the_next_one_does() {
        let (mut seals, mut opens) = pair();
        let word = seals.seal(numbers(5)).unwrap();
        for place in 0..word.payload.len() {
            let mut payload = word.payload.to_vec();
            payload[place] ^= 1;
            let altered = Frame { payload: payload.into(), ..word.clone() };
            assert!(opens.open(&altered).is_err(), "byte {place}");
        }
        for len in 0..word.payload.len() {
            let cut = Frame { payload: word.payload.slice(..len), ..word.clone() };
            assert_eq!(opens.open(&cut), Err(SealError::NotSealed), "{len} bytes");
        }
        assert_eq!(opens.open(&word), Ok(numbers(5)));
    }
}
