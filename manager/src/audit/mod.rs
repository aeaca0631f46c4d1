//! The audit record: what happened, in one chain that cannot be changed unseen.
//!
//! Guarantees: an event is stored in the same transaction as the change it tells of; each row holds the hash of the
//! row before it, and the head is locked while a row is appended, so there is exactly one chain on both engines.
//! It does not prevent a change by somebody who can write the whole database: [`verify`] finds it, unless that
//! somebody also computed every later hash and the head anew; then the heads that [`witness`] told to another machine
//! do not match.

pub mod change;
pub mod erased;
pub mod list;
pub mod page;
pub mod purge;
pub mod store;
pub mod told;
pub mod verify;
pub mod witness;

mod chain;
mod file;

use std::fmt;

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId, ReceptionId, RelayId, SessionId, TokenId},
};

pub use self::{
    chain::Row,
    store::{Head, append, append_both},
};

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// When.
    pub at_ms: UnixMillis,
    /// Whose it is; `None` for events of the whole system, and for strangers.
    pub company: Option<CompanyId>,
    /// Who did it.
    pub actor: Actor,
    /// `noun.verb`, for example `reception.entered`; the same word as in logs and metrics.
    pub event: &'static str,
    /// The reception it is about.
    pub reception: Option<ReceptionId>,
    /// The session it is about.
    pub session: Option<SessionId>,
    /// More facts, a JSON object. Never a number, ticket, key, password, token or typed text.
    pub detail: serde_json::Value,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The manager itself: a sweep, an expiry.
    Manager,
    /// Somebody at the command line of the server.
    CommandLine,
    /// An operator who is logged in, or whose account was tried.
    Operator(OperatorId),
    /// Another program with a token of the API.
    Token(TokenId),
    /// A system administrator.
    Admin(OperatorId),
    /// The customer of a session.
    Customer(SessionId),
    /// A relay.
    Relay(RelayId),
    /// Somebody who is not known.
    Stranger,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager => f.write_str("manager"),
            Self::CommandLine => f.write_str("command_line"),
            Self::Operator(id) => write!(f, "operator:{id}"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Admin(id) => write!(f, "admin:{id}"),
            Self::Customer(session_id) => write!(f, "customer:{session_id}"),
            Self::Relay(id) => write!(f, "relay:{id}"),
            Self::Stranger => f.write_str("stranger"),
        }
    }
}
