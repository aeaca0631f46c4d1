//! Who has forgotten the password: asking for a link, and setting a password by it.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    super::{
        Realm,
        link::{self, Owner},
        password::{NewPassword, PasswordHash},
        store,
    },
    account::{new_password_sentence, prove},
    door,
};
use crate::{
    app::App,
    bearer::BearerHash,
    db::Tx,
    extract::{InPath, Source},
    halt,
    site::{Form, Frame, Lang, PageResult, Problem, Words, frame::Flash},
    throttle,
};

#[derive(Template)]
#[template(path = "login/forgotten.html")]
struct ForgottenPage {
    frame: Frame,
    is_halted: bool,
    is_on: bool,
    asked: bool,
}

#[derive(Template)]
#[template(path = "login/link.html")]
struct LinkPage {
    frame: Frame,
    /// The address of the form; empty when the link does not work any more.
    address: String,
    user: String,
    len_min: usize,
    len_max: usize,
    kinds_min: usize,
    history: usize,
    mistake: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Filled {
    #[serde(default)]
    company: String,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
pub(super) struct New {
    #[serde(default)]
    new: Zeroizing<String>,
    #[serde(default)]
    again: Zeroizing<String>,
}

pub(super) async fn show(State(app): State<App>, headers: HeaderMap) -> PageResult {
    page(&app, &headers, false).await
}

async fn page(app: &App, headers: &HeaderMap, asked: bool) -> PageResult {
    let is_on = app.config.mail.is_on();
    let (is_halted, notices) = door::said(app).await;
    door::visited(app, Realm::Company, headers, |frame| {
        let frame = Frame { banners: door::banners(is_halted, &notices, frame.words), ..frame };
        Ok(Html(ForgottenPage { frame, is_halted, is_on, asked }.render()?).into_response())
    })
}

pub(super) async fn ask(
    State(app): State<App>,
    Source(source): Source,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    // Before anything is counted or noted, so that nobody is refused afterwards for having tried meanwhile.
    if !app.config.mail.is_on() || halt::is_halted(&app).await? {
        return page(&app, &headers, false).await;
    }
    let source = throttle::source_bucket(source);
    match link::ask(&app, &filled.company, &filled.user, Lang::of(&headers), &source).await? {
        None => page(&app, &headers, true).await,
        Some(retry_after_secs) => Err(Problem::Throttled { retry_after_secs }),
    }
}

/// Looking at a link does not use it up: programs that check mails do so, too.
pub(super) async fn open(State(app): State<App>, InPath(token): InPath<String>, headers: HeaderMap) -> PageResult {
    let mut tx = app.db.read().await?;
    let owner = link::find(&mut tx, &BearerHash::of(&token), app.now_ms()).await?;
    refuse_while_halted(&mut tx, owner.as_ref()).await?;
    drop(tx);
    link_page(&app, &headers, &token, owner.as_ref(), None)
}

/// A link that does not work because the service is halted leads to the login, which says so.
async fn refuse_while_halted(tx: &mut Tx, owner: Option<&Owner>) -> Result<(), Problem> {
    if owner.is_none() && halt::store::halted_at(tx).await?.is_some() {
        return Err(Problem::LoggedOut { next: Realm::Company.home().to_owned() });
    }
    Ok(())
}

fn link_page(
    app: &App,
    headers: &HeaderMap,
    token: &str,
    owner: Option<&Owner>,
    mistake: Option<String>,
) -> PageResult {
    let status = match (owner, &mistake) {
        (None, _) => StatusCode::NOT_FOUND,
        (Some(_), Some(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        (Some(_), None) => StatusCode::OK,
    };
    let rules = owner.map(|owner| owner.policy.password.clone()).unwrap_or_default();
    door::visited(app, Realm::Company, headers, |frame| {
        let page = LinkPage {
            frame,
            address: owner.map(|_| format!("{}{token}", link::ADDRESS)).unwrap_or_default(),
            user: owner.map(|owner| owner.user_id.clone()).unwrap_or_default(),
            len_min: rules.len_min,
            len_max: rules.len_max,
            kinds_min: rules.kinds_min,
            history: rules.history,
            mistake,
        };
        Ok((status, Html(page.render()?)).into_response())
    })
}

pub(super) async fn set(
    State(app): State<App>,
    InPath(token): InPath<String>,
    headers: HeaderMap,
    Form(new): Form<New>,
) -> PageResult {
    let hash = BearerHash::of(&token);
    let mut tx = app.db.read().await?;
    let owner = link::find(&mut tx, &hash, app.now_ms()).await?;
    refuse_while_halted(&mut tx, owner.as_ref()).await?;
    drop(tx);
    let Some(owner) = owner else { return link_page(&app, &headers, &token, None, None) };
    let lang = Lang::of(&headers);
    let password = match check(&app, &owner, &new, Words::of(lang)).await? {
        Ok(password) => password,
        Err(mistake) => return link_page(&app, &headers, &token, Some(&owner), Some(mistake)),
    };
    let mut tx = app.db.begin().await?;
    if !link::set_password(&app, &mut tx, &hash, &owner, &password, lang).await? {
        return link_page(&app, &headers, &token, None, None);
    }
    tx.commit().await?;
    Ok(Flash::PasswordChanged.then("/login"))
}

/// The hash of the new password if the company's rules take it, or what is wrong with it.
async fn check(
    app: &App,
    owner: &Owner,
    new: &New,
    words: &'static Words,
) -> Result<Result<PasswordHash, String>, Problem> {
    if new.new != new.again {
        return Ok(Err(words.account.again_differs.to_owned()));
    }
    let rules = &owner.policy.password;
    let own = [owner.user_id.as_str(), owner.company_code.as_str()];
    let password = match NewPassword::by_policy(&new.new, rules, &own) {
        Ok(password) => password,
        Err(error) => return Ok(Err(new_password_sentence(error, words))),
    };
    let mut tx = app.db.read().await?;
    let (current, earlier) = store::passwords(&mut tx, owner.operator_id, rules.history).await?;
    drop(tx);
    if 0 < rules.history {
        for hash in earlier.into_iter().chain([current]) {
            if prove(app, &new.new, hash).await? {
                return Ok(Err(words.account.reused.to_owned()));
            }
        }
    }
    let place = app.hash_gate.enter().await.map_err(|_busy| Problem::Busy)?;
    app.hash_gate.hash(place, password).await.ok_or(Problem::Internal).map(Ok)
}
