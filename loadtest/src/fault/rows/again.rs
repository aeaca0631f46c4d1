//! F24: a tool is killed in the middle of a session and started again, while the manager is down.
//!
//! Real tools and a real editor on an X11 desktop. Sides and transports take turns; text is typed under each new grant of
//! control, and in the end it stands in the editor's file whole and once, and both sides see the same.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use proto::{api::session::SessionBody, close::CloseReason};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::{
    editor::{Editor, PIECES},
    fault::{
        Call,
        gaps::Gaps,
        invariants::{Invariant, ended_rows, rows_when},
        score::Outcome,
    },
    stage::{PATIENCE, Ways},
    tool::{Tool, Way, text},
    world::World,
};

/// Relays of each session.
const RELAYS: usize = 2;
/// From the start of the tool to the first picture at the operator.
const GAP_MAX_MS: f64 = 5_000.0;
/// Restarts of one session: as many as there are pieces of text to type between them.
const RESTARTS_MAX: usize = PIECES.len() - 1;

/// F24.
pub(super) async fn again(call: &Call) -> Result<Outcome> {
    let mut outcome = call.row.outcome();
    let mut gaps = Gaps::new()?;
    outcome.sessions = 1;
    let mut left = usize::try_from(call.repeat)?;
    let mut transports = ["quic", "tcp"].into_iter().cycle();
    while 0 < left {
        let (restarts, transport) = (left.min(RESTARTS_MAX), transports.next().unwrap_or("tcp"));
        one_session(restarts, &Way::only(transport), &mut outcome, &mut gaps).await?;
        left -= restarts;
    }
    let gap = gaps.pauses();
    outcome.gap = Some(gap);
    outcome.must(call.is_quick || gap.p99 <= GAP_MAX_MS, || {
        format!("the picture was back after {:.0} ms (p99), {GAP_MAX_MS:.0} at most", gap.p99)
    });
    outcome.note("the gap is the time from the start of the process to the first picture at the operator");
    Ok(outcome)
}

async fn one_session(restarts: usize, way: &Way, outcome: &mut Outcome, gaps: &mut Gaps) -> Result<()> {
    let mut world = World::with_manager().await?;
    for _ in 0..RELAYS {
        world.add_relay(&[]).await?;
    }
    let ways = Ways { operator: way.clone(), client: way.clone() };
    let mut editor = Editor::open(&ways, world).await?;
    // What the manager was not told before it died, a tool that dies meanwhile cannot tell it later.
    let rows = rows_when(&editor.stage.world, |rows| rows.iter().any(|row| row.connected_at_ms.is_some())).await?;
    if rows.is_empty() {
        bail!("the manager knows of no session");
    }
    editor.stage.world.kill_manager().await?;
    let mut pieces = PIECES.iter();
    for (round, piece) in pieces.by_ref().take(restarts).enumerate() {
        editor.type_piece(piece).await?;
        editor.wait_for_typed(round + 1).await?;
        let (next, took) =
            if round % 2 == 0 { client_dies(editor, way).await? } else { operator_dies(editor, way).await? };
        editor = next;
        gaps.add(took, took);
        control(&mut editor).await?;
        outcome.faults = outcome.faults.saturating_add(1);
        outcome.said = outcome.said.saturating_add(1);
    }
    for piece in pieces {
        editor.type_piece(piece).await?;
    }
    let broken = editor.check().await.err().map(|error| format!("after {restarts} restarts: {error:#}"));
    let seen = format!("a text typed over {restarts} restarts, and the pictures of both sides");
    outcome.find(Invariant::Delivery, seen, broken.into_iter().collect());
    editor.stage.world.restart_manager().await?;
    let session_id = editor.stage.part().await?.parse()?;
    let rows = ended_rows(&editor.stage.world, &[session_id]).await?;
    let is_right =
        |row: &SessionBody| row.connected_at_ms.is_some() && row.end_reason == Some(CloseReason::OperatorEnded);
    let broken = (rows.len() != 1 || !rows.iter().all(is_right)).then(|| format!("the log says {rows:?}"));
    outcome.find(Invariant::SupportLog, "one session, ended by its operator".to_owned(), broken.into_iter().collect());
    editor.stage.close().await
}

/// The operator sees a new picture of its own accord, and has no control.
async fn client_dies(mut editor: Editor, way: &Way) -> Result<(Editor, Duration)> {
    let stage = &mut editor.stage;
    let (account, folder) = (stage.world.account().clone(), stage.world.folder().to_owned());
    stage.client.die().await?;
    let begun = Instant::now();
    stage.client = Tool::client_again(way, &account, "view,control", stage.desktop.display(), &folder)?;
    stage.operator.wait_for("peer_restarted", PATIENCE).await?;
    let took = seen(&mut stage.operator, begun).await?;
    stage.client.wait_for("rejoined", PATIENCE).await?;
    Ok((editor, took))
}

/// The customer's tool takes control back, and shows the picture that it showed before.
async fn operator_dies(mut editor: Editor, way: &Way) -> Result<(Editor, Duration)> {
    let stage = &mut editor.stage;
    let (account, folder) = (stage.world.account().clone(), stage.world.folder().to_owned());
    stage.operator.die().await?;
    let begun = Instant::now();
    stage.operator = Tool::operator_again(way, &account, &folder)?;
    let took = seen(&mut stage.operator, begun).await?;
    stage.client.wait_for("peer_restarted", PATIENCE).await?;
    Ok((editor, took))
}

/// Waits until the operator has the view and its first picture; how long the picture took.
async fn seen(operator: &mut Tool, begun: Instant) -> Result<Duration> {
    let (mut granted, mut took) = (false, None);
    while !granted || took.is_none() {
        let event =
            timeout(PATIENCE, operator.next()).await.context("no picture")??.context("the operator's tool ended")?;
        match text(&event, "event")? {
            "first_picture" => took = Some(begun.elapsed()),
            "granted" => granted |= text(&event, "kind")? == "view",
            "ended" | "error" => bail!("the operator's tool said {event}"),
            _ => {}
        }
    }
    took.context("no picture")
}

/// Asks for control until it is granted.
async fn control(editor: &mut Editor) -> Result<()> {
    let operator = &mut editor.stage.operator;
    operator.give(json!({"do": "ask", "grant": "control"})).await?;
    loop {
        let granted = operator.wait_for("granted", PATIENCE).await?;
        if text(&granted, "kind")? == "control" {
            return Ok(());
        }
    }
}
