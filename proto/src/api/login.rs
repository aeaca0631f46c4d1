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
    /// What the operator should know now, at most three; what is important comes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<NoticeBody>,
}

/// A notice of the service or of the company; its text is at the management site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NoticeBody {
    /// Its id: the page is `/notices/{notice_id}`.
    pub notice_id: String,
    /// One line.
    pub title: String,
    /// Whether it stands until it is over.
    pub important: bool,
    /// When it is over.
    pub ends_at_ms: UnixMillis,
}

impl std::fmt::Debug for LoginAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginAnswer(…)")
    }
}
