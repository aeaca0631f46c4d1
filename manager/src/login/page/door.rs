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
    attempt::{self, Proved, Refusal, Typed, login_event},
    password::{Expiry, INITIAL_DAYS, Password},
    realm::SYSTEM_CODE,
    site_login::{Halfway, Stage},
    site_store::{self, NewLogin},
    store,
};
use crate::{
    app::{self, App},
    audit::{self, AuditEvent},
    bearer::{BearerHash, BearerToken},
    db::{DbResult, Tx},
    extract::Source,
    notice::{self, Running},
    settings::contact,
    site::{
        Form, Frame, Lang, PageResult, Problem,
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
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
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
    page(&app, realm, &headers, Filled { next: asked.next, ..Filled::default() }, Mistake::None).await
}

/// What is said above the form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    Failed,
    Suspended,
    InitialOver,
}

async fn page(app: &App, realm: Realm, headers: &HeaderMap, filled: Filled, mistake: Mistake) -> PageResult {
    let by_mail = app.config.mail.is_on();
    let (notices, contact) = match realm {
        Realm::Company => (notices(app).await, contact::of_browser(app, headers).await),
        Realm::System => (Vec::new(), String::new()),
    };
    visited(realm, headers, |frame| {
        let frame = Frame { banners: notices.iter().map(Banner::outside).collect(), contact, ..frame };
        let w = &frame.words.login;
        let mistake = match (mistake, realm) {
            (Mistake::None, _) => None,
            (Mistake::Failed, Realm::System) => Some(w.system_failed.to_owned()),
            (Mistake::Failed, Realm::Company) => Some(w.failed.to_owned()),
            (Mistake::Suspended, _) => Some(w.suspended.to_owned()),
            (Mistake::InitialOver, Realm::System) => Some(w.system_initial_over(INITIAL_DAYS)),
            (Mistake::InitialOver, Realm::Company) => Some(w.initial_over(INITIAL_DAYS)),
        };
        let Filled { company, user, next, password: _ } = filled;
        let page = LoginPage { frame, realm, next, company, user, mistake, by_mail };
        Ok(Html(page.render()?).into_response())
    })
}

/// What stands above the login; nothing when the database does not answer, which the login will say.
async fn notices(app: &App) -> Vec<Running> {
    let read = async {
        let mut tx = app.db.read().await?;
        notice::outside(&mut tx, app.now_ms()).await
    };
    let read: DbResult<Vec<Running>> = read.await;
    read.unwrap_or_default()
}

/// A page before there is a login, with a mark of the visit, to which the token of its form belongs.
///
/// # Errors
/// What `page` gives.
pub fn visited(realm: Realm, headers: &HeaderMap, page: impl FnOnce(Frame) -> PageResult) -> PageResult {
    let known = cookie::find(headers, cookie::VISIT).map(str::to_owned);
    let visit = known.clone().unwrap_or_else(|| BearerToken::random(&mut app::os_rng()).reveal().to_owned());
    let mut response = page(Frame::outside(realm, headers, form::token(&visit)))?;
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
    match attempt::prove(&app, typed).await {
        Ok(proved) => begin(&app, &proved, &headers, device, &next_in(realm, &filled.next)).await,
        Err(Refusal::Failed) => page(&app, realm, &headers, filled, Mistake::Failed).await,
        Err(Refusal::Suspended) => page(&app, realm, &headers, filled, Mistake::Suspended).await,
        Err(Refusal::InitialOver) => page(&app, realm, &headers, filled, Mistake::InitialOver).await,
        Err(Refusal::Throttled { retry_after_secs }) => Err(Problem::Throttled { retry_after_secs }),
        Err(Refusal::Error(error)) => Err(error.into()),
    }
}

/// Where to go after a login: a page of its realm.
fn next_in(realm: Realm, next: &str) -> String {
    let next = local(next);
    if Realm::of_path(next) == realm { next.to_owned() } else { realm.home().to_owned() }
}

/// Begins a login at its stage; one that is done already takes back what was counted.
async fn begin(app: &App, proved: &Proved, headers: &HeaderMap, device: Option<String>, next: &str) -> PageResult {
    let now = app.now_ms();
    let account = &proved.account;
    let rules = &account.policy;
    let expiry = Expiry::of(&rules.password, account.password_changed_at_ms, now);
    let stage = match (account.has_factor, rules.login.needs_factor(now)) {
        (true, _) => Stage::Code,
        (false, true) => Stage::Enrol,
        (false, false) => Stage::after_factor(account.password_is_initial, expiry),
    };
    let token = BearerToken::random(&mut app::os_rng());
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(AGENT_LEN_MAX).collect();
    let new = NewLogin {
        token: &token.hash(),
        operator_id: account.operator_id,
        stage,
        source: &proved.source,
        agent: &agent,
        expires_at_ms: now.saturating_add(rules.login.life_hours.saturating_mul(store::HOUR_MS)),
    };
    let mut tx = app.db.begin().await?;
    site_store::insert(&mut tx, &new, now).await?;
    let mut response =
        Redirect::to(if stage == Stage::Full { next } else { stage.page(account.realm) }).into_response();
    if stage != Stage::Code {
        // What is left to do needs no guessing.
        proved.forgive(&mut tx, now).await?;
        let device = remember(&mut tx, account.operator_id, device, now).await?;
        add_cookie(&mut response, cookie::DEVICE, &device, Life::Secs(DEVICE_SECS));
    }
    if stage == Stage::Full {
        done(&mut tx, account, &proved.source, &new.token.clone(), now).await?;
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
async fn done(tx: &mut Tx, account: &store::Account, source: &str, token: &BearerHash, now: i64) -> DbResult<()> {
    store::note_login(tx, account.operator_id, now).await?;
    if account.policy.login.single {
        site_store::revoke_all(tx, account.operator_id, Some(token), now).await?;
    }
    let event = login_event("login.succeeded", Some((account.company_id, account.operator_id)), now);
    audit::append(tx, AuditEvent { detail: json!({ "source": source, "door": "site" }), ..event }).await?;
    Ok(())
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
pub(super) fn add_cookie(response: &mut Response, name: &str, value: &str, life: Life) {
    if let Some(cookie) = cookie::set(name, value, life) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
