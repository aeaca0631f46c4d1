//! Brings the schema up to date.
//!
//! Migrations go forward only, and each leaves a schema that the version before still runs on. Both engines have the
//! same numbers and names (`migrations/{sqlite,postgres}`). Several managers may start at once: PostgreSQL lets one
//! migrate, the others wait.

use sqlx::migrate::Migrator;

use super::{Db, DbResult};

/// For SQLite.
pub static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
/// For PostgreSQL.
pub static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Applies what is missing.
///
/// # Errors
/// [`super::DbError::Migrate`] when a migration fails, or one that was applied has changed since.
pub async fn run(db: &Db) -> DbResult<()> {
    match db {
        Db::Sqlite { writer, .. } => tolerant(&SQLITE).run(writer).await?,
        Db::Postgres(pool) => tolerant(&POSTGRES).run(pool).await?,
    }
    Ok(())
}

/// A migrator that does not mind migrations of a newer version: that version may be running beside this one.
fn tolerant(migrator: &'static Migrator) -> Migrator {
    let mut tolerant = Migrator::with_migrations(migrator.iter().cloned().collect());
    tolerant.set_ignore_missing(true);
    tolerant
}
