//! The pages of contracts: the list, one company, and what can be done to it.

use std::borrow::Cow;

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use proto::id::CompanyId;
use serde::Deserialize;
use serde_json::json;

use super::{
    State as ContractState,
    edit::{self, EditError, NewAdmin},
    fields::{Filled, Mistakes},
    list::{self, Companies, HEADS, Row},
    partner::{self, Partner},
};
use crate::{
    admin::{
        AdminLogin, AdminPermission,
        frame::{Here, frame},
        history::{ShownChange, history},
    },
    app::{self, App},
    audit,
    company::Policy,
    extract::InPath,
    fetch_all, fetch_one,
    list::{Asked, From, Page, Params, csv},
    login::password::{NewPassword, PasswordHash},
    relays::region::Region,
    site::{Form, Frame, PageResult, Problem, Words, frame::Flash, time},
};

/// The pages of this slice.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/system/companies", get(show_list))
        .route("/system/companies/file", get(file))
        .route("/system/companies/new", get(show_new).post(create))
        .route("/system/companies/{company_id}", get(show).post(update))
        .route("/system/companies/{company_id}/state", post(set_state))
        .route("/system/companies/{company_id}/administrator", post(add_admin))
}

/// One line of the list.
struct Line {
    row: Row,
    state: ContractState,
    period: String,
    is_ending: bool,
    region: &'static str,
}

#[derive(Template)]
#[template(path = "contract/list.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    partners: Vec<Partner>,
    may_edit: bool,
}

#[derive(Template)]
#[template(path = "contract/new.html")]
struct NewPage {
    frame: Frame,
    filled: Filled,
    mistakes: Mistakes,
    partners: Vec<Partner>,
}

#[derive(Template)]
#[template(path = "contract/password.html")]
struct PasswordPage {
    frame: Frame,
    heading: &'static str,
    company_id: String,
    company_code: String,
    user_id: String,
    password: String,
}

#[derive(Template)]
#[template(path = "contract/show.html")]
struct ShowPage {
    frame: Frame,
    line: Line,
    filled: Filled,
    mistakes: Mistakes,
    partners: Vec<Partner>,
    may_edit: bool,
    may_ask: bool,
    created: String,
    ended: Option<String>,
    running: i64,
    admins: Vec<Admin>,
    changes: Vec<ShownChange>,
    /// Whether the history is shown.
    inside: bool,
}

/// An administrator of a company, as operations sees it.
#[derive(sqlx::FromRow)]
struct Admin {
    user_id: String,
    name: String,
    stopped: bool,
    last_login_at_ms: Option<i64>,
    #[sqlx(skip)]
    last_login: String,
}

#[derive(Deserialize)]
struct Asking {
    #[serde(default)]
    to: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    version: i64,
}

async fn show_list(
    State(app): State<App>,
    login: AdminLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::CompanyView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let (now, zone) = (app.now_ms(), login.zone());
    let asked = Asked::read::<Companies>(&params);
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Companies::read(&params, &login, now), &asked).await?;
    let partners = if login.partner_only().is_some() { Vec::new() } else { partner::all(&mut tx).await? };
    drop(tx);
    let frame = frame(&app, &login, &headers, Here::Companies);
    let (rows, page) = page.split();
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, now, &zone)).collect();
    let may_edit = login.may(AdminPermission::CompanyEdit);
    Ok(Html(ListPage { frame, params, asked, page, lines, partners, may_edit }.render()?).into_response())
}

async fn file(State(app): State<App>, login: AdminLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(AdminPermission::CompanyView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "companies", "filter": params.filter() });
    audit::append(&mut tx, login.event("list.exported", detail, now)).await?;
    tx.commit().await?;
    let asked = Asked { from: From::Start, ..Asked::read::<Companies>(&params) };
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &Row, cell: &mut dyn FnMut(Cow<'_, str>)| list::cells(row, &zone, cell);
    let companies = Companies::read(&params, &login, now);
    Ok(csv::export(&app, companies, asked, ("companies", encoding), &HEADS, cells))
}

async fn show_new(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    new_page(&app, &login, &headers, Filled::default(), Mistakes::default()).await
}

async fn new_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let partners = partner::all(&mut tx).await?;
    drop(tx);
    let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = NewPage { frame: frame(app, login, headers, Here::Companies), filled, mistakes, partners };
    Ok((status, Html(page.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    let words = Words::of(login.lang);
    let (password, hash) = draw_password(&app).await?;
    let now = app.now_ms();
    let mut mistakes = Mistakes::default();
    let mut tx = app.db.begin().await?;
    let values = filled.values(&mut tx, words, &mut mistakes).await?;
    let code = filled.code(words, &mut mistakes);
    let admin = filled.admin(words, &mut mistakes);
    let reason = filled.reason(words, &mut mistakes);
    let (Some(values), Some(code), Some((user, name)), Some(reason), true) =
        (values, code, admin, reason, mistakes.is_empty())
    else {
        drop(tx);
        return new_page(&app, &login, &headers, filled, mistakes).await;
    };
    let company_id = match edit::create(&mut tx, &login, &code, &values, &reason, now).await {
        Ok(company_id) => company_id,
        Err(error) => {
            drop(tx);
            place(error, &mut mistakes, words)?;
            return new_page(&app, &login, &headers, filled, mistakes).await;
        }
    };
    let new = NewAdmin { user_id: &user, name: &name, hash: &hash };
    if let Err(error) = edit::add_admin(&mut tx, &login, company_id, &new, &reason, now).await {
        place(error, &mut mistakes, words)?;
        drop(tx);
        return new_page(&app, &login, &headers, filled, mistakes).await;
    }
    tx.commit().await?;
    let heading = words.companies.created;
    let shown = Shown { heading, company_id, code: code.as_str(), user: user.as_str(), password: &password };
    shown_once(&app, &login, &headers, &shown)
}

async fn show(
    State(app): State<App>,
    login: AdminLogin,
    InPath(company_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::CompanyView)?;
    let row = find(&app, &login, &company_id).await?;
    let filled = Filled::of(&row);
    show_page(&app, &login, &headers, row, filled, Mistakes::default()).await
}

async fn show_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    mut row: Row,
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let partners = if login.partner_only().is_some() { Vec::new() } else { partner::all(&mut tx).await? };
    let (running,) = fetch_one!(
        &mut tx,
        (i64,),
        "SELECT COUNT(*)
        FROM sessions
        WHERE company_id = $1
        AND ended_at_ms IS NULL",
        &row.company_id
    )?;
    let mut admins = fetch_all!(
        &mut tx,
        Admin,
        "SELECT user_id, name, stopped, last_login_at_ms
        FROM operators
        WHERE company_id = $1
        AND role = 'company_admin'
        AND role_id IS NULL
        AND deleted_at_ms IS NULL
        ORDER BY user_id
        LIMIT 100",
        &row.company_id
    )?;
    // What the service noted and why it acted is not for the partner.
    let inside = login.partner_only().is_none();
    let changes = if inside {
        history(&mut tx, &row.company_id, &format!("company:{}", row.company_id), login).await?
    } else {
        row.note.clear();
        Vec::new()
    };
    drop(tx);
    let frame = frame(app, login, headers, Here::Companies);
    for admin in &mut admins {
        admin.last_login =
            admin.last_login_at_ms.map_or_else(|| frame.words.shared.never.to_owned(), |at| time::seconds(at, &zone));
    }
    let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = ShowPage {
        created: time::seconds(row.created_at_ms, &zone),
        ended: row.ended_at_ms.map(|at| time::seconds(at, &zone)),
        may_edit: login.may(AdminPermission::CompanyEdit) && row.state() != ContractState::Erased,
        may_ask: login.may(AdminPermission::DataHandle) && row.state() != ContractState::Erased,
        line: Line::new(row, frame.words, app.now_ms(), &zone),
        frame,
        filled,
        mistakes,
        partners,
        running,
        admins,
        changes,
        inside,
    };
    Ok((status, Html(page.render()?)).into_response())
}

async fn update(
    State(app): State<App>,
    login: AdminLogin,
    InPath(company_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    let words = Words::of(login.lang);
    let row = find(&app, &login, &company_id).await?;
    let mut mistakes = Mistakes::default();
    let mut tx = app.db.begin().await?;
    let values = filled.values(&mut tx, words, &mut mistakes).await?;
    let reason = filled.reason(words, &mut mistakes);
    let (Some(values), Some(reason), true) = (values, reason, mistakes.is_empty()) else {
        drop(tx);
        return show_page(&app, &login, &headers, row, filled, mistakes).await;
    };
    match edit::update(&mut tx, &login, (&row, filled.version), &values, &reason, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Flash::Saved.then(&address(&row)))
        }
        Err(error) => {
            drop(tx);
            refused(&app, &login, &headers, row, (filled, mistakes), error).await
        }
    }
}

/// The page of a contract with what stood against a change.
async fn refused(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    row: Row,
    (filled, mut mistakes): (Filled, Mistakes),
    error: EditError,
) -> PageResult {
    if matches!(error, EditError::Changed) {
        return Err(Problem::Changed { back: address(&row) });
    }
    place(error, &mut mistakes, Words::of(login.lang))?;
    show_page(app, login, headers, row, filled, mistakes).await
}

/// Suspends, resumes or ends.
async fn set_state(
    State(app): State<App>,
    login: AdminLogin,
    InPath(company_id): InPath<String>,
    headers: HeaderMap,
    Form(asking): Form<Asking>,
) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    let row = find(&app, &login, &company_id).await?;
    let Some(next) = ContractState::ALL.into_iter().find(|state| state.as_str() == asking.to) else {
        return Err(Problem::BadForm);
    };
    let filled = Filled { reason: asking.reason, ..Filled::of(&row) };
    let mut mistakes = Mistakes::default();
    let Some(reason) = filled.reason(Words::of(login.lang), &mut mistakes) else {
        return show_page(&app, &login, &headers, row, filled, mistakes).await;
    };
    let mut tx = app.db.begin().await?;
    match edit::set_state(&mut tx, &login, (&row, asking.version), next, &reason, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            app.events.wake_all();
            Ok(Flash::Saved.then(&address(&row)))
        }
        Err(error) => {
            drop(tx);
            refused(&app, &login, &headers, row, (filled, mistakes), error).await
        }
    }
}

/// One more administrator of the company, with a password that is shown once.
async fn add_admin(
    State(app): State<App>,
    login: AdminLogin,
    InPath(company_id): InPath<String>,
    headers: HeaderMap,
    Form(typed): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    let words = Words::of(login.lang);
    let row = find(&app, &login, &company_id).await?;
    if row.state() == ContractState::Erased {
        return Err(Problem::NotFound);
    }
    let filled = Filled { user: typed.user, admin_name: typed.admin_name, reason: typed.reason, ..Filled::of(&row) };
    let mut mistakes = Mistakes::default();
    let admin = filled.admin(words, &mut mistakes);
    let reason = filled.reason(words, &mut mistakes);
    let (Some((user, name)), Some(reason)) = (admin, reason) else {
        return show_page(&app, &login, &headers, row, filled, mistakes).await;
    };
    let (password, hash) = draw_password(&app).await?;
    let new = NewAdmin { user_id: &user, name: &name, hash: &hash };
    let mut tx = app.db.begin().await?;
    let company_id = edit::id_of(&row).map_err(|_not_an_id| Problem::Internal)?;
    match edit::add_admin(&mut tx, &login, company_id, &new, &reason, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            let heading = words.companies.admin_added;
            let shown = Shown { heading, company_id, code: &row.code, user: user.as_str(), password: &password };
            shown_once(&app, &login, &headers, &shown)
        }
        Err(error) => {
            drop(tx);
            refused(&app, &login, &headers, row, (filled, mistakes), error).await
        }
    }
}

/// What the page of a password shows.
struct Shown<'a> {
    heading: &'static str,
    company_id: CompanyId,
    code: &'a str,
    user: &'a str,
    password: &'a NewPassword,
}

/// The page that shows a password, once; nobody keeps it.
fn shown_once(app: &App, login: &AdminLogin, headers: &HeaderMap, shown: &Shown<'_>) -> PageResult {
    let page = PasswordPage {
        frame: frame(app, login, headers, Here::Companies),
        heading: shown.heading,
        company_id: shown.company_id.to_string(),
        company_code: shown.code.to_owned(),
        user_id: shown.user.to_owned(),
        password: shown.password.reveal().to_owned(),
    };
    Ok(Html(page.render()?).into_response())
}

async fn draw_password(app: &App) -> Result<(NewPassword, PasswordHash), Problem> {
    let password = NewPassword::draw(&Policy::default().password, &mut app::os_rng());
    let place = app.hash_gate.enter().await.map_err(|_busy| Problem::Busy)?;
    let hash = app.hash_gate.hash(place, password.same()).await.ok_or(Problem::Internal)?;
    Ok((password, hash))
}

/// One company that the login sees; another one is as good as none.
pub(crate) async fn find(app: &App, login: &AdminLogin, company_id: &str) -> Result<Row, Problem> {
    let listing = Companies::one(company_id, login, app.now_ms());
    let mut tx = app.db.read().await?;
    let (rows, _) = crate::list::stretch(&mut tx, &listing, &Asked::read::<Companies>(&Params::default()), 1).await?;
    rows.into_iter().next().ok_or(Problem::NotFound)
}

/// The page of a company.
fn address(row: &Row) -> String {
    format!("/system/companies/{}", row.company_id)
}

/// Puts what stood against a change beside the field that it is about.
fn place(error: EditError, mistakes: &mut Mistakes, words: &'static Words) -> Result<(), Problem> {
    let w = &words.companies;
    match error {
        EditError::Taken if mistakes.code.is_none() => mistakes.all = Some(w.taken),
        EditError::Taken => {}
        EditError::SeatsUsed => mistakes.seats = Some(w.seats_used),
        EditError::NoSeat => mistakes.all = Some(w.no_seat),
        EditError::Changed => return Err(Problem::Changed { back: "/system/companies".to_owned() }),
        EditError::Db(error) => return Err(error.into()),
    }
    Ok(())
}

impl Line {
    fn new(row: Row, words: &'static Words, now: i64, zone: &TimeZone) -> Self {
        let day = |at: Option<i64>| at.map(|at| time::day(at, zone)).unwrap_or_default();
        let period = match (row.contract_begins_at_ms, row.contract_ends_at_ms) {
            (None, None) => words.shared.never.to_owned(),
            (begins, ends) => format!("{}〜{}", day(begins), day(ends.map(|ends| ends.saturating_sub(1)))),
        };
        Self { state: row.state(), period, is_ending: row.is_ending(now), region: region_name(&row.region, words), row }
    }
}

/// What a region is called.
pub(crate) fn region_name(region: &str, words: &'static Words) -> &'static str {
    let w = &words.companies;
    match region.parse() {
        Ok(Region::Japan) => w.region_jp,
        Ok(Region::Europe) => w.region_eu,
        Ok(Region::NorthAmerica) => w.region_us,
        Err(_) => w.region_any,
    }
}

impl ContractState {
    /// Its name on the page.
    fn name(self, words: &'static Words) -> &'static str {
        let w = &words.companies;
        match self {
            Self::Active => w.state_active,
            Self::Suspended => w.state_suspended,
            Self::Ended => w.state_ended,
            Self::Erased => w.state_erased,
        }
    }

    /// The class of its mark.
    const fn class(self) -> &'static str {
        match self {
            Self::Active => "good",
            Self::Suspended => "warning",
            Self::Ended => "bad",
            Self::Erased => "off",
        }
    }
}
