//! The pages of the tree, and of one organisation.

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
    DEPTH_MAX, ORGANISATIONS_MAX,
    edit::{self, EditError, Values},
    store::{self, Inside, Organisation},
};
use crate::{
    app::App,
    extract::InPath,
    login::SiteLogin,
    role::{Permission, Reach},
    site::{Form, Frame, Here, PageResult, Problem, Words, form::Pressed, frame::Flash},
};

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/organisations", get(show_tree).post(create))
        .route("/organisations/{organisation_id}", get(show).post(update))
        .route("/organisations/{organisation_id}/merge", post(merge))
        .route("/organisations/{organisation_id}/delete", post(delete))
}

#[derive(Template)]
#[template(path = "organisation/tree.html")]
struct TreePage {
    frame: Frame,
    tree: Vec<Organisation>,
    filled: Filled,
    mistakes: Mistakes,
    /// Whether one may be at the root.
    may_root: bool,
}

#[derive(Template)]
#[template(path = "organisation/show.html")]
struct ShowPage {
    frame: Frame,
    one: Organisation,
    /// Those that it can be put under.
    above: Vec<Organisation>,
    filled: Filled,
    mistakes: Mistakes,
    may_root: bool,
    /// It is the top of what is reached, and stays where it is.
    is_top: bool,
    /// Whether one may look at accounts.
    may_see: bool,
}

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Filled {
    name: String,
    note: String,
    parent: String,
    version: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Into {
    into: String,
}

/// What is wrong with it, by field.
#[derive(Debug, Clone, Default)]
struct Mistakes {
    name: Option<&'static str>,
    note: Option<&'static str>,
    parent: Option<String>,
    all: Option<String>,
    /// What stands against its deletion.
    inside: Option<Inside>,
}

impl Filled {
    fn values(&self) -> Values {
        let text = |text: &str| text.trim().to_owned();
        Values { name: text(&self.name), note: text(&self.note), parent: text(&self.parent) }
    }

    fn of(one: &Organisation) -> Self {
        let parent = one.parent_id.clone().unwrap_or_default();
        Self { name: one.name.clone(), note: one.note.clone(), parent, version: one.version }
    }
}

async fn show_tree(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    tree_page(&app, &login, &headers, Filled::default(), None).await
}

async fn tree_page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    filled: Filled,
    mistakes: Option<Mistakes>,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let tree = store::reached(&mut tx, login).await?;
    drop(tx);
    let frame = Frame::of(app, login, headers, Here::Organisations);
    let status = if mistakes.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let may_root = login.reach == Reach::Company;
    let page = TreePage { frame, tree, filled, mistakes: mistakes.unwrap_or_default(), may_root };
    Ok((status, Html(page.render()?)).into_response())
}

async fn create(
    State(app): State<App>,
    login: SiteLogin,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    match edit::create(&mut tx, &login, &filled.values(), app.now_ms()).await {
        Ok(_) => {
            tx.commit().await?;
            Ok(Flash::Saved.then("/organisations"))
        }
        Err(error) => {
            drop(tx);
            let mistakes = place(error, Words::of(login.lang))?;
            tree_page(&app, &login, &headers, filled, Some(mistakes)).await
        }
    }
}

async fn show(
    State(app): State<App>,
    login: SiteLogin,
    InPath(organisation_id): InPath<String>,
    headers: HeaderMap,
) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    let one = find(&app, &login, &organisation_id).await?;
    let filled = Filled::of(&one);
    show_page(&app, &login, &headers, one, filled, None).await
}

async fn show_page(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    one: Organisation,
    filled: Filled,
    mistakes: Option<Mistakes>,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let mut above = store::reached(&mut tx, login).await?;
    drop(tx);
    above.retain(|other| !one.holds(other));
    let frame = Frame::of(app, login, headers, Here::Organisations);
    let status = if mistakes.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let may_root = login.reach == Reach::Company;
    let is_top = !may_root && login.organisation_path.as_ref() == Some(&one.path);
    let (mistakes, may_see) = (mistakes.unwrap_or_default(), login.may(Permission::OperatorView));
    let page = ShowPage { frame, one, above, filled, mistakes, may_root, is_top, may_see };
    Ok((status, Html(page.render()?)).into_response())
}

async fn update(
    State(app): State<App>,
    login: SiteLogin,
    InPath(organisation_id): InPath<String>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let one = store::find(&mut tx, &login, &organisation_id).await?.ok_or(Problem::NotFound)?;
    let done = edit::update(&mut tx, &login, &one, filled.version, &filled.values(), app.now_ms()).await;
    let here = format!("/organisations/{organisation_id}");
    match done {
        Ok(()) => {
            tx.commit().await?;
            Ok(Flash::Saved.then(&here))
        }
        Err(EditError::Changed) => Err(Problem::Changed { back: here }),
        Err(error) => {
            drop(tx);
            let mistakes = place(error, Words::of(login.lang))?;
            show_page(&app, &login, &headers, one, filled, Some(mistakes)).await
        }
    }
}

async fn merge(
    State(app): State<App>,
    login: SiteLogin,
    InPath(organisation_id): InPath<String>,
    headers: HeaderMap,
    Form(into): Form<Into>,
) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let one = movable(store::find(&mut tx, &login, &organisation_id).await?, &login)?;
    let done = edit::merge(&mut tx, &login, &one, &into.into, app.now_ms()).await;
    finish(&app, &login, &headers, (one, tx), done, &format!("/organisations/{}", into.into)).await
}

async fn delete(
    State(app): State<App>,
    login: SiteLogin,
    InPath(organisation_id): InPath<String>,
    headers: HeaderMap,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    login.need(Permission::OrganisationEdit)?;
    let mut tx = app.db.begin().await?;
    let one = movable(store::find(&mut tx, &login, &organisation_id).await?, &login)?;
    let done = edit::delete(&mut tx, &login, &one, app.now_ms()).await;
    finish(&app, &login, &headers, (one, tx), done, "/organisations").await
}

/// Goes on when it was done; else shows the organisation with what stood against it.
async fn finish(
    app: &App,
    login: &SiteLogin,
    headers: &HeaderMap,
    (one, tx): (Organisation, crate::db::Tx),
    done: Result<(), EditError>,
    next: &str,
) -> PageResult {
    match done {
        Ok(()) => {
            tx.commit().await?;
            Ok(Flash::Deleted.then(next))
        }
        Err(EditError::Changed) => Err(Problem::Changed { back: format!("/organisations/{}", one.id) }),
        Err(error) => {
            drop(tx);
            let inside = if matches!(error, EditError::Used) { Some(inside(app, &one).await?) } else { None };
            let mistakes = Mistakes { inside, ..place(error, Words::of(login.lang))? };
            let filled = Filled::of(&one);
            show_page(app, login, headers, one, filled, Some(mistakes)).await
        }
    }
}

/// The top of what somebody reaches is not theirs to delete.
///
/// # Errors
/// [`Problem::NotFound`], and [`Problem::Forbidden`] for that top.
pub fn movable(found: Option<Organisation>, login: &SiteLogin) -> Result<Organisation, Problem> {
    let one = found.ok_or(Problem::NotFound)?;
    let is_top = login.reach != Reach::Company && login.organisation_path.as_ref() == Some(&one.path);
    if is_top { Err(Problem::Forbidden) } else { Ok(one) }
}

async fn find(app: &App, login: &SiteLogin, organisation_id: &str) -> Result<Organisation, Problem> {
    let mut tx = app.db.read().await?;
    store::find(&mut tx, login, organisation_id).await?.ok_or(Problem::NotFound)
}

async fn inside(app: &App, one: &Organisation) -> Result<Inside, Problem> {
    let mut tx = app.db.read().await?;
    Ok(store::inside(&mut tx, one).await?)
}

/// Puts what stood against a change beside the field that it is about.
fn place(error: EditError, words: &'static Words) -> Result<Mistakes, Problem> {
    let w = &words.organisations;
    let mut mistakes = Mistakes::default();
    match error {
        EditError::Name => mistakes.name = Some(w.name_wrong),
        EditError::Taken => mistakes.name = Some(w.name_taken),
        EditError::Twice(name) => mistakes.all = Some(w.merge_twice(name)),
        EditError::Note => mistakes.note = Some(w.note_wrong),
        EditError::Parent => mistakes.parent = Some(w.parent_wrong.to_owned()),
        EditError::Cycle => mistakes.parent = Some(w.cycle.to_owned()),
        EditError::Deep => mistakes.parent = Some(w.deep(DEPTH_MAX)),
        EditError::Many => mistakes.all = Some(w.many(ORGANISATIONS_MAX)),
        EditError::Used => mistakes.all = Some(w.used.to_owned()),
        EditError::Changed => return Err(Problem::Changed { back: "/organisations".to_owned() }),
        EditError::Db(error) => return Err(error.into()),
    }
    Ok(mistakes)
}

/// The choice of the root, for whom it is one.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
pub fn root_word(may_root: &bool, root: &'static str) -> &'static str {
    if *may_root { root } else { "" }
}
