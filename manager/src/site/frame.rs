//! What stands around every page: who is logged in, where one can go, what was just done, what everybody must know.

use axum::http::{HeaderMap, header};
use jiff::tz::TimeZone;
use proto::id::OperatorId;

use super::{
    assets::{ASSETS, Assets},
    cookie,
    lang::Lang,
    time,
    words::Words,
};
use crate::{
    admin,
    app::App,
    login::{Holder, Login, Realm, SiteLogin, password::Expiry},
    notice::Running,
    role::{Permission, Role},
    terms::{self, Announced},
};

/// The pages of the site, in the order of its menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// What happens today.
    Top,
    /// Open numbers.
    LiveReceptions,
    /// Running sessions.
    LiveSessions,
    /// The reception log.
    ReceptionLog,
    /// The support log.
    SupportLog,
    /// Figures.
    Statistics,
    /// Accounts.
    Operators,
    /// The tree of organisations.
    Organisations,
    /// What roles allow.
    Roles,
    /// Labels of accounts.
    Groups,
    /// The company's rules.
    Settings,
    /// What cases are sorted by.
    Categories,
    /// Where other programs hear of what happens.
    Webhooks,
    /// The operation log.
    Audit,
    /// The login log.
    LoginLog,
    /// Tokens of the API.
    Tokens,
    /// Mails.
    Mails,
    /// Notices.
    Notices,
    /// One's own account.
    Account,
}

/// One entry of the menu.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it leads.
    pub href: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// Whether it is the page that is shown.
    pub is_here: bool,
}

/// Entries under one heading.
#[derive(Debug, Clone)]
pub struct Group {
    /// The heading.
    pub name: &'static str,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// Something that everybody must know, above the page.
#[derive(Debug, Clone)]
pub struct Banner {
    /// `bad`, `warning` or `notice`.
    pub class: &'static str,
    /// The sentence.
    pub text: String,
    /// Where there is more.
    pub link: Option<(String, String)>,
}

/// Who is logged in, as the head of the page says it.
#[derive(Debug, Clone)]
pub struct Who {
    /// The account, so that a browser keeps what was typed for nobody else.
    pub account: OperatorId,
    /// The person.
    pub name: String,
    /// The company.
    pub company: String,
    /// The role.
    pub role: String,
    /// What the time zone of the pages is called.
    pub zone: String,
}

/// The frame of one page.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The language.
    pub lang: Lang,
    /// Its sentences.
    pub words: &'static Words,
    /// Addresses of style, script and icon.
    pub assets: &'static Assets,
    /// What the addresses of the account's own pages begin with.
    pub base: &'static str,
    /// The first page.
    pub home: &'static str,
    /// For the forms.
    pub csrf: String,
    /// Who is logged in.
    pub who: Option<Who>,
    /// The menu.
    pub groups: Vec<Group>,
    /// What was just done.
    pub flash: Option<&'static str>,
    /// What everybody must know.
    pub banners: Vec<Banner>,
    /// The chapter of the manual about this page.
    pub chapter: &'static str,
    /// Whom people ask; may be empty.
    pub contact: String,
    /// Whether the foot of the page links the terms of use.
    pub has_terms: bool,
}

impl Here {
    /// Its address, its name, what is needed to see it, and the chapter of the manual about it.
    const fn about(self, words: &'static Words) -> (&'static str, &'static str, Option<Permission>, &'static str) {
        let w = &words.menu;
        match self {
            Self::LiveReceptions => ("/live/receptions", w.live_receptions, Some(Permission::LiveView), "live"),
            Self::LiveSessions => ("/live/sessions", w.live_sessions, Some(Permission::LiveView), "live"),
            Self::ReceptionLog => ("/log/receptions", w.reception_log, Some(Permission::LogView), "logs"),
            Self::SupportLog => ("/log/sessions", w.support_log, Some(Permission::LogView), "logs"),
            Self::Settings => ("/settings", w.settings, Some(Permission::SettingsEdit), "security"),
            Self::Categories => ("/settings/categories", w.categories, Some(Permission::SettingsEdit), "logs"),
            Self::Statistics => ("/statistics", w.statistics, Some(Permission::StatisticsView), "statistics"),
            Self::Audit => ("/log/operations", w.audit, Some(Permission::AuditView), "logs"),
            Self::LoginLog => ("/log/logins", w.login_log, Some(Permission::LoginLogView), "logs"),
            Self::Notices => ("/notices", w.notices, None, "notices"),
            Self::Mails => ("/mails", w.mails, Some(Permission::AuditView), "notices"),
            Self::Tokens => ("/settings/tokens", w.tokens, Some(Permission::ApiEdit), "api"),
            Self::Operators => ("/operators", w.operators, Some(Permission::OperatorView), "accounts"),
            Self::Organisations => ("/organisations", w.organisations, Some(Permission::OrganisationEdit), "accounts"),
            Self::Groups => ("/groups", w.groups, Some(Permission::OrganisationEdit), "accounts"),
            Self::Roles => ("/settings/roles", w.roles, Some(Permission::RoleEdit), "roles"),
            Self::Webhooks => ("/settings/webhooks", w.webhooks, Some(Permission::ApiEdit), "webhooks"),
            Self::Account => ("/account", w.account, None, "start"),
            Self::Top => ("/", w.top, None, "start"),
        }
    }
}

/// The menu: headings and what is under each.
const fn menu(words: &'static Words) -> [(&'static str, &'static [Here]); 4] {
    let w = &words.menu;
    [
        (w.group_today, &[Here::Top, Here::Notices, Here::LiveReceptions, Here::LiveSessions]),
        (w.group_logs, &[Here::ReceptionLog, Here::SupportLog, Here::Statistics]),
        (w.group_accounts, &[Here::Operators, Here::Organisations, Here::Groups, Here::Roles]),
        (
            w.group_company,
            &[Here::Settings, Here::Categories, Here::Tokens, Here::Webhooks, Here::Audit, Here::LoginLog, Here::Mails],
        ),
    ]
}

impl Frame {
    /// The frame of a page before there is a login.
    pub fn outside(app: &App, realm: Realm, headers: &HeaderMap, csrf: String) -> Self {
        let lang = Lang::of(headers);
        Self {
            lang,
            words: Words::of(lang),
            assets: &ASSETS,
            base: realm.base(),
            home: realm.home(),
            csrf,
            who: None,
            groups: Vec::new(),
            flash: Flash::of(headers, Words::of(lang)),
            banners: Vec::new(),
            chapter: "start",
            contact: String::new(),
            has_terms: app.terms.are_there(),
        }
    }

    /// The frame of the page of one's own account, in either realm.
    pub fn of_account(app: &App, login: &Login, headers: &HeaderMap) -> Self {
        match login {
            Login::Company(login) => Self::of(app, login, headers, Here::Account),
            Login::System(login) => admin::frame::frame(app, login, headers, admin::frame::Here::Account),
        }
    }

    /// The frame of a page of a login.
    pub fn of(app: &App, login: &SiteLogin, headers: &HeaderMap, here: Here) -> Self {
        let words = Words::of(login.lang);
        let entry = |page: Here| {
            let (href, name, needed, _) = page.about(words);
            let visible = needed.is_none_or(|permission| login.may(permission));
            visible.then_some(Entry { href, name, is_here: page == here })
        };
        let groups = menu(words)
            .into_iter()
            .map(|(name, pages)| Group { name, entries: pages.iter().filter_map(|page| entry(*page)).collect() });
        Self {
            lang: login.lang,
            words,
            assets: &ASSETS,
            base: login.realm.base(),
            home: login.realm.home(),
            csrf: login.csrf.clone(),
            who: Some(Who {
                account: login.operator_id,
                name: login.name.clone(),
                company: login.company_name.clone(),
                role: login.role_name.clone().unwrap_or_else(|| role_name(login.role, words).to_owned()),
                zone: time::zone_name(app.now_ms(), &login.zone()),
            }),
            groups: groups.filter(|group| !group.entries.is_empty()).collect(),
            flash: Flash::of(headers, words),
            banners: banners(app, login, words),
            chapter: here.about(words).3,
            contact: login.policy.reception.contact.clone(),
            has_terms: app.terms.are_there(),
        }
    }
}

/// The name of one of the product's roles.
pub const fn role_name(role: Role, words: &'static Words) -> &'static str {
    let w = &words.roles;
    match role {
        Role::CompanyAdmin => w.company_admin,
        Role::OrganisationAdmin => w.organisation_admin,
        Role::Supervisor => w.supervisor,
        Role::Operator => w.operator,
        Role::Viewer => w.viewer,
        Role::Auditor => w.auditor,
    }
}

impl Banner {
    /// A notice that is in force.
    fn of(notice: &Running, words: &'static Words) -> Self {
        let link = Some((format!("/notices/{}", notice.notice_id), words.notices.more.to_owned()));
        Self { class: if notice.important { "warning" } else { "notice" }, text: notice.told(words), link }
    }

    /// A revision of the terms that will ask for agreement.
    fn announced(revision: &Announced, zone: &TimeZone, words: &'static Words) -> Self {
        let w = &words.terms;
        let link = Some((format!("{}/{}", terms::page::ADDRESS, revision.edition), w.announced_link.to_owned()));
        let from = time::beginning(revision.in_force_from_ms, zone);
        Self { class: "notice", text: w.announced(&revision.edition, from), link }
    }

    /// A notice before there is a login, where its page cannot be opened.
    pub fn outside(notice: &Running) -> Self {
        Self { class: "warning", text: notice.title.clone(), link: None }
    }

    /// That the whole service is halted, before there is a login.
    pub fn halted_outside(words: &'static Words) -> Self {
        Self { class: "bad", text: words.halt.outside.to_owned(), link: None }
    }
}

/// What the account must be told.
pub fn banners(app: &App, login: &Holder, words: &'static Words) -> Vec<Banner> {
    let mut banners: Vec<Banner> = login.notices.iter().map(|notice| Banner::of(notice, words)).collect();
    banners.extend(login.announced.iter().map(|revision| Banner::announced(revision, &login.zone(), words)));
    let rules = &login.policy.login;
    if rules.totp_required && !login.has_factor && app.now_ms() < rules.totp_from_ms {
        let link = Some((format!("{}/login/factor", login.realm.base()), words.account.factor_set_up.to_owned()));
        let day = time::day(rules.totp_from_ms, &login.zone());
        banners.push(Banner { class: "warning", text: words.account.factor_needed_from(day), link });
    }
    let expiry = Expiry::of(&login.policy.password, login.password_changed_at_ms, app.now_ms());
    let Expiry::Soon { days } = expiry else { return banners };
    let link = Some((format!("{}/account/password", login.realm.base()), words.account.change_password.to_owned()));
    banners.push(Banner { class: "warning", text: words.account.password_expires(days), link });
    banners
}

/// What was done; said once, on the page that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flash {
    /// Changes were stored.
    Saved,
    /// There was nothing to store.
    Unchanged,
    /// Something is gone.
    Deleted,
    /// An account was stopped.
    Stopped,
    /// An account may log in again.
    Started,
    /// A lock was opened.
    Unlocked,
    /// Logins were ended.
    LoggedOut,
    /// The password was changed.
    PasswordChanged,
    /// A number was cancelled.
    Cancelled,
    /// A number got its full life again.
    Extended,
    /// A session was ended.
    SessionEnded,
    /// A link for a password is on its way.
    LinkSent,
    /// A mail is in the outbox again.
    MailQueued,
    /// A token was revoked.
    TokenRevoked,
    /// The own account is bound to the identity provider.
    ProviderLinked,
    /// An account is not bound to it any more.
    ProviderUnlinked,
}

impl Flash {
    const ALL: [Self; 16] = [
        Self::Saved,
        Self::Unchanged,
        Self::Deleted,
        Self::Stopped,
        Self::Started,
        Self::Unlocked,
        Self::LoggedOut,
        Self::PasswordChanged,
        Self::Cancelled,
        Self::Extended,
        Self::SessionEnded,
        Self::LinkSent,
        Self::MailQueued,
        Self::TokenRevoked,
        Self::ProviderLinked,
        Self::ProviderUnlinked,
    ];

    /// The value of the cookie.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Stopped => "stopped",
            Self::Started => "started",
            Self::Unlocked => "unlocked",
            Self::LoggedOut => "logged_out",
            Self::PasswordChanged => "password_changed",
            Self::Cancelled => "cancelled",
            Self::Extended => "extended",
            Self::SessionEnded => "session_ended",
            Self::LinkSent => "link_sent",
            Self::MailQueued => "mail_queued",
            Self::TokenRevoked => "token_revoked",
            Self::ProviderLinked => "provider_linked",
            Self::ProviderUnlinked => "provider_unlinked",
        }
    }

    const fn sentence(self, words: &'static Words) -> &'static str {
        let w = &words.flash;
        match self {
            Self::Saved => w.saved,
            Self::Unchanged => w.unchanged,
            Self::Deleted => w.deleted,
            Self::Stopped => w.stopped,
            Self::Started => w.started,
            Self::Unlocked => w.unlocked,
            Self::LoggedOut => w.logged_out,
            Self::PasswordChanged => w.password_changed,
            Self::Cancelled => w.cancelled,
            Self::Extended => w.extended,
            Self::SessionEnded => w.session_ended,
            Self::LinkSent => w.link_sent,
            Self::MailQueued => w.mail_queued,
            Self::TokenRevoked => w.token_revoked,
            Self::ProviderLinked => w.provider_linked,
            Self::ProviderUnlinked => w.provider_unlinked,
        }
    }

    /// What the request says was done.
    pub fn of(headers: &HeaderMap, words: &'static Words) -> Option<&'static str> {
        let value = cookie::find(headers, cookie::FLASH)?;
        Self::ALL.into_iter().find(|flash| flash.as_str() == value).map(|flash| flash.sentence(words))
    }

    /// Goes to a page and says there that this was done.
    pub fn then(self, address: &str) -> axum::response::Response {
        use axum::response::IntoResponse as _;
        let mut response = axum::response::Redirect::to(address).into_response();
        if let Some(cookie) = cookie::set(cookie::FLASH, self.as_str(), cookie::Life::Secs(30)) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}
