//! Measures what the relay costs, against others and against the floors, on this machine.
//!
//! [`peers`] starts what is compared; [`bulk`], [`idle`] and [`handshakes`] take one figure each, [`relay`] takes all of
//! them round by round; [`sessions`] looks for the number of sessions that this machine holds. Only the CPU time and memory of the server's own process are read, never the generator's.

pub mod peers;

pub mod bulk;

pub mod idle;

pub mod handshakes;

pub mod relay;

pub mod sessions;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Our relay, HAProxy and two bare copy loops in alternation: CPU per GB, latency, memory, handshakes.
    Relay(relay::Flags),
    /// How many sessions of the recorded mix this machine holds, or what so many cost.
    Sessions(sessions::Flags),
}

/// Measures, and writes what was found.
///
/// # Errors
/// The first thing that did not work.
pub async fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Relay(flags) => relay::run(flags).await,
        Verb::Sessions(flags) => sessions::run(flags).await,
    }
}
