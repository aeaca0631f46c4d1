//! Why a system administrator does something. Every change asks for it.

use std::str::FromStr;

use crate::company::is_shown;

/// The longest reason, in characters.
const REASON_LEN_MAX: usize = 200;

/// A reason: 1 to 200 characters, nothing invisible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

/// A text that is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason has 1 to {REASON_LEN_MAX} characters and no control characters")]
pub struct ReasonError;

impl Reason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, ReasonError> {
        let text = text.trim();
        let length = (1..=REASON_LEN_MAX).contains(&text.chars().count());
        if length && text.chars().all(is_shown) { Ok(Self(text.to_owned())) } else { Err(ReasonError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_and_hides_nothing() {
        assert_eq!(
            "  契約書 第12号による ".parse::<Reason>().map(|reason| reason.0),
            Ok("契約書 第12号による".to_owned())
        );
        for bad in ["", "  ", "a\nb", "a\u{202E}b", &"あ".repeat(201)] {
            assert_eq!(bad.parse::<Reason>(), Err(ReasonError), "{bad:?}");
        }
    }
}
