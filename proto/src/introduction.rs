//! The introduction: what the manager says to each tool about the other, signed.
//!
//! Both tools hold the same text; its hash is an identity in the key exchange (`proto/src/seal/handshake.rs`), so two
//! tools that were told different names or ceilings never agree on a key.
//! Form: PASETO v4.public like a ticket, implicit assertion [`ASSERTION`]; the claims are [`Introduction`].

use serde::{Deserialize, Serialize};

use crate::{
    grant::GrantKind,
    id::SessionId,
    limits,
    ticket::{SigningKey, TicketError, VerifyingKey, verify_token},
};

/// Bound into every signature, so that an introduction is never a ticket.
pub const ASSERTION: &[u8] = b"uketsuke-introduction-v1";

/// Who meets whom, and the most that may be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The session.
    pub session_id: SessionId,
    /// Name of the company.
    pub company_name: String,
    /// Name of the operator.
    pub operator_name: String,
    /// Why support is given; may be empty.
    pub reason: String,
    /// The kinds the customer may grant; the customer's tool grants nothing else.
    pub ceiling: Vec<GrantKind>,
}

impl Introduction {
    /// Signs the introduction.
    ///
    /// # Errors
    /// [`TicketError::Malformed`] when it would be longer than [`limits::INTRODUCTION_LEN_MAX`].
    pub fn sign(&self, key: &SigningKey) -> Result<String, TicketError> {
        let text = key.sign(self, ASSERTION)?;
        if text.len() <= limits::INTRODUCTION_LEN_MAX { Ok(text) } else { Err(TicketError::Malformed) }
    }

    /// Checks the signature and reads the claims.
    ///
    /// # Errors
    /// See [`TicketError`].
    pub fn verify(text: &str, keys: &[VerifyingKey]) -> Result<Self, TicketError> {
        if limits::INTRODUCTION_LEN_MAX < text.len() {
            return Err(TicketError::Malformed);
        }
        verify_token(text, keys, ASSERTION)
    }

    /// Reads the claims without checking the signature, as the tools do: they trust the manager's TLS for the names,
    /// and the key exchange for the equality of both texts.
    ///
    /// # Errors
    /// [`TicketError::Malformed`].
    pub fn read(text: &str) -> Result<Self, TicketError> {
        use pasetors::{Public, token::UntrustedToken, version4::V4};

        if limits::INTRODUCTION_LEN_MAX < text.len() {
            return Err(TicketError::Malformed);
        }
        let token = UntrustedToken::<Public, V4>::try_from(text).map_err(|_bad_form| TicketError::Malformed)?;
        serde_json::from_slice(token.untrusted_payload()).map_err(|_bad_claims| TicketError::Malformed)
    }
}
