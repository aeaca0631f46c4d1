//! Values with their unit: `"256 KiB"` and `"30s"`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written as `"256 KiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// A length of time, written as `"30s"` or `"1h 30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// Text that is no value with a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("`{0}` is not a size such as \"512 B\", \"256 KiB\" or \"2 GiB\"")]
    Bytes(String),
    /// Not a time.
    #[error("`{0}` is not a time such as \"30s\", \"10m\" or \"1h 30m\"")]
    Span(String),
}

/// Units of [`Bytes`], largest first; the first that divides evenly is the one that is shown.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Bytes {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many units of 1,024 bytes.
    pub const fn kib(kib: u32) -> Self {
        Self((kib as u64) << 10)
    }

    /// So many units of 1,048,576 bytes.
    pub const fn mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; the largest length where it does not fit.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whether it is nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Span {
    /// A length of time.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The length of time.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Bytes(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.chars().take_while(char::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at_checked(digits).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(wrong)?;
        number.checked_mul(*factor).map(Self).ok_or_else(wrong)
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        humantime::parse_duration(text).map(Self).map_err(|_not_a_time| UnitError::Span(text.to_owned()))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) =
            UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)).unwrap_or(&("B", 1));
        write!(f, "{} {unit}", self.0 / factor)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

macro_rules! written_as_text {
    ($($name:ty)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

written_as_text! { Bytes Span }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_space() {
        assert_eq!("256 KiB".parse(), Ok(Bytes::kib(256)));
        assert_eq!("256KiB".parse(), Ok(Bytes::kib(256)));
        assert_eq!(" 3 MB ".parse(), Ok(Bytes::new(3_000_000)));
        assert_eq!("0 B".parse(), Ok(Bytes::new(0)));
    }

    #[test]
    fn a_size_without_unit_or_too_large_is_refused() {
        for text in ["256", "", "KiB", "-1 B", "1 kib", "1.5 MiB", "99999999999 TiB"] {
            assert_eq!(text.parse::<Bytes>(), Err(UnitError::Bytes(text.to_owned())));
        }
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_divides_them() {
        for text in ["0 B", "513 B", "256 KiB", "3 MB", "2 GiB"] {
            assert_eq!(text.parse::<Bytes>().map(|bytes| bytes.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn times_are_read_and_shown() {
        let span: Span = "1h 30m".parse().unwrap();

        assert_eq!(span.get(), Duration::from_mins(90));
        assert_eq!(span.to_string(), "1h 30m");
        assert!("90".parse::<Span>().is_err());
    }
}
