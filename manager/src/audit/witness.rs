//! Tells the head of the chain to the process log, so that a log which another machine keeps is its witness: who computes
//! the whole chain anew makes other heads, and [`super::verify::verify_against`] finds that.

use super::store::{self, Head};
use crate::db::{Db, DbResult};

/// What was told last.
#[derive(Debug, Default)]
pub struct Witness {
    told: Option<Head>,
}

impl Witness {
    /// Tells the head as it is now, unless it is the one that was told last.
    ///
    /// # Errors
    /// [`crate::db::DbError`] when it cannot be read.
    pub async fn tell(&mut self, db: &Db) -> DbResult<()> {
        let mut tx = db.read().await?;
        let head = store::head(&mut tx).await?;
        if !head.is_genesis() && self.told.as_ref() != Some(&head) {
            tracing::info!(event = "audit.head", head = %head, "The audit record ends with this row");
            self.told = Some(head);
        }
        Ok(())
    }
}
