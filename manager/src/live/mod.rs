//! The live boards: open numbers and running sessions, as they stand now, with what can be done about them.
//!
//! Guarantees: a board shows what the role of who looks reaches, asked anew each time; a browser is told within about a
//! second that something happened in its company, at whichever manager it happened, and then asks for the rows, which
//! are not sent when they are the same; a stream is bounded per account and in all, and ends with its login.
//! What tells that something happened is the company's newest row of the audit record: every change has one.
//! It does not show pictures or digits: of a number the first three are shown.

pub mod act;
pub mod page;
pub mod store;

mod changes;
mod hub;
mod lines;
mod sweep;

pub use self::{
    changes::LOGIN_EVERY,
    hub::Hub,
    page::router,
    sweep::{look_once, run},
};
