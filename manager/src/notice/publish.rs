//! The pages of notices for system administrators and partners: the list, writing, one notice, and changing one's own.

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;

use super::{
    Class, Piece, form,
    page::{Filled, Mistakes, class_name, period},
    pieces,
    published::{self, Addressee, ONLY_MAX, Published, Row},
    store::Writer,
};
use crate::{
    admin::{
        AdminLogin, AdminPermission,
        frame::{Here, frame},
    },
    app::App,
    company::CompanyCode,
    db::Tx,
    extract::InPath,
    list::{Asked, Page, Params},
    site::{Form, Frame, PageResult, Problem, Words, form::Pressed, frame::Flash, time},
};

/// Where the list is.
const PAGE: &str = "/system/notices";

/// The pages of this slice.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/system/notices", get(show_list).post(create))
        .route("/system/notices/{notice_id}", get(show).post(update))
        .route("/system/notices/{notice_id}/end", post(end))
}

/// One line of the list.
struct Line {
    kind: &'static str,
    writer: String,
    period: String,
    written: String,
    running: bool,
    row: Row,
}

#[derive(Template)]
#[template(path = "notice/system.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    filled: Filled,
    mistakes: Mistakes,
    may_write: bool,
    /// Whether a partner looks at its own.
    of_partner: bool,
}

#[derive(Template)]
#[template(path = "notice/published.html")]
struct ShowPage {
    frame: Frame,
    line: Line,
    pieces: Vec<Piece>,
    codes: Vec<String>,
    filled: Filled,
    mistakes: Mistakes,
    /// Whether this login may change it now.
    may_change: bool,
    /// Whether this login may end it now.
    may_end: bool,
}

/// As whom a login writes.
fn writer(login: &AdminLogin) -> Result<Writer<'_>, Problem> {
    if login.may(AdminPermission::NoticeEdit) {
        return Ok(Writer::Service);
    }
    login.need(AdminPermission::PartnerNoticeEdit)?;
    // An account that nobody has bound to a partner has nobody to tell something to.
    login.partner_id.as_deref().map(Writer::Partner).ok_or(Problem::Forbidden)
}

const fn status(mistakes: &Mistakes) -> StatusCode {
    if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}

async fn show_list(
    State(app): State<App>,
    login: AdminLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::NoticeView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let filled = Filled::fresh(app.now_ms(), &login.zone());
    list_page(&app, &login, &headers, params, filled, Mistakes::default()).await
}

async fn list_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    params: Params,
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let (now, zone) = (app.now_ms(), login.zone());
    let asked = Asked::read::<Published>(&params);
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Published::read(&params, login, now), &asked).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Notices);
    let (rows, page) = page.split();
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, now, &zone)).collect();
    let (may_write, of_partner) = (writer(login).is_ok(), login.partner_only().is_some());
    let status = status(&mistakes);
    let page = ListPage { frame, params, asked, page, lines, filled, mistakes, may_write, of_partner };
    Ok((status, Html(page.render()?)).into_response())
}

/// The companies that were chosen, none for all; or what is wrong with them.
async fn addressees(
    tx: &mut Tx,
    writer: Writer<'_>,
    filled: &Filled,
    words: &'static Words,
) -> Result<Result<Vec<Addressee>, String>, Problem> {
    let w = &words.notices;
    let codes = form::codes(&filled.companies);
    let to_all = match writer {
        Writer::Partner(_) => filled.audience == "all",
        Writer::Service | Writer::Company(_) => codes.is_empty(),
    };
    match (to_all, codes.len()) {
        (true, 0) => return Ok(Ok(Vec::new())),
        (true, _) => return Ok(Err(w.companies_or_all.to_owned())),
        (false, 0) => return Ok(Err(w.companies_none.to_owned())),
        (false, 1..=ONLY_MAX) => {}
        (false, _) => return Ok(Err(w.companies_many(ONLY_MAX))),
    }
    let mut found = Vec::new();
    for code in codes {
        let company = match CompanyCode::fold(code).parse::<CompanyCode>() {
            Ok(code) => published::addressee(tx, writer, &code).await?,
            Err(_not_a_code) => None,
        };
        match company {
            Some(company) => found.push(company),
            None => return Ok(Err(w.company_wrong(code.chars().take(64).collect::<String>()))),
        }
    }
    Ok(Ok(found))
}

async fn create(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    let writer = writer(&login)?;
    let (now, words) = (app.now_ms(), Words::of(login.lang));
    let written = match filled.read(words, now, &login.zone()) {
        Ok(written) => written,
        Err(mistakes) => return list_page(&app, &login, &headers, Params::default(), filled, mistakes).await,
    };
    let mut tx = app.db.begin().await?;
    let only = match addressees(&mut tx, writer, &filled, words).await? {
        Ok(only) => only,
        Err(mistake) => {
            drop(tx);
            let mistakes = Mistakes { companies: Some(mistake), ..Mistakes::default() };
            return list_page(&app, &login, &headers, Params::default(), filled, mistakes).await;
        }
    };
    published::create(&mut tx, &login, writer, &written, &only, now).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then(PAGE))
}

async fn show(
    State(app): State<App>,
    login: AdminLogin,
    InPath(notice_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::NoticeView)?;
    let mut tx = app.db.read().await?;
    let row = published::find(&mut tx, &login, &notice_id, app.now_ms()).await?.ok_or(Problem::NotFound)?;
    let codes = published::codes(&mut tx, &row).await?;
    drop(tx);
    let filled = Filled::of(&row, &codes, &login.zone());
    show_page(&app, &login, &headers, (row, codes), filled, Mistakes::default())
}

fn show_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    (row, codes): (Row, Vec<String>),
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let (now, zone) = (app.now_ms(), login.zone());
    let frame = frame(app, login, headers, Here::Notices);
    let is_open = now < row.ends_at_ms;
    let page = ShowPage {
        may_change: is_open && may_change(login, &row),
        may_end: is_open && writer(login).is_ok(),
        pieces: pieces(&row.body),
        line: Line::new(row, frame.words, now, &zone),
        frame,
        codes,
        filled,
        mistakes,
    };
    Ok((status(&page.mistakes), Html(page.render()?)).into_response())
}

/// A partner changes its own; what the service announced stays as it was announced.
fn may_change(login: &AdminLogin, row: &Row) -> bool {
    login.may(AdminPermission::PartnerNoticeEdit) && row.partner_id.is_some() && row.partner_id == login.partner_id
}

async fn update(
    State(app): State<App>,
    login: AdminLogin,
    InPath(notice_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::PartnerNoticeEdit)?;
    let writer = writer(&login)?;
    let (now, words) = (app.now_ms(), Words::of(login.lang));
    let here = format!("{PAGE}/{notice_id}");
    let mut tx = app.db.begin().await?;
    let row = published::find(&mut tx, &login, &notice_id, now).await?.ok_or(Problem::NotFound)?;
    if row.version != filled.version || row.ends_at_ms <= now {
        return Err(Problem::Changed { back: here });
    }
    let codes = published::codes(&mut tx, &row).await?;
    let read = match filled.read(words, now, &login.zone()) {
        Ok(written) => match addressees(&mut tx, writer, &filled, words).await? {
            Ok(only) => Ok((written, only)),
            Err(mistake) => Err(Mistakes { companies: Some(mistake), ..Mistakes::default() }),
        },
        Err(mistakes) => Err(mistakes),
    };
    let (written, only) = match read {
        Ok(read) => read,
        Err(mistakes) => {
            drop(tx);
            return show_page(&app, &login, &headers, (row, codes), filled, mistakes);
        }
    };
    let fields = published::differences(&row, &codes, &written, &only);
    if fields.is_empty() {
        return Ok(Flash::Unchanged.then(&here));
    }
    if !published::update(&mut tx, &login, &row, (&written, &only), fields, now).await? {
        return Err(Problem::Changed { back: here });
    }
    tx.commit().await?;
    Ok(Flash::Saved.then(&here))
}

async fn end(
    State(app): State<App>,
    login: AdminLogin,
    InPath(notice_id): InPath<String>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    let writer = writer(&login)?;
    let mut tx = app.db.begin().await?;
    if !published::end(&mut tx, &login, writer, &notice_id, app.now_ms()).await? {
        return Err(Problem::NotFound);
    }
    tx.commit().await?;
    Ok(Flash::Saved.then(PAGE))
}

impl Filled {
    /// The form of a notice that there is.
    fn of(row: &Row, codes: &[String], zone: &TimeZone) -> Self {
        Self {
            kind: row.kind.clone(),
            important: if row.important { "yes" } else { "no" }.to_owned(),
            title: row.title.clone(),
            body: row.body.clone(),
            begins: form::shown(row.begins_at_ms, zone),
            ends: form::shown(row.ends_at_ms, zone),
            audience: if row.to_all { "all" } else { "some" }.to_owned(),
            companies: codes.join(" "),
            version: row.version,
        }
    }
}

impl Line {
    fn new(row: Row, words: &'static Words, now: i64, zone: &TimeZone) -> Self {
        let w = &words.notices;
        Self {
            kind: class_name(&row.kind, words),
            writer: row.partner.as_ref().map_or_else(|| w.by_service.to_owned(), |partner| w.by_partner(partner)),
            period: period(row.begins_at_ms, row.ends_at_ms, zone),
            written: time::seconds(row.created_at_ms, zone),
            running: row.begins_at_ms <= now && now < row.ends_at_ms,
            row,
        }
    }
}
