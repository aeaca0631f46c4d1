//! The keys: what the window calls them, what programs call them, and their USB HID usages.
//!
//! Keys are places on the keyboard, not characters: `a` is the key right of Caps Lock whatever it types.
//! Source: HID Usage Tables 1.5, chapter 10; W3C UI Events, code values of keyboard events, for the Japanese keys.

use proto::input::Key;
use winit::keyboard::KeyCode;

/// The escape key, the last key of the release chord.
pub const ESCAPE: Key = Key(0x29);
/// The modifiers of the release chord, left and right: Ctrl, Alt, Shift.
pub const CHORD_MODIFIERS: [[Key; 2]; 3] = [[Key(0xE0), Key(0xE4)], [Key(0xE2), Key(0xE6)], [Key(0xE1), Key(0xE5)]];
/// The left Ctrl key.
pub const CTRL: Key = Key(0xE0);
/// The left Shift key.
pub const SHIFT: Key = Key(0xE1);
/// The left Alt key.
pub const ALT: Key = Key(0xE2);
/// The left Windows or Command key.
pub const META: Key = Key(0xE3);

/// Each key: the window's code, the usage, the names in commands.
#[rustfmt::skip]
const KEYS: &[(KeyCode, u16, &[&str])] = &[
    (KeyCode::KeyA, 0x04, &["a"]),
    (KeyCode::KeyB, 0x05, &["b"]),
    (KeyCode::KeyC, 0x06, &["c"]),
    (KeyCode::KeyD, 0x07, &["d"]),
    (KeyCode::KeyE, 0x08, &["e"]),
    (KeyCode::KeyF, 0x09, &["f"]),
    (KeyCode::KeyG, 0x0A, &["g"]),
    (KeyCode::KeyH, 0x0B, &["h"]),
    (KeyCode::KeyI, 0x0C, &["i"]),
    (KeyCode::KeyJ, 0x0D, &["j"]),
    (KeyCode::KeyK, 0x0E, &["k"]),
    (KeyCode::KeyL, 0x0F, &["l"]),
    (KeyCode::KeyM, 0x10, &["m"]),
    (KeyCode::KeyN, 0x11, &["n"]),
    (KeyCode::KeyO, 0x12, &["o"]),
    (KeyCode::KeyP, 0x13, &["p"]),
    (KeyCode::KeyQ, 0x14, &["q"]),
    (KeyCode::KeyR, 0x15, &["r"]),
    (KeyCode::KeyS, 0x16, &["s"]),
    (KeyCode::KeyT, 0x17, &["t"]),
    (KeyCode::KeyU, 0x18, &["u"]),
    (KeyCode::KeyV, 0x19, &["v"]),
    (KeyCode::KeyW, 0x1A, &["w"]),
    (KeyCode::KeyX, 0x1B, &["x"]),
    (KeyCode::KeyY, 0x1C, &["y"]),
    (KeyCode::KeyZ, 0x1D, &["z"]),
    (KeyCode::Digit1, 0x1E, &["1"]),
    (KeyCode::Digit2, 0x1F, &["2"]),
    (KeyCode::Digit3, 0x20, &["3"]),
    (KeyCode::Digit4, 0x21, &["4"]),
    (KeyCode::Digit5, 0x22, &["5"]),
    (KeyCode::Digit6, 0x23, &["6"]),
    (KeyCode::Digit7, 0x24, &["7"]),
    (KeyCode::Digit8, 0x25, &["8"]),
    (KeyCode::Digit9, 0x26, &["9"]),
    (KeyCode::Digit0, 0x27, &["0"]),
    (KeyCode::Enter, 0x28, &["Return", "Enter"]),
    (KeyCode::Escape, 0x29, &["Escape", "Esc"]),
    (KeyCode::Backspace, 0x2A, &["BackSpace"]),
    (KeyCode::Tab, 0x2B, &["Tab"]),
    (KeyCode::Space, 0x2C, &["space"]),
    (KeyCode::Minus, 0x2D, &["minus", "-"]),
    (KeyCode::Equal, 0x2E, &["equal", "="]),
    (KeyCode::BracketLeft, 0x2F, &["bracketleft", "["]),
    (KeyCode::BracketRight, 0x30, &["bracketright", "]"]),
    (KeyCode::Backslash, 0x31, &["backslash"]),
    (KeyCode::Semicolon, 0x33, &["semicolon", ";"]),
    (KeyCode::Quote, 0x34, &["apostrophe", "'"]),
    (KeyCode::Backquote, 0x35, &["grave", "`"]),
    (KeyCode::Comma, 0x36, &["comma", ","]),
    (KeyCode::Period, 0x37, &["period", "."]),
    (KeyCode::Slash, 0x38, &["slash", "/"]),
    (KeyCode::CapsLock, 0x39, &["Caps_Lock"]),
    (KeyCode::F1, 0x3A, &["F1"]),
    (KeyCode::F2, 0x3B, &["F2"]),
    (KeyCode::F3, 0x3C, &["F3"]),
    (KeyCode::F4, 0x3D, &["F4"]),
    (KeyCode::F5, 0x3E, &["F5"]),
    (KeyCode::F6, 0x3F, &["F6"]),
    (KeyCode::F7, 0x40, &["F7"]),
    (KeyCode::F8, 0x41, &["F8"]),
    (KeyCode::F9, 0x42, &["F9"]),
    (KeyCode::F10, 0x43, &["F10"]),
    (KeyCode::F11, 0x44, &["F11"]),
    (KeyCode::F12, 0x45, &["F12"]),
    (KeyCode::PrintScreen, 0x46, &["Print"]),
    (KeyCode::ScrollLock, 0x47, &["Scroll_Lock"]),
    (KeyCode::Pause, 0x48, &["Pause"]),
    (KeyCode::Insert, 0x49, &["Insert"]),
    (KeyCode::Home, 0x4A, &["Home"]),
    (KeyCode::PageUp, 0x4B, &["Page_Up", "Prior"]),
    (KeyCode::Delete, 0x4C, &["Delete"]),
    (KeyCode::End, 0x4D, &["End"]),
    (KeyCode::PageDown, 0x4E, &["Page_Down", "Next"]),
    (KeyCode::ArrowRight, 0x4F, &["Right"]),
    (KeyCode::ArrowLeft, 0x50, &["Left"]),
    (KeyCode::ArrowDown, 0x51, &["Down"]),
    (KeyCode::ArrowUp, 0x52, &["Up"]),
    (KeyCode::NumLock, 0x53, &["Num_Lock"]),
    (KeyCode::NumpadDivide, 0x54, &["KP_Divide"]),
    (KeyCode::NumpadMultiply, 0x55, &["KP_Multiply"]),
    (KeyCode::NumpadSubtract, 0x56, &["KP_Subtract"]),
    (KeyCode::NumpadAdd, 0x57, &["KP_Add"]),
    (KeyCode::NumpadEnter, 0x58, &["KP_Enter"]),
    (KeyCode::Numpad1, 0x59, &["KP_1"]),
    (KeyCode::Numpad2, 0x5A, &["KP_2"]),
    (KeyCode::Numpad3, 0x5B, &["KP_3"]),
    (KeyCode::Numpad4, 0x5C, &["KP_4"]),
    (KeyCode::Numpad5, 0x5D, &["KP_5"]),
    (KeyCode::Numpad6, 0x5E, &["KP_6"]),
    (KeyCode::Numpad7, 0x5F, &["KP_7"]),
    (KeyCode::Numpad8, 0x60, &["KP_8"]),
    (KeyCode::Numpad9, 0x61, &["KP_9"]),
    (KeyCode::Numpad0, 0x62, &["KP_0"]),
    (KeyCode::NumpadDecimal, 0x63, &["KP_Decimal"]),
    (KeyCode::IntlBackslash, 0x64, &["less"]),
    (KeyCode::ContextMenu, 0x65, &["Menu"]),
    (KeyCode::NumpadEqual, 0x67, &["KP_Equal"]),
    (KeyCode::F13, 0x68, &["F13"]),
    (KeyCode::F14, 0x69, &["F14"]),
    (KeyCode::F15, 0x6A, &["F15"]),
    (KeyCode::F16, 0x6B, &["F16"]),
    (KeyCode::F17, 0x6C, &["F17"]),
    (KeyCode::F18, 0x6D, &["F18"]),
    (KeyCode::F19, 0x6E, &["F19"]),
    (KeyCode::F20, 0x6F, &["F20"]),
    (KeyCode::F21, 0x70, &["F21"]),
    (KeyCode::F22, 0x71, &["F22"]),
    (KeyCode::F23, 0x72, &["F23"]),
    (KeyCode::F24, 0x73, &["F24"]),
    (KeyCode::NumpadComma, 0x85, &["KP_Separator"]),
    (KeyCode::IntlRo, 0x87, &["ro", "_"]),
    (KeyCode::KanaMode, 0x88, &["Hiragana_Katakana", "kana"]),
    (KeyCode::IntlYen, 0x89, &["yen", "¥"]),
    (KeyCode::Convert, 0x8A, &["Henkan", "Henkan_Mode"]),
    (KeyCode::NonConvert, 0x8B, &["Muhenkan"]),
    (KeyCode::Lang1, 0x90, &["Lang1"]),
    (KeyCode::Lang2, 0x91, &["Lang2", "Eisu"]),
    (KeyCode::Lang3, 0x92, &["Katakana"]),
    (KeyCode::Lang4, 0x93, &["Hiragana"]),
    (KeyCode::Lang5, 0x94, &["Zenkaku_Hankaku"]),
    (KeyCode::ControlLeft, 0xE0, &["Control_L", "ctrl"]),
    (KeyCode::ShiftLeft, 0xE1, &["Shift_L", "shift"]),
    (KeyCode::AltLeft, 0xE2, &["Alt_L", "alt"]),
    (KeyCode::SuperLeft, 0xE3, &["Super_L", "meta"]),
    (KeyCode::ControlRight, 0xE4, &["Control_R"]),
    (KeyCode::ShiftRight, 0xE5, &["Shift_R"]),
    (KeyCode::AltRight, 0xE6, &["Alt_R"]),
    (KeyCode::SuperRight, 0xE7, &["Super_R"]),
];

/// The key for a code of the window. Media keys and the like have none: they act on the operator's own machine.
pub fn of_code(code: KeyCode) -> Option<Key> {
    KEYS.iter().find(|(known, ..)| *known == code).map(|(_, usage, _)| Key(*usage))
}

/// The key for a name such as `Return`, `a` or `F5`; upper and lower case are the same. The names of the window's
/// codes (`KeyA`, `ArrowUp`) are names, too.
pub fn of_name(name: &str) -> Option<Key> {
    KEYS.iter()
        .find(|(code, _, names)| {
            names.iter().any(|known| known.eq_ignore_ascii_case(name)) || format!("{code:?}").eq_ignore_ascii_case(name)
        })
        .map(|(_, usage, _)| Key(*usage))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_of_a_japanese_and_an_american_keyboard_has_its_usage() {
        let main = 0x04..=0x31;
        let navigation_and_pad = 0x33..=0x65;
        let japanese = [0x87, 0x88, 0x89, 0x8A, 0x8B, 0x90, 0x91, 0x92, 0x93, 0x94];
        let modifiers = 0xE0..=0xE7;
        let known: BTreeSet<u16> = KEYS.iter().map(|(_, usage, _)| *usage).collect();
        for usage in main.chain(navigation_and_pad).chain(japanese).chain(modifiers) {
            assert!(known.contains(&usage), "{usage:#04x}");
        }
    }

    #[test]
    fn no_code_usage_or_name_is_there_twice() {
        let mut codes = BTreeSet::new();
        let mut usages = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (code, usage, own) in KEYS {
            assert!(codes.insert(format!("{code:?}").to_lowercase()) && usages.insert(usage), "{code:?}");
            for name in own.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>() {
                assert!(names.insert(name.clone()), "{name}");
                let of_another = codes.contains(&name) && name != format!("{code:?}").to_lowercase();
                assert!(!of_another, "{name} is another key's code");
            }
        }
    }

    #[test]
    fn the_japanese_keys_are_where_the_standard_has_them() {
        for (code, usage) in [
            (KeyCode::Lang5, 0x94),
            (KeyCode::Convert, 0x8A),
            (KeyCode::NonConvert, 0x8B),
            (KeyCode::KanaMode, 0x88),
            (KeyCode::IntlYen, 0x89),
            (KeyCode::IntlRo, 0x87),
            (KeyCode::Backquote, 0x35),
        ] {
            assert_eq!(of_code(code), Some(Key(usage)), "{code:?}");
        }
    }

    #[test]
    fn a_key_has_its_usual_names() {
        for (name, usage) in [
            ("Return", 0x28),
            ("enter", 0x28),
            ("a", 0x04),
            ("F5", 0x3E),
            ("Henkan", 0x8A),
            ("ArrowUp", 0x52),
            ("¥", 0x89),
        ] {
            assert_eq!(of_name(name), Some(Key(usage)), "{name}");
        }
        assert_eq!(of_name("AnyKey"), None);
        assert_eq!(of_name(""), None);
    }

    #[test]
    fn a_key_that_acts_on_the_own_machine_is_not_sent() {
        assert_eq!(of_code(KeyCode::AudioVolumeUp), None);
    }
}
