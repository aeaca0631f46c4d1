//! The pages for everybody: the terms in force, the next ones, and every earlier text.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method},
    response::{Html, IntoResponse as _},
    routing::get,
};
use proto::{api::UnixMillis, id::OperatorId};

use super::{
    announced,
    store::{self, Row, Summary},
    text::{Block, blocks},
};
use crate::{
    app::App,
    db::DbResult,
    extract::InPath,
    login::{Agreeing, Realm, page::visited},
    notice::Piece,
    site::{Frame, Lang, PageResult, Problem, Words, time},
};

/// Where the terms in force are.
pub const ADDRESS: &str = "/terms";

/// Which of the published revisions one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nobody has published it.
    Draft,
    /// It will be in force.
    Announced,
    /// It is in force.
    InForce,
    /// It was in force.
    Earlier,
    /// It was withdrawn before its day.
    Withdrawn,
}

/// One line of the table of revisions.
pub(super) struct Line {
    pub(super) revision_id: String,
    pub(super) edition: String,
    pub(super) from: String,
    pub(super) changes: String,
    pub(super) agree: bool,
    pub(super) place: Place,
}

/// A text in the language of the page, or in Japanese where there is no other.
pub(super) struct Text {
    /// Its language.
    pub(super) lang: Lang,
    /// Whether it is not the language of the page.
    pub(super) is_other: bool,
    pub(super) blocks: Vec<Block>,
}

/// A revision that is shown.
struct Shown {
    edition: String,
    from: String,
    published: String,
    place: Place,
    text: Text,
}

#[derive(Template)]
#[template(path = "terms/page.html")]
struct TermsPage {
    frame: Frame,
    /// The address of the page.
    here: String,
    shown: Option<Shown>,
    next: Option<Line>,
    lines: Vec<Line>,
}

/// The pages of this slice.
pub(super) fn router() -> Router<App> {
    Router::new().route("/terms", get(current)).route("/terms/{edition}", get(one))
}

impl Place {
    /// Which one a revision is, of those that were published.
    pub(super) fn of(revision: &Summary, published: &[Summary], now: UnixMillis) -> Self {
        let in_force = published.iter().find(|other| other.in_force_from_ms <= now);
        match (revision.published_at_ms, in_force) {
            (None, _) => Self::Draft,
            (Some(_), _) if revision.withdrawn_at_ms.is_some() => Self::Withdrawn,
            (Some(_), _) if now < revision.in_force_from_ms => Self::Announced,
            (Some(_), Some(in_force)) if in_force.revision_id == revision.revision_id => Self::InForce,
            (Some(_), _) => Self::Earlier,
        }
    }

    /// What it is called.
    pub(super) const fn name(self, words: &'static Words) -> &'static str {
        let w = &words.terms;
        match self {
            Self::Draft => w.place_draft,
            Self::Announced => w.place_announced,
            Self::InForce => w.place_in_force,
            Self::Earlier => w.place_earlier,
            Self::Withdrawn => w.place_withdrawn,
        }
    }

    /// How its name looks.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Announced => "warning",
            Self::InForce => "good",
            Self::Draft | Self::Earlier | Self::Withdrawn => "off",
        }
    }
}

impl Line {
    pub(super) fn new(revision: &Summary, published: &[Summary], lang: Lang, now: UnixMillis) -> Self {
        Self {
            revision_id: revision.revision_id.clone(),
            edition: revision.edition.clone(),
            from: time::day(revision.in_force_from_ms, &time::zone(time::TOKYO)),
            changes: match lang {
                Lang::Ja => revision.changes_ja.clone(),
                Lang::En => revision.changes_en.clone(),
            },
            agree: revision.agree,
            place: Place::of(revision, published, now),
        }
    }
}

impl Text {
    pub(super) fn of(row: &Row, lang: Lang) -> Self {
        match lang {
            Lang::En if !row.body_en.is_empty() => Self { lang, is_other: false, blocks: blocks(&row.body_en) },
            Lang::Ja | Lang::En => Self { lang: Lang::Ja, is_other: lang != Lang::Ja, blocks: blocks(&row.body_ja) },
        }
    }
}

async fn current(State(app): State<App>, headers: HeaderMap) -> PageResult {
    let mut tx = app.db.read().await?;
    let row = store::in_force(&mut tx, app.now_ms()).await?;
    let published = store::published(&mut tx).await?;
    drop(tx);
    page(&app, &headers, ADDRESS.to_owned(), row.as_ref(), &published)
}

/// Who will be asked to agree to it and opens it has read it. Where that cannot be noted the page comes all the same,
/// and the announcement stays.
async fn one(
    State(app): State<App>,
    InPath(edition): InPath<String>,
    login: Result<Agreeing, Problem>,
    method: Method,
    headers: HeaderMap,
) -> PageResult {
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let row = store::find_published(&mut tx, &edition).await?.ok_or(Problem::NotFound)?;
    let published = store::published(&mut tx).await?;
    drop(tx);
    if row.agree
        && now < row.in_force_from_ms
        && is_read(&method, &headers)
        && let Ok(Agreeing(login)) = login
        && let Err(error) = note_read(&app, &row.revision_id, login.operator_id, now).await
    {
        tracing::warn!(event = "terms.read_unnoted", error = %error, "It could not be noted that terms were read");
    }
    page(&app, &headers, format!("{ADDRESS}/{}", row.edition), Some(&row), &published)
}

/// Whether somebody sees the page: not one that only its headers are asked of, nor one that a browser fetches in case.
/// Source: Fetch Standard, `Sec-Purpose`.
fn is_read(method: &Method, headers: &HeaderMap) -> bool {
    let purpose = headers.get("sec-purpose").and_then(|value| value.to_str().ok()).unwrap_or_default();
    method == Method::GET && !purpose.starts_with("prefetch")
}

async fn note_read(app: &App, revision_id: &str, operator_id: OperatorId, now: UnixMillis) -> DbResult<()> {
    let mut tx = app.db.begin().await?;
    announced::note_read(&mut tx, revision_id, operator_id, now).await?;
    tx.commit().await
}

fn page(app: &App, headers: &HeaderMap, here: String, row: Option<&Row>, published: &[Summary]) -> PageResult {
    let now = app.now_ms();
    visited(app, Realm::Company, headers, |frame| {
        let (lang, zone) = (frame.lang, time::zone(time::TOKYO));
        let line = |revision: &Summary| Line::new(revision, published, lang, now);
        let shown = row.map(|row| Shown {
            edition: row.edition.clone(),
            from: time::day(row.in_force_from_ms, &zone),
            published: row.published_at_ms.map(|at| time::day(at, &zone)).unwrap_or_default(),
            place: published
                .iter()
                .find(|revision| revision.revision_id == row.revision_id)
                .map_or(Place::Earlier, |revision| Place::of(revision, published, now)),
            text: Text::of(row, lang),
        });
        // The soonest of those to come, unless it is the one that is shown.
        let next = published
            .iter()
            .rfind(|revision| now < revision.in_force_from_ms)
            .filter(|next| row.is_none_or(|row| row.revision_id != next.revision_id))
            .map(line);
        let lines = published.iter().map(line).collect();
        Ok(Html(TermsPage { frame, here, shown, next, lines }.render()?).into_response())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(id: &str, in_force_from_ms: i64, published_at_ms: Option<i64>) -> Summary {
        Summary {
            revision_id: id.to_owned(),
            edition: id.to_owned(),
            in_force_from_ms,
            changes_ja: String::new(),
            changes_en: String::new(),
            agree: false,
            published_at_ms,
            withdrawn_at_ms: None,
        }
    }

    #[test]
    fn one_revision_is_in_force_from_its_day_on_until_the_next_one_is() {
        let published = [revision("3", 300, Some(1)), revision("2", 200, Some(1)), revision("1", 100, Some(1))];
        let places = |now| published.each_ref().map(|revision| Place::of(revision, &published, now));

        assert_eq!(places(99), [Place::Announced; 3]);
        assert_eq!(places(100), [Place::Announced, Place::Announced, Place::InForce]);
        assert_eq!(places(299), [Place::Announced, Place::InForce, Place::Earlier]);
        assert_eq!(places(300), [Place::InForce, Place::Earlier, Place::Earlier]);
        assert_eq!(Place::of(&revision("4", 100, None), &published, 300), Place::Draft);
        let withdrawn = Summary { withdrawn_at_ms: Some(2), ..revision("5", 400, Some(1)) };
        assert_eq!(Place::of(&withdrawn, &published, 300), Place::Withdrawn);
        assert_eq!(Place::of(&withdrawn, &published, 400), Place::Withdrawn);
    }
}
