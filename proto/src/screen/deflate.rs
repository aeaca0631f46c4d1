//! The continuous zstd stream of one viewer, and what it still remembers.

use std::collections::HashMap;

use zstd::{
    stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer},
    zstd_safe::compress_bound,
};

use super::{anchors::AlreadyHashed, ops::WINDOW_LOG};

/// Compression level; higher ones save little and cost much. Source: measured on scrolling text, see benches.
const LEVEL: i32 = 3;
/// Tiles within this many bytes of the stream are surely inside the window.
const REMEMBERED_BYTES: u64 = 3 << (WINDOW_LOG - 2);
/// Remembered tiles: more than the window has room for.
const REMEMBERED_MAX: usize = 4096;

/// Compresses segments one after the other; each can be inflated as soon as it has arrived.
pub(super) struct Stream {
    encoder: Encoder<'static>,
    /// Inflated bytes so far.
    position: u64,
    /// Where photographs were last sent exactly, by the hash of their tile.
    tiles: HashMap<u64, u64, AlreadyHashed>,
}

impl Stream {
    pub(super) fn new() -> std::io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Self { encoder, position: 0, tiles: HashMap::default() })
    }

    /// Deflates one segment.
    pub(super) fn push(&mut self, segment: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut deflated = Vec::with_capacity(compress_bound(segment.len()).saturating_add(64));
        let mut input = InBuffer::around(segment);
        let mut output = OutBuffer::around(&mut deflated);
        while input.pos() < segment.len() {
            self.encoder.run(&mut input, &mut output)?;
        }
        // The buffer has room for everything, so that the loop ends.
        while self.encoder.flush(&mut output)? != 0 {}
        self.position = self.position.saturating_add(u64::try_from(segment.len()).unwrap_or(u64::MAX));
        Ok(deflated)
    }

    /// A tile with this hash is exact from here on.
    pub(super) fn remember(&mut self, tile: u64) {
        if REMEMBERED_MAX <= self.tiles.len() {
            let position = self.position;
            self.tiles.retain(|_, at| position.saturating_sub(*at) <= REMEMBERED_BYTES);
        }
        if self.tiles.len() < REMEMBERED_MAX {
            self.tiles.insert(tile, self.position);
        }
    }

    /// Whether the window holds a tile with this hash, so that sending it again costs next to nothing.
    pub(super) fn remembers(&self, tile: u64) -> bool {
        self.tiles.get(&tile).is_some_and(|at| self.position.saturating_sub(*at) <= REMEMBERED_BYTES)
    }
}
