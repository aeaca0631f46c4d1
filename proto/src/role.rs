//! The two sides of a session.

use serde::{Deserialize, Serialize};

/// Which side of a session somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Shows the screen.
    Customer,
    /// Sees the screen.
    Operator,
}

impl Role {
    /// Both roles.
    pub const ALL: &[Self] = &[Self::Customer, Self::Operator];

    /// The other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Customer => Self::Operator,
            Self::Operator => Self::Customer,
        }
    }

    /// The name in logs, metrics and tickets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Operator => "operator",
        }
    }

    /// The role for a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_one_name_and_another_side() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.as_str()), Some(*role));
            assert_eq!(serde_json::to_string(role).unwrap(), format!("\"{}\"", role.as_str()));
            assert_ne!(role.other(), *role);
            assert_eq!(role.other().other(), *role);
        }
        assert_eq!(Role::from_name("observer"), None);
    }
}
