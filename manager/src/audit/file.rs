//! The chain as it is in SQLite's file, read on a thread and a connection of its own.
//!
//! The pool hands every row over to another thread, which takes longer than reading and hashing it. The columns are those
//! of `store.rs`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{chain::Row, store::Head};
use crate::db::DbResult;

/// The head, what the chain begins behind, and then every row in order, all of one moment; ends early when `row` says so.
///
/// # Errors
/// [`crate::db::DbError`].
pub(super) fn read<W>(
    path: &Path,
    begin: impl FnOnce(Head, Head) -> W,
    mut row: impl FnMut(&mut W, Row) -> bool,
) -> DbResult<W> {
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let tx = connection.transaction()?;
    let place = |sql| tx.query_row(sql, (), |row| Ok(Head { seq: row.get(0)?, hash: row.get(1)? }));
    let head = place(
        "SELECT seq, hash
        FROM audit_head
        WHERE id = 1",
    )?;
    let anchor = place(
        "SELECT seq, hash
        FROM audit_anchor
        WHERE id = 1",
    )?;
    let mut statement = tx.prepare(
        "SELECT seq, at_ms, company_id, actor, event, reception_id, session_id, detail, prev_hash, hash, erased
        FROM audit
        WHERE seq > $1
        ORDER BY seq",
    )?;
    let mut rows = statement.query((anchor.seq,))?;
    let mut walk = begin(head, anchor);
    while let Some(found) = rows.next()? {
        if !row(&mut walk, read_row(found)?) {
            break;
        }
    }
    Ok(walk)
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        seq: row.get(0)?,
        at_ms: row.get(1)?,
        company_id: row.get(2)?,
        actor: row.get(3)?,
        event: row.get(4)?,
        reception_id: row.get(5)?,
        session_id: row.get(6)?,
        detail: row.get(7)?,
        prev_hash: row.get(8)?,
        hash: row.get(9)?,
        erased: row.get(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "
        CREATE TABLE audit_head (id BIGINT, seq BIGINT, hash TEXT);
        CREATE TABLE audit_anchor (id BIGINT, seq BIGINT, hash TEXT);
        CREATE TABLE audit (seq BIGINT, at_ms BIGINT, company_id TEXT, actor TEXT, event TEXT, reception_id TEXT,
            session_id TEXT, detail TEXT, prev_hash TEXT, hash TEXT, erased BOOLEAN);
        INSERT INTO audit_head VALUES (1, 3, 'c');
        INSERT INTO audit_anchor VALUES (1, 1, 'a');
        INSERT INTO audit VALUES
            (3, 5, NULL, 'manager', 'two', NULL, NULL, '{}', 'b', 'c', TRUE),
            (1, 5, NULL, 'manager', 'gone', NULL, NULL, '{}', '', 'a', FALSE),
            (2, 5, 'x', 'manager', 'one', 'r', 's', '{}', 'a', 'b', FALSE);";

    fn events(path: &Path, most: usize) -> DbResult<Vec<String>> {
        let begin = |head: Head, anchor: Head| vec![head.to_string(), anchor.to_string()];
        read(path, begin, |events, row| {
            events.push(format!("{} {} {}", row.event, row.company_id.is_some(), row.erased));
            events.len() < most
        })
    }

    #[test]
    fn rows_come_in_order_behind_the_beginning_until_somebody_has_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain.sqlite");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch(CHAIN).unwrap();

        assert_eq!(events(&path, 9).unwrap(), ["3:c", "1:a", "one true false", "two false true"]);
        assert_eq!(events(&path, 3).unwrap(), ["3:c", "1:a", "one true false"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nothing.sqlite");

        assert!(matches!(events(&path, 9), Err(crate::db::DbError::Failed(_))));
        assert!(!path.exists());
    }
}
