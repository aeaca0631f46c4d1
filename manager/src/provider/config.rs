//! Sections `[providers]` and `[system.provider]` of the configuration.

use std::{fs, io, path::PathBuf, time::Duration};

use ops::config::Span;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::company::policy::Network;

/// How long a provider may take when nothing else is set.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Which identity providers may be asked, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Networks that may be called besides public addresses.
    pub networks: Vec<Network>,
    /// PEM file with an authority that is trusted besides those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long a provider may take for everything that one sign-in asks of it, when it is not [`Config::timeout`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// The provider of system administrators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemConfig {
    /// Who it is: its address, exactly as its tokens say it.
    pub issuer: String,
    /// What it calls this service.
    pub client_id: String,
    /// File whose first line is the secret of this client; without it the client has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Whether it asks for the second factor, so that none is asked for here.
    #[serde(default)]
    pub asks_second_factor: bool,
}

impl Config {
    /// How long a provider may take when a request may take `request_timeout`: what is set, else eight seconds or four fifths
    /// of the request, whichever is less, so that the browser gets a page.
    pub fn timeout(&self, request_timeout: Duration) -> Duration {
        self.timeout.map_or_else(|| TIMEOUT.min(request_timeout.mul_f64(0.8)), Span::get)
    }
}

impl SystemConfig {
    /// The secret of this client.
    ///
    /// # Errors
    /// The file cannot be read, or its first line is empty.
    pub fn secret(&self) -> io::Result<Option<Zeroizing<String>>> {
        let Some(file) = &self.client_secret_file else { return Ok(None) };
        let text = Zeroizing::new(fs::read_to_string(file)?);
        match text.lines().next().map(str::trim) {
            Some(line) if !line.is_empty() => Ok(Some(Zeroizing::new(line.to_owned()))),
            Some(_) | None => Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is empty")),
        }
    }

    /// The first key whose value cannot work, and why.
    pub fn mistake(&self) -> Option<(&'static str, String)> {
        if super::Issuer::parse(&self.issuer).is_none() {
            return Some(("system.provider.issuer", "must begin with https://, without ? and #".to_owned()));
        }
        if !super::is_client_id(&self.client_id) {
            return Some(("system.provider.client_id", "must have 1 to 255 printable characters".to_owned()));
        }
        self.secret().err().map(|error| ("system.provider.client_secret_file", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_gets_less_time_than_the_request() {
        let timeout = |set: Option<u64>, request: u64| {
            let config = Config { timeout: set.map(Span::secs), ..Config::default() };
            config.timeout(Duration::from_secs(request))
        };

        assert_eq!(timeout(None, 60), Duration::from_secs(8));
        assert_eq!(timeout(None, 10), Duration::from_secs(8));
        assert_eq!(timeout(None, 5), Duration::from_secs(4));
        assert_eq!(timeout(Some(20), 60), Duration::from_secs(20));
    }
}
