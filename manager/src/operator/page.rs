//! The pages of accounts: the list, one account, and what can be done to it.

use askama::Template;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _},
    routing::get,
};
use proto::id::OperatorId;
use serde_json::json;

use super::{
    UserId,
    bulk::{self, Verb},
    edit::{self, EditError, Values},
    effective::{self, Effective},
    fields::organisation_of,
    form::{Filled, Mistakes, RoleChoice, moved, place, read_values, role_choices},
    list::{self, Accounts, HEADS, Row, State as AccountState},
};
use crate::{
    app::{self, App},
    audit::{
        self, change,
        told::{self, Told},
    },
    db::Tx,
    extract::InPath,
    group::store::{self as groups, Group},
    list::{
        Asked, Page, Params, csv,
        saved::{self, Saved},
    },
    login::{
        SiteLogin,
        link::Purpose,
        page::proved,
        password::{self, NewPassword, PasswordHash},
    },
    organisation::store::{self as organisations, Organisation},
    provider,
    role::{Permission, Reach, Role},
    site::{
        Form, Frame, Here, PageResult, Problem, Words,
        form::Pressed,
        frame::{Flash, role_name},
        time,
    },
    terms::agree::{self, ShownAgreement},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .merge(super::import::page::router())
        .route("/operators", get(show_list))
        .route("/operators/file", get(file))
        .route("/operators/new", get(show_new).post(create))
        .merge(bulk::router())
        .route("/operators/{operator_id}", get(show).post(update))
        .route("/operators/{operator_id}/{verb}", axum::routing::post(act))
}

/// One line of the list.
struct Line {
    row: Row,
    role: String,
    state: AccountState,
    last_login: String,
    last_support: String,
    /// Until when an initial password can be used, when it is one.
    initial: Option<String>,
}

#[derive(Template)]
#[template(path = "operator/list.html")]
struct ListPage {
    frame: Frame,
    params: Params,
    asked: Asked,
    page: Page<()>,
    lines: Vec<Line>,
    roles: Vec<RoleChoice>,
    tree: Vec<Organisation>,
    groups: Vec<Group>,
    may_edit: bool,
    own_id: String,
    saved: Vec<Saved>,
}

#[derive(Template)]
#[template(path = "operator/new.html")]
struct NewPage {
    frame: Frame,
    filled: Filled,
    mistakes: Mistakes,
    roles: Vec<RoleChoice>,
    tree: Vec<Organisation>,
    may_root: bool,
    by_mail: bool,
}

#[derive(Template)]
#[template(path = "operator/password.html")]
struct PasswordPage {
    frame: Frame,
    heading: &'static str,
    company_code: String,
    user_id: String,
    password: String,
    /// Whether it is worth nothing unless it is used soon.
    ends: bool,
    operator_id: String,
}

#[derive(Template)]
#[template(path = "operator/show.html")]
#[expect(clippy::struct_excessive_bools, reason = "each shows or hides a part of the page")]
struct ShowPage {
    frame: Frame,
    line: Line,
    filled: Filled,
    mistakes: Mistakes,
    roles: Vec<RoleChoice>,
    tree: Vec<Organisation>,
    groups: Vec<Group>,
    /// What the account is bound to at the identity provider.
    link: Option<provider::store::Link>,
    /// To which terms of use it agreed.
    agreements: Vec<ShownAgreement>,
    may_root: bool,
    may_edit: bool,
    is_oneself: bool,
    by_mail: bool,
    effective: Effective,
    created: String,
    changes: Vec<ShownChange>,
}

/// A change as the page shows it.
struct ShownChange {
    at: String,
    actor: String,
    fields: Vec<Told>,
}

async fn show_list(
    State(app): State<App>,
    login: SiteLogin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::OperatorView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let (now, zone) = (app.now_ms(), login.zone());
    let asked = Asked::read::<Accounts>(&params);
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Accounts::read(&params, &login, now), &asked).await?;
    let roles = role_choices(&mut tx, &login).await?;
    let tree = organisations::reached(&mut tx, &login).await?;
    let groups = groups::of_company(&mut tx, login.company_id).await?;
    let saved = saved::of(&mut tx, &login, "/operators").await?;
    drop(tx);
    let frame = Frame::of(&app, &login, &headers, Here::Operators);
    let (rows, page) = page.split();
    let lines = rows.into_iter().map(|row| Line::new(row, frame.words, now, &zone)).collect();
    let may_edit = login.may(Permission::OperatorEdit);
    let own_id = login.operator_id.to_string();
    let list = ListPage { frame, params, asked, page, lines, roles, tree, groups, may_edit, own_id, saved };
    Ok(Html(list.render()?).into_response())
}

async fn file(State(app): State<App>, login: SiteLogin, RawQuery(query): RawQuery) -> PageResult {
    login.need(Permission::OperatorView)?;
    let params = Params::parse(query.as_deref().unwrap_or_default());
    let (now, zone) = (app.now_ms(), login.zone());
    let mut tx = app.db.begin().await?;
    let detail = json!({ "list": "operators", "filter": params.filter() });
    audit::append(&mut tx, login.event("list.exported", detail, now)).await?;
    tx.commit().await?;
    let asked = Asked { from: crate::list::From::Start, ..Asked::read::<Accounts>(&params) };
    let encoding = csv::Encoding::parse(params.text("encoding"));
    let cells = move |row: &Row, cell: &mut dyn FnMut(std::borrow::Cow<'_, str>)| list::cells(row, &zone, now, cell);
    Ok(csv::export(&app, Accounts::read(&params, &login, now), asked, ("operators", encoding), &HEADS, cells))
}

async fn show_new(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let filled = Filled { role: Role::Operator.to_string(), ..Filled::default() };
    new_page(&app, &login, &headers, filled, Mistakes::default()).await
}

async fn new_page(app: &App, login: &SiteLogin, headers: &HeaderMap, filled: Filled, mistakes: Mistakes) -> PageResult {
    let mut tx = app.db.read().await?;
    let roles = role_choices(&mut tx, login).await?;
    let tree = organisations::reached(&mut tx, login).await?;
    drop(tx);
    let frame = Frame::of(app, login, headers, Here::Operators);
    let may_root = login.reach == Reach::Company;
    let by_mail = app.config.mail.is_on() && login.policy.password.initial_by_link;
    let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Html(NewPage { frame, filled, mistakes, roles, tree, may_root, by_mail }.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let words = Words::of(login.lang);
    let (password, hash) = draw_password(&app, &login).await?;
    let mut tx = app.db.begin().await?;
    let (values, mut mistakes) = read_values(&mut tx, &login, &filled, words).await?;
    let user: Option<UserId> = filled.user.trim().parse().ok();
    if user.is_none() {
        mistakes.user = Some(words.operators.user_wrong);
    }
    let place_in = organisation_of(&mut tx, &login, &filled.organisation, None).await?;
    if place_in.is_err() {
        mistakes.organisation = Some(words.operators.organisation_wrong);
    }
    let (Some(values), Some(user), Ok(place_in)) = (values, user, place_in) else {
        drop(tx);
        return new_page(&app, &login, &headers, filled, mistakes).await;
    };
    match edit::create(&mut tx, &login, &user, &values, &hash, app.now_ms()).await {
        Ok(operator_id) => {
            if let Some(into) = &place_in {
                moved(&mut tx, &login, operator_id, "", into.as_ref(), app.now_ms()).await?;
            }
            if app.config.mail.is_on() && login.policy.password.initial_by_link && !values.email.as_str().is_empty() {
                // Nobody sees the password that was drawn; the first one is set by the link.
                return invite(&app, tx, &login, operator_id).await;
            }
            tx.commit().await?;
            let heading = words.operators.created;
            shown_once(&app, &login, &headers, (heading, user.as_str(), &operator_id.to_string()), (&password, true))
        }
        Err(error) => {
            drop(tx);
            place(error, &mut mistakes, words)?;
            new_page(&app, &login, &headers, filled, mistakes).await
        }
    }
}

async fn invite(app: &App, mut tx: Tx, login: &SiteLogin, operator_id: OperatorId) -> PageResult {
    match edit::send_link(app, &mut tx, login, operator_id, Purpose::Invitation).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Flash::LinkSent.then(&format!("/operators/{operator_id}")))
        }
        Err(EditError::Db(error)) => Err(error.into()),
        Err(_) => Err(Problem::Internal),
    }
}

async fn show(
    State(app): State<App>,
    login: SiteLogin,
    InPath(operator_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::OperatorView)?;
    let row = find(&app, &login, &operator_id).await?;
    let mut filled = Filled::of(&row);
    let mut tx = app.db.read().await?;
    filled.groups = groups::of_account(&mut tx, &row.operator_id).await?;
    drop(tx);
    show_page(&app, &login, &headers, row, filled, Mistakes::default()).await
}

async fn show_page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    row: Row,
    filled: Filled,
    mistakes: Mistakes,
) -> PageResult {
    let zone = login.zone();
    let mut tx = app.db.read().await?;
    let roles = role_choices(&mut tx, login).await?;
    let tree = organisations::reached(&mut tx, login).await?;
    let groups = groups::of_company(&mut tx, login.company_id).await?;
    let effective = effective::read(&mut tx, login, &row, &tree, &groups).await?;
    let changes = change::of_subject(&mut tx, login.company_id, &format!("operator:{}", row.operator_id)).await?;
    let link = provider::store::link_of(&mut tx, &row.operator_id).await?;
    let agreements = agree::shown(&mut tx, &row.operator_id, &zone).await?;
    drop(tx);
    let frame = Frame::of(app, login, headers, Here::Operators);
    let words = frame.words;
    let shown = |change: change::Change| ShownChange {
        at: time::seconds(change.at_ms, &zone),
        actor: change.actor,
        fields: change.fields.iter().map(|field| told::field(field, words)).collect(),
    };
    let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = ShowPage {
        created: time::seconds(row.created_at_ms, &zone),
        is_oneself: row.operator_id == login.operator_id.to_string(),
        may_edit: login.may(Permission::OperatorEdit),
        by_mail: app.config.mail.is_on() && !row.email.is_empty() && !row.stopped,
        line: Line::new(row, frame.words, app.now_ms(), &zone),
        frame,
        filled,
        mistakes,
        effective,
        roles,
        tree,
        groups,
        link,
        agreements,
        may_root: login.reach == Reach::Company,
        changes: changes.into_iter().map(shown).collect(),
    };
    Ok((status, Html(page.render()?)).into_response())
}

async fn update(
    State(app): State<App>,
    login: SiteLogin,
    InPath(operator_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let words = Words::of(login.lang);
    let row = find(&app, &login, &operator_id).await?;
    let is_own_address = row.operator_id == login.operator_id.to_string() && filled.email.trim() != row.email;
    let proved = is_own_address && !filled.password.is_empty() && proved(&app, &login, &filled.password).await?;
    let mut tx = app.db.begin().await?;
    let (values, mut mistakes) = read_values(&mut tx, &login, &filled, words).await?;
    let values = values.map(|values| Values { proved, ..values });
    let place_in = organisation_of(&mut tx, &login, &filled.organisation, row.organisation_id.as_deref()).await?;
    if place_in.is_err() {
        mistakes.organisation = Some(words.operators.organisation_wrong);
    }
    let (Some(values), Ok(place_in)) = (values, place_in) else {
        drop(tx);
        return show_page(&app, &login, &headers, row, filled, mistakes).await;
    };
    let now = app.now_ms();
    match edit::update(&mut tx, &login, &row, filled.version, &values, now).await {
        Ok(()) => {
            let grouped =
                async { edit::set_groups(&mut tx, &login, edit::id_of(&row)?, &filled.groups, now).await }.await;
            if let Err(error) = grouped {
                drop(tx);
                return refused(&app, &login, &headers, row, error).await;
            }
            if let (Some(into), Ok(operator_id)) = (&place_in, edit::id_of(&row)) {
                let before = row.organisation.as_deref().unwrap_or_default();
                moved(&mut tx, &login, operator_id, before, into.as_ref(), now).await?;
            }
            tx.commit().await?;
            Ok(Flash::Saved.then(&format!("/operators/{operator_id}")))
        }
        Err(EditError::Changed) => Err(Problem::Changed { back: format!("/operators/{operator_id}") }),
        Err(error) => {
            drop(tx);
            place(error, &mut mistakes, words)?;
            show_page(&app, &login, &headers, row, filled, mistakes).await
        }
    }
}

/// What is done to an account by a button.
async fn act(
    State(app): State<App>,
    login: SiteLogin,
    InPath((operator_id, verb)): InPath<(String, String)>,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::OperatorEdit)?;
    let row = find(&app, &login, &operator_id).await?;
    if verb == "password" {
        return reissue(&app, &login, &headers, &row).await;
    }
    let now = app.now_ms();
    let here = format!("/operators/{operator_id}");
    let mut tx = app.db.begin().await?;
    let (done, flash, next) = match verb.as_str() {
        "stop" => (edit::set_stopped(&mut tx, &login, &row, true, now).await, Flash::Stopped, here.as_str()),
        "start" => (edit::set_stopped(&mut tx, &login, &row, false, now).await, Flash::Started, here.as_str()),
        "link" => (send_link(&app, &mut tx, &login, &row).await, Flash::LinkSent, here.as_str()),
        "unlock" => (edit::unlock(&mut tx, &login, &row, now).await, Flash::Unlocked, here.as_str()),
        "factor" => (edit::reset_factor(&mut tx, &login, &row, now).await, Flash::Saved, here.as_str()),
        "unlink" => (edit::unlink(&mut tx, &login, &row, now).await, Flash::ProviderUnlinked, here.as_str()),
        "logout" => (edit::log_out(&mut tx, &login, &row, now).await, Flash::LoggedOut, here.as_str()),
        "delete" => (edit::delete(&mut tx, &login, &row, now).await, Flash::Deleted, "/operators"),
        _ => return Err(Problem::NotFound),
    };
    match done {
        Ok(()) => {
            tx.commit().await?;
            Ok(flash.then(next))
        }
        Err(error) => {
            drop(tx);
            refused(&app, &login, &headers, row, error).await
        }
    }
}

async fn send_link(app: &App, tx: &mut Tx, login: &SiteLogin, row: &Row) -> Result<(), EditError> {
    // The link of an account that nobody has logged in to is its invitation, which lives longer.
    let purpose = if row.password_initial { Purpose::Invitation } else { Purpose::Reset };
    edit::send_link(app, tx, login, edit::id_of(row)?, purpose).await
}

async fn reissue(app: &App, login: &SiteLogin, headers: &HeaderMap, row: &Row) -> PageResult {
    let (password, hash) = draw_password(app, login).await?;
    let mut tx = app.db.begin().await?;
    let ends = login.policy.password.change_after_reset;
    match edit::reissue(&mut tx, login, row, &hash, app.now_ms()).await {
        Ok(()) => {
            tx.commit().await?;
            let heading = Words::of(login.lang).operators.reissued;
            shown_once(app, login, headers, (heading, &row.user_id, &row.operator_id), (&password, ends))
        }
        Err(error) => {
            drop(tx);
            refused(app, login, headers, row.clone(), error).await
        }
    }
}

/// The page of an account with what stood against a button.
async fn refused(app: &App, login: &SiteLogin, headers: &HeaderMap, row: Row, error: EditError) -> PageResult {
    let mut mistakes = Mistakes::default();
    place(error, &mut mistakes, Words::of(login.lang))?;
    let filled = Filled::of(&row);
    show_page(app, login, headers, row, filled, mistakes).await
}

/// The page that shows a password, once; nobody keeps it.
fn shown_once(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    (heading, user_id, operator_id): (&'static str, &str, &str),
    (password, ends): (&NewPassword, bool),
) -> PageResult {
    let page = PasswordPage {
        frame: Frame::of(app, login, headers, Here::Operators),
        heading,
        company_code: login.company_code.clone(),
        user_id: user_id.to_owned(),
        password: password.reveal().to_owned(),
        ends,
        operator_id: operator_id.to_owned(),
    };
    Ok(Html(page.render()?).into_response())
}

async fn draw_password(app: &App, login: &SiteLogin) -> Result<(NewPassword, PasswordHash), Problem> {
    let password = NewPassword::draw(&login.policy.password, &mut app::os_rng());
    let place = app.hash_gate.enter().await.map_err(|_busy| Problem::Busy)?;
    let hash = app.hash_gate.hash(place, password.same()).await.ok_or(Problem::Internal)?;
    Ok((password, hash))
}

/// One account that the role reaches; of another company it is as good as none.
///
/// # Errors
/// [`Problem::NotFound`], or what the database says.
pub async fn find(app: &App, login: &SiteLogin, operator_id: &str) -> Result<Row, Problem> {
    let listing = Accounts::one(operator_id, login, app.now_ms());
    let mut tx = app.db.read().await?;
    let (rows, _) = crate::list::stretch(&mut tx, &listing, &Asked::read::<Accounts>(&Params::default()), 1).await?;
    rows.into_iter().next().ok_or(Problem::NotFound)
}

impl Line {
    fn new(row: Row, words: &'static Words, now: i64, zone: &jiff::tz::TimeZone) -> Self {
        let shown = |at: Option<i64>| at.map_or_else(|| words.shared.never.to_owned(), |at| time::seconds(at, zone));
        Self {
            role: row.role_name.clone().unwrap_or_else(|| role_name(row.role(), words).to_owned()),
            state: row.state(now),
            last_login: shown(row.last_login_at_ms),
            last_support: shown(row.last_support_at_ms),
            initial: row.password_initial.then(|| {
                let (until, w) = (password::initial_until(row.password_changed_at_ms), &words.operators);
                if until <= now { w.initial_over.to_owned() } else { w.initial_until(time::seconds(until, zone)) }
            }),
            row,
        }
    }
}

impl AccountState {
    /// Its name on the page.
    pub(super) fn name(self, words: &'static Words) -> &'static str {
        let w = &words.operators;
        match self {
            Self::Stopped => w.state_stopped,
            Self::Locked => w.state_locked,
            Self::Initial => w.state_initial,
            Self::Active => w.state_active,
        }
    }

    /// The class of its mark.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Stopped => "off",
            Self::Locked => "bad",
            Self::Initial => "warning",
            Self::Active => "good",
        }
    }
}
