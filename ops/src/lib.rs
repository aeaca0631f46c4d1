//! What the three servers do alike, in the order in which a server's main function meets it.
//!
//! Flags and exit codes, configuration, logs, no core dumps, the clock, signals, metrics with their private listener,
//! TLS, and the HTTP listener with its deadlines. It knows nothing of receptions or sessions; of the other crates of the
//! workspace it sees `proto` only.

pub mod exit;

pub mod config;

pub mod logs;

pub mod core_dump;

pub mod clock;

pub mod shutdown;

pub mod metrics;

pub mod private;

pub mod tls;

pub mod proxied;

pub mod web;
