//! A company that has rows in every table, with one mark in every text that is free.

use manager::{
    audit::{self, Actor, AuditEvent},
    db::Tx,
    execute,
};
use serde_json::json;

use crate::session::Desk;

/// Stands in every text that the company owns and that means nothing to the program.
pub(super) const MARK: &str = "planted-7c41";

/// Rows of every table that a company can have, with the mark in every text that is free.
pub(super) async fn plant(desk: &Desk) {
    let company = desk.operator.company_id.to_string();
    let operator = desk.operator.operator_id.to_string();
    let mut whole = desk.manager.app.db.begin().await.unwrap();
    let tx = &mut whole;
    let id = |n: u8| format!("{n:032}");
    execute!(tx, "INSERT INTO organisations VALUES ($1, $2, NULL, $3, $4, $4, 1, 0)", id(1), &company, id(1), MARK)
        .unwrap();
    execute!(tx, "INSERT INTO organisations VALUES ($1, $2, $3, $1, 'child', $4, 1, 0)", id(2), &company, id(1), MARK)
        .unwrap();
    execute!(tx, "INSERT INTO roles VALUES ($1, $2, $3, 'operator', 'own', $3, 1, 0)", id(3), &company, MARK).unwrap();
    execute!(
        tx,
        "INSERT INTO locators (locator_mac, free_at_ms)
        SELECT locator_mac, 9000000000000000 FROM receptions WHERE company_id = $1
        ON CONFLICT (locator_mac) DO UPDATE SET free_at_ms = 9000000000000000",
        &company
    )
    .unwrap();
    execute!(
        tx,
        "INSERT INTO notices VALUES ($1, $2, FALSE, 'other', FALSE, $3, $3, 1, 2, 2, $3, 1, NULL, FALSE, 0, $3)",
        id(6),
        &company,
        MARK
    )
    .unwrap();
    execute!(tx, "INSERT INTO notice_reads VALUES ($1, $2, 1)", id(6), &operator).unwrap();
    execute!(tx, "INSERT INTO notice_companies VALUES ($1, $2)", id(6), &company).unwrap();
    execute!(
        tx,
        "INSERT INTO mails VALUES ($1, $2, $3, $1, $1, $1, $1, $1, 'sent', 1, 1, 1, 1, 1, $1, $1, 0)",
        MARK,
        &company,
        &operator
    )
    .unwrap();
    execute!(tx, "INSERT INTO categories VALUES ($1, $2, $3, FALSE, 1, 0)", id(6), &company, MARK).unwrap();
    execute!(tx, "INSERT INTO statistics_peaks VALUES ($1, 0, 1)", &company).unwrap();
    execute!(
        tx,
        "INSERT INTO statistics VALUES ($1, 0, $2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        &company,
        &operator
    )
    .unwrap();
    plant_start(tx, &company, &operator, &id(8)).await;
    plant_webhook(tx, &company, [&id(6), &id(7)]).await;
    plant_token(tx, &company, &operator, &id(7)).await;
    execute!(tx, "INSERT INTO account_groups VALUES ($1, $2, $3, $3, 1, 0)", id(4), &company, MARK).unwrap();
    execute!(tx, "INSERT INTO account_group_members VALUES ($1, $2)", id(4), &operator).unwrap();
    plant_account(tx, &operator).await;
    plant_provider(tx, &company, &operator).await;
    mark(tx, &company, &operator, [&id(2), &id(3)]).await;
    execute!(tx, "INSERT INTO changes VALUES ($1, $2, $3, 1, $3)", id(5), &company, MARK).unwrap();
    let event = AuditEvent {
        at_ms: 1,
        company: Some(desk.operator.company_id),
        actor: Actor::Operator(desk.operator.operator_id),
        event: "list.exported",
        reception: None,
        session: None,
        detail: json!({ "filter": MARK }),
    };
    audit::append(tx, event).await.unwrap();
    whole.commit().await.unwrap();
}

/// A reception that a device management started.
async fn plant_start(tx: &mut Tx, company: &str, operator: &str, reception_id: &str) {
    execute!(
        tx,
        "INSERT INTO device_starts VALUES
        ($1, $2, $4, $4, $4, $4, $4, $4, $4, $4, $4, $3, $4, $4, $4, 'waiting', 1, 1, 9000000000000000, NULL)",
        reception_id,
        company,
        operator,
        MARK
    )
    .unwrap();
}

/// A webhook and a call of it.
async fn plant_webhook(tx: &mut Tx, company: &str, [webhook_id, call_id]: [&str; 2]) {
    execute!(tx, "INSERT INTO webhooks VALUES ($1, $2, $3, $3, $3, FALSE, 1, 0)", webhook_id, company, MARK).unwrap();
    execute!(
        tx,
        "INSERT INTO webhook_calls VALUES ($1, $2, $3, $4, 1, $4, $4, 'queued', 0, 1, NULL, $4, $4, 0, $4)",
        call_id,
        webhook_id,
        company,
        MARK
    )
    .unwrap();
}

/// A token of the API.
async fn plant_token(tx: &mut Tx, company: &str, operator: &str, token_id: &str) {
    execute!(
        tx,
        "INSERT INTO api_tokens VALUES ($1, $2, $3, $4, $4, $4, $4, $4, 1, 2, NULL, $4, NULL)",
        token_id,
        company,
        operator,
        MARK
    )
    .unwrap();
}

/// An identity provider, somebody who is bound there, and a browser that is there.
async fn plant_provider(tx: &mut Tx, company: &str, operator: &str) {
    execute!(tx, "INSERT INTO providers VALUES ($1, TRUE, $2, $2, $2, $2, FALSE, 1)", company, MARK).unwrap();
    execute!(tx, "INSERT INTO provider_links VALUES ($1, $2, $3, $3, 1)", operator, company, MARK).unwrap();
    execute!(
        tx,
        "INSERT INTO provider_flows VALUES ($3, $1, $2, $3, $3, $3, $3, 9000000000000000)",
        company,
        operator,
        MARK
    )
    .unwrap();
}

/// Rows of every table that an account can have.
async fn plant_account(tx: &mut Tx, operator: &str) {
    execute!(tx, "INSERT INTO password_links VALUES ($1, $2, $1, 1, 9000000000000000, NULL)", MARK, operator).unwrap();
    execute!(tx, "INSERT INTO recovery_codes VALUES ($1, $2, NULL)", operator, MARK).unwrap();
    execute!(tx, "INSERT INTO password_history VALUES ($1, 1, $2)", operator, MARK).unwrap();
    execute!(tx, "INSERT INTO saved_filters VALUES ($1, $2, $1, $1, $1, 1)", MARK, operator).unwrap();
    execute!(tx, "INSERT INTO known_devices VALUES ($1, $2, 1)", operator, MARK).unwrap();
    execute!(
        tx,
        "INSERT INTO imports (import_id, company_id, operator_id, mode, content, created_at_ms)
        SELECT $2, company_id, operator_id, 'add', $2, 1
        FROM operators
        WHERE operator_id = $1",
        operator,
        MARK
    )
    .unwrap();
    execute!(
        tx,
        "INSERT INTO terms
        (revision_id, edition, in_force_from_ms, agree, author, created_at_ms, publisher, published_at_ms, version,
            changes_ja, changes_en, body_ja, body_en)
        VALUES ('r1', '1', 1, FALSE, '-', 1, '-', 1, 1, '-', '-', '-', '')"
    )
    .unwrap();
    execute!(tx, "INSERT INTO terms_agreements VALUES ('r1', $1, 1)", operator).unwrap();
    execute!(tx, "INSERT INTO terms_reads VALUES ('r1', $1, 1)", operator).unwrap();
    execute!(tx, "INSERT INTO throttles VALUES ($1, $2, 1, 9000000000000000)", MARK, operator).unwrap();
    execute!(
        tx,
        "INSERT INTO site_logins
        (token_hash, operator_id, stage, code_failures, totp_sealed, source, agent, created_at_ms, used_at_ms,
            expires_at_ms)
        VALUES ($1, $2, $1, 0, $1, $1, $1, 1, 1, 9000000000000000)",
        MARK,
        operator
    )
    .unwrap();
}

/// Puts the mark into the free texts of the rows that are there: of the account, its sessions, numbers and events, and the
/// company.
async fn mark(tx: &mut Tx, company: &str, operator: &str, [organisation_id, role_id]: [&str; 2]) {
    execute!(
        tx,
        "UPDATE operators
        SET name = $2, kana = $2, email = $2, search = $2, password_hash = $2, totp_sealed = $2, organisation_id = $3,
            role_id = $4
        WHERE operator_id = $1",
        operator,
        MARK,
        organisation_id,
        role_id
    )
    .unwrap();
    execute!(
        tx,
        "UPDATE sessions
        SET operator_name = $2, reason = $2, device = $2, customer_key_hash = $2, operator_key_hash = $2,
            lost_reason = $2, case_number = $2, result = $2, customer_name = $2, note = $2, search = $2,
            managed_device = $2, managed = $2
        WHERE company_id = $1",
        company,
        MARK
    )
    .unwrap();
    execute!(
        tx,
        "UPDATE receptions SET reason = $2, locator_sealed = $2, proof_key = $2, idempotency_key = $2 || reception_id
        WHERE company_id = $1",
        company,
        MARK
    )
    .unwrap();
    execute!(tx, "UPDATE events SET body = $2 WHERE operator_id = $1", operator, MARK).unwrap();
    execute!(
        tx,
        "UPDATE companies SET search = $2, contact = $2, note = $2, policy = $2 WHERE company_id = $1",
        company,
        MARK
    )
    .unwrap();
}
