//! What travels inside sealed frames: one variant per thing said between the two tools.
//!
//! The binary form is postcard (varints, fields in order, variants by index), so variants and fields are only ever
//! added at the end. A message is at most [`limits::MESSAGE_LEN_MAX`] bytes, on the screen lane
//! [`limits::SCREEN_MESSAGE_LEN_MAX`].

use serde::{Deserialize, Serialize};

use crate::{close::CloseReason, frame::Lane, grant::GrantKind, input::Input, limits, screen::cursor::CursorShape};

/// Everything one tool can say to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// First message of each side: its version and language (`ja` or `en`).
    Greeting {
        /// [`crate::version::MESSAGE_VERSION`] of the sender.
        version: u16,
        /// Name and version of the tool, for the other side's log.
        tool: String,
    },
    /// Operator → customer: asks for a grant.
    Ask {
        /// What for.
        kind: GrantKind,
        /// Shown to the customer, at most [`limits::REASON_LEN_MAX`] bytes; may be empty.
        reason: String,
    },
    /// Customer → operator: a grant is live from now.
    Granted {
        /// Which.
        kind: GrantKind,
    },
    /// Customer → operator: a question was answered with no, or not at all.
    Refused {
        /// Which.
        kind: GrantKind,
        /// The customer did not answer in time.
        timed_out: bool,
    },
    /// Customer → operator: a live grant was taken back.
    TakenBack {
        /// Which.
        kind: GrantKind,
    },
    /// Customer → operator: sharing is paused or goes on; while paused no picture is sent and no input acted on.
    Paused {
        /// Paused or not.
        paused: bool,
    },
    /// The session ends now.
    End {
        /// Why.
        reason: CloseReason,
    },
    /// Asks for an [`Message::Echoed`]: measures the round trip from tool to tool.
    Echo {
        /// Returned unchanged.
        nonce: u64,
    },
    /// Answer to [`Message::Echo`].
    Echoed {
        /// The nonce of the question.
        nonce: u64,
    },
    /// Customer → operator: the monitors there are, and which one is shared.
    Monitors {
        /// All monitors, at most [`limits::MONITORS_MAX`].
        monitors: Vec<Monitor>,
        /// Id of the shared one.
        shared: u8,
    },
    /// Operator → customer: wants to see another monitor.
    ChooseMonitor {
        /// Its id.
        monitor: u8,
    },
    /// Operator → customer: the canvas is not exact, start again with a full picture.
    ResetScreen,
    /// Customer → operator: what the settled picture must hash to.
    Check {
        /// Update after which the hash holds.
        update: u64,
        /// xxh3-64 of the picture: BGRX rows top to bottom, X = 0, no padding.
        hash: u64,
    },
    /// Operator → customer: the canvas had that hash.
    Checked {
        /// The update of the question.
        update: u64,
        /// Whether it was equal; if not, a reset follows.
        exact: bool,
    },
    /// Customer → operator: the pointer has a new shape.
    CursorShape(CursorShape),
    /// Customer → operator: the pointer is here, pixels of the shared monitor.
    CursorPosition {
        /// Pixels from the left edge.
        x: i32,
        /// Pixels from the top edge.
        y: i32,
        /// Whether the pointer is on this monitor and not hidden.
        visible: bool,
    },
    /// Operator → customer: pointer and keys, on the input lane.
    Input(Input),
    /// Customer → operator: one screen update (`proto/src/screen`), on the screen lane.
    Screen(
        /// The encoded update.
        #[serde(with = "serde_bytes_vec")]
        Vec<u8>,
    ),
    /// Operator → customer: an update has been applied.
    ScreenAck(ScreenAck),
    /// Receiver → sender: all messages of a lane up to this many bytes have been taken in.
    Credit {
        /// Which lane.
        lane: Lane,
        /// Message bytes taken in since the session began.
        taken: u64,
    },
}

/// Acknowledges one screen update; it paces the customer's encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenAck {
    /// Number of the update.
    pub update: u64,
    /// Bytes of screen messages received in this session.
    pub bytes_total: u64,
    /// Time to decode, microseconds.
    pub decode_us: u32,
}

/// One monitor of the customer, in pixels of the desktop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitor {
    /// Small number, unique in one list.
    pub id: u8,
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Width.
    pub width: u16,
    /// Height.
    pub height: u16,
    /// Name of the output, at most 64 bytes.
    pub name: String,
    /// The desktop's main monitor.
    pub primary: bool,
}

/// Bytes that are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than the lane allows.
    #[error("a message of {len} bytes is longer than {max}")]
    TooLong {
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not the form of any message, or bytes left over.
    #[error("not a message")]
    Malformed,
    /// A value outside its limit.
    #[error("{field} is out of range")]
    OutOfRange {
        /// Which field.
        field: &'static str,
    },
    /// A message on a lane where it does not belong.
    #[error("a message on the wrong lane")]
    WrongLane,
}

impl Message {
    /// The lane on which this message travels.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Input(_) => Lane::Input,
            Self::Screen(_) => Lane::Screen,
            Self::Greeting { .. }
            | Self::Ask { .. }
            | Self::Granted { .. }
            | Self::Refused { .. }
            | Self::TakenBack { .. }
            | Self::Paused { .. }
            | Self::End { .. }
            | Self::Echo { .. }
            | Self::Echoed { .. }
            | Self::Monitors { .. }
            | Self::ChooseMonitor { .. }
            | Self::ResetScreen
            | Self::Check { .. }
            | Self::Checked { .. }
            | Self::CursorShape(_)
            | Self::CursorPosition { .. }
            | Self::ScreenAck(_)
            | Self::Credit { .. } => Lane::Control,
        }
    }

    /// The binary form.
    ///
    /// # Errors
    /// [`MessageError::OutOfRange`] and [`MessageError::TooLong`] for values the other side would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        self.check()?;
        let bytes = postcard::to_allocvec(self).map_err(|_never_for_vec| MessageError::Malformed)?;
        check_len(bytes.len(), self.lane())?;
        Ok(bytes)
    }

    /// Reads a message that came on `lane`.
    ///
    /// # Errors
    /// See [`MessageError`]; nothing larger than the input is allocated.
    pub fn decode(bytes: &[u8], lane: Lane) -> Result<Self, MessageError> {
        check_len(bytes.len(), lane)?;
        let (message, rest) = postcard::take_from_bytes::<Self>(bytes).map_err(|_bad_form| MessageError::Malformed)?;
        if !rest.is_empty() {
            return Err(MessageError::Malformed);
        }
        if message.lane() != lane {
            return Err(MessageError::WrongLane);
        }
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), MessageError> {
        let out_of_range = |field| Err(MessageError::OutOfRange { field });
        match self {
            Self::Ask { reason, .. } if limits::REASON_LEN_MAX < reason.len() => out_of_range("reason"),
            Self::Greeting { tool, .. } if 64 < tool.len() => out_of_range("tool"),
            Self::Monitors { monitors, .. } if limits::MONITORS_MAX < monitors.len() => out_of_range("monitors"),
            Self::Monitors { monitors, .. } if monitors.iter().any(|m| 64 < m.name.len()) => out_of_range("name"),
            Self::Input(Input::Text(text)) if limits::TEXT_LEN_MAX < text.len() => out_of_range("text"),
            Self::CursorShape(shape) if !shape.is_valid() => out_of_range("cursor"),
            _ => Ok(()),
        }
    }
}

fn check_len(len: usize, lane: Lane) -> Result<(), MessageError> {
    let max = lane.message_len_max();
    if len <= max { Ok(()) } else { Err(MessageError::TooLong { len, max }) }
}

/// Serialises a byte vector as one length and its bytes.
mod serde_bytes_vec {
    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;

        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}
