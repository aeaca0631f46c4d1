//! What the protocol promises, seen from outside the crate.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where its input is not what it made")]

mod document;
mod refuse;
mod round_trip;
mod session;
mod vectors;
