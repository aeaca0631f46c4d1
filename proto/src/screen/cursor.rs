//! The shape of the customer's pointer; it is never burnt into the picture.

use serde::{Deserialize, Serialize};

use crate::limits;

/// A pointer shape, cached by its id on the other side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorShape {
    /// Width in pixels, at most [`limits::CURSOR_EDGE_MAX`].
    pub width: u16,
    /// Height in pixels, at most [`limits::CURSOR_EDGE_MAX`].
    pub height: u16,
    /// The pixel that points, from the left.
    pub hot_x: u16,
    /// The pixel that points, from the top.
    pub hot_y: u16,
    /// Premultiplied BGRA, rows top to bottom, `width * height * 4` bytes.
    pub bgra: Vec<u8>,
}

impl CursorShape {
    /// Whether sizes are within limits and agree with the pixels.
    pub fn is_valid(&self) -> bool {
        let bytes = usize::from(self.width).saturating_mul(usize::from(self.height)).saturating_mul(4);
        self.width <= limits::CURSOR_EDGE_MAX && self.height <= limits::CURSOR_EDGE_MAX && self.bgra.len() == bytes
    }
}
