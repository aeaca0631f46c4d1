//! A world with a small desktop and both tools in a connected session: where whole-system tests begin.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::{
    desktop::Desktop,
    tool::{Tool, text},
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
}

impl Stage {
    /// Starts a world and brings both tools to the first picture, with view and control granted.
    ///
    /// # Errors
    /// The first thing that did not work.
    pub async fn connect(world: World, desktop: Desktop) -> Result<Self> {
        let (mut operator, number) = issue(&world).await?;
        let mut client = Tool::client(world.account(), &number, "view,control", desktop.display(), world.folder())?;
        client.wait_for("company", PATIENCE).await?;
        operator.wait_for("first_picture", PATIENCE).await?;
        operator.ask(json!({"do": "ask", "grant": "control"}), "granted", PATIENCE).await?;
        Ok(Self { world, desktop, operator, client, number })
    }

    /// Ends the session from the operator's side, then everything.
    ///
    /// # Errors
    /// When something does not end.
    pub async fn end(mut self) -> Result<()> {
        self.operator.ask(json!({"do": "end"}), "ended", PATIENCE).await?;
        self.client.wait_for("ended", PATIENCE).await?;
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
    let mut operator = Tool::operator(world.account(), world.folder())?;
    operator.wait_for("ready", PATIENCE).await?;
    let issued = operator.ask(json!({"do": "issue", "reason": "設定"}), "number", PATIENCE).await?;
    let number = text(&issued, "number")?.to_owned();
    Ok((operator, number))
}

/// Longest wait for one step of a whole-system test.
pub const PATIENCE: Duration = Duration::from_secs(30);
