//! The sentences of the pages, from `text/ja.toml` and `text/en.toml`.
//!
//! The types have no optional sentence but the warning, so a sentence that is missing in one language is a failed test.

use serde::Deserialize;

use crate::{tools::Os, visitor::Lang};

/// Every sentence of one language.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Texts {
    pub(crate) shared: Shared,
    pub(crate) customer: Words,
    pub(crate) operator: Words,
    pub(crate) missing: Missing,
    pub(crate) changed: Changed,
}

/// What both pages say.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shared {
    pub(crate) brand: String,
    pub(crate) brand_note: String,
    /// Name of the other language, in that language.
    pub(crate) language: String,
    pub(crate) download: String,
    pub(crate) file: String,
    pub(crate) size: String,
    pub(crate) check: String,
    pub(crate) others: String,
    pub(crate) choose: String,
    pub(crate) next: String,
    pub(crate) arm: String,
    pub(crate) intel: String,
}

/// What one page says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    pub(crate) title: String,
    pub(crate) heading: String,
    pub(crate) lead: String,
    pub(crate) warning: Option<String>,
    steps_windows: [String; 3],
    steps_macos: [String; 3],
    steps_linux: [String; 3],
    pub(crate) none_mobile: String,
    pub(crate) none_computer: String,
    pub(crate) none_unknown: String,
    pub(crate) none_do: String,
    pub(crate) none_do_computer: String,
    pub(crate) none_choose: String,
    pub(crate) elsewhere: String,
}

/// What an unknown address is answered with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Missing {
    pub(crate) title: String,
    pub(crate) heading: String,
    pub(crate) lead: String,
    pub(crate) home: String,
}

/// What is said while a tool's file is not the one that was listed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changed {
    pub(crate) heading: String,
    pub(crate) lead: String,
}

/// Both languages.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    ja: Texts,
    en: Texts,
}

impl Catalogue {
    /// Reads the sentences that are part of the program.
    ///
    /// # Errors
    /// A sentence is missing, which a test of this module rules out.
    pub(crate) fn load() -> Result<Self, toml::de::Error> {
        Ok(Self {
            ja: toml::from_str(include_str!("../text/ja.toml"))?,
            en: toml::from_str(include_str!("../text/en.toml"))?,
        })
    }

    pub(crate) const fn of(&self, lang: Lang) -> &Texts {
        match lang {
            Lang::Ja => &self.ja,
            Lang::En => &self.en,
        }
    }
}

impl Words {
    /// What happens after the download, in three steps.
    pub(crate) const fn steps(&self, os: Os) -> &[String; 3] {
        match os {
            Os::Windows => &self.steps_windows,
            Os::Macos => &self.steps_macos,
            Os::Linux => &self.steps_linux,
        }
    }
}

/// Names of systems are the same in every language.
pub(crate) const fn os_name(os: Os) -> &'static str {
    match os {
        Os::Windows => "Windows",
        Os::Macos => "Mac",
        Os::Linux => "Linux",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_are_complete_and_leave_the_same_places_open() {
        let catalogue = Catalogue::load().unwrap();
        let places = |text: &str| text.matches("{os}").count();

        for texts in [catalogue.of(Lang::Ja), catalogue.of(Lang::En)] {
            assert_eq!(places(&texts.shared.download), 1);
            assert_eq!(places(&texts.customer.none_computer), 1);
            assert_eq!(places(&texts.operator.none_computer), 1);
            assert!(texts.customer.warning.is_some());
        }
    }
}
