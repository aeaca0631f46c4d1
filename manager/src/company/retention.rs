//! What is older than a company keeps it goes: sessions, receptions and the values of changes by its own rule, rows of the
//! chain by the longest one.

use proto::api::UnixMillis;

use super::Policy;
use crate::{
    app::App,
    audit::purge,
    db::{DbResult, Tx},
    fetch_all,
};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Fewest days that a company may keep its records.
const DAYS_MIN: i64 = 30;
/// Days that the record of the whole system is kept at least.
const DAYS_DEFAULT: i64 = 365;
/// Rows of one stretch.
const STRETCH: i64 = 2000;

/// What goes of a company: `$1` is the company, `$2` the moment before which, `$3` how many rows. A row comes before what
/// it refers to; what runs stays, however old.
const LOGS: [&str; 4] = [
    "DELETE FROM consents WHERE session_id IN (SELECT s.session_id FROM sessions s WHERE s.company_id = $1
        AND s.ended_at_ms < $2 AND EXISTS (SELECT 1 FROM consents c WHERE c.session_id = s.session_id) LIMIT $3)",
    "DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions WHERE company_id = $1
        AND ended_at_ms < $2 LIMIT $3)",
    "DELETE FROM receptions WHERE reception_id IN (SELECT r.reception_id FROM receptions r WHERE r.company_id = $1
        AND r.closed_at_ms < $2 AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.reception_id = r.reception_id) LIMIT $3)",
    "DELETE FROM device_starts WHERE reception_id IN (SELECT d.reception_id FROM device_starts d WHERE d.company_id = $1
        AND d.closed_at_ms < $2
        AND NOT EXISTS (SELECT 1 FROM receptions r WHERE r.reception_id = d.reception_id) LIMIT $3)",
];
/// The same for the values of changes.
const CHANGES: &str = "DELETE FROM changes WHERE change_id IN (SELECT change_id FROM changes WHERE company_id = $1
        AND at_ms < $2 LIMIT $3)";

/// Lets go what is too old; how many rows.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn sweep(app: &App) -> DbResult<u64> {
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let companies = fetch_all!(
        &mut tx,
        (String, String),
        "SELECT company_id, policy
        FROM companies
        WHERE state <> 'erased'
        ORDER BY company_id"
    )?;
    drop(tx);
    let mut gone = 0u64;
    let mut longest = DAYS_DEFAULT;
    for (company_id, policy) in companies {
        let rules = Policy::stored(&policy).retention;
        for (sql, days) in LOGS.map(|sql| (sql, rules.log_days)).into_iter().chain([(CHANGES, rules.change_days)]) {
            let days = days.max(DAYS_MIN);
            longest = longest.max(days);
            let before_ms = now.saturating_sub(days.saturating_mul(DAY_MS));
            loop {
                let stretch = delete(app, sql, &company_id, before_ms).await?;
                gone = gone.saturating_add(stretch);
                if stretch == 0 {
                    break;
                }
            }
        }
    }
    let chain = purge::purge(&app.db, now.saturating_sub(longest.saturating_mul(DAY_MS)), now).await?;
    Ok(gone.saturating_add(chain))
}

async fn delete(app: &App, sql: &'static str, company_id: &str, before_ms: UnixMillis) -> DbResult<u64> {
    let mut tx = app.db.begin().await?;
    let gone = match &mut tx {
        Tx::Sqlite(tx) => {
            sqlx::query(sql).bind(company_id).bind(before_ms).bind(STRETCH).execute(&mut **tx).await?.rows_affected()
        }
        Tx::Postgres(tx) => {
            sqlx::query(sql).bind(company_id).bind(before_ms).bind(STRETCH).execute(&mut **tx).await?.rows_affected()
        }
    };
    tx.commit().await?;
    Ok(gone)
}
