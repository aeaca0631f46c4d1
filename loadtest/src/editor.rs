//! A session with an editor in front on the customer's desktop: what is typed from the operator's side must stand in a
//! file whole, once and in order, and both sides must see the same.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use serde_json::json;

use crate::{
    desktop::{Desktop, pause},
    stage::{self, PATIENCE, Stage, Ways},
    world::World,
};

/// Typed piece by piece; nothing in it comes twice.
pub const PIECES: [&str; 12] = [
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
/// From one piece to the next, as fast as a fast typist.
const PIECE_PAUSE: Duration = Duration::from_millis(50);
/// From one look at the file to the next.
const LOOK: Duration = Duration::from_millis(200);
/// Looks at most.
const LOOKS_MAX: usize = 100;

/// Everything of such a session.
#[derive(Debug)]
pub struct Editor {
    /// Servers, desktop and tools.
    pub stage: Stage,
    memo: PathBuf,
}

impl Editor {
    /// Brings both tools to the first picture by these ways, and the editor to the front.
    ///
    /// # Errors
    /// The first thing that did not work.
    pub async fn open(ways: &Ways, world: World) -> Result<Self> {
        let folder = world.folder().join("desktop");
        let mut desktop = Desktop::start(1024, 768, &folder).await?;
        let memo = folder.join("memo.txt");
        std::fs::write(&memo, "")?;
        desktop.open("mousepad", &["--disable-server", &memo.display().to_string()])?;
        desktop.place("memo.txt", [20, 20, 900, 600]).await?;
        desktop.settle().await?;
        let mut stage = Stage::connect_by(ways, world, desktop).await?;
        stage.operator.ask(json!({"do": "click", "x": 400, "y": 400, "button": "left"}), "sent", PATIENCE).await?;
        stage.desktop.wait_for_focus("memo.txt").await?;
        Ok(Self { stage, memo })
    }

    /// Types one of [`PIECES`], then lets a moment pass.
    ///
    /// # Errors
    /// When the operator's tool does not take it.
    pub async fn type_piece(&mut self, piece: &str) -> Result<()> {
        self.stage.operator.ask(json!({"do": "text", "text": piece}), "sent", PATIENCE).await?;
        pause(PIECE_PAUSE).await;
        Ok(())
    }

    /// Waits until the file that the editor saves holds this many of [`PIECES`] and nothing else.
    ///
    /// # Errors
    /// What differs.
    pub async fn wait_for_typed(&mut self, count: usize) -> Result<()> {
        let expected: String = PIECES.iter().take(count).copied().collect();
        let mut saved = String::new();
        for _ in 0..LOOKS_MAX {
            self.stage.operator.ask(json!({"do": "key", "key": "s", "ctrl": true}), "sent", PATIENCE).await?;
            pause(LOOK).await;
            saved = std::fs::read_to_string(&self.memo)?;
            if saved.trim_end() == expected.trim_end() {
                return Ok(());
            }
        }
        anyhow::bail!("typed {expected:?}, saved {saved:?}")
    }

    /// Waits until the file that the editor saves holds all [`PIECES`] and nothing else, then until the pictures of both
    /// sides are equal, the customer's taken by a program that is not ours.
    ///
    /// # Errors
    /// What differs.
    pub async fn check(&mut self) -> Result<()> {
        self.wait_for_typed(PIECES.len()).await?;
        let folder = self.stage.world.folder();
        let (customer, operator) = (folder.join("c.png"), folder.join("o.png"));
        let Stage { desktop, operator: tool, .. } = &mut self.stage;
        stage::compare(desktop, tool, &customer, &operator).await?.check()
    }
}
