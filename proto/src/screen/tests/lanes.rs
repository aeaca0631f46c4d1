//! What is sent as what.

use super::{Damage, Decoder, Pair, Picture, draw};
use crate::screen::{
    EncodedUpdate, Rect,
    ops::{self, Header, Op},
};

/// The operations of an update that resets, or of the last of several in one stream.
fn operations(updates: &[&EncodedUpdate]) -> Vec<Op> {
    let mut decoder = Decoder::new();
    for update in updates {
        decoder.apply(&update.bytes).unwrap();
    }
    decoder.operations().to_vec()
}

fn page(width: u16, height: u16, seed: u64) -> Picture {
    let mut picture = Picture::new(width, height).unwrap();
    draw::text(&mut picture, Rect { x: 0, y: 0, width, height }, seed);
    picture
}

fn raw_pixels(list: &[Op]) -> u64 {
    list.iter().map(|op| if let Op::Raw { to } | Op::Columns { to } = op { to.pixels() } else { 0 }).sum()
}

#[test]
fn a_scroll_is_copied_and_only_the_new_lines_are_sent() {
    let long = page(640, 800, 5);
    let window = |top: u16| {
        let mut picture = Picture::new(640, 512).unwrap();
        for y in 0..512 {
            picture.row_mut(0, y, 640).copy_from_slice(long.row(0, top + y, 640));
        }
        picture
    };
    let mut pair = Pair::new();
    let first = pair.show(&window(0), Damage::Unknown).unwrap();
    let second = pair.show(&window(37), Damage::Unknown).unwrap();
    pair.assert_exact(&window(37));
    let list = operations(&[&first, &second]);
    let copied: u64 = list
        .iter()
        .map(|op| match *op {
            Op::Copy { to, from_x, from_y } if (from_x, from_y) == (to.x, to.y + 37) => to.pixels(),
            Op::Copy { .. } | Op::Fill { .. } | Op::Raw { .. } | Op::Photo { .. } | Op::Columns { .. } => 0,
        })
        .sum();
    assert!(640 * 460 <= copied, "{copied} pixels copied by {list:?}");
    assert!(raw_pixels(&list) <= 640 * 40, "{} pixels sent", raw_pixels(&list));
    assert!(second.bytes.len() < first.bytes.len() / 4);
}

#[test]
fn a_dragged_window_is_copied_in_both_directions() {
    let ground = page(640, 512, 6);
    let mut window = Picture::new(240, 180).unwrap();
    draw::text(&mut window, Rect { x: 0, y: 0, width: 240, height: 180 }, 77);
    let with_window = |x: u16, y: u16| {
        let mut picture = ground.clone();
        for row in 0..180 {
            picture.row_mut(x, y + row, 240).copy_from_slice(window.row(0, row, 240));
        }
        picture
    };
    let mut pair = Pair::new();
    let first = pair.show(&with_window(100, 90), Damage::Unknown).unwrap();
    let second = pair.show(&with_window(123, 71), Damage::Unknown).unwrap();
    pair.assert_exact(&with_window(123, 71));
    let list = operations(&[&first, &second]);
    let copied: u64 = list
        .iter()
        .map(|op| match *op {
            Op::Copy { to, from_x, from_y } if (from_x + 23, from_y) == (to.x, to.y + 19) => to.pixels(),
            Op::Copy { .. } | Op::Fill { .. } | Op::Raw { .. } | Op::Photo { .. } | Op::Columns { .. } => 0,
        })
        .sum();
    assert!(240 * 180 * 9 / 10 <= copied, "{copied} pixels copied by {list:?}");
    assert!(raw_pixels(&list) <= 12_000, "{} pixels sent", raw_pixels(&list));
}

#[test]
fn text_is_never_a_photograph() {
    for seed in 0..20 {
        let update = Pair::new().show(&page(640, 512, seed), Damage::Unknown).unwrap();
        assert!(!update.lossy_pending);
        assert!(!operations(&[&update]).iter().any(|op| matches!(op, Op::Photo { .. })));
    }
}

#[test]
fn coloured_text_of_many_shades_is_never_a_photograph() {
    let mut picture = page(256, 256, 9);
    let mut numbers = draw::Numbers(4);
    for y in 0..256 {
        for x in 0..256 {
            // Sub-pixel smoothing: every dark pixel is tinted differently.
            if picture.row(x, y, 1)[1] < 200 {
                let tint = [0, 1, 2].map(|_| u8::try_from(numbers.below(160)).unwrap());
                draw::set(&mut picture, x, y, tint);
            }
        }
    }
    let update = Pair::new().show(&picture, Damage::Unknown).unwrap();
    assert!(!update.lossy_pending);
}

#[test]
fn a_photograph_comes_as_jpeg_and_is_refined_to_exact() {
    let mut picture = page(512, 384, 2);
    let area = Rect { x: 64, y: 64, width: 320, height: 256 };
    draw::photo(&mut picture, area, 8);
    let mut pair = Pair::new();
    let update = pair.show(&picture, Damage::Unknown).unwrap();
    assert!(update.lossy_pending);
    assert!(operations(&[&update]).iter().any(|op| matches!(op, Op::Photo { to, .. } if *to == area)));
    assert!(update.bytes.len() < 80_000, "{} bytes", update.bytes.len());
    assert!(1 < pair.settle(), "a budget is held");
    pair.assert_exact(&picture);
}

#[test]
fn a_photograph_that_was_exact_once_comes_back_exact() {
    let mut picture = Picture::new(256, 256).unwrap();
    draw::photo(&mut picture, Rect { x: 0, y: 0, width: 256, height: 256 }, 8);
    let mut pair = Pair::new();
    pair.show(&picture, Damage::Unknown);
    pair.settle();
    pair.show(&page(256, 256, 1), Damage::Unknown);
    let update = pair.show(&picture, Damage::Unknown).unwrap();
    assert!(!update.lossy_pending);
    assert!(update.bytes.len() < 4_000, "{} bytes", update.bytes.len());
}

#[test]
fn an_inexact_photograph_that_moves_is_still_refined() {
    let mut picture = page(512, 384, 2);
    draw::photo(&mut picture, Rect { x: 64, y: 64, width: 128, height: 128 }, 8);
    let mut pair = Pair::new();
    pair.show(&picture, Damage::Unknown);
    let from = Rect { x: 64, y: 64, width: 128, height: 128 };
    draw::shift(&mut picture, from, (203, 141));
    let update = pair.show(&picture, Damage::Unknown).unwrap();
    assert!(update.lossy_pending);
    pair.settle();
    pair.assert_exact(&picture);
}

#[test]
fn one_colour_is_filled() {
    let mut picture = Picture::new(300, 200).unwrap();
    picture.fill(picture.rect(), [10, 20, 30]);
    let update = Pair::new().show(&picture, Damage::Unknown).unwrap();
    assert_eq!(operations(&[&update]), [Op::Fill { to: picture.rect(), bgr: [10, 20, 30] }]);
}

#[test]
fn short_updates_are_padded_so_that_their_length_says_less() {
    let mut picture = page(640, 512, 5);
    let mut pair = Pair::new();
    pair.show(&picture, Damage::Unknown);
    for x in 0..40 {
        draw::set(&mut picture, 3 * x, 3, [1, 2, 3]);
        let update = pair.show(&picture, Damage::Unknown).unwrap();
        assert_eq!(update.bytes.len() % ops::PADDING, 0);
        assert!(update.bytes.len() <= 512);
    }
}

#[test]
fn a_picture_of_noise_stays_within_the_bounds_of_the_decoder() {
    let mut picture = Picture::new(1920, 256).unwrap();
    let mut numbers = draw::Numbers(1);
    for y in 0..256 {
        for x in 0..1920 {
            let [a, b, c, _] = numbers.next().to_le_bytes();
            draw::set(&mut picture, x, y, [a, b, c]);
        }
    }
    let mut pair = Pair::new();
    let update = pair.show(&picture, Damage::Unknown).unwrap();
    let (header, _) = Header::read(&update.bytes).unwrap();
    assert!(u64::from(header.inflated) <= ops::segment_len_max(1920, 256));
    pair.settle();
    pair.assert_exact(&picture);
}
