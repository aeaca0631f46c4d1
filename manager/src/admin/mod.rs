//! System administrators: those who run the service for its companies.
//!
//! Guarantees: they are a realm of their own, with their own door (`/system/login`), cookie and pages; a login of one
//! realm opens no page of the other, and no tool; outside the configured networks the pages are not there; the second
//! factor is asked of everybody; every change is in the audit chain with its reason and its values.
//! The first one is made at the command line.

pub mod edit;
pub mod frame;
pub mod history;
pub mod list;
pub mod log;
pub mod page;
pub mod record;
pub mod role;
pub mod store;

mod accounts;
mod login;
mod reason;

use serde::{Deserialize, Serialize};

pub use self::{
    login::AdminLogin,
    reason::{Reason, ReasonError},
    role::{AdminPermission, AdminRole},
};
use crate::{company::policy::Network, provider};

/// Section `[system]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Networks from which the pages of system administrators can be reached; empty for everywhere.
    pub networks: Vec<Network>,
    /// Section `[system.provider]`: by which identity provider they can sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<provider::SystemConfig>,
}
