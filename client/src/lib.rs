//! The customer's tool (クライアントツール), in the order in which a customer lives through it.
//!
//! A number is typed (`app`, `ui`), the operator is met (`entry_key`, `enter`), the customer says what is allowed
//! (`consent`), the screen goes out and input comes in (`session`, `screen`, `input`), and the manager is told
//! (`record`). `visit` is all of that in one function; the window and the headless mode run the same one.
#![deny(unsafe_code)]

pub mod app;
pub mod config;
pub mod consent;
pub mod desktop;
pub mod device;
pub mod enter;
pub mod entry_key;
pub mod headless;
pub mod input;
pub mod record;
pub mod screen;
pub mod session;
pub mod ui;
pub mod visit;
