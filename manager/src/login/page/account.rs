//! One's own account: password, second factor, recovery codes, and the browsers that are logged in.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    super::{
        Holder, Login, Realm,
        attempt::{Outcome, login_event},
        password::{NewPassword, NewPasswordError, Password, PasswordHash},
        second,
        site_login::{Agreeing, Halfway, Stage},
        site_store::{self, Open},
        store,
    },
    factor::{self, RecoveryPage},
};
use crate::{
    app::App,
    audit::{self, AuditEvent},
    provider::{self, Binding, Why},
    site::{Form, Frame, PageResult, Problem, Words, frame::Flash, time},
    terms::agree::{self, ShownAgreement},
    throttle::{self, Rate, Taken},
};

/// Scope of the counter of proofs.
const PROOFS: &str = "login.proof";
/// Wrong passwords that may be typed in browsers that are logged in, so that an open one does not let the password be
/// guessed. As many as lock an account at the door.
const PROOFS_RATE: Rate = Rate { max: 10, window: Duration::from_mins(15) };

#[derive(Template)]
#[template(path = "login/account.html")]
struct AccountPage {
    frame: Frame,
    login: Login,
    codes_left: i64,
    browsers: Vec<Browser>,
    failed: bool,
    binding: Binding,
    /// Since when the account is bound.
    bound_since: String,
    /// Why it was not bound just now.
    why: Option<&'static str>,
    /// To which terms of use it agreed.
    agreements: Vec<ShownAgreement>,
}

/// A browser that is logged in.
struct Browser {
    open: Open,
    since: String,
    used: String,
    is_this: bool,
}

#[derive(Template)]
#[template(path = "login/password.html")]
struct PasswordPage {
    frame: Frame,
    /// Whether nothing else can be done before.
    forced: bool,
    len_min: usize,
    len_max: usize,
    kinds_min: usize,
    history: usize,
    mistake: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    old: Zeroizing<String>,
    #[serde(default)]
    new: Zeroizing<String>,
    #[serde(default)]
    again: Zeroizing<String>,
}

#[derive(Deserialize)]
pub(super) struct Proof {
    #[serde(default)]
    pub(super) password: Zeroizing<String>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
pub(super) struct Ended {
    #[serde(default)]
    token_hash: String,
}

pub(super) async fn show(
    State(app): State<App>,
    Agreeing(login): Agreeing,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> PageResult {
    account_page(&app, login, &headers, false, Why::parse(&asked.why)).await
}

pub(super) async fn account_page(
    app: &App,
    login: Login,
    headers: &HeaderMap,
    failed: bool,
    why: Option<Why>,
) -> PageResult {
    let frame = Frame::of_account(app, &login, headers);
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let codes_left = second::recovery_codes_left(&mut tx, login.operator_id).await?;
    let open = site_store::open_of(&mut tx, login.operator_id, app.now_ms()).await?;
    let binding = provider::binding(app, &mut tx, &login).await?;
    let agreements = agree::shown(&mut tx, &login.operator_id.to_string(), &zone).await?;
    drop(tx);
    let browsers = open
        .into_iter()
        .map(|open| Browser {
            since: time::seconds(open.created_at_ms, &zone),
            used: time::seconds(open.used_at_ms, &zone),
            is_this: open.token_hash == login.token.as_str(),
            open,
        })
        .collect();
    let bound_since = binding.link.as_ref().map(|link| time::seconds(link.linked_at_ms, &zone)).unwrap_or_default();
    let why = why.map(|why| why.sentence(login.realm, frame.words));
    let status = if failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = AccountPage { frame, login, codes_left, browsers, failed, binding, bound_since, why, agreements };
    Ok((status, Html(page.render()?)).into_response())
}

pub(super) async fn password(State(app): State<App>, Halfway(login): Halfway, headers: HeaderMap) -> PageResult {
    password_page(&app, &login, &headers, None)
}

fn password_page(app: &App, login: &Login, headers: &HeaderMap, mistake: Option<String>) -> PageResult {
    let forced = match login.stage {
        Stage::Change => true,
        Stage::Full => false,
        Stage::Code | Stage::Enrol => return Ok(Redirect::to(login.stage.page(login.realm)).into_response()),
    };
    let frame = if forced {
        Frame::outside(app, login.realm, headers, login.csrf.clone())
    } else {
        Frame::of_account(app, login, headers)
    };
    let rules = &login.policy.password;
    let status = if mistake.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = PasswordPage {
        frame,
        forced,
        len_min: rules.len_min,
        len_max: rules.len_max,
        kinds_min: rules.kinds_min,
        history: rules.history,
        mistake,
    };
    Ok((status, Html(page.render()?)).into_response())
}

pub(super) async fn change_password(
    State(app): State<App>,
    Halfway(login): Halfway,
    headers: HeaderMap,
    Form(change): Form<Change>,
) -> PageResult {
    if !matches!(login.stage, Stage::Change | Stage::Full) {
        return Err(Problem::First(login.stage.page(login.realm)));
    }
    let words = Words::of(login.lang);
    match check(&app, &login, &change).await? {
        Ok(hash) => store_password(&app, &login, hash).await,
        Err(mistake) => password_page(&app, &login, &headers, Some(mistake.sentence(words))),
    }
}

/// Why a password was not changed.
enum Mistake {
    Old,
    Again,
    New(NewPasswordError),
    Reused,
}

impl Mistake {
    fn sentence(&self, words: &Words) -> String {
        let w = &words.account;
        match self {
            Self::Old => w.old_wrong.to_owned(),
            Self::Again => w.again_differs.to_owned(),
            Self::Reused => w.reused.to_owned(),
            Self::New(error) => new_password_sentence(*error, words),
        }
    }
}

/// What is wrong with a password that shall be set.
pub(super) fn new_password_sentence(error: NewPasswordError, words: &Words) -> String {
    let w = &words.account;
    match error {
        NewPasswordError::Length { found, min, max } => w.length_wrong(found, max, min),
        NewPasswordError::Character => w.character_wrong.to_owned(),
        NewPasswordError::Kinds { found, min } => w.kinds_wrong(found, min),
        NewPasswordError::Guessable => w.guessable.to_owned(),
    }
}

/// The hash of the new password, if the old one is right and the rules take the new one.
async fn check(app: &App, login: &Holder, change: &Change) -> Result<Result<PasswordHash, Mistake>, Problem> {
    let mut tx = app.db.read().await?;
    let (current, earlier) = store::passwords(&mut tx, login.operator_id, login.policy.password.history).await?;
    drop(tx);
    if !prove_own(app, login, &change.old, current.clone()).await? {
        return Ok(Err(Mistake::Old));
    }
    if change.new != change.again {
        return Ok(Err(Mistake::Again));
    }
    let own = [login.user_id.as_str(), login.company_code.as_str()];
    let new = match NewPassword::by_policy(&change.new, &login.policy.password, &own) {
        Ok(new) => new,
        Err(error) => return Ok(Err(Mistake::New(error))),
    };
    for hash in earlier.into_iter().chain([current]) {
        if prove(app, &change.new, hash).await? {
            return Ok(Err(Mistake::Reused));
        }
    }
    let place = app.hash_gate.enter().await.map_err(|_busy| Problem::Busy)?;
    app.hash_gate.hash(place, new).await.ok_or(Problem::Internal).map(Ok)
}

/// Whether a typed password is the one of a hash; waits for its turn like a login.
pub(super) async fn prove(app: &App, typed: &str, hash: PasswordHash) -> Result<bool, Problem> {
    let place = app.hash_gate.enter().await.map_err(|_busy| Problem::Busy)?;
    Ok(app.hash_gate.verify(place, Password::typed(typed.to_owned()), Some(hash)).await)
}

/// Whether a typed password is the account's own. Wrong ones are counted for the account, whatever browser they come
/// from, and as many as wrong codes end this login.
async fn prove_own(app: &App, login: &Holder, typed: &str, hash: PasswordHash) -> Result<bool, Problem> {
    let bucket = login.operator_id.to_string();
    let mut tx = app.db.begin().await?;
    let taken = throttle::take(&mut tx, PROOFS, &bucket, PROOFS_RATE, app.now_ms()).await?;
    tx.commit().await?;
    if let Taken::Beyond { retry_after_secs } = taken {
        return Err(Problem::Throttled { retry_after_secs });
    }
    let right = prove(app, typed, hash).await?;
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if right {
        throttle::put_back(&mut tx, PROOFS, &bucket, now).await?;
        tx.commit().await?;
        return Ok(true);
    }
    let failures = site_store::count_code(&mut tx, &login.token, now).await?;
    let event = login_event("login.failed", Some((login.company_id, login.operator_id)), now);
    let detail = json!({ "result": Outcome::WrongPassword.as_str(), "door": "site" });
    audit::append(&mut tx, AuditEvent { detail, ..event }).await?;
    tx.commit().await?;
    if factor::CODE_FAILURES_MAX <= failures {
        return Err(Problem::LoggedOut { next: login.realm.home().to_owned() });
    }
    Ok(false)
}

/// Stores it; every other login of the account ends, this one goes on under a new token.
async fn store_password(app: &App, login: &Holder, hash: PasswordHash) -> PageResult {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let advanced = factor::advance(&mut tx, app, login, Stage::Full).await?;
    store::set_password(&mut tx, login.operator_id, &hash, false, now).await?;
    store::revoke_others(&mut tx, login.operator_id, &advanced.token, now).await?;
    let event = login.event("operator.password_changed", json!({ "operator_id": login.operator_id }), now);
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    let mut response = Flash::PasswordChanged.then(login.realm.account());
    advanced.keep(&mut response);
    Ok(response)
}

pub(super) async fn take_factor_away(
    State(app): State<App>,
    login: Login,
    headers: HeaderMap,
    Form(proof): Form<Proof>,
) -> PageResult {
    if login.policy.login.totp_required {
        return Err(Problem::Forbidden);
    }
    if !proved(&app, &login, &proof.password).await? {
        return account_page(&app, login, &headers, true, None).await;
    }
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if second::take_away(&mut tx, login.operator_id).await? {
        let event = login.event("operator.factor_taken_away", json!({ "operator_id": login.operator_id }), now);
        audit::append(&mut tx, event).await?;
        tx.commit().await?;
    }
    Ok(Flash::Saved.then(login.realm.account()))
}

pub(super) async fn renew_recovery_codes(
    State(app): State<App>,
    login: Login,
    headers: HeaderMap,
    Form(proof): Form<Proof>,
) -> PageResult {
    if !login.has_factor {
        return Err(Problem::NotFound);
    }
    if !proved(&app, &login, &proof.password).await? {
        return account_page(&app, login, &headers, true, None).await;
    }
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let codes = second::renew_recovery_codes(&mut tx, login.operator_id).await?;
    let event = login.event("operator.recovery_codes_renewed", json!({ "operator_id": login.operator_id }), now);
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    let frame = Frame::of_account(&app, &login, &headers);
    Ok(Html(RecoveryPage { frame, codes }.render()?).into_response())
}

/// Whether the password was typed again: who finds an open browser cannot change what protects the account.
///
/// # Errors
/// [`Problem::Throttled`] and [`Problem::LoggedOut`] after many wrong ones, or what the database says.
pub async fn proved(app: &App, login: &Holder, typed: &str) -> Result<bool, Problem> {
    let mut tx = app.db.read().await?;
    let (hash, _) = store::passwords(&mut tx, login.operator_id, 0).await?;
    drop(tx);
    prove_own(app, login, typed, hash).await
}

pub(super) async fn end_login(
    State(app): State<App>,
    login: Login,
    Form(ended): Form<Ended>,
) -> Result<Response, Problem> {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if !site_store::revoke(&mut tx, login.operator_id, &ended.token_hash, now).await? {
        return Err(Problem::NotFound);
    }
    let event = login.event("login.ended", json!({ "operator_id": login.operator_id, "by": "owner" }), now);
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    Ok(Flash::LoggedOut.then(login.realm.account()))
}
