//! Sessions: from the entry of a number to the end, once, with start, end, duration and reason.
//!
//! Guarantees: of any number of simultaneous entries of one number one wins; whoever guesses learns from no answer, text
//! or time why a number cannot be used; an entry that ends unproved gives the number back, three times at most; every
//! session is closed exactly once, even when tools and relay die; a customer's token is good for one session only.
//! Only the operator's word counts as proof: the other side may be the stranger who guesses.
//! A session outlives a relay: what a tool says ends it at once, and that a relay lost it ends it only when no relay
//! lists it and no tool is heard for the lease.

pub mod api;
pub mod caller;
pub mod cancel;
pub mod case;
pub mod case_api;
pub mod close;
pub mod enter;
pub mod guess;
pub mod list;
pub mod page;
pub mod relayed;
pub mod renew;
pub mod repeat;
pub mod show;
pub mod state;
pub mod store;
pub mod sweep;
pub mod ticket;

mod metrics;

use std::{num::NonZeroU32, time::Duration};

use ops::config::{Bytes, Span};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::metrics::SessionMetrics;
use crate::app::App;

/// Section `[session]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Wrong numbers of one source (IPv4 /32, IPv6 /64) in five minutes: a person's slips, one a minute afterwards.
    pub wrong_per_5_minutes_max: NonZeroU32,
    /// Wrong numbers of one source in an hour; then it is blocked for an hour.
    pub wrong_per_hour_max: NonZeroU32,
    /// Wrong numbers of one source in a day.
    pub wrong_per_day_max: NonZeroU32,
    /// How many sources an IPv6 /48 counts as.
    pub wrong_per_48_factor: NonZeroU32,
    /// Wrong numbers of everybody in a minute from which sources get two tries instead of five: one a second.
    pub wrong_soft_max: NonZeroU32,
    /// Wrong numbers of everybody in a minute from which only sources without a slip today are heard: five a second.
    pub wrong_hard_max: NonZeroU32,
    /// An entry that is refused takes at least this long, and up to 50 ms longer at random.
    pub refusal_time: Span,
    /// Bytes per second that a relay forwards from each side.
    pub rate_max: Bytes,
    /// No relay lists a session and no tool renews its ticket for this time: it is over. Longer than the two minutes for
    /// which the tools try to meet again, because they may do so at another relay.
    pub lease: Span,
    /// From the entry until both sides are at a relay.
    pub joining_max: Span,
    /// From both sides at the relay until the proof.
    pub proving_max: Span,
    /// A session that a tool ended at its relay waits this long for a tool to say why.
    pub relay_grace: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            wrong_per_5_minutes_max: nonzero(5),
            wrong_per_hour_max: nonzero(20),
            wrong_per_day_max: nonzero(50),
            wrong_per_48_factor: nonzero(4),
            wrong_soft_max: nonzero(60),
            wrong_hard_max: nonzero(300),
            refusal_time: Span::new(Duration::from_millis(250)),
            rate_max: Bytes::mib(8),
            lease: Span::secs(150),
            joining_max: Span::secs(90),
            proving_max: Span::secs(40),
            relay_grace: Span::secs(5),
        }
    }
}

impl Config {
    /// A heartbeat writes down that a session lives when this time has passed since the last writing.
    pub fn seen_every(&self) -> Duration {
        self.lease.get().checked_div(3).unwrap_or_default()
    }

    /// A session of which nothing was written for this time was heard of by nobody for the lease.
    pub fn silence_max(&self) -> Duration {
        self.lease.get().saturating_add(self.seen_every())
    }
}

const fn nonzero(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

/// Routes of this slice.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(enter::enter))
        .routes(routes!(cancel::cancel))
        .routes(routes!(api::proved))
        .routes(routes!(api::consent))
        .routes(routes!(api::device))
        .routes(routes!(renew::renew))
        .routes(routes!(api::end))
        .routes(routes!(api::sessions))
        .routes(routes!(case_api::read, case_api::write))
        .routes(routes!(case_api::categories))
}
