//! The reception number: ten digits, shown and read 3-3-4.
//!
//! The first six digits are the [`Locator`], chosen by the manager; the last four are the [`Secret`], chosen by the
//! operator tool, or by a device management that starts a reception, and never sent to a server in any form.

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
        let digits = self.locator.0.iter().chain(&self.secret.0);
        let mut text = String::with_capacity(12);
        for (place, digit) in digits.enumerate() {
            if matches!(place, 3 | 6) {
                text.push('-');
            }
            text.push(char::from(*digit));
        }
        text
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

/// Whether a character may stand between digits: spaces of any width, every hyphen people type (the long-vowel mark of
/// Japanese keyboards too), and the invisible characters that a paste brings along.
fn is_separator(c: char) -> bool {
    let hyphen = matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30FC}' | '\u{FF0D}' | '\u{FF70}');
    let invisible = matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{FEFF}');
    c.is_whitespace() || hyphen || invisible
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    #[test]
    fn a_number_is_read_however_people_type_it() {
        for typed in [
            "4129053381",
            "412-905-3381",
            " 412 905 3381\r\n",
            "412\u{3000}905\u{3000}3381",
            "412905-3381",
            "\u{FF14}\u{FF11}\u{FF12}\u{FF0D}\u{FF19}\u{FF10}\u{FF15}\u{FF0D}\u{FF13}\u{FF13}\u{FF18}\u{FF11}",
            "412\u{30FC}905\u{30FC}3381",
            "412\u{2212}905\u{2010}3381",
            "\u{FEFF}412-905-3381\u{200B}",
            "4-1-2-9-0-5-3-3-8-1",
        ] {
            let number = ReceptionNumber::parse(typed).unwrap();
            assert_eq!(number.reveal(), "412-905-3381", "{typed:?}");
            assert_eq!((number.locator().as_str(), number.secret().as_bytes()), ("412905", b"3381"));
        }
    }

    #[test]
    fn what_is_no_number_says_why() {
        for (typed, why) in [
            ("", NumberError::Length { found: 0 }),
            ("412-905-338", NumberError::Length { found: 9 }),
            ("412-905-33811", NumberError::Length { found: 11 }),
            ("412-905-338x", NumberError::NotADigit),
            ("412.905.3381", NumberError::NotADigit),
            ("+4129053381", NumberError::NotADigit),
            ("\u{661}\u{662}\u{663}4567890", NumberError::NotADigit),
        ] {
            assert_eq!(ReceptionNumber::parse(typed), Err(why), "{typed:?}");
        }
    }

    #[test]
    fn a_locator_is_six_ascii_digits_and_nothing_else() {
        assert_eq!("412905".parse::<Locator>().unwrap().as_str(), "412905");
        assert_eq!("41290".parse::<Locator>(), Err(NumberError::Length { found: 5 }));
        assert_eq!("41290\u{FF15}".parse::<Locator>(), Err(NumberError::NotADigit));
        assert_eq!("41 905".parse::<Locator>(), Err(NumberError::NotADigit));
        assert!(serde_json::from_str::<Locator>("412905").is_err());
    }

    #[test]
    fn drawn_digits_are_equally_likely() {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let mut counts = [0u32; 10];
        for _ in 0..10_000 {
            for digit in Locator::random(&mut rng).0.into_iter().chain(*Secret::random(&mut rng).as_bytes()) {
                counts[usize::from(digit - b'0')] += 1;
            }
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn numbers_print_as_nothing() {
        let number = ReceptionNumber::parse("412-905-3381").unwrap();
        assert_eq!(
            format!("{number:?} {:?} {:?}", number.locator(), number.secret()),
            "ReceptionNumber(…) Locator(…) Secret(…)"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_or_an_error(typed in ".{0,40}") {
            if let Ok(number) = ReceptionNumber::parse(&typed) {
                prop_assert_eq!(ReceptionNumber::parse(&number.reveal()), Ok(number));
            }
        }

        #[test]
        fn a_number_keeps_its_digits_through_what_people_type(
            digits in prop::array::uniform10(0..10u32),
            wide in prop::array::uniform10(any::<bool>()),
            gaps in prop::array::uniform10("[- \u{3000}\u{30FC}\u{FF0D}\t\u{200B}]{0,3}"),
        ) {
            let mut typed = String::new();
            let mut plain = String::new();
            for ((digit, wide), gap) in digits.into_iter().zip(wide).zip(gaps) {
                plain.extend(char::from_digit(digit, 10));
                typed.push_str(&gap);
                typed.extend(char::from_u32(if wide { 0xFF10 + digit } else { 0x30 + digit }));
            }
            let number = ReceptionNumber::parse(&typed).unwrap();
            prop_assert_eq!(number.reveal().replace('-', ""), plain.clone());
            let json = serde_json::to_string(&number.locator()).unwrap();
            prop_assert_eq!(json.clone(), format!("\"{}\"", plain.split_at(6).0));
            prop_assert_eq!(serde_json::from_str::<Locator>(&json).unwrap(), number.locator());
        }
    }
}
