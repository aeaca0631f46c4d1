//! The operator behind a request, as an argument of a handler.

use std::net::IpAddr;

use axum::{extract::FromRequestParts, http::request::Parts};
use proto::{
    api::error::ErrorCode,
    id::{CompanyId, OperatorId},
};

use super::tool_store;
use crate::{
    app::App,
    bearer::BearerHash,
    company::Policy,
    db,
    error::{ApiError, ApiResult},
    extract::{Bearer, Source},
    halt,
    role::{Permission, Permissions},
    router,
};

/// The note of the last use is renewed when it is older than this, so that most requests write nothing.
const TOUCH_EVERY_MS: i64 = 60_000;

/// An operator who is logged in now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Who.
    pub operator_id: OperatorId,
    /// Name that customers see.
    pub operator_name: String,
    /// The operator's company.
    pub company_id: CompanyId,
    /// Name that customers see.
    pub company_name: String,
    /// What the role allows.
    pub permissions: Permissions,
    /// Which login.
    pub token: BearerHash,
    /// The company's rules.
    pub policy: Policy,
    /// From where it is used now.
    pub source: IpAddr,
}

impl LoggedIn {
    /// The operator whose token has this hash, if the login is valid now and may be used from there.
    ///
    /// # Errors
    /// `NotLoggedIn`, `ServiceHalted`, or what the database says.
    pub async fn find(app: &App, token: &BearerHash, source: IpAddr) -> Result<Self, ApiError> {
        let now = app.now_ms();
        let idle = app.config.login.idle.get();
        let found = db::in_time(async {
            let mut tx = app.db.read_once().await?;
            tool_store::find(&mut tx, token, idle, source, now).await
        });
        let (login, used_at_ms) = if let Some(found) = found.await? {
            found
        } else {
            // Once more, and why, as both are at one moment: a halt that is lifted in between logs nobody out.
            let mut tx = app.db.read().await?;
            let found = tool_store::find(&mut tx, token, idle, source, now).await?;
            let Some(found) = found else { return Err(halt::refusal(&mut tx, ErrorCode::NotLoggedIn).await?) };
            found
        };
        router::note_account(login.operator_id);
        if used_at_ms.saturating_add(TOUCH_EVERY_MS) <= now {
            let mut tx = app.db.begin().await?;
            tool_store::touch(&mut tx, token, now).await?;
            tx.commit().await?;
        }
        Ok(login)
    }
}

impl LoggedIn {
    /// Refuses what the role does not allow.
    ///
    /// # Errors
    /// `Forbidden`.
    pub const fn need(&self, permission: Permission) -> ApiResult<()> {
        if self.permissions.has(permission) { Ok(()) } else { Err(ApiError::new(ErrorCode::Forbidden)) }
    }
}

impl FromRequestParts<App> for LoggedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Bearer(token) = Bearer::from_request_parts(parts, app).await?;
        let Source(source) = Source::from_request_parts(parts, app).await?;
        Self::find(app, &token, source).await
    }
}
