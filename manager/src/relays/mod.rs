//! The registry of relays: who they are, whether they are alive, what they report, and which ones a session uses.
//!
//! Guarantees: a relay is known by a token that was printed once; it is chosen only while it is heard, not draining and
//! not full; a report that comes twice is stored once; a session that ended is revoked at every relay that still has it.
//! The manager never calls a relay: relays call.

pub mod api;
pub mod choose;
pub mod region;
pub mod store;

mod metrics;

use std::num::NonZeroU16;

use ops::config::Span;
use serde::{Deserialize, Serialize};

pub use self::{api::router, metrics::RelaysMetrics, store::enroll};

/// Section `[relays]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A relay is alive when it was heard within this time; five heartbeats.
    pub alive_for: Span,
    /// Pause between two heartbeats of a relay. It hears so what was revoked, so it is part of the five seconds in which
    /// whoever is stopped is out of everything.
    pub heartbeat_every: Span,
    /// Relays named in a ticket; the protocol allows four.
    pub per_session_max: NonZeroU16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alive_for: Span::secs(15),
            heartbeat_every: Span::secs(3),
            per_session_max: NonZeroU16::MIN.saturating_add(3),
        }
    }
}
