//! What users notice of a fault: sessions under load while relays die, fall silent, are cut off or leave.
//!
//! Reading order: [`ledger`] proves that nothing is lost or doubled, [`crowd`] is the standing load with the tools'
//! own code, [`relays`] starts real managers and real relays, [`receptions`] makes sessions there, [`desks`] go on
//! doing so and ask again what nobody answered ([`tries`]), at [`doors`] somebody asks all the time who is let in,
//! [`gate`] is a bad network in front of them and [`house`] one of the kernel's, [`trial`] puts them together,
//! [`invariants`] checks what must hold after every fault, with [`bounds`], [`canary`] and [`footprint`]; [`rows`] are
//! the faults, [`score`] tells what came of it.
//! Everything is on loopback, bounded in time, and ended by its process id.

pub mod bounds;
pub mod canary;
pub mod crowd;
pub mod desks;
pub mod doors;
pub mod footprint;
pub mod gaps;
pub mod gate;
pub mod house;
pub mod invariants;
pub mod ledger;
pub mod receptions;
pub mod relays;
pub mod rows;
pub mod score;
pub mod trial;
pub mod tries;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use tokio::time::Instant;

use self::{
    rows::Row,
    score::{Outcome, Score},
};

/// What to run.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Flags {
    /// These rows: F01, F02 and so on; `--list` shows them.
    #[arg(value_name = "ROWS", value_enum, ignore_case = true)]
    pub rows: Vec<Row>,
    /// Every row with all its repeats; less than an hour.
    #[arg(long, conflicts_with_all = ["quick", "rows"])]
    pub all: bool,
    /// The short form: a few repeats and less load; judges behaviour and no times. Of every row unless rows are named.
    #[arg(long)]
    pub quick: bool,
    /// Repeats of each row instead of its own number.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: Option<u32>,
    /// Seed of everything that is random; printed with the scorecard.
    #[arg(long)]
    pub seed: Option<u64>,
    /// F13 and F13q: only these kinds of weather, by their places in the row from 0 on, in this order.
    #[arg(long, value_name = "PLACES", value_delimiter = ',')]
    pub cells: Vec<usize>,
    /// Shows the rows and runs nothing.
    #[arg(long)]
    pub list: bool,
    /// This program was started by [`house`], in namespaces of its own.
    #[arg(long, hide = true)]
    pub housed: bool,
    /// Writes the scorecard as JSON into this file, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// How one row is run.
#[derive(Debug, Clone)]
pub struct Call {
    /// The row.
    pub row: Row,
    /// How often its fault happens.
    pub repeat: u32,
    /// Its seed.
    pub seed: u64,
    /// The short form: less load, and times are not judged.
    pub is_quick: bool,
    /// Kinds of weather by their places; all when empty. Other rows have none.
    pub cells: Vec<usize>,
}

/// Runs what the flags say, telling each line as it comes.
///
/// # Errors
/// When a row cannot be run, or has not passed.
pub async fn run(flags: &Flags, tell: impl Fn(&str)) -> Result<()> {
    if !flags.housed {
        return run_rows(flags, tell).await;
    }
    tokio::select! {
        ran = run_rows(flags, tell) => ran,
        left = house::until_left() => left.and_then(|()| bail!("whoever started this is gone")),
    }
}

async fn run_rows(flags: &Flags, tell: impl Fn(&str)) -> Result<()> {
    if flags.list {
        for row in Row::ALL {
            tell(&row.describe());
        }
        return Ok(());
    }
    let rows: &[Row] = if flags.all || (flags.quick && flags.rows.is_empty()) { Row::ALL } else { &flags.rows };
    if rows.is_empty() {
        bail!("say --all, --quick or the rows; --list shows them");
    }
    let seed = flags.seed.unwrap_or_else(rand::random);
    let mut score = Score { seed, judged: !flags.quick, rows: Vec::new() };
    for row in rows {
        let repeat = flags.repeat.unwrap_or(if flags.quick { row.quick() } else { row.repeat() });
        tell(&format!("{} {} …", row.id(), row.what()));
        let call = Call { row: *row, repeat, seed, is_quick: flags.quick, cells: flags.cells.clone() };
        let outcome = if flags.housed { run_row_here(call).await } else { run_row(call).await };
        tell(&outcome.details());
        score.rows.push(outcome);
        // A run that is given up has told what it found so far.
        save(flags, &score)?;
    }
    tell(&score.table());
    tell(&score.card());
    let failed: Vec<_> = score.failed().map(|row| row.row.as_str()).collect();
    ensure!(failed.is_empty(), "not passed: {}", failed.join(", "));
    Ok(())
}

fn save(flags: &Flags, score: &Score) -> Result<()> {
    let Some(file) = &flags.json else { return Ok(()) };
    std::fs::write(file, serde_json::to_string_pretty(score)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Runs one row. A row that cannot be run has not passed.
pub async fn run_row(call: Call) -> Outcome {
    if call.is_quick
        && let Some(why) = call.row.not_quick()
    {
        return Outcome { skipped: Some(why.to_owned()), ..call.row.outcome() };
    }
    if let Some(why) = call.row.lacks() {
        return Outcome { skipped: Some(why), ..call.row.outcome() };
    }
    if call.row.is_housed() {
        let outcome = house::run(&call).await;
        return outcome.unwrap_or_else(|error| broken_off(&call, &error));
    }
    run_row_here(call).await
}

/// Runs one row in the network in which this program is.
async fn run_row_here(call: Call) -> Outcome {
    let begun = Instant::now();
    let mut outcome = match call.row.run(&call).await {
        Ok(outcome) => outcome,
        Err(error) => broken_off(&call, &error),
    };
    outcome.took_secs = begun.elapsed().as_secs_f64();
    outcome
}

fn broken_off(call: &Call, error: &anyhow::Error) -> Outcome {
    let mut outcome = call.row.outcome();
    outcome.missed.push(format!("the row broke off: {error:#}"));
    outcome
}
