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
    /// Whose companies a partner's account sees.
    pub partner_id: Option<String>,
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

    /// Whose companies only it sees; `None` for everybody's. A partner's account without a partner sees nobody's.
    pub fn partner_only(&self) -> Option<String> {
        match self.role {
            AdminRole::Operations | AdminRole::Data | AdminRole::Audit => None,
            AdminRole::Partner => Some(self.partner_id.clone().unwrap_or_default()),
        }
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
