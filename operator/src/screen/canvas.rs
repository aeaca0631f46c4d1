//! The remote picture in memory: applies updates and knows whether it is exact. Pure.
//!
//! Guarantees: exact means that a check of the customer held for the newest update; nothing else counts as exact.
//! After an update that does not decode, the canvas takes nothing but a picture that starts again.
//! Picture walk: before `proto/src/screen/decode.rs`, after `operator/src/screen/paint.rs`.

use std::io::BufWriter;

use proto::screen::{Applied, DecodeError, Decoder, Picture};

use super::Exactness;

/// The picture and what is known about it.
#[derive(Default)]
pub struct Canvas {
    decoder: Decoder,
    newest: Option<Newest>,
    checked: Option<u64>,
    waiting: Option<Check>,
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    update: u64,
    lossy_pending: bool,
}

/// What the customer says the settled picture must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Update after which the hash holds.
    pub update: u64,
    /// xxh3-64 of the picture.
    pub hash: u64,
}

/// A check that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// The update of the question.
    pub update: u64,
    /// Whether the hash was equal.
    pub exact: bool,
}

/// Why there is no PNG.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// Nothing is on the canvas.
    #[error("there is no picture yet")]
    Empty,
    /// The encoder failed.
    #[error("the picture cannot be written: {0}")]
    Png(#[from] png::EncodingError),
}

impl Canvas {
    /// Applies an update.
    ///
    /// # Errors
    /// When the bytes are no update that fits. From then on only an update that starts again is taken, and updates that
    /// go on with the lost picture answer `Ok(None)`.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<Option<Applied>, DecodeError> {
        match self.decoder.apply(bytes) {
            Ok(applied) => {
                self.broken = false;
                self.newest = Some(Newest { update: applied.update, lossy_pending: applied.lossy_pending });
                Ok(Some(applied))
            }
            Err(DecodeError::NeedsReset) if self.broken => Ok(None),
            Err(error) => {
                self.broken = true;
                self.checked = None;
                self.waiting = None;
                Err(error)
            }
        }
    }

    /// Takes a check; it is answered as soon as its update is on the canvas, and forgotten when that one has passed.
    pub fn check(&mut self, check: Check) -> Option<Checked> {
        self.waiting = Some(check);
        self.answer()
    }

    /// Answers the waiting check if the canvas has come to its update.
    pub fn answer(&mut self) -> Option<Checked> {
        let Newest { update, .. } = self.newest?;
        let check = self.waiting.take_if(|check| check.update <= update)?;
        if check.update != update || self.broken {
            return None;
        }
        let exact = self.hash() == Some(check.hash);
        self.checked = exact.then_some(update);
        self.broken |= !exact;
        Some(Checked { update, exact })
    }

    /// What is known about the canvas.
    pub fn exactness(&self) -> Exactness {
        match self.newest {
            None => Exactness::Empty,
            Some(newest) if newest.lossy_pending => Exactness::Refining,
            Some(newest) if self.checked == Some(newest.update) && !self.broken => Exactness::Exact,
            Some(_) => Exactness::Unchecked,
        }
    }

    /// The picture.
    pub fn picture(&self) -> Option<&Picture> {
        self.decoder.picture()
    }

    /// The hash of the picture.
    pub fn hash(&self) -> Option<u64> {
        self.picture().map(Picture::hash)
    }

    /// The picture as PNG, without the pointer.
    ///
    /// # Errors
    /// See [`PngError`].
    pub fn png(&self) -> Result<Vec<u8>, PngError> {
        png_of(self.picture().ok_or(PngError::Empty)?)
    }
}

/// A picture as PNG.
///
/// # Errors
/// See [`PngError`].
pub fn png_of(picture: &Picture) -> Result<Vec<u8>, PngError> {
    let mut bytes = Vec::new();
    let (width, height) = (u32::from(picture.width()), u32::from(picture.height()));
    let mut encoder = png::Encoder::new(BufWriter::new(&mut bytes), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    let rgb: Vec<u8> =
        picture.bgrx().as_chunks::<4>().0.iter().flat_map(|[blue, green, red, _]| [*red, *green, *blue]).collect();
    writer.write_image_data(&rgb)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::screen::{Damage, EncodeOptions, Encoder};

    use super::*;

    fn picture(seed: u8) -> Picture {
        let mut picture = Picture::new(96, 80).unwrap();
        for step in 0..8u16 {
            let rect = proto::screen::Rect { x: step * 11, y: step * 7, width: 19, height: 13 };
            picture.fill(rect, [seed, seed.wrapping_mul(7), u8::try_from(step).unwrap() * 30]);
        }
        picture
    }

    fn encoder() -> Encoder {
        Encoder::new(EncodeOptions::default())
    }

    fn update(encoder: &mut Encoder, seed: u8) -> Vec<u8> {
        encoder.encode(picture(seed).as_ref(), Damage::Unknown).unwrap().unwrap().bytes
    }

    #[test]
    fn a_canvas_is_exact_only_after_a_check_of_its_newest_update() {
        let (mut encoder, mut canvas) = (encoder(), Canvas::default());
        assert_eq!(canvas.exactness(), Exactness::Empty);
        let first = canvas.apply(&update(&mut encoder, 1)).unwrap().unwrap();
        assert_eq!(canvas.exactness(), Exactness::Unchecked);
        let check = Check { update: first.update, hash: encoder.settled_hash() };
        assert_eq!(canvas.check(check), Some(Checked { update: first.update, exact: true }));
        assert_eq!(canvas.exactness(), Exactness::Exact);
        canvas.apply(&update(&mut encoder, 2)).unwrap().unwrap();
        assert_eq!(canvas.exactness(), Exactness::Unchecked);
    }

    #[test]
    fn a_check_that_overtakes_its_update_waits_for_it() {
        let (mut encoder, mut canvas) = (encoder(), Canvas::default());
        let encoded = encoder.encode(picture(3).as_ref(), Damage::Unknown).unwrap().unwrap();
        assert_eq!(canvas.check(Check { update: encoded.update, hash: encoder.settled_hash() }), None);
        canvas.apply(&encoded.bytes).unwrap();
        assert_eq!(canvas.answer(), Some(Checked { update: encoded.update, exact: true }));
        assert_eq!(canvas.answer(), None, "one question, one answer");
    }

    #[test]
    fn a_check_of_an_update_that_has_passed_says_nothing() {
        let (mut encoder, mut canvas) = (encoder(), Canvas::default());
        let first = canvas.apply(&update(&mut encoder, 1)).unwrap().unwrap();
        let old = Check { update: first.update, hash: encoder.settled_hash() };
        canvas.apply(&update(&mut encoder, 2)).unwrap();
        assert_eq!(canvas.check(old), None);
        assert_eq!(canvas.exactness(), Exactness::Unchecked);
    }

    #[test]
    fn a_broken_update_is_an_error_and_a_restart_makes_the_canvas_exact_again() {
        let (mut encoder, mut canvas) = (encoder(), Canvas::default());
        canvas.apply(&update(&mut encoder, 1)).unwrap();
        let mut broken = update(&mut encoder, 2);
        broken.truncate(12);
        assert!(canvas.apply(&broken).is_err());
        assert!(!matches!(canvas.exactness(), Exactness::Exact));
        encoder.reset();
        let restart = encoder.encode(picture(3).as_ref(), Damage::Unknown).unwrap().unwrap();
        assert!(canvas.apply(&restart.bytes).unwrap().unwrap().reset);
        let check = Check { update: restart.update, hash: encoder.settled_hash() };
        assert_eq!(canvas.check(check).map(|checked| checked.exact), Some(true));
    }

    #[test]
    fn a_wrong_hash_is_not_exact() {
        let (mut encoder, mut canvas) = (encoder(), Canvas::default());
        let first = canvas.apply(&update(&mut encoder, 1)).unwrap().unwrap();
        let wrong = Check { update: first.update, hash: encoder.settled_hash() ^ 1 };
        assert_eq!(canvas.check(wrong), Some(Checked { update: first.update, exact: false }));
        assert_eq!(canvas.exactness(), Exactness::Unchecked);
    }

    #[test]
    fn a_png_has_every_pixel_of_the_canvas() {
        let (mut encoder, mut canvas) = (encoder(), Canvas::default());
        assert!(matches!(canvas.png(), Err(PngError::Empty)));
        canvas.apply(&update(&mut encoder, 9)).unwrap();
        let png = canvas.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        let wanted: Vec<u8> = picture(9).bgrx().chunks(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
        assert_eq!(rgb, wanted);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_canvas_panic_or_claim_to_be_exact(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut canvas = Canvas::default();
            let applied = canvas.apply(&bytes).is_ok_and(|applied| applied.is_some());
            prop_assert!(applied || canvas.exactness() == Exactness::Empty);
            prop_assert_ne!(canvas.exactness(), Exactness::Exact);
        }
    }
}
