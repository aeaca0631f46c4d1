//! Configuration files: TOML, read once at start into types that cannot be wrong.
//!
//! A mistake is one line that names the file, the line and the key. Every section denies unknown keys itself
//! (`#[serde(deny_unknown_fields)]`). Sizes and times carry their unit in the value: see [`Bytes`] and [`Span`].
//! Flags and environment belong to `clap`; the mains lay them over what is read here.

mod network;
mod units;

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use toml::de::{DeTable, DeValue};

pub use network::{Network, NetworkError};
pub use units::{Bytes, Span, UnitError};

/// A mistake in a configuration, on one line.
#[derive(Debug)]
pub struct ConfigError {
    file: Option<PathBuf>,
    line: Option<usize>,
    key: String,
    message: String,
}

/// Reads a configuration file, or an empty one when there is none, so that only keys without a default are missed.
///
/// # Errors
/// The file cannot be read, is not TOML, or does not fit `T`.
pub fn load<T: DeserializeOwned>(path: Option<&Path>) -> Result<T, ConfigError> {
    let text = match path {
        None => String::new(),
        Some(path) => read(path).map_err(|error| ConfigError {
            file: Some(path.to_owned()),
            line: None,
            key: String::new(),
            message: error.to_string(),
        })?,
    };
    parse(&text).map_err(|error| ConfigError { file: path.map(Path::to_owned), ..error })
}

/// Reads configuration text that is in no file.
///
/// # Errors
/// The text is not TOML or does not fit `T`.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let not_toml = |error: &toml::de::Error| ConfigError::new(text, error.span(), String::new(), error.message());
    let document = toml::Deserializer::parse(text).map_err(|error| not_toml(&error))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let key = Some(error.path().to_string()).filter(|path| path != ".").unwrap_or_default();
        let inner = error.inner();
        ConfigError::new(text, inner.span(), key, inner.message())
    })
}

/// The effective values as TOML, for `config print`.
///
/// # Errors
/// A value has no form in TOML.
pub fn print<T: Serialize>(config: &T) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(config)
}

/// Sixteen hexadecimal digits that change when an effective value changes.
///
/// # Errors
/// A value has no form in TOML.
pub fn fingerprint<T: Serialize>(config: &T) -> Result<String, toml::ser::Error> {
    let digest = Sha256::digest(print(config)?);
    Ok(hex::encode(digest.get(..8).unwrap_or_default()))
}

impl ConfigError {
    /// A mistake found after reading, for example by a rule over two keys. `key` is a path such as `tools[1].path`;
    /// its line is looked up in the file.
    pub fn at(path: Option<&Path>, key: &str, message: impl Into<String>) -> Self {
        let text = path.and_then(|path| read(path).ok()).unwrap_or_default();
        let line = line_of_key(&text, key);
        Self { file: path.map(Path::to_owned), line, key: key.to_owned(), message: message.into() }
    }

    /// Line in the file, from 1.
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// Path of the key, empty when the text is not TOML at all.
    pub fn key(&self) -> &str {
        &self.key
    }

    fn new(text: &str, span: Option<Range<usize>>, key: String, message: &str) -> Self {
        let line = span.map(|span| line_at(text, span.start)).filter(|_| !text.is_empty());
        let line = if key.is_empty() { line } else { line_of_key(text, &key).or(line) };
        Self { file: None, line, key, message: message.to_owned() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("configuration")?,
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ", key {}", self.key)?;
        }
        write!(f, ": {}", self.message.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl std::error::Error for ConfigError {}

/// Longest configuration file, so that a wrong path such as a disk image is a mistake and not a full memory.
const FILE_LEN_MAX: u64 = 1024 * 1024;

fn read(path: &Path) -> io::Result<String> {
    let len = std::fs::metadata(path)?.len();
    if FILE_LEN_MAX < len {
        return Err(io::Error::other(format!("{len} bytes are too long for a configuration file")));
    }
    std::fs::read_to_string(path)
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    before.split(|byte| *byte == b'\n').count()
}

/// The line of the deepest part of a key path that is written in the text.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table = document.get_ref();
    for part in key.split('.') {
        let (name, index) = part
            .split_once('[')
            .map_or((part, None), |(name, rest)| (name, rest.trim_end_matches(']').parse::<usize>().ok()));
        let Some((written, value)) = table.get_key_value(name) else { break };
        found = Some(written.span().start);
        let mut value = value;
        if let (Some(index), DeValue::Array(items)) = (index, value.get_ref()) {
            let Some(item) = items.get(index) else { break };
            found = Some(item.span().start);
            value = item;
        }
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    found.map(|offset| line_at(text, offset))
}

#[cfg(test)]
mod tests;
