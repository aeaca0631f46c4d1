//! The hash of a row.

use sha2::{Digest as _, Sha256};

/// `prev_hash` of the first row.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Begins every hashed text, so that the hash of a row is nothing else's hash.
const DOMAIN: &[u8] = b"uketsuke-audit-v1";

/// One row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// 1, 2, 3 … without a gap.
    pub seq: i64,
    /// When it happened.
    pub at_ms: i64,
    /// Whose it is.
    pub company_id: Option<String>,
    /// Who did it.
    pub actor: String,
    /// What happened.
    pub event: String,
    /// The reception it is about.
    pub reception_id: Option<String>,
    /// The session it is about.
    pub session_id: Option<String>,
    /// More facts, as JSON text.
    pub detail: String,
    /// [`Row::hash`] of the row before.
    pub prev_hash: String,
    /// SHA-256 over everything above, hexadecimal.
    pub hash: String,
    /// Whether the content went with its company; then the hash is of what was there.
    pub erased: bool,
}

impl Row {
    /// What [`Row::hash`] must be.
    ///
    /// Canonical form: the domain text, then every column in order. A number is 8 bytes big-endian; a text is its
    /// length in 8 bytes big-endian and its bytes; an absent text is the single byte 0 and a present one begins with 1.
    pub fn computed_hash(&self) -> String {
        let mut hasher = Sha256::new_with_prefix(DOMAIN);
        hasher.update(self.seq.to_be_bytes());
        self.content(|bytes| hasher.update(bytes));
        text(Some(&self.prev_hash), &mut |bytes| hasher.update(bytes));
        hex::encode(hasher.finalize())
    }

    /// What is hashed before [`Row::seq`], between it and [`Row::prev_hash`], and before the latter's bytes, for an engine
    /// that hashes by itself and knows those two. Every hash is as long as the one that is in the row now.
    pub(super) fn hashed_parts(&self) -> [Vec<u8>; 3] {
        let (mut content, mut before_prev) = (Vec::new(), Vec::new());
        self.content(|bytes| content.extend_from_slice(bytes));
        text(Some(&self.prev_hash), &mut |bytes| before_prev.extend_from_slice(bytes));
        before_prev.truncate(before_prev.len().saturating_sub(self.prev_hash.len()));
        [DOMAIN.to_vec(), content, before_prev]
    }

    /// The columns between the number and the hash of the row before.
    fn content(&self, mut update: impl FnMut(&[u8])) {
        update(&self.at_ms.to_be_bytes());
        let texts = [
            self.company_id.as_deref(),
            Some(self.actor.as_str()),
            Some(self.event.as_str()),
            self.reception_id.as_deref(),
            self.session_id.as_deref(),
            Some(self.detail.as_str()),
        ];
        for column in texts {
            text(column, &mut update);
        }
    }
}

fn text(text: Option<&str>, update: &mut impl FnMut(&[u8])) {
    match text {
        None => update(&[0]),
        Some(text) => {
            update(&[1]);
            update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            update(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            seq: 1,
            at_ms: 1_790_000_000_000,
            company_id: Some("00112233445566778899aabbccddeeff".to_owned()),
            actor: "manager".to_owned(),
            event: "company.created".to_owned(),
            reception_id: None,
            session_id: None,
            detail: "{}".to_owned(),
            prev_hash: GENESIS.to_owned(),
            hash: String::new(),
            erased: false,
        }
    }

    #[test]
    fn the_hash_of_a_row_never_changes_between_versions() {
        assert_eq!(row().computed_hash(), "4200de33b5543b1bbaa2f24b3f16c389238c329c9467690fac415feca5801e00");
    }

    #[test]
    fn a_text_that_moves_to_the_next_column_changes_the_hash() {
        let moved = Row { actor: "manag".to_owned(), event: "ercompany.created".to_owned(), ..row() };
        let absent = Row { company_id: None, ..row() };
        let empty = Row { company_id: Some(String::new()), ..row() };

        assert_ne!(moved.computed_hash(), row().computed_hash());
        assert_ne!(absent.computed_hash(), empty.computed_hash());
    }
}
