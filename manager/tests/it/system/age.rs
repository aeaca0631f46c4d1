//! What goes by its age, and that the chain holds over it.

use std::time::Duration;

use manager::{
    audit::{
        purge,
        verify::{FlawKind, Verdict, verify},
    },
    company::retention,
    db::Db,
    execute, fetch_one,
};

use super::requests::verify_verdict;
use crate::{session::Desk, testing::on_both};

/// A second company that keeps its records for two years, and a change of each.
async fn two_years_for_the_other(desk: &Desk) {
    let (manager, db) = (&desk.manager, &desk.manager.app.db);
    let other = manager.company("other").await;
    let mut tx = db.begin().await.unwrap();
    execute!(
        &mut tx,
        "UPDATE companies SET policy = $2 WHERE company_id = $1",
        other.to_string(),
        r#"{"retention":{"log_days":730,"change_days":730}}"#
    )
    .unwrap();
    for (company_id, id) in [(desk.operator.company_id, "a"), (other, "b")] {
        execute!(
            &mut tx,
            "INSERT INTO changes (change_id, company_id, subject, at_ms, body) VALUES ($1, $2, 'x', $3, '{}')",
            id,
            company_id.to_string(),
            manager.app.now_ms()
        )
        .unwrap();
    }
    tx.commit().await.unwrap();
}

/// Rows of a table.
async fn left(db: &Db, table: &str) -> i64 {
    let mut tx = db.read().await.unwrap();
    let row = match table {
        "sessions" => fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM sessions"),
        "receptions" => fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM receptions"),
        "changes" => fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM changes WHERE subject = 'x'"),
        _ => fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit"),
    };
    row.unwrap().0
}

#[tokio::test]
async fn what_is_too_old_goes_and_the_chain_holds_over_the_cut() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let manager = &desk.manager;
        two_years_for_the_other(&desk).await;
        let old = desk.connected().await;
        desk.say(old.pairing.session_id, "end", &old.token, &serde_json::json!({ "reason": "customer_ended" })).await;
        let running = desk.connected().await.pairing.session_id;
        let rows = left(&db, "audit").await;

        manager.advance(Duration::from_hours(364 * 24));
        assert_eq!(retention::sweep(&manager.app).await.unwrap(), 0, "nothing is a year old");
        manager.advance(Duration::from_hours(2 * 24));
        retention::sweep(&manager.app).await.unwrap();
        assert_eq!(
            (left(&db, "sessions").await, left(&db, "receptions").await),
            (1, 1),
            "what runs stays, however old"
        );
        assert_eq!(left(&db, "changes").await, 1, "the other company keeps its own for two years");
        assert_eq!(left(&db, "audit").await, rows, "and the chain is kept as long as anybody needs it");
        let mut tx = db.read().await.unwrap();
        let (stays,) = fetch_one!(&mut tx, (String,), "SELECT session_id FROM sessions").unwrap();
        assert_eq!(stays, running.to_string());
        drop(tx);

        manager.advance(Duration::from_hours(400 * 24));
        retention::sweep(&manager.app).await.unwrap();
        assert_eq!((left(&db, "changes").await, left(&db, "audit").await), (0, 1), "only the row that vouches is left");
        assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: 1 });
        manager.company("third").await;
        assert_eq!(retention::sweep(&manager.app).await.unwrap(), 0);
        manager.advance(Duration::from_hours(800 * 24));
        manager.company("fourth").await;
        let now = manager.app.now_ms();
        assert_eq!(purge::purge(&db, now, now).await.unwrap(), 2);
        assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: 2 }, "the young one, and the one that vouches");

        let mut tx = db.begin().await.unwrap();
        let first = fetch_one!(&mut tx, manager::audit::Row, "SELECT * FROM audit ORDER BY seq LIMIT 1").unwrap();
        execute!(&mut tx, "DELETE FROM audit WHERE seq = $1", first.seq).unwrap();
        tx.commit().await.unwrap();
        assert_eq!(verify_verdict(&db).await, Some(FlawKind::Missing), "a row that was cut by hand");
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE audit_anchor SET seq = $1, hash = $2", first.seq, &first.hash).unwrap();
        tx.commit().await.unwrap();
        assert_eq!(verify_verdict(&db).await, Some(FlawKind::PurgedAlone), "an anchor that was moved with it");
    })
    .await;
}
