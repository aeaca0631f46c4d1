//! The relay's configuration; every key is in `ops/config/relay.toml` with its reason.

use std::{
    fs,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use link::api::ManagerApi;
use ops::{
    config::{Bytes, ConfigError, Span},
    logs::LogFormat,
    proxied::ProxyFrom,
    tls::{self, Certificate, TlsError},
};
use proto::{limits, ticket::VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::{
    StartError,
    sources::{Allowance, Allowances},
};

/// Everything a relay must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where tools connect.
    pub listen: SocketAddr,
    /// Whether tools may connect by QUIC, too.
    pub quic: bool,
    /// Where, if not at the address of `listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quic_listen: Option<SocketAddr>,
    /// Every stranger must prove its address before a QUIC handshake, and not only under load.
    pub quic_retry_always: bool,
    /// Host name or address and port that tools dial, as the manager tells them.
    pub public_address: String,
    /// Where metrics and health are served; never reachable from outside.
    pub private_listen: SocketAddr,
    /// Form of the log lines.
    pub log_format: LogFormat,
    /// Address of the manager, `https://…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// The only certificate authority that vouches for the manager, PEM; the system's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager_ca_file: Option<PathBuf>,
    /// Holds the token that `uketsuke-manager relay enroll` printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Certificate chain, PEM. Without it the relay makes its own at start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Load balancers that say by the PROXY protocol, version 2, who connected to them; from them it is required.
    pub proxy_from: ProxyFrom,
    /// What strangers and tools may use up.
    pub limits: Limits,
    /// How long the relay waits.
    pub deadlines: Deadlines,
    /// Keys of tickets that are valid besides those the manager tells.
    pub ticket_keys: Vec<TicketKey>,
}

/// What strangers and tools may use up.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Threads that forward; as many more take connections in.
    pub threads: usize,
    /// Open connections of admitted tools; the last tenth for tools that come back.
    pub connections: usize,
    /// Open connections from one IPv4 address or one IPv6 /64 network. So many may come at once, too.
    pub connections_per_address: usize,
    /// Open connections from one IPv6 /48 network, never less than from an address; its rates are those of an address times what this is more.
    pub connections_per_network: usize,
    /// Connections that are not admitted yet.
    pub handshakes: usize,
    /// The same from one IPv4 address or IPv6 /64; also no more than half of the places that are left, so that no few
    /// addresses hold them all.
    pub handshakes_per_address: usize,
    /// New connections a second; twice as many at once.
    pub accepts_per_second: u64,
    /// New connections a second from one address, in the long run.
    pub accepts_per_second_per_address: u64,
    /// Tickets a second that turn out to be no good; twice as many at once.
    pub verifications_per_second: u64,
    /// The same from one address.
    pub verifications_per_second_per_address: u64,
    /// Sessions, waiting ones included.
    pub sessions: usize,
    /// Memory of this process above which nothing new begins; a share of what there is when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// How long sessions may go on after the first signal to stop.
    pub drain: Span,
}

/// How long the relay waits.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// From accept to a finished TLS handshake.
    pub tls_handshake: Span,
    /// From there to a complete hello.
    pub hello: Span,
    /// For the other side to come.
    pub peer: Span,
    /// Wait for a side that was here to come back.
    pub rejoin: Span,
    /// For a write to make progress.
    pub write_stall: Span,
}

/// A key of tickets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketKey {
    /// Name in the footer of tickets.
    pub key_id: String,
    /// Ed25519 public key, 64 hexadecimal digits.
    pub public_key: String,
}

/// More processors than any relay has.
const THREADS_MAX: usize = 256;
/// Two for each session, and a quarter more for those that come and go; below 20,000 file descriptors.
const CONNECTIONS: usize = 10_240;
/// A large office behind one address.
const CONNECTIONS_PER_ADDRESS: usize = 512;
/// Four such offices: a /48 is what one customer of a provider may have.
const CONNECTIONS_PER_NETWORK: usize = 2_048;
/// A flood of half-open connections fills this and no more: 10 s each, so 100 strangers a second.
const HANDSHAKES: usize = 1_024;
/// A quarter of [`HANDSHAKES`]: half of an office whose relay died is in the middle of its handshakes at once, and the
/// rest comes when these are done, tenths of a second later; three more such offices do not hinder it. See
/// [`crate::sources::Sources::count`] for what is left where many come.
const HANDSHAKES_PER_ADDRESS: usize = 256;
/// Twice what one processor can shake hands with; a thousand sessions whose relay died come in one second.
const ACCEPTS_PER_SECOND: u64 = 2_000;
/// An office whose relay died is back in ten seconds even when it has to come twice.
const ACCEPTS_PER_SECOND_PER_ADDRESS: u64 = 50;
/// At 0.2 ms each a tenth of one processor.
const VERIFICATIONS_PER_SECOND: u64 = 500;
/// An office in which a few tools have old tickets; a stranger has none that is good.
const VERIFICATIONS_PER_SECOND_PER_ADDRESS: u64 = 20;
/// Less, and the relay would begin nothing from the start.
const MEMORY_MIN: Bytes = Bytes::mib(64);
/// More a second than any network card brings.
const RATE_MAX: u64 = 1_000_000;
/// Rows of the table of sources: 200 bytes each, so 13 MiB.
const SOURCES: usize = 64 * 1024;
/// See [`CONNECTIONS`]. At 1.2 MiB at most for both queues, 5 GiB in the worst case; usually a hundredth of it.
const SESSIONS: usize = 4_096;
/// More sockets than one process has anywhere; a larger number is a slip of the pen.
const CONNECTIONS_MAX: usize = 1_000_000;
/// Shorter, and nobody far away would ever get in.
const DEADLINE_MIN: Duration = Duration::from_secs(1);
/// Longer is no deadline: strangers would hold places for it.
const DEADLINE_MAX: Duration = Duration::from_mins(10);
/// Most sessions end by themselves in this time.
const DRAIN: Span = Span::secs(10 * 60);

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 443)),
            quic: true,
            quic_listen: None,
            quic_retry_always: false,
            public_address: String::new(),
            private_listen: SocketAddr::from(([127, 0, 0, 1], 9443)),
            log_format: LogFormat::Auto,
            manager: None,
            manager_ca_file: None,
            token_file: None,
            certificate_file: None,
            key_file: None,
            proxy_from: ProxyFrom::default(),
            limits: Limits::default(),
            deadlines: Deadlines::default(),
            ticket_keys: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX),
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            connections_per_network: CONNECTIONS_PER_NETWORK,
            handshakes: HANDSHAKES,
            handshakes_per_address: HANDSHAKES_PER_ADDRESS,
            accepts_per_second: ACCEPTS_PER_SECOND,
            accepts_per_second_per_address: ACCEPTS_PER_SECOND_PER_ADDRESS,
            verifications_per_second: VERIFICATIONS_PER_SECOND,
            verifications_per_second_per_address: VERIFICATIONS_PER_SECOND_PER_ADDRESS,
            sessions: SESSIONS,
            memory: None,
            drain: DRAIN,
        }
    }
}

impl Limits {
    /// What one source may have.
    pub(crate) fn allowances(&self) -> Allowances {
        // An address that may have more than a /48 is one of IPv4.
        let in_network = self.connections_per_network.max(self.connections_per_address);
        let share = in_network.div_ceil(self.connections_per_address.max(1));
        let wider = |rate: u64| rate.saturating_mul(u64::try_from(share).unwrap_or(u64::MAX));
        let address = Allowance {
            connections: self.connections_per_address,
            handshakes: self.handshakes_per_address,
            accepts: self.accepts_per_second_per_address,
            tickets: self.verifications_per_second_per_address,
        };
        let network = Allowance {
            connections: in_network,
            handshakes: address.handshakes.saturating_mul(share),
            accepts: wider(address.accepts),
            tickets: wider(address.tickets),
        };
        // Two rows for each connection at most, so a row for somebody new is always found.
        let rows_max = self.connections.saturating_add(self.handshakes).saturating_mul(4).max(SOURCES);
        Allowances { address, network, rows_max }
    }

    /// Rates and memory within reason. Gives the key and what it must be.
    fn check_rates(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in [
            ("limits.accepts_per_second", self.accepts_per_second),
            ("limits.accepts_per_second_per_address", self.accepts_per_second_per_address),
            ("limits.verifications_per_second", self.verifications_per_second),
            ("limits.verifications_per_second_per_address", self.verifications_per_second_per_address),
        ] {
            if !(1..=RATE_MAX).contains(&value) {
                return Err((key, format!("must be from 1 to {RATE_MAX}")));
            }
        }
        if self.memory.is_some_and(|memory| memory < MEMORY_MIN) {
            return Err(("limits.memory", format!("must be \"{MEMORY_MIN}\" at least")));
        }
        Ok(())
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            tls_handshake: Span::new(limits::TLS_HANDSHAKE_TIMEOUT),
            hello: Span::new(limits::HELLO_TIMEOUT),
            peer: Span::new(limits::PEER_TIMEOUT),
            rejoin: Span::new(limits::REJOIN_TIMEOUT),
            write_stall: Span::new(limits::WRITE_STALL_TIMEOUT),
        }
    }
}

impl Config {
    /// Rules over several keys. `path` is the file, for the message.
    ///
    /// # Errors
    /// The first rule that is broken, on one line that names the key.
    pub fn check(&self, path: Option<&Path>) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: &str| Err(ConfigError::at(path, key, message));
        if self.manager.is_none() && self.ticket_keys.is_empty() {
            return wrong("manager", "neither a manager nor ticket_keys: this relay could never admit anybody");
        }
        if self
            .public_address
            .rsplit_once(':')
            .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        {
            return wrong(
                "public_address",
                "must be a host and a port that tools can dial, such as \"relay1.example.jp:443\"",
            );
        }
        if !self.quic && self.quic_listen.is_some() {
            return wrong("quic_listen", "is there, but quic is false");
        }
        if self.manager.is_some() && self.token_file.is_none() {
            return wrong("token_file", "is missing: the manager knows this relay by its token");
        }
        if self.manager.as_ref().is_some_and(|url| !url.starts_with("https://")) {
            return wrong("manager", "must begin with https://");
        }
        if self.manager.is_none() && (self.token_file.is_some() || self.manager_ca_file.is_some()) {
            return wrong("manager", "is missing, but token_file or manager_ca_file is there");
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            let key = if self.key_file.is_none() { "key_file" } else { "certificate_file" };
            return wrong(key, "is missing: certificate_file and key_file go together");
        }
        for (place, key) in self.ticket_keys.iter().enumerate() {
            if VerifyingKey::from_hex(&key.key_id, &key.public_key).is_err() {
                return wrong(&format!("ticket_keys[{place}].public_key"), "must have 64 hexadecimal digits");
            }
        }
        self.check_numbers().or_else(|(key, message)| wrong(key, &message))?;
        for (key, file) in [
            ("manager_ca_file", &self.manager_ca_file),
            ("token_file", &self.token_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ] {
            if let Some(file) = file
                && let Err(error) = fs::File::open(file)
            {
                return wrong(key, &format!("{}: {error}", file.display()));
            }
        }
        Ok(())
    }

    /// Numbers and times within reason. Gives the key and what it must be.
    fn check_numbers(&self) -> Result<(), (&'static str, String)> {
        let Limits {
            threads,
            connections,
            connections_per_address,
            connections_per_network,
            handshakes,
            handshakes_per_address,
            sessions,
            ..
        } = self.limits;
        for (key, value, max) in [
            ("limits.threads", threads, THREADS_MAX),
            ("limits.connections", connections, CONNECTIONS_MAX),
            ("limits.connections_per_address", connections_per_address, CONNECTIONS_MAX),
            ("limits.connections_per_network", connections_per_network, CONNECTIONS_MAX),
            ("limits.handshakes", handshakes, CONNECTIONS_MAX),
            ("limits.handshakes_per_address", handshakes_per_address, CONNECTIONS_MAX),
            // A heartbeat names no more.
            ("limits.sessions", sessions, limits::HEARTBEAT_SESSIONS_MAX),
        ] {
            if !(1..=max).contains(&value) {
                return Err((key, format!("must be from 1 to {max}")));
            }
        }
        self.limits.check_rates()?;
        let Deadlines { tls_handshake, hello, peer, rejoin, write_stall } = self.deadlines;
        for (key, value, max) in [
            ("limits.drain", self.limits.drain, limits::SESSION_LIFE_MAX),
            ("deadlines.tls_handshake", tls_handshake, DEADLINE_MAX),
            ("deadlines.hello", hello, DEADLINE_MAX),
            ("deadlines.peer", peer, DEADLINE_MAX),
            ("deadlines.rejoin", rejoin, DEADLINE_MAX),
            ("deadlines.write_stall", write_stall, DEADLINE_MAX),
        ] {
            if !(DEADLINE_MIN..=max).contains(&value.get()) {
                let (min, max) = (Span::new(DEADLINE_MIN), Span::new(max));
                return Err((key, format!("must be from \"{min}\" to \"{max}\"")));
            }
        }
        Ok(())
    }

    pub(crate) fn certificate(&self) -> Result<Certificate, TlsError> {
        if let (Some(certificate), Some(key)) = (&self.certificate_file, &self.key_file) {
            return Certificate::load(certificate, key);
        }
        // Tools pin the key and never look at the name.
        let made = tls::self_signed(&["relay.invalid"])?;
        Certificate::from_pem(made.cert_pem.as_bytes(), made.key_pem.as_bytes())
    }

    pub(crate) fn static_keys(&self) -> Result<Vec<VerifyingKey>, StartError> {
        let key = |key: &TicketKey| {
            VerifyingKey::from_hex(&key.key_id, &key.public_key)
                .map_err(|_not_hex| StartError::TicketKey(key.key_id.clone()))
        };
        self.ticket_keys.iter().map(key).collect()
    }

    pub(crate) fn manager_api(&self) -> Result<Option<ManagerApi>, StartError> {
        let Some(url) = &self.manager else { return Ok(None) };
        let read = |file: &PathBuf| {
            fs::read(file).map_err(|cause| StartError::File { file: file.display().to_string(), cause })
        };
        let ca = self.manager_ca_file.as_ref().map(read).transpose()?;
        let token = self.token_file.as_ref().map(read).transpose()?.unwrap_or_default();
        let api = ManagerApi::new(url, ca.as_deref())?;
        Ok(Some(api.with_token(String::from_utf8_lossy(&token).trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "[[ticket_keys]]\nkey_id = \"a\"\npublic_key = \
                       \"0000000000000000000000000000000000000000000000000000000000000000\"\n";

    #[test]
    fn the_documented_configuration_is_read_and_names_every_key() {
        let text = include_str!("../../ops/config/relay.toml");
        let uncommented: String =
            text.lines().map(|line| line.strip_prefix("#= ").unwrap_or(line)).fold(String::new(), |mut all, line| {
                all.push_str(line);
                all.push('\n');
                all
            });

        let config: Config = ops::config::parse(&uncommented).unwrap();

        let shown = ops::config::print(&config).unwrap();
        let full: toml::Table = toml::from_str(&uncommented).unwrap();
        let known: toml::Table = toml::from_str(&shown).unwrap();
        assert_eq!(full.keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>());
        assert_eq!(full["limits"].as_table().unwrap().len(), known["limits"].as_table().unwrap().len());
        assert_eq!(full["deadlines"].as_table().unwrap().len(), known["deadlines"].as_table().unwrap().len());
    }

    #[test]
    fn a_relay_that_could_never_admit_anybody_does_not_start() {
        let config: Config = ops::config::parse("public_address = \"r:443\"").unwrap();

        let mistake = config.check(None).unwrap_err();

        assert_eq!(mistake.key(), "manager");
    }

    #[test]
    fn a_balancer_that_is_no_network_is_named_by_its_key() {
        let text = format!("public_address = \"r:1\"\nproxy_from = [\"10.0.0.0/8\", \"balancer\"]\n{KEY}");

        let mistake = ops::config::parse::<Config>(&text).unwrap_err();

        assert_eq!(mistake.key(), "proxy_from[1]");
        assert!(mistake.to_string().contains("10.0.0.0/8"), "{mistake}");
    }

    #[test]
    fn each_mistake_names_its_key() {
        let cases = [
            (format!("public_address = \"no port\"\n{KEY}"), "public_address"),
            (format!("public_address = \"r:1\"\nmanager = \"http://m\"\ntoken_file = \"t\"\n{KEY}"), "manager"),
            (format!("public_address = \"r:1\"\nmanager = \"https://m\"\n{KEY}"), "token_file"),
            (format!("public_address = \"r:1\"\ncertificate_file = \"c\"\n{KEY}"), "key_file"),
            (format!("public_address = \"r:1\"\nquic = false\nquic_listen = \"0.0.0.0:1\"\n{KEY}"), "quic_listen"),
            (format!("public_address = \"r:1\"\n{}", KEY.replace("00\"", "0\"")), "ticket_keys[0].public_key"),
            (format!("public_address = \"r:1\"\n{KEY}[limits]\nthreads = 0\n"), "limits.threads"),
            (format!("public_address = \"r:1\"\n{KEY}[limits]\nsessions = 0\n"), "limits.sessions"),
            (format!("public_address = \"r:1\"\n{KEY}[limits]\nsessions = 20001\n"), "limits.sessions"),
            (format!("public_address = \"r:1\"\n{KEY}[limits]\nhandshakes = 9999999\n"), "limits.handshakes"),
            (format!("public_address = \"r:1\"\n{KEY}[limits]\ndrain = \"0s\"\n"), "limits.drain"),
            (format!("public_address = \"r:1\"\n{KEY}[limits]\naccepts_per_second = 0\n"), "limits.accepts_per_second"),
            (format!("public_address = \"r:1\"\n{KEY}[limits]\nmemory = \"1 MiB\"\n"), "limits.memory"),
            (
                format!("public_address = \"r:1\"\n{KEY}[limits]\nconnections_per_network = 0\n"),
                "limits.connections_per_network",
            ),
            (format!("public_address = \"r:1\"\n{KEY}[deadlines]\nhello = \"0s\"\n"), "deadlines.hello"),
            (format!("public_address = \"r:1\"\n{KEY}[deadlines]\npeer = \"3 days\"\n"), "deadlines.peer"),
            (format!("public_address = \"r:1\"\n{KEY}[deadlines]\nwrite_stall = \"1ms\"\n"), "deadlines.write_stall"),
        ];

        for (text, key) in cases {
            let config: Config = ops::config::parse(&text).unwrap();
            let mistake = config.check(None).unwrap_err();
            assert_eq!(mistake.key(), key, "{text}");
            assert_eq!(mistake.to_string().lines().count(), 1, "{mistake}");
        }
    }
}
