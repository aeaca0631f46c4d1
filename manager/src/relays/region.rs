//! Where a relay is, and where a company's sessions must stay.

use std::{fmt, str::FromStr};

/// A region. Source: the product's whitepaper, its three data centres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Region {
    /// Japan.
    Japan,
    /// Europe.
    Europe,
    /// North America.
    NorthAmerica,
}

/// A text that names no region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a region is jp, eu or us")]
pub struct UnknownRegion;

impl Region {
    /// Every region.
    pub const ALL: [Self; 3] = [Self::Japan, Self::Europe, Self::NorthAmerica];

    /// The value of the column and at the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Japan => "jp",
            Self::Europe => "eu",
            Self::NorthAmerica => "us",
        }
    }
}

impl FromStr for Region {
    type Err = UnknownRegion;

    fn from_str(text: &str) -> Result<Self, UnknownRegion> {
        Self::ALL.into_iter().find(|region| region.as_str() == text).ok_or(UnknownRegion)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
