//! The pages of webhooks.

use std::time::Duration;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    EVENTS, WEBHOOKS_MAX,
    call::shown,
    store::{self, Call, Webhook},
};
use crate::{
    app::App,
    audit::{
        self,
        change::{self, Field},
        page::event_name,
    },
    db::{DbError, Tx},
    extract::InPath,
    login::SiteLogin,
    outward::{Address, AddressError, Kind},
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, form::Pressed, frame::Flash, time},
    throttle::{self, Rate, Taken},
};

/// Where they are.
const PAGE: &str = "/settings/webhooks";
/// Tests of one webhook: enough for who sets one up, and no way to knock at a stranger's door all day.
const TEST_RATE: Rate = Rate { max: 5, window: Duration::from_mins(1) };

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route(PAGE, get(show_all).post(create))
        .route("/settings/webhooks/{webhook_id}", get(show).post(update))
        .route("/settings/webhooks/{webhook_id}/{verb}", post(act))
        .route("/settings/webhooks/{webhook_id}/calls/{call_id}/again", post(again))
}

/// One line of the list.
struct Line {
    webhook: Webhook,
    failures: i64,
}

/// One line of what a webhook was told.
struct CallLine {
    at: String,
    event: String,
    state: &'static str,
    class: &'static str,
    when: String,
    /// Why it was not taken; empty when it was.
    why: String,
    call: Call,
}

/// What was typed into the form, and what is wrong with it.
#[derive(Default)]
struct Typed {
    url: String,
    events: Vec<String>,
    url_mistake: Option<&'static str>,
    events_mistake: Option<&'static str>,
    mistake: Option<String>,
}

#[derive(Template)]
#[template(path = "webhook/list.html")]
struct ListPage {
    frame: Frame,
    lines: Vec<Line>,
    typed: Typed,
}

#[derive(Template)]
#[template(path = "webhook/show.html")]
struct ShowPage {
    frame: Frame,
    webhook: Webhook,
    typed: Typed,
    calls: Vec<CallLine>,
}

#[derive(Template)]
#[template(path = "webhook/secret.html")]
struct SecretPage {
    frame: Frame,
    webhook_id: String,
    secret: Zeroizing<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Filled {
    url: String,
    events: Vec<String>,
    version: i64,
}

impl Typed {
    fn has(&self, event: &str) -> bool {
        self.events.iter().any(|chosen| chosen == event)
    }

    const fn status(&self) -> StatusCode {
        let wrong = self.url_mistake.is_some() || self.events_mistake.is_some() || self.mistake.is_some();
        if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }
    }

    fn of(webhook: &Webhook) -> Self {
        let events = webhook.events().map(str::to_owned).collect();
        Self { url: webhook.url.clone(), events, ..Self::default() }
    }
}

impl Filled {
    /// What is stored, or the form again with what is wrong.
    fn read(self, app: &App, words: &'static Words) -> Result<(Address, Vec<&'static str>), Typed> {
        let w = &words.webhooks;
        let events: Vec<_> = EVENTS.into_iter().filter(|event| self.events.iter().any(|e| e == event)).collect();
        let parsed = Address::parse(&self.url, &app.config.webhooks.networks);
        let url_mistake = match &parsed {
            Ok(_) => None,
            Err(AddressError::Form) => Some(w.url_wrong),
            Err(AddressError::Private) => Some(w.url_private),
        };
        let events_mistake = events.is_empty().then_some(w.events_wrong);
        match parsed {
            Ok(address) if !events.is_empty() => Ok((address, events)),
            _ => Err(Typed { url: self.url, events: self.events, url_mistake, events_mistake, mistake: None }),
        }
    }
}

async fn show_all(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let typed = Typed { events: EVENTS.map(str::to_owned).to_vec(), ..Typed::default() };
    list_page(&app, &login, &headers, typed).await
}

async fn list_page(app: &App, login: &SiteLogin, headers: &HeaderMap, typed: Typed) -> PageResult {
    let mut tx = app.db.read().await?;
    let webhooks = store::of_company(&mut tx, login.company_id).await?;
    let failures = store::failures(&mut tx, login.company_id).await?;
    drop(tx);
    let failed = |id: &str| failures.iter().find(|(webhook_id, _)| webhook_id == id).map_or(0, |(_, count)| *count);
    let lines = webhooks.into_iter().map(|webhook| Line { failures: failed(&webhook.webhook_id), webhook }).collect();
    let frame = Frame::of(app, login, headers, Here::Webhooks);
    Ok((typed.status(), Html(ListPage { frame, lines, typed }.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let words = Words::of(login.lang);
    let (address, events) = match filled.read(&app, words) {
        Ok(read) => read,
        Err(typed) => return list_page(&app, &login, &headers, typed).await,
    };
    let mut tx = app.db.begin().await?;
    let made = store::insert(&app, &mut tx, login.company_id, address.as_str(), &events).await?;
    let Some((webhook_id, secret)) = made else {
        drop(tx);
        let mistake = Some(words.webhooks.too_many(WEBHOOKS_MAX));
        let (url, events) = (address.as_str().to_owned(), events.into_iter().map(str::to_owned).collect());
        let typed = Typed { url, events, mistake, ..Typed::default() };
        return list_page(&app, &login, &headers, typed).await;
    };
    let fields = [("url", "", address.as_str()), ("events", "", &events.join(" "))];
    log(&mut tx, &login, "webhook.created", &webhook_id, change::differences(fields), app.now_ms()).await?;
    tx.commit().await?;
    secret_page(&app, &login, &headers, webhook_id, &secret)
}

fn secret_page(app: &App, login: &SiteLogin, headers: &HeaderMap, webhook_id: String, secret: &[u8]) -> PageResult {
    let frame = Frame::of(app, login, headers, Here::Webhooks);
    Ok(Html(SecretPage { frame, webhook_id, secret: shown(secret) }.render()?).into_response())
}

async fn show(
    State(app): State<App>,
    login: SiteLogin,
    InPath(webhook_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let webhook = found(&app, &login, &webhook_id).await?;
    let typed = Typed::of(&webhook);
    show_page(&app, &login, &headers, webhook, typed).await
}

async fn show_page(app: &App, login: &SiteLogin, headers: &HeaderMap, webhook: Webhook, typed: Typed) -> PageResult {
    let mut tx = app.db.read().await?;
    let calls = store::calls(&mut tx, &webhook.webhook_id).await?;
    drop(tx);
    let frame = Frame::of(app, login, headers, Here::Webhooks);
    let zone = login.zone();
    let calls = calls.into_iter().map(|call| CallLine::new(call, frame.words, &zone)).collect();
    let status = typed.status();
    Ok((status, Html(ShowPage { frame, webhook, typed, calls }.render()?)).into_response())
}

async fn update(
    State(app): State<App>,
    login: SiteLogin,
    InPath(webhook_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let version = filled.version;
    let webhook = found(&app, &login, &webhook_id).await?;
    let (address, events) = match filled.read(&app, Words::of(login.lang)) {
        Ok(read) => read,
        Err(typed) => return show_page(&app, &login, &headers, webhook, typed).await,
    };
    let here = format!("{PAGE}/{webhook_id}");
    let (old, new) = (webhook.events().collect::<Vec<_>>().join(" "), events.join(" "));
    let fields = change::differences([("url", webhook.url.as_str(), address.as_str()), ("events", &old, &new)]);
    if fields.is_empty() {
        return Ok(Flash::Unchanged.then(&here));
    }
    let mut tx = app.db.begin().await?;
    if !store::update(&mut tx, &webhook, version, address.as_str(), &events).await? {
        return Err(Problem::Changed { back: here });
    }
    log(&mut tx, &login, "webhook.changed", &webhook_id, fields, app.now_ms()).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then(&here))
}

/// Stops, starts, tries, gives another secret, deletes.
async fn act(
    State(app): State<App>,
    login: SiteLogin,
    InPath((webhook_id, verb)): InPath<(String, String)>,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let here = format!("{PAGE}/{webhook_id}");
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let webhook = store::find(&mut tx, login.company_id, &webhook_id).await?.ok_or(Problem::NotFound)?;
    let (event, done) = match verb.as_str() {
        "stop" | "start" => {
            let stopped = verb == "stop";
            store::set_stopped(&mut tx, &webhook_id, stopped).await?;
            if stopped { ("webhook.stopped", Flash::Stopped) } else { ("webhook.started", Flash::Started) }
        }
        "test" => {
            if let Taken::Beyond { retry_after_secs } =
                throttle::take(&mut tx, "webhook.test", &webhook_id, TEST_RATE, now).await?
            {
                drop(tx);
                return test_later(&app, &login, &headers, webhook, retry_after_secs).await;
            }
            store::queue_test(&mut tx, login.company_id, &webhook, now).await?;
            ("webhook.tested", Flash::Saved)
        }
        "secret" => {
            let secret = store::renew(&app, &mut tx, &webhook).await?;
            log(&mut tx, &login, "webhook.secret_renewed", &webhook_id, Vec::new(), now).await?;
            tx.commit().await?;
            return secret_page(&app, &login, &headers, webhook_id, &secret);
        }
        "delete" => {
            let fields = change::differences([("url", webhook.url.as_str(), "")]);
            // First the head of the log, as events have it while their calls are stored: neither waits for the other then.
            log(&mut tx, &login, "webhook.deleted", &webhook_id, fields, now).await?;
            store::delete(&mut tx, &webhook).await?;
            tx.commit().await?;
            return Ok(Flash::Deleted.then(PAGE));
        }
        _ => return Err(Problem::NotFound),
    };
    log(&mut tx, &login, event, &webhook_id, Vec::new(), now).await?;
    tx.commit().await?;
    Ok(done.then(&here))
}

/// The page of a webhook that was tried too often, which says when it can be tried again.
async fn test_later(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    webhook: Webhook,
    retry_after_secs: u64,
) -> PageResult {
    let wait_ms = i64::try_from(retry_after_secs).unwrap_or(i64::MAX).saturating_mul(1000);
    let at = time::seconds(app.now_ms().saturating_add(wait_ms), &login.zone());
    let mistake = Some(Words::of(login.lang).webhooks.test_later(at, TEST_RATE.max));
    let typed = Typed { mistake, ..Typed::of(&webhook) };
    let page = show_page(app, login, headers, webhook, typed).await?;
    Ok((StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, retry_after_secs.to_string())], page).into_response())
}

async fn again(
    State(app): State<App>,
    login: SiteLogin,
    InPath((webhook_id, call_id)): InPath<(String, String)>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::ApiEdit)?;
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let webhook = store::find(&mut tx, login.company_id, &webhook_id).await?.ok_or(Problem::NotFound)?;
    if !store::again(&mut tx, &webhook, &call_id, now).await? {
        return Err(Problem::NotFound);
    }
    log(&mut tx, &login, "webhook.sent_again", &webhook_id, Vec::new(), now).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then(&format!("{PAGE}/{webhook_id}")))
}

async fn found(app: &App, login: &SiteLogin, webhook_id: &str) -> Result<Webhook, Problem> {
    let mut tx = app.db.read().await?;
    store::find(&mut tx, login.company_id, webhook_id).await?.ok_or(Problem::NotFound)
}

/// The row of the operation log; what changed stands beside the chain.
async fn log(
    tx: &mut Tx,
    login: &SiteLogin,
    event: &'static str,
    webhook_id: &str,
    fields: Vec<Field>,
    now: i64,
) -> Result<(), DbError> {
    let subject = format!("webhook:{webhook_id}");
    let detail = change::store(tx, login.company_id, &subject, &login.name, fields, now).await?;
    audit::append(tx, login.event(event, detail, now)).await?;
    Ok(())
}

impl CallLine {
    fn new(call: Call, words: &'static Words, zone: &jiff::tz::TimeZone) -> Self {
        let w = &words.webhooks;
        let (state, class, when) = match call.state.as_str() {
            "sent" => (w.sent, "good", call.sent_at_ms.map(|at| time::seconds(at, zone))),
            "failed" => (w.failed, "bad", None),
            _ if 0 < call.tries => (w.queued, "warning", Some(w.next_try(time::seconds(call.due_at_ms, zone)))),
            _ => (w.queued, "warning", None),
        };
        Self {
            at: time::seconds(call.at_ms, zone),
            event: event_name(&call.event, words),
            state,
            class,
            when: when.unwrap_or_else(|| words.shared.never.to_owned()),
            why: Kind::parse(&call.cause).map(|kind| kind.told(&call.answer, words)).unwrap_or_default(),
            call,
        }
    }
}
