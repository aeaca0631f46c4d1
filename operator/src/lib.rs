//! The operator's tool: log in, issue a number, meet the customer, see the screen, work on it, end.
//!
//! Guarantees: the four secret digits and the session's keys stay in memory and are erased; pointer and keys are sent
//! only under a live grant; the flow is a pure machine ([`app`]) that the window and the headless mode share.
//! It does not capture this machine's screen and it does not talk to relays itself (crate `link`).

pub mod app;
pub mod engine;
pub mod failure;
pub mod headless;
pub mod input;
pub mod issue;
pub mod login;
pub mod options;
pub mod screen;
pub mod session;
pub mod text;
pub mod ui;
pub mod window;
