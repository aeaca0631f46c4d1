//! An organisation's administrator reaches the own part of the tree only: in files, on boards, in figures and by tokens.

use std::time::Duration;

use axum::http::StatusCode;
use manager::{execute, role::Role, statistics::sweep::round, token::Scope};
use proto::{
    api::{
        login::LoginAnswer,
        reception::{EnterAnswer, ReceptionBody},
    },
    id::{CompanyId, OperatorId},
};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    live, manage,
    session::{CUSTOMER_KEY, Desk, OPERATOR_KEY},
    testing::{PASSWORD, on_both},
};

/// A part of the tree, with what one operator in it has.
struct Part {
    organisation_id: String,
    operator_id: OperatorId,
    token: String,
    /// Stands in the name of the operator and in the reason of each number.
    mark: &'static str,
    waiting: ReceptionBody,
    running: EnterAnswer,
    ended: EnterAnswer,
}

/// An organisation; `parent` is empty for one of the root.
async fn organisation(desk: &Desk, company_id: CompanyId, id: &str, parent: Option<&str>, path: &str) {
    let mut tx = desk.manager.app.db.begin().await.unwrap();
    execute!(
        &mut tx,
        "INSERT INTO organisations VALUES ($1, $2, $3, $4, $1, '', 1, 0)",
        id,
        company_id.to_string(),
        parent,
        path
    )
    .unwrap();
    tx.commit().await.unwrap();
}

async fn belongs(desk: &Desk, operator_id: OperatorId, organisation_id: &str, name: &str) {
    let mut tx = desk.manager.app.db.begin().await.unwrap();
    execute!(
        &mut tx,
        "UPDATE operators SET organisation_id = $2, name = $3 WHERE operator_id = $1",
        operator_id.to_string(),
        organisation_id,
        name
    )
    .unwrap();
    tx.commit().await.unwrap();
}

/// An operator in an organisation with an open number, a running session and one that has ended.
async fn part(desk: &Desk, company_id: CompanyId, organisation_id: &str, mark: &'static str) -> Part {
    let manager = &desk.manager;
    let operator_id = manager.operator(company_id, mark).await;
    belongs(desk, operator_id, organisation_id, &format!("name-{mark}")).await;
    let token = manager.login("acme", mark, PASSWORD).await.json::<LoginAnswer>().token;
    let issue = async || -> ReceptionBody {
        let body = json!({ "proof_key": hex::encode(OPERATOR_KEY), "reason": format!("reason-{mark}") });
        manager.post("/v1/receptions", Some(&token), &body.to_string()).await.json()
    };
    let connect = async || -> EnterAnswer {
        let reception = issue().await;
        let body = json!({ "locator": reception.locator, "proof_key": hex::encode(CUSTOMER_KEY) });
        let entered: EnterAnswer = manager.post("/v1/enter", None, &body.to_string()).await.json();
        let id = entered.pairing.session_id;
        desk.say(id, "proved", &token, &json!({})).await;
        desk.say(id, "consent", &entered.token, &json!({ "kind": "view", "answer": "granted" })).await;
        entered
    };
    let (ended, running) = (connect().await, connect().await);
    desk.say(ended.pairing.session_id, "end", &token, &json!({ "reason": "operator_ended" })).await;
    let waiting = issue().await;
    Part { organisation_id: organisation_id.to_owned(), operator_id, token, mark, waiting, running, ended }
}

/// Two parts of the tree, and an administrator of the first: the one of Tokyo is below what she has.
async fn parts(desk: &Desk) -> (Part, Part, OperatorId) {
    let company_id = live::company(desk).await;
    organisation(desk, company_id, "east", None, "east/").await;
    organisation(desk, company_id, "tokyo", Some("east"), "east/tokyo/").await;
    organisation(desk, company_id, "west", None, "west/").await;
    let own = part(desk, company_id, "tokyo", "mark-own").await;
    let other = part(desk, company_id, "west", "mark-other").await;
    let local = desk.manager.account(company_id, "local", Role::OrganisationAdmin).await;
    belongs(desk, local, "east", "local").await;
    (own, other, local)
}

#[tokio::test]
async fn files_boards_and_figures_show_the_own_part_of_the_tree_only() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let (own, other, _) = parts(&desk).await;
        desk.manager.advance(Duration::from_mins(1));
        assert!(0 < round(&desk.manager.app).await.unwrap());
        let local = Browser::new(&desk.manager);
        local.log_in("acme", "local", PASSWORD).await.goes_to("/");

        for address in [
            "/operators",
            "/operators/file",
            "/log/sessions",
            "/log/sessions/file",
            "/log/receptions",
            "/log/receptions/file",
            "/live/receptions",
            "/live/receptions/rows",
            "/live/sessions",
            "/live/sessions/rows",
            "/statistics",
        ] {
            let seen = local.get(address).await;
            assert_eq!(seen.status, StatusCode::OK, "{address}");
            seen.says(own.mark);
            seen.lacks(other.mark);
            seen.lacks("west");
        }
        // The same when the other part is asked for by its ids.
        for filter in [
            format!("organisation={}", other.organisation_id),
            format!("operator={}", other.operator_id),
            format!("q={}", other.mark),
        ] {
            for list in ["/log/sessions/file", "/log/receptions/file", "/operators/file"] {
                local.get(&format!("{list}?{filter}")).await.lacks(other.mark);
            }
            for board in ["/live/receptions/rows", "/live/sessions/rows"] {
                local.get(&format!("{board}?{filter}")).await.lacks(other.mark);
            }
        }
        for (query, figures) in [
            (String::new(), ",3,2,"),
            (format!("&organisation={}", own.organisation_id), ",3,2,"),
            (format!("&organisation={}", other.organisation_id), ",0,0,"),
            (format!("&operator={}", other.operator_id), ",0,0,"),
        ] {
            let file = local.get(&format!("/statistics/file?unit=month{query}")).await;
            assert!(file.text.lines().last().unwrap().contains(figures), "{query} {}", file.text);
        }
        local.get("/").await.says("<dd><a href=\"/log/receptions\">3</a></dd>");

        let admin = live::browser(&desk, "admin", Role::CompanyAdmin).await.1;
        let whole = admin.get("/statistics/file?unit=month").await;
        assert!(whole.text.lines().last().unwrap().contains(",6,4,"), "{}", whole.text);
    })
    .await;
}

#[tokio::test]
async fn nothing_of_another_part_is_opened_or_changed() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let (own, other, _) = parts(&desk).await;
        let local = Browser::new(&desk.manager);
        local.log_in("acme", "local", PASSWORD).await.goes_to("/");

        let (open, over) = (other.running.pairing.session_id, other.ended.pairing.session_id);
        for address in [format!("/log/sessions/{open}"), format!("/log/sessions/{over}"), {
            format!("/operators/{}", other.operator_id)
        }] {
            assert_eq!(local.get(&address).await.status, StatusCode::NOT_FOUND, "{address}");
        }
        for address in [
            format!("/log/sessions/{over}/case"),
            format!("/live/receptions/{}/cancel", other.waiting.reception_id),
            format!("/live/receptions/{}/extend", other.waiting.reception_id),
            format!("/live/sessions/{open}/end"),
            format!("/operators/{}/stop", other.operator_id),
            format!("/operators/{}/delete", other.operator_id),
            format!("/operators/{}/logout", other.operator_id),
        ] {
            local.get("/account").await;
            let seen = local.post(&address, &[("note", "x"), ("version", "0")]).await;
            assert_eq!(seen.status, StatusCode::NOT_FOUND, "{address}");
        }
        let still = desk.manager.get("/v1/sessions", Some(&other.token)).await.json::<Value>();
        let is_there = |session: &&Value| session["session_id"] == json!(open);
        let running = still["sessions"].as_array().unwrap().iter().find(is_there).unwrap();
        assert_eq!(running["state"], "connected", "{still}");

        // What is below one's own organisation is reached.
        local.get("/live/sessions").await;
        let end = format!("/live/sessions/{}/end", own.running.pairing.session_id);
        local.post(&end, &[]).await.goes_to("/live/sessions");
        assert_eq!(local.get(&format!("/log/sessions/{}", own.ended.pairing.session_id)).await.status, StatusCode::OK);
        assert_eq!(local.get(&format!("/operators/{}", own.operator_id)).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_token_of_its_administrator_reaches_a_part_of_the_tree_only() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let (own, other, local) = parts(&desk).await;
        desk.manager.advance(Duration::from_mins(1));
        assert!(0 < round(&desk.manager.app).await.unwrap());
        let token = manage::token(&desk.manager, local, &Scope::ALL).await;
        let ask = async |path: &str| desk.manager.get(path, Some(&token)).await;

        for list in ["operators", "sessions", "receptions", "live/receptions", "live/sessions"] {
            let answer = ask(&format!("/v1/manage/{list}")).await;
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            assert!(answer.status.is_success() && text.contains(own.mark), "{list} {text}");
            assert!(!text.contains(other.mark) && !text.contains("west"), "{list} {text}");
        }
        let figures: Value = ask("/v1/manage/statistics?unit=month").await.json();
        let text = figures.to_string();
        assert!(text.contains("\"receptions\":3") && !text.contains("\"receptions\":6"), "{text}");
        for path in [
            format!("operators/{}", other.operator_id),
            format!("sessions/{}", other.ended.pairing.session_id),
            format!("sessions/{}/case", other.ended.pairing.session_id),
            format!("receptions/{}", other.waiting.reception_id),
            "organisations/west".to_owned(),
        ] {
            let answer = ask(&format!("/v1/manage/{path}")).await;
            assert!(
                [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&answer.status),
                "{path} {}",
                answer.status
            );
        }
        let end = format!("/v1/manage/live/sessions/{}/end", other.running.pairing.session_id);
        let answer = desk.manager.post(&end, Some(&token), "{}").await;
        assert!(matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN), "{}", answer.status);
    })
    .await;
}
