//! What is counted of maintenance and incidents.

use prometheus::{IntGauge, IntGaugeVec};

ops::metrics! {
    /// Planned stops, halts, and incidents.
    pub struct NoticeMetrics {
        /// 1 while a planned stop of a service (manager, relay, download) is running, else 0: availability leaves this
        /// time out.
        pub manager_maintenance_running: IntGaugeVec["service"],
        /// 1 while the whole service is halted for every company, else 0.
        pub manager_service_halted: IntGauge,
        /// Incidents that are not closed.
        pub manager_incidents_open: IntGauge,
        /// Incidents of which companies should have been told by now, and were not.
        pub manager_incidents_overdue: IntGauge,
    }
}
