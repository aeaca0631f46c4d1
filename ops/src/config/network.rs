//! Networks, written as `"10.0.0.0/8"`; one address stands for itself.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A network of IPv4 or IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not an address, or a prefix that is none.
    #[error("`{0}` is not a network such as \"10.0.0.0/8\", \"2001:db8::/32\" or \"192.0.2.7\"")]
    Form(String),
    /// Bits behind the prefix are set, so something else may have been meant.
    #[error("`{0}` is not the first address of its network; was \"{1}\" meant?")]
    NotFirst(String, Network),
}

impl Network {
    /// Whether an address belongs to it. An IPv4 address in the form of IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.first)
            && self.first.is_ipv4() == address.to_canonical().is_ipv4()
    }
}

/// The first address of the network with this prefix that the address belongs to; `None` for a prefix that is too long.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let host_bits = |bits: u32| bits.checked_sub(u32::from(prefix));
    Some(match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(host_bits(Ipv4Addr::BITS)?).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(host_bits(Ipv6Addr::BITS)?).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    })
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        Self { first, prefix: if first.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError::Form(text.to_owned());
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().map(|address: IpAddr| Self::from(address)).map_err(|_not_an_address| wrong());
        };
        let address: IpAddr = address.parse().map_err(|_not_an_address| wrong())?;
        let prefix = prefix.parse().map_err(|_not_a_number| wrong())?;
        let first = masked(address, prefix).ok_or_else(wrong)?;
        let network = Self { first, prefix };
        if first == address { Ok(network) } else { Err(NetworkError::NotFirst(text.to_owned(), network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("2001:db8::/33", "2001:db8:7fff::1") && !holds("2001:db8::/33", "2001:db8:8000::1"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "203.0.113.9"));
    }

    #[test]
    fn an_ipv4_address_on_a_socket_of_both_families_is_ipv4() {
        assert!(holds("192.0.2.0/24", "::ffff:192.0.2.7"));
    }

    #[test]
    fn what_is_no_network_says_what_one_looks_like() {
        for text in ["", "proxy.example.jp", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0/8"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Form(text.to_owned())));
        }
        let mistake = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert!(mistake.to_string().contains("\"10.0.0.0/8\""), "{mistake}");
    }

    #[test]
    fn it_is_shown_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }
}
