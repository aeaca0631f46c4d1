//! Groups: labels that a company puts on its accounts, many to many. They say nothing about who sees what.

pub mod edit;
pub mod page;
pub mod store;

pub use self::page::router;

/// Groups of a company at most.
pub const GROUPS_MAX: i64 = 200;
