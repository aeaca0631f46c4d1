//! Metrics are declared once, with their help, and read as text.

use ops::metrics::Registry;
use prometheus::{HistogramVec, IntCounterVec, IntGauge};

ops::metrics! {
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
