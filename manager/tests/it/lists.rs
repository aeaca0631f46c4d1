//! Lists over a long history: what a page looks at, and how to look further.

use futures_util::StreamExt as _;
use manager::{db::Db, execute, list::LOOKED_MAX, role::Role};
use proto::id::CompanyId;

use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, START_MS, on_both},
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// 2026-09-01 00:00:00 in Japan.
const DAY_BEGINS_MS: i64 = 1_788_188_400_000;

/// Puts rows into the log: number, time, and what it is about.
async fn log(db: &Db, company_id: CompanyId, rows: &[(i64, i64, &str)]) {
    let mut tx = db.begin().await.unwrap();
    for (seq, at_ms, about) in rows {
        execute!(
            &mut tx,
            "INSERT INTO audit (seq, at_ms, company_id, actor, event, detail, prev_hash, hash)
            VALUES ($1, $2, $3, 'manager', 'category.created', $4, '', 'h' || $5)",
            *seq,
            *at_ms,
            company_id.to_string(),
            format!("{{\"about\":\"{about}\"}}"),
            seq.to_string()
        )
        .unwrap();
    }
    tx.commit().await.unwrap();
}

/// Puts as many rows behind them as a page looks at.
async fn bury(db: &Db, company_id: CompanyId, from_seq: i64) {
    let mut tx = db.begin().await.unwrap();
    execute!(
        &mut tx,
        "INSERT INTO audit (seq, at_ms, company_id, actor, event, detail, prev_hash, hash)
        WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2)
        SELECT i, $3, $4, 'manager', 'session.connected', '{}', '', 'h' || i FROM n",
        from_seq,
        from_seq + LOOKED_MAX,
        START_MS - DAY_MS,
        company_id.to_string()
    )
    .unwrap();
    tx.commit().await.unwrap();
}

async fn company(manager: &Manager) -> CompanyId {
    let company_id = manager.company("acme").await;
    manager.account(company_id, "admin", Role::CompanyAdmin).await;
    company_id
}

#[tokio::test]
async fn a_word_is_looked_for_in_the_newest_rows_and_further_back_by_a_link() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        log(&db, company_id, &[(1_000, START_MS - 9 * DAY_MS, "old-word")]).await;
        assert!(browser.get("/log/operations?q=old-word").await.text.contains(">1000<"));
        bury(&db, company_id, 2_000).await;

        let newest = browser.get("/log/operations?q=old-word&size=100").await.text;
        assert!(!newest.contains(">1000<"), "it is too far back");
        let (_, link) = newest.split_once("past=").expect("the page says how to look further");
        let past = link.split(['"', '&']).next().unwrap();
        let further = browser.get(&format!("/log/operations?q=old-word&size=100&past={past}")).await.text;
        assert!(further.contains(">1000<"), "{further}");
        assert!(!further.contains("past="), "there is nothing older");

        // A period that is shorter than what is looked at is looked at whole.
        let day = browser.get("/log/operations?q=old-word&from=2026-09-12&to=2026-09-13").await.text;
        assert!(day.contains(">1000<") && !day.contains("past="), "{day}");
    })
    .await;
}

#[tokio::test]
async fn a_rare_kind_of_event_is_found_however_far_back_and_a_frequent_one_is_not_counted() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        log(&db, company_id, &[(1_000, START_MS - 9 * DAY_MS, "old-word"), (1_001, START_MS - 9 * DAY_MS, "b")]).await;
        bury(&db, company_id, 2_000).await;

        let rare = browser.get("/log/operations?event=category.").await.text;
        assert!(rare.contains(">1000<") && rare.contains(">1001<") && rare.contains("全2件"), "{rare}");
        let word = browser.get("/log/operations?event=category.&q=old-word").await.text;
        assert!(word.contains(">1000<") && !word.contains(">1001<") && !word.contains("past="), "{word}");
        assert!(
            browser
                .get("/log/operations?event=category.&to=2026-09-01")
                .await
                .text
                .contains("条件に合うものはありません")
        );
        let frequent = browser.get("/log/operations?event=session.").await.text;
        assert!(frequent.contains(">51999<") && !frequent.contains(">1000<"), "{frequent}");
        assert!(frequent.contains("10,000"), "{frequent}");
        // The other log has its own kind.
        assert!(browser.get("/log/logins").await.text.contains("全1件"));
        assert!(browser.get("/log/operations?event=login.").await.text.contains("条件に合うものはありません"));
    })
    .await;
}

#[tokio::test]
async fn a_day_of_the_log_has_every_row_of_it_also_where_clocks_differed() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let minute = 60 * 1000;
        let (begin, end) = (DAY_BEGINS_MS, DAY_BEGINS_MS + DAY_MS);
        // In the order of the chain; every other row was written by a manager whose clock is nine minutes late.
        let rows = [
            (1_000, begin - 20 * minute, "before"),
            (1_001, begin, "first"),
            (1_002, begin - 8 * minute, "before-too"),
            (1_003, end - minute, "last"),
            (1_004, end + 2 * minute, "after"),
            (1_005, end - 7 * minute, "last-too"),
            (1_006, end + 15 * minute, "after-too"),
        ];
        log(&db, company_id, &rows).await;

        let day = browser.get("/log/operations?from=2026-09-01&to=2026-09-01").await.text;

        for (seq, _, about) in rows {
            let is_in = matches!(about, "first" | "last" | "last-too");
            assert_eq!(day.contains(&format!(">{seq}<")), is_in, "{about}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_whose_rows_are_read_keeps_no_connection_however_slowly_it_is_taken() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        company(&manager).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");

        // More than there are connections.
        let mut files = Vec::new();
        for _ in 0..9 {
            let mut file = browser.open("/log/operations/file").await.into_body().into_data_stream();
            let first = file.next().await.unwrap().unwrap();
            assert!(first.starts_with(b"\xEF\xBB\xBF"), "{first:?}");
            files.push(file);
        }

        db.read().await.unwrap();
        for mut file in files {
            file.next().await.unwrap().unwrap();
            assert!(file.next().await.is_none());
        }
    })
    .await;
}
