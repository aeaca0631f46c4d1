//! 利用規約: the terms of use of the service, in revisions that system administrators write, and who agreed to them.
//!
//! Guarantees: what was published is never changed or deleted, and withdrawn before its day at most, and the audit
//! chain has its hash; a revision is in force from the beginning of a day in Japan until a later one is, and only the
//! first one has a day that is past when it is published; everybody reads every published one at `/terms`, without a
//! login. Where a revision asks for it, nobody of a company sees further pages of the site before they have agreed to
//! it or to a later one, once, with the time kept. Their own account, their password and their second factor do not
//! wait for that, nor does a form that was open. From its publication to its day such a revision stands on every page
//! of each of them until they have opened its text. Programs and tools are not asked.
//! A text is plain text, in which lines are headings and lists by how they begin; no HTML of anybody is shown.

pub mod agree;
pub mod announced;
pub mod edit;
pub mod known;
pub mod page;
pub mod store;
pub mod system;
pub mod text;

mod form;

use axum::Router;

use crate::app::App;

pub use self::{announced::Announced, known::Known};

/// The pages for everybody, and the one that asks people of companies to agree.
pub fn router() -> Router<App> {
    page::router().merge(agree::router())
}
