//! Sessions from the entry of a number to the support log.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use manager::{
    App,
    audit::verify::{Verdict, verify},
    db::Db,
    relays,
    session::{enter::enter_from, sweep::Sweep},
};
use ops::config::Span;
use proto::{
    api::{
        error::ErrorCode,
        login::LoginAnswer,
        reception::{EnterAnswer, EnterRequest, Event, ReceptionBody, ReceptionState},
        session::{SessionBody, SessionList, SessionState},
    },
    close::CloseReason,
    grant::GrantKind,
    id::SessionId,
    introduction::Introduction,
    role::Role,
    ticket::{ProofKey, Ticket, proof_key_hash},
};
use serde_json::json;

use crate::testing::{Answer, Manager, PASSWORD, START_MS, at_once, config, on_both};

/// Public key of the operator tool.
pub(crate) const OPERATOR_KEY: [u8; 32] = [0x0a; 32];
/// Public key of the client tool.
pub(crate) const CUSTOMER_KEY: [u8; 32] = [0x0c; 32];

/// A manager with one living relay and one operator who is logged in.
pub(crate) struct Desk {
    pub(crate) manager: Manager,
    pub(crate) operator: LoginAnswer,
    pub(crate) relay: String,
}

impl Desk {
    pub(crate) async fn open(db: Db) -> Self {
        Self::with(Manager::with(db, config(|config| config.session.refusal_time = Span::secs(0)))).await
    }

    pub(crate) async fn with(manager: Manager) -> Self {
        let operator = manager.logged_in().await;
        let (_, token) = relays::enroll(&manager.app.db, "relay1", START_MS).await.unwrap();
        let desk = Self { manager, operator, relay: token.reveal().to_owned() };
        desk.heartbeat(&[]).await;
        desk
    }

    pub(crate) async fn heartbeat(&self, sessions: &[SessionId]) -> Answer {
        let body = json!({
            "address": "relay1.example.jp:443", "spki": "ab".repeat(32), "version": "0.1.0", "draining": false,
            "free_sessions": 100, "sessions": sessions,
        });
        let answer = self.manager.post("/v1/relay/heartbeat", Some(&self.relay), &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        answer
    }

    pub(crate) async fn issue(&self) -> ReceptionBody {
        let body = json!({ "proof_key": hex::encode(OPERATOR_KEY), "reason": "プリンターの設定" });
        self.as_operator("/v1/receptions", &body).await.json()
    }

    /// A tool that signs nothing enters.
    pub(crate) async fn enter(&self, locator: &str, source: &str) -> Answer {
        self.enter_by(&unsigned(locator, CUSTOMER_KEY), source).await
    }

    pub(crate) async fn enter_by(&self, request: &EnterRequest, source: &str) -> Answer {
        let body = serde_json::to_string(request).unwrap();
        self.manager.send(Method::POST, "/v1/enter", None, source, Body::from(body)).await
    }

    pub(crate) async fn entered(&self, reception: &ReceptionBody) -> EnterAnswer {
        self.enter(reception.locator.as_str(), "203.0.113.5").await.json()
    }

    pub(crate) async fn as_operator(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.manager.post(path, Some(&self.operator.token), &body.to_string()).await
    }

    pub(crate) async fn say(&self, session: SessionId, verb: &str, token: &str, body: &serde_json::Value) -> Answer {
        self.manager.post(&format!("/v1/sessions/{session}/{verb}"), Some(token), &body.to_string()).await
    }

    pub(crate) async fn history(&self) -> Vec<SessionBody> {
        let list: SessionList = self.manager.get("/v1/sessions", Some(&self.operator.token)).await.json();
        list.sessions
    }

    /// What the operator was told so far.
    pub(crate) async fn told(&self) -> Vec<Event> {
        let rows = manager::events::store::after(&self.manager.app.db, self.operator.operator_id, 0, 1000).await;
        rows.unwrap().iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect()
    }

    pub(crate) async fn state_of(&self, reception: &ReceptionBody) -> ReceptionState {
        let mut tx = self.manager.app.db.begin().await.unwrap();
        let stored = manager::reception::store::lock(&mut tx, reception.reception_id).await.unwrap().unwrap();
        stored.reception.stage.state()
    }

    /// Enters and connects a session.
    pub(crate) async fn connected(&self) -> EnterAnswer {
        let entered = self.entered(&self.issue().await).await;
        let id = entered.pairing.session_id;
        self.say(id, "proved", &self.operator.token, &json!({})).await;
        let view = json!({ "kind": "view", "answer": "granted" });
        assert_eq!(self.say(id, "consent", &entered.token, &view).await.status, StatusCode::NO_CONTENT);
        entered
    }
}

fn unsigned(locator: &str, proof_key: [u8; 32]) -> EnterRequest {
    EnterRequest { locator: locator.parse().unwrap(), proof_key: hex::encode(proof_key), signature: None }
}

pub(crate) fn ended(reason: CloseReason) -> serde_json::Value {
    json!({ "reason": reason })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_simultaneous_entries_exactly_one_wins() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        let app: App = desk.manager.app.clone();

        let results = at_once(200, |index| {
            let key = ProofKey::from_seed(&[1 + u8::try_from(index).unwrap(); 32]);
            let (app, request) = (app.clone(), EnterRequest::new(reception.locator, &key));
            let source = std::net::Ipv4Addr::from(0x0a00_0000 + u32::try_from(index).unwrap());
            async move { enter_from(&app, source.into(), &request).await.map_err(|refusal| refusal.code()) }
        })
        .await;

        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let refusals: BTreeSet<_> =
            results.into_iter().filter_map(Result::err).map(|code| format!("{code:?}")).collect();
        assert_eq!(refusals.into_iter().collect::<Vec<_>>(), ["NumberUnusable"]);
        assert_eq!(desk.history().await.len(), 1);
        assert_eq!(desk.told().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn both_sides_get_the_same_introduction_and_their_own_tickets() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let customer = desk.entered(&desk.issue().await).await.pairing;
        let told = desk.told().await;
        let [Event::Entered { pairing: operator, .. }] = told.as_slice() else { panic!("{told:?}") };
        let keys = [desk.manager.app.signing_key.verifying_key()];

        assert_eq!(customer.introduction, operator.introduction);
        let introduction = Introduction::verify(&customer.introduction, &keys).unwrap();
        assert_eq!(introduction.company_name, desk.operator.company_name);
        assert_eq!(introduction.operator_name, desk.operator.operator_name);
        assert_eq!(introduction.reason, "プリンターの設定");
        assert_eq!(introduction.ceiling, [GrantKind::View, GrantKind::Control, GrantKind::Device]);
        for (pairing, role, key) in
            [(&customer, Role::Customer, &CUSTOMER_KEY), (operator, Role::Operator, &OPERATOR_KEY)]
        {
            let ticket = Ticket::verify(&pairing.ticket, &keys, START_MS).unwrap();
            assert_eq!((ticket.session_id, ticket.role), (introduction.session_id, role));
            assert_eq!(ticket.proof_key_hash, proof_key_hash(key));
            assert_eq!(ticket.relays.len(), pairing.relays.len());
            assert_eq!(ticket.relays[0].relay_id, pairing.relays[0].relay_id);
        }
    })
    .await;
}

#[tokio::test]
async fn every_number_that_cannot_be_used_reads_like_an_unknown_one() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let mut answers = Vec::new();
        let used = desk.issue().await;
        let entered = desk.entered(&used).await;
        answers.push(("entered", desk.enter(used.locator.as_str(), "198.51.100.1").await));
        desk.say(entered.pairing.session_id, "proved", &desk.operator.token, &json!({})).await;
        answers.push(("proved", desk.enter(used.locator.as_str(), "198.51.100.2").await));

        let cancelled = desk.issue().await;
        desk.as_operator(&format!("/v1/receptions/{}/cancel", cancelled.reception_id), &json!({})).await;
        answers.push(("cancelled", desk.enter(cancelled.locator.as_str(), "198.51.100.3").await));

        let burned = desk.issue().await;
        for _ in 0..3 {
            let entered = desk.entered(&burned).await;
            desk.say(entered.pairing.session_id, "end", &entered.token, &ended(CloseReason::WrongSecret)).await;
        }
        answers.push(("burned", desk.enter(burned.locator.as_str(), "198.51.100.4").await));

        let open = desk.issue().await;
        for _ in 0..6 {
            let unknown = if open.locator.as_str() == "000000" { "000001" } else { "000000" };
            desk.enter(unknown, "198.51.100.5").await;
        }
        answers.push(("throttled", desk.enter(open.locator.as_str(), "198.51.100.5").await));

        desk.manager.advance(Duration::from_mins(10));
        desk.heartbeat(&[]).await;
        answers.push(("expired, not swept", desk.enter(open.locator.as_str(), "198.51.100.6").await));
        Sweep::begin(desk.manager.app.now_ms()).round(&desk.manager.app).await.unwrap();
        answers.push(("expired", desk.enter(open.locator.as_str(), "198.51.100.7").await));

        let unknown = desk.enter("999999", "198.51.100.8").await;
        assert_eq!(unknown.error().code, ErrorCode::NumberUnusable);
        for (why, answer) in answers {
            assert_eq!((answer.status, &answer.body), (unknown.status, &unknown.body), "{why}");
            let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
            assert_eq!(names(&answer), names(&unknown), "{why}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_source_that_guesses_is_slowed_blocked_and_heard_again() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let looked = |desk: &Desk| {
            let text = desk.manager.app.metrics.registry.text();
            let line =
                text.lines().find(|line| line.starts_with("manager_reception_entries_total{result=\"unusable\"}"));
            line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse::<u32>().unwrap())
        };
        for _ in 0..8 {
            desk.enter("000000", "203.0.113.9").await;
        }
        assert_eq!(looked(&desk), 5, "five at once");
        for minutes in 1..=4 {
            desk.manager.advance(Duration::from_mins(5));
            desk.heartbeat(&[]).await;
            for _ in 0..8 {
                desk.enter("000000", "203.0.113.9").await;
            }
            assert_eq!(looked(&desk), (5 + 5 * minutes).min(20), "one a minute, twenty an hour");
        }
        desk.manager.advance(Duration::from_mins(45));
        desk.heartbeat(&[]).await;
        desk.enter("000000", "203.0.113.9").await;
        assert_eq!(looked(&desk), 20, "blocked for an hour from the last slip on");
        desk.enter("000000", "203.0.113.10").await;
        assert_eq!(looked(&desk), 21, "others are heard");
        desk.manager.advance(Duration::from_mins(30));
        desk.heartbeat(&[]).await;
        desk.enter("000000", "203.0.113.9").await;
        assert_eq!(looked(&desk), 22, "heard again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_guesses_do_not_get_past_the_limit() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let request = Arc::new(unsigned("000000", [0; 32]));
        let app = desk.manager.app.clone();
        at_once(40, |index| {
            let (app, request) = (app.clone(), Arc::clone(&request));
            let source: std::net::IpAddr = format!("2001:db8:1:2::{index:x}").parse().unwrap();
            async move { enter_from(&app, source, &request).await.map(drop).unwrap_err() }
        })
        .await;
        let text = app.metrics.registry.text();
        assert!(text.contains("manager_reception_entries_total{result=\"unusable\"} 5\n"), "{text}");
        assert!(text.contains("manager_reception_entries_total{result=\"throttled\"} 35\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_network_of_sources_and_everybody_together_are_slowed_too() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        for network in 0..10 {
            for _ in 0..3 {
                desk.enter("000000", &format!("2001:db8:1:{network:x}::1")).await;
            }
        }
        let text = desk.manager.app.metrics.registry.text();
        assert!(
            text.contains("manager_reception_entries_total{result=\"unusable\"} 20\n"),
            "four sources' worth: {text}"
        );
        for host in 0..=255 {
            desk.enter("000000", &format!("192.0.2.{host}")).await;
        }
        desk.enter("000000", "192.0.3.1").await;
        let text = desk.manager.app.metrics.registry.text();
        assert!(text.contains("manager_reception_throttle_level 1\n"), "{text}");
        let reception = desk.issue().await;
        assert_eq!(desk.enter(reception.locator.as_str(), "192.0.4.1").await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_right_number_costs_a_source_nothing() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        for _ in 0..12 {
            let reception = desk.issue().await;
            let entered = desk.entered(&reception).await;
            desk.say(entered.pairing.session_id, "proved", &desk.operator.token, &json!({})).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_number_that_is_entered_unproved_three_times_is_burned_and_the_operator_told() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        let mut expected = Vec::new();
        for count in 1..=3u32 {
            let entered = desk.entered(&reception).await;
            let session_id = entered.pairing.session_id;
            // The customer's side may claim what it likes.
            desk.say(session_id, "proved", &entered.token, &json!({})).await;
            desk.say(session_id, "consent", &entered.token, &json!({ "kind": "view", "answer": "granted" })).await;
            desk.say(session_id, "end", &entered.token, &ended(CloseReason::WrongSecret)).await;
            let reception_id = reception.reception_id;
            expected.push(Event::Ended { session_id, reason: CloseReason::WrongSecret });
            expected.push(match count {
                3 => Event::Burned { reception_id },
                unproved_count => Event::Reopened { reception_id, session_id, unproved_count },
            });
        }
        let told = desk.told().await;
        let after_entries: Vec<_> = told.into_iter().filter(|event| !matches!(event, Event::Entered { .. })).collect();
        assert_eq!(after_entries, expected);
        assert_eq!(desk.state_of(&reception).await, ReceptionState::Burned);
        assert!(desk.history().await.iter().all(|session| session.connected_at_ms.is_none()));
    })
    .await;
}

#[tokio::test]
async fn a_session_is_in_the_log_with_start_end_duration_and_the_first_reason() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        let entered = desk.entered(&reception).await;
        let (id, customer, operator) = (entered.pairing.session_id, &entered.token, &desk.operator.token);
        assert_eq!(desk.history().await[0].state, SessionState::Joining);
        for token in [operator, customer, operator] {
            assert_eq!(desk.say(id, "proved", token, &json!({})).await.status, StatusCode::NO_CONTENT);
        }
        assert_eq!(desk.state_of(&reception).await, ReceptionState::Proved);
        desk.manager.advance(Duration::from_secs(5));
        for _ in 0..2 {
            let view = json!({ "kind": "view", "answer": "granted" });
            assert_eq!(desk.say(id, "consent", customer, &view).await.status, StatusCode::NO_CONTENT);
        }
        let facts = json!({ "facts": [{ "kind": "os_name", "value": "Debian GNU/Linux 12" }] });
        assert_eq!(desk.say(id, "device", customer, &facts).await.status, StatusCode::NO_CONTENT);
        desk.manager.advance(Duration::from_mins(1));
        assert_eq!(
            desk.say(id, "end", operator, &ended(CloseReason::OperatorEnded)).await.status,
            StatusCode::NO_CONTENT
        );
        desk.manager.advance(Duration::from_secs(1));
        assert_eq!(desk.say(id, "end", customer, &ended(CloseReason::PeerLost)).await.status, StatusCode::NO_CONTENT);

        let history = desk.history().await;
        let [session] = history.as_slice() else { panic!("{history:?}") };
        assert_eq!(session.state, SessionState::Ended);
        assert_eq!(session.connected_at_ms, Some(START_MS + 5_000));
        assert_eq!(session.ended_at_ms, Some(START_MS + 65_000));
        assert_eq!(session.duration_ms, Some(60_000));
        assert_eq!(session.end_reason, Some(CloseReason::OperatorEnded));
        assert_eq!(session.device[0].value, "Debian GNU/Linux 12");
        let told = desk.told().await;
        assert_eq!(told.iter().filter(|event| matches!(event, Event::Ended { .. })).count(), 1);
        assert_eq!(told.iter().filter(|event| matches!(event, Event::Proved { .. })).count(), 1);
        assert!(matches!(verify(&desk.manager.app.db).await.unwrap(), Verdict::Holds { .. }));
        let text = desk.manager.app.metrics.registry.text();
        assert!(
            text.contains("manager_sessions_ended_total{connected=\"yes\",reason=\"operator_ended\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("manager_sessions_ended_total{connected=\"no\",reason=\"operator_ended\"} 0\n"),
            "{text}"
        );
        assert!(text.contains("manager_session_seconds_count 1\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn sessions_and_numbers_of_others_are_not_there() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let company = desk.manager.company("other").await;
        desk.manager.operator(company, "suzuki").await;
        let other: LoginAnswer = desk.manager.login("other", "suzuki", PASSWORD).await.json();
        let colleague_id = desk.operator.company_id;
        desk.manager.operator(colleague_id, "tanaka").await;
        let colleague: LoginAnswer = desk.manager.login("acme", "tanaka", PASSWORD).await.json();
        let reception = desk.issue().await;
        let entered = desk.entered(&reception).await;
        let second = desk.entered(&desk.issue().await).await;
        let id = entered.pairing.session_id;

        for token in [&other.token, &colleague.token, &second.token] {
            for (verb, body) in [("proved", json!({})), ("end", ended(CloseReason::OperatorEnded))] {
                let answer = desk.say(id, verb, token, &body).await;
                assert_eq!(
                    (answer.status, answer.error().code),
                    (StatusCode::NOT_FOUND, ErrorCode::NotFound),
                    "{verb}"
                );
            }
        }
        for token in [&other.token, &colleague.token] {
            for verb in ["cancel", "extend"] {
                let path = format!("/v1/receptions/{}/{verb}", reception.reception_id);
                assert_eq!(desk.manager.post(&path, Some(token), "").await.status, StatusCode::NOT_FOUND, "{verb}");
            }
            let list: SessionList = desk.manager.get("/v1/sessions", Some(token)).await.json();
            assert_eq!(list.sessions, []);
        }
        let consent = json!({ "kind": "view", "answer": "granted" });
        let answer = desk.say(id, "consent", &desk.operator.token, &consent).await;
        assert_eq!(answer.error().code, ErrorCode::Forbidden, "the operator cannot consent");
        assert_eq!(desk.say(id, "consent", &second.token, &consent).await.status, StatusCode::NOT_FOUND);
        assert_eq!(
            desk.say(id, "end", "nobody", &ended(CloseReason::OperatorEnded)).await.status,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(desk.manager.get("/v1/sessions", Some(&second.token)).await.status, StatusCode::UNAUTHORIZED);
    })
    .await;
}

#[tokio::test]
async fn a_session_whose_relay_died_is_closed_as_abnormal_when_it_was_last_seen() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let mut sweep = Sweep::begin(START_MS);
        let entered = desk.connected().await;
        let id = entered.pairing.session_id;
        for _ in 0..20 {
            desk.manager.advance(Duration::from_secs(10));
            desk.heartbeat(&[id]).await;
            assert_eq!(sweep.round(&desk.manager.app).await.unwrap(), 0);
        }
        let last_seen_ms = desk.manager.app.now_ms();
        for _ in 0..19 {
            desk.manager.advance(Duration::from_secs(10));
            assert_eq!(sweep.round(&desk.manager.app).await.unwrap(), 0);
        }
        desk.manager.advance(Duration::from_secs(10));
        assert_eq!(sweep.round(&desk.manager.app).await.unwrap(), 1);
        assert_eq!(sweep.round(&desk.manager.app).await.unwrap(), 0);

        let session = &desk.history().await[0];
        assert_eq!(session.end_reason, Some(CloseReason::Abnormal));
        assert_eq!(session.ended_at_ms, Some(last_seen_ms));
        assert_eq!(session.duration_ms, Some(200_000));
        assert_eq!(desk.told().await.last(), Some(&Event::Ended { session_id: id, reason: CloseReason::Abnormal }));
    })
    .await;
}

#[tokio::test]
async fn time_in_which_the_manager_was_away_closes_no_session() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let id = desk.connected().await.pairing.session_id;
        let joining = desk.entered(&desk.issue().await).await.pairing.session_id;
        let mut sweep = Sweep::begin(START_MS);
        desk.manager.advance(Duration::from_mins(10));
        assert_eq!(sweep.round(&desk.manager.app).await.unwrap(), 0, "a gap in the rounds");
        let mut restarted = Sweep::begin(desk.manager.app.now_ms());
        assert_eq!(restarted.round(&desk.manager.app).await.unwrap(), 0, "a new start");
        desk.heartbeat(&[id, joining]).await;
        let mut states: Vec<_> = desk.history().await.iter().map(|session| session.state).collect();
        states.sort_by_key(|state| *state == SessionState::Connected);
        assert_eq!(states, [SessionState::Joining, SessionState::Connected]);
    })
    .await;
}

#[tokio::test]
async fn entries_that_never_meet_or_prove_and_endless_sessions_are_closed() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let mut sweep = Sweep::begin(START_MS);
        let joining = desk.entered(&desk.issue().await).await.pairing.session_id;
        let proving = desk.entered(&desk.issue().await).await.pairing.session_id;
        let report = json!({ "boot": "0".repeat(32), "events": [
            { "seq": 1, "session_id": proving, "at_ms": START_MS, "what": "joined", "role": "customer" },
            { "seq": 2, "session_id": proving, "at_ms": START_MS, "what": "paired" },
        ]});
        desk.manager.post("/v1/relay/report", Some(&desk.relay), &report.to_string()).await;
        let connected = desk.connected().await.pairing.session_id;
        for _ in 0..10 {
            desk.manager.advance(Duration::from_secs(10));
            desk.heartbeat(&[joining, proving, connected]).await;
            sweep.round(&desk.manager.app).await.unwrap();
        }
        let reason_of =
            async |id| desk.history().await.into_iter().find(|session| session.session_id == id).unwrap().end_reason;
        assert_eq!(reason_of(joining).await, Some(CloseReason::PeerTimeout));
        assert_eq!(reason_of(proving).await, Some(CloseReason::ProveTimeout));
        assert_eq!(reason_of(connected).await, None);
        desk.manager.advance(Duration::from_hours(8));
        sweep.round(&desk.manager.app).await.unwrap();
        assert_eq!(reason_of(connected).await, Some(CloseReason::HardEnd));
        let text = desk.manager.app.metrics.registry.text();
        for (connected, reason) in [("no", "peer_timeout"), ("no", "prove_timeout"), ("yes", "hard_end")] {
            let line = format!("manager_sessions_ended_total{{connected=\"{connected}\",reason=\"{reason}\"}} 1\n");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn cancelling_a_number_ends_the_entry_that_is_not_proved() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        let entered = desk.entered(&reception).await;
        let path = format!("/v1/receptions/{}/cancel", reception.reception_id);
        for _ in 0..2 {
            let cancelled: ReceptionBody = desk.as_operator(&path, &json!({})).await.json();
            assert_eq!(cancelled.state, ReceptionState::Cancelled);
        }
        assert_eq!(desk.history().await[0].end_reason, Some(CloseReason::Cancelled));
        let late = desk.say(entered.pairing.session_id, "proved", &desk.operator.token, &json!({})).await;
        assert_eq!(late.error().code, ErrorCode::WrongState);
        let proved = desk.connected().await;
        let told = desk.told().await;
        let Some(Event::Proved { reception_id: used, .. }) = told.last() else { panic!("{told:?}") };
        let answer = desk.as_operator(&format!("/v1/receptions/{used}/cancel"), &json!({})).await;
        assert_eq!(answer.error().code, ErrorCode::WrongState, "a number that is used up cannot be cancelled");
        assert_eq!(desk.history().await.iter().filter(|s| s.session_id == proved.pairing.session_id).count(), 1);
    })
    .await;
}

#[tokio::test]
async fn bodies_that_are_not_what_they_should_be_change_nothing() {
    on_both(|db| async {
        let desk = Desk::open(db).await;
        let reception = desk.issue().await;
        for body in [
            json!({ "locator": "12345", "proof_key": "00".repeat(32) }),
            json!({ "locator": reception.locator, "proof_key": "00".repeat(31) }),
            json!({ "locator": "１２３４５６", "proof_key": "00".repeat(32) }),
        ] {
            let answer = desk.manager.post("/v1/enter", None, &body.to_string()).await;
            assert_eq!(answer.error().code, ErrorCode::BadRequest);
        }
        let entered = desk.entered(&reception).await;
        let id = entered.pairing.session_id;
        let facts: Vec<_> = (0..65).map(|_| json!({ "kind": "cpu", "value": "x" })).collect();
        let long = json!({ "facts": [{ "kind": "cpu", "value": "x".repeat(257) }] });
        let lines = json!({ "facts": [{ "kind": "cpu", "value": "one\ntwo" }] });
        for body in [json!({ "facts": facts }), long, lines] {
            assert_eq!(desk.say(id, "device", &entered.token, &body).await.error().code, ErrorCode::BadRequest);
        }
        for limit in ["0", "201", "x"] {
            let path = format!("/v1/sessions?limit={limit}");
            let answer = desk.manager.get(&path, Some(&desk.operator.token)).await;
            assert_eq!(answer.error().code, ErrorCode::BadRequest, "{limit}");
        }
        let answer = desk.say(id, "end", &entered.token, &json!({ "why": "whim" })).await;
        assert_eq!(answer.error().code, ErrorCode::BadRequest);
        assert_eq!(desk.history().await[0].state, SessionState::Joining);
    })
    .await;
}
