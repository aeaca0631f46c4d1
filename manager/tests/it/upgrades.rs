//! Managers of two versions on one database: what a later one adds harms no earlier one, and what would harm says so.

use std::{collections::BTreeSet, fs, io, path::Path, sync::Arc, time::Duration};

use manager::{
    db::{
        self, Db, Tx,
        migrate::{GENERATION, Patience, SchemaError},
        url::DatabaseUrl,
    },
    execute, fetch_one,
};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::net::TcpStream;

use crate::{
    server::{Running, plain, request, say, until_ready},
    session::Desk,
    testing::{at_once, on_both},
};

/// The newest migration of before the bounds for migrations, and how many there are up to it. Never changed.
const UNBOUND: (i64, usize) = (831, 38);
/// Whoever is served at all is served within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Changes the schema as a later version may: one more table, and one more column of each that there is.
async fn add_as_a_later_version(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    let tables: Vec<(String,)> = match &mut tx {
        Tx::Sqlite(tx) => sqlx::query_as(
            "SELECT name FROM sqlite_master
            WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations'",
        )
        .fetch_all(&mut **tx)
        .await
        .unwrap(),
        Tx::Postgres(tx) => sqlx::query_as(
            "SELECT table_name::TEXT FROM information_schema.tables
            WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations'",
        )
        .fetch_all(&mut **tx)
        .await
        .unwrap(),
    };
    assert!(30 < tables.len(), "{tables:?}");
    for (table,) in tables {
        let sql = AssertSqlSafe(format!("ALTER TABLE \"{table}\" ADD COLUMN later TEXT NOT NULL DEFAULT 'later'"));
        let added = match &mut tx {
            Tx::Sqlite(tx) => sqlx::query(sql).execute(&mut **tx).await.map(drop),
            Tx::Postgres(tx) => sqlx::query(sql).execute(&mut **tx).await.map(drop),
        };
        added.unwrap();
    }
    execute!(&mut tx, "CREATE TABLE later (id BIGINT NOT NULL PRIMARY KEY)").unwrap();
    execute!(
        &mut tx,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9001, 'later', TRUE, $1, 0)",
        vec![0_u8]
    )
    .unwrap();
    tx.commit().await.unwrap();
}

/// Takes the newest migration back.
async fn take_back(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    execute!(&mut tx, "ALTER TABLE service DROP COLUMN oldest_manager").unwrap();
    assert_eq!(execute!(&mut tx, "DELETE FROM _sqlx_migrations WHERE version = 841").unwrap(), 1);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_manager_runs_and_starts_on_what_a_later_version_has_added() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        desk.connected().await;

        add_as_a_later_version(&db).await;
        // The one that runs has every statement prepared for the schema of before.
        desk.connected().await;
        db::migrate::run(&db).await.unwrap();
        desk.connected().await;

        let sessions = desk.history().await;
        assert_eq!(sessions.len(), 3, "{sessions:?}");
        assert!(sessions.iter().all(|session| session.connected_at_ms.is_some()), "{sessions:?}");
    })
    .await;
}

#[tokio::test]
async fn a_manager_does_not_start_where_a_later_version_has_shut_it_out() {
    on_both(|db| async move {
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE service SET oldest_manager = $1", GENERATION).unwrap();
        tx.commit().await.unwrap();
        db::migrate::run(&db).await.unwrap();

        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE service SET oldest_manager = $1", GENERATION + 1).unwrap();
        tx.commit().await.unwrap();
        let refused = db::migrate::run(&db).await.unwrap_err();

        assert!(matches!(refused, SchemaError::Newer { oldest } if oldest == GENERATION + 1), "{refused:?}");
        let words = refused.to_string();
        assert!(words.contains(&format!("generation {}", GENERATION + 1)) && words.contains("restore"), "{words}");
    })
    .await;
}

#[tokio::test]
async fn a_manager_that_is_shut_out_changes_nothing() {
    on_both(|db| async move {
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "DROP TABLE halts").unwrap();
        execute!(&mut tx, "ALTER TABLE incidents DROP COLUMN stopped_at_ms").unwrap();
        execute!(&mut tx, "ALTER TABLE incidents DROP COLUMN stopped_until_ms").unwrap();
        assert_eq!(execute!(&mut tx, "DELETE FROM _sqlx_migrations WHERE version = 861").unwrap(), 1);
        execute!(&mut tx, "UPDATE service SET oldest_manager = $1", GENERATION + 1).unwrap();
        tx.commit().await.unwrap();

        let refused = db::migrate::run(&db).await.unwrap_err();

        assert!(matches!(refused, SchemaError::Newer { .. }), "{refused:?}");
        let mut tx = db.read().await.unwrap();
        let (applied,) =
            fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM _sqlx_migrations WHERE version = 861").unwrap();
        assert_eq!(applied, 0);
    })
    .await;
}

#[tokio::test]
async fn of_managers_that_start_at_once_one_migrates_and_all_start() {
    on_both(|db| async move {
        take_back(&db).await;

        let started = at_once(4, |_| {
            let db = db.clone();
            async move { db::migrate::run(&db).await }
        })
        .await;

        assert!(started.iter().all(Result::is_ok), "{started:?}");
        let mut tx = db.read().await.unwrap();
        assert_eq!(fetch_one!(&mut tx, (i64,), "SELECT oldest_manager FROM service").unwrap(), (1,));
    })
    .await;
}

#[tokio::test]
async fn a_migration_lets_others_pass_while_somebody_holds_what_it_changes() {
    on_both(|db| async move {
        let Db::Postgres(_) = &db else { return };
        take_back(&db).await;
        let mut holder = db.read().await.unwrap();
        fetch_one!(&mut holder, (i64,), "SELECT version FROM service").unwrap();
        let migrating = tokio::spawn({
            let db = db.clone();
            async move { db::migrate::run(&db).await }
        });
        tokio::time::timeout(PATIENCE, until_service_is_waited_for(&db)).await.unwrap();

        let pass = async {
            let mut behind = db.read().await.unwrap();
            fetch_one!(&mut behind, (i64,), "SELECT version FROM service").unwrap();
            behind.commit().await.unwrap();
        };
        tokio::time::timeout(PATIENCE, pass).await.expect("everybody waits behind the migration");
        assert!(!migrating.is_finished(), "the table is held still");
        holder.commit().await.unwrap();

        migrating.await.unwrap().unwrap();
        let mut tx = db.read().await.unwrap();
        assert_eq!(fetch_one!(&mut tx, (i64,), "SELECT oldest_manager FROM service").unwrap(), (1,));
    })
    .await;
}

#[tokio::test]
async fn a_migration_that_finds_no_moment_says_who_may_be_in_the_way_and_leaves_nothing_half_done() {
    on_both(|db| async move {
        let Db::Postgres(_) = &db else { return };
        take_back(&db).await;
        let mut holder = db.read().await.unwrap();
        fetch_one!(&mut holder, (i64,), "SELECT version FROM service").unwrap();
        // The third try waits longer, and in vain, too.
        let hurried = Patience { tries: 3, pause: Duration::ZERO, pause_max: Duration::ZERO };

        let refused = db::migrate::run_with(&db, hurried).await.unwrap_err();

        assert!(matches!(refused, SchemaError::InUse(_)), "{refused:?}");
        let words = refused.to_string();
        let names_all = ["pg_dump", "export", "autovacuum", "pg_stat_activity"].iter().all(|who| words.contains(who));
        assert!(names_all, "{words}");
        holder.commit().await.unwrap();
        db::migrate::run(&db).await.unwrap();
        assert_eq!(db::migrate::oldest_manager(&db).await.unwrap(), Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_manager_that_waits_for_its_migration_says_so_and_serves_when_it_is_through() {
    on_both(|db| async move {
        let Db::Postgres(pool) = &db else { return };
        take_back(&db).await;
        let mut holder = db.read().await.unwrap();
        fetch_one!(&mut holder, (i64,), "SELECT version FROM service").unwrap();
        let running = start_beside(pool).await;
        tokio::time::timeout(PATIENCE, until_service_is_waited_for(&db)).await.unwrap();

        let live = plain(running.private_address, "/livez").await;
        assert!(live.starts_with("HTTP/1.1 200"), "{live}");
        let ready = plain(running.private_address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
        assert!(ready.ends_with("not ready: the schema is being brought up to date\n"), "{ready}");
        let metrics = plain(running.private_address, "/metrics").await;
        assert!(metrics.contains("\nmanager_ready 0\n") && metrics.contains("manager_build_info"), "{metrics}");
        let refused = TcpStream::connect(running.address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        holder.commit().await.unwrap();

        until_ready(running.private_address).await;
        let answer = say(&running.connector, running.address, request("/v1/openapi.json").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        running.shutdown.drain();
        running.server.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_manager_that_waits_for_its_migration_leaves_when_it_is_told_to() {
    on_both(|db| async move {
        let Db::Postgres(pool) = &db else { return };
        take_back(&db).await;
        let mut holder = db.read().await.unwrap();
        fetch_one!(&mut holder, (i64,), "SELECT version FROM service").unwrap();
        let running = start_beside(pool).await;
        tokio::time::timeout(PATIENCE, until_service_is_waited_for(&db)).await.unwrap();

        running.shutdown.drain();

        let ended = tokio::time::timeout(PATIENCE, running.server).await.expect("it waits for its migration still");
        ended.unwrap().unwrap();
        assert!(TcpStream::connect(running.private_address).await.is_err());
        holder.commit().await.unwrap();
    })
    .await;
}

/// A manager of its own on the same schema.
async fn start_beside(pool: &PgPool) -> Running {
    let options = Arc::unwrap_or_clone(pool.connect_options());
    Running::start_with(|config| config.database.url = DatabaseUrl::Postgres(Box::new(options))).await
}

async fn until_service_is_waited_for(db: &Db) {
    loop {
        let mut tx = db.read().await.unwrap();
        let (waiting,) = fetch_one!(
            &mut tx,
            (i64,),
            "SELECT COUNT(*)
            FROM pg_locks l
            JOIN pg_class c ON c.oid = l.relation
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE l.granted = FALSE AND c.relname = 'service' AND n.nspname = current_schema()"
        )
        .unwrap();
        tx.commit().await.unwrap();
        if 0 < waiting {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_migration_that_an_earlier_version_could_not_run_with_shuts_it_out() {
    for migrator in [&db::migrate::SQLITE, &db::migrate::POSTGRES] {
        let (last, count) = UNBOUND;
        let (unbound, bound): (Vec<_>, Vec<_>) = migrator.iter().partition(|migration| migration.version <= last);
        assert_eq!(unbound.len(), count, "the number of a new migration is above {last}");
        for migration in bound {
            let (version, sql) = (migration.version, migration.sql.as_str());
            let harms = harms(sql);
            let oldest = oldest_manager(sql);
            assert!(harms.is_empty() || oldest.is_some(), "migration {version} must raise oldest_manager: {harms:?}");
            assert!(oldest.unwrap_or_default() <= GENERATION, "migration {version} shuts out its own version");
            let holds = holds(sql);
            assert!(holds.is_empty(), "migration {version} makes others wait, see ops/README.md: {holds:?}");
            assert!(!migration.no_tx, "migration {version} can be left half done, see ops/README.md");
        }
    }
}

#[test]
fn what_an_earlier_version_could_not_run_with_is_known() {
    for harmful in [
        "DROP TABLE a",
        "ALTER TABLE a\n    DROP COLUMN b",
        "alter table a rename to b",
        "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE a ALTER COLUMN b DROP NOT NULL",
        "ALTER TABLE a ALTER COLUMN b TYPE BIGINT",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT '', ADD COLUMN c TEXT NOT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT UNIQUE",
        "ALTER TABLE a ADD COLUMN b BIGINT CHECK (b < 3)",
        "ALTER TABLE a ADD COLUMN b TEXT REFERENCES c (b)",
        "ALTER TABLE a ADD COLUMN b BIGINT DEFAULT random()",
        "ALTER TABLE a ADD CONSTRAINT b CHECK (c < 3)",
        "CREATE UNIQUE INDEX i ON a (b)",
        "CREATE INDEX i ON a(b)",
        "CREATE INDEX CONCURRENTLY i ON a (b)",
        "CREATE TABLE b AS SELECT c FROM a",
        "CREATE TABLE IF NOT EXISTS b (c TEXT)",
        "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f()",
        "UPDATE a SET b = 1",
        "UPDATE service SET version = 1, oldest_manager = 1",
        "DELETE FROM a",
        "TRUNCATE a",
        "LOCK TABLE a",
        "INSERT INTO a (b) SELECT c FROM d",
        "INSERT INTO a (b) VALUES (1) ON CONFLICT (b) DO UPDATE SET b = 2",
        "WITH b AS (DELETE FROM a RETURNING c) INSERT INTO x (id) SELECT c FROM b",
        "/* it is only spoken of */ CREATE TABLE a (b TEXT)",
    ] {
        assert_eq!(harms(harmful).len(), 1, "{harmful}");
        assert_eq!(harms(&format!("CREATE TABLE x (id TEXT NOT NULL);\n{harmful};\n")).len(), 1, "{harmful}");
    }
    let harmless = "-- DROP TABLE a; it is only spoken of\n
        CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, b BIGINT NOT NULL CHECK (b < 3));
        CREATE UNIQUE INDEX i ON a (b);
        CREATE INDEX j ON a(b);
        ALTER TABLE sessions ADD COLUMN c TEXT;
        ALTER TABLE sessions ADD COLUMN d TEXT NOT NULL DEFAULT '; DROP TABLE a -- it''s only spoken of';
        ALTER TABLE sessions ADD COLUMN e BIGINT DEFAULT -1;
        ALTER TABLE sessions ADD COLUMN f BOOLEAN NOT NULL DEFAULT FALSE;
        INSERT INTO a (id, b) VALUES ('x', 1);
        INSERT INTO a (id, b) SELECT session_id, 2 FROM sessions;
        UPDATE a SET b = 2;
        DELETE FROM a;
        INSERT INTO settings (name) VALUES ('x');";
    assert_eq!(harms(harmless), Vec::<String>::new());
    assert_eq!(oldest_manager(harmless), None);
    assert_eq!(oldest_manager("DROP TABLE a;\nUPDATE service\nSET oldest_manager = 7;\n"), Some(7));
    assert_eq!(harms("INSERT INTO a (b) VALUES ('--'); DROP TABLE a;"), ["DROP TABLE A"]);
}

#[test]
fn what_takes_long_on_a_large_table_is_known() {
    for long in [
        "CREATE INDEX i ON sessions (region)",
        "CREATE UNIQUE INDEX i ON sessions (region)",
        "CREATE INDEX CONCURRENTLY i ON sessions (region)",
        "UPDATE sessions SET region = ''",
        "DELETE FROM sessions",
        "INSERT INTO sessions (session_id) SELECT session_id FROM receptions",
        "WITH b AS (DELETE FROM sessions RETURNING c) INSERT INTO x (id) SELECT c FROM b",
        "/* it is only spoken of */ UPDATE sessions SET region = ''",
        "CREATE TABLE b AS SELECT region FROM sessions",
        "ALTER TABLE sessions ALTER COLUMN region TYPE BIGINT",
        "ALTER TABLE sessions ALTER COLUMN region SET DATA TYPE BIGINT",
        "alter table sessions\n    alter region type bigint",
        "ALTER TABLE ONLY sessions ALTER COLUMN region TYPE BIGINT",
        "ALTER TABLE sessions DROP COLUMN state, ALTER COLUMN region TYPE BIGINT",
        "ALTER TABLE sessions ALTER COLUMN region SET NOT NULL",
        "ALTER TABLE sessions ADD CONSTRAINT c CHECK (region <> '')",
        "ALTER TABLE sessions ADD CONSTRAINT c FOREIGN KEY (region) REFERENCES regions (region)",
        "ALTER TABLE sessions ADD FOREIGN KEY (region) REFERENCES regions (region)",
        "ALTER TABLE sessions ADD CHECK (region IN ('a', 'b'))",
        "ALTER TABLE sessions ADD CONSTRAINT c UNIQUE (region)",
        "ALTER TABLE sessions ADD PRIMARY KEY (region)",
        "ALTER TABLE sessions VALIDATE CONSTRAINT c",
        "ALTER TABLE sessions ADD COLUMN b TEXT UNIQUE",
        "ALTER TABLE sessions ADD COLUMN b BIGINT CHECK (b < 3)",
        "ALTER TABLE sessions ADD COLUMN b BIGINT DEFAULT random()",
        "ALTER TABLE sessions ADD COLUMN b BIGINT GENERATED ALWAYS AS (started_at_ms / 2) STORED",
        "ALTER TABLE sessions ADD COLUMN b TEXT, ADD COLUMN c BIGSERIAL",
        "ALTER TABLE sessions SET UNLOGGED",
        "ALTER TYPE kind ADD ATTRIBUTE b TEXT CASCADE",
        "ALTER DOMAIN kind ADD CHECK (VALUE <> '')",
        "LOCK TABLE sessions",
        "CLUSTER sessions",
        "REINDEX TABLE sessions",
        "VACUUM FULL sessions",
    ] {
        assert_eq!(holds(long).len(), 1, "{long}");
        assert_eq!(holds(&format!("{long};\nUPDATE service SET oldest_manager = 7;\n")).len(), 1, "{long}");
    }
    let short = "CREATE TABLE a (id TEXT NOT NULL); CREATE INDEX i ON a (id); UPDATE a SET id = ''; DELETE FROM a;
        ALTER TABLE a ADD CONSTRAINT c CHECK (id <> '');
        INSERT INTO a (id) SELECT region FROM sessions;
        UPDATE service SET oldest_manager = 7; DROP TABLE sessions; DROP INDEX i;
        ALTER TABLE sessions DROP COLUMN region, DROP CONSTRAINT c;
        ALTER TABLE sessions RENAME COLUMN region TO place;
        ALTER TABLE sessions ADD COLUMN b TEXT NOT NULL DEFAULT '', ADD COLUMN c BIGINT;
        ALTER TABLE sessions ALTER COLUMN b DROP NOT NULL, ALTER COLUMN b SET DEFAULT 'x', ALTER COLUMN b DROP DEFAULT;
        ALTER TABLE sessions ADD CONSTRAINT d CHECK (b IN ('x', 'y')) NOT VALID;
        ALTER TABLE sessions ADD CONSTRAINT e CHECK (c IS NOT NULL) NOT VALID;
        ALTER TABLE sessions ADD FOREIGN KEY (b) REFERENCES a (id) NOT VALID;
        INSERT INTO settings (name) VALUES ('x') ON CONFLICT (name) DO UPDATE SET name = 'y';";
    assert_eq!(holds(short), Vec::<String>::new());
}

/// One more column would change what such a statement gives, in the middle of the work of a manager that runs.
#[test]
fn no_statement_asks_for_every_column() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                assert!(!asks_for_all(&text), "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(100 < files, "{files}");
}

#[test]
fn every_way_to_ask_for_every_column_is_known() {
    for asks in ["SELECT * FROM a", "SELECT\n    *\nFROM a", "RETURNING *", "SELECT t.* FROM a t", "SELECT b, a_1.*"] {
        assert!(asks_for_all(asks), "{asks}");
    }
    assert!(!asks_for_all("SELECT COUNT(*), a.b * 2, a.b FROM a WHERE c LIKE '.*'"));
}

fn asks_for_all(text: &str) -> bool {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let ends_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'"';
    let of_a_table = |(at, _): (usize, &str)| text.as_bytes()[..at].last().is_some_and(ends_a_name);
    ["SELECT *", "SELECT DISTINCT *", "RETURNING *"].iter().any(|words| text.contains(words))
        || text.match_indices(".*").any(of_a_table)
}

/// The statements of a migration, each in one line of capitals, without comments; what is in quotes is left out.
fn statements(sql: &str) -> Vec<String> {
    let (mut code, mut rest) = (String::new(), sql);
    while let Some(at) = rest.find(['\'', '-']) {
        let (before, after) = rest.split_at(at);
        code.push_str(before);
        rest = if let Some(comment) = after.strip_prefix("--") {
            code.push(' ');
            comment.split_once('\n').map_or("", |(_, next)| next)
        } else if let Some(text) = after.strip_prefix('\'') {
            code.push_str("''");
            text.split_once('\'').map_or("", |(_, behind)| behind)
        } else {
            code.push('-');
            after.strip_prefix('-').unwrap_or_default()
        };
    }
    code.push_str(rest);
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    code.split(';').map(one_line).filter(|statement| !statement.is_empty()).collect()
}

/// Statements that a manager of the version before may not be able to run with: all but those known to be harmless.
fn harms(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    let made = made(&statements);
    statements.iter().filter(|statement| !is_harmless(statement, &made)).cloned().collect()
}

/// Statements that may take long on a large table, while everybody else waits: all but those known to be short. Nothing
/// excuses them, whomever the schema serves.
fn holds(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    let made = made(&statements);
    let is_long = |statement: &&String| !is_harmless(statement, &made) && !is_short(statement, &made);
    statements.iter().filter(is_long).cloned().collect()
}

/// The tables that a migration makes itself: nobody else knows them yet.
fn made(statements: &[String]) -> BTreeSet<&str> {
    statements.iter().filter_map(|statement| made_table(statement)).collect()
}

fn made_table(statement: &str) -> Option<&str> {
    let (name, columns) = statement.strip_prefix("CREATE TABLE ")?.split_once('(')?;
    let name = name.trim_end();
    (!name.contains(' ') && columns.ends_with(')') && !columns.contains(" SELECT ")).then_some(name)
}

fn is_harmless(statement: &str, made: &BTreeSet<&str>) -> bool {
    let words: Vec<&str> = statement.split(' ').collect();
    let has = |word: &str| words.contains(&word);
    let is_made = |table: &str| made.contains(table.split('(').next().unwrap_or_default());
    match words.as_slice() {
        ["CREATE", "TABLE", ..] => made_table(statement).is_some(),
        ["ALTER", "TABLE", _, "ADD", "COLUMN", _, kind, rest @ ..] => is_free_column(kind, rest),
        ["INSERT", "INTO", table, ..] => {
            let adds = !["UPDATE", "DELETE", "WITH"].into_iter().any(has);
            adds && (is_made(table) || (has("VALUES") && !has("SELECT")))
        }
        ["UPDATE", "SERVICE", "SET", "OLDEST_MANAGER", "=", oldest] => oldest.parse::<i64>().is_ok(),
        ["CREATE", "INDEX", _, "ON", table, ..]
        | ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..]
        | ["UPDATE", table, "SET", ..]
        | ["DELETE", "FROM", table, ..] => is_made(table),
        _ => false,
    }
}

/// Whether a statement is done at once however many rows there are, even if earlier managers cannot run with it.
fn is_short(statement: &str, made: &BTreeSet<&str>) -> bool {
    let words: Vec<&str> = statement.split(' ').collect();
    match words.as_slice() {
        ["DROP", "TABLE" | "INDEX", ..] | ["ALTER", "TABLE", _, "RENAME", ..] => true,
        ["ALTER", "TABLE", table, changes @ ..] => {
            made.contains(*table) || parts(&changes.join(" ")).into_iter().all(is_short_change)
        }
        ["INSERT", "INTO", ..] => words.contains(&"VALUES") && !statement.contains("SELECT"),
        _ => false,
    }
}

/// Whether one change of a table that is there neither reads nor writes its rows. A constraint that is not validated
/// holds for new rows only. Source: PostgreSQL, ALTER TABLE, notes.
fn is_short_change(change: &str) -> bool {
    let words: Vec<&str> = change.split(' ').collect();
    match words.as_slice() {
        ["ADD", "COLUMN", _, kind, rest @ ..] => is_free_column(kind, rest),
        ["DROP", "COLUMN" | "CONSTRAINT", ..]
        | ["ALTER", "COLUMN", _, "DROP", "NOT", "NULL"]
        | ["ALTER", "COLUMN", _, "DROP", "DEFAULT"]
        | ["ALTER", "COLUMN", _, "SET", "DEFAULT", ..]
        | ["ADD", "CONSTRAINT" | "CHECK" | "FOREIGN", .., "NOT", "VALID"] => true,
        _ => false,
    }
}

/// What stands between commas, but for those in parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let ends_a_part = |char: char| {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        char == ',' && depth == 0
    };
    text.split(ends_a_part).map(str::trim).collect()
}

/// Whether an added column needs nothing of whoever does not know it, and no row is written for it: its type and what
/// follows that. Source: PostgreSQL, ALTER TABLE, notes (a constant default rewrites no table).
fn is_free_column(kind: &str, rest: &[&str]) -> bool {
    if !["TEXT", "BIGINT", "BOOLEAN", "BYTEA"].contains(&kind) {
        return false;
    }
    match rest {
        [] => true,
        ["DEFAULT", value] | ["NOT", "NULL", "DEFAULT", value] | ["DEFAULT", value, "NOT", "NULL"] => {
            let is_text = !value.is_empty() && value.chars().all(|char| char == '\'');
            is_text || value.parse::<i64>().is_ok() || ["TRUE", "FALSE"].contains(value)
        }
        _ => false,
    }
}

/// The oldest managers that a migration still serves, when it says so.
fn oldest_manager(sql: &str) -> Option<i64> {
    let told = |statement: &String| statement.strip_prefix("UPDATE SERVICE SET OLDEST_MANAGER = ")?.parse().ok();
    statements(sql).iter().find_map(told)
}
