//! The picture on the wire.

pub mod cursor;
