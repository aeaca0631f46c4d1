//! Logs of a tool: to standard error, as much as `RUST_LOG` asks for.
//!
//! `RUST_LOG` holds a level or a list of `target=level`, for example `warn,link=debug`.
//! A release has nothing finer than `debug`.

use std::io;

use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts the logs. Without `RUST_LOG`, or with one that cannot be read, `usual` is used.
pub fn start(usual: &str) {
    let wanted = std::env::var_os("RUST_LOG").and_then(|wanted| wanted.to_str()?.parse::<Targets>().ok());
    let targets = wanted.or_else(|| usual.parse().ok()).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let set = tracing_subscriber::registry().with(lines).with(targets).try_init();
    // A second start cannot happen in a program that does it once.
    drop(set);
}
