//! What is said between the parts of Uketsuke: pure types and codecs.
//!
//! Guarantees: no socket, no clock, no file, no environment; randomness and time are arguments.
//! Everything that a stranger can send is bounded by [`limits`] before it is allocated, and a bad byte is a value of
//! an error type, never a panic.
//! The byte tables, state diagrams and vectors are in `proto/PROTOCOL.md`.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions))]

// Limits and words that everything else uses.
pub mod close;
pub mod id;
pub mod limits;
pub mod number;
pub mod role;
pub mod version;

// What the manager signs.
pub mod introduction;
pub mod ticket;

// What a relay sees.
pub mod frame;
pub mod hello;
pub mod streams;

// What a load balancer in front of a server says.
pub mod proxied;

// What only the two tools see.
pub mod device;
pub mod grant;
pub mod input;
pub mod message;
pub mod screen;
pub mod seal;

// What the manager's HTTPS API says.
pub mod api;
