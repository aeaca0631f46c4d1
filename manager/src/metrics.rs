//! What the manager counts, beyond what each slice counts of its own.

use ops::metrics::{MetricError, Registry};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};
use proto::api::reception;

use crate::{
    events::EventsMetrics, mail::MailMetrics, notice::NoticeMetrics, reception::ReceptionMetrics,
    relays::RelaysMetrics, session::SessionMetrics, webhook::WebhookMetrics,
};

/// Routes of the API whose failures are shown from the first one on, because a promise is measured by each.
const PROMISED_ROUTES: [&str; 2] = [reception::RECEPTIONS, reception::ENTER];
/// How these routes fail.
const FAILURES: [&str; 2] = ["500", "503"];

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
        let metrics = Self {
            core: CoreMetrics::declare(&registry)?,
            reception: ReceptionMetrics::declare(&registry)?,
            session: SessionMetrics::declare(&registry)?,
            relays: RelaysMetrics::declare(&registry)?,
            events: EventsMetrics::declare(&registry)?,
            mail: MailMetrics::declare(&registry)?,
            notice: NoticeMetrics::declare(&registry)?,
            webhook: WebhookMetrics::declare(&registry)?,
            registry,
        };
        metrics.show_all();
        Ok(metrics)
    }

    /// Shows failures that have not happened yet as 0, because Prometheus sees no rise in a counter that begins with
    /// its first event.
    fn show_all(&self) {
        for route in PROMISED_ROUTES {
            for status in FAILURES {
                self.core.manager_http_requests_total.with_label_values(&[route, status]).inc_by(0);
            }
        }
        self.session.show_all();
    }
}

#[cfg(test)]
mod tests {
    use proto::close::CloseReason;

    use super::*;

    #[test]
    fn what_has_not_happened_yet_is_counted_as_none() {
        let text = Metrics::new().unwrap().registry.text();
        let is_none = |series: &str| assert!(text.contains(&format!("{series} 0\n")), "{series} is not in {text}");
        for result in ["ok", "repeated", "unusable", "throttled", "no_relay", "halted", "failed"] {
            is_none(&format!("manager_reception_entries_total{{result=\"{result}\"}}"));
        }
        for reason in CloseReason::ALL.iter().map(|reason| reason.as_str()) {
            is_none(&format!("manager_sessions_ended_total{{connected=\"yes\",reason=\"{reason}\"}}"));
            is_none(&format!("manager_sessions_ended_total{{connected=\"no\",reason=\"{reason}\"}}"));
        }
        for route in ["/v1/receptions", "/v1/enter"] {
            is_none(&format!("manager_http_requests_total{{route=\"{route}\",status=\"503\"}}"));
        }
    }
}
