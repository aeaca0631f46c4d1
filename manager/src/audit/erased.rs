//! Rows of the chain whose content went with their company: their hashes stay, so the chain holds, and a later row vouches
//! for exactly these.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::chain::Row;
use crate::{
    db::{DbResult, Tx},
    fetch_all,
};

/// The event of the row that vouches.
pub const EVENT: &str = "data.erased";
/// Rows read at once.
const PAGE: i64 = 1000;

/// The erased rows of one company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many.
    pub rows: i64,
    /// Number of the first; 0 when there is none.
    pub first: i64,
    /// SHA-256 over number and hash of each, in order.
    pub sha256: String,
}

/// What the vouching row says.
#[derive(Debug, Deserialize)]
struct Vouched {
    erased_id: String,
    rows: i64,
    first: i64,
    sha256: String,
}

/// Adds rows up.
#[derive(Debug, Clone, Default)]
struct Sum {
    rows: i64,
    first: i64,
    hasher: Sha256,
}

/// The erased rows that a walk has met and that no row has vouched for yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Open(BTreeMap<String, Sum>);

impl Sum {
    fn add(&mut self, seq: i64, hash: &str) {
        if self.rows == 0 {
            self.first = seq;
        }
        self.rows = self.rows.saturating_add(1);
        self.hasher.update(seq.to_be_bytes());
        self.hasher.update(hash.as_bytes());
    }

    fn summary(self) -> Summary {
        Summary { rows: self.rows, first: self.first, sha256: hex::encode(self.hasher.finalize()) }
    }
}

impl Open {
    /// Takes a row of the chain: an erased one waits, a vouching one settles. False when it vouches for other rows than
    /// those that are there; `anchor` is the row behind which the chain begins.
    pub(super) fn take(&mut self, row: &Row, anchor: i64) -> bool {
        if row.erased {
            self.0.entry(row.company_id.clone().unwrap_or_default()).or_default().add(row.seq, &row.hash);
            return true;
        }
        if row.event != EVENT {
            return true;
        }
        let Ok(vouched) = serde_json::from_str::<Vouched>(&row.detail) else { return false };
        let found = self.0.remove(&vouched.erased_id).unwrap_or_default().summary();
        if vouched.first <= anchor {
            // Some of them were purged since; none may have been added.
            return found.rows <= vouched.rows;
        }
        (found.rows, found.first, found.sha256) == (vouched.rows, vouched.first, vouched.sha256)
    }

    /// The first row for which nobody has vouched.
    pub(super) fn first(&self) -> Option<i64> {
        self.0.values().map(|sum| sum.first).min()
    }
}

/// Adds up the erased rows of a company.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn summary(tx: &mut Tx, company_id: &str) -> DbResult<Summary> {
    let mut sum = Sum::default();
    let mut after = 0;
    loop {
        let rows = fetch_all!(
            tx,
            (i64, String),
            "SELECT seq, hash
            FROM audit
            WHERE company_id = $1
            AND erased = TRUE
            AND seq > $2
            ORDER BY seq
            LIMIT $3",
            company_id,
            after,
            PAGE
        )?;
        let Some((last, _)) = rows.last() else { return Ok(sum.summary()) };
        after = *last;
        for (seq, hash) in rows {
            sum.add(seq, &hash);
        }
    }
}
