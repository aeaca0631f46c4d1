//! Logging in at the site: password, second factor, forced change; and one's own account.

mod account;
mod bind;
mod door;
mod factor;
mod forgotten;

use axum::{
    Router,
    routing::{get, post},
};

pub(crate) use self::door::{Entry, Way, add_cookie, enter, next_in};
pub use self::{account::proved, door::visited};
use super::Realm;
use crate::{app::App, provider};

/// The pages of this slice.
pub fn router() -> Router<App> {
    own_pages(Realm::Company)
        .route("/login/forgotten", get(forgotten::show).post(forgotten::ask))
        .route("/login/link/{token}", get(forgotten::open).post(forgotten::set))
        .route("/login/provider/return/{company_id}", get(provider::page::come_back))
}

/// The pages of logging in and of one's own account that a realm has.
pub fn own_pages(realm: Realm) -> Router<App> {
    let at = |path: &str| format!("{}{path}", realm.base());
    Router::new()
        .route(&at("/login"), get(door::show).post(door::log_in))
        .route(&at("/login/provider"), post(provider::page::begin))
        .route(&at("/logout"), post(door::log_out))
        .route(&at("/login/code"), get(factor::ask).post(factor::take))
        .route(&at("/login/factor"), get(factor::offer).post(factor::set_up))
        .route(&at("/account"), get(account::show))
        .route(&at("/account/password"), get(account::password).post(account::change_password))
        .route(&at("/account/provider"), post(bind::link))
        .route(&at("/account/provider/remove"), post(bind::unlink))
        .route(&at("/account/factor"), post(account::take_factor_away))
        .route(&at("/account/recovery"), post(account::renew_recovery_codes))
        .route(&at("/account/logins"), post(account::end_login))
}
