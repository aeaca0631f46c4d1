//! What is held down, and what an input means for it: pure.
//!
//! Guarantees: a key or button that was pressed is let go exactly once, whatever comes; while input is not allowed the
//! only deeds are letting go.

use std::collections::BTreeSet;

use proto::{
    input::{Button, Input, Key},
    message::Monitor,
};

use super::keymap;

/// One thing to do on the desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// The pointer goes here, pixels of the desktop.
    Point(i32, i32),
    /// A button goes down or up.
    Button(Button, bool),
    /// The wheel turns, notches.
    Wheel(i8, i8),
    /// A key goes down or up: evdev code.
    Key(u16, bool),
    /// This text is typed.
    Text(String),
}

/// Keys and buttons that are down because the operator pressed them.
#[derive(Debug, Clone, Default)]
pub struct Held {
    keys: BTreeSet<u16>,
    left: bool,
    middle: bool,
    right: bool,
    monitors: Vec<Monitor>,
}

impl Held {
    /// Positions refer to these monitors from now.
    pub fn set_monitors(&mut self, monitors: Vec<Monitor>) {
        self.monitors = monitors;
    }

    /// Whether anything is down.
    pub fn is_holding(&self) -> bool {
        !self.keys.is_empty() || self.left || self.middle || self.right
    }

    /// The deeds for an input. When it is not allowed, everything held is let go and nothing else happens.
    pub fn plan(&mut self, input: Input, allowed: bool) -> Vec<Deed> {
        if !allowed {
            return self.release_all();
        }
        match input {
            Input::Pointer { monitor, x, y } => self.point(monitor, x, y),
            Input::Button { button, pressed } => {
                let held = self.held_mut(button);
                let changes = std::mem::replace(held, pressed) != pressed;
                changes.then_some(Deed::Button(button, pressed)).into_iter().collect()
            }
            Input::Wheel { dx, dy } => vec![Deed::Wheel(dx, dy)],
            Input::Key { key, pressed } => self.key(key, pressed),
            Input::Text(text) => {
                // A held Shift would change every letter.
                let mut deeds = self.release_keys();
                deeds.push(Deed::Text(text));
                deeds
            }
            Input::ReleaseAll => self.release_all(),
        }
    }

    fn point(&self, monitor: u8, x: u16, y: u16) -> Vec<Deed> {
        let Some(monitor) = self.monitors.iter().find(|known| known.id == monitor) else { return Vec::new() };
        let x = x.min(monitor.width.saturating_sub(1));
        let y = y.min(monitor.height.saturating_sub(1));
        vec![Deed::Point(monitor.x.saturating_add(i32::from(x)), monitor.y.saturating_add(i32::from(y)))]
    }

    /// A key that is down already stays down: the desktop repeats it by itself.
    fn key(&mut self, key: Key, pressed: bool) -> Vec<Deed> {
        let Some(evdev) = keymap::evdev(key) else { return Vec::new() };
        let changes = if pressed { self.keys.insert(evdev) } else { self.keys.remove(&evdev) };
        changes.then_some(Deed::Key(evdev, pressed)).into_iter().collect()
    }

    fn release_keys(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.keys).into_iter().map(|evdev| Deed::Key(evdev, false)).collect()
    }

    fn release_all(&mut self) -> Vec<Deed> {
        let mut deeds = self.release_keys();
        for button in [Button::Left, Button::Middle, Button::Right] {
            if std::mem::take(self.held_mut(button)) {
                deeds.push(Deed::Button(button, false));
            }
        }
        deeds
    }

    const fn held_mut(&mut self, button: Button) -> &mut bool {
        match button {
            Button::Left => &mut self.left,
            Button::Middle => &mut self.middle,
            Button::Right => &mut self.right,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn monitor(id: u8, x: i32, y: i32) -> Monitor {
        Monitor { id, x, y, width: 800, height: 600, name: String::new(), primary: false }
    }

    fn input() -> impl Strategy<Value = Input> {
        let button = prop::sample::select(&[Button::Left, Button::Middle, Button::Right][..]);
        prop_oneof![
            (0u8..3, any::<u16>(), any::<u16>()).prop_map(|(monitor, x, y)| Input::Pointer { monitor, x, y }),
            (button, any::<bool>()).prop_map(|(button, pressed)| Input::Button { button, pressed }),
            (any::<i8>(), any::<i8>()).prop_map(|(dx, dy)| Input::Wheel { dx, dy }),
            (0u16..0x120, any::<bool>()).prop_map(|(key, pressed)| Input::Key { key: Key(key), pressed }),
            ".{0,8}".prop_map(Input::Text),
            Just(Input::ReleaseAll),
        ]
    }

    proptest! {
        #[test]
        fn what_is_pressed_is_let_go_once_and_nothing_else_acts_when_it_is_not_allowed(
            steps in prop::collection::vec((input(), any::<bool>()), 0..80)
        ) {
            let mut held = Held::default();
            held.set_monitors(vec![monitor(0, 0, 0), monitor(1, -800, 40)]);
            let mut down = BTreeSet::new();
            for (input, allowed) in steps.into_iter().chain([(Input::ReleaseAll, true)]) {
                for deed in held.plan(input, allowed) {
                    let (name, pressed) = match deed {
                        Deed::Key(code, pressed) => (format!("key {code}"), pressed),
                        Deed::Button(button, pressed) => (format!("{button:?}"), pressed),
                        Deed::Point(..) | Deed::Wheel(..) | Deed::Text(_) => {
                            prop_assert!(allowed);
                            continue;
                        }
                    };
                    prop_assert!(allowed || !pressed);
                    prop_assert_eq!(pressed, !down.contains(&name), "pressed once, let go once");
                    if pressed { down.insert(name); } else { down.remove(&name); }
                }
                prop_assert_eq!(held.is_holding(), !down.is_empty());
            }
            prop_assert!(down.is_empty());
        }
    }

    #[test]
    fn a_position_is_counted_from_its_monitor_and_stays_on_it() {
        let mut held = Held::default();
        held.set_monitors(vec![monitor(0, 0, 0), monitor(1, 800, 40)]);
        assert_eq!(held.plan(Input::Pointer { monitor: 1, x: 10, y: 5 }, true), [Deed::Point(810, 45)]);
        assert_eq!(held.plan(Input::Pointer { monitor: 1, x: 9_999, y: 9_999 }, true), [Deed::Point(1599, 639)]);
        assert_eq!(held.plan(Input::Pointer { monitor: 7, x: 1, y: 1 }, true), []);
    }

    #[test]
    fn a_text_is_typed_with_no_key_held() {
        let mut held = Held::default();
        let shift = Key(0xE1);
        held.plan(Input::Key { key: shift, pressed: true }, true);
        assert_eq!(held.plan(Input::Text("あ".to_owned()), true), [Deed::Key(42, false), Deed::Text("あ".to_owned())]);
        assert_eq!(held.plan(Input::Key { key: shift, pressed: false }, true), []);
    }
}
