//! The fields of a sheet: what stands in them, what was typed, and what is wrong with it.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive};

use serde::Deserialize;

use crate::site::Words;

/// The longest text that is looked at, in bytes; what is longer is refused by its own limit.
const TEXT_LEN_MAX: usize = 64 * 1024;

/// Names and texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Fields(Vec<(String, String)>);

/// What is wrong, by field.
pub type Mistakes = BTreeMap<String, String>;

/// Reads what was typed and notes what is wrong with it.
#[derive(Debug)]
pub struct Reader<'a> {
    /// What was typed.
    pub fields: &'a Fields,
    /// The sentences.
    pub words: &'static Words,
    /// What is wrong.
    pub mistakes: Mistakes,
}

impl Fields {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a box that is ticked or not.
    #[must_use]
    pub fn with_check(self, name: &str, is_on: bool) -> Self {
        if is_on { self.with(name, "on") } else { self }
    }

    /// What stands in a field; nothing when there is no such field.
    pub fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        found.filter(|value| value.len() <= TEXT_LEN_MAX).unwrap_or_default()
    }

    /// Whether a box is ticked.
    pub fn is_on(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// Whether something stands in a field whose name begins so.
    pub fn has_any(&self, begin: &str) -> bool {
        self.0.iter().any(|(name, value)| name.starts_with(begin) && !value.trim().is_empty())
    }

    /// The fields with these names, for the next form.
    pub fn pairs(&self, names: &[&'static str]) -> Vec<(&'static str, String)> {
        let filled = names.iter().filter(|name| !self.text(name).is_empty());
        filled.map(|name| (*name, self.text(name).to_owned())).collect()
    }
}

impl Reader<'_> {
    /// A whole number within limits, full-width digits too.
    pub fn number(&mut self, name: &'static str, range: RangeInclusive<i64>) -> i64 {
        let text: String = self.fields.text(name).trim().chars().map(half_width).collect();
        match text.parse::<i64>() {
            Ok(number) if range.contains(&number) => number,
            Ok(_) | Err(_) => {
                self.wrong(name, self.words.settings.number_wrong(range.end(), range.start()));
                *range.start()
            }
        }
    }

    /// A text without control characters but line breaks, trimmed.
    pub fn text(&mut self, name: &'static str, len_max: usize) -> String {
        let text = self.fields.text(name).replace("\r\n", "\n").trim().to_owned();
        if len_max < text.chars().count() || text.chars().any(|c| c != '\n' && !crate::company::is_shown(c)) {
            self.wrong(name, self.words.settings.text_wrong(len_max));
        }
        text
    }

    /// The lines of a text that are not empty, each once; `parse` gives `None` for what is none.
    pub fn lines<T: PartialEq>(
        &mut self,
        name: &'static str,
        count_max: usize,
        parse: impl Fn(&str) -> Option<T>,
        explain: impl Fn(&str) -> String,
    ) -> Vec<T> {
        let mut read: Vec<T> = Vec::new();
        for line in self.fields.text(name).lines().map(str::trim).filter(|line| !line.is_empty()) {
            match parse(line) {
                Some(value) if !read.contains(&value) => read.push(value),
                Some(_) => {}
                None => {
                    let shown: String = line.chars().take(40).collect();
                    self.wrong(name, explain(&shown));
                }
            }
        }
        if count_max < read.len() {
            self.wrong(name, self.words.settings.too_many_lines(count_max));
        }
        read
    }

    /// Notes what is wrong with a field; the first word counts.
    pub fn wrong(&mut self, name: &str, sentence: impl Into<String>) {
        self.mistakes.entry(name.to_owned()).or_insert_with(|| sentence.into());
    }
}

fn half_width(c: char) -> char {
    match c {
        '０'..='９' => char::from_digit(u32::from(c) - u32::from('０'), 10).unwrap_or(c),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Lang;

    #[test]
    fn a_number_may_be_typed_in_full_width_and_must_be_within_its_limits() {
        let fields = Fields::default().with("a", "２０").with("b", "129").with("c", "x");
        let mut reader = Reader { fields: &fields, words: Words::of(Lang::Ja), mistakes: Mistakes::new() };

        assert_eq!(reader.number("a", 20..=128), 20);
        reader.number("b", 20..=128);
        reader.number("c", 20..=128);
        assert_eq!(reader.mistakes.keys().collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn lines_are_read_once_each_and_a_wrong_one_is_named() {
        let fields = Fields::default().with("a", "1\r\n\r\n 2 \n1\nx");
        let mut reader = Reader { fields: &fields, words: Words::of(Lang::Ja), mistakes: Mistakes::new() };

        assert_eq!(reader.lines("a", 9, |line| line.parse::<i64>().ok(), |line| format!("{line}!")), [1, 2]);
        assert_eq!(reader.mistakes["a"], "x!");
    }
}
