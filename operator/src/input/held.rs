//! What is down at the customer because it was sent: pure.
//!
//! Guarantees: it follows what was taken to be sent, so that a dropped queue counts as let go only when its
//! `ReleaseAll` is on its way. It sends nothing itself (`crate::session`).

use std::{collections::BTreeSet, time::Duration};

use proto::input::{Button, Input, Key};

/// Pause between two words while something is held. The customer's tool lets go after 2 s without one.
pub const WORD_EVERY: Duration = Duration::from_millis(700);

/// Says that the operator is there, and does nothing: usage 0 is no key, and it goes up.
pub const WORD: Input = Input::Key { key: Key(0), pressed: false };

/// Keys and buttons that were sent down and not yet up.
#[derive(Debug, Clone, Default)]
pub struct Held {
    keys: BTreeSet<Key>,
    buttons: Vec<Button>,
}

impl Held {
    /// Takes notice of an input that is being sent.
    pub fn note(&mut self, input: &Input) {
        match input {
            Input::Key { key, pressed: true } => {
                self.keys.insert(*key);
            }
            Input::Key { key, pressed: false } => {
                self.keys.remove(key);
            }
            Input::Button { button, pressed } => {
                self.buttons.retain(|held| held != button);
                if *pressed {
                    self.buttons.push(*button);
                }
            }
            Input::ReleaseAll => *self = Self::default(),
            Input::Pointer { .. } | Input::Wheel { .. } | Input::Text(_) => {}
        }
    }

    /// Whether anything is down.
    pub fn is_holding(&self) -> bool {
        !self.keys.is_empty() || !self.buttons.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_held_from_its_press_until_it_is_let_go() {
        let key = |pressed| Input::Key { key: Key(0xE1), pressed };
        let button = |pressed| Input::Button { button: Button::Left, pressed };
        let mut held = Held::default();
        for (input, holding) in [
            (Input::Pointer { monitor: 0, x: 1, y: 1 }, false),
            (key(true), true),
            (button(true), true),
            (key(false), true),
            (WORD, true),
            (button(true), true),
            (button(false), false),
            (key(true), true),
            (Input::ReleaseAll, false),
        ] {
            held.note(&input);
            assert_eq!(held.is_holding(), holding, "{input:?}");
        }
    }
}
