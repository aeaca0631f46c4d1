//! The rules of `ops/prometheus`: Prometheus takes them, they call when they should, and what they ask for is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proto::close::CloseReason;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// Runs promtool in the folder of the rules and fails unless it is content.
fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(folder())
        .output()
        .expect("the package prometheus is needed");
    let told = [output.stdout, output.stderr].map(|told| String::from_utf8_lossy(&told).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}: {told}");
}

/// The words of a text that begin as the metrics of a server do.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_word(c));
    words.filter(|word| ["manager_", "relay_", "download_"].iter().any(|server| word.starts_with(server))).collect()
}

#[test]
fn prometheus_takes_the_example_and_its_rules() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "slis.yml", "alerts.yml"]);
}

#[test]
fn a_fast_burn_calls_and_a_blip_a_planned_stop_and_one_of_two_servers_do_not() {
    promtool(&["test", "rules", "tests.yml"]);
}

/// A file of the workspace.
fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)).unwrap()
}

/// Each alternative that the rules ask of a label.
fn alternatives<'a>(rules: &'a str, label: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for operator in ["=~", "!~", "="] {
        for rest in rules.split(&format!("{label}{operator}\"")).skip(1) {
            found.extend(rest.split('"').next().unwrap().split('|'));
        }
    }
    found
}

/// Whether an alternative of a matcher is one of these names, or what some of them begin with.
fn meets(alternative: &str, names: &[&str]) -> bool {
    match alternative.strip_suffix(".*") {
        Some(beginning) => names.iter().any(|name| name.starts_with(beginning)),
        None => names.contains(&alternative),
    }
}

#[test]
fn everything_that_the_rules_ask_of_a_label_is_there() {
    let rules = read("slis.yml");
    let session = source("manager/src/session/metrics.rs");
    let results = session.split("ENTRY_RESULTS: [&str; 7] = [").nth(1).unwrap().split(']').next().unwrap();
    let reasons: Vec<&str> = CloseReason::ALL.iter().map(|reason| reason.as_str()).collect();
    let results: Vec<&str> = results.split(", ").map(|result| result.trim_matches('"')).collect();
    let routes = ["proto/src/api/reception.rs", "manager/src/live/page.rs", "manager/src/site/assets.rs"]
        .map(source)
        .concat()
        .replace("{}", "file");
    let routes: Vec<&str> = routes.split('"').filter(|word| word.starts_with('/')).chain(["none"]).collect();
    assert!(source("manager/src/router.rs").contains("NO_ROUTE: &str = \"none\""));

    let known: [(&str, &[&str], usize); 5] = [
        ("reason", &reasons, 15),
        ("result", &results, 1),
        ("route", &routes, 6),
        ("connected", &["yes", "no"], 2),
        ("artifact", &["client", "operator"], 2),
    ];
    for (label, names, at_least) in known {
        let asked = alternatives(&rules, label);
        assert!(at_least <= asked.len(), "{label}: {asked:?}");
        for alternative in asked {
            assert!(meets(alternative, names), "{label} is never {alternative}");
        }
    }
}

#[test]
fn every_reason_to_end_is_judged_or_left_out_on_purpose() {
    let rules = read("slis.yml");
    let judged = alternatives(&rules, "reason");
    let left_out = [
        CloseReason::OperatorEnded,
        CloseReason::CustomerEnded,
        CloseReason::ConsentRefused,
        CloseReason::ConsentTimeout,
        CloseReason::PeerTimeout,
        CloseReason::WrongSecret,
        CloseReason::ProveTimeout,
        CloseReason::HelloTimeout,
        CloseReason::Revoked,
        CloseReason::HardEnd,
        CloseReason::Cancelled,
    ];
    for reason in CloseReason::ALL {
        let is_judged = judged.iter().any(|alternative| meets(alternative, &[reason.as_str()]));
        assert_ne!(is_judged, left_out.contains(reason), "{reason:?}");
    }
}

#[test]
fn every_metric_of_the_rules_and_of_the_runbook_is_one_of_a_server() {
    let declared = [
        "manager/src/metrics.rs",
        "manager/src/notice/metrics.rs",
        "manager/src/session/metrics.rs",
        "relay/src/metrics.rs",
        "download/src/metrics.rs",
    ]
    .map(source)
    .concat();
    let rules = ["slis.yml", "alerts.yml", "README.md"].map(read).concat();
    // Names of promises and of a reason to end, and what each server has from `ops::private`.
    let others = BTreeSet::from(["manager_up", "relay_up", "download_up", "relay_stopped"]);
    let ready = BTreeSet::from(["manager_ready", "relay_ready", "download_ready"]);
    assert!(source("ops/src/metrics.rs").contains("\"{}_ready\""));
    let asked: BTreeSet<&str> = metrics(&rules).difference(&(&others | &ready)).copied().collect();

    assert!(5 < asked.len(), "{asked:?}");
    for name in asked {
        let name = name.strip_suffix("_count").unwrap_or(name);
        assert!(declared.contains(&format!("pub {name}: ")), "no server has {name}");
    }
}

#[test]
fn every_alert_leads_to_a_heading_of_the_runbook() {
    let (alerts, runbook) = (read("alerts.yml"), read("README.md"));
    let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-");
    let headings: BTreeSet<String> = runbook.lines().filter_map(|line| line.strip_prefix("### ")).map(anchor).collect();
    let led: Vec<&str> =
        alerts.split("runbook: ops/prometheus/README.md#").skip(1).filter_map(|rest| rest.lines().next()).collect();

    assert_eq!(led.len(), alerts.matches("- alert: ").count(), "an alert without a runbook");
    for to in led {
        assert!(headings.contains(to), "{to} is none of {headings:?}");
    }
}
