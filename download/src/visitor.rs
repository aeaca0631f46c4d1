//! What a visitor's browser says about itself: the system, the processor, and the language.
//!
//! Pure. A guess only decides what is shown first; everything else is one step away.

use axum::http::{HeaderMap, header};

use crate::tools::{Arch, Os};

/// System of a visitor; some have no tool yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// A system that tools can be listed for.
    Computer(Os),
    /// A telephone or tablet.
    Mobile,
    /// Nothing known.
    Unknown,
}

/// Language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lang {
    Ja,
    En,
}

impl Lang {
    /// The language's tag in addresses and pages.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Ja => Self::En,
            Self::En => Self::Ja,
        }
    }

    fn from_tag(tag: &str) -> Option<Self> {
        match tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "ja" => Some(Self::Ja),
            "en" => Some(Self::En),
            _ => None,
        }
    }
}

/// The language that was asked for: in the address, else by the browser, else Japanese.
pub(crate) fn language(asked: Option<&str>, headers: &HeaderMap) -> Lang {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    asked.and_then(Lang::from_tag).or_else(|| preferred(accepted?)).unwrap_or(Lang::Ja)
}

/// Best language of an `Accept-Language` header; the earlier one wins among equals (RFC 9110, 12.5.4).
fn preferred(accepted: &str) -> Option<Lang> {
    let mut best: Option<(u16, Lang)> = None;
    for item in accepted.split(',').take(32) {
        let (tag, parameters) = item.split_once(';').unwrap_or((item, ""));
        let Some(lang) = Lang::from_tag(tag) else { continue };
        let weight = parameters.trim().strip_prefix("q=").map_or(Some(1000), thousandths).unwrap_or(0);
        if best.is_none_or(|(found, _)| found < weight) && weight != 0 {
            best = Some((weight, lang));
        }
    }
    best.map(|(_, lang)| lang)
}

/// A quality value as thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = fraction.get(..fraction.len().min(3))?;
    let fraction: u16 = format!("{digits:0<3}").parse().ok()?;
    match whole {
        "1" => Some(1000),
        "0" => Some(fraction),
        _ => None,
    }
}

/// The system and processor that a `User-Agent` header tells of.
pub(crate) fn system(headers: &HeaderMap) -> (System, Option<Arch>) {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let says = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    let arch = if says(&["aarch64", "arm64", "ARM64"]) {
        Some(Arch::Aarch64)
    } else if says(&["x86_64", "x64", "WOW64", "amd64"]) {
        Some(Arch::X86_64)
    } else {
        None
    };
    // Order matters: Android says Linux too, and an iPhone says Mac OS X too.
    let system = if says(&["Android", "iPhone", "iPad", "iPod", "Windows Phone"]) {
        System::Mobile
    } else if says(&["Windows NT"]) {
        System::Computer(Os::Windows)
    } else if says(&["Macintosh", "Mac OS X"]) {
        System::Computer(Os::Macos)
    } else if says(&["Linux", "X11"]) && !says(&["CrOS"]) {
        System::Computer(Os::Linux)
    } else {
        System::Unknown
    };
    (system, arch)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn browsers_tell_their_system() {
        let table = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
                System::Computer(Os::Windows),
                Some(Arch::X86_64),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
                System::Computer(Os::Windows),
                Some(Arch::X86_64),
            ),
            (
                "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
                System::Computer(Os::Windows),
                Some(Arch::X86_64),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                System::Computer(Os::Macos),
                None,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
                System::Computer(Os::Linux),
                Some(Arch::X86_64),
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux aarch64; rv:143.0) Gecko/20100101 Firefox/143.0",
                System::Computer(Os::Linux),
                Some(Arch::Aarch64),
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
                System::Mobile,
                None,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                System::Mobile,
                None,
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                System::Unknown,
                Some(Arch::X86_64),
            ),
            ("curl/8.5.0", System::Unknown, None),
            ("", System::Unknown, None),
        ];

        for (agent, expected, arch) in table {
            assert_eq!(system(&headers(header::USER_AGENT, agent)), (expected, arch), "{agent}");
        }
    }

    #[test]
    fn the_language_is_what_the_browser_prefers() {
        let table = [
            ("ja", Lang::Ja),
            ("en-GB,en;q=0.9", Lang::En),
            ("ja-JP,ja;q=0.9,en;q=0.8", Lang::Ja),
            ("en;q=0.5, ja;q=0.75", Lang::Ja),
            ("fr-FR,fr;q=0.9,en;q=0.7", Lang::En),
            ("ja;q=0,en;q=0.1", Lang::En),
            ("de", Lang::Ja),
            ("en;q=much,ja;q=0.001", Lang::Ja),
            ("", Lang::Ja),
        ];

        for (accepted, expected) in table {
            assert_eq!(language(None, &headers(header::ACCEPT_LANGUAGE, accepted)), expected, "{accepted}");
        }
    }

    #[test]
    fn the_language_in_the_address_wins_when_there_is_one() {
        let japanese = headers(header::ACCEPT_LANGUAGE, "ja");

        assert_eq!(language(Some("en"), &japanese), Lang::En);
        assert_eq!(language(Some("tlh"), &japanese), Lang::Ja);
        assert_eq!(language(None, &HeaderMap::new()), Lang::Ja);
    }
}
