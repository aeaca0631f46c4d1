//! The closed list of what can be allowed.

use std::{fmt, str::FromStr};

use super::UnknownRole;

/// One thing that a role may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Issue reception numbers.
    ReceptionIssue,
    /// Ask customers for control; without it a session is view only.
    SessionControl,
    /// See open numbers and running sessions.
    LiveView,
    /// Cancel and extend numbers, and end sessions, of others.
    LiveAct,
    /// Read the reception log and the support log.
    LogView,
    /// Write case number, category, result and notes.
    LogNote,
    /// Export logs.
    LogExport,
    /// Read statistics.
    StatisticsView,
    /// See accounts.
    OperatorView,
    /// Create, change, stop, unlock and delete accounts.
    OperatorEdit,
    /// Change organisations and groups.
    OrganisationEdit,
    /// Change roles.
    RoleEdit,
    /// Change the company's rules.
    SettingsEdit,
    /// Read the operation log.
    AuditView,
    /// Read the login log.
    LoginLogView,
    /// Make API tokens and webhooks.
    ApiEdit,
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u32);

impl Permission {
    /// Every permission, in the order of the matrix.
    pub const ALL: [Self; 16] = [
        Self::ReceptionIssue,
        Self::SessionControl,
        Self::LiveView,
        Self::LiveAct,
        Self::LogView,
        Self::LogNote,
        Self::LogExport,
        Self::StatisticsView,
        Self::OperatorView,
        Self::OperatorEdit,
        Self::OrganisationEdit,
        Self::RoleEdit,
        Self::SettingsEdit,
        Self::AuditView,
        Self::LoginLogView,
        Self::ApiEdit,
    ];

    /// The value in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReceptionIssue => "reception.issue",
            Self::SessionControl => "session.control",
            Self::LiveView => "live.view",
            Self::LiveAct => "live.act",
            Self::LogView => "log.view",
            Self::LogNote => "log.note",
            Self::LogExport => "log.export",
            Self::StatisticsView => "statistics.view",
            Self::OperatorView => "operator.view",
            Self::OperatorEdit => "operator.edit",
            Self::OrganisationEdit => "organisation.edit",
            Self::RoleEdit => "role.edit",
            Self::SettingsEdit => "settings.edit",
            Self::AuditView => "audit.view",
            Self::LoginLogView => "login_log.view",
            Self::ApiEdit => "api.edit",
        }
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

impl Permissions {
    /// Whether one is in it.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether every one of `other` is in it.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those in it, in the order of the matrix.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

impl FromStr for Permission {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text).ok_or(UnknownRole)
    }
}

/// Words between spaces; one that this version does not know gives nothing.
impl From<&str> for Permissions {
    fn from(text: &str) -> Self {
        text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, permission) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", permission.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_back_from_its_text() {
        let set: Permissions = [Permission::LogView, Permission::ApiEdit].into_iter().collect();

        assert_eq!(set.to_string(), "log.view api.edit");
        assert_eq!(Permissions::from("api.edit unknown.word log.view"), set);
        assert_eq!(Permission::ALL.into_iter().collect::<Permissions>().iter().count(), Permission::ALL.len());
        assert!(set.covers(Permissions::from("log.view")) && !Permissions::from("log.view").covers(set));
    }
}
