//! Sessions that outlive their relay, on real programs: text that is typed into an editor while relays die arrives
//! whole, once and in order, and the picture is exact afterwards.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use loadtest::{
    desktop::{Desktop, pause},
    picture,
    stage::{PATIENCE, Stage},
    world::World,
};
use serde_json::json;

/// Typed piece by piece; nothing in it comes twice.
const PIECES: [&str; 12] = [
    "一つ目の行です。",
    "alpha ",
    "二つ目、",
    "bravo ",
    "三つ目。",
    "charlie ",
    "四つ目：",
    "delta ",
    "五つ目！",
    "echo ",
    "六つ目？",
    "foxtrot.",
];

#[tokio::test]
async fn text_typed_while_relays_die_arrives_whole_once_and_in_order() {
    let mut stage = editor(3).await;
    for (index, piece) in PIECES.iter().enumerate() {
        stage.operator.ask(json!({"do": "text", "text": piece}), "sent", PATIENCE).await.unwrap();
        match index {
            3 => stage.world.kill_relay(0),
            8 => stage.world.kill_relay(1),
            _ => {}
        }
        // A person types on; after a death the tools look for a new spare.
        pause(Duration::from_millis(if index == 5 { 3_000 } else { 50 })).await;
    }
    assert_typed_and_exact(&mut stage).await;
    stage.end().await.unwrap();
}

#[tokio::test]
async fn a_relay_that_is_stopped_hands_its_sessions_on_and_leaves() {
    let mut stage = editor(2).await;
    for (index, piece) in PIECES.iter().enumerate() {
        stage.operator.ask(json!({"do": "text", "text": piece}), "sent", PATIENCE).await.unwrap();
        if index == 4 {
            stage.world.drain_relay(0);
        }
        pause(Duration::from_millis(50)).await;
    }
    assert_typed_and_exact(&mut stage).await;
    let left = stage.world.relay_left(0, PATIENCE).await.unwrap();
    assert!(left, "a relay that has nobody any more ends");
    stage.end().await.unwrap();
}

/// A session with control, and an editor in front.
async fn editor(relays: usize) -> Stage {
    let world = World::start_with(relays).await.unwrap();
    let folder = world.folder().join("desktop");
    let mut desktop = Desktop::start(1024, 768, &folder).await.unwrap();
    let memo = folder.join("memo.txt");
    std::fs::write(&memo, "").unwrap();
    desktop.open("mousepad", &["--disable-server", &memo.display().to_string()]).unwrap();
    desktop.place("memo.txt", [20, 20, 900, 600]).await.unwrap();
    desktop.settle().await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();
    stage.operator.ask(json!({"do": "click", "x": 400, "y": 400, "button": "left"}), "sent", PATIENCE).await.unwrap();
    stage.desktop.wait_for_focus("memo.txt").await.unwrap();
    // The spare path is there within a round trip or two.
    pause(Duration::from_secs(1)).await;
    stage
}

async fn assert_typed_and_exact(stage: &mut Stage) {
    let expected = PIECES.concat();
    let file = stage.world.folder().join("desktop/memo.txt");
    let mut saved = String::new();
    for _ in 0..100 {
        stage.operator.ask(json!({"do": "key", "key": "s", "ctrl": true}), "sent", PATIENCE).await.unwrap();
        pause(Duration::from_millis(200)).await;
        saved = std::fs::read_to_string(&file).unwrap();
        if saved.trim_end() == expected {
            break;
        }
    }
    assert_eq!(saved.trim_end(), expected);
    let (customer, operator) = (stage.world.folder().join("c.png"), stage.world.folder().join("o.png"));
    stage.desktop.settle().await.unwrap();
    stage.desktop.screenshot(&customer).await.unwrap();
    let command = json!({"do": "picture", "file": operator.display().to_string()});
    let taken = stage.operator.ask(command, "picture", PATIENCE).await.unwrap();
    assert_eq!(taken.get("exact"), Some(&json!(true)), "{taken}");
    let differing = picture::differing_pixels(&picture::read(&customer).unwrap(), &picture::read(&operator).unwrap());
    assert_eq!(differing, 0);
}
