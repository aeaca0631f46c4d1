//! PROXY protocol, version 2: what a load balancer says about who connected to it, before anything else is said.
//!
//! Only version 2, only connections over IPv4 or IPv6, and at most [`PROXY_HEADER_LEN_MAX`] bytes. A balancer
//! that speaks for somebody it cannot name is refused, because every limit by source would be blind then.
//! Who may send this header is not decided here: it is believed from listed addresses only.
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::PROXY_HEADER_LEN_MAX;

/// Length of the part that says how long the rest is.
pub const OPENING_LEN: usize = 16;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2; the balancer's own connection, for example a health check.
const LOCAL: u8 = 0x20;
/// Version 2; a connection of somebody else.
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// For whom a balancer connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// For itself.
    Local,
    /// For somebody at this address.
    From(SocketAddr),
}

/// Bytes that are not such a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxiedError {
    /// Something else, or version 1.
    #[error("not a PROXY protocol header of version 2")]
    Signature,
    /// Neither `LOCAL` nor `PROXY`.
    #[error("a PROXY protocol command that does not exist: {0:#04x}")]
    Command(u8),
    /// Not a stream over IPv4 or IPv6, or an unnamed one.
    #[error("a PROXY protocol family without an address to count by: {0:#04x}")]
    Family(u8),
    /// Longer than is allowed, or shorter than it says or than its addresses need.
    #[error("a PROXY protocol header of a wrong length")]
    Length,
}

/// How many bytes follow the opening, at most [`PROXY_HEADER_LEN_MAX`] with it.
///
/// # Errors
/// [`ProxiedError::Signature`] and [`ProxiedError::Length`].
pub fn rest_len(opening: &[u8; OPENING_LEN]) -> Result<usize, ProxiedError> {
    if !opening.starts_with(&SIGNATURE) {
        return Err(ProxiedError::Signature);
    }
    let [.., high, low] = *opening;
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len.saturating_add(OPENING_LEN) <= PROXY_HEADER_LEN_MAX { Ok(len) } else { Err(ProxiedError::Length) }
}

/// Reads a whole header: the opening and all that it says follows. What stands behind the addresses is checked for its
/// form and not used.
///
/// # Errors
/// See [`ProxiedError`].
pub fn parse(header: &[u8]) -> Result<Proxied, ProxiedError> {
    let (opening, rest) = header.split_first_chunk::<OPENING_LEN>().ok_or(ProxiedError::Length)?;
    if rest.len() != rest_len(opening)? {
        return Err(ProxiedError::Length);
    }
    let [.., command, family, _, _] = *opening;
    match command {
        LOCAL => return Ok(Proxied::Local),
        PROXY => {}
        other => return Err(ProxiedError::Command(other)),
    }
    let (source, extras) = match family {
        TCP_OVER_IPV4 => {
            let (addresses, extras) = rest.split_first_chunk::<12>().ok_or(ProxiedError::Length)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            (socket_address(Ipv4Addr::new(a, b, c, d).into(), [high, low]), extras)
        }
        TCP_OVER_IPV6 => {
            let (source, rest) = rest.split_first_chunk::<16>().ok_or(ProxiedError::Length)?;
            let (_destination, rest) = rest.split_first_chunk::<16>().ok_or(ProxiedError::Length)?;
            let ([high, low, _, _], extras) = rest.split_first_chunk::<4>().ok_or(ProxiedError::Length)?;
            (socket_address(Ipv6Addr::from(*source).into(), [*high, *low]), extras)
        }
        other => return Err(ProxiedError::Family(other)),
    };
    if has_form(extras) { Ok(Proxied::From(source)) } else { Err(ProxiedError::Length) }
}

/// The header that a balancer at `destination` sends for somebody at `source`; both are brought into one family.
pub fn header(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::with_capacity(36);
    let family = if let (IpAddr::V4(from), IpAddr::V4(to)) = (source.ip(), destination.ip()) {
        addresses.extend(from.octets().into_iter().chain(to.octets()));
        TCP_OVER_IPV4
    } else {
        let wide = |ip| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        addresses.extend(wide(source.ip()).octets().into_iter().chain(wide(destination.ip()).octets()));
        TCP_OVER_IPV6
    };
    addresses.extend(source.port().to_be_bytes().into_iter().chain(destination.port().to_be_bytes()));
    let mut header = SIGNATURE.to_vec();
    header.extend([PROXY, family]);
    // 12 or 36.
    header.extend(u16::try_from(addresses.len()).unwrap_or(u16::MAX).to_be_bytes());
    header.extend(addresses);
    header
}

fn socket_address(ip: IpAddr, port: [u8; 2]) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(port))
}

/// Whether these bytes are a row of type (1 byte), length (2) and value.
fn has_form(mut extras: &[u8]) -> bool {
    while let Some(([_kind, high, low], rest)) = extras.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((_value, rest)) = rest.split_at_checked(len) else { return false };
        extras = rest;
    }
    extras.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn of_ipv4() -> Vec<u8> {
        header(address("192.0.2.7:40000"), address("198.51.100.1:443"))
    }

    #[test]
    fn the_bytes_of_the_specification_are_read() {
        let mut bytes = vec![0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A];
        bytes.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0x9C, 0x40, 0x01, 0xBB]);

        assert_eq!(parse(&bytes), Ok(Proxied::From(address("192.0.2.7:40000"))));
        assert_eq!(bytes, of_ipv4());
    }

    #[test]
    fn the_balancers_own_connection_is_its_own_whatever_it_says_about_addresses() {
        let mut check = of_ipv4();
        check[12] = 0x20;
        assert_eq!(parse(&check), Ok(Proxied::Local));

        let bare = [SIGNATURE.as_slice(), &[0x20, 0, 0, 0]].concat();
        assert_eq!(parse(&bare), Ok(Proxied::Local));
    }

    #[test]
    fn an_ipv4_address_in_the_form_of_ipv6_is_ipv4() {
        let header = header(address("[::ffff:192.0.2.7]:1"), address("[2001:db8::1]:443"));

        assert_eq!(parse(&header), Ok(Proxied::From(address("192.0.2.7:1"))));
    }

    #[test]
    fn what_stands_behind_the_addresses_must_have_its_form() {
        let with = |extras: &[u8]| {
            let mut header = of_ipv4();
            header.extend(extras);
            header[15] = u8::try_from(12 + extras.len()).unwrap();
            parse(&header)
        };

        assert!(with(&[0x04, 0, 2, 0, 0, 0x20, 0, 0]).is_ok());
        assert_eq!(with(&[0x04, 0]), Err(ProxiedError::Length));
        assert_eq!(with(&[0x04, 0, 9, 1]), Err(ProxiedError::Length));
    }

    #[test]
    fn everything_else_is_refused_by_its_kind() {
        let altered = |place: usize, value: u8| {
            let mut header = of_ipv4();
            header[place] = value;
            parse(&header)
        };

        assert_eq!(parse(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"), Err(ProxiedError::Signature));
        assert_eq!(altered(3, 0), Err(ProxiedError::Signature));
        assert_eq!(altered(12, 0x11), Err(ProxiedError::Command(0x11)));
        assert_eq!(altered(12, 0x22), Err(ProxiedError::Command(0x22)));
        for family in [0x00, 0x12, 0x21, 0x22, 0x31, 0xFF] {
            let expected = if family == 0x21 { ProxiedError::Length } else { ProxiedError::Family(family) };
            assert_eq!(altered(13, family), Err(expected));
        }
        assert_eq!(parse(&of_ipv4()[..20]), Err(ProxiedError::Length));
    }

    #[test]
    fn a_header_is_bounded_by_its_opening_alone() {
        let opening = |len: u16| {
            let mut opening = [0; OPENING_LEN];
            opening[..14].copy_from_slice(&of_ipv4()[..14]);
            opening[14..].copy_from_slice(&len.to_be_bytes());
            rest_len(&opening)
        };

        assert_eq!(opening(520), Ok(520));
        assert_eq!(opening(521), Err(ProxiedError::Length));
        assert_eq!(opening(u16::MAX), Err(ProxiedError::Length));
    }

    proptest! {
        #[test]
        fn an_address_is_read_as_it_was_written(source: SocketAddr, destination: SocketAddr) {
            let header = header(source, destination);

            let expected = SocketAddr::new(source.ip().to_canonical(), source.port());
            prop_assert_eq!(parse(&header), Ok(Proxied::From(expected)));
            for len in 0..header.len() {
                prop_assert!(parse(&header[..len]).is_err(), "{} of {} bytes are no header", len, header.len());
            }
        }

        #[test]
        fn any_bytes_behind_a_true_opening_are_an_answer(rest in prop::collection::vec(any::<u8>(), 0..600), family: u8) {
            let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
            let bytes = [SIGNATURE.as_slice(), &[PROXY, family], &len, &rest].concat();

            let answer = parse(&bytes);

            prop_assert!(answer.is_err() || bytes.len() <= PROXY_HEADER_LEN_MAX);
        }
    }
}
