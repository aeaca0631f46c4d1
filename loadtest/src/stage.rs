//! A world with a small desktop and both tools in a connected session: where whole-system tests begin.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    desktop::{Desktop, pause},
    picture,
    tool::{Tool, Way, text},
    world::World,
};

/// Everything of one session.
#[derive(Debug)]
pub struct Stage {
    /// The servers.
    pub world: World,
    /// The customer's desktop.
    pub desktop: Desktop,
    /// The operator's tool.
    pub operator: Tool,
    /// The customer's tool.
    pub client: Tool,
    /// The number, used up by now.
    pub number: String,
    /// What carried the operator's side when the session began, as its tool said: `quic` or `tcp`.
    pub operator_over: String,
    /// The same of the customer's side.
    pub client_over: String,
    /// When the customer's tool said that both had met.
    pub met_at: Instant,
}

/// How both tools get out.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// The operator's tool.
    pub operator: Way,
    /// The customer's tool.
    pub client: Way,
}

impl Stage {
    /// Starts a world and brings both tools to the first picture, with view and control granted.
    ///
    /// # Errors
    /// The first thing that did not work.
    pub async fn connect(world: World, desktop: Desktop) -> Result<Self> {
        Self::connect_by(&Ways::default(), world, desktop).await
    }

    /// As [`Self::connect`], with tools that get out by these ways.
    ///
    /// # Errors
    /// The first thing that did not work.
    pub async fn connect_by(ways: &Ways, world: World, desktop: Desktop) -> Result<Self> {
        let (mut operator, number) = issue_by(&ways.operator, &world).await?;
        let (account, folder) = (world.account(), world.folder());
        let mut client = Tool::client_by(&ways.client, account, &number, "view,control", desktop.display(), folder)?;
        let proved = client.wait_for("proved", PATIENCE).await?;
        let met_at = Instant::now();
        let connected = operator.wait_for("connected", PATIENCE).await?;
        operator.wait_for("first_picture", PATIENCE).await?;
        operator.ask(json!({"do": "ask", "grant": "control"}), "granted", PATIENCE).await?;
        let (operator_over, client_over) = (over(&connected)?, over(&proved)?);
        Ok(Self { world, desktop, operator, client, number, operator_over, client_over, met_at })
    }

    /// What carries both sides now, as the tools say: the operator's, then the customer's.
    ///
    /// # Errors
    /// When one of them does not say.
    pub async fn carried_over(&mut self) -> Result<(String, String)> {
        let operator = self.operator.ask(json!({"do": "figures"}), "figures", PATIENCE).await?;
        let client = self.client.ask(json!({"do": "figures"}), "figures", PATIENCE).await?;
        Ok((over(&operator)?, over(&client)?))
    }

    /// Clicks into the terminal of [`terminal`], so that what is typed goes there.
    ///
    /// # Errors
    /// When the operator's tool does not take the command.
    pub async fn focus_terminal(&mut self) -> Result<()> {
        self.operator.ask(json!({"do": "click", "x": 300, "y": 300, "button": "left"}), "sent", PATIENCE).await?;
        Ok(())
    }

    /// Types a line from the operator's side and waits until it stands in `note` whole.
    ///
    /// # Errors
    /// When it does not arrive.
    pub async fn type_line(&mut self, line: &str, note: &Path) -> Result<()> {
        self.operator.ask(json!({"do": "text", "text": line}), "sent", PATIENCE).await?;
        self.operator.ask(json!({"do": "key", "key": "Return"}), "sent", PATIENCE).await?;
        wait_for_text(note, line).await
    }

    /// Ends the session from the operator's side, then everything.
    ///
    /// # Errors
    /// When something does not end.
    pub async fn end(mut self) -> Result<()> {
        self.part().await?;
        self.close().await
    }

    /// Ends the session from the operator's side; its id, as the tool says it.
    ///
    /// # Errors
    /// When a tool does not say that it ended.
    pub async fn part(&mut self) -> Result<String> {
        let ended = self.operator.ask(json!({"do": "end"}), "ended", PATIENCE).await?;
        self.client.wait_for("ended", PATIENCE).await?;
        Ok(text(&ended, "session_id")?.to_owned())
    }

    /// Ends everything after [`Self::part`].
    ///
    /// # Errors
    /// When something does not end.
    pub async fn close(self) -> Result<()> {
        self.client.finish(PATIENCE).await?;
        self.operator.finish(PATIENCE).await?;
        self.desktop.stop().await?;
        self.world.stop().await
    }
}

/// Logs an operator in and issues a number.
///
/// # Errors
/// When either fails.
pub async fn issue(world: &World) -> Result<(Tool, String)> {
    issue_by(&Way::default(), world).await
}

async fn issue_by(way: &Way, world: &World) -> Result<(Tool, String)> {
    let mut operator = Tool::operator_by(way, world.account(), world.folder())?;
    operator.wait_for("ready", PATIENCE).await?;
    let issued = operator.ask(json!({"do": "issue", "reason": "設定"}), "number", PATIENCE).await?;
    let number = text(&issued, "number")?.to_owned();
    Ok((operator, number))
}

fn over(event: &Value) -> Result<String> {
    text(event, "transport").map(str::to_owned)
}

/// A desktop with one terminal that shows a text and takes what is typed into a file; also where that file is.
///
/// # Errors
/// When the desktop does not start.
pub async fn terminal(world: &World, shown: &str) -> Result<(Desktop, PathBuf)> {
    let mut desktop = Desktop::start(800, 600, &world.folder().join("desktop")).await?;
    let note = world.folder().join("desktop/typed.txt");
    let show = format!("printf '{shown}\\n'; exec cat > '{}'", note.display());
    desktop.open("xterm", &["-T", "terminal", "-e", "sh", "-c", &show])?;
    desktop.place("terminal", [20, 20, 700, 500]).await?;
    Ok((desktop, note))
}

/// Waits until a file holds a text.
///
/// # Errors
/// When it does not within [`PATIENCE`].
pub async fn wait_for_text(file: &Path, text: &str) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(100);
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        if std::fs::read_to_string(file).is_ok_and(|found| found.contains(text)) {
            return Ok(());
        }
        pause(LOOK).await;
        waited += LOOK;
    }
    bail!("the typed text did not arrive in {}", file.display())
}

/// What both sides showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// The operator's canvas was checked to be exact.
    pub exact: bool,
    /// Pixels in which the two pictures differ.
    pub differing_pixels: usize,
}

impl Comparison {
    /// Passes only equal pictures.
    ///
    /// # Errors
    /// What was wrong.
    pub fn check(self) -> Result<()> {
        ensure!(self.exact, "the operator's canvas was not checked to be exact");
        ensure!(self.differing_pixels == 0, "{} pixels differ", self.differing_pixels);
        Ok(())
    }
}

/// Takes the customer's picture from the X server and the operator's from the tool until both are equal, and leaves the
/// newest pair in these two files. The two cannot be taken in one instant, and a program may draw between them; only a
/// difference that stays is one, so the last of a bounded number of looks counts.
///
/// # Errors
/// When a picture cannot be taken, or the desktop does not come to rest.
pub async fn compare(desktop: &Desktop, operator: &mut Tool, customers: &Path, operators: &Path) -> Result<Comparison> {
    const LOOKS_MAX: usize = 10;
    let mut seen = Comparison { exact: false, differing_pixels: usize::MAX };
    for _ in 0..LOOKS_MAX {
        desktop.settle().await?;
        desktop.screenshot(customers).await?;
        let command = json!({"do": "picture", "file": operators.display().to_string()});
        let taken = operator.ask(command, "picture", PATIENCE).await?;
        ensure!(text(&taken, "file")? == operators.display().to_string(), "another file was written: {taken}");
        let exact = taken.get("exact") == Some(&Value::Bool(true));
        let differing_pixels = picture::differing_pixels(&picture::read(customers)?, &picture::read(operators)?);
        seen = Comparison { exact, differing_pixels };
        if seen.check().is_ok() {
            break;
        }
    }
    Ok(seen)
}

/// Longest wait for one step of a whole-system test.
pub const PATIENCE: Duration = Duration::from_secs(30);
