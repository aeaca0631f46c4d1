//! Logs on standard error: readable lines on a terminal, one JSON object a line in service.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Human,
    /// For log collectors: one JSON object a line, event fields at the top.
    Json,
    /// Human on a terminal, JSON otherwise.
    #[default]
    Auto,
}

/// Starts logging for this process. `RUST_LOG` filters as usual; without it, `info` and above is written.
///
/// A second call changes nothing, so that tests may call it freely.
pub fn init(format: LogFormat) {
    let json = match format {
        LogFormat::Human => false,
        LogFormat::Json => true,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        lines.with_target(false).try_init()
    };
    if begun.is_err() {
        tracing::debug!("Logs were begun before");
    }
}
