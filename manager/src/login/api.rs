//! `POST /v1/login` and `POST /v1/logout`.

use axum::{Json, extract::State, http::StatusCode};
use proto::api::{
    UnixMillis,
    error::{ErrorBody, ErrorCode},
    login::{LOGIN, LOGOUT, LoginAnswer, LoginRequest},
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    LoggedIn,
    password::Password,
    store::{self, Account, AccountHash, Counted},
};
use crate::{
    app::{self, App},
    audit::{self, Actor, AuditEvent},
    bearer::BearerToken,
    company::{CompanyCode, Lockout},
    error::{ApiError, ApiResult},
    extract::{Body, Source},
    throttle::{self, Rate, Taken, millis},
};

/// Scope of the counter of one source.
const PER_SOURCE: &str = "login.source";
/// Scope of the counter of everybody.
const TOGETHER: &str = "login.together";

/// The routes of this slice.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(logout))
}

/// What an attempt found before the password is looked at.
struct Attempt {
    account_hash: AccountHash,
    account: Option<Account>,
    counted: Counted,
    source: String,
}

/// How an attempt ended, the label of the metric and the word in the audit record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Unknown,
    Locked,
    Stopped,
    WrongPassword,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Locked => "locked",
            Self::Stopped => "stopped",
            Self::WrongPassword => "wrong_password",
        }
    }
}

/// Logs an operator in.
#[utoipa::path(
    post, path = LOGIN, tag = "login",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Logged in", body = LoginAnswer),
        (status = 401, description = "Company code, id or password is wrong, or the account is locked or stopped", body = ErrorBody),
        (status = 429, description = "Too many attempts", body = ErrorBody),
        (status = 503, description = "Overloaded", body = ErrorBody),
    ),
)]
async fn login(
    State(app): State<App>,
    Source(source): Source,
    Body(request): Body<LoginRequest>,
) -> ApiResult<Json<LoginAnswer>> {
    let logins = &app.metrics.core.manager_logins_total;
    let source = throttle::source_bucket(source);
    if let Err(refusal) = throttled(&app, &source).await {
        logins.with_label_values(&["throttled"]).inc();
        return Err(refusal);
    }
    let place = app.hash_gate.enter().await.map_err(|busy| {
        logins.with_label_values(&["busy"]).inc();
        ApiError::busy(busy)
    })?;
    let attempt = begin(&app, &request.company, &request.user, source).await?;
    let hash = attempt.account.as_ref().map(|account| account.password_hash.clone());
    let matches = app.hash_gate.verify(place, Password::typed(request.password), hash).await;
    let outcome = judge(&attempt, matches);
    logins.with_label_values(&[outcome.as_str()]).inc();
    settle(&app, attempt, outcome).await.map(Json)
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
    if store::revoke(&mut tx, &login.token, now).await? {
        let event = AuditEvent {
            at_ms: now,
            company: Some(login.company_id),
            actor: Actor::Operator(login.operator_id),
            event: "login.ended",
            reception: None,
            session: None,
            detail: json!({}),
        };
        audit::append(&mut tx, event).await?;
        tx.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Counts the attempt against its source and against everybody, before anything is looked up or hashed.
async fn throttled(app: &App, source: &str) -> ApiResult<()> {
    let (per_source, together) = rates(app);
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let mut taken = throttle::take(&mut tx, PER_SOURCE, source, per_source, now).await?;
    if taken == Taken::Within {
        taken = throttle::take(&mut tx, TOGETHER, "", together, now).await?;
    }
    tx.commit().await?;
    match taken {
        Taken::Within => Ok(()),
        Taken::Beyond { retry_after_secs } => Err(ApiError::throttled(retry_after_secs)),
    }
}

/// Finds the account and counts the attempt as failed until it is known better; the same work for unknown ones.
async fn begin(app: &App, company: &str, user: &str, source: String) -> ApiResult<Attempt> {
    let (company, user) = (CompanyCode::fold(company), user.trim());
    let account_hash = AccountHash::of(&company, user);
    let mut tx = app.db.begin().await?;
    let account = store::find_account(&mut tx, &company, user).await?;
    let lockout = account.as_ref().map_or_else(Lockout::default, |account| account.lockout);
    let counted = store::count(&mut tx, &account_hash, lockout, app.now_ms()).await?;
    tx.commit().await?;
    Ok(Attempt { account_hash, account, counted, source })
}

fn judge(attempt: &Attempt, matches: bool) -> Outcome {
    match (&attempt.account, attempt.counted) {
        (None, _) => Outcome::Unknown,
        (Some(_), Counted::Locked) => Outcome::Locked,
        (Some(account), Counted::Open) if account.stopped => Outcome::Stopped,
        (Some(_), Counted::Open) if matches => Outcome::Ok,
        (Some(_), Counted::Open) => Outcome::WrongPassword,
    }
}

/// Records how the attempt ended; a good one gets its token and takes its counts back.
async fn settle(app: &App, attempt: Attempt, outcome: Outcome) -> ApiResult<LoginAnswer> {
    let now = app.now_ms();
    let company = attempt.account.as_ref().map(|account| account.company_id);
    let actor = attempt.account.as_ref().map_or(Actor::Stranger, |account| Actor::Operator(account.operator_id));
    let event =
        |event, detail| AuditEvent { at_ms: now, company, actor, event, reception: None, session: None, detail };
    let mut tx = app.db.begin().await?;
    let (Some(account), Outcome::Ok) = (attempt.account, outcome) else {
        let detail = json!({ "source": attempt.source, "result": outcome.as_str() });
        audit::append(&mut tx, event("login.failed", detail)).await?;
        tx.commit().await?;
        tracing::info!(event = "login.failed", reason = outcome.as_str(), "A login failed: {}", outcome.as_str());
        return Err(ApiError::new(ErrorCode::LoginFailed));
    };
    let token = BearerToken::random(&mut app::os_rng());
    let expires_at_ms: UnixMillis = now.saturating_add(millis(app.config.login.life.get()));
    store::forgive(&mut tx, &attempt.account_hash).await?;
    throttle::put_back(&mut tx, PER_SOURCE, &attempt.source, now).await?;
    throttle::put_back(&mut tx, TOGETHER, "", now).await?;
    store::insert(&mut tx, &token.hash(), account.operator_id, now, expires_at_ms).await?;
    audit::append(&mut tx, event("login.succeeded", json!({ "source": attempt.source }))).await?;
    tx.commit().await?;
    tracing::info!(event = "login.succeeded", operator.id = %account.operator_id, "An operator logged in");
    Ok(LoginAnswer {
        token: token.reveal().to_owned(),
        expires_at_ms,
        operator_id: account.operator_id,
        operator_name: account.operator_name,
        company_id: account.company_id,
        company_name: account.company_name,
    })
}

fn rates(app: &App) -> (Rate, Rate) {
    let config = &app.config.login;
    let window = config.attempts_window.get();
    (
        Rate { max: config.attempts_per_source_max.get().into(), window },
        Rate { max: config.attempts_max.get().into(), window },
    )
}
