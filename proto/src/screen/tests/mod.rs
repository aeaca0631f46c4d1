//! The codec as a whole: both sides together.

mod draw;
mod hostile;
mod lanes;
mod round_trip;

use super::{Damage, Decoder, EncodeOptions, EncodedUpdate, Encoder, Picture};

/// A customer's encoder and a viewer's decoder with nothing between them.
struct Pair {
    encoder: Encoder,
    decoder: Decoder,
}

impl Pair {
    fn new() -> Self {
        Self { encoder: Encoder::new(EncodeOptions::default()), decoder: Decoder::new() }
    }

    /// Shows a picture to the viewer, and returns the update if there was one.
    fn show(&mut self, picture: &Picture, damage: Damage<'_>) -> Option<EncodedUpdate> {
        let update = self.encoder.encode(picture.as_ref(), damage).unwrap();
        update.inspect(|update| self.deliver(update))
    }

    /// Refines until everything is exact.
    fn settle(&mut self) -> usize {
        let mut count = 0;
        while let Some(update) = self.encoder.refine(20_000).unwrap() {
            self.deliver(&update);
            count += 1;
            assert!(count < 10_000, "refinement ends");
        }
        count
    }

    fn deliver(&mut self, update: &EncodedUpdate) {
        let applied = self.decoder.apply(&update.bytes).unwrap();
        assert_eq!((applied.update, applied.reset), (update.update, update.reset));
        assert_eq!(applied.lossy_pending, update.lossy_pending);
        assert_eq!(applied.lossy_pending, self.encoder.lossy_pending());
        let picture = self.decoder.picture().unwrap();
        assert!(applied.changed.iter().all(|rect| rect.is_inside(picture.width(), picture.height())));
        if !applied.lossy_pending {
            assert_eq!(picture.hash(), self.encoder.settled_hash(), "update {} is exact", update.update);
        }
    }

    fn assert_exact(&self, picture: &Picture) {
        assert!(!self.encoder.lossy_pending());
        assert_eq!(self.encoder.settled_hash(), picture.hash());
        assert!(self.decoder.picture() == Some(picture), "the viewer's picture is exact");
    }
}
