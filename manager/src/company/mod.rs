//! Companies: who the operators belong to, and the rules of their accounts.

pub mod policy;
pub mod retention;
pub mod store;

use std::{fmt, str::FromStr, time::Duration};

pub use self::{policy::Policy, store::create};

/// Longest name of a company or operator, in characters; it is shown to customers and signed in introductions.
pub const NAME_LEN_MAX: usize = 64;
/// Shortest and longest company code, in characters.
const CODE_LEN: std::ops::RangeInclusive<usize> = 3..=32;

/// The code an operator types at login: 3 to 32 lower-case letters, digits and inner hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyCode(String);

/// A name that customers may see: 1 to 64 characters, no control characters, no spaces around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownName(String);

/// When failed logins lock an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    /// Failures within `window` that lock.
    pub failures_max: i64,
    /// How long it is locked.
    pub time: Duration,
    /// Failures are counted from the first one for this long.
    pub window: Duration,
}

/// A text that is no company code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a company code has 3 to 32 lower-case letters, digits and hyphens, and no hyphen at its ends")]
pub struct CompanyCodeError;

/// A text that cannot be shown as a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {NAME_LEN_MAX} characters, no control characters, and no spaces around it")]
pub struct ShownNameError;

impl CompanyCode {
    /// What was typed, in the form of a code; it may be none.
    pub fn fold(typed: &str) -> String {
        typed.trim().to_ascii_lowercase()
    }

    /// The value of the database column.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CompanyCode {
    type Err = CompanyCodeError;

    fn from_str(text: &str) -> Result<Self, CompanyCodeError> {
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let ends = !text.starts_with('-') && !text.ends_with('-');
        if letters && ends && CODE_LEN.contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CompanyCodeError)
        }
    }
}

impl ShownName {
    /// The value of the database column.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ShownName {
    type Err = ShownNameError;

    fn from_str(text: &str) -> Result<Self, ShownNameError> {
        let length = (1..=NAME_LEN_MAX).contains(&text.chars().count());
        if length && text.trim() == text && text.chars().all(is_shown) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ShownNameError)
        }
    }
}

/// Whether a character is a control, or turns the direction of the text around it: what nobody sees, and what lets a text
/// look like another one. For text that people write; joiners stay, because emoji and some scripts are made of them. Names
/// that must not be mistaken for each other have [`is_shown`], which is stricter.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character shows itself. Direction marks could make one company's name look like another's.
pub fn is_shown(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for CompanyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Lockout {
    fn default() -> Self {
        policy::LoginPolicy::default().lockout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_code_is_short_lower_case_and_plain() {
        for good in ["acme", "a-1", "0123456789-abcdefghijklmnopqrstu"] {
            assert_eq!(good.parse::<CompanyCode>().map(|code| code.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "ab", "Acme", "ac me", "-acme", "acme-", "アクメ", "a_b", &"x".repeat(33)] {
            assert_eq!(bad.parse::<CompanyCode>(), Err(CompanyCodeError), "{bad}");
        }
    }

    #[test]
    fn a_shown_name_holds_nothing_invisible() {
        for good in ["株式会社サンプル", "山田 太郎", "O'Brien"] {
            assert!(good.parse::<ShownName>().is_ok(), "{good}");
        }
        for bad in ["", " ", " a", "a\n", "a\u{202E}b", "\u{200B}", &"あ".repeat(65)] {
            assert!(bad.parse::<ShownName>().is_err(), "{bad:?}");
        }
    }
}
