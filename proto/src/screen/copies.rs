//! Finds what was scrolled or dragged: areas of the new picture that are elsewhere in the old one.
//!
//! 1. Rows of each column of changed tiles are hashed; equal rows vote for one vertical shift (a scroll).
//! 2. If fewer than a third of the rows agree, anchors of 16 pixels vote for shifts in any direction (a move).
//! 3. For each shift that won, cells of 16×16 px that really are equal are joined to rectangles, and these are grown
//!    pixel by pixel. Votes may be wrong; copies never are, because every pixel is compared.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "our own pixels: sizes are checked on entry, edges are at most 16 384, and these loops run over every pixel"
)]

use super::{
    anchors,
    changes::Tiles,
    picture::{PIXEL, Picture, Rect},
    rows,
};

/// Edge of a cell in pixels; a tile has a whole number of them.
pub(super) const CELL: u16 = 16;
/// Copies of one update; more do not pay.
const COPIES_MAX: usize = 512;
/// Shifts tried in one update.
const MOVES_MAX: usize = 3;
/// A scroll needs this many rows that agree; text lines are higher.
const SCROLL_VOTES_MIN: usize = 8;
/// A move needs this many anchors that agree.
const MOVE_VOTES_MIN: usize = 3;

/// From a pixel of the new picture to the same pixel in the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Shift {
    pub(super) x: i32,
    pub(super) y: i32,
}

/// An area of the new picture and where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) to: Rect,
    pub(super) from_x: u16,
    pub(super) from_y: u16,
}

impl Copy {
    fn new(to: Rect, shift: Shift) -> Self {
        Self { to, from_x: (i32::from(to.x) + shift.x) as u16, from_y: (i32::from(to.y) + shift.y) as u16 }
    }
}

/// Finds copies that turn `old` into `new` within the changed tiles; together they are no larger than the picture.
pub(super) fn find(old: &Picture, new: &Picture, changed: &Tiles) -> Vec<Copy> {
    let mut search = Search::new(old, new, changed);
    let mut found = Vec::new();
    let scroll = rows::vote(old, new, changed);
    if let Some(shift) = scroll.shift.filter(|_| SCROLL_VOTES_MIN <= scroll.votes) {
        search.take(shift, &mut found);
    }
    if scroll.votes * 3 < scroll.voters {
        let moves = anchors::vote(old, new, changed, &search.open_cells());
        for &(shift, _) in moves.iter().filter(|(_, votes)| MOVE_VOTES_MIN <= *votes).take(MOVES_MAX) {
            search.take(shift, &mut found);
        }
    }
    found.sort_by_key(|copy| std::cmp::Reverse(copy.to.pixels()));
    found.truncate(COPIES_MAX);
    let mut room = new.rect().pixels();
    found.retain(|copy| {
        let fits = copy.to.pixels() <= room;
        room -= if fits { copy.to.pixels() } else { 0 };
        fits
    });
    found
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// Outside the changed tiles.
    Outside,
    /// In a changed tile, but the same as before.
    Same,
    /// Different from before, and no copy found yet.
    Open,
    /// Part of a copy.
    Solved,
}

struct Search<'a> {
    old: &'a Picture,
    new: &'a Picture,
    columns: usize,
    cells: Vec<Cell>,
    /// Cells that are equal under the shift being tried; scratch of [`Self::take`].
    equal: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(old: &'a Picture, new: &'a Picture, changed: &Tiles) -> Self {
        let columns = usize::from(new.width().div_ceil(CELL));
        let len = columns * usize::from(new.height().div_ceil(CELL));
        let mut search = Self { old, new, columns, cells: vec![Cell::Outside; len], equal: vec![false; len] };
        for (column, row) in changed.iter() {
            let tile = changed.rect(column, row);
            for y in tile.rows().step_by(usize::from(CELL)) {
                for x in (tile.x..tile.x + tile.width).step_by(usize::from(CELL)) {
                    let index = search.index(x, y);
                    let same = search.is_equal(search.cell(index), Shift { x: 0, y: 0 });
                    search.cells[index] = if same { Cell::Same } else { Cell::Open };
                }
            }
        }
        search
    }

    /// The cells for which nothing was found yet.
    fn open_cells(&self) -> Vec<Rect> {
        let open = |index: &usize| self.cells[*index] == Cell::Open;
        (0..self.cells.len()).filter(open).map(|index| self.cell(index)).collect()
    }

    /// Adds all copies with this shift.
    fn take(&mut self, shift: Shift, found: &mut Vec<Copy>) {
        for index in 0..self.cells.len() {
            let can = matches!(self.cells[index], Cell::Same | Cell::Open);
            self.equal[index] = can && self.is_equal(self.cell(index), shift);
        }
        for index in 0..self.cells.len() {
            if self.equal[index] {
                let block = self.take_block(index);
                if block.open {
                    found.push(Copy::new(self.grown(block.rect, shift), shift));
                }
            }
        }
    }

    /// Takes the largest block of equal cells whose upper left one is `first`: first as wide, then as high as can be.
    fn take_block(&mut self, first: usize) -> Block {
        let (row, column) = (first / self.columns, first % self.columns);
        let width = self.equal[first..(row + 1) * self.columns].iter().take_while(|&&equal| equal).count();
        let mut end = row;
        let mut open = false;
        loop {
            let from = end * self.columns + column;
            let Some(cells) = self.equal.get_mut(from..from + width).filter(|cells| cells.iter().all(|&equal| equal))
            else {
                break;
            };
            cells.fill(false);
            for cell in &mut self.cells[from..from + width] {
                open |= *cell == Cell::Open;
                if *cell == Cell::Open {
                    *cell = Cell::Solved;
                }
            }
            end += 1;
        }
        let rect = Rect {
            x: column as u16 * CELL,
            y: row as u16 * CELL,
            width: width as u16 * CELL,
            height: (end - row) as u16 * CELL,
        };
        Block { rect: rect.clipped(self.new.width(), self.new.height()), open }
    }

    /// Grows a rectangle on each side by up to a cell, as long as the pixels stay equal.
    fn grown(&self, mut rect: Rect, shift: Shift) -> Rect {
        for _ in 0..CELL {
            let above = Rect { y: rect.y.wrapping_sub(1), height: 1, ..rect };
            if !self.is_equal(above, shift) {
                break;
            }
            rect = Rect { y: above.y, height: rect.height + 1, ..rect };
        }
        for _ in 0..CELL {
            if !self.is_equal(Rect { y: rect.y + rect.height, height: 1, ..rect }, shift) {
                break;
            }
            rect.height += 1;
        }
        for _ in 0..CELL {
            let before = Rect { x: rect.x.wrapping_sub(1), width: 1, ..rect };
            if !self.is_equal(before, shift) {
                break;
            }
            rect = Rect { x: before.x, width: rect.width + 1, ..rect };
        }
        for _ in 0..CELL {
            if !self.is_equal(Rect { x: rect.x + rect.width, width: 1, ..rect }, shift) {
                break;
            }
            rect.width += 1;
        }
        rect
    }

    /// Whether a rectangle is inside the picture and the same, shifted, in the old one.
    fn is_equal(&self, rect: Rect, shift: Shift) -> bool {
        let (width, height) = (self.new.width(), self.new.height());
        let (from_x, from_y) = (i32::from(rect.x) + shift.x, i32::from(rect.y) + shift.y);
        let inside = rect.is_inside(width, height)
            && 0 <= from_x
            && 0 <= from_y
            && from_x + i32::from(rect.width) <= i32::from(width)
            && from_y + i32::from(rect.height) <= i32::from(height);
        inside && {
            let stride = self.new.stride();
            let len = usize::from(rect.width) * PIXEL;
            let mut new_at = usize::from(rect.y) * stride + usize::from(rect.x) * PIXEL;
            let mut old_at = from_y as usize * stride + from_x as usize * PIXEL;
            let (new, old) = (self.new.bgrx(), self.old.bgrx());
            (0..rect.height).all(|_| {
                let equal = new[new_at..new_at + len] == old[old_at..old_at + len];
                new_at += stride;
                old_at += stride;
                equal
            })
        }
    }

    fn cell(&self, index: usize) -> Rect {
        let (x, y) = ((index % self.columns) as u16 * CELL, (index / self.columns) as u16 * CELL);
        Rect { x, y, width: CELL, height: CELL }.clipped(self.new.width(), self.new.height())
    }

    fn index(&self, x: u16, y: u16) -> usize {
        usize::from(y / CELL) * self.columns + usize::from(x / CELL)
    }
}

struct Block {
    rect: Rect,
    /// Something in it differed from before.
    open: bool,
}
