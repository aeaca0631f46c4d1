//! Every refusal of the API: one code, one status, one sentence; the cause goes to the log.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use proto::api::error::{ErrorBody, ErrorCode};

use crate::{db::DbError, site::Problem};

/// What a handler gives.
pub type ApiResult<T> = Result<T, ApiError>;

/// A refusal.
#[derive(Debug)]
pub struct ApiError {
    code: ErrorCode,
    message: Cow<'static, str>,
    retry_after_secs: Option<u64>,
    cause: Option<String>,
}

impl ApiError {
    /// A refusal with the usual sentence of its code.
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, message: Cow::Borrowed(sentence(code)), retry_after_secs: None, cause: None }
    }

    /// 400: `message` names the field and what it should be.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::new(ErrorCode::BadRequest) }
    }

    /// 409: the state does not allow the verb; `message` names both.
    pub fn wrong_state(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::new(ErrorCode::WrongState) }
    }

    /// 403: `message` says what is missing.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::new(ErrorCode::Forbidden) }
    }

    /// 404: no such thing, or not for this caller.
    pub const fn not_found() -> Self {
        Self::new(ErrorCode::NotFound)
    }

    /// 404: what the body names is not there for this caller; `message` names the field.
    pub fn not_there(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::new(ErrorCode::NotFound) }
    }

    /// 429: try again after this time.
    pub const fn throttled(retry_after_secs: u64) -> Self {
        let mut error = Self::new(ErrorCode::Throttled);
        error.retry_after_secs = Some(retry_after_secs);
        error
    }

    /// 503: overloaded; `cause` goes to the log.
    pub fn busy(cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), retry_after_secs: Some(1), ..Self::new(ErrorCode::Busy) }
    }

    /// 503: something that must come first is still on its way; `message` names it.
    pub fn not_yet(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), retry_after_secs: Some(1), ..Self::new(ErrorCode::Busy) }
    }

    /// 500: a mistake of ours; `cause` goes to the log, never to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::new(ErrorCode::Internal) }
    }

    /// The stable cause.
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        status(self.code)
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy(_) => Self::busy(error),
            DbError::Duplicate(_) | DbError::InconsistentRow { .. } | DbError::Failed(_) | DbError::Migrate(_) => {
                Self::internal(error)
            }
        }
    }
}

/// A refusal of the site, for what both do.
impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::LoggedOut { .. } | Problem::First(_) | Problem::Agree { .. } => Self::new(ErrorCode::NotLoggedIn),
            Problem::Forbidden | Problem::Forged | Problem::Stale => Self::new(ErrorCode::Forbidden),
            Problem::NotFound => Self::not_found(),
            Problem::BadForm => Self::new(ErrorCode::BadRequest),
            Problem::Changed { .. } => Self::new(ErrorCode::WrongState),
            Problem::TooLarge => Self::new(ErrorCode::TooLarge),
            Problem::Throttled { retry_after_secs } => Self::throttled(retry_after_secs),
            Problem::Busy => Self::busy("see the line before"),
            Problem::Internal => Self::internal("see the line before"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match (self.code, &self.cause) {
            (ErrorCode::Internal, cause) => {
                tracing::error!(
                    event = "request.failed",
                    error = cause.as_deref(),
                    "A request failed by our own mistake"
                );
            }
            (_, Some(cause)) => {
                tracing::warn!(event = "request.refused", error = %cause, "A request was refused: overloaded");
            }
            (_, None) => {}
        }
        let status = self.status();
        let retry_after = self.retry_after_secs;
        let body =
            ErrorBody { code: self.code, message: self.message.into_owned(), retry_after_secs: self.retry_after_secs };
        let mut response = (status, Json(body)).into_response();
        if let Some(secs) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

/// The HTTP status of a code.
const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::LoginFailed | ErrorCode::CodeRequired | ErrorCode::PasswordChange | ErrorCode::NotLoggedIn => {
            StatusCode::UNAUTHORIZED
        }
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound | ErrorCode::NumberUnusable => StatusCode::NOT_FOUND,
        ErrorCode::TooManyOpen | ErrorCode::WrongState => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::ServiceHalted | ErrorCode::NoRelay | ErrorCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal | ErrorCode::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The usual sentence of a code, for developers.
const fn sentence(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadRequest => "the request is not what it should be",
        ErrorCode::LoginFailed => "company code, id or password is wrong",
        ErrorCode::CodeRequired => "the code of the second factor is missing",
        ErrorCode::PasswordChange => "the password must be changed at the management site first",
        ErrorCode::NotLoggedIn => "no bearer token, or one that is not valid any more",
        ErrorCode::Forbidden => "this is not allowed",
        ErrorCode::NotFound => "there is no such thing",
        ErrorCode::NumberUnusable => "this number cannot be used",
        ErrorCode::TooManyOpen => "too many numbers are open already",
        ErrorCode::WrongState => "the state does not allow this any more",
        ErrorCode::TooLarge => "the body is too large",
        ErrorCode::Throttled => "too many requests",
        ErrorCode::ServiceHalted => "the service is stopped for every company; log in again once it is back",
        ErrorCode::NoRelay => "no relay is alive",
        ErrorCode::Busy => "the server is overloaded, try again",
        ErrorCode::Internal | ErrorCode::Unknown => "a mistake of the server",
    }
}
