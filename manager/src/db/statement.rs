//! Statements: one literal, two engines.

/// Which database engine is in use; for the few statements that one text cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, in one file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Engine {
    /// The name in logs and `config print`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// Runs a statement that gives at most one row: `fetch_optional!(tx, Row, "SELECT …", a, b)?` with `tx: &mut Tx`.
///
/// `Row` derives `sqlx::FromRow` or is a tuple such as `(i64,)`. Gives `DbResult<Option<Row>>`.
#[macro_export]
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:literal $(, $argument:expr)* $(,)?) => {
        $crate::run_statement!($tx, fetch_optional, sqlx::query_as, <$row>, $sql $(, $argument)*)
    };
}

/// Runs a statement that gives exactly one row; see [`fetch_optional!`]. Gives `DbResult<Row>`.
#[macro_export]
macro_rules! fetch_one {
    ($tx:expr, $row:ty, $sql:literal $(, $argument:expr)* $(,)?) => {
        $crate::run_statement!($tx, fetch_one, sqlx::query_as, <$row>, $sql $(, $argument)*)
    };
}

/// Runs a statement that gives rows; see [`fetch_optional!`]. Put a `LIMIT` into it. Gives `DbResult<Vec<Row>>`.
#[macro_export]
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:literal $(, $argument:expr)* $(,)?) => {
        $crate::run_statement!($tx, fetch_all, sqlx::query_as, <$row>, $sql $(, $argument)*)
    };
}

/// Runs a statement that gives no rows; see [`fetch_optional!`]. Gives `DbResult<u64>`: how many rows it changed.
#[macro_export]
macro_rules! execute {
    ($tx:expr, $sql:literal $(, $argument:expr)* $(,)?) => {
        match $tx {
            $crate::db::Tx::Sqlite(tx) => sqlx::query::<sqlx::Sqlite>($sql)
                $(.bind($argument))*
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
                .map_err($crate::db::DbError::from),
            $crate::db::Tx::Postgres(tx) => sqlx::query::<sqlx::Postgres>($sql)
                $(.bind($argument))*
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
                .map_err($crate::db::DbError::from),
        }
    };
}

/// The two arms of a statement that gives rows.
#[doc(hidden)]
#[macro_export]
macro_rules! run_statement {
    ($tx:expr, $fetch:ident, sqlx::query_as, <$row:ty>, $sql:literal $(, $argument:expr)*) => {
        match $tx {
            $crate::db::Tx::Sqlite(tx) => sqlx::query_as::<sqlx::Sqlite, $row>($sql)
                $(.bind($argument))*
                .$fetch(&mut **tx)
                .await
                .map_err($crate::db::DbError::from),
            $crate::db::Tx::Postgres(tx) => sqlx::query_as::<sqlx::Postgres, $row>($sql)
                $(.bind($argument))*
                .$fetch(&mut **tx)
                .await
                .map_err($crate::db::DbError::from),
        }
    };
}
