//! Where the viewer's pixels are not exact yet: photographs, and what did not fit into an update.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "our own rectangles, inside the picture; edges are at most 16 384"
)]

use super::{copies::Copy, picture::Rect};

/// Edge of a cell: a copy makes at most this much more inexact than it should.
const CELL: u16 = 8;

/// A set of 8×8 px cells that hold inexact pixels.
#[derive(Debug)]
pub(super) struct Inexact {
    width: u16,
    height: u16,
    columns: usize,
    cells: Vec<bool>,
    len: usize,
}

impl Inexact {
    /// Everything exact.
    pub(super) fn none(width: u16, height: u16) -> Self {
        let columns = usize::from(width.div_ceil(CELL));
        let cells = vec![false; columns * usize::from(height.div_ceil(CELL))];
        Self { width, height, columns, cells, len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A rectangle was sent inexact, or was due and not sent.
    pub(super) fn mark(&mut self, rect: Rect) {
        for index in self.touched(rect) {
            self.set(index, true);
        }
    }

    /// A rectangle was sent exact; cells that it covers only in part stay as they are.
    pub(super) fn clear(&mut self, rect: Rect) {
        if !self.is_empty() {
            for index in self.covered(rect) {
                self.set(index, false);
            }
        }
    }

    /// Copies inside the viewer's picture carry inexact pixels along.
    pub(super) fn copy(&mut self, copies: &[Copy]) {
        if self.is_empty() {
            return;
        }
        let before = self.cells.clone();
        for copy in copies {
            let covered: Vec<usize> = self.covered(copy.to).collect();
            for index in self.touched(copy.to) {
                let (x, y) = self.place(index);
                let part = intersection(Rect { x, y, width: CELL, height: CELL }, copy.to);
                let from = Rect { x: part.x - copy.to.x + copy.from_x, y: part.y - copy.to.y + copy.from_y, ..part };
                let inexact = self.touched(from).any(|index| before[index]);
                if inexact || covered.binary_search(&index).is_ok() {
                    self.set(index, inexact);
                }
            }
        }
    }

    /// The smallest rectangle inside `within` that holds all its inexact cells.
    pub(super) fn extent(&self, within: Rect) -> Option<Rect> {
        let mut found: Option<Rect> = None;
        for index in self.touched(within).filter(|&index| self.cells[index]) {
            let (x, y) = self.place(index);
            let cell = intersection(Rect { x, y, width: CELL, height: CELL }, within);
            found = Some(found.map_or(cell, |rect| union(rect, cell)));
        }
        found
    }

    fn touched(&self, rect: Rect) -> impl Iterator<Item = usize> + use<> {
        let columns = self.columns;
        let across = usize::from(rect.x / CELL)..usize::from((rect.x + rect.width).div_ceil(CELL));
        let down = usize::from(rect.y / CELL)..usize::from((rect.y + rect.height).div_ceil(CELL));
        down.flat_map(move |row| across.clone().map(move |column| row * columns + column))
    }

    /// Cells that lie in `rect` with all their pixels, in ascending order.
    fn covered(&self, rect: Rect) -> impl Iterator<Item = usize> + use<> {
        let end = |edge: u16, limit: u16| if edge == limit { edge.div_ceil(CELL) } else { edge / CELL };
        let columns = self.columns;
        let across = usize::from(rect.x.div_ceil(CELL))..usize::from(end(rect.x + rect.width, self.width));
        let down = usize::from(rect.y.div_ceil(CELL))..usize::from(end(rect.y + rect.height, self.height));
        down.flat_map(move |row| across.clone().map(move |column| row * columns + column))
    }

    fn place(&self, index: usize) -> (u16, u16) {
        let edge = |cells: usize| u16::try_from(cells).unwrap_or(u16::MAX).saturating_mul(CELL);
        (edge(index % self.columns), edge(index / self.columns))
    }

    fn set(&mut self, index: usize, inexact: bool) {
        match (self.cells[index], inexact) {
            (false, true) => self.len += 1,
            (true, false) => self.len -= 1,
            (false, false) | (true, true) => {}
        }
        self.cells[index] = inexact;
    }
}

/// The pixels that two rectangles share; they must touch.
fn intersection(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.max(b.x), a.y.max(b.y));
    let (right, bottom) = ((a.x + a.width).min(b.x + b.width), (a.y + a.height).min(b.y + b.height));
    Rect { x, y, width: right - x, height: bottom - y }
}

/// The smallest rectangle that holds two.
pub(super) fn union(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    let (right, bottom) = ((a.x + a.width).max(b.x + b.width), (a.y + a.height).max(b.y + b.height));
    Rect { x, y, width: right - x, height: bottom - y }
}
