//! The token behind a request, as an argument of a handler.

use std::{marker::PhantomData, net::IpAddr, ops::Deref, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};
use proto::api::error::ErrorCode;

use super::{
    scope::Needed,
    store::{self, Valid},
};
use crate::{
    app::App,
    bearer::BearerHash,
    error::{ApiError, ApiResult},
    extract::{Bearer, Source},
    halt,
    login::SiteLogin,
    role::Permission,
    router,
    throttle::{self, Rate, Taken},
};

/// Requests of one token.
const RATE: Rate = Rate { max: 600, window: Duration::from_mins(1) };
/// Requests of one source with a token that is none.
const WRONG_RATE: Rate = Rate { max: 60, window: Duration::from_mins(1) };
/// The note of the last use is renewed when it is older than this.
const TOUCH_EVERY_MS: i64 = 60_000;

/// Who calls by a token that has the scope of the route: the account that made it, with what that may do now.
///
/// It is known before anything else of the request is read: a caller without the scope learns nothing by what it sends.
#[derive(Debug)]
pub struct By<S> {
    login: SiteLogin,
    scope: PhantomData<S>,
}

impl<S> By<S> {
    /// Refuses what the maker of the token may not do itself.
    ///
    /// # Errors
    /// `Forbidden`.
    pub const fn need(&self, permission: Permission) -> ApiResult<()> {
        if self.login.may(permission) { Ok(()) } else { Err(ApiError::new(ErrorCode::Forbidden)) }
    }
}

impl<S> Deref for By<S> {
    type Target = SiteLogin;

    fn deref(&self) -> &SiteLogin {
        &self.login
    }
}

impl<S: Needed> FromRequestParts<App> for By<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let Source(source) = Source::from_request_parts(parts, app).await?;
        let Bearer(hash) = Bearer::from_request_parts(parts, app).await?;
        let now = app.now_ms();
        let mut tx = app.db.read().await?;
        let found = store::find(&mut tx, &hash, now).await?;
        if found.is_none() && halt::store::halted_at(&mut tx).await?.is_some() {
            return Err(ApiError::new(ErrorCode::ServiceHalted));
        }
        drop(tx);
        let Some(valid) = found.filter(|valid| valid.may_come_from(source)) else {
            return Err(refuse_stranger(app, source, now).await?);
        };
        router::note_account(valid.login.operator_id);
        count(app, &valid, &hash, source, now).await?;
        if !valid.scopes.has(S::SCOPE) {
            return Err(ApiError::forbidden(format!("this token has no scope {}", S::SCOPE.as_str())));
        }
        Ok(Self { login: valid.login, scope: PhantomData })
    }
}

impl Valid {
    /// Whether the networks of the token, or else those of the company, have this address.
    fn may_come_from(&self, source: IpAddr) -> bool {
        if self.networks.is_empty() {
            self.login.policy.login.allows(self.login.role.as_str(), source)
        } else {
            self.networks.iter().any(|network| network.contains(source))
        }
    }
}

/// Counts a request of a token, and notes its use.
async fn count(app: &App, valid: &Valid, hash: &BearerHash, source: IpAddr, now: i64) -> ApiResult<()> {
    let Some(token_id) = valid.login.api_token else { return Err(ApiError::internal("a token has no id")) };
    let mut tx = app.db.begin().await?;
    let taken = throttle::take(&mut tx, "api.token", &token_id.to_string(), RATE, now).await?;
    let source = source.to_canonical().to_string();
    if valid.used_at_ms.is_none_or(|at| at.saturating_add(TOUCH_EVERY_MS) <= now) || valid.used_from != source {
        store::touch(&mut tx, hash, &source, now).await?;
    }
    tx.commit().await?;
    match taken {
        Taken::Within => Ok(()),
        Taken::Beyond { retry_after_secs } => Err(ApiError::throttled(retry_after_secs)),
    }
}

/// One answer for every token that is not valid, here, now.
async fn refuse_stranger(app: &App, source: IpAddr, now: i64) -> ApiResult<ApiError> {
    let mut tx = app.db.begin().await?;
    let bucket = throttle::source_bucket(source);
    let taken = throttle::take(&mut tx, "api.source", &bucket, WRONG_RATE, now).await?;
    tx.commit().await?;
    Ok(match taken {
        Taken::Within => ApiError::new(ErrorCode::NotLoggedIn),
        Taken::Beyond { retry_after_secs } => ApiError::throttled(retry_after_secs),
    })
}
