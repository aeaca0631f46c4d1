//! The picture walk on real programs: capture · changes · encode · seal · forward · open · decode · canvas.
//!
//! The pixels that a program draws on the customer's X server are, pixel for pixel, what the operator's canvas holds;
//! the customer's side of the comparison is taken by a program that is not ours.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use loadtest::{
    desktop::Desktop,
    picture,
    stage::{self, Comparison, PATIENCE, Stage},
    tool::{number, text},
    world::World,
};
use serde_json::json;

#[tokio::test]
async fn what_the_customer_sees_is_what_the_operator_sees() {
    let world = World::start().await.unwrap();
    let mut desktop = Desktop::start(1024, 768, &world.folder().join("desktop")).await.unwrap();
    // Text is exact at once; noise goes over the photo lane first and must be refined to exact.
    let noise = world.folder().join("desktop/noise.png");
    desktop
        .run("convert", &["-size", "400x300", "plasma:tomato-steelblue", &noise.display().to_string()])
        .await
        .unwrap();
    desktop.open("display", &["-title", "noise", &noise.display().to_string()]).unwrap();
    desktop.place("noise", [560, 40, 400, 300]).await.unwrap();
    desktop.open("xterm", &["-T", "terminal", "-e", "sh", "-c", "seq 1 30; exec cat"]).unwrap();
    desktop.place("terminal", [20, 20, 500, 600]).await.unwrap();
    desktop.settle().await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();

    both_see_the_same(&mut stage, "first").await;
    stage.desktop.run("xdotool", &["search", "--name", "terminal", "windowmove", "100", "120"]).await.unwrap();
    both_see_the_same(&mut stage, "moved").await;

    stage.end().await.unwrap();
}

#[tokio::test]
async fn the_operator_chooses_between_two_monitors_and_sees_each_exactly() {
    let world = World::start().await.unwrap();
    let mut desktop = Desktop::start(1280, 800, &world.folder().join("desktop")).await.unwrap();
    for monitor in [["left", "640/169x800/212+0+0", "screen"], ["right", "640/169x800/212+640+0", "none"]] {
        desktop.run("xrandr", &[&["--setmonitor"][..], &monitor[..]].concat()).await.unwrap();
    }
    desktop.open("xterm", &["-T", "terminal", "-e", "sh", "-c", "seq 1 30; exec cat"]).unwrap();
    desktop.place("terminal", [700, 40, 400, 500]).await.unwrap();
    desktop.settle().await.unwrap();
    let world_folder = world.folder().to_owned();
    let mut stage = Stage::connect(world, desktop).await.unwrap();
    let left = json!({"do": "picture", "file": world_folder.join("left.png").display().to_string()});
    let before = stage.operator.ask(left, "picture", PATIENCE).await.unwrap();
    let first = text(&before, "hash").unwrap();

    stage.operator.ask(json!({"do": "monitor", "id": 1}), "monitors", PATIENCE).await.unwrap();
    let (both, right) = (world_folder.join("both.png"), world_folder.join("right.png"));
    stage.desktop.screenshot(&both).await.unwrap();
    let command = json!({"do": "picture", "file": right.display().to_string()});
    let mut taken = stage.operator.ask(command.clone(), "picture", PATIENCE).await.unwrap();
    for _ in 0..20 {
        // The first pictures may still be of the monitor before.
        if number(&taken, "width").unwrap() < 1000.0 && text(&taken, "hash").unwrap() != first {
            break;
        }
        taken = stage.operator.ask(command.clone(), "picture", PATIENCE).await.unwrap();
    }

    assert_eq!(taken.get("exact"), Some(&json!(true)));
    let (both, right) = (picture::read(&both).unwrap(), picture::read(&right).unwrap());
    assert_eq!((right.width, right.height), (640, 800));
    let rows = both.pixels.chunks_exact(1280 * 3).flat_map(|row| row[640 * 3..].iter().copied());
    assert!(rows.eq(right.pixels.iter().copied()), "the right half of the desktop is not what the operator sees");
    stage.end().await.unwrap();
}

async fn both_see_the_same(stage: &mut Stage, name: &str) {
    let folder = stage.world.folder().to_owned();
    let (customer, operator) = (folder.join(format!("{name}-c.png")), folder.join(format!("{name}-o.png")));
    let Stage { desktop, operator: tool, .. } = stage;
    let seen = stage::compare(desktop, tool, &customer, &operator).await.unwrap();
    assert_eq!(seen, Comparison { exact: true, differing_pixels: 0 }, "{name}");
}
