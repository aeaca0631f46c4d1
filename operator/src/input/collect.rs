//! Decides which of the operator's actions are sent. Pure; the window tells it what happened.
//!
//! Guarantees: a key that went down goes up, a repeated press is sent once; the release chord is never sent; after the
//! keyboard is released or the window loses it, everything held is let go.

use std::collections::BTreeSet;

use proto::{
    input::{Button, Input, Key},
    limits,
};

use super::keymap;

/// Points of a smooth wheel that make one notch.
const NOTCH_POINTS: f32 = 50.0;

/// Something that happened at the window.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// The pointer is over this pixel of the picture.
    Pointer {
        /// Monitor id.
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
    /// The wheel turned; positive is up and left, as windows say it.
    Wheel {
        /// How far, in notches or points.
        by: (f32, f32),
        /// Points, not notches.
        points: bool,
    },
    /// A key went down or up.
    Key {
        /// Which.
        key: Key,
        /// Down or up.
        pressed: bool,
    },
    /// An input method committed text.
    Text(String),
    /// The window lost the keyboard.
    FocusLost,
}

/// What came of an act.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// What to send, in order.
    pub inputs: Vec<Input>,
    /// The keyboard belongs to this machine again.
    pub released: bool,
}

/// Collects what the operator does while the keyboard is captured.
#[derive(Debug, Default)]
pub struct Collector {
    keys: BTreeSet<Key>,
    buttons: Vec<Button>,
    wheel: (f32, f32),
}

impl Collector {
    /// Takes an act.
    pub fn on(&mut self, act: Act) -> Collected {
        let inputs = match act {
            Act::Pointer { monitor, x, y } => vec![Input::Pointer { monitor, x, y }],
            Act::Button { button, pressed } => self.button(button, pressed),
            Act::Wheel { by, points } => self.wheel(by, points),
            Act::Key { key, pressed } => {
                if pressed && key == keymap::ESCAPE && self.holds_chord() {
                    return Collected { inputs: self.release(), released: true };
                }
                self.key(key, pressed)
            }
            Act::Text(text) => split(&text),
            Act::FocusLost => return Collected { inputs: self.release(), released: true },
        };
        Collected { inputs, released: false }
    }

    /// Lets go of everything.
    pub fn release(&mut self) -> Vec<Input> {
        *self = Self::default();
        vec![Input::ReleaseAll]
    }

    fn button(&mut self, button: Button, pressed: bool) -> Vec<Input> {
        let held = self.buttons.contains(&button);
        if held == pressed {
            return Vec::new();
        }
        if pressed {
            self.buttons.push(button);
        } else {
            self.buttons.retain(|held| *held != button);
        }
        vec![Input::Button { button, pressed }]
    }

    fn key(&mut self, key: Key, pressed: bool) -> Vec<Input> {
        let news = if pressed { self.keys.insert(key) } else { self.keys.remove(&key) };
        if news { vec![Input::Key { key, pressed }] } else { Vec::new() }
    }

    fn wheel(&mut self, by: (f32, f32), points: bool) -> Vec<Input> {
        let unit = if points { NOTCH_POINTS } else { 1.0 };
        self.wheel.0 -= by.0 / unit;
        self.wheel.1 -= by.1 / unit;
        let dx = take_notches(&mut self.wheel.0);
        let dy = take_notches(&mut self.wheel.1);
        if dx == 0 && dy == 0 { Vec::new() } else { vec![Input::Wheel { dx, dy }] }
    }

    /// Ctrl, Alt and Shift are held, each on any side.
    fn holds_chord(&self) -> bool {
        keymap::CHORD_MODIFIERS.iter().all(|sides| sides.iter().any(|key| self.keys.contains(key)))
    }
}

/// Takes whole notches out of a sum and leaves the rest.
fn take_notches(sum: &mut f32) -> i8 {
    if !sum.is_finite() {
        *sum = 0.0;
    }
    let whole = sum.trunc().clamp(-100.0, 100.0);
    *sum -= sum.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "clamped to ±100 above")]
    let notches = whole as i8;
    notches
}

/// Text in pieces that fit into one message each.
pub fn split(text: &str) -> Vec<Input> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if limits::TEXT_LEN_MAX < piece.len().saturating_add(c.len_utf8()) {
            pieces.push(Input::Text(std::mem::take(&mut piece)));
        }
        piece.push(c);
    }
    if !piece.is_empty() {
        pieces.push(Input::Text(piece));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CTRL: Key = Key(0xE0);
    const SHIFT: Key = Key(0xE5);
    const ALT: Key = Key(0xE2);
    const A: Key = Key(0x04);

    fn keys(collector: &mut Collector, acts: &[(Key, bool)]) -> Vec<Input> {
        acts.iter().flat_map(|&(key, pressed)| collector.on(Act::Key { key, pressed }).inputs).collect()
    }

    #[test]
    fn a_held_key_is_sent_once_and_let_go_once() {
        let mut collector = Collector::default();
        let sent = keys(&mut collector, &[(A, true), (A, true), (A, true), (A, false), (A, false)]);
        assert_eq!(sent, [Input::Key { key: A, pressed: true }, Input::Key { key: A, pressed: false }]);
    }

    #[test]
    fn the_release_chord_lets_go_of_everything_and_is_never_sent() {
        let mut collector = Collector::default();
        keys(&mut collector, &[(CTRL, true), (SHIFT, true), (ALT, true)]);
        let collected = collector.on(Act::Key { key: keymap::ESCAPE, pressed: true });
        assert_eq!(collected, Collected { inputs: vec![Input::ReleaseAll], released: true });
    }

    #[test]
    fn escape_without_the_whole_chord_is_an_ordinary_key() {
        let mut collector = Collector::default();
        keys(&mut collector, &[(CTRL, true), (SHIFT, true)]);
        let collected = collector.on(Act::Key { key: keymap::ESCAPE, pressed: true });
        assert_eq!(collected.inputs, [Input::Key { key: keymap::ESCAPE, pressed: true }]);
        assert!(!collected.released);
    }

    #[test]
    fn losing_the_keyboard_lets_go_of_everything() {
        let mut collector = Collector::default();
        keys(&mut collector, &[(A, true)]);
        collector.on(Act::Button { button: Button::Left, pressed: true });
        assert_eq!(collector.on(Act::FocusLost).inputs, [Input::ReleaseAll]);
        assert_eq!(collector.on(Act::Key { key: A, pressed: false }).inputs, [], "it was let go already");
    }

    #[test]
    fn a_smooth_wheel_becomes_whole_notches() {
        let mut collector = Collector::default();
        let turn = |y| Act::Wheel { by: (0.0, y), points: true };
        assert_eq!(collector.on(turn(-30.0)).inputs, []);
        assert_eq!(collector.on(turn(-30.0)).inputs, [Input::Wheel { dx: 0, dy: 1 }]);
        assert_eq!(collector.on(Act::Wheel { by: (0.0, 2.0), points: false }).inputs, [Input::Wheel { dx: 0, dy: -1 }]);
    }

    #[test]
    fn long_text_is_split_between_characters() {
        let text = "漢".repeat(3000);
        let pieces: Vec<_> = split(&text)
            .into_iter()
            .filter_map(|input| if let Input::Text(piece) = input { Some(piece) } else { None })
            .collect();
        assert!(pieces.iter().all(|piece| piece.len() <= limits::TEXT_LEN_MAX));
        assert_eq!(pieces.concat(), text);
    }

    proptest! {
        #[test]
        fn keys_are_sent_as_pairs_and_escape_never_within_the_chord(
            acts in proptest::collection::vec((prop_oneof![Just(CTRL), Just(SHIFT), Just(ALT), Just(A),
                Just(keymap::ESCAPE)], any::<bool>()), 0..300),
        ) {
            let mut collector = Collector::default();
            let mut held = BTreeSet::new();
            for (key, pressed) in acts {
                for input in collector.on(Act::Key { key, pressed }).inputs {
                    if let Input::Key { key, pressed: true } = input {
                        let chord = [CTRL, SHIFT, ALT].iter().all(|key| held.contains(key));
                        prop_assert!(!(key == keymap::ESCAPE && chord));
                        prop_assert!(held.insert(key));
                    } else if let Input::Key { key, pressed: false } = input {
                        prop_assert!(held.remove(&key));
                    } else {
                        prop_assert_eq!(input, Input::ReleaseAll);
                        held.clear();
                    }
                }
            }
        }
    }
}
