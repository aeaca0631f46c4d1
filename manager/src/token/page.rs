//! The pages of tokens: the list, making one, and the token itself, once.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::{
    Scope, Scopes,
    store::{self, DAYS, NETWORKS_MAX, NewToken, Row},
};
use crate::{
    app::App,
    audit,
    company::{ShownName, policy::Network},
    extract::InPath,
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, form::Pressed, frame::Flash, time},
};

/// Where they are.
const PAGE: &str = "/settings/tokens";
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The life that is proposed, in days.
const DAYS_DEFAULT: &str = "90";

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route(PAGE, get(show))
        .route("/settings/tokens/new", get(show_new).post(create))
        .route("/settings/tokens/{token_id}/revoke", post(revoke))
}

/// One line of the list.
struct Line {
    scopes: Vec<&'static str>,
    created: String,
    expires: String,
    used: String,
    state: &'static str,
    class: &'static str,
    in_force: bool,
    row: Row,
}

/// A scope that can be chosen.
struct Choice {
    value: &'static str,
    name: &'static str,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "token/list.html")]
struct ListPage {
    frame: Frame,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "token/new.html")]
struct NewPage {
    frame: Frame,
    filled: Filled,
    mistakes: Mistakes,
    choices: Vec<Choice>,
    days: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "token/once.html")]
struct OncePage {
    frame: Frame,
    name: String,
    token: String,
    expires: String,
}

/// What was typed into the form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Filled {
    name: String,
    scope: Vec<String>,
    days: String,
    networks: String,
}

/// What is wrong with it, by field.
#[derive(Debug, Clone, Default)]
struct Mistakes {
    name: Option<&'static str>,
    scope: Option<&'static str>,
    days: Option<&'static str>,
    networks: Option<&'static str>,
    all: Option<&'static str>,
}

/// A form that was read.
struct Written {
    name: ShownName,
    scopes: Scopes,
    days: i64,
    networks: Vec<Network>,
}

impl Filled {
    /// The values, or what is wrong.
    fn read(&self, words: &'static Words) -> Result<Written, Mistakes> {
        let w = &words.tokens;
        let name: Option<ShownName> = self.name.trim().parse().ok();
        let scopes = self.scope.iter().map(|scope| scope.parse::<Scope>()).collect::<Result<Scopes, _>>().ok();
        let scopes = scopes.filter(|scopes| !scopes.is_empty());
        let days = self.days.parse().ok().filter(|days| DAYS.contains(days));
        let networks = self.networks.split([' ', '\n', '\r', ',', '\t']).filter(|text| !text.is_empty());
        let networks = networks.map(str::parse::<Network>).collect::<Result<Vec<_>, _>>().ok();
        let networks = networks.filter(|networks| networks.len() <= NETWORKS_MAX);
        match (name, scopes, days, networks) {
            (Some(name), Some(scopes), Some(days), Some(networks)) => Ok(Written { name, scopes, days, networks }),
            (name, scopes, days, networks) => Err(Mistakes {
                name: name.is_none().then_some(w.name_wrong),
                scope: scopes.is_none().then_some(w.scope_wrong),
                days: days.is_none().then_some(w.days_wrong),
                networks: networks.is_none().then_some(w.networks_wrong),
                all: None,
            }),
        }
    }
}

impl Mistakes {
    const fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.scope.is_none()
            && self.days.is_none()
            && self.networks.is_none()
            && self.all.is_none()
    }
}

async fn show(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.read().await?;
    let rows = store::list(&mut tx, login.company_id).await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::Tokens);
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, &zone, now)).collect();
    Ok(Html(ListPage { frame, lines }.render()?).into_response())
}

async fn show_new(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let filled = Filled { days: DAYS_DEFAULT.to_owned(), ..Filled::default() };
    new_page(&app, &login, &headers, filled, Mistakes::default())
}

fn new_page(app: &App, login: &SiteLogin, headers: &HeaderMap, filled: Filled, mistakes: Mistakes) -> PageResult {
    let frame = Frame::of(app, login, headers, Here::Tokens);
    let chosen = |scope: &Scope| filled.scope.iter().any(|text| text == scope.as_str());
    let choice = |scope: Scope| Choice { value: scope.as_str(), name: scope.name(frame.words), chosen: chosen(&scope) };
    let choices = Scope::ALL.into_iter().map(choice).collect();
    let days = DAYS.into_iter().map(|days| (days.to_string(), frame.words.tokens.days_of(days))).collect();
    let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Html(NewPage { frame, filled, mistakes, choices, days }.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let words = Words::of(login.lang);
    let written = match filled.read(words) {
        Ok(written) => written,
        Err(mistakes) => return new_page(&app, &login, &headers, filled, mistakes),
    };
    let now = app.now_ms();
    let expires_at_ms = now.saturating_add(written.days.saturating_mul(DAY_MS));
    let new = NewToken { name: &written.name, scopes: written.scopes, networks: &written.networks, expires_at_ms };
    let mut tx = app.db.begin().await?;
    let Some((token_id, token)) = store::create(&mut tx, &login, &new, now).await? else {
        drop(tx);
        let mistakes = Mistakes { all: Some(words.tokens.too_many), ..Mistakes::default() };
        return new_page(&app, &login, &headers, filled, mistakes);
    };
    let networks: Vec<String> = written.networks.iter().map(ToString::to_string).collect();
    let detail = json!({
        "token_id": token_id,
        "name": written.name.as_str(),
        "scopes": written.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "networks": networks,
        "days": written.days,
    });
    audit::append(&mut tx, login.event("token.created", detail, now)).await?;
    tx.commit().await?;
    let page = OncePage {
        frame: Frame::of(&app, &login, &headers, Here::Tokens),
        name: written.name.as_str().to_owned(),
        token,
        expires: time::day(expires_at_ms, &login.zone()),
    };
    Ok(Html(page.render()?).into_response())
}

async fn revoke(
    State(app): State<App>,
    login: SiteLogin,
    InPath(token_id): InPath<String>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let name = store::revoke(&mut tx, login.company_id, &token_id, now).await?.ok_or(Problem::NotFound)?;
    let detail = json!({ "token_id": token_id, "name": name });
    audit::append(&mut tx, login.event("token.revoked", detail, now)).await?;
    tx.commit().await?;
    Ok(Flash::TokenRevoked.then(PAGE))
}

impl Line {
    fn new(row: Row, words: &'static Words, zone: &TimeZone, now: i64) -> Self {
        let w = &words.tokens;
        let (state, class) = if row.revoked_at_ms.is_some() {
            (w.state_revoked, "off")
        } else if !row.is_in_force(now) {
            (w.state_expired, "off")
        } else if !row.maker_is_active {
            (w.state_maker_gone, "bad")
        } else {
            (w.state_active, "good")
        };
        Self {
            scopes: Scopes::from(row.scopes.as_str()).iter().map(|scope| scope.name(words)).collect(),
            created: time::to_the_minute(row.created_at_ms, zone),
            expires: time::day(row.expires_at_ms, zone),
            used: row.used_at_ms.map_or_else(|| words.shared.never.to_owned(), |at| time::to_the_minute(at, zone)),
            state,
            class,
            in_force: row.is_in_force(now),
            row,
        }
    }
}
