//! The account behind a page, as an argument of a handler.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use jiff::tz::TimeZone;
use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};

use super::{password::Expiry, site_store};
use crate::{
    app::App,
    audit::{Actor, AuditEvent},
    bearer::BearerHash,
    company::Policy,
    db::select::{Select, begins_with},
    extract::Source,
    role::{Permission, Permissions, Reach, Role},
    site::{self, Lang, Problem, cookie, form},
};

/// The note of the last use is renewed when it is older than this, so that most requests write nothing.
const TOUCH_EVERY_MS: i64 = 60_000;

/// How far a login at the site has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The code of the second factor is missing.
    Code,
    /// The second factor must be set up.
    Enrol,
    /// The password must be changed.
    Change,
    /// Done.
    Full,
}

/// An account that is logged in at the site, with what its role allows now.
#[derive(Debug, Clone)]
pub struct SiteLogin {
    /// Who.
    pub operator_id: OperatorId,
    /// The id of the account.
    pub user_id: String,
    /// Name that customers see.
    pub name: String,
    /// The company.
    pub company_id: CompanyId,
    /// Its code.
    pub company_code: String,
    /// Its name.
    pub company_name: String,
    /// The organisation, as its path, when the account belongs to one.
    pub organisation_path: Option<String>,
    /// The product's role.
    pub role: Role,
    /// The name of the company's own role, when it has one.
    pub role_name: Option<String>,
    /// What is allowed.
    pub permissions: Permissions,
    /// Over whom.
    pub reach: Reach,
    /// How far the login is.
    pub stage: Stage,
    /// Whether there is a second factor.
    pub has_factor: bool,
    /// When the password was set.
    pub password_changed_at_ms: UnixMillis,
    /// The company's rules.
    pub policy: Policy,
    /// Which login.
    pub token: BearerHash,
    /// For its forms.
    pub csrf: String,
    /// The language of its pages.
    pub lang: Lang,
}

/// A login that has not come far enough for pages; for the pages that take it further.
#[derive(Debug, Clone)]
pub struct Halfway(pub SiteLogin);

impl Stage {
    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Enrol => "enrol",
            Self::Change => "change",
            Self::Full => "full",
        }
    }

    /// Reads the column; what is unknown is as far as nothing.
    pub fn stored(text: &str) -> Self {
        match text {
            "full" => Self::Full,
            "change" => Self::Change,
            "enrol" => Self::Enrol,
            _ => Self::Code,
        }
    }

    /// The page that takes it further.
    pub const fn page(self) -> &'static str {
        match self {
            Self::Code => "/login/code",
            Self::Enrol => "/login/factor",
            Self::Change => "/account/password",
            Self::Full => "/",
        }
    }

    /// What comes when the factor is there.
    pub fn after_factor(password_is_initial: bool, expiry: Expiry) -> Self {
        if password_is_initial || expiry == Expiry::Over { Self::Change } else { Self::Full }
    }
}

impl SiteLogin {
    /// Who is logged in, however far.
    ///
    /// # Errors
    /// [`Problem::LoggedOut`], or what the database says.
    async fn find(app: &App, headers: &HeaderMap, next: String) -> Result<Self, Problem> {
        let Some(cookie) = cookie::find(headers, cookie::LOGIN) else { return Err(Problem::LoggedOut { next }) };
        let token = BearerHash::of(cookie);
        let now = app.now_ms();
        let mut tx = app.db.read().await?;
        let found = site_store::find(&mut tx, &token, now).await?;
        drop(tx);
        let (mut login, used_at_ms) = found.ok_or(Problem::LoggedOut { next })?;
        login.csrf = form::token(cookie);
        login.lang = Lang::of(headers);
        if used_at_ms.saturating_add(TOUCH_EVERY_MS) <= now {
            let mut tx = app.db.begin().await?;
            site_store::touch(&mut tx, &token, now).await?;
            tx.commit().await?;
        }
        Ok(login)
    }

    /// Whether the role allows it.
    pub const fn may(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// Refuses what the role does not allow.
    ///
    /// # Errors
    /// [`Problem::Forbidden`].
    pub const fn need(&self, permission: Permission) -> Result<(), Problem> {
        if self.may(permission) { Ok(()) } else { Err(Problem::Forbidden) }
    }

    /// The time zone of its pages.
    pub fn zone(&self) -> TimeZone {
        site::time::zone(&self.policy.time_zone)
    }

    /// An event of the operation log by this account.
    pub fn event(&self, event: &'static str, detail: serde_json::Value, now: UnixMillis) -> AuditEvent {
        AuditEvent {
            at_ms: now,
            company: Some(self.company_id),
            actor: Actor::Operator(self.operator_id),
            event,
            reception: None,
            session: None,
            detail,
        }
    }

    /// Adds the condition that narrows rows to those the role reaches: `o` is the account they belong to, and `g` its
    /// organisation, joined from the left. The company is narrowed by the caller.
    pub fn narrow(&self, select: &mut Select) {
        match (self.reach, &self.organisation_path) {
            (Reach::Company, _) => {}
            (Reach::Organisation, Some(path)) => {
                select.add("AND g.path LIKE").bind(begins_with(path)).add("ESCAPE '!'");
            }
            // Who belongs to no organisation has nobody but themselves.
            (Reach::Organisation, None) | (Reach::Own, _) => {
                select.add("AND o.operator_id =").bind(self.operator_id.to_string());
            }
        }
    }
}

impl FromRequestParts<App> for SiteLogin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let login = Self::find(app, &parts.headers, next_of(parts)).await?;
        let source = Source::from_request_parts(parts, app).await.map_err(|_no_address| Problem::Internal)?;
        if !login.policy.login.allows(source.0) {
            return Err(Problem::LoggedOut { next: next_of(parts) });
        }
        match login.stage {
            Stage::Full => Ok(login),
            Stage::Code | Stage::Enrol | Stage::Change => Err(Problem::First(login.stage.page())),
        }
    }
}

impl FromRequestParts<App> for Halfway {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        SiteLogin::find(app, &parts.headers, next_of(parts)).await.map(Self)
    }
}

/// Where to go after the login: the page that was asked for, unless it was a form.
fn next_of(parts: &Parts) -> String {
    if form::is_safe(&parts.method) {
        parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned()
    } else {
        "/".to_owned()
    }
}
