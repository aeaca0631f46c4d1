//! Webhooks: other programs of a company are told what happens to its numbers and sessions.
//!
//! Guarantees: a call is stored in the transaction of the event it tells of, so there is none without the event and no
//! event without its call; two managers never make one call at the same time; each is made at least once, every time
//! with the same id, for a day; one program that is slow or away holds up no other. While the whole service is halted
//! none is made, and none is given up or forgotten for that: they are made once it is lifted. A call says which event
//! it was, of which number and session, and when: what else there is to know is asked of the API by whoever may. It is
//! signed, so that nobody else can make it up. Source of headers and signature: Standard Webhooks 1.0.
//! Only public addresses are called, and those that the configuration names: a company cannot let the manager knock at
//! doors behind it.

pub mod call;
pub mod config;
pub mod page;
pub mod store;
pub mod sweep;

mod metrics;

pub use self::{call::Caller, config::Config, metrics::WebhookMetrics, page::router, sweep::run};

/// What can be told, by the names of the operation log.
pub const EVENTS: [&str; 7] = [
    "reception.started",
    "reception.issued",
    "reception.entered",
    "reception.cancelled",
    "reception.expired",
    "session.connected",
    "session.ended",
];
/// What is told when somebody tries whether calls arrive.
pub const TEST: &str = "webhook.test";
/// Webhooks of a company at most.
pub const WEBHOOKS_MAX: i64 = 20;
