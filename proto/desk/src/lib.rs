//! proto/desk.
