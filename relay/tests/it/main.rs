//! A real relay on loopback, with real tools and strangers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test may panic as the test may")]

mod world;

mod admit;
mod bounds;
mod cli;
mod descriptors;
mod drain;
mod forward;
mod meet;
mod pair;
mod quic;
mod report;
mod stranger;
mod swap;
