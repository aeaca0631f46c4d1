//! The page that asks a person of a company to agree to the terms in force, and what says that they did.

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _, Redirect},
    routing::get,
};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::{
    page::Text,
    store::{self, Row},
    text::Block,
};
use crate::{
    app::App,
    audit,
    db::{DbResult, Tx},
    list::params::encode,
    login::{Agreeing, Login, Realm, page::next_in},
    notice::Piece,
    site::{Form, Frame, Lang, PageResult, Problem, Words, time},
};

/// Where it is.
const ADDRESS: &str = "/terms/agree";

/// The page of this slice.
pub(super) fn router() -> Router<App> {
    Router::new().route("/terms/agree", get(ask).post(agree))
}

/// An agreement as the page of an account shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownAgreement {
    /// To which edition.
    pub edition: String,
    /// When.
    pub at: String,
}

#[derive(Template)]
#[template(path = "terms/agree.html")]
struct AgreePage {
    frame: Frame,
    /// Whose agreement it is.
    login: Login,
    row: Row,
    from: String,
    changes: String,
    shown: Text,
    /// Where to go then.
    next: String,
    /// The address of the page.
    here: String,
    /// Whether another revision came into force since the page was shown.
    is_late: bool,
}

#[derive(Template)]
#[template(path = "terms/agreed.html")]
struct AgreedPage {
    frame: Frame,
    next: String,
    here: String,
}

/// What the address says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Asked {
    next: String,
}

/// What the button sends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Agreed {
    revision_id: String,
    next: String,
}

/// Where the question is for who wanted to see a page of companies.
pub fn address(next: &str) -> String {
    if next == Realm::Company.home() { ADDRESS.to_owned() } else { format!("{ADDRESS}?next={}", encode(next)) }
}

/// To what an account agreed, newest first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn shown(tx: &mut Tx, operator_id: &str, zone: &TimeZone) -> DbResult<Vec<ShownAgreement>> {
    let agreements = store::agreements_of(tx, operator_id).await?;
    let shown = |agreement: store::Agreement| ShownAgreement {
        edition: agreement.edition,
        at: time::seconds(agreement.agreed_at_ms, zone),
    };
    Ok(agreements.into_iter().map(shown).collect())
}

async fn ask(
    State(app): State<App>,
    Agreeing(login): Agreeing,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> PageResult {
    let next = next_in(login.realm, &asked.next);
    question(&app, login, &headers, next, false).await
}

async fn question(app: &App, login: Login, headers: &HeaderMap, next: String, is_late: bool) -> PageResult {
    let mut frame = Frame::outside(app, login.realm, headers, login.csrf.clone());
    frame.lang = login.lang;
    frame.words = Words::of(login.lang);
    frame.contact.clone_from(&login.policy.reception.contact);
    let here = address(&next);
    if !login.must_agree {
        // Not sent on: with two clocks, one manager could send here what another one sends back.
        return Ok(Html(AgreedPage { frame, next, here }.render()?).into_response());
    }
    let mut tx = app.db.read().await?;
    let row = store::in_force(&mut tx, app.now_ms()).await?.ok_or(Problem::NotFound)?;
    drop(tx);
    let page = AgreePage {
        from: time::day(row.in_force_from_ms, &time::zone(time::TOKYO)),
        changes: match frame.lang {
            Lang::Ja => row.changes_ja.clone(),
            Lang::En => row.changes_en.clone(),
        },
        shown: Text::of(&row, frame.lang),
        frame,
        login,
        row,
        next,
        here,
        is_late,
    };
    let status = if page.is_late { StatusCode::CONFLICT } else { StatusCode::OK };
    Ok((status, Html(page.render()?)).into_response())
}

async fn agree(
    State(app): State<App>,
    Agreeing(login): Agreeing,
    headers: HeaderMap,
    Form(agreed): Form<Agreed>,
) -> PageResult {
    let next = next_in(login.realm, &agreed.next);
    let go_on = Redirect::to(&next).into_response();
    if !login.must_agree {
        return Ok(go_on);
    }
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let row = store::in_force(&mut tx, now).await?.ok_or(Problem::NotFound)?;
    // Nobody agrees to what they were not shown.
    if row.revision_id != agreed.revision_id {
        drop(tx);
        return question(&app, login, &headers, next, true).await;
    }
    if store::agree(&mut tx, &row.revision_id, login.operator_id, now).await? {
        let detail =
            json!({ "revision_id": row.revision_id, "operator_id": login.operator_id, "edition": row.edition });
        audit::append(&mut tx, login.event("terms.agreed", detail, now)).await?;
        tx.commit().await?;
    }
    Ok(go_on)
}
