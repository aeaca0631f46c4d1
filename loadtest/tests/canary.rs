//! What passes between the tools stands nowhere on a server: not in memory, files or logs.
//!
//! The customer's screen shows one text that exists once in the world, and the operator types another. While the
//! session lives and after it, both are searched in the memory of relay and manager and in every file they keep, and
//! the reception number in those files, through the drain of one relay and the death of another, which leaves no core. The tools' own memory is searched too, to show that the search finds what is
//! there. The shown text travels as compressed pixels, so its search finds a server that reads text off a screen or
//! logs titles, not one that keeps pixels; the typed text, which travels as itself, is the sharp half.
//!
//! How this was seen to fail: with `Sealer::seal` and `Opener::open` made to pass plain bytes, the typed text was in the
//! memory of the relay and this test named it; without `core_dump::forbid` the dying relay left a core, which was named.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

use std::path::Path;

use loadtest::{
    memory,
    process::signal_pid,
    stage::{self, PATIENCE, Stage},
    world::World,
};
use rustix::process::Signal;
use serde_json::json;

#[tokio::test]
async fn screen_and_typed_text_stay_with_the_two_tools() {
    let mut world = World::start_with(0).await.unwrap();
    for _ in 0..3 {
        // With the right to dump cores, so that it is the relay itself that forbids them.
        world.add_relay(&["sh", "-c", "ulimit -c unlimited 2>/dev/null; exec \"$@\"", "sh"]).await.unwrap();
    }
    let shown = canary("shown");
    let (desktop, note) = stage::terminal(&world, &shown).await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();
    stage.focus_terminal().await.unwrap();
    let mut canaries = vec![shown];

    type_canary(&mut stage, &mut canaries, &note).await;
    // The first relay is drained: its session goes on at the second, while the first still holds its memory.
    stage.world.drain_relay(0);
    type_canary(&mut stage, &mut canaries, &note).await;
    assert!(stage.world.relay_left(0, PATIENCE).await.unwrap(), "a relay that has nobody any more ends");
    // The second one dies of a signal that dumps a core wherever cores may be dumped.
    signal_pid(stage.world.relays()[1].id(), Signal::ABORT);
    type_canary(&mut stage, &mut canaries, &note).await;
    assert!(stage.world.relay_left(1, PATIENCE).await.unwrap());
    assert_no_core(stage.world.folder());

    stage.operator.ask(json!({"do": "end"}), "ended", PATIENCE).await.unwrap();
    stage.client.wait_for("ended", PATIENCE).await.unwrap();
    assert_nowhere(&stage, &canaries);
    stage.client.finish(PATIENCE).await.unwrap();
    stage.operator.finish(PATIENCE).await.unwrap();
    stage.desktop.stop().await.unwrap();
    stage.world.stop().await.unwrap();
}

/// Types one more canary, sees it arrive, finds it at the tools, and finds none anywhere else.
async fn type_canary(stage: &mut Stage, canaries: &mut Vec<String>, note: &Path) {
    let typed = canary("typed");
    stage.type_line(&typed, note).await.unwrap();
    let at_the_tools: usize =
        [stage.client.id(), stage.operator.id()].map(|id| memory::count(id, typed.as_bytes()).unwrap()).iter().sum();
    assert!(0 < at_the_tools, "the search finds what is there");
    canaries.push(typed);
    assert_nowhere(stage, canaries);
}

fn assert_nowhere(stage: &Stage, canaries: &[String]) {
    let relays = stage.world.relays().iter().map(|relay| ("relay", relay.id()));
    for (server, id) in relays.chain([("manager", stage.world.manager_id())]) {
        assert_not_in_memory(server, id, canaries);
    }
    let digits: String = stage.number.chars().filter(char::is_ascii_digit).collect();
    let secrets = canaries.iter().map(String::as_str).chain([digits.as_str(), stage.number.as_str()]);
    let secrets: Vec<_> = secrets.collect();
    for entry in std::fs::read_dir(stage.world.folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    }
}

/// Relay and manager let only root read their memory; a relay that has ended has none.
fn assert_not_in_memory(server: &str, id: u32, canaries: &[String]) {
    if id == 0 || !Path::new(&format!("/proc/{id}")).exists() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not root: the memory of the {server} is closed to this test, as it should be");
    }
    for canary in canaries {
        match memory::count(id, canary.as_bytes()) {
            Ok(found) => assert_eq!(found, 0, "{canary} is in the memory of the {server}"),
            // It ended while it was searched.
            Err(_) if !Path::new(&format!("/proc/{id}/exe")).exists() => return,
            Err(error) => panic!("the memory of the {server} cannot be read: {error}"),
        }
    }
}

/// A core would lie in the folder where the relay was started, by the name the kernel is set to, or go to a program,
/// which gets none of a process that cannot be dumped.
fn assert_no_core(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        let name = name.to_string_lossy();
        assert!(!name.starts_with("core") && !name.ends_with(".core"), "{name} is a core dump");
    }
}

/// A text that stands nowhere else, made at run time so that no binary holds it.
fn canary(kind: &str) -> String {
    let mut random = [0u8; 8];
    rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut random);
    format!("{kind}{}", hex::encode(random))
}
