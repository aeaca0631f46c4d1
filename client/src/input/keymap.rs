//! From USB HID usages (page 7) to the key codes of Linux.
//!
//! Both name places on a keyboard, not characters. An X11 key code is the evdev code + 8.
//! Source: HID Usage Tables 1.5, chapter 10; `linux/input-event-codes.h`.

use proto::input::Key;

/// Pairs of usage and evdev code, in the order of the usages.
const CODES: &[(u16, u16)] = &[
    // Letters a to z.
    (0x04, 30),
    (0x05, 48),
    (0x06, 46),
    (0x07, 32),
    (0x08, 18),
    (0x09, 33),
    (0x0A, 34),
    (0x0B, 35),
    (0x0C, 23),
    (0x0D, 36),
    (0x0E, 37),
    (0x0F, 38),
    (0x10, 50),
    (0x11, 49),
    (0x12, 24),
    (0x13, 25),
    (0x14, 16),
    (0x15, 19),
    (0x16, 31),
    (0x17, 20),
    (0x18, 22),
    (0x19, 47),
    (0x1A, 17),
    (0x1B, 45),
    (0x1C, 21),
    (0x1D, 44),
    // 1 to 9 and 0.
    (0x1E, 2),
    (0x1F, 3),
    (0x20, 4),
    (0x21, 5),
    (0x22, 6),
    (0x23, 7),
    (0x24, 8),
    (0x25, 9),
    (0x26, 10),
    (0x27, 11),
    // Return, escape, backspace, tab, space.
    (0x28, 28),
    (0x29, 1),
    (0x2A, 14),
    (0x2B, 15),
    (0x2C, 57),
    // - = [ ] \ and the ISO key beside Return, ; ' ` , . /
    (0x2D, 12),
    (0x2E, 13),
    (0x2F, 26),
    (0x30, 27),
    (0x31, 43),
    (0x32, 43),
    (0x33, 39),
    (0x34, 40),
    (0x35, 41),
    (0x36, 51),
    (0x37, 52),
    (0x38, 53),
    // Caps lock, F1 to F12.
    (0x39, 58),
    (0x3A, 59),
    (0x3B, 60),
    (0x3C, 61),
    (0x3D, 62),
    (0x3E, 63),
    (0x3F, 64),
    (0x40, 65),
    (0x41, 66),
    (0x42, 67),
    (0x43, 68),
    (0x44, 87),
    (0x45, 88),
    // Print, scroll lock, pause, insert, home, page up, delete, end, page down.
    (0x46, 99),
    (0x47, 70),
    (0x48, 119),
    (0x49, 110),
    (0x4A, 102),
    (0x4B, 104),
    (0x4C, 111),
    (0x4D, 107),
    (0x4E, 109),
    // Right, left, down, up.
    (0x4F, 106),
    (0x50, 105),
    (0x51, 108),
    (0x52, 103),
    // Key pad: num lock / * - + enter 1 to 9, 0 and the point.
    (0x53, 69),
    (0x54, 98),
    (0x55, 55),
    (0x56, 74),
    (0x57, 78),
    (0x58, 96),
    (0x59, 79),
    (0x5A, 80),
    (0x5B, 81),
    (0x5C, 75),
    (0x5D, 76),
    (0x5E, 77),
    (0x5F, 71),
    (0x60, 72),
    (0x61, 73),
    (0x62, 82),
    (0x63, 83),
    // The ISO key beside the left shift, menu, =.
    (0x64, 86),
    (0x65, 127),
    (0x67, 117),
    // F13 to F24.
    (0x68, 183),
    (0x69, 184),
    (0x6A, 185),
    (0x6B, 186),
    (0x6C, 187),
    (0x6D, 188),
    (0x6E, 189),
    (0x6F, 190),
    (0x70, 191),
    (0x71, 192),
    (0x72, 193),
    (0x73, 194),
    // Mute, louder, softer.
    (0x7F, 113),
    (0x80, 115),
    (0x81, 114),
    // The comma of the key pad.
    (0x85, 121),
    // Japanese keyboards: ろ, カタカナひらがな, ¥, 変換, 無変換; かな, 英数, カタカナ, ひらがな, 半角/全角.
    (0x87, 89),
    (0x88, 93),
    (0x89, 124),
    (0x8A, 92),
    (0x8B, 94),
    (0x90, 122),
    (0x91, 123),
    (0x92, 90),
    (0x93, 91),
    (0x94, 85),
    // Left and right control, shift, alt, logo.
    (0xE0, 29),
    (0xE1, 42),
    (0xE2, 56),
    (0xE3, 125),
    (0xE4, 97),
    (0xE5, 54),
    (0xE6, 100),
    (0xE7, 126),
];

/// The evdev code of a key; `None` for keys that Linux does not know.
pub fn evdev(key: Key) -> Option<u16> {
    CODES.binary_search_by_key(&key.0, |(usage, _)| *usage).ok().and_then(|at| CODES.get(at)).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usages_are_sorted_so_that_the_search_finds_them() {
        assert!(CODES.is_sorted_by_key(|(usage, _)| *usage));
        assert!(CODES.iter().all(|(usage, code)| evdev(Key(*usage)) == Some(*code)));
    }

    #[test]
    fn two_keys_share_a_code_only_where_one_keyboard_has_one_of_them() {
        let mut codes: Vec<_> = CODES.iter().map(|(_, code)| *code).collect();
        codes.sort_unstable();
        let twice: Vec<_> = codes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        assert_eq!(twice, [43], "the key beside Return has two usages");
    }

    #[test]
    fn well_known_keys_are_in_their_places() {
        for (usage, code) in [(0x04, 30), (0x28, 28), (0x52, 103), (0x94, 85), (0xE1, 42)] {
            assert_eq!(evdev(Key(usage)), Some(code));
        }
        assert_eq!(evdev(Key(0)), None);
        assert_eq!(evdev(Key(0xFFFF)), None);
    }
}
