//! Logging an operator in and out: company code, id and password for a bearer token.
//!
//! Guarantees: an unknown company, an unknown id, a wrong password, a locked and a stopped account give one answer, one
//! text and the same work; guessing is slowed per source, per account and for all together, by counters in the
//! database; a token is stored as its hash, ends by itself, and can be revoked.

pub mod api;
pub mod attempt;
pub mod gate;
pub mod link;
pub mod page;
pub mod password;
pub mod realm;
pub mod second;
pub mod site_login;
pub mod site_store;
pub mod store;
pub mod tool_store;
pub mod totp;

mod logged_in;
mod sweep;

use std::num::{NonZeroU16, NonZeroU32};

use ops::config::Span;
use serde::{Deserialize, Serialize};

pub use self::{
    api::router,
    logged_in::LoggedIn,
    realm::Realm,
    site_login::{Agreeing, Holder, Login, SiteLogin, refreshes_itself},
    sweep::sweep,
};

/// Section `[login]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A login ends after this time.
    pub life: Span,
    /// A login that is not used ends after this time.
    pub idle: Span,
    /// Failed logins of one source (an IPv4 address, an IPv6 /64) in `attempts_window`.
    pub attempts_per_source_max: NonZeroU32,
    /// Failed logins of everybody together in `attempts_window`.
    pub attempts_max: NonZeroU32,
    /// See the two above.
    pub attempts_window: Span,
    /// Passwords hashed at once; each takes one core for about 40 ms and 19 MiB.
    pub hash_parallel: NonZeroU16,
    /// Logins that may wait for their turn to hash.
    pub hash_queue_max: NonZeroU16,
    /// How long they wait.
    pub hash_wait: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            life: Span::secs(12 * 60 * 60),
            idle: Span::secs(24 * 60 * 60),
            attempts_per_source_max: nonzero(30),
            attempts_max: nonzero(3000),
            attempts_window: Span::secs(5 * 60),
            hash_parallel: NonZeroU16::MIN.saturating_add(1),
            hash_queue_max: NonZeroU16::MIN.saturating_add(63),
            hash_wait: Span::secs(5),
        }
    }
}

const fn nonzero(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}
