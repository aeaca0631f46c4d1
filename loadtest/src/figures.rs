//! Percentiles of a handful of readings.

/// The value below which `share` (0–1) of the readings lie, by nearest rank; 0 without readings.
pub fn percentile(readings: &[f64], share: f64) -> f64 {
    let mut sorted = readings.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among at most thousands of readings"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let readings: Vec<f64> = (1..=100).map(f64::from).collect();

        assert!((percentile(&readings, 0.5) - 50.0).abs() < 1e-9);
        assert!((percentile(&readings, 0.95) - 95.0).abs() < 1e-9);
        assert!((percentile(&[7.0], 0.95) - 7.0).abs() < 1e-9);
        assert!(percentile(&[], 0.5).abs() < 1e-9);
    }
}
