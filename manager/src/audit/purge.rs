//! The beginning of the chain goes when it is older than anybody must keep it; a row vouches for the new beginning.
//!
//! Guarantees: rows go in the order of the chain and none stays behind; the row that vouches is appended in the same
//! transaction, so the newest one is always there and names the hash behind which the chain begins; whoever cuts the
//! chain without it is found by [`super::verify`].

use proto::api::UnixMillis;
use serde::Deserialize;
use serde_json::json;

use super::{
    Actor, AuditEvent,
    chain::Row,
    store::{self, Head},
};
use crate::{
    db::{Db, DbResult},
    execute,
    login::realm::SYSTEM,
};

/// The event of the row that vouches.
const EVENT: &str = "audit.purged";
/// Rows that go in one transaction.
const STRETCH: i64 = 2000;

/// What the row says.
#[derive(Debug, Deserialize)]
struct Vouched {
    until: i64,
    hash: String,
}

/// Whether a row vouches for a beginning of the chain.
pub(super) fn vouches(row: &Row, anchor: &Head) -> bool {
    row.event == EVENT
        && serde_json::from_str(&row.detail)
            .is_ok_and(|vouched: Vouched| vouched.until == anchor.seq && vouched.hash == anchor.hash)
}

/// Lets the rows go that were written before `before_ms`, up to the first that was not; how many.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn purge(db: &Db, before_ms: UnixMillis, now: UnixMillis) -> DbResult<u64> {
    let mut gone = 0u64;
    loop {
        let stretch = purge_stretch(db, before_ms, now).await?;
        gone = gone.saturating_add(stretch);
        if stretch == 0 {
            return Ok(gone);
        }
    }
}

async fn purge_stretch(db: &Db, before_ms: UnixMillis, now: UnixMillis) -> DbResult<u64> {
    let mut tx = db.begin().await?;
    // The anchor stays locked, so that two managers do not vouch for one stretch.
    execute!(&mut tx, "UPDATE audit_anchor SET seq = seq WHERE id = 1")?;
    let anchor = store::anchor(&mut tx).await?;
    let rows = store::rows_after(&mut tx, anchor.seq, STRETCH).await?;
    let Some(last) = rows.iter().take_while(|row| row.at_ms < before_ms).last() else { return Ok(0) };
    execute!(&mut tx, "UPDATE audit_anchor SET seq = $1, hash = $2 WHERE id = 1", last.seq, &last.hash)?;
    let gone = execute!(&mut tx, "DELETE FROM audit WHERE seq <= $1", last.seq)?;
    let event = AuditEvent {
        at_ms: now,
        company: Some(SYSTEM),
        actor: Actor::Manager,
        event: EVENT,
        reception: None,
        session: None,
        detail: json!({ "until": last.seq, "hash": last.hash, "rows": gone, "before_ms": before_ms }),
    };
    store::append(&mut tx, event).await?;
    tx.commit().await?;
    Ok(gone)
}
