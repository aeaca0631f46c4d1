//! Photographs as JPEG, both ways.

use jpeg_encoder::{ColorType, SamplingFactor};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::picture::Rect;

/// A photograph that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhotoError {
    /// Not a JPEG that this decoder takes.
    #[error("the photograph is damaged")]
    Damaged,
    /// Its size is not that of its place.
    #[error("the photograph has another size than its place")]
    OtherSize,
}

/// Packs BGR rows of `rect`'s size as JPEG.
pub(super) fn pack(bgr: &[u8], rect: Rect, quality: u8) -> Result<Vec<u8>, jpeg_encoder::EncodingError> {
    let mut out = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(bgr, rect.width, rect.height, ColorType::Bgr)?;
    Ok(out)
}

/// Unpacks a JPEG into BGR rows of exactly `rect`'s size; the size is checked before pixels are allocated.
pub(super) fn unpack(jpeg: &[u8], rect: Rect) -> Result<Vec<u8>, PhotoError> {
    let options = DecoderOptions::default()
        .set_max_width(usize::from(rect.width))
        .set_max_height(usize::from(rect.height))
        .set_strict_mode(true)
        .jpeg_set_max_scans(1)
        .jpeg_set_out_colorspace(ColorSpace::BGR);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    decoder.decode_headers().map_err(|_damaged| PhotoError::Damaged)?;
    let info = decoder.info().ok_or(PhotoError::Damaged)?;
    if (info.width, info.height) != (rect.width, rect.height) {
        return Err(PhotoError::OtherSize);
    }
    let len = rect.pixels().saturating_mul(3);
    if info.components != 3 || decoder.output_buffer_size().map(u64::try_from) != Some(Ok(len)) {
        return Err(PhotoError::Damaged);
    }
    decoder.decode().map_err(|_damaged| PhotoError::Damaged)
}
