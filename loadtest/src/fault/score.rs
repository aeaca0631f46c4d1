//! What the rows of a fault run came to: a line for each, and one scorecard.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{
    gaps::Percentiles,
    invariants::{Finding, Invariant},
    ledger::Sum,
};
use crate::report::table::columns;

/// What one row came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// `F01` and so on.
    pub row: String,
    /// What is done to the system.
    pub what: String,
    /// What must hold.
    pub target: String,
    /// Where to look when it does not.
    pub look_at: String,
    /// Sessions under load meanwhile.
    pub sessions: usize,
    /// Faults injected.
    pub faults: u32,
    /// Inputs that must not be taken.
    pub bad_inputs: u64,
    /// Those that were.
    pub bad_accepted: u64,
    /// Messages said.
    pub said: u64,
    /// Messages that never came.
    pub lost: u64,
    /// Messages that came twice, or after a later one.
    pub doubled: u64,
    /// Messages whose content was not what was said.
    pub broken: u64,
    /// Sessions that ended although nobody ended them.
    pub cut: usize,
    /// Longest time without a message of each direction and fault, milliseconds.
    pub gap: Option<Percentiles>,
    /// Longest way of a reliable message of each direction and fault, milliseconds.
    pub delay: Option<Percentiles>,
    /// What must hold after every fault, and how it stood with it; what is not here was not looked at.
    pub invariants: Vec<Finding>,
    /// What else was seen.
    pub notes: Vec<String>,
    /// What did not hold. Empty: passed.
    pub missed: Vec<String>,
    /// Why it was not run, if so.
    pub skipped: Option<String>,
    /// Seconds it took.
    pub took_secs: f64,
}

/// All rows of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Score {
    /// Seed of everything that is random in it.
    pub seed: u64,
    /// Whether times were judged, or behaviour only.
    pub judged: bool,
    /// The rows, in the order in which they ran.
    pub rows: Vec<Outcome>,
}

impl Outcome {
    /// Notes something seen.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Notes that something did not hold, unless it does.
    pub fn must(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.missed.push(text());
        }
    }

    /// Takes over how it stands with an invariant: what was looked at, and what does not hold. In a row that looks at it
    /// several times, it must hold each time.
    pub fn find(&mut self, invariant: Invariant, seen: String, broken: Vec<String>) {
        self.missed.extend(broken.iter().map(|text| format!("{}: {text}", invariant.name())));
        match self.invariants.iter_mut().find(|finding| finding.invariant == invariant) {
            Some(earlier) => {
                earlier.seen = format!("{}; {seen}", earlier.seen);
                earlier.broken.extend(broken);
            }
            None => self.invariants.push(Finding { invariant, seen, broken, unchecked: None }),
        }
    }

    /// Notes why an invariant was not looked at in full.
    pub fn unchecked(&mut self, invariant: Invariant, why: &str) {
        for finding in self.invariants.iter_mut().filter(|finding| finding.invariant == invariant) {
            finding.unchecked = Some(why.to_owned());
        }
    }

    /// Takes over what was said and heard.
    pub fn count(&mut self, sum: Sum) {
        self.said = self.said.saturating_add(sum.said);
        self.lost = self.lost.saturating_add(sum.lost);
        self.doubled = self.doubled.saturating_add(sum.doubled);
        self.broken = self.broken.saturating_add(sum.broken);
    }

    /// Whether everything held.
    pub fn has_passed(&self) -> bool {
        self.missed.is_empty()
    }

    /// `PASS`, `FAIL`, or `----` for a row that was not run.
    pub const fn verdict(&self) -> &'static str {
        match (&self.skipped, self.missed.is_empty()) {
            (Some(_), _) => "----",
            (None, true) => "PASS",
            (None, false) => "FAIL",
        }
    }

    /// The row, and what is to be known beside its line in the scorecard.
    pub fn details(&self) -> String {
        let mut text = format!("{} {}  ({:.0} s)", self.row, self.verdict(), self.took_secs);
        if let Some(why) = &self.skipped {
            write(&mut text, format_args!("\n    not run: {why}"));
        }
        for note in &self.notes {
            write(&mut text, format_args!("\n    {note}"));
        }
        for Finding { invariant, seen, broken, unchecked } in &self.invariants {
            let verdict = if broken.is_empty() { "held" } else { "BROKEN" };
            write(&mut text, format_args!("\n    {verdict}: {}: {seen}", invariant.name()));
            if let Some(why) = unchecked {
                write(&mut text, format_args!(" ({why})"));
            }
        }
        for missed in &self.missed {
            write(&mut text, format_args!("\n    MISSED: {missed}"));
        }
        if !self.missed.is_empty() {
            write(&mut text, format_args!("\n    look at: {}", self.look_at));
        }
        text
    }

    /// How many invariants hold of all, or the names of those that are broken.
    fn held(&self) -> String {
        if self.skipped.is_some() {
            return "–".to_owned();
        }
        let broken: Vec<_> = self.invariants.iter().filter(|finding| !finding.broken.is_empty()).collect();
        if broken.is_empty() {
            return format!("{}/{}", self.invariants.len(), Invariant::ALL.len());
        }
        format!("broken: {}", broken.iter().map(|finding| finding.invariant.name()).collect::<Vec<_>>().join(", "))
    }

    /// The row's cells in the scorecard.
    fn cells(&self) -> Vec<String> {
        let millis = |of: fn(&Percentiles) -> f64| self.gap.map_or("–".to_owned(), |gap| format!("{:.0}", of(&gap)));
        vec![
            self.row.clone(),
            self.verdict().to_owned(),
            self.what.clone(),
            self.sessions.to_string(),
            self.faults.to_string(),
            format!("{}/{}", self.bad_inputs, self.bad_accepted),
            format!("{}/{}", self.lost, self.doubled),
            self.cut.to_string(),
            self.held(),
            millis(|gap| gap.p50),
            millis(|gap| gap.p99),
            millis(|gap| gap.max),
            self.target.clone(),
        ]
    }
}

impl Score {
    /// The rows that have not passed.
    pub fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.rows.iter().filter(|row| !row.has_passed())
    }

    /// A line for each row.
    pub fn table(&self) -> String {
        let head = [
            "row",
            "",
            "fault",
            "load",
            "faults",
            "bad/taken",
            "lost/dup",
            "cut",
            "invariants",
            "gap p50",
            "p99",
            "max ms",
            "target",
        ];
        let rows = self.rows.iter().map(Outcome::cells);
        columns(&std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>())
    }

    /// The scorecard.
    pub fn card(&self) -> String {
        let ran: Vec<_> = self.rows.iter().filter(|row| row.skipped.is_none()).collect();
        let survived = ran.iter().filter(|row| row.has_passed());
        let count = |of: fn(&Outcome) -> u64| ran.iter().map(|row| of(row)).sum::<u64>();
        let faults = |rows: &mut dyn Iterator<Item = &&Outcome>| rows.map(|row| u64::from(row.faults)).sum::<u64>();
        format!(
            "load held: {} sessions at most, {} messages / faults survived {} of {} / rows passed {} of {} ({} not \
             run) / bad inputs tried {}, accepted {} / lost {} dup {} / sessions cut {} / invariants held {} of {} / seed {}",
            ran.iter().map(|row| row.sessions).max().unwrap_or(0),
            count(|row| row.said),
            faults(&mut survived.clone().copied().collect::<Vec<_>>().iter()),
            faults(&mut ran.iter()),
            survived.count(),
            ran.len(),
            self.rows.len() - ran.len(),
            count(|row| row.bad_inputs),
            count(|row| row.bad_accepted),
            count(|row| row.lost),
            count(|row| row.doubled),
            ran.iter().map(|row| row.cut).sum::<usize>(),
            ran.iter().flat_map(|row| &row.invariants).filter(|finding| finding.broken.is_empty()).count(),
            ran.len() * Invariant::ALL.len(),
            self.seed,
        )
    }
}

fn write(line: &mut String, words: std::fmt::Arguments<'_>) {
    if line.write_fmt(words).is_err() {
        // A string takes everything.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(faults: u32, missed: &[&str]) -> Outcome {
        Outcome {
            row: "F01".to_owned(),
            look_at: "the log".to_owned(),
            faults,
            missed: missed.iter().map(|text| (*text).to_owned()).collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn a_row_that_missed_something_counts_no_fault_as_survived() {
        let skipped = Outcome { skipped: Some("not root".to_owned()), ..outcome(0, &[]) };
        let score = Score { seed: 7, judged: true, rows: vec![outcome(3, &[]), outcome(2, &["a gap"]), skipped] };

        assert_eq!(score.failed().count(), 1);
        let card = score.card();
        assert!(card.contains("faults survived 3 of 5 / rows passed 1 of 2 (1 not run)"), "{card}");
        let details = score.rows[1].details();
        assert!(details.contains("FAIL") && details.contains("MISSED: a gap\n    look at: the log"), "{details}");
        assert!(score.rows[2].details().contains("not run: not root"));
        assert!(score.table().contains("F01  FAIL"), "{}", score.table());
    }

    #[test]
    fn a_broken_invariant_fails_its_row_and_is_named_in_the_table_and_the_card() {
        let (mut held, mut broken) = (outcome(1, &[]), outcome(1, &[]));
        for invariant in Invariant::ALL {
            held.find(invariant, "all of it".to_owned(), Vec::new());
            broken.find(invariant, "all of it".to_owned(), Vec::new());
        }
        broken.find(Invariant::Canary, "the second time".to_owned(), vec!["in a log".to_owned()]);
        assert!(held.has_passed() && !broken.has_passed());

        let score = Score { seed: 7, judged: true, rows: vec![held, broken] };

        let (table, card, details) = (score.table(), score.card(), score.rows[1].details());
        assert!(table.contains("7/7") && table.contains("broken: canary"), "{table}");
        assert!(card.contains("invariants held 13 of 14"), "{card}");
        assert!(
            details.contains("MISSED: canary: in a log") && details.contains("held: audit: all of it"),
            "{details}"
        );
    }
}
