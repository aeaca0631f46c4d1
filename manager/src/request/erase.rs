//! Erasing what a company owns: table by table in stretches, each in a transaction of its own, until nothing is found.
//!
//! Stretches are short, so that nobody waits for a large company, and what is gone is counted in the request, so that
//! another manager goes on where one died. The last one writes the certificate and the row of the chain that vouches for
//! the rows whose content is gone.

use std::collections::BTreeMap;

use proto::api::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    scan::scan,
    store::{self, Row},
};
use crate::{
    app::App,
    audit::{self, Actor, AuditEvent, erased},
    db::{DbError, DbResult, Tx},
    execute,
    login::realm::SYSTEM,
    site::time,
};

/// Rows of one stretch.
const STRETCH: i64 = 2000;

/// What of a table belongs to a company, as the statement that deletes a stretch of it: `$1` is the company, `$2` how
/// many rows, or how many of those that they hang on. A row comes before what it refers to.
pub const TABLES: [(&str, &str); 39] = [
    (
        "consents",
        "DELETE FROM consents WHERE session_id IN (SELECT s.session_id FROM sessions s WHERE s.company_id = $1
        AND EXISTS (SELECT 1 FROM consents c WHERE c.session_id = s.session_id) LIMIT $2)",
    ),
    (
        "throttles",
        "DELETE FROM throttles WHERE bucket IN (SELECT o.operator_id FROM operators o
        JOIN throttles t ON t.bucket = o.operator_id WHERE o.company_id = $1 LIMIT $2)",
    ),
    (
        "sessions",
        "DELETE FROM sessions WHERE session_id IN
        (SELECT session_id FROM sessions WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "categories",
        "DELETE FROM categories WHERE category_id IN
        (SELECT category_id FROM categories WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "statistics",
        "DELETE FROM statistics WHERE company_id = $1
        AND hour_ms IN (SELECT hour_ms FROM statistics WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "statistics_peaks",
        "DELETE FROM statistics_peaks WHERE company_id = $1
        AND hour_ms IN (SELECT hour_ms FROM statistics_peaks WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "locators",
        "DELETE FROM locators WHERE locator_mac IN (SELECT r.locator_mac FROM receptions r
        JOIN locators l ON l.locator_mac = r.locator_mac WHERE r.company_id = $1 LIMIT $2)",
    ),
    (
        "receptions",
        "DELETE FROM receptions WHERE reception_id IN
        (SELECT reception_id FROM receptions WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "device_starts",
        "DELETE FROM device_starts WHERE reception_id IN
        (SELECT reception_id FROM device_starts WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "events",
        "DELETE FROM events WHERE operator_id IN (SELECT o.operator_id FROM operators o WHERE o.company_id = $1
        AND EXISTS (SELECT 1 FROM events e WHERE e.operator_id = o.operator_id) LIMIT $2)",
    ),
    (
        "event_heads",
        "DELETE FROM event_heads WHERE operator_id IN (SELECT h.operator_id FROM event_heads h
        JOIN operators o ON o.operator_id = h.operator_id WHERE o.company_id = $1 LIMIT $2)",
    ),
    (
        "logins",
        "DELETE FROM logins WHERE token_hash IN (SELECT l.token_hash FROM logins l
        JOIN operators o ON o.operator_id = l.operator_id WHERE o.company_id = $1 LIMIT $2)",
    ),
    (
        "site_logins",
        "DELETE FROM site_logins WHERE token_hash IN (SELECT l.token_hash FROM site_logins l
        JOIN operators o ON o.operator_id = l.operator_id WHERE o.company_id = $1 LIMIT $2)",
    ),
    (
        "recovery_codes",
        "DELETE FROM recovery_codes WHERE operator_id IN (SELECT o.operator_id FROM operators o
        WHERE o.company_id = $1
        AND EXISTS (SELECT 1 FROM recovery_codes c WHERE c.operator_id = o.operator_id) LIMIT $2)",
    ),
    (
        "password_history",
        "DELETE FROM password_history WHERE operator_id IN (SELECT o.operator_id FROM operators o
        WHERE o.company_id = $1
        AND EXISTS (SELECT 1 FROM password_history p WHERE p.operator_id = o.operator_id) LIMIT $2)",
    ),
    (
        "known_devices",
        "DELETE FROM known_devices WHERE operator_id IN (SELECT o.operator_id FROM operators o
        WHERE o.company_id = $1
        AND EXISTS (SELECT 1 FROM known_devices d WHERE d.operator_id = o.operator_id) LIMIT $2)",
    ),
    (
        "account_group_members",
        "DELETE FROM account_group_members WHERE group_id IN (SELECT g.group_id
        FROM account_groups g WHERE g.company_id = $1
        AND EXISTS (SELECT 1 FROM account_group_members m WHERE m.group_id = g.group_id) LIMIT $2)",
    ),
    (
        "account_groups",
        "DELETE FROM account_groups WHERE group_id IN
        (SELECT group_id FROM account_groups WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "saved_filters",
        "DELETE FROM saved_filters WHERE filter_id IN (SELECT f.filter_id FROM saved_filters f
        JOIN operators o ON o.operator_id = f.operator_id WHERE o.company_id = $1 LIMIT $2)",
    ),
    (
        "notice_reads",
        "DELETE FROM notice_reads WHERE operator_id IN (SELECT o.operator_id FROM operators o WHERE o.company_id = $1
        AND EXISTS (SELECT 1 FROM notice_reads r WHERE r.operator_id = o.operator_id) LIMIT $2)",
    ),
    (
        "terms_reads",
        "DELETE FROM terms_reads WHERE operator_id IN (SELECT o.operator_id FROM operators o WHERE o.company_id = $1
        AND EXISTS (SELECT 1 FROM terms_reads r WHERE r.operator_id = o.operator_id) LIMIT $2)",
    ),
    (
        "terms_agreements",
        "DELETE FROM terms_agreements WHERE operator_id IN (SELECT o.operator_id FROM operators o
        WHERE o.company_id = $1
        AND EXISTS (SELECT 1 FROM terms_agreements t WHERE t.operator_id = o.operator_id) LIMIT $2)",
    ),
    (
        "notice_companies",
        "DELETE FROM notice_companies WHERE company_id = $1 AND notice_id IN
        (SELECT notice_id FROM notice_companies WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "notices",
        "DELETE FROM notices WHERE notice_id IN (SELECT notice_id FROM notices WHERE company_id = $1 LIMIT $2)",
    ),
    ("mails", "DELETE FROM mails WHERE mail_id IN (SELECT mail_id FROM mails WHERE company_id = $1 LIMIT $2)"),
    (
        "password_links",
        "DELETE FROM password_links WHERE token_hash IN (SELECT l.token_hash FROM password_links l
        JOIN operators o ON o.operator_id = l.operator_id WHERE o.company_id = $1 LIMIT $2)",
    ),
    (
        "provider_flows",
        "DELETE FROM provider_flows WHERE secret_hash IN
        (SELECT secret_hash FROM provider_flows WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "provider_links",
        "DELETE FROM provider_links WHERE operator_id IN
        (SELECT operator_id FROM provider_links WHERE company_id = $1 LIMIT $2)",
    ),
    ("providers", "DELETE FROM providers WHERE company_id = $1 AND $2 > 0"),
    (
        "imports",
        "DELETE FROM imports WHERE import_id IN (SELECT import_id FROM imports WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "api_tokens",
        "DELETE FROM api_tokens WHERE token_id IN (SELECT token_id FROM api_tokens WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "operators",
        "DELETE FROM operators WHERE operator_id IN
        (SELECT operator_id FROM operators WHERE company_id = $1 LIMIT $2)",
    ),
    ("roles", "DELETE FROM roles WHERE role_id IN (SELECT role_id FROM roles WHERE company_id = $1 LIMIT $2)"),
    (
        "organisations",
        "DELETE FROM organisations WHERE organisation_id IN (SELECT g.organisation_id
        FROM organisations g WHERE g.company_id = $1
        AND NOT EXISTS (SELECT 1 FROM organisations b WHERE b.parent_id = g.organisation_id) LIMIT $2)",
    ),
    (
        "webhook_calls",
        "DELETE FROM webhook_calls WHERE call_id IN (SELECT call_id FROM webhook_calls WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "webhooks",
        "DELETE FROM webhooks WHERE webhook_id IN (SELECT webhook_id FROM webhooks WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "changes",
        "DELETE FROM changes WHERE change_id IN
        (SELECT change_id FROM changes WHERE company_id = $1 LIMIT $2)",
    ),
    (
        "audit",
        "UPDATE audit
        SET erased = TRUE, actor = '', event = '', reception_id = NULL, session_id = NULL, detail = ''
        WHERE seq IN (SELECT seq FROM audit WHERE company_id = $1 AND erased = FALSE ORDER BY seq LIMIT $2)",
    ),
    (
        "companies",
        "UPDATE companies
        SET code = 'erased:' || company_id, name = '', search = '', contact = '', note = '', policy = '{}', region = '',
            seats = NULL, partner_id = NULL, contract_begins_at_ms = NULL, contract_ends_at_ms = NULL,
            version = version + 1
        WHERE company_id = $1
        AND name <> ''
        AND $2 > 0",
    ),
];

/// A certificate of deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its number, which is the request's.
    pub number: String,
    /// The code of the company.
    pub company_code: String,
    /// Its name.
    pub company_name: String,
    /// The number that stays of it in the chain.
    pub company_id: String,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked_at: String,
    /// Who agreed.
    pub agreed_by: String,
    /// When.
    pub agreed_at: String,
    /// When nothing was left.
    pub done_at: String,
    /// Rows that are gone, by table.
    pub rows: BTreeMap<String, u64>,
    /// Text columns in which nothing of the company was found.
    pub columns_searched: usize,
    /// Hash over the hashes of the rows of the chain whose content is gone.
    pub chain_sha256: String,
}

impl Certificate {
    /// Reads the column.
    pub fn stored(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// SHA-256 of the column; the chain has it, too.
    pub fn hash(text: &str) -> String {
        hex::encode(Sha256::digest(text))
    }
}

/// Goes on with every erasure that is under way until it is done; how many were.
///
/// # Errors
/// [`DbError`].
pub async fn run(app: &App) -> DbResult<usize> {
    let mut tx = app.db.read().await?;
    let under_way = store::erasures(&mut tx).await?;
    drop(tx);
    let mut done = 0usize;
    for (request_id, company_id) in under_way {
        let mut finished = true;
        for (table, sql) in TABLES {
            while 0 < stretch(app, &request_id, &company_id, (table, sql)).await? {}
        }
        finished &= finish(app, &request_id, &company_id).await?;
        done = done.saturating_add(usize::from(finished));
    }
    Ok(done)
}

/// Erases one stretch of a table; how many rows.
async fn stretch(
    app: &App,
    request_id: &str,
    company_id: &str,
    (table, sql): (&'static str, &'static str),
) -> DbResult<u64> {
    let mut tx = app.db.begin().await?;
    let Some(counts) = store::hold(&mut tx, request_id).await? else { return Ok(0) };
    let gone = match &mut tx {
        Tx::Sqlite(tx) => sqlx::query(sql).bind(company_id).bind(STRETCH).execute(&mut **tx).await?.rows_affected(),
        Tx::Postgres(tx) => sqlx::query(sql).bind(company_id).bind(STRETCH).execute(&mut **tx).await?.rows_affected(),
    };
    if 0 < gone {
        let mut counts: BTreeMap<String, u64> = serde_json::from_str(&counts).unwrap_or_default();
        let count = counts.entry(table.to_owned()).or_default();
        *count = count.saturating_add(gone);
        store::count(&mut tx, request_id, &json!(counts).to_string()).await?;
        tx.commit().await?;
    }
    Ok(gone)
}

/// Looks through the database; when nothing is found, writes the certificate. Whether it did.
async fn finish(app: &App, request_id: &str, company_id: &str) -> DbResult<bool> {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if store::hold(&mut tx, request_id).await?.is_none() {
        return Ok(false);
    }
    let Some(row) = store::find(&mut tx, request_id).await? else { return Ok(false) };
    let found = scan(&mut tx, company_id).await?;
    if !found.left.is_empty() {
        tracing::error!(event = "data.erase_incomplete", columns = ?found.left, "A company is not erased completely");
        return Ok(false);
    }
    let erased = erased::summary(&mut tx, company_id).await?;
    let certificate = certificate(&row, found.columns, &erased.sha256, now)?;
    store::done(&mut tx, request_id, &certificate, now).await?;
    audit::append(&mut tx, vouch(company_id, &erased, &certificate, now)).await?;
    execute!(&mut tx, "DELETE FROM login_attempts WHERE forget_at_ms <= $1", now)?;
    tx.commit().await?;
    tracing::info!(event = "data.erased", "A company was erased");
    Ok(true)
}

/// The event that vouches for the rows whose content is gone.
fn vouch(company_id: &str, erased: &erased::Summary, certificate: &str, now: UnixMillis) -> AuditEvent {
    AuditEvent {
        at_ms: now,
        company: Some(SYSTEM),
        actor: Actor::Manager,
        event: erased::EVENT,
        reception: None,
        session: None,
        detail: json!({
            "erased_id": company_id,
            "rows": erased.rows,
            "first": erased.first,
            "sha256": erased.sha256,
            "certificate_sha256": Certificate::hash(certificate),
        }),
    }
}

fn certificate(row: &Row, columns_searched: usize, chain_sha256: &str, now: UnixMillis) -> DbResult<String> {
    let zone = time::zone(time::TOKYO);
    let at = |at: i64| time::machine(at, &zone);
    let certificate = Certificate {
        number: row.request_id.clone(),
        company_code: row.company_code.clone(),
        company_name: row.company_name.clone(),
        company_id: row.company_id.clone(),
        reason: row.reason.clone(),
        asked_by: row.asked_name.clone(),
        asked_at: at(row.asked_at_ms),
        agreed_by: row.decided_name.clone().unwrap_or_default(),
        agreed_at: row.decided_at_ms.map(at).unwrap_or_default(),
        done_at: at(now),
        rows: serde_json::from_str(&row.counts).unwrap_or_default(),
        columns_searched,
        chain_sha256: chain_sha256.to_owned(),
    };
    serde_json::to_string(&certificate).map_err(|_no_json| DbError::InconsistentRow {
        table: "requests",
        column: "certificate",
        id: row.request_id.clone(),
    })
}
