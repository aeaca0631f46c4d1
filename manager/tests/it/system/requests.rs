//! Erasures and disclosures.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use manager::{
    admin::AdminRole,
    audit::verify::{FlawKind, Verdict, verify},
    db::{Db, Tx},
    execute, fetch_all, fetch_one,
    request::erase::{self, Certificate, TABLES},
    role::Role,
};
use proto::id::{CompanyId, OperatorId};
use sqlx::AssertSqlSafe;

use super::{
    account, code, first_login, knock,
    planted::{MARK, plant},
};
use crate::{
    browser::Browser,
    session::Desk,
    testing::{Manager, PASSWORD, on_both},
};

/// Tables that hold nothing of a company, or whose rows are named by what is gone.
const KEPT: [&str; 15] = [
    "_sqlx_migrations",
    "administrators",
    "audit_anchor",
    "audit_head",
    "halts",
    "incidents",
    "login_attempts",
    "maintenances",
    "partners",
    "password_requests",
    "relay_reports",
    "relays",
    "service",
    "statistics_state",
    "terms",
];
/// Tables that hold what must stay of it.
const PROOF: [&str; 2] = ["requests", "signing_key"];
/// More than a day, so that nobody is fresh any more.
const DAY: Duration = Duration::from_hours(25);

/// Two persons of the data role, who are not fresh, and one of operations.
struct Team<'a> {
    manager: &'a Manager,
    first: (OperatorId, Browser<'a>),
    second: (OperatorId, Browser<'a>),
    root: (OperatorId, Browser<'a>),
}

impl<'a> Team<'a> {
    async fn of(manager: &'a Manager) -> Self {
        let mut people = Vec::new();
        for (user, role) in [("data1", AdminRole::Data), ("data2", AdminRole::Data), ("root", AdminRole::Operations)] {
            let id = account(manager, user, role).await;
            people.push((id, first_login(manager, user, id).await));
        }
        let mut people = people.into_iter();
        let mut next = || people.next().unwrap();
        let team = Self { manager, first: next(), second: next(), root: next() };
        manager.advance(DAY);
        team.log_in().await;
        team
    }

    /// Everybody logs in again, with the next code.
    async fn log_in(&self) {
        self.manager.advance(Duration::from_mins(2));
        for (user, (id, browser)) in [("data1", &self.first), ("data2", &self.second), ("root", &self.root)] {
            knock(browser, user, PASSWORD).await.goes_to("/system/login/code");
            browser.get("/system/login/code").await;
            browser.post("/system/login/code", &[("code", &code(self.manager, *id).await)]).await.goes_to("/system");
            browser.get("/system").await;
        }
    }

    /// Operations ends the contract of a company.
    async fn end(&self, company_id: CompanyId) {
        let address = format!("/system/companies/{company_id}");
        let version = self.root.1.get(&address).await.between("name=\"version\" value=\"", "\"");
        let fields = [("to", "ended"), ("reason", "解約"), ("version", version.as_str())];
        self.root.1.post(&format!("{address}/state"), &fields).await.goes_to(&address);
    }

    /// The first person asks; the request's address.
    async fn ask(&self, fields: &[(&str, &str)]) -> String {
        let company = fields.iter().find(|(name, _)| *name == "company").unwrap().1;
        self.first.1.get(&format!("/system/requests/new?company={company}")).await;
        let asked = self.first.1.post("/system/requests/new", fields).await;
        assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.text);
        asked.location.unwrap()
    }
}

/// Every table of the schema, and every text column of it.
pub(crate) async fn schema(db: &Db) -> BTreeMap<String, Vec<String>> {
    let mut tx = db.read().await.unwrap();
    let rows: Vec<(String, String, bool)> = match &mut tx {
        Tx::Sqlite(tx) => sqlx::query_as(
            "SELECT m.name, p.name, p.type = 'TEXT' FROM sqlite_master m JOIN pragma_table_info(m.name) p
            WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'",
        )
        .fetch_all(&mut **tx)
        .await
        .unwrap(),
        Tx::Postgres(tx) => sqlx::query_as(
            "SELECT table_name::TEXT, column_name::TEXT, data_type = 'text' FROM information_schema.columns
            WHERE table_schema = current_schema()",
        )
        .fetch_all(&mut **tx)
        .await
        .unwrap(),
    };
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, column, is_text) in rows {
        let columns = tables.entry(table).or_default();
        if is_text {
            columns.push(column);
        }
    }
    tables
}

/// The columns in which a text stands, as `table.column`.
async fn found(db: &Db, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (table, columns) in schema(db).await {
        for column in columns {
            let mut tx = db.read().await.unwrap();
            let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{table}\" WHERE \"{column}\" LIKE $1"));
            let like = format!("%{text}%");
            let (count,): (i64,) = match &mut tx {
                Tx::Sqlite(tx) => sqlx::query_as(sql).bind(like).fetch_one(&mut **tx).await.unwrap(),
                Tx::Postgres(tx) => sqlx::query_as(sql).bind(like).fetch_one(&mut **tx).await.unwrap(),
            };
            if 0 < count {
                found.push(format!("{table}.{column}"));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn every_table_is_erased_or_known_to_hold_nothing_of_a_company() {
    on_both(|db| async move {
        let known: Vec<&str> = TABLES.iter().map(|(table, _)| *table).chain(KEPT).chain(PROOF).collect();
        let unknown: Vec<String> =
            schema(&db).await.into_keys().filter(|table| !known.contains(&table.as_str())).collect();
        assert!(unknown.is_empty(), "say in request/erase.rs what of these belongs to a company: {unknown:?}");
    })
    .await;
}

/// An erasure that one person asked for and another agreed to, with everything that stands against it.
async fn agreed(team: &Team<'_>, company_id: CompanyId) -> String {
    let (manager, company) = (team.manager, company_id.to_string());
    let fields = [("kind", "erase"), ("company", company.as_str()), ("reason", "消去依頼書")];
    team.first.1.get(&format!("/system/requests/new?company={company}")).await.says("契約が終了していない企業");
    team.first.1.post("/system/requests/new", &fields).await.says("契約が終了していない企業");
    team.end(company_id).await;
    manager.advance(Duration::from_secs(10));
    manager::session::sweep::Sweep::begin(manager.app.now_ms()).round(&manager.app).await.unwrap();
    team.first.1.get(&format!("/system/requests/new?company={company}")).await;
    team.first.1.post("/system/requests/new", &fields).await.says("契約終了から1か月たっていません");
    let early = [fields.as_slice(), &[("early", "yes")]].concat();
    let address = team.ask(&early).await;
    team.first.1.get(&format!("/system/requests/new?company={company}")).await;
    team.first.1.post("/system/requests/new", &early).await.says("すでに承認を待っています");

    let why = [("reason", "書面を確認")];
    team.first.1.get(&address).await.lacks("承認する");
    team.first.1.post(&format!("{address}/agree"), &why).await.says("別の人が行います");
    let fresh_id = account(manager, "data3", AdminRole::Data).await;
    let fresh = first_login(manager, "data3", fresh_id).await;
    fresh.get(&address).await;
    fresh.post(&format!("{address}/agree"), &why).await.says("24時間たっていない");
    team.root.1.get("/system").await;
    assert_eq!(team.root.1.get(&address).await.status, StatusCode::FORBIDDEN);
    assert_eq!(team.root.1.post(&format!("{address}/agree"), &why).await.status, StatusCode::FORBIDDEN);
    assert_eq!(erase::run(&manager.app).await.unwrap(), 0, "nobody has agreed");
    team.second.1.get(&address).await.says("承認する");
    team.second.1.post(&format!("{address}/agree"), &why).await.goes_to(&address);
    assert_eq!(team.second.1.post(&format!("{address}/refuse"), &why).await.status, StatusCode::CONFLICT);
    let page = team.root.1.get(&format!("/system/companies/{company}")).await;
    page.lacks("利用を再開する");
    address
}

#[tokio::test]
async fn a_company_is_erased_by_two_and_nothing_of_it_stays() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let manager = &desk.manager;
        desk.connected().await;
        let other = manager.company("other").await;
        manager.account(other, "tanaka", Role::CompanyAdmin).await;
        Browser::new(manager).log_in("other", "tanaka", PASSWORD).await.goes_to("/");
        let team = Team::of(manager).await;
        let company_id = desk.operator.company_id;
        let company = company_id.to_string();
        plant(&desk).await;
        assert!(20 < found(&db, MARK).await.len(), "{:?}", found(&db, MARK).await);
        let of_other = found(&db, &other.to_string()).await;

        let address = agreed(&team, company_id).await;
        assert_eq!(erase::run(&manager.app).await.unwrap(), 1);
        assert_eq!(erase::run(&manager.app).await.unwrap(), 0);

        assert_eq!(found(&db, MARK).await, Vec::<String>::new());
        let ids = found(&db, &company).await;
        assert_eq!(
            ids,
            [
                "audit.company_id",
                "audit.detail",
                "companies.code",
                "companies.company_id",
                "requests.certificate",
                "requests.company_id"
            ],
            "the number that stays"
        );
        assert_eq!(found(&db, &desk.operator.operator_id.to_string()).await, Vec::<String>::new());
        assert_eq!(found(&db, &other.to_string()).await, of_other);
        assert_eq!(verify_verdict(&db).await, None);
        let saved = team.first.1.get(&format!("{address}/certificate")).await;
        let request_id = address.rsplit('/').next().unwrap();
        let name = format!("attachment; filename=\"certificate-{request_id}.json\"");
        assert_eq!(saved.headers["content-disposition"], name.as_str());
        let file = saved.text;
        let certificate = Certificate::stored(&file).unwrap();
        let missing: Vec<&str> =
            TABLES.iter().map(|(table, _)| *table).filter(|table| !certificate.rows.contains_key(*table)).collect();
        assert!(missing.is_empty(), "nothing was planted in {missing:?}");
        let page = team.first.1.get(&address).await;
        for told in [
            "企業コード「acme」、株式会社サンプル のデータは、2026-",
            "data1さん",
            "data2さん",
            &Certificate::hash(&file),
        ] {
            page.says(told);
        }
        let mut tx = db.read().await.unwrap();
        let (detail,) = fetch_one!(&mut tx, (String,), "SELECT detail FROM audit WHERE event = 'data.erased'").unwrap();
        assert!(detail.contains(&Certificate::hash(&file)) && detail.contains(&certificate.chain_sha256), "{detail}");
        drop(tx);
        manager.login("acme", "yamada", PASSWORD).await.error();
        manager.company("acme").await;
        Browser::new(manager).log_in("other", "tanaka", PASSWORD).await.goes_to("/");
    })
    .await;
}

/// What is wrong with the chain.
pub(crate) async fn verify_verdict(db: &Db) -> Option<FlawKind> {
    match verify(db).await.unwrap() {
        Verdict::Holds { .. } => None,
        Verdict::Broken(flaw) => Some(flaw.what),
    }
}

#[tokio::test]
async fn rows_that_are_emptied_without_an_erasure_are_found() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let team = Team::of(&desk.manager).await;
        let company = desk.operator.company_id.to_string();
        team.end(desk.operator.company_id).await;
        let fields = [("kind", "erase"), ("company", company.as_str()), ("reason", "x"), ("early", "yes")];
        let address = team.ask(&fields).await;
        team.second.1.get(&address).await;
        team.second.1.post(&format!("{address}/agree"), &[("reason", "x")]).await.goes_to(&address);
        erase::run(&desk.manager.app).await.unwrap();
        assert_eq!(verify_verdict(&db).await, None);

        for (sql, flaw) in [
            (
                "UPDATE audit SET erased = TRUE, detail = '' WHERE event = 'admin.created' AND seq < 100",
                FlawKind::ErasedAlone,
            ),
            ("UPDATE audit SET detail = '' WHERE event = 'relay.enrolled'", FlawKind::Altered),
            (
                "UPDATE audit SET detail = REPLACE(detail, 'rows', 'sowr') WHERE event = 'data.erased'",
                FlawKind::Altered,
            ),
            (
                "UPDATE audit SET erased = TRUE, detail = '', company_id = (SELECT MAX(company_id) FROM audit WHERE erased)
                WHERE event = 'relay.enrolled'",
                FlawKind::ErasedAlone,
            ),
            ("UPDATE audit SET company_id = 'x' WHERE erased = TRUE", FlawKind::ErasedAlone),
            ("UPDATE audit SET hash = 'x' WHERE erased = TRUE", FlawKind::ErasedAlone),
        ] {
            let mut tx = db.begin().await.unwrap();
            match &mut tx {
                Tx::Sqlite(tx) => sqlx::query(sql).execute(&mut **tx).await.map(|_| ()).unwrap(),
                Tx::Postgres(tx) => sqlx::query(sql).execute(&mut **tx).await.map(|_| ()).unwrap(),
            }
            // The walk reads another connection, so what was done is committed and taken back by the copy of the rows.
            let saved = fetch_all!(&mut tx, manager::audit::Row, "SELECT * FROM audit ORDER BY seq").unwrap();
            drop(tx);
            let found = walk(&db, &saved).await;
            assert!(found == Some(flaw) || found == Some(FlawKind::Unchained), "{sql}: {found:?}");
        }
        assert_eq!(verify_verdict(&db).await, None);
    })
    .await;
}

/// What a walk finds when the chain has these rows.
async fn walk(db: &Db, rows: &[manager::audit::Row]) -> Option<FlawKind> {
    let mut tx = db.read().await.unwrap();
    let before = fetch_all!(&mut tx, manager::audit::Row, "SELECT * FROM audit ORDER BY seq").unwrap();
    drop(tx);
    put(db, rows).await;
    let found = verify_verdict(db).await;
    put(db, &before).await;
    found
}

async fn put(db: &Db, rows: &[manager::audit::Row]) {
    let mut tx = db.begin().await.unwrap();
    for row in rows {
        execute!(
            &mut tx,
            "UPDATE audit SET company_id = $2, event = $3, detail = $4, hash = $5, erased = $6 WHERE seq = $1",
            row.seq,
            &row.company_id,
            &row.event,
            &row.detail,
            &row.hash,
            row.erased
        )
        .unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn after_a_month_a_company_is_erased_without_its_own_request() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let team = Team::of(&manager).await;
        team.end(company_id).await;
        manager.advance(Duration::from_hours(32 * 24));
        team.log_in().await;

        let company = company_id.to_string();
        let fields = [("kind", "erase"), ("company", company.as_str()), ("reason", "契約終了から1か月")];
        let address = team.ask(&fields).await;
        team.first.1.get(&address).await.says("承認待ち");
        team.first.1.post(&format!("{address}/withdraw"), &[("reason", "")]).await.says("理由を200文字以内");
        team.second.1.get(&address).await;
        team.second.1.post(&format!("{address}/withdraw"), &[("reason", "x")]).await.says("別の人");
        team.first.1.post(&format!("{address}/withdraw"), &[("reason", "誤り")]).await.goes_to(&address);
        let again = team.ask(&fields).await;
        team.second.1.get(&again).await;
        team.second.1.post(&format!("{again}/refuse"), &[("reason", "書面がない")]).await.goes_to(&again);
        team.first.1.get("/system/requests").await.says("却下");
        assert_eq!(erase::run(&manager.app).await.unwrap(), 0);
        for verb in ["agree", "refuse", "withdraw", "fly"] {
            let seen = team.second.1.post(&format!("/system/requests/0/{verb}"), &[("reason", "x")]).await;
            assert_eq!(seen.status, StatusCode::NOT_FOUND, "{verb}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_handed_out_by_law_is_one_period_of_one_account_and_recorded() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let manager = &desk.manager;
        let team = Team::of(manager).await;
        desk.heartbeat(&[]).await;
        let login: proto::api::login::LoginAnswer = manager.login("acme", "yamada", PASSWORD).await.json();
        let body = serde_json::json!({ "proof_key": "0a".repeat(32), "reason": "プリンターの設定" });
        manager.post("/v1/receptions", Some(&login.token), &body.to_string()).await;
        manager.account(desk.operator.company_id, "suzuki", Role::Operator).await;
        manager.login("acme", "suzuki", PASSWORD).await;
        let other = manager.company("other").await;
        manager.account(other, "tanaka", Role::Operator).await;
        manager.login("other", "tanaka", PASSWORD).await;
        let company = desk.operator.company_id.to_string();
        // The clock of the tests stands at 2026-09-23 by now.
        let fields = [
            ("kind", "disclose"),
            ("company", company.as_str()),
            ("user", "yamada"),
            ("from", "2026-09-22"),
            ("to", "2026-09-24"),
            ("reason", "令状 第3号"),
        ];
        team.first.1.get(&format!("/system/requests/new?company={company}")).await;
        for (name, value, sentence) in [
            ("user", "tanaka", "アカウントはありません"),
            ("to", "2026-09-01", "開始日と終了日"),
            ("from", "", "開始日と終了日"),
        ] {
            let bad: Vec<(&str, &str)> =
                fields.iter().map(|(field, was)| (*field, if *field == name { value } else { *was })).collect();
            team.first.1.post("/system/requests/new", &bad).await.says(sentence);
        }
        let address = team.ask(&fields).await;
        let file = format!("{address}/file");
        assert_eq!(team.first.1.get(&file).await.status, StatusCode::NOT_FOUND, "nobody has agreed");
        team.second.1.get(&address).await;
        team.second.1.post(&format!("{address}/agree"), &[("reason", "確認")]).await.goes_to(&address);

        let saved = team.second.1.get(&file).await;
        assert_eq!(saved.headers["content-disposition"], "attachment; filename=\"disclosure.csv\"");
        let text = saved.text;
        assert!(text.contains("プリンターの設定") && text.contains("login.succeeded"), "{text}");
        for foreign in ["suzuki", "tanaka", "operator.created"] {
            assert!(!text.contains(foreign), "{foreign} is in {text}");
        }
        let mut tx = db.read().await.unwrap();
        let (fetched,) =
            fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM audit WHERE event = 'data.disclosed'").unwrap();
        assert_eq!(fetched, 1);
        drop(tx);
        let auditor = super::logged_in(manager, "auditor", AdminRole::Audit).await;
        auditor.get("/system/log?event=data.").await.says("令状 第3号");
        assert_eq!(auditor.get(&address).await.status, StatusCode::OK);
        assert_eq!(auditor.get(&file).await.status, StatusCode::FORBIDDEN);
        assert_eq!(team.root.1.get(&file).await.status, StatusCode::FORBIDDEN);
        manager.advance(Duration::from_hours(8 * 24));
        team.log_in().await;
        assert_eq!(team.first.1.get(&file).await.status, StatusCode::NOT_FOUND, "a week later");
    })
    .await;
}
