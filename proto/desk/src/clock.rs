//! The wall clock of the tools; everything that decides gets the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// UTC milliseconds since 1970.
pub fn now_ms() -> i64 {
    now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

/// The same as the system has it.
#[expect(clippy::disallowed_methods, reason = "the one place where the tools read the wall clock")]
pub fn now() -> SystemTime {
    SystemTime::now()
}
