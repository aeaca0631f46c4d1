//! Tickets of a session: the first ones of an entry, and fresh ones.

use proto::{
    api::{UnixMillis, reception::RelayAddress},
    limits,
    role::Role,
    ticket::{Ticket, TicketError, TicketRelay},
};

use super::state::Session;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    throttle::millis,
};

/// A ticket with what its bearer must know of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The text that relays check.
    pub ticket: String,
    /// Its relays, in the same order.
    pub relays: Vec<RelayAddress>,
    /// When it stops admitting.
    pub expires_at_ms: UnixMillis,
}

/// Signs one side's ticket, with as many of the relays as fit its length.
///
/// # Errors
/// `Internal` when it cannot be signed.
pub fn issue(
    app: &App,
    session: &Session,
    role: Role,
    proof_key_hash: &str,
    mut relays: Vec<RelayAddress>,
    now_ms: UnixMillis,
) -> ApiResult<Issued> {
    let expires_at_ms = now_ms.saturating_add(millis(limits::TICKET_LIFE)).min(session.hard_end_at_ms);
    loop {
        let named = |relay: &RelayAddress| TicketRelay { relay_id: relay.relay_id, spki: relay.spki.clone() };
        let ticket = Ticket {
            session_id: session.id,
            role,
            proof_key_hash: proof_key_hash.to_owned(),
            relays: relays.iter().map(named).collect(),
            rate_max: app.config.session.rate_max.get(),
            issued_at_ms: now_ms,
            expires_at_ms,
            hard_end_at_ms: session.hard_end_at_ms,
        };
        match ticket.sign(&app.signing_key) {
            Ok(ticket) => return Ok(Issued { ticket, relays, expires_at_ms }),
            Err(TicketError::Malformed) if 1 < relays.len() => drop(relays.pop()),
            Err(error) => return Err(ApiError::internal(error)),
        }
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut issued = f.debug_struct("Issued");
        issued.field("relays", &self.relays).field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}
