//! What is counted of events.

use prometheus::{IntCounter, IntGauge};

ops::metrics! {
    /// Events and their streams.
    pub struct EventsMetrics {
        /// Event streams that operators have open at this manager.
        pub manager_event_streams: IntGauge,
        /// Live boards that browsers have open at this manager.
        pub manager_board_streams: IntGauge,
        /// Events written to streams; a resumed stream counts what it writes again to another tool.
        pub manager_events_sent_total: IntCounter,
    }
}
