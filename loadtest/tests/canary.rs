//! What passes between the tools stands nowhere on a server: not in memory, files or logs.
//!
//! The customer's screen shows one text that exists once in the world, and the operator types another. While the
//! session lives and after it, both are searched in the memory of relay and manager and in every file they keep, and
//! the reception number in those files. The tools' own memory is searched too, to show that the search finds what is
//! there. The shown text travels as compressed pixels, so its search finds a server that reads text off a screen or
//! logs titles, not one that keeps pixels; the typed text, which travels as itself, is the sharp half.
//!
//! How this was seen to fail: with `Sealer::seal` and `Opener::open` made to pass plain bytes, the typed text was in the
//! memory of the relay and this test named it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::Path;

use loadtest::{
    desktop::{Desktop, pause},
    memory,
    stage::{PATIENCE, Stage},
    world::World,
};
use serde_json::json;

#[tokio::test]
async fn screen_and_typed_text_stay_with_the_two_tools() {
    let world = World::start().await.unwrap();
    let (shown, typed) = (canary("shown"), canary("typed"));
    let mut desktop = Desktop::start(800, 600, &world.folder().join("desktop")).await.unwrap();
    let note = world.folder().join("desktop/typed.txt");
    let show = format!("printf '{shown}\\n'; exec cat > '{}'", note.display());
    desktop.open("xterm", &["-T", "terminal", "-e", "sh", "-c", &show]).unwrap();
    desktop.place("terminal", [20, 20, 700, 500]).await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();

    stage.operator.ask(json!({"do": "click", "x": 300, "y": 300, "button": "left"}), "sent", PATIENCE).await.unwrap();
    stage.operator.ask(json!({"do": "text", "text": typed}), "sent", PATIENCE).await.unwrap();
    stage.operator.ask(json!({"do": "key", "key": "Return"}), "sent", PATIENCE).await.unwrap();
    wait_for_text(&note, &typed).await;

    assert!(0 < memory::count(stage.client.id(), typed.as_bytes()).unwrap() + in_operator(&stage, &typed));
    assert_nowhere(&stage, &[&typed, &shown]);
    let (manager_log, relay_log) = (stage.world.folder().join("manager.log"), stage.world.folder().join("relay-1.log"));
    assert!(manager_log.is_file() && relay_log.is_file());
    stage.operator.ask(json!({"do": "end"}), "ended", PATIENCE).await.unwrap();
    stage.client.wait_for("ended", PATIENCE).await.unwrap();
    assert_nowhere(&stage, &[&typed, &shown]);
    stage.client.finish(PATIENCE).await.unwrap();
    stage.operator.finish(PATIENCE).await.unwrap();
    stage.desktop.stop().await.unwrap();
    stage.world.stop().await.unwrap();
}

fn in_operator(stage: &Stage, text: &str) -> usize {
    memory::count(stage.operator.id(), text.as_bytes()).unwrap()
}

fn assert_nowhere(stage: &Stage, canaries: &[&str]) {
    let relay = stage.world.relays().first().unwrap();
    let digits: String = stage.number.chars().filter(char::is_ascii_digit).collect();
    for canary in canaries {
        for (server, id) in [("relay", relay.id()), ("manager", stage.world.manager_id())] {
            assert_eq!(memory::count(id, canary.as_bytes()).unwrap(), 0, "{canary} is in the memory of the {server}");
        }
    }
    for entry in std::fs::read_dir(stage.world.folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for canary in canaries.iter().copied().chain([digits.as_str(), stage.number.as_str()]) {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{canary} is in {}", path.display());
        }
    }
}

/// A text that stands nowhere else, made at run time so that no binary holds it.
fn canary(kind: &str) -> String {
    let mut random = [0u8; 8];
    rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut random);
    format!("{kind}{}", hex::encode(random))
}

async fn wait_for_text(file: &Path, text: &str) {
    for _ in 0..150 {
        if std::fs::read_to_string(file).is_ok_and(|found| found.contains(text)) {
            return;
        }
        pause(std::time::Duration::from_millis(100)).await;
    }
    panic!("the typed text did not arrive in {}", file.display());
}
