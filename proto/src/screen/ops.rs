//! The wire form of one update. All integers are little-endian.
//!
//! | offset | bytes | header |
//! |---|---|---|
//! | 0 | 1 | flags: 1 RESET (a new black picture and a new zstd stream begin), 2 LOSSY (some pixels are not exact yet); others 0 |
//! | 1 | 8 | number of the update; one more than the one before, anything at RESET |
//! | 9 | 2 | width of the picture |
//! | 11 | 2 | height of the picture |
//! | 13 | 4 | `i`: length of the segment, inflated; at most `3 * width * height + 64 KiB` |
//! | 17 | 4 | `d`: length of the segment, deflated |
//! | 21 | 4 | `p`: length of the photographs |
//! | 25 | d | segment: the next flushed piece of the zstd stream, window at most 2²⁴ bytes |
//! | 25 + d | p | photographs: JPEG files one after the other |
//! | 25 + d + p | 0–255 | zeros: updates under 2 KiB are filled up to a multiple of 256, so that a length says less |
//!
//! | bytes | inflated segment |
//! |---|---|
//! | 2 | number of operations, at most 8192 |
//! | 13 | COPY: 0, place (x, y, width, height: 2 bytes each), from x 2, from y 2 |
//! | 12 | FILL: 1, place, blue, green, red |
//! | 9 | RAW: 2, place; its pixels are among those at the end |
//! | 13 | PHOTO: 3, place, length of its JPEG 4 |
//! | 9 | COLUMNS: 4, place; like RAW, but column after column, which shortens a line of text to half |
//! | 3·n | pixels of the RAW and COLUMNS operations in their order: blue, green, red |
//!
//! Copies come first and all read the picture before the update; then the rest is painted in order.
//! Places lie inside the picture. Copies together cover at most as many pixels as the picture has, the others together twice as many.

use super::picture::{Rect, check_size};

/// Bytes of the header.
pub(super) const HEADER_LEN: usize = 25;
/// Operations of one update: one for each tile of the largest picture.
pub(super) const OPS_MAX: usize = 8192;
/// Bytes of the longest operation.
pub(super) const OP_LEN_MAX: usize = 13;
/// log₂ of the zstd window: all of a 1080p screen in several states.
pub(super) const WINDOW_LOG: u32 = 24;
/// Updates shorter than this are padded.
pub(super) const PADDED_BELOW: usize = 2048;
/// The step of padding.
pub(super) const PADDING: usize = 256;

const FLAG_RESET: u8 = 1;
const FLAG_LOSSY: u8 = 2;
const KIND_COPY: u8 = 0;
const KIND_FILL: u8 = 1;
const KIND_RAW: u8 = 2;
const KIND_PHOTO: u8 = 3;
const KIND_COLUMNS: u8 = 4;

/// The fixed part of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) reset: bool,
    pub(super) lossy_pending: bool,
    pub(super) update: u64,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) inflated: u32,
    pub(super) deflated: u32,
    pub(super) photos: u32,
}

/// One thing to do to the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Copy { to: Rect, from_x: u16, from_y: u16 },
    Fill { to: Rect, bgr: [u8; 3] },
    Raw { to: Rect },
    Photo { to: Rect, len: u32 },
    Columns { to: Rect },
}

/// Bytes that are not an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Shorter than its own lengths say.
    #[error("the update is cut short")]
    Short,
    /// Something follows that is not padding.
    #[error("the update has bytes left over")]
    Long,
    /// A flag, kind, order or size that this version does not know or allow.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(
            u8::from(self.reset).saturating_mul(FLAG_RESET) | u8::from(self.lossy_pending).saturating_mul(FLAG_LOSSY),
        );
        out.extend_from_slice(&self.update.to_le_bytes());
        out.extend_from_slice(&self.width.to_le_bytes());
        out.extend_from_slice(&self.height.to_le_bytes());
        for len in [self.inflated, self.deflated, self.photos] {
            out.extend_from_slice(&len.to_le_bytes());
        }
    }

    /// Reads and checks a header; the rest is segment, photographs and padding.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, Body<'_>), FormError> {
        let mut reader = Reader(bytes);
        let [flags] = reader.take()?;
        if flags & !(FLAG_RESET | FLAG_LOSSY) != 0 {
            return Err(FormError::OutOfRange("flags"));
        }
        let header = Self {
            reset: flags & FLAG_RESET != 0,
            lossy_pending: flags & FLAG_LOSSY != 0,
            update: u64::from_le_bytes(reader.take()?),
            width: reader.take_u16()?,
            height: reader.take_u16()?,
            inflated: reader.take_u32()?,
            deflated: reader.take_u32()?,
            photos: reader.take_u32()?,
        };
        check_size(header.width, header.height).map_err(|_size| FormError::OutOfRange("picture size"))?;
        if segment_len_max(header.width, header.height) < u64::from(header.inflated) {
            return Err(FormError::OutOfRange("segment length"));
        }
        let body = Body { segment: reader.take_slice(header.deflated)?, photos: reader.take_slice(header.photos)? };
        let Reader(padding) = reader;
        if PADDING <= padding.len() || padding.iter().any(|&byte| byte != 0) {
            return Err(FormError::Long);
        }
        Ok((header, body))
    }
}

/// What follows a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) segment: &'a [u8],
    pub(super) photos: &'a [u8],
}

/// Longest inflated segment of a picture of this size.
pub(super) fn segment_len_max(width: u16, height: u16) -> u64 {
    u64::from(width).saturating_mul(u64::from(height)).saturating_mul(3).saturating_add(64 * 1024)
}

/// Appends the operations of a segment; pixels are appended by the caller.
pub(super) fn write_ops(ops: &[Op], out: &mut Vec<u8>) {
    let count = u16::try_from(ops.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    for op in ops {
        match *op {
            Op::Copy { to, from_x, from_y } => {
                write_place(KIND_COPY, to, out);
                out.extend_from_slice(&from_x.to_le_bytes());
                out.extend_from_slice(&from_y.to_le_bytes());
            }
            Op::Fill { to, bgr } => {
                write_place(KIND_FILL, to, out);
                out.extend_from_slice(&bgr);
            }
            Op::Raw { to } => write_place(KIND_RAW, to, out),
            Op::Columns { to } => write_place(KIND_COLUMNS, to, out),
            Op::Photo { to, len } => {
                write_place(KIND_PHOTO, to, out);
                out.extend_from_slice(&len.to_le_bytes());
            }
        }
    }
}

/// Reads the operations of a segment into `ops` and returns the RAW and COLUMNS pixels.
///
/// After this every place is inside the picture, copies are first, areas are bounded, and there are exactly as many
/// RAW and photograph bytes as the operations want.
pub(super) fn read_ops<'a>(
    segment: &'a [u8],
    photos: &[u8],
    (width, height): (u16, u16),
    ops: &mut Vec<Op>,
) -> Result<&'a [u8], FormError> {
    ops.clear();
    let mut reader = Reader(segment);
    let count = usize::from(reader.take_u16()?);
    if OPS_MAX < count {
        return Err(FormError::OutOfRange("number of operations"));
    }
    let mut sums = Sums::default();
    for _ in 0..count {
        let op = read_op(&mut reader)?;
        let (to, from) = match op {
            Op::Copy { to, from_x, from_y } => {
                if sums.painted != 0 {
                    return Err(FormError::OutOfRange("order of operations"));
                }
                (to, Rect { x: from_x, y: from_y, ..to })
            }
            Op::Fill { to, .. } | Op::Raw { to } | Op::Photo { to, .. } | Op::Columns { to } => (to, to),
        };
        if !to.is_inside(width, height) || !from.is_inside(width, height) {
            return Err(FormError::OutOfRange("rectangle"));
        }
        sums.add(op);
        ops.push(op);
    }
    let Reader(raw) = reader;
    let area_max = u64::from(width).saturating_mul(u64::from(height));
    if area_max < sums.copied || area_max.saturating_mul(2) < sums.painted {
        return Err(FormError::OutOfRange("area"));
    }
    if u64::try_from(raw.len()) != Ok(sums.raw.saturating_mul(3)) {
        return Err(FormError::OutOfRange("number of pixels"));
    }
    if u64::try_from(photos.len()) != Ok(sums.photo_bytes) {
        return Err(FormError::OutOfRange("length of photographs"));
    }
    Ok(raw)
}

/// What the operations of one update cover together.
#[derive(Default)]
struct Sums {
    copied: u64,
    painted: u64,
    raw: u64,
    photo_bytes: u64,
}

impl Sums {
    fn add(&mut self, op: Op) {
        match op {
            Op::Copy { to, .. } => self.copied = self.copied.saturating_add(to.pixels()),
            Op::Fill { to, .. } => self.painted = self.painted.saturating_add(to.pixels()),
            Op::Raw { to } | Op::Columns { to } => {
                self.painted = self.painted.saturating_add(to.pixels());
                self.raw = self.raw.saturating_add(to.pixels());
            }
            Op::Photo { to, len } => {
                self.painted = self.painted.saturating_add(to.pixels());
                self.photo_bytes = self.photo_bytes.saturating_add(u64::from(len));
            }
        }
    }
}

fn read_op(reader: &mut Reader<'_>) -> Result<Op, FormError> {
    let [kind] = reader.take()?;
    let to =
        Rect { x: reader.take_u16()?, y: reader.take_u16()?, width: reader.take_u16()?, height: reader.take_u16()? };
    match kind {
        KIND_COPY => Ok(Op::Copy { to, from_x: reader.take_u16()?, from_y: reader.take_u16()? }),
        KIND_FILL => Ok(Op::Fill { to, bgr: reader.take()? }),
        KIND_RAW => Ok(Op::Raw { to }),
        KIND_COLUMNS => Ok(Op::Columns { to }),
        KIND_PHOTO => Ok(Op::Photo { to, len: reader.take_u32()? }),
        _ => Err(FormError::OutOfRange("kind of operation")),
    }
}

fn write_place(kind: u8, to: Rect, out: &mut Vec<u8>) {
    out.push(kind);
    for edge in [to.x, to.y, to.width, to.height] {
        out.extend_from_slice(&edge.to_le_bytes());
    }
}

/// Bytes that are still to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(FormError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn take_u16(&mut self) -> Result<u16, FormError> {
        self.take().map(u16::from_le_bytes)
    }

    fn take_u32(&mut self) -> Result<u32, FormError> {
        self.take().map(u32::from_le_bytes)
    }

    /// The next `len` bytes.
    pub(super) fn take_slice(&mut self, len: u32) -> Result<&'a [u8], FormError> {
        let len = usize::try_from(len).map_err(|_too_long| FormError::Short)?;
        let (head, rest) = self.0.split_at_checked(len).ok_or(FormError::Short)?;
        self.0 = rest;
        Ok(head)
    }
}

impl Op {
    /// The rectangle it changes.
    pub(super) fn place(&self) -> Rect {
        match *self {
            Self::Copy { to, .. }
            | Self::Fill { to, .. }
            | Self::Raw { to }
            | Self::Photo { to, .. }
            | Self::Columns { to } => to,
        }
    }
}
