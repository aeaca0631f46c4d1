//! The two realms of accounts, and where each logs in. They share the machinery of logins and nothing else.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use proto::id::CompanyId;

use crate::{company::Policy, site::cookie};

/// The code of the row that system administrators belong to. No company code has a colon.
pub const SYSTEM_CODE: &str = ":system";
/// The id of that row.
pub const SYSTEM: CompanyId = CompanyId::from_bytes([0; 16]);
/// Where the pages of system administrators are.
const SYSTEM_BASE: &str = "/system";
/// Shortest password of a system administrator.
pub const SYSTEM_PASSWORD_LEN_MIN: usize = 12;
/// Longest password of a system administrator.
pub const SYSTEM_PASSWORD_LEN_MAX: usize = 128;

/// A realm of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Realm {
    /// Accounts of companies.
    Company,
    /// System administrators.
    System,
}

impl Realm {
    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Company => "company",
            Self::System => "system",
        }
    }

    /// The realm of an address.
    pub fn of_path(path: &str) -> Self {
        let inside = path.strip_prefix(SYSTEM_BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        if inside { Self::System } else { Self::Company }
    }

    /// The cookie that names a login.
    pub const fn cookie(self) -> &'static str {
        match self {
            Self::Company => cookie::LOGIN,
            Self::System => cookie::SYSTEM,
        }
    }

    /// What the addresses of its own pages begin with.
    pub const fn base(self) -> &'static str {
        match self {
            Self::Company => "",
            Self::System => SYSTEM_BASE,
        }
    }

    /// Its first page.
    pub const fn home(self) -> &'static str {
        match self {
            Self::Company => "/",
            Self::System => SYSTEM_BASE,
        }
    }

    /// The page of one's own account.
    pub const fn account(self) -> &'static str {
        match self {
            Self::Company => "/account",
            Self::System => "/system/account",
        }
    }

    /// Reads the rules of a company. A system administrator always has a second factor and a long password, whatever the
    /// column says.
    pub fn policy(self, column: &str) -> Policy {
        let mut policy = Policy::stored(column);
        match self {
            Self::Company => {}
            Self::System => {
                policy.login.totp_required = true;
                policy.login.totp_from_ms = 0;
                policy.login.lockout = true;
                policy.password.len_min = policy.password.len_min.max(SYSTEM_PASSWORD_LEN_MIN);
                policy.password.len_max = SYSTEM_PASSWORD_LEN_MAX;
            }
        }
        policy
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Realm {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of_path(parts.uri.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::company::CompanyCode;

    #[test]
    fn an_address_belongs_to_one_realm() {
        for system in ["/system", "/system/", "/system/login", "/system/companies/x"] {
            assert_eq!(Realm::of_path(system), Realm::System, "{system}");
        }
        for company in ["/", "/systems", "/login", "/System", "/operators/system", "//system"] {
            assert_eq!(Realm::of_path(company), Realm::Company, "{company}");
        }
        assert!(SYSTEM_CODE.parse::<CompanyCode>().is_err());
    }

    #[test]
    fn no_rule_takes_the_second_factor_from_system_administrators() {
        let policy =
            Realm::System.policy(r#"{"login":{"totp_required":false,"lockout":false},"password":{"len_min":8}}"#);

        assert!(policy.login.totp_required && policy.login.lockout);
        assert_eq!(policy.password.len_min, SYSTEM_PASSWORD_LEN_MIN);
        assert!(!Realm::Company.policy("{}").login.totp_required);
    }
}
