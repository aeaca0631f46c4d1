//! Every way a connection or a session ends or is refused: one number space, one name each.
//!
//! Numbers are never used again; a removed one stays here as a comment.
//! In JSON a reason is its name, in messages and frames its number. A name or number that this version does not know
//! reads as [`CloseReason::Unknown`], so that a newer side can say something new.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal $text:literal)*) => {
        /// Why something ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
        #[schema(rename_all = "snake_case")]
        pub enum CloseReason {$(
            $(#[doc = $doc])+
            $name,
        )*}

        impl CloseReason {
            /// Every reason, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The byte on the wire.
            pub const fn code(self) -> u8 {
                match self {$(Self::$name => $code,)*}
            }

            /// The reason for a byte, if there is one.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {$($code => Some(Self::$name),)* _ => None}
            }

            /// The name in logs, metrics, the API and the database.
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$name => $text,)*}
            }

            /// The reason for a name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {$($text => Some(Self::$name),)* _ => None}
            }
        }
    };
}

reasons! {
    /// The operator ended the session.
    OperatorEnded = 1 "operator_ended"
    /// The customer ended the session.
    CustomerEnded = 2 "customer_ended"
    /// The customer did not want to show the screen.
    ConsentRefused = 3 "consent_refused"
    /// The customer did not answer in time.
    ConsentTimeout = 4 "consent_timeout"
    /// The other side did not come to the relay in time.
    PeerTimeout = 5 "peer_timeout"
    /// The other side's connection was lost.
    PeerLost = 6 "peer_lost"
    /// The four secret digits were different on both sides.
    WrongSecret = 7 "wrong_secret"
    /// The key exchange was not finished in time.
    ProveTimeout = 8 "prove_timeout"
    /// A sealed frame did not open: altered, repeated, reordered or from somewhere else.
    SealBroken = 9 "seal_broken"
    /// Bytes that are not this protocol.
    Malformed = 10 "malformed"
    /// No hello in time.
    HelloTimeout = 11 "hello_timeout"
    /// A version that this side does not speak.
    WrongVersion = 12 "wrong_version"
    /// The ticket is not signed by a key this relay knows.
    TicketUnknown = 13 "ticket_unknown"
    /// The ticket's time is over or has not begun.
    TicketExpired = 14 "ticket_expired"
    /// The ticket is for other relays.
    TicketElsewhere = 15 "ticket_elsewhere"
    /// The ticket was not brought by the tool it was made for.
    ProofWrong = 16 "proof_wrong"
    /// The session was ended by the manager.
    Revoked = 17 "revoked"
    /// Both sides of the session are already here.
    Crowded = 18 "crowded"
    /// A newer connection of the same tool took this one's place.
    Displaced = 19 "displaced"
    /// The relay takes no new sessions because it is being stopped.
    Draining = 20 "draining"
    /// The relay is full.
    Overloaded = 21 "overloaded"
    /// A write made no progress in time.
    WriteStalled = 22 "write_stalled"
    /// Nothing was heard in time.
    Silent = 23 "silent"
    /// The session reached its longest duration.
    HardEnd = 24 "hard_end"
    /// The relay was stopped by force.
    RelayStopped = 25 "relay_stopped"
    /// The connection broke below this protocol.
    TransportLost = 26 "transport_lost"
    /// A server or tool died without saying so; the manager closed the record.
    Abnormal = 27 "abnormal"
    /// The number was cancelled by the operator.
    Cancelled = 28 "cancelled"
    /// A reason that this version does not know.
    Unknown = 255 "unknown"
}

impl Serialize for CloseReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.as_str())
        } else {
            serializer.serialize_u8(self.code())
        }
    }
}

impl<'de> Deserialize<'de> for CloseReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reason;

        impl de::Visitor<'_> for Reason {
            type Value = CloseReason;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a close reason")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<CloseReason, E> {
                Ok(CloseReason::from_name(name).unwrap_or(CloseReason::Unknown))
            }

            fn visit_u8<E: de::Error>(self, code: u8) -> Result<CloseReason, E> {
                Ok(CloseReason::from_code(code).unwrap_or(CloseReason::Unknown))
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Reason)
        } else {
            deserializer.deserialize_u8(Reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_number_and_one_name() {
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_code(reason.code()), Some(*reason));
            assert_eq!(CloseReason::from_name(reason.as_str()), Some(*reason));
        }
        assert!(CloseReason::ALL.is_sorted_by_key(|reason| reason.code()));
        assert_eq!((CloseReason::from_code(0), CloseReason::from_name("")), (None, None));
    }

    #[test]
    fn a_reason_is_its_name_in_json_and_its_number_in_messages() {
        let reason = CloseReason::SealBroken;
        assert_eq!(serde_json::to_string(&reason).unwrap(), r#""seal_broken""#);
        assert_eq!(postcard::to_allocvec(&reason).unwrap(), [9]);
        assert_eq!(serde_json::from_str::<CloseReason>(r#""seal_broken""#).unwrap(), reason);
        assert_eq!(postcard::from_bytes::<CloseReason>(&[9]).unwrap(), reason);
    }

    #[test]
    fn the_reason_of_a_newer_side_reads_as_unknown() {
        assert_eq!(serde_json::from_str::<CloseReason>(r#""from_the_future""#).unwrap(), CloseReason::Unknown);
        assert_eq!(postcard::from_bytes::<CloseReason>(&[200]).unwrap(), CloseReason::Unknown);
    }
}
