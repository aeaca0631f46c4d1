//! Where a request of the manager may lead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use crate::company::policy::Network;

/// Longest address, in bytes.
const LEN_MAX: usize = 500;

/// An address that is called: `https://…`, without a name and password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

/// A text that is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin with `https://`, has no host, has a name or a password, or is too long.
    #[error("not an address that begins with https://")]
    Form,
    /// It names a host that may not be called.
    #[error("not a public address")]
    Private,
}

impl Address {
    /// Reads what was typed; a host that is a number is looked at now, a name when it is called.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str, networks: &[Network]) -> Result<Self, AddressError> {
        let url = Url::parse(text.trim()).map_err(|_no_url| AddressError::Form)?;
        let has_login = !url.username().is_empty() || url.password().is_some();
        let is_long = LEN_MAX < url.as_str().len();
        if url.scheme() != "https" || !url.has_host() || has_login || url.fragment().is_some() || is_long {
            return Err(AddressError::Form);
        }
        match literal(&url) {
            Some(address) if !is_allowed(address, networks) => Err(AddressError::Private),
            Some(_) | None => Ok(Self(url)),
        }
    }

    /// As it is stored and shown.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// As it is called.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

/// The host, when it is a number.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether an address may be called.
pub(super) fn is_allowed(address: IpAddr, networks: &[Network]) -> bool {
    let address = address.to_canonical();
    let is_public = match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    };
    is_public || networks.iter().any(|network| network.contains(address))
}

/// Source: IANA IPv4 Special-Purpose Address Registry (RFC 6890), whatever is not globally reachable there.
const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && 64 <= b && b <= 127;
    let is_protocol = a == 192 && b == 0 && c == 0;
    let is_old_6to4 = a == 192 && b == 88 && c == 99;
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || 240 <= a
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || is_shared
        || is_protocol
        || is_old_6to4
        || is_benchmark)
}

/// Source: RFC 4291, 2000::/3 is what is given out to networks; less what leads to IPv4 (RFC 3056, RFC 4380) and examples
/// (RFC 3849, RFC 9637).
const fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_given_out = a & 0xe000 == 0x2000;
    let is_special = a == 0x2001 && (b < 0x0200 || b == 0x0db8);
    is_given_out && !is_special && a != 0x2002 && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_without_a_login_is_an_address() {
        let parse = |text: &str| Address::parse(text, &[]).map(|address| address.as_str().to_owned());

        assert_eq!(parse(" https://Hooks.example.co.jp/a?b=c "), Ok("https://hooks.example.co.jp/a?b=c".to_owned()));
        let long = format!("https://example.co.jp/{}", "a".repeat(500));
        for bad in [
            "",
            "hooks.example.co.jp",
            "http://example.co.jp/",
            "file:///etc/passwd",
            "https://",
            "https://a:b@example.co.jp/",
            "https://a@example.co.jp/",
            "https://example.co.jp/#a",
            &long,
        ] {
            assert_eq!(parse(bad), Err(AddressError::Form), "{bad}");
        }
    }

    #[test]
    fn numbers_that_lead_inside_are_refused_however_they_are_written() {
        for bad in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a00:1]",
            "[fe80::1]",
            "[fd00::1]",
            "[2002:a00:1::]",
            "[2001:db8::1]",
        ] {
            assert_eq!(Address::parse(&format!("https://{bad}/"), &[]), Err(AddressError::Private), "{bad}");
        }
        for good in ["203.0.114.1", "8.8.8.8", "[2606:4700::1111]"] {
            assert!(Address::parse(&format!("https://{good}/"), &[]).is_ok(), "{good}");
        }
        let inside = ["10.0.0.0/8".parse().unwrap()];
        assert!(Address::parse("https://10.1.2.3/", &inside).is_ok(), "the configuration names it");
        assert_eq!(Address::parse("https://192.168.1.1/", &inside), Err(AddressError::Private));
    }
}
