//! What system administrators may do: roles that share as little as possible.

use std::{fmt, str::FromStr};

use crate::role::UnknownRole;

/// A role of system administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdminRole {
    /// Runs the service: companies, their contracts, administrators, relays.
    Operations,
    /// Handles what companies own: erases it, and hands it out to those who may ask for it. Never alone.
    Data,
    /// Reads what everybody did, and changes nothing.
    Audit,
    /// Sees the companies of one partner, and tells them something.
    Partner,
}

/// One thing that a role of system administrators may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdminPermission {
    /// See companies.
    CompanyView,
    /// Create, change, suspend, resume and end companies.
    CompanyEdit,
    /// See system administrators.
    AdminView,
    /// Create, change and stop system administrators.
    AdminEdit,
    /// See what was asked for about the data of companies, and the certificates.
    DataView,
    /// Ask for erasures and legal exports, and agree to those that somebody else asked for.
    DataHandle,
    /// Read the log of the whole system.
    LogView,
    /// See notices of the service and of partners; for a partner, its own.
    NoticeView,
    /// See maintenance, incidents, availability, every revision of the terms and whether the service is halted.
    MaintenanceView,
    /// Write notices of the service, maintenance, incidents and the terms of use.
    NoticeEdit,
    /// Write notices to the companies of one's own partner.
    PartnerNoticeEdit,
    /// Halt the whole service, and lift that.
    ServiceHalt,
}

impl AdminRole {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Operations, Self::Data, Self::Audit, Self::Partner];

    /// The value in the database and at the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operations => "operations",
            Self::Data => "data",
            Self::Audit => "audit",
            Self::Partner => "partner",
        }
    }

    /// Whether it allows something.
    pub const fn may(self, permission: AdminPermission) -> bool {
        use AdminPermission as P;
        match permission {
            P::CompanyView | P::NoticeView => true,
            P::CompanyEdit | P::AdminEdit | P::NoticeEdit | P::ServiceHalt => matches!(self, Self::Operations),
            P::AdminView => matches!(self, Self::Operations | Self::Audit),
            P::DataView => matches!(self, Self::Data | Self::Audit),
            P::MaintenanceView => matches!(self, Self::Operations | Self::Data | Self::Audit),
            P::PartnerNoticeEdit => matches!(self, Self::Partner),
            P::DataHandle => matches!(self, Self::Data),
            P::LogView => matches!(self, Self::Audit),
        }
    }
}

impl FromStr for AdminRole {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

impl fmt::Display for AdminRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    #[test]
    fn no_role_belongs_to_both_realms() {
        for role in AdminRole::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(role.as_str().parse::<Role>(), Err(UnknownRole));
        }
    }

    #[test]
    fn what_changes_something_belongs_to_one_role() {
        use AdminPermission as P;
        let changing = [
            P::CompanyEdit,
            P::AdminEdit,
            P::DataHandle,
            P::LogView,
            P::NoticeEdit,
            P::PartnerNoticeEdit,
            P::ServiceHalt,
        ];
        for permission in changing {
            let roles = AdminRole::ALL.into_iter().filter(|role| role.may(permission));
            assert_eq!(roles.count(), 1, "{permission:?}");
        }
    }
}
