//! Names and numbers of protocol versions.

/// ALPN name of the relay protocol, version 1.
pub const ALPN: &[u8] = b"uketsuke/1";
/// Version byte of a hello.
pub const HELLO_VERSION: u8 = 1;
/// Version of the messages inside sealed frames; both tools say theirs first and the smaller one counts.
pub const MESSAGE_VERSION: u16 = 1;
