//! The download server's configuration; every key is in `ops/config/download.toml` with its reason.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use axum::http::Uri;
use ops::config::{ConfigError, Span};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::tools::{Arch, Os, Role};

/// Everything the server must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address under which visitors reach the pages.
    pub address: Address,
    /// Where pages and tools are served over TLS.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// Where plain HTTP is pointed to HTTPS.
    #[serde(default = "redirect_listen")]
    pub redirect_listen: SocketAddr,
    /// Where metrics and health are served; never reachable from outside.
    #[serde(default = "private_listen")]
    pub private_listen: SocketAddr,
    /// Certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// What strangers may use up.
    #[serde(default)]
    pub limits: Limits,
    /// The only files that are served.
    #[serde(default)]
    pub tools: Vec<ToolFile>,
}

/// What strangers may use up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections on each public listener.
    pub connections: usize,
    /// How long downloads may go on after the first signal to stop.
    pub drain: Span,
}

/// One file that is served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolFile {
    /// The built tool on this machine.
    pub path: PathBuf,
    /// Who uses it.
    pub role: Role,
    /// The system it runs on.
    pub os: Os,
    /// The processor it runs on.
    pub arch: Arch,
    /// Name for the visitor's disk; made of the other keys when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `https://` and a host, nothing behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

/// Connections: at 12 MB a download and 10 Mbit/s a visitor, some 400 downloads a second.
const CONNECTIONS: usize = 4096;
/// Longer than a download of 12 MB at 2 Mbit/s.
const DRAIN: Span = Span::secs(60);

impl Default for Limits {
    fn default() -> Self {
        Self { connections: CONNECTIONS, drain: DRAIN }
    }
}

/// Reads the file and checks the rules over several keys.
///
/// # Errors
/// A mistake, on one line with file, line and key.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let config: Config = ops::config::load(path)?;
    config.check(path)?;
    Ok(config)
}

impl Config {
    fn check(&self, path: Option<&Path>) -> Result<(), ConfigError> {
        if self.tools.is_empty() {
            return Err(ConfigError::at(path, "tools", "no tool is listed, so there is nothing to serve"));
        }
        if self.limits.connections == 0 {
            return Err(ConfigError::at(path, "limits.connections", "at least 1 connection is needed"));
        }
        for (key, file) in [("certificate_file", &self.certificate_file), ("key_file", &self.key_file)] {
            is_file(file).map_err(|mistake| ConfigError::at(path, key, mistake))?;
        }
        let mut names = Vec::new();
        for (index, tool) in self.tools.iter().enumerate() {
            let at = |key: &str, mistake: String| ConfigError::at(path, &format!("tools[{index}].{key}"), mistake);
            is_file(&tool.path).map_err(|mistake| at("path", mistake))?;
            let name = tool.name();
            if !is_plain(&name) {
                return Err(at("name", format!("`{name}` may have letters, digits, `.`, `-` and `_` only")));
            }
            if names.contains(&name) {
                return Err(at("name", format!("`{name}` is the name of an earlier tool too")));
            }
            names.push(name);
        }
        Ok(())
    }
}

impl ToolFile {
    /// The name under which it is served.
    pub fn name(&self) -> String {
        let made = || {
            let end = if self.os == Os::Windows { ".exe" } else { "" };
            format!("uketsuke-{}-{}-{}{end}", self.role.as_str(), self.os.as_str(), self.arch.as_str())
        };
        self.name.clone().unwrap_or_else(made)
    }
}

impl Address {
    /// The address without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address such as \"https://download.example.jp\"");
        let uri: Uri = text.parse().map_err(|_not_an_address| wrong())?;
        let bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if uri.scheme_str() != Some("https") || !bare {
            return Err(wrong());
        }
        Ok(Self(format!("https://{authority}")))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

const fn listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 443)
}

const fn redirect_listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 80)
}

const fn private_listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9403)
}

fn is_file(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(format!("{} is not a file", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Whether a name needs no quoting in an address, a header or a shell.
fn is_plain(name: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.bytes().all(usual)
}
