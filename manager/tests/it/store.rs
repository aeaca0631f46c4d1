//! Rows and statements on both engines.

use manager::{
    audit, company,
    db::{self, Db, DbError, url::DatabaseUrl},
    events, execute, fetch_all, fetch_one, fetch_optional,
    throttle::{self, Rate, Taken},
};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};

use crate::testing::{Manager, START_MS, at_once, on_both};

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Everything {
    id: String,
    number: i64,
    yes: bool,
    absent: Option<String>,
    bytes: Vec<u8>,
}

#[tokio::test]
async fn a_transaction_that_nobody_waits_for_any_more_leaves_its_connection_clean() {
    on_both(|db| async move {
        // Given up after ever more steps: before it is sent, while it is under way, after its answer.
        for steps in 1..50 {
            let mut begun = Box::pin(db.read());
            for _ in 0..steps {
                let step = |context: &mut Context<'_>| Poll::Ready(begun.as_mut().poll(context).is_ready());
                if std::future::poll_fn(step).await {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(begun);

            let mut tx = db.begin().await.unwrap();
            let written = execute!(&mut tx, "UPDATE audit_head SET seq = seq");
            assert_eq!(written.unwrap(), 1, "given up after {steps} steps");
            tx.commit().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_statement_by_itself_sees_the_moment_at_which_it_is_asked_and_holds_up_nobody() {
    on_both(|db| async move {
        let mut once = db.read_once().await.unwrap();
        let mut whole = db.read().await.unwrap();
        let seq = async |tx: &mut db::Tx| audit::store::head(tx).await.unwrap().seq;
        let before = seq(&mut once).await;
        assert_eq!(seq(&mut whole).await, before);

        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE audit_head SET seq = seq + 1").unwrap();
        assert_eq!(seq(&mut once).await, before, "not committed yet");
        tx.commit().await.unwrap();

        assert_eq!(seq(&mut once).await, before + 1);
        assert_eq!(seq(&mut whole).await, before, "one moment from its begin to its end");
        once.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn postgresql_compiles_no_statement() {
    on_both(|db| async move {
        if db.engine() == db::Engine::Postgres {
            let mut tx = db.read().await.unwrap();
            assert_eq!(fetch_one!(&mut tx, (String,), "SELECT current_setting('jit')").unwrap().0, "off");
        }
    })
    .await;
}

#[tokio::test]
async fn who_begins_at_a_server_that_hangs_is_told_that_it_is_busy_and_what_begins_late_is_rolled_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://nobody@{}/nothing?sslmode=disable", listener.local_addr().unwrap());
    let (asked_of, mut asked) = mpsc::channel(8);
    let may_answer = Arc::new(Semaphore::new(0));
    tokio::spawn(hang(listener, asked_of, Arc::clone(&may_answer)));
    let db = Db::open(&url.parse().unwrap(), 2).await.unwrap();
    let begun = tokio::spawn({
        let db = db.clone();
        async move { db.begin().await.map(drop) }
    });
    assert_eq!(asked.recv().await.unwrap(), "BEGIN");

    // Everybody waits now, so that the clock goes on to the next deadline.
    tokio::time::pause();
    let busy = begun.await.unwrap().unwrap_err();
    tokio::time::resume();
    assert!(matches!(busy, DbError::Busy(_)), "{busy:?}");

    may_answer.add_permits(2);
    let next = tokio::time::timeout(Duration::from_secs(30), asked.recv()).await.unwrap();
    assert_eq!(next.unwrap(), "ROLLBACK");
}

#[tokio::test]
async fn a_statement_by_itself_is_not_waited_for_longer_at_a_server_that_hangs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://nobody@{}/nothing?sslmode=disable", listener.local_addr().unwrap());
    let (asked_of, mut asked) = mpsc::channel(8);
    tokio::spawn(hang(listener, asked_of, Arc::new(Semaphore::new(0))));
    let db = Db::open(&url.parse().unwrap(), 2).await.unwrap();
    let heads = tokio::spawn(async move { events::store::heads(&db, "[]").await });
    let prepared = asked.recv().await.unwrap();
    assert!(prepared.contains("event_heads"), "{prepared}");

    // Everybody waits now, so that the clock goes on to the next deadline.
    tokio::time::pause();
    let busy = heads.await.unwrap().unwrap_err();
    tokio::time::resume();
    assert!(matches!(busy, DbError::Busy(_)), "{busy:?}");
}

/// Takes connections in as a PostgreSQL does; says which statements come, and answers each once there is a permit.
async fn hang(listener: TcpListener, asked_of: mpsc::Sender<String>, may_answer: Arc<Semaphore>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(hang_on(stream, asked_of.clone(), Arc::clone(&may_answer)));
    }
}

/// One connection. Source: PostgreSQL, 54.7 (message formats): `R` lets in, `Z` is ready, `Q` asks, `P` has a statement
/// prepared, `S` wants a `Z`.
async fn hang_on(mut stream: TcpStream, asked_of: mpsc::Sender<String>, may_answer: Arc<Semaphore>) {
    body(&mut stream).await;
    stream.write_all(&[message(b'R', &[0; 4]), message(b'Z', b"I")].concat()).await.unwrap();
    while let Ok(kind) = stream.read_u8().await {
        let asked = body(&mut stream).await;
        if matches!(kind, b'Q' | b'P') {
            let statement = String::from_utf8_lossy(&asked).trim_matches('\0').to_owned();
            let state = if statement == "BEGIN" { b"T" } else { b"I" };
            if !statement.starts_with("SET ") {
                asked_of.send(statement).await.unwrap();
                may_answer.acquire().await.unwrap().forget();
            }
            stream.write_all(&[message(b'C', &asked), message(b'Z', state)].concat()).await.unwrap();
        } else if kind == b'S' {
            stream.write_all(&message(b'Z', b"I")).await.unwrap();
        }
    }
}

async fn body(stream: &mut TcpStream) -> Vec<u8> {
    let len = usize::try_from(stream.read_u32().await.unwrap()).unwrap();
    let mut body = vec![0; len - 4];
    stream.read_exact(&mut body).await.unwrap();
    body
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &len.to_be_bytes()[..], body].concat()
}

#[tokio::test]
async fn one_statement_gives_the_same_on_both_engines() {
    on_both(|db| async move {
        let mut tx = db.begin().await.unwrap();
        match db.engine() {
            db::Engine::Sqlite => {
                execute!(&mut tx, "CREATE TABLE t (id TEXT, number BIGINT, yes BOOLEAN, absent TEXT, bytes BLOB)")
            }
            db::Engine::Postgres => {
                execute!(&mut tx, "CREATE TABLE t (id TEXT, number BIGINT, yes BOOLEAN, absent TEXT, bytes BYTEA)")
            }
        }
        .unwrap();
        let inserted = execute!(
            &mut tx,
            "INSERT INTO t (id, number, yes, absent, bytes) VALUES ($1, $2, $3, $4, $5)",
            "一",
            i64::MIN,
            true,
            None::<String>,
            vec![0_u8, 255]
        );
        assert_eq!(inserted.unwrap(), 1);
        let row = Everything { id: "一".to_owned(), number: i64::MIN, yes: true, absent: None, bytes: vec![0, 255] };
        assert_eq!(fetch_one!(&mut tx, Everything, "SELECT * FROM t").unwrap(), row);
        assert_eq!(fetch_all!(&mut tx, (i64,), "SELECT COUNT(*) FROM t WHERE yes = TRUE").unwrap(), [(1,)]);
        let first = fetch_optional!(
            &mut tx,
            (String,),
            "UPDATE t SET yes = FALSE WHERE yes = TRUE AND number < $1 RETURNING id",
            0_i64
        );
        assert_eq!(first.unwrap(), Some(("一".to_owned(),)));
        let second = fetch_optional!(&mut tx, (String,), "UPDATE t SET yes = FALSE WHERE yes = TRUE RETURNING id");
        assert_eq!(second.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_dropped_changes_nothing() {
    on_both(|db| async move {
        let mut tx = db.begin().await.unwrap();
        company::create(&mut tx, &"acme".parse().unwrap(), &"A".parse().unwrap(), START_MS).await.unwrap();
        drop(tx);

        let mut tx = db.read().await.unwrap();
        assert_eq!(company::store::find(&mut tx, &"acme".parse().unwrap()).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn of_simultaneous_companies_with_one_code_one_is_created() {
    on_both(|db| async move {
        let results = at_once(8, |_| {
            let db = db.clone();
            async move {
                let mut tx = db.begin().await?;
                company::create(&mut tx, &"acme".parse().unwrap(), &"A".parse().unwrap(), START_MS).await?;
                tx.commit().await
            }
        })
        .await;

        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(results.iter().filter_map(|result| result.as_ref().err()).all(|e| matches!(e, DbError::Duplicate(_))));
    })
    .await;
}

#[tokio::test]
async fn a_read_sees_one_moment_and_cannot_write_to_postgresql() {
    on_both(|db| async move {
        let mut read = db.read().await.unwrap();
        let before = fetch_one!(&mut read, (i64,), "SELECT COUNT(*) FROM companies").unwrap();
        let mut tx = db.begin().await.unwrap();
        company::create(&mut tx, &"acme".parse().unwrap(), &"A".parse().unwrap(), START_MS).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(fetch_one!(&mut read, (i64,), "SELECT COUNT(*) FROM companies").unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn simultaneous_takers_of_a_bucket_get_no_more_than_it_holds() {
    on_both(|db| async move {
        let rate = Rate { max: 7, window: Duration::from_mins(1) };
        let taken = at_once(20, |_| {
            let db = db.clone();
            async move {
                let mut tx = db.begin().await.unwrap();
                let taken = throttle::take(&mut tx, "test", "somebody", rate, START_MS).await.unwrap();
                tx.commit().await.unwrap();
                taken
            }
        })
        .await;

        assert_eq!(taken.iter().filter(|taken| **taken == Taken::Within).count(), 7);
        let mut tx = db.begin().await.unwrap();
        assert!(!throttle::has_room(&mut tx, "test", "somebody", rate, START_MS).await.unwrap());
        assert!(throttle::has_room(&mut tx, "test", "another", rate, START_MS).await.unwrap());
        assert!(throttle::has_room(&mut tx, "test", "somebody", rate, START_MS + 60_000).await.unwrap());
        assert_eq!(throttle::sweep(&mut tx, START_MS + 60_000).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn migrating_twice_changes_nothing_and_both_engines_have_the_same_migrations() {
    on_both(|db| async move { db::migrate::run(&db).await.unwrap() }).await;

    let names = |migrator: &sqlx::migrate::Migrator| {
        migrator.iter().map(|migration| (migration.version, migration.description.clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(&db::migrate::SQLITE), names(&db::migrate::POSTGRES));
}

/// SQLite makes a table anew to be rid of a constraint.
#[tokio::test]
async fn organisations_and_who_belongs_to_them_outlive_the_change_of_their_table() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&DatabaseUrl::Sqlite(folder.path().join("old.sqlite")), 8).await.unwrap();
    let Db::Sqlite { writer, .. } = &db else { panic!("it is a file") };
    let others = db::migrate::SQLITE.iter().filter(|migration| migration.version != 802).cloned().collect();
    sqlx::migrate::Migrator::with_migrations(others).run(writer).await.unwrap();
    let manager = Manager::new(db.clone());
    let company_id = manager.company("acme").await.to_string();
    let operator_id = manager.operator(company_id.parse().unwrap(), "sato").await.to_string();
    let add = async |id: &str, parent: Option<&str>, name: &str| {
        let mut tx = db.begin().await.unwrap();
        let added = execute!(
            &mut tx,
            "INSERT INTO organisations (organisation_id, company_id, parent_id, path, name, note, created_at_ms, version)
            VALUES ($1, $2, $3, $4, $5, 'note', 1, 7)",
            id,
            &company_id,
            parent,
            format!("{id}/"),
            name
        );
        tx.commit().await.unwrap();
        added
    };
    add("a", None, "東日本").await.unwrap();
    add("b", Some("a"), "東京").await.unwrap();
    assert!(matches!(add("c", None, "東京").await, Err(DbError::Duplicate(_))));
    let join = async |organisation_id: &str| {
        let mut tx = db.begin().await.unwrap();
        execute!(
            &mut tx,
            "UPDATE operators SET organisation_id = $1 WHERE operator_id = $2",
            organisation_id,
            &operator_id
        )?;
        tx.commit().await
    };
    join("b").await.unwrap();

    db::migrate::run(&db).await.unwrap();

    add("c", None, "東京").await.unwrap();
    assert!(matches!(add("d", Some("a"), "東京").await, Err(DbError::Duplicate(_))));
    assert!(join("nowhere").await.is_err(), "who refers to what is not there is still refused");
    let mut tx = db.read().await.unwrap();
    let rows = fetch_all!(
        &mut tx,
        (String, Option<String>, String, i64, i64),
        "SELECT g.organisation_id, g.parent_id, g.note, g.version,
            (SELECT COUNT(*) FROM operators o WHERE o.organisation_id = g.organisation_id)
        FROM organisations g
        ORDER BY g.organisation_id
        LIMIT 10"
    )
    .unwrap();
    let row = |id: &str, parent: Option<&str>, people| {
        (id.to_owned(), parent.map(str::to_owned), "note".to_owned(), 7, people)
    };
    assert_eq!(rows, [row("a", None, 0), row("b", Some("a"), 1), row("c", None, 0)]);
}

#[tokio::test]
async fn three_buckets_are_taken_from_at_once_or_none_while_their_block_lasts() {
    on_both(|db| async move {
        let rate = |max, minutes| Rate { max, window: Duration::from_mins(minutes) };
        let rates = [rate(1, 1), rate(0, 1), rate(2, 60)];
        let windows = [("test.short", rates[0].window), ("", Duration::ZERO), ("test.long", rates[2].window)];
        let take = async |now| {
            let mut tx = db.begin().await.unwrap();
            let scopes = ["test.block", "test.everybody"];
            let three = throttle::take_three(&mut tx, "somebody", scopes, windows, now).await.unwrap();
            throttle::take(&mut tx, "test.everybody", "", rate(9, 1), now).await.unwrap();
            tx.commit().await.unwrap();
            three.map(|three| {
                let against = |(bucket, rate): (Option<throttle::Bucket>, Rate)| bucket.map(|b| b.against(rate, now));
                let taken: Vec<_> = three.buckets.into_iter().zip(rates).map(against).collect();
                (taken, three.beside)
            })
        };
        let (within, beyond) = (Some(Taken::Within), |retry_after_secs| Some(Taken::Beyond { retry_after_secs }));
        assert_eq!(take(START_MS).await, Some((vec![within, None, within], 0)), "a scope without a name has no bucket");
        assert_eq!(take(START_MS).await, Some((vec![beyond(60), None, within], 1)));
        // The short windows are over, the long one is not.
        assert_eq!(take(START_MS + 60_000).await, Some((vec![within, None, beyond(3540)], 0)));

        let mut tx = db.begin().await.unwrap();
        throttle::put_back_three(&mut tx, "somebody", ["test.long", "test.short", ""], START_MS + 60_000)
            .await
            .unwrap();
        throttle::put_back(&mut tx, "test.long", "somebody", START_MS + 60_000).await.unwrap();
        assert_eq!(
            throttle::take(&mut tx, "test.block", "somebody", rate(1, 5), START_MS).await.unwrap(),
            Taken::Within
        );
        tx.commit().await.unwrap();
        assert_eq!(take(START_MS + 60_000).await, None, "blocked");
        // Nothing was taken meanwhile, and two were put back of the long one.
        assert_eq!(take(START_MS + 300_000).await, Some((vec![within, None, within], 0)));
    })
    .await;
}
