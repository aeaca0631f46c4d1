//! `POST /v1/login` and `POST /v1/logout`.

use axum::{Json, extract::State, http::StatusCode};
use proto::api::{
    UnixMillis,
    error::{ErrorBody, ErrorCode},
    login::{LOGIN, LOGOUT, LoginAnswer, LoginRequest, NoticeBody},
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    LoggedIn, Realm,
    attempt::{self, Proved, Refusal, Typed, login_event},
    password::{self, Password},
    store, tool_store,
};
use crate::{
    app::{self, App},
    audit::{self, AuditEvent},
    bearer::BearerToken,
    error::{ApiError, ApiResult},
    extract::{Body, Source},
    notice::{self, Running},
    site::{Lang, Words},
    throttle::millis,
};

/// The routes of this slice.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(logout))
}

/// Logs an operator in.
#[utoipa::path(
    post, path = LOGIN, tag = "login",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Logged in", body = LoginAnswer),
        (status = 401, description = "Company code, id or password is wrong, or the account is locked or stopped; or a code \
            or a new password is needed", body = ErrorBody),
        (status = 429, description = "Too many attempts", body = ErrorBody),
        (status = 503, description = "Overloaded; or the whole service is stopped", body = ErrorBody),
    ),
)]
async fn login(
    State(app): State<App>,
    Source(source): Source,
    Body(request): Body<LoginRequest>,
) -> ApiResult<Json<LoginAnswer>> {
    let password = Password::typed(request.password);
    let typed =
        Typed { realm: Realm::Company, company: request.company, user: request.user, password, source, device: None };
    let proved = attempt::prove(&app, typed).await?;
    settle(&app, proved, request.code.as_deref()).await.map(Json)
}

/// Ends the login that the bearer token names.
#[utoipa::path(
    post, path = LOGOUT, tag = "login",
    responses(
        (status = 204, description = "Logged out"),
        (status = 401, description = "Not logged in", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
async fn logout(State(app): State<App>, login: LoggedIn) -> ApiResult<StatusCode> {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if tool_store::revoke(&mut tx, &login.token, now).await? {
        audit::append(&mut tx, login_event("login.ended", Some((login.company_id, login.operator_id)), now)).await?;
        tx.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Asks for what is still missing; then gives the token and takes back what was counted.
async fn settle(app: &App, proved: Proved, code: Option<&str>) -> ApiResult<LoginAnswer> {
    let now = app.now_ms();
    let account = &proved.account;
    let mut tx = app.db.begin().await?;
    match (account.has_factor, code) {
        (false, _) if account.policy.login.needs_factor(now) => return Err(ApiError::new(ErrorCode::PasswordChange)),
        (false, _) => {}
        (true, None) => return Err(ApiError::new(ErrorCode::CodeRequired)),
        (true, Some(code)) => {
            if !proved.takes(app, &mut tx, code).await? {
                tx.commit().await?;
                return Err(ApiError::new(ErrorCode::LoginFailed));
            }
        }
    }
    let expiry = password::Expiry::of(&account.policy.password, account.password_changed_at_ms, now);
    if account.password_is_initial || expiry == password::Expiry::Over {
        // The code was taken; it stays taken, and the site asks for the next one.
        tx.commit().await?;
        return Err(ApiError::new(ErrorCode::PasswordChange));
    }
    let token = BearerToken::random(&mut app::os_rng());
    let life_ms = account.policy.login.life_hours.saturating_mul(store::HOUR_MS);
    let expires_at_ms: UnixMillis = now.saturating_add(millis(app.config.login.life.get()).min(life_ms));
    proved.forgive(&mut tx, now).await?;
    tool_store::insert(&mut tx, &token.hash(), account.operator_id, now, expires_at_ms).await?;
    store::note_login(&mut tx, account.operator_id, now).await?;
    if account.policy.login.single {
        tool_store::revoke_tools(&mut tx, account.operator_id, &token.hash(), now).await?;
    }
    let event = login_event("login.succeeded", Some((account.company_id, account.operator_id)), now);
    audit::append(&mut tx, AuditEvent { detail: json!({ "source": proved.source, "door": "tool" }), ..event }).await?;
    let notices = notice::running(&mut tx, account.company_id, account.operator_id, now).await?;
    tx.commit().await?;
    tracing::info!(event = "login.succeeded", operator.id = %account.operator_id, "An operator logged in");
    let words = Words::of(Lang::parse(&account.policy.lang).unwrap_or_default());
    Ok(LoginAnswer {
        token: token.reveal().to_owned(),
        expires_at_ms,
        operator_id: account.operator_id,
        operator_name: account.operator_name.clone(),
        company_id: account.company_id,
        company_name: account.company_name.clone(),
        notices: notices.into_iter().map(|notice| notice_body(notice, words)).collect(),
    })
}

fn notice_body(notice: Running, words: &'static Words) -> NoticeBody {
    let title = notice.told(words);
    NoticeBody { notice_id: notice.notice_id, title, important: notice.important, ends_at_ms: notice.ends_at_ms }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed | Refusal::Suspended => Self::new(ErrorCode::LoginFailed),
            Refusal::Halted => Self::new(ErrorCode::ServiceHalted),
            // The site says what to do.
            Refusal::InitialOver => Self::new(ErrorCode::PasswordChange),
            Refusal::Throttled { retry_after_secs } => Self::throttled(retry_after_secs),
            Refusal::Error(error) => error,
        }
    }
}
