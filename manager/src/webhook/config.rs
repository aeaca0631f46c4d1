//! Section `[webhooks]` of the configuration.

use std::path::PathBuf;

use ops::config::Span;
use serde::{Deserialize, Serialize};

use crate::company::policy::Network;

/// Whom webhooks may call, and for how long they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Networks that may be called besides public addresses.
    pub networks: Vec<Network>,
    /// PEM file with an authority that is trusted besides those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long a program may take to answer.
    pub timeout: Span,
    /// After this time a call that nobody took has failed.
    pub give_up_after: Span,
    /// The page remembers calls for so long.
    pub keep: Span,
}

impl Default for Config {
    fn default() -> Self {
        let day = 24 * 60 * 60;
        Self {
            networks: Vec::new(),
            ca_file: None,
            timeout: Span::secs(10),
            give_up_after: Span::secs(day),
            keep: Span::secs(28 * day),
        }
    }
}
