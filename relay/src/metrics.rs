//! What the relay counts. Labels are closed sets; no id, address or number is ever one.

use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use proto::{frame::Lane, role::Role};

/// Answers: how many handshakes are slower than a person notices?
const HANDSHAKE_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Answers: how long is a usual session, and how many go on for hours?
const SESSION_BUCKETS: &[f64] = &[1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0];
/// Answers: is the way between tool and relay good enough to work on a screen?
const ROUND_TRIP_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6];
/// Answers: how long do pictures wait for the rate of their ticket?
const WAIT_BUCKETS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

ops::metrics! {
    /// Everything the relay counts.
    pub struct RelayMetrics {
        /// Connections, by how their coming ended; the results are those of `gate::Arrival`, all but `accepted` refusals.
        pub relay_connections_total: IntCounterVec["transport", "result"],
        /// Seconds from accept to finished TLS handshake.
        pub relay_handshake_seconds: HistogramVec["transport"] in HANDSHAKE_BUCKETS,
        /// Connections with TLS that got no seat, by close reason.
        pub relay_joins_refused_total: IntCounterVec["reason"],
        /// Tools that were told `overloaded`, by the bound they met; the bounds are those of `gate::Bound`.
        pub relay_overloaded_total: IntCounterVec["bound"],
        /// Tickets that were refused without a look, because they were no good a moment ago.
        pub relay_tickets_refused_again_total: IntCounter,
        /// Sessions with one side, waiting for the other.
        pub relay_sessions_waiting: IntGauge,
        /// Sessions with both sides.
        pub relay_sessions_active: IntGauge,
        /// Sessions that ended here, by close reason.
        pub relay_sessions_ended_total: IntCounterVec["reason"],
        /// Seconds from the first side's coming to the end.
        pub relay_session_seconds: Histogram in SESSION_BUCKETS,
        /// Payload bytes written to the other side.
        pub relay_forwarded_bytes_total: IntCounterVec["lane", "direction"],
        /// Frames written to the other side.
        pub relay_forwarded_frames_total: IntCounterVec["lane", "direction"],
        /// Frames that could not be passed on, because the other side is not there.
        pub relay_dropped_frames_total: IntCounterVec["lane", "reason"],
        /// Seconds that screen and bulk frames waited for the rate of a ticket.
        pub relay_limit_wait_seconds: HistogramVec["scope"] in WAIT_BUCKETS,
        /// Writes that made no progress in time; each ends a connection.
        pub relay_write_stalls_total: IntCounter,
        /// Tools that went on from another address, which only QUIC allows.
        pub relay_migrations_total: IntCounter,
        /// Round trips between relay and tools, measured by pings.
        pub relay_peer_rtt_seconds: HistogramVec["transport"] in ROUND_TRIP_BUCKETS,
        /// 1 while the relay takes no new sessions.
        pub relay_draining: IntGauge,
        /// Reports that the manager has not acknowledged yet.
        pub relay_reports_pending: IntGauge,
        /// Reports that were dropped: the manager was away too long for all of them to be kept, or refuses one for good.
        pub relay_reports_dropped_total: IntCounterVec["reason"],
        /// Heartbeats, by how they went.
        pub relay_heartbeats_total: IntCounterVec["result"],
        /// Seconds by which the manager's clock is ahead of this one, at least; above 60 either way the relay is not ready.
        pub relay_clock_offset_seconds: Gauge,
    }
}

/// The counters of what is forwarded, looked up once and not for every write.
pub(crate) struct Forwarded {
    from_customer: [Counters; 4],
    from_operator: [Counters; 4],
}

struct Counters {
    frames: IntCounter,
    bytes: IntCounter,
}

impl Forwarded {
    /// Of these metrics.
    pub(crate) fn of(metrics: &RelayMetrics) -> Self {
        let counters = |direction: &str| {
            Lane::ALL.map(|lane| {
                let labels = [lane.as_str(), direction];
                Counters {
                    frames: metrics.relay_forwarded_frames_total.with_label_values(&labels),
                    bytes: metrics.relay_forwarded_bytes_total.with_label_values(&labels),
                }
            })
        };
        Self { from_customer: counters("from_customer"), from_operator: counters("from_operator") }
    }

    /// Counts frames and payload bytes of each lane, in the order of [`Lane::ALL`].
    pub(crate) fn count(&self, from: Role, forwarded: &[(u64, u64); 4]) {
        let counters = match from {
            Role::Customer => &self.from_customer,
            Role::Operator => &self.from_operator,
        };
        for (counters, (frames, bytes)) in counters.iter().zip(forwarded) {
            if 0 < *frames {
                counters.frames.inc_by(*frames);
                counters.bytes.inc_by(*bytes);
            }
        }
    }
}
