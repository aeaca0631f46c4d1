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

use crate::app::App;

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
