//! How long the pages of a company with a long history take, in this process, on SQLite and on PostgreSQL.
//!
//!     cargo bench --profile server -p uketsuke-manager --bench lists -- [--sessions N] [--audit N] \
//!         [--audit-postgres N] [--rounds N]
//!
//! SQLite is a file in the system's temporary folder; PostgreSQL the server that `UKETSUKE_TEST_POSTGRES` names, in a
//! schema that goes away. Every page is asked for `rounds` times after two that do not count; a page is late when its
//! p95 is beyond the goal. Reports rows a second of the export and of the walk over the chain, too.
#![expect(
    clippy::unwrap_used,
    clippy::doc_markdown,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::panic,
    clippy::naive_bytecount,
    clippy::string_slice,
    clippy::assigning_clones,
    unreachable_pub,
    reason = "a bench ends at the first thing that does not work, prints what it measured, and uses the tests' harness"
)]

#[path = "../../tests/it/browser.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod browser;
mod fill;
#[path = "../../tests/it/testing.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod testing;

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use browser::Browser;
use futures_util::StreamExt as _;
use manager::{audit::verify, db::Db, role::Role};
use testing::{Manager, PASSWORD, START_MS};

/// What a page may take, and one that looks for a word.
const PAGE_P95: Duration = Duration::from_millis(150);
const WORD_P95: Duration = Duration::from_millis(500);
/// A page whose first answer takes longer is measured no further.
const GIVEN_UP: Duration = Duration::from_secs(20);

struct Flags {
    sessions: i64,
    audit: i64,
    audit_postgres: i64,
    rounds: usize,
}

#[tokio::main]
async fn main() {
    let flags = Flags {
        sessions: flag("--sessions", 1_000_000),
        audit: flag("--audit", 1_000_000),
        audit_postgres: flag("--audit-postgres", 5_000_000),
        rounds: usize::try_from(flag("--rounds", 20)).unwrap_or(20),
    };
    testing::on_both(async |db| measure(db, &flags).await).await;
}

fn flag(name: &str, default: i64) -> i64 {
    let given: Vec<String> = std::env::args().collect();
    let value = given.iter().position(|text| text == name).and_then(|at| given.get(at + 1));
    value.and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn measure(db: Db, flags: &Flags) {
    let manager = Manager::new(db.clone());
    let company_id = manager.company("acme").await;
    manager.account(company_id, "admin", Role::CompanyAdmin).await;
    let mut operators = Vec::new();
    for number in 0..fill::OPERATORS {
        operators.push(manager.operator(company_id, &format!("operator{number}")).await);
    }
    let audit = if matches!(db, Db::Postgres(_)) { flags.audit_postgres } else { flags.audit };
    println!("\n== {:?}: {} sessions, {audit} rows of the log", db, flags.sessions);
    walk(&manager, company_id).await;
    let begun = Instant::now();
    fill::sessions(&db, company_id, &operators, flags.sessions).await;
    fill::audit(&db, company_id, &operators, audit).await;
    fill::settle(&db).await;
    println!("filled in {:.0} s", begun.elapsed().as_secs_f64());

    let browser = Browser::new(&manager);
    browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
    println!("{:<66} {:>9} {:>9} {:>6}", "page", "p50 ms", "p95 ms", "");
    for path in pages(&operators[3].to_string()) {
        page(&browser, &path, flags.rounds).await;
    }
    export(&browser, "/log/sessions/file").await;
    export(&browser, "/log/operations/file").await;
}

/// Filters and orders, those of rare rows among them, near and far pages, and words that stand often, seldom, nowhere.
fn pages(operator: &str) -> Vec<String> {
    let zone = manager::site::time::zone("Asia/Tokyo");
    let day = |back: i64| manager::site::time::seconds(START_MS - back * fill::DAY_MS, &zone)[..10].replace('/', "-");
    let (old, older) = (day(300), day(301));
    let mut pages: Vec<String> =
        ["/", "/operators", "/live/receptions", "/live/sessions", "/statistics"].map(str::to_owned).into();
    let logs = [
        (
            "/log/sessions",
            vec![
                "",
                "?size=200",
                "?reason=peer_lost",
                "?reason=seal_broken",
                "?state=unconnected",
                "?state=running",
                "?minutes=119",
                "?minutes=600",
                "?sort=ended",
                "?sort=-ended",
                "?sort=duration",
                "?sort=operator",
                "?sort=-operator",
                "?result=solved",
                "?result=escalated",
                "?category=none",
                "?sort=duration&reason=peer_lost",
                "?sort=ended&state=unconnected",
            ],
        ),
        ("/log/receptions", vec!["", "?state=expired", "?state=burned", "?sort=operator"]),
        ("/log/operations", vec!["", "?event=operator.", "?event=category.", "?size=200"]),
        ("/log/logins", vec!["", "?event=login.failed"]),
    ];
    for (log, queries) in logs {
        pages.extend(queries.iter().map(|query| format!("{log}{query}")));
        pages.push(format!("{log}?from={older}&to={old}"));
        for word in ["プリンター", "珍しい", "nowhere"] {
            pages.push(format!("{log}?q={word}"));
        }
        pages.push(format!("{log}?q=nowhere&from={older}&to={old}"));
    }
    pages.push(format!("/log/sessions?operator={operator}"));
    pages.push(format!("/log/sessions?operator={operator}&q=nowhere"));
    pages.push(format!("/log/operations?actor={operator}"));
    let middle = START_MS - 180 * fill::DAY_MS;
    pages.push(format!("/log/sessions?after=s1~{middle}"));
    pages.push("/log/sessions?before=s1~0".to_owned());
    pages
}

async fn page(browser: &Browser<'_>, path: &str, rounds: usize) {
    let mut times = Vec::new();
    for round in 0..rounds + 2 {
        let begun = Instant::now();
        let seen = browser.get(path).await;
        let took = begun.elapsed();
        assert_eq!(seen.status, StatusCode::OK, "{path}: {}", seen.text);
        if GIVEN_UP < took {
            println!("{path:<66} {:>9} {:>9.0}   LATE", "", took.as_secs_f64() * 1000.0);
            return;
        }
        if 2 <= round {
            times.push(took);
        }
    }
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let goal = if path.contains("q=") { WORD_P95 } else { PAGE_P95 };
    let verdict = if at(95) <= goal { "" } else { "LATE" };
    println!("{path:<66} {:>9.1} {:>9.1} {verdict:>6}", at(50).as_secs_f64() * 1000.0, at(95).as_secs_f64() * 1000.0);
}

async fn export(browser: &Browser<'_>, path: &str) {
    let (begun, before) = (Instant::now(), resident_kib());
    let mut body = browser.open(path).await.into_body().into_data_stream();
    let (mut lines, mut most) = (0usize, before);
    while let Some(chunk) = body.next().await {
        lines += chunk.unwrap().iter().filter(|byte| **byte == b'\n').count();
        most = most.max(resident_kib());
    }
    let rate = lines as f64 / begun.elapsed().as_secs_f64();
    println!("{path}: {lines} lines, {rate:.0} a second, + {} KiB of memory at most", most.saturating_sub(before));
}

/// Walks a chain of real rows.
async fn walk(manager: &Manager, company_id: proto::id::CompanyId) {
    fill::chain(manager, company_id).await;
    let begun = Instant::now();
    let verdict = verify::verify(&manager.app.db).await.unwrap();
    let verify::Verdict::Holds { rows } = verdict else { panic!("{verdict:?}") };
    println!("audit verify: {rows} rows, {:.0} a second", rows as f64 / begun.elapsed().as_secs_f64());
}

/// Memory of this process, from `/proc/self/statm`.
fn resident_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4
}
