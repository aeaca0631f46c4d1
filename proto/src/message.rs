//! What travels inside sealed frames: one variant per thing said between the two tools.
//!
//! The binary form is postcard: variants by index and fields in order, integers as varints, signed ones zigzagged,
//! text and bytes with their length in front. So a variant is only ever added at the end, and the fields of one never
//! change: what needs other fields is another variant. A side sends only what exists in the smaller of both versions
//! that the [`Message::Greeting`]s named.
//! A message is at most [`limits::MESSAGE_LEN_MAX`] bytes, on the screen lane [`limits::SCREEN_MESSAGE_LEN_MAX`].
//! The table of all messages is in `proto/PROTOCOL.md`.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{close::CloseReason, frame::Lane, grant::GrantKind, input::Input, limits, screen::cursor::CursorShape};

/// Everything one tool can say to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// First message of each side: what it speaks.
    Greeting {
        /// [`crate::version::MESSAGE_VERSION`] of the sender.
        version: u16,
        /// Name and version of the tool, for the other side's log; at most [`limits::TOOL_NAME_LEN_MAX`] bytes.
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
        #[serde(deserialize_with = "few_monitors")]
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
    /// Receiver → sender: frames that opened, so that the sender need not keep them for a change of relays.
    Received {
        /// The sequence number due next on each lane, in the order of [`Lane::ALL`].
        next: [u64; 4],
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
    /// Name of the output, at most [`limits::MONITOR_NAME_LEN_MAX`] bytes.
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
    /// Whether it only tells what arrived. It is not answered by another such word, which would never end.
    pub const fn is_receipt(&self) -> bool {
        matches!(self, Self::Received { .. } | Self::Credit { .. })
    }

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
            | Self::Credit { .. }
            | Self::Received { .. } => Lane::Control,
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

    /// Whether every value is within its limit.
    fn check(&self) -> Result<(), MessageError> {
        match self {
            Self::Ask { reason, .. } => within(reason.len() <= limits::REASON_LEN_MAX, "reason"),
            Self::Greeting { tool, .. } => within(tool.len() <= limits::TOOL_NAME_LEN_MAX, "tool"),
            Self::Monitors { monitors, .. } => {
                within(monitors.len() <= limits::MONITORS_MAX, "monitors")?;
                let named = |monitor: &Monitor| monitor.name.len() <= limits::MONITOR_NAME_LEN_MAX;
                within(monitors.iter().all(named), "name")
            }
            Self::Input(Input::Text(text)) => within(text.len() <= limits::TEXT_LEN_MAX, "text"),
            Self::CursorShape(shape) => within(shape.is_valid(), "cursor"),
            Self::Input(
                Input::Pointer { .. }
                | Input::Button { .. }
                | Input::Wheel { .. }
                | Input::Key { .. }
                | Input::ReleaseAll,
            )
            | Self::Granted { .. }
            | Self::Refused { .. }
            | Self::TakenBack { .. }
            | Self::Paused { .. }
            | Self::End { .. }
            | Self::Echo { .. }
            | Self::Echoed { .. }
            | Self::ChooseMonitor { .. }
            | Self::ResetScreen
            | Self::Check { .. }
            | Self::Checked { .. }
            | Self::CursorPosition { .. }
            | Self::Screen(_)
            | Self::ScreenAck(_)
            | Self::Credit { .. }
            | Self::Received { .. } => Ok(()),
        }
    }
}

const fn within(holds: bool, field: &'static str) -> Result<(), MessageError> {
    if holds { Ok(()) } else { Err(MessageError::OutOfRange { field }) }
}

/// Reads monitors and stops after the last one allowed, so that a short message does not grow in memory.
fn few_monitors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Monitor>, D::Error> {
    struct Few;

    impl<'de> de::Visitor<'de> for Few {
        type Value = Vec<Monitor>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {} monitors", limits::MONITORS_MAX)
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Monitor>, A::Error> {
            let mut monitors = Vec::new();
            while let Some(monitor) = seq.next_element()? {
                if limits::MONITORS_MAX <= monitors.len() {
                    return Err(de::Error::invalid_length(monitors.len(), &self));
                }
                monitors.push(monitor);
            }
            Ok(monitors)
        }
    }

    deserializer.deserialize_seq(Few)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::{Button, Key};

    fn shape(width: u16, height: u16) -> CursorShape {
        let bgra = vec![9; usize::from(width) * usize::from(height) * 4];
        CursorShape { width, height, hot_x: 0, hot_y: 0, bgra }
    }

    fn monitor(name: &str) -> Monitor {
        Monitor { id: 1, x: -1920, y: 0, width: 1920, height: 1080, name: name.to_owned(), primary: true }
    }

    fn kind() -> impl Strategy<Value = GrantKind> {
        prop::sample::select(GrantKind::ALL)
    }

    fn input() -> impl Strategy<Value = Input> {
        let button = prop::sample::select(vec![Button::Left, Button::Middle, Button::Right]);
        prop_oneof![
            any::<(u8, u16, u16)>().prop_map(|(monitor, x, y)| Input::Pointer { monitor, x, y }),
            (button, any::<bool>()).prop_map(|(button, pressed)| Input::Button { button, pressed }),
            any::<(i8, i8)>().prop_map(|(dx, dy)| Input::Wheel { dx, dy }),
            any::<(u16, bool)>().prop_map(|(key, pressed)| Input::Key { key: Key(key), pressed }),
            ".{0,60}".prop_map(Input::Text),
            Just(Input::ReleaseAll),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let monitors = prop::collection::vec(
            (any::<(u8, i32, i32, u16, u16, bool)>(), "[a-zA-Z0-9-]{0,64}").prop_map(
                |((id, x, y, width, height, primary), name)| Monitor { id, x, y, width, height, name, primary },
            ),
            0..=limits::MONITORS_MAX,
        );
        prop_oneof![
            (any::<u16>(), "[ -~]{0,64}").prop_map(|(version, tool)| Message::Greeting { version, tool }),
            (kind(), ".{0,60}").prop_map(|(kind, reason)| Message::Ask { kind, reason }),
            kind().prop_map(|kind| Message::Granted { kind }),
            (kind(), any::<bool>()).prop_map(|(kind, timed_out)| Message::Refused { kind, timed_out }),
            kind().prop_map(|kind| Message::TakenBack { kind }),
            any::<bool>().prop_map(|paused| Message::Paused { paused }),
            prop::sample::select(CloseReason::ALL).prop_map(|reason| Message::End { reason }),
            any::<u64>().prop_map(|nonce| Message::Echo { nonce }),
            any::<u64>().prop_map(|nonce| Message::Echoed { nonce }),
            (monitors, any::<u8>()).prop_map(|(monitors, shared)| Message::Monitors { monitors, shared }),
            any::<u8>().prop_map(|monitor| Message::ChooseMonitor { monitor }),
            Just(Message::ResetScreen),
            any::<(u64, u64)>().prop_map(|(update, hash)| Message::Check { update, hash }),
            any::<(u64, bool)>().prop_map(|(update, exact)| Message::Checked { update, exact }),
            (0..20u16, 0..20u16).prop_map(|(width, height)| Message::CursorShape(shape(width, height))),
            any::<(i32, i32, bool)>().prop_map(|(x, y, visible)| Message::CursorPosition { x, y, visible }),
            input().prop_map(Message::Input),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(Message::Screen),
            any::<(u64, u64, u32)>().prop_map(|(update, bytes_total, decode_us)| {
                Message::ScreenAck(ScreenAck { update, bytes_total, decode_us })
            }),
            (prop::sample::select(Lane::ALL.as_slice()), any::<u64>())
                .prop_map(|(lane, taken)| Message::Credit { lane, taken }),
            any::<[u64; 4]>().prop_map(|next| Message::Received { next }),
        ]
    }

    #[test]
    fn the_largest_values_fit_their_lanes() {
        let edge = limits::CURSOR_EDGE_MAX;
        for message in [
            Message::CursorShape(shape(edge, edge)),
            Message::Input(Input::Text("x".repeat(limits::TEXT_LEN_MAX))),
            Message::Monitors { monitors: vec![monitor(&"x".repeat(64)); limits::MONITORS_MAX], shared: 0 },
        ] {
            let bytes = message.encode().unwrap();
            assert_eq!(Message::decode(&bytes, message.lane()), Ok(message));
        }
    }

    #[test]
    fn a_value_beyond_its_limit_is_neither_sent_nor_read() {
        let edge = limits::CURSOR_EDGE_MAX;
        for (message, field) in [
            (Message::Ask { kind: GrantKind::View, reason: "x".repeat(limits::REASON_LEN_MAX + 1) }, "reason"),
            (Message::Greeting { version: 1, tool: "x".repeat(65) }, "tool"),
            (Message::Monitors { monitors: vec![monitor(&"x".repeat(65))], shared: 0 }, "name"),
            (Message::Input(Input::Text("x".repeat(limits::TEXT_LEN_MAX + 1))), "text"),
            (Message::CursorShape(shape(edge + 1, 1)), "cursor"),
            (Message::CursorShape(CursorShape { width: 2, ..shape(1, 1) }), "cursor"),
        ] {
            assert_eq!(message.encode(), Err(MessageError::OutOfRange { field }));
            let forced = postcard::to_allocvec(&message).unwrap();
            assert_eq!(Message::decode(&forced, message.lane()), Err(MessageError::OutOfRange { field }));
        }
        let many = Message::Monitors { monitors: vec![monitor(""); limits::MONITORS_MAX + 1], shared: 0 };
        assert_eq!(many.encode(), Err(MessageError::OutOfRange { field: "monitors" }));
        assert_eq!(
            Message::decode(&postcard::to_allocvec(&many).unwrap(), Lane::Control),
            Err(MessageError::Malformed)
        );
    }

    #[test]
    fn a_message_that_claims_more_than_it_brings_is_refused() {
        for lie in [
            &[9, 0xff, 0xff, 0xff, 0xff, 0x0f][..],          // Monitors
            &[14, 1, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], // CursorShape
            &[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f],           // Ask
        ] {
            assert_eq!(Message::decode(lie, Lane::Control), Err(MessageError::Malformed));
        }
        assert_eq!(Message::decode(&[17, 0xff, 0xff, 0x0f], Lane::Screen), Err(MessageError::Malformed));
        assert_eq!(Message::decode(&[16, 4, 0xff, 0xff, 0x0f], Lane::Input), Err(MessageError::Malformed));
    }

    #[test]
    fn too_many_bytes_a_wrong_lane_and_bytes_left_over_are_refused() {
        let long = vec![0; limits::MESSAGE_LEN_MAX + 1];
        let too_long = MessageError::TooLong { len: long.len(), max: limits::MESSAGE_LEN_MAX };
        assert_eq!(Message::decode(&long, Lane::Input), Err(too_long));
        let reset = Message::ResetScreen.encode().unwrap();
        assert_eq!(Message::decode(&reset, Lane::Input), Err(MessageError::WrongLane));
        assert_eq!(Message::decode(&[reset.as_slice(), &[0]].concat(), Lane::Control), Err(MessageError::Malformed));
        assert_eq!(Message::decode(&[], Lane::Control), Err(MessageError::Malformed));
        assert_eq!(Message::decode(&[20], Lane::Control), Err(MessageError::Malformed), "the first free index");
    }

    #[test]
    fn only_the_shortest_pause_and_grant_are_what_they_say() {
        assert_eq!(Message::decode(&[5, 1], Lane::Control), Ok(Message::Paused { paused: true }));
        assert_eq!(Message::decode(&[5, 2], Lane::Control), Err(MessageError::Malformed));
        assert_eq!(Message::decode(&[2, 3], Lane::Control), Err(MessageError::Malformed), "no fourth kind");
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(message in message()) {
            let bytes = message.encode().unwrap();
            prop_assert_eq!(Message::decode(&bytes, message.lane()), Ok(message));
        }

        #[test]
        fn a_message_cut_anywhere_is_refused(message in message(), cut: usize) {
            let bytes = message.encode().unwrap();
            prop_assert!(Message::decode(&bytes[..cut % bytes.len()], message.lane()).is_err());
        }

        #[test]
        fn any_bytes_are_a_message_that_survives_writing_or_an_error(
            first in 0..22u8,
            rest in prop::collection::vec(any::<u8>(), 0..80),
            lane in prop::sample::select(Lane::ALL.as_slice()),
        ) {
            let bytes = [&[first], rest.as_slice()].concat();
            if let Ok(message) = Message::decode(&bytes, lane) {
                prop_assert_eq!(Message::decode(&message.encode().unwrap(), lane), Ok(message));
            }
        }
    }
}
