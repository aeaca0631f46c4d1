//! The settings of a company: what its administrators decide, on one sheet for each subject.
//!
//! Guarantees: a sheet says what a change means for whom before it is made; of two people who change one sheet the second
//! is told; the value before and after stand in the operation log; what is stored holds from the next request on, at
//! every manager, because rules are read with each login and each request.

pub mod contact;
pub mod fields;
pub mod page;
pub mod sheet;
pub mod store;

mod duties;
mod general;
mod index;
mod logins;
mod passwords;
mod receptions;
mod week;

use axum::{Router, routing::get};

use self::sheet::Sheet;
use crate::{app::App, site::Words};

/// How people read a value of a field.
pub type Shown = fn(&'static Words, &str, &str) -> String;

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route(index::ADDRESS, get(index::show))
        .merge(sheet::router::<passwords::Passwords>())
        .merge(sheet::router::<logins::Logins>())
        .merge(sheet::router::<receptions::Receptions>())
        .merge(sheet::router::<general::General>())
        .route(duties::ADDRESS, get(duties::show).post(duties::acknowledge))
}

/// What a field of a sheet is called, and how its values are read; `None` when the subject is no sheet or has no such
/// field.
pub fn field(subject: &str, key: &str, words: &'static Words) -> Option<(&'static str, Shown)> {
    of_sheet::<passwords::Passwords>(subject, key, words)
        .or_else(|| of_sheet::<logins::Logins>(subject, key, words))
        .or_else(|| of_sheet::<receptions::Receptions>(subject, key, words))
        .or_else(|| of_sheet::<general::General>(subject, key, words))
}

fn of_sheet<S: Sheet>(subject: &str, key: &str, words: &'static Words) -> Option<(&'static str, Shown)> {
    let is_field = subject == S::SUBJECT && S::KEYS.contains(&key);
    let label = if is_field { S::label(words, key) } else { None };
    let shown: Shown = S::shown;
    label.map(|label| (label, shown))
}
