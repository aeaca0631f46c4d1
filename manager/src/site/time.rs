//! Times as people read them: in the company's time zone, Japanese time unless it chose another, with seconds.

use jiff::{Timestamp, tz::TimeZone};
use proto::api::UnixMillis;

use super::words::Words;

/// Japanese time.
pub const TOKYO: &str = "Asia/Tokyo";

/// The zone of a name; Japanese time when there is none such.
pub fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).or_else(|_unknown| TimeZone::get(TOKYO)).unwrap_or(TimeZone::fixed(jiff::tz::offset(9)))
}

/// `2026/04/01 09:00:00`.
pub fn seconds(at: UnixMillis, zone: &TimeZone) -> String {
    format(at, zone, "%Y/%m/%d %H:%M:%S")
}

/// `2026/04/01 09:00`.
pub fn to_the_minute(at: UnixMillis, zone: &TimeZone) -> String {
    format(at, zone, "%Y/%m/%d %H:%M")
}

/// `2026/04/01`.
pub fn day(at: UnixMillis, zone: &TimeZone) -> String {
    format(at, zone, "%Y/%m/%d")
}

/// The day that begins then, `2026/04/01`; with the time where no day begins in this zone, `2026/03/31 16:00`.
pub fn beginning(at: UnixMillis, zone: &TimeZone) -> String {
    let text = to_the_minute(at, zone);
    if text.ends_with(" 00:00") { day(at, zone) } else { text }
}

/// `2026-04-01`, as `<input type=date>` has it.
pub fn input_day(at: UnixMillis, zone: &TimeZone) -> String {
    format(at, zone, "%Y-%m-%d")
}

/// `2026-04-01T09:00:00+09:00`, for `<time datetime>` and exports. Source: RFC 3339.
pub fn machine(at: UnixMillis, zone: &TimeZone) -> String {
    format(at, zone, "%Y-%m-%dT%H:%M:%S%:z")
}

/// `JST` or the offset.
pub fn zone_name(at: UnixMillis, zone: &TimeZone) -> String {
    format(at, zone, "%Z")
}

fn format(at: UnixMillis, zone: &TimeZone, pattern: &str) -> String {
    match Timestamp::from_millisecond(at) {
        Ok(at) => at.to_zoned(zone.clone()).strftime(pattern).to_string(),
        Err(_out_of_range) => at.to_string(),
    }
}

/// `1:02:03`, or `2:03` below an hour.
pub fn duration(millis: i64) -> String {
    let secs = millis.max(0) / 1000;
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours == 0 { format!("{minutes}:{secs:02}") } else { format!("{hours}:{minutes:02}:{secs:02}") }
}

/// How long from now: `10分`, `in 10 minutes`; at least a minute.
pub fn minutes(millis: i64, words: &Words) -> String {
    words.shared.minutes(millis.max(0).saturating_add(59_999) / 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_japanese_and_have_seconds() {
        let tokyo = zone(TOKYO);

        assert_eq!(seconds(1_798_642_800_000, &tokyo), "2026/12/31 00:00:00");
        assert_eq!(seconds(1_798_642_799_999, &tokyo), "2026/12/30 23:59:59");
        assert_eq!(machine(1_798_642_800_000, &tokyo), "2026-12-31T00:00:00+09:00");
        assert_eq!(zone_name(0, &tokyo), "JST");
        assert_eq!(day(0, &zone("Nowhere/At_All")), "1970/01/01");
    }

    #[test]
    fn a_day_that_begins_elsewhere_has_its_time_here() {
        assert_eq!(beginning(1_798_642_800_000, &zone(TOKYO)), "2026/12/31");
        assert_eq!(beginning(1_798_642_800_000, &zone("Europe/Amsterdam")), "2026/12/30 16:00");
    }

    #[test]
    fn a_duration_has_hours_only_when_it_is_long() {
        assert_eq!(duration(3_723_999), "1:02:03");
        assert_eq!(duration(123_000), "2:03");
        assert_eq!(duration(-1), "0:00");
    }
}
