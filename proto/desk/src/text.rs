//! Sentences by id, from one TOML file for each language.
//!
//! A file is a flat table `id = "sentence with {name}"`; dotted ids such as `number.ask` may be written as tables.
//! Guarantees: [`Catalogue::say`] always answers; [`disparities`] finds every id or placeholder that one language lacks,
//! and is a test in both tools.

use std::collections::{BTreeMap, BTreeSet};

use crate::lang::Lang;

/// All sentences of a tool, in both languages.
#[derive(Debug, Clone)]
pub struct Catalogue {
    lang: Lang,
    ja: Sentences,
    en: Sentences,
}

/// Sentences by id.
type Sentences = BTreeMap<String, String>;

/// A text file that is not a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not TOML.
    #[error("text/{lang}.toml: {cause}")]
    Toml {
        /// Which file.
        lang: &'static str,
        /// What the parser says.
        cause: String,
    },
    /// A value that is no sentence.
    #[error("text/{lang}.toml: {id} is not a sentence")]
    NotASentence {
        /// Which file.
        lang: &'static str,
        /// Which id.
        id: String,
    },
}

impl Catalogue {
    /// Reads both files; `lang` is the language to speak.
    ///
    /// # Errors
    /// See [`TextError`].
    pub fn new(lang: Lang, ja_toml: &str, en_toml: &str) -> Result<Self, TextError> {
        Ok(Self { lang, ja: read(Lang::Ja, ja_toml)?, en: read(Lang::En, en_toml)? })
    }

    /// The language spoken now.
    pub const fn lang(&self) -> Lang {
        self.lang
    }

    /// Speaks another language from now.
    pub const fn set_lang(&mut self, lang: Lang) {
        self.lang = lang;
    }

    /// The sentence for `id` with every `{name}` replaced by its value.
    ///
    /// A sentence that this language lacks comes from the other one, and an id that nobody knows is its own sentence.
    /// Values are taken as they are: a brace inside a value is no placeholder.
    pub fn say(&self, id: &str, values: &[(&str, &str)]) -> String {
        let (own, other) = match self.lang {
            Lang::Ja => (&self.ja, &self.en),
            Lang::En => (&self.en, &self.ja),
        };
        let sentence = own.get(id).or_else(|| other.get(id)).map_or(id, String::as_str);
        fill(sentence, values)
    }
}

/// What one language has and the other has not: ids, and placeholders of an id. Empty when they are equal.
///
/// # Errors
/// See [`TextError`].
pub fn disparities(ja_toml: &str, en_toml: &str) -> Result<Vec<String>, TextError> {
    let (ja, en) = (read(Lang::Ja, ja_toml)?, read(Lang::En, en_toml)?);
    let ids: BTreeSet<_> = ja.keys().chain(en.keys()).collect();
    let mut found = Vec::new();
    for id in ids {
        match (ja.get(id), en.get(id)) {
            (Some(ja), Some(en)) if placeholders(ja) == placeholders(en) => {}
            (Some(ja), Some(en)) => {
                found.push(format!("{id}: ja has {:?}, en has {:?}", placeholders(ja), placeholders(en)));
            }
            (Some(_), None) => found.push(format!("{id}: en lacks it")),
            (None, Some(_) | None) => found.push(format!("{id}: ja lacks it")),
        }
    }
    Ok(found)
}

fn read(lang: Lang, text: &str) -> Result<Sentences, TextError> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| TextError::Toml { lang: lang.as_str(), cause: error.to_string() })?;
    let mut sentences = Sentences::new();
    collect(lang, "", table, &mut sentences)?;
    Ok(sentences)
}

fn collect(lang: Lang, prefix: &str, table: toml::Table, into: &mut Sentences) -> Result<(), TextError> {
    for (key, value) in table {
        let id = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        if let toml::Value::String(sentence) = value {
            into.insert(id, sentence);
        } else if let toml::Value::Table(inner) = value {
            collect(lang, &id, inner, into)?;
        } else {
            return Err(TextError::NotASentence { lang: lang.as_str(), id });
        }
    }
    Ok(())
}

/// One pass over the sentence, so that values are never read as placeholders.
fn fill(sentence: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => filled.push_str(value),
            None => filled.extend(["{", name, "}"]),
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

fn placeholders(sentence: &str) -> BTreeSet<&str> {
    sentence.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JA: &str = "hello = \"{name}さん、こんにちは\"\nonly_ja = \"日本語\"\n[end]\nlost = \"切れました\"";
    const EN: &str = "hello = \"Hello {nome}\"\n[end]\nlost = \"Lost\"";

    #[test]
    fn a_sentence_is_said_in_the_chosen_language_with_its_values() {
        let mut text = Catalogue::new(Lang::Ja, JA, EN).unwrap();
        assert_eq!(text.say("hello", &[("name", "山田")]), "山田さん、こんにちは");
        assert_eq!(text.say("end.lost", &[]), "切れました");
        text.set_lang(Lang::En);
        assert_eq!(text.say("end.lost", &[]), "Lost");
    }

    #[test]
    fn a_value_with_braces_is_shown_as_it_is() {
        let text = Catalogue::new(Lang::Ja, JA, EN).unwrap();
        assert_eq!(text.say("hello", &[("name", "{name}{x")]), "{name}{xさん、こんにちは");
    }

    #[test]
    fn a_sentence_that_one_language_lacks_comes_from_the_other() {
        let text = Catalogue::new(Lang::En, JA, EN).unwrap();
        assert_eq!(text.say("only_ja", &[]), "日本語");
        assert_eq!(text.say("nobody.knows", &[]), "nobody.knows");
    }

    #[test]
    fn missing_ids_and_placeholders_are_found() {
        let found = disparities(JA, EN).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("hello:") && found[1] == "only_ja: en lacks it", "{found:?}");
    }

    #[test]
    fn a_value_that_is_no_sentence_names_its_id() {
        let error = Catalogue::new(Lang::Ja, "[a]\nb = 1", "").unwrap_err();
        assert_eq!(error.to_string(), "text/ja.toml: a.b is not a sentence");
    }
}
