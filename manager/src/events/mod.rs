//! What operators are told, in order: an outbox in the database, read as Server-Sent Events.
//!
//! Guarantees: an event is stored in the transaction of the change it tells of; the events of one operator have the
//! numbers 1, 2, 3 …, which become visible in this order; a stream that is resumed gives every later event once; any
//! manager serves any operator. Waking streams up is only for speed: each looks by itself every second.
//! The hop before: `session/` and `reception/`; the hop after: the operator tool.

pub mod api;
pub mod store;

mod hub;
mod metrics;
mod sweep;

use std::num::{NonZeroU16, NonZeroU32};

use ops::config::Span;
use serde::{Deserialize, Serialize};

pub use self::{api::router, hub::Hub, metrics::EventsMetrics, sweep::run};

/// Section `[events]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Open streams of one operator at this manager; a few tools and their reconnects.
    pub streams_per_operator_max: NonZeroU16,
    /// Open live boards of browsers at this manager; a few times the accounts of a large company.
    pub boards_max: NonZeroU32,
    /// Events are deleted after this time; longer than any tool stays away and comes back.
    pub keep: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            streams_per_operator_max: NonZeroU16::MIN.saturating_add(7),
            boards_max: NonZeroU32::MIN.saturating_add(1999),
            keep: Span::secs(24 * 60 * 60),
        }
    }
}
