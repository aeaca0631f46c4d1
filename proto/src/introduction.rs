//! The introduction: what the manager says to each tool about the other, signed.
//!
//! Both tools hold the same text; its hash is an identity in the key exchange (`proto/src/seal/handshake.rs`), so two
//! tools that were told different names or ceilings never agree on a key.
//! Form: PASETO v4.public like a ticket, implicit assertion [`ASSERTION`]; the claims are [`Introduction`].

use serde::{Deserialize, Deserializer, Serialize};

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
    /// The kinds the customer may grant; the customer's tool grants nothing else. A kind that this version does not
    /// know is left out when it is read, which only narrows.
    #[serde(deserialize_with = "known_kinds")]
    pub ceiling: Vec<GrantKind>,
}

impl Introduction {
    /// Signs the introduction.
    ///
    /// # Errors
    /// [`TicketError::Malformed`] when it would be longer than [`limits::INTRODUCTION_LEN_MAX`]. Two names of 64
    /// characters and a reason of [`limits::REASON_LEN_MAX`] bytes always fit, unless they are full of control
    /// characters, which JSON writes with six bytes each.
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

fn known_kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<GrantKind>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    Ok(names.iter().filter_map(|name| GrantKind::from_name(name)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed("key-2026-01", [7; 32]).unwrap()
    }

    fn introduction() -> Introduction {
        Introduction {
            session_id: SessionId::from_bytes([1; 16]),
            company_name: "みどり電機サポート".to_owned(),
            operator_name: "佐藤 花子".to_owned(),
            reason: String::new(),
            ceiling: GrantKind::ALL.to_vec(),
        }
    }

    #[test]
    fn both_readers_see_what_was_signed() {
        let text = introduction().sign(&key()).unwrap();
        assert_eq!(Introduction::verify(&text, &[key().verifying_key()]), Ok(introduction()));
        assert_eq!(Introduction::read(&text), Ok(introduction()));
    }

    #[test]
    fn the_longest_names_and_the_longest_reason_fit() {
        let longest = Introduction {
            company_name: "\u{2000B}".repeat(64),
            operator_name: "\u{2000B}".repeat(64),
            reason: "あ".repeat(limits::REASON_LEN_MAX / 3),
            ..introduction()
        };
        let text = longest.sign(&key()).unwrap();
        assert_eq!(Introduction::read(&text), Ok(longest));
        let too_long = Introduction { reason: "x".repeat(limits::INTRODUCTION_LEN_MAX), ..introduction() };
        assert_eq!(too_long.sign(&key()), Err(TicketError::Malformed));
    }

    #[test]
    fn a_kind_of_a_newer_manager_is_left_out() {
        #[derive(Serialize)]
        struct Newer {
            session_id: SessionId,
            company_name: &'static str,
            operator_name: &'static str,
            reason: &'static str,
            ceiling: [&'static str; 3],
            more: u8,
        }
        let newer = Newer {
            session_id: SessionId::from_bytes([1; 16]),
            company_name: "c",
            operator_name: "o",
            reason: "",
            ceiling: ["view", "teleport", "control"],
            more: 1,
        };
        let text = key().sign(&newer, ASSERTION).unwrap();
        assert_eq!(Introduction::read(&text).unwrap().ceiling, [GrantKind::View, GrantKind::Control]);
    }

    #[test]
    fn an_introduction_that_is_too_long_is_not_even_looked_at() {
        let text = format!("{}{}", introduction().sign(&key()).unwrap(), "A".repeat(limits::INTRODUCTION_LEN_MAX));
        assert_eq!(Introduction::read(&text), Err(TicketError::Malformed));
        assert_eq!(Introduction::verify(&text, &[key().verifying_key()]), Err(TicketError::Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_an_introduction_or_an_error(text in "(v4\\.public\\.)?[A-Za-z0-9_-]{0,200}(\\.[A-Za-z0-9_-]{0,20})?") {
            prop_assert!(Introduction::read(&text).is_err());
        }

        #[test]
        fn any_names_are_read_as_they_were_signed(company_name in ".{0,40}", operator_name in ".{0,40}", reason in ".{0,40}") {
            let introduction = Introduction { company_name, operator_name, reason, ..introduction() };
            let text = introduction.sign(&key()).unwrap();
            prop_assert_eq!(Introduction::read(&text), Ok(introduction));
        }
    }
}
