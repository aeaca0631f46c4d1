//! The reception number: ten digits, shown and read 3-3-4.
//!
//! The first six digits are the [`Locator`], chosen by the manager; the last four are the [`Secret`], chosen by the
//! operator tool and never sent to a server in any form.

use std::{fmt, str::FromStr};

use rand_core::CryptoRngCore;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Why a typed text is not a reception number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Fewer or more than ten digits.
    #[error("a reception number has 10 digits, this has {found}")]
    Length {
        /// Digits found.
        found: usize,
    },
    /// Something that is no digit, space or hyphen.
    #[error("a reception number has digits only")]
    NotADigit,
}

/// The whole number, as spoken and typed. Prints as nothing in logs: use [`ReceptionNumber::reveal`] on screens only.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceptionNumber {
    locator: Locator,
    secret: Secret,
}

/// The six digits by which the manager finds the reception.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Locator([u8; 6]);

/// The four digits that only the two tools know, as ASCII.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 4]);

impl ReceptionNumber {
    /// Puts the manager's and the tool's part together.
    pub const fn new(locator: Locator, secret: Secret) -> Self {
        Self { locator, secret }
    }

    /// Reads what a person typed: half- or full-width digits, any spaces and hyphens.
    ///
    /// # Errors
    /// [`NumberError::NotADigit`] and [`NumberError::Length`].
    pub fn parse(typed: &str) -> Result<Self, NumberError> {
        let mut digits = [0u8; 10];
        let mut found = 0usize;
        for c in typed.chars().filter(|c| !is_separator(*c)) {
            let digit = fold_digit(c).ok_or(NumberError::NotADigit)?;
            if let Some(place) = digits.get_mut(found) {
                *place = digit;
            }
            found = found.saturating_add(1);
        }
        let (Some(locator), Some(secret), 10) = (digits.first_chunk(), digits.last_chunk(), found) else {
            return Err(NumberError::Length { found });
        };
        Ok(Self { locator: Locator(*locator), secret: Secret(*secret) })
    }

    /// The manager's part.
    pub const fn locator(&self) -> Locator {
        self.locator
    }

    /// The tools' part.
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The number as people read it: `412-905-3381`.
    pub fn reveal(&self) -> String {
        let [a, b, c, d, e, f] = self.locator.0.map(char::from);
        let [g, h, i, j] = self.secret.0.map(char::from);
        format!("{a}{b}{c}-{d}{e}{f}-{g}{h}{i}{j}")
    }
}

impl fmt::Debug for ReceptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceptionNumber(…)")
    }
}

impl Locator {
    /// Draws six digits, each equally likely.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        Self(std::array::from_fn(|_| random_digit(rng)))
    }

    /// The digits as text, for the API and the database.
    pub fn as_str(&self) -> &str {
        // INVARIANT: every byte is an ASCII digit.
        std::str::from_utf8(&self.0).unwrap_or("000000")
    }
}

impl FromStr for Locator {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError::NotADigit);
        }
        let digits = text.as_bytes().try_into().map_err(|_wrong_length| NumberError::Length { found: text.len() })?;
        Ok(Self(digits))
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locator(…)")
    }
}

impl Serialize for Locator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Locator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Locator {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9]{6}$"))
            .description(Some("The first six digits of a reception number"))
            .into()
    }
}

impl utoipa::ToSchema for Locator {}

impl Secret {
    /// Draws four digits, each equally likely.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        Self(std::array::from_fn(|_| random_digit(rng)))
    }

    /// The four ASCII digits, for the key exchange.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether a character may stand between digits: spaces of any width and every hyphen people type.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30FC}' | '\u{FF0D}' | '\u{FF70}')
}

/// The ASCII digit for a half-width or full-width one.
fn fold_digit(c: char) -> Option<u8> {
    let digit = match c {
        '\u{FF10}'..='\u{FF19}' => char::from_digit(u32::from(c).checked_sub(0xFF10)?, 10)?,
        other => other,
    };
    u8::try_from(digit).ok().filter(u8::is_ascii_digit)
}

/// One ASCII digit by rejection sampling, so that none is likelier than another.
fn random_digit(rng: &mut impl CryptoRngCore) -> u8 {
    loop {
        let mut byte = [0u8];
        rng.fill_bytes(&mut byte);
        let [value] = byte;
        if value < 250 {
            return b'0'.saturating_add(value.rem_euclid(10));
        }
    }
}
