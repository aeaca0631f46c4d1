//! The second factor at the site: asking for its code, and setting it up.

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{Html, IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    super::{
        Holder, Realm,
        attempt::{self, login_event},
        password::Expiry,
        second,
        site_login::{Halfway, Stage},
        site_store, store,
        totp::{self, Factor},
    },
    account,
    door::{self, DEVICE_SECS, add_cookie},
};
use crate::{
    app::{self, App},
    audit::{self, AuditEvent},
    bearer::{BearerHash, BearerToken},
    db::Tx,
    extract::Source,
    provider::alarm,
    site::{
        Form, Frame, PageResult, Problem, Words,
        cookie::{self, Life},
    },
};

/// Wrong codes that end a login.
pub(super) const CODE_FAILURES_MAX: i64 = 5;
/// What an authenticator calls the product.
const ISSUER: &str = "Uketsuke";

#[derive(Template)]
#[template(path = "login/code.html")]
struct CodePage {
    frame: Frame,
    failed: bool,
}

#[derive(Template)]
#[template(path = "login/factor.html")]
struct FactorPage {
    frame: Frame,
    required: bool,
    mistake: Option<&'static str>,
    /// Width of the QR code in squares, and its dark ones.
    qr: Option<(i32, String)>,
    typed: String,
}

#[derive(Template)]
#[template(path = "login/recovery.html")]
pub(super) struct RecoveryPage {
    pub(super) frame: Frame,
    pub(super) codes: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Code {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
pub(super) struct Chosen {
    #[serde(default)]
    code: String,
    #[serde(default)]
    password: Zeroizing<String>,
}

pub(super) async fn ask(State(app): State<App>, Halfway(login): Halfway, headers: HeaderMap) -> PageResult {
    if login.stage != Stage::Code {
        return Ok(Redirect::to(login.stage.page(login.realm)).into_response());
    }
    let frame = Frame::outside(&app, login.realm, &headers, login.csrf.clone());
    Ok(Html(CodePage { frame, failed: false }.render()?).into_response())
}

pub(super) async fn take(
    State(app): State<App>,
    Source(source): Source,
    Halfway(login): Halfway,
    headers: HeaderMap,
    Form(sent): Form<Code>,
) -> PageResult {
    if login.stage != Stage::Code {
        return Ok(Redirect::to(login.stage.page(login.realm)).into_response());
    }
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if !second::take(&app, &mut tx, login.operator_id, &sent.code).await? {
        let failures = site_store::count_code(&mut tx, &login.token, now).await?;
        let event = login_event("login.failed", Some((login.company_id, login.operator_id)), now);
        audit::append(&mut tx, AuditEvent { detail: json!({ "result": "wrong_code", "door": "site" }), ..event })
            .await?;
        tx.commit().await?;
        if CODE_FAILURES_MAX <= failures {
            return Err(Problem::LoggedOut { next: login.realm.home().to_owned() });
        }
        let frame = Frame::outside(&app, login.realm, &headers, login.csrf.clone());
        return Ok(Html(CodePage { frame, failed: true }.render()?).into_response());
    }
    let device = cookie::find(&headers, cookie::DEVICE).map(str::to_owned);
    attempt::forgive_site(&mut tx, &login, device.as_deref(), source, now).await?;
    let device = door::remember(&mut tx, login.operator_id, device, now).await?;
    let stage = stage_after(&app, &mut tx, &login).await?;
    let advanced = advance(&mut tx, &app, &login, stage).await?;
    tx.commit().await?;
    let mut response = advanced.go();
    add_cookie(&mut response, cookie::DEVICE, &device, Life::Secs(DEVICE_SECS));
    Ok(response)
}

/// The stage of a login whose factor is there.
async fn stage_after(app: &App, tx: &mut Tx, login: &Holder) -> Result<Stage, Problem> {
    if login.by_provider {
        return Ok(Stage::Full);
    }
    let initial = store::password_is_initial(tx, login.operator_id).await?;
    let expiry = Expiry::of(&login.policy.password, login.password_changed_at_ms, app.now_ms());
    Ok(Stage::after_factor(initial, expiry))
}

/// A login under its new token.
pub(super) struct Advanced {
    pub(super) token: BearerHash,
    realm: Realm,
    stage: Stage,
    cookie: BearerToken,
}

impl Advanced {
    /// Gives the browser the new token.
    pub(super) fn keep(&self, response: &mut Response) {
        add_cookie(response, self.realm.cookie(), self.cookie.reveal(), Life::Browser);
    }

    /// Goes to the page of its stage.
    fn go(&self) -> Response {
        let mut response = Redirect::to(self.stage.page(self.realm)).into_response();
        self.keep(&mut response);
        response
    }
}

/// Puts a login into its next stage under a new token.
pub(super) async fn advance(tx: &mut Tx, app: &App, login: &Holder, stage: Stage) -> Result<Advanced, Problem> {
    let now = app.now_ms();
    let token = BearerToken::random(&mut app::os_rng());
    if !site_store::advance(tx, &login.token, &token.hash(), stage).await? {
        return Err(Problem::LoggedOut { next: login.realm.home().to_owned() });
    }
    if stage == Stage::Full && login.stage != Stage::Full {
        if login.by_provider {
            store::note_login_by_provider(tx, login.operator_id, now).await?;
        } else {
            store::note_login(tx, login.operator_id, now).await?;
        }
        site_store::note_lang(tx, login.operator_id, login.lang).await?;
        if login.policy.login.single {
            site_store::revoke_all(tx, login.operator_id, Some(&token.hash()), now).await?;
        }
        let event = login_event("login.succeeded", Some((login.company_id, login.operator_id)), now);
        audit::append(tx, AuditEvent { detail: door::detail(None, login.by_provider), ..event }).await?;
        if !login.by_provider {
            alarm::note(app, tx, login.realm, (login.company_id, login.operator_id), now).await?;
        }
    }
    Ok(Advanced { token: token.hash(), realm: login.realm, stage, cookie: token })
}

/// Setting it up: in the middle of a login that needs it, or later by one's own wish.
pub(super) async fn offer(State(app): State<App>, Halfway(login): Halfway, headers: HeaderMap) -> PageResult {
    may_set_up(&login)?;
    offer_page(&app, &login, &headers, None).await
}

/// Whether this login may set a factor up; a stolen one that lacks its code may not.
fn may_set_up(login: &Holder) -> Result<(), Problem> {
    match login.stage {
        Stage::Enrol => Ok(()),
        Stage::Full if !login.has_factor => Ok(()),
        Stage::Full => Err(Problem::First(login.realm.account())),
        Stage::Code | Stage::Change => Err(Problem::First(login.stage.page(login.realm))),
    }
}

async fn offer_page(app: &App, login: &Holder, headers: &HeaderMap, mistake: Option<&'static str>) -> PageResult {
    let rng = &mut app::os_rng();
    let fresh = Factor::random(rng).seal(&app.columns, login.operator_id, rng).ok_or(Problem::Internal)?;
    let mut tx = app.db.begin().await?;
    let kept = site_store::keep_factor(&mut tx, &login.token, &fresh).await?;
    tx.commit().await?;
    let factor =
        kept.and_then(|sealed| Factor::open(&sealed, &app.columns, login.operator_id)).ok_or(Problem::Internal)?;
    let account = match login.realm {
        Realm::Company => format!("{} ({})", login.user_id, login.company_code),
        Realm::System => format!("{} (system)", login.user_id),
    };
    let page = FactorPage {
        frame: Frame::outside(app, login.realm, headers, login.csrf.clone()),
        required: login.stage == Stage::Enrol,
        mistake,
        qr: factor.to_address(ISSUER, &account).and_then(|address| totp::qr_path(&address)),
        typed: factor.to_typed(),
    };
    Ok(Html(page.render()?).into_response())
}

pub(super) async fn set_up(
    State(app): State<App>,
    Halfway(login): Halfway,
    headers: HeaderMap,
    Form(sent): Form<Chosen>,
) -> PageResult {
    may_set_up(&login)?;
    let words = Words::of(login.lang);
    // Who finds an open browser must not put a factor of their own on the account. In a login that needs one the owner was
    // proved just before, by the password or by the provider.
    if login.stage == Stage::Full && !account::proved(&app, &login, &sent.password).await? {
        return offer_page(&app, &login, &headers, Some(words.account.old_wrong)).await;
    }
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let kept = site_store::keep_factor(&mut tx, &login.token, "").await?;
    let sealed = kept.filter(|sealed| !sealed.is_empty()).ok_or(Problem::Stale)?;
    let factor = Factor::open(&sealed, &app.columns, login.operator_id).ok_or(Problem::Internal)?;
    let Some(step) = factor.step_of(&sent.code, now) else {
        drop(tx);
        return offer_page(&app, &login, &headers, Some(words.login.code_wrong)).await;
    };
    let codes = second::set_up(&mut tx, login.operator_id, &sealed, step).await?;
    let event = login.event("operator.factor_set_up", json!({ "operator_id": login.operator_id }), now);
    audit::append(&mut tx, event).await?;
    let stage = stage_after(&app, &mut tx, &login).await?;
    let advanced = advance(&mut tx, &app, &login, stage).await?;
    tx.commit().await?;
    let page = RecoveryPage { frame: Frame::outside(&app, login.realm, &headers, String::new()), codes };
    let mut response = Html(page.render()?).into_response();
    // The link on the page goes on.
    advanced.keep(&mut response);
    Ok(response)
}
