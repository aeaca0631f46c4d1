//! `/v1/manage/…`: what the management site does, for other programs with a token.
//!
//! Guarantees: a route asks for exactly one scope, which stands in its document, before it reads anything else of a
//! request; what the maker of the token may not do is refused; what belongs to another company is not there. Lists have
//! the filters, the order and the places of the site's lists, and what cannot be read of them is refused, not left out.
//! A change names the version that was read, and of two who change one thing the second is told (409).
//! Decisions and rows are those of the slices; here is only what a request says and an answer looks like.

pub mod answer;
pub mod query;

mod categories;
mod group_edit;
mod live;
mod logs;
mod mails;
mod notices;
mod operator_edit;
mod operators;
mod receptions;
mod sessions;
mod starts;
mod statistics;
mod tree;
mod tree_edit;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

/// The routes of this slice.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(operators::list, operator_edit::create))
        .routes(routes!(operators::read, operator_edit::change, operator_edit::delete))
        .routes(routes!(operator_edit::stop))
        .routes(routes!(operator_edit::start))
        .routes(routes!(operator_edit::unlock))
        .routes(routes!(operator_edit::log_out))
        .routes(routes!(receptions::list, starts::start))
        .routes(routes!(receptions::read))
        .routes(routes!(starts::read, starts::cancel))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::read))
        .routes(routes!(sessions::read_case, sessions::write_case))
        .routes(routes!(live::receptions))
        .routes(routes!(live::sessions))
        .routes(routes!(live::cancel))
        .routes(routes!(live::extend))
        .routes(routes!(live::end))
        .routes(routes!(mails::again))
        .routes(routes!(tree::organisations, tree_edit::create))
        .routes(routes!(tree_edit::change, tree_edit::delete))
        .routes(routes!(tree_edit::merge))
        .routes(routes!(tree::groups, group_edit::create))
        .routes(routes!(group_edit::rename, group_edit::delete))
        .routes(routes!(tree::roles))
        .routes(routes!(categories::list, categories::create))
        .routes(routes!(categories::change, categories::delete))
        .routes(routes!(statistics::read))
        .routes(routes!(logs::operations))
        .routes(routes!(logs::logins))
        .routes(routes!(notices::list, notices::create))
        .routes(routes!(notices::read))
        .routes(routes!(notices::end))
        .routes(routes!(mails::list))
}
