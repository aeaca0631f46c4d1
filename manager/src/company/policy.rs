//! The rules of a company's accounts, receptions and records. What a company has not set has the product's default.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::login::password::{LEN_MAX_DEFAULT, LEN_MIN};

/// Minutes of a day.
const DAY_MINUTES: i64 = 24 * 60;

/// Everything a company may set. A rule that a newer version knows is kept out, not refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Policy {
    /// Passwords.
    pub password: PasswordPolicy,
    /// Logging in.
    pub login: LoginPolicy,
    /// IANA name of the time zone in which times are shown; empty for Japanese time.
    pub time_zone: String,
    /// Days that logs are kept.
    pub retention: Retention,
}

/// Rules of passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasswordPolicy {
    /// Fewest characters, 8 to 64.
    pub len_min: usize,
    /// Most characters, 20 to 128.
    pub len_max: usize,
    /// How many of the four kinds (small letters, capitals, digits, symbols) it must have, 1 to 4.
    pub kinds_min: usize,
    /// Passwords that may not come back, 0 to 24.
    pub history: usize,
    /// Days after which it must be changed; 0 for never.
    pub expiry_days: i64,
    /// Days before that on which the owner is warned.
    pub warn_days: i64,
    /// Words that no password may contain, in any case.
    pub denied: Vec<String>,
}

/// Rules of logging in.
#[expect(clippy::struct_excessive_bools, reason = "each is a rule that a company switches by itself")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoginPolicy {
    /// Whether failures lock an account.
    pub lockout: bool,
    /// Whether only an administrator opens a locked account.
    pub unlock_by_hand: bool,
    /// Whether everybody needs the second factor.
    pub totp_required: bool,
    /// A login at the site ends when it was not used for this time, 5 to 480.
    pub idle_minutes: i64,
    /// A login ends after this time, 1 to 24.
    pub life_hours: i64,
    /// Whether a new login at the site ends the account's others there.
    pub single: bool,
    /// Networks from which accounts may log in; empty for everywhere.
    pub networks: Vec<Network>,
    /// Hours in which accounts may log in, by minutes of the day in the company's zone; `None` for always.
    pub hours: Option<Hours>,
}

/// From one minute of a day to another; over midnight when the end is before the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// First minute of the day.
    pub from: i64,
    /// The minute behind the last one.
    pub to: i64,
}

/// Days that records are kept, at least 30.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Receptions and sessions.
    pub log_days: i64,
}

/// An address range in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address range is an address, or an address with a prefix length: 192.0.2.0/24")]
pub struct NetworkError;

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            len_min: LEN_MIN,
            len_max: LEN_MAX_DEFAULT,
            kinds_min: 1,
            history: 0,
            expiry_days: 0,
            warn_days: 14,
            denied: Vec::new(),
        }
    }
}

impl Default for LoginPolicy {
    fn default() -> Self {
        Self {
            lockout: true,
            unlock_by_hand: false,
            totp_required: false,
            idle_minutes: 30,
            life_hours: 12,
            single: false,
            networks: Vec::new(),
            hours: None,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { log_days: 365 }
    }
}

impl Policy {
    /// Reads the column; what cannot be read is the default, which is the strictest the product has.
    pub fn stored(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The value of the column.
    pub fn to_column(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_impossible| "{}".to_owned())
    }
}

impl LoginPolicy {
    /// Whether an account may log in from an address.
    pub fn allows(&self, source: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(source))
    }

    /// Whether it may log in at a minute of the day.
    pub fn is_open(&self, minute_of_day: i64) -> bool {
        let minute = minute_of_day.rem_euclid(DAY_MINUTES);
        self.hours.is_none_or(
            |Hours { from, to }| {
                if from <= to { from <= minute && minute < to } else { from <= minute || minute < to }
            },
        )
    }
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_prefix(own.to_bits().into(), other.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same_prefix(own.to_bits(), other.to_bits(), 128, self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, width: u32, prefix: u8) -> bool {
    let free = width.saturating_sub(u32::from(prefix));
    a.checked_shr(free).unwrap_or(0) == b.checked_shr(free).unwrap_or(0)
}

impl std::str::FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.trim().split_once('/').map_or((text.trim(), None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_not_an_address| NetworkError)?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(widest), str::parse).map_err(|_not_a_number| NetworkError)?;
        if prefix <= widest { Ok(Self { address, prefix }) } else { Err(NetworkError) }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_company_did_not_set_has_the_default() {
        let policy = Policy::stored(r#"{"login":{"totp_required":true},"of_the_future":1}"#);

        assert!(policy.login.totp_required && policy.login.lockout);
        assert_eq!(policy.password, PasswordPolicy::default());
        assert_eq!(Policy::stored(&policy.to_column()), policy);
        assert_eq!(Policy::stored("broken"), Policy::default());
    }

    #[test]
    fn a_network_holds_the_addresses_of_its_prefix() {
        let network: Network = "192.0.2.128/25".parse().unwrap();

        assert!(network.contains("192.0.2.200".parse().unwrap()));
        assert!(network.contains("::ffff:192.0.2.200".parse().unwrap()));
        assert!(!network.contains("192.0.2.1".parse().unwrap()));
        assert!(!network.contains("2001:db8::1".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("203.0.113.9".parse().unwrap()));
        for bad in ["", "192.0.2.1/33", "x", "1.2.3.4/-1", "::/129"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }

    #[test]
    fn login_hours_may_go_over_midnight() {
        let at = |from, to, minute| {
            LoginPolicy { hours: Some(Hours { from, to }), ..LoginPolicy::default() }.is_open(minute)
        };

        assert!(at(540, 1080, 540) && !at(540, 1080, 1080));
        assert!(at(1320, 360, 1380) && at(1320, 360, 0) && !at(1320, 360, 720));
        assert!(LoginPolicy::default().is_open(0));
    }
}
