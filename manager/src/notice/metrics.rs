//! What is counted of maintenance and incidents.

use prometheus::{IntGauge, IntGaugeVec};

ops::metrics! {
    /// Planned stops, halts, and incidents.
    pub struct NoticeMetrics {
        /// 1 while a planned stop of a service (manager, relay, download) is running, else 0: availability leaves this
        /// time out. Maintenance that was announced too late, as in an emergency, is no planned stop, and what somebody
        /// said is finished runs no more.
        pub manager_maintenance_running: IntGaugeVec["service"],
        /// When the planned stop of a service that runs or comes next begins, in seconds since 1970; 0 when none is
        /// announced. It is known before the stop, so that it stands in Prometheus while the manager is stopped.
        pub manager_maintenance_begins_timestamp_seconds: IntGaugeVec["service"],
        /// When it is over; stops that follow each other without a pause are one.
        pub manager_maintenance_ends_timestamp_seconds: IntGaugeVec["service"],
        /// 1 while the whole service is halted for every company, else 0.
        pub manager_service_halted: IntGauge,
        /// Incidents that are not closed.
        pub manager_incidents_open: IntGauge,
        /// Incidents of which companies should have been told by now, and were not.
        pub manager_incidents_overdue: IntGauge,
    }
}
