//! Appending to the chain, and reading it in order.

use std::{fmt, str::FromStr};

use super::{
    AuditEvent,
    chain::{GENESIS, Row},
};
use crate::{
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_one, webhook,
};

/// Where the chain ends.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Head {
    /// Number of the newest row; 0 when there is none.
    pub seq: i64,
    /// Hash of the newest row.
    pub hash: String,
}

/// Why a text is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is the number of a row, a colon, and a hash of 64 hexadecimal digits")]
pub struct HeadError;

/// As it stands in the process log: `12:4200de33…`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let (seq, hash) = text.split_once(':').ok_or(HeadError)?;
        let seq = seq.parse().ok().filter(|seq| 0 < *seq).ok_or(HeadError)?;
        let is_hash = hash.len() == GENESIS.len() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { Ok(Self { seq, hash: hash.to_ascii_lowercase() }) } else { Err(HeadError) }
    }
}

impl Head {
    /// Whether it is the place before the first row that ever was.
    pub fn is_genesis(&self) -> bool {
        self.seq == 0 && self.hash == GENESIS
    }
}

/// Appends an event in the transaction of the change it tells of, and queues the webhooks that hear of it; gives its number
/// in the chain.
///
/// The head stays locked until the transaction ends, so append last, shortly before the commit.
///
/// # Errors
/// [`DbError`]; then the transaction must not be committed.
pub async fn append(tx: &mut Tx, event: AuditEvent) -> DbResult<i64> {
    webhook::store::queue(tx, &event).await?;
    let head = fetch_one!(
        tx,
        Head,
        "UPDATE audit_head
        SET seq = seq + 1
        WHERE id = 1
        RETURNING seq, hash"
    )?;
    let mut row = Row {
        seq: head.seq,
        at_ms: event.at_ms,
        company_id: event.company.map(|id| id.to_string()),
        actor: event.actor.to_string(),
        event: event.event.to_owned(),
        reception_id: event.reception.map(|id| id.to_string()),
        session_id: event.session.map(|id| id.to_string()),
        detail: event.detail.to_string(),
        prev_hash: head.hash,
        hash: String::new(),
        erased: false,
    };
    row.hash = row.computed_hash();
    insert(tx, &row).await?;
    let moved = execute!(
        tx,
        "UPDATE audit_head
        SET hash = $1
        WHERE id = 1
        AND seq = $2",
        &row.hash,
        row.seq
    )?;
    if moved == 1 {
        Ok(row.seq)
    } else {
        Err(DbError::InconsistentRow { table: "audit_head", column: "seq", id: row.seq.to_string() })
    }
}

/// The chain's end as the head row says.
///
/// # Errors
/// [`DbError`].
pub async fn head(tx: &mut Tx) -> DbResult<Head> {
    fetch_one!(
        tx,
        Head,
        "SELECT seq, hash
        FROM audit_head
        WHERE id = 1"
    )
}

/// Behind which row the chain begins.
///
/// # Errors
/// [`DbError`].
pub async fn anchor(tx: &mut Tx) -> DbResult<Head> {
    fetch_one!(
        tx,
        Head,
        "SELECT seq, hash
        FROM audit_anchor
        WHERE id = 1"
    )
}

/// The next `limit` rows after `seq`, in order.
///
/// # Errors
/// [`DbError`].
pub async fn rows_after(tx: &mut Tx, seq: i64, limit: i64) -> DbResult<Vec<Row>> {
    fetch_all!(
        tx,
        Row,
        "SELECT seq, at_ms, company_id, actor, event, reception_id, session_id, detail, prev_hash, hash, erased
        FROM audit
        WHERE seq > $1
        ORDER BY seq
        LIMIT $2",
        seq,
        limit
    )
}

async fn insert(tx: &mut Tx, row: &Row) -> DbResult<()> {
    execute!(
        tx,
        "INSERT INTO audit
        (seq, at_ms, company_id, actor, event, reception_id, session_id, detail, prev_hash, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        row.seq,
        row.at_ms,
        &row.company_id,
        &row.actor,
        &row.event,
        &row.reception_id,
        &row.session_id,
        &row.detail,
        &row.prev_hash,
        &row.hash
    )?;
    Ok(())
}
