//! End to end: sealing and opening of frames, with keys that only the two tools have.
//!
//! [`handshake`] makes the keys; [`Sealer`] and [`Opener`] use them, one of each per side.
//!
//! Sealed payload: sequence number 8 bytes (little-endian, below 2⁶¹) ‖ ciphertext ‖ tag 16 bytes, by
//! ChaCha20-Poly1305. Nonce: lane 1 byte ‖ three zero bytes ‖ sequence number 8 bytes.
//! Associated data: the five bytes of the outer frame's header, so lane, flags and length cannot be altered.
//! Each lane counts on its own, from 0, without gaps; the opener accepts the next number and nothing else, so a frame
//! that is repeated, dropped, reordered or moved to another lane or session breaks the seal, which ends the session.

pub mod handshake;
