//! How each changed rectangle is sent: flat, exact or as a photograph; and the joining of neighbours.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "our own pixels and rectangles, inside the picture; edges are at most 16 384"
)]

use super::{
    changes::TILE,
    inexact::union,
    picture::{PIXEL, Picture, Rect},
};

/// A line of text is at most this high; less than a tile, so that tiles of photographs are always sent row by row.
const LINE_HEIGHT_MAX: u16 = 48;
/// Between lines of text there are only the edges of windows and bars.
const QUIET_EDGES_MAX: usize = 4;
/// A rectangle is only tried as photograph from half a tile on: below that the JPEG's tables cost more than it saves.
const PHOTO_PIXELS_MIN: u64 = 2048;
/// Pixels of one piece, so that a screen full of noise can be cut between updates.
const PIECE_PIXELS_MAX: u64 = 1 << 21;
/// Of 64 pixels, a photograph needs this many bytes under the cost rule. Text stays below, measured.
const PHOTO_COST_MIN: u64 = 55;
/// A photograph has more colours than this among [`SAMPLES_MAX`] pixels.
const PHOTO_COLOURS_MIN: usize = 64;
/// Pixels looked at for colours and edges.
const SAMPLES_MAX: usize = 1024;
/// Neighbouring pixels whose green differs this much are an edge of a letter or a rule.
const STRONG_EDGE: u8 = 64;

/// How a rectangle is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One colour.
    Flat([u8; 3]),
    /// Exact pixels, row after row.
    Exact,
    /// Exact pixels, column after column: a line of text, whose letters then repeat as a whole.
    Line,
    /// JPEG, refined later.
    Photo,
}

/// A changed rectangle and how it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) rect: Rect,
    pub(super) kind: Kind,
}

/// The one colour of a rectangle, if it has only one.
pub(super) fn flat(picture: &Picture, rect: Rect) -> Option<[u8; 3]> {
    let first = *picture.row(rect.x, rect.y, 1).as_chunks::<PIXEL>().0.first()?;
    let is_first = |row: &[u8]| row.as_chunks::<PIXEL>().0.iter().all(|pixel| *pixel == first);
    let [blue, green, red, _] = first;
    rect.rows().all(|y| is_first(picture.row(rect.x, y, rect.width))).then_some([blue, green, red])
}

/// Whether a rectangle is a photograph: costly to send exactly, many colours, and no sign of text.
pub(super) fn is_photo(picture: &Picture, rect: Rect, scratch: &mut Vec<u8>) -> bool {
    rect.pixels() >= PHOTO_PIXELS_MIN && !looks_like_text(picture, rect) && {
        scratch.clear();
        picture.append_bgr(rect, scratch);
        PHOTO_COST_MIN * rect.pixels() < cost(scratch) * 64
    }
}

/// Joins neighbours of one kind, given row by row of tiles; exact pieces along rows, the others also downwards.
pub(super) fn join(pieces: &[Piece]) -> Vec<Piece> {
    let mut rows: Vec<Piece> = Vec::with_capacity(pieces.len());
    for &piece in pieces {
        match rows.last_mut().and_then(|last| Some((joined_across(*last, piece)?, last))) {
            Some((joined, last)) => *last = joined,
            None => rows.push(piece),
        }
    }
    let mut joined: Vec<Piece> = Vec::with_capacity(rows.len());
    // Pieces that end at the upper edge of the row being looked at can only be among the last few.
    for piece in rows {
        let above = joined.iter_mut().rev().take(usize::from(u8::MAX)).find(|above| is_below(**above, piece));
        match above {
            Some(above) => above.rect = union(above.rect, piece.rect),
            None => joined.push(piece),
        }
    }
    joined
}

/// Cuts exact pieces between lines of text, so that each line is one piece.
pub(super) fn cut_lines(picture: &Picture, pieces: &[Piece]) -> Vec<Piece> {
    let mut cut = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if piece.kind != Kind::Exact {
            cut.push(*piece);
            continue;
        }
        let rows: Vec<bool> =
            piece.rect.rows().map(|y| is_quiet(picture, Rect { y, height: 1, ..piece.rect })).collect();
        let mut y = piece.rect.y;
        for band in rows.chunk_by(|a, b| a == b) {
            let height = u16::try_from(band.len()).unwrap_or(u16::MAX);
            let rect = Rect { y, height, ..piece.rect };
            let kind = match flat(picture, rect) {
                Some(bgr) => Kind::Flat(bgr),
                None if !band[0] && height <= LINE_HEIGHT_MAX => Kind::Line,
                None => Kind::Exact,
            };
            cut.push(Piece { rect, kind });
            y += height;
        }
    }
    cut
}

/// Whether a row of pixels is not part of a line of text.
fn is_quiet(picture: &Picture, row: Rect) -> bool {
    let pixels = picture.row(row.x, row.y, row.width).as_chunks::<PIXEL>().0;
    pixels.windows(2).filter(|pair| pair[0] != pair[1]).take(QUIET_EDGES_MAX + 1).count() <= QUIET_EDGES_MAX
}

fn joined_across(left: Piece, right: Piece) -> Option<Piece> {
    let same_rows = left.rect.y == right.rect.y && left.rect.height == right.rect.height;
    let touching = left.rect.right() == u32::from(right.rect.x);
    let rect = union(left.rect, right.rect);
    let joins = left.kind == right.kind
        && match left.kind {
            Kind::Flat(_) => same_rows && touching,
            Kind::Photo => same_rows && touching && rect.pixels() <= PIECE_PIXELS_MAX,
            // Neighbouring tiles only, and not much that need not be sent.
            Kind::Exact | Kind::Line => {
                let near = left.rect.x < right.rect.x && u32::from(right.rect.x) < left.rect.right() + u32::from(TILE);
                let one_row = left.rect.y / TILE == right.rect.y / TILE;
                near && one_row && rect.pixels() <= 2 * (left.rect.pixels() + right.rect.pixels())
            }
        };
    joins.then_some(Piece { rect, ..left })
}

fn is_below(above: Piece, piece: Piece) -> bool {
    let under = above.rect.x == piece.rect.x
        && above.rect.width == piece.rect.width
        && above.rect.bottom() == u32::from(piece.rect.y);
    let fits = above.rect.pixels() + piece.rect.pixels() <= PIECE_PIXELS_MAX;
    match piece.kind {
        _ if above.kind != piece.kind => false,
        Kind::Flat(_) => under,
        Kind::Photo => under && fits,
        Kind::Exact | Kind::Line => {
            let next_row = u32::from(piece.rect.y / TILE) == (above.rect.bottom() - 1) / u32::from(TILE) + 1;
            let rect = union(above.rect, piece.rect);
            let pixels = above.rect.pixels() + piece.rect.pixels();
            next_row && rect.pixels() <= PIECE_PIXELS_MAX && 2 * rect.pixels() <= 3 * pixels
        }
    }
}

/// Few colours, or one ground colour with strong edges on it.
fn looks_like_text(picture: &Picture, rect: Rect) -> bool {
    let pixels = usize::from(rect.width) * usize::from(rect.height);
    let step = pixels.div_ceil(SAMPLES_MAX);
    let mut colours: Vec<u32> = Vec::with_capacity(SAMPLES_MAX);
    let mut edges = 0;
    let mut skip = 0;
    for y in rect.rows() {
        let row = picture.row(rect.x, y, rect.width).as_chunks::<PIXEL>().0;
        for (index, pixel) in row.iter().enumerate().skip(skip).step_by(step) {
            colours.push(u32::from_le_bytes(*pixel));
            let next = row.get(index + 1).unwrap_or(pixel);
            edges += usize::from(STRONG_EDGE <= pixel[1].abs_diff(next[1]));
        }
        // The samples go on in the next row where this one stopped, so that no column is preferred.
        skip = (skip + step * row.len().saturating_sub(skip).div_ceil(step)) - row.len();
    }
    colours.sort_unstable();
    let runs = || colours.chunk_by(|a, b| a == b);
    let dominant = runs().map(<[u32]>::len).max().unwrap_or(0);
    let samples = colours.len();
    let has_ground = samples < dominant * 5 && samples < edges * 50;
    runs().count() <= PHOTO_COLOURS_MIN || has_ground || samples < dominant * 2
}

/// What a fast LZ77 coder would make of these bytes: 1 for a literal, 3 for a match of at least four bytes.
fn cost(bytes: &[u8]) -> u64 {
    let mut last_seen = [0_u16; 4096];
    let mut cost = 0;
    let mut at = 0;
    while let Some(&word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        let slot = (u32::from_le_bytes(word).wrapping_mul(0x9E37_79B1) >> 20) as usize;
        let before = usize::from(last_seen[slot]);
        last_seen[slot] = u16::try_from(at).unwrap_or(0);
        let repeats = before < at && bytes[before..before + 4] == word;
        if repeats {
            let same = bytes[at..].iter().zip(&bytes[before..]).take_while(|(a, b)| a == b).count();
            at += same;
            cost += 3;
        } else {
            at += 1;
            cost += 1;
        }
    }
    cost
}
