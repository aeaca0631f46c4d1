//! Logging in at the site: password, second factor, forced change; and one's own account.

mod account;
mod door;
mod factor;

use axum::{
    Router,
    routing::{get, post},
};

use crate::app::App;

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/login", get(door::show).post(door::log_in))
        .route("/logout", post(door::log_out))
        .route("/login/code", get(factor::ask).post(factor::take))
        .route("/login/factor", get(factor::offer).post(factor::set_up))
        .route("/account", get(account::show))
        .route("/account/password", get(account::password).post(account::change_password))
        .route("/account/factor", post(account::take_factor_away))
        .route("/account/recovery", post(account::renew_recovery_codes))
        .route("/account/logins", post(account::end_login))
}
