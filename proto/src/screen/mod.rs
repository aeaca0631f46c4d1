//! The picture on the wire: a lossless-first screen codec.
//!
//! A screen is text and flat colour that moves in whole pixels, so it is sent as what changed and not as a film:
//!
//! 1. the 64×64 tiles touched by damage are compared with what the viewer has (`changes.rs`);
//! 2. scrolled and dragged areas become copies inside the viewer's own picture (`copies.rs`);
//! 3. what still differs goes as flat rectangles, exact pixels, or, for photographs, as JPEG (`kinds.rs`, `photo.rs`);
//! 4. all of it runs through one continuous zstd stream, whose window remembers what was on screen before.
//!
//! Guarantees: text is always exact; a photograph is exact once [`Encoder::refine`] has nothing left to do; a still
//! screen costs no byte; the [`Decoder`] survives any bytes within the bounds of [`crate::limits`].
//! It does not pace itself: the caller decides when to encode, and must deliver every update, in order.
//! The byte table is in [`ops`]. The pointer is not part of the picture, see [`cursor`].

mod anchors;
mod canvas;
mod changes;
mod copies;
pub mod cursor;
mod decode;
mod deflate;
mod encode;
mod inexact;
mod kinds;
mod ops;
mod photo;
mod picture;
mod rows;

pub use decode::{Applied, DecodeError, Decoder};
pub use encode::{EncodeError, EncodeOptions, EncodedUpdate, Encoder};
pub use ops::FormError;
pub use photo::PhotoError;
pub use picture::{Damage, Picture, PictureRef, Rect, SizeError};

#[cfg(test)]
mod tests;
