//! What the two desktop tools do alike: language, sentences, look, JSON lines, logs, signals, the wall clock, and what
//! they keep of a session for themselves.
//!
//! Guarantees: nothing here runs a session or knows a consent or a picture; what differs between the tools stays in the tools.
#![forbid(unsafe_code)]

pub mod bookmark;
pub mod clock;
pub mod lang;
pub mod lines;
pub mod logs;
pub mod look;
pub mod signals;
pub mod text;
