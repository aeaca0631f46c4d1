//! The command line as a process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use manager::db::{Db, url::DatabaseUrl};
use manager::execute;
use ops::exit;

const PROGRAM: &str = env!("CARGO_BIN_EXE_uketsuke-manager");
/// How systemd runs it.
const UNIT: &str = include_str!("../../../ops/systemd/uketsuke-manager.service");

#[test]
fn accounts_are_made_and_the_chain_of_it_holds() {
    let site = Site::new();

    site.ok(&["migrate"], "migrate: the sqlite database is up to date");
    site.ok(
        &["admin", "create", "--user", "root", "--name", "管理者", "--password-file", &site.password],
        "admin: created",
    );
    site.ok(&["company", "create", "--code", "acme", "--name", "株式会社サンプル"], "company: created");
    let operator = ["--company", "acme", "--user", "yamada"];
    let create = ["operator", "create", "--name", "山田 太郎", "--password-file", &site.password];
    site.ok(&[&create[..], &operator[..]].concat(), "operator: created");
    site.ok(&[&["operator", "unlock"][..], &operator[..]].concat(), "operator: unlocked");
    site.ok(&[&["operator", "stop"][..], &operator[..]].concat(), "operator: stopped");
    site.ok(&[&["operator", "stop"][..], &operator[..]].concat(), "operator: was stopped before");
    site.ok(&["audit", "verify"], "audit: 5 rows, the chain holds");
}

#[test]
fn a_company_gets_an_example_once() {
    let site = Site::new();
    site.ok(&["company", "create", "--code", "acme", "--name", "株式会社サンプル"], "company: created");
    let example = ["company", "example", "--company", "acme", "--days", "1", "--password-file", &site.password];
    site.ok(&example, "company: acme has 20 example accounts and ");

    let again = site.run(&example);
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(64), "{words}");
    assert!(words.contains("an example goes into a new") && words.lines().count() == 1, "{words}");
}

#[test]
fn a_key_of_its_own_is_refused_until_it_is_adopted() {
    let site = Site::new();
    site.ok(&["migrate"], "migrate: the sqlite database is up to date");
    site.ok(&["key", "adopt"], "key: ");
    fs::remove_file(site.folder.path().join("signing.key")).unwrap();

    let refused = site.run(&["migrate"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("signing_key_file") && words.contains("key adopt") && words.lines().count() == 1, "{words}");
    site.ok(&["key", "adopt"], "key: ");
    site.ok(&["migrate"], "migrate: the sqlite database is up to date");
}

#[test]
fn an_earlier_version_ends_with_one_line_where_a_later_one_has_shut_it_out() {
    let site = Site::new();
    site.ok(&["migrate"], "migrate: the sqlite database is up to date");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Db::open(&DatabaseUrl::Sqlite(site.folder.path().join("manager.sqlite")), 1).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE service SET oldest_manager = 1000").unwrap();
        tx.commit().await.unwrap();
        db.close().await;
    });

    for command in [&["migrate"][..], &["company", "create", "--code", "acme", "--name", "A"], &["key", "adopt"]] {
        let refused = site.run(command);
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(i32::from(exit::DATA)), "{command:?} {words}");
        assert!(words.contains("generation 1000") && words.lines().count() == 1, "{words}");
        assert!(words.contains("start that version, or restore a backup"), "{words}");
    }
    // Only that does not get better by itself.
    let kept: Vec<&str> = UNIT.lines().filter_map(|line| line.strip_prefix("RestartPreventExitStatus=")).collect();
    assert_eq!(kept, [exit::DATA.to_string()]);
}

#[test]
fn a_changed_byte_of_one_row_is_named_and_the_exit_code_says_so() {
    let site = Site::new();
    for code in ["one", "two", "three"] {
        site.ok(&["company", "create", "--code", code, "--name", code], "company: created");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Db::open(&DatabaseUrl::Sqlite(site.folder.path().join("manager.sqlite")), 1).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE audit SET detail = REPLACE(detail, 'two', 'twp') WHERE seq = 2").unwrap();
        tx.commit().await.unwrap();
        db.close().await;
    });

    let output = site.run(&["audit", "verify"]);

    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(words, "audit: the chain is broken at row 2: its columns do not match its hash\n");
}

#[test]
fn the_chain_is_held_against_heads_that_were_kept_elsewhere() {
    let site = Site::new();
    site.ok(&["company", "create", "--code", "one", "--name", "one"], "company: created");
    let other = format!("1:{}", "a".repeat(64));

    let output = site.run(&["audit", "verify", "--head", &other]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        words,
        "audit: the chain is broken at row 1: a head that was kept elsewhere names another hash for it\n"
    );

    let output = site.run(&["audit", "verify", "--head", "1"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{words}");
    assert!(words.contains("64 hexadecimal digits") && words.lines().count() == 1, "{words}");
}

#[test]
fn mistakes_are_one_line_and_exit_code_64() {
    let site = Site::new();
    site.ok(&["company", "create", "--code", "acme", "--name", "A"], "company: created");
    let short = site.folder.path().join("short").display().to_string();
    fs::write(&short, "planted").unwrap();
    let operator = ["operator", "create", "--name", "N", "--user", "u"];
    for (flags, says) in [
        (vec!["company", "create", "--code", "Acme", "--name", "A"], "--code"),
        (vec!["company", "create", "--code", "acme", "--name", "A"], "--code acme: exists already"),
        (vec!["company", "create", "--code", "other"], "--name"),
        ([&operator[..], &["--company", "nowhere", "--password-file", &site.password]].concat(), "--company nowhere"),
        ([&operator[..], &["--company", "acme", "--password-file", &short]].concat(), "8 to 20 characters"),
        ([&operator[..], &["--company", "acme", "--password-file", "/nowhere/p"]].concat(), "/nowhere/p"),
        (vec!["operator", "stop", "--company", "acme", "--user", "nobody"], "--user nobody: does not exist"),
        (vec!["operator", "unlock", "--company", "acme", "--user", "nobody"], "--user nobody: does not exist"),
        (vec!["fly"], "fly"),
        (vec!["config", "check", "--config", "/nowhere/manager.toml"], "/nowhere/manager.toml"),
    ] {
        let output = site.run(&flags);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{flags:?} {words}");
        assert_eq!(words.lines().count(), 1, "{words}");
        assert!(words.starts_with("uketsuke-manager: ") && words.contains(says), "{words}");
        assert!(!words.contains("planted"), "{words}");
    }
}

#[test]
fn the_configuration_is_checked_and_printed_without_opening_anything() {
    let site = Site::new();

    site.ok(&["config", "check"], "configuration: ok");
    site.ok(&["config", "print"], "signing_key_file = ");
    assert!(!site.folder.path().join("signing.key").exists());
    assert!(!site.folder.path().join("manager.sqlite").exists());
}

#[test]
fn verifying_makes_no_database_and_says_what_is_missing() {
    let site = Site::new();

    let output = site.run(&["audit", "verify"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no database"));
    assert!(!site.folder.path().join("manager.sqlite").exists());
}

#[test]
fn the_openapi_document_needs_no_configuration() {
    let output = Command::new(PROGRAM).arg("openapi").output().unwrap();

    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["paths"]["/v1/login"].is_object());
}

#[test]
fn a_server_without_its_certificate_does_not_start() {
    let site = Site::new();

    let output = site.run(&["serve"]);

    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("certificate_file") && words.contains("certificate.pem"), "{words}");
}

/// A folder with a configuration.
struct Site {
    folder: tempfile::TempDir,
    config: PathBuf,
    password: String,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "listen = \"127.0.0.1:0\"\nprivate_listen = \"127.0.0.1:0\"\ncertificate_file = \"{}\"\n\
            key_file = \"{}\"\nsigning_key_file = \"{}\"\n[database]\nurl = \"sqlite://{}\"\n",
            at("certificate.pem"),
            at("certificate.key"),
            at("signing.key"),
            at("manager.sqlite")
        );
        let config = folder.path().join("manager.toml");
        fs::write(&config, text).unwrap();
        let password = at("password");
        fs::write(Path::new(&password), "Correct-Horse-42\n").unwrap();
        Self { folder, config, password }
    }

    fn run(&self, flags: &[&str]) -> Output {
        let own = flags.contains(&"--config");
        let config = if own { vec![] } else { vec!["--config".as_ref(), self.config.as_os_str()] };
        Command::new(PROGRAM).args(flags).args(config).env_remove("RUST_LOG").output().unwrap()
    }

    fn ok(&self, flags: &[&str], begins: &str) {
        let output = self.run(flags);
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{flags:?} {}", String::from_utf8_lossy(&output.stderr));
        assert!(words.contains(begins), "{words}");
    }
}
