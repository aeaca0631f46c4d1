//! The first frame in: a hello with a ticket, checked; out comes a ticket that admits, or a reason.
//!
//! Nothing of a stranger is believed before the manager's signature and the proof of possession over this very TLS
//! connection hold. A relay without a key admits nobody.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use link::framed::{ReadError, WireFrame};
use proto::{
    api::UnixMillis,
    close::CloseReason,
    frame::FrameType,
    hello::{Hello, HelloError, proof_text},
    id::SessionId,
    limits::TICKET_LEN_MAX,
    ticket::{Ticket, TicketError, VerifyingKey, proof_holds},
};
use tokio::time::timeout;

use crate::transport::Reader;

/// Longest hello: version 1 + key 32 + generation 4 + signature 64 + ticket.
pub const HELLO_LEN_MAX: usize = 1 + 32 + 4 + 64 + TICKET_LEN_MAX;

/// Keys and revocations, as the manager told them last; they stay when the manager is away.
#[derive(Debug)]
pub struct Keys {
    fixed: Vec<VerifyingKey>,
    told: RwLock<Arc<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    keys: Vec<VerifyingKey>,
    revoked: HashSet<SessionId>,
}

/// What a hello is checked against.
pub struct Expected<'a> {
    /// What only the two ends of this connection know.
    pub exporter: &'a [u8; 32],
    /// Whether this is the SHA-256, hexadecimal, of a public key of this relay: how a ticket names it. After a change of
    /// keys it has two for a while.
    pub is_own: &'a (dyn Fn(&str) -> bool + Sync),
    /// The time.
    pub now_ms: UnixMillis,
}

impl Keys {
    /// Only the keys of the configuration, until the manager tells more.
    pub fn new(fixed: Vec<VerifyingKey>) -> Self {
        let told = Told { keys: fixed.clone(), revoked: HashSet::new() };
        Self { fixed, told: RwLock::new(Arc::new(told)) }
    }

    /// Takes what the manager told; says whether other keys count now.
    pub fn tell(&self, mut keys: Vec<VerifyingKey>, revoked: impl IntoIterator<Item = SessionId>) -> bool {
        keys.extend(self.fixed.iter().cloned());
        let told = Arc::new(Told { keys, revoked: revoked.into_iter().collect() });
        let mut now = self.told.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, told);
        before.keys != now.keys
    }

    /// Whether any ticket could be valid.
    pub fn has_any(&self) -> bool {
        !self.told().keys.is_empty()
    }

    /// Checks a hello.
    ///
    /// # Errors
    /// The reason to refuse.
    pub fn admit(&self, hello: &Hello, expected: &Expected<'_>) -> Result<Ticket, CloseReason> {
        let told = self.told();
        let ticket = Ticket::verify(&hello.ticket, &told.keys, expected.now_ms).map_err(|error| match error {
            TicketError::Malformed | TicketError::UnknownKey | TicketError::Signature => CloseReason::TicketUnknown,
            TicketError::Time => CloseReason::TicketExpired,
        })?;
        if !ticket.relays.iter().any(|relay| (expected.is_own)(&relay.spki)) {
            return Err(CloseReason::TicketElsewhere);
        }
        let text = proof_text(expected.exporter, &hello.ticket, hello.generation);
        if !proof_holds(&ticket, &hello.proof_key, &text, &hello.signature) {
            return Err(CloseReason::ProofWrong);
        }
        if told.revoked.contains(&ticket.session_id) {
            return Err(CloseReason::Revoked);
        }
        Ok(ticket)
    }

    fn told(&self) -> Arc<Told> {
        Arc::clone(&self.told.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits for the hello; a longer frame is refused by its header.
///
/// # Errors
/// The reason to refuse.
pub(crate) async fn hear(reader: &mut Reader, patience: Duration) -> Result<Hello, CloseReason> {
    reader.set_payload_max(HELLO_LEN_MAX);
    let frame = match timeout(patience, reader.next()).await {
        Err(_late) => return Err(CloseReason::HelloTimeout),
        Ok(Ok(Some(frame))) => frame,
        Ok(Ok(None) | Err(ReadError::Broken(_))) => return Err(CloseReason::TransportLost),
        Ok(Err(ReadError::Malformed(_))) => return Err(CloseReason::Malformed),
    };
    let hello = understand(&frame)?;
    reader.set_payload_max(proto::limits::FRAME_PAYLOAD_MAX);
    Ok(hello)
}

/// Reads the first frame of a connection.
///
/// # Errors
/// The reason to refuse.
pub fn understand(frame: &WireFrame) -> Result<Hello, CloseReason> {
    if frame.header.kind != FrameType::Hello {
        return Err(CloseReason::Malformed);
    }
    Hello::parse(&frame.payload()).map_err(|error| match error {
        HelloError::Version(_) => CloseReason::WrongVersion,
        HelloError::Malformed => CloseReason::Malformed,
    })
}

#[cfg(test)]
mod tests {
    use proto::{
        id::RelayId,
        role::Role,
        ticket::{ProofKey, SigningKey, TicketRelay, proof_key_hash},
    };

    use super::*;

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);
    const EXPORTER: [u8; 32] = [3; 32];
    const EXPECTED: Expected<'_> = Expected { exporter: &EXPORTER, is_own: &|spki| spki == "aa", now_ms: 1_000 };

    #[test]
    fn a_relay_without_a_key_admits_nobody_until_the_manager_tells_one() {
        let (hello, key) = (hello(), key());
        let keys = Keys::new(Vec::new());

        assert!(!keys.has_any());
        assert_eq!(keys.admit(&hello, &EXPECTED).unwrap_err(), CloseReason::TicketUnknown);
        assert!(keys.tell(vec![key.verifying_key()], []), "other keys count now");
        assert!(!keys.tell(vec![key.verifying_key()], []), "the same ones do");

        assert_eq!(keys.admit(&hello, &EXPECTED).unwrap().session_id, SESSION);
    }

    #[test]
    fn a_revoked_session_is_not_admitted_for_as_long_as_the_manager_says_so() {
        let (hello, key) = (hello(), key());
        let keys = Keys::new(vec![key.verifying_key()]);

        let _same = keys.tell(Vec::new(), [SESSION]);
        assert_eq!(keys.admit(&hello, &EXPECTED).unwrap_err(), CloseReason::Revoked);

        let _same = keys.tell(Vec::new(), []);
        assert!(keys.admit(&hello, &EXPECTED).is_ok(), "keys of the configuration stay");
    }

    #[test]
    fn a_proof_over_another_connection_or_generation_is_wrong() {
        let keys = Keys::new(vec![key().verifying_key()]);
        let other = Expected { exporter: &[4; 32], ..EXPECTED };
        let mut later = hello();
        later.generation += 1;

        assert_eq!(keys.admit(&hello(), &other).unwrap_err(), CloseReason::ProofWrong);
        assert_eq!(keys.admit(&later, &EXPECTED).unwrap_err(), CloseReason::ProofWrong);
    }

    fn key() -> SigningKey {
        SigningKey::from_seed("test", [7; 32]).unwrap()
    }

    fn hello() -> Hello {
        let proof_key = ProofKey::random(&mut rand_core::OsRng);
        let ticket = Ticket {
            session_id: SESSION,
            role: Role::Customer,
            proof_key_hash: proof_key_hash(&proof_key.public()),
            relays: vec![TicketRelay { relay_id: RelayId::from_bytes([9; 16]), spki: "aa".to_owned() }],
            rate_max: 1,
            issued_at_ms: 1_000,
            expires_at_ms: 2_000,
            hard_end_at_ms: 2_000,
        };
        let ticket = ticket.sign(&key()).unwrap();
        let signature = proof_key.sign(&proof_text(&EXPORTER, &ticket, 1));
        Hello { proof_key: proof_key.public(), generation: 1, signature, ticket }
    }
}
