//! Metrics: declared once per server by [`metrics!`](crate::metrics!), read by Prometheus from the private listener.

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, TextEncoder, core::Collector,
};

/// Every metric of one program. Clones share them.
#[derive(Debug, Clone)]
pub struct Registry {
    program: &'static str,
    metrics: prometheus::Registry,
}

/// A metric that could not be declared: its name is taken or not a name.
#[derive(Debug, thiserror::Error)]
#[error("metric {name}: {cause}")]
pub struct MetricError {
    /// Name of the metric.
    pub name: String,
    /// What Prometheus' library says.
    pub cause: prometheus::Error,
}

/// A kind of metric that [`metrics!`](crate::metrics!) can declare.
pub trait Kind: Collector + Clone + 'static {
    /// Makes the metric; kinds without labels or buckets ignore what does not concern them.
    ///
    /// # Errors
    /// The name or a label is not one.
    fn build(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error>;
}

impl Registry {
    /// A registry for a program, for example `relay`; the program's name begins every metric's name.
    pub fn new(program: &'static str) -> Self {
        Self { program, metrics: prometheus::Registry::new() }
    }

    /// Sets `<program>_build_info{version}` to 1.
    ///
    /// # Errors
    /// It was set before.
    pub fn build_info(&self, version: &str) -> Result<(), MetricError> {
        self.info("build_info", "Version of the running program; always 1.", "version", version)
    }

    /// Sets `<program>_config_info{hash}` to 1; see [`crate::config::fingerprint`].
    ///
    /// # Errors
    /// It was set before.
    pub fn config_info(&self, hash: &str) -> Result<(), MetricError> {
        self.info("config_info", "Hash of the effective configuration; always 1.", "hash", hash)
    }

    /// Declares one metric. [`metrics!`](crate::metrics!) calls it; hand-made collectors may too.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn declare<K: Kind>(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<K, MetricError> {
        let failed = |cause| MetricError { name: name.to_owned(), cause };
        let metric = K::build(name, help.trim(), labels, buckets).map_err(failed)?;
        self.metrics.register(Box::new(metric.clone())).map_err(failed)?;
        Ok(metric)
    }

    /// Everything in the text format that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.metrics.gather(), &mut text) {
            tracing::error!(event = "metrics.failed", error = %error, "Metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn info(&self, what: &str, help: &str, label: &str, value: &str) -> Result<(), MetricError> {
        let name = format!("{}_{what}", self.program);
        let info: IntGaugeVec = self.declare(&name, help, &[label], &[])?;
        info.with_label_values(&[value]).set(1);
        Ok(())
    }
}

macro_rules! kinds {
    ($($plain:ty, $labelled:ty;)*) => {$(
        impl Kind for $plain {
            fn build(name: &str, help: &str, _labels: &[&str], _buckets: &[f64]) -> Result<Self, prometheus::Error> {
                Self::with_opts(Opts::new(name, help))
            }
        }

        impl Kind for $labelled {
            fn build(name: &str, help: &str, labels: &[&str], _buckets: &[f64]) -> Result<Self, prometheus::Error> {
                Self::new(Opts::new(name, help), labels)
            }
        }
    )*};
}

kinds! {
    IntCounter, IntCounterVec;
    IntGauge, IntGaugeVec;
    Gauge, GaugeVec;
}

impl Kind for Histogram {
    fn build(name: &str, help: &str, _labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
    }
}

impl Kind for HistogramVec {
    fn build(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
    }
}

/// Declares the metrics of a program as one struct. The field's name is the metric's name, its doc comment the help
/// text; labels follow in brackets and buckets after `in`.
///
/// ```
/// use prometheus::{Histogram, IntCounterVec};
///
/// /// Answers: how many handshakes are slower than a person notices?
/// const HANDSHAKE_BUCKETS: &[f64] = &[0.01, 0.1, 1.0];
///
/// ops::metrics! {
///     /// What the gate counts.
///     pub struct GateMetrics {
///         /// Connections at the gate, by result.
///         pub gate_connections_total: IntCounterVec["result"],
///         /// Seconds from accept to finished handshake.
///         pub gate_handshake_seconds: Histogram in HANDSHAKE_BUCKETS,
///     }
/// }
///
/// let registry = ops::metrics::Registry::new("gate");
/// let metrics = GateMetrics::declare(&registry)?;
/// metrics.gate_connections_total.with_label_values(&["admitted"]).inc();
/// assert!(registry.text().contains(r#"gate_connections_total{result="admitted"} 1"#));
/// # Ok::<(), ops::metrics::MetricError>(())
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                $field_vis:vis $field:ident: $kind:ident $([$($label:literal),+ $(,)?])? $(in $buckets:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $(
                $(#[doc = $help])+
                $field_vis $field: $kind,
            )*
        }

        impl $name {
            /// Every metric's name, in the order of declaration.
            $vis const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// Declares every metric in `registry`.
            ///
            /// # Errors
            /// A name is taken.
            $vis fn declare(
                registry: &$crate::metrics::Registry,
            ) -> ::std::result::Result<Self, $crate::metrics::MetricError> {
                Ok(Self {
                    $(
                        $field: registry.declare(
                            stringify!($field),
                            concat!($($help, "\n"),+),
                            &[$($($label),+)?],
                            $crate::metrics!(@buckets $($buckets)?),
                        )?,
                    )*
                })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { $buckets };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::metrics! {
        /// What the test counts.
        struct TestMetrics {
            /// Things that happened,
            /// by what they were.
            test_things_total: IntCounterVec["what"],
            /// Things that are open.
            test_things_open: IntGauge,
            /// Seconds a thing takes.
            test_thing_seconds: HistogramVec["what"] in &[0.5, 1.0],
        }
    }

    #[test]
    fn the_doc_comment_is_the_help_text_and_values_are_shown() {
        let registry = Registry::new("test");
        let metrics = TestMetrics::declare(&registry).unwrap();

        metrics.test_things_total.with_label_values(&["good"]).inc_by(3);
        metrics.test_things_open.set(2);
        metrics.test_thing_seconds.with_label_values(&["good"]).observe(0.7);

        let text = registry.text();
        assert!(text.contains("# HELP test_things_total Things that happened,\\n by what they were."), "{text}");
        assert!(text.contains("test_things_total{what=\"good\"} 3"), "{text}");
        assert!(text.contains("test_things_open 2"), "{text}");
        assert!(text.contains("test_thing_seconds_bucket{what=\"good\",le=\"0.5\"} 0"), "{text}");
        assert!(text.contains("test_thing_seconds_bucket{what=\"good\",le=\"1\"} 1"), "{text}");
    }

    #[test]
    fn a_name_is_declared_once() {
        let registry = Registry::new("test");
        let first = TestMetrics::declare(&registry).unwrap();

        let error = TestMetrics::declare(&registry).unwrap_err();

        assert_eq!(error.name, "test_things_total");
        assert_eq!(TestMetrics::NAMES.len(), 3);
        first.test_things_open.set(1);
    }

    #[test]
    fn version_and_configuration_hash_are_metrics() {
        let registry = Registry::new("relay");

        registry.build_info("1.2.3").unwrap();
        registry.config_info("0a1b").unwrap();

        let text = registry.text();
        assert!(text.contains("relay_build_info{version=\"1.2.3\"} 1"), "{text}");
        assert!(text.contains("relay_config_info{hash=\"0a1b\"} 1"), "{text}");
    }
}
