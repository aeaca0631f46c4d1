//! Bytes that no encoder makes.

use proptest::prelude::*;

use super::{Damage, Decoder, Pair, Picture, draw};
use crate::screen::{DecodeError, FormError, Rect, ops::Header};

/// A reset and a change, with text, a copy and a photograph.
fn updates() -> (Vec<u8>, Vec<u8>, Picture) {
    let mut picture = Picture::new(200, 150).unwrap();
    draw::text(&mut picture, Rect { x: 0, y: 0, width: 200, height: 150 }, 1);
    draw::photo(&mut picture, Rect { x: 64, y: 64, width: 64, height: 64 }, 2);
    let mut pair = Pair::new();
    let first = pair.show(&picture, Damage::Unknown).unwrap();
    draw::shift(&mut picture, Rect { x: 0, y: 0, width: 200, height: 64 }, (0, 23));
    let second = pair.show(&picture, Damage::Unknown).unwrap();
    pair.settle();
    (first.bytes, second.bytes, picture)
}

#[test]
fn an_update_cut_anywhere_is_refused_and_only_a_reset_helps() {
    let (first, second, _) = updates();
    let mut decoder = Decoder::new();
    for len in 0..second.len() {
        decoder.apply(&first).unwrap();
        let cut = decoder.apply(&second[..len]);
        let only_padding_is_missing = second[len..].iter().all(|&byte| byte == 0);
        assert!(cut.is_err() || only_padding_is_missing, "cut at {len}");
        if cut.is_err() {
            assert_eq!(decoder.apply(&second), Err(DecodeError::NeedsReset));
        }
    }
    decoder.apply(&first).unwrap();
    decoder.apply(&second).unwrap();
}

#[test]
fn without_a_reset_nothing_is_taken() {
    let (_, second, _) = updates();
    assert_eq!(Decoder::new().apply(&second), Err(DecodeError::NeedsReset));
}

#[test]
fn a_repeated_or_missing_update_is_refused() {
    let (first, second, _) = updates();
    let mut decoder = Decoder::new();
    decoder.apply(&first).unwrap();
    decoder.apply(&second).unwrap();
    assert_eq!(decoder.apply(&second), Err(DecodeError::OutOfOrder { expected: 3, found: 2 }));
    let mut later = second;
    later[1] = 3;
    decoder.apply(&first).unwrap();
    assert_eq!(decoder.apply(&later), Err(DecodeError::OutOfOrder { expected: 2, found: 3 }));
}

#[test]
fn sizes_and_lengths_out_of_range_are_refused_before_anything_is_allocated() {
    let (first, _, _) = updates();
    let change = |offset: usize, bytes: &[u8]| {
        let mut changed = first.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        Decoder::new().apply(&changed)
    };
    assert_eq!(change(0, &[0x81]), Err(FormError::OutOfRange("flags").into()));
    assert_eq!(change(9, &[0, 0]), Err(FormError::OutOfRange("picture size").into()));
    assert_eq!(change(9, &[255, 255, 255, 255]), Err(FormError::OutOfRange("picture size").into()));
    assert_eq!(change(13, &[255; 4]), Err(FormError::OutOfRange("segment length").into()));
    assert_eq!(change(17, &[255; 4]), Err(FormError::Short.into()));
    assert_eq!(change(21, &[255; 4]), Err(FormError::Short.into()));
}

#[test]
fn a_window_larger_than_agreed_is_refused() {
    let mut deflater = zstd::stream::raw::Encoder::new(3).unwrap();
    deflater.set_parameter(zstd::stream::raw::CParameter::WindowLog(25)).unwrap();
    assert_eq!(Decoder::new().apply(&with_segment(&mut deflater, &[0, 0])), Err(DecodeError::Segment));
}

#[test]
fn a_segment_of_another_length_than_said_is_refused() {
    for said in [0, 1, 3, 100, 60_000] {
        let mut deflater = zstd::stream::raw::Encoder::new(3).unwrap();
        let mut bytes = with_segment(&mut deflater, &[0, 0]);
        bytes[13..17].copy_from_slice(&u32::to_le_bytes(said));
        assert_eq!(Decoder::new().apply(&bytes), Err(DecodeError::Segment), "{said}");
    }
}

#[test]
fn operations_that_break_a_rule_are_refused() {
    let fill = |x: u8, y: u8, width: u8, height: u8| [1, x, 0, y, 0, width, 0, height, 0, 9, 9, 9];
    let segment = |count: u16, parts: &[&[u8]]| [&count.to_le_bytes()[..], &parts.concat()].concat();
    let apply = |segment: &[u8]| {
        let mut deflater = zstd::stream::raw::Encoder::new(3).unwrap();
        Decoder::new().apply(&with_segment(&mut deflater, segment)).map(|applied| applied.changed.len())
    };
    let refused = |what| Err(FormError::OutOfRange(what).into());
    assert_eq!(apply(&segment(1, &[&fill(0, 0, 8, 8)])), Ok(1));
    assert_eq!(apply(&segment(1, &[&fill(0, 0, 9, 8)])), refused("rectangle"));
    assert_eq!(apply(&segment(1, &[&fill(8, 0, 1, 1)])), refused("rectangle"));
    assert_eq!(apply(&segment(1, &[&fill(0, 0, 0, 1)])), refused("rectangle"));
    assert_eq!(apply(&segment(3, &[&fill(0, 0, 8, 8), &fill(0, 0, 8, 8), &fill(0, 0, 1, 1)])), refused("area"));
    assert_eq!(apply(&segment(8193, &[])), refused("number of operations"));
    assert_eq!(apply(&segment(1, &[])), Err(FormError::Short.into()));
    assert_eq!(apply(&segment(1, &[&[5, 0, 0, 0, 0, 1, 0, 1, 0]])), refused("kind of operation"));
    assert_eq!(apply(&segment(1, &[&[2, 0, 0, 0, 0, 1, 0, 1, 0, 7, 7]])), refused("number of pixels"));
    assert_eq!(apply(&segment(1, &[&[3, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0]])), refused("length of photographs"));
    let copy = [0, 0, 0, 0, 0, 1, 0, 1, 0, 7, 0, 7, 0];
    let copy_from_outside = [0, 0, 0, 0, 0, 2, 0, 1, 0, 7, 0, 7, 0];
    assert_eq!(apply(&segment(1, &[&copy])), Ok(1));
    assert_eq!(apply(&segment(1, &[&copy_from_outside])), refused("rectangle"));
    assert_eq!(apply(&segment(2, &[&fill(0, 0, 1, 1), &copy])), refused("order of operations"));
}

/// An update of an 8×8 picture with this segment.
fn with_segment(deflater: &mut zstd::stream::raw::Encoder<'_>, segment: &[u8]) -> Vec<u8> {
    use zstd::stream::raw::{InBuffer, Operation as _, OutBuffer};
    let mut deflated = Vec::with_capacity(1000 + segment.len());
    let mut output = OutBuffer::around(&mut deflated);
    deflater.run(&mut InBuffer::around(segment), &mut output).unwrap();
    assert_eq!(deflater.flush(&mut output).unwrap(), 0);
    let header = Header {
        reset: true,
        lossy_pending: false,
        update: 1,
        width: 8,
        height: 8,
        inflated: u32::try_from(segment.len()).unwrap(),
        deflated: u32::try_from(deflated.len()).unwrap(),
        photos: 0,
    };
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    bytes.extend_from_slice(&deflated);
    bytes
}

#[test]
fn the_stored_update_still_reads_the_same() {
    // A 4×2 picture: the upper row blue, two exact pixels in the lower one; the segment is stored in one uncompressed block.
    let bytes = hex::decode(concat!(
        "01",
        "2a00000000000000",
        "0400",
        "0200",
        "1d000000",
        "26000000",
        "00000000",
        "28b52ffd",
        "0070",
        "e80000",
        "0200",
        "010000000004000100ff0000",
        "020100010002000100",
        "102030405060",
    ))
    .unwrap();
    let mut decoder = Decoder::new();
    let applied = decoder.apply(&bytes).unwrap();
    assert_eq!((applied.update, applied.reset, applied.lossy_pending), (42, true, false));
    let picture = decoder.picture().unwrap();
    assert_eq!((picture.width(), picture.height()), (4, 2));
    assert_eq!(picture.bgrx()[..16], [[255, 0, 0, 0]; 4].concat());
    assert_eq!(picture.bgrx()[16..], [0, 0, 0, 0, 0x10, 0x20, 0x30, 0, 0x40, 0x50, 0x60, 0, 0, 0, 0, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _refused_or_not = Decoder::new().apply(&bytes);
    }

    #[test]
    fn flipped_bits_are_survived(flips in proptest::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..6)) {
        let (first, second, _) = updates();
        let mut decoder = Decoder::new();
        for (update, other) in [(&first, &second), (&second, &first)] {
            let mut flipped = update.clone();
            for (index, bit) in &flips {
                let at = index.index(flipped.len());
                flipped[at] ^= 1 << bit;
            }
            let refused = decoder.apply(&flipped).is_err();
            if refused && !std::ptr::eq(other, &raw const first) {
                prop_assert!(decoder.apply(other).is_err());
            }
            decoder.apply(&first).unwrap();
        }
    }
}
