//! Partners: who brings companies and sees those only.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::get,
};
use proto::api::UnixMillis;
use serde::Deserialize;

use crate::{
    admin::{
        AdminLogin, AdminPermission, Reason,
        frame::{Here, frame},
        record::{About, record},
    },
    app::{self, App},
    audit::change,
    company::{ShownName, is_shown},
    db::{DbError, DbResult, Tx},
    execute,
    extract::InPath,
    fetch_all, fetch_optional,
    login::realm::SYSTEM,
    site::{Form, Frame, PageResult, Problem, Words, frame::Flash},
};

/// The most partners there can be; they stand on one page.
const PARTNERS_MAX: i64 = 500;
/// The longest note, in characters.
const NOTE_LEN_MAX: usize = 200;

/// A partner.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Partner {
    /// Its id in addresses.
    pub id: String,
    /// The name.
    pub name: String,
    /// What operations noted.
    pub note: String,
    /// Companies it brought.
    pub companies: i64,
    /// Accounts that see them.
    pub accounts: i64,
    /// Counts changes.
    pub version: i64,
}

/// Every partner, by name.
///
/// # Errors
/// [`DbError`].
pub async fn all(tx: &mut Tx) -> DbResult<Vec<Partner>> {
    fetch_all!(
        tx,
        Partner,
        "SELECT p.partner_id AS id, p.name, p.note, p.version,
            (SELECT COUNT(*) FROM companies c WHERE c.partner_id = p.partner_id AND c.state <> 'erased') AS companies,
            (SELECT COUNT(*) FROM operators o WHERE o.partner_id = p.partner_id AND o.deleted_at_ms IS NULL) AS accounts
        FROM partners p
        ORDER BY p.name
        LIMIT $1",
        PARTNERS_MAX
    )
}

/// One partner.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, partner_id: &str) -> DbResult<Option<Partner>> {
    fetch_optional!(
        tx,
        Partner,
        "SELECT p.partner_id AS id, p.name, p.note, p.version,
            (SELECT COUNT(*) FROM companies c WHERE c.partner_id = p.partner_id AND c.state <> 'erased') AS companies,
            (SELECT COUNT(*) FROM operators o WHERE o.partner_id = p.partner_id AND o.deleted_at_ms IS NULL) AS accounts
        FROM partners p
        WHERE p.partner_id = $1",
        partner_id
    )
}

/// The pages of this slice.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/system/partners", get(show_list).post(create))
        .route("/system/partners/{partner_id}", get(show).post(update))
}

#[derive(Template)]
#[template(path = "contract/partners.html")]
struct ListPage {
    frame: Frame,
    partners: Vec<Partner>,
    filled: Filled,
    mistakes: Mistakes,
}

#[derive(Template)]
#[template(path = "contract/partner.html")]
struct ShowPage {
    frame: Frame,
    partner: Partner,
    filled: Filled,
    mistakes: Mistakes,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Filled {
    name: String,
    note: String,
    reason: String,
    version: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mistakes {
    name: Option<&'static str>,
    note: Option<&'static str>,
    reason: Option<&'static str>,
}

impl Filled {
    fn values(&self, words: &'static Words) -> Result<(ShownName, String, Reason), Mistakes> {
        let name = self.name.trim().parse::<ShownName>();
        let note = self.note.trim();
        let note_fits = note.chars().count() <= NOTE_LEN_MAX && note.chars().all(is_shown);
        match (name, note_fits, self.reason.parse::<Reason>()) {
            (Ok(name), true, Ok(reason)) => Ok((name, note.to_owned(), reason)),
            (name, _, reason) => Err(Mistakes {
                name: name.err().map(|_wrong| words.operators.name_wrong),
                note: (!note_fits).then_some(words.companies.note_wrong),
                reason: reason.err().map(|_wrong| words.system.reason_wrong),
            }),
        }
    }
}

async fn show_list(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    list_page(&app, &login, &headers, Filled::default(), Mistakes::default()).await
}

async fn list_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let partners = all(&mut tx).await?;
    drop(tx);
    let page = ListPage { frame: frame(app, login, headers, Here::Partners), partners, filled, mistakes };
    Ok((status(mistakes), Html(page.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    let words = Words::of(login.lang);
    let (name, note, reason) = match filled.values(words) {
        Ok(values) => values,
        Err(mistakes) => return list_page(&app, &login, &headers, filled, mistakes).await,
    };
    let mut tx = app.db.begin().await?;
    match insert(&mut tx, &login, (&name, &note), &reason, app.now_ms()).await {
        Ok(true) => {
            tx.commit().await?;
            Ok(Flash::Saved.then("/system/partners"))
        }
        Ok(false) => Err(Problem::TooLarge),
        Err(DbError::Duplicate(_)) => {
            drop(tx);
            let mistakes = Mistakes { name: Some(words.partners.taken), ..Mistakes::default() };
            list_page(&app, &login, &headers, filled, mistakes).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn show(
    State(app): State<App>,
    login: AdminLogin,
    InPath(partner_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    let partner = read(&app, &partner_id).await?;
    let filled = Filled {
        name: partner.name.clone(),
        note: partner.note.clone(),
        reason: String::new(),
        version: partner.version,
    };
    show_page(&app, &login, &headers, partner, filled, Mistakes::default())
}

fn show_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    partner: Partner,
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let page = ShowPage { frame: frame(app, login, headers, Here::Partners), partner, filled, mistakes };
    Ok((status(mistakes), Html(page.render()?)).into_response())
}

async fn update(
    State(app): State<App>,
    login: AdminLogin,
    InPath(partner_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::CompanyEdit)?;
    let words = Words::of(login.lang);
    let partner = read(&app, &partner_id).await?;
    let (name, note, reason) = match filled.values(words) {
        Ok(values) => values,
        Err(mistakes) => return show_page(&app, &login, &headers, partner, filled, mistakes),
    };
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let updated = execute!(
        &mut tx,
        "UPDATE partners
        SET name = $3, note = $4, version = version + 1
        WHERE partner_id = $1
        AND version = $2",
        &partner.id,
        filled.version,
        name.as_str(),
        &note
    );
    match updated {
        Ok(1) => {}
        Ok(_) => return Err(Problem::Changed { back: format!("/system/partners/{partner_id}") }),
        Err(DbError::Duplicate(_)) => {
            drop(tx);
            let mistakes = Mistakes { name: Some(words.partners.taken), ..Mistakes::default() };
            return show_page(&app, &login, &headers, partner, filled, mistakes);
        }
        Err(error) => return Err(error.into()),
    }
    let fields = change::differences([
        ("name", partner.name.as_str(), name.as_str()),
        ("note", partner.note.as_str(), note.as_str()),
    ]);
    let about = About { company_id: SYSTEM, event: "partner.changed", subject: &format!("partner:{partner_id}") };
    record(&mut tx, &login, about, &reason, fields, now).await?;
    tx.commit().await?;
    Ok(Flash::Saved.then("/system/partners"))
}

async fn read(app: &App, partner_id: &str) -> Result<Partner, Problem> {
    let mut tx = app.db.read().await?;
    find(&mut tx, partner_id).await?.ok_or(Problem::NotFound)
}

/// Stores a new partner, unless there are [`PARTNERS_MAX`]; whether it did.
async fn insert(
    tx: &mut Tx,
    login: &AdminLogin,
    (name, note): (&ShownName, &str),
    reason: &Reason,
    now: UnixMillis,
) -> DbResult<bool> {
    let partner_id = hex::encode(app::draw_id());
    let inserted = execute!(
        tx,
        "INSERT INTO partners (partner_id, name, note, created_at_ms, version)
        SELECT $1, $2, $3, $4, 0
        WHERE (SELECT COUNT(*) FROM partners) < $5",
        &partner_id,
        name.as_str(),
        note,
        now,
        PARTNERS_MAX
    )?;
    if inserted == 0 {
        return Ok(false);
    }
    let fields = change::differences([("name", "", name.as_str()), ("note", "", note)]);
    let about = About { company_id: SYSTEM, event: "partner.created", subject: &format!("partner:{partner_id}") };
    record(tx, login, about, reason, fields, now).await?;
    Ok(true)
}

fn status(mistakes: Mistakes) -> StatusCode {
    if mistakes == Mistakes::default() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}
