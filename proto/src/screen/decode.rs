//! The viewer's side: updates in, picture out.
//!
//! Whatever the bytes are, the decoder does not panic and allocates no more than a picture, an inflated segment, the
//! area of all copies and one zstd window. Everything that can be checked is checked before the first pixel changes.

use zstd::stream::raw::{DParameter, Decoder as Inflater, InBuffer, Operation as _, OutBuffer};

use super::{
    ops::{self, Body, FormError, Header, Op, Reader},
    photo::{self, PhotoError},
    picture::{Picture, Rect, SizeError},
};

/// How much is inflated at a time, so that a false length costs little.
const INFLATE_STEP: usize = 256 * 1024;

/// Keeps the viewer's picture.
pub struct Decoder {
    picture: Option<Picture>,
    update: u64,
    /// The zstd stream; none before the first RESET and after an error.
    inflater: Option<Inflater<'static>>,
    segment: Vec<u8>,
    ops: Vec<Op>,
    scratch: Vec<u8>,
}

/// What an update did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Number of the update.
    pub update: u64,
    /// The rectangles that changed, inside the picture; all of it at a reset.
    pub changed: Vec<Rect>,
    /// The picture began anew, perhaps in another size.
    pub reset: bool,
    /// Some pixels are not exact yet; a later update makes them so.
    pub lossy_pending: bool,
}

/// Why an update was refused. After any of these only an update that resets is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the form of an update.
    #[error(transparent)]
    Form(#[from] FormError),
    /// A picture size outside the limits.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// An update of another size than the picture, without a reset.
    #[error("the update is for a picture of another size")]
    OtherSize,
    /// Updates are missing or repeated.
    #[error("update {found} came where {expected} was due")]
    OutOfOrder {
        /// Number that was due.
        expected: u64,
        /// Number found.
        found: u64,
    },
    /// There is no picture to change: at the start, or since an error.
    #[error("an update that resets is needed first")]
    NeedsReset,
    /// The zstd stream is damaged, too short or too long.
    #[error("the segment does not inflate")]
    Segment,
    /// A photograph is damaged or of another size than its place.
    #[error(transparent)]
    Photo(#[from] PhotoError),
}

impl Decoder {
    /// A decoder without a picture.
    pub fn new() -> Self {
        Self { picture: None, update: 0, inflater: None, segment: Vec::new(), ops: Vec::new(), scratch: Vec::new() }
    }

    /// Applies one update.
    ///
    /// # Errors
    /// See [`DecodeError`]. The picture then stays for showing, but may be half painted, and everything but a reset is
    /// refused.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<Applied, DecodeError> {
        let applied = self.try_apply(bytes);
        if applied.is_err() {
            self.inflater = None;
        }
        applied
    }

    /// The picture as it is now; none before the first update.
    pub fn picture(&self) -> Option<&Picture> {
        self.picture.as_ref()
    }

    /// The operations of the update before.
    #[cfg(test)]
    pub(super) fn operations(&self) -> &[Op] {
        &self.ops
    }

    fn try_apply(&mut self, bytes: &[u8]) -> Result<Applied, DecodeError> {
        let (header, body) = Header::read(bytes)?;
        if header.reset {
            self.start(&header)?;
        }
        self.check_follows(&header)?;
        let inflater = self.inflater.as_mut().ok_or(DecodeError::NeedsReset)?;
        inflate(inflater, body.segment, header.inflated, &mut self.segment)?;
        let size = (header.width, header.height);
        let raw = ops::read_ops(&self.segment, body.photos, size, &mut self.ops)?;
        let picture = self.picture.as_mut().ok_or(DecodeError::NeedsReset)?;
        paint(picture, &self.ops, Body { segment: raw, photos: body.photos }, &mut self.scratch)?;
        self.update = header.update;
        let changed = if header.reset { vec![picture.rect()] } else { self.ops.iter().map(Op::place).collect() };
        Ok(Applied { update: header.update, changed, reset: header.reset, lossy_pending: header.lossy_pending })
    }

    /// Begins a picture and a stream.
    fn start(&mut self, header: &Header) -> Result<(), DecodeError> {
        self.inflater = None;
        let has_size = |picture: &Picture| (picture.width(), picture.height()) == (header.width, header.height);
        match self.picture.as_mut().filter(|picture| has_size(picture)) {
            Some(picture) => picture.fill(picture.rect(), [0; 3]),
            None => self.picture = Some(Picture::new(header.width, header.height)?),
        }
        let mut inflater = Inflater::new().map_err(|_no_memory| DecodeError::Segment)?;
        inflater
            .set_parameter(DParameter::WindowLogMax(ops::WINDOW_LOG))
            .map_err(|_unsupported| DecodeError::Segment)?;
        self.inflater = Some(inflater);
        self.update = header.update.wrapping_sub(1);
        Ok(())
    }

    fn check_follows(&self, header: &Header) -> Result<(), DecodeError> {
        let picture = self.picture.as_ref().ok_or(DecodeError::NeedsReset)?;
        if self.inflater.is_none() {
            return Err(DecodeError::NeedsReset);
        }
        if (picture.width(), picture.height()) != (header.width, header.height) {
            return Err(DecodeError::OtherSize);
        }
        let expected = self.update.wrapping_add(1);
        if header.update != expected {
            return Err(DecodeError::OutOfOrder { expected, found: header.update });
        }
        Ok(())
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("update", &self.update).finish_non_exhaustive()
    }
}

/// Inflates one flushed piece of the stream to exactly `len` bytes.
fn inflate(inflater: &mut Inflater<'_>, from: &[u8], len: u32, to: &mut Vec<u8>) -> Result<(), DecodeError> {
    let len = usize::try_from(len).map_err(|_too_long| DecodeError::Segment)?;
    to.clear();
    let mut input = InBuffer::around(from);
    loop {
        let filled = to.len();
        // One byte more than may come, so that a longer stream is noticed.
        let room = len.saturating_add(1).saturating_sub(filled).min(INFLATE_STEP);
        to.resize(filled.saturating_add(room), 0);
        let mut output = OutBuffer::around_pos(to.as_mut_slice(), filled);
        let hint = inflater.run(&mut input, &mut output).map_err(|_damaged| DecodeError::Segment)?;
        let written = output.pos();
        let is_full = written == to.len();
        to.truncate(written);
        let stream_ended = hint == 0;
        if stream_ended || len < written {
            return Err(DecodeError::Segment);
        }
        let all_read = input.pos() == from.len();
        let made_progress = filled < written || !all_read;
        if all_read && !is_full {
            return if written == len { Ok(()) } else { Err(DecodeError::Segment) };
        }
        if !made_progress {
            return Err(DecodeError::Segment);
        }
    }
}

/// Carries out checked operations; `body.segment` holds the exact pixels.
fn paint(picture: &mut Picture, ops: &[Op], body: Body<'_>, scratch: &mut Vec<u8>) -> Result<(), DecodeError> {
    let copies = ops.iter().filter_map(|op| match *op {
        Op::Copy { to, from_x, from_y } => Some((to, from_x, from_y)),
        Op::Fill { .. } | Op::Raw { .. } | Op::Photo { .. } | Op::Columns { .. } => None,
    });
    picture.copy_all(copies, scratch);
    let (mut raw, mut photos) = (Reader(body.segment), Reader(body.photos));
    for op in ops {
        match *op {
            Op::Copy { .. } => {}
            Op::Fill { to, bgr } => picture.fill(to, bgr),
            Op::Raw { to } => picture.put_bgr(to, raw.take_slice(bgr_len(to))?),
            Op::Columns { to } => picture.put_bgr_columns(to, raw.take_slice(bgr_len(to))?),
            Op::Photo { to, len } => picture.put_bgr(to, &photo::unpack(photos.take_slice(len)?, to)?),
        }
    }
    Ok(())
}

fn bgr_len(rect: Rect) -> u32 {
    u32::try_from(rect.pixels().saturating_mul(3)).unwrap_or(u32::MAX)
}
