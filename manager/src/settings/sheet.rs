//! One sheet of settings, from what was typed to what is stored.
//!
//! A form is sent three ways, by its `step`: to see what a change means (the default), to go back to the form, and to
//! save. What is saved was read again, is compared with what is stored now, and is written with its row of the log in one
//! transaction.

use std::net::IpAddr;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::get,
};
use proto::api::UnixMillis;
use sha2::{Digest as _, Sha256};

use super::{
    fields::{Fields, Mistakes, Reader},
    page::{ConfirmPage, Line, SheetForm},
    store,
};
use crate::{
    app::App,
    audit::{self, change},
    company::Policy,
    db::{DbResult, Tx},
    extract::Source,
    login::SiteLogin,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Words, frame::Flash},
};

/// The field with the hash of what the form was filled from.
pub const SEEN: &str = "seen";
/// The field that says what to do.
const STEP: &str = "step";
/// The box that says that a warning was read.
const SURE: &str = "sure";

/// A change that somebody wants to make.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Who.
    pub login: &'a SiteLogin,
    /// From where.
    pub source: IpAddr,
    /// The rules now.
    pub old: &'a Policy,
    /// The rules afterwards.
    pub new: &'a Policy,
    /// When.
    pub now: UnixMillis,
    /// The sentences.
    pub words: &'static Words,
}

/// A subject of settings.
pub trait Sheet: Send + Sync + 'static {
    /// Where it is.
    const ADDRESS: &'static str;
    /// The event of a change.
    const EVENT: &'static str;
    /// What a change is about, in the log.
    const SUBJECT: &'static str;
    /// Its fields, in the order of the page.
    const KEYS: &'static [&'static str];
    /// Those of them that are boxes.
    const CHECKS: &'static [&'static str];

    /// Its heading.
    fn title(words: &'static Words) -> &'static str;
    /// What a field is called.
    fn label(words: &'static Words, key: &str) -> Option<&'static str>;
    /// The form as it is filled with the rules.
    fn fill(policy: &Policy) -> Fields;
    /// Puts what was typed into the rules.
    fn read(reader: &mut Reader<'_>, policy: &mut Policy);
    /// What a change means for whom, a sentence each.
    fn effects(tx: &mut Tx, change: Change<'_>) -> impl Future<Output = DbResult<Vec<String>>> + Send;
    /// What must be confirmed apart.
    fn warnings(_change: Change<'_>) -> Vec<String> {
        Vec::new()
    }
    /// The value of a field as people read it.
    fn shown(words: &'static Words, key: &str, value: &str) -> String {
        let w = &words.settings;
        match value {
            _ if Self::CHECKS.contains(&key) => if value.is_empty() { w.no } else { w.yes }.to_owned(),
            "" => words.shared.never.to_owned(),
            "0" => Self::zero(words, key).unwrap_or(value).to_owned(),
            value => value.to_owned(),
        }
    }
    /// What a 0 in a field means, where it is no number.
    fn zero(_words: &'static Words, _key: &str) -> Option<&'static str> {
        None
    }
    /// The page with its form.
    ///
    /// # Errors
    /// What the template says.
    fn page(frame: Frame, form: SheetForm, change: Change<'_>) -> askama::Result<String>;
}

/// The routes of a sheet.
pub fn router<S: Sheet>() -> Router<App> {
    Router::new().route(S::ADDRESS, get(show::<S>).post(send::<S>))
}

async fn show<S: Sheet>(
    State(app): State<App>,
    login: SiteLogin,
    Source(source): Source,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let policy = login.policy.clone();
    let fields = S::fill(&policy);
    let seen = hash::<S>(&policy);
    form_page::<S>(&app, &login, source, &headers, fields, Mistakes::new(), seen, StatusCode::OK)
}

#[expect(clippy::too_many_arguments, reason = "what a page is made of, from three callers")]
fn form_page<S: Sheet>(
    app: &App,
    login: &SiteLogin,
    source: IpAddr,
    headers: &HeaderMap,
    fields: Fields,
    mistakes: Mistakes,
    seen: String,
    status: StatusCode,
) -> PageResult {
    let frame = Frame::of(app, login, headers, Here::Settings);
    let policy = &login.policy;
    let change = Change { login, source, old: policy, new: policy, now: app.now_ms(), words: frame.words };
    let form = SheetForm { address: S::ADDRESS, fields, mistakes, seen };
    Ok((status, Html(S::page(frame, form, change)?)).into_response())
}

async fn send<S: Sheet>(
    State(app): State<App>,
    login: SiteLogin,
    Source(source): Source,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let words = Words::of(login.lang);
    let step = fields.text(STEP).to_owned();
    let seen = fields.text(SEEN).to_owned();
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let old = store::hold(&mut tx, login.company_id).await?;
    if seen != hash::<S>(&old) {
        return Err(Problem::Changed { back: S::ADDRESS.to_owned() });
    }
    let mut new = old.clone();
    let mut reader = Reader { fields: &fields, words, mistakes: Mistakes::new() };
    S::read(&mut reader, &mut new);
    let mistakes = reader.mistakes;
    if !mistakes.is_empty() || step == "edit" {
        drop(tx);
        let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        return form_page::<S>(&app, &login, source, &headers, fields, mistakes, seen, status);
    }
    let (before, after) = (S::fill(&old), S::fill(&new));
    let pairs = S::KEYS.iter().map(|key| (*key, before.text(key), after.text(key)));
    let differences = change::differences(pairs);
    if differences.is_empty() {
        return Ok(Flash::Unchanged.then(S::ADDRESS));
    }
    let change = Change { login: &login, source, old: &old, new: &new, now, words };
    let warnings = S::warnings(change);
    let is_sure = warnings.is_empty() || fields.is_on(SURE);
    if step == "save" && is_sure {
        store::save(&mut tx, login.company_id, &new).await?;
        let detail = change::store(&mut tx, login.company_id, S::SUBJECT, &login.name, differences, now).await?;
        audit::append(&mut tx, login.event(S::EVENT, detail, now)).await?;
        tx.commit().await?;
        return Ok(Flash::Saved.then(S::ADDRESS));
    }
    let line = |field: &change::Field| Line {
        name: S::label(words, &field.name).unwrap_or_default(),
        old: S::shown(words, &field.name, &field.old),
        new: S::shown(words, &field.name, &field.new),
    };
    let page = ConfirmPage {
        frame: Frame::of(&app, &login, &headers, Here::Settings),
        title: S::title(words),
        address: S::ADDRESS,
        lines: differences.iter().map(line).collect(),
        effects: S::effects(&mut tx, change).await?,
        warnings,
        not_sure: step == "save",
        pairs: fields.pairs(S::KEYS),
        seen,
    };
    let status = if page.not_sure { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, Html(askama::Template::render(&page)?)).into_response())
}

/// What the form was filled from.
fn hash<S: Sheet>(policy: &Policy) -> String {
    let fields = S::fill(policy);
    let mut hasher = Sha256::new();
    for key in S::KEYS {
        hasher.update(fields.text(key).as_bytes());
        hasher.update([0]);
    }
    hex::encode(hasher.finalize())
}
