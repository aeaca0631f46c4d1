//! A report as text: every column as wide as its widest cell.

use super::{Measure, Report, Row, median, put, short};

/// The whole report.
pub fn table(report: &Report) -> String {
    let mut out = format!("{}\n", report.title);
    for (name, value) in &report.facts {
        put(&mut out, &format!("  {name}: {value}\n"));
    }
    for measure in &report.measures {
        let aim = if measure.less_is_better { "less is better" } else { "more is better" };
        put(&mut out, &format!("\n{}, {} ({aim})\n", measure.name, measure.unit));
        out.push_str(&columns(&rows(measure)));
    }
    for table in &report.tables {
        put(&mut out, &format!("\n{}\n", table.name));
        out.push_str(&columns(&table.rows));
    }
    if !report.readings.is_empty() {
        out.push_str("\nreadings\n");
        let rows: Vec<_> = report.readings.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
        out.push_str(&columns(&rows));
    }
    if !report.verdicts.is_empty() {
        out.push_str("\ntargets\n");
        out.push_str(&columns(&verdicts(report)));
    }
    out
}

/// Head and rows of one measure, as cells.
pub(super) fn rows(measure: &Measure) -> Vec<Vec<String>> {
    let mut head = vec![String::new(), "median".to_owned(), "min–max".to_owned()];
    head.extend(measure.bases.iter().map(|base| format!("× {base}")));
    let row = |row: &Row| {
        let mut cells = vec![row.who.clone(), short(row.median()), spread(&row.values)];
        cells.extend(measure.bases.iter().map(|base| {
            let ratios = measure.ratios(&row.who, base);
            if ratios.is_empty() || row.who == *base {
                "–".to_owned()
            } else {
                format!("{:.2} ({})", median(&ratios), spread(&ratios))
            }
        }));
        cells
    };
    std::iter::once(head).chain(measure.rows.iter().map(row)).collect()
}

/// Head and rows of the targets, as cells.
pub(super) fn verdicts(report: &Report) -> Vec<Vec<String>> {
    let head = ["", "found", "target", ""].map(str::to_owned).to_vec();
    let row = |verdict: &super::Verdict| {
        let sign = if verdict.at_most { "≤" } else { "≥" };
        let reached = if verdict.is_reached() { "reached" } else { "MISSED" };
        vec![verdict.what.clone(), short(verdict.found), format!("{sign} {}", short(verdict.bound)), reached.to_owned()]
    };
    std::iter::once(head).chain(report.verdicts.iter().map(row)).collect()
}

fn spread(values: &[f64]) -> String {
    let (least, most) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), v| (least.min(*v), most.max(*v)));
    if values.is_empty() { "–".to_owned() } else { format!("{}–{}", short(least), short(most)) }
}

/// Rows of cells, every column as wide as its widest cell.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        out.push(' ');
        for (cell, width) in row.iter().zip(&widths) {
            put(&mut out, &format!(" {cell}{}", " ".repeat(width.saturating_sub(cell.chars().count()) + 1)));
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn report() -> Report {
        let rows = [("relay", [0.4, 0.5, 0.6]), ("HAProxy", [1.0, 1.0, 1.2])];
        let rows = rows.map(|(who, values)| Row { who: who.to_owned(), values: values.to_vec() }).to_vec();
        Report {
            title: "bench".to_owned(),
            measures: vec![Measure {
                name: "CPU".to_owned(),
                unit: "s/GB".to_owned(),
                less_is_better: true,
                bases: vec!["HAProxy".to_owned()],
                rows,
            }],
            verdicts: vec![Verdict { what: "CPU".to_owned(), found: 0.5, bound: 0.45, at_most: true }],
            ..Report::default()
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round_and_shown_with_their_spread() {
        let text = table(&report());

        assert!(text.contains("relay    0.500   0.400–0.600  0.50 (0.400–0.500)"), "{text}");
        assert!(text.contains("HAProxy  1.00    1.00–1.20    –"), "{text}");
    }

    #[test]
    fn a_target_that_was_missed_says_so() {
        assert!(table(&report()).contains("MISSED"));
    }
}
