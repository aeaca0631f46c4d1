//! What is done to several accounts at once: they are chosen in the list, named on a page, and then it is done to all of
//! them or to none.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::post,
};
use proto::api::UnixMillis;
use serde::Deserialize;

use super::{
    edit::{self, EditError},
    list::{Accounts, Row, State as AccountState},
};
use crate::{
    app::App,
    db::Tx,
    extract::InPath,
    list::{Asked, Params, SIZES},
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, frame::Flash},
};

/// The list.
const LIST: &str = "/operators";
/// Accounts of one action: those of the longest page of the list.
const CHOSEN_MAX: i64 = SIZES[2];

/// What can be done to an account as it is, and to several at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// They may not log in any more.
    Stop,
    /// They may log in again.
    Start,
    /// What failures locked is open again.
    Unlock,
    /// Their logins end.
    LogOut,
    /// They go; the logs keep their names.
    Delete,
}

/// What the list and the page of the question send.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Chosen {
    verb: String,
    /// The filter of the list, to come back to it.
    filter: String,
    id: BTreeSet<String>,
}

#[derive(Template)]
#[template(path = "operator/bulk.html")]
struct BulkPage {
    frame: Frame,
    verb: Verb,
    filter: String,
    rows: Vec<Row>,
    now: UnixMillis,
    mistake: Option<String>,
}

/// The pages of this file.
pub fn router() -> Router<App> {
    Router::new().route("/operators/bulk", post(confirm)).route("/operators/bulk/{verb}", post(run))
}

/// The page that names the accounts and asks; nothing is done yet.
async fn confirm(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let verb = Verb::parse(&chosen.verb).ok_or(Problem::BadForm)?;
    let mut tx = app.db.read().await?;
    let rows = find(&mut tx, &login, &chosen, app.now_ms()).await?;
    drop(tx);
    let w = &Words::of(login.lang).bulk;
    let (status, mistake) = if chosen.id.is_empty() {
        (StatusCode::UNPROCESSABLE_ENTITY, Some(w.none_chosen.to_owned()))
    } else if rows.len() < chosen.id.len() {
        (StatusCode::NOT_FOUND, Some(w.some_gone.to_owned()))
    } else {
        (StatusCode::OK, None)
    };
    page(&app, &login, &headers, (status, mistake), (verb, &chosen, rows))
}

/// Does it to every account, or to none when it cannot be done to one of them.
async fn run(
    State(app): State<App>,
    login: SiteLogin,
    InPath(verb): InPath<String>,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let verb = Verb::parse(&verb).ok_or(Problem::NotFound)?;
    let words = Words::of(login.lang);
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let rows = find(&mut tx, &login, &chosen, now).await?;
    if rows.is_empty() || rows.len() < chosen.id.len() {
        drop(tx);
        let mistake = Some(words.bulk.some_gone.to_owned());
        return page(&app, &login, &headers, (StatusCode::NOT_FOUND, mistake), (verb, &chosen, rows));
    }
    for row in rows.iter().filter(|row| !verb.is_done(row, now)) {
        if let Err(error) = verb.apply(&mut tx, &login, row, now).await {
            drop(tx);
            let mistake = words.bulk.refused(&row.name, sentence(error, words)?);
            return page(&app, &login, &headers, (StatusCode::CONFLICT, Some(mistake)), (verb, &chosen, rows));
        }
    }
    tx.commit().await?;
    Ok(verb.flash().then(&format!("{LIST}{}", chosen.filter())))
}

/// The accounts that were chosen and that the role reaches, by their ids at login.
async fn find(tx: &mut Tx, login: &SiteLogin, chosen: &Chosen, now: UnixMillis) -> Result<Vec<Row>, Problem> {
    if usize::try_from(CHOSEN_MAX).is_ok_and(|max| max < chosen.id.len()) {
        return Err(Problem::BadForm);
    }
    let listing = Accounts::these(chosen.id.iter().cloned(), login, now);
    let asked = Asked::read::<Accounts>(&Params::default());
    let (rows, _) = crate::list::stretch(tx, &listing, &asked, CHOSEN_MAX).await?;
    Ok(rows)
}

fn page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    (status, mistake): (StatusCode, Option<String>),
    (verb, chosen, rows): (Verb, &Chosen, Vec<Row>),
) -> PageResult {
    let frame = Frame::of(app, login, headers, Here::Operators);
    let page = BulkPage { frame, verb, filter: chosen.filter(), rows, now: app.now_ms(), mistake };
    Ok((status, Html(page.render()?)).into_response())
}

/// Why an account cannot be changed so.
fn sentence(error: EditError, words: &'static Words) -> Result<&'static str, Problem> {
    let w = &words.operators;
    match error {
        EditError::LastAdmin => Ok(w.last_admin),
        EditError::Oneself => Ok(w.oneself),
        EditError::Taken => Ok(w.user_taken),
        EditError::NoSeat => Ok(w.no_seat),
        EditError::TooWide => Ok(w.role_too_wide),
        EditError::NoMail => Ok(w.no_mail),
        EditError::Unproved => Ok(w.password_wrong),
        EditError::ByToken => Err(Problem::Forbidden),
        EditError::Changed => Err(Problem::Changed { back: LIST.to_owned() }),
        EditError::Db(error) => Err(error.into()),
    }
}

impl Chosen {
    /// The filter as the list itself writes it, whatever was sent.
    fn filter(&self) -> String {
        Params::parse(self.filter.trim_start_matches('?')).filter()
    }
}

impl Verb {
    /// Every verb, in the order of the buttons.
    pub const ALL: [Self; 5] = [Self::Stop, Self::Start, Self::Unlock, Self::LogOut, Self::Delete];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }

    /// The value in forms and addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Unlock => "unlock",
            Self::LogOut => "logout",
            Self::Delete => "delete",
        }
    }

    /// The class of its buttons.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Stop | Self::Start | Self::Unlock | Self::LogOut => "",
            Self::Delete => "danger",
        }
    }

    /// Its button in the list.
    pub const fn name(self, words: &'static Words) -> &'static str {
        let w = &words.bulk;
        match self {
            Self::Stop => w.stop,
            Self::Start => w.start,
            Self::Unlock => w.unlock,
            Self::LogOut => w.logout,
            Self::Delete => w.delete,
        }
    }

    /// The question, and what follows from it.
    fn question(self, words: &'static Words, count: usize) -> (String, &'static str) {
        let w = &words.bulk;
        match self {
            Self::Stop => (w.stop_ask(count), w.stop_means),
            Self::Start => (w.start_ask(count), w.start_means),
            Self::Unlock => (w.unlock_ask(count), w.unlock_means),
            Self::LogOut => (w.logout_ask(count), w.logout_means),
            Self::Delete => (w.delete_ask(count), w.delete_means),
        }
    }

    const fn flash(self) -> Flash {
        match self {
            Self::Stop => Flash::Stopped,
            Self::Start => Flash::Started,
            Self::Unlock => Flash::Unlocked,
            Self::LogOut => Flash::LoggedOut,
            Self::Delete => Flash::Deleted,
        }
    }

    /// Whether an account is so already, so that nothing is done and nothing recorded.
    fn is_done(self, row: &Row, now: UnixMillis) -> bool {
        match self {
            Self::Stop => row.stopped,
            Self::Start => !row.stopped,
            Self::Unlock => row.state(now) != AccountState::Locked,
            Self::LogOut | Self::Delete => false,
        }
    }

    /// Does it to one account.
    ///
    /// # Errors
    /// [`EditError`]; then the transaction must not be committed.
    pub async fn apply(self, tx: &mut Tx, login: &SiteLogin, row: &Row, now: UnixMillis) -> Result<(), EditError> {
        match self {
            Self::Stop => edit::set_stopped(tx, login, row, true, now).await,
            Self::Start => edit::set_stopped(tx, login, row, false, now).await,
            Self::Unlock => edit::unlock(tx, login, row, now).await,
            Self::LogOut => edit::log_out(tx, login, row, now).await,
            Self::Delete => edit::delete(tx, login, row, now).await,
        }
    }
}
