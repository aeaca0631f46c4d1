//! JSON bodies of the manager's HTTPS API, version 1, grouped by who calls.
//!
//! Field names are `snake_case`, times are UTC milliseconds (`*_at_ms`), ids are 32 hexadecimal digits.
//! Unknown fields are ignored by the reader, so that a newer side can add some.
//! Paths are constants beside the bodies. Callers authenticate by `Authorization: Bearer …`.

pub mod error;
pub mod login;
pub mod reception;
pub mod session;

pub mod relay;

/// UTC milliseconds since 1970.
pub type UnixMillis = i64;
