//! Mistakes read as one line that names file, line and key.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: SocketAddr,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    tools: Vec<Tool>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    body: Bytes,
    wait: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: Bytes::kib(64), wait: Span::secs(15) }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    path: PathBuf,
}

const GOOD: &str = "listen = \"127.0.0.1:1\"\n\n[limits]\nbody = \"1 MiB\"\n\n[[tools]]\npath = \"a\"\n";

fn line(text: &str) -> String {
    parse::<Config>(text).unwrap_err().to_string()
}

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let config: Config = parse(GOOD).unwrap();

    assert_eq!(config.limits.body.get(), 1024 * 1024);
    assert_eq!(Duration::from(config.limits.wait), Duration::from_secs(15));
    assert_eq!(config.tools.len(), 1);
}

#[test]
fn an_unknown_key_is_named_with_its_section_and_line() {
    let line = line("listen = \"127.0.0.1:1\"\n[limits]\nwait = \"1s\"\nboddy = \"1 MiB\"\n");

    assert!(line.starts_with("configuration, line 4, key limits.boddy: unknown field `boddy`"), "{line}");
}

#[test]
fn a_bad_value_is_named_with_its_key_and_says_what_is_right() {
    let line = line("listen = \"127.0.0.1:1\"\n[limits]\nbody = \"much\"\n");

    assert!(line.starts_with("configuration, line 3, key limits.body: "), "{line}");
    assert!(line.contains("256 KiB"), "{line}");
}

#[test]
fn a_missing_key_is_named() {
    let line = line("[limits]\n");

    assert!(line.contains("missing field `listen`"), "{line}");
}

#[test]
fn an_item_of_a_list_is_named_by_its_number() {
    let line = line("listen = \"127.0.0.1:1\"\n[[tools]]\npath = \"a\"\n[[tools]]\npath = 3\n");

    assert!(line.starts_with("configuration, line 5, key tools[1].path: "), "{line}");
}

#[test]
fn text_that_is_not_toml_is_one_line_too() {
    let line = line("listen = \"127.0.0.1:1\"\nlisten == 3\n");

    assert!(line.starts_with("configuration, line 2: "), "{line}");
    assert!(!line.contains('\n'));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load::<Config>(Some(Path::new("/nowhere/relay.toml"))).unwrap_err();

    assert!(error.to_string().starts_with("/nowhere/relay.toml: "), "{error}");
}

#[test]
fn a_mistake_found_after_reading_names_the_line_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(&file, GOOD).unwrap();

    let error = ConfigError::at(Some(&file), "tools[0].path", "is not a file");

    assert_eq!(error.line(), Some(7));
    assert_eq!(error.to_string(), format!("{}, line 7, key tools[0].path: is not a file", file.display()));
}

#[test]
fn what_is_printed_can_be_read_again_and_has_the_same_fingerprint() {
    let config: Config = parse(GOOD).unwrap();

    let again: Config = parse(&print(&config).unwrap()).unwrap();
    let other: Config = parse(&GOOD.replace("1 MiB", "2 MiB")).unwrap();

    assert_eq!(fingerprint(&config).unwrap(), fingerprint(&again).unwrap());
    assert_ne!(fingerprint(&config).unwrap(), fingerprint(&other).unwrap());
    assert_eq!(fingerprint(&config).unwrap().len(), 16);
}
