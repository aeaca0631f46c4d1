//! Stops and what they leave of each month. Pure.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use proto::api::UnixMillis;

use crate::{notice::maintenance::NOTICE_MIN, throttle::millis};

/// Months that are looked at: this one, and the year before it.
pub const MONTHS: i64 = 13;
/// One part of so many may be lost. Source: the product's whitepaper, 99.9 % of the time without planned stops.
const BUDGET_ONE_OF: i64 = 1_000;
/// Parts of the whole in which availability is told: thousandths of a percent.
const PARTS: i64 = 100_000;

/// A maintenance window of managers or relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "the fields have the names of their columns")]
pub struct Window {
    /// When it begins.
    pub starts_at_ms: i64,
    /// When it is over, as announced.
    pub ends_at_ms: i64,
    /// When it was announced.
    pub announced_at_ms: i64,
    /// When it was called off.
    pub cancelled_at_ms: Option<i64>,
    /// When its work was finished.
    pub finished_at_ms: Option<i64>,
}

/// Time in which the service stood still without a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Since when.
    pub from_ms: UnixMillis,
    /// Until when; none while it stands still.
    pub until_ms: Option<UnixMillis>,
}

/// Everything that is known of stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Since when there is a service.
    pub began_at_ms: UnixMillis,
    /// Maintenance of managers or relays, also what is to come.
    pub windows: Vec<Window>,
    /// Incidents and halts.
    pub stops: Vec<Stop>,
}

/// What a month was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    /// When it begins; the first month, when the service began.
    pub begins_at_ms: UnixMillis,
    /// Whether it is not over yet.
    pub is_running: bool,
    /// Its length up to now.
    pub length_ms: i64,
    /// Planned stops up to now.
    pub planned_ms: i64,
    /// Time that was lost up to now.
    pub lost_ms: i64,
    /// What may be lost in the whole month.
    pub budget_ms: i64,
}

/// From a moment until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    from_ms: UnixMillis,
    until_ms: UnixMillis,
}

impl Window {
    /// Whether it was announced as long before as the rule asks for.
    fn is_planned(&self) -> bool {
        self.announced_at_ms.saturating_add(millis(NOTICE_MIN)) <= self.starts_at_ms
    }

    /// Its time, until its work was finished or it was called off, and to the announced end at most; none of it when it
    /// was called off before it began.
    fn stretch(&self) -> Stretch {
        let until_ms =
            [self.cancelled_at_ms, self.finished_at_ms].into_iter().flatten().fold(self.ends_at_ms, i64::min);
        Stretch { from_ms: self.starts_at_ms, until_ms }
    }
}

impl Month {
    /// What may still be lost; below zero when more was lost than may be.
    pub const fn left_ms(&self) -> i64 {
        self.budget_ms - self.lost_ms
    }

    /// Whether no more was lost than may be.
    pub const fn is_kept(&self) -> bool {
        self.lost_ms <= self.budget_ms
    }

    /// Thousandths of a percent of the time without planned stops, up to now and rounded down; none of no time.
    pub const fn parts(&self) -> Option<i64> {
        let agreed_ms = self.length_ms - self.planned_ms;
        (agreed_ms - self.lost_ms).saturating_mul(PARTS).checked_div(agreed_ms)
    }
}

impl Stretch {
    const fn length_ms(self) -> i64 {
        self.until_ms - self.from_ms
    }

    /// What of it is within another.
    fn within(self, other: Self) -> Option<Self> {
        let (from_ms, until_ms) = (self.from_ms.max(other.from_ms), self.until_ms.min(other.until_ms));
        (from_ms < until_ms).then_some(Self { from_ms, until_ms })
    }
}

/// The months of a zone, this one first, as far back as there was a service.
pub fn months(known: &Known, now: UnixMillis, zone: &TimeZone) -> Vec<Month> {
    let Ok(instant) = Timestamp::from_millisecond(now) else { return Vec::new() };
    let this = instant.to_zoned(zone.clone()).date().first_of_month();
    let (planned, late): (Vec<&Window>, Vec<&Window>) = known.windows.iter().partition(|window| window.is_planned());
    let planned: Vec<Stretch> = planned.into_iter().map(Window::stretch).collect();
    let stops = known.stops.iter();
    let stops = stops.map(|stop| Stretch { from_ms: stop.from_ms, until_ms: stop.until_ms.unwrap_or(now) });
    let lost: Vec<Stretch> = late.into_iter().map(Window::stretch).chain(stops).collect();
    let stretches = (0..MONTHS).filter_map(|back| stretch_of(this, back, zone));
    let there = Stretch { from_ms: known.began_at_ms, until_ms: UnixMillis::MAX };
    stretches.filter_map(|whole| whole.within(there)).map(|whole| month(whole, &planned, &lost, now)).collect()
}

/// The month that is so many before the one of a day.
fn stretch_of(this: Date, back: i64, zone: &TimeZone) -> Option<Stretch> {
    let first = this.checked_sub(back.months()).ok()?;
    let next = first.checked_add(1.month()).ok()?;
    let begin = |day: Date| Some(day.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond());
    Some(Stretch { from_ms: begin(first)?, until_ms: begin(next)? })
}

fn month(whole: Stretch, planned: &[Stretch], lost: &[Stretch], now: UnixMillis) -> Month {
    let past = Stretch { until_ms: whole.until_ms.min(now).max(whole.from_ms), ..whole };
    let planned_ms = total(planned.iter().copied(), past);
    // What was planned and lost at once was planned.
    let stood_ms = total(planned.iter().chain(lost).copied(), past);
    Month {
        begins_at_ms: whole.from_ms,
        is_running: now < whole.until_ms,
        length_ms: past.length_ms(),
        planned_ms,
        lost_ms: stood_ms - planned_ms,
        budget_ms: (whole.length_ms() - total(planned.iter().copied(), whole)) / BUDGET_ONE_OF,
    }
}

/// How much of a stretch others cover together; what overlaps is counted once.
fn total(stretches: impl Iterator<Item = Stretch>, within: Stretch) -> i64 {
    let mut inside: Vec<Stretch> = stretches.filter_map(|stretch| stretch.within(within)).collect();
    inside.sort_unstable();
    let (mut total_ms, mut covered_ms) = (0, within.from_ms);
    for stretch in inside {
        let from_ms = stretch.from_ms.max(covered_ms);
        total_ms += (stretch.until_ms - from_ms).max(0);
        covered_ms = covered_ms.max(stretch.until_ms);
    }
    total_ms
}

#[cfg(test)]
mod tests {
    use jiff::civil::DateTime;

    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn tokyo() -> TimeZone {
        TimeZone::get("Asia/Tokyo").unwrap()
    }

    /// A time of Japan, such as `2026-11-01T00:00`.
    fn at(text: &str) -> i64 {
        text.parse::<DateTime>().unwrap().to_zoned(tokyo()).unwrap().timestamp().as_millisecond()
    }

    /// A window that was announced so many days before.
    fn window(starts: &str, ends: &str, days_before: i64) -> Window {
        let starts_at_ms = at(starts);
        let announced_at_ms = starts_at_ms - days_before * DAY;
        Window { starts_at_ms, ends_at_ms: at(ends), announced_at_ms, cancelled_at_ms: None, finished_at_ms: None }
    }

    fn stop(from: &str, until: Option<&str>) -> Stop {
        Stop { from_ms: at(from), until_ms: until.map(at) }
    }

    fn known(windows: &[Window], stops: &[Stop]) -> Known {
        Known { began_at_ms: 0, windows: windows.to_vec(), stops: stops.to_vec() }
    }

    /// The month before the one of `now`.
    fn last(known: &Known, now: &str) -> Month {
        months(known, at(now), &tokyo())[1]
    }

    #[test]
    fn a_month_of_thirty_days_may_lose_43_minutes_and_12_seconds() {
        let month = last(&known(&[], &[]), "2026-12-15T12:00");

        assert_eq!((month.begins_at_ms, month.is_running), (at("2026-11-01T00:00"), false));
        assert_eq!((month.length_ms, month.budget_ms), (30 * DAY, 43 * MINUTE + 12_000));
        assert_eq!((month.parts(), month.left_ms(), month.is_kept()), (Some(100_000), month.budget_ms, true));
        let leap = last(&known(&[], &[]), "2028-03-01T00:00");
        assert_eq!((leap.length_ms, leap.budget_ms), (29 * DAY, 41 * MINUTE + 45_600));
    }

    #[test]
    fn there_are_thirteen_months_and_none_before_the_service_began() {
        let all = months(&known(&[], &[]), at("2026-12-15T12:00"), &tokyo());
        assert_eq!(all.len(), 13);
        assert_eq!(all[12].begins_at_ms, at("2025-12-01T00:00"));
        assert!(all[0].is_running && !all[1].is_running);
        assert_eq!(all[0].length_ms, 14 * DAY + 12 * HOUR);
        assert_eq!(all[0].budget_ms, 31 * DAY / 1000, "the budget is that of the whole month");

        let young = Known { began_at_ms: at("2026-11-21T00:00"), ..known(&[], &[]) };
        let all = months(&young, at("2026-12-15T12:00"), &tokyo());
        assert_eq!(all.len(), 2);
        assert_eq!((all[1].length_ms, all[1].budget_ms), (10 * DAY, DAY / 100));
        let now = months(&young, young.began_at_ms, &tokyo());
        assert_eq!((now.len(), now[0].length_ms, now[0].parts()), (1, 0, None), "no time yet");
    }

    #[test]
    fn planned_stops_leave_the_time_and_what_overlaps_is_counted_once() {
        let windows = [
            window("2026-11-10T01:00", "2026-11-10T03:00", 7),
            window("2026-11-10T02:00", "2026-11-10T04:00", 30),
            window("2026-11-10T02:30", "2026-11-10T02:40", 30),
        ];
        let stops = [
            stop("2026-11-10T03:30", Some("2026-11-10T04:10")),
            stop("2026-11-10T04:05", Some("2026-11-10T04:20")),
            stop("2026-11-20T10:00", Some("2026-11-20T10:05")),
        ];
        let month = last(&known(&windows, &stops), "2026-12-15T12:00");

        assert_eq!(month.planned_ms, 3 * HOUR);
        assert_eq!(month.lost_ms, 25 * MINUTE, "what was planned is not lost");
        assert_eq!(month.budget_ms, (30 * DAY - 3 * HOUR) / 1000);
        assert_eq!(month.left_ms(), month.budget_ms - 25 * MINUTE);
        // 25 of 43,020 minutes.
        assert_eq!((month.parts(), month.is_kept()), (Some(99_941), true));
    }

    #[test]
    fn maintenance_that_was_announced_too_late_is_lost_time() {
        let in_time = window("2026-11-10T01:00", "2026-11-10T02:00", 7);
        let late = Window { announced_at_ms: in_time.announced_at_ms + 1, ..in_time };

        let month = last(&known(&[in_time], &[]), "2026-12-15T12:00");
        assert_eq!((month.planned_ms, month.lost_ms, month.is_kept()), (HOUR, 0, true));
        let month = last(&known(&[late], &[]), "2026-12-15T12:00");
        assert_eq!((month.planned_ms, month.lost_ms, month.is_kept()), (0, HOUR, false));
        assert_eq!(month.left_ms(), -(16 * MINUTE + 48_000));
        // An hour of 720 is 99.8611 %, and is not rounded up.
        assert_eq!(month.parts(), Some(99_861));
    }

    #[test]
    fn a_window_that_is_called_off_stops_nothing_from_then_on() {
        let window = window("2026-11-10T01:00", "2026-11-10T03:00", 30);
        for (off, planned_ms) in [("2026-11-09T00:00", 0), ("2026-11-10T01:30", 30 * MINUTE)] {
            let off = Window { cancelled_at_ms: Some(at(off)), ..window };
            assert_eq!(last(&known(&[off], &[]), "2026-12-15T12:00").planned_ms, planned_ms);
        }
    }

    #[test]
    fn a_window_whose_work_is_finished_is_planned_until_then_and_to_its_announced_end_at_most() {
        let window = window("2026-11-10T01:00", "2026-11-10T03:00", 30);
        let stops = [stop("2026-11-10T02:00", Some("2026-11-10T03:10"))];
        for (finished, planned_ms, lost_ms) in [
            (None, 2 * HOUR, 10 * MINUTE),
            (Some("2026-11-10T01:00"), 0, HOUR + 10 * MINUTE),
            (Some("2026-11-10T02:30"), 90 * MINUTE, 40 * MINUTE),
            (Some("2026-11-10T04:00"), 2 * HOUR, 10 * MINUTE),
        ] {
            let window = Window { finished_at_ms: finished.map(at), ..window };
            let month = last(&known(&[window], &stops), "2026-12-15T12:00");
            assert_eq!((month.planned_ms, month.lost_ms), (planned_ms, lost_ms), "{finished:?}");
            assert_eq!(month.budget_ms, (30 * DAY - planned_ms) / 1000, "{finished:?}");
        }
        let late =
            Window { announced_at_ms: window.starts_at_ms, finished_at_ms: Some(at("2026-11-10T01:20")), ..window };
        let month = last(&known(&[late], &[]), "2026-12-15T12:00");
        assert_eq!((month.planned_ms, month.lost_ms), (0, 20 * MINUTE), "an emergency stops no longer, either");
    }

    #[test]
    fn a_stop_over_the_end_of_a_month_is_in_both() {
        // Midnight in Japan, which is three in the afternoon of UTC.
        let stops = [stop("2026-11-30T23:50", Some("2026-12-01T00:20"))];
        let all = months(&known(&[], &stops), at("2026-12-15T12:00"), &tokyo());

        assert_eq!((all[1].lost_ms, all[0].lost_ms), (10 * MINUTE, 20 * MINUTE));
        assert_eq!(all[2].lost_ms, 0);
    }

    #[test]
    fn what_still_stands_still_is_lost_up_to_now_and_what_is_to_come_is_not() {
        let windows =
            [window("2026-12-20T01:00", "2026-12-20T02:00", 30), window("2026-12-16T01:00", "2026-12-16T02:00", 1)];
        let all = months(&known(&windows, &[stop("2026-12-15T11:00", None)]), at("2026-12-15T12:00"), &tokyo());

        assert_eq!((all[0].planned_ms, all[0].lost_ms), (0, HOUR));
        assert_eq!(all[0].budget_ms, (31 * DAY - HOUR) / 1000, "what is planned leaves the time of the month");
        assert!(!all[0].is_kept());
    }

    #[test]
    fn a_month_is_kept_to_the_millisecond() {
        let begin = at("2026-11-05T00:00");
        let lost = |lost_ms: i64| {
            let stops = [Stop { from_ms: begin, until_ms: Some(begin + lost_ms) }];
            last(&known(&[], &stops), "2026-12-15T12:00")
        };

        let kept = lost(2_592_000);
        assert_eq!((kept.is_kept(), kept.left_ms(), kept.parts()), (true, 0, Some(99_900)));
        let missed = lost(2_592_001);
        assert_eq!((missed.is_kept(), missed.left_ms(), missed.parts()), (false, -1, Some(99_899)));
    }
}
