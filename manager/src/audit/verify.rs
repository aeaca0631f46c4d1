//! Walks the chain from its first row, or from the one behind which it was purged, and names the first one that is wrong.

use std::{fmt, path::PathBuf};

use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinError,
};

use super::{
    chain::Row,
    erased, file, purge,
    store::{self, Head},
};
use crate::db::{self, Db, DbError, DbResult};

/// Rows read at once, while those read before are hashed.
const PAGE: i64 = 1000;

/// Walks over a file at once; whoever comes later waits, and is told that the database is busy when it takes too long. Each
/// has a processor for as long as it lasts.
static WALKS: Semaphore = Semaphore::const_new(WALKS_MAX);
/// See [`WALKS`].
const WALKS_MAX: usize = 2;

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
struct Walk {
    head: Head,
    anchor: Head,
    seq: i64,
    hash: String,
    /// Erased rows for which nobody has vouched yet.
    erased: erased::Open,
    /// Whether a purge vouches for the beginning.
    anchored: bool,
    /// Heads that were kept elsewhere.
    kept: Vec<Head>,
    /// How many of them were met.
    matched: usize,
    /// What ended it.
    flaw: Option<Flaw>,
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
    match db.file() {
        Some(path) => in_file(path, kept.to_vec()).await,
        None => on_server(db, kept.to_vec()).await,
    }
}

/// Walks on a thread of its own, which ends when nobody waits for it any more.
async fn in_file(path: PathBuf, kept: Vec<Head>) -> DbResult<Witnessed> {
    let place = db::in_time(async { WALKS.acquire().await.map_err(|_never_closed| sqlx::Error::PoolClosed.into()) });
    let place = place.await?;
    let (answer, answered) = oneshot::channel();
    let walking = tokio::task::spawn_blocking(move || {
        let _place = place;
        let begin = |head, anchor| Walk::new(head, anchor, kept);
        let walk = file::read(&path, begin, |walk, row| !answer.is_closed() && walk.goes_on(&row));
        // Whoever waited may be gone.
        let _gone = answer.send(walk.map(Walk::found));
    });
    if let Ok(found) = answered.await {
        return found;
    }
    // It ended without an answer.
    match walking.await.map_err(JoinError::try_into_panic) {
        Ok(()) => Err(DbError::Busy(sqlx::Error::WorkerCrashed)),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(cancelled)) => Err(DbError::Busy(sqlx::Error::Io(cancelled.into()))),
    }
}

async fn on_server(db: &Db, kept: Vec<Head>) -> DbResult<Witnessed> {
    let mut tx = db.read().await?;
    let mut walk = Walk::new(store::head(&mut tx).await?, store::anchor(&mut tx).await?, kept);
    let mut rows = store::rows_after(&mut tx, walk.seq, PAGE).await?;
    while let Some(last) = rows.last().map(|row| row.seq) {
        // The first of both is polled first: it asks the database, and then there is time to hash.
        let hashed = async { rows.iter().all(|row| walk.goes_on(row)) };
        let (next, goes_on) = tokio::join!(biased; store::rows_after(&mut tx, last, PAGE), hashed);
        if !goes_on {
            break;
        }
        rows = next?;
    }
    Ok(walk.found())
}

impl Walk {
    fn new(head: Head, anchor: Head, kept: Vec<Head>) -> Self {
        let mut walk = Self {
            seq: anchor.seq,
            hash: anchor.hash.clone(),
            erased: erased::Open::default(),
            anchored: anchor.is_genesis(),
            kept,
            matched: 0,
            flaw: None,
            anchor,
            head,
        };
        walk.flaw = walk.hold(walk.anchor.seq).err();
        walk
    }

    /// Takes the next row; whether the chain holds so far.
    fn goes_on(&mut self, row: &Row) -> bool {
        if self.flaw.is_none() {
            self.flaw = self.step(row).err();
        }
        self.flaw.is_none()
    }

    fn step(&mut self, row: &Row) -> Result<(), Flaw> {
        let expected = self.seq.saturating_add(1);
        if row.seq != expected {
            return Err(Flaw { seq: expected, what: FlawKind::Missing });
        }
        let flaw = if self.head.seq < row.seq {
            Some(FlawKind::BeyondHead)
        } else if !row.erased && row.hash != row.computed_hash() {
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

    fn found(self) -> Witnessed {
        Witnessed { verdict: self.verdict(), matched: self.matched }
    }

    fn verdict(&self) -> Verdict {
        let newest = self.kept.iter().map(|kept| kept.seq).fold(self.head.seq, i64::max);
        let broken = |seq, what| Verdict::Broken(Flaw { seq, what });
        if let Some(flaw) = &self.flaw {
            Verdict::Broken(flaw.clone())
        } else if self.seq < newest {
            broken(self.seq.saturating_add(1), FlawKind::Missing)
        } else if self.hash != self.head.hash {
            broken(self.seq, FlawKind::HeadDiffers)
        } else if let Some(seq) = self.erased.first() {
            broken(seq, FlawKind::ErasedAlone)
        } else if !self.anchored {
            broken(self.anchor.seq.saturating_add(1), FlawKind::PurgedAlone)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_walk_too_many_is_told_that_the_database_is_busy() {
        let walk = async || in_file(PathBuf::from("nowhere/at/all.sqlite"), Vec::new()).await;
        let places: Vec<_> = (0..WALKS_MAX).map(|_| WALKS.try_acquire().unwrap()).collect();
        let late = walk().await;
        assert!(matches!(late, Err(DbError::Busy(_))), "{late:?}");

        drop(places);
        let missing = walk().await;
        assert!(matches!(missing, Err(DbError::Failed(_))), "it has a place, and there is no such file: {missing:?}");
    }
}
