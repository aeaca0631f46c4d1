//! The manual: pages of the release, in both languages, for everybody, logged in or not.
//!
//! Every page of the site links the chapter about it. A chapter that this release does not have leads to the contents.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    response::{Html, IntoResponse as _, Redirect},
    routing::get,
};

use crate::{
    app::App,
    extract::InPath,
    login::{Realm, page::visited},
    site::{Frame, Lang, PageResult, Words},
};

/// Where it is.
const ADDRESS: &str = "/manual/";

/// A chapter: its name in addresses, and what it says in each language, which is HTML of ours.
struct Chapter {
    slug: &'static str,
    ja: &'static str,
    en: &'static str,
}

macro_rules! chapters {
    ($($slug:literal),* $(,)?) => {
        &[$(Chapter {
            slug: $slug,
            ja: include_str!(concat!("../../manual/ja/", $slug, ".html")),
            en: include_str!(concat!("../../manual/en/", $slug, ".html")),
        }),*]
    };
}

/// The chapters in their order.
const CHAPTERS: &[Chapter] = chapters![
    "start",
    "reception",
    "live",
    "logs",
    "statistics",
    "accounts",
    "roles",
    "security",
    "notices",
    "faq",
    "api",
    "webhooks",
    "system",
    "responsibility",
    "revisions",
];

/// One entry of the contents.
struct Entry {
    href: String,
    title: &'static str,
    is_here: bool,
}

#[derive(Template)]
#[template(path = "manual.html")]
struct ManualPage {
    frame: Frame,
    entries: Vec<Entry>,
    /// The address of the page.
    here: String,
    /// The chapter's title and text; `None` on the page of contents.
    chapter: Option<(&'static str, &'static str)>,
    next: Option<(String, &'static str)>,
    version: &'static str,
}

/// The pages of this slice.
pub fn router() -> Router<App> {
    Router::new()
        .route("/manual", get(async || Redirect::permanent(ADDRESS)))
        .route("/manual/", get(contents))
        .route("/manual/{chapter}", get(show))
}

async fn contents(State(app): State<App>, headers: HeaderMap) -> PageResult {
    page(&app, &headers, None)
}

async fn show(State(app): State<App>, InPath(slug): InPath<String>, headers: HeaderMap) -> PageResult {
    match CHAPTERS.iter().position(|chapter| chapter.slug == slug) {
        Some(index) => page(&app, &headers, Some(index)),
        None => Ok(Redirect::to(ADDRESS).into_response()),
    }
}

fn page(app: &App, headers: &HeaderMap, index: Option<usize>) -> PageResult {
    visited(app, Realm::Company, headers, |frame| {
        let title = |chapter: &Chapter| title(chapter.slug, frame.words);
        let address = |chapter: &Chapter| format!("{ADDRESS}{}", chapter.slug);
        let entries = CHAPTERS.iter().enumerate().map(|(place, chapter)| Entry {
            href: address(chapter),
            title: title(chapter),
            is_here: index == Some(place),
        });
        let entries = entries.collect();
        let chapter = index.and_then(|index| CHAPTERS.get(index));
        let next = index.and_then(|index| CHAPTERS.get(index.saturating_add(1)));
        let next = next.map(|chapter| (address(chapter), title(chapter)));
        let here = chapter.map_or_else(|| ADDRESS.to_owned(), address);
        let chapter = chapter.map(|chapter| (title(chapter), chapter.text(frame.lang)));
        let version = env!("CARGO_PKG_VERSION");
        Ok(Html(ManualPage { frame, entries, here, chapter, next, version }.render()?).into_response())
    })
}

impl Chapter {
    const fn text(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::Ja => self.ja,
            Lang::En => self.en,
        }
    }
}

/// The text of a chapter, for a page that shows it; nothing when there is no such chapter.
pub fn text(slug: &str, lang: Lang) -> &'static str {
    CHAPTERS.iter().find(|chapter| chapter.slug == slug).map_or("", |chapter| chapter.text(lang))
}

fn title(slug: &str, words: &'static Words) -> &'static str {
    words.manual.get(slug).unwrap_or(words.manual.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chapter_has_a_title_and_both_languages_with_the_same_headings() {
        for chapter in CHAPTERS {
            for lang in [Lang::Ja, Lang::En] {
                assert!(Words::of(lang).manual.get(chapter.slug).is_some(), "{}", chapter.slug);
            }
            for heading in ["<h2", "<h3"] {
                let count = |text: &str| text.matches(heading).count();
                assert_eq!(count(chapter.ja), count(chapter.en), "{}", chapter.slug);
            }
            for text in [chapter.ja, chapter.en] {
                assert!(!text.contains("<script") && !text.contains(" style=") && !text.contains("http://"));
            }
        }
    }

    #[test]
    fn every_question_has_one_address_in_both_languages_and_every_link_leads_somewhere() {
        fn after<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
            text.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
        }
        let faq = CHAPTERS.iter().find(|chapter| chapter.slug == "faq").unwrap();
        let ids = after(faq.ja, " id=\"");
        assert_eq!(ids, after(faq.en, " id=\""));
        assert_eq!(ids.len(), ids.iter().collect::<std::collections::BTreeSet<_>>().len(), "{ids:?}");
        assert_eq!(ids.len(), faq.ja.matches("<h2").count() + faq.ja.matches("<h3").count());
        for chapter in CHAPTERS {
            for text in [chapter.ja, chapter.en] {
                for place in after(text, "href=\"#") {
                    assert!(after(text, " id=\"").contains(&place), "{} {place}", chapter.slug);
                }
                for link in after(text, "href=\"/manual/") {
                    let (slug, place) = link.split_once('#').map_or((link, None), |(slug, place)| (slug, Some(place)));
                    let there = CHAPTERS.iter().find(|chapter| chapter.slug == slug);
                    assert!(
                        there.is_some_and(|there| place.is_none_or(|place| {
                            [there.ja, there.en].iter().all(|text| after(text, " id=\"").contains(&place))
                        })),
                        "{} {link}",
                        chapter.slug
                    );
                }
            }
        }
    }

    #[test]
    fn the_newest_revision_is_the_release() {
        let revisions = CHAPTERS.iter().find(|chapter| chapter.slug == "revisions").unwrap();
        for text in [revisions.ja, revisions.en] {
            let newest = text.split("<th scope=\"row\">").nth(1).unwrap();
            assert!(newest.starts_with(env!("CARGO_PKG_VERSION")), "{newest}");
        }
    }
}
