//! What is said between the parts of Uketsuke: pure types and codecs.
//!
//! Guarantees: no socket, no clock, no file, no environment; randomness and time are arguments.
//! Everything that a stranger can send is bounded by [`limits`] before it is allocated, and a bad byte is a value of
//! an error type, never a panic.
//! The byte tables, state diagrams and vectors are in `proto/PROTOCOL.md`.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

pub mod limits;
pub mod version;
pub mod id;
pub mod role;
pub mod number;
pub mod close;
pub mod ticket;
pub mod introduction;
pub mod frame;
pub mod hello;
pub mod seal;
pub mod grant;
pub mod input;
pub mod device;
pub mod message;
pub mod screen;
pub mod api;
