//! What the manager counts, beyond what each slice counts of its own.

use ops::metrics::{MetricError, Registry};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};

use crate::{
    events::EventsMetrics, mail::MailMetrics, notice::NoticeMetrics, reception::ReceptionMetrics,
    relays::RelaysMetrics, session::SessionMetrics, webhook::WebhookMetrics,
};

/// Answers: which route is slower than a person notices (0.1 s) or than its deadline?
const REQUEST_BUCKETS: &[f64] = &[0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0];

ops::metrics! {
    /// Requests and logins.
    pub struct CoreMetrics {
        /// Requests answered, by route and status; pairs with manager_http_request_seconds.
        pub manager_http_requests_total: IntCounterVec["route", "status"],
        /// Seconds from a request's head to its answer's head, by route.
        pub manager_http_request_seconds: HistogramVec["route"] in REQUEST_BUCKETS,
        /// Logins tried, by result: ok, unknown, locked, stopped, wrong_password, unlinked, halted, throttled, busy.
        pub manager_logins_total: IntCounterVec["result"],
        /// Logins of administrators by password while there is an identity provider, by realm; nobody should need one.
        pub manager_logins_past_provider_total: IntCounterVec["realm"],
        /// Logins that wait for their turn to hash a password.
        pub manager_hash_queue: IntGauge,
        /// Passwords hashed, to be set or to be compared; each takes a core for some 30 ms and 19 MiB.
        pub manager_password_hashes_total: IntCounter,
    }
}

/// Every metric of the program.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Where they are declared and read.
    pub registry: Registry,
    /// Requests and logins.
    pub core: CoreMetrics,
    /// Of `reception/`.
    pub reception: ReceptionMetrics,
    /// Of `session/`.
    pub session: SessionMetrics,
    /// Of `relays/`.
    pub relays: RelaysMetrics,
    /// Of `events/`.
    pub events: EventsMetrics,
    /// Of `mail/`.
    pub mail: MailMetrics,
    /// Of `notice/`.
    pub notice: NoticeMetrics,
    /// Of `webhook/`.
    pub webhook: WebhookMetrics,
}

impl Metrics {
    /// Declares every metric.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new() -> Result<Self, MetricError> {
        let registry = Registry::new("manager");
        Ok(Self {
            core: CoreMetrics::declare(&registry)?,
            reception: ReceptionMetrics::declare(&registry)?,
            session: SessionMetrics::declare(&registry)?,
            relays: RelaysMetrics::declare(&registry)?,
            events: EventsMetrics::declare(&registry)?,
            mail: MailMetrics::declare(&registry)?,
            notice: NoticeMetrics::declare(&registry)?,
            webhook: WebhookMetrics::declare(&registry)?,
            registry,
        })
    }
}
