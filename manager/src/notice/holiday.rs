//! The Japanese calendar: national holidays, and until when something must be done within one business day.
//!
//! Source: the Act on National Holidays (Act No. 178 of 1948) as in force since 2022, articles 2 and 3: named days,
//! substitute holidays (3-2) and citizens' holidays (3-3). Right from 2022 on; what a later law changes is not known
//! here. Business days are those from Monday to Friday that are no national holidays; the days around New Year on which
//! many companies rest are business days here, which makes the time shorter and never longer.

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use proto::api::UnixMillis;

/// The most days that are looked at to find a business day; Golden Week has ten in the worst case.
const DAYS_MAX: usize = 31;

/// Whether a day is a national holiday, with substitute and citizens' holidays.
pub fn is_holiday(day: Date) -> bool {
    is_named(day) || is_substitute(day) || is_between(day)
}

/// Whether offices work.
pub fn is_business_day(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) && !is_holiday(day)
}

/// The same time on the next business day. What happens on a day of rest counts from the midnight after which offices
/// work again.
pub fn within_one_business_day(at: UnixMillis, zone: &TimeZone) -> UnixMillis {
    let Ok(instant) = Timestamp::from_millisecond(at) else { return at };
    let local = instant.to_zoned(zone.clone()).datetime();
    let (first, time) = if is_business_day(local.date()) {
        (local.date(), local.time())
    } else {
        (next_business_day(local.date()), jiff::civil::Time::midnight())
    };
    let due = next_business_day(first).to_datetime(time).to_zoned(zone.clone());
    due.map_or(at, |due| due.timestamp().as_millisecond())
}

fn next_business_day(after: Date) -> Date {
    let days = std::iter::successors(after.tomorrow().ok(), |day| day.tomorrow().ok()).take(DAYS_MAX);
    days.into_iter().find(|day| is_business_day(*day)).unwrap_or(after)
}

/// Article 2: the days that have a name.
fn is_named(day: Date) -> bool {
    let (year, month, of_month) = (day.year(), day.month(), day.day());
    match (month, of_month) {
        (1, 1) | (2, 11 | 23) | (4, 29) | (5, 3..=5) | (8, 11) | (11, 3 | 23) => true,
        (1 | 10, _) => is_monday(day, 2),
        (7, _) => is_monday(day, 3),
        (3, _) => of_month == equinox(year, 20_843_100),
        (9, _) => is_monday(day, 3) || of_month == equinox(year, 23_248_800),
        (_, _) => false,
    }
}

/// Whether a day is the nth Monday of its month.
fn is_monday(day: Date, nth: i8) -> bool {
    day.weekday() == Weekday::Monday && (day.day() - 1) / 7 + 1 == nth
}

/// The day of the month of an equinox from 1980 to 2099, by its value for 1980 in millionths of a day.
///
/// Source: the approximation of Shin Koyomi Benricho (Hydrographic Department of Japan):
/// ⌊base + 0.242194 (y − 1980) − ⌊(y − 1980) / 4⌋⌋. The day itself is announced each February for the year after.
fn equinox(year: i16, base: i64) -> i8 {
    let years = i64::from(year) - 1980;
    let day = (base + 242_194 * years) / 1_000_000 - years.div_euclid(4);
    i8::try_from(day).unwrap_or(0)
}

/// Article 3, paragraph 2: the first day after a holiday on a Sunday that is none itself.
fn is_substitute(day: Date) -> bool {
    let mut before = day;
    for _ in 0..DAYS_MAX {
        let Ok(earlier) = before.yesterday() else { return false };
        if !is_named(earlier) {
            return false;
        }
        if earlier.weekday() == Weekday::Sunday {
            return !is_named(day);
        }
        before = earlier;
    }
    false
}

/// Article 3, paragraph 3: a day between two holidays.
fn is_between(day: Date) -> bool {
    let named = |neighbour: Result<Date, jiff::Error>| neighbour.is_ok_and(is_named);
    !is_named(day) && named(day.checked_sub(1.day())) && named(day.checked_add(1.day()))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    /// The holidays of a year as `month/day`.
    fn holidays(year: i16) -> Vec<(i8, i8)> {
        let days = std::iter::successors(Some(date(year, 1, 1)), |day| day.tomorrow().ok());
        days.take_while(|day| day.year() == year)
            .filter(|day| is_holiday(*day))
            .map(|day| (day.month(), day.day()))
            .collect()
    }

    /// Source: the Cabinet Office's list of national holidays (内閣府「国民の祝日について」), 2022 to 2027.
    #[test]
    fn the_holidays_of_known_years_are_those_of_the_cabinet_office() {
        let fixed = |extra: &[(i8, i8)]| {
            let always = [(1, 1), (2, 11), (2, 23), (4, 29), (5, 3), (5, 4), (5, 5), (8, 11), (11, 3), (11, 23)];
            let mut days: Vec<(i8, i8)> = always.into_iter().chain(extra.iter().copied()).collect();
            days.sort_unstable();
            days
        };

        assert_eq!(holidays(2022), fixed(&[(1, 10), (3, 21), (7, 18), (9, 19), (9, 23), (10, 10)]));
        assert_eq!(holidays(2023), fixed(&[(1, 2), (1, 9), (3, 21), (7, 17), (9, 18), (9, 23), (10, 9)]));
        let of_2024 =
            [(1, 8), (2, 12), (3, 20), (5, 6), (7, 15), (8, 12), (9, 16), (9, 22), (9, 23), (10, 14), (11, 4)];
        assert_eq!(holidays(2024), fixed(&of_2024));
        let of_2025 = [(1, 13), (2, 24), (3, 20), (5, 6), (7, 21), (9, 15), (9, 23), (10, 13), (11, 24)];
        assert_eq!(holidays(2025), fixed(&of_2025));
        // 22 September 2026 stands between two holidays.
        let of_2026 = [(1, 12), (3, 20), (5, 6), (7, 20), (9, 21), (9, 22), (9, 23), (10, 12)];
        assert_eq!(holidays(2026), fixed(&of_2026));
        let of_2027 = [(1, 11), (3, 21), (3, 22), (7, 19), (9, 20), (9, 23), (10, 11)];
        assert_eq!(holidays(2027), fixed(&of_2027));
    }

    #[test]
    fn one_business_day_goes_over_weekends_and_holidays() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let due = |text: &str| {
            let at: jiff::civil::DateTime = text.parse().unwrap();
            let at = at.to_zoned(tokyo.clone()).unwrap().timestamp().as_millisecond();
            let due = Timestamp::from_millisecond(within_one_business_day(at, &tokyo)).unwrap();
            due.to_zoned(tokyo.clone()).strftime("%Y-%m-%dT%H:%M").to_string()
        };

        assert_eq!(due("2026-11-26T10:15"), "2026-11-27T10:15");
        assert_eq!(due("2026-11-27T17:00"), "2026-11-30T17:00", "a Friday");
        assert_eq!(due("2026-11-28T03:00"), "2026-12-01T00:00", "a Saturday counts from Monday");
        assert_eq!(due("2026-09-18T09:00"), "2026-09-24T09:00", "over the September holidays");
        assert_eq!(due("2026-05-03T12:00"), "2026-05-08T00:00", "in Golden Week");
        assert_eq!(due("2026-12-31T23:59"), "2027-01-04T23:59", "over New Year");
    }
}
