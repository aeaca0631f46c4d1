//! The encoder's idea of the viewer's picture, and the writing of changes to it.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    changes::{self, TILE, Tiles},
    copies::Copy,
    deflate::Stream,
    encode::{EncodeError, EncodeOptions, Parts},
    inexact::{Inexact, union},
    kinds::{self, Kind, Piece},
    ops::{self, OPS_MAX, Op},
    photo,
    picture::{Picture, Rect},
};

/// RAW bytes of one update; with [`PHOTO_BYTES_MAX`] it stays below the longest screen message.
const RAW_BYTES_MAX: u64 = 24 << 20;
/// JPEG bytes of one update.
const PHOTO_BYTES_MAX: usize = 7 << 20;
/// A pixel of a photograph, three bytes, deflates to about this many.
const PHOTO_PIXEL_BYTES: u64 = 2;

/// Everything between one reset and the next.
pub(super) struct Canvas {
    /// What the viewer has, if all its photographs were exact.
    pub(super) sent: Picture,
    /// What the viewer shall have; differs from `sent` only while an update is made.
    pub(super) next: Picture,
    pub(super) stream: Stream,
    /// No update has been made yet: the viewer's picture is black.
    pub(super) is_new: bool,
    inexact: Inexact,
    scratch: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(width: u16, height: u16) -> Result<Self, EncodeError> {
        let sent = Picture::new(width, height)?;
        Ok(Self {
            next: sent.clone(),
            sent,
            stream: Stream::new()?,
            is_new: true,
            inexact: Inexact::none(width, height),
            scratch: Vec::new(),
        })
    }

    pub(super) fn size(&self) -> (u16, u16) {
        (self.sent.width(), self.sent.height())
    }

    pub(super) fn lossy_pending(&self) -> bool {
        !self.inexact.is_empty()
    }

    /// Makes the update that turns `sent` into `next`, which differ in the changed tiles.
    pub(super) fn change(
        &mut self,
        copies: &[Copy],
        changed: &Tiles,
        options: EncodeOptions,
    ) -> Result<Parts, EncodeError> {
        self.sent.copy_all(copies.iter().map(|copy| (copy.to, copy.from_x, copy.from_y)), &mut self.scratch);
        self.inexact.copy(copies);
        let mut pieces = Vec::new();
        for (column, row) in changed.iter() {
            let tile = changed.rect(column, row);
            if let Some(rect) = changes::difference(&self.sent, &self.next, tile) {
                let kind = self.kind(rect, tile, options);
                pieces.push(Piece { rect, kind });
            }
            changes::sync(&self.next, &mut self.sent, tile);
        }
        self.write(copies, &pieces, options)
    }

    /// Makes an update that sends inexact pixels again, exactly.
    pub(super) fn refine(&mut self, budget_bytes: usize) -> Result<Parts, EncodeError> {
        let budget = u64::try_from(budget_bytes).unwrap_or(u64::MAX);
        let tiles = Tiles::all(self.sent.width(), self.sent.height());
        let (mut pieces, mut exact, mut pixels) = (Vec::new(), Vec::new(), 0_u64);
        for (column, row) in tiles.iter() {
            let tile = tiles.rect(column, row);
            let Some(rect) = self.inexact.extent(tile) else { continue };
            let kind = kinds::flat(&self.next, rect).map_or(Kind::Exact, Kind::Flat);
            pieces.push(Piece { rect, kind });
            exact.push(tile);
            pixels = pixels.saturating_add(rect.pixels());
            if budget.min(RAW_BYTES_MAX / 2) <= pixels.saturating_mul(PHOTO_PIXEL_BYTES) {
                break;
            }
        }
        let parts = self.write(&[], &pieces, EncodeOptions { photo_quality: None })?;
        for tile in exact {
            let hash = self.tile_hash(tile);
            self.stream.remember(hash);
        }
        Ok(parts)
    }

    fn kind(&mut self, rect: Rect, tile: Rect, options: EncodeOptions) -> Kind {
        if let Some(bgr) = kinds::flat(&self.next, rect) {
            return Kind::Flat(bgr);
        }
        let may_be_photo = options.photo_quality.is_some() && kinds::is_photo(&self.next, rect, &mut self.scratch);
        if may_be_photo && !self.is_remembered(tile) { Kind::Photo } else { Kind::Exact }
    }

    fn is_remembered(&mut self, tile: Rect) -> bool {
        let hash = self.tile_hash(tile);
        self.stream.remembers(hash)
    }

    fn tile_hash(&mut self, tile: Rect) -> u64 {
        self.scratch.clear();
        self.next.append_bgr(tile, &mut self.scratch);
        xxh3_64(&self.scratch)
    }

    fn write(&mut self, copies: &[Copy], pieces: &[Piece], options: EncodeOptions) -> Result<Parts, EncodeError> {
        let mut joined = kinds::join(pieces);
        if !self.fits(copies.len(), &joined) {
            joined = whole_rows(pieces);
        }
        // Before lines are cut: a cell that two lines share is covered by neither.
        for piece in joined.iter().filter(|piece| piece.kind != Kind::Photo) {
            self.inexact.clear(piece.rect);
        }
        let cut = kinds::cut_lines(&self.next, &joined);
        let chosen = if self.fits(copies.len(), &cut) { cut } else { joined };
        let copy_op = |copy: &Copy| Op::Copy { to: copy.to, from_x: copy.from_x, from_y: copy.from_y };
        let mut list: Vec<Op> = copies.iter().map(copy_op).collect();
        let (mut raw, mut raw_len, mut photos) = (Vec::new(), 0_u64, Vec::new());
        for piece @ Piece { rect, kind } in chosen {
            match kind {
                Kind::Flat(bgr) => list.push(Op::Fill { to: rect, bgr }),
                Kind::Exact | Kind::Line => {
                    let len = rect.pixels().saturating_mul(3);
                    if RAW_BYTES_MAX < raw_len.saturating_add(len) {
                        // No room: the viewer keeps what it has there until this is refined.
                        self.inexact.mark(rect);
                    } else {
                        raw_len = raw_len.saturating_add(len);
                        raw.push(piece);
                        list.push(if kind == Kind::Line { Op::Columns { to: rect } } else { Op::Raw { to: rect } });
                    }
                }
                Kind::Photo => {
                    self.inexact.mark(rect);
                    self.scratch.clear();
                    self.next.append_bgr(rect, &mut self.scratch);
                    let jpeg = photo::pack(&self.scratch, rect, options.photo_quality.unwrap_or(100))?;
                    if photos.len().saturating_add(jpeg.len()) <= PHOTO_BYTES_MAX {
                        list.push(Op::Photo { to: rect, len: u32::try_from(jpeg.len()).unwrap_or(u32::MAX) });
                        photos.extend_from_slice(&jpeg);
                    }
                }
            }
        }
        let mut segment = Vec::new();
        ops::write_ops(&list, &mut segment);
        for Piece { rect, kind } in raw {
            match kind {
                Kind::Line => self.next.append_bgr_columns(rect, &mut segment),
                Kind::Exact | Kind::Flat(_) | Kind::Photo => self.next.append_bgr(rect, &mut segment),
            }
        }
        Ok(Parts { segment, photos })
    }

    /// Whether the decoder's bounds on operations and segment hold.
    fn fits(&self, copies: usize, pieces: &[Piece]) -> bool {
        let count = copies.saturating_add(pieces.len());
        let is_exact = |piece: &&Piece| matches!(piece.kind, Kind::Exact | Kind::Line);
        let pixels = |pieces: &mut dyn Iterator<Item = &Piece>| {
            pieces.fold(0, |sum: u64, piece| sum.saturating_add(piece.rect.pixels()))
        };
        let ops_len = u64::try_from(count.saturating_mul(ops::OP_LEN_MAX)).unwrap_or(u64::MAX).saturating_add(2);
        let raw_len = pixels(&mut pieces.iter().filter(is_exact)).saturating_mul(3);
        let segment_max = ops::segment_len_max(self.sent.width(), self.sent.height());
        count <= OPS_MAX
            && ops_len.saturating_add(raw_len) <= segment_max
            && pixels(&mut pieces.iter()) <= self.sent.rect().pixels().saturating_mul(2)
    }
}

/// One exact piece for each row of tiles, when there are too many small ones.
fn whole_rows(pieces: &[Piece]) -> Vec<Piece> {
    let same_row = |a: &Piece, b: &Piece| a.rect.y / TILE == b.rect.y / TILE;
    let join = |row: &[Piece]| row.iter().map(|piece| piece.rect).reduce(union);
    pieces.chunk_by(same_row).filter_map(join).map(|rect| Piece { rect, kind: Kind::Exact }).collect()
}
