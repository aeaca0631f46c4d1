//! Configuration: what is documented is what is read, and a mistake names its key.

use std::path::{Path, PathBuf};

use manager::config::Config;

#[test]
fn the_documented_file_has_every_key_with_its_default() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/config/manager.toml");

    assert_eq!(Config::load(Some(&file)).unwrap(), Config::default());
    let text = std::fs::read_to_string(file).unwrap();
    let printed = ops::config::print(&Config::default()).unwrap();
    for line in printed.lines().filter(|line| !line.is_empty()) {
        assert!(text.lines().any(|documented| documented == line), "{line} is not documented");
    }
}

#[test]
fn an_absent_file_means_every_default() {
    assert_eq!(Config::load(None).unwrap(), Config::default());
}

#[test]
fn every_mistake_is_one_line_that_names_the_key() {
    for (text, line, key, says) in [
        ("listen = 5", 1, "listen", ""),
        ("\nlisten = \"everywhere\"", 2, "listen", ""),
        ("lisent = \"0.0.0.0:443\"", 1, "lisent", "unknown field"),
        ("listen = \"127.0.0.1:9\"\nprivate_listen = \"127.0.0.1:9\"", 2, "private_listen", "same as listen"),
        ("log_format = \"loud\"", 1, "log_format", "loud"),
        ("[http]\nrequest_timeout = \"10\"", 2, "http.request_timeout", "\"30s\""),
        ("[http]\nrequest_timeout = \"5m\"", 2, "http.request_timeout", "from 1s to 1m"),
        ("[http]\nconnections_max = 0", 2, "http.connections_max", "at least 1"),
        ("[http]\ndrain = \"2h\"", 2, "http.drain", "10m"),
        ("[database]\nurl = \"mysql://a:planted-secret@b/c\"", 2, "database.url", "postgres://"),
        ("[database]\nurl_file = \"/nowhere/url\"", 2, "database.url_file", "No such file"),
        ("[database]\nconnections_max = 0", 2, "database.connections_max", ""),
        ("[login]\nlife = \"1s\"", 2, "login.life", "from 1m to 30days"),
        ("[login]\nidle = \"1s\"", 2, "login.idle", ""),
        ("[login]\nattempts_window = \"0s\"", 2, "login.attempts_window", ""),
        ("[login]\nhash_wait = \"1h\"", 2, "login.hash_wait", ""),
        ("[login]\nhash_parallel = 0", 2, "login.hash_parallel", ""),
        ("[login]\nattempts_per_source_max = -1", 2, "login.attempts_per_source_max", ""),
        ("[reception]\nlife = \"2h\"", 2, "reception.life", "from 1m to 1h"),
        ("[relays]\nalive_for = \"3s\"", 2, "relays.alive_for", "longer than relays.heartbeat_every"),
        ("[relays]\nper_session_max = 9", 2, "relays.per_session_max", "at most 4"),
        ("[session]\nlease = \"1s\"", 2, "session.lease", ""),
        ("[events]\nkeep = \"1s\"", 2, "events.keep", ""),
        ("[system]\nnetworks = [\"office\"]", 2, "system.networks[0]", "192.0.2.0/24"),
        ("[providers]\ntimeout = \"10s\"", 2, "providers.timeout", "shorter than http.request_timeout"),
        ("[system.provider]\nissuer = \"https://a.example\"", 1, "system.provider", "client_id"),
        (
            "[system.provider]\nissuer = \"http://a.example\"\nclient_id = \"a\"",
            2,
            "system.provider.issuer",
            "begin with https://",
        ),
        ("[mail]\nserver = \"mail.example\"", 1, "mail.from", "is missing"),
        ("[mail]\nserver = \"mail.example\"\nfrom = \"a@b.example\"", 1, "mail.site", "is missing"),
        ("[mail]\nfrom = \"nobody\"", 2, "mail.from", "no-reply@"),
        ("[mail]\nsite = \"http://a.example\"", 2, "mail.site", "https://"),
        ("[mail]\ntls = \"maybe\"", 2, "mail.tls", "maybe"),
        ("[mail]\ntimeout = \"5m\"", 2, "mail.timeout", ""),
        ("[login]\nlive = \"1h\"", 2, "login.live", "unknown field"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("manager.toml");
        std::fs::write(&file, text).unwrap();

        let mistake = Config::load(Some(&file)).unwrap_err();

        assert_eq!((mistake.key(), mistake.line()), (key, Some(line)), "{mistake}");
        let words = mistake.to_string();
        assert!(words.contains(&file.display().to_string()) && words.contains(says), "{words}");
        assert!(!words.contains('\n') && !words.contains("planted-secret"), "{words}");
    }
}

#[test]
fn a_short_request_needs_no_word_about_providers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manager.toml");
    std::fs::write(&file, "[http]\nrequest_timeout = \"3s\"\n").unwrap();

    Config::load(Some(&file)).unwrap();
}

#[test]
fn a_broken_or_missing_file_is_named() {
    let missing = PathBuf::from("/nowhere/manager.toml");
    let words = Config::load(Some(&missing)).unwrap_err().to_string();
    assert!(words.starts_with("/nowhere/manager.toml: "), "{words}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manager.toml");
    std::fs::write(&file, "listen = ").unwrap();
    let mistake = Config::load(Some(&file)).unwrap_err();
    assert_eq!(mistake.line(), Some(1), "{mistake}");
}

#[test]
fn a_database_password_is_neither_printed_nor_debugged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manager.toml");
    let secret = folder.path().join("url");
    std::fs::write(&secret, "postgres://keeper:planted-secret@db/uketsuke\n").unwrap();
    let text = format!(
        "[database]\nurl = \"postgres://keeper:planted-secret@db/uketsuke\"\nurl_file = \"{}\"\n",
        secret.display()
    );
    std::fs::write(&file, text).unwrap();

    let config = Config::load(Some(&file)).unwrap();

    let printed = ops::config::print(&config).unwrap();
    assert!(printed.contains("postgres://keeper:***@db:5432/uketsuke"), "{printed}");
    for words in [printed, format!("{config:?}"), config.database.url().unwrap().to_string()] {
        assert!(!words.contains("planted-secret"), "{words}");
    }
}
