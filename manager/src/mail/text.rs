//! What a mail says: both languages, one below the other.

use crate::site::{Lang, Words};

/// The line between the two languages.
const BETWEEN: &str = "\n\n----------------------------------------\n\n";
/// Longest subject, in characters.
const SUBJECT_LEN_MAX: usize = 200;

/// Subject and body of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

/// Makes a mail of what `say` says in one language: the recipient's first, then the other.
pub fn bilingual(first: Lang, say: impl Fn(&'static Words) -> Text) -> Text {
    let (one, other) = (say(Words::of(first)), say(Words::of(first.other())));
    let sign = |text: &Text, lang: Lang| format!("{}\n\n{}", text.body.trim_end(), Words::of(lang).mail.signature);
    let body = format!("{}{BETWEEN}{}\n", sign(&one, first), sign(&other, first.other()));
    Text { subject: one_line(&format!("{} / {}", one.subject, other.subject)), body }
}

/// A subject without anything that could begin another header, and not longer than a header should be.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SUBJECT_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(words: &'static Words) -> Text {
        Text { subject: words.shared.brand.to_owned(), body: words.shared.save.to_owned() }
    }

    #[test]
    fn both_languages_are_there_and_the_recipient_s_comes_first() {
        let (ja, en) = (bilingual(Lang::Ja, say), bilingual(Lang::En, say));

        let before = |text: &str, a: &str, b: &str| text.find(a).unwrap() < text.find(b).unwrap();
        let (save_ja, save_en) = (Words::of(Lang::Ja).shared.save, Words::of(Lang::En).shared.save);
        assert!(before(&ja.body, save_ja, save_en), "{}", ja.body);
        assert!(before(&en.body, save_en, save_ja), "{}", en.body);
    }

    #[test]
    fn a_subject_is_one_line_whatever_was_typed() {
        let attack = |_: &'static Words| Text { subject: "a\r\nBcc: b@c.example\0".to_owned(), body: String::new() };

        assert_eq!(bilingual(Lang::Ja, attack).subject, "a  Bcc: b@c.example  / a  Bcc: b@c.example ");
        let long = |_: &'static Words| Text { subject: "あ".repeat(300), body: String::new() };
        assert_eq!(bilingual(Lang::Ja, long).subject.chars().count(), SUBJECT_LEN_MAX);
    }
}
