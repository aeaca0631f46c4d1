//! What is counted of webhooks.

use prometheus::{IntCounterVec, IntGauge};

ops::metrics! {
    /// Calls of webhooks.
    pub struct WebhookMetrics {
        /// Calls by what came of a try: sent, again (later), failed (given up).
        pub manager_webhook_calls_total: IntCounterVec["result"],
        /// Calls that wait, whichever manager will make them.
        pub manager_webhook_calls_waiting: IntGauge,
    }
}
