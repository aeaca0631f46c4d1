//! The system administrator behind a page, as an argument of a handler.

use std::ops::Deref;

use proto::id::CompanyId;

use super::{AdminPermission, AdminRole};
use crate::{audit::AuditEvent, login::Holder, site::Problem};

/// A system administrator who is logged in, with what the role allows now.
#[derive(Debug, Clone)]
pub struct AdminLogin {
    /// The account.
    pub holder: Holder,
    /// The role.
    pub role: AdminRole,
}

impl AdminLogin {
    /// Whether the role allows it.
    pub const fn may(&self, permission: AdminPermission) -> bool {
        self.role.may(permission)
    }

    /// Refuses what the role does not allow.
    ///
    /// # Errors
    /// [`Problem::Forbidden`].
    pub const fn need(&self, permission: AdminPermission) -> Result<(), Problem> {
        if self.may(permission) { Ok(()) } else { Err(Problem::Forbidden) }
    }

    /// An event by this administrator about a company; it stands in that company's log.
    pub fn event_about(
        &self,
        company_id: CompanyId,
        event: &'static str,
        detail: serde_json::Value,
        now: i64,
    ) -> AuditEvent {
        AuditEvent { company: Some(company_id), ..self.event(event, detail, now) }
    }
}

impl Deref for AdminLogin {
    type Target = Holder;

    fn deref(&self) -> &Holder {
        &self.holder
    }
}
