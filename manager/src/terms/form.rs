//! What is typed into the form of a revision, read into values.

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, date},
};
use proto::api::UnixMillis;
use serde::Deserialize;

use super::{edit::Written, store::Row};
use crate::{
    company::is_hidden,
    site::{Words, time},
};

/// Longest name of an edition, in characters.
const EDITION_LEN_MAX: usize = 20;
/// Longest account of what changed, in characters.
const CHANGES_LEN_MAX: usize = 1_000;
/// Longest text, in characters.
const BODY_LEN_MAX: usize = 50_000;
/// The first day that the first revision can have.
const EARLIEST: Date = date(2000, 1, 1);
/// Years ahead that a revision can come into force: a day that was mistyped is not announced for decades.
const YEARS_AHEAD: i64 = 2;

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    pub(super) edition: String,
    pub(super) from: String,
    pub(super) changes_ja: String,
    pub(super) changes_en: String,
    pub(super) body_ja: String,
    pub(super) body_en: String,
    pub(super) agree: String,
    pub(super) version: i64,
}

/// The days on which a revision can come into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    is_first: bool,
    first: Date,
    last: Date,
}

/// What is wrong with it, by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mistakes {
    pub(super) edition: Option<String>,
    pub(super) from: Option<String>,
    pub(super) changes_ja: Option<String>,
    pub(super) changes_en: Option<String>,
    pub(super) body_ja: Option<String>,
    pub(super) body_en: Option<String>,
    /// What is wrong with no field.
    pub(super) all: Option<&'static str>,
}

impl Mistakes {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Days {
    /// From today in Japan on, and for the first revision that anybody publishes from long ago on.
    pub(super) fn at(now: UnixMillis, is_first: bool) -> Self {
        let today = today(now);
        let first = if is_first { EARLIEST } else { today };
        Self { is_first, first, last: today.saturating_add(YEARS_AHEAD.years()) }
    }

    /// The beginning of one of them.
    fn read(self, typed: &str) -> Option<UnixMillis> {
        let date: Date = typed.trim().parse().ok()?;
        if self.first <= date && date <= self.last { begin(date) } else { None }
    }

    /// What is said of another day.
    const fn sentence(self, words: &'static Words) -> &'static str {
        if self.is_first { words.terms.from_wrong_first } else { words.terms.from_wrong }
    }
}

impl Filled {
    /// The form of a draft that there is.
    pub(super) fn of(row: &Row) -> Self {
        Self {
            edition: row.edition.clone(),
            from: time::input_day(row.in_force_from_ms, &time::zone(time::TOKYO)),
            changes_ja: row.changes_ja.clone(),
            changes_en: row.changes_en.clone(),
            body_ja: row.body_ja.clone(),
            body_en: row.body_en.clone(),
            agree: if row.agree { "yes" } else { "" }.to_owned(),
            version: row.version,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn read(&self, days: Days, words: &'static Words) -> Result<Written, Box<Mistakes>> {
        let w = &words.terms;
        let edition = edition(&self.edition).ok_or_else(|| w.edition_wrong.to_owned());
        let from = days.read(&self.from).ok_or_else(|| days.sentence(words).to_owned());
        let changes_ja = text(&self.changes_ja, CHANGES_LEN_MAX, Some(w.changes_wrong), words);
        let changes_en = text(&self.changes_en, CHANGES_LEN_MAX, Some(w.changes_wrong), words);
        let body_ja = text(&self.body_ja, BODY_LEN_MAX, Some(w.body_wrong), words);
        let body_en = text(&self.body_en, BODY_LEN_MAX, None, words);
        match (edition, from, changes_ja, changes_en, body_ja, body_en) {
            (Ok(edition), Ok(in_force_from_ms), Ok(changes_ja), Ok(changes_en), Ok(body_ja), Ok(body_en)) => {
                let agree = self.agree == "yes";
                Ok(Written { edition, in_force_from_ms, changes_ja, changes_en, body_ja, body_en, agree })
            }
            (edition, from, changes_ja, changes_en, body_ja, body_en) => Err(Box::new(Mistakes {
                edition: edition.err(),
                from: from.err(),
                changes_ja: changes_ja.err(),
                changes_en: changes_en.err(),
                body_ja: body_ja.err(),
                body_en: body_en.err(),
                all: None,
            })),
        }
    }
}

/// A digit, and after it letters, digits, dots and hyphens: it stands in addresses.
fn edition(typed: &str) -> Option<String> {
    let typed = typed.trim();
    let plain = typed.len() <= EDITION_LEN_MAX
        && typed.starts_with(|c: char| c.is_ascii_digit())
        && typed.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    plain.then(|| typed.to_owned())
}

/// When today began in Japan.
pub(super) fn today_ms(now: UnixMillis) -> UnixMillis {
    begin(today(now)).unwrap_or(now)
}

/// Today in Japan.
fn today(now: UnixMillis) -> Date {
    Timestamp::from_millisecond(now).unwrap_or_default().to_zoned(time::zone(time::TOKYO)).date()
}

/// The beginning of a day in Japan.
fn begin(date: Date) -> Option<UnixMillis> {
    Some(date.to_zoned(time::zone(time::TOKYO)).ok()?.timestamp().as_millisecond())
}

/// Text of so many characters at most; line ends become one kind.
///
/// # Errors
/// What is said of it; `when_empty` where there must be some.
fn text(typed: &str, len_max: usize, when_empty: Option<&str>, words: &Words) -> Result<String, String> {
    let typed = typed.replace("\r\n", "\n");
    let is_wrong = |c: char| c != '\t' && is_hidden(c);
    if let Some(line) = typed.split('\n').position(|line| line.contains(is_wrong)) {
        return Err(words.terms.text_character(line.saturating_add(1)));
    }
    let typed = typed.trim();
    let len = typed.chars().count();
    match when_empty {
        Some(sentence) if typed.is_empty() => Err(sentence.to_owned()),
        Some(_) | None if len_max < len => Err(words.terms.text_too_long(len, len_max)),
        Some(_) | None => Ok(typed.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Lang;

    fn filled() -> Filled {
        let text = || "本文".to_owned();
        Filled {
            edition: " 1.2 ".to_owned(),
            from: "2026-12-31".to_owned(),
            changes_ja: text(),
            changes_en: text(),
            body_ja: "a\r\nb\n".to_owned(),
            ..Filled::default()
        }
    }

    /// 2026-09-21, 23:13 in Japan.
    const NOW: UnixMillis = 1_789_999_999_000;

    fn read(filled: &Filled) -> Result<Written, Box<Mistakes>> {
        filled.read(Days::at(NOW, false), Words::of(Lang::Ja))
    }

    #[test]
    fn a_revision_begins_with_its_day_in_japan_and_needs_no_english_text() {
        let written = read(&filled()).unwrap();

        assert_eq!((written.edition.as_str(), written.in_force_from_ms), ("1.2", 1_798_642_800_000));
        assert_eq!((written.body_ja.as_str(), written.body_en.as_str(), written.agree), ("a\nb", "", false));
    }

    #[test]
    fn a_day_is_from_today_to_two_years_ahead_and_the_first_revision_may_have_one_that_is_past() {
        let w = &Words::of(Lang::Ja).terms;
        let of = |from: &str| Filled { from: from.to_owned(), ..filled() };
        let told = |from: &str, is_first| of(from).read(Days::at(NOW, is_first), Words::of(Lang::Ja)).err();
        let mistake =
            |sentence: &str| Some(Box::new(Mistakes { from: Some(sentence.to_owned()), ..Mistakes::default() }));

        for good in ["2026-09-21", "2026-09-22", "2028-09-21"] {
            assert_eq!(told(good, false), None, "{good}");
            assert_eq!(told(good, true), None, "{good}");
        }
        assert_eq!(told("2026-09-20", false), mistake(w.from_wrong));
        for past in ["2026-09-20", "2000-01-01"] {
            assert_eq!(told(past, true), None, "{past}");
        }
        for bad in ["", "2026-02-30", "9999-12-31", "-9999-01-01", "1999-12-31", "2028-09-22"] {
            assert_eq!(told(bad, false), mistake(w.from_wrong), "{bad:?}");
            assert_eq!(told(bad, true), mistake(w.from_wrong_first), "{bad:?}");
        }
        assert_eq!(today_ms(NOW), 1_789_916_400_000);
    }

    #[test]
    fn each_field_is_told_its_own_mistake() {
        let w = &Words::of(Lang::Ja).terms;
        for edition in ["", "v1", "agree", "1/2", "１", &"1".repeat(21)] {
            let mistakes = read(&Filled { edition: edition.to_owned(), ..filled() }).unwrap_err();
            let told = Mistakes { edition: Some(w.edition_wrong.to_owned()), ..Mistakes::default() };
            assert_eq!(*mistakes, told, "{edition:?}");
        }
        let long = "x".repeat(50_001);
        for (body, told) in [
            (" \n", w.body_wrong.to_owned()),
            ("a\0b", w.text_character(1)),
            ("\r\na\r\n\u{202E}b\0", w.text_character(3)),
            (long.as_str(), w.text_too_long(50_001, 50_000)),
        ] {
            let mistakes = read(&Filled { body_ja: body.to_owned(), ..filled() }).unwrap_err();
            assert_eq!(*mistakes, Mistakes { body_ja: Some(told), ..Mistakes::default() });
        }
        let mistakes = read(&Filled { changes_en: String::new(), ..filled() }).unwrap_err();
        assert_eq!(*mistakes, Mistakes { changes_en: Some(w.changes_wrong.to_owned()), ..Mistakes::default() });
    }
}
