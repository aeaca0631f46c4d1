//! Operators: the accounts that log in and give support.

pub mod store;

use std::str::FromStr;

/// The id an operator types at login: 1 to 64 half-width letters, digits and `. _ - @ +`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserId(String);

/// A text that is no user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user id has 1 to 64 half-width letters, digits and . _ - @ +")]
pub struct UserIdError;

impl UserId {
    /// The value of the database column.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserId {
    type Err = UserIdError;

    fn from_str(text: &str) -> Result<Self, UserIdError> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@+".contains(&b));
        if plain && (1..=64).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(UserIdError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_plain_half_width_text() {
        for good in ["yamada", "taro.yamada@example.co.jp", "A-1_b+c"] {
            assert!(good.parse::<UserId>().is_ok(), "{good}");
        }
        for bad in ["", "taro yamada", "山田", "a\0b", &"x".repeat(65)] {
            assert_eq!(bad.parse::<UserId>(), Err(UserIdError), "{bad}");
        }
    }
}
