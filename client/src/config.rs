//! Where the manager is: flags, or a file beside the program, so that a customer needs no flags.
//!
//! `uketsuke.toml` has two keys: `manager`, an `https://` address, and `ca`, a PEM file of the only authority to trust,
//! relative to the file; without `ca` the system's authorities count.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use link::{
    api::{ApiError, ManagerApi},
    proxy::Proxies,
};
use serde::Deserialize;

/// Name of the file beside the program.
pub const FILE_NAME: &str = "uketsuke.toml";

/// Flags that say where the manager is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ManagerFlags {
    /// Address of the management server, for example <https://support.example.jp>
    #[arg(long, value_name = "URL", global = true)]
    pub manager: Option<String>,
    /// PEM file of the only authority to trust; the system's authorities when absent
    #[arg(long, value_name = "FILE", global = true, requires = "manager")]
    pub ca: Option<PathBuf>,
    /// Proxy on the way out: a URL such as <http://proxy:3128>, or none; the system's when absent
    #[arg(long, value_name = "URL|none", env = "UKETSUKE_PROXY", hide_env_values = true, global = true)]
    pub proxy: Option<Proxies>,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SideFile {
    manager: String,
    ca: Option<PathBuf>,
}

/// Why the manager's address is not known.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither a flag nor a file.
    #[error(
        "no server address: give --manager URL, or put {FILE_NAME} with `manager = \"https://…\"` beside the program"
    )]
    Missing,
    /// A file that cannot be read.
    #[error("{}: {cause}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file that is not what it should be.
    #[error("{}: {cause}", file.display())]
    Malformed {
        /// Which.
        file: PathBuf,
        /// Key and line.
        cause: String,
    },
    /// An address or authority that cannot be used.
    #[error("manager: {0}")]
    Address(#[from] ApiError),
}

/// Finds the manager: flags first, then the file in `folder`.
///
/// # Errors
/// See [`ConfigError`].
pub fn manager(flags: &ManagerFlags, folder: Option<&Path>) -> Result<ManagerApi, ConfigError> {
    let (address, ca) = match (&flags.manager, folder) {
        (Some(address), _) => (address.clone(), flags.ca.clone()),
        (None, Some(folder)) => side_file(folder)?,
        (None, None) => return Err(ConfigError::Missing),
    };
    let ca = ca.map(|file| fs::read(&file).map_err(|cause| ConfigError::Unreadable { file, cause })).transpose()?;
    Ok(ManagerApi::through(&address, ca.as_deref(), flags.proxy.clone().unwrap_or_default())?)
}

fn side_file(folder: &Path) -> Result<(String, Option<PathBuf>), ConfigError> {
    let file = folder.join(FILE_NAME);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(ConfigError::Missing),
        Err(cause) => return Err(ConfigError::Unreadable { file, cause }),
    };
    let found: SideFile = toml::from_str(&text).map_err(|error| {
        let line =
            error.span().map_or(0, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
        ConfigError::Malformed { file, cause: format!("line {line}: {}", error.message()) }
    })?;
    Ok((found.manager, found.ca.map(|ca| folder.join(ca))))
}

/// The folder of the running program.
pub fn program_folder() -> Option<PathBuf> {
    std::env::current_exe().ok()?.parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), text).unwrap();
        folder
    }

    #[test]
    fn a_customer_needs_no_flags_when_the_file_is_there() {
        let folder = folder("manager = \"https://support.example.jp\"\n");
        link::tls::install_provider();
        manager(&ManagerFlags::default(), Some(folder.path())).unwrap();
    }

    #[test]
    fn without_flag_and_file_the_message_says_what_to_do() {
        let empty = tempfile::tempdir().unwrap();
        let error = manager(&ManagerFlags::default(), Some(empty.path())).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("--manager") && error.contains(FILE_NAME), "{error}");
    }

    #[test]
    fn a_mistake_in_the_file_names_the_file_the_line_and_the_key() {
        let folder = folder("manager = \"https://a.example\"\nmanger = 1\n");
        let error = manager(&ManagerFlags::default(), Some(folder.path())).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(FILE_NAME) && error.contains("line 2") && error.contains("manger"), "{error}");
    }

    #[test]
    fn an_authority_that_is_not_there_is_named() {
        let (manager_url, ca) = (Some("https://a.example".to_owned()), Some("absent.pem".into()));
        let flags = ManagerFlags { manager: manager_url, ca, proxy: None };
        let error = manager(&flags, None).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("absent.pem:"), "{error}");
    }
}
