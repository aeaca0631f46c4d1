//! The one body of every refusal.

use serde::{Deserialize, Serialize};

/// Body of every answer that is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// Stable name of the cause; tools choose their sentence by it.
    pub code: ErrorCode,
    /// One English sentence for developers.
    pub message: String,
    /// Seconds to wait before another try, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_secs: Option<u64>,
}

/// Stable causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: the body or a parameter is not what it should be; `message` names the field.
    BadRequest,
    /// 401: company code, id or password is wrong, or the account is locked or stopped: one answer for all.
    LoginFailed,
    /// 401: company code, id and password are right; the code of the second factor is missing.
    CodeRequired,
    /// 401: company code, id and password are right; the password must be changed at the management site first.
    PasswordChange,
    /// 401: no bearer token, or one that is not valid any more.
    NotLoggedIn,
    /// 403: logged in, but this is not allowed.
    Forbidden,
    /// 404: there is no such thing, or not for this caller.
    NotFound,
    /// 404: the number is unknown, expired, used, burned or throttled: one answer for all.
    NumberUnusable,
    /// 409: three numbers are open already.
    TooManyOpen,
    /// 409: the state does not allow this verb any more.
    WrongState,
    /// 413: the body is too large.
    TooLarge,
    /// 429: too many requests; see `retry_after_secs`.
    Throttled,
    /// 503: the whole service is stopped for every company until its administrators lift that; a login has ended and does
    /// not come back.
    ServiceHalted,
    /// 503: no relay is alive.
    NoRelay,
    /// 503: the database or the password hashing is overloaded; try again.
    Busy,
    /// 500: a mistake of ours; the log has the cause.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}
