//! The pages of requests: the list, one request with its certificate, and the forms that ask.

use std::borrow::Cow;

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::{
    RequestKind, RequestState,
    decide::{self, Asked, RequestError},
    disclosure::{self, Disclosure, FETCH_DAYS, HEADS},
    erase::Certificate,
    store::{self, Row},
};
use crate::{
    admin::{
        AdminLogin, AdminPermission, Reason,
        frame::{Here, frame},
    },
    app::App,
    audit,
    contract::{self, State as ContractState},
    extract::InPath,
    list::{self, From, Params, csv},
    site::{Form, Frame, PageResult, Problem, Words, download, frame::Flash, time},
};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The pages of this slice.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/system/requests", get(show_list))
        .route("/system/requests/new", get(show_new).post(ask))
        .route("/system/requests/{request_id}", get(show))
        .route("/system/requests/{request_id}/file", get(file))
        .route("/system/requests/{request_id}/certificate", get(certificate))
        .route("/system/requests/{request_id}/{verb}", post(act))
}

/// One request as it is shown.
struct Line {
    row: Row,
    kind: &'static str,
    state: (&'static str, &'static str),
    period: String,
    asked_at: String,
    decided_at: Option<String>,
    done_at: Option<String>,
}

#[derive(Template)]
#[template(path = "request/list.html")]
struct ListPage {
    frame: Frame,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "request/new.html")]
struct NewPage {
    frame: Frame,
    company: contract::list::Row,
    may_erase: bool,
    month_after: Option<String>,
    filled: Filled,
    mistakes: Mistakes,
}

#[derive(Template)]
#[template(path = "request/show.html")]
struct ShowPage {
    frame: Frame,
    line: Line,
    is_own: bool,
    may_decide: bool,
    may_fetch: bool,
    certificate: Option<(Certificate, String)>,
    reason: String,
    mistakes: Mistakes,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Filled {
    kind: String,
    company: String,
    user: String,
    from: String,
    to: String,
    early: String,
    reason: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mistakes {
    user: Option<&'static str>,
    from: Option<&'static str>,
    reason: Option<&'static str>,
    /// What is wrong with no field.
    all: Option<&'static str>,
}

#[derive(Deserialize)]
struct About {
    #[serde(default)]
    company: String,
}

#[derive(Deserialize)]
struct Why {
    #[serde(default)]
    reason: String,
}

async fn show_list(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::DataView)?;
    let mut tx = app.db.read().await?;
    let rows = store::latest(&mut tx).await?;
    drop(tx);
    let frame = frame(&app, &login, &headers, Here::Requests);
    let zone = login.zone();
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, &zone)).collect();
    Ok(Html(ListPage { frame, lines }.render()?).into_response())
}

async fn show_new(
    State(app): State<App>,
    login: AdminLogin,
    Query(about): Query<About>,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::DataHandle)?;
    let company = contract::page::find(&app, &login, &about.company).await?;
    let filled = Filled { company: about.company, ..Filled::default() };
    new_page(&app, &login, &headers, company, (filled, Mistakes::default()))
}

fn new_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    company: contract::list::Row,
    (filled, mistakes): (Filled, Mistakes),
) -> PageResult {
    let after = company.ended_at_ms.map(decide::month_after);
    let page = NewPage {
        frame: frame(app, login, headers, Here::Requests),
        may_erase: company.state() == ContractState::Ended,
        month_after: after.filter(|after| app.now_ms() < *after).map(|after| time::seconds(after, &login.zone())),
        company,
        filled,
        mistakes,
    };
    Ok((status(mistakes), Html(page.render()?)).into_response())
}

async fn ask(State(app): State<App>, login: AdminLogin, headers: HeaderMap, Form(filled): Form<Filled>) -> PageResult {
    login.need(AdminPermission::DataHandle)?;
    let words = Words::of(login.lang);
    let company = contract::page::find(&app, &login, &filled.company).await?;
    if company.state() == ContractState::Erased {
        return Err(Problem::NotFound);
    }
    let kind = RequestKind::parse(&filled.kind).ok_or(Problem::BadForm)?;
    let mut mistakes = Mistakes::default();
    let mut tx = app.db.begin().await?;
    let period = match kind {
        RequestKind::Erase => Some((0, 0)),
        RequestKind::Disclose => {
            let user = filled.user.trim();
            if !user.is_empty() && disclosure::operator_of(&mut tx, &company.company_id, user).await?.is_none() {
                mistakes.user = Some(words.requests.user_wrong);
            }
            read_period(&filled, &login.zone())
        }
    };
    if period.is_none() {
        mistakes.from = Some(words.requests.period_wrong);
    }
    let reason: Option<Reason> = filled.reason.parse().ok();
    mistakes.reason = reason.is_none().then_some(words.system.reason_wrong);
    let (Some(period), Some(reason), true) = (period, reason, mistakes == Mistakes::default()) else {
        drop(tx);
        return new_page(&app, &login, &headers, company, (filled, mistakes));
    };
    let asked = Asked { kind, at_own_request: filled.early == "yes", user_id: filled.user.trim().to_owned(), period };
    match decide::ask(&mut tx, &login, &company, &asked, &reason, app.now_ms()).await {
        Ok(request_id) => {
            tx.commit().await?;
            Ok(Flash::Saved.then(&format!("/system/requests/{request_id}")))
        }
        Err(error) => {
            drop(tx);
            mistakes.all = Some(sentence(error, words, "/system/requests")?);
            new_page(&app, &login, &headers, company, (filled, mistakes))
        }
    }
}

async fn show(
    State(app): State<App>,
    login: AdminLogin,
    InPath(request_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::DataView)?;
    let row = find(&app, &request_id).await?;
    show_page(&app, &login, &headers, row, (String::new(), Mistakes::default()))
}

fn show_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    row: Row,
    (reason, mistakes): (String, Mistakes),
) -> PageResult {
    let frame = frame(app, login, headers, Here::Requests);
    let certificate = Certificate::stored(&row.certificate).map(|stored| (stored, Certificate::hash(&row.certificate)));
    let page = ShowPage {
        is_own: row.asked_by == login.operator_id.to_string(),
        may_decide: login.may(AdminPermission::DataHandle) && row.state() == RequestState::Asked,
        may_fetch: login.may(AdminPermission::DataHandle) && may_fetch(&row, app.now_ms()),
        line: Line::new(row, frame.words, &login.zone()),
        frame,
        certificate,
        reason,
        mistakes,
    };
    Ok((status(mistakes), Html(page.render()?)).into_response())
}

/// Agrees, refuses, or takes back.
async fn act(
    State(app): State<App>,
    login: AdminLogin,
    InPath((request_id, verb)): InPath<(String, String)>,
    headers: HeaderMap,
    Form(why): Form<Why>,
) -> PageResult {
    login.need(AdminPermission::DataHandle)?;
    let words = Words::of(login.lang);
    let next = match verb.as_str() {
        "agree" => RequestState::Agreed,
        "refuse" => RequestState::Refused,
        "withdraw" => RequestState::Withdrawn,
        _ => return Err(Problem::NotFound),
    };
    let row = find(&app, &request_id).await?;
    let address = format!("/system/requests/{request_id}");
    let Ok(reason) = why.reason.parse::<Reason>() else {
        let mistakes = Mistakes { reason: Some(words.system.reason_wrong), ..Mistakes::default() };
        return show_page(&app, &login, &headers, row, (why.reason, mistakes));
    };
    let mut tx = app.db.begin().await?;
    match decide::decide(&mut tx, &login, &row, next, &reason, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Flash::Saved.then(&address))
        }
        Err(error) => {
            drop(tx);
            let mistakes = Mistakes { all: Some(sentence(error, words, &address)?), ..Mistakes::default() };
            show_page(&app, &login, &headers, row, (why.reason, mistakes))
        }
    }
}

/// The file of a disclosure; each fetch is in the chain.
async fn file(
    State(app): State<App>,
    login: AdminLogin,
    InPath(request_id): InPath<String>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
) -> PageResult {
    login.need(AdminPermission::DataHandle)?;
    let row = find(&app, &request_id).await?;
    if !may_fetch(&row, app.now_ms()) {
        return Err(Problem::NotFound);
    }
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let zone = login.zone();
    let mut tx = app.db.begin().await?;
    let disclosure = Disclosure::of(&mut tx, &row).await?;
    let detail = json!({ "subject": decide::subject(&request_id), "company": row.company_code, "user": row.user_id });
    audit::append(&mut tx, login.event("data.disclosed", detail, app.now_ms())).await?;
    tx.commit().await?;
    let asked = list::Asked { from: From::Start, ..list::Asked::read::<Disclosure>(&Params::default()) };
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &disclosure::Row, cell: &mut dyn FnMut(Cow<'_, str>)| disclosure::cells(row, &zone, cell);
    Ok(csv::export(&app, disclosure, asked, ("disclosure", encoding), &HEADS, cells))
}

/// The certificate as it is hashed.
async fn certificate(State(app): State<App>, login: AdminLogin, InPath(request_id): InPath<String>) -> PageResult {
    login.need(AdminPermission::DataView)?;
    let row = find(&app, &request_id).await?;
    if row.certificate.is_empty() {
        return Err(Problem::NotFound);
    }
    let name = download::attachment(&format!("certificate-{request_id}.json"));
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], row.certificate).into_response())
}

/// Whether the file of a disclosure can be fetched.
fn may_fetch(row: &Row, now: i64) -> bool {
    let agreed = row.kind() == RequestKind::Disclose && row.state() == RequestState::Agreed;
    agreed && row.decided_at_ms.is_some_and(|at| now < at.saturating_add(FETCH_DAYS.saturating_mul(DAY_MS)))
}

async fn find(app: &App, request_id: &str) -> Result<Row, Problem> {
    let mut tx = app.db.read().await?;
    store::find(&mut tx, request_id).await?.ok_or(Problem::NotFound)
}

/// The period of a disclosure: two days, the second not before the first.
fn read_period(filled: &Filled, zone: &TimeZone) -> Option<(i64, i64)> {
    let query = format!("from={}&to={}", list::params::encode(&filled.from), list::params::encode(&filled.to));
    let params = Params::parse(&query);
    let (since, until) = (params.day("from", zone)?, params.day_end("to", zone)?);
    (since < until).then_some((since, until))
}

fn sentence(error: RequestError, words: &'static Words, back: &str) -> Result<&'static str, Problem> {
    let w = &words.requests;
    Ok(match error {
        RequestError::NotEnded => w.not_ended,
        RequestError::TooEarly => w.too_early,
        RequestError::Waiting => w.waiting,
        RequestError::Own => w.own,
        RequestError::TooFresh => w.too_fresh,
        RequestError::Changed => return Err(Problem::Changed { back: back.to_owned() }),
        RequestError::Db(error) => return Err(error.into()),
    })
}

fn status(mistakes: Mistakes) -> StatusCode {
    if mistakes == Mistakes::default() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}

impl Line {
    fn new(row: Row, words: &'static Words, zone: &TimeZone) -> Self {
        let w = &words.requests;
        let at = |at: Option<i64>| at.map(|at| time::seconds(at, zone));
        let kind = match row.kind() {
            RequestKind::Erase => w.kind_erase,
            RequestKind::Disclose => w.kind_disclose,
        };
        let state = match (row.state(), row.kind()) {
            (RequestState::Asked, _) => (w.state_asked, "warning"),
            (RequestState::Agreed, RequestKind::Erase) => (w.state_erasing, "warning"),
            (RequestState::Agreed, RequestKind::Disclose) => (w.state_agreed, "good"),
            (RequestState::Done, _) => (w.state_done, "good"),
            (RequestState::Refused, _) => (w.state_refused, "bad"),
            (RequestState::Withdrawn, _) => (w.state_withdrawn, "off"),
        };
        let period = match row.kind() {
            RequestKind::Erase => String::new(),
            RequestKind::Disclose => {
                let until = row.until_ms.saturating_sub(1);
                format!("{}〜{}", time::day(row.since_ms, zone), time::day(until, zone))
            }
        };
        Self {
            kind,
            state,
            period,
            asked_at: time::seconds(row.asked_at_ms, zone),
            decided_at: at(row.decided_at_ms),
            done_at: at(row.done_at_ms),
            row,
        }
    }
}
