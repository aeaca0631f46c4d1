//! What stands behind the `?` of a list's address: filters, order and place, in the order in which they were given.
//!
//! The address is the whole state of a list: it can be sent to somebody, kept as a saved filter, and exported.

use std::fmt::Write as _;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use proto::api::UnixMillis;

/// Parameters that are read; more are left out.
const PARAMS_MAX: usize = 40;
/// Longest value that is read, in characters; a longer one is read as none. A name has 64, an address of mail 254.
const VALUE_LEN_MAX: usize = 600;

/// Names and values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `a=b&c=d`.
    pub fn parse(query: &str) -> Self {
        let pairs: Vec<(String, String)> = serde_html_form::from_str(query).unwrap_or_default();
        let readable = |(_, value): &(String, String)| value.chars().count() <= VALUE_LEN_MAX && !value.contains('\0');
        Self(pairs.into_iter().filter(readable).take(PARAMS_MAX).collect())
    }

    /// The first value of a name, without spaces around it; an empty one is none.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.trim());
        values.find(|value| !value.is_empty())
    }

    /// Every value of a name that is not empty.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Every name with its value that is not empty.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.trim())).filter(|(_, value)| !value.is_empty())
    }

    /// Whether a name has this value.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|found| found == value)
    }

    /// A whole number; what is none is as good as none.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The beginning of a day (`2026-04-01`) in a time zone.
    pub fn day(&self, name: &str, zone: &TimeZone) -> Option<UnixMillis> {
        begin_of_day(self.date(name)?, zone)
    }

    /// The end of a day, which is the beginning of the next one.
    pub fn day_end(&self, name: &str, zone: &TimeZone) -> Option<UnixMillis> {
        begin_of_day(self.date(name)?.tomorrow().ok()?, zone)
    }

    /// A date that is not a date is as good as none; the field shows what was typed.
    fn date(&self, name: &str) -> Option<Date> {
        self.text(name)?.parse().ok()
    }

    /// The same with one name set to a value, or without it, from the first page on: `?a=b&c=d`, or nothing.
    pub fn with(&self, name: &str, value: Option<&str>) -> String {
        let kept = self.0.iter().filter(|(key, value)| key != name && !is_place(key) && !value.trim().is_empty());
        let set = value.map(|value| (name, value));
        query(kept.map(|(key, value)| (key.as_str(), value.as_str())).chain(set))
    }

    /// The same place with one name set to a value, or without it.
    pub fn here(&self, name: &str, value: Option<&str>) -> String {
        let kept = self.0.iter().filter(|(key, value)| key != name && !value.trim().is_empty());
        let set = value.map(|value| (name, value));
        query(kept.map(|(key, value)| (key.as_str(), value.as_str())).chain(set))
    }

    /// The filters and the order without the place: what is saved and exported.
    pub fn filter(&self) -> String {
        self.with("", None)
    }

    /// Whether anything is filtered.
    pub fn is_filtered(&self) -> bool {
        self.0
            .iter()
            .any(|(key, value)| !is_place(key) && !matches!(key.as_str(), "sort" | "size") && !value.trim().is_empty())
    }
}

/// Whether a name says where in the list one is, or what is checked there.
fn is_place(name: &str) -> bool {
    matches!(name, "after" | "before" | "past" | "select")
}

fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (index, (name, value)) in pairs.enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(&encode(name));
        text.push('=');
        text.push_str(&encode(value));
    }
    text
}

/// Percent-encodes what is not unreserved. Source: RFC 3986, 2.3.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _never: std::fmt::Result = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn begin_of_day(date: Date, zone: &TimeZone) -> Option<UnixMillis> {
    let begin = date.to_zoned(zone.clone()).ok()?;
    Some(Timestamp::from(begin).as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_what_was_asked_and_forgets_the_place() {
        let params = Params::parse("q=%E5%B1%B1+%E7%94%B0&state=ended&after=x~1&empty=");

        assert_eq!(params.text("q"), Some("山 田"));
        assert_eq!(params.text("empty"), None);
        assert_eq!(params.with("sort", Some("-name")), "?q=%E5%B1%B1%20%E7%94%B0&state=ended&sort=-name");
        assert_eq!(params.with("state", None), "?q=%E5%B1%B1%20%E7%94%B0");
        assert_eq!(params.here("select", Some("all")), "?q=%E5%B1%B1%20%E7%94%B0&state=ended&after=x~1&select=all");
        assert!(params.is_filtered() && !Params::parse("sort=name&size=100&after=a~b").is_filtered());
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_zone_and_ends_where_the_next_begins() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let params = Params::parse("from=2026-12-31&to=2026-12-31&bad=2026-13-01");

        // 2026-12-30T15:00:00Z
        assert_eq!(params.day("from", &tokyo), Some(1_798_642_800_000));
        assert_eq!(params.day_end("to", &tokyo), Some(1_798_642_800_000 + 24 * 60 * 60 * 1000));
        assert_eq!(params.day("bad", &tokyo), None);
    }

    #[test]
    fn too_much_is_left_out() {
        let many = vec!["a=1"; 100].join("&");
        assert_eq!(Params::parse(&many).all("a").count(), PARAMS_MAX);
        assert_eq!(Params::parse(&format!("a={}", "x".repeat(601))).text("a"), None);
        assert_eq!(Params::parse("a=%00").text("a"), None);
    }
}
