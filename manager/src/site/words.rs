//! The sentences of the site in both languages, made from `text/{ja,en}/*.toml` by `build.rs`.
//!
//! A sentence that one language lacks ends the build. A sentence with places is a function of them, so that none is put
//! together from pieces.

use std::fmt::Display;

use super::lang::Lang;

include!(concat!(env!("OUT_DIR"), "/words.rs"));

impl Words {
    /// The sentences of a language.
    pub fn of(lang: Lang) -> &'static Self {
        match lang {
            Lang::Ja => &JA,
            Lang::En => &EN,
        }
    }
}

/// Puts values into the places of a sentence; a value that looks like a place stays as it is.
fn fill(text: &str, values: &[(&str, &dyn Display)]) -> String {
    let mut pieces = text.split('{');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let Some((name, rest)) = piece.split_once('}') else { continue };
        if let Some((_, value)) = values.iter().find(|(place, _)| *place == name) {
            filled.push_str(&value.to_string());
        }
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_braces_is_not_filled_again() {
        assert_eq!(fill("{b} and {a}.", &[("a", &"{b}"), ("b", &1)]), "1 and {b}.");
    }
}
