//! Accounts by CSV: looked at first, done as a whole or not at all.

use std::fmt::Write as _;

use axum::http::StatusCode;
use manager::{
    audit::verify::{Verdict, verify},
    db::Db,
    execute, fetch_one,
    operator::import::CHANGES_MAX,
    role::Role,
};
use proto::id::CompanyId;

use crate::{
    browser::{Browser, Seen},
    testing::{Manager, PASSWORD, on_both},
};

/// A company with an administrator.
async fn company(manager: &Manager, code: &str) -> CompanyId {
    let company_id = manager.company(code).await;
    manager.account(company_id, "admin", Role::CompanyAdmin).await;
    company_id
}

/// Brings a file and gives the page that shows what it would do.
async fn look(browser: &Browser<'_>, mode: &str, file: &[u8]) -> (String, Seen) {
    browser.get("/operators/csv").await;
    let brought = browser.upload("/operators/csv", &[("mode", mode)], file).await;
    assert_eq!(brought.status, StatusCode::SEE_OTHER, "{}", brought.text);
    let path = brought.location.unwrap();
    let seen = browser.get(&path).await;
    (path, seen)
}

/// Brings a file that has no mistake, and does it.
async fn done(browser: &Browser<'_>, mode: &str, file: &[u8]) -> Seen {
    let (path, seen) = look(browser, mode, file).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    let done = browser.post(&path, &[]).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    done
}

async fn accounts(db: &Db, company_id: CompanyId) -> i64 {
    let mut tx = db.read().await.unwrap();
    let sql_row = fetch_one!(
        &mut tx,
        (i64,),
        "SELECT COUNT(*) FROM operators WHERE company_id = $1 AND deleted_at_ms IS NULL",
        company_id.to_string()
    );
    sql_row.unwrap().0
}

async fn exported(browser: &Browser<'_>) -> Vec<u8> {
    let body = browser.open("/operators/file?sort=user").await.into_body();
    axum::body::to_bytes(body, 8 << 20).await.unwrap().to_vec()
}

#[tokio::test]
async fn two_hundred_people_come_by_one_file_each_with_a_link_that_works_once() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager, "acme").await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let mut file = "ID,名前,フリガナ,役割\r\n".to_owned();
        for number in 0..200 {
            write!(file, "user{number},山田 {number}郎,ヤマダ,{}\r\n", if number == 7 { "監督者" } else { "" })
                .unwrap();
        }
        let (cp932, _, _) = encoding_rs::SHIFT_JIS.encode(&file);

        let page = done(&browser, "add", &cp932).await;

        assert_eq!(accounts(&db, company_id).await, 201);
        let (_, rest) = page.text.split_once("https://desk.example.jp").expect("links stand on the page");
        let link = rest.split(['<', '"']).next().unwrap().to_owned();
        assert_eq!(page.text.matches("https://desk.example.jp/login/link/").count(), 200);
        let person = Browser::new(&manager);
        assert_eq!(person.get(&link).await.status, StatusCode::OK);
        person.post(&link, &[("new", "Fresh-Horse-43"), ("again", "Fresh-Horse-43")]).await;
        assert!(browser.get("/operators?q=user7&role=supervisor").await.text.contains("user7<"));
        assert!(matches!(verify(&db).await.unwrap(), Verdict::Holds { .. }));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_was_exported_changes_nothing_when_it_comes_back() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager, "acme").await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let file = "user,name,kana,email,role,state\n\
            a,=1+1,'=x,a@example.jp,viewer,stopped\nb,\"b, \"\"c\"\"\",,,auditor,active\n";
        done(&browser, "add", file.as_bytes()).await;
        let before = exported(&browser).await;
        assert!(String::from_utf8_lossy(&before).contains("'=1+1"));

        let (_, seen) = look(&browser, "update", &before).await;

        assert_eq!(seen.status, StatusCode::OK);
        assert!(seen.text.contains("変わるものはありません"), "{}", seen.text);
        assert_eq!(accounts(&db, company_id).await, 3);
        assert_eq!(exported(&browser).await, before);
    })
    .await;
}

#[tokio::test]
async fn one_bad_cell_among_a_hundred_thousand_rows_changes_nothing_and_is_named() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager, "acme").await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let mut file = "user,name,email\n".to_owned();
        for number in 0..100_000 {
            let email = if number == 77_776 { "not an address" } else { "" };
            writeln!(file, "admin{},名前,{email}", if number == 0 { String::new() } else { number.to_string() })
                .unwrap();
        }

        let (path, seen) = look(&browser, "add_update", file.as_bytes()).await;

        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        let saved = browser.get(&format!("{path}/mistakes")).await.text;
        let lines: Vec<_> = saved.lines().skip(1).collect();
        assert_eq!(lines.len(), 2, "{saved}");
        assert!(lines[0].starts_with(&format!("{},", CHANGES_MAX + 2)), "{saved}");
        assert!(lines[1].starts_with("77778,email,not an address,"), "{saved}");
        let refused = browser.post(&path, &[]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(accounts(&db, company_id).await, 1);
    })
    .await;
}

#[tokio::test]
async fn each_mistake_names_its_row_and_its_column() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager, "acme").await;
        manager.operator(company_id, "there").await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let file = "user,name,email,role,organisation,state\n\
            there,x,,,,\nbad id,x,,,,\nok,,,,,\nok2,x,at,,,\nok3,x,,king,,\nok4,x,,,Mars,\nok5,x,,,,asleep\nok6,x\nok7,x,,,,\nok7,x,,,,\n";

        let (path, seen) = look(&browser, "add", file.as_bytes()).await;

        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        let saved = browser.get(&format!("{path}/mistakes?encoding=utf8")).await.text;
        let found: Vec<_> =
            saved.lines().skip(1).map(|line| line.splitn(3, ',').take(2).collect::<Vec<_>>().join(" ")).collect();
        let expected = ["2 user", "3 user", "4 name", "5 email", "6 role", "7 organisation", "8 state", "9 ", "11 user"];
        assert_eq!(found, expected);
        assert_eq!(accounts(&db, company_id).await, 2);

        for (mode, file, column) in [("update", "user\nnobody\n", "user"), ("delete", "user\nadmin\n", "")] {
            let (path, seen) = look(&browser, mode, file.as_bytes()).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY, "{mode}");
            let saved = browser.get(&format!("{path}/mistakes")).await.text;
            assert!(saved.contains(&format!("\r\n2,{column},")), "{saved}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_waits_for_its_own_account_only_and_not_for_long() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager, "acme").await;
        manager.account(company_id, "admin2", Role::CompanyAdmin).await;
        manager.operator(company_id, "yamada").await;
        company(&manager, "other").await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let (path, _) = look(&browser, "add", b"user,name\nnew,x\n").await;

        for (company, user, status) in [
            ("acme", "admin2", StatusCode::NOT_FOUND),
            ("other", "admin", StatusCode::NOT_FOUND),
            ("acme", "yamada", StatusCode::FORBIDDEN),
        ] {
            let stranger = Browser::new(&manager);
            stranger.log_in(company, user, PASSWORD).await;
            assert_eq!(stranger.get(&path).await.status, status, "{company} {user}");
            assert_eq!(stranger.get(&format!("{path}/mistakes")).await.status, status, "{company} {user}");
            stranger.get("/account").await;
            assert_eq!(stranger.post(&path, &[]).await.status, status, "{company} {user}");
        }
        manager.advance(std::time::Duration::from_mins(29));
        assert_eq!(browser.get(&path).await.status, StatusCode::OK);
        manager.advance(std::time::Duration::from_mins(29));
        assert_eq!(browser.get("/operators").await.status, StatusCode::OK);
        manager.advance(std::time::Duration::from_mins(3));
        assert_eq!(browser.post(&path, &[]).await.status, StatusCode::NOT_FOUND);
        assert_eq!(accounts(&db, company_id).await, 3);
    })
    .await;
}

#[tokio::test]
async fn what_somebody_else_did_since_the_look_is_met_and_nothing_is_done_by_half() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager, "acme").await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let (path, seen) = look(&browser, "add", b"user,name\nfirst,x\nsecond,x\n").await;
        assert_eq!(seen.status, StatusCode::OK);
        manager.operator(company_id, "second").await;

        let refused = browser.post(&path, &[]).await;

        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text.contains("second"));
        assert_eq!(accounts(&db, company_id).await, 2, "first was not made either");

        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE companies SET seats = 3 WHERE company_id = $1", company_id.to_string()).unwrap();
        tx.commit().await.unwrap();
        let (_, seen) = look(&browser, "add", b"user,name\nthird,x\nfourth,x\n").await;
        assert!(
            seen.text.contains("fourth") && !seen.text.contains(">third<"),
            "the third seat is there: {}",
            seen.text
        );
        done(&browser, "delete", b"user\nsecond\n").await;
        done(&browser, "add", b"user,name\nthird,x\nfourth,x\n").await;
        assert_eq!(accounts(&db, company_id).await, 3);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_file_of_accounts_is_refused_with_what_to_do() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        company(&manager, "acme").await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        browser.get("/operators/csv").await;
        for (file, told) in [
            (&b""[..], "ファイルを選びましたか"),
            (b"\x81", "UTF-8またはShift_JIS"),
            (b"user,password\na,b\n", "「password」"),
            (b"name\na\n", "「user」の列がありません"),
        ] {
            let seen = browser.upload("/operators/csv", &[("mode", "add")], file).await;
            assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(seen.text.contains(told), "{told}: {}", seen.text);
        }
        let large = browser.upload("/operators/csv", &[("mode", "add")], &vec![b'a'; 17 << 20]).await;
        assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(
            browser.upload("/operators/csv", &[("mode", "eat")], b"user\na\n").await.status,
            StatusCode::BAD_REQUEST
        );
        *browser.csrf.borrow_mut() = "stale".to_owned();
        let forged = browser.upload("/operators/csv", &[("mode", "add")], b"user,name\na,b\n").await;
        assert_eq!(forged.status, StatusCode::FORBIDDEN);
    })
    .await;
}

/// Where an account belongs.
async fn organisation_of(db: &Db, user: &str) -> String {
    let mut tx = db.read().await.unwrap();
    let found = fetch_one!(&mut tx, (String,), "SELECT organisation_id FROM operators WHERE user_id = $1", user);
    found.unwrap().0
}

#[tokio::test]
async fn an_organisation_whose_name_several_have_is_written_from_the_top() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let company_id = company(&manager, "acme").await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let mut tx = db.begin().await.unwrap();
        for (id, parent, path, name) in [
            ("e", None, "e/", "東日本"),
            ("w", None, "w/", "西日本"),
            ("es", Some("e"), "e/es/", "営業"),
            ("ws", Some("w"), "w/ws/", "営業"),
        ] {
            execute!(
                &mut tx,
                "INSERT INTO organisations (organisation_id, company_id, parent_id, path, name, note, created_at_ms, version)
                VALUES ($1, $2, $3, $4, $5, '', 1, 0)",
                id,
                company_id.to_string(),
                parent,
                path,
                name
            )
            .unwrap();
        }
        tx.commit().await.unwrap();
        let file = |organisation: &str| format!("user,name,organisation\nsato,佐藤,{organisation}\n");

        let (_, seen) = look(&browser, "add", file("営業").as_bytes()).await;
        seen.says("この名前の組織がいくつかあります");
        done(&browser, "add", file("西日本/営業").as_bytes()).await;
        assert_eq!(organisation_of(&db, "sato").await, "ws");
        for same in ["営業", "西日本/営業"] {
            let (_, seen) = look(&browser, "update", file(same).as_bytes()).await;
            seen.says("変わるものはありません");
        }
        done(&browser, "update", file("東日本/営業").as_bytes()).await;
        assert_eq!(organisation_of(&db, "sato").await, "es");
    })
    .await;
}
