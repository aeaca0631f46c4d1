//! Where the database is. Prints without the password.

use std::{fmt, fs, io, path::Path, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sqlx::postgres::PgConnectOptions;

/// A parsed database address.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// `sqlite:///path/to/file`, or `sqlite:relative/path`.
    Sqlite(PathBuf),
    /// `postgres://user:password@host:port/database?sslmode=verify-full`.
    Postgres(Box<PgConnectOptions>),
}

/// A text that is no database address. The text itself may hold a password, so it is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be sqlite:///path/of/file or postgres://user@host/database")]
pub struct DatabaseUrlError;

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let usable = !path.is_empty() && !path.contains(['?', '#']) && path != ":memory:";
            return if usable { Ok(Self::Sqlite(PathBuf::from(path))) } else { Err(DatabaseUrlError) };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(DatabaseUrlError);
        }
        let options = text.parse::<PgConnectOptions>().map_err(|_may_hold_the_password| DatabaseUrlError)?;
        Ok(Self::Postgres(Box::new(options.application_name("uketsuke-manager"))))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(options) => write!(
                f,
                "postgres://{}:***@{}:{}/{}",
                options.get_username(),
                options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string()),
                options.get_port(),
                options.get_database().unwrap_or_default()
            ),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Makes the file when it is missing, readable for its owner only; SQLite gives its side files the same mode.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_empty) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_without_its_password() {
        let url: DatabaseUrl = "postgres://keeper:planted-secret@db.example.jp:5433/uketsuke".parse().unwrap();

        assert_eq!(url.to_string(), "postgres://keeper:***@db.example.jp:5433/uketsuke");
        assert!(!format!("{url:?}").contains("planted-secret"));
    }

    #[test]
    fn a_file_is_named_absolute_or_relative() {
        assert_eq!(
            "sqlite:///var/lib/m.sqlite".parse::<DatabaseUrl>().unwrap().to_string(),
            "sqlite:///var/lib/m.sqlite"
        );
        assert_eq!("sqlite:m.sqlite".parse::<DatabaseUrl>().unwrap().to_string(), "sqlite://m.sqlite");
    }

    #[test]
    fn other_addresses_are_refused_without_repeating_them() {
        for text in ["", "sqlite:", "sqlite::memory:", "mysql://a:secret@b/c", "postgres://a:secret@[b/c", "/m.sqlite"]
        {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{text}");
        }
    }
}
