//! Categories: what a company sorts its cases by, in a list of its own.
//!
//! A category that is retired is not offered any more, and the cases that have it keep it; one that no case has can be
//! deleted.

pub mod edit;
pub mod page;
pub mod store;

pub use self::page::router;
