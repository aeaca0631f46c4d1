//! The headless mode: what is refused, and how. Whole sessions by it are run with all parts together (`loadtest`).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use desk::{lines::Events, signals::Signals};
use link::{api::ManagerApi, race::Dialer, tls};
use operator::{
    app::event::{Event, Manager},
    engine::Engine,
    headless::{self, Outcome},
};
use proto::{
    api::login::{LoginAnswer, LoginRequest},
    id::{CompanyId, OperatorId},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// An engine whose manager is a port where nobody listens any more.
async fn engine() -> Engine {
    tls::install_provider();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let api = ManagerApi::new(&format!("https://{closed}"), None).unwrap();
    Engine::new(api, Arc::new(|| {}), Dialer::default())
}

fn logged_in(engine: &mut Engine) {
    let answer = LoginAnswer {
        token: "t".into(),
        expires_at_ms: 0,
        operator_id: OperatorId::from_bytes([1; 16]),
        operator_name: "山田".into(),
        company_id: CompanyId::from_bytes([2; 16]),
        company_name: "例示".into(),
        notices: Vec::new(),
    };
    engine.take(Event::Manager(Manager::LoggedIn(answer)), 0);
}

async fn said(commands: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut engine = engine().await;
    logged_in(&mut engine);
    let (sender, lines) = mpsc::channel(64);
    for command in commands {
        sender.send(Ok(command)).await.unwrap();
    }
    drop(sender);
    let written = Written::default();
    headless::serve(engine, lines, Events::to(written.clone()), Signals::listen().unwrap()).await;
    written.lines()
}

/// `do` and `code` of each error that answers a command.
fn errors(lines: &[Value]) -> Vec<(&str, &str)> {
    lines
        .iter()
        .filter(|line| line["event"] == "error" && line["code"] != "unreachable")
        .map(|line| (line["do"].as_str().unwrap_or_default(), line["code"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_manager_that_is_not_reached_is_one_error_and_the_end() {
    let (_open, lines) = mpsc::channel(1);
    let written = Written::default();
    let request = LoginRequest { company: "c".into(), user: "u".into(), password: "p".into(), code: None };
    let outcome =
        headless::run(engine().await, request, lines, Events::to(written.clone()), Signals::listen().unwrap()).await;
    assert_eq!(outcome, Outcome::NotLoggedIn);
    let lines = written.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["event"], &lines[0]["code"]), (&json!("error"), &json!("unreachable")));
    assert_eq!(lines[0]["do"], "login");
    assert!(lines[0]["at_ms"].is_i64());
}

#[tokio::test]
async fn what_cannot_be_done_is_an_error_with_its_command() {
    let lines = said([
        json!({"do": "fly"}),
        json!({"do": "pointer", "x": "left", "y": 1}),
        json!({"do": "key", "key": "NoSuchKey"}),
        json!({"do": "issue", "life_secs": 5}),
        json!({"do": "cancel"}),
        json!({"do": "ask", "grant": "control"}),
        json!({"do": "ask", "grant": "everything"}),
        json!({"do": "pointer", "x": 1, "y": 1}),
        json!({"do": "monitor", "id": 1}),
        json!({"do": "picture", "file": "out.png"}),
        json!({"do": "watch", "on": true}),
        json!({"do": "figures"}),
        json!({"do": "end"}),
        json!(7),
    ])
    .await;
    assert_eq!(
        errors(&lines),
        [
            ("fly", "unknown_command"),
            ("pointer", "bad_value"),
            ("key", "bad_value"),
            ("issue", "bad_value"),
            ("cancel", "not_found"),
            ("ask", "wrong_state"),
            ("ask", "bad_value"),
            ("pointer", "wrong_state"),
            ("monitor", "wrong_state"),
            ("picture", "wrong_state"),
            ("watch", "wrong_state"),
            ("figures", "wrong_state"),
            ("end", "wrong_state"),
            ("", "bad_value"),
        ]
    );
    assert!(lines.iter().all(|line| line["message"].as_str().is_some_and(|message| !message.is_empty())));
}

#[tokio::test]
async fn numbers_are_told_at_once_and_quit_ends_the_run() {
    let lines = said([json!({"do": "numbers"}), json!({"do": "quit"}), json!({"do": "fly"})]).await;
    let numbers = lines.iter().find(|line| line["event"] == "numbers").unwrap();
    assert_eq!(numbers["numbers"], json!([]));
    assert!(errors(&lines).is_empty(), "nothing is read after quit: {lines:?}");
}
