//! What is counted of sessions.

use prometheus::{Histogram, IntCounterVec, IntGauge};

/// Answers: how long are sessions, from a short look to a working day?
const SESSION_BUCKETS: &[f64] = &[30.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0, 7200.0, 14_400.0, 28_800.0];

ops::metrics! {
    /// Sessions.
    pub struct SessionMetrics {
        /// Numbers entered, by result: ok, repeated (its answer was lost), unusable, throttled, no_relay, halted, failed.
        pub manager_reception_entries_total: IntCounterVec["result"],
        /// How hard guessing is slowed for everybody: 0 not, 1 soft, 2 hard. At 2 somebody must act.
        pub manager_reception_throttle_level: IntGauge,
        /// Sessions ended, by reason; pairs with manager_reception_entries_total{result="ok"}.
        pub manager_sessions_ended_total: IntCounterVec["reason"],
        /// Tickets that were renewed, by result: ok, throttled, wrong_state, failed.
        pub manager_ticket_renewals_total: IntCounterVec["result"],
        /// Seconds from connected to ended, of sessions that connected.
        pub manager_session_seconds: Histogram in SESSION_BUCKETS,
    }
}
