//! 受付: a reception number from issue to entry or expiry.
//!
//! Guarantees: a locator is unique among open receptions and rests for 24 h; an operator has at most three open ones,
//! whatever is asked at once, and issues no more in an hour and in a day than is configured, because each locator rests
//! for a day afterwards and there are a million of them; the same idempotency key gives the same reception; the database holds no digits that
//! somebody without the manager's key file could read.
//! Entering and cancelling touch a session as well: their routes are in `session/`.

pub mod api;
pub mod list;
pub mod locator;
pub mod page;
pub mod proof_key;
pub mod state;
pub mod store;
pub mod sweep;

mod close;
mod metrics;

use std::num::NonZeroU32;

use ops::config::Span;
use proto::limits;
use serde::{Deserialize, Serialize};

pub use self::{api::router, close::closed, metrics::ReceptionMetrics};

/// Section `[reception]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Life of a number for which the tool asks no other.
    pub life: Span,
    /// Numbers that one operator may issue in an hour, cancelled ones included.
    pub issued_per_hour_max: NonZeroU32,
    /// Numbers that one operator may issue in a day.
    pub issued_per_day_max: NonZeroU32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            life: Span::new(limits::RECEPTION_LIFE),
            issued_per_hour_max: NonZeroU32::MIN.saturating_add(59),
            issued_per_day_max: NonZeroU32::MIN.saturating_add(299),
        }
    }
}
