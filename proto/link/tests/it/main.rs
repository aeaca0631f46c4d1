//! The sealed link from outside: a good network, a bad one, and an evil one in the middle. Time is paused.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may panic as the test may")]

mod copies;
mod doubt;
mod evil;
mod flow;
mod meet;
mod overtake;
mod rejoin;
mod renewal;
mod roam;
mod world;
