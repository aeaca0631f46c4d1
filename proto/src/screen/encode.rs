//! The customer's side: pictures in, updates out.

use super::{
    canvas::Canvas,
    changes::{self, Tiles},
    copies,
    ops::{self, Header},
    picture::{Damage, PIXEL, PictureRef, SizeError, check_size},
};

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// JPEG quality (1–100) of photographs until they are refined; none sends everything exact at once.
    pub photo_quality: Option<u8>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { photo_quality: Some(75) }
    }
}

/// Why a picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Its size is outside the limits.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// Its buffer is shorter than its size and stride say.
    #[error("the picture's buffer is too short")]
    Short,
    /// zstd failed, which means no memory.
    #[error("the stream cannot be compressed")]
    Deflate(#[from] std::io::Error),
    /// JPEG failed.
    #[error("a photograph cannot be packed")]
    Photo(#[from] jpeg_encoder::EncodingError),
}

/// One update, ready to be sent as [`crate::message::Message::Screen`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedUpdate {
    /// Its number, counted from 1 without gaps.
    pub update: u64,
    /// Its wire form, never longer than [`crate::limits::SCREEN_MESSAGE_LEN_MAX`].
    pub bytes: Vec<u8>,
    /// It begins the picture anew.
    pub reset: bool,
    /// After it some pixels of the viewer are not exact; see [`Encoder::refine`].
    pub lossy_pending: bool,
}

/// Encodes one screen for one viewer.
///
/// Every update it returns must reach the viewer, in order; to leave one out, [`Self::reset`].
pub struct Encoder {
    options: EncodeOptions,
    update: u64,
    /// None before the first picture, after [`Encoder::reset`] and after an error: then a reset comes next.
    canvas: Option<Canvas>,
}

impl Encoder {
    /// An encoder whose first update is a reset.
    pub fn new(options: EncodeOptions) -> Self {
        Self { options, update: 0, canvas: None }
    }

    /// Encodes what changed; none when nothing did.
    ///
    /// The first picture, one of another size and the one after [`Self::reset`] give a reset, whatever the damage.
    ///
    /// # Errors
    /// See [`EncodeError`]; the next update is then a reset.
    pub fn encode(
        &mut self,
        picture: PictureRef<'_>,
        damage: Damage<'_>,
    ) -> Result<Option<EncodedUpdate>, EncodeError> {
        check(picture)?;
        let size = (picture.width, picture.height);
        if let Some(mut canvas) = self.canvas.take().filter(|canvas| canvas.size() == size) {
            let touched = Tiles::touched(picture.width, picture.height, damage);
            let changed = changes::take(picture, &touched, &canvas.sent, &mut canvas.next);
            if changed.is_empty() {
                self.canvas = Some(canvas);
                return Ok(None);
            }
            let found = copies::find(&canvas.sent, &canvas.next, &changed);
            return self.send(canvas, |canvas, options| canvas.change(&found, &changed, options)).map(Some);
        }
        let mut canvas = Canvas::new(picture.width, picture.height)?;
        changes::take_rect(picture, canvas.next.rect(), &mut canvas.next);
        let changed = Tiles::all(picture.width, picture.height);
        self.send(canvas, |canvas, options| canvas.change(&[], &changed, options)).map(Some)
    }

    /// Makes the next update a reset with the full picture, whatever its damage says.
    pub fn reset(&mut self) {
        self.canvas = None;
    }

    /// Encodes pixels that are not exact yet, about `budget_bytes` of them but at least one tile; none when there are
    /// none, or a reset is due. To be called when the screen rests.
    ///
    /// # Errors
    /// See [`EncodeError`]; the next update is then a reset.
    pub fn refine(&mut self, budget_bytes: usize) -> Result<Option<EncodedUpdate>, EncodeError> {
        if !self.lossy_pending() {
            return Ok(None);
        }
        let Some(canvas) = self.canvas.take() else { return Ok(None) };
        self.send(canvas, |canvas, _| canvas.refine(budget_bytes)).map(Some)
    }

    /// Whether [`Self::refine`] has something to do.
    pub fn lossy_pending(&self) -> bool {
        self.canvas.as_ref().is_some_and(Canvas::lossy_pending)
    }

    /// Hash of the picture the viewer must have, [`super::Picture::hash`]: ask the viewer only while
    /// [`Self::lossy_pending`] is false. 0 before the first picture.
    pub fn settled_hash(&self) -> u64 {
        self.canvas.as_ref().map_or(0, |canvas| canvas.sent.hash())
    }

    /// Changes the options from the next update on.
    pub fn set_options(&mut self, options: EncodeOptions) {
        self.options = options;
    }

    /// Lets `write` make the parts of an update and joins them; the canvas is kept only when that works.
    fn send(
        &mut self,
        mut canvas: Canvas,
        write: impl FnOnce(&mut Canvas, EncodeOptions) -> Result<Parts, EncodeError>,
    ) -> Result<EncodedUpdate, EncodeError> {
        let parts = write(&mut canvas, self.options)?;
        let update = self.update.wrapping_add(1);
        let (width, height) = canvas.size();
        let header = Header {
            reset: canvas.is_new,
            lossy_pending: canvas.lossy_pending(),
            update,
            width,
            height,
            inflated: len_u32(parts.segment.len()),
            deflated: 0,
            photos: len_u32(parts.photos.len()),
        };
        let bytes = assemble(header, &parts, &mut canvas)?;
        canvas.is_new = false;
        self.update = update;
        self.canvas = Some(canvas);
        Ok(EncodedUpdate { update, bytes, reset: header.reset, lossy_pending: header.lossy_pending })
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("options", &self.options).field("update", &self.update).finish_non_exhaustive()
    }
}

/// The parts of an update before they are compressed and joined.
pub(super) struct Parts {
    /// Operations and RAW pixels.
    pub(super) segment: Vec<u8>,
    /// JPEG files.
    pub(super) photos: Vec<u8>,
}

fn assemble(mut header: Header, parts: &Parts, canvas: &mut Canvas) -> Result<Vec<u8>, EncodeError> {
    let deflated = canvas.stream.push(&parts.segment)?;
    header.deflated = len_u32(deflated.len());
    let len = ops::HEADER_LEN.saturating_add(deflated.len()).saturating_add(parts.photos.len());
    let mut bytes = Vec::with_capacity(len.saturating_add(ops::PADDING));
    header.write(&mut bytes);
    bytes.extend_from_slice(&deflated);
    bytes.extend_from_slice(&parts.photos);
    if bytes.len() < ops::PADDED_BELOW {
        bytes.resize(bytes.len().next_multiple_of(ops::PADDING), 0);
    }
    Ok(bytes)
}

fn check(picture: PictureRef<'_>) -> Result<(), EncodeError> {
    check_size(picture.width, picture.height)?;
    let row_len = usize::from(picture.width).saturating_mul(PIXEL);
    let rows_before_last = usize::from(picture.height).saturating_sub(1);
    let needed = picture.stride.saturating_mul(rows_before_last).saturating_add(row_len);
    if picture.stride < row_len || picture.bgrx.len() < needed { Err(EncodeError::Short) } else { Ok(()) }
}

/// Lengths inside one update are far below 4 GiB.
fn len_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
