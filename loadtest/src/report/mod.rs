//! What a run found: one set of figures, shown as a table for people, as JSON, and as one HTML page.
//!
//! [`table`] and [`html`] show the same [`Report`]; [`svg`] draws its plots.

pub mod table;

pub mod html;

mod svg;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{figures::percentile, progress::tell};

/// Where a report goes besides standard output.
#[derive(Debug, Clone, Default, Args)]
pub struct Files {
    /// Writes everything for machines.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes one page with plots; it needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What was done.
    pub title: String,
    /// How, and on what machine: name and value.
    pub facts: Vec<(String, String)>,
    /// Figures that were read several times.
    pub measures: Vec<Measure>,
    /// Tables of their own.
    pub tables: Vec<Table>,
    /// Figures that were read once: name and value.
    pub readings: Vec<(String, String)>,
    /// Distributions.
    pub curves: Vec<Curves>,
    /// What should have been reached.
    pub verdicts: Vec<Verdict>,
}

/// One kind of figure, for each of those that are compared.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Whether less is better.
    pub less_is_better: bool,
    /// Whose figures the others are divided by.
    pub bases: Vec<String>,
    /// The figures.
    pub rows: Vec<Row>,
}

/// The figures of one of those that are compared, one for each round.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Whose.
    pub who: String,
    /// One value a round.
    pub values: Vec<f64>,
}

/// Cells in the words of whoever made them.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// What it shows.
    pub name: String,
    /// Head, and rows.
    pub rows: Vec<Vec<String>>,
}

/// Distributions that belong in one plot.
#[derive(Debug, Clone, Serialize)]
pub struct Curves {
    /// What is distributed.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// For each: whose, and the value at each of [`CURVE_SHARES`].
    pub rows: Vec<Row>,
}

/// The shares at which a curve has its values.
pub const CURVE_SHARES: [f64; 13] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

/// One figure against what it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// What is compared.
    pub what: String,
    /// What was found.
    pub found: f64,
    /// The bound.
    pub bound: f64,
    /// Whether it must not be more; else it must not be less.
    pub at_most: bool,
}

impl Measure {
    /// The figures of one of them; nothing when it was not measured.
    pub fn row(&self, who: &str) -> &[f64] {
        self.rows.iter().find(|row| row.who == who).map_or(&[], |row| &row.values)
    }

    /// Ratios to another one, round by round; both were measured in the same round.
    pub fn ratios(&self, who: &str, base: &str) -> Vec<f64> {
        let pairs = self.row(who).iter().zip(self.row(base));
        pairs.filter(|(_, base)| 0.0 < **base).map(|(own, base)| own / base).collect()
    }
}

impl Row {
    /// The middle one.
    pub fn median(&self) -> f64 {
        median(&self.values)
    }
}

impl Verdict {
    /// Whether it was reached.
    pub fn is_reached(&self) -> bool {
        if self.at_most { self.found <= self.bound } else { self.bound <= self.found }
    }
}

impl Report {
    /// Prints the table, and writes the files that were asked for.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn publish(&self, files: &Files) -> Result<()> {
        say(&table::table(self));
        if let Some(file) = &files.json {
            let text = serde_json::to_string_pretty(self)?;
            std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
            tell(&format!("wrote {}", file.display()));
        }
        if let Some(file) = &files.html {
            std::fs::write(file, html::page(self)).with_context(|| format!("cannot write {}", file.display()))?;
            tell(&format!("wrote {}", file.display()));
        }
        Ok(())
    }
}

/// The machine of this run: name and value.
pub fn machine() -> Vec<(String, String)> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    vec![
        ("processor".to_owned(), format!("{} × {}", cores, model.unwrap_or("unknown"))),
        ("kernel".to_owned(), kernel.trim().to_owned()),
        ("load before the run".to_owned(), read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")),
    ]
}

/// A distribution as a row of [`Curves`].
pub fn curve(who: &str, all: &Histogram<u64>) -> Row {
    let value = |share: &f64| u32::try_from(all.value_at_quantile(*share)).map_or(f64::INFINITY, f64::from);
    Row { who: who.to_owned(), values: CURVE_SHARES.iter().map(value).collect() }
}

/// The middle value; of an even number the lower of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// Appends to a text.
fn put(out: &mut String, text: &str) {
    out.push_str(text);
}

/// A number with three figures that say something.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size < 1e-9 {
        "0".to_owned()
    } else if size < 1.0 {
        format!("{value:.3}")
    } else if size < 10.0 {
        format!("{value:.2}")
    } else if size < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a command line program")]
fn say(text: &str) {
    println!("{}", text.trim_end());
}
