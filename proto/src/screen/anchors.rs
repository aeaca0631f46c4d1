//! The vote for a move in any direction: short rows of pixels of the new picture, looked up all over the old one.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "our own pixels: sizes are checked on entry, edges are at most 16 384, and these loops run over every pixel"
)]

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{
    changes::Tiles,
    copies::{CELL, Shift},
    picture::{PIXEL, Picture, Rect},
};

/// Anchors looked for; more do not make the vote clearer.
const ANCHORS_MAX: usize = 1024;
/// An anchor that is found more often than this is a pattern and recognises nothing.
const HITS_MAX: u16 = 8;
/// Neighbours inside an anchor that must differ, so that flat colour and rules are not anchors.
const EDGES_MIN: usize = 4;
/// Base of the rolling hash; any large odd number.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;
/// What the oldest pixel of an anchor has been multiplied with, for when it leaves.
const BASE_OUT: u64 = BASE.wrapping_pow(CELL as u32 - 1);

/// For keys that are hashes already.
pub(super) type AlreadyHashed = BuildHasherDefault<Unhashed>;

/// Passes a 64-bit key on as its own hash.
#[derive(Default)]
pub(super) struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (self.0 ^ key).wrapping_mul(BASE).rotate_left(32);
    }
}

struct Anchor {
    x: u16,
    y: u16,
    hits: u16,
}

/// Shifts with their number of votes, most votes first.
pub(super) fn vote(old: &Picture, new: &Picture, changed: &Tiles, open: &[Rect]) -> Vec<(Shift, usize)> {
    let mut anchors = Anchors::choose(new, open);
    let mut votes: HashMap<u64, (Shift, usize), AlreadyHashed> = HashMap::default();
    if anchors.by_hash.is_empty() {
        return Vec::new();
    }
    for row in 0..changed.rows() {
        for (from, to) in runs(changed, row) {
            let tile = changed.rect(from, row);
            let end = changed.rect(to - 1, row);
            let width = end.x + end.width - tile.x;
            for y in tile.rows() {
                anchors.look_up(old.row(tile.x, y, width), (tile.x, y), &mut votes);
            }
        }
    }
    let mut votes: Vec<(Shift, usize)> = votes.into_values().collect();
    votes.sort_unstable_by_key(|&(shift, votes)| (std::cmp::Reverse(votes), shift));
    votes
}

struct Anchors {
    by_hash: HashMap<u64, Anchor, AlreadyHashed>,
    /// One bit for each value of a hash's upper 16 bits: most pixels are no anchor, and this says so quickly.
    filter: Vec<u64>,
}

impl Anchors {
    fn choose(new: &Picture, open: &[Rect]) -> Self {
        let mut anchors = Self { by_hash: HashMap::default(), filter: vec![0; 1024] };
        for cell in open.iter().step_by(open.len() / ANCHORS_MAX + 1) {
            if cell.width < CELL {
                continue;
            }
            // A few rows of the cell, the first with enough edges.
            let textured = cell.rows().step_by(3).find(|&y| {
                let pixels = new.row(cell.x, y, CELL).as_chunks::<PIXEL>().0;
                EDGES_MIN <= pixels.windows(2).filter(|pair| pair[0] != pair[1]).count()
            });
            if let Some(y) = textured {
                let hash =
                    new.row(cell.x, y, CELL).as_chunks::<PIXEL>().0.iter().fold(0, |hash, &pixel| push(hash, pixel));
                anchors.by_hash.entry(hash).or_insert(Anchor { x: cell.x, y, hits: 0 });
                let key = (hash >> 48) as usize;
                anchors.filter[key / 64] |= 1 << (key % 64);
            }
        }
        anchors
    }

    /// Rolls over one row of the old picture that begins at (x, y) and votes for each anchor found.
    fn look_up(&mut self, row: &[u8], (x, y): (u16, u16), votes: &mut HashMap<u64, (Shift, usize), AlreadyHashed>) {
        let pixels = row.as_chunks::<PIXEL>().0;
        let mut hash = 0;
        for (index, &pixel) in pixels.iter().enumerate() {
            hash = push(hash, pixel);
            let Some(start) = (index + 1).checked_sub(usize::from(CELL)) else { continue };
            let key = (hash >> 48) as usize;
            if self.filter[key / 64] >> (key % 64) & 1 == 1
                && let Some(anchor) = self.by_hash.get_mut(&hash)
                && anchor.hits < HITS_MAX
            {
                anchor.hits += 1;
                let from_x = i32::from(x) + i32::from(start as u16);
                let shift = Shift { x: from_x - i32::from(anchor.x), y: i32::from(y) - i32::from(anchor.y) };
                if shift != (Shift { x: 0, y: 0 }) {
                    let key = u64::from(shift.x.cast_unsigned()) << 32 | u64::from(shift.y.cast_unsigned());
                    votes.entry(key).or_insert((shift, 0)).1 += 1;
                }
            }
            hash = hash.wrapping_sub(term(pixels[start]).wrapping_mul(BASE_OUT));
        }
    }
}

fn push(hash: u64, pixel: [u8; PIXEL]) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(term(pixel))
}

fn term(pixel: [u8; PIXEL]) -> u64 {
    u64::from(u32::from_le_bytes(pixel)) + 1
}

/// Runs of changed tiles in one row of tiles, each a tile longer at both ends, as (first, end).
fn runs(changed: &Tiles, row: u16) -> Vec<(u16, u16)> {
    let near = |column: u16| (column.saturating_sub(1)..=column + 1).any(|column| changed.contains(column, row));
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for column in (0..changed.columns()).filter(|&column| near(column)) {
        match runs.last_mut() {
            Some((_, end)) if *end == column => *end += 1,
            _ => runs.push((column, column + 1)),
        }
    }
    runs
}
