//! What the download server counts.

use prometheus::{IntCounter, IntCounterVec};

/// What a promise is measured by.
const TOOLS: [&str; 2] = ["client", "operator"];
/// How a download succeeds at once, and how it fails.
const STATUSES: [&str; 3] = ["200", "500", "503"];

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

impl Metrics {
    /// Shows downloads that have not happened yet as 0, because Prometheus sees no rise in a counter that begins with
    /// its first event.
    pub fn show_all(&self) {
        for artifact in TOOLS {
            for status in STATUSES {
                self.download_requests_total.with_label_values(&[artifact, status]).inc_by(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ops::metrics::Registry;

    use super::*;

    #[test]
    fn a_download_that_has_not_failed_yet_is_counted_as_none() {
        let registry = Registry::new("download");
        Metrics::declare(&registry).unwrap().show_all();
        let text = registry.text();
        for artifact in ["client", "operator"] {
            let series = format!("download_requests_total{{artifact=\"{artifact}\",status=\"503\"}} 0\n");
            assert!(text.contains(&series), "{series} is not in {text}");
        }
    }
}
