//! A long history, written by statements that make many rows at once.

use manager::{
    audit::{self, Actor, AuditEvent},
    db::Db,
};
use proto::id::{CompanyId, OperatorId};
use sqlx::AssertSqlSafe;

use crate::testing::{Manager, START_MS};

/// Accounts that the history is spread over.
pub const OPERATORS: i64 = 20;
/// A day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How far back the history goes.
const PAST_MS: i64 = 365 * DAY_MS;
/// Rows of the real chain.
const CHAIN: i64 = 200_000;
/// Rows of one transaction. PostgreSQL keeps every version of the chain's head until its transaction ends.
const TOGETHER: i64 = 500;

/// Receptions and the sessions that they led to, evenly over a year.
pub async fn sessions(db: &Db, company_id: CompanyId, operators: &[OperatorId], count: i64) {
    for (number, operator_id) in (0..).zip(operators) {
        let rows = count / OPERATORS;
        let numbers = format!(
            "WITH RECURSIVE n(i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows}),
            m(i, at) AS (SELECT i * {OPERATORS} + {number}, {} + (i * {OPERATORS} + {number}) * {} FROM n)",
            START_MS - PAST_MS,
            PAST_MS / count
        );
        let (company, operator) = (company_id.to_string(), operator_id.to_string());
        run(db, format!(
            "INSERT INTO receptions (reception_id, company_id, operator_id, idempotency_key, locator_mac, locator_sealed,
            proof_key, reason, state, open_slot, session_id, issued_at_ms, life_ms, expires_at_ms, closed_at_ms,
            unproved_count, version)
            {numbers} SELECT 'r' || i, '{company}', '{operator}', 'k' || i, 'm' || i, '', '',
            CASE WHEN i % 9973 = 0 THEN '珍しい' WHEN i % 10 = 0 THEN 'プリンター' ELSE 'ネットワーク' END,
            CASE WHEN i % 50021 = 0 THEN 'burned' WHEN i % 5 = 0 THEN 'expired' ELSE 'proved' END,
            NULL, 's' || i, at, 600000, at + 600000, at + 60000, 0, 1 FROM m"
        )).await;
        run(db, format!(
            "INSERT INTO sessions (session_id, reception_id, company_id, operator_id, operator_name, reason,
            customer_token_hash, state, entered_at_ms, hard_end_at_ms, last_seen_at_ms, connected_at_ms, ended_at_ms,
            end_reason, duration_ms, customer_bytes, operator_bytes, device, version, result, search)
            {numbers} SELECT 's' || i, 'r' || i, '{company}', '{operator}', '山田 太郎{number}', 'ネットワーク', 't' || i, 'ended',
            at, at + 36000000, at, CASE WHEN i % 7 = 0 THEN NULL ELSE at + 5000 END, at + 5000 + (i * 7919) % 7200000,
            CASE WHEN i % 50021 = 0 THEN 'seal_broken' WHEN i % 20 = 0 THEN 'peer_lost' ELSE 'operator_ended' END,
            CASE WHEN i % 7 = 0 THEN NULL ELSE (i * 7919) % 7200000 END, 1000000, 1000,
            '{{\"os\":\"Windows 11\",\"name\":\"PC\"}}', 1,
            CASE WHEN i % 40009 = 0 THEN 'escalated' WHEN i % 3 = 0 THEN 'solved' ELSE '' END,
            '山田 太郎 windows 11 ' || CASE WHEN i % 9973 = 0 THEN '珍しい' WHEN i % 10 = 0 THEN 'プリンター' ELSE 'ネットワーク' END
            FROM m"
        )).await;
    }
}

/// Rows of the log behind the real chain; their hashes hold nothing together.
pub async fn audit(db: &Db, company_id: CompanyId, operators: &[OperatorId], count: i64) {
    let (company, operator) = (company_id.to_string(), operators[3].to_string());
    run(db, format!(
        "INSERT INTO audit (seq, at_ms, company_id, actor, event, detail, prev_hash, hash)
        WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {count})
        SELECT i + 10000000, {} + i * {}, '{company}',
        CASE WHEN i % 3 = 0 THEN 'operator:{operator}' ELSE 'system' END,
        CASE WHEN i % 50021 = 0 THEN 'category.created' WHEN i % 100 = 0 THEN 'operator.changed'
        WHEN i % 1000 = 1 THEN 'login.failed' WHEN i % 4 = 0 THEN 'login.succeeded' ELSE 'session.connected' END,
        CASE WHEN i % 9973 = 0 THEN '{{\"name\":\"珍しい\"}}' WHEN i % 10 = 0 THEN '{{\"name\":\"プリンター\"}}' ELSE '{{}}' END,
        '', 'h' || i FROM n",
        START_MS - PAST_MS,
        PAST_MS / count
    )).await;
}

/// Lets the engine tidy up and see how much there is, as it does by itself in a day.
pub async fn settle(db: &Db) {
    match db {
        Db::Sqlite { .. } => db.look_at_sizes().await.unwrap(),
        Db::Postgres(_) => run(db, "VACUUM (ANALYZE)".to_owned()).await,
    }
}

/// Rows that follow from each other.
pub async fn chain(manager: &Manager, company_id: CompanyId) {
    let mut tx = manager.app.db.begin().await.unwrap();
    for number in 0..CHAIN {
        if number % TOGETHER == 0 {
            tx.commit().await.unwrap();
            tx = manager.app.db.begin().await.unwrap();
        }
        let event = AuditEvent {
            at_ms: START_MS - PAST_MS + number,
            company: Some(company_id),
            actor: Actor::Manager,
            event: "session.connected",
            reception: None,
            session: None,
            detail: serde_json::json!({ "number": number }),
        };
        audit::append(&mut tx, event).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn run(db: &Db, sql: String) {
    match db {
        Db::Sqlite { writer, .. } => {
            sqlx::query(AssertSqlSafe(sql)).execute(writer).await.unwrap();
        }
        Db::Postgres(pool) => {
            sqlx::query(AssertSqlSafe(sql)).execute(pool).await.unwrap();
        }
    }
}
