//! Names and numbers of protocol versions.

/// ALPN name of the relay protocol, version 1.
pub const ALPN: &[u8] = b"uketsuke/1";
/// How the name of a relay's key begins in ALPN.
const KEY_NAME_PREFIX: &str = "uketsuke-key/";
/// Digits of a key's hash in its name: enough to tell the keys of one relay apart. The tool checks all of them.
const KEY_DIGITS: usize = 16;
/// Version byte of a hello.
pub const HELLO_VERSION: u8 = 1;
/// Version of the messages inside sealed frames; both tools say theirs first and the smaller one counts.
pub const MESSAGE_VERSION: u16 = 1;

/// The second ALPN name that a tool offers: the key it expects, so that a relay that has just got another one presents
/// that one to it. It is never chosen. `spki` is the hash that the tool pins, hexadecimal.
pub fn key_name(spki: &str) -> Vec<u8> {
    format!("{KEY_NAME_PREFIX}{}", spki.get(..KEY_DIGITS).unwrap_or(spki)).into_bytes()
}

/// The name itself, if this one of ALPN is the name of a key.
pub fn named_key(name: &[u8]) -> Option<&[u8]> {
    name.starts_with(KEY_NAME_PREFIX.as_bytes()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_the_beginning_of_its_hash() {
        let name = key_name(&"ab".repeat(32));

        assert_eq!(name, b"uketsuke-key/abababababababab");
        assert_eq!(named_key(&name), Some(name.as_slice()));
        assert_eq!(named_key(ALPN), None);
    }
}
