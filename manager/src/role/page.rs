//! The pages of roles: what each allows, side by side, and the company's own.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    Permission, Permissions, Reach, Role,
    store::{self, Custom},
};
use crate::{
    app::App,
    audit::{self, change},
    company::ShownName,
    db::{DbError, Tx},
    extract::InPath,
    login::SiteLogin,
    site::{
        Form, Frame, Here, PageResult, Problem, Words,
        form::Pressed,
        frame::{Flash, role_name},
    },
};

/// Where they are.
const PAGE: &str = "/settings/roles";

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route(PAGE, get(show_all).post(clone))
        .route("/settings/roles/{role_id}", get(show).post(update))
        .route("/settings/roles/{role_id}/delete", post(delete))
}

/// One column of the matrix.
struct Column {
    name: String,
    /// Where it is changed; none for a role of the product.
    link: Option<String>,
    reach: Reach,
    permissions: Permissions,
    accounts: Option<i64>,
}

#[derive(Template)]
#[template(path = "role/list.html")]
struct ListPage {
    frame: Frame,
    columns: Vec<Column>,
    filled: CloneForm,
    mistake: Option<&'static str>,
    /// What can be cloned: value and name.
    bases: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "role/show.html")]
struct ShowPage {
    frame: Frame,
    role: Custom,
    base: &'static str,
    /// What the base allows, and so what can be chosen.
    choices: Vec<Permission>,
    reaches: Vec<Reach>,
    mistake: Option<&'static str>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct CloneForm {
    name: String,
    base: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RoleForm {
    name: String,
    reach: String,
    permissions: Vec<String>,
    version: i64,
}

async fn show_all(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::RoleEdit)?;
    let filled = CloneForm { base: Role::Operator.to_string(), ..CloneForm::default() };
    list_page(&app, &login, &headers, filled, None).await
}

async fn list_page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    filled: CloneForm,
    mistake: Option<&'static str>,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let own = store::of_company(&mut tx, login.company_id).await?;
    drop(tx);
    let frame = Frame::of(app, login, headers, Here::Roles);
    let product = Role::ALL.into_iter().map(|role| Column {
        name: role_name(role, frame.words).to_owned(),
        link: None,
        reach: role.reach(),
        permissions: role.permissions(),
        accounts: None,
    });
    let bases = Role::ALL.into_iter().map(|role| (role.to_string(), role_name(role, frame.words).to_owned()));
    let bases = bases.chain(own.iter().map(|role| (role.role_id.clone(), role.name.clone()))).collect();
    let columns = product.collect::<Vec<_>>().into_iter().chain(own.into_iter().map(|role| Column {
        link: Some(format!("{PAGE}/{}", role.role_id)),
        name: role.name,
        reach: role.reach,
        permissions: role.permissions,
        accounts: Some(role.accounts),
    }));
    let columns = columns.collect();
    let status = if mistake.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Html(ListPage { frame, columns, filled, mistake, bases }.render()?)).into_response())
}

/// Makes a role that allows what another one does, to be narrowed on its page.
async fn clone(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(filled): Form<CloneForm>,
) -> PageResult {
    login.need(Permission::RoleEdit)?;
    let w = &Words::of(login.lang).roles_page;
    let Ok(name) = filled.name.trim().parse::<ShownName>() else {
        return list_page(&app, &login, &headers, filled, Some(w.name_wrong)).await;
    };
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let Some(origin) = origin(&mut tx, &login, &filled.base).await? else {
        drop(tx);
        return list_page(&app, &login, &headers, filled, Some(w.base_wrong)).await;
    };
    let role = Custom { name: name.as_str().to_owned(), ..origin };
    let mistake = if is_within(&role, &login) {
        match store::insert(&mut tx, login.company_id, &role, now).await {
            Ok(Some(role_id)) => {
                log(&mut tx, &login, "role.created", &role_id, (None, Some(&role)), now).await?;
                tx.commit().await?;
                return Ok(Flash::Saved.then(&format!("{PAGE}/{role_id}")));
            }
            Ok(None) => w.too_many,
            Err(DbError::Duplicate(_)) => w.name_taken,
            Err(error) => return Err(error.into()),
        }
    } else {
        w.too_wide
    };
    drop(tx);
    list_page(&app, &login, &headers, filled, Some(mistake)).await
}

/// What a role is cloned from: one of the product, or one of the company's own.
async fn origin(tx: &mut Tx, login: &SiteLogin, text: &str) -> Result<Option<Custom>, Problem> {
    if let Ok(base) = text.parse::<Role>() {
        let (reach, permissions) = (base.reach(), base.permissions());
        let (role_id, name) = (String::new(), String::new());
        return Ok(Some(Custom { role_id, name, base, reach, permissions, accounts: 0, version: 0 }));
    }
    Ok(store::find(tx, login.company_id, text).await?)
}

async fn show(
    State(app): State<App>,
    login: SiteLogin,
    InPath(role_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::RoleEdit)?;
    let mut tx = app.db.read().await?;
    let role = store::find(&mut tx, login.company_id, &role_id).await?.ok_or(Problem::NotFound)?;
    drop(tx);
    show_page(&app, &login, &headers, role, None)
}

fn show_page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    role: Custom,
    mistake: Option<&'static str>,
) -> PageResult {
    let frame = Frame::of(app, login, headers, Here::Roles);
    let status = if mistake.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = ShowPage {
        base: role_name(role.base, frame.words),
        choices: role.base.permissions().iter().collect(),
        reaches: Reach::ALL.into_iter().filter(|reach| (*reach as u8) <= (role.base.reach() as u8)).collect(),
        frame,
        role,
        mistake,
    };
    Ok((status, Html(page.render()?)).into_response())
}

async fn update(
    State(app): State<App>,
    login: SiteLogin,
    InPath(role_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<RoleForm>,
) -> PageResult {
    login.need(Permission::RoleEdit)?;
    let w = &Words::of(login.lang).roles_page;
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, login.company_id, &role_id).await?.ok_or(Problem::NotFound)?;
    let reach: Reach = filled.reach.parse().map_err(|_unknown| Problem::BadForm)?;
    let chosen: Permissions = filled.permissions.iter().filter_map(|text| text.parse().ok()).collect();
    let new = Custom {
        name: filled.name.trim().to_owned(),
        reach,
        // The base is the widest that a role may be, so that it means what its name in the list of roles says.
        permissions: chosen.and(old.base.permissions()),
        version: filled.version,
        ..old.clone()
    };
    let mistake = if new.name.parse::<ShownName>().is_err() {
        w.name_wrong
    } else if (old.base.reach() as u8) < (reach as u8) || !is_within(&old, &login) || !is_within(&new, &login) {
        w.too_wide
    } else {
        match store::update(&mut tx, login.company_id, &new).await {
            Ok(true) => {
                log(&mut tx, &login, "role.changed", &role_id, (Some(&old), Some(&new)), now).await?;
                tx.commit().await?;
                return Ok(Flash::Saved.then(&format!("{PAGE}/{role_id}")));
            }
            Ok(false) => return Err(Problem::Changed { back: format!("{PAGE}/{role_id}") }),
            Err(DbError::Duplicate(_)) => w.name_taken,
            Err(error) => return Err(error.into()),
        }
    };
    drop(tx);
    show_page(&app, &login, &headers, new, Some(mistake))
}

async fn delete(
    State(app): State<App>,
    login: SiteLogin,
    InPath(role_id): InPath<String>,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::RoleEdit)?;
    let mut tx = app.db.begin().await?;
    let old = store::find(&mut tx, login.company_id, &role_id).await?.ok_or(Problem::NotFound)?;
    if !store::delete(&mut tx, login.company_id, &role_id).await? {
        drop(tx);
        let used = Words::of(login.lang).roles_page.used;
        return show_page(&app, &login, &headers, old, Some(used));
    }
    log(&mut tx, &login, "role.deleted", &role_id, (Some(&old), None), app.now_ms()).await?;
    tx.commit().await?;
    Ok(Flash::Deleted.then(PAGE))
}

/// Whether a role gives nothing that `login` has not.
const fn is_within(role: &Custom, login: &SiteLogin) -> bool {
    login.permissions.covers(role.permissions) && (role.reach as u8) <= (login.reach as u8)
}

async fn log(
    tx: &mut Tx,
    login: &SiteLogin,
    event: &'static str,
    role_id: &str,
    (old, new): (Option<&Custom>, Option<&Custom>),
    now: i64,
) -> Result<(), DbError> {
    let texts = |role: Option<&Custom>| {
        role.map_or_else(<[String; 3]>::default, |role| {
            [role.name.clone(), role.reach.as_str().to_owned(), role.permissions.to_string()]
        })
    };
    let (before, after) = (texts(old), texts(new));
    let [name, reach, permissions] = ["name", "reach", "permissions"];
    let pairs = before.iter().zip(&after);
    let named = [name, reach, permissions].into_iter().zip(pairs);
    let fields = change::differences(named.map(|(name, (old, new))| (name, old.as_str(), new.as_str())));
    let subject = format!("role:{role_id}");
    let detail = change::store(tx, login.company_id, &subject, &login.name, fields, now).await?;
    audit::append(tx, login.event(event, detail, now)).await?;
    Ok(())
}

impl Permission {
    /// Its name on pages.
    pub(crate) const fn name(self, words: &'static Words) -> &'static str {
        let w = &words.permissions;
        match self {
            Self::ReceptionIssue => w.reception_issue,
            Self::SessionControl => w.session_control,
            Self::LiveView => w.live_view,
            Self::LiveAct => w.live_act,
            Self::LogView => w.log_view,
            Self::LogNote => w.log_note,
            Self::LogExport => w.log_export,
            Self::StatisticsView => w.statistics_view,
            Self::OperatorView => w.operator_view,
            Self::OperatorEdit => w.operator_edit,
            Self::OrganisationEdit => w.organisation_edit,
            Self::RoleEdit => w.role_edit,
            Self::SettingsEdit => w.settings_edit,
            Self::AuditView => w.audit_view,
            Self::LoginLogView => w.login_log_view,
            Self::ApiEdit => w.api_edit,
        }
    }
}

impl Reach {
    /// Its name on pages.
    pub(crate) const fn name(self, words: &'static Words) -> &'static str {
        let w = &words.roles_page;
        match self {
            Self::Own => w.reach_own,
            Self::Organisation => w.reach_organisation,
            Self::Company => w.reach_company,
        }
    }
}
