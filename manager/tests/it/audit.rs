//! The audit chain: whatever is changed, the first wrong row is named.

use manager::{
    audit::{
        self, Actor, AuditEvent, Head, purge, store,
        verify::{Flaw, FlawKind, Verdict, Witnessed, verify, verify_against},
        witness::Witness,
    },
    db::{Db, Tx},
    execute, fetch_all, fetch_one,
};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config as Runs, TestRunner},
};
use proto::id::{CompanyId, ReceptionId, SessionId};

use crate::{
    server::Lines,
    testing::{START_MS, at_once, on_both},
};

/// Rows of a chain that is tampered with.
const ROWS: i64 = 12;
/// Random manipulations tried on each engine.
const TRIES: u32 = 48;

/// One manipulation by somebody who can write the database but does not compute hashes.
#[derive(Debug, Clone)]
enum Tamper {
    Delete(i64),
    Swap(i64, i64),
    At(i64),
    Company(i64),
    Actor(i64),
    Event(i64),
    Reception(i64),
    Session(i64),
    Detail(i64),
    PrevHash(i64),
    Hash(i64),
    Append,
    HeadSeq,
    HeadHash,
}

#[tokio::test]
async fn an_untouched_chain_holds() {
    on_both(|db| async move {
        assert_eq!(verify(&db).await.unwrap().to_string(), "audit: 0 rows, the chain holds");
        fill(&db, ROWS).await;
        assert_eq!(verify(&db).await.unwrap().to_string(), "audit: 12 rows, the chain holds");
        fill(&db, 600).await;
        assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: 612 });
    })
    .await;
}

#[tokio::test]
async fn any_row_that_is_altered_deleted_or_moved_is_named() {
    on_both(|db| async move {
        fill(&db, ROWS).await;
        let mut runner = TestRunner::new(Runs::default());
        for _ in 0..TRIES {
            let tamper = tampers().new_tree(&mut runner).unwrap().current();
            let mut tx = db.begin().await.unwrap();
            save(&mut tx).await;
            tx.commit().await.unwrap();

            let mut tx = db.begin().await.unwrap();
            let expected = apply(&mut tx, &tamper).await;
            tx.commit().await.unwrap();

            assert_eq!(verify(&db).await.unwrap(), expected, "{tamper:?}");
            let mut tx = db.begin().await.unwrap();
            restore(&mut tx).await;
            tx.commit().await.unwrap();
            assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: ROWS });
        }
    })
    .await;
}

#[tokio::test]
async fn fifty_simultaneous_appends_make_one_chain() {
    on_both(|db| async move {
        let given = at_once(50, |index| {
            let db = db.clone();
            async move {
                let mut tx = db.begin().await.unwrap();
                let seq = audit::append(&mut tx, event(index)).await.unwrap();
                tx.commit().await.unwrap();
                seq
            }
        })
        .await;

        let mut sorted = given.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=50).collect::<Vec<i64>>());
        assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: 50 });
    })
    .await;
}

#[tokio::test]
async fn pairs_and_single_events_at_once_make_one_chain_and_pairs_stay_together() {
    on_both(|db| async move {
        at_once(30, |index| {
            let db = db.clone();
            async move {
                let mut tx = db.begin().await.unwrap();
                if index % 2 == 0 {
                    // Of each pair one has every column and the other one none that may be absent.
                    let odd = usize::from(index % 4 == 0);
                    let (first, second) = (event(1001 + index - odd), event(2000 + index + odd));
                    audit::append_both(&mut tx, first, second).await.unwrap();
                } else {
                    audit::append(&mut tx, event(index)).await.unwrap();
                }
                tx.commit().await.unwrap();
            }
        })
        .await;

        assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: 45 });
        let mut tx = db.read().await.unwrap();
        let rows = store::rows_after(&mut tx, 0, 100).await.unwrap();
        let detail = |index| event(index).detail.to_string();
        let at = |detail: String| rows.iter().position(|row| row.detail == detail).unwrap();
        for [first, second] in [[1004, 2005], [1007, 2006]] {
            assert_eq!(at(detail(first)) + 1, at(detail(second)));
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_of_a_transaction_that_fails_never_happened() {
    on_both(|db| async move {
        fill(&db, 3).await;
        let mut tx = db.begin().await.unwrap();
        assert_eq!(audit::append(&mut tx, event(9)).await.unwrap(), 4);
        drop(tx);
        fill(&db, 1).await;

        assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: 4 });
    })
    .await;
}

fn tampers() -> impl Strategy<Value = Tamper> {
    let seq = 1..=ROWS;
    prop_oneof![
        seq.clone().prop_map(Tamper::Delete),
        (1..ROWS).prop_flat_map(|one| (Just(one), (one + 1)..=ROWS)).prop_map(|(one, other)| Tamper::Swap(one, other)),
        seq.clone().prop_map(Tamper::At),
        seq.clone().prop_map(Tamper::Company),
        seq.clone().prop_map(Tamper::Actor),
        seq.clone().prop_map(Tamper::Event),
        seq.clone().prop_map(Tamper::Reception),
        seq.clone().prop_map(Tamper::Session),
        seq.clone().prop_map(Tamper::Detail),
        seq.clone().prop_map(Tamper::PrevHash),
        seq.prop_map(Tamper::Hash),
        Just(Tamper::Append),
        Just(Tamper::HeadSeq),
        Just(Tamper::HeadHash),
    ]
}

/// Does it, and says what the walk must find.
#[expect(clippy::too_many_lines, reason = "one arm for each manipulation")]
async fn apply(tx: &mut Tx, tamper: &Tamper) -> Verdict {
    let altered = |seq: i64| (seq, FlawKind::Altered);
    let (seq, what) = match *tamper {
        Tamper::Delete(seq) => {
            execute!(tx, "DELETE FROM audit WHERE seq = $1", seq).unwrap();
            (seq, FlawKind::Missing)
        }
        Tamper::Swap(one, other) => {
            for (from, to) in [(one, 1000), (other, one), (1000, other)] {
                execute!(tx, "UPDATE audit SET seq = $2 WHERE seq = $1", from, to).unwrap();
            }
            altered(one)
        }
        Tamper::At(seq) => {
            execute!(tx, "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = $1", seq).unwrap();
            altered(seq)
        }
        Tamper::Company(seq) => {
            execute!(
                tx,
                "UPDATE audit SET company_id = CASE WHEN company_id IS NULL THEN '' ELSE NULL END WHERE seq = $1",
                seq
            )
            .unwrap();
            altered(seq)
        }
        Tamper::Actor(seq) => {
            execute!(tx, "UPDATE audit SET actor = 'stranger' WHERE seq = $1", seq).unwrap();
            altered(seq)
        }
        Tamper::Event(seq) => {
            execute!(tx, "UPDATE audit SET event = 'test.other' WHERE seq = $1", seq).unwrap();
            altered(seq)
        }
        Tamper::Reception(seq) => {
            execute!(tx, "UPDATE audit SET reception_id = COALESCE(reception_id, '') || '0' WHERE seq = $1", seq)
                .unwrap();
            altered(seq)
        }
        Tamper::Session(seq) => {
            execute!(tx, "UPDATE audit SET session_id = COALESCE(session_id, '') || '0' WHERE seq = $1", seq).unwrap();
            altered(seq)
        }
        Tamper::Detail(seq) => {
            execute!(tx, "UPDATE audit SET detail = detail || ' ' WHERE seq = $1", seq).unwrap();
            altered(seq)
        }
        Tamper::PrevHash(seq) => {
            execute!(tx, "UPDATE audit SET prev_hash = hash WHERE seq = $1", seq).unwrap();
            altered(seq)
        }
        Tamper::Hash(seq) => {
            execute!(tx, "UPDATE audit SET hash = prev_hash WHERE seq = $1", seq).unwrap();
            altered(seq)
        }
        Tamper::Append => {
            execute!(
                tx,
                "INSERT INTO audit
                (seq, at_ms, company_id, actor, event, reception_id, session_id, detail, prev_hash, hash)
                SELECT seq + 1, at_ms, company_id, actor, event, reception_id, session_id, detail, hash, hash
                FROM audit
                WHERE seq = $1",
                ROWS
            )
            .unwrap();
            (ROWS + 1, FlawKind::BeyondHead)
        }
        Tamper::HeadSeq => {
            execute!(tx, "UPDATE audit_head SET seq = seq + 1").unwrap();
            (ROWS + 1, FlawKind::Missing)
        }
        Tamper::HeadHash => {
            execute!(tx, "UPDATE audit_head SET hash = 'another'").unwrap();
            (ROWS, FlawKind::HeadDiffers)
        }
    };
    Verdict::Broken(Flaw { seq, what })
}

/// Keeps the rows and the head in tables beside them.
async fn save(tx: &mut Tx) {
    execute!(tx, "CREATE TABLE saved AS SELECT * FROM audit").unwrap();
    execute!(tx, "CREATE TABLE saved_head AS SELECT * FROM audit_head").unwrap();
}

async fn restore(tx: &mut Tx) {
    execute!(tx, "DELETE FROM audit").unwrap();
    execute!(tx, "INSERT INTO audit SELECT * FROM saved").unwrap();
    execute!(tx, "DELETE FROM audit_head").unwrap();
    execute!(tx, "INSERT INTO audit_head SELECT * FROM saved_head").unwrap();
    execute!(tx, "DROP TABLE saved").unwrap();
    execute!(tx, "DROP TABLE saved_head").unwrap();
}

#[tokio::test]
async fn a_whole_chain_that_was_computed_anew_still_breaks_at_the_cut() {
    on_both(|db| async move {
        fill(&db, 4).await;
        let mut tx = db.begin().await.unwrap();
        let rows = fetch_all!(&mut tx, audit::Row, "SELECT * FROM audit ORDER BY seq").unwrap();
        let mut forged = rows[1].clone();
        forged.detail = r#"{"forged":true}"#.to_owned();
        forged.hash = forged.computed_hash();
        execute!(&mut tx, "UPDATE audit SET detail = $1, hash = $2 WHERE seq = 2", &forged.detail, &forged.hash)
            .unwrap();
        tx.commit().await.unwrap();

        assert_eq!(verify(&db).await.unwrap(), Verdict::Broken(Flaw { seq: 3, what: FlawKind::Unchained }));
    })
    .await;
}

#[tokio::test]
async fn a_chain_that_was_computed_anew_does_not_match_a_head_that_was_kept() {
    on_both(|db| async move {
        fill(&db, 3).await;
        let early = head(&db).await;
        fill(&db, 3).await;
        let kept = [early, head(&db).await];
        let holds = Witnessed { verdict: Verdict::Holds { rows: 6 }, matched: 2 };
        assert_eq!(verify_against(&db, &kept).await.unwrap(), holds);

        compute_anew(&db, 5).await;
        assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: 6 }, "alone it looks whole");
        let found = verify_against(&db, &kept).await.unwrap();
        let forged = Witnessed { verdict: Verdict::Broken(Flaw { seq: 6, what: FlawKind::Rewritten }), matched: 1 };
        assert_eq!(found, forged);
        assert_eq!(verify_against(&db, &kept[..1]).await.unwrap(), Witnessed { matched: 1, ..holds });

        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "DELETE FROM audit WHERE seq > 4").unwrap();
        execute!(&mut tx, "UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)").unwrap();
        tx.commit().await.unwrap();
        assert_eq!(verify(&db).await.unwrap(), Verdict::Holds { rows: 4 });
        let short = verify_against(&db, &kept).await.unwrap().verdict;
        assert_eq!(short, Verdict::Broken(Flaw { seq: 5, what: FlawKind::Missing }));
    })
    .await;
}

#[tokio::test]
async fn a_head_of_a_row_that_went_by_age_proves_nothing_and_breaks_nothing() {
    on_both(|db| async move {
        fill(&db, 2).await;
        let early = head(&db).await;
        fill(&db, 2).await;
        let last = head(&db).await;
        assert_eq!(purge::purge(&db, START_MS + 1, START_MS + 1).await.unwrap(), 4);

        let found = verify_against(&db, &[early, last.clone()]).await.unwrap();
        assert_eq!(found, Witnessed { verdict: Verdict::Holds { rows: 1 }, matched: 1 }, "the last that went is known");
        let other = Head { hash: "0".repeat(64), ..last };
        let forged = verify_against(&db, &[other]).await.unwrap().verdict;
        assert_eq!(forged, Verdict::Broken(Flaw { seq: 4, what: FlawKind::Rewritten }));
    })
    .await;
}

#[tokio::test]
async fn the_head_is_told_once() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let lines = &lines;
    on_both(|db| async move {
        let told = |head: &Head| lines.text().matches(&format!("head={head}")).count();
        let before = lines.text().matches("audit.head").count();
        let mut witness = Witness::default();
        witness.tell(&db).await.unwrap();
        assert_eq!(lines.text().matches("audit.head").count(), before, "there is no row yet");
        fill(&db, 2).await;
        let (first, known) = (head(&db).await, told(&head(&db).await));
        witness.tell(&db).await.unwrap();
        witness.tell(&db).await.unwrap();
        assert_eq!(told(&first), known + 1);
        assert_eq!(first.to_string().parse(), Ok(first.clone()), "as it is told it can be given");
        fill(&db, 1).await;
        witness.tell(&db).await.unwrap();
        assert_eq!(lines.text().matches("audit.head").count(), before + 2);
    })
    .await;
}

#[test]
fn a_head_is_a_row_and_a_hash() {
    for text in ["", "1", "1:", "0:{}", "-1:{}", "1:{}0", "x:{}", "1:zz"] {
        let text = text.replace("{}", &"a".repeat(64));
        assert!(text.parse::<Head>().is_err(), "{text}");
    }
    assert_eq!(format!("7:{}", "A".repeat(64)).parse(), Ok(Head { seq: 7, hash: "a".repeat(64) }));
}

async fn head(db: &Db) -> Head {
    store::head(&mut db.read().await.unwrap()).await.unwrap()
}

/// What somebody does who can write the whole database: another detail, and every hash from there on.
async fn compute_anew(db: &Db, from: i64) {
    let mut tx = db.begin().await.unwrap();
    let rows = fetch_all!(&mut tx, audit::Row, "SELECT * FROM audit WHERE seq >= $1 ORDER BY seq", from).unwrap();
    let mut prev_hash = rows[0].prev_hash.clone();
    for mut row in rows {
        row.detail = r#"{"forged":true}"#.to_owned();
        row.prev_hash = prev_hash;
        row.hash = row.computed_hash();
        let (detail, before, hash) = (&row.detail, &row.prev_hash, &row.hash);
        execute!(
            &mut tx,
            "UPDATE audit SET detail = $2, prev_hash = $3, hash = $4 WHERE seq = $1",
            row.seq,
            detail,
            before,
            hash
        )
        .unwrap();
        prev_hash = row.hash;
    }
    execute!(&mut tx, "UPDATE audit_head SET hash = $1", &prev_hash).unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_row_of_an_event_holds_what_the_event_said() {
    on_both(|db| async move {
        fill(&db, 2).await;
        let mut tx = db.read().await.unwrap();
        let row = fetch_one!(&mut tx, audit::Row, "SELECT * FROM audit WHERE seq = 2").unwrap();

        assert_eq!(row.actor, "customer:01010101010101010101010101010101");
        assert_eq!(row.event, "test.happened");
        assert_eq!(row.detail, r#"{"index":1}"#);
        assert_eq!(row.at_ms, START_MS);
    })
    .await;
}

async fn fill(db: &Db, rows: i64) {
    for index in 0..rows {
        let mut tx = db.begin().await.unwrap();
        audit::append(&mut tx, event(usize::try_from(index).unwrap())).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn event(index: usize) -> AuditEvent {
    let byte = u8::try_from(index % 256).unwrap();
    let odd = index % 2 == 1;
    AuditEvent {
        at_ms: START_MS,
        company: odd.then(|| CompanyId::from_bytes([byte; 16])),
        actor: if odd { Actor::Customer(SessionId::from_bytes([byte; 16])) } else { Actor::Manager },
        event: "test.happened",
        reception: odd.then(|| ReceptionId::from_bytes([byte; 16])),
        session: odd.then(|| SessionId::from_bytes([byte; 16])),
        detail: serde_json::json!({ "index": index }),
    }
}
