//! Whatever the screen does, the viewer ends up with exactly its pixels.

use proptest::prelude::*;

use super::{Damage, EncodeOptions, Pair, Picture, draw};
use crate::screen::{EncodeError, Encoder, PictureRef, Rect};

#[derive(Debug, Clone)]
enum Edit {
    Fill(Rect, [u8; 3]),
    Text(Rect, u64),
    Photo(Rect, u64),
    Scroll(Rect, u16),
    Move(Rect, u16, u16),
    Pixel(u16, u16, [u8; 3]),
    Resize(u16, u16, u64),
    Reset,
    Settle,
    Rest,
}

fn rects() -> impl Strategy<Value = Rect> {
    (0..300_u16, 0..260_u16, 1..300_u16, 1..260_u16).prop_map(|(x, y, width, height)| Rect { x, y, width, height })
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        2 => (rects(), any::<[u8; 3]>()).prop_map(|(rect, bgr)| Edit::Fill(rect, bgr)),
        3 => (rects(), any::<u64>()).prop_map(|(rect, seed)| Edit::Text(rect, seed)),
        2 => (rects(), any::<u64>()).prop_map(|(rect, seed)| Edit::Photo(rect, seed)),
        3 => (rects(), 1..90_u16).prop_map(|(rect, by)| Edit::Scroll(rect, by)),
        3 => (rects(), 0..300_u16, 0..260_u16).prop_map(|(rect, x, y)| Edit::Move(rect, x, y)),
        2 => (0..300_u16, 0..260_u16, any::<[u8; 3]>()).prop_map(|(x, y, bgr)| Edit::Pixel(x, y, bgr)),
        1 => (1..300_u16, 1..260_u16, any::<u64>()).prop_map(|(x, y, seed)| Edit::Resize(x, y, seed)),
        1 => Just(Edit::Reset),
        1 => Just(Edit::Settle),
        1 => Just(Edit::Rest),
    ]
}

/// Changes the picture and says what can have changed.
fn apply(edit: &Edit, picture: &mut Picture, pair: &mut Pair) -> Vec<Rect> {
    match *edit {
        Edit::Fill(rect, bgr) => {
            picture.fill(rect, bgr);
            vec![rect]
        }
        Edit::Text(rect, seed) => {
            draw::text(picture, rect, seed);
            vec![rect]
        }
        Edit::Photo(rect, seed) => {
            draw::photo(picture, rect, seed);
            vec![rect]
        }
        Edit::Scroll(rect, by) => {
            draw::shift(picture, rect, (rect.x, rect.y.saturating_sub(by)));
            vec![Rect { y: 0, height: u16::MAX, ..rect }]
        }
        Edit::Move(rect, x, y) => {
            draw::shift(picture, rect, (x, y));
            vec![rect, Rect { x, y, ..rect }]
        }
        Edit::Pixel(x, y, bgr) => {
            draw::set(picture, x, y, bgr);
            vec![Rect { x, y, width: 1, height: 1 }]
        }
        Edit::Resize(width, height, seed) => {
            *picture = Picture::new(width, height).unwrap();
            draw::text(picture, Rect { x: 0, y: 0, width, height }, seed);
            Vec::new()
        }
        Edit::Reset => {
            pair.encoder.reset();
            Vec::new()
        }
        Edit::Settle => {
            pair.settle();
            Vec::new()
        }
        Edit::Rest => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_edits_is_exact_after_refinement(
        (width, height) in (1..300_u16, 1..260_u16),
        edits in proptest::collection::vec((edits(), any::<bool>()), 1..14),
    ) {
        let mut picture = Picture::new(width, height).unwrap();
        let mut pair = Pair::new();
        pair.show(&picture, Damage::Unknown);
        for (edit, says_damage) in edits {
            let rects = apply(&edit, &mut picture, &mut pair);
            let damage = if says_damage { Damage::Rects(&rects) } else { Damage::Unknown };
            pair.show(&picture, damage);
            if !pair.encoder.lossy_pending() {
                pair.assert_exact(&picture);
            }
        }
        pair.settle();
        pair.assert_exact(&picture);
    }
}

#[test]
fn a_still_screen_gives_no_update() {
    let mut picture = Picture::new(200, 150).unwrap();
    draw::text(&mut picture, Rect { x: 0, y: 0, width: 200, height: 150 }, 1);
    let mut pair = Pair::new();
    assert!(pair.show(&picture, Damage::Unknown).unwrap().reset);
    assert!(pair.show(&picture, Damage::Unknown).is_none());
    assert!(pair.show(&picture, Damage::Rects(&[])).is_none());
    assert!(pair.show(&picture, Damage::Rects(&[picture.rect()])).is_none());
    assert!(pair.encoder.refine(usize::MAX).unwrap().is_none());
}

#[test]
fn only_damaged_tiles_are_looked_at() {
    let mut picture = Picture::new(200, 150).unwrap();
    let mut pair = Pair::new();
    pair.show(&picture, Damage::Unknown);
    draw::set(&mut picture, 5, 5, [1, 2, 3]);
    draw::set(&mut picture, 190, 140, [1, 2, 3]);
    pair.show(&picture, Damage::Rects(&[Rect { x: 5, y: 5, width: 1, height: 1 }]));
    let seen = pair.decoder.picture().unwrap();
    assert_eq!((seen.row(5, 5, 1), seen.row(190, 140, 1)), (&[1, 2, 3, 0][..], &[0, 0, 0, 0][..]));
    pair.show(&picture, Damage::Unknown);
    pair.assert_exact(&picture);
}

#[test]
fn the_fourth_byte_and_the_end_of_a_row_are_no_part_of_the_picture() {
    let (width, height, stride) = (70_u16, 66_u16, 70 * 4 + 24);
    let mut pair = Pair::new();
    let mut bytes = vec![7_u8; stride * 66];
    let capture = |bytes: &[u8], pair: &mut Pair| {
        let picture = PictureRef { width, height, stride, bgrx: bytes };
        pair.encoder.encode(picture, Damage::Unknown).unwrap().inspect(|update| pair.deliver(update)).is_some()
    };
    assert!(capture(&bytes, &mut pair));
    for row in bytes.chunks_mut(stride) {
        row[3] = 255;
        row[70 * 4] = 99;
    }
    assert!(!capture(&bytes, &mut pair));
    assert!(pair.decoder.picture().unwrap().bgrx().chunks(4).all(|pixel| pixel == [7, 7, 7, 0]));
}

#[test]
fn after_a_reset_the_next_update_holds_the_whole_picture() {
    let mut picture = Picture::new(130, 90).unwrap();
    draw::text(&mut picture, Rect { x: 0, y: 0, width: 130, height: 90 }, 3);
    let mut pair = Pair::new();
    pair.show(&picture, Damage::Unknown);
    pair.encoder.reset();
    assert!(pair.encoder.refine(1000).unwrap().is_none());
    pair.decoder = super::Decoder::new();
    assert!(pair.show(&picture, Damage::Rects(&[])).unwrap().reset);
    pair.assert_exact(&picture);
}

#[test]
fn a_picture_that_cannot_be_is_refused() {
    let mut encoder = Encoder::new(EncodeOptions::default());
    let mut refused = |width, height, stride, len| {
        let bgrx = vec![0; len];
        let picture = PictureRef { width, height, stride, bgrx: &bgrx };
        encoder.encode(picture, Damage::Unknown).unwrap_err()
    };
    assert!(matches!(refused(0, 5, 0, 0), EncodeError::Size(_)));
    assert!(matches!(refused(16_385, 1, 16_385 * 4, 16_385 * 4), EncodeError::Size(_)));
    assert!(matches!(refused(16_384, 16_384, 0, 0), EncodeError::Size(_)));
    assert!(matches!(refused(10, 10, 39, 4000), EncodeError::Short));
    assert!(matches!(refused(10, 10, 44, 44 * 9 + 39), EncodeError::Short));
}
