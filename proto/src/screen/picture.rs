//! Pictures and rectangles, and the few ways to paint that encoder and decoder share.

use xxhash_rust::xxh3::xxh3_64;

use crate::limits;

/// Bytes of one pixel in memory: blue, green, red, unused.
pub(super) const PIXEL: usize = 4;

/// A borrowed picture as a capture delivers it.
#[derive(Debug, Clone, Copy)]
pub struct PictureRef<'a> {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Bytes from the start of one row to the next, at least `width * 4`.
    pub stride: usize,
    /// Rows top to bottom, four bytes a pixel: blue, green, red and one that is ignored.
    pub bgrx: &'a [u8],
}

/// An owned picture: packed BGRX, rows top to bottom, the fourth byte always 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u16,
    height: u16,
    bgrx: Vec<u8>,
}

/// A rectangle in pixels, from the upper left corner of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rect {
    /// Left edge.
    pub x: u16,
    /// Upper edge.
    pub y: u16,
    /// Width; 0 is an empty rectangle.
    pub width: u16,
    /// Height; 0 is an empty rectangle.
    pub height: u16,
}

/// What the system says has changed since the picture before.
#[derive(Debug, Clone, Copy)]
pub enum Damage<'a> {
    /// Nothing is known: the whole picture is compared.
    Unknown,
    /// Only these rectangles can have changed; they may overlap and reach over the edges. None: nothing changed.
    Rects(&'a [Rect]),
}

/// A picture that is empty or larger than [`limits::PICTURE_EDGE_MAX`] and [`limits::PICTURE_PIXELS_MAX`] allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a picture of {width} by {height} pixels is outside the limits")]
pub struct SizeError {
    /// Width found.
    pub width: u16,
    /// Height found.
    pub height: u16,
}

impl Picture {
    /// A black picture.
    ///
    /// # Errors
    /// [`SizeError`] before anything is allocated.
    pub fn new(width: u16, height: u16) -> Result<Self, SizeError> {
        check_size(width, height)?;
        let len = usize::from(width).saturating_mul(usize::from(height)).saturating_mul(PIXEL);
        Ok(Self { width, height, bgrx: vec![0; len] })
    }

    /// Width in pixels.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The whole area.
    pub fn rect(&self) -> Rect {
        Rect { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// The pixels: packed rows of blue, green, red, 0.
    pub fn bgrx(&self) -> &[u8] {
        &self.bgrx
    }

    /// The picture as the encoder wants it.
    pub fn as_ref(&self) -> PictureRef<'_> {
        PictureRef { width: self.width, height: self.height, stride: self.stride(), bgrx: &self.bgrx }
    }

    /// xxh3-64 of the pixels, the value of [`crate::message::Message::Check`].
    pub fn hash(&self) -> u64 {
        xxh3_64(&self.bgrx)
    }

    /// Fills a rectangle with one colour (blue, green, red); what reaches over the edges is left out.
    pub fn fill(&mut self, rect: Rect, bgr: [u8; 3]) {
        let [blue, green, red] = bgr;
        let rect = rect.clipped(self.width, self.height);
        for y in rect.rows() {
            let row = self.row_mut(rect.x, y, rect.width);
            row.as_chunks_mut::<PIXEL>().0.fill([blue, green, red, 0]);
        }
    }

    /// Bytes of one row.
    pub(super) fn stride(&self) -> usize {
        usize::from(self.width).saturating_mul(PIXEL)
    }

    /// `width` pixels of row `y` from `x`; empty when that is not inside the picture.
    pub(super) fn row(&self, x: u16, y: u16, width: u16) -> &[u8] {
        let range = self.range(x, y, width);
        self.bgrx.get(range).unwrap_or_default()
    }

    /// Like [`Self::row`], to write; the caller keeps the fourth byte 0.
    pub(super) fn row_mut(&mut self, x: u16, y: u16, width: u16) -> &mut [u8] {
        let range = self.range(x, y, width);
        self.bgrx.get_mut(range).unwrap_or_default()
    }

    /// Writes a rectangle inside the picture from packed BGR rows, `rect.pixels() * 3` bytes.
    pub(super) fn put_bgr(&mut self, rect: Rect, bgr: &[u8]) {
        let row_len = usize::from(rect.width).saturating_mul(3);
        if row_len == 0 {
            return;
        }
        for (y, from) in rect.rows().zip(bgr.chunks_exact(row_len)) {
            let to = self.row_mut(rect.x, y, rect.width).as_chunks_mut::<PIXEL>().0;
            for (to, &[blue, green, red]) in to.iter_mut().zip(from.as_chunks::<3>().0) {
                *to = [blue, green, red, 0];
            }
        }
    }

    /// Like [`Self::put_bgr`], but the pixels come column by column.
    pub(super) fn put_bgr_columns(&mut self, rect: Rect, bgr: &[u8]) {
        let from = bgr.as_chunks::<3>().0;
        for (down, y) in rect.rows().enumerate() {
            let to = self.row_mut(rect.x, y, rect.width).as_chunks_mut::<PIXEL>().0;
            let from = from.iter().skip(down).step_by(usize::from(rect.height).max(1));
            for (to, &[blue, green, red]) in to.iter_mut().zip(from) {
                *to = [blue, green, red, 0];
            }
        }
    }

    /// Appends a rectangle as packed BGR columns.
    pub(super) fn append_bgr_columns(&self, rect: Rect, out: &mut Vec<u8>) {
        let start = out.len();
        let len = usize::from(rect.width).saturating_mul(usize::from(rect.height)).saturating_mul(3);
        out.resize(start.saturating_add(len), 0);
        let to = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<3>().0;
        for (down, y) in rect.rows().enumerate() {
            let from = self.row(rect.x, y, rect.width).as_chunks::<PIXEL>().0;
            let to = to.iter_mut().skip(down).step_by(usize::from(rect.height).max(1));
            for (to, &[blue, green, red, _]) in to.zip(from) {
                *to = [blue, green, red];
            }
        }
    }

    /// Appends a rectangle as packed BGR rows.
    pub(super) fn append_bgr(&self, rect: Rect, out: &mut Vec<u8>) {
        for y in rect.rows() {
            let row = self.row(rect.x, y, rect.width).as_chunks::<PIXEL>().0;
            out.extend(row.iter().flat_map(|&[blue, green, red, _]| [blue, green, red]));
        }
    }

    /// Copies rectangles inside the picture; all sources are read before anything is written.
    ///
    /// A copy is the place to write and the upper left corner to read from; both lie inside the picture.
    /// `scratch` is reused between calls.
    pub(super) fn copy_all(&mut self, copies: impl Iterator<Item = (Rect, u16, u16)> + Clone, scratch: &mut Vec<u8>) {
        scratch.clear();
        for (to, from_x, from_y) in copies.clone() {
            for y in 0..to.height {
                scratch.extend_from_slice(self.row(from_x, from_y.saturating_add(y), to.width));
            }
        }
        let mut rest = scratch.as_slice();
        for (to, _, _) in copies {
            for y in to.rows() {
                let row = self.row_mut(to.x, y, to.width);
                let Some((from, after)) = rest.split_at_checked(row.len()) else { return };
                row.copy_from_slice(from);
                rest = after;
            }
        }
    }

    fn range(&self, x: u16, y: u16, width: u16) -> std::ops::Range<usize> {
        if self.height <= y || u32::from(self.width) < u32::from(x).saturating_add(u32::from(width)) {
            return 0..0;
        }
        let first = usize::from(y).saturating_mul(usize::from(self.width)).saturating_add(usize::from(x));
        let from = first.saturating_mul(PIXEL);
        from..from.saturating_add(usize::from(width).saturating_mul(PIXEL))
    }
}

impl Rect {
    /// Number of pixels.
    pub fn pixels(self) -> u64 {
        u64::from(self.width).saturating_mul(u64::from(self.height))
    }

    /// Right edge, the first column outside.
    pub fn right(self) -> u32 {
        u32::from(self.x).saturating_add(u32::from(self.width))
    }

    /// Lower edge, the first row outside.
    pub fn bottom(self) -> u32 {
        u32::from(self.y).saturating_add(u32::from(self.height))
    }

    /// Whether it has pixels and all of them are inside a picture of this size.
    pub fn is_inside(self, width: u16, height: u16) -> bool {
        0 < self.width && 0 < self.height && self.right() <= u32::from(width) && self.bottom() <= u32::from(height)
    }

    /// The part inside a picture of this size, perhaps empty.
    pub fn clipped(self, width: u16, height: u16) -> Self {
        let (x, y) = (self.x.min(width), self.y.min(height));
        Self { x, y, width: self.width.min(width.saturating_sub(x)), height: self.height.min(height.saturating_sub(y)) }
    }

    /// The rows it covers, at most to row 65 535.
    pub(super) fn rows(self) -> std::ops::Range<u16> {
        self.y..self.y.saturating_add(self.height)
    }
}

/// Refuses sizes that no picture may have.
pub(super) fn check_size(width: u16, height: u16) -> Result<(), SizeError> {
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    let edge = u32::from(width.max(height));
    if 0 < pixels && edge <= limits::PICTURE_EDGE_MAX && pixels <= limits::PICTURE_PIXELS_MAX {
        Ok(())
    } else {
        Err(SizeError { width, height })
    }
}
