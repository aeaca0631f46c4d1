//! Logging in and out of an operator.

use serde::{Deserialize, Serialize};

use super::UnixMillis;
use crate::id::{CompanyId, OperatorId};

/// `POST`: company code, id and password for a bearer token.
pub const LOGIN: &str = "/v1/login";
/// `POST`: revokes the bearer token.
pub const LOGOUT: &str = "/v1/logout";

/// Body of [`LOGIN`].
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LoginRequest {
    /// Company code.
    pub company: String,
    /// The operator's id in the company.
    pub user: String,
    /// The password.
    pub password: String,
    /// The code of the second factor, or a recovery code, when the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginRequest(…)")
    }
}

/// Answer of [`LOGIN`].
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LoginAnswer {
    /// Bearer token of this login, 43 characters.
    pub token: String,
    /// When it ends at the latest.
    pub expires_at_ms: UnixMillis,
    /// Who logged in.
    pub operator_id: OperatorId,
    /// Name that customers see.
    pub operator_name: String,
    /// The company.
    pub company_id: CompanyId,
    /// Name that customers see.
    pub company_name: String,
}

impl std::fmt::Debug for LoginAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginAnswer(…)")
    }
}
