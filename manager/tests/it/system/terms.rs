//! The terms of use: who writes them, that what is published stays, who reads them from when on, and who is asked to agree.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use manager::{admin::AdminRole, execute, role::Role};

use super::logged_in;
use crate::{
    browser::{Browser, Seen},
    testing::{Manager, PASSWORD, on_both},
};

/// Where revisions are written.
const LIST: &str = "/system/terms";
/// The day of the manual clock in Japan, and the next one, which is 47 minutes away.
const TODAY: &str = "2026-09-21";
const TOMORROW: &str = "2026-09-22";
/// The day after those.
const DAY_AFTER: &str = "2026-09-23";
/// What a page says to whom it is not for.
const FORBIDDEN: &str = "このページを見る権限がありません";
/// What a page says of a revision that will ask.
const ANNOUNCED: &str = "利用規約の第1.1版を2026/09/23から施行します";
/// The link at the foot of a page.
const LINK: &str = "<a href=\"/terms\">";

/// What is typed for a revision.
fn typed<'a>(edition: &'a str, from: &'a str, agree: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("edition", edition),
        ("from", from),
        ("changes_ja", "第1条を改めました"),
        ("changes_en", "Article 1 was revised"),
        ("body_ja", "# 第1条\r\n本文です。<script>alert(1)</script>\r\n\r\n3. 三つ目\r\n- 点 https://a.example/"),
        ("body_en", ""),
        ("agree", agree),
    ]
}

/// Writes a draft; its address.
async fn draft(root: &Browser<'_>, edition: &str, from: &str, agree: &str) -> String {
    root.get(LIST).await;
    let seen = root.post(LIST, &typed(edition, from, agree)).await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER, "{}", seen.text);
    seen.location.unwrap()
}

/// The version on the page of a draft, as its forms send it.
async fn version(root: &Browser<'_>, address: &str) -> String {
    root.get(address).await.between("name=\"version\" value=\"", "\"")
}

/// Presses the button that publishes.
async fn press(root: &Browser<'_>, address: &str, version: &str) -> Seen {
    root.post(&format!("{address}/publish"), &[("sure", "yes"), ("version", version)]).await
}

async fn publish(root: &Browser<'_>, address: &str) {
    let version = version(root, address).await;
    press(root, address, &version).await.goes_to(address);
}

/// That a draft is not published, and why.
async fn is_refused(root: &Browser<'_>, address: &str, why: &str) {
    let version = version(root, address).await;
    let refused = press(root, address, &version).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    refused.says(why);
}

#[tokio::test]
async fn a_draft_can_be_changed_and_deleted_and_what_is_published_stays_as_it_is() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        root.get(LIST).await.says("利用規約はまだありません");
        let wrong = root.post(LIST, &typed("v1", TODAY, "")).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        wrong.says("数字で始まる、半角の英数字");
        wrong.says("value=\"v1\"");

        let address = draft(&root, "1.0", TODAY, "").await;
        root.get(LIST).await.says(">下書き</span>");
        let taken = root.post(LIST, &typed("1.0", TOMORROW, "")).await;
        assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
        taken.says("この版はすでにあります");
        let spare = draft(&root, "9", TODAY, "").await;
        let spare_version = version(&root, &spare).await;
        root.post(&format!("{spare}/delete"), &[("version", &spare_version)]).await.goes_to(LIST);
        assert_eq!(root.get(&spare).await.status, StatusCode::NOT_FOUND);

        let first = version(&root, &address).await;
        let unsure = root.post(&format!("{address}/publish"), &[("version", &first)]).await;
        assert_eq!(unsure.status, StatusCode::UNPROCESSABLE_ENTITY);
        unsure.says("チェックを入れてください");
        publish(&root, &address).await;

        // Nothing opens it again, with whatever version.
        for version in ["0", "1", "2"] {
            let mut fields = typed("1.0", TOMORROW, "yes").to_vec();
            fields.push(("version", version));
            assert_eq!(root.post(&address, &fields).await.status, StatusCode::CONFLICT);
            root.get(&address).await;
            for verb in ["publish", "delete"] {
                let seen = root.post(&format!("{address}/{verb}"), &[("sure", "yes"), ("version", version)]).await;
                assert_eq!(seen.status, StatusCode::CONFLICT, "{verb} {version}");
                root.get(&address).await;
            }
        }
        let shown = root.get(&address).await;
        shown.says(">施行中</span>");
        shown.says("2026/09/21");
        assert_eq!(shown.between("<dd class=\"mono\">", "<").len(), 64, "the hash");
        shown.lacks("/publish\"");
        let auditor = logged_in(&manager, "auditor", AdminRole::Audit).await;
        let log = auditor.get("/system/log?event=terms.").await;
        for told in ["利用規約の下書きを作成", "利用規約の下書きを削除", "利用規約を公開"]
        {
            log.says(told);
        }
    })
    .await;
}

#[tokio::test]
async fn the_second_of_two_who_change_or_publish_a_draft_is_told() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let other = logged_in(&manager, "other", AdminRole::Operations).await;
        let address = draft(&root, "1.0", TODAY, "").await;
        let seen = version(&root, &address).await;
        assert_eq!(version(&other, &address).await, seen);

        let mut fields = typed("1.1", TODAY, "").to_vec();
        fields.push(("version", &seen));
        root.post(&address, &fields).await.goes_to(&address);

        let late = other.post(&address, &fields).await;
        assert_eq!(late.status, StatusCode::CONFLICT);
        late.says(&address);
        other.get(&address).await;
        let sure = [("sure", "yes"), ("version", seen.as_str())];
        assert_eq!(other.post(&format!("{address}/publish"), &sure).await.status, StatusCode::CONFLICT);
        other.get(&address).await.says("第1.1版");
        let auditor = logged_in(&manager, "auditor", AdminRole::Audit).await;
        let log = auditor.get("/system/log?event=terms.").await;
        for told in ["版（変更前）", "施行日時（変更前）", "同意を求める（変更前）"] {
            log.says(told);
        }
        Browser::new(&manager).get("/terms").await.says("利用規約はまだ掲載されていません");
    })
    .await;
}

#[tokio::test]
async fn a_published_revision_is_announced_to_everybody_and_in_force_from_its_day_in_japan() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let elsewhere = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let (stranger, other) = (Browser::new(&manager), Browser::new(&elsewhere));
        other.get("/login").await.lacks(LINK);
        stranger.get("/terms").await.says("利用規約はまだ掲載されていません");
        let address = draft(&root, "1.0", TOMORROW, "").await;
        for page in ["/login", "/manual/", "/nowhere"] {
            stranger.get(page).await.lacks(LINK);
        }
        assert_eq!(stranger.get("/terms/1.0").await.status, StatusCode::NOT_FOUND, "a draft");

        publish(&root, &address).await;

        for (browser, page) in
            [(&stranger, "/login"), (&stranger, "/manual/"), (&stranger, "/nowhere"), (&root, "/system")]
        {
            browser.get(page).await.says(LINK);
        }
        // Another manager, which knew of none, learns of it by itself.
        elsewhere.advance(Duration::from_secs(1));
        other.get("/login").await.says(LINK);
        let announced = stranger.get("/terms").await;
        announced.says("施行中の版は、まだありません");
        announced.says("第1.0版を2026/09/22（日本時間）から施行します");
        stranger.get("/terms/1.0").await.lacks("次の版");
        let same_day = draft(&root, "1.1", TOMORROW, "").await;
        is_refused(&root, &same_day, "公開できません。同じ日に施行する版があります").await;

        manager.advance(Duration::from_mins(45));
        stranger.get("/terms").await.says("施行中の版は、まだありません");
        manager.advance(Duration::from_mins(2));
        let page = stranger.get("/terms").await;
        for said in [
            ">施行中</span>",
            "<h2>第1条</h2>",
            "<li value=\"3\">三つ目</li>",
            "<a href=\"https://a.example/\"",
            "第1条を改めました",
        ] {
            page.says(said);
        }
        page.lacks("<script>alert");
        stranger.plant("__Host-uketsuke-lang", "en");
        let english = stranger.get("/terms").await;
        english.says("There is no English text; this is the Japanese one.");
        english.says("<div lang=\"ja\">");
        english.says("Article 1 was revised");
    })
    .await;
}

#[tokio::test]
async fn who_has_not_agreed_gets_no_further_than_the_question_and_is_asked_once() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        manager.account(company_id, "sato", Role::Operator).await;
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let (admin, sato) = (Browser::new(&manager), Browser::new(&manager));
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        admin.get("/").await.says("お疲れさまです");
        let address = draft(&root, "1.0", TODAY, "yes").await;
        root.get(&address)
            .await
            .says("2026/09/21 施行（日本時間）</strong> 公開するとすぐに、2件のアカウントに同意を求めます。");

        publish(&root, &address).await;

        admin.get("/").await.goes_to("/terms/agree");
        admin.get("/operators?q=a").await.goes_to("/terms/agree?next=%2Foperators%3Fq%3Da");
        // What must not wait does not.
        for page in ["/account", "/account/password"] {
            assert_eq!(admin.get(page).await.status, StatusCode::OK, "{page}");
        }
        // A form that was open is done, and the page behind it asks.
        admin.post("/groups", &[("name", "夜間担当")]).await.goes_to("/groups");
        admin.get("/groups").await.goes_to("/terms/agree?next=%2Fgroups");
        root.get("/system").await.says("お疲れさまです");
        let question = admin.get("/terms/agree?next=%2Foperators%3Fq%3Da").await;
        question.says("<h2>第1条</h2>");
        question.says("株式会社サンプル 山田 太郎さん（ID: admin）として同意します。");
        question.says("name=\"next\" value=\"/operators?q=a\"");
        let revision_id = question.between("name=\"revision_id\" value=\"", "\"");
        let other = admin.post("/terms/agree", &[("revision_id", "0")]).await;
        assert_eq!(other.status, StatusCode::CONFLICT, "what was not shown");
        other.says("施行中の版が変わりました");
        admin.get("/operators").await.goes_to("/terms/agree?next=%2Foperators");
        let agreed = [("revision_id", revision_id.as_str()), ("next", "/operators?q=a")];
        admin.post("/terms/agree", &agreed).await.goes_to("/operators?q=a");
        admin.get("/").await.says("お疲れさまです");
        // Who has agreed goes on by a link, which leads nowhere else.
        for (next, link) in [("%2Foperators%3Fq%3Da", "/operators?q=a"), ("%2F%2Fevil.example", "/"), ("", "/")] {
            let page = admin.get(&format!("/terms/agree?next={next}")).await;
            page.says("今、同意が必要な利用規約はありません");
            page.says(&format!("<a class=\"button\" href=\"{link}\">"));
        }
        admin.post("/terms/agree", &agreed).await.goes_to("/operators?q=a");
        admin.get("/account").await.says("第1.0版");
        admin.get("/log/operations").await.says("利用規約に同意");
        root.get(&address).await.says("<dt>同意したアカウント</dt><dd>1</dd>");

        // Somebody else is asked, can leave, and goes on with the tool.
        sato.log_in("acme", "sato", PASSWORD).await.goes_to("/");
        sato.get("/").await.goes_to("/terms/agree");
        assert!(manager.login("acme", "sato", PASSWORD).await.status.is_success());
        sato.get("/terms/agree").await;
        sato.post("/logout", &[]).await.goes_to("/login");

        // A later one that does not ask changes nothing for who has agreed, and is what the others are asked about.
        let later = draft(&root, "1.1", TOMORROW, "").await;
        publish(&root, &later).await;
        manager.advance(Duration::from_mins(50));
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        admin.get("/").await.says("お疲れさまです");
        sato.log_in("acme", "sato", PASSWORD).await.goes_to("/");
        let question = sato.get("/terms/agree").await;
        question.says("第1.1版");
        let revision_id = question.between("name=\"revision_id\" value=\"", "\"");
        sato.post("/terms/agree", &[("revision_id", &revision_id), ("next", "//evil.example")]).await.goes_to("/");
        sato.get("/").await.says("お疲れさまです");
    })
    .await;
}

#[tokio::test]
async fn only_operations_writes_terms_and_partners_see_no_drafts() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let address = draft(&root, "1.0", TODAY, "").await;
        for role in [AdminRole::Data, AdminRole::Audit, AdminRole::Partner] {
            let browser = logged_in(&manager, role.as_str(), role).await;
            for page in [LIST, &address] {
                let seen = browser.get(page).await;
                let may_see = role != AdminRole::Partner;
                assert_eq!(seen.status, if may_see { StatusCode::OK } else { StatusCode::FORBIDDEN }, "{role} {page}");
                seen.lacks("action=\"/system/terms");
                assert_eq!(seen.text.contains(FORBIDDEN), !may_see, "{role} {page}");
            }
            let publish = format!("{address}/publish");
            let delete = format!("{address}/delete");
            let withdraw = format!("{address}/withdraw");
            for form in [LIST, &address, &publish, &delete, &withdraw] {
                let mut fields = typed("2.0", TODAY, "").to_vec();
                fields.extend([("sure", "yes"), ("version", "0")]);
                let seen = browser.post(form, &fields).await;
                assert_eq!(seen.status, StatusCode::FORBIDDEN, "{role} {form}");
                // No form that is stale or not ours.
                seen.says(FORBIDDEN);
            }
        }
        root.get(&address).await.says(">下書き</span>");
        root.get(LIST).await.lacks("2.0");
    })
    .await;
}

#[tokio::test]
async fn an_announced_revision_is_withdrawn_until_its_day_begins() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let stranger = Browser::new(&manager);
        let address = draft(&root, "1.0", TOMORROW, "yes").await;
        publish(&root, &address).await;
        stranger.get("/terms/1.0").await.says(">予告中</span>");
        let withdraw = format!("{address}/withdraw");
        let seen = version(&root, &address).await;

        root.post(&withdraw, &[("version", &seen)]).await.goes_to(&address);

        let shown = root.get(&address).await;
        shown.says(">取り下げ</span>");
        shown.says("<dt>取り下げた人</dt><dd>rootさん</dd>");
        shown.lacks("/withdraw\"");
        assert_eq!(root.post(&withdraw, &[("version", &seen)]).await.status, StatusCode::CONFLICT, "twice");
        assert_eq!(stranger.get("/terms/1.0").await.status, StatusCode::NOT_FOUND);
        stranger.get("/terms").await.says("利用規約はまだ掲載されていません");
        root.get(LIST).await.says(">取り下げ</span>");

        // Its day is free for another one, which stays once it is in force.
        let next = draft(&root, "1.1", TOMORROW, "").await;
        publish(&root, &next).await;
        let seen = version(&root, &next).await;
        manager.advance(Duration::from_mins(50));
        let late = logged_in(&manager, "late", AdminRole::Operations).await;
        late.get(&next).await.lacks("/withdraw\"");
        let refused = late.post(&format!("{next}/withdraw"), &[("version", &seen)]).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        late.get(&next).await.says(">施行中</span>");
        stranger.get("/terms").await.says("第1.1版");
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let admin = Browser::new(&manager);
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        admin.get("/").await.says("お疲れさまです");
        let auditor = logged_in(&manager, "auditor", AdminRole::Audit).await;
        auditor.get("/system/log?event=terms.").await.says("利用規約の公開を取り下げ");
    })
    .await;
}

#[tokio::test]
async fn only_the_first_revision_has_a_day_that_is_past() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let first = draft(&root, "1.0", "2020-04-01", "").await;
        let spare = draft(&root, "1.1", "2021-04-01", "").await;
        publish(&root, &first).await;

        is_refused(&root, &spare, "公開できません。施行日が過ぎています").await;
        root.get(LIST).await;
        let wrong = root.post(LIST, &typed("1.2", "2026-09-20", "")).await;

        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        wrong.says("今日から2年後までの日付");
        wrong.says("id=\"from-mistake\"");
        let today = draft(&root, "1.2", TODAY, "").await;
        publish(&root, &today).await;
        Browser::new(&manager).get("/terms").await.says("第1.2版");
    })
    .await;
}

#[tokio::test]
async fn of_two_who_publish_at_once_the_second_sees_the_first() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let other = logged_in(&manager, "other", AdminRole::Operations).await;
        // Each could be the first one, and none of them the second: their days are past.
        let mine = draft(&root, "1.0", "2020-04-01", "").await;
        let theirs = draft(&other, "1.1", "2021-04-01", "").await;
        let (my_version, their_version) = (version(&root, &mine).await, version(&other, &theirs).await);

        let (one, two) = tokio::join!(press(&root, &mine, &my_version), press(&other, &theirs, &their_version));

        let done = [&one, &two].map(|seen| seen.status == StatusCode::SEE_OTHER);
        assert_ne!(done[0], done[1], "{} and {}", one.status, two.status);
        let stranger = Browser::new(&manager);
        for (page, done) in ["/terms/1.0", "/terms/1.1"].into_iter().zip(done) {
            let status = if done { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(stranger.get(page).await.status, status, "{page}");
        }
        let auditor = logged_in(&manager, "auditor", AdminRole::Audit).await;
        let log = auditor.get("/system/log?event=terms.published").await;
        assert_eq!(log.text.matches("施行日時").count(), 1, "{}", log.text);
    })
    .await;
}

#[tokio::test]
async fn what_will_ask_stands_on_every_page_of_a_company_until_it_is_read_or_withdrawn() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        manager.account(company_id, "sato", Role::Operator).await;
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let (admin, sato) = (Browser::new(&manager), Browser::new(&manager));
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        sato.log_in("acme", "sato", PASSWORD).await.goes_to("/");
        // What asks nobody comes without a word, and so does a draft.
        let silent = draft(&root, "1.0", TOMORROW, "").await;
        publish(&root, &silent).await;
        let asking = draft(&root, "1.1", DAY_AFTER, "yes").await;
        for browser in [&admin, &sato] {
            browser.get("/").await.lacks("から施行します");
        }

        publish(&root, &asking).await;

        for page in ["/", "/operators", "/account"] {
            let seen = admin.get(page).await;
            seen.says(ANNOUNCED);
            seen.says("<a href=\"/terms/1.1\">本文を読む</a>");
        }
        root.get("/system").await.lacks(ANNOUNCED);
        let stranger = Browser::new(&manager);
        stranger.get("/login").await.lacks(ANNOUNCED);
        stranger.get("/terms/1.1").await.says("<h2>第1条</h2>");
        // Opening another one is not reading it.
        admin.get("/terms/1.0").await.says("<h2>第1条</h2>");
        admin.get("/").await.says(ANNOUNCED);
        // Nor is a page that nobody sees.
        admin.send(Method::HEAD, "/terms/1.1", String::new(), "same-origin").await;
        assert_eq!(admin.prefetch("/terms/1.1").await, StatusCode::OK);
        admin.get("/").await.says(ANNOUNCED);

        admin.get("/terms/1.1").await.says("<h2>第1条</h2>");

        for page in ["/", "/operators", "/account"] {
            admin.get(page).await.lacks(ANNOUNCED);
        }
        sato.get("/").await.says(ANNOUNCED);
        // The day is that of the company's zone, and the sentence that of the reader's language.
        let mut tx = manager.app.db.begin().await.unwrap();
        let policy = r#"{"time_zone":"Europe/Amsterdam"}"#;
        execute!(&mut tx, "UPDATE companies SET policy = $2 WHERE company_id = $1", company_id.to_string(), policy)
            .unwrap();
        tx.commit().await.unwrap();
        sato.get("/").await.says("利用規約の第1.1版を2026/09/22 17:00から施行します");
        sato.plant("__Host-uketsuke-lang", "en");
        sato.get("/").await.says("Edition 1.1 of the terms of use is in force from 2026/09/22 17:00.");

        let seen = version(&root, &asking).await;
        root.post(&format!("{asking}/withdraw"), &[("version", &seen)]).await.goes_to(&asking);

        sato.get("/").await.lacks("Edition 1.1");
    })
    .await;
}

#[tokio::test]
async fn of_two_that_will_ask_the_sooner_stands_first_and_its_day_ends_it() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let root = logged_in(&manager, "root", AdminRole::Operations).await;
        let admin = Browser::new(&manager);
        admin.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        let later = draft(&root, "1.1", DAY_AFTER, "yes").await;
        publish(&root, &later).await;
        let sooner = draft(&root, "1.0", TOMORROW, "yes").await;
        publish(&root, &sooner).await;

        let both = admin.get("/").await;
        both.says("第1.0版を2026/09/22から施行します");
        both.lacks(ANNOUNCED);
        admin.get("/terms/1.0").await;
        admin.get("/").await.says(ANNOUNCED);

        // Whoever has read it is asked on its day all the same.
        manager.advance(Duration::from_mins(25));
        admin.get("/").await.says(ANNOUNCED);
        manager.advance(Duration::from_mins(25));
        admin.get("/").await.goes_to("/terms/agree");
        let account = admin.get("/account").await;
        account.lacks("第1.0版を");
        account.says(ANNOUNCED);
    })
    .await;
}
