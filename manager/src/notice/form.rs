//! What is typed into the forms of notices, read into values.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use proto::api::UnixMillis;

use crate::company::is_hidden;

/// Longest title, in characters.
const TITLE_LEN_MAX: usize = 100;
/// Longest body, in characters.
const BODY_LEN_MAX: usize = 4000;

/// `2026-12-01T09:00` in a time zone, as browsers send it.
pub(super) fn moment(text: &str, zone: &TimeZone) -> Option<UnixMillis> {
    let at: DateTime = text.trim().parse().ok()?;
    Some(at.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

/// A moment as the field shows it.
pub(super) fn shown(at: UnixMillis, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(at) else { return String::new() };
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M").to_string()
}

/// One line of 1 to 100 characters without controls.
pub(super) fn title(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = !text.is_empty() && text.chars().count() <= TITLE_LEN_MAX && !text.chars().any(is_hidden);
    plain.then(|| text.to_owned())
}

/// Text of at most 4,000 characters; line ends become one kind.
pub(super) fn body(text: &str) -> Option<String> {
    let text = text.replace("\r\n", "\n").trim_end().to_owned();
    let plain = text.chars().count() <= BODY_LEN_MAX && !text.chars().any(|c| c != '\n' && c != '\t' && is_hidden(c));
    plain.then_some(text)
}

/// The codes of companies that stand between spaces, commas or line ends.
pub(super) fn codes(text: &str) -> Vec<&str> {
    text.split(|c: char| c.is_whitespace() || c == ',' || c == '、').filter(|code| !code.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_its_zone_and_shown_as_it_was_typed() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();

        assert_eq!(moment("2026-12-31T00:00", &tokyo), Some(1_798_642_800_000));
        assert_eq!(shown(1_798_642_800_000, &tokyo), "2026-12-31T00:00");
        assert_eq!(moment("2026-13-01T00:00", &tokyo), None);
        assert_eq!(moment("tomorrow", &tokyo), None);
    }

    #[test]
    fn a_title_is_one_visible_line_and_a_body_is_text() {
        assert_eq!(title(" A "), Some("A".to_owned()));
        for bad in ["", "a\nb", "a\u{202E}b", &"x".repeat(101)] {
            assert_eq!(title(bad), None, "{bad:?}");
        }
        assert_eq!(body("a\r\nb\n\n"), Some("a\nb".to_owned()));
        assert_eq!(body("a\0b"), None);
        assert_eq!(body(&"x".repeat(4001)), None);
    }

    #[test]
    fn codes_stand_between_spaces_and_commas_of_both_widths() {
        assert_eq!(codes(" acme、other,\n third\u{3000}fourth "), ["acme", "other", "third", "fourth"]);
        assert!(codes(" \n").is_empty());
    }
}
