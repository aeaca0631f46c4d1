//! What a fault costs those beside it: the 99th percentile of their input's way, without and with the fault in turn.
//!
//! One window says little: a single slow moment of the machine is one hundredth of it, and moves its 99th percentile by
//! more than a target allows. So windows of both kinds alternate, each of thousands of readings, and the medians of
//! their percentiles are compared: a slow moment spoils one window, a fault spoils all.

use std::time::Duration;

use anyhow::Result;

use super::weather::ways_of;
use crate::fault::crowd::Crowd;

/// The percentiles of all windows so far, milliseconds.
#[derive(Debug, Default)]
pub(super) struct Beside {
    without: Vec<f64>,
    with: Vec<f64>,
}

impl Beside {
    /// Takes the readings of a window without the fault.
    ///
    /// # Errors
    /// Never with the bounds of a histogram here.
    pub(super) async fn without(&mut self, crowd: &Crowd, span: Duration) -> Result<()> {
        self.without.push(ways_of(crowd, span).await?);
        Ok(())
    }

    /// Takes the readings of a window with the fault.
    ///
    /// # Errors
    /// See [`Self::without`].
    pub(super) async fn with(&mut self, crowd: &Crowd, span: Duration) -> Result<()> {
        self.with.push(ways_of(crowd, span).await?);
        Ok(())
    }

    /// The medians of both, milliseconds: without the fault, with it.
    pub(super) fn medians(&self) -> [f64; 2] {
        [&self.without, &self.with].map(|windows| median(windows))
    }

    /// Both medians, and every window.
    pub(super) fn describe(&self) -> String {
        let [without, with] = self.medians();
        let list = |windows: &[f64]| windows.iter().map(|p99| format!("{p99:.1}")).collect::<Vec<_>>().join(" ");
        format!(
            "input p99 of the others, median of {} windows: {without:.1} ms without ({}), {with:.1} ms with it ({})",
            self.with.len(),
            list(&self.without),
            list(&self.with)
        )
    }
}

/// The one in the middle, or between both that are; not a number when there is none.
fn median(windows: &[f64]) -> f64 {
    let mut sorted = windows.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_moment_moves_no_median_and_a_cost_in_every_window_does() {
        let without = vec![2.0, 9.0, 2.2];
        let once = Beside { without: without.clone(), with: vec![2.1, 2.3, 14.0] };
        let always = Beside { without, with: vec![5.1, 5.3, 14.0] };

        let [calm, beside] = once.medians();
        assert!((calm - 2.2).abs() < 1e-9 && (beside - 2.3).abs() < 1e-9, "{calm} {beside}");
        let [calm, beside] = always.medians();
        assert!(3.0 < beside - calm, "{calm} {beside}");
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median(&[4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }
}
