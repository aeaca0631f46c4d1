//! The tool's sentences, from `text/ja.toml` and `text/en.toml`.

use desk::{
    lang::Lang,
    text::{Catalogue, TextError},
};

const JA: &str = include_str!("../text/ja.toml");
const EN: &str = include_str!("../text/en.toml");

/// The sentences in one language.
///
/// # Errors
/// Never for the files in the program; a test reads them.
pub fn catalogue(lang: Lang) -> Result<Catalogue, TextError> {
    Catalogue::new(lang, JA, EN)
}

/// Minutes and seconds: `9:05`.
pub fn minutes(secs: u64) -> String {
    format!("{}:{:02}", secs / 60, secs % 60)
}

/// A duration: `1:02:03` or `2:03`.
pub fn duration(ms: i64) -> String {
    let secs = u64::try_from(ms).unwrap_or(0) / 1000;
    let hours = secs / 3600;
    if hours == 0 { minutes(secs) } else { format!("{hours}:{:02}:{:02}", secs / 60 % 60, secs % 60) }
}

/// A time of day of this machine: `2026/04/01 09:00`.
pub fn local_time(at_ms: i64, zone: &jiff::tz::TimeZone) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| at.to_zoned(zone.clone()).strftime("%Y/%m/%d %H:%M").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proto::{close::CloseReason, grant::GrantKind};

    use super::*;
    use crate::failure;

    #[test]
    fn both_languages_say_the_same_things() {
        assert_eq!(desk::text::disparities(JA, EN).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_failure_reason_and_grant_has_its_sentence() {
        let text = catalogue(Lang::Ja).unwrap();
        let ids = failure::CODES
            .iter()
            .map(|code| format!("failure.{code}"))
            .chain(CloseReason::ALL.iter().map(|reason| format!("ended.{}", reason.as_str())))
            .chain(GrantKind::ALL.iter().map(|kind| format!("grant.{}", kind.as_str())));
        for id in ids {
            assert_ne!(text.say(&id, &[]), id);
        }
    }

    #[test]
    fn every_sentence_that_the_sources_name_exists() {
        let text = catalogue(Lang::En).unwrap();
        let sources = [
            include_str!("ui/mod.rs"),
            include_str!("ui/login.rs"),
            include_str!("ui/home.rs"),
            include_str!("ui/number.rs"),
            include_str!("ui/waiting.rs"),
            include_str!("ui/session.rs"),
            include_str!("ui/ended.rs"),
        ];
        let mut found = 0;
        for source in sources {
            for part in source.split("say(\"").chain(source.split("fill(\"")).skip(1) {
                let id = part.split('"').next().unwrap();
                if id.contains('.') && !id.contains(char::is_whitespace) && !id.contains('{') {
                    found += 1;
                    assert_ne!(text.say(id, &[]), id, "{id}");
                }
            }
        }
        assert!(30 < found, "{found}");
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        assert_eq!(minutes(605), "10:05");
        assert_eq!(duration(3_723_000), "1:02:03");
        assert_eq!(duration(-5), "0:00");
        let tokyo = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
        assert_eq!(local_time(0, &tokyo), "1970/01/01 09:00");
    }
}
