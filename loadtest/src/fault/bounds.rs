//! Tickets that no relay may take, shown to a relay that runs: out of their time, for another relay, of another key, or
//! with the proof of another tool.
//!
//! A ticket without a fault is shown first and must be taken, so that the refusals mean something.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use link::{
    join::{Admission, JoinError, join},
    tcp,
    tls::Pin,
};
use ops::clock::Clock;
use proto::{
    close::CloseReason,
    id::SessionId,
    limits,
    role::Role,
    ticket::{ProofKey, SigningKey, Ticket, TicketRelay, proof_key_hash},
};
use rand_core::{OsRng, RngCore as _};
use tokio::time::Instant;

use super::relays::{Relay, Relays};
use crate::desktop::pause;

/// A relay that has been shown too many bad tickets takes no more for a moment; this long it is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two times.
const LOOK: Duration = Duration::from_millis(200);
/// Beyond what a bound allows, milliseconds.
const BEYOND_MS: i64 = 5_000;

/// A ticket with a fault.
struct Bad {
    what: &'static str,
    /// Puts the fault in; the second is the time.
    spoil: fn(&mut Ticket, i64),
    /// Signed by somebody else under the same name.
    is_forged: bool,
    /// Shown by a tool with another key.
    is_stolen: bool,
    /// Why it must be refused.
    reason: CloseReason,
}

const BAD: [Bad; 6] = [
    Bad {
        what: "a ticket that has run out",
        spoil: |ticket, now_ms| {
            ticket.issued_at_ms = now_ms - span_ms(limits::TICKET_LIFE);
            ticket.expires_at_ms = now_ms - span_ms(limits::CLOCK_SKEW_MAX) - BEYOND_MS;
        },
        is_forged: false,
        is_stolen: false,
        reason: CloseReason::TicketExpired,
    },
    Bad {
        what: "a ticket of the future",
        spoil: |ticket, now_ms| ticket.issued_at_ms = now_ms + span_ms(limits::CLOCK_SKEW_MAX) + BEYOND_MS,
        is_forged: false,
        is_stolen: false,
        reason: CloseReason::TicketExpired,
    },
    Bad {
        what: "a ticket of a session that is over",
        spoil: |ticket, now_ms| ticket.hard_end_at_ms = now_ms - BEYOND_MS,
        is_forged: false,
        is_stolen: false,
        reason: CloseReason::TicketExpired,
    },
    Bad {
        what: "a ticket for another relay",
        spoil: |ticket, _now_ms| ticket.relays.iter_mut().for_each(|relay| relay.spki = "00".repeat(32)),
        is_forged: false,
        is_stolen: false,
        reason: CloseReason::TicketElsewhere,
    },
    Bad {
        what: "a ticket of another signer",
        spoil: |_ticket, _now_ms| {},
        is_forged: true,
        is_stolen: false,
        reason: CloseReason::TicketUnknown,
    },
    Bad {
        what: "a ticket of another tool",
        spoil: |_ticket, _now_ms| {},
        is_forged: false,
        is_stolen: true,
        reason: CloseReason::ProofWrong,
    },
];

/// Shows every bad ticket to every relay that runs: how many were shown, and what was wrong with the answers.
///
/// # Errors
/// When a relay does not answer, or takes no good ticket.
pub async fn show_bad_tickets(relays: &Relays) -> Result<(u64, Vec<String>)> {
    let mut seed = [0; 32];
    OsRng.fill_bytes(&mut seed);
    let stranger = SigningKey::from_seed(relays.key().verifying_key().key_id(), seed)?;
    let (mut shown, mut broken) = (0, Vec::new());
    for relay in relays.all().iter().filter(|relay| relay.process_id() != 0) {
        let (good, key) = ticket(relay);
        let answer = show(relay, &good.sign(relays.key())?, &key).await?;
        ensure!(answer.is_none(), "{} refused a good ticket: {answer:?}", relay.name());
        for bad in &BAD {
            let (mut ticket, mut key) = ticket(relay);
            (bad.spoil)(&mut ticket, Clock::system().now_ms());
            if bad.is_stolen {
                key = ProofKey::random(&mut OsRng);
            }
            let text = ticket.sign(if bad.is_forged { &stranger } else { relays.key() })?;
            let answer = show(relay, &text, &key).await?;
            shown += 1;
            if answer != Some(bad.reason) {
                broken.push(format!("{} answered {} with {answer:?}", relay.name(), bad.what));
            }
        }
    }
    Ok((shown, broken))
}

/// A ticket for this relay without a fault, and the key of its tool.
fn ticket(relay: &Relay) -> (Ticket, ProofKey) {
    let mut id = [0; 16];
    OsRng.fill_bytes(&mut id);
    let (key, now_ms) = (ProofKey::random(&mut OsRng), Clock::system().now_ms());
    let ticket = Ticket {
        session_id: SessionId::from_bytes(id),
        role: Role::Customer,
        proof_key_hash: proof_key_hash(&key.public()),
        relays: vec![TicketRelay { relay_id: relay.id, spki: relay.spki() }],
        rate_max: u64::from(u32::MAX),
        issued_at_ms: now_ms,
        expires_at_ms: now_ms + span_ms(limits::TICKET_LIFE),
        hard_end_at_ms: now_ms + span_ms(limits::SESSION_LIFE_MAX),
    };
    (ticket, key)
}

/// Why the relay refuses this ticket; `None` when it takes it.
async fn show(relay: &Relay, ticket: &str, proof_key: &ProofKey) -> Result<Option<CloseReason>> {
    let pin = Pin::from_hex(&relay.spki())?;
    let until = Instant::now() + PATIENCE;
    loop {
        let mut connection = tcp::connect_any(relay.listen(), "localhost", pin).await?;
        let answer = join(&mut connection, &Admission { ticket, proof_key, generation: 1 }).await;
        match answer {
            Ok(_peer_present) => return Ok(None),
            Err(JoinError::Refused(CloseReason::Overloaded)) if Instant::now() < until => pause(LOOK).await,
            Err(JoinError::Refused(reason)) => return Ok(Some(reason)),
            Err(error) => return Err(error).with_context(|| format!("{} has no word for a ticket", relay.name())),
        }
    }
}

const fn span_ms(span: Duration) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "hours at most")]
    let ms = span.as_millis() as i64;
    ms
}
