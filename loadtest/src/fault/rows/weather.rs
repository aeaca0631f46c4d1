//! F13 and F15: bad networks, and one slow receiver beside many others.

use std::time::Duration;

use anyhow::{Context as _, Result};
use link::transport::Transport;
use tokio::time::Instant;

use super::beside::Beside;
use crate::{
    desktop::pause,
    fault::{
        Call,
        crowd::{Crowd, Load},
        gaps::Gaps,
        gate::{Climate, Weather},
        relays::Plan,
        score::Outcome,
        trial::{PATIENCE, Trial},
    },
    process::usage,
};

/// One cell of the grid is measured this long.
const CELL: Duration = Duration::from_secs(6);
/// One window with or without the slow receiver takes this long.
const WINDOW: Duration = Duration::from_secs(8);
/// New weather is let settle this long.
const SETTLING: Duration = Duration::from_secs(2);
/// Beyond a round trip, what input may take at the most in usable weather, milliseconds.
const INPUT_MAX_MS: f64 = 100.0;
/// Bytes a second of the slow receiver.
const SLOW: u64 = 10_000;
/// What a slow receiver may cost the others, milliseconds.
const SLOW_COST_MAX_MS: f64 = 1.0;
/// A relay may keep this much for a slow receiver: both queues of one session and some, KiB.
const SLOW_KIB_MAX: u64 = 4 * 1024;
/// Fewer sessions than usual, so that the machine is not what is measured.
const SESSIONS: usize = 10;

/// A kind of weather between the two tools.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    one_way_ms: u32,
    loss_percent: u32,
    jitter_ms: u32,
    mbit: u64,
    overtaken_percent: u32,
    doubled_percent: u32,
}

/// F13: every cell of the grid in turn, over TCP.
pub(super) async fn grid(call: &Call) -> Result<Outcome> {
    let cells = grid_cells();
    let cells = if call.is_quick { vec![cells[0], cells[8], cells[18]] } else { cells };
    weather(call, Transport::Tcp, cells).await
}

/// F13 over QUIC: the same cells, and packets that are overtaken or doubled, which TCP shows nobody.
pub(super) async fn grid_quic(call: &Call) -> Result<Outcome> {
    let mut cells = grid_cells();
    if call.is_quick {
        cells = vec![cells[2], cells[16]];
    }
    for one_way_ms in if call.is_quick { vec![20] } else { vec![20, 100, 300] } {
        cells.push(Cell { one_way_ms, overtaken_percent: 5, ..Cell::default() });
        cells.push(Cell { one_way_ms, doubled_percent: 1, ..Cell::default() });
    }
    weather(call, Transport::Quic, cells).await
}

async fn weather(call: &Call, transport: Transport, cells: Vec<Cell>) -> Result<Outcome> {
    let plan = Plan { transport, ..Plan::of(2, true, call.seed) };
    let cells = chosen(cells, &call.cells)?;
    let mut trial = Trial::start_with(call, plan, Load::of(SESSIONS)).await?;
    for cell in cells {
        let climate = Climate::both(cell.weather());
        let name = cell.name();
        set_all(&trial, climate)?;
        pause(SETTLING).await;
        // What was held up by the weather before is not this one's.
        let flows = trial.crowd.input_flows_since(Instant::now(), PATIENCE).await;
        trial.outcome.must(flows, || format!("{name}: not every session goes on"));
        let mark = trial.crowd.mark();
        let own = measure(&trial.crowd, CELL).await?;
        trial.crowd.take_gaps(&mark, None, &mut trial.gaps);
        let (delay, most) = (own.delays(), f64::from(2 * cell.one_way_ms + cell.jitter_ms) + INPUT_MAX_MS);
        trial.outcome.note(format!("{name}: input p50 {:.0} p99 {:.0} ms, bound {most:.0}", delay.p50, delay.p99));
        let is_fine = call.is_quick || 5 < cell.loss_percent || delay.p99 <= most;
        trial.outcome.must(is_fine, || format!("{name}: input p99 {:.0} ms is above {most:.0}", delay.p99));
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    set_all(&trial, Climate::default())?;
    let flows = trial.crowd.flows_since(Instant::now(), PATIENCE).await;
    trial.outcome.must(flows.is_some(), || "not every session went on in good weather".to_owned());
    trial.finish().await
}

/// The cells at these places, in this order; all when none is named.
fn chosen(cells: Vec<Cell>, places: &[usize]) -> Result<Vec<Cell>> {
    if places.is_empty() {
        return Ok(cells);
    }
    let cell = |place: &usize| {
        let none = || format!("--cells: there is no place {place}, but 0 to {}", cells.len().saturating_sub(1));
        cells.get(*place).copied().with_context(none)
    };
    places.iter().map(cell).collect()
}

/// Loss with each delay, then jitter, then rates: 24 cells.
fn grid_cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for one_way_ms in [20, 100, 300] {
        for loss_percent in [0, 1, 5, 10] {
            cells.push(Cell { one_way_ms, loss_percent, ..Cell::default() });
        }
    }
    for one_way_ms in [20, 100, 300] {
        cells.push(Cell { one_way_ms, loss_percent: 1, jitter_ms: one_way_ms, ..Cell::default() });
        for mbit in [1, 5, 20] {
            cells.push(Cell { one_way_ms, mbit, ..Cell::default() });
        }
    }
    cells
}

impl Cell {
    /// What each of the two gates on the way does.
    fn weather(self) -> Weather {
        Weather {
            hole: false,
            delay: Duration::from_millis(u64::from(self.one_way_ms)) / 2,
            jitter: Duration::from_millis(u64::from(self.jitter_ms)) / 2,
            loss: f64::from(self.loss_percent) / 100.0,
            rate: self.mbit * 125_000,
            overtaken: f64::from(self.overtaken_percent) / 100.0,
            doubled: f64::from(self.doubled_percent) / 100.0,
            ..Weather::GOOD
        }
    }

    fn name(self) -> String {
        let Self { one_way_ms, loss_percent, jitter_ms, mbit, overtaken_percent, doubled_percent } = self;
        let extras = [
            (mbit, format!(", {mbit} Mbit/s")),
            (overtaken_percent.into(), format!(", overtaken {overtaken_percent} %")),
            (doubled_percent.into(), format!(", doubled {doubled_percent} %")),
        ];
        let extras: String = extras.into_iter().filter(|(there, _)| 0 < *there).map(|(_, words)| words).collect();
        format!("{one_way_ms} ms one way, jitter {jitter_ms} ms, loss {loss_percent} %{extras}")
    }
}

fn set_all(trial: &Trial, climate: Climate) -> Result<()> {
    for relay in trial.relays.all() {
        for gate in relay.gates()? {
            gate.set(climate);
        }
    }
    Ok(())
}

/// F15: one operator takes 10 kB/s of four times as much, and nobody else notices.
///
/// Each repeat is a window without and a window with the slow receiver, of some 3,900 readings each; [`Beside`] says why
/// one pair of windows is no verdict.
pub(super) async fn slow_receiver(call: &Call) -> Result<Outcome> {
    let load = if call.is_quick { Load::of(11) } else { Load::of(49) };
    let relays = Trial::start_past_gates(call, Plan::of(1, true, call.seed), load).await;
    let mut trial = relays?;
    let slow = Crowd::start(Load::of(1), call.seed, trial.relays.matchmaker()).await?;
    trial.outcome.sessions = load.sessions + 1;
    let relay = trial.relays.relay(0)?;
    let span = if call.is_quick { SETTLING } else { WINDOW };
    let mut ways = Beside::default();
    for _ in 0..call.repeat {
        ways.without(&trial.crowd, span).await?;
        let before = usage(relay.process_id())?;
        let [_, operators] = relay.gates()?;
        operators.set(Climate { back: Weather { rate: SLOW, ..Weather::GOOD }, ..Climate::default() });
        ways.with(&trial.crowd, span).await?;
        let after = usage(relay.process_id())?;
        operators.set(Climate::default());
        let flows = slow.flows_since(Instant::now(), PATIENCE).await;
        trial.outcome.must(flows.is_some(), || "the slow session did not catch up".to_owned());
        let grown = after.resident_kib.saturating_sub(before.resident_kib);
        trial.outcome.must(grown <= SLOW_KIB_MAX, || format!("the relay grew by {grown} KiB"));
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    trial.outcome.note(ways.describe());
    let [calm, beside] = ways.medians();
    let is_fine = call.is_quick || beside < calm + SLOW_COST_MAX_MS;
    trial.outcome.must(is_fine, || format!("p99 of the others rose from {calm:.1} to {beside:.1} ms"));
    let sum = slow.settle(PATIENCE).await;
    trial.outcome.count(sum);
    trial.outcome.must(sum.is_clean(), || format!("the slow session lost or doubled: {sum:?}"));
    slow.end().await.context("the slow session")?;
    trial.finish().await
}

/// The 99th percentile of how long input is on its way, over a while, milliseconds.
pub(super) async fn ways_of(crowd: &Crowd, span: Duration) -> Result<f64> {
    crowd.mark();
    Ok(measure(crowd, span).await?.delays().p99)
}

/// How long the input was on its way that is said from the mark on for a while; all of it is waited for, the late most
/// of all.
pub(super) async fn measure(crowd: &Crowd, span: Duration) -> Result<Gaps> {
    pause(span).await;
    let until = Instant::now();
    crowd.input_flows_since(until, PATIENCE).await;
    let mut own = Gaps::new()?;
    crowd.take_ways(until, &mut own);
    Ok(own)
}
