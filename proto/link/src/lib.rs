//! proto/link.
