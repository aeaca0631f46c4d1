//! The two languages the tools speak.

use std::str::FromStr;

/// A language with a complete text catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lang {
    /// Japanese.
    Ja,
    /// English.
    En,
}

/// A text that names no language we have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the language is one of ja, en")]
pub struct LangError;

impl Lang {
    /// Every language, the first one first.
    pub const ALL: [Self; 2] = [Self::Ja, Self::En];

    /// The language of the system: Japanese where it says so, English everywhere else.
    pub fn system() -> Self {
        sys_locale::get_locale().as_deref().map_or(Self::En, Self::of_locale)
    }

    /// The language for a locale such as `ja_JP.UTF-8` or `en-GB`.
    pub fn of_locale(locale: &str) -> Self {
        let language = locale.split(['-', '_', '.']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("ja") { Self::Ja } else { Self::En }
    }

    /// The code: `ja` or `en`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }

    /// The language's name in itself, for a switch.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::Ja => "日本語",
            Self::En => "English",
        }
    }
}

impl FromStr for Lang {
    type Err = LangError;

    fn from_str(text: &str) -> Result<Self, LangError> {
        Self::ALL.into_iter().find(|lang| lang.as_str() == text).ok_or(LangError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_japanese_system_speaks_japanese_and_every_other_english() {
        for (locale, lang) in
            [("ja", Lang::Ja), ("ja_JP.UTF-8", Lang::Ja), ("JA-jp", Lang::Ja), ("C", Lang::En), ("jam", Lang::En)]
        {
            assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        }
    }

    #[test]
    fn a_language_is_named_by_its_code_only() {
        assert_eq!("ja".parse(), Ok(Lang::Ja));
        assert_eq!("de".parse::<Lang>(), Err(LangError));
    }
}
