//! Drawings of figures: bars and lines in SVG, without a style or a script in them, so that the page's own colours hold.
//! The same figures stand in the table below, for who cannot see a drawing.

use std::fmt::Write as _;

/// Width of a drawing.
const WIDTH: i64 = 960;
/// Height of a drawing.
const HEIGHT: i64 = 300;
/// Room for the numbers of the vertical axis.
const LEFT: i64 = 80;
/// Room at the right.
const RIGHT: i64 = 12;
/// Room above.
const TOP: i64 = 14;
/// Room for the names of the horizontal axis.
const BOTTOM: i64 = 38;
/// Half of the longest name of the horizontal axis: a name that would be cut off at the right is left out.
const NAME_HALF: i64 = 44;
/// Names of the horizontal axis at most; more would run into each other.
const NAMES_MAX: usize = 8;

/// A drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) legend: Vec<(&'static str, &'static str)>,
    pub(super) bars: Vec<Bar>,
    pub(super) lines: Vec<Line>,
    pub(super) marks: Vec<Mark>,
    pub(super) names: Vec<Name>,
}

/// One bar, with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) words: String,
}

/// One line without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) class: &'static str,
    pub(super) points: String,
}

/// A line across with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) y: i64,
    pub(super) text: String,
}

/// A name under the drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) x: i64,
    pub(super) text: String,
}

/// One row of figures; `None` where there is none.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Its colour.
    pub(super) class: &'static str,
    /// What it is.
    pub(super) name: &'static str,
    /// One for each step.
    pub(super) values: Vec<Option<i64>>,
}

/// How numbers of the vertical axis are written and where it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Writes a number.
    pub(super) text: fn(i64) -> String,
    /// Ends that are easy to read, from the smallest; beyond the last one a round number is taken.
    pub(super) ends: &'static [i64],
}

/// Numbers of things.
pub(super) const COUNTS: Scale = Scale { text: count, ends: &[2, 4, 10] };
/// Times, from ten seconds to a working day.
pub(super) const TIMES: Scale = Scale {
    text: crate::site::time::duration,
    ends: &[
        10_000, 20_000, 60_000, 120_000, 240_000, 600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000,
        28_800_000,
    ],
};

fn count(number: i64) -> String {
    number.to_string()
}

impl Scale {
    /// The end of an axis that holds `largest`; even, so that its half is a whole number.
    fn end(self, largest: i64) -> i64 {
        if let Some(end) = self.ends.iter().find(|end| largest <= **end) {
            return *end;
        }
        let mut power = 10i64;
        loop {
            for factor in [2, 4, 10] {
                let end = power.saturating_mul(factor);
                if largest <= end {
                    return end;
                }
            }
            power = power.saturating_mul(10);
        }
    }
}

/// Where the steps are.
struct Plot {
    steps: i64,
    end: i64,
}

impl Plot {
    fn x(&self, step: i64) -> i64 {
        LEFT + (WIDTH - LEFT - RIGHT) * step / self.steps.max(1)
    }

    fn y(&self, value: i64) -> i64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM).saturating_mul(value) / self.end.max(1)
    }
}

/// Bars side by side, a group for each step.
pub(super) fn bars(title: &'static str, names: &[String], series: &[Series], scale: Scale) -> Chart {
    let (plot, mut chart) = begin(title, names, series, scale);
    let beside = i64::try_from(series.len()).unwrap_or(1).max(1);
    for (row, at) in series.iter().zip(0i64..) {
        for ((value, name), step) in row.values.iter().zip(names).zip(0i64..) {
            let Some(value) = value.filter(|value| 0 < *value) else { continue };
            let (from, room) = (plot.x(step), plot.x(step + 1) - plot.x(step));
            let gap = room / 5;
            let width = ((room - gap) / beside).max(1);
            let y = plot.y(value);
            chart.bars.push(Bar {
                class: row.class,
                x: from + gap / 2 + width * at,
                y,
                width,
                height: (HEIGHT - BOTTOM - y).max(1),
                words: format!("{name} {}: {}", row.name, (scale.text)(value)),
            });
        }
    }
    chart
}

/// A line for each row; a step without a figure is a gap.
pub(super) fn lines(title: &'static str, names: &[String], series: &[Series], scale: Scale) -> Chart {
    let (plot, mut chart) = begin(title, names, series, scale);
    for row in series {
        let mut points = String::new();
        for (value, step) in row.values.iter().zip(0i64..) {
            let x = i64::midpoint(plot.x(step), plot.x(step + 1));
            match value {
                // Writing to a string never fails.
                Some(value) => {
                    let _never: std::fmt::Result = write!(points, "{x},{} ", plot.y(*value));
                }
                None => flush(&mut points, row.class, &mut chart.lines),
            }
        }
        flush(&mut points, row.class, &mut chart.lines);
    }
    chart
}

/// Keeps a line up to a gap; one point alone becomes a short line.
fn flush(points: &mut String, class: &'static str, lines: &mut Vec<Line>) {
    let mut whole = std::mem::take(points);
    if whole.is_empty() {
        return;
    }
    if let [point] = whole.split_whitespace().collect::<Vec<_>>().as_slice()
        && let Some((x, y)) = point.split_once(',')
        && let Ok(x) = x.parse::<i64>()
    {
        whole = format!("{},{y} {},{y}", x - 3, x + 3);
    }
    lines.push(Line { class, points: whole.trim_end().to_owned() });
}

fn begin(title: &'static str, names: &[String], series: &[Series], scale: Scale) -> (Plot, Chart) {
    let largest = series.iter().flat_map(|row| row.values.iter().flatten()).copied().max().unwrap_or(0);
    let plot = Plot { steps: i64::try_from(names.len()).unwrap_or(1), end: scale.end(largest) };
    let mark = |value: i64| Mark { y: plot.y(value), text: (scale.text)(value) };
    let marks = [0, plot.end / 2, plot.end].map(mark).to_vec();
    let every = names.len().div_ceil(NAMES_MAX).max(1);
    let named = names.iter().zip(0i64..).step_by(every);
    let name =
        |(text, step): (&String, i64)| Name { x: i64::midpoint(plot.x(step), plot.x(step + 1)), text: text.clone() };
    let names = named.map(name).filter(|name| name.x + NAME_HALF <= WIDTH).collect();
    let legend = series.iter().map(|row| (row.class, row.name)).collect();
    (plot, Chart { title, legend, bars: Vec::new(), lines: Vec::new(), marks, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<i64>]) -> Series {
        Series { class: "one", name: "x", values: values.to_vec() }
    }

    #[test]
    fn a_bar_is_as_high_as_its_number_and_none_where_there_is_nothing() {
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let chart = bars("t", &names, &[row(&[Some(10), Some(5), None])], COUNTS);

        assert_eq!(chart.bars.len(), 2);
        assert_eq!(chart.bars[0].height, chart.bars[1].height * 2);
        assert_eq!(chart.bars[0].y, TOP);
        assert_eq!(chart.marks.iter().map(|mark| mark.text.as_str()).collect::<Vec<_>>(), ["0", "5", "10"]);
        assert!(chart.bars.iter().all(|bar| LEFT <= bar.x && bar.x + bar.width <= WIDTH));
    }

    #[test]
    fn a_line_has_gaps_where_nothing_is_known() {
        let names: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let mut values = vec![Some(1_000); 50];
        values[10] = None;
        values[12] = None;
        let chart = lines("t", &names, &[row(&values)], TIMES);

        assert_eq!(chart.lines.len(), 3);
        // Every seventh, but the last one does not fit.
        assert_eq!(chart.names.len(), 7);
        assert_eq!(chart.marks[2].text, "0:10");
    }

    #[test]
    fn an_axis_ends_at_a_round_number_that_holds_everything() {
        for (largest, end) in [(0, 2), (3, 4), (11, 20), (21, 40), (41, 100), (101, 200), (9_999, 10_000)] {
            assert_eq!(COUNTS.end(largest), end, "{largest}");
        }
    }
}
