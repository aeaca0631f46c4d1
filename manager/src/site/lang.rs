//! In which language a page is shown: what the visitor chose, else what the browser asks for, else Japanese.

use axum::http::{HeaderMap, header};

use super::cookie;

/// The cookie that keeps the choice.
pub const COOKIE: &str = cookie::LANG;

/// A language of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// Japanese.
    #[default]
    Ja,
    /// English.
    En,
}

impl Lang {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::Ja, Self::En];

    /// The language of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie::find(headers, COOKIE).and_then(Self::parse);
        let asked =
            || headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).and_then(Self::preferred);
        chosen.or_else(asked).unwrap_or_default()
    }

    /// The language of a request of an account whose company says what those see who have chosen none.
    pub fn of_account(headers: &HeaderMap, company: &str) -> Self {
        let chosen = cookie::find(headers, COOKIE).and_then(Self::parse);
        chosen.or_else(|| Self::parse(company)).unwrap_or_else(|| Self::of(headers))
    }

    /// The language with this tag.
    pub fn parse(tag: &str) -> Option<Self> {
        match tag {
            "ja" => Some(Self::Ja),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The tag in HTML and in the cookie.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }

    /// The one that is not shown.
    pub const fn other(self) -> Self {
        match self {
            Self::Ja => Self::En,
            Self::En => Self::Ja,
        }
    }

    /// The first of the browser's languages that the site has, by weight. Source: RFC 9110, 12.5.4.
    fn preferred(accepted: &str) -> Option<Self> {
        let mut ranges: Vec<(f32, Self)> = accepted.split(',').filter_map(Self::range).collect();
        ranges.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        ranges.first().map(|(_, lang)| *lang)
    }

    /// One range with its weight; `None` for a language that the site has not, or that is refused.
    fn range(range: &str) -> Option<(f32, Self)> {
        let (tag, parameters) = range.trim().split_once(';').unwrap_or((range.trim(), ""));
        let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
        Self::parse(&primary).filter(|_| 0.0 < weight).map(|lang| (weight, lang))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(cookie: &'static str, accept: &'static str) -> Lang {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(accept));
        Lang::of(&headers)
    }

    #[test]
    fn the_choice_comes_before_the_browser_and_japanese_is_the_last_word() {
        assert_eq!(of("__Host-uketsuke-lang=ja", "en-US,en;q=0.9"), Lang::Ja);
        assert_eq!(of("__Host-uketsuke-lang=xx", "en-US,en;q=0.9"), Lang::En);
        assert_eq!(of("a=b", "fr, ja;q=0.3, en;q=0.8"), Lang::En);
        assert_eq!(of("a=b", "fr"), Lang::Ja);
        assert_eq!(of("a=b", "en;q=x"), Lang::Ja);
    }
}
