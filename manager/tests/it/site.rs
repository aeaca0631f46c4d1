//! The management site, called as a browser calls it: cookies, forms, redirects.

use axum::http::{Method, StatusCode, header};
use manager::{
    audit::{
        self, Actor, AuditEvent,
        change::{self, Field},
    },
    execute,
    role::Role,
};
use proto::id::{CompanyId, OperatorId};

use crate::{
    browser::{Browser, Seen},
    testing::{Manager, PASSWORD, on_both},
};

/// Company `acme` with an administrator, who is logged in.
pub(crate) async fn admin(manager: &Manager) -> (CompanyId, OperatorId, Browser<'_>) {
    let company_id = manager.company("acme").await;
    let operator_id = manager.account(company_id, "admin", Role::CompanyAdmin).await;
    let browser = Browser::new(manager);
    browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
    browser.get("/").await;
    (company_id, operator_id, browser)
}

#[tokio::test]
async fn who_is_not_logged_in_is_sent_to_the_login_and_back() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);

        browser.get("/operators?q=a%20b").await.goes_to("/login?next=%2Foperators%3Fq%3Da%2520b");
        browser.get("/login?next=%2Foperators").await.says("name=\"next\" value=\"/operators\"");
        let fields = [("company", "acme"), ("user", "admin"), ("password", PASSWORD), ("next", "/operators")];
        browser.post("/login", &fields).await.goes_to("/operators");
        browser.get("/operators").await.says("山田 太郎");
        browser.post("/logout", &[]).await.goes_to("/login");
        browser.get("/operators").await.goes_to("/login?next=%2Foperators");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_login_says_the_same_whatever_is_wrong() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        let masked = |seen: Seen, typed: &str| {
            seen.says("ログインできませんでした");
            seen.text.replace(&format!("value=\"{typed}\""), "value=\"\"")
        };

        let hashed = &manager.app.metrics.core.manager_password_hashes_total;
        let before = hashed.get();
        let wrong = masked(browser.log_in("acme", "admin", "wrong-password").await, "admin");
        assert_eq!(hashed.get() - before, 1);
        let unknown = masked(browser.log_in("acme", "nobody", PASSWORD).await, "nobody");
        assert_eq!(hashed.get() - before, 2, "as much work for an id that is not there");

        assert_eq!(wrong, unknown);
        masked(browser.log_in("nowhere", "admin", PASSWORD).await, "admin");
        assert_eq!(hashed.get() - before, 3, "and for a company that is not there");
        browser.get("/").await.goes_to("/login");
    })
    .await;
}

#[tokio::test]
async fn a_form_of_another_site_or_without_its_token_changes_nothing() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, _, browser) = admin(&manager).await;
        let fields = "name=X&user=x&role=operator";
        let with_token = format!("csrf={}&{fields}", browser.csrf.borrow());

        let forged = browser.send(Method::POST, "/operators/new", with_token, "cross-site").await;
        let stale = browser.send(Method::POST, "/operators/new", fields.to_owned(), "same-origin").await;

        assert_eq!((forged.status, stale.status), (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN));
        stale.says("ページが古くなりました");
        browser.get("/operators").await.says("全1件");
    })
    .await;
}

#[tokio::test]
async fn every_page_has_a_strict_policy_and_no_script_in_it() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, _, browser) = admin(&manager).await;

        for path in [
            "/",
            "/login",
            "/account",
            "/operators",
            "/operators/new",
            "/filters?list=%2Foperators&query=%3Fq%3Da",
            "/log/sessions",
            "/log/receptions",
            "/log/operations",
            "/log/logins",
            "/mails",
            "/notices",
            "/notices/new",
            "/manual/",
            "/manual/security",
            "/login/forgotten",
            "/login/link/unknown",
            "/nowhere",
        ] {
            let seen = browser.get(path).await;
            let policy = seen.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
            assert!(!policy.contains("unsafe"), "{path}");
            assert_eq!(seen.headers[header::CACHE_CONTROL], "no-store", "{path}");
            seen.lacks("<script>");
            seen.lacks(" style=");
            seen.lacks(" onclick=");
        }
        assert_eq!(browser.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn who_may_not_see_a_page_does_not() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let pages = [
            "/operators",
            "/operators/new",
            "/operators/file",
            "/log/receptions",
            "/log/receptions/file",
            "/log/sessions",
            "/log/sessions/file",
            "/log/operations",
            "/log/operations/file",
            "/log/logins",
            "/log/logins/file",
            "/mails",
        ];
        for (role, allowed) in [
            (Role::Operator, vec!["/log/receptions", "/log/sessions"]),
            (Role::Viewer, vec!["/log/receptions", "/log/sessions"]),
            (
                Role::Supervisor,
                vec![
                    "/operators",
                    "/operators/file",
                    "/log/receptions",
                    "/log/receptions/file",
                    "/log/sessions",
                    "/log/sessions/file",
                ],
            ),
            (Role::Auditor, pages[3..].to_vec()),
            (Role::CompanyAdmin, pages.to_vec()),
        ] {
            manager.account(company_id, role.as_str(), role).await;
            let browser = Browser::new(&manager);
            browser.log_in("acme", role.as_str(), PASSWORD).await.goes_to("/");
            for page in pages {
                let status = browser.get(page).await.status;
                let expected = if allowed.contains(&page) { StatusCode::OK } else { StatusCode::FORBIDDEN };
                assert_eq!(status, expected, "{role} {page}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_another_company_is_not_there() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, _, browser) = admin(&manager).await;
        let other = manager.company("other").await;
        let foreign = manager.operator(other, "tanaka").await;

        let seen = browser.get(&format!("/operators/{foreign}")).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND);
        browser.get("/operators/new").await;
        for verb in ["", "/stop", "/start", "/unlock", "/password", "/factor", "/logout", "/delete"] {
            let seen =
                browser.post(&format!("/operators/{foreign}{verb}"), &[("name", "X"), ("role", "operator")]).await;
            assert_eq!(seen.status, StatusCode::NOT_FOUND, "{verb}");
        }
        browser.get("/operators").await.lacks("tanaka");
        browser.get("/operators/file").await.lacks("tanaka");
        assert!(manager.login("other", "tanaka", PASSWORD).await.status.is_success());
    })
    .await;
}

#[tokio::test]
async fn accounts_are_found_however_their_reading_is_written() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, _, browser) = admin(&manager).await;
        for (name, kana, user) in [("佐藤 花子", "サトウ ハナコ", "sato"), ("鈴木 一郎", "スズキ イチロウ", "suzuki")]
        {
            browser.get("/operators/new").await;
            let fields = [("name", name), ("kana", kana), ("user", user), ("email", ""), ("role", "operator")];
            assert_eq!(browser.post("/operators/new", &fields).await.status, StatusCode::OK);
        }

        for query in ["ｻﾄｳ", "さとう", "サトウハナコ", "SATO", "佐藤"] {
            let seen = browser.get(&format!("/operators?q={}", manager::list::params::encode(query))).await;
            seen.says("佐藤 花子");
            seen.lacks("鈴木 一郎");
        }
        let nothing = browser.get("/operators?q=%25").await;
        nothing.says("条件に合うものはありません");
        let file = browser.get("/operators/file?q=sato").await.text;
        let lines: Vec<&str> = file.lines().collect();
        assert_eq!(lines.len(), 2, "{file}");
        assert!(lines[0].ends_with("user,name,kana,email,role,organisation,state,second_factor,last_login,created"));
        assert!(lines[1].starts_with("sato,佐藤 花子,サトウ ハナコ,,operator,,initial,no,,2026-09-"), "{file}");
    })
    .await;
}

#[tokio::test]
async fn of_two_administrators_who_change_one_account_the_second_is_told() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, _, browser) = admin(&manager).await;
        let id = manager.operator(company_id, "yamada").await;
        let page = browser.get(&format!("/operators/{id}")).await;
        let version = page.between("name=\"version\" value=\"", "\"");
        let change = async |name: &'static str| {
            let fields =
                [("name", name), ("kana", ""), ("email", ""), ("role", "operator"), ("version", version.as_str())];
            browser.post(&format!("/operators/{id}"), &fields).await
        };

        change("一人目").await.goes_to(&format!("/operators/{id}"));
        let second = change("二人目").await;

        assert_eq!(second.status, StatusCode::CONFLICT);
        second.says("ほかの人が先に変更しました");
        let page = browser.get(&format!("/operators/{id}")).await;
        page.says("一人目");
        page.says("<td data-name=\"変更前\">山田 太郎</td><td data-name=\"変更後\">一人目</td>");
    })
    .await;
}

#[tokio::test]
async fn the_contract_s_seats_and_the_last_administrator_are_kept() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, admin_id, browser) = admin(&manager).await;
        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE companies SET seats = 2 WHERE company_id = $1", company_id.to_string()).unwrap();
        tx.commit().await.unwrap();
        browser.get("/operators/new").await;
        let create = async |user: &'static str| {
            browser.post("/operators/new", &[("name", "X"), ("user", user), ("role", "operator")]).await
        };

        assert_eq!(create("one").await.status, StatusCode::OK);
        create("one").await.says("席数に空きがありません");
        create("two").await.says("席数に空きがありません");
        let list = browser.get("/operators?q=one").await;
        let one = list.between("data-name=\"名前\" class=\"who\"><span><a href=\"/operators/", "\"");
        browser.post(&format!("/operators/{one}/delete"), &[]).await.goes_to("/operators");
        assert_eq!(create("one").await.status, StatusCode::OK);
        browser.post(&format!("/operators/{admin_id}/stop"), &[]).await.says("自分自身にはできない操作です");
    })
    .await;
}

#[tokio::test]
async fn a_stopped_account_is_out_at_once_at_every_door() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, _, browser) = admin(&manager).await;
        let id = manager.operator(company_id, "yamada").await;
        let yamada = Browser::new(&manager);
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
        let token = manager.login("acme", "yamada", PASSWORD).await.json::<proto::api::login::LoginAnswer>().token;

        browser.get(&format!("/operators/{id}")).await;
        browser.post(&format!("/operators/{id}/stop"), &[]).await.goes_to(&format!("/operators/{id}"));

        yamada.get("/log/sessions").await.goes_to("/login?next=%2Flog%2Fsessions");
        assert_eq!(manager.get("/v1/receptions", Some(&token)).await.status, StatusCode::UNAUTHORIZED);
        yamada.log_in("acme", "yamada", PASSWORD).await.says("ログインできませんでした");
        browser.post(&format!("/operators/{id}/start"), &[]).await;
        yamada.log_in("acme", "yamada", PASSWORD).await.goes_to("/");
    })
    .await;
}

#[tokio::test]
async fn what_was_typed_is_shown_as_text() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (_, _, browser) = admin(&manager).await;
        let attack = "<script>alert(1)</script>";
        browser.get("/operators/new").await;
        browser.post("/operators/new", &[("name", attack), ("user", "x1"), ("role", "operator")]).await;

        for page in
            ["/operators", "/operators?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/log/operations?q=%22%3E%3Cscript%3E"]
        {
            browser.get(page).await.lacks("<script>");
        }
        browser.get("/operators").await.says("&#60;script&#62;alert(1)");
        browser.get("/operators/new").await;
        let bad =
            [("name", "=1+1\u{202E}"), ("user", "a b"), ("email", "x\r\nBcc: y"), ("role", "root"), ("kana", "\u{0}")];
        let seen = browser.post("/operators/new", &bad).await;
        assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(seen.text.matches("class=\"mistake\"").count(), 5, "{}", seen.text);
    })
    .await;
}

/// What a system administrator did to a company stands in its log, and its reason and values are not the company's.
async fn change_contract(manager: &Manager, company_id: CompanyId) {
    let now = manager.app.now_ms();
    let field = |name: &str, new: &str| Field { name: name.to_owned(), old: String::new(), new: new.to_owned() };
    let fields = vec![field("reason", "inner-reason"), field("note", "inner-note")];
    let mut tx = manager.app.db.begin().await.unwrap();
    let subject = format!("company:{company_id}");
    let detail = change::store(&mut tx, company_id, &subject, "運用 一郎", fields, now).await.unwrap();
    let event = AuditEvent {
        at_ms: now,
        company: Some(company_id),
        actor: Actor::Admin(OperatorId::from_bytes([9; 16])),
        event: "company.changed",
        reception: None,
        session: None,
        detail,
    };
    audit::append(&mut tx, event).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_operation_log_tells_in_words_what_was_changed_and_keeps_the_record() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, _, browser) = admin(&manager).await;
        let sato = manager.operator(company_id, "sato").await;
        let page = format!("/operators/{sato}");
        browser.get(&page).await;
        let fields = [("name", "佐藤 花子"), ("role", "viewer"), ("version", "0")];
        browser.post(&page, &fields).await.goes_to(&page);

        let log = browser.get("/log/operations?event=operator.changed").await;
        log.says("<span class=\"quiet\">名前:</span> 山田 太郎 → 佐藤 花子");
        log.says("<span class=\"quiet\">役割:</span> オペレーター → 閲覧者");
        log.says(&format!("<a href=\"/operators/{sato}\">佐藤 花子</a>"));
        log.says("change_id");
        browser.get(&page).await.says("<td data-name=\"項目\">役割</td>");
        change_contract(&manager, company_id).await;
        let log = browser.get("/log/operations?event=company.changed").await;
        log.says("<span class=\"quiet\">変更した項目:</span> 理由、メモ");
        log.lacks("inner-");

        browser.post("/language", &[("lang", "en"), ("back", "/")]).await.goes_to("/");
        let log = browser.get("/log/operations?event=operator.changed").await;
        log.says("<span class=\"quiet\">Role:</span> Operator → Viewer");
        let file = browser.get("/log/operations/file?event=operator.changed").await;
        file.says("\"\"change_id\"\"");
        file.says("\"\"subject\"\"");
    })
    .await;
}

#[tokio::test]
async fn the_operation_log_tells_who_did_what_and_whether_it_was_altered() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, _, browser) = admin(&manager).await;
        let id = manager.operator(company_id, "yamada").await;
        browser.get(&format!("/operators/{id}")).await;
        browser.post(&format!("/operators/{id}/stop"), &[]).await;

        browser.get("/log/operations?event=operator.").await.says("アカウントを停止");
        browser.get("/log/operations").await;
        browser.post("/log/operations/verify", &[]).await.says("改ざんはありません");
        let mut tx = manager.app.db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE audit SET detail = '{}' WHERE event = 'operator.stopped'").unwrap();
        tx.commit().await.unwrap();
        browser.get("/log/operations").await;
        browser.post("/log/operations/verify", &[]).await.says("つながりが切れています");
    })
    .await;
}

#[tokio::test]
async fn pages_follow_each_other_both_ways_without_a_gap() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let (company_id, _, browser) = admin(&manager).await;
        let mut tx = manager.app.db.begin().await.unwrap();
        for number in 0..120 {
            execute!(
                &mut tx,
                "INSERT INTO operators (operator_id, company_id, user_id, name, password_hash, stopped, created_at_ms)
                VALUES ($1, $2, $3, 'X', '', FALSE, 1)",
                format!("{number:032}"),
                company_id.to_string(),
                format!("user{number:03}")
            )
            .unwrap();
        }
        tx.commit().await.unwrap();
        let users = |seen: &Seen| -> Vec<String> {
            seen.text
                .split("<span class=\"mono\">user")
                .skip(1)
                .map(|rest| rest.split('<').next().unwrap().to_owned())
                .collect()
        };
        let next = |seen: &Seen, rel: &str| seen.between(&format!("rel=\"{rel}\" href=\""), "\"").replace("&#38;", "&");

        let first = browser.get("/operators?sort=user&q=user").await;
        let nothing = users(&first);
        assert!(nothing.is_empty(), "rows without a folded text are not found");
        let first = browser.get("/operators?sort=user").await;
        let second = browser.get(&format!("/operators{}", next(&first, "next"))).await;
        let third = browser.get(&format!("/operators{}", next(&second, "next"))).await;
        let back = browser.get(&format!("/operators{}", next(&third, "prev"))).await;

        let all: Vec<String> = [&first, &second, &third].into_iter().flat_map(&users).collect();
        assert_eq!(all, (0..120).map(|number| format!("{number:03}")).collect::<Vec<_>>());
        assert_eq!(users(&back), users(&second));
        first.says("全121件");
    })
    .await;
}
