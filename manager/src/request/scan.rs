//! Looks through every text of the database for a company that was erased.
//!
//! The tables and columns are those that the engine itself names, so none that a later version adds is forgotten.

use sqlx::AssertSqlSafe;

use crate::db::{DbError, DbResult, Tx, select::contains};

/// Where the id of an erased company stays: in the chain, in the company's own empty row, whose code it has become, and in
/// the request itself.
const KEPT: [(&str, &str); 4] =
    [("audit", "company_id"), ("companies", "company_id"), ("companies", "code"), ("requests", "company_id")];

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Columns that were looked through.
    pub(super) columns: usize,
    /// Those with a row that names the company.
    pub(super) left: Vec<String>,
}

/// Looks for a text in every text column of every table but those where it stays.
///
/// # Errors
/// [`DbError`].
pub(super) async fn scan(tx: &mut Tx, needle: &str) -> DbResult<Found> {
    let mut found = Found::default();
    for (table, column) in columns(tx).await? {
        if KEPT.contains(&(table.as_str(), column.as_str())) {
            continue;
        }
        found.columns = found.columns.saturating_add(1);
        let (table_name, column_name) = (quoted(&table), quoted(&column));
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {table_name} WHERE {column_name} LIKE $1 ESCAPE '!' LIMIT 1) AS hit"
        );
        if 0 < count(tx, sql, contains(needle)).await? {
            found.left.push(format!("{table}.{column}"));
        }
    }
    Ok(found)
}

/// Every text column of every table of this schema.
async fn columns(tx: &mut Tx) -> DbResult<Vec<(String, String)>> {
    match tx {
        Tx::Sqlite(tx) => sqlx::query_as(
            "SELECT m.name, p.name
            FROM sqlite_master m
            JOIN pragma_table_info(m.name) p
            WHERE m.type = 'table'
            AND m.name NOT LIKE 'sqlite%'
            AND p.type = 'TEXT'
            ORDER BY m.name, p.name",
        )
        .fetch_all(&mut **tx)
        .await
        .map_err(DbError::from),
        Tx::Postgres(tx) => sqlx::query_as(
            "SELECT table_name::TEXT, column_name::TEXT
            FROM information_schema.columns
            WHERE table_schema = current_schema()
            AND data_type = 'text'
            ORDER BY table_name, column_name",
        )
        .fetch_all(&mut **tx)
        .await
        .map_err(DbError::from),
    }
}

/// The names are those of the schema, and quoted nevertheless.
async fn count(tx: &mut Tx, sql: String, pattern: String) -> DbResult<i64> {
    let sql = AssertSqlSafe(sql);
    let (count,): (i64,) = match tx {
        Tx::Sqlite(tx) => sqlx::query_as(sql).bind(pattern).fetch_one(&mut **tx).await?,
        Tx::Postgres(tx) => sqlx::query_as(sql).bind(pattern).fetch_one(&mut **tx).await?,
    };
    Ok(count)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
