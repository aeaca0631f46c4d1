//! The closed list of what a token may be for.

use std::{fmt, str::FromStr};

use crate::site::Words;

/// One thing that a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read accounts, organisations, groups and roles.
    AccountsRead,
    /// Create, change, stop, unlock and delete accounts that administer nothing, whose passwords are out of reach; change
    /// organisations and groups.
    AccountsWrite,
    /// Read the reception log and open numbers.
    ReceptionsRead,
    /// Cancel and extend open numbers.
    ReceptionsWrite,
    /// Start receptions for devices, as a device management does, and call them off.
    ReceptionsStart,
    /// Read the support log, cases, categories and running sessions.
    SessionsRead,
    /// Write cases, and end sessions.
    SessionsWrite,
    /// Read statistics.
    StatisticsRead,
    /// Read the operation log, the login log and the list of mails.
    LogsRead,
    /// Read notices.
    NoticesRead,
    /// Change categories and the company's own notices, and send a mail again.
    SettingsWrite,
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u32);

/// A text that names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such scope")]
pub struct UnknownScope;

/// The scope of a route, as a type: what [`super::By`] asks for before it reads anything else of a request.
pub trait Needed: Send + Sync {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! needed {
    ($($name:ident)*) => {$(
        #[doc = concat!("A route of [`Scope::", stringify!($name), "`].")]
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl Needed for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}

needed! {
    AccountsRead AccountsWrite ReceptionsRead ReceptionsWrite ReceptionsStart SessionsRead SessionsWrite
    StatisticsRead LogsRead NoticesRead SettingsWrite
}

impl Scope {
    /// Every scope, in the order of the form.
    pub const ALL: [Self; 11] = [
        Self::AccountsRead,
        Self::AccountsWrite,
        Self::ReceptionsRead,
        Self::ReceptionsWrite,
        Self::ReceptionsStart,
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::StatisticsRead,
        Self::LogsRead,
        Self::NoticesRead,
        Self::SettingsWrite,
    ];

    /// The value in the database and in the API's document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountsRead => "accounts.read",
            Self::AccountsWrite => "accounts.write",
            Self::ReceptionsRead => "receptions.read",
            Self::ReceptionsWrite => "receptions.write",
            Self::ReceptionsStart => "receptions.start",
            Self::SessionsRead => "sessions.read",
            Self::SessionsWrite => "sessions.write",
            Self::StatisticsRead => "statistics.read",
            Self::LogsRead => "logs.read",
            Self::NoticesRead => "notices.read",
            Self::SettingsWrite => "settings.write",
        }
    }

    /// What it is called on pages.
    pub fn name(self, words: &'static Words) -> &'static str {
        let w = &words.tokens;
        match self {
            Self::AccountsRead => w.scope_accounts_read,
            Self::AccountsWrite => w.scope_accounts_write,
            Self::ReceptionsRead => w.scope_receptions_read,
            Self::ReceptionsWrite => w.scope_receptions_write,
            Self::ReceptionsStart => w.scope_receptions_start,
            Self::SessionsRead => w.scope_sessions_read,
            Self::SessionsWrite => w.scope_sessions_write,
            Self::StatisticsRead => w.scope_statistics_read,
            Self::LogsRead => w.scope_logs_read,
            Self::NoticesRead => w.scope_notices_read,
            Self::SettingsWrite => w.scope_settings_write,
        }
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

impl Scopes {
    /// Whether one is in it.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether none is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it, in the order of the form.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// Words between spaces; one that this version does not know gives nothing.
impl From<&str> for Scopes {
    fn from(text: &str) -> Self {
        text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_back_from_its_text() {
        let set: Scopes = [Scope::LogsRead, Scope::AccountsRead].into_iter().collect();

        assert_eq!(set.to_string(), "accounts.read logs.read");
        assert_eq!(Scopes::from("logs.read passwords.write accounts.read"), set);
        assert_eq!(Scope::ALL.into_iter().collect::<Scopes>().iter().count(), Scope::ALL.len());
        assert!(Scopes::from("passwords.write").is_empty());
    }
}
