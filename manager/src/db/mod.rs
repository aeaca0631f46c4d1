//! The database: one SQL text on SQLite and PostgreSQL, but where everybody waits for the same row: there PostgreSQL does in
//! one statement what SQLite needs several for (`audit/store.rs`, `events/store.rs`).
//!
//! Guarantees: every statement runs inside a transaction ([`Tx`]), the only one of a read in one of its own, and the walk
//! over the audit record of a file in one past the pool (`audit/file.rs`); a transaction that is dropped is rolled back.
//! SQLite has one writer at a time: [`Db::begin`] waits its turn in a fair queue, and never in the middle of a
//! transaction. Statements are literals with `$1 …`, or made of literals ([`select`]); types are TEXT, BIGINT, BOOLEAN and BYTEA only.
//! INVARIANT: nobody calls [`Db::begin`] while holding a [`Tx`] of the same task: on SQLite it would wait for itself.

pub mod migrate;
pub mod select;
pub mod url;

mod statement;

use std::{
    fs,
    num::NonZeroU32,
    ops::{Deref, DerefMut},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqlx::{
    Connection as _, Database, PgPool, Postgres, SqlSafeStr as _, Sqlite, SqlitePool, Transaction,
    pool::PoolConnection,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tracing::Instrument as _;

pub use self::statement::Engine;
use self::url::{DatabaseUrl, DatabaseUrlError};

/// How long a caller waits for a connection, and a server's to begin a transaction, both together, before it is told
/// [`DbError::Busy`].
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was not used for longer than this is asked whether it is still one before it is used again: what
/// breaks under load is found by the statement that it breaks.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// PostgreSQL may not compile a statement: the first costly one of each connection takes 20 to 50 ms longer for that, and
/// none gains by it (PostgreSQL 15, a search and a statistic over a million sessions).
const NOTHING_COMPILED: &str = "SET jit = off";
/// How long SQLite waits for another process that is writing (the command line beside the server).
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that read beside SQLite's one writer.
const SQLITE_READERS: u32 = 4;
/// Rows that the thread of one of SQLite's readers may be ahead of whoever reads them: a stretch of a file, so that the
/// next one is read while this one is written.
const SQLITE_ROWS_AHEAD: usize = 1000;

/// Section `[database]` of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the database is; prints without the password.
    pub url: DatabaseUrl,
    /// File with the address instead, when it holds a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Connections to PostgreSQL.
    pub connections_max: NonZeroU32,
}

/// The file of an address cannot be used. What it holds is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum UrlFileError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It holds something else.
    #[error("the file's content {0}")]
    Content(#[from] DatabaseUrlError),
}

/// What a statement gives.
pub type DbResult<T> = Result<T, DbError>;

/// A database that is open. Cheap to clone.
#[derive(Clone)]
pub enum Db {
    /// A file: one writer, several readers.
    Sqlite {
        /// Its only connection that writes.
        writer: SqlitePool,
        /// Connections for [`Db::read`] and [`Db::read_once`].
        readers: SqlitePool,
    },
    /// A server, shared by several managers.
    Postgres(PgPool),
}

/// A transaction. It is rolled back unless [`Tx::commit`] is called.
pub enum Tx {
    /// Of a file.
    Sqlite(Scope<Sqlite>),
    /// Of a server.
    Postgres(Scope<Postgres>),
}

/// The connection of a transaction, and how far the transaction reaches.
pub enum Scope<D: Database> {
    /// From its begin to its commit, or until it is dropped.
    Many(Transaction<'static, D>),
    /// One statement; see [`Db::read_once`].
    One(PoolConnection<D>),
}

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached, or no connection came free in time.
    #[error("the database is busy or cannot be reached: {0}")]
    Busy(#[source] sqlx::Error),
    /// The row exists already.
    #[error("a unique column has this value already: {0}")]
    Duplicate(#[source] sqlx::Error),
    /// A row that this program cannot have written.
    #[error("row {id} of {table} has an impossible {column}")]
    InconsistentRow {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        id: String,
    },
    /// Anything else: a mistake in a statement, a full disk.
    #[error("the statement failed: {0}")]
    Failed(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::Sqlite(PathBuf::from("/var/lib/uketsuke-manager/manager.sqlite")),
            url_file: None,
            connections_max: NonZeroU32::MIN.saturating_add(15),
        }
    }
}

impl Config {
    /// The address: the content of `url_file` when that is set, else `url`.
    ///
    /// # Errors
    /// See [`UrlFileError`].
    pub fn url(&self) -> Result<DatabaseUrl, UrlFileError> {
        match &self.url_file {
            None => Ok(self.url.clone()),
            Some(file) => Ok(fs::read_to_string(file)?.trim().parse()?),
        }
    }
}

impl Db {
    /// Opens the database with at most `connections_max` connections; a missing SQLite file is made (mode 0600).
    ///
    /// # Errors
    /// [`DbError::Busy`] when it cannot be reached.
    pub async fn open(url: &DatabaseUrl, connections_max: u32) -> DbResult<Self> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(SQLITE_BUSY_TIMEOUT)
                    .foreign_keys(true);
                let pool = |connections| {
                    SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT)
                };
                url::make_private(path).map_err(sqlx::Error::Io)?;
                let writer = pool(1).connect_with(options.clone()).await?;
                let readers = pool(SQLITE_READERS).connect_with(options.row_buffer_size(SQLITE_ROWS_AHEAD)).await?;
                Ok(Self::Sqlite { writer, readers })
            }
            DatabaseUrl::Postgres(options) => {
                let pool = PgPoolOptions::new()
                    .max_connections(connections_max)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .after_connect(|connection, _| {
                        Box::pin(async move {
                            sqlx::raw_sql(NOTHING_COMPILED).execute(connection).await?;
                            Ok(())
                        })
                    })
                    .test_before_acquire(false)
                    .before_acquire(|connection, of| {
                        Box::pin(async move {
                            if TRUSTED_FOR < of.idle_for {
                                connection.ping().await?;
                            }
                            Ok(true)
                        })
                    })
                    .connect_with(options.as_ref().clone())
                    .await?;
                Ok(Self::Postgres(pool))
            }
        }
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// [`DbError::Busy`] when no connection comes free in time, or the server does not answer on it.
    pub async fn begin(&self) -> DbResult<Tx> {
        match self {
            Self::Sqlite { writer, .. } => Ok(Tx::Sqlite(Scope::Many(writer.begin_with("BEGIN IMMEDIATE").await?))),
            Self::Postgres(pool) => Ok(Tx::Postgres(Scope::Many(begin_whole(pool, "BEGIN").await?))),
        }
    }

    /// Begins a transaction that only reads: one snapshot, and it waits for no writer.
    ///
    /// # Errors
    /// [`DbError::Busy`] when no connection comes free in time, or the server does not answer on it.
    pub async fn read(&self) -> DbResult<Tx> {
        match self {
            Self::Sqlite { readers, .. } => Ok(Tx::Sqlite(Scope::Many(readers.begin().await?))),
            Self::Postgres(pool) => {
                let begun = begin_whole(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                Ok(Tx::Postgres(Scope::Many(begun)))
            }
        }
    }

    /// A connection for one statement that reads: a transaction by itself, without a word to the server before and after.
    /// A second statement sees what happened since the first one. Nothing keeps it from writing, and nothing takes that back.
    ///
    /// A server that has taken the connection in and answers no more is not noticed here, so ask within [`in_time`].
    ///
    /// # Errors
    /// [`DbError::Busy`] when no connection comes free in time.
    pub async fn read_once(&self) -> DbResult<Tx> {
        match self {
            Self::Sqlite { readers, .. } => Ok(Tx::Sqlite(Scope::One(readers.acquire().await?))),
            Self::Postgres(pool) => Ok(Tx::Postgres(Scope::One(pool.acquire().await?))),
        }
    }

    /// Lets SQLite look at what has grown, so that it plans for that. PostgreSQL does so by itself.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn look_at_sizes(&self) -> DbResult<()> {
        if let Self::Sqlite { writer, .. } = self {
            // Source: sqlite.org/pragma.html#pragma_optimize, applications that run for long; the limit keeps it short.
            sqlx::raw_sql("PRAGMA analysis_limit = 1000; PRAGMA optimize = 0x10002").execute(writer).await?;
        }
        Ok(())
    }

    /// The file, of SQLite.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite { writer, .. } => Some(writer.connect_options().get_filename().to_owned()),
            Self::Postgres(_) => None,
        }
    }

    /// Which engine it is.
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite { .. } => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Closes every connection and waits until they are closed.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Makes everything of this transaction lasting, at once.
    ///
    /// # Errors
    /// [`DbError`]; then nothing of it happened, unless the connection broke while the answer was on its way.
    pub async fn commit(self) -> DbResult<()> {
        match self {
            Self::Sqlite(scope) => scope.commit().await?,
            Self::Postgres(scope) => scope.commit().await?,
        }
        Ok(())
    }
}

impl<D: Database> Scope<D> {
    async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Many(transaction) => transaction.commit().await,
            Self::One(_) => Ok(()),
        }
    }
}

impl<D: Database> Deref for Scope<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        match self {
            Self::Many(transaction) => transaction,
            Self::One(connection) => connection,
        }
    }
}

impl<D: Database> DerefMut for Scope<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        match self {
            Self::Many(transaction) => transaction,
            Self::One(connection) => connection,
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Db({})", self.engine().as_str())
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        if is_busy(&error) {
            return Self::Busy(error);
        }
        let duplicate = error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
        if duplicate { Self::Duplicate(error) } else { Self::Failed(error) }
    }
}

/// Of a connection that is not one of the pool's.
impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};

        let is_busy = matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked));
        let error = sqlx::Error::Io(std::io::Error::other(error));
        if is_busy { Self::Busy(error) } else { Self::Failed(error) }
    }
}

/// Begins a transaction whose `BEGIN` is in a task of its own, which goes on when whoever waits for it is gone, as with
/// a caller who hangs up. The library forgets a `BEGIN` whose answer nobody waited for, and its connection would begin
/// the next transaction within that one: what writes would fail in one that only reads. Source: sqlx, issues 4385 and
/// 4393, in 0.9.0. The caller itself waits for a connection, so that whoever is gone takes none.
///
/// A server that has taken the connection in and answers no more holds the caller for what is left of
/// [`ACQUIRE_TIMEOUT`]. The task goes on then, too, and what it begins after all is rolled back.
///
/// Until then the task has one of the pool's connections. A server that is gone without a word has it until
/// the system gives the socket up (on Linux some 15 minutes, `net.ipv4.tcp_retries2`), and one that is there and answers
/// nothing has it as long as that lasts. The library offers no way to close a connection hard out of a `BEGIN`: given
/// back to the pool, it would wait there for an answer as well.
async fn begin_whole(pool: &PgPool, statement: &'static str) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let begun = async {
        let connection = pool.acquire().await?;
        let begin = Transaction::<'static, Postgres>::begin(connection, Some(statement.into_sql_str()));
        match tokio::spawn(begin.in_current_span()).await {
            Ok(begun) => begun,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(cancelled) => Err(sqlx::Error::Io(cancelled.into())),
            },
        }
    };
    tokio::time::timeout(ACQUIRE_TIMEOUT, begun).await.unwrap_or_else(|late| Err(sqlx::Error::Io(late.into())))
}

/// What is asked of a server, or [`DbError::Busy`] when it takes longer than [`ACQUIRE_TIMEOUT`].
///
/// # Errors
/// [`DbError`].
pub async fn in_time<T>(asked: impl Future<Output = DbResult<T>>) -> DbResult<T> {
    let late = |late: tokio::time::error::Elapsed| Err(DbError::Busy(sqlx::Error::Io(late.into())));
    tokio::time::timeout(ACQUIRE_TIMEOUT, asked).await.unwrap_or_else(late)
}

/// Whether trying again later may help.
fn is_busy(error: &sqlx::Error) -> bool {
    let unreachable = matches!(
        error,
        sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::BeginFailed
    );
    // Source: SQLite result codes 5 busy, 6 locked, 261 and 517 their extensions; PostgreSQL appendix A: 40001
    // serialization failure, 40P01 deadlock, 53300 too many connections, 57P01-57P03 shutdown and start-up,
    // 25006 read-only (a standby that was promoted or not yet).
    let told = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let told = told.as_deref().is_some_and(|code| {
        matches!(code, "5" | "6" | "261" | "517" | "40001" | "40P01" | "53300" | "57P01" | "57P02" | "57P03" | "25006")
    });
    unreachable || told
}
