//! The pages of the boards, and their rows alone.

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
    routing::{get, post},
};

use super::{
    act, changes,
    lines::{Board, NumberLine, SessionLine},
    store::{self, Narrowing},
};
use crate::{
    app::App,
    db::{DbResult, Tx},
    list::Params,
    login::SiteLogin,
    role::Permission,
    site::{Frame, Here, PageResult, Words},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/live/receptions", get(show_receptions))
        .route("/live/receptions/rows", get(reception_rows))
        .route("/live/receptions/{reception_id}/cancel", post(act::cancel))
        .route("/live/receptions/{reception_id}/extend", post(act::extend))
        .route("/live/sessions", get(show_sessions))
        .route("/live/sessions/rows", get(session_rows))
        .route("/live/sessions/{session_id}/end", post(act::end))
        .route("/live/changes", get(changes::changes))
}

#[derive(Template)]
#[template(path = "live/receptions.html")]
struct ReceptionsPage {
    frame: Frame,
    params: Params,
    organisations: Vec<(String, String)>,
    words: &'static Words,
    csrf: String,
    board: Board<NumberLine>,
}

#[derive(Template)]
#[template(path = "live/reception_rows.html")]
struct ReceptionRows {
    params: Params,
    words: &'static Words,
    csrf: String,
    board: Board<NumberLine>,
}

#[derive(Template)]
#[template(path = "live/sessions.html")]
struct SessionsPage {
    frame: Frame,
    params: Params,
    organisations: Vec<(String, String)>,
    words: &'static Words,
    csrf: String,
    board: Board<SessionLine>,
}

#[derive(Template)]
#[template(path = "live/session_rows.html")]
struct SessionRows {
    params: Params,
    words: &'static Words,
    csrf: String,
    board: Board<SessionLine>,
}

async fn show_receptions(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LiveView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let mut tx = app.db.read().await?;
    let board = read_receptions(&app, &mut tx, &login, &params).await?;
    let organisations = store::organisations(&mut tx, &login).await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::LiveReceptions);
    let (words, csrf) = (frame.words, login.csrf.clone());
    Ok(Html(ReceptionsPage { frame, params, organisations, words, csrf, board }.render()?).into_response())
}

async fn reception_rows(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LiveView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let mut tx = app.db.read().await?;
    let board = read_receptions(&app, &mut tx, &login, &params).await?;
    drop(tx);
    let tag = board.tag.clone();
    if is_known(&headers, &tag) {
        return Ok(unchanged(&tag));
    }
    let rows = ReceptionRows { params, words: Words::of(login.lang), csrf: login.csrf.clone(), board };
    Ok(tagged(rows.render()?, &tag))
}

async fn show_sessions(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LiveView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let mut tx = app.db.read().await?;
    let board = read_sessions(&app, &mut tx, &login, &params).await?;
    let organisations = store::organisations(&mut tx, &login).await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::LiveSessions);
    let (words, csrf) = (frame.words, login.csrf.clone());
    Ok(Html(SessionsPage { frame, params, organisations, words, csrf, board }.render()?).into_response())
}

async fn session_rows(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::LiveView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let mut tx = app.db.read().await?;
    let board = read_sessions(&app, &mut tx, &login, &params).await?;
    drop(tx);
    let tag = board.tag.clone();
    if is_known(&headers, &tag) {
        return Ok(unchanged(&tag));
    }
    let rows = SessionRows { params, words: Words::of(login.lang), csrf: login.csrf.clone(), board };
    Ok(tagged(rows.render()?, &tag))
}

async fn read_receptions(app: &App, tx: &mut Tx, login: &SiteLogin, params: &Params) -> DbResult<Board<NumberLine>> {
    let rows = store::numbers(tx, login, &Narrowing::read(params)).await?;
    Ok(Board::of_numbers(app, login, rows))
}

async fn read_sessions(app: &App, tx: &mut Tx, login: &SiteLogin, params: &Params) -> DbResult<Board<SessionLine>> {
    let rows = store::sessions(tx, login, &Narrowing::read(params)).await?;
    let ids: Vec<&str> = rows.iter().map(|row| row.session_id.as_str()).collect();
    let permissions = store::permissions(tx, &serde_json::json!(ids).to_string()).await?;
    let relays = store::relay_names(tx).await?;
    Ok(Board::of_sessions(app, login, rows, &permissions, &relays))
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) == Some(tag)
}

fn unchanged(tag: &str) -> Response {
    with_tag(StatusCode::NOT_MODIFIED.into_response(), tag)
}

fn tagged(html: String, tag: &str) -> Response {
    with_tag(Html(html).into_response(), tag)
}

fn with_tag(mut response: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
