//! Why a call of the manager failed, as a tool or a relay must tell them apart.

use std::error::Error as _;

use proto::api::error::{ErrorBody, ErrorCode};

use crate::proxy::ProxyError;

/// Why a call did not answer what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The manager answered and said no.
    #[error("the manager refused ({status}): {}", .body.message)]
    Refused {
        /// HTTP status.
        status: u16,
        /// The cause; tools choose their sentence by its code.
        body: ErrorBody,
    },
    /// The manager was not reached, or did not answer in time; trying again may help.
    #[error("the manager cannot be reached: {0}")]
    Unreachable(String),
    /// The proxy on the way does not let the call through.
    #[error("the manager cannot be reached: {0}")]
    Proxy(ProxyError),
    /// What answered does not speak this API, or the address cannot be one of a manager.
    #[error("the manager's answer is not understood: {0}")]
    Malformed(String),
}

impl ApiError {
    /// The manager's code, when it refused.
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { body, .. } => Some(body.code),
            Self::Unreachable(_) | Self::Proxy(_) | Self::Malformed(_) => None,
        }
    }

    /// Whether the same call may succeed later: nobody answered, or the manager is overloaded.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == 429 || 500 <= *status,
            Self::Unreachable(_) | Self::Proxy(_) => true,
            Self::Malformed(_) => false,
        }
    }

    /// Whether it is not known if the manager did what it was asked: it was not reached, died or lost its database on the way, or
    /// what stands before it answered in its own words.
    pub const fn is_unanswered(&self) -> bool {
        match self {
            Self::Refused { status, body } => {
                500 <= *status && matches!(body.code, ErrorCode::Unknown | ErrorCode::Busy)
            }
            Self::Unreachable(_) => true,
            Self::Proxy(_) | Self::Malformed(_) => false,
        }
    }

    /// The cause chain of the HTTP library in one line, without the address, which may hold what nobody should log.
    pub(super) fn transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        // The library tells these two by their text alone; `proxy/tests.rs` sees that it still does.
        if text.contains("tunnel error: proxy authorization required") {
            return Self::Proxy(ProxyError::SignIn);
        }
        if text.contains("tunnel error: unsuccessful") {
            return Self::Proxy(ProxyError::Refused);
        }
        if error.is_builder() { Self::Malformed(text) } else { Self::Unreachable(text) }
    }
}
