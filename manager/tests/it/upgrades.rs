//! Managers of two versions on one database: what a later one adds harms no earlier one, and what would harm says so.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

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
        assert!(
            ready.ends_with("not ready: the database is being opened and its schema brought up to date\n"),
            "{ready}"
        );
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
