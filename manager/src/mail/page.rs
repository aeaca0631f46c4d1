//! The page of a company's mails: what was sent, what waits, what was refused.

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use serde_json::json;

use super::{
    Kind,
    list::{Mails, Row, STATES},
    store,
};
use crate::{
    app::App,
    audit,
    extract::InPath,
    list::{
        Asked, Page, Params,
        saved::{self, Saved},
    },
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, form::Pressed, frame::Flash, time},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new().route("/mails", get(show_list)).route("/mails/{mail_id}/again", post(again))
}

/// One line of the list.
struct Line {
    created: String,
    /// When it went, or will be tried again.
    when: String,
    state: &'static str,
    class: &'static str,
    kind: &'static str,
    row: Row,
}

#[derive(Template)]
#[template(path = "mail/list.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    is_on: bool,
    may_send: bool,
    saved: Vec<Saved>,
}

async fn show_list(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::AuditView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let asked = Asked::read::<Mails>(&params);
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Mails::read(&params, &login), &asked).await?;
    let saved = saved::of(&mut tx, &login, "/mails").await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::Mails);
    let (rows, page) = page.split();
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, &zone)).collect();
    let (is_on, may_send) = (app.config.mail.is_on(), login.may(Permission::SettingsEdit));
    Ok(Html(ListPage { frame, params, asked, page, lines, is_on, may_send, saved }.render()?).into_response())
}

async fn again(
    State(app): State<App>,
    login: SiteLogin,
    InPath(mail_id): InPath<String>,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    send_again(&app, &login, &mail_id).await?;
    Ok(Flash::MailQueued.then("/mails"))
}

/// Puts a mail that could not be delivered into the outbox again.
///
/// # Errors
/// [`Problem::NotFound`] when there is none such.
pub async fn send_again(app: &App, login: &SiteLogin, mail_id: &str) -> Result<(), Problem> {
    login.need(Permission::SettingsEdit)?;
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if !store::again(&mut tx, login.company_id, mail_id, now).await? {
        return Err(Problem::NotFound);
    }
    audit::append(&mut tx, login.event("mail.sent_again", json!({ "mail_id": mail_id }), now)).await?;
    tx.commit().await?;
    Ok(())
}

impl Line {
    fn new(row: Row, words: &'static Words, zone: &jiff::tz::TimeZone) -> Self {
        let w = &words.mails;
        let when = match row.state.as_str() {
            "sent" => row.sent_at_ms.map(|at| time::seconds(at, zone)),
            "queued" if 0 < row.tries => Some(w.next_try(time::seconds(row.due_at_ms, zone))),
            _ => None,
        };
        Self {
            created: time::seconds(row.created_at_ms, zone),
            when: when.unwrap_or_else(|| words.shared.never.to_owned()),
            state: w.get(&row.state).unwrap_or(w.queued),
            class: match row.state.as_str() {
                "queued" => "warning",
                "sent" => "good",
                "failed" => "bad",
                _ => "off",
            },
            kind: w.get(&format!("kind_{}", row.kind)).unwrap_or_default(),
            row,
        }
    }
}
