//! The record layer of TLS 1.3 (RFC 8446 section 5) after the handshake. Pure: bytes in, bytes out, no socket.
//!
//! A relay does nothing with its TLS records but open them, look at five bytes of each frame, and seal them again. So
//! that this costs what the cipher costs, it takes the two traffic secrets out of the handshake (`served.rs`) and opens
//! records from the buffer they were read into, straight to where their frames are cut, and seals many frames into full
//! records of one write. The handshake itself, and both ends of every tool, stay with rustls.
//!
//! Guarantees: a sequence number is used once under a key, and a key for [`REKEY_AFTER`] records at most, far below the
//! bounds of its cipher; what a stranger sends is an error and never a panic; after an error nothing more is opened.
//! The other end may change its key at any time (`KeyUpdate`), and ours is changed when it asks.

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{self, KeyType, Prk},
};
use bytes::Bytes;
use rustls::CipherSuite;
use zeroize::Zeroizing;

mod room;

pub use self::room::Room;

/// Plain bytes in one record at most.
pub const PLAIN_MAX: usize = 1 << 14;
/// Type 1 + version 2 + length 2.
pub const HEADER_LEN: usize = 5;
/// What stands behind the header at most: [`PLAIN_MAX`], and 256 for type, padding and tag.
pub const BODY_MAX: usize = PLAIN_MAX + 256;
/// Records under one key at most. AES-GCM would allow 2^24.5 full ones (RFC 8446 section 5.5).
pub const REKEY_AFTER: u64 = 1 << 23;
/// Records without a byte of data in a row; nobody needs more, and each costs as much as one with data.
const BARREN_MAX: u32 = 16;

const TAG_LEN: usize = 16;
const NONCE_LEN: usize = 12;
const SECRET_MAX: usize = 48;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
const CLOSE_NOTIFY: u8 = 0;
/// Handshake message 24 of one byte: 0, or 1 to ask for the same.
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];

/// Every suite of TLS 1.3 that rustls speaks, with its cipher and hash.
static SUITES: [(CipherSuite, &aead::Algorithm, hkdf::Algorithm); 3] = [
    (CipherSuite::TLS13_AES_128_GCM_SHA256, &aead::AES_128_GCM, hkdf::HKDF_SHA256),
    (CipherSuite::TLS13_AES_256_GCM_SHA384, &aead::AES_256_GCM, hkdf::HKDF_SHA384),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, &aead::CHACHA20_POLY1305, hkdf::HKDF_SHA256),
];

/// Bytes that are not the other end's next record, or no key for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than any record.
    #[error("a record of {0} bytes is too long")]
    Length(usize),
    /// Not an encrypted record, or one with a content that has no place here.
    #[error("a record of type {0} has no place here")]
    Kind(u8),
    /// Altered, out of order, or of another connection.
    #[error("a record cannot be opened")]
    Tag,
    /// Record after record without data.
    #[error("too many records without data")]
    Barren,
    /// The other end gave up.
    #[error("the other end says alert {0}")]
    Alert(u8),
    /// A suite that is not of TLS 1.3, or a secret that does not fit it.
    #[error("there is no key for this connection")]
    Key,
}

/// What a record was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Data, perhaps none; it stands at the end of the buffer.
    Data,
    /// The other end will send nothing more.
    Closed,
    /// The other end has a new key. `asks`: and wants one of us, before we send anything else.
    Rekeyed {
        /// See there.
        asks: bool,
    },
}

/// Opens what the other end sealed.
pub struct Opener {
    keys: Keys,
    barren: u32,
}

/// Seals what the other end will open.
pub struct Sealer {
    keys: Keys,
}

/// One direction: its key, and what the next key is made of.
struct Keys {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
    hash: hkdf::Algorithm,
    secret: Zeroizing<[u8; SECRET_MAX]>,
}

/// Length of the record at the front of `bytes`, header included; `None` while its header is not whole.
///
/// # Errors
/// [`RecordError::Kind`] and [`RecordError::Length`]: nothing sensible follows.
pub fn record_len(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    let Some([kind, _, _, high, low]) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if *kind != APPLICATION {
        return Err(RecordError::Kind(*kind));
    }
    if BODY_MAX < len {
        return Err(RecordError::Length(len));
    }
    Ok(Some(HEADER_LEN + len))
}

impl Opener {
    /// Opens records under the traffic secret of the other end.
    ///
    /// # Errors
    /// [`RecordError::Key`].
    pub fn new(suite: CipherSuite, secret: &[u8]) -> Result<Self, RecordError> {
        Ok(Self { keys: Keys::new(suite, secret)?, barren: 0 })
    }

    /// Opens one whole record, header included, and appends its data to `plain`.
    ///
    /// # Errors
    /// See [`RecordError`]; `plain` is as before then, and the connection is broken.
    pub fn open(&mut self, record: &[u8], plain: &mut Room) -> Result<Opened, RecordError> {
        let (header, body) = record.split_first_chunk::<HEADER_LEN>().ok_or(RecordError::Length(record.len()))?;
        let (sealed, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(RecordError::Length(body.len()))?;
        let start = plain.len();
        let out = plain.grow(sealed.len());
        let opened = self.keys.open(*header, sealed, tag, out).and_then(|()| self.understand(start, plain));
        if !matches!(opened, Ok(Opened::Data)) {
            plain.truncate(start);
        }
        opened
    }

    /// Looks at the type behind the content and cuts it off, with its padding.
    fn understand(&mut self, start: usize, plain: &mut Room) -> Result<Opened, RecordError> {
        let inner = plain.get(start..).unwrap_or_default();
        let place = inner.iter().rposition(|byte| *byte != 0).ok_or(RecordError::Kind(0))?;
        let (content, kind) = inner.split_at_checked(place).ok_or(RecordError::Kind(0))?;
        if PLAIN_MAX < content.len() {
            return Err(RecordError::Length(content.len()));
        }
        let opened = match (kind.first(), content) {
            (Some(&APPLICATION), content) => {
                self.barren = if content.is_empty() { self.barren + 1 } else { 0 };
                plain.truncate(start + place);
                Opened::Data
            }
            (Some(&ALERT), [_, CLOSE_NOTIFY]) => Opened::Closed,
            (Some(&ALERT), [_, code]) => return Err(RecordError::Alert(*code)),
            (Some(&HANDSHAKE), [message @ .., asks @ (0 | 1)]) if message == KEY_UPDATE => {
                self.barren += 1;
                self.keys.turn()?;
                Opened::Rekeyed { asks: *asks == 1 }
            }
            (kind, _) => return Err(RecordError::Kind(kind.copied().unwrap_or_default())),
        };
        if BARREN_MAX < self.barren { Err(RecordError::Barren) } else { Ok(opened) }
    }
}

impl Sealer {
    /// Seals records under our own traffic secret.
    ///
    /// # Errors
    /// [`RecordError::Key`].
    pub fn new(suite: CipherSuite, secret: &[u8]) -> Result<Self, RecordError> {
        Ok(Self { keys: Keys::new(suite, secret)? })
    }

    /// Seals `pieces`, one behind the other, into as few records as they fit, and appends these to `out`. What fills a
    /// record by itself is sealed from where it stands; only what shares a record with something else is copied first.
    ///
    /// # Errors
    /// [`RecordError::Key`], which no input causes; nothing may be sent any more.
    pub fn seal(&mut self, pieces: &[Bytes], out: &mut Room) -> Result<(), RecordError> {
        // Where a record stands that is not full yet.
        let mut begun = None;
        for (place, piece) in pieces.iter().enumerate() {
            let mut rest = piece.as_ref();
            if let Some(start) = begun {
                let room = PLAIN_MAX.saturating_sub(out.len() - start - HEADER_LEN);
                let (now, later) = rest.split_at(room.min(rest.len()));
                out.extend_from_slice(now);
                rest = later;
                if now.len() < room {
                    continue;
                }
                self.finish(APPLICATION, start, out)?;
                begun = None;
            }
            while let Some((now, later)) = rest.split_at_checked(PLAIN_MAX) {
                self.seal_from(now, out)?;
                rest = later;
            }
            let is_last = place + 1 == pieces.len();
            match rest {
                [] => {}
                rest if is_last => self.seal_from(rest, out)?,
                rest => {
                    begun = Some(begin(out));
                    out.extend_from_slice(rest);
                }
            }
        }
        begun.map_or(Ok(()), |start| self.finish(APPLICATION, start, out))
    }

    /// Tells the other end that our key changes, and changes it.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn rekey(&mut self, out: &mut Room) -> Result<(), RecordError> {
        let start = begin(out);
        out.extend_from_slice(&KEY_UPDATE);
        out.extend_from_slice(&[0]);
        self.encrypt(HANDSHAKE, start, out)?;
        self.keys.turn()
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn close(&mut self, out: &mut Room) -> Result<(), RecordError> {
        let start = begin(out);
        out.extend_from_slice(&[1, CLOSE_NOTIFY]);
        self.encrypt(ALERT, start, out)
    }

    /// Encrypts what stands behind `start`, and changes the key when it has sealed enough.
    fn finish(&mut self, kind: u8, start: usize, out: &mut Room) -> Result<(), RecordError> {
        self.encrypt(kind, start, out)?;
        self.rekey_in_time(out)
    }

    fn rekey_in_time(&mut self, out: &mut Room) -> Result<(), RecordError> {
        if self.keys.sequence + 1 < REKEY_AFTER { Ok(()) } else { self.rekey(out) }
    }

    /// Appends one record of data.
    fn seal_from(&mut self, content: &[u8], out: &mut Room) -> Result<(), RecordError> {
        const KIND_LEN: usize = 1;
        let header = header(content.len() + KIND_LEN + TAG_LEN)?;
        out.extend_from_slice(&header);
        let (sealed, tail) = out.grow(content.len() + KIND_LEN + TAG_LEN).split_at_mut(content.len());
        self.keys.seal_apart(header, content, sealed, tail)?;
        self.rekey_in_time(out)
    }

    fn encrypt(&mut self, kind: u8, start: usize, out: &mut Room) -> Result<(), RecordError> {
        out.extend_from_slice(&[kind]);
        let whole = out.get_mut(start..).unwrap_or_default();
        let (place, content) = whole.split_first_chunk_mut::<HEADER_LEN>().ok_or(RecordError::Key)?;
        *place = header(content.len() + TAG_LEN)?;
        let tag = self.keys.seal(*place, content)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// What stands before `len` bytes of a record.
fn header(len: usize) -> Result<[u8; HEADER_LEN], RecordError> {
    let [high, low] = u16::try_from(len).map_err(|_too_long| RecordError::Key)?.to_be_bytes();
    Ok([APPLICATION, 3, 3, high, low])
}

/// Room for a header at the end of `out`; where it stands.
fn begin(out: &mut Room) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    start
}

impl Keys {
    fn new(suite: CipherSuite, secret: &[u8]) -> Result<Self, RecordError> {
        let known = SUITES.iter().find(|(known, _, _)| *known == suite);
        let (_, cipher, hash) = *known.ok_or(RecordError::Key)?;
        if secret.len() != hash.len() {
            return Err(RecordError::Key);
        }
        let mut kept = Zeroizing::new([0; SECRET_MAX]);
        kept.iter_mut().zip(secret).for_each(|(kept, byte)| *kept = *byte);
        let prk = Prk::new_less_safe(hash, secret);
        let mut iv = [0; NONCE_LEN];
        expand(&prk, b"iv", &mut iv)?;
        Ok(Self { aead: key(&prk, cipher)?, iv, sequence: 0, hash, secret: kept })
    }

    /// The next key of this direction, RFC 8446 section 7.2.
    fn turn(&mut self) -> Result<(), RecordError> {
        let prk = Prk::new_less_safe(self.hash, self.secret.get(..self.hash.len()).ok_or(RecordError::Key)?);
        let mut next = Zeroizing::new([0; SECRET_MAX]);
        let secret = next.get_mut(..self.hash.len()).ok_or(RecordError::Key)?;
        expand(&prk, b"traffic upd", secret)?;
        let prk = Prk::new_less_safe(self.hash, secret);
        expand(&prk, b"iv", &mut self.iv)?;
        self.aead = key(&prk, self.aead.algorithm())?;
        self.secret = next;
        self.sequence = 0;
        Ok(())
    }

    /// Each number once: the sequence ends before it could begin again.
    fn nonce(&mut self) -> Result<Nonce, RecordError> {
        let mut nonce = self.iv;
        for (byte, part) in nonce.iter_mut().skip(NONCE_LEN - 8).zip(self.sequence.to_be_bytes()) {
            *byte ^= part;
        }
        self.sequence = self.sequence.checked_add(1).ok_or(RecordError::Key)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    fn open(&mut self, header: [u8; HEADER_LEN], sealed: &[u8], tag: &[u8], out: &mut [u8]) -> Result<(), RecordError> {
        let nonce = self.nonce()?;
        self.aead
            .open_separate_gather(nonce, Aad::from(header), sealed, tag, out)
            .map_err(|_unspecified| RecordError::Tag)
    }

    fn seal(&mut self, header: [u8; HEADER_LEN], content: &mut [u8]) -> Result<aead::Tag, RecordError> {
        let nonce = self.nonce()?;
        self.aead.seal_in_place_separate_tag(nonce, Aad::from(header), content).map_err(|_unspecified| RecordError::Key)
    }

    /// Seals data from one place to another; its type and the tag go to `tail`.
    fn seal_apart(
        &mut self,
        header: [u8; HEADER_LEN],
        content: &[u8],
        sealed: &mut [u8],
        tail: &mut [u8],
    ) -> Result<(), RecordError> {
        let nonce = self.nonce()?;
        self.aead
            .seal_out_of_place_scatter(nonce, Aad::from(header), content, sealed, &[APPLICATION], tail)
            .map_err(|_unspecified| RecordError::Key)
    }
}

fn key(prk: &Prk, cipher: &'static aead::Algorithm) -> Result<LessSafeKey, RecordError> {
    let mut bytes = Zeroizing::new([0; 32]);
    let bytes = bytes.get_mut(..cipher.key_len()).ok_or(RecordError::Key)?;
    expand(prk, b"key", bytes)?;
    UnboundKey::new(cipher, bytes).map(LessSafeKey::new).map_err(|_unspecified| RecordError::Key)
}

/// A length for HKDF that is known when the program runs.
struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// `HKDF-Expand-Label` without context, RFC 8446 section 7.1.
fn expand(prk: &Prk, label: &[u8], out: &mut [u8]) -> Result<(), RecordError> {
    const PREFIX: &[u8] = b"tls13 ";
    let len = u16::try_from(out.len()).map_err(|_too_long| RecordError::Key)?;
    let label_len = u8::try_from(PREFIX.len() + label.len()).map_err(|_too_long| RecordError::Key)?;
    let info: [&[u8]; 5] = [&len.to_be_bytes(), &[label_len], PREFIX, label, &[0]];
    prk.expand(&info, Len(out.len())).and_then(|okm| okm.fill(out)).map_err(|_unspecified| RecordError::Key)
}

#[cfg(test)]
mod tests;
