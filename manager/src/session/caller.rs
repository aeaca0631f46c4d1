//! Who calls about a session: its operator or its customer. Anybody else finds no such session.

use axum::{extract::FromRequestParts, http::request::Parts};
use proto::{
    api::error::ErrorCode,
    id::{OperatorId, SessionId},
    role::Role,
};

use super::{state::Session, store};
use crate::{
    app::App,
    audit::Actor,
    db,
    error::{ApiError, ApiResult},
    extract::{Bearer, Source},
    login::LoggedIn,
};

/// Somebody with a token that is good for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// An operator who is logged in.
    Operator(OperatorId),
    /// The customer of one session.
    Customer(SessionId),
}

impl Caller {
    /// Whether the session is the caller's own.
    pub fn owns(self, session: &Session) -> bool {
        match self {
            Self::Operator(operator_id) => session.operator_id == operator_id,
            Self::Customer(session_id) => session.id == session_id,
        }
    }

    /// The caller in the audit.
    pub const fn actor(self) -> Actor {
        match self {
            Self::Operator(operator_id) => Actor::Operator(operator_id),
            Self::Customer(session_id) => Actor::Customer(session_id),
        }
    }

    /// The caller's side of a session.
    pub const fn role(self) -> Role {
        match self {
            Self::Operator(_) => Role::Operator,
            Self::Customer(_) => Role::Customer,
        }
    }

    /// Only a customer passes.
    ///
    /// # Errors
    /// `Forbidden` for an operator.
    pub fn customer(self) -> ApiResult<Self> {
        match self {
            Self::Operator(_) => Err(ApiError::new(ErrorCode::Forbidden)),
            Self::Customer(_) => Ok(self),
        }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Bearer(token) = Bearer::from_request_parts(parts, app).await?;
        let Source(source) = Source::from_request_parts(parts, app).await?;
        let session = db::in_time(async { store::of_customer(&mut app.db.read_once().await?, &token).await });
        match session.await? {
            Some(session_id) => Ok(Self::Customer(session_id)),
            None => Ok(Self::Operator(LoggedIn::find(app, &token, source).await?.operator_id)),
        }
    }
}
