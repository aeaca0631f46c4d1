//! The reception walk on real programs: issue · enter · admit · pair · prove · consent · share · end · report · record.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::{collections::BTreeSet, path::Path, time::Duration};

use loadtest::{
    desktop::{Desktop, pause},
    stage::{PATIENCE, Stage, issue},
    tool::{Tool, number, text},
    world::World,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_reception_goes_from_issue_to_a_recorded_session() {
    let world = World::start().await.unwrap();
    let desktop = Desktop::start(640, 480, &world.folder().join("desktop")).await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();

    until(&stage.world, "connected_at_ms").await;
    let ended = stage.operator.ask(json!({"do": "end"}), "ended", PATIENCE).await.unwrap();
    let customer_ended = stage.client.wait_for("ended", PATIENCE).await.unwrap();

    assert_eq!(text(&ended, "reason").unwrap(), "operator_ended");
    assert_eq!(text(&customer_ended, "reason").unwrap(), "operator_ended");
    let row = until(&stage.world, "ended_at_ms").await;
    let (connected, over) = (number(&row, "connected_at_ms").unwrap(), number(&row, "ended_at_ms").unwrap());
    assert!((number(&row, "duration_ms").unwrap() - (over - connected)).abs() < 0.5);
    assert_eq!(text(&row, "end_reason").unwrap(), "operator_ended");
    let history = stage.operator.ask(json!({"do": "history"}), "history", PATIENCE).await.unwrap();
    assert!(history.to_string().contains("operator_ended"), "{history}");
    let verbs = events_of(&stage.world.folder().join("manager.log"));
    for verb in ["reception.issued", "reception.entered", "reception.proved", "session.connected", "session.ended"] {
        assert!(verbs.contains(verb), "the manager's log has no {verb}: {verbs:?}");
    }
    let relayed = events_of(&stage.world.folder().join("relay-1.log"));
    for verb in ["session.admitted", "session.paired", "session.ended"] {
        assert!(relayed.contains(verb), "the relay's log has no {verb}: {relayed:?}");
    }
    assert!(stage.world.manager_command(&["audit", "verify"]).await.unwrap().contains("the chain holds"));
    stage.client.finish(PATIENCE).await.unwrap();
    stage.operator.finish(PATIENCE).await.unwrap();
    stage.desktop.stop().await.unwrap();
    stage.world.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_secret_three_times_burns_the_number_and_tells_the_operator() {
    let world = World::start().await.unwrap();
    let desktop = Desktop::start(640, 480, &world.folder().join("desktop")).await.unwrap();
    let (mut operator, right) = issue(&world).await.unwrap();
    let wrong = with_other_last_digit(&right);

    for attempt in 1..=3 {
        let mut client = Tool::client(world.account(), &wrong, "view", desktop.display(), world.folder()).unwrap();
        let refused = error_of(&mut client).await;
        assert_eq!(text(&refused, "code").unwrap(), "number_unusable", "attempt {attempt}: {refused}");
        assert_eq!(text(&error_of(&mut operator).await, "code").unwrap(), "wrong_secret", "attempt {attempt}");
        let told = if attempt < 3 { "reopened" } else { "burned" };
        next_called(&mut operator, told).await;
        client.finish(PATIENCE).await.unwrap();
    }
    let mut late = Tool::client(world.account(), &right, "view", desktop.display(), world.folder()).unwrap();
    let refused = error_of(&mut late).await;

    assert_eq!(text(&refused, "code").unwrap(), "number_unusable", "a burned number must read like an unknown one");
    late.finish(PATIENCE).await.unwrap();
    operator.finish(PATIENCE).await.unwrap();
    desktop.stop().await.unwrap();
    world.stop().await.unwrap();
}

#[tokio::test]
async fn a_third_party_with_the_same_number_is_refused_and_the_session_goes_on() {
    let world = World::start().await.unwrap();
    let desktop = Desktop::start(640, 480, &world.folder().join("desktop")).await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();

    let display = stage.desktop.display().to_owned();
    let folder = stage.world.folder().to_owned();
    let mut third = Tool::client(stage.world.account(), &stage.number, "view", &display, &folder).unwrap();
    let refused = error_of(&mut third).await;

    assert_eq!(text(&refused, "code").unwrap(), "number_unusable");
    third.finish(PATIENCE).await.unwrap();
    stage.operator.ask(json!({"do": "pointer", "x": 10, "y": 20}), "sent", PATIENCE).await.unwrap();
    stage.end().await.unwrap();
}

#[tokio::test]
async fn a_session_whose_only_relay_dies_says_so_and_ends_when_one_side_ends_it() {
    let world = World::start().await.unwrap();
    let desktop = Desktop::start(640, 480, &world.folder().join("desktop")).await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();

    until(&stage.world, "connected_at_ms").await;
    stage.world.kill_relay(0);
    stage.client.wait_for("switching", PATIENCE).await.unwrap();
    stage.operator.wait_for("switching", PATIENCE).await.unwrap();
    stage.operator.ask(json!({"do": "end"}), "ended", PATIENCE).await.unwrap();
    // No relay can tell the customer's tool; the manager does when it asks for a new ticket.
    stage.client.wait_for("ended", PATIENCE).await.unwrap();

    let row = until(&stage.world, "ended_at_ms").await;
    assert!(number(&row, "duration_ms").unwrap() < 60_000.0, "{row}");
    stage.client.finish(PATIENCE).await.unwrap();
    stage.operator.finish(PATIENCE).await.unwrap();
    stage.desktop.stop().await.unwrap();
    stage.world.stop().await.unwrap();
}

/// The newest row of the support log, once this time of it is known.
async fn until(world: &World, time: &str) -> Value {
    for _ in 0..100 {
        let row = world.newest_session().await.unwrap();
        if row.get(time).is_some_and(Value::is_number) {
            return row;
        }
        pause(Duration::from_millis(100)).await;
    }
    panic!("the support log does not tell {time}")
}

/// Values of the field `event` in a JSON log.
fn events_of(log: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter_map(|line| {
            let event = line.get("event").or_else(|| line.get("fields")?.get("event"))?;
            Some(event.as_str()?.to_owned())
        })
        .collect()
}

async fn error_of(tool: &mut Tool) -> Value {
    next_called(tool, "error").await
}

async fn next_called(tool: &mut Tool, name: &str) -> Value {
    let found = async {
        while let Some(event) = tool.next().await.unwrap() {
            if event.get("event").and_then(Value::as_str) == Some(name) {
                return event;
            }
        }
        panic!("the tool ended without {name}");
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {name} event came"))
}

fn with_other_last_digit(number: &str) -> String {
    let mut digits: Vec<char> = number.chars().collect();
    let last = digits.last_mut().unwrap();
    *last = if *last == '9' { '0' } else { char::from_digit(last.to_digit(10).unwrap() + 1, 10).unwrap() };
    digits.into_iter().collect()
}
