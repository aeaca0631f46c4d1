//! Relay ↔ manager: heartbeats and reports. The relay always calls; its bearer token comes from `relay enroll`.
//! Bodies are at most [`crate::limits::RELAY_BODY_MAX`] bytes.

use serde::{Deserialize, Serialize};

use super::UnixMillis;
use crate::{close::CloseReason, id::SessionId, role::Role};

/// `POST` (relay): [`HeartbeatRequest`] → [`HeartbeatAnswer`], every few seconds.
pub const HEARTBEAT: &str = "/v1/relay/heartbeat";
/// `POST` (relay): [`ReportRequest`] → [`ReportAnswer`]; repeated until acknowledged.
pub const REPORT: &str = "/v1/relay/report";

/// Body of [`HEARTBEAT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeartbeatRequest {
    /// Host name or address and port that tools shall dial.
    pub address: String,
    /// SHA-256 of the SPKI of the certificate in use, 64 hexadecimal digits.
    pub spki: String,
    /// Program version.
    pub version: String,
    /// Takes no new sessions.
    pub draining: bool,
    /// Sessions it would still take.
    pub free_sessions: u32,
    /// Sessions alive now; they keep their lease. At most [`crate::limits::HEARTBEAT_SESSIONS_MAX`].
    pub sessions: Vec<SessionId>,
}

/// Answer of [`HEARTBEAT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeartbeatAnswer {
    /// Keys whose tickets are valid.
    pub ticket_keys: Vec<TicketKey>,
    /// Sessions that must end, for as long as their tickets live.
    pub revoked: Vec<SessionId>,
    /// The manager's clock.
    pub now_ms: UnixMillis,
    /// Pause until the next heartbeat, in seconds.
    pub next_secs: u32,
}

/// A public key of the manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TicketKey {
    /// Name of the key, in the footer of the ticket.
    pub key_id: String,
    /// Ed25519 public key, 64 hexadecimal digits.
    pub public_key: String,
}

/// Body of [`REPORT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReportRequest {
    /// Random name of this run of the relay, 32 hexadecimal digits.
    pub boot: String,
    /// At most [`crate::limits::REPORT_EVENTS_MAX`] events, in order.
    pub events: Vec<ReportEvent>,
}

/// Something that happened at the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReportEvent {
    /// 1, 2, 3 … within one boot; the manager takes each once.
    pub seq: u64,
    /// Which session.
    pub session_id: SessionId,
    /// When, by the relay's clock.
    pub at_ms: UnixMillis,
    /// What.
    #[serde(flatten)]
    pub what: ReportWhat,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum ReportWhat {
    /// One side was admitted.
    Joined {
        /// Which.
        role: Role,
    },
    /// Both sides are present.
    Paired,
    /// The session is over at this relay; it goes on elsewhere unless the reason says that somebody ended it.
    Ended {
        /// Why.
        reason: CloseReason,
        /// Payload bytes from customer to operator.
        customer_bytes: u64,
        /// Payload bytes from operator to customer.
        operator_bytes: u64,
    },
}

/// Answer of [`REPORT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReportAnswer {
    /// Everything up to this number is stored.
    pub stored_seq: u64,
}
