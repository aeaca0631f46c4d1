//! Which tiles of the screen changed.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "our own pixels: sizes are checked on entry, and these loops run over every pixel"
)]

use super::picture::{Damage, PIXEL, Picture, PictureRef, Rect};

/// Edge of a tile in pixels; tiles at the right and lower edge are smaller.
pub(super) const TILE: u16 = 64;
/// Everything of a pixel but its fourth byte.
const COLOUR: u32 = 0x00FF_FFFF;

/// A set of tiles of one picture.
#[derive(Debug, Clone)]
pub(super) struct Tiles {
    width: u16,
    height: u16,
    columns: u16,
    rows: u16,
    set: Vec<bool>,
    len: usize,
}

impl Tiles {
    /// No tile of a picture of this size.
    pub(super) fn none(width: u16, height: u16) -> Self {
        let (columns, rows) = (width.div_ceil(TILE), height.div_ceil(TILE));
        let set = vec![false; usize::from(columns) * usize::from(rows)];
        Self { width, height, columns, rows, set, len: 0 }
    }

    /// All tiles.
    pub(super) fn all(width: u16, height: u16) -> Self {
        let mut tiles = Self::none(width, height);
        tiles.set.fill(true);
        tiles.len = tiles.set.len();
        tiles
    }

    /// The tiles that damage touches.
    pub(super) fn touched(width: u16, height: u16, damage: Damage<'_>) -> Self {
        let rects = match damage {
            Damage::Unknown => return Self::all(width, height),
            Damage::Rects(rects) => rects,
        };
        let mut tiles = Self::none(width, height);
        for rect in rects.iter().map(|rect| rect.clipped(width, height)) {
            if rect.is_inside(width, height) {
                let (last_column, last_row) = ((rect.x + rect.width - 1) / TILE, (rect.y + rect.height - 1) / TILE);
                for row in rect.y / TILE..=last_row {
                    for column in rect.x / TILE..=last_column {
                        tiles.insert(column, row);
                    }
                }
            }
        }
        tiles
    }

    /// Whether no tile is in the set.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Columns of tiles in the picture.
    pub(super) fn columns(&self) -> u16 {
        self.columns
    }

    /// Rows of tiles in the picture.
    pub(super) fn rows(&self) -> u16 {
        self.rows
    }

    /// Whether a tile is in the set; false outside the picture.
    pub(super) fn contains(&self, column: u16, row: u16) -> bool {
        column < self.columns && row < self.rows && self.set[self.index(column, row)]
    }

    /// The pixels of a tile.
    pub(super) fn rect(&self, column: u16, row: u16) -> Rect {
        Rect { x: column * TILE, y: row * TILE, width: TILE, height: TILE }.clipped(self.width, self.height)
    }

    /// The tiles of the set, row by row, as (column, row).
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        let places = (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| (column, row)));
        places.zip(&self.set).filter_map(|(place, &is_in)| is_in.then_some(place))
    }

    fn insert(&mut self, column: u16, row: u16) {
        let index = self.index(column, row);
        self.len += usize::from(!self.set[index]);
        self.set[index] = true;
    }

    fn index(&self, column: u16, row: u16) -> usize {
        usize::from(row) * usize::from(self.columns) + usize::from(column)
    }
}

/// Compares the touched tiles of a capture with `sent` and copies those that differ into `next`.
///
/// All three have the same size. Source: 0.9 ms for the whole of 1920×1080.
pub(super) fn take(capture: PictureRef<'_>, touched: &Tiles, sent: &Picture, next: &mut Picture) -> Tiles {
    let mut changed = Tiles::none(capture.width, capture.height);
    for (column, row) in touched.iter() {
        let rect = touched.rect(column, row);
        let differs =
            rect.rows().any(|y| !same_colours(capture_row(capture, rect, y), sent.row(rect.x, y, rect.width)));
        if differs {
            take_rect(capture, rect, next);
            changed.insert(column, row);
        }
    }
    changed
}

/// Copies a rectangle of a capture into a picture of the same size, fourth bytes cleared.
pub(super) fn take_rect(capture: PictureRef<'_>, rect: Rect, to: &mut Picture) {
    for y in rect.rows() {
        let from = capture_row(capture, rect, y).as_chunks::<PIXEL>().0;
        let to = to.row_mut(rect.x, y, rect.width).as_chunks_mut::<PIXEL>().0;
        for (to, from) in to.iter_mut().zip(from) {
            *to = (u32::from_le_bytes(*from) & COLOUR).to_le_bytes();
        }
    }
}

/// The smallest rectangle inside `within` that holds every pixel in which two pictures differ.
pub(super) fn difference(old: &Picture, new: &Picture, within: Rect) -> Option<Rect> {
    let row_differs = |&y: &u16| old.row(within.x, y, within.width) != new.row(within.x, y, within.width);
    let top = within.rows().find(row_differs)?;
    let bottom = within.rows().rfind(row_differs)?;
    let (mut left, mut right) = (within.width, 0);
    for y in top..=bottom {
        let (old, new) = (old.row(within.x, y, within.width), new.row(within.x, y, within.width));
        let pairs = || (0..within.width).zip(old.as_chunks::<PIXEL>().0.iter().zip(new.as_chunks::<PIXEL>().0));
        if let Some((x, _)) = pairs().take(usize::from(left)).find(|(_, (old, new))| old != new) {
            left = x;
        }
        if let Some((x, _)) = pairs().skip(usize::from(right)).rfind(|(_, (old, new))| old != new) {
            right = x + 1;
        }
    }
    Some(Rect { x: within.x + left, y: top, width: right - left, height: bottom - top + 1 })
}

/// Copies a rectangle between pictures of the same size.
pub(super) fn sync(from: &Picture, to: &mut Picture, rect: Rect) {
    for y in rect.rows() {
        to.row_mut(rect.x, y, rect.width).copy_from_slice(from.row(rect.x, y, rect.width));
    }
}

fn capture_row(capture: PictureRef<'_>, rect: Rect, y: u16) -> &[u8] {
    let start = usize::from(y) * capture.stride + usize::from(rect.x) * PIXEL;
    &capture.bgrx[start..start + usize::from(rect.width) * PIXEL]
}

fn same_colours(a: &[u8], b: &[u8]) -> bool {
    let pairs = || a.as_chunks::<PIXEL>().0.iter().zip(b.as_chunks::<PIXEL>().0);
    a == b || pairs().fold(0, |all, (a, b)| all | (u32::from_le_bytes(*a) ^ u32::from_le_bytes(*b))) & COLOUR == 0
}
