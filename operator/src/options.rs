//! Flags, environment and the side-car file of the tool.
//!
//! The side-car `uketsuke.toml` lies next to the executable, so that a company hands out one folder: `manager` (URL)
//! and `ca` (file, relative to the side-car). Flags win over it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand};
use desk::lang::Lang;
use link::{proxy::Proxies, transport::Choice};
use proto::api::login::LoginRequest;
use serde::Deserialize;

/// Name of the side-car file.
pub const SIDE_CAR: &str = "uketsuke.toml";
/// Longest file that is read as a certificate or a password.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// The operator's tool of Uketsuke.
#[derive(Debug, Clone, Parser)]
#[command(name = "uketsuke-operator", version)]
pub struct Options {
    /// The mode; a window when absent.
    #[command(subcommand)]
    pub mode: Option<Mode>,
    /// Where the manager is.
    #[command(flatten)]
    pub manager: ManagerOptions,
    /// Language of the window: ja or en; the system's when absent.
    #[arg(long, value_name = "LANG")]
    pub lang: Option<Lang>,
    /// What carries a session: auto (what works, QUIC first), quic or tcp.
    #[arg(long, value_name = "TRANSPORT", global = true, default_value_t)]
    pub transport: Choice,
}

/// Where the manager is.
#[derive(Debug, Clone, Default, Args)]
pub struct ManagerOptions {
    /// URL of the manager, for example <https://support.example.jp>
    #[arg(long, value_name = "URL", global = true)]
    pub manager: Option<String>,
    /// Certificate authority of the manager, a PEM file; the system's when absent.
    #[arg(long, value_name = "FILE", global = true)]
    pub ca: Option<PathBuf>,
    /// Proxy on the way out: a URL such as <http://proxy:3128>, or none; the system's when absent.
    #[arg(long, value_name = "URL|none", env = "UKETSUKE_PROXY", hide_env_values = true, global = true)]
    pub proxy: Option<Proxies>,
}

/// Modes without a window.
#[derive(Debug, Clone, Subcommand)]
pub enum Mode {
    /// Driven by JSON lines on standard input and output.
    Headless(HeadlessOptions),
}

/// Who logs in.
#[derive(Clone, Args)]
pub struct HeadlessOptions {
    /// Company code.
    #[arg(long, value_name = "CODE", required_unless_present = "resume")]
    pub company: Option<String>,
    /// The operator's id.
    #[arg(long, value_name = "ID", required_unless_present = "resume")]
    pub user: Option<String>,
    /// Goes on with the newest session whose tool died here, instead of a login.
    #[arg(long, conflicts_with_all = ["company", "user", "password_file"])]
    pub resume: bool,
    /// The password.
    #[arg(long, env = "UKETSUKE_PASSWORD", hide = true, hide_env_values = true)]
    pub password: Option<String>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The code of the second factor, or a recovery code, when the account has one.
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
}

impl std::fmt::Debug for HeadlessOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeadlessOptions(…)")
    }
}

/// A manager that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerPlace {
    /// Its URL.
    pub url: String,
    /// PEM of its certificate authority.
    pub ca_pem: Option<Vec<u8>>,
}

/// A mistake in flags or files: one line that names what to correct.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A file that cannot be read.
    #[error("{}: {cause}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// No manager anywhere.
    #[error("--manager is missing, and there is no {SIDE_CAR} with the key manager next to the program")]
    NoManager,
    /// No password anywhere.
    #[error("the password is missing: set UKETSUKE_PASSWORD or give --password-file")]
    NoPassword,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SideCar {
    manager: Option<String>,
    ca: Option<PathBuf>,
}

impl ManagerOptions {
    /// Puts flags and side-car together. `folder` is the folder of the executable.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub fn place(&self, folder: Option<&Path>) -> Result<ManagerPlace, OptionsError> {
        let file = folder.map(|folder| folder.join(SIDE_CAR)).filter(|file| file.exists());
        let side_car = match (&file, &self.manager) {
            (Some(file), None) => read_side_car(file)?,
            (Some(_) | None, _) => SideCar::default(),
        };
        let url = self.manager.clone().or(side_car.manager).ok_or(OptionsError::NoManager)?;
        let beside = |ca: PathBuf| folder.map(|folder| folder.join(&ca)).unwrap_or(ca);
        let ca = self.ca.clone().or_else(|| side_car.ca.map(beside));
        let ca_pem = ca.map(|file| read(&file)).transpose()?;
        Ok(ManagerPlace { url, ca_pem })
    }
}

impl HeadlessOptions {
    /// Who logs in; nobody, when an earlier session is resumed.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub fn login(&self) -> Result<Option<LoginRequest>, OptionsError> {
        let (Some(company), Some(user)) = (self.company.clone(), self.user.clone()) else { return Ok(None) };
        Ok(Some(LoginRequest { company, user, password: self.password()?, code: self.code.clone() }))
    }

    /// The password from the environment or the file.
    ///
    /// # Errors
    /// See [`OptionsError`].
    fn password(&self) -> Result<String, OptionsError> {
        if let Some(file) = &self.password_file {
            let text = String::from_utf8_lossy(&read(file)?).into_owned();
            return Ok(text.lines().next().unwrap_or_default().to_owned());
        }
        self.password.clone().ok_or(OptionsError::NoPassword)
    }
}

fn read_side_car(file: &Path) -> Result<SideCar, OptionsError> {
    let text = String::from_utf8_lossy(&read(file)?).into_owned();
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line =
            error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.lines().count().max(1));
        OptionsError::File { file: file.to_owned(), cause: format!("line {line}: {}", error.message()) }
    })
}

fn read(file: &Path) -> Result<Vec<u8>, OptionsError> {
    let failed = |cause: String| OptionsError::File { file: file.to_owned(), cause };
    let len = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if FILE_LEN_MAX < len {
        return Err(failed("the file is too large".to_owned()));
    }
    fs::read(file).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_car_serves_where_flags_are_silent() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SIDE_CAR), "manager = \"https://m.example\"\nca = \"ca.pem\"\n").unwrap();
        fs::write(folder.path().join("ca.pem"), "PEM").unwrap();
        let none = ManagerOptions::default();
        let place = none.place(Some(folder.path())).unwrap();
        assert_eq!(place, ManagerPlace { url: "https://m.example".into(), ca_pem: Some(b"PEM".to_vec()) });
        let flag = ManagerOptions { manager: Some("https://other".into()), ..ManagerOptions::default() };
        assert_eq!(flag.place(Some(folder.path())).unwrap().url, "https://other");
        assert!(matches!(none.place(None), Err(OptionsError::NoManager)));
    }

    #[test]
    fn a_mistake_in_the_side_car_names_file_line_and_key() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SIDE_CAR), "manager = \"https://m\"\nmanger = 1\n").unwrap();
        let error = ManagerOptions::default().place(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains(SIDE_CAR) && error.contains("manger") && error.contains("line"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn the_password_is_the_first_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "s3cret!x\n").unwrap();
        let mut options = HeadlessOptions {
            company: Some("c".into()),
            user: Some("u".into()),
            resume: false,
            password: None,
            password_file: Some(file),
            code: None,
        };
        assert_eq!(options.password().unwrap(), "s3cret!x");
        options.password_file = None;
        assert!(matches!(options.password(), Err(OptionsError::NoPassword)));
    }
}
