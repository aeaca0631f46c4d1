//! JSON bodies of the manager's HTTPS API, version 1, grouped by who calls.
//!
//! Field names are `snake_case`, times are UTC milliseconds (`*_at_ms`), ids are 32 hexadecimal digits.
//! Unknown fields are ignored by the reader, so that a newer side can add some. Managers are upgraded first: where a
//! tool reads a name that a newer manager may add (an error code, a close reason, an event, a kind of device fact or
//! of grant), it reads an unknown one as `Unknown` or leaves it out. States of receptions and sessions are closed sets.
//! Paths are constants beside the bodies. Callers authenticate by `Authorization: Bearer …`.

pub mod error;
pub mod login;
pub mod reception;
pub mod session;

pub mod relay;

/// UTC milliseconds since 1970.
pub type UnixMillis = i64;
