//! What is counted of sessions.

use prometheus::{Histogram, IntCounterVec, IntGauge};
use proto::close::CloseReason;

/// Results of `manager_reception_entries_total`.
const ENTRY_RESULTS: [&str; 7] = ["ok", "repeated", "unusable", "throttled", "no_relay", "halted", "failed"];
/// Values of `connected`, which says whether support had begun.
const CONNECTED: [&str; 2] = ["yes", "no"];

/// Answers: how long are sessions, from a short look to a working day?
const SESSION_BUCKETS: &[f64] = &[30.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0, 7200.0, 14_400.0, 28_800.0];

ops::metrics! {
    /// Sessions.
    pub struct SessionMetrics {
        /// Numbers entered, by result: ok, repeated (its answer was lost), unusable, throttled, no_relay, halted, failed.
        pub manager_reception_entries_total: IntCounterVec["result"],
        /// How hard guessing is slowed for everybody: 0 not, 1 soft, 2 hard. At 2 somebody must act.
        pub manager_reception_throttle_level: IntGauge,
        /// Sessions ended, by reason and by whether they had connected (yes, no); pairs with
        /// manager_reception_entries_total{result="ok"}.
        pub manager_sessions_ended_total: IntCounterVec["reason", "connected"],
        /// Tickets that were renewed, by result: ok, throttled, wrong_state, halted, failed.
        pub manager_ticket_renewals_total: IntCounterVec["result"],
        /// Seconds from connected to ended, of sessions that connected.
        pub manager_session_seconds: Histogram in SESSION_BUCKETS,
    }
}

impl SessionMetrics {
    /// Shows what has not happened yet as 0, because Prometheus sees no rise in a counter that begins with its first
    /// event.
    pub fn show_all(&self) {
        for result in ENTRY_RESULTS {
            self.manager_reception_entries_total.with_label_values(&[result]).inc_by(0);
        }
        for reason in CloseReason::ALL {
            for connected in CONNECTED {
                self.manager_sessions_ended_total.with_label_values(&[reason.as_str(), connected]).inc_by(0);
            }
        }
    }

    /// Counts a session that ended.
    pub fn ended(&self, reason: CloseReason, is_connected: bool) {
        let connected = if is_connected { "yes" } else { "no" };
        self.manager_sessions_ended_total.with_label_values(&[reason.as_str(), connected]).inc();
    }
}
