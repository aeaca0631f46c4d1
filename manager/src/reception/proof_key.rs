//! The public proof key of a tool, as the API carries it.

use proto::ticket;

use crate::error::{ApiError, ApiResult};

/// An Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicProofKey([u8; 32]);

impl PublicProofKey {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// `BadRequest` that names the field.
    pub fn parse(text: &str) -> ApiResult<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_not_hex| ApiError::bad_request("proof_key must have 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }

    /// The value of the database column.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// What a ticket names.
    pub fn hash(self) -> String {
        ticket::proof_key_hash(&self.0)
    }
}
