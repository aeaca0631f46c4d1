//! Why a call to the manager failed, as the tool's words: one sentence for the person, one code for a program.

use link::{api::ApiError, proxy::ProxyError};
use proto::api::error::ErrorCode;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable name, also the id of the sentence (`failure.…`).
    pub code: &'static str,
    /// One English sentence for developers.
    pub message: String,
    /// Seconds to wait before another try, where that is known.
    pub retry_after_secs: Option<u64>,
}

/// Every code, so that each is known to have its sentences.
pub const CODES: &[&str] = &[
    "bad_request",
    "login_failed",
    "code_required",
    "password_change",
    "not_logged_in",
    "forbidden",
    "not_found",
    "number_unusable",
    "too_many_open",
    "wrong_state",
    "throttled",
    "service_halted",
    "no_relay",
    "busy",
    "internal",
    "unreachable",
    "proxy_unreachable",
    "proxy_sign_in",
    "proxy_refused",
    "proxy_unusable",
    "malformed",
];

impl Failure {
    /// A failure without a time to wait.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_secs: None }
    }

    /// Whether the bearer token is not valid any more. A halt of the service ends every login.
    pub fn is_logged_out(&self) -> bool {
        matches!(self.code, "not_logged_in" | "service_halted")
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        // A proxy comes and goes as a network does.
        matches!(self.code, "unreachable" | "busy" | "throttled" | "internal" | "malformed")
            || self.code.starts_with("proxy_")
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused { body, .. } => {
                Self { code: name(body.code), message: body.message, retry_after_secs: body.retry_after_secs }
            }
            ApiError::Unreachable(cause) => Self::new("unreachable", cause),
            ApiError::Proxy(error) => error.into(),
            ApiError::Malformed(cause) => Self::new("malformed", cause),
        }
    }
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

const fn name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadRequest | ErrorCode::TooLarge => "bad_request",
        ErrorCode::LoginFailed => "login_failed",
        ErrorCode::CodeRequired => "code_required",
        ErrorCode::PasswordChange => "password_change",
        ErrorCode::NotLoggedIn => "not_logged_in",
        ErrorCode::Forbidden => "forbidden",
        ErrorCode::NotFound => "not_found",
        ErrorCode::NumberUnusable => "number_unusable",
        ErrorCode::TooManyOpen => "too_many_open",
        ErrorCode::WrongState => "wrong_state",
        ErrorCode::Throttled => "throttled",
        ErrorCode::ServiceHalted => "service_halted",
        ErrorCode::NoRelay => "no_relay",
        ErrorCode::Busy => "busy",
        ErrorCode::Internal | ErrorCode::Unknown => "internal",
    }
}
