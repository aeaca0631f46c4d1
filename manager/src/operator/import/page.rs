//! The pages of a file of accounts: bringing it, looking at what it would do, doing it.

use std::borrow::Cow;

use askama::Template;
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    CHANGES_MAX, FILE_LEN_MAX, Mode, RECORDS_MAX,
    apply::{self, ApplyError},
    plan::{self, Change, Fault, Plan, What, World},
    read::{self, Column, ReadError},
    store,
};
use crate::{
    app::App,
    audit,
    extract::InPath,
    list::{Params, csv},
    login::SiteLogin,
    operator::UserId,
    role::Permission,
    site::{Form, Frame, Here, PageResult, Problem, Upload, Words, download, form::Pressed},
};

/// What comes with a file in its form.
const FORM_LEN_MAX: usize = 64 * 1024;
/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/operators/csv", get(show).post(bring))
        .route("/operators/csv/template", get(template))
        .route("/operators/csv/{import_id}", get(look).post(run))
        .route("/operators/csv/{import_id}/mistakes", get(mistakes))
        .layer(DefaultBodyLimit::max(FILE_LEN_MAX + FORM_LEN_MAX))
}

#[derive(Template)]
#[template(path = "operator/import.html")]
struct BringPage {
    frame: Frame,
    mode: Mode,
    mistake: Option<String>,
}

#[derive(Template)]
#[template(path = "operator/import_look.html")]
struct LookPage {
    frame: Frame,
    import_id: String,
    plan: Plan,
    counts: (usize, usize, usize),
}

#[derive(Template)]
#[template(path = "operator/import_done.html")]
struct DonePage {
    frame: Frame,
    counts: (usize, usize, usize),
    unchanged: usize,
    links: Vec<(String, String, String)>,
    /// The same as a file, in the address itself: nobody keeps them.
    file: String,
    mailed: usize,
}

async fn show(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    bring_page(&app, &login, &headers, Mode::default(), None)
}

fn bring_page(app: &App, login: &SiteLogin, headers: &HeaderMap, mode: Mode, error: Option<&ReadError>) -> PageResult {
    let frame = Frame::of(app, login, headers, Here::Operators);
    let mistake = error.map(|error| told(error, frame.words));
    let status = if mistake.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, Html(BringPage { frame, mode, mistake }.render()?)).into_response())
}

/// An empty file with the columns and one line that shows what goes into them.
async fn template(login: SiteLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let encoding = csv::Encoding::parse(Params::parse(query.as_deref().unwrap_or_default()).text("encoding"));
    let words = Words::of(login.lang);
    let mut file = csv::begin(encoding);
    csv::line(Column::ALL.map(|column| Cow::Borrowed(column.as_str())), encoding, &mut file);
    let w = &words.import;
    let example = ["yamada", w.example_name, w.example_kana, "yamada@example.jp", "operator", "", "active"];
    csv::line(example.map(Cow::Borrowed), encoding, &mut file);
    Ok(attachment("operators-template", encoding, file))
}

async fn bring(State(app): State<App>, login: SiteLogin, headers: HeaderMap, upload: Upload) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let mode = Mode::parse(upload.text("mode")).ok_or(Problem::BadForm)?;
    let file = upload.file.clone();
    let read = move || read::text(&file).and_then(|text| read::sheet(&text).map(|_| text));
    let text = match tokio::task::spawn_blocking(read).await.map_err(|_panicked| Problem::Internal)? {
        Ok(text) => text,
        Err(error) => return bring_page(&app, &login, &headers, mode, Some(&error)),
    };
    let mut tx = app.db.begin().await?;
    let import_id = store::keep(&mut tx, &login, mode, &text, app.now_ms()).await?;
    tx.commit().await?;
    let to = HeaderValue::from_str(&format!("/operators/csv/{import_id}")).map_err(|_never| Problem::Internal)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response())
}

async fn look(
    State(app): State<App>,
    login: SiteLogin,
    InPath(import_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let (mode, text) = store::find(&mut tx, &login, &import_id, now).await?.ok_or(Problem::NotFound)?;
    let world = store::world(&mut tx, &login, now).await?;
    drop(tx);
    let plan = planned(text, mode, world, &login).await?;
    look_page(&app, &login, &headers, import_id, plan)
}

fn look_page(app: &App, login: &SiteLogin, headers: &HeaderMap, import_id: String, plan: Plan) -> PageResult {
    let frame = Frame::of(app, login, headers, Here::Operators);
    let status = if plan.mistaken == 0 { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let counts = plan.counts();
    Ok((status, Html(LookPage { frame, import_id, plan, counts }.render()?)).into_response())
}

/// Reading and deciding take long for a large file, and nobody else shall wait for it.
async fn planned(text: String, mode: Mode, world: World, login: &SiteLogin) -> Result<Plan, Problem> {
    let login = login.clone();
    let work = move || read::sheet(&text).map(|sheet| plan::plan(&sheet, mode, &world, &login));
    let done = tokio::task::spawn_blocking(work).await.map_err(|_panicked| Problem::Internal)?;
    done.map_err(|_was_read_before| Problem::Internal)
}

async fn run(
    State(app): State<App>,
    login: SiteLogin,
    InPath(import_id): InPath<String>,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let (mode, text) = store::find(&mut tx, &login, &import_id, now).await?.ok_or(Problem::NotFound)?;
    let world = store::world(&mut tx, &login, now).await?;
    let mut plan = planned(text, mode, world, &login).await?;
    if 0 < plan.mistaken {
        drop(tx);
        return look_page(&app, &login, &headers, import_id, plan);
    }
    let links = match apply::apply(&app, &mut tx, &login, &plan.changes, now).await {
        Ok(links) => links,
        Err(ApplyError::Db(error)) => return Err(error.into()),
        Err(ApplyError::Mistake(mistake)) => {
            drop(tx);
            plan.mistaken = 1;
            plan.mistakes.push(mistake);
            return look_page(&app, &login, &headers, import_id, plan);
        }
    };
    let counts = plan.counts();
    let (added, changed, deleted) = counts;
    let detail = json!({ "mode": mode.as_str(), "added": added, "changed": changed, "deleted": deleted });
    audit::append(&mut tx, login.event("operator.imported", detail, now)).await?;
    store::forget(&mut tx, &login).await?;
    tx.commit().await?;
    done_page(&app, &login, &headers, &plan, links)
}

fn done_page(app: &App, login: &SiteLogin, headers: &HeaderMap, plan: &Plan, links: apply::Links) -> PageResult {
    let full = |(user, name, path): (String, String, String)| (user, name, app.config.mail.link_from(headers, &path));
    let links: Vec<_> = links.into_iter().map(full).collect();
    let mut file = csv::begin(csv::Encoding::Utf8);
    csv::line(["user", "name", "link"].map(Cow::Borrowed), csv::Encoding::Utf8, &mut file);
    for (user, name, link) in &links {
        csv::line([user, name, link].map(|cell| Cow::Borrowed(cell.as_str())), csv::Encoding::Utf8, &mut file);
    }
    let is_ready = |change: &&Change| matches!(change.what, What::Add { stopped: false, .. });
    let page = DonePage {
        frame: Frame::of(app, login, headers, Here::Operators),
        counts: plan.counts(),
        unchanged: plan.unchanged,
        mailed: plan.changes.iter().filter(is_ready).count().saturating_sub(links.len()),
        links,
        file: STANDARD.encode(file),
    };
    Ok(Html(page.render()?).into_response())
}

/// The mistakes of a file as a file.
async fn mistakes(
    State(app): State<App>,
    login: SiteLogin,
    InPath(import_id): InPath<String>,
    RawQuery(query): RawQuery,
) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let encoding = csv::Encoding::parse(Params::parse(query.as_deref().unwrap_or_default()).text("encoding"));
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let (mode, text) = store::find(&mut tx, &login, &import_id, now).await?.ok_or(Problem::NotFound)?;
    let world = store::world(&mut tx, &login, now).await?;
    drop(tx);
    let plan = planned(text, mode, world, &login).await?;
    let words = Words::of(login.lang);
    let mut file = csv::begin(encoding);
    csv::line(["line", "column", "value", "mistake"].map(Cow::Borrowed), encoding, &mut file);
    for mistake in &plan.mistakes {
        let column = mistake.column.map_or("", Column::as_str);
        let cells = [Cow::Owned(mistake.line.to_string()), Cow::Borrowed(column), Cow::Borrowed(&mistake.value)];
        csv::line(cells.into_iter().chain([Cow::Owned(mistake.fault.told(words))]), encoding, &mut file);
    }
    Ok(attachment("operators-mistakes", encoding, file))
}

fn attachment(name: &str, encoding: csv::Encoding, file: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(file));
    response.headers_mut().insert(header::CONTENT_TYPE, csv::kind(encoding));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, download::attachment(&format!("{name}.csv")));
    response
}

/// Why a file was not read, and what to do.
fn told(error: &ReadError, words: &'static Words) -> String {
    let w = &words.import;
    match error {
        ReadError::TooLong => w.too_long(FILE_LEN_MAX / 1024 / 1024),
        ReadError::TooMany => w.too_many_records(RECORDS_MAX),
        ReadError::Encoding => w.encoding.to_owned(),
        ReadError::Empty => w.empty.to_owned(),
        ReadError::UnknownColumn(name) => w.unknown_column(name),
        ReadError::TwiceColumn(column) => w.twice_column(column.as_str()),
        ReadError::NoColumn(column) => w.no_column(column.as_str()),
    }
}

impl Fault {
    /// What is wrong, and what to do.
    fn told(self, words: &'static Words) -> String {
        let (w, o) = (&words.import, &words.operators);
        let text = match self {
            Self::TooMany => return w.too_many_changes(CHANGES_MAX),
            Self::Ragged => w.ragged,
            Self::User => o.user_wrong,
            Self::Twice => w.twice,
            Self::Taken => w.taken,
            Self::Unknown => w.unknown,
            Self::Name => o.name_wrong,
            Self::Kana => o.kana_wrong,
            Self::Email => o.email_wrong,
            Self::Role => w.role,
            Self::TooWide => o.role_too_wide,
            Self::Organisation => w.organisation,
            Self::Ambiguous => w.organisation_ambiguous,
            Self::State => w.state,
            Self::Oneself => o.oneself,
            Self::NoSeat => o.no_seat,
            Self::LastAdmin => o.last_admin,
            Self::Changed => w.changed,
        };
        text.to_owned()
    }
}

impl Mode {
    fn name(self, words: &'static Words) -> &'static str {
        let w = &words.import;
        match self {
            Self::Add => w.mode_add,
            Self::Update => w.mode_update,
            Self::Both => w.mode_both,
            Self::Delete => w.mode_delete,
        }
    }

    fn explain(self, words: &'static Words) -> &'static str {
        let w = &words.import;
        match self {
            Self::Add => w.mode_add_explain,
            Self::Update => w.mode_update_explain,
            Self::Both => w.mode_both_explain,
            Self::Delete => w.mode_delete_explain,
        }
    }
}

impl Change {
    /// What is done, as a word and the class of its mark.
    fn verb(&self, words: &'static Words) -> (&'static str, &'static str) {
        let w = &words.import;
        match self.what {
            What::Add { .. } => (w.verb_add, "good"),
            What::Update { .. } => (w.verb_update, "warning"),
            What::Delete { .. } => (w.verb_delete, "bad"),
        }
    }

    fn user(&self) -> &UserId {
        &self.user
    }
}
