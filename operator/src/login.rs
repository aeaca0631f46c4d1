//! Logging in: company code, id and password for a bearer token; what is remembered for the next time.
//!
//! The password is never written anywhere. Only company code and id are remembered, in the person's own folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use link::api::ManagerApi;
use proto::api::login::{LoginAnswer, LoginRequest};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Logs in.
///
/// # Errors
/// One failure for everything that is wrong with the account, so that nobody learns which field was wrong.
pub async fn log_in(api: &ManagerApi, request: &LoginRequest) -> Result<LoginAnswer, Failure> {
    api.login(request).await.map_err(Failure::from)
}

/// What is remembered between two starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remembered {
    /// Company code.
    #[serde(default)]
    pub company: String,
    /// The operator's id.
    #[serde(default)]
    pub user: String,
}

impl Remembered {
    /// Reads what was remembered; nothing when there is no such file or it cannot be read.
    pub fn load(folder: &Path) -> Self {
        fs::read_to_string(Self::file(folder)).ok().and_then(|text| toml::from_str(&text).ok()).unwrap_or_default()
    }

    /// Remembers.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let text = toml::to_string(self).map_err(io::Error::other)?;
        fs::write(Self::file(folder), text)
    }

    fn file(folder: &Path) -> PathBuf {
        folder.join("operator.toml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn company_and_id_are_remembered_and_a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Remembered::load(folder.path()), Remembered::default());
        let remembered = Remembered { company: "demo".into(), user: "山田".into() };
        remembered.save(&folder.path().join("new")).unwrap();
        assert_eq!(Remembered::load(&folder.path().join("new")), remembered);
        fs::write(folder.path().join("operator.toml"), "company = [").unwrap();
        assert_eq!(Remembered::load(folder.path()), Remembered::default());
    }
}
