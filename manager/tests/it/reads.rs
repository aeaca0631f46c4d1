//! What is only read changes nothing: every address of the site and of the API is called, and the database compared.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, StatusCode};
use manager::{
    admin::AdminRole,
    db::{Db, Tx},
    role::Role,
    router,
    token::Scope,
};
use sqlx::AssertSqlSafe;

use crate::{browser::Browser, live, manage, session::Desk, system, testing::on_both};

/// Streams, which never end.
const ENDLESS: [&str; 2] = ["/live/changes", "/v1/events"];

/// Every row of every table, as text.
async fn rows(db: &Db) -> BTreeMap<String, BTreeSet<String>> {
    let mut tx = db.read().await.unwrap();
    let columns: Vec<(String, String)> = match &mut tx {
        Tx::Sqlite(tx) => sqlx::query_as(
            "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
            WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, p.cid",
        )
        .fetch_all(&mut **tx)
        .await
        .unwrap(),
        Tx::Postgres(tx) => sqlx::query_as(
            "SELECT table_name::TEXT, column_name::TEXT FROM information_schema.columns
            WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position",
        )
        .fetch_all(&mut **tx)
        .await
        .unwrap(),
    };
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // What was migrated has bytes that are no text, and nobody changes it.
    for (table, column) in columns.into_iter().filter(|(table, _)| table != "_sqlx_migrations") {
        let text = format!("'{column}=' || COALESCE(CAST(\"{column}\" AS TEXT), 'NULL')");
        tables.entry(table).or_default().push(text);
    }
    let mut found = BTreeMap::new();
    for (table, texts) in tables {
        let sql = AssertSqlSafe(format!("SELECT {} FROM \"{table}\"", texts.join(" || ' ' || ")));
        let rows: Vec<(String,)> = match &mut tx {
            Tx::Sqlite(tx) => sqlx::query_as(sql).fetch_all(&mut **tx).await.unwrap(),
            Tx::Postgres(tx) => sqlx::query_as(sql).fetch_all(&mut **tx).await.unwrap(),
        };
        found.insert(table, rows.into_iter().map(|(row,)| row).collect());
    }
    assert!(30 < found.len(), "{:?}", found.keys());
    found
}

/// What a row of the chain says when a list was taken as a file, and that somebody has opened a notice or a
/// revision of the terms.
fn may_be_new(table: &str, row: &str) -> bool {
    match table {
        "audit" => row.contains("event=list.exported ") || row.contains("event=data.disclosed "),
        "audit_head" => row.starts_with("id=1 "),
        // And how often, when and from where a program asked.
        "notice_reads" | "terms_reads" | "throttles" | "api_tokens" => true,
        // The page that offers a second factor keeps what it has drawn with its own login, which it is nothing without.
        "site_logins" => row.contains(" stage=full ") && row.contains(" revoked_at_ms=NULL"),
        _ => false,
    }
}

/// Fails unless the rows are the same, but for what says that somebody has read.
fn compare(before: &BTreeMap<String, BTreeSet<String>>, after: &BTreeMap<String, BTreeSet<String>>, who: &str) {
    for (table, rows) in after {
        let old = &before[table];
        let new: Vec<&String> = rows.difference(old).filter(|row| !may_be_new(table, row)).collect();
        let gone: Vec<&String> = old.difference(rows).filter(|row| !may_be_new(table, row)).collect();
        assert!(new.is_empty() && gone.is_empty(), "{who} changed {table}\nnew: {new:#?}\ngone: {gone:#?}");
    }
}

/// Every address that the router knows, with the ids of things that are there; files that every page loads are left out.
fn addresses(desk: &Desk, ids: &BTreeMap<&str, String>) -> Vec<String> {
    let printed = format!("{:?}", router::router(desk.manager.app.clone()));
    let quoted = printed.split("): \"").skip(1).filter_map(|rest| rest.split('"').next());
    let is_page =
        |address: &&str| address.starts_with('/') && !["/static/", "/{*"].iter().any(|left| address.starts_with(left));
    let filled = |address: &str| {
        let piece = |piece: &str| match piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => ids.get(name).cloned().unwrap_or_else(|| "0".repeat(32)),
            None => piece.to_owned(),
        };
        address.split('/').map(piece).collect::<Vec<_>>().join("/")
    };
    let found: BTreeSet<String> = quoted.filter(is_page).map(filled).collect();
    assert!(100 < found.len() && found.contains("/system/log") && found.contains("/v1/sessions"), "{found:?}");
    found.into_iter().collect()
}

async fn read_all(browser: &Browser<'_>, addresses: &[String]) -> usize {
    let mut opened = 0;
    for address in addresses {
        if ENDLESS.contains(&address.as_str()) {
            drop(browser.open(address).await);
            continue;
        }
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            let seen = browser.send(method.clone(), address, String::new(), "same-origin").await;
            assert!(!seen.status.is_server_error(), "{method} {address} {}", seen.status);
            opened += usize::from(seen.status == StatusCode::OK && method == Method::GET);
        }
        // What a form sends, in the address of a page.
        let csrf = browser.csrf.borrow().clone();
        let query = format!("csrf={csrf}&name=X&user=x&role=operator&version=0&verb=delete&step=save&sure=on&reason=x");
        let seen = browser.get(&format!("{address}?{query}")).await;
        assert!(!seen.status.is_server_error(), "{address} {}", seen.status);
    }
    opened
}

#[tokio::test]
async fn no_address_changes_anything_when_it_is_read() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let manager = &desk.manager;
        let (owner_id, owner) = live::browser(&desk, "owner", Role::CompanyAdmin).await;
        let mut ids = manage::things(&desk).await;
        let root = system::logged_in(manager, "root", AdminRole::Operations).await;
        let audit = system::logged_in(manager, "audit", AdminRole::Audit).await;
        let data = system::logged_in(manager, "data", AdminRole::Data).await;
        root.get("/system/incidents").await;
        let declare = [("title", "障害"), ("detected", "2026-09-21T20:00")];
        root.post("/system/incidents", &declare).await.goes_to("/system/incidents");
        let incident = root.get("/system/incidents").await.between("action=\"/system/incidents/", "/notify\"");
        ids.insert("incident_id", incident);
        ids.insert("company_id", desk.operator.company_id.to_string());
        let token = manage::token(manager, owner_id, &Scope::ALL).await;
        let addresses = addresses(&desk, &ids);

        for (who, browser) in [("company", &owner), ("operations", &root), ("audit", &audit), ("data", &data)] {
            // Tokens of forms and the mark of the last use are as new as they can be.
            browser.get("/account").await;
            let before = rows(&db).await;
            assert!(5 < read_all(browser, &addresses).await, "{who} sees nothing");
            compare(&before, &rows(&db).await, who);
        }
        for bearer in [&desk.operator.token, &token, &desk.relay] {
            let before = rows(&db).await;
            for address in addresses.iter().filter(|address| !ENDLESS.contains(&address.as_str())) {
                let answer = manager.get(address, Some(bearer)).await;
                assert!(!answer.status.is_server_error(), "{address} {}", answer.status);
            }
            compare(&before, &rows(&db).await, "a program");
        }
    })
    .await;
}
