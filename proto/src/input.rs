//! Pointer, wheel, keys and text, from the operator's hands to the customer's desktop.
//!
//! Positions are pixels of the shared monitor's picture, origin at its top left.
//! Keys are physical: USB HID usages of page 7, so that both keyboards mean the same place; characters that an input
//! method committed travel as [`Input::Text`].

use serde::{Deserialize, Serialize};

/// A pointer button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Button {
    /// Usually the first button.
    Left,
    /// The wheel pressed.
    Middle,
    /// Usually opens a menu.
    Right,
}

/// A physical key: a usage of the USB HID page 7 (keyboard). Source: HID Usage Tables 1.5, chapter 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(pub u16);

/// One thing the operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The pointer is at `x`, `y` of monitor `monitor`.
    Pointer {
        /// Monitor id of the screen configuration.
        monitor: u8,
        /// Pixels from the left edge.
        x: u16,
        /// Pixels from the top edge.
        y: u16,
    },
    /// A button went down or up.
    Button {
        /// Which.
        button: Button,
        /// Down or up.
        pressed: bool,
    },
    /// The wheel turned, in notches; positive is down and right.
    Wheel {
        /// Horizontal notches.
        dx: i8,
        /// Vertical notches.
        dy: i8,
    },
    /// A key went down or up.
    Key {
        /// Which.
        key: Key,
        /// Down or up.
        pressed: bool,
    },
    /// Committed text, at most [`crate::limits::TEXT_LEN_MAX`] bytes.
    Text(String),
    /// Lets go of everything that is held: sent when the operator's window loses the keyboard.
    ReleaseAll,
}
