//! The commands of the headless mode: one JSON object a line, strictly read.

use proto::{
    grant::GrantKind,
    id::ReceptionId,
    input::{Button, Input, Key},
};
use serde::Deserialize;
use serde_json::Value;

use crate::input::{collect, keymap};

/// Every verb, in the order of the manual.
pub const VERBS: &[&str] = &[
    "issue", "cancel", "extend", "numbers", "history", "ask", "pointer", "click", "button", "wheel", "key", "text",
    "monitor", "picture", "watch", "figures", "end", "quit",
];

/// One command.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// A new number.
    Issue {
        /// Shown to the customer.
        #[serde(default)]
        reason: String,
        /// Life of the number.
        #[serde(default)]
        life_secs: Option<u64>,
        /// All ten digits of a number that a device management started, instead of a new one.
        #[serde(default)]
        number: Option<String>,
    },
    /// Make a number unusable; the newest open one when none is named.
    Cancel {
        /// Which.
        #[serde(default)]
        reception_id: Option<ReceptionId>,
    },
    /// Give a number its full life again; the newest open one when none is named.
    Extend {
        /// Which.
        #[serde(default)]
        reception_id: Option<ReceptionId>,
    },
    /// Tell the own numbers.
    Numbers {},
    /// Tell recent sessions.
    History {},
    /// Ask the customer.
    Ask {
        /// For what.
        grant: GrantKind,
        /// Shown to the customer.
        #[serde(default)]
        reason: String,
    },
    /// Move the pointer.
    Pointer {
        /// Pixels from the left edge of the picture.
        x: u16,
        /// Pixels from the top edge of the picture.
        y: u16,
    },
    /// Move, press and let go.
    Click {
        /// Pixels from the left edge of the picture.
        x: u16,
        /// Pixels from the top edge of the picture.
        y: u16,
        /// Which button.
        #[serde(default = "left")]
        button: Button,
        /// How often: 1 to 3.
        #[serde(default = "once")]
        times: u8,
    },
    /// Press or let go of a button where the pointer is.
    Button {
        /// Which.
        #[serde(default = "left")]
        button: Button,
        /// Down or up.
        pressed: bool,
    },
    /// Turn the wheel; positive is down and right.
    Wheel {
        /// Notches to the right.
        #[serde(default)]
        dx: i8,
        /// Notches down.
        #[serde(default)]
        dy: i8,
    },
    /// Press a key, with modifiers; both down and up when `pressed` is absent.
    Key {
        /// Name of the key.
        key: String,
        /// With Ctrl.
        #[serde(default)]
        ctrl: bool,
        /// With Shift.
        #[serde(default)]
        shift: bool,
        /// With Alt.
        #[serde(default)]
        alt: bool,
        /// With the Windows or Command key.
        #[serde(default)]
        meta: bool,
        /// Only down, or only up.
        #[serde(default)]
        pressed: Option<bool>,
    },
    /// Send text as it is.
    Text {
        /// The text.
        text: String,
    },
    /// See another monitor.
    Monitor {
        /// Its id.
        id: u8,
    },
    /// Write the picture as PNG, without the pointer.
    Picture {
        /// Where to.
        file: std::path::PathBuf,
    },
    /// Tell every update.
    Watch {
        /// From now or no more.
        on: bool,
    },
    /// Tell what was measured.
    Figures {},
    /// End the session.
    End {},
    /// End everything and leave.
    Quit {},
}

/// A line that is not a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCommand {
    /// `unknown_command` or `bad_value`.
    pub code: &'static str,
    /// One English sentence.
    pub message: String,
    /// Its `do`, if it has one.
    pub verb: Option<String>,
}

const fn left() -> Button {
    Button::Left
}

const fn once() -> u8 {
    1
}

/// Reads a command.
///
/// # Errors
/// When the verb does not exist, or a value is missing, unknown or out of range.
pub fn read(line: Value) -> Result<Command, BadCommand> {
    let verb = line.get("do").and_then(Value::as_str).map(ToOwned::to_owned);
    let Some(name) = verb.as_deref() else {
        let message = "a command is an object with a text \"do\"".to_owned();
        return Err(BadCommand { code: "bad_value", message, verb: None });
    };
    if !VERBS.contains(&name) {
        let message = format!("there is no such command; there are {}", VERBS.join(", "));
        return Err(BadCommand { code: "unknown_command", message, verb });
    }
    serde_json::from_value(line).map_err(|error| BadCommand { code: "bad_value", message: error.to_string(), verb })
}

/// What a command means for pointer and keys, for the monitor that is shared.
///
/// # Errors
/// One sentence when a value is out of range. `size` is the size of the picture, if there is one.
pub fn inputs(command: &Command, monitor: u8, size: Option<(u16, u16)>) -> Result<Option<Vec<Input>>, String> {
    let inside = |x: u16, y: u16| match size {
        Some((width, height)) if width <= x || height <= y => {
            Err(format!("{x}, {y} is outside the picture of {width}x{height}"))
        }
        Some(_) | None => Ok(Input::Pointer { monitor, x, y }),
    };
    let inputs = match command {
        Command::Pointer { x, y } => vec![inside(*x, *y)?],
        Command::Click { x, y, button, times } => {
            if !(1..=3).contains(times) {
                return Err("times is not between 1 and 3".to_owned());
            }
            let mut inputs = vec![inside(*x, *y)?];
            for _ in 0..*times {
                inputs.extend([true, false].map(|pressed| Input::Button { button: *button, pressed }));
            }
            inputs
        }
        Command::Button { button, pressed } => vec![Input::Button { button: *button, pressed: *pressed }],
        Command::Wheel { dx: 0, dy: 0 } => return Err("dx and dy are both 0".to_owned()),
        Command::Wheel { dx, dy } => vec![Input::Wheel { dx: *dx, dy: *dy }],
        Command::Key { key, ctrl, shift, alt, meta, pressed } => {
            let key = keymap::of_name(key).ok_or_else(|| format!("there is no key {key:?}"))?;
            let modifiers = [(ctrl, keymap::CTRL), (shift, keymap::SHIFT), (alt, keymap::ALT), (meta, keymap::META)]
                .into_iter()
                .filter_map(|(held, key)| held.then_some(key));
            strokes(&modifiers.collect::<Vec<_>>(), key, *pressed)
        }
        Command::Text { text } if text.is_empty() => return Err("text is empty".to_owned()),
        Command::Text { text } => collect::split(text),
        Command::Issue { .. }
        | Command::Cancel { .. }
        | Command::Extend { .. }
        | Command::Numbers {}
        | Command::History {}
        | Command::Ask { .. }
        | Command::Monitor { .. }
        | Command::Picture { .. }
        | Command::Watch { .. }
        | Command::Figures {}
        | Command::End {}
        | Command::Quit {} => return Ok(None),
    };
    Ok(Some(inputs))
}

fn strokes(modifiers: &[Key], key: Key, pressed: Option<bool>) -> Vec<Input> {
    let down = modifiers.iter().copied().chain([key]).map(|key| Input::Key { key, pressed: true });
    let up = [key].into_iter().chain(modifiers.iter().rev().copied()).map(|key| Input::Key { key, pressed: false });
    match pressed {
        None => down.chain(up).collect(),
        Some(true) => down.collect(),
        Some(false) => up.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(line: Value) -> Result<Vec<Input>, String> {
        inputs(&read(line).unwrap(), 2, Some((100, 50))).map(Option::unwrap)
    }

    #[test]
    fn an_unknown_verb_an_unknown_field_and_a_bad_value_are_told_apart() {
        assert_eq!(read(json!({"do": "fly"})).unwrap_err().code, "unknown_command");
        assert_eq!(read(json!({"do": "pointer", "x": 1, "y": 1, "z": 1})).unwrap_err().code, "bad_value");
        let bad = read(json!({"do": "pointer", "x": -1, "y": 1})).unwrap_err();
        assert_eq!((bad.code, bad.verb.as_deref()), ("bad_value", Some("pointer")));
        assert_eq!(read(json!([1])).unwrap_err().verb, None);
    }

    #[test]
    fn every_verb_of_the_list_is_read_and_no_other() {
        for verb in VERBS {
            let error = read(json!({"do": verb})).err().map(|error| error.message).unwrap_or_default();
            assert!(!error.contains("unknown variant"), "{verb}: {error}");
        }
    }

    #[test]
    fn a_click_moves_presses_and_lets_go() {
        let moved = Input::Pointer { monitor: 2, x: 10, y: 20 };
        let button = |pressed| Input::Button { button: Button::Right, pressed };
        let sent = of(json!({"do": "click", "x": 10, "y": 20, "button": "right"})).unwrap();
        assert_eq!(sent, [moved, button(true), button(false)]);
    }

    #[test]
    fn a_key_with_modifiers_goes_down_in_order_and_up_in_reverse() {
        let sent = of(json!({"do": "key", "key": "a", "ctrl": true, "shift": true})).unwrap();
        let key = |(key, pressed)| Input::Key { key: Key(key), pressed };
        assert_eq!(sent, [(0xE0, true), (0xE1, true), (4, true), (4, false), (0xE1, false), (0xE0, false)].map(key));
    }

    #[test]
    fn a_place_outside_the_picture_is_refused() {
        assert!(of(json!({"do": "pointer", "x": 100, "y": 0})).is_err());
        assert!(of(json!({"do": "click", "x": 0, "y": 50})).is_err());
        assert!(of(json!({"do": "click", "x": 0, "y": 0, "times": 4})).is_err());
        assert!(of(json!({"do": "key", "key": "NoSuchKey"})).is_err());
        assert!(of(json!({"do": "wheel"})).is_err());
        assert!(of(json!({"do": "text", "text": ""})).is_err());
    }
}
