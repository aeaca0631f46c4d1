//! The pages of notices for accounts of companies: the list, one notice, and writing to one's own company.

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{
    Class, Piece,
    edit::{self, Written},
    form,
    list::{Notices, Row},
    pieces,
    store::{self, Notice},
};
use crate::{
    app::App,
    extract::InPath,
    list::{
        Asked, Page, Params,
        saved::{self, Saved},
    },
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, form::Pressed, frame::Flash, time},
};

/// How long a notice is in force unless it was typed otherwise.
const PERIOD_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/notices", get(show_list))
        .route("/notices/new", get(show_new).post(create))
        .route("/notices/{notice_id}", get(show))
        .route("/notices/{notice_id}/end", post(end))
}

/// One line of the list.
struct Line {
    kind: &'static str,
    period: String,
    over: bool,
    row: Row,
}

#[derive(Template)]
#[template(path = "notice/list.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    may_write: bool,
    saved: Vec<Saved>,
}

#[derive(Template)]
#[template(path = "notice/show.html")]
struct ShowPage {
    frame: Frame,
    notice: Notice,
    kind: &'static str,
    period: String,
    written: String,
    pieces: Vec<Piece>,
    /// Whether this account may end it now.
    may_end: bool,
}

#[derive(Template)]
#[template(path = "notice/new.html")]
struct NewPage {
    frame: Frame,
    filled: Filled,
    mistakes: Mistakes,
}

/// What was typed into the form of a notice.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    pub(super) kind: String,
    pub(super) important: String,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) begins: String,
    pub(super) ends: String,
    /// Of a partner: `all` of its companies, or `some`.
    pub(super) audience: String,
    pub(super) companies: String,
    /// The version of the notice that is changed.
    pub(super) version: i64,
}

/// What is wrong with it, by field.
#[derive(Debug, Clone, Default)]
pub(super) struct Mistakes {
    pub(super) title: Option<&'static str>,
    pub(super) body: Option<&'static str>,
    pub(super) period: Option<&'static str>,
    pub(super) companies: Option<String>,
}

impl Mistakes {
    pub(super) const fn is_empty(&self) -> bool {
        self.title.is_none() && self.body.is_none() && self.period.is_none() && self.companies.is_none()
    }
}

impl Filled {
    /// A form for a notice from now on.
    pub(super) fn fresh(now: i64, zone: &TimeZone) -> Self {
        Self {
            kind: Class::Other.as_str().to_owned(),
            begins: form::shown(now, zone),
            ends: form::shown(now.saturating_add(PERIOD_MS), zone),
            audience: "all".to_owned(),
            ..Self::default()
        }
    }

    /// The values, or what is wrong.
    pub(super) fn read(&self, words: &'static Words, now: i64, zone: &TimeZone) -> Result<Written, Mistakes> {
        let w = &words.notices;
        let class = Class::parse(&self.kind).unwrap_or(Class::Other);
        let period = form::moment(&self.begins, zone).zip(form::moment(&self.ends, zone));
        Written::read((class, self.important == "yes"), (&self.title, &self.body), period, now).map_err(|wrong| {
            Mistakes {
                title: wrong.title.then_some(w.title_wrong),
                body: wrong.body.then_some(w.body_wrong),
                period: wrong.period.then_some(w.period_wrong),
                companies: None,
            }
        })
    }
}

/// The name of a class.
pub(super) fn class_name(kind: &str, words: &'static Words) -> &'static str {
    words.notices.get(&format!("kind_{kind}")).unwrap_or(words.notices.kind_other)
}

/// `from – until`.
pub(super) fn period(begins_at_ms: i64, ends_at_ms: i64, zone: &TimeZone) -> String {
    format!("{} – {}", time::to_the_minute(begins_at_ms, zone), time::to_the_minute(ends_at_ms, zone))
}

async fn show_list(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let asked = Asked::read::<Notices>(&params);
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Notices::read(&params, &login, now), &asked).await?;
    let saved = saved::of(&mut tx, &login, "/notices").await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::Notices);
    let (rows, page) = page.split();
    let line = |row: Row| Line {
        kind: class_name(&row.kind, frame.words),
        period: period(row.begins_at_ms, row.ends_at_ms, &zone),
        over: row.ends_at_ms <= now,
        row,
    };
    let lines = rows.into_iter().map(line).collect();
    let may_write = login.may(Permission::SettingsEdit);
    Ok(Html(ListPage { frame, params, asked, page, lines, may_write, saved }.render()?).into_response())
}

/// Who opens a notice has read it.
async fn show(
    State(app): State<App>,
    mut login: SiteLogin,
    InPath(notice_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.begin().await?;
    let notice = store::find(&mut tx, login.company_id, &notice_id).await?.ok_or(Problem::NotFound)?;
    store::note_read(&mut tx, &notice.notice_id, login.operator_id, now).await?;
    tx.commit().await?;
    // It stands below in full.
    login.holder.notices.retain(|running| running.notice_id != notice.notice_id);
    let frame = Frame::of(&app, &login, &headers, Here::Notices);
    let own = notice.company_id.as_deref() == Some(login.company_id.to_string().as_str());
    let page = ShowPage {
        kind: class_name(&notice.kind, frame.words),
        period: period(notice.begins_at_ms, notice.ends_at_ms, &zone),
        written: time::seconds(notice.created_at_ms, &zone),
        pieces: pieces(&notice.body),
        may_end: own && login.may(Permission::SettingsEdit) && now < notice.ends_at_ms,
        frame,
        notice,
    };
    Ok(Html(page.render()?).into_response())
}

async fn show_new(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let filled = Filled::fresh(app.now_ms(), &login.zone());
    new_page(&app, &login, &headers, filled, Mistakes::default())
}

fn new_page(app: &App, login: &SiteLogin, headers: &HeaderMap, filled: Filled, mistakes: Mistakes) -> PageResult {
    let frame = Frame::of(app, login, headers, Here::Notices);
    let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Html(NewPage { frame, filled, mistakes }.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let now = app.now_ms();
    let written = match filled.read(Words::of(login.lang), now, &login.zone()) {
        Ok(written) => written,
        Err(mistakes) => return new_page(&app, &login, &headers, filled, mistakes),
    };
    let mut tx = app.db.begin().await?;
    edit::create(&mut tx, &login, &written, now).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then("/notices"))
}

async fn end(
    State(app): State<App>,
    login: SiteLogin,
    InPath(notice_id): InPath<String>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let mut tx = app.db.begin().await?;
    if !edit::end(&mut tx, &login, &notice_id, app.now_ms()).await? {
        return Err(Problem::NotFound);
    }
    tx.commit().await?;
    Ok(Flash::Saved.then("/notices"))
}
