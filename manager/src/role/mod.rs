//! Roles: what an account may do, and over whom.
//!
//! The product has six; a company clones one and changes its permissions. A role is looked up for every request, so a
//! change has effect on the next one. A role never gives a permission that its base cannot have.

pub mod page;
pub mod permission;
pub mod store;

use std::{fmt, str::FromStr};

pub use self::permission::{Permission, Permissions};

/// One of the product's roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything in the company.
    CompanyAdmin,
    /// The accounts of an organisation and those below it.
    OrganisationAdmin,
    /// Watches and steers the work of an organisation.
    Supervisor,
    /// Gives support.
    Operator,
    /// Reads logs and figures.
    Viewer,
    /// Reads everything that was recorded, and changes nothing.
    Auditor,
}

/// Over whose accounts, receptions and sessions a role's permissions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// One's own.
    Own,
    /// Those of one's organisation and of the organisations below it.
    Organisation,
    /// The whole company.
    Company,
}

/// A text that names no role, or no reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such role")]
pub struct UnknownRole;

impl Role {
    /// Every role, from the widest to the narrowest.
    pub const ALL: [Self; 6] =
        [Self::CompanyAdmin, Self::OrganisationAdmin, Self::Supervisor, Self::Operator, Self::Viewer, Self::Auditor];

    /// The value in the database, in CSV files and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CompanyAdmin => "company_admin",
            Self::OrganisationAdmin => "organisation_admin",
            Self::Supervisor => "supervisor",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
        }
    }

    /// Over whom it goes.
    pub const fn reach(self) -> Reach {
        match self {
            Self::CompanyAdmin | Self::Viewer | Self::Auditor => Reach::Company,
            Self::OrganisationAdmin | Self::Supervisor => Reach::Organisation,
            Self::Operator => Reach::Own,
        }
    }

    /// What it may do.
    pub fn permissions(self) -> Permissions {
        use Permission as P;
        let listed: &[P] = match self {
            Self::CompanyAdmin => return Permission::ALL.into_iter().collect(),
            Self::OrganisationAdmin => &[
                P::ReceptionIssue,
                P::SessionControl,
                P::LiveView,
                P::LiveAct,
                P::LogView,
                P::LogNote,
                P::LogExport,
                P::StatisticsView,
                P::OperatorView,
                P::OperatorEdit,
                P::OrganisationEdit,
            ],
            Self::Supervisor => &[
                P::ReceptionIssue,
                P::SessionControl,
                P::LiveView,
                P::LiveAct,
                P::LogView,
                P::LogNote,
                P::LogExport,
                P::StatisticsView,
                P::OperatorView,
            ],
            Self::Operator => &[P::ReceptionIssue, P::SessionControl, P::LiveView, P::LogView, P::LogNote],
            Self::Viewer => &[P::LiveView, P::LogView, P::StatisticsView],
            Self::Auditor => &[P::LogView, P::LogExport, P::AuditView, P::LoginLogView, P::StatisticsView],
        };
        listed.iter().copied().collect()
    }
}

impl Reach {
    /// Every reach, from the narrowest to the widest.
    pub const ALL: [Self; 3] = [Self::Own, Self::Organisation, Self::Company];

    /// The value in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Organisation => "organisation",
            Self::Company => "company",
        }
    }
}

/// What the columns of an account and its company's role allow; nothing when the role is not known.
pub fn effective(role: &str, custom: Option<&str>) -> Permissions {
    let base = role.parse::<Role>().map(Role::permissions).unwrap_or_default();
    custom.map_or(base, |custom| Permissions::from(custom).and(base))
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

impl FromStr for Reach {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|reach| reach.as_str() == text).ok_or(UnknownRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_and_reach_comes_back_from_its_text() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for reach in Reach::ALL {
            assert_eq!(reach.as_str().parse(), Ok(reach));
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
    }

    #[test]
    fn only_the_company_administrator_may_change_roles_and_settings() {
        for role in Role::ALL {
            let permissions = role.permissions();
            let changes = permissions.has(Permission::RoleEdit) || permissions.has(Permission::SettingsEdit);
            assert_eq!(changes, role == Role::CompanyAdmin, "{role}");
        }
    }
}
