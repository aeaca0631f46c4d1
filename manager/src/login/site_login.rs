//! The account behind a page, as an argument of a handler.

use std::ops::Deref;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use jiff::tz::TimeZone;
use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId, TokenId},
};

use super::{Realm, password::Expiry, site_store};
use crate::{
    admin::AdminLogin,
    app::App,
    audit::{Actor, AuditEvent},
    bearer::BearerHash,
    company::Policy,
    db::select::{Select, begins_with},
    extract::Source,
    notice::{self, Running},
    role::{Permission, Permissions, Reach, Role},
    router,
    site::{self, Lang, Problem, cookie, form},
    terms::{Announced, announced},
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

/// The account behind a login, of either realm.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the account or of its login by itself")]
pub struct Holder {
    /// Whose accounts it is one of.
    pub realm: Realm,
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
    /// How far the login is.
    pub stage: Stage,
    /// Whether there is a second factor.
    pub has_factor: bool,
    /// Whether a provider said whose the login is, and no password.
    pub by_provider: bool,
    /// Whether that provider asks for the second factor.
    pub provider_asks: bool,
    /// When the password was set.
    pub password_changed_at_ms: UnixMillis,
    /// The company's rules.
    pub policy: Policy,
    /// Which login.
    pub token: BearerHash,
    /// The token of the API by which the account acts, when it is no login of a person.
    pub api_token: Option<TokenId>,
    /// For its forms.
    pub csrf: String,
    /// The language of its pages.
    pub lang: Lang,
    /// The notices that stand on its pages.
    pub notices: Vec<Running>,
    /// Since when the whole service is halted; only system administrators are logged in then.
    pub halted_at_ms: Option<UnixMillis>,
    /// Whether the terms in force ask for an agreement that is missing; system administrators are not asked.
    pub must_agree: bool,
    /// The next revision of the terms that will ask, until it was read.
    pub announced: Option<Announced>,
}

/// An account of a company that is logged in at the site, with what its role allows now.
#[derive(Debug, Clone)]
pub struct SiteLogin {
    /// The account.
    pub holder: Holder,
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
}

/// A login of the realm to which the address belongs; for the pages that both realms have.
#[derive(Debug, Clone)]
pub enum Login {
    /// Of a company account.
    Company(Box<SiteLogin>),
    /// Of a system administrator.
    System(Box<AdminLogin>),
}

/// A login that may have to agree to the terms first; for the page that asks for it, and for what must not wait for it.
#[derive(Debug, Clone)]
pub struct Agreeing(pub Login);

/// A login that has not come far enough for pages; for the pages that take it further, and out. None of them asks to
/// agree to the terms: a password that somebody else knows is changed first.
#[derive(Debug, Clone)]
pub struct Halfway(pub Login);

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
    pub const fn page(self, realm: Realm) -> &'static str {
        match (realm, self) {
            (Realm::Company, Self::Code) => "/login/code",
            (Realm::Company, Self::Enrol) => "/login/factor",
            (Realm::Company, Self::Change) => "/account/password",
            (Realm::System, Self::Code) => "/system/login/code",
            (Realm::System, Self::Enrol) => "/system/login/factor",
            (Realm::System, Self::Change) => "/system/account/password",
            (_, Self::Full) => realm.home(),
        }
    }

    /// What comes when the factor is there.
    pub fn after_factor(password_is_initial: bool, expiry: Expiry) -> Self {
        if password_is_initial || expiry == Expiry::Over { Self::Change } else { Self::Full }
    }
}

impl Login {
    /// Who is logged in in a realm, however far.
    ///
    /// # Errors
    /// [`Problem::LoggedOut`], or what the database says.
    async fn find(app: &App, realm: Realm, parts: &Parts) -> Result<Self, Problem> {
        let next = next_of(realm, parts);
        let Some(cookie) = cookie::find(&parts.headers, realm.cookie()) else {
            return Err(Problem::LoggedOut { next });
        };
        let token = BearerHash::of(cookie);
        let now = app.now_ms();
        let mut tx = app.db.read().await?;
        let found = site_store::find(&mut tx, realm, &token, now).await?;
        let (notices, announced) = match &found {
            Some((Self::Company(login), _)) => {
                let notices = notice::running(&mut tx, login.company_id, login.operator_id, now).await?;
                let are_there = app.terms.are_there();
                let announced =
                    if are_there { announced::unread(&mut tx, login.operator_id, now).await? } else { None };
                (notices, announced)
            }
            Some((Self::System(_), _)) | None => (Vec::new(), None),
        };
        drop(tx);
        let (mut login, used_at_ms) = found.ok_or(Problem::LoggedOut { next })?;
        let holder = login.holder_mut();
        router::note_account(holder.operator_id);
        holder.csrf = form::token(cookie);
        holder.lang = Lang::of_account(&parts.headers, &holder.policy.lang);
        holder.notices = notices;
        holder.announced = announced;
        if realm == Realm::System {
            holder.provider_asks = app.config.system.provider.as_ref().is_some_and(|config| config.asks_second_factor);
        }
        holder.stage = holder.stage_at(now);
        if !refreshes_itself(&parts.headers) && used_at_ms.saturating_add(TOUCH_EVERY_MS) <= now {
            let mut tx = app.db.begin().await?;
            site_store::touch(&mut tx, &token, now).await?;
            tx.commit().await?;
        }
        Ok(login)
    }

    /// The same as [`Self::find_admitted`], with the terms agreed to. A form that was open is taken, so that what was
    /// typed is not lost, and the page behind it asks.
    async fn find_full(app: &App, realm: Realm, parts: &mut Parts) -> Result<Self, Problem> {
        let login = Self::find_admitted(app, realm, parts).await?;
        if login.must_agree && form::is_safe(&parts.method) {
            return Err(Problem::Agree { next: next_of(realm, parts) });
        }
        Ok(login)
    }

    /// The login of a browser in a realm when nothing of it is missing and it comes from a network and at an hour that its
    /// rules allow.
    async fn find_admitted(app: &App, realm: Realm, parts: &mut Parts) -> Result<Self, Problem> {
        let login = Self::find(app, realm, parts).await?;
        let source = Source::from_request_parts(parts, app).await.map_err(|_no_address| Problem::Internal)?;
        let rules = &login.policy.login;
        if !rules.allows(login.role(), source.0) || !rules.week.is_open_at(app.now_ms(), login.zone()) {
            return Err(Problem::LoggedOut { next: next_of(realm, parts) });
        }
        match login.stage {
            Stage::Full => Ok(login),
            Stage::Code | Stage::Enrol | Stage::Change => Err(Problem::First(login.stage.page(realm))),
        }
    }

    /// The product's role, as the column has it.
    pub const fn role(&self) -> &'static str {
        match self {
            Self::Company(login) => login.role.as_str(),
            Self::System(login) => login.role.as_str(),
        }
    }

    const fn holder_mut(&mut self) -> &mut Holder {
        match self {
            Self::Company(login) => &mut login.holder,
            Self::System(login) => &mut login.holder,
        }
    }
}

impl Holder {
    /// The time zone of its pages.
    pub fn zone(&self) -> TimeZone {
        site::time::zone(&self.policy.time_zone)
    }

    /// How far the login is by the rules of now: what they ask for since it began comes first.
    fn stage_at(&self, now: UnixMillis) -> Stage {
        match self.stage {
            Stage::Full if self.by_provider && self.provider_asks => Stage::Full,
            Stage::Full if self.policy.login.needs_factor(now) && !self.has_factor => Stage::Enrol,
            // How old the password is matters to those who used it.
            Stage::Full if self.by_provider => Stage::Full,
            Stage::Full => {
                Stage::after_factor(false, Expiry::of(&self.policy.password, self.password_changed_at_ms, now))
            }
            Stage::Code | Stage::Enrol | Stage::Change => self.stage,
        }
    }

    /// The account in the audit.
    pub const fn actor(&self) -> Actor {
        if let Some(token_id) = self.api_token {
            return Actor::Token(token_id);
        }
        match self.realm {
            Realm::Company => Actor::Operator(self.operator_id),
            Realm::System => Actor::Admin(self.operator_id),
        }
    }

    /// An event of the operation log by this account.
    pub fn event(&self, event: &'static str, detail: serde_json::Value, now: UnixMillis) -> AuditEvent {
        AuditEvent {
            at_ms: now,
            company: Some(self.company_id),
            actor: self.actor(),
            event,
            reception: None,
            session: None,
            detail,
        }
    }
}

impl SiteLogin {
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

impl SiteLogin {
    /// Adds the condition that narrows organisations `g` to those the role reaches.
    pub fn narrow_organisations(&self, select: &mut Select) {
        match (self.reach, &self.organisation_path) {
            (Reach::Company, _) => {}
            (Reach::Organisation, Some(path)) => {
                select.add("AND g.path LIKE").bind(begins_with(path)).add("ESCAPE '!'");
            }
            (Reach::Organisation, None) | (Reach::Own, _) => {
                select.add("AND g.organisation_id = ''");
            }
        }
    }
}

impl Deref for SiteLogin {
    type Target = Holder;

    fn deref(&self) -> &Holder {
        &self.holder
    }
}

impl Deref for Login {
    type Target = Holder;

    fn deref(&self) -> &Holder {
        match self {
            Self::Company(login) => &login.holder,
            Self::System(login) => &login.holder,
        }
    }
}

impl FromRequestParts<App> for SiteLogin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Login::find_full(app, Realm::Company, parts).await? {
            Login::Company(login) => Ok(*login),
            Login::System(_) => Err(Problem::Internal),
        }
    }
}

impl FromRequestParts<App> for AdminLogin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Login::find_full(app, Realm::System, parts).await? {
            Login::System(login) => Ok(*login),
            Login::Company(_) => Err(Problem::Internal),
        }
    }
}

impl FromRequestParts<App> for Login {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let realm = Realm::of_path(parts.uri.path());
        Self::find_full(app, realm, parts).await
    }
}

impl FromRequestParts<App> for Agreeing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let realm = Realm::of_path(parts.uri.path());
        Login::find_admitted(app, realm, parts).await.map(Self)
    }
}

impl FromRequestParts<App> for Halfway {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Login::find(app, Realm::of_path(parts.uri.path()), parts).await.map(Self)
    }
}

/// Whether a page asks by itself, which does not keep a login that nobody uses: the rows of a live board, and its stream.
pub fn refreshes_itself(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    headers.contains_key("x-refresh") || accept == Some("text/event-stream")
}

/// Where to go after the login or the question of the terms: the page that was asked for, unless it was a form.
fn next_of(realm: Realm, parts: &Parts) -> String {
    if form::is_safe(&parts.method) {
        parts.uri.path_and_query().map_or(realm.home(), |path| path.as_str()).to_owned()
    } else {
        realm.home().to_owned()
    }
}
