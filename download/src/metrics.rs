//! What the download server counts.

use prometheus::{IntCounter, IntCounterVec};

ops::metrics! {
    /// Metrics of the download server.
    pub struct Metrics {
        /// Answers on both public listeners, by what was asked for (`page`, `client`, `operator`, `asset`, `redirect`,
        /// `missing`) and HTTP status.
        pub download_requests_total: IntCounterVec["artifact", "status"],
        /// Bytes of tools handed to connections; pairs with `download_requests_total{artifact=~"client|operator"}`.
        pub download_sent_bytes_total: IntCounter,
        /// Tools not served because the file on the disk is not the one that was listed at start; each needs a restart.
        pub download_changed_files_total: IntCounter,
        /// Connections that were closed unserved, by reason (`full`, `handshake`, `idle`).
        pub download_connections_refused_total: IntCounterVec["reason"],
    }
}
