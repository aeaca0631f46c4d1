//! Walks the chain from its first row, or from the one behind which it was purged, and names the first one that is wrong.

use std::fmt;

use super::{
    chain::Row,
    erased, purge,
    store::{self, Head},
};
use crate::db::{Db, DbResult};

/// Rows read at once, while those read before are hashed.
const PAGE: i64 = 1000;

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every row follows from the one before, up to the head.
    Holds {
        /// Rows in the chain.
        rows: i64,
    },
    /// The first row that does not.
    Broken(Flaw),
}

/// The first flaw of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Number of the row.
    pub seq: i64,
    /// What is wrong with it.
    pub what: FlawKind,
}

/// What can be wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// There is no row with this number, but there is a later one, or the head or one that was kept elsewhere says so.
    Missing,
    /// The row does not follow the one before: one of both was replaced or moved.
    Unchained,
    /// A column was changed after the row was written.
    Altered,
    /// The row is newer than the head says.
    BeyondHead,
    /// The head names another hash for the newest row.
    HeadDiffers,
    /// Its content is gone, and no erasure of its company vouches for that.
    ErasedAlone,
    /// The rows before it are gone, and no purge vouches for that.
    PurgedAlone,
    /// A head that was kept elsewhere names another hash for it: the chain was computed anew.
    Rewritten,
}

/// What a walk found that was held against heads which were kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// What it found.
    pub verdict: Verdict,
    /// Kept heads of rows that are still there, or of the last one that went; they match, unless the verdict says no.
    pub matched: usize,
}

/// The state of a walk: what the next row must be.
struct Walk<'a> {
    anchor: Head,
    seq: i64,
    hash: String,
    /// Erased rows for which nobody has vouched yet.
    erased: erased::Open,
    /// Whether a purge vouches for the beginning.
    anchored: bool,
    /// Heads that were kept elsewhere.
    kept: &'a [Head],
    /// How many of them were met.
    matched: usize,
}

/// Walks the whole chain as it is now; rows appended meanwhile belong to the next walk.
///
/// # Errors
/// [`crate::db::DbError`] when it cannot be read.
pub async fn verify(db: &Db) -> DbResult<Verdict> {
    Ok(verify_against(db, &[]).await?.verdict)
}

/// The same, and holds it against heads that were kept elsewhere; see [`super::witness`].
///
/// # Errors
/// [`crate::db::DbError`] when it cannot be read.
pub async fn verify_against(db: &Db, kept: &[Head]) -> DbResult<Witnessed> {
    let mut tx = db.read().await?;
    let head = store::head(&mut tx).await?;
    let anchor = store::anchor(&mut tx).await?;
    let mut walk = Walk {
        seq: anchor.seq,
        hash: anchor.hash.clone(),
        erased: erased::Open::default(),
        anchored: anchor.is_genesis(),
        kept,
        matched: 0,
        anchor,
    };
    if let Err(flaw) = walk.hold(walk.anchor.seq) {
        return Ok(walk.found(Verdict::Broken(flaw)));
    }
    let mut rows = store::rows_after(&mut tx, walk.seq, PAGE).await?;
    while let Some(last) = rows.last().map(|row| row.seq) {
        // The first of both is polled first: it asks the database, and then there is time to hash.
        let (next, hashed) = tokio::join!(biased; store::rows_after(&mut tx, last, PAGE), async { hashed(rows) });
        for (row, intact) in hashed {
            if let Err(flaw) = walk.step(&row, intact, &head) {
                return Ok(walk.found(Verdict::Broken(flaw)));
            }
        }
        rows = next?;
    }
    Ok(walk.found(walk.end(&head)))
}

/// Rows, and whether each has the hash of its columns.
fn hashed(rows: Vec<Row>) -> Vec<(Row, bool)> {
    rows.into_iter()
        .map(|row| {
            let intact = row.hash == row.computed_hash();
            (row, intact)
        })
        .collect()
}

impl Walk<'_> {
    fn step(&mut self, row: &Row, intact: bool, head: &Head) -> Result<(), Flaw> {
        let expected = self.seq.saturating_add(1);
        if row.seq != expected {
            return Err(Flaw { seq: expected, what: FlawKind::Missing });
        }
        let flaw = if head.seq < row.seq {
            Some(FlawKind::BeyondHead)
        } else if !row.erased && !intact {
            Some(FlawKind::Altered)
        } else if row.prev_hash != self.hash {
            Some(FlawKind::Unchained)
        } else if !self.erased.take(row, self.anchor.seq) {
            Some(FlawKind::ErasedAlone)
        } else {
            None
        };
        if let Some(what) = flaw {
            return Err(Flaw { seq: row.seq, what });
        }
        self.anchored |= purge::vouches(row, &self.anchor);
        self.seq = row.seq;
        self.hash.clone_from(&row.hash);
        self.hold(row.seq)
    }

    /// Holds the row that was just reached against the heads that were kept of it.
    fn hold(&mut self, seq: i64) -> Result<(), Flaw> {
        for kept in self.kept.iter().filter(|kept| kept.seq == seq) {
            if kept.hash != self.hash {
                return Err(Flaw { seq, what: FlawKind::Rewritten });
            }
            self.matched = self.matched.saturating_add(1);
        }
        Ok(())
    }

    const fn found(&self, verdict: Verdict) -> Witnessed {
        Witnessed { verdict, matched: self.matched }
    }

    fn end(&self, head: &Head) -> Verdict {
        let newest = self.kept.iter().map(|kept| kept.seq).fold(head.seq, i64::max);
        if self.seq < newest {
            Verdict::Broken(Flaw { seq: self.seq.saturating_add(1), what: FlawKind::Missing })
        } else if self.hash != head.hash {
            Verdict::Broken(Flaw { seq: self.seq, what: FlawKind::HeadDiffers })
        } else if let Some(seq) = self.erased.first() {
            Verdict::Broken(Flaw { seq, what: FlawKind::ErasedAlone })
        } else if !self.anchored {
            Verdict::Broken(Flaw { seq: self.anchor.seq.saturating_add(1), what: FlawKind::PurgedAlone })
        } else {
            Verdict::Holds { rows: self.seq.saturating_sub(self.anchor.seq) }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds { rows } => write!(f, "audit: {rows} rows, the chain holds"),
            Self::Broken(flaw) => write!(f, "audit: the chain is broken at row {}: {}", flaw.seq, flaw.what),
        }
    }
}

impl fmt::Display for FlawKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it is missing",
            Self::Unchained => "it does not follow the row before it",
            Self::Altered => "its columns do not match its hash",
            Self::BeyondHead => "it is newer than the head of the chain",
            Self::HeadDiffers => "the head of the chain names another hash for it",
            Self::ErasedAlone => "its content is gone and no erasure vouches for that",
            Self::PurgedAlone => "the rows before it are gone and no purge vouches for that",
            Self::Rewritten => "a head that was kept elsewhere names another hash for it",
        })
    }
}
