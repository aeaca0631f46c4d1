//! The pages of system administrators' accounts: the list, one account, and what can be done to it.

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    AdminLogin, AdminPermission, AdminRole, Reason,
    edit::{self, EditError, Values, Verb},
    frame::{Here, frame, role_name},
    history::{ShownChange, history},
    list::{Admins, Row},
    store::NewAdmin,
};
use crate::{
    app::{self, App},
    company::ShownName,
    contract::partner::{self, Partner},
    db::Tx,
    extract::InPath,
    list::{Asked, Page, Params},
    login::{
        Realm,
        password::{NewPassword, PasswordHash},
        realm::SYSTEM,
    },
    operator::{UserId, list::State as AccountState},
    provider,
    site::{Form, Frame, PageResult, Problem, Words, frame::Flash, time},
};

/// The pages of this slice.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/system/admins", get(show_list))
        .route("/system/admins/new", get(show_new).post(create))
        .route("/system/admins/{operator_id}", get(show).post(update))
        .route("/system/admins/{operator_id}/password", post(reissue))
        .route("/system/admins/{operator_id}/{verb}", post(act))
}

/// One line of the list.
struct Line {
    row: Row,
    role: String,
    state: (&'static str, &'static str),
    is_locked: bool,
    last_login: String,
}

/// Something to choose.
struct Choice {
    value: &'static str,
    name: &'static str,
}

#[derive(Template)]
#[template(path = "admin/list.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    roles: Vec<Choice>,
    may_edit: bool,
}

#[derive(Template)]
#[template(path = "admin/new.html")]
struct NewPage {
    frame: Frame,
    filled: Filled,
    mistakes: Mistakes,
    roles: Vec<Choice>,
    partners: Vec<Partner>,
}

#[derive(Template)]
#[template(path = "admin/password.html")]
struct PasswordPage {
    frame: Frame,
    heading: &'static str,
    operator_id: String,
    user_id: String,
    password: String,
}

#[derive(Template)]
#[template(path = "admin/show.html")]
struct ShowPage {
    frame: Frame,
    line: Line,
    filled: Filled,
    mistakes: Mistakes,
    roles: Vec<Choice>,
    partners: Vec<Partner>,
    may_edit: bool,
    is_oneself: bool,
    /// What the account is bound to.
    link: Option<provider::store::Link>,
    created: String,
    changes: Vec<ShownChange>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Filled {
    user: String,
    name: String,
    role: String,
    partner: String,
    reason: String,
    version: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mistakes {
    user: Option<&'static str>,
    name: Option<&'static str>,
    role: Option<&'static str>,
    partner: Option<&'static str>,
    reason: Option<&'static str>,
    /// What is wrong with no field.
    all: Option<&'static str>,
}

impl Filled {
    fn of(row: &Row) -> Self {
        Self {
            user: row.user_id.clone(),
            name: row.name.clone(),
            role: row.role.clone(),
            partner: row.partner_id.clone().unwrap_or_default(),
            reason: String::new(),
            version: row.version,
        }
    }
}

async fn show_list(
    State(app): State<App>,
    login: AdminLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::AdminView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let asked = Asked::read::<Admins>(&params);
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Admins::read(&params), &asked).await?;
    drop(tx);
    let frame = frame(&app, &login, &headers, Here::Admins);
    let (rows, page) = page.split();
    let lines = rows.into_iter().map(|row| Line::new(&app, &login, row, frame.words)).collect();
    let (roles, may_edit) = (roles(frame.words), login.may(AdminPermission::AdminEdit));
    Ok(Html(ListPage { frame, params, asked, page, lines, roles, may_edit }.render()?).into_response())
}

async fn show_new(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    login.need(AdminPermission::AdminEdit)?;
    let filled = Filled { role: AdminRole::Audit.to_string(), ..Filled::default() };
    new_page(&app, &login, &headers, filled, Mistakes::default()).await
}

async fn new_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let partners = partner::all(&mut tx).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Admins);
    let roles = roles(frame.words);
    Ok((status(mistakes), Html(NewPage { frame, filled, mistakes, roles, partners }.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: AdminLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::AdminEdit)?;
    let words = Words::of(login.lang);
    let (password, hash) = draw_password(&app).await?;
    let mut mistakes = Mistakes::default();
    let mut tx = app.db.begin().await?;
    let values = read_values(&mut tx, &filled, words, &mut mistakes).await?;
    let user: Option<UserId> = filled.user.trim().parse().ok();
    if user.is_none() {
        mistakes.user = Some(words.operators.user_wrong);
    }
    let (Some((values, reason)), Some(user)) = (values, user) else {
        drop(tx);
        return new_page(&app, &login, &headers, filled, mistakes).await;
    };
    let new = NewAdmin {
        user_id: &user,
        name: &values.name,
        role: values.role,
        password_hash: &hash,
        password_initial: true,
    };
    let partner = values.partner.as_ref();
    match edit::create(&mut tx, &login, (&new, partner), &reason, app.now_ms()).await {
        Ok(operator_id) => {
            tx.commit().await?;
            let heading = words.admins.created;
            shown_once(&app, &login, &headers, (heading, &operator_id.to_string(), user.as_str()), &password)
        }
        Err(error) => {
            drop(tx);
            place(error, &mut mistakes, words)?;
            new_page(&app, &login, &headers, filled, mistakes).await
        }
    }
}

async fn show(
    State(app): State<App>,
    login: AdminLogin,
    InPath(operator_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(AdminPermission::AdminView)?;
    let row = find(&app, &operator_id).await?;
    let filled = Filled::of(&row);
    show_page(&app, &login, &headers, row, (filled, Mistakes::default())).await
}

async fn show_page(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    row: Row,
    (filled, mistakes): (Filled, Mistakes),
) -> PageResult {
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let partners = partner::all(&mut tx).await?;
    let changes = history(&mut tx, &SYSTEM.to_string(), &format!("admin:{}", row.operator_id), login).await?;
    let link = provider::store::link_of(&mut tx, &row.operator_id).await?;
    drop(tx);
    let frame = frame(app, login, headers, Here::Admins);
    let page = ShowPage {
        link,
        created: time::seconds(row.created_at_ms, &zone),
        is_oneself: row.operator_id == login.operator_id.to_string(),
        may_edit: login.may(AdminPermission::AdminEdit),
        roles: roles(frame.words),
        line: Line::new(app, login, row, frame.words),
        frame,
        filled,
        mistakes,
        partners,
        changes,
    };
    Ok((status(mistakes), Html(page.render()?)).into_response())
}

async fn update(
    State(app): State<App>,
    login: AdminLogin,
    InPath(operator_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::AdminEdit)?;
    let row = find(&app, &operator_id).await?;
    let mut mistakes = Mistakes::default();
    let mut tx = app.db.begin().await?;
    let values = read_values(&mut tx, &filled, Words::of(login.lang), &mut mistakes).await?;
    let Some((values, reason)) = values else {
        drop(tx);
        return show_page(&app, &login, &headers, row, (filled, mistakes)).await;
    };
    match edit::update(&mut tx, &login, (&row, filled.version), &values, &reason, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Flash::Saved.then(&address(&row)))
        }
        Err(error) => {
            drop(tx);
            refused(&app, &login, &headers, row, filled, error).await
        }
    }
}

/// What is done by a button, with a reason.
async fn act(
    State(app): State<App>,
    login: AdminLogin,
    InPath((operator_id, verb)): InPath<(String, String)>,
    headers: HeaderMap,
    Form(typed): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::AdminEdit)?;
    let row = find(&app, &operator_id).await?;
    let verb = Verb::parse(&verb).ok_or(Problem::NotFound)?;
    let filled = Filled { reason: typed.reason, ..Filled::of(&row) };
    let Ok(reason) = filled.reason.parse::<Reason>() else {
        let mistakes = Mistakes { reason: Some(Words::of(login.lang).system.reason_wrong), ..Mistakes::default() };
        return show_page(&app, &login, &headers, row, (filled, mistakes)).await;
    };
    let mut tx = app.db.begin().await?;
    match edit::act(&mut tx, &login, &row, verb, &reason, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            let flash = match verb {
                Verb::Stop => Flash::Stopped,
                Verb::Start => Flash::Started,
                Verb::Unlock => Flash::Unlocked,
                Verb::ResetFactor => Flash::Saved,
                Verb::Unlink => Flash::ProviderUnlinked,
                Verb::LogOut => Flash::LoggedOut,
            };
            Ok(flash.then(&address(&row)))
        }
        Err(error) => {
            drop(tx);
            refused(&app, &login, &headers, row, filled, error).await
        }
    }
}

async fn reissue(
    State(app): State<App>,
    login: AdminLogin,
    InPath(operator_id): InPath<String>,
    headers: HeaderMap,
    Form(typed): Form<Filled>,
) -> PageResult {
    login.need(AdminPermission::AdminEdit)?;
    let words = Words::of(login.lang);
    let row = find(&app, &operator_id).await?;
    let filled = Filled { reason: typed.reason, ..Filled::of(&row) };
    let Ok(reason) = filled.reason.parse::<Reason>() else {
        let mistakes = Mistakes { reason: Some(words.system.reason_wrong), ..Mistakes::default() };
        return show_page(&app, &login, &headers, row, (filled, mistakes)).await;
    };
    let (password, hash) = draw_password(&app).await?;
    let mut tx = app.db.begin().await?;
    match edit::reissue(&mut tx, &login, &row, &hash, &reason, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            let heading = words.operators.reissued;
            shown_once(&app, &login, &headers, (heading, &row.operator_id, &row.user_id), &password)
        }
        Err(error) => {
            drop(tx);
            refused(&app, &login, &headers, row, filled, error).await
        }
    }
}

/// The page of an account with what stood against a change.
async fn refused(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    row: Row,
    filled: Filled,
    error: EditError,
) -> PageResult {
    if matches!(error, EditError::Changed) {
        return Err(Problem::Changed { back: address(&row) });
    }
    let mut mistakes = Mistakes::default();
    place(error, &mut mistakes, Words::of(login.lang))?;
    show_page(app, login, headers, row, (filled, mistakes)).await
}

/// The page that shows a password, once; nobody keeps it.
fn shown_once(
    app: &App,
    login: &AdminLogin,
    headers: &HeaderMap,
    (heading, operator_id, user_id): (&'static str, &str, &str),
    password: &NewPassword,
) -> PageResult {
    let page = PasswordPage {
        frame: frame(app, login, headers, Here::Admins),
        heading,
        operator_id: operator_id.to_owned(),
        user_id: user_id.to_owned(),
        password: password.reveal().to_owned(),
    };
    Ok(Html(page.render()?).into_response())
}

async fn draw_password(app: &App) -> Result<(NewPassword, PasswordHash), Problem> {
    let password = NewPassword::draw(&Realm::System.policy("{}").password, &mut app::os_rng());
    let place = app.hash_gate.enter().await.map_err(|_busy| Problem::Busy)?;
    let hash = app.hash_gate.hash(place, password.same()).await.ok_or(Problem::Internal)?;
    Ok((password, hash))
}

async fn find(app: &App, operator_id: &str) -> Result<Row, Problem> {
    let asked = Asked::read::<Admins>(&Params::default());
    let mut tx = app.db.read().await?;
    let (rows, _) = crate::list::stretch(&mut tx, &Admins::one(operator_id), &asked, 1).await?;
    rows.into_iter().next().ok_or(Problem::NotFound)
}

/// What was typed as values with its reason, or what is wrong with it.
async fn read_values(
    tx: &mut Tx,
    filled: &Filled,
    words: &'static Words,
    mistakes: &mut Mistakes,
) -> Result<Option<(Values, Reason)>, Problem> {
    let name: Option<ShownName> = filled.name.trim().parse().ok();
    let role: Option<AdminRole> = filled.role.parse().ok();
    let partner = match role {
        Some(AdminRole::Partner) => partner::find(tx, &filled.partner).await?.map(|found| (found.id, found.name)),
        Some(AdminRole::Operations | AdminRole::Data | AdminRole::Audit) | None => None,
    };
    let reason: Option<Reason> = filled.reason.parse().ok();
    mistakes.name = name.is_none().then_some(words.operators.name_wrong);
    mistakes.role = role.is_none().then_some(words.operators.role_wrong);
    mistakes.reason = reason.is_none().then_some(words.system.reason_wrong);
    if role == Some(AdminRole::Partner) && partner.is_none() {
        mistakes.partner = Some(words.companies.partner_wrong);
    }
    match (name, role, reason) {
        (Some(name), Some(role), Some(reason)) if mistakes.partner.is_none() => {
            Ok(Some((Values { name, role, partner }, reason)))
        }
        (_, _, _) => Ok(None),
    }
}

fn place(error: EditError, mistakes: &mut Mistakes, words: &'static Words) -> Result<(), Problem> {
    match error {
        EditError::Taken => mistakes.user = Some(words.operators.user_taken),
        EditError::LastOperations => mistakes.all = Some(words.admins.last_operations),
        EditError::Oneself => mistakes.all = Some(words.operators.oneself),
        EditError::Changed => return Err(Problem::Changed { back: "/system/admins".to_owned() }),
        EditError::Db(error) => return Err(error.into()),
    }
    Ok(())
}

fn roles(words: &'static Words) -> Vec<Choice> {
    AdminRole::ALL.into_iter().map(|role| Choice { value: role.as_str(), name: role_name(role, words) }).collect()
}

/// The name of a state, and the class of its mark.
const fn state_mark(state: AccountState, words: &'static Words) -> (&'static str, &'static str) {
    let w = &words.operators;
    match state {
        AccountState::Stopped => (w.state_stopped, "off"),
        AccountState::Locked => (w.state_locked, "bad"),
        AccountState::Initial => (w.state_initial, "warning"),
        AccountState::Active => (w.state_active, "good"),
    }
}

fn address(row: &Row) -> String {
    format!("/system/admins/{}", row.operator_id)
}

fn status(mistakes: Mistakes) -> StatusCode {
    if mistakes == Mistakes::default() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}

impl Line {
    fn new(app: &App, login: &AdminLogin, row: Row, words: &'static Words) -> Self {
        let role = row.role.parse().map_or(row.role.as_str(), |role| role_name(role, words)).to_owned();
        let role = row.partner_name.as_ref().map_or_else(|| role.clone(), |name| format!("{role} ({name})"));
        let shown = |at| time::seconds(at, &login.zone());
        Self {
            role,
            is_locked: row.state(app.now_ms()) == AccountState::Locked,
            state: state_mark(row.state(app.now_ms()), words),
            last_login: row.last_login_at_ms.map_or_else(|| words.shared.never.to_owned(), shown),
            row,
        }
    }
}
