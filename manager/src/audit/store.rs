//! Appending to the chain, and reading it in order.

use std::{fmt, str::FromStr};

use sqlx::PgConnection;

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
    let row = Row::from(&event);
    match tx {
        Tx::Sqlite(_) => {
            webhook::store::queue(tx, &event).await?;
            append_here(tx, row).await
        }
        Tx::Postgres(scope) => {
            let (seq, has_webhooks) = append_there(scope, row).await?;
            if has_webhooks {
                webhook::store::queue(tx, &event).await?;
            }
            Ok(seq)
        }
    }
}

/// Appends two events of one change, the first one first; otherwise as [`append`].
///
/// # Errors
/// As [`append`].
pub async fn append_both(tx: &mut Tx, first: AuditEvent, second: AuditEvent) -> DbResult<()> {
    let Tx::Postgres(scope) = tx else {
        append(tx, first).await?;
        append(tx, second).await?;
        return Ok(());
    };
    let has_webhooks = append_both_there(scope, Row::from(&first), Row::from(&second)).await?;
    if has_webhooks {
        webhook::store::queue(tx, &first).await?;
        webhook::store::queue(tx, &second).await?;
    }
    Ok(())
}

/// A row that is not in the chain yet.
impl From<&AuditEvent> for Row {
    fn from(event: &AuditEvent) -> Self {
        Self {
            seq: 0,
            at_ms: event.at_ms,
            company_id: event.company.map(|id| id.to_string()),
            actor: event.actor.to_string(),
            event: event.event.to_owned(),
            reception_id: event.reception.map(|id| id.to_string()),
            session_id: event.session.map(|id| id.to_string()),
            detail: event.detail.to_string(),
            prev_hash: GENESIS.to_owned(),
            hash: String::new(),
            erased: false,
        }
    }
}

/// Appends a row that is hashed here.
async fn append_here(tx: &mut Tx, row: Row) -> DbResult<i64> {
    let head = fetch_one!(
        tx,
        Head,
        "UPDATE audit_head
        SET seq = seq + 1
        WHERE id = 1
        RETURNING seq, hash"
    )?;
    let mut row = Row { seq: head.seq, prev_hash: head.hash, ..row };
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

/// Appends a row in one statement, in which the server hashes it: every append of every manager waits for the head, and
/// whoever has it needs no more than this statement, the calls of webhooks that hear of it, and the commit. Its number, and
/// whether its company has webhooks.
async fn append_there(scope: &mut PgConnection, row: Row) -> DbResult<(i64, bool)> {
    let [domain, content, before_prev] = row.hashed_parts();
    let appended = sqlx::query_as(
        "WITH head AS (
            UPDATE audit_head
            SET seq = seq + 1, prev_hash = hash,
                hash = encode(sha256($1 || int8send(seq + 1) || $2 || $3 || convert_to(hash, 'UTF8')), 'hex')
            WHERE id = 1
            RETURNING seq, prev_hash, hash
        )
        INSERT INTO audit
        (seq, at_ms, company_id, actor, event, reception_id, session_id, detail, prev_hash, hash)
        SELECT seq, $4, $5, $6, $7, $8, $9, $10, prev_hash, hash
        FROM head
        RETURNING seq, EXISTS (SELECT 1 FROM webhooks w WHERE w.company_id = $5)",
    )
    .bind(domain)
    .bind(content)
    .bind(before_prev)
    .bind(row.at_ms)
    .bind(row.company_id)
    .bind(row.actor)
    .bind(row.event)
    .bind(row.reception_id)
    .bind(row.session_id)
    .bind(row.detail)
    .fetch_one(scope)
    .await?;
    Ok(appended)
}

/// Appends two rows in one statement, which is one answer less for whoever waits for the head. Whether a company of theirs
/// has webhooks.
async fn append_both_there(scope: &mut PgConnection, first: Row, second: Row) -> DbResult<bool> {
    let [domain, content, before_prev] = first.hashed_parts();
    let [_, second_content, _] = second.hashed_parts();
    let appended: Vec<(bool,)> = sqlx::query_as(
        "WITH head AS (
            UPDATE audit_head
            SET seq = seq + 2, prev_hash = hash,
                hash = encode(sha256($1 || int8send(seq + 2) || $3 || $4 || convert_to(
                    encode(sha256($1 || int8send(seq + 1) || $2 || $4 || convert_to(hash, 'UTF8')), 'hex'),
                'UTF8')), 'hex')
            WHERE id = 1
            RETURNING seq, prev_hash, hash
        ), first AS (
            SELECT seq - 1 AS seq, prev_hash,
                encode(sha256($1 || int8send(seq - 1) || $2 || $4 || convert_to(prev_hash, 'UTF8')), 'hex') AS hash
            FROM head
        )
        INSERT INTO audit
        (seq, at_ms, company_id, actor, event, reception_id, session_id, detail, prev_hash, hash)
        SELECT seq, $5, $6, $7, $8, $9, $10, $11, prev_hash, hash
        FROM first
        UNION ALL
        SELECT head.seq, $12, $13, $14, $15, $16, $17, $18, first.hash, head.hash
        FROM head, first
        RETURNING EXISTS (SELECT 1 FROM webhooks w WHERE w.company_id IN ($6, $13))",
    )
    .bind(domain)
    .bind(content)
    .bind(second_content)
    .bind(before_prev)
    .bind(first.at_ms)
    .bind(first.company_id)
    .bind(first.actor)
    .bind(first.event)
    .bind(first.reception_id)
    .bind(first.session_id)
    .bind(first.detail)
    .bind(second.at_ms)
    .bind(second.company_id)
    .bind(second.actor)
    .bind(second.event)
    .bind(second.reception_id)
    .bind(second.session_id)
    .bind(second.detail)
    .fetch_all(scope)
    .await?;
    match appended[..] {
        [(first,), (second,)] => Ok(first || second),
        _ => Err(DbError::InconsistentRow { table: "audit_head", column: "id", id: "1".to_owned() }),
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
