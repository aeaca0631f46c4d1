//! Operators: the accounts that log in and give support.

pub mod bulk;
pub mod edit;
mod effective;
pub mod fields;
mod form;
pub mod import;
pub mod list;
pub mod page;
pub mod store;

use std::str::FromStr;

use crate::company::ShownName;

/// The id an operator types at login: 1 to 64 half-width letters, digits and `. _ - @ +`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserId(String);

/// An address of mail, or none: something, an @, a name with a dot; at most 254 characters. Source: RFC 5321, 4.5.3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailAddress(String);

/// A text that is no address of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address of mail is like name@example.co.jp")]
pub struct MailAddressError;

/// A text that is no user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user id has 1 to 64 half-width letters, digits and . _ - @ +")]
pub struct UserIdError;

/// The longest reading of a name, in characters.
const KANA_LEN_MAX: usize = 64;

/// Whether a text can be the reading of a name; none is one.
pub fn is_reading(text: &str) -> bool {
    text.is_empty() || (text.chars().count() <= KANA_LEN_MAX && text.parse::<ShownName>().is_ok())
}

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

impl MailAddress {
    /// The value of the database column; empty for none.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MailAddress {
    type Err = MailAddressError;

    fn from_str(text: &str) -> Result<Self, MailAddressError> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&b));
        let parts = text.rsplit_once('@');
        let whole = parts.is_some_and(|(name, host)| {
            let dots = host.split('.').all(|part| !part.is_empty()) && host.contains('.');
            !name.is_empty() && !name.contains('@') && dots
        });
        let good = text.is_empty() || (plain && whole && text.len() <= 254);
        if good { Ok(Self(text.to_owned())) } else { Err(MailAddressError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_mail_has_two_sides_and_nothing_that_a_header_would_read() {
        for good in ["", "taro@example.co.jp", "a.b+c@x.jp"] {
            assert!(good.parse::<MailAddress>().is_ok(), "{good}");
        }
        for bad in
            ["taro", "@x.jp", "a@b", "a@b..c", "a b@x.jp", "a@x.jp\r\nBcc: b@x.jp", "a@b@x.jp", "a,b@x.jp", "山@x.jp"]
        {
            assert_eq!(bad.parse::<MailAddress>(), Err(MailAddressError), "{bad}");
        }
    }

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
