//! Brings the schema up to date.
//!
//! Migrations go forward only, and each leaves a schema that the version before still runs on, while it is applied and
//! after: it adds, and what nobody reads any more goes a version later. Both engines have the same numbers and names
//! (`migrations/{sqlite,postgres}`). A migration that takes away what some version still needs says which managers it
//! serves (`UPDATE service SET oldest_manager = …`); others do not start on it, and those that run see it
//! (`serve::run`) and leave. Several managers may start at once: PostgreSQL lets one migrate, the others wait.
//!
//! A lock that managers at work hold is waited for so shortly that nobody notices, and asked for again after a pause that
//! grows. Each third time it is waited for somewhat longer than PostgreSQL waits before it looks who is in the way: then
//! it ends an autovacuum for the migration. A statement that takes longer than that and [`STATEMENT_MAX`] is cancelled.

use std::{borrow::Cow, time::Duration};

use sqlx::{
    PgConnection, PgPool,
    error::DatabaseError,
    migrate::{Migrate as _, MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{ACQUIRE_TIMEOUT, Db, DbError, DbResult, Tx};
use crate::fetch_one;

/// Which managers this one is among, when a schema says whom it serves. It goes up by one with the version that no
/// longer needs what a later migration takes away; that migration then raises `service.oldest_manager` to it.
pub const GENERATION: i64 = 1;
/// How long one statement of a migration may take once it has its locks. Whoever needs what it changes waits so long.
const STATEMENT_MAX: Duration = Duration::from_secs(3);
/// How long somebody else may migrate before this manager asks again.
const OTHERS_MAX: Duration = Duration::from_secs(10);
/// How long a lock is waited for: whoever comes behind one who waits for a table waits, too. Half of what a server takes
/// to look for a deadlock, by default: of a migration and a manager that wait for each other, it is the migration that
/// gives up. Source: PostgreSQL, 13.3.1 (conflicts of table locks) and `deadlock_timeout`.
const LOCK_MAX: Duration = Duration::from_millis(500);
/// Of so many tries the last waits for longer.
const LONGER_EVERY: u32 = 3;

/// What the server says when a lock did not come, when one of two who waited for each other is refused, and when a
/// statement took too long. Source: PostgreSQL, appendix A.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// See [`LOCK_NOT_AVAILABLE`].
const DEADLOCK: &str = "40P01";
/// See [`LOCK_NOT_AVAILABLE`].
const QUERY_CANCELED: &str = "57014";
/// Nobody waits longer behind a migration, whatever the server's `deadlock_timeout` is.
const LONGER_MAX: Duration = Duration::from_secs(2);

/// For SQLite.
pub static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
/// For PostgreSQL.
pub static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Why a manager does not run on a database.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A migration failed, or one that was applied has changed since.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Somebody holds what a migration changes.
    #[error(
        "the schema could not be brought up to date, because somebody holds what is changed: a backup (pg_dump) or an \
         export, an open transaction, an autovacuum against wraparound, or another migration (pg_stat_activity shows \
         who); nothing is half done: wait until the backup has ended, or end what it is, and start again"
    )]
    InUse(#[source] DbError),
    /// A migration would keep others from a table for too long.
    #[error(
        "the schema could not be brought up to date, because one change takes longer than managers at work can wait; \
         nothing is half done: ops/README.md (Upgrading) says how it is made by hand"
    )]
    TooLong(#[source] DbError),
    /// A later version has changed the schema in a way that this one cannot work with.
    #[error(
        "a later version has changed the database: it serves managers of generation {oldest} and later, and this one \
         is of {own}; start that version, or restore a backup from before it",
        own = GENERATION
    )]
    Newer {
        /// The oldest managers that may run.
        oldest: i64,
    },
}

/// How long a migration is tried when what it changes is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often it is begun, at least once.
    pub tries: u32,
    /// Pause after the first try; each further one is twice as long.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for Patience {
    /// Some five minutes, which a small backup takes: 31 s until the pauses are at their longest, and nine of those.
    fn default() -> Self {
        Self { tries: 15, pause: Duration::from_secs(1), pause_max: Duration::from_secs(30) }
    }
}

impl Patience {
    /// Pause after so many tries; none when no more follow.
    fn pause_after(&self, tries: u32) -> Option<Duration> {
        let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
        (tries < self.tries).then(|| self.pause.saturating_mul(doubled).min(self.pause_max))
    }
}

/// Applies what is missing. What a later version has applied is left as it is.
///
/// # Errors
/// See [`SchemaError`].
pub async fn run(db: &Db) -> Result<(), SchemaError> {
    run_with(db, Patience::default()).await
}

/// As [`run`], as long as the patience lasts.
///
/// # Errors
/// See [`SchemaError`].
pub async fn run_with(db: &Db, patience: Patience) -> Result<(), SchemaError> {
    // Before anything is added: who is shut out changes nothing.
    check(db).await?;
    match db {
        Db::Sqlite { writer, .. } => tolerant(&SQLITE).run(writer).await.map_err(DbError::from)?,
        Db::Postgres(pool) => run_on_server(&pool.connect_options(), patience).await?,
    }
    check(db).await
}

/// Fails when a later version has shut this one out.
async fn check(db: &Db) -> Result<(), SchemaError> {
    match oldest_manager(db).await? {
        Some(oldest) if GENERATION < oldest => Err(SchemaError::Newer { oldest }),
        Some(_) | None => Ok(()),
    }
}

/// The oldest managers that the schema serves; none where it says nothing of it yet.
///
/// # Errors
/// [`DbError`].
pub async fn oldest_manager(db: &Db) -> DbResult<Option<i64>> {
    let mut tx = db.read().await?;
    let (columns,): (i64,) = match &mut tx {
        Tx::Sqlite(tx) => {
            sqlx::query_as("SELECT COUNT(*) FROM pragma_table_info('service') WHERE name = 'oldest_manager'")
                .fetch_one(&mut **tx)
                .await?
        }
        Tx::Postgres(tx) => {
            sqlx::query_as(
                "SELECT COUNT(*)
                FROM pg_attribute
                WHERE attrelid = to_regclass('service')
                AND attname = 'oldest_manager'
                AND attisdropped = FALSE",
            )
            .fetch_one(&mut **tx)
            .await?
        }
    };
    let oldest = if columns == 0 {
        None
    } else {
        let (oldest,) = fetch_one!(&mut tx, (i64,), "SELECT oldest_manager FROM service WHERE slot = 1")?;
        Some(oldest)
    };
    // A migration that follows finds no lock of this.
    tx.commit().await?;
    Ok(oldest)
}

/// Tries until nobody is in the way.
async fn run_on_server(options: &PgConnectOptions, patience: Patience) -> Result<(), SchemaError> {
    let mut tries = 1;
    loop {
        let Err(error) = try_on_server(options, is_longer(tries)).await else { return Ok(()) };
        match code_of(&error).as_deref() {
            Some(LOCK_NOT_AVAILABLE | DEADLOCK) => {}
            Some(QUERY_CANCELED) => return Err(SchemaError::TooLong(error)),
            _ => return Err(SchemaError::Db(error)),
        }
        let Some(pause) = patience.pause_after(tries) else { return Err(SchemaError::InUse(error)) };
        tries += 1;
        tracing::warn!(event = "database.in_use", error = %error, "What a migration changes is in use; tried again");
        tokio::time::sleep(pause).await;
    }
}

/// Whether this try waits longer for a lock.
fn is_longer(tries: u32) -> bool {
    tries.is_multiple_of(LONGER_EVERY)
}

/// Migrates over a connection of its own: what is set and held on it ends with it.
async fn try_on_server(options: &PgConnectOptions, longer: bool) -> DbResult<()> {
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options.clone()).await?;
    let done = migrate_over(&pool, longer).await;
    pool.close().await;
    done
}

/// Waits for whoever migrates now, and then migrates without making others wait.
async fn migrate_over(pool: &PgPool, longer: bool) -> DbResult<()> {
    let mut connection = pool.acquire().await?;
    bound(&mut connection, OTHERS_MAX).await?;
    connection.lock().await?;
    let lock_max = if longer { longer_lock(&mut connection).await? } else { LOCK_MAX };
    bound(&mut connection, lock_max).await?;
    Ok(tolerant(&POSTGRES).run_direct(None, &mut *connection, false).await?)
}

/// Bounds how long this connection waits for a lock, and how long one statement takes with that.
async fn bound(connection: &mut PgConnection, lock_max: Duration) -> DbResult<()> {
    let statement_max = lock_max.saturating_add(STATEMENT_MAX);
    sqlx::query("SELECT set_config('lock_timeout', $1, FALSE), set_config('statement_timeout', $2, FALSE)")
        .bind(format!("{}ms", lock_max.as_millis()))
        .bind(format!("{}ms", statement_max.as_millis()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Long enough that the server looks who is in the way of a lock, which ends an autovacuum, but none against wraparound.
/// When somebody waits for the migration and the migration for them, one of the two is refused, perhaps the other one.
/// Source: PostgreSQL, 24.1.6 (the autovacuum daemon) and `deadlock_timeout`.
async fn longer_lock(connection: &mut PgConnection) -> DbResult<Duration> {
    let (deadlock_ms,): (i64,) =
        sqlx::query_as("SELECT setting::BIGINT FROM pg_settings WHERE name = 'deadlock_timeout'")
            .fetch_one(connection)
            .await?;
    let longer = Duration::from_millis(deadlock_ms.unsigned_abs()).saturating_add(LOCK_MAX);
    Ok(if longer <= LONGER_MAX { longer } else { LOCK_MAX })
}

/// The code by which the server says why a migration failed.
fn code_of(error: &DbError) -> Option<String> {
    let DbError::Migrate(MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) = error else {
        return None;
    };
    cause.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned)
}

/// A migrator that does not mind migrations of a newer version: that version may be running beside this one.
fn tolerant(migrator: &'static Migrator) -> Migrator {
    let mut tolerant = Migrator::with_migrations(migrator.iter().cloned().collect());
    tolerant.set_ignore_missing(true);
    tolerant
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_tried_for_five_minutes_with_pauses_that_grow_to_half_a_minute() {
        let patience = Patience::default();

        let pauses: Vec<u64> =
            (1..).map_while(|tries| patience.pause_after(tries)).map(|pause| pause.as_secs()).collect();

        assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 30]);
        assert!(pauses.is_sorted() && pauses.last() == Some(&30), "{pauses:?}");
        assert_eq!(pauses.iter().sum::<u64>(), 301);
    }

    #[test]
    fn two_tries_of_three_make_nobody_wait_long() {
        let longer: Vec<bool> = (1..=6).map(is_longer).collect();

        assert_eq!(longer, [false, false, true, false, false, true]);
    }
}
