//! Reception numbers: issue, enter, extend, cancel, and the operator's events.

use serde::{Deserialize, Serialize};

use super::UnixMillis;
use crate::{
    close::CloseReason,
    id::{ReceptionId, RelayId, SessionId},
    number::Locator,
    ticket::{self, ProofKey},
};

/// `POST` (operator): a new reception, [`IssueRequest`] → [`ReceptionBody`]. Header `Idempotency-Key`, ≤ 64 characters.
/// `GET` (operator): own open receptions, [`ReceptionList`].
pub const RECEPTIONS: &str = "/v1/receptions";
/// `POST` (operator): makes a number unusable. → [`ReceptionBody`]
pub const RECEPTION_CANCEL: &str = "/v1/receptions/{reception_id}/cancel";
/// `POST` (operator): gives a number its full life again, counted from now. → [`ReceptionBody`]
pub const RECEPTION_EXTEND: &str = "/v1/receptions/{reception_id}/extend";
/// `POST` (anybody): a customer typed a number, [`EnterRequest`] → [`EnterAnswer`].
pub const ENTER: &str = "/v1/enter";
/// `GET` (operator): Server-Sent Events, [`Event`] as JSON data, resumable by `Last-Event-ID`.
pub const EVENTS: &str = "/v1/events";

/// Body of `POST` [`RECEPTIONS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IssueRequest {
    /// Public key of the operator tool's proof key for this reception: 64 hexadecimal digits (Ed25519).
    pub proof_key: String,
    /// Why support is given; shown to the customer. At most [`crate::limits::REASON_LEN_MAX`] bytes, may be empty.
    #[serde(default)]
    pub reason: String,
    /// Life of the number in seconds; [`crate::limits::RECEPTION_LIFE`] when absent.
    #[serde(default)]
    pub life_secs: Option<u64>,
    /// Takes the number that a device management started, instead of a new one; the tool was told all ten digits. Its
    /// life, and its reason when this one is empty, are those of the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<Locator>,
}

/// A reception as its operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceptionBody {
    /// Its id.
    pub reception_id: ReceptionId,
    /// The manager's six digits; the tool adds its four.
    pub locator: Locator,
    /// Where it stands.
    pub state: ReceptionState,
    /// Shown to the customer.
    pub reason: String,
    /// When it was issued.
    pub issued_at_ms: UnixMillis,
    /// When it stops being usable.
    pub expires_at_ms: UnixMillis,
    /// Entries that left before the secret was proved.
    pub unproved_count: u32,
}

/// Answer of `GET` [`RECEPTIONS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceptionList {
    /// Newest first, at most 100.
    pub receptions: Vec<ReceptionBody>,
}

/// States of a reception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceptionState {
    /// May be entered.
    Issued,
    /// A customer is proving the secret.
    Entered,
    /// The secret was proved; the number is used up.
    Proved,
    /// Its time is over.
    Expired,
    /// The operator cancelled it.
    Cancelled,
    /// Too many entries did not prove the secret.
    Burned,
}

/// Body of [`ENTER`]. Prints without its signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnterRequest {
    /// The first six digits.
    pub locator: Locator,
    /// Public key of the client tool's proof key: 64 hexadecimal digits (Ed25519).
    pub proof_key: String,
    /// By the proof key over [`entry_text`]: 128 hexadecimal digits. With it an entry whose answer was lost can be asked
    /// for again; a tool of before has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl EnterRequest {
    /// Enters a number with a proof key; asked again while its session is joining, it is the same entry.
    pub fn new(locator: Locator, proof_key: &ProofKey) -> Self {
        let signature = proof_key.sign(&entry_text(locator, &proof_key.public()));
        Self { locator, proof_key: proof_key.public_hex(), signature: Some(hex::encode(signature)) }
    }

    /// Whether whoever asks has the private half of the proof key.
    pub fn is_signed(&self) -> bool {
        let (mut proof_key, mut signature) = ([0; 32], [0; 64]);
        let given = self.signature.as_ref().is_some_and(|text| hex::decode_to_slice(text, &mut signature).is_ok());
        given
            && hex::decode_to_slice(&self.proof_key, &mut proof_key).is_ok()
            && ticket::signed_by(&proof_key, &entry_text(self.locator, &proof_key), &signature)
    }
}

impl std::fmt::Debug for EnterRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut request = f.debug_struct("EnterRequest");
        request.field("locator", &self.locator).field("proof_key", &self.proof_key).finish_non_exhaustive()
    }
}

/// What the proof key signs to enter a number.
pub fn entry_text(locator: Locator, proof_key: &[u8; 32]) -> Vec<u8> {
    [b"uketsuke enter v1".as_slice(), locator.as_str().as_bytes(), proof_key].concat()
}

/// Answer of [`ENTER`]. Prints without its token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnterAnswer {
    /// How to meet the operator.
    pub pairing: Pairing,
    /// Bearer token for the customer's calls about this session, 43 characters.
    pub token: String,
}

impl std::fmt::Debug for EnterAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnterAnswer").field("pairing", &self.pairing).finish_non_exhaustive()
    }
}

/// What a tool needs to meet the other one at a relay. Prints without its ticket and its names.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pairing {
    /// The session.
    pub session_id: SessionId,
    /// Signed names and ceiling; bound into the key exchange byte by byte (`proto/src/introduction.rs`).
    pub introduction: String,
    /// Admission to the relays (`proto/src/ticket.rs`).
    pub ticket: String,
    /// The relays of the ticket in the same order, with their addresses.
    pub relays: Vec<RelayAddress>,
}

impl std::fmt::Debug for Pairing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut pairing = f.debug_struct("Pairing");
        pairing.field("session_id", &self.session_id).field("relays", &self.relays).finish_non_exhaustive()
    }
}

/// Where a relay is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RelayAddress {
    /// Its id.
    pub relay_id: RelayId,
    /// Host name or address, and port: `relay1.example.jp:443`.
    pub address: String,
    /// SHA-256 of the certificate's public key (SPKI), 64 hexadecimal digits; the only certificate a tool accepts.
    pub spki: String,
}

/// What an operator is told, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A customer entered a number: meet at the relay.
    Entered {
        /// Which reception.
        reception_id: ReceptionId,
        /// How to meet.
        pairing: Pairing,
    },
    /// The secret was proved; the number is used up.
    Proved {
        /// Which reception.
        reception_id: ReceptionId,
        /// Which session.
        session_id: SessionId,
    },
    /// An entry left unproved; the number may be entered again.
    Reopened {
        /// Which reception.
        reception_id: ReceptionId,
        /// Which session ended.
        session_id: SessionId,
        /// Entries that left so far.
        unproved_count: u32,
    },
    /// The number is burned: too many entries did not know the secret.
    Burned {
        /// Which reception.
        reception_id: ReceptionId,
    },
    /// The number's time is over.
    Expired {
        /// Which reception.
        reception_id: ReceptionId,
    },
    /// The number was cancelled.
    Cancelled {
        /// Which reception.
        reception_id: ReceptionId,
    },
    /// A session of this operator ended.
    Ended {
        /// Which session.
        session_id: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// An event that this version does not know; never sent.
    #[serde(other)]
    Unknown,
}
