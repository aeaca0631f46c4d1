//! The hours of each day of the week in which accounts may log in.

use jiff::{Timestamp, Zoned, tz::TimeZone};
use proto::api::UnixMillis;
use serde::{Deserialize, Serialize};

/// Days of a week.
const DAYS: usize = 7;

/// From one minute of a day to another; over midnight when the end is not behind the beginning, so that the same minute
/// twice is a whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// First minute of the day.
    pub from: i64,
    /// The minute behind the last one.
    pub to: i64,
}

/// The days from Monday on, each with its hours or closed; without days it is always open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Week(pub Vec<Option<Hours>>);

impl Week {
    /// Whether it is open at a moment in a time zone.
    pub fn is_open_at(&self, now: UnixMillis, zone: TimeZone) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Ok(now) = Timestamp::from_millisecond(now) else { return false };
        let now = now.to_zoned(zone);
        let minute = i64::from(now.hour()) * 60 + i64::from(now.minute());
        let today = Self::day_of(&now);
        let yesterday = (today + DAYS - 1) % DAYS;
        self.hours(today).is_some_and(|hours| hours.is_open_on_its_day(minute))
            || self.hours(yesterday).is_some_and(|hours| hours.is_open_on_the_next(minute))
    }

    /// The hours of a day; Monday is 0.
    pub fn hours(&self, day: usize) -> Option<Hours> {
        self.0.get(day).copied().flatten()
    }

    fn day_of(at: &Zoned) -> usize {
        usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0)
    }
}

impl Hours {
    const fn is_over_midnight(self) -> bool {
        self.to <= self.from
    }

    const fn is_open_on_its_day(self, minute: i64) -> bool {
        self.from <= minute && (self.is_over_midnight() || minute < self.to)
    }

    const fn is_open_on_the_next(self, minute: i64) -> bool {
        self.is_over_midnight() && minute < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 21 September 2026, midnight in Tokyo.
    const MONDAY_MS: i64 = 1_789_916_400_000;
    const MINUTE_MS: i64 = 60_000;

    fn open(week: &Week, day: i64, minute: i64) -> bool {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        week.is_open_at(MONDAY_MS + (day * 24 * 60 + minute) * MINUTE_MS, zone)
    }

    #[test]
    fn a_closed_day_is_closed_and_a_night_belongs_to_the_day_on_which_it_began() {
        let mut week = Week(vec![Some(Hours { from: 540, to: 1080 }); 5]);
        week.0.extend([None, None]);

        assert!(open(&week, 0, 540) && !open(&week, 0, 1080) && !open(&week, 0, 539));
        assert!(open(&week, 4, 1079) && !open(&week, 5, 600) && !open(&week, 6, 600));
        let Some(friday) = week.0.get_mut(4) else { return };
        *friday = Some(Hours { from: 1320, to: 360 });
        assert!(open(&week, 4, 1380) && open(&week, 5, 359) && !open(&week, 5, 360) && !open(&week, 4, 100));
    }

    #[test]
    fn no_days_are_always_open_and_the_same_minute_twice_is_a_whole_day() {
        assert!(open(&Week::default(), 6, 3));
        let week = Week(vec![Some(Hours { from: 0, to: 0 }), None, None, None, None, None, None]);
        assert!(open(&week, 0, 0) && open(&week, 0, 1439) && !open(&week, 1, 0));
    }
}
