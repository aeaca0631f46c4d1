//! 受付: a reception number from issue to entry or expiry.
//!
//! Guarantees: a locator is unique among open receptions and rests for 24 h; an operator has at most three open ones,
//! whatever is asked at once; the same idempotency key gives the same reception; the database holds no digits that
//! somebody without the manager's key file could read.
//! Entering and cancelling touch a session as well: their routes are in `session/`.

pub mod api;
pub mod locator;
pub mod proof_key;
pub mod state;
pub mod store;
pub mod sweep;

mod close;
mod metrics;

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
}

impl Default for Config {
    fn default() -> Self {
        Self { life: Span::new(limits::RECEPTION_LIFE) }
    }
}
