//! What a page says when it cannot do what was asked: what it is, and what to do next.

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
};

use super::{
    assets::{ASSETS, Assets},
    lang::Lang,
    words::Words,
};
use proto::api::error::ErrorCode;

use crate::{app::App, db::DbError, error::ApiError, login::Realm, settings::contact, terms::agree};

/// What a page gives.
pub type PageResult = Result<Response, Problem>;

/// Why there is no page.
#[derive(Debug, Clone)]
pub enum Problem {
    /// 303: nobody is logged in; the address to come back to.
    LoggedOut {
        /// The page that was asked for.
        next: String,
    },
    /// 303: something else must be done first.
    First(&'static str),
    /// 303: the terms must be agreed to first; the address to come back to.
    Agree {
        /// The page that was asked for.
        next: String,
    },
    /// 403: the account's role does not allow it.
    Forbidden,
    /// 404: there is no such thing, or not for this account.
    NotFound,
    /// 403: the form does not come from this site.
    Forged,
    /// 403: the form's token is not of this login: it is older.
    Stale,
    /// 400: the form is not what the page sent.
    BadForm,
    /// 409: somebody else changed the same thing meanwhile.
    Changed {
        /// Where the thing is now.
        back: String,
    },
    /// 413: more than is taken.
    TooLarge,
    /// 429: too many tries.
    Throttled {
        /// Seconds to wait.
        retry_after_secs: u64,
    },
    /// 503: overloaded.
    Busy,
    /// 500: a mistake of ours.
    Internal,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    lang: Lang,
    words: &'static Words,
    assets: &'static Assets,
    home: &'static str,
    heading: &'static str,
    what_to_do: String,
    /// Where to go, and what it is called.
    link: Option<(String, &'static str)>,
    /// The chapter of the manual that helps, and what its link says.
    chapter: &'static str,
    help: &'static str,
    /// Whom people ask; may be empty.
    contact: String,
    /// Whether the foot of the page links the terms of use.
    has_terms: bool,
}

impl Problem {
    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::LoggedOut { .. } | Self::First(_) | Self::Agree { .. } => StatusCode::SEE_OTHER,
            Self::Forbidden | Self::Forged | Self::Stale => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadForm => StatusCode::BAD_REQUEST,
            Self::Changed { .. } => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The page in a language.
    fn page(&self, app: &App, lang: Lang, realm: Realm, contact: String) -> Response {
        let words = Words::of(lang);
        let w = &words.problem;
        let home = Some((realm.home().to_owned(), w.home));
        let (heading, what_to_do, link) = match self {
            Self::LoggedOut { .. } | Self::First(_) | Self::Agree { .. } | Self::Internal => {
                (w.internal, w.internal_do.to_owned(), home)
            }
            Self::Forbidden => {
                let what_to_do = match realm {
                    Realm::Company => w.forbidden_do,
                    Realm::System => w.forbidden_system_do,
                };
                (w.forbidden, what_to_do.to_owned(), home)
            }
            Self::NotFound => (w.not_found, w.not_found_do.to_owned(), home),
            Self::Forged => (w.forged, w.forged_do.to_owned(), home),
            Self::Stale => (w.stale, w.stale_do.to_owned(), home),
            Self::BadForm => (w.bad_form, w.bad_form_do.to_owned(), home),
            Self::Changed { back } => (w.changed, w.changed_do.to_owned(), Some((back.clone(), w.changed_link))),
            Self::TooLarge => (w.too_large, w.too_large_do.to_owned(), home),
            Self::Throttled { retry_after_secs } => (w.throttled, w.throttled_do(retry_after_secs), home),
            Self::Busy => (w.busy, w.busy_do.to_owned(), home),
        };
        let (chapter, help) = match realm {
            Realm::Company => ("faq", words.manual.faq),
            Realm::System => ("system", words.manual.link),
        };
        let (assets, home) = (&ASSETS, realm.home());
        let has_terms = app.terms.are_there();
        let page =
            ProblemPage { lang, words, assets, home, heading, what_to_do, link, chapter, help, contact, has_terms };
        match page.render() {
            Ok(html) => (self.status(), Html(html)).into_response(),
            Err(error) => {
                tracing::error!(event = "page.failed", error = %error, "The page of a problem could not be made");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// The page itself is made by [`show`], which knows the visitor's language.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = match &self {
            Self::LoggedOut { next } => return Redirect::to(&login_address(next)).into_response(),
            Self::First(address) => return Redirect::to(address).into_response(),
            Self::Agree { next } => return Redirect::to(&agree::address(next)).into_response(),
            Self::Throttled { retry_after_secs } => {
                [(header::RETRY_AFTER, HeaderValue::from(*retry_after_secs))].into_response()
            }
            Self::Busy => [(header::RETRY_AFTER, HeaderValue::from(1))].into_response(),
            Self::Forbidden
            | Self::NotFound
            | Self::Forged
            | Self::Stale
            | Self::BadForm
            | Self::Changed { .. }
            | Self::TooLarge
            | Self::Internal => StatusCode::OK.into_response(),
        };
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

fn login_address(next: &str) -> String {
    let realm = Realm::of_path(next);
    let door = format!("{}/login", realm.base());
    if next == realm.home() { door } else { format!("{door}?next={}", crate::list::params::encode(next)) }
}

/// The page of a problem in the language of a request.
pub fn page(app: &App, problem: &Problem, headers: &axum::http::HeaderMap, realm: Realm) -> Response {
    let mut response = problem.page(app, Lang::of(headers), realm, String::new());
    super::router::dress(&mut response);
    response
}

/// Middleware: makes the page of a problem in the language of the request.
pub(super) async fn show(State(app): State<App>, request: Request, next: Next) -> Response {
    let (lang, realm) = (Lang::of(request.headers()), Realm::of_path(request.uri().path()));
    let headers = request.headers().clone();
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let contact = match realm {
        Realm::Company => contact::of_browser(&app, &headers).await,
        Realm::System => String::new(),
    };
    let mut page = problem.page(&app, lang, realm, contact);
    for (name, value) in response.headers() {
        page.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    page
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy(_) => {
                tracing::warn!(event = "request.refused", error = %error, "A page was refused: overloaded");
                Self::Busy
            }
            DbError::Duplicate(_) | DbError::InconsistentRow { .. } | DbError::Failed(_) | DbError::Migrate(_) => {
                tracing::error!(event = "page.failed", error = %error, "A page failed by our own mistake");
                Self::Internal
            }
        }
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        match error.code() {
            ErrorCode::Busy | ErrorCode::NoRelay => Self::Busy,
            ErrorCode::Throttled => Self::Throttled { retry_after_secs: 1 },
            ErrorCode::Forbidden => Self::Forbidden,
            ErrorCode::NotFound | ErrorCode::NumberUnusable => Self::NotFound,
            ErrorCode::TooLarge => Self::TooLarge,
            ErrorCode::BadRequest => Self::BadForm,
            // The login says what to do, also that the service is halted.
            ErrorCode::NotLoggedIn
            | ErrorCode::LoginFailed
            | ErrorCode::CodeRequired
            | ErrorCode::PasswordChange
            | ErrorCode::ServiceHalted => Self::LoggedOut { next: "/".to_owned() },
            ErrorCode::WrongState | ErrorCode::TooManyOpen => Self::Changed { back: "/".to_owned() },
            ErrorCode::Internal | ErrorCode::Unknown => {
                tracing::error!(event = "page.failed", error = ?error, "A page failed by our own mistake");
                Self::Internal
            }
        }
    }
}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Self {
        tracing::error!(event = "page.failed", error = %error, "A page could not be made");
        Self::Internal
    }
}
