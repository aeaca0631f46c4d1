//! The page on which a company names its provider, and tries it.

use std::time::Duration;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    Issuer,
    client::{Lack, Place, ProviderError},
    is_client_id,
    page::redirect_uri,
    store::{self, Row},
};
use crate::{
    app::App,
    audit::{
        self,
        change::{self, Field},
    },
    company::is_shown,
    login::{Realm, SiteLogin, site_store},
    outward::{AddressError, Cause, Kind},
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, form::Pressed, frame::Flash},
    throttle::{self, Rate, Taken},
};

/// Where it is.
pub const ADDRESS: &str = "/settings/provider";
/// What a change is about, in the log.
const SUBJECT: &str = "settings:provider";
/// Longest words of the button, in characters.
const BUTTON_LEN_MAX: usize = 40;
/// Longest secret of a client, in bytes.
const SECRET_LEN_MAX: usize = 1024;
/// Tries of one company: enough for who sets it up, and no way to knock at a stranger's door all day.
const CHECK_RATE: Rate = Rate { max: 5, window: Duration::from_mins(1) };

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new().route(ADDRESS, get(show).post(save)).route("/settings/provider/check", post(check))
}

#[derive(Template)]
#[template(path = "provider/settings.html")]
struct SettingsPage {
    frame: Frame,
    /// What is stored, or was typed.
    row: Row,
    /// Whether a secret is stored.
    has_secret: bool,
    /// Whether it is said that the client has none.
    no_secret: bool,
    /// Whether there is something that can be tried.
    is_stored: bool,
    mistakes: Mistakes,
    /// What trying it gave.
    checked: Option<Checked>,
    redirect_uri: String,
    /// Accounts that the provider opens.
    links: i64,
}

/// What the page shows besides what is stored.
#[derive(Default)]
struct Shown {
    mistakes: Mistakes,
    /// What was said about the secret, when it was sent just now.
    no_secret: Option<bool>,
    checked: Option<Checked>,
}

/// What trying a provider gave.
struct Checked {
    is_good: bool,
    sentence: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mistakes {
    issuer: Option<&'static str>,
    client_id: Option<&'static str>,
    secret: Option<&'static str>,
    button: Option<&'static str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Filled {
    in_force: String,
    issuer: String,
    client_id: String,
    secret: Zeroizing<String>,
    no_secret: String,
    button: String,
    asks_factor: String,
    version: i64,
}

impl Checked {
    const fn bad(sentence: String) -> Self {
        Self { is_good: false, sentence }
    }
}

impl Filled {
    /// What shall be stored; the secret stays what it was when none is typed and the client is the same.
    fn read(&self, app: &App, login: &SiteLogin, old: &Row, words: &'static Words) -> (Row, Mistakes) {
        let w = &words.provider;
        let mut mistakes = Mistakes::default();
        let issuer = Issuer::parse(&self.issuer);
        let client_id = self.client_id.trim();
        let button = self.button.trim();
        if issuer.is_none() {
            mistakes.issuer = Some(w.issuer_wrong);
        } else if app.providers.may_ask(&self.issuer) == Err(AddressError::Private) {
            mistakes.issuer = Some(w.issuer_private);
        }
        if !is_client_id(client_id) {
            mistakes.client_id = Some(w.client_id_wrong);
        }
        if BUTTON_LEN_MAX < button.chars().count() || !button.chars().all(is_shown) {
            mistakes.button = Some(w.button_wrong);
        }
        let issuer = issuer.map_or_else(|| self.issuer.trim().to_owned(), |issuer| issuer.as_str().to_owned());
        // A secret goes to nobody but the provider that gave it.
        let is_same = (issuer.as_str(), client_id) == (old.issuer.as_str(), old.client_id.as_str());
        let (typed, has_none) = (self.secret.trim(), !self.no_secret.is_empty());
        let secret_sealed = if has_none {
            mistakes.secret = (!typed.is_empty()).then_some(w.secret_both);
            None
        } else if !typed.is_empty() {
            let fits = typed.len() <= SECRET_LEN_MAX && typed.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
            let sealed = if fits { store::seal(app, login.company_id, typed) } else { None };
            mistakes.secret = sealed.is_none().then_some(w.secret_wrong);
            sealed
        } else if is_same {
            old.secret_sealed.clone()
        } else {
            None
        };
        if secret_sealed.is_none() && !has_none {
            mistakes.secret = mistakes.secret.or(Some(w.secret_missing));
        }
        let row = Row {
            in_force: !self.in_force.is_empty(),
            issuer,
            client_id: client_id.to_owned(),
            secret_sealed,
            button: button.to_owned(),
            asks_factor: !self.asks_factor.is_empty(),
            version: self.version,
        };
        (row, mistakes)
    }
}

async fn show(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let row = stored(&app, &login).await?;
    page(&app, &login, &headers, row, Shown::default()).await
}

async fn stored(app: &App, login: &SiteLogin) -> Result<Row, Problem> {
    let mut tx = app.db.read().await?;
    Ok(store::find(&mut tx, login.company_id).await?.unwrap_or_default())
}

async fn page(app: &App, login: &SiteLogin, headers: &HeaderMap, row: Row, shown: Shown) -> PageResult {
    let Shown { mistakes, no_secret, checked } = shown;
    let mut tx = app.db.read().await?;
    let stored = store::find(&mut tx, login.company_id).await?;
    let links = match &stored {
        Some(stored) => store::links(&mut tx, login.company_id, &stored.issuer).await?,
        None => 0,
    };
    drop(tx);
    let is_wrong = mistakes != Mistakes::default() || checked.as_ref().is_some_and(|checked| !checked.is_good);
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let has_secret = stored.as_ref().is_some_and(|stored| stored.secret_sealed.is_some());
    let page = SettingsPage {
        frame: Frame::of(app, login, headers, Here::Settings),
        has_secret,
        no_secret: no_secret.unwrap_or(stored.is_some() && !has_secret),
        is_stored: stored.is_some(),
        row,
        mistakes,
        checked,
        redirect_uri: redirect_uri(app, headers, Realm::Company, login.company_id),
        links,
    };
    Ok((status, Html(page.render()?)).into_response())
}

async fn save(State(app): State<App>, login: SiteLogin, headers: HeaderMap, Form(filled): Form<Filled>) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let old = stored(&app, &login).await?;
    let (row, mistakes) = filled.read(&app, &login, &old, Words::of(login.lang));
    if mistakes != Mistakes::default() {
        let no_secret = Some(!filled.no_secret.is_empty());
        return page(&app, &login, &headers, row, Shown { mistakes, no_secret, checked: None }).await;
    }
    let fields = differences(&old, &row);
    if fields.is_empty() && filled.version == old.version {
        return Ok(Flash::Unchanged.then(ADDRESS));
    }
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if !store::save(&mut tx, login.company_id, &row).await? {
        return Err(Problem::Changed { back: ADDRESS.to_owned() });
    }
    if old.ends_logins(&row) {
        site_store::revoke_by_provider(&mut tx, login.company_id, now).await?;
    }
    let detail = change::store(&mut tx, login.company_id, SUBJECT, &login.name, fields, now).await?;
    audit::append(&mut tx, login.event("settings.provider_changed", detail, now)).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then(ADDRESS))
}

/// What changed; of a secret only that it did.
fn differences(old: &Row, new: &Row) -> Vec<Field> {
    let on = |yes: bool| if yes { "on" } else { "" };
    let secret = |row: &Row| if row.secret_sealed.is_some() { "there" } else { "" };
    let renewed = old.secret_sealed.is_some() && new.secret_sealed.is_some() && old.secret_sealed != new.secret_sealed;
    change::differences([
        ("provider", on(old.in_force), on(new.in_force)),
        ("issuer", &old.issuer, &new.issuer),
        ("client_id", &old.client_id, &new.client_id),
        ("client_secret", secret(old), if renewed { "renewed" } else { secret(new) }),
        ("button", &old.button, &new.button),
        ("asks_factor", on(old.asks_factor), on(new.asks_factor)),
    ])
}

/// Asks the provider that is stored what it can do.
async fn check(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let words = Words::of(login.lang);
    let row = stored(&app, &login).await?;
    let Some(provider) = store::read(&app, login.company_id, &row) else {
        let checked = Some(Checked::bad(words.provider.check_nothing.to_owned()));
        return page(&app, &login, &headers, row, Shown { checked, ..Shown::default() }).await;
    };
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let taken = throttle::take(&mut tx, "provider.check", &login.company_id.to_string(), CHECK_RATE, now).await?;
    tx.commit().await?;
    if let Taken::Beyond { retry_after_secs } = taken {
        return Err(Problem::Throttled { retry_after_secs });
    }
    let checked = if row.secret_sealed.is_some() && provider.client_secret.is_none() {
        Checked::bad(words.provider.check_secret.to_owned())
    } else {
        match app.providers.look(&provider, now).await {
            Ok(()) => Checked { is_good: true, sentence: words.provider.check_good.to_owned() },
            Err(error) => {
                tracing::info!(event = "provider.checked", error = %error, "A provider that is tried is of no use");
                Checked::bad(told(&error, words))
            }
        }
    };
    page(&app, &login, &headers, row, Shown { checked: Some(checked), ..Shown::default() }).await
}

/// What is wrong with a provider, and what to do.
fn told(error: &ProviderError, words: &'static Words) -> String {
    let w = &words.provider;
    let place = |place: Place| match place {
        Place::Discovery => w.place_discovery,
        Place::Authorization => w.place_authorization,
        Place::Token => w.place_token,
        Place::Keys => w.place_keys,
    };
    match error {
        ProviderError::Setup(_) => w.check_setup.to_owned(),
        ProviderError::Address(at, AddressError::Private) => w.check_private(place(*at)),
        ProviderError::Address(at, AddressError::Form) => w.check_address(place(*at)),
        ProviderError::Away(at, cause) => w.check_away(cause_told(cause, words), place(*at)),
        ProviderError::Late => w.check_late.to_owned(),
        ProviderError::Status(at, status) if error.is_away() => w.check_busy(place(*at), status.as_u16()),
        ProviderError::Status(at, status) => w.check_status(place(*at), status.as_u16()),
        ProviderError::TooLong(at) => w.check_too_long(place(*at)),
        ProviderError::Form(at) => w.check_form(place(*at)),
        ProviderError::Issuer(other) => w.check_issuer(other),
        ProviderError::Lacks(Lack::Code) => w.check_code.to_owned(),
        ProviderError::Lacks(Lack::Pkce) => w.check_pkce.to_owned(),
        ProviderError::Lacks(Lack::Algorithm) => w.check_algorithm.to_owned(),
        ProviderError::Lacks(Lack::ClientAuthentication) => w.check_client.to_owned(),
        ProviderError::Lacks(Lack::Key) => w.check_key.to_owned(),
        ProviderError::MixedUp
        | ProviderError::Declined(_)
        | ProviderError::Refused(_)
        | ProviderError::Unavailable(_)
        | ProviderError::Client(_)
        | ProviderError::Token(_) => w.check_token.to_owned(),
    }
}

/// Why nothing came back.
const fn cause_told(cause: &Cause, words: &'static Words) -> &'static str {
    let w = &words.provider;
    match cause.kind {
        Kind::Timeout => w.cause_timeout,
        Kind::Refused | Kind::Unreachable => w.cause_refused,
        Kind::Name => w.cause_name,
        Kind::Address => w.cause_private,
        Kind::Certificate | Kind::Tls => w.cause_certificate,
        Kind::Redirect => w.cause_redirect,
        Kind::Status | Kind::Gone | Kind::Cut | Kind::Secret | Kind::Other => w.cause_other,
    }
}
