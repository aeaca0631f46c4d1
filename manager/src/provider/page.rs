//! The way to a provider and back, for both realms: the button of the login, and the page to which the provider returns.
//!
//! The browser is sent on by a page and not by a redirect: the policy of the site lets no form lead elsewhere. Whatever
//! goes wrong afterwards leads to the login, or to the own account, with a word of ours in the address; nothing that a
//! provider says is shown.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{Html, IntoResponse as _, Redirect, Response},
};
use proto::id::{CompanyId, OperatorId};
use serde::Deserialize;

use super::{
    Provider,
    account::bind,
    answer::Answer,
    client::{CODE_LEN_MAX, Place, ProviderError, word},
    flow::{self, Flow},
    secret::FlowSecret,
    sign_in::{Returned, note_failure, refuse_while_halted, sign_in},
    store,
};
use crate::{
    app::{self, App},
    db::DbError,
    extract::{InPath, Source},
    halt,
    list::params::encode,
    login::{
        Agreeing, Login, Realm,
        attempt::{self, Tries},
        page::{add_cookie, next_in, visited},
    },
    site::{
        Form, Frame, Lang, PageResult, Problem, Words,
        cookie::{self, Life},
        frame::Flash,
    },
    throttle,
};

/// Why somebody who went to a provider is not where they wanted to be, as the address says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no provider for the company code.
    Nobody,
    /// The provider cannot be reached, or not in time.
    Away,
    /// What the provider says is not what it should be.
    Wrong,
    /// The provider does not take the secret of this service.
    Client,
    /// The person, or the provider, said no.
    Denied,
    /// This browser did not begin it, or it is over.
    Stale,
    /// No account is bound to the person.
    Unlinked,
    /// The account may not log in: it is stopped, or not from here, or not now.
    Refused,
    /// The company is suspended, or its contract is over.
    Suspended,
    /// The person opens another account.
    Taken,
}

/// What ends a return without a page: a word for the person, or a problem of ours.
pub(super) enum Stop {
    Why(Why),
    Problem(Problem),
}

#[derive(Template)]
#[template(path = "provider/go.html")]
struct GoPage {
    frame: Frame,
    url: String,
    host: String,
}

#[derive(Default, Deserialize)]
pub(crate) struct Filled {
    #[serde(default)]
    company: String,
    #[serde(default)]
    next: String,
}

impl Why {
    const ALL: [Self; 10] = [
        Self::Nobody,
        Self::Away,
        Self::Wrong,
        Self::Client,
        Self::Denied,
        Self::Stale,
        Self::Unlinked,
        Self::Refused,
        Self::Suspended,
        Self::Taken,
    ];

    /// The word in the address, and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "provider_nobody",
            Self::Away => "provider_away",
            Self::Wrong => "provider_wrong",
            Self::Client => "provider_client",
            Self::Denied => "provider_denied",
            Self::Stale => "provider_stale",
            Self::Unlinked => "provider_unlinked",
            Self::Refused => "provider_refused",
            Self::Suspended => "provider_suspended",
            Self::Taken => "provider_taken",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == text)
    }

    /// What happened and what to do.
    pub const fn sentence(self, realm: Realm, words: &'static Words) -> &'static str {
        let w = &words.provider;
        match (self, realm) {
            (Self::Nobody, _) => w.why_nobody,
            (Self::Away, _) => w.why_away,
            (Self::Wrong, Realm::Company) => w.why_wrong,
            (Self::Wrong, Realm::System) => w.why_wrong_system,
            (Self::Client, Realm::Company) => w.why_client,
            (Self::Client, Realm::System) => w.why_client_system,
            (Self::Denied, _) => w.why_denied,
            (Self::Stale, _) => w.why_stale,
            (Self::Unlinked, _) => w.why_unlinked,
            (Self::Refused, Realm::Company) => w.why_refused,
            (Self::Refused, Realm::System) => w.why_refused_system,
            (Self::Suspended, _) => words.login.suspended,
            (Self::Taken, _) => w.why_taken,
        }
    }

    fn of_provider(error: &ProviderError) -> Self {
        if let ProviderError::Declined(word) = error {
            return match word.as_str() {
                "access_denied" | "login_required" | "consent_required" | "interaction_required" => Self::Denied,
                "temporarily_unavailable" | "server_error" => Self::Away,
                _ => Self::Wrong,
            };
        }
        if matches!(error, ProviderError::Client(_)) {
            Self::Client
        } else if error.is_away() {
            Self::Away
        } else {
            Self::Wrong
        }
    }
}

/// Where a provider sends browsers of a realm back: another address for each company, so that no provider can pass the
/// answer of another one off as its own. Source: RFC 9700, 4.4.2.2.
pub fn redirect_uri(app: &App, headers: &HeaderMap, realm: Realm, company_id: CompanyId) -> String {
    let path = match realm {
        Realm::Company => format!("/login/provider/return/{company_id}"),
        Realm::System => "/system/login/provider/return".to_owned(),
    };
    app.config.mail.link_from(headers, &path)
}

/// The button of the login.
pub(crate) async fn begin(
    State(app): State<App>,
    realm: Realm,
    Source(source): Source,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    if realm == Realm::Company && halt::is_halted(&app).await? {
        return Err(Problem::LoggedOut { next: next_in(realm, &filled.next) });
    }
    // Counted until the login is done, and apart from passwords: nothing can be guessed here.
    if let Some(retry_after_secs) = attempt::throttled(&app, Tries::Provider, &throttle::source_bucket(source)).await? {
        return Err(Problem::Throttled { retry_after_secs });
    }
    let provider = match realm {
        Realm::Company => {
            let mut tx = app.db.read().await?;
            store::of_code(&app, &mut tx, &filled.company).await?
        }
        Realm::System => Some(super::of_system(&app).ok_or(Problem::NotFound)?),
    };
    let next = next_in(realm, &filled.next);
    let back = |why: Why| failed(realm, why, &filled.company, &next);
    let Some(provider) = provider else { return Ok(Redirect::to(&back(Why::Nobody)).into_response()) };
    match way(&app, &headers, realm, &provider, (None, &next)).await? {
        Ok(page) => Ok(page),
        Err(why) => Ok(Redirect::to(&back(why)).into_response()),
    }
}

/// Where a way that failed leads: to the login as it was left, with company code and page.
fn failed(realm: Realm, why: Why, company: &str, next: &str) -> String {
    let company = match realm {
        Realm::Company => format!("&company={}", encode(company.trim())),
        Realm::System => String::new(),
    };
    format!("{}/login?why={}{company}&next={}", realm.base(), why.as_str(), encode(next))
}

/// The page that sends a browser to a provider, to log in or to bind the account of who is logged in.
///
/// # Errors
/// [`Problem`]; inside, why the provider cannot be asked.
pub async fn way(
    app: &App,
    headers: &HeaderMap,
    realm: Realm,
    provider: &Provider,
    (operator_id, next): (Option<OperatorId>, &str),
) -> Result<Result<Response, Why>, Problem> {
    let now = app.now_ms();
    let mut url = match app.providers.in_time(app.providers.metadata(provider, now)).await {
        Ok(metadata) => metadata.authorization().clone(),
        Err(error) => {
            warn(&error);
            return Ok(Err(Why::of_provider(&error)));
        }
    };
    let secret = FlowSecret::random(&mut app::os_rng());
    let flow = Flow {
        company_id: provider.company_id,
        operator_id,
        issuer: provider.issuer.as_str().to_owned(),
        client_id: provider.client_id.clone(),
        redirect_uri: redirect_uri(app, headers, realm, provider.company_id),
        next: next.to_owned(),
        expires_at_ms: flow::ends(now),
    };
    let mut tx = app.db.begin().await?;
    flow::insert(&mut tx, &secret, &flow).await?;
    tx.commit().await?;
    let host = url.host_str().unwrap_or_default().to_owned();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &flow.client_id)
        .append_pair("redirect_uri", &flow.redirect_uri)
        .append_pair("scope", "openid")
        .append_pair("state", &secret.state())
        .append_pair("nonce", &secret.nonce())
        .append_pair("code_challenge", &secret.challenge())
        .append_pair("code_challenge_method", "S256")
        .append_pair("ui_locales", Lang::of(headers).tag());
    let mut page = visited(app, realm, headers, |frame| {
        Ok(Html(GoPage { frame, url: url.to_string(), host }.render()?).into_response())
    })?;
    add_cookie(&mut page, cookie::PROVIDER, secret.reveal(), Life::Secs(flow::LIFE_SECS));
    Ok(Ok(page))
}

/// The return to a company.
pub(crate) async fn come_back(
    State(app): State<App>,
    InPath(company_id): InPath<String>,
    source: Source,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    login: Result<Agreeing, Problem>,
) -> PageResult {
    let login = login.ok().map(|Agreeing(login)| login);
    returned(&app, (Realm::Company, &company_id), source, query.as_deref(), &headers, login).await
}

/// The return of a system administrator.
pub(crate) async fn come_back_to_system(
    State(app): State<App>,
    source: Source,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    login: Result<Agreeing, Problem>,
) -> PageResult {
    let login = login.ok().map(|Agreeing(login)| login);
    let system = super::of_system(&app).ok_or(Problem::NotFound)?.company_id.to_string();
    returned(&app, (Realm::System, &system), source, query.as_deref(), &headers, login).await
}

async fn returned(
    app: &App,
    (realm, company_id): (Realm, &str),
    source: Source,
    query: Option<&str>,
    headers: &HeaderMap,
    login: Option<Login>,
) -> PageResult {
    let stale_at = |cause: &'static str, page: &str| {
        tracing::info!(event = "provider.stale", reason = cause, "An answer of a provider belongs to no sign-in");
        Ok(Redirect::to(page).into_response())
    };
    let nowhere = format!("{}/login?why={}", realm.base(), Why::Stale.as_str());
    let stale = |cause: &'static str| stale_at(cause, &nowhere);
    let secret = cookie::find(headers, cookie::PROVIDER).and_then(FlowSecret::sent);
    let (Some(secret), Some(answer)) = (secret, Answer::read(query.unwrap_or_default())) else {
        return stale("no cookie, or no answer");
    };
    if !secret.has_state(&answer.state) {
        return stale("the state of another browser");
    }
    let mut tx = app.db.begin().await?;
    let flow = flow::take(&mut tx, &secret).await?;
    let provider = match &flow {
        Some(flow) => super::of(app, &mut tx, realm, flow.company_id).await?,
        None => None,
    };
    let code = match &flow {
        Some(flow) => store::code_of(&mut tx, flow.company_id).await?,
        None => String::new(),
    };
    tx.commit().await?;
    let Some(flow) = flow else { return stale("used before") };
    if flow.company_id.to_string() != company_id {
        return stale("the address of another company");
    }
    let login_page = |why: Why| failed(realm, why, &code, &flow.next);
    if flow.expires_at_ms <= app.now_ms() {
        return stale_at("too late", &login_page(Why::Stale));
    }
    let provider = provider.filter(|provider| flow.is_to(provider));
    let Some(provider) = provider else {
        return stale_at("the provider was changed meanwhile", &login_page(Why::Stale));
    };

    let returned = Returned { realm, provider: &provider, flow: &flow, source: source.0, headers };
    let mut response = match finish(app, &returned, &secret, answer, login).await {
        Ok(response) => response,
        Err(Stop::Why(why)) if flow.operator_id.is_some() => {
            Redirect::to(&format!("{}?why={}", realm.account(), why.as_str())).into_response()
        }
        Err(Stop::Why(why)) => Redirect::to(&login_page(why)).into_response(),
        Err(Stop::Problem(problem)) => return Err(problem),
    };
    add_cookie(&mut response, cookie::PROVIDER, "", Life::Over);
    Ok(response)
}

/// Asks the provider whom the answer is about, and does what the browser went for; nothing of it while the service is
/// halted.
async fn finish(
    app: &App,
    returned: &Returned<'_>,
    secret: &FlowSecret,
    answer: Answer,
    login: Option<Login>,
) -> Result<Response, Stop> {
    let Returned { realm, provider, flow, .. } = *returned;
    drop(refuse_while_halted(app, app.db.read().await?, returned).await?);
    let subject = match ask(app, provider, flow, secret, answer).await {
        Ok(subject) => subject,
        Err(why) => {
            if flow.operator_id.is_none() {
                note_failure(app, returned, None, why.as_str()).await?;
            }
            return Err(Stop::Why(why));
        }
    };
    let Some(operator_id) = flow.operator_id else { return sign_in(app, returned, &subject).await };
    // Who binds must still be logged in here, as who began.
    let login = login.filter(|login| login.operator_id == operator_id && login.realm == realm);
    let Some(login) = login else { return Err(Stop::Why(Why::Stale)) };
    match bind(app, &login, flow, &subject).await? {
        Ok(()) => Ok(Flash::ProviderLinked.then(realm.account())),
        Err(why) => Err(Stop::Why(why)),
    }
}

async fn ask(app: &App, provider: &Provider, flow: &Flow, secret: &FlowSecret, answer: Answer) -> Result<String, Why> {
    let asked = async {
        let metadata = app.providers.metadata(provider, app.now_ms()).await?;
        if !metadata.is_from(answer.iss.as_deref()) {
            return Err(ProviderError::MixedUp);
        }
        let code = answer.result.map_err(|error| ProviderError::Declined(word(&error)))?;
        if !(1..=CODE_LEN_MAX).contains(&code.len()) {
            return Err(ProviderError::Form(Place::Authorization));
        }
        app.providers.redeem(provider, &code, &flow.redirect_uri, secret, || app.now_ms()).await
    };
    app.providers.in_time(asked).await.map_err(|error| {
        warn(&error);
        Why::of_provider(&error)
    })
}

fn warn(error: &ProviderError) {
    if let ProviderError::Declined(word) = error {
        tracing::info!(event = "provider.refused", reason = %word, "A provider sent a browser back: {word}");
    } else {
        tracing::warn!(event = "provider.failed", error = %error, "An identity provider is of no use");
    }
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
