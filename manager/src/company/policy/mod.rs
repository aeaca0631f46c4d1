//! The rules of a company's accounts, receptions and records. What a company has not set has the product's default.

mod network;
mod week;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use proto::api::UnixMillis;
use serde::{Deserialize, Serialize};

pub use self::{
    network::{Network, NetworkError},
    week::{Hours, Week},
};
use super::Lockout;
use crate::login::password::{LEN_MAX_DEFAULT, LEN_MIN};

/// How long an account is locked that only an administrator opens: longer than anybody waits.
const UNTIL_UNLOCKED: Duration = Duration::from_hours(100 * 366 * 24);

/// Everything a company may set. A rule that a newer version knows is kept out, not refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Policy {
    /// Passwords.
    pub password: PasswordPolicy,
    /// Logging in.
    pub login: LoginPolicy,
    /// Reception numbers.
    pub reception: ReceptionPolicy,
    /// IANA name of the time zone in which times are shown; empty for Japanese time.
    pub time_zone: String,
    /// Tag of the language of those who chose none; empty for the browser's.
    pub lang: String,
    /// Days that records are kept.
    pub retention: Retention,
    /// The edition of the responsibilities that the company has read.
    pub responsibility: Option<Acknowledged>,
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
    /// Whether a password that an administrator issued anew must be changed at the next login.
    pub change_after_reset: bool,
    /// Whether a new account with an address gets a link instead of a password on paper.
    pub initial_by_link: bool,
}

/// Rules of logging in.
#[expect(clippy::struct_excessive_bools, reason = "each is a rule that a company switches by itself")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoginPolicy {
    /// Whether failures lock an account.
    pub lockout: bool,
    /// How many lock it, 3 to 100.
    pub failures_max: i64,
    /// Minutes in which they are counted, 1 to 1440.
    pub window_minutes: i64,
    /// Minutes after which it opens by itself, 1 to 1440.
    pub unlock_minutes: i64,
    /// Whether only an administrator opens it.
    pub unlock_by_hand: bool,
    /// Whether everybody needs the second factor.
    pub totp_required: bool,
    /// From when on; 0 for at once.
    pub totp_from_ms: UnixMillis,
    /// A login at the site ends when it was not used for this time, 5 to 480.
    pub idle_minutes: i64,
    /// A login of an operator tool ends when it was not used for this time, 1 to 24.
    pub tool_idle_hours: i64,
    /// A login ends after this time, 1 to 24.
    pub life_hours: i64,
    /// Whether a new login ends the account's others, at the site and of tools each.
    pub single: bool,
    /// Networks from which accounts may log in; empty for everywhere.
    pub networks: Vec<Network>,
    /// Networks of one role, which count for it instead.
    pub networks_of: BTreeMap<String, Vec<Network>>,
    /// Hours in which accounts may log in, in the company's time zone.
    pub week: Week,
}

/// Rules of reception numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceptionPolicy {
    /// How many minutes a number lives, 1 to 60, and a tool may ask for less; 0 for what the service says.
    pub life_minutes: i64,
    /// Numbers that one operator has open at once, 1 to 3.
    pub open_max: i64,
    /// Whether a number needs a reason.
    pub reason_required: bool,
    /// Whom people ask when something does not work; may be empty.
    pub contact: String,
}

/// Days that records are kept, at least 30.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Receptions and sessions.
    pub log_days: i64,
    /// Values of changes.
    pub change_days: i64,
}

/// Somebody has read something for the company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Which edition.
    pub edition: String,
    /// When.
    pub at_ms: UnixMillis,
    /// Who, by name.
    pub by: String,
}

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
            change_after_reset: true,
            initial_by_link: true,
        }
    }
}

impl Default for LoginPolicy {
    fn default() -> Self {
        Self {
            lockout: true,
            failures_max: 10,
            window_minutes: 15,
            unlock_minutes: 15,
            unlock_by_hand: false,
            totp_required: false,
            totp_from_ms: 0,
            idle_minutes: 30,
            tool_idle_hours: 24,
            life_hours: 12,
            single: false,
            networks: Vec::new(),
            networks_of: BTreeMap::new(),
            week: Week::default(),
        }
    }
}

impl Default for ReceptionPolicy {
    fn default() -> Self {
        Self { life_minutes: 0, open_max: 3, reason_required: false, contact: String::new() }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { log_days: 365, change_days: 365 }
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
    /// Whether an account of a role may log in from an address.
    pub fn allows(&self, role: &str, source: IpAddr) -> bool {
        let networks = self.networks_of.get(role).filter(|own| !own.is_empty()).unwrap_or(&self.networks);
        networks.is_empty() || networks.iter().any(|network| network.contains(source))
    }

    /// Whether an account needs the second factor now.
    pub const fn needs_factor(&self, now: UnixMillis) -> bool {
        self.totp_required && self.totp_from_ms <= now
    }

    /// When failures lock an account.
    pub fn lockout(&self) -> Lockout {
        let minutes = |minutes: i64| Duration::from_mins(u64::try_from(minutes).unwrap_or(0).max(1));
        Lockout {
            failures_max: if self.lockout { self.failures_max.max(1) } else { i64::MAX },
            time: if self.unlock_by_hand { UNTIL_UNLOCKED } else { minutes(self.unlock_minutes) },
            window: minutes(self.window_minutes),
        }
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
    fn a_role_with_its_own_networks_may_log_in_from_those_only() {
        let policy = Policy::stored(
            r#"{"login":{"networks":["192.0.2.0/24"],"networks_of":{"company_admin":["2001:db8::/32"],"viewer":[]}}}"#,
        );
        let allows = |role, source: &str| policy.login.allows(role, source.parse().unwrap());

        assert!(allows("operator", "192.0.2.9") && allows("viewer", "192.0.2.9"));
        assert!(!allows("company_admin", "192.0.2.9") && allows("company_admin", "2001:db8::7"));
        assert!(!allows("operator", "198.51.100.1"));
        assert!(LoginPolicy::default().allows("operator", "198.51.100.1".parse().unwrap()));
    }

    #[test]
    fn the_second_factor_is_needed_from_its_day_on() {
        let login = LoginPolicy { totp_required: true, totp_from_ms: 100, ..LoginPolicy::default() };

        assert!(!login.needs_factor(99) && login.needs_factor(100));
        assert!(!LoginPolicy { totp_from_ms: 0, ..LoginPolicy::default() }.needs_factor(100));
    }
}
