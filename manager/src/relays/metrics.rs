//! What is counted of relays.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

ops::metrics! {
    /// Relays and what they say.
    pub struct RelaysMetrics {
        /// Relays that were heard in time at the last look; the sweep looks.
        pub manager_relays_alive: IntGauge,
        /// Heartbeats that were taken.
        pub manager_relay_heartbeats_total: IntCounter,
        /// Events that relays reported, by result: stored, repeated.
        pub manager_relay_reports_total: IntCounterVec["result"],
    }
}
