//! Every mistake is one line that names the key and the file, and exit code 64.

use std::{
    io::Write as _,
    process::{Command, Output},
};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uketsuke-relay")).args(args).env_clear().output().unwrap()
}

fn assert_mistake(output: &Output, words: &[&str]) {
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{line}");
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    for word in words {
        assert!(line.contains(word), "{word} is missing in: {line}");
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_relay_with_neither_manager_nor_keys_does_not_start() {
    let config = file("public_address = \"127.0.0.1:1\"\n");
    let path = config.path().to_str().unwrap();

    assert_mistake(&run(&["serve", "--config", path]), &[path, "key manager"]);
    assert_mistake(&run(&["serve", "--public-address", "127.0.0.1:1"]), &["key manager"]);
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_line() {
    let config = file("public_address = \"127.0.0.1:1\"\nlissten = \"127.0.0.1:2\"\n");
    let path = config.path().to_str().unwrap();

    assert_mistake(&run(&["config", "check", "--config", path]), &[path, "line 2", "lissten"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let key = "0".repeat(64);
    let text = format!("public_address = \"127.0.0.1:1\"\n[[ticket_keys]]\nkey_id = \"a\"\npublic_key = \"{key}\"\n");
    let config = file(&text);
    let path = config.path().to_str().unwrap();
    let args = ["config", "check", "--config", path, "--certificate", "/nowhere.pem", "--key", "/nowhere.key"];

    assert_mistake(&run(&args), &["certificate_file", "/nowhere.pem"]);
    assert_mistake(&run(&["config", "check", "--config", "/nowhere.toml"]), &["/nowhere.toml"]);
}

#[test]
fn a_flag_wins_over_the_file_and_print_shows_what_counts() {
    let key = "0".repeat(64);
    let text = format!("public_address = \"127.0.0.1:1\"\n[[ticket_keys]]\nkey_id = \"a\"\npublic_key = \"{key}\"\n");
    let config = file(&text);
    let path = config.path().to_str().unwrap();

    let printed = run(&["config", "print", "--config", path, "--public-address", "relay.example.jp:443"]);

    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert_eq!(printed.status.code(), Some(0));
    assert!(text.contains("public_address = \"relay.example.jp:443\""), "{text}");
}
