//! The tree of a company's organisations: who sees what is decided along it.
//!
//! An organisation is named by its id; its path holds the ids from the root to it, so a subtree is one prefix. Whoever
//! reaches one organisation only reaches those below it, too, and nothing else.

pub mod edit;
pub mod page;
pub mod store;

pub use self::page::router;
use crate::company::is_hidden;

/// Organisations of a company at most.
pub const ORGANISATIONS_MAX: usize = 1_000;
/// Organisations from the root to a leaf at most.
pub const DEPTH_MAX: usize = 8;
/// Characters of a name. Source: product research, OB-44.
const NAME_LEN_MAX: usize = 30;
/// Characters of a note. Source: product research, OB-44.
const NOTE_LEN_MAX: usize = 100;

/// Whether a text can be a name.
fn is_name(text: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&text.chars().count()) && !text.chars().any(is_hidden)
}

/// Whether a text can be a note.
fn is_note(text: &str) -> bool {
    text.chars().count() <= NOTE_LEN_MAX && !text.chars().any(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_text_around_stands_in_no_name_and_no_note() {
        assert!(is_name("東日本 営業") && is_note(""));
        for text in ["a\u{202E}gnp.exe", "a\u{2066}b", "a\u{200F}", "a\u{1B}[31m"] {
            assert!(!is_name(text) && !is_note(text), "{text:?}");
        }
    }
}
