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
}
