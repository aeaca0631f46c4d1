//! Statistics: how much was done, how long people waited, and how it ended, by hour, day and month.
//!
//! Guarantees: a page reads figures that were made before, never the logs, so that a year of a million sessions is as
//! quick as a day; the figures of an hour are made anew until every session that began in it is over.
//! A wait is known to its range only: the middle and the ninetieth percent are taken between the two ends of theirs.
//! Hours are those of UTC, which are those of Japanese time; days and months are those of the company's zone.

pub mod page;
pub mod state;
pub mod store;
pub mod sweep;

mod chart;
mod file;

pub use self::{page::router, sweep::run};
