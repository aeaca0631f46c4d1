//! The settings of the manager: every key has its default here, and its words in `ops/config/manager.toml`.
//!
//! A mistake is one line that names the file, the line and the key. Passwords are never printed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use ops::{
    config::{ConfigError, Span},
    logs::LogFormat,
    proxied::ProxyFrom,
};
use proto::limits;
use serde::{Deserialize, Serialize};

use crate::{admin, db, events, login, mail, provider, reception, relays, session, webhook};

/// Where everything is kept that must last.
const DATA_FOLDER: &str = "/var/lib/uketsuke-manager";
/// The port of HTTPS.
const HTTPS: u16 = 443;
/// The port of metrics and health, on loopback.
const PRIVATE: u16 = 9471;
/// Seconds of a day.
const DAY_SECS: u64 = 24 * 60 * 60;

/// The whole configuration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where tools, relays and browsers call.
    pub listen: SocketAddr,
    /// Where Prometheus and load balancers ask for metrics and health; never public.
    pub private_listen: SocketAddr,
    /// PEM file with the certificate chain of `listen`; read again when it changes.
    pub certificate_file: PathBuf,
    /// PEM file with the certificate's private key.
    pub key_file: PathBuf,
    /// File with the seed that signs tickets; made when missing; the same on every manager of one database.
    pub signing_key_file: PathBuf,
    /// Load balancers that say by the PROXY protocol, version 2, who connected to them; from them it is required.
    pub proxy_from: ProxyFrom,
    /// What log lines look like.
    pub log_format: LogFormat,
    /// Section `[http]`.
    pub http: HttpConfig,
    /// Section `[database]`.
    pub database: db::Config,
    /// Section `[login]`.
    pub login: login::Config,
    /// Section `[reception]`.
    pub reception: reception::Config,
    /// Section `[session]`.
    pub session: session::Config,
    /// Section `[relays]`.
    pub relays: relays::Config,
    /// Section `[events]`.
    pub events: events::Config,
    /// Section `[system]`.
    pub system: admin::Config,
    /// Section `[mail]`.
    pub mail: mail::Config,
    /// Section `[webhooks]`.
    pub webhooks: webhook::Config,
    /// Section `[providers]`.
    pub providers: provider::Config,
}

/// Section `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Open connections; the next one is closed at once.
    pub connections_max: usize,
    /// From a request's head to its answer's head.
    pub request_timeout: Span,
    /// How long open requests may take after SIGTERM.
    pub drain: Span,
}

impl Default for Config {
    fn default() -> Self {
        let data = Path::new(DATA_FOLDER);
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, HTTPS)),
            private_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PRIVATE)),
            certificate_file: data.join("certificate.pem"),
            key_file: data.join("certificate.key"),
            signing_key_file: data.join("signing.key"),
            proxy_from: ProxyFrom::nobody(),
            log_format: LogFormat::Auto,
            http: HttpConfig::default(),
            database: db::Config::default(),
            login: login::Config::default(),
            reception: reception::Config::default(),
            session: session::Config::default(),
            relays: relays::Config::default(),
            events: events::Config::default(),
            system: admin::Config::default(),
            mail: mail::Config::default(),
            webhooks: webhook::Config::default(),
            providers: provider::Config::default(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { connections_max: 4096, request_timeout: Span::secs(10), drain: Span::secs(20) }
    }
}

impl Config {
    /// Reads the file, or takes the defaults when there is none, and checks what one key cannot say alone.
    ///
    /// # Errors
    /// The first mistake.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let config: Self = ops::config::load(path)?;
        match config.mistake() {
            None => Ok(config),
            Some((key, message)) => Err(ConfigError::at(path, key, message)),
        }
    }

    /// The first key whose value cannot work, and why.
    fn mistake(&self) -> Option<(&'static str, String)> {
        let (life_min, life_max) = (limits::RECEPTION_LIFE_MIN.as_secs(), limits::RECEPTION_LIFE_MAX.as_secs());
        let database = self.database.url().err().map(|error| ("database.url_file", error.to_string()));
        let spans = [
            ("http.request_timeout", self.http.request_timeout, 1, 60),
            ("http.drain", self.http.drain, 0, 600),
            ("login.life", self.login.life, 60, 30 * DAY_SECS),
            ("login.idle", self.login.idle, 60, 30 * DAY_SECS),
            ("login.attempts_window", self.login.attempts_window, 1, DAY_SECS),
            ("login.hash_wait", self.login.hash_wait, 0, 30),
            ("reception.life", self.reception.life, life_min, life_max),
            ("session.refusal_time", self.session.refusal_time, 0, 2),
            ("session.lease", self.session.lease, 30, 600),
            ("session.joining_max", self.session.joining_max, 10, 600),
            ("session.proving_max", self.session.proving_max, 10, 600),
            ("session.relay_grace", self.session.relay_grace, 0, 60),
            ("relays.alive_for", self.relays.alive_for, 2, 600),
            ("relays.heartbeat_every", self.relays.heartbeat_every, 1, 60),
            ("events.keep", self.events.keep, 60, 30 * DAY_SECS),
            ("mail.timeout", self.mail.timeout, 1, 60),
            ("mail.retry_first", self.mail.retry_first, 1, 60 * 60),
            ("mail.retry_max", self.mail.retry_max, 1, DAY_SECS),
            ("mail.give_up_after", self.mail.give_up_after, 60, 30 * DAY_SECS),
            ("mail.keep", self.mail.keep, DAY_SECS, 400 * DAY_SECS),
            ("webhooks.timeout", self.webhooks.timeout, 1, 60),
            ("webhooks.give_up_after", self.webhooks.give_up_after, 60, 30 * DAY_SECS),
            ("providers.timeout", self.providers.timeout.unwrap_or(Span::secs(1)), 1, 60),
            ("webhooks.keep", self.webhooks.keep, DAY_SECS, 400 * DAY_SECS),
        ];
        let span = spans.into_iter().map(|(key, value, least, most)| (key, value, Span::secs(least), Span::secs(most)));
        let span = span.into_iter().find(|(_, value, least, most)| value < least || most < value);
        let span = span.map(|(key, _, least, most)| (key, format!("must be from {least} to {most}")));
        let port = (self.listen == self.private_listen && self.listen.port() != 0)
            .then(|| ("private_listen", "must not be the same as listen".to_owned()));
        let connections =
            (self.http.connections_max == 0).then(|| ("http.connections_max", "must be at least 1".to_owned()));
        let heartbeat = (self.relays.alive_for <= self.relays.heartbeat_every)
            .then(|| ("relays.alive_for", "must be longer than relays.heartbeat_every".to_owned()));
        let relays_max = (limits::TICKET_RELAYS_MAX < usize::from(self.relays.per_session_max.get()))
            .then(|| ("relays.per_session_max", format!("must be at most {}", limits::TICKET_RELAYS_MAX)));
        let mail = self.mail.mistake();
        let system = self.system.provider.as_ref().and_then(provider::SystemConfig::mistake);
        let is_long = |timeout: Span| self.http.request_timeout <= timeout;
        let providers = self
            .providers
            .timeout
            .is_some_and(is_long)
            .then(|| ("providers.timeout", "must be shorter than http.request_timeout".to_owned()));
        database.or(span).or(mail).or(system).or(providers).or(port).or(connections).or(heartbeat).or(relays_max)
    }
}
