//! Section `[mail]` of the configuration.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use axum::http::{HeaderMap, header};
use lettre::message::Mailbox;
use ops::config::Span;
use serde::{Deserialize, Serialize};

/// Where mail is handed over, and in whose name. Without a server no mail is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name or address of the SMTP server; without it there is no mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// PEM file with the authority of the server's certificate, when it is not one of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Name for the login at the server; without it there is no login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File whose first line is the password for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Who writes; answers and late refusals go there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Writer>,
    /// Where this site is, for the links in mails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteAddress>,
    /// For one answer of the server.
    pub timeout: Span,
    /// Pause before the second try; doubled before each further one.
    pub retry_first: Span,
    /// The longest pause between two tries.
    pub retry_max: Span,
    /// A mail that could not be handed over in this time has failed.
    pub give_up_after: Span,
    /// How long the list remembers a mail.
    pub keep: Span,
}

/// How the connection to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// It begins in the clear and must become TLS before anything is said.
    Starttls,
    /// It is TLS from the start.
    Implicit,
    /// It is in the clear; only for a server on this host.
    None,
}

/// `Name <address>`, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Writer(Mailbox);

/// `https://host` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteAddress(String);

/// A text that is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// See [`Writer`].
    #[error("the writer of mails is like \"Support <no-reply@example.co.jp>\"")]
    Writer,
    /// See [`SiteAddress`].
    #[error("the address of the site is like \"https://support.example.co.jp\", without a path")]
    Site,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: None,
            port: 587,
            tls: Tls::Starttls,
            ca_file: None,
            user: None,
            password_file: None,
            from: None,
            site: None,
            timeout: Span::secs(20),
            retry_first: Span::secs(60),
            retry_max: Span::secs(15 * 60),
            give_up_after: Span::secs(3 * 24 * 60 * 60),
            keep: Span::secs(28 * 24 * 60 * 60),
        }
    }
}

impl Config {
    /// Whether mail is sent.
    pub const fn is_on(&self) -> bool {
        self.server.is_some()
    }

    /// An address of a page of this site, for a mail; `path` begins with a slash.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.site.as_ref().map_or("", |site| site.0.as_str()))
    }

    /// An address of a page of this site for whoever asks for it: where mails lead, or else the host that was asked.
    pub fn link_from(&self, headers: &HeaderMap, path: &str) -> String {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.site.is_some() { self.link(path) } else { format!("https://{host}{path}") }
    }

    /// The first key whose value cannot work with the others, and why.
    pub fn mistake(&self) -> Option<(&'static str, String)> {
        let Some(server) = &self.server else { return None };
        let missing = |key, what: &str| Some((key, format!("is missing: {what}")));
        if self.from.is_none() {
            return missing("mail.from", "who writes the mails");
        }
        if self.site.is_none() {
            return missing("mail.site", "where the links in mails lead");
        }
        if self.user.is_some() != self.password_file.is_some() {
            return missing("mail.password_file", "mail.user and mail.password_file belong together");
        }
        if self.tls == Tls::None && !is_this_host(server) {
            return Some(("mail.tls", "\"none\" is only for a server on this host".to_owned()));
        }
        None
    }
}

fn is_this_host(server: &str) -> bool {
    server == "localhost" || server.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Writer {
    /// The address with its name.
    pub const fn mailbox(&self) -> &Mailbox {
        &self.0
    }
}

impl SiteAddress {
    /// The name of the host.
    pub fn host(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or(&self.0);
        rest.rsplit_once(':').map_or(rest, |(host, _)| host)
    }
}

impl FromStr for Writer {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let plain = !text.chars().any(char::is_control);
        text.parse().ok().filter(|_| plain).map(Self).ok_or(AddressError::Writer)
    }
}

impl FromStr for SiteAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let host = text.strip_prefix("https://").ok_or(AddressError::Site)?;
        let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
        let ported = port.is_none_or(|port| port.parse::<u16>().is_ok());
        if named && ported { Ok(Self(text.to_owned())) } else { Err(AddressError::Site) }
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Writer {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Writer> for String {
    fn from(writer: Writer) -> Self {
        writer.to_string()
    }
}

impl TryFrom<String> for SiteAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<SiteAddress> for String {
    fn from(site: SiteAddress) -> Self {
        site.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_has_a_host_and_no_path() {
        assert_eq!("https://a.example:8443/".parse::<SiteAddress>().unwrap().host(), "a.example");
        for bad in ["", "http://a.example", "https://", "https://a/b", "https://a b", "https://a:x", "https://a@b"] {
            assert_eq!(bad.parse::<SiteAddress>(), Err(AddressError::Site), "{bad}");
        }
    }

    #[test]
    fn the_writer_has_an_address_and_nothing_that_a_header_would_read() {
        assert!("受付 <no-reply@example.co.jp>".parse::<Writer>().is_ok());
        assert!("no-reply@example.co.jp".parse::<Writer>().is_ok());
        for bad in ["", "nobody", "a@b.example\r\nBcc: c@d.example", "X\nY <a@b.example>"] {
            assert_eq!(bad.parse::<Writer>(), Err(AddressError::Writer), "{bad}");
        }
    }

    #[test]
    fn mail_in_the_clear_stays_on_this_host() {
        let config = |server: &str| Config {
            server: Some(server.to_owned()),
            tls: Tls::None,
            from: Some("a@b.example".parse().unwrap()),
            site: Some("https://b.example".parse().unwrap()),
            ..Config::default()
        };

        assert_eq!(config("127.0.0.1").mistake(), None);
        assert_eq!(config("localhost").mistake(), None);
        assert_eq!(config("mail.example").mistake().unwrap().0, "mail.tls");
    }
}
