//! What carries a link, and what a tool may use.

use std::{fmt, str::FromStr};

/// What carries a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
}

/// What a tool may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// Whatever works, QUIC if both do.
    #[default]
    Auto,
    /// This one and no other.
    Only(Transport),
}

/// A word that is none of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transport is auto, quic or tcp")]
pub struct ChoiceError;

impl Transport {
    /// The name in logs, events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

impl FromStr for Choice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "quic" => Ok(Self::Only(Transport::Quic)),
            "tcp" => Ok(Self::Only(Transport::Tcp)),
            _ => Err(ChoiceError),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Only(transport) => transport.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for choice in [Choice::Auto, Choice::Only(Transport::Quic), Choice::Only(Transport::Tcp)] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("udp".parse::<Choice>(), Err(ChoiceError));
    }
}
