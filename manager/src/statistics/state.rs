//! Figures and what is computed from them. Pure.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use proto::api::UnixMillis;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Ends of the ranges of waits, in seconds; the last range has none.
pub const WAIT_BOUNDS_SECS: [i64; 11] = [5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1800];

/// What happened in some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, sqlx::FromRow)]
pub struct Figures {
    /// Numbers that were issued.
    pub receptions: i64,
    /// Entries of a number.
    pub entered: i64,
    /// Sessions that connected.
    pub connected: i64,
    /// Those of them that ended.
    pub ended: i64,
    /// Their time, added up.
    pub handle_ms: i64,
    /// Those of them that ended because something broke.
    pub abnormal: i64,
    /// Time from issue to entry, added up.
    pub wait_ms: i64,
    /// Entries by their wait: below 5 s, 10 s, …
    pub w0: i64,
    /// Below 10 s.
    pub w1: i64,
    /// Below 20 s.
    pub w2: i64,
    /// Below 30 s.
    pub w3: i64,
    /// Below a minute.
    pub w4: i64,
    /// Below a minute and a half.
    pub w5: i64,
    /// Below 2 minutes.
    pub w6: i64,
    /// Below 3 minutes.
    pub w7: i64,
    /// Below 5 minutes.
    pub w8: i64,
    /// Below 10 minutes.
    pub w9: i64,
    /// Below half an hour.
    pub w10: i64,
    /// Longer.
    pub w11: i64,
}

/// One step of the time axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// An hour.
    Hour,
    /// A day of the company's zone.
    #[default]
    Day,
    /// A month of the company's zone.
    Month,
}

/// One step with its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub at_ms: UnixMillis,
    /// What happened in it.
    pub figures: Figures,
    /// The most sessions at the same time.
    pub peak: i64,
}

impl Figures {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            receptions: self.receptions.saturating_add(other.receptions),
            entered: self.entered.saturating_add(other.entered),
            connected: self.connected.saturating_add(other.connected),
            ended: self.ended.saturating_add(other.ended),
            handle_ms: self.handle_ms.saturating_add(other.handle_ms),
            abnormal: self.abnormal.saturating_add(other.abnormal),
            wait_ms: self.wait_ms.saturating_add(other.wait_ms),
            w0: self.w0.saturating_add(other.w0),
            w1: self.w1.saturating_add(other.w1),
            w2: self.w2.saturating_add(other.w2),
            w3: self.w3.saturating_add(other.w3),
            w4: self.w4.saturating_add(other.w4),
            w5: self.w5.saturating_add(other.w5),
            w6: self.w6.saturating_add(other.w6),
            w7: self.w7.saturating_add(other.w7),
            w8: self.w8.saturating_add(other.w8),
            w9: self.w9.saturating_add(other.w9),
            w10: self.w10.saturating_add(other.w10),
            w11: self.w11.saturating_add(other.w11),
        }
    }

    /// Connected sessions of a hundred numbers, rounded; `None` without a number.
    pub fn connect_percent(&self) -> Option<i64> {
        self.connected.saturating_mul(100).saturating_add(self.receptions / 2).checked_div(self.receptions)
    }

    /// Mean time of a session; `None` when none ended.
    pub fn handle_mean_ms(&self) -> Option<i64> {
        self.handle_ms.checked_div(self.ended)
    }

    /// Mean wait; `None` when nobody entered.
    pub fn wait_mean_ms(&self) -> Option<i64> {
        self.wait_ms.checked_div(self.entered)
    }

    /// The wait that `percent` of all entries were within, taken between the ends of its range; `None` when nobody
    /// entered. One that is longer than half an hour is told as half an hour.
    pub fn wait_ms_at(&self, percent: i64) -> Option<i64> {
        let waits = self.waits();
        let total: i64 = waits.iter().sum();
        // The first entry that has this many percent up to it.
        let rank = total.saturating_mul(percent).saturating_add(99) / 100;
        if total == 0 {
            return None;
        }
        let (mut before, mut from) = (0, 0);
        for (count, to) in waits.into_iter().zip(WAIT_BOUNDS_SECS) {
            if rank <= before + count {
                let part = (to - from).saturating_mul(1000).saturating_mul(rank - before);
                return Some(from * 1000 + part.checked_div(count).unwrap_or(0));
            }
            before += count;
            from = to;
        }
        Some(from * 1000)
    }

    const fn waits(&self) -> [i64; 12] {
        [self.w0, self.w1, self.w2, self.w3, self.w4, self.w5, self.w6, self.w7, self.w8, self.w9, self.w10, self.w11]
    }
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The value in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The unit of a value; days when there is none such.
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|unit| unit.as_str() == text).unwrap_or_default()
    }

    /// The longest period that is shown in it, in days; so many steps can be read and drawn.
    pub const fn days_max(self) -> i64 {
        match self {
            Self::Hour => 14,
            Self::Day => 186,
            Self::Month => 1097,
        }
    }

    /// Where the step begins that a time is in.
    pub fn begin(self, at_ms: UnixMillis, zone: &TimeZone) -> UnixMillis {
        let begin = match self {
            Self::Hour => return at_ms - at_ms.rem_euclid(HOUR_MS),
            Self::Day => zoned(at_ms, zone).and_then(|at| at.start_of_day().ok()),
            Self::Month => {
                zoned(at_ms, zone).and_then(|at| at.first_of_month().ok()).and_then(|first| first.start_of_day().ok())
            }
        };
        begin.map_or(at_ms, |begin| begin.timestamp().as_millisecond())
    }

    /// Where the next step begins.
    fn next(self, at_ms: UnixMillis, zone: &TimeZone) -> UnixMillis {
        let after = match self {
            Self::Hour => at_ms.saturating_add(HOUR_MS),
            // Noon of the next day, and the middle of the next month, wherever a clock is changed.
            Self::Day => at_ms.saturating_add(36 * HOUR_MS),
            Self::Month => at_ms.saturating_add(45 * 24 * HOUR_MS),
        };
        self.begin(after, zone)
    }
}

fn zoned(at_ms: UnixMillis, zone: &TimeZone) -> Option<jiff::Zoned> {
    Timestamp::from_millisecond(at_ms).ok().map(|at| at.to_zoned(zone.clone()))
}

/// Steps from `since_ms` to `until_ms`, also those in which nothing happened, from the figures and peaks of hours.
pub fn steps(
    unit: Unit,
    (since_ms, until_ms): (UnixMillis, UnixMillis),
    hours: impl IntoIterator<Item = (UnixMillis, Figures)>,
    peaks: impl IntoIterator<Item = (UnixMillis, i64)>,
    zone: &TimeZone,
) -> Vec<Step> {
    let mut table: BTreeMap<UnixMillis, Step> = BTreeMap::new();
    let mut at_ms = unit.begin(since_ms, zone);
    while at_ms < until_ms {
        table.insert(at_ms, Step { at_ms, figures: Figures::default(), peak: 0 });
        let next = unit.next(at_ms, zone);
        at_ms = if at_ms < next { next } else { until_ms };
    }
    for (hour_ms, figures) in hours {
        if let Some(step) = table.get_mut(&unit.begin(hour_ms, zone)) {
            step.figures = step.figures.and(figures);
        }
    }
    for (hour_ms, peak) in peaks {
        if let Some(step) = table.get_mut(&unit.begin(hour_ms, zone)) {
            step.peak = step.peak.max(peak);
        }
    }
    table.into_values().collect()
}

/// The most sessions at the same time in each hour from `since_ms` to `until_ms`, from when each began and ended.
pub fn peaks(
    (since_ms, until_ms): (UnixMillis, UnixMillis),
    sessions: &[(UnixMillis, Option<UnixMillis>)],
) -> Vec<(UnixMillis, i64)> {
    // At one moment the ends come first: who follows somebody is not beside them.
    let mut changes: Vec<(UnixMillis, i64)> = Vec::with_capacity(sessions.len().saturating_mul(2));
    for (began, ended) in sessions {
        changes.push((*began, 1));
        changes.extend(ended.map(|ended| (ended.max(*began), -1)));
    }
    changes.sort_unstable();
    let (mut changes, mut running) = (changes.into_iter().peekable(), 0i64);
    let mut hours = Vec::new();
    let mut hour_ms = since_ms;
    while let Some((_, change)) = changes.next_if(|(at, _)| *at < since_ms) {
        running = running.saturating_add(change);
    }
    while hour_ms < until_ms {
        let end = hour_ms.saturating_add(HOUR_MS);
        let mut peak = running;
        while let Some((_, change)) = changes.next_if(|(at, _)| *at < end) {
            running = running.saturating_add(change);
            peak = peak.max(running);
        }
        if 0 < peak {
            hours.push((hour_ms, peak));
        }
        hour_ms = end;
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-04-01T00:00:00+09:00
    const APRIL_MS: i64 = 1_774_969_200_000;

    #[test]
    fn a_wait_is_found_between_the_ends_of_its_range() {
        let figures = Figures { w0: 50, w4: 40, w11: 10, ..Figures::default() };

        assert_eq!(figures.wait_ms_at(50), Some(5_000));
        assert_eq!(figures.wait_ms_at(70), Some(45_000));
        assert_eq!(figures.wait_ms_at(90), Some(60_000));
        assert_eq!(figures.wait_ms_at(99), Some(1_800_000));
        assert_eq!(Figures::default().wait_ms_at(50), None);
        assert_eq!(Figures { w2: 1, ..Figures::default() }.wait_ms_at(50), Some(20_000));
    }

    #[test]
    fn rates_are_of_what_there_is() {
        let figures = Figures { receptions: 3, connected: 2, ended: 2, handle_ms: 5, ..Figures::default() };
        assert_eq!((figures.connect_percent(), figures.handle_mean_ms()), (Some(67), Some(2)));
        assert_eq!((Figures::default().connect_percent(), Figures::default().handle_mean_ms()), (None, None));
    }

    #[test]
    fn days_and_months_are_those_of_the_zone_and_none_is_left_out() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let one = Figures { receptions: 1, ..Figures::default() };
        let hours = [(APRIL_MS - HOUR_MS, one), (APRIL_MS, one), (APRIL_MS + 47 * HOUR_MS, one)];
        let span = (APRIL_MS - HOUR_MS, APRIL_MS + 48 * HOUR_MS);

        let days = steps(Unit::Day, span, hours, [(APRIL_MS, 3), (APRIL_MS + HOUR_MS, 5)], &tokyo);
        let counts: Vec<(i64, i64)> = days.iter().map(|step| (step.figures.receptions, step.peak)).collect();
        assert_eq!(counts, [(1, 0), (1, 5), (1, 0)]);
        assert_eq!(days[1].at_ms, APRIL_MS);
        let months = steps(Unit::Month, span, hours, [], &tokyo);
        assert_eq!(months.iter().map(|step| step.figures.receptions).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(steps(Unit::Hour, span, hours, [], &tokyo).len(), 49);
        let new_york = TimeZone::get("America/New_York").unwrap();
        // 2026-03-08 has 23 hours there, 2026-11-01 has 25.
        let year = steps(Unit::Day, (1_767_243_600_000, 1_798_779_600_000), [], [], &new_york);
        assert_eq!(year.len(), 365);
    }

    #[test]
    fn sessions_that_follow_each_other_are_not_at_the_same_time() {
        let at = |minutes: i64| APRIL_MS + minutes * 60_000;
        let sessions = [(at(-30), Some(at(10))), (at(10), Some(at(20))), (at(15), Some(at(18))), (at(50), None)];

        assert_eq!(peaks((at(0), at(240)), &sessions), [(at(0), 2), (at(60), 1), (at(120), 1), (at(180), 1)]);
        assert_eq!(peaks((at(0), at(60)), &sessions[..1]), [(at(0), 1)]);
        assert_eq!(peaks((at(60), at(120)), &sessions[..1]), []);
    }
}
