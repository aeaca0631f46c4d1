//! A buffer that is cleared once and then used again and again: what a record goes into is written anyway.

use std::ops::{Deref, DerefMut};

/// Bytes one behind the other.
#[derive(Debug, Default)]
pub struct Room {
    /// Never shorter than it was; what stands behind `len` is of an earlier use.
    bytes: Vec<u8>,
    len: usize,
}

impl Room {
    /// Nothing yet, and room for `len` bytes.
    pub fn with_room(len: usize) -> Self {
        Self { bytes: vec![0; len], len: 0 }
    }

    /// Bytes there is room for.
    pub const fn room(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets everything, and keeps the room.
    pub const fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets what stands behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Appends.
    pub fn extend_from_slice(&mut self, more: &[u8]) {
        self.grow(more.len()).copy_from_slice(more);
    }

    /// Appends `count` bytes for the caller to write; until then anything may stand there.
    pub(super) fn grow(&mut self, count: usize) -> &mut [u8] {
        let (start, end) = (self.len, self.len + count);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.len = end;
        self.bytes.get_mut(start..end).unwrap_or_default()
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
