//! What the manager counts, beyond what each slice counts of its own.

use ops::metrics::{MetricError, Registry};
use prometheus::{HistogramVec, IntCounterVec, IntGauge};

/// Answers: which route is slower than a person notices (0.1 s) or than its deadline?
const REQUEST_BUCKETS: &[f64] = &[0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0];

ops::metrics! {
    /// Requests and logins.
    pub struct CoreMetrics {
        /// Requests answered, by route and status; pairs with manager_http_request_seconds.
        pub manager_http_requests_total: IntCounterVec["route", "status"],
        /// Seconds from a request's head to its answer's head, by route.
        pub manager_http_request_seconds: HistogramVec["route"] in REQUEST_BUCKETS,
        /// Logins tried, by result: ok, failed, locked, throttled, busy.
        pub manager_logins_total: IntCounterVec["result"],
        /// Logins that wait for their turn to hash a password.
        pub manager_hash_queue: IntGauge,
        /// Events appended to the audit chain, by event.
        pub manager_audit_appended_total: IntCounterVec["event"],
    }
}

/// Every metric of the program.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Where they are declared and read.
    pub registry: Registry,
    /// Requests and logins.
    pub core: CoreMetrics,
}

impl Metrics {
    /// Declares every metric.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new() -> Result<Self, MetricError> {
        let registry = Registry::new("manager");
        let core = CoreMetrics::declare(&registry)?;
        Ok(Self { registry, core })
    }
}
