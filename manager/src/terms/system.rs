//! The pages of system administrators: every revision, and one of them as a draft or as it was published.

use askama::Template;
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    edit,
    form::{self, Days, Filled, Mistakes},
    page::{Line, Place, Text},
    store::{self, Row, Summary},
    text::Block,
};
use crate::{
    admin::{
        AdminLogin, AdminPermission,
        frame::{Here, frame},
    },
    app::App,
    db::DbError,
    extract::InPath,
    notice::Piece,
    site::{Form, Frame, Lang, PageResult, Problem, Words, frame::Flash, time},
};

/// Where the list is.
pub const ADDRESS: &str = "/system/terms";
/// The largest form: two texts of 50,000 characters, each of which is up to nine bytes in a form.
const FORM_LEN_MAX: usize = 1024 * 1024;

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/system/terms", get(show_list).post(create))
        .route("/system/terms/{revision_id}", get(show).post(update))
        .route("/system/terms/{revision_id}/publish", post(publish))
        .route("/system/terms/{revision_id}/withdraw", post(withdraw))
        .route("/system/terms/{revision_id}/delete", post(delete))
        .layer(DefaultBodyLimit::max(FORM_LEN_MAX))
}

#[derive(Template)]
#[template(path = "terms/list.html")]
struct ListPage {
    frame: Frame,
    lines: Vec<Line>,
    filled: Filled,
    mistakes: Mistakes,
    may_edit: bool,
}

#[derive(Template)]
#[template(path = "terms/show.html")]
struct ShowPage {
    frame: Frame,
    row: Row,
    from: String,
    written: String,
    published: String,
    withdrawn: String,
    place: Place,
    japanese: Text,
    /// None when there is no English text.
    english: Option<Text>,
    /// Whom it would ask to agree when it is published, and from when on.
    asks: Option<String>,
    /// Accounts that agreed to it.
    agreed: i64,
    filled: Filled,
    mistakes: Mistakes,
    /// Why it was not published just now.
    refusal: Option<&'static str>,
    may_edit: bool,
}

/// What the buttons of a revision send.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Sure {
    sure: String,
    version: i64,
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}

fn address(revision_id: &str) -> String {
    format!("{ADDRESS}/{revision_id}")
}

async fn show_list(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let filled = Filled { from: time::input_day(app.now_ms(), &time::zone(time::TOKYO)), ..Filled::default() };
    list_page(&app, &login, &headers, filled, Mistakes::default()).await
}

async fn list_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let drafts = store::drafts(&mut tx).await?;
    let published = store::published(&mut tx).await?;
    let withdrawn = store::withdrawn(&mut tx).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Terms);
    let all = drafts.iter().chain(&published).chain(&withdrawn);
    let lines = all.map(|revision| Line::new(revision, &published, frame.lang, app.now_ms())).collect();
    let page = ListPage { frame, lines, filled, mistakes, may_edit: login.may(AdminPermission::NoticeEdit) };
    Ok((status(page.mistakes.is_empty()), Html(page.render()?)).into_response())
}

/// The days that a draft can have now.
async fn days(app: &App) -> Result<Days, Problem> {
    let mut tx = app.db.read().await?;
    let published = store::published(&mut tx).await?;
    Ok(Days::at(app.now_ms(), published.is_empty()))
}

async fn create(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let words = Words::of(login.lang);
    let written = match filled.read(days(&app).await?, words) {
        Ok(written) => written,
        Err(mistakes) => return list_page(&app, &login, &headers, filled, *mistakes).await,
    };
    let mut tx = app.db.begin().await?;
    if store::DRAFTS_MAX <= store::count_drafts(&mut tx).await? {
        drop(tx);
        let mistakes = Mistakes { all: Some(words.terms.drafts_full), ..Mistakes::default() };
        return list_page(&app, &login, &headers, filled, mistakes).await;
    }
    let Some(revision_id) = edit::create(&mut tx, &login, &written, app.now_ms()).await? else {
        drop(tx);
        let mistakes = Mistakes { edition: Some(words.terms.edition_taken.to_owned()), ..Mistakes::default() };
        return list_page(&app, &login, &headers, filled, mistakes).await;
    };
    tx.commit().await?;
    Ok(Flash::Saved.then(&address(&revision_id)))
}

async fn show(
    State(app): State<App>,
    login: AdminLogin,
    InPath(revision_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::MaintenanceView)?;
    let mut tx = app.db.read().await?;
    let row = store::find(&mut tx, &revision_id).await?.ok_or(Problem::NotFound)?;
    drop(tx);
    let filled = Filled::of(&row);
    show_page(&app, &login, &headers, row, (filled, Mistakes::default()), None).await
}

async fn show_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    row: Row,
    (filled, mistakes): (Filled, Mistakes),
    refusal: Option<&'static str>,
) -> PageResult {
    let (now, zone, tokyo) = (app.now_ms(), login.zone(), time::zone(time::TOKYO));
    let mut tx = app.db.read().await?;
    let published = store::published(&mut tx).await?;
    let agreed = store::count_agreed(&mut tx, &row.revision_id).await?;
    let asked = store::count_asked(&mut tx).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Terms);
    let (w, from) = (&frame.words.terms, time::day(row.in_force_from_ms, &tokyo));
    let asks = if row.in_force_from_ms <= now { w.asks_now(asked) } else { w.asks_later(asked, &from) };
    let page = ShowPage {
        from,
        written: time::seconds(row.created_at_ms, &zone),
        published: row.published_at_ms.map(|at| time::seconds(at, &zone)).unwrap_or_default(),
        withdrawn: row.withdrawn_at_ms.map(|at| time::seconds(at, &zone)).unwrap_or_default(),
        place: Place::of(&Summary::from(&row), &published, now),
        japanese: Text::of(&row, Lang::Ja),
        english: (!row.body_en.is_empty()).then(|| Text::of(&row, Lang::En)),
        asks: row.agree.then_some(asks),
        agreed,
        filled,
        mistakes,
        refusal,
        may_edit: login.may(AdminPermission::NoticeEdit),
        frame,
        row,
    };
    let good = page.mistakes.is_empty() && page.refusal.is_none();
    Ok((status(good), Html(page.render()?)).into_response())
}

/// A draft as it was shown.
async fn draft(app: &App, revision_id: &str, version: i64) -> Result<Row, Problem> {
    let mut tx = app.db.read().await?;
    let row = store::find(&mut tx, revision_id).await?.ok_or(Problem::NotFound)?;
    if row.version == version && row.published_at_ms.is_none() {
        Ok(row)
    } else {
        Err(Problem::Changed { back: address(revision_id) })
    }
}

async fn update(
    State(app): State<App>,
    login: AdminLogin,
    InPath(revision_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let words = Words::of(login.lang);
    let row = draft(&app, &revision_id, filled.version).await?;
    let here = address(&revision_id);
    let written = match filled.read(days(&app).await?, words) {
        Ok(written) => written,
        Err(mistakes) => return show_page(&app, &login, &headers, row, (filled, *mistakes), None).await,
    };
    let mut tx = app.db.begin().await?;
    if store::has_other(&mut tx, &written.edition, &revision_id).await? {
        drop(tx);
        let mistakes = Mistakes { edition: Some(words.terms.edition_taken.to_owned()), ..Mistakes::default() };
        return show_page(&app, &login, &headers, row, (filled, mistakes), None).await;
    }
    match edit::update(&mut tx, &login, &row, &written, app.now_ms()).await {
        Ok(true) => {}
        Ok(false) | Err(DbError::Duplicate(_)) => return Err(Problem::Changed { back: here }),
        Err(error) => return Err(error.into()),
    }
    tx.commit().await?;
    Ok(Flash::Saved.then(&here))
}

async fn publish(
    State(app): State<App>,
    login: AdminLogin,
    InPath(revision_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Sure>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let words = Words::of(login.lang);
    let now = app.now_ms();
    let row = draft(&app, &revision_id, filled.version).await?;
    let mut tx = app.db.begin().await?;
    let published = store::published(&mut tx).await?;
    let refusal = if filled.sure == "yes" {
        in_the_way(&published, &row, form::today_ms(now), words)
    } else {
        Some(words.terms.sure_wrong)
    };
    if refusal.is_some() {
        drop(tx);
        let filled = Filled::of(&row);
        return show_page(&app, &login, &headers, row, (filled, Mistakes::default()), refusal).await;
    }
    match edit::publish(tx, &login, &row, now).await {
        Ok(true) => {}
        Ok(false) | Err(DbError::Duplicate(_)) => return Err(Problem::Changed { back: address(&revision_id) }),
        Err(error) => return Err(error.into()),
    }
    app.terms.note();
    tracing::info!(event = "terms.published", operator.id = %login.operator_id, "A revision of the terms is published");
    Ok(Flash::Saved.then(&address(&revision_id)))
}

/// Why published revisions leave no place for a draft: one is of the same day, or its day is past and it is not the
/// first one.
fn in_the_way(published: &[Summary], draft: &Row, today_ms: i64, words: &'static Words) -> Option<&'static str> {
    let own = draft.in_force_from_ms;
    if published.iter().any(|other| other.in_force_from_ms == own) {
        return Some(words.terms.from_taken);
    }
    (!published.is_empty() && own < today_ms).then_some(words.terms.from_past)
}

async fn withdraw(
    State(app): State<App>,
    login: AdminLogin,
    InPath(revision_id): InPath<String>,
    Form(filled): Form<Sure>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let mut tx = app.db.begin().await?;
    let row = store::find(&mut tx, &revision_id).await?.ok_or(Problem::NotFound)?;
    // Whoever is second is told, and so is who is late: what is in force stays.
    if row.version != filled.version || !edit::withdraw(&mut tx, &login, &row, app.now_ms()).await? {
        return Err(Problem::Changed { back: address(&revision_id) });
    }
    tx.commit().await?;
    tracing::info!(event = "terms.withdrawn", operator.id = %login.operator_id, "A revision of the terms is withdrawn");
    Ok(Flash::Saved.then(&address(&revision_id)))
}

async fn delete(
    State(app): State<App>,
    login: AdminLogin,
    InPath(revision_id): InPath<String>,
    Form(filled): Form<Sure>,
) -> PageResult {
    login.need(AdminPermission::NoticeEdit)?;
    let row = draft(&app, &revision_id, filled.version).await?;
    let mut tx = app.db.begin().await?;
    if !edit::delete(&mut tx, &login, &row, app.now_ms()).await? {
        return Err(Problem::Changed { back: address(&revision_id) });
    }
    tx.commit().await?;
    Ok(Flash::Deleted.then(ADDRESS))
}
