//! The vote for a vertical scroll: rows of each column of tiles, by hash.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "our own pixels: sizes are checked on entry, edges are at most 16 384, and these loops run over every row"
)]

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    anchors::AlreadyHashed,
    changes::{TILE, Tiles},
    copies::Shift,
    picture::{Picture, Rect},
};

/// The outcome of a vote.
pub(super) struct Vote {
    /// The vertical shift with the most votes.
    pub(super) shift: Option<Shift>,
    /// Rows that agree with it.
    pub(super) votes: usize,
    /// Rows that changed and have something to recognise them by.
    pub(super) voters: usize,
}

/// Counts, for the rows of changed tiles, how far up or down the same row was before.
pub(super) fn vote(old: &Picture, new: &Picture, changed: &Tiles) -> Vote {
    // Shifts from -(height - 1) to height - 1.
    let height = usize::from(new.height());
    let mut counts = vec![0_usize; height * 2];
    let mut voters = 0;
    let mut places = HashMap::with_capacity_and_hasher(height, AlreadyHashed::default());
    for column in 0..changed.columns() {
        let Some(area) = changed_rows(changed, column) else { continue };
        let old_rows: Vec<u64> = area.rows().map(|y| xxh3_64(old.row(area.x, y, area.width))).collect();
        let new_rows: Vec<u64> = area.rows().map(|y| xxh3_64(new.row(area.x, y, area.width))).collect();
        places.clear();
        for (y, &hash) in old_rows.iter().enumerate() {
            // A row that is there twice, such as paper between lines, recognises nothing.
            places.entry(hash).and_modify(|place| *place = None).or_insert(Some(y));
        }
        for (y, &hash) in new_rows.iter().enumerate() {
            let repeats = 0 < y && new_rows[y - 1] == hash;
            if hash == old_rows[y] || repeats {
                continue;
            }
            voters += 1;
            if let Some(&Some(before)) = places.get(&hash) {
                counts[height + before - y] += 1;
            }
        }
    }
    let best = (0..counts.len()).max_by_key(|&index| counts[index]).filter(|&index| 0 < counts[index]);
    let shift = best.and_then(|index| {
        let y = i32::try_from(index).ok()? - i32::from(new.height());
        Some(Shift { x: 0, y })
    });
    Vote { shift, votes: best.map_or(0, |index| counts[index]), voters }
}

/// From the first to the last changed tile of a column.
fn changed_rows(changed: &Tiles, column: u16) -> Option<Rect> {
    let is_changed = |&row: &u16| changed.contains(column, row);
    let first = (0..changed.rows()).find(is_changed)?;
    let last = (0..changed.rows()).rfind(is_changed)?;
    let (top, bottom) = (changed.rect(column, first), changed.rect(column, last));
    Some(Rect { height: (last - first) * TILE + bottom.height, ..top })
}
