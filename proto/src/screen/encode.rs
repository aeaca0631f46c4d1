//! The customer's side: pictures in, updates out.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "our own pixels: sizes are checked on entry, and these loops run over every pixel"
)]

use zstd::stream::raw::{CParameter, Encoder as Deflater, InBuffer, Operation as _, OutBuffer};

use super::{
    ops::{self, Header, Op},
    picture::{Damage, Picture, PictureRef, Rect, SizeError, check_size},
};

const TILE: u16 = 64;

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
    Deflate(#[source] std::io::Error),
    /// JPEG failed.
    #[error("a photograph cannot be packed")]
    Photo(#[from] jpeg_encoder::EncodingError),
}

/// One update, ready to be sent as [`crate::message::Message::Screen`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedUpdate {
    /// Its number, counted from 1.
    pub update: u64,
    /// Its wire form.
    pub bytes: Vec<u8>,
    /// It begins the picture anew.
    pub reset: bool,
    /// After it some pixels of the viewer are not exact; see [`Encoder::refine`].
    pub lossy_pending: bool,
}

/// Encodes one screen for one viewer.
pub struct Encoder {
    options: EncodeOptions,
    update: u64,
    state: Option<State>,
}

/// What exists between a reset and the next.
struct State {
    sent: Picture,
    deflater: Deflater<'static>,
}

impl Encoder {
    /// An encoder whose first update is a reset.
    pub fn new(options: EncodeOptions) -> Self {
        Self { options, update: 0, state: None }
    }

    /// Encodes what changed; none when nothing did.
    ///
    /// # Errors
    /// See [`EncodeError`]; the next update is then a reset.
    pub fn encode(
        &mut self,
        picture: PictureRef<'_>,
        damage: Damage<'_>,
    ) -> Result<Option<EncodedUpdate>, EncodeError> {
        check_size(picture.width, picture.height)?;
        let row_len = usize::from(picture.width) * 4;
        let needed = picture.stride.saturating_mul(usize::from(picture.height) - 1).saturating_add(row_len);
        if picture.stride < row_len || picture.bgrx.len() < needed {
            return Err(EncodeError::Short);
        }
        let has_size = |state: &State| (state.sent.width(), state.sent.height()) == (picture.width, picture.height);
        let kept = self.state.take().filter(has_size);
        let reset = kept.is_none();
        let mut state = match kept {
            Some(state) => state,
            None => State::new(picture.width, picture.height)?,
        };
        let changed = state.take_changes(picture, damage, reset);
        if changed.is_empty() {
            self.state = Some(state);
            return Ok(None);
        }
        let list: Vec<Op> = changed.iter().map(|&to| Op::Raw { to }).collect();
        let mut segment = Vec::new();
        ops::write_ops(&list, &mut segment);
        for rect in changed {
            state.sent.append_bgr(rect, &mut segment);
        }
        let deflated = state.deflate(&segment)?;
        self.update += 1;
        let header = Header {
            reset,
            lossy_pending: false,
            update: self.update,
            width: picture.width,
            height: picture.height,
            inflated: segment.len() as u32,
            deflated: deflated.len() as u32,
            photos: 0,
        };
        let mut bytes = Vec::with_capacity(ops::HEADER_LEN + deflated.len() + ops::PADDING);
        header.write(&mut bytes);
        bytes.extend_from_slice(&deflated);
        if bytes.len() < ops::PADDED_BELOW {
            bytes.resize(bytes.len().next_multiple_of(ops::PADDING), 0);
        }
        self.state = Some(state);
        Ok(Some(EncodedUpdate { update: self.update, bytes, reset, lossy_pending: false }))
    }

    /// Makes the next update a reset with the full picture, whatever its damage says.
    pub fn reset(&mut self) {
        self.state = None;
    }

    /// Encodes pixels that are not exact yet, roughly `budget_bytes` of them; none when there are none.
    ///
    /// # Errors
    /// See [`EncodeError`]; the next update is then a reset.
    pub fn refine(&mut self, _budget_bytes: usize) -> Result<Option<EncodedUpdate>, EncodeError> {
        Ok(None)
    }

    /// Whether [`Self::refine`] has something to do.
    pub fn lossy_pending(&self) -> bool {
        false
    }

    /// Hash of the picture the viewer must have, [`Picture::hash`]; it holds while [`Self::lossy_pending`] is false.
    /// 0 before the first update.
    pub fn settled_hash(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.sent.hash())
    }

    /// Changes the options from the next update on.
    pub fn set_options(&mut self, options: EncodeOptions) {
        self.options = options;
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("options", &self.options).field("update", &self.update).finish_non_exhaustive()
    }
}

impl State {
    fn new(width: u16, height: u16) -> Result<Self, EncodeError> {
        let mut deflater = Deflater::new(3).map_err(EncodeError::Deflate)?;
        deflater.set_parameter(CParameter::WindowLog(ops::WINDOW_LOG)).map_err(EncodeError::Deflate)?;
        Ok(Self { sent: Picture::new(width, height)?, deflater })
    }

    fn take_changes(&mut self, picture: PictureRef<'_>, damage: Damage<'_>, all: bool) -> Vec<Rect> {
        let mut changed = Vec::new();
        for y in (0..picture.height).step_by(usize::from(TILE)) {
            for x in (0..picture.width).step_by(usize::from(TILE)) {
                let tile = Rect { x, y, width: TILE, height: TILE }.clipped(picture.width, picture.height);
                let touched = match damage {
                    Damage::Unknown => true,
                    Damage::Rects(rects) => rects.iter().any(|rect| {
                        u32::from(rect.x) < tile.right()
                            && u32::from(tile.x) < rect.right()
                            && u32::from(rect.y) < tile.bottom()
                            && u32::from(tile.y) < rect.bottom()
                    }),
                };
                if (all || touched) && self.take_tile(picture, tile) | all {
                    changed.push(tile);
                }
            }
        }
        changed
    }

    fn take_tile(&mut self, picture: PictureRef<'_>, tile: Rect) -> bool {
        let mut differs = false;
        for y in tile.rows() {
            let start = usize::from(y) * picture.stride + usize::from(tile.x) * 4;
            let from = &picture.bgrx[start..start + usize::from(tile.width) * 4];
            let to = self.sent.row_mut(tile.x, y, tile.width);
            for (to, &[blue, green, red, _]) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
                let new = [blue, green, red, 0];
                differs |= *to != new;
                *to = new;
            }
        }
        differs
    }

    fn deflate(&mut self, segment: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(segment.len()) + 64);
        let mut input = InBuffer::around(segment);
        let mut output = OutBuffer::around(&mut out);
        while input.pos() < segment.len() {
            self.deflater.run(&mut input, &mut output).map_err(EncodeError::Deflate)?;
        }
        while self.deflater.flush(&mut output).map_err(EncodeError::Deflate)? != 0 {}
        Ok(out)
    }
}
