//! A mistake in the configuration is one line that names file and key, and exit code 64.

use std::process::{Command, Output};

use crate::run::{TOOLS, prepare};

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uketsuke-download")).args(arguments).output().unwrap()
}

/// The one line that the program says about a configuration.
fn mistake(tools: &str) -> String {
    let (_folder, file, _authority) = prepare(tools);
    let output = program(&["serve", "--config", file.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.starts_with("uketsuke-download: ") && said.contains("download.toml"), "{said}");
    said
}

#[test]
fn mistakes_are_named() {
    let one = "[[tools]]\npath = \"FOLDER/client\"\nrole = \"client\"\nos = \"linux\"\narch = \"x86_64\"\n";
    let table = [
        (String::new(), "key tools: no tool is listed"),
        (format!("colour = \"blue\"\n{TOOLS}"), "key colour: unknown field"),
        (format!("[limits]\ndrain = \"soon\"\n{TOOLS}"), "key limits.drain: `soon` is not a time"),
        (format!("[limits]\nconnections = 0\n{TOOLS}"), "key limits.connections: at least 1"),
        (one.replace("client\"\nos", "customer\"\nos"), "key tools[0].role: unknown variant `customer`"),
        (one.replace("FOLDER/client", "FOLDER/nothing"), "key tools[0].path: "),
        (one.replace("FOLDER/client", "FOLDER"), "is not a file"),
        (format!("{one}{one}"), "line 10, key tools[1].name: `uketsuke-client-linux-x86_64` is the name of an earlier"),
        (format!("{one}name = \"../x\"\n"), "key tools[0].name: `../x` may have letters"),
        (format!("redirect_listen = \"here\"\n{TOOLS}"), "key redirect_listen: "),
    ];

    for (tools, expected) in table {
        let said = mistake(&tools);
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
}

#[test]
fn the_address_is_https_and_a_host() {
    for wrong in ["http://a.example", "https://a.example/path", "https://user@a.example", "a.example", ""] {
        let (_folder, file, _authority) = prepare(TOOLS);
        let text = std::fs::read_to_string(&file).unwrap().replace("https://download.example.jp", wrong);
        std::fs::write(&file, text).unwrap();

        let output = program(&["config", "check", "--config", file.to_str().unwrap()]);

        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{wrong}");
        assert!(said.contains("line 1, key address: "), "{said}");
    }
}

#[test]
fn a_wrong_flag_or_a_missing_file_is_one_line_too() {
    for arguments in [["serve", "--conifg=x"], ["serve", "--config=/nowhere/x.toml"], ["config", "chekc"]] {
        let output = program(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_good_configuration_is_said_to_be_good_and_printed_with_its_hash() {
    let (_folder, file, _authority) = prepare(TOOLS);
    let path = file.to_str().unwrap();

    let checked = program(&["config", "check", "--config", path]);
    let printed = program(&["config", "print", "--config", path, "--redirect-listen", "127.0.0.1:8080"]);

    assert_eq!(String::from_utf8(checked.stdout).unwrap(), "ok, 3 tools for https://download.example.jp\n");
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(text.starts_with("# "), "{text}");
    assert!(text.contains("redirect_listen = \"127.0.0.1:8080\"") && text.contains("drain = \"1m\""), "{text}");
}

#[test]
fn the_example_configuration_has_every_key() {
    let text = include_str!("../../../ops/config/download.toml");

    let config: download::config::Config = ops::config::parse(text).unwrap();

    for key in ops::config::print(&config).unwrap().lines().filter_map(|line| line.split_once(" = ")) {
        assert!(text.contains(&format!("{} = ", key.0)), "{} is not in the example", key.0);
    }
}
