//! What every route of this slice answers with: pages of lists, and refusals.

use proto::api::error::ErrorBody;
use serde::Serialize;

use crate::list::Page;

/// One page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ListBody<T> {
    /// The rows.
    items: Vec<T>,
    /// Value of `before` that asks for the page before; null on the first one.
    before: Option<String>,
    /// Value of `after` that asks for the next page; null on the last one.
    after: Option<String>,
    /// Rows of the whole list under its filters; 10001 says that there are more than 10000.
    total: i64,
    /// Words were looked for in the newest rows only: value of `past` that looks in older ones; null when all were.
    past: Option<i64>,
}

impl<T> ListBody<T> {
    /// A page whose rows are shown by `show`.
    pub fn of<R>(page: Page<R>, show: impl FnMut(R) -> T) -> Self {
        Self {
            items: page.rows.into_iter().map(show).collect(),
            before: page.before.map(|cursor| cursor.to_string()),
            after: page.after.map(|cursor| cursor.to_string()),
            total: page.total,
            past: page.past,
        }
    }
}

/// How any route of this slice can refuse.
#[derive(utoipa::IntoResponses)]
pub enum Refused {
    /// A parameter or the body is not what it should be; `message` names it
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// No token, or one that is not valid (any more), or not from this address; or its maker is stopped
    #[response(status = 401)]
    NotLoggedIn(ErrorBody),
    /// The token has not the scope of this route, or its maker may not do this
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// There is no such thing in this company
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// Too many requests; see `retry_after_secs`
    #[response(status = 429)]
    Throttled(ErrorBody),
    /// Overloaded; try again
    #[response(status = 503)]
    Busy(ErrorBody),
}

/// How a route that changes something can refuse besides.
#[derive(utoipa::IntoResponses)]
pub enum Conflict {
    /// Somebody else changed it meanwhile, or its state does not allow this; read it again
    #[response(status = 409)]
    WrongState(ErrorBody),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(ErrorBody),
}
