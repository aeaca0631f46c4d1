//! The colours, each with the grounds it is used on; contrasts are checked by the tests below.

use egui::Color32;

/// Background of windows.
pub const GROUND: Color32 = Color32::from_rgb(0xF4, 0xF6, 0xF9);
/// Background of cards and fields.
pub const CARD: Color32 = Color32::from_rgb(0xFF, 0xFF, 0xFF);
/// A control under the pointer.
pub const HOVER: Color32 = Color32::from_rgb(0xEA, 0xF0, 0xF8);
/// A control being pressed.
pub const PRESSED: Color32 = Color32::from_rgb(0xD9, 0xE4, 0xF2);
/// Ground of selected text.
pub const SELECTION: Color32 = Color32::from_rgb(0xCF, 0xE1, 0xF7);
/// Lines around cards.
pub const EDGE: Color32 = Color32::from_rgb(0xD5, 0xDB, 0xE3);
/// Lines around controls.
pub const EDGE_STRONG: Color32 = Color32::from_rgb(0x7A, 0x86, 0x95);
/// Text.
pub const TEXT: Color32 = Color32::from_rgb(0x17, 0x1E, 0x28);
/// Explanations.
pub const TEXT_QUIET: Color32 = Color32::from_rgb(0x4C, 0x57, 0x66);
/// Text on [`PRIMARY`], [`DANGER`] and the three states.
pub const TEXT_INVERSE: Color32 = Color32::from_rgb(0xFF, 0xFF, 0xFF);
/// What is meant to be pressed; also the focus ring.
pub const PRIMARY: Color32 = Color32::from_rgb(0x0B, 0x57, 0xA4);
/// [`PRIMARY`] under the pointer.
pub const PRIMARY_HOVER: Color32 = Color32::from_rgb(0x08, 0x47, 0x88);
/// What ends or refuses, and errors.
pub const DANGER: Color32 = Color32::from_rgb(0xB3, 0x26, 0x1E);
/// [`DANGER`] under the pointer.
pub const DANGER_HOVER: Color32 = Color32::from_rgb(0x8F, 0x1B, 0x15);
/// Ground of a warning.
pub const WARNING_GROUND: Color32 = Color32::from_rgb(0xFF, 0xF4, 0xD6);
/// Line around a warning.
pub const WARNING_EDGE: Color32 = Color32::from_rgb(0xD9, 0xA4, 0x41);
/// Text of a warning.
pub const WARNING_TEXT: Color32 = Color32::from_rgb(0x5A, 0x3B, 0x00);
/// Ground of an error.
pub const ERROR_GROUND: Color32 = Color32::from_rgb(0xFD, 0xEC, 0xEA);
/// State: the screen is seen.
pub const VIEWING: Color32 = Color32::from_rgb(0x0B, 0x57, 0xA4);
/// State: pointer and keyboard are used.
pub const CONTROLLING: Color32 = Color32::from_rgb(0x9A, 0x44, 0x00);
/// State: paused.
pub const PAUSED: Color32 = Color32::from_rgb(0x4C, 0x57, 0x66);
/// All is well.
pub const GOOD: Color32 = Color32::from_rgb(0x1B, 0x6E, 0x35);

/// Contrast of two opaque colours, from 1 to 21.
///
/// Source: WCAG 2.2, relative luminance and contrast ratio.
pub fn contrast(a: Color32, b: Color32) -> f32 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance(colour: Color32) -> f32 {
    let [r, g, b, _] = egui::Rgba::from(colour).to_array();
    r * 0.2126 + g * 0.7152 + b * 0.0722
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_can_be_read_on_every_ground_it_is_used_on() {
        let inverse = [PRIMARY, PRIMARY_HOVER, DANGER, DANGER_HOVER, VIEWING, CONTROLLING, PAUSED, GOOD];
        for ground in [GROUND, CARD, HOVER, PRESSED, SELECTION] {
            assert!(contrast(TEXT, ground) >= 7.0, "text on {ground:?}");
        }
        for ground in [GROUND, CARD] {
            for text in [TEXT_QUIET, PRIMARY, DANGER, GOOD] {
                assert!(contrast(text, ground) >= 4.5, "{text:?} on {ground:?}");
            }
            assert!(contrast(EDGE_STRONG, ground) >= 3.0, "edge on {ground:?}");
        }
        for ground in inverse {
            assert!(contrast(TEXT_INVERSE, ground) >= 4.5, "inverse on {ground:?}");
        }
        assert!(contrast(WARNING_TEXT, WARNING_GROUND) >= 7.0);
        assert!(contrast(DANGER, ERROR_GROUND) >= 4.5);
    }

    #[test]
    fn black_on_white_is_the_largest_contrast() {
        assert!((contrast(Color32::BLACK, Color32::WHITE) - 21.0).abs() < 0.1);
    }
}
