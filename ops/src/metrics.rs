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

    /// Declares `<program>_ready`, which [`crate::private::serve`] sets whenever it is asked.
    ///
    /// # Errors
    /// It was declared before.
    pub fn ready(&self) -> Result<IntGauge, MetricError> {
        self.declare(
            &format!("{}_ready", self.program),
            "1 while /readyz says that new work is welcome, else 0.",
            &[],
            &[],
        )
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
        #[allow(clippy::struct_field_names, reason = "every metric's name begins with its program")]
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
