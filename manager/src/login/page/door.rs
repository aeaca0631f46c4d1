//! Company code, id and password; and the way out.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{Html, IntoResponse as _, Redirect, Response},
};
use proto::id::OperatorId;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::{
    Realm,
    attempt::{self, Proved, Refusal, Tries, Typed, login_event},
    password::{Expiry, INITIAL_DAYS, Password},
    realm::SYSTEM_CODE,
    site_login::{Halfway, Stage},
    site_store::{self, NewLogin},
    store::{self, Account},
};
use crate::{
    app::{self, App},
    audit::{self, AuditEvent},
    bearer::{BearerHash, BearerToken},
    db::{DbResult, Tx},
    extract::Source,
    halt,
    notice::{self, Running},
    provider::{self, Why, alarm},
    settings::contact,
    site::{
        Form, Frame, Lang, PageResult, Problem, Words,
        cookie::{self, Life},
        form::{self, Pressed},
        frame::Banner,
        router::local,
    },
};

/// Seconds for which a browser is known.
pub(super) const DEVICE_SECS: u64 = 90 * 24 * 60 * 60;
/// The longest name of a browser that is kept, in characters.
const AGENT_LEN_MAX: usize = 200;

#[derive(Template)]
#[template(path = "login/login.html")]
struct LoginPage {
    frame: Frame,
    realm: Realm,
    next: String,
    company: String,
    user: String,
    mistake: Option<String>,
    /// Whether a link for a new password comes by mail.
    by_mail: bool,
    /// What the button of the identity provider says, where there is one.
    provider: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
    /// The company code, so that a company's own link fills it in and shows its provider's button.
    #[serde(default)]
    company: String,
    /// Why the way by a provider led back here.
    #[serde(default)]
    why: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Filled {
    #[serde(default)]
    company: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: Zeroizing<String>,
    #[serde(default)]
    next: String,
}

pub(super) async fn show(
    State(app): State<App>,
    realm: Realm,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> PageResult {
    let mistake = Why::parse(&asked.why).map_or(Mistake::None, Mistake::Provider);
    let filled = Filled { next: asked.next, company: asked.company, ..Filled::default() };
    let button = button(&app, realm, &filled.company).await;
    page(&app, realm, &headers, filled, mistake, button).await
}

/// What the button of the provider says; nothing where nobody has one, or the database does not answer. The company's own
/// words are shown by its own link only: whatever is typed into the form, the page stays the same.
async fn button(app: &App, realm: Realm, company: &str) -> Option<String> {
    if realm == Realm::System {
        return app.config.system.provider.as_ref().map(|_| String::new());
    }
    let read = async {
        let mut tx = app.db.read().await?;
        let own = provider::store::of_code(app, &mut tx, company).await?.map(|provider| provider.button);
        match own {
            Some(own) => Ok(Some(own)),
            None => Ok(provider::store::any(&mut tx).await?.then(String::new)),
        }
    };
    let read: DbResult<Option<String>> = read.await;
    read.ok().flatten()
}

/// What is said above the form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    Failed,
    Suspended,
    InitialOver,
    Provider(Why),
}

async fn page(
    app: &App,
    realm: Realm,
    headers: &HeaderMap,
    filled: Filled,
    mistake: Mistake,
    button: Option<String>,
) -> PageResult {
    let by_mail = app.config.mail.is_on();
    let ((is_halted, notices), contact) = match realm {
        Realm::Company => (said(app).await, contact::of_browser(app, headers).await),
        Realm::System => ((false, Vec::new()), String::new()),
    };
    visited(app, realm, headers, |frame| {
        let frame = Frame { banners: banners(is_halted, &notices, frame.words), contact, ..frame };
        let w = &frame.words.login;
        let mistake = match (mistake, realm) {
            (Mistake::None, _) => None,
            (Mistake::Failed, Realm::System) => Some(w.system_failed.to_owned()),
            (Mistake::Failed, Realm::Company) => Some(w.failed.to_owned()),
            (Mistake::Suspended, _) => Some(w.suspended.to_owned()),
            (Mistake::InitialOver, Realm::System) => Some(w.system_initial_over(INITIAL_DAYS)),
            (Mistake::InitialOver, Realm::Company) => Some(w.initial_over(INITIAL_DAYS)),
            (Mistake::Provider(why), _) => Some(why.sentence(realm, frame.words).to_owned()),
        };
        let usual = match realm {
            Realm::Company => frame.words.provider.button,
            Realm::System => frame.words.provider.button_system,
        };
        let provider = button.map(|own| if own.is_empty() { usual.to_owned() } else { own });
        let Filled { company, user, next, password: _ } = filled;
        let page = LoginPage { frame, realm, next, company, user, mistake, by_mail, provider };
        Ok(Html(page.render()?).into_response())
    })
}

/// What stands above the login, and above the page of who cannot log in: whether the service is halted, and notices;
/// nothing when the database does not answer, which the login will say.
pub(super) async fn said(app: &App) -> (bool, Vec<Running>) {
    let read = async {
        let mut tx = app.db.read().await?;
        let is_halted = halt::store::halted_at(&mut tx).await?.is_some();
        Ok((is_halted, notice::outside(&mut tx, app.now_ms()).await?))
    };
    let read: DbResult<(bool, Vec<Running>)> = read.await;
    read.unwrap_or_default()
}

/// The same as it is shown.
pub(super) fn banners(is_halted: bool, notices: &[Running], words: &'static Words) -> Vec<Banner> {
    let halted = is_halted.then(|| Banner::halted_outside(words));
    halted.into_iter().chain(notices.iter().map(Banner::outside)).collect()
}

/// A page before there is a login, with a mark of the visit, to which the token of its form belongs.
///
/// # Errors
/// What `page` gives.
pub fn visited(app: &App, realm: Realm, headers: &HeaderMap, page: impl FnOnce(Frame) -> PageResult) -> PageResult {
    let known = cookie::find(headers, cookie::VISIT).map(str::to_owned);
    let visit = known.clone().unwrap_or_else(|| BearerToken::random(&mut app::os_rng()).reveal().to_owned());
    let mut response = page(Frame::outside(app, realm, headers, form::token(&visit)))?;
    if known.is_none() {
        add_cookie(&mut response, cookie::VISIT, &visit, Life::Browser);
    }
    Ok(response)
}

pub(super) async fn log_in(
    realm: Realm,
    State(app): State<App>,
    Source(source): Source,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    let device = cookie::find(&headers, cookie::DEVICE).map(str::to_owned);
    let company = match realm {
        Realm::Company => filled.company.clone(),
        Realm::System => SYSTEM_CODE.to_owned(),
    };
    let typed = Typed {
        realm,
        company,
        user: filled.user.clone(),
        password: Password::typed(filled.password.to_string()),
        source,
        device: device.clone(),
    };
    let mistake = match attempt::prove(&app, typed).await {
        Ok(proved) => {
            let entry = Entry { account: &proved.account, source: &proved.source, way: Way::Password(&proved) };
            let tx = app.db.begin().await?;
            return enter(&app, tx, &entry, &headers, &next_in(realm, &filled.next)).await;
        }
        Err(Refusal::Failed) => Mistake::Failed,
        Err(Refusal::Suspended) => Mistake::Suspended,
        Err(Refusal::InitialOver) => Mistake::InitialOver,
        // The banner says it.
        Err(Refusal::Halted) => Mistake::None,
        Err(Refusal::Throttled { retry_after_secs }) => return Err(Problem::Throttled { retry_after_secs }),
        Err(Refusal::Error(error)) => return Err(error.into()),
    };
    let button = button(&app, realm, "").await;
    page(&app, realm, &headers, filled, mistake, button).await
}

/// Where to go after a login: a page of its realm.
pub(crate) fn next_in(realm: Realm, next: &str) -> String {
    let next = local(next);
    if Realm::of_path(next) == realm { next.to_owned() } else { realm.home().to_owned() }
}

/// Somebody who has proved to be the owner of an account.
pub(crate) struct Entry<'a> {
    /// Whose it is.
    pub(crate) account: &'a Account,
    /// The bucket of the source.
    pub(crate) source: &'a str,
    /// By what.
    pub(crate) way: Way<'a>,
}

/// By what somebody proved to be the owner.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    /// The password.
    Password(&'a Proved),
    /// The identity provider.
    Provider {
        /// Whether it has asked for the second factor.
        asks_factor: bool,
    },
}

impl Entry<'_> {
    /// How far it leads.
    fn stage(&self, now: i64) -> Stage {
        let rules = &self.account.policy;
        match (self.way, self.account.has_factor, rules.login.needs_factor(now)) {
            (Way::Provider { asks_factor: true }, _, _) | (Way::Provider { .. }, false, false) => Stage::Full,
            (_, true, _) => Stage::Code,
            (_, false, true) => Stage::Enrol,
            (Way::Password(_), false, false) => {
                let expiry = Expiry::of(&rules.password, self.account.password_changed_at_ms, now);
                Stage::after_factor(self.account.password_is_initial, expiry)
            }
        }
    }

    const fn is_by_provider(&self) -> bool {
        matches!(self.way, Way::Provider { .. })
    }
}

/// Begins a login at its stage and ends the transaction; one that is done already takes back what was counted.
pub(crate) async fn enter(app: &App, mut tx: Tx, entry: &Entry<'_>, headers: &HeaderMap, next: &str) -> PageResult {
    let now = app.now_ms();
    let account = entry.account;
    let rules = &account.policy;
    let stage = entry.stage(now);
    let device = cookie::find(headers, cookie::DEVICE).map(str::to_owned);
    let token = BearerToken::random(&mut app::os_rng());
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(AGENT_LEN_MAX).collect();
    let new = NewLogin {
        token: &token.hash(),
        operator_id: account.operator_id,
        stage,
        source: entry.source,
        agent: &agent,
        by_provider: entry.is_by_provider(),
        expires_at_ms: now.saturating_add(rules.login.life_hours.saturating_mul(store::HOUR_MS)),
    };
    site_store::insert(&mut tx, &new, now).await?;
    let mut response =
        Redirect::to(if stage == Stage::Full { next } else { stage.page(account.realm) }).into_response();
    if stage != Stage::Code {
        // What is left to do needs no guessing.
        match entry.way {
            Way::Password(proved) => proved.forgive(&mut tx, now).await?,
            Way::Provider { .. } => attempt::forgive_source(&mut tx, Tries::Provider, entry.source, now).await?,
        }
        let device = remember(&mut tx, account.operator_id, device, now).await?;
        add_cookie(&mut response, cookie::DEVICE, &device, Life::Secs(DEVICE_SECS));
    }
    if stage == Stage::Full {
        done(app, &mut tx, entry, new.token, now).await?;
        site_store::note_lang(&mut tx, account.operator_id, Lang::of(headers)).await?;
    }
    tx.commit().await?;
    add_cookie(&mut response, account.realm.cookie(), token.reveal(), Life::Browser);
    Ok(response)
}

/// Remembers the browser of a login, so that its failures are counted apart; its mark.
pub(super) async fn remember(
    tx: &mut Tx,
    operator_id: OperatorId,
    device: Option<String>,
    now: i64,
) -> DbResult<String> {
    let device = device.unwrap_or_else(|| BearerToken::random(&mut app::os_rng()).reveal().to_owned());
    store::remember_device(tx, operator_id, &device, now).await?;
    Ok(device)
}

/// Records that a login is done.
async fn done(app: &App, tx: &mut Tx, entry: &Entry<'_>, token: &BearerHash, now: i64) -> DbResult<()> {
    let account = entry.account;
    let who = (account.company_id, account.operator_id);
    if entry.is_by_provider() {
        store::note_login_by_provider(tx, account.operator_id, now).await?;
    } else {
        store::note_login(tx, account.operator_id, now).await?;
    }
    if account.policy.login.single {
        site_store::revoke_all(tx, account.operator_id, Some(token), now).await?;
    }
    let event = login_event("login.succeeded", Some(who), now);
    let detail = detail(Some(entry.source), entry.is_by_provider());
    audit::append(tx, AuditEvent { detail, ..event }).await?;
    if !entry.is_by_provider() {
        alarm::note(app, tx, account.realm, who, now).await?;
    }
    Ok(())
}

/// What the login log says of a login at the site.
pub(super) fn detail(source: Option<&str>, by_provider: bool) -> serde_json::Value {
    let mut detail = json!({ "door": "site" });
    if let (Some(source), Some(fields)) = (source, detail.as_object_mut()) {
        fields.insert("source".to_owned(), json!(source));
    }
    if let (true, Some(fields)) = (by_provider, detail.as_object_mut()) {
        fields.insert("method".to_owned(), json!("provider"));
    }
    detail
}

pub(super) async fn log_out(
    State(app): State<App>,
    Halfway(login): Halfway,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if site_store::revoke(&mut tx, login.operator_id, login.token.as_str(), now).await? {
        audit::append(&mut tx, login_event("login.ended", Some((login.company_id, login.operator_id)), now)).await?;
        tx.commit().await?;
    }
    let realm = login.realm;
    let mut response = Redirect::to(&format!("{}/login", realm.base())).into_response();
    add_cookie(&mut response, realm.cookie(), "", Life::Over);
    Ok(response)
}

/// Adds a cookie to an answer.
pub(crate) fn add_cookie(response: &mut Response, name: &str, value: &str, life: Life) {
    if let Some(cookie) = cookie::set(name, value, life) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
