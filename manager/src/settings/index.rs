//! The page of all settings.

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{Html, IntoResponse as _},
};

use super::{
    duties, general::General, logins::Logins, passwords::Passwords, receptions::Receptions, sheet::Sheet as _,
};
use crate::{
    app::App,
    login::SiteLogin,
    provider,
    role::Permission,
    site::{Frame, Here, PageResult},
};

/// Where it is.
pub(super) const ADDRESS: &str = "/settings";

/// One subject.
struct Card {
    href: &'static str,
    name: &'static str,
    lead: &'static str,
}

#[derive(Template)]
#[template(path = "settings/index.html")]
struct IndexPage {
    frame: Frame,
    cards: Vec<Card>,
    /// Whether nobody has read the responsibilities yet.
    to_acknowledge: bool,
}

pub(super) async fn show(State(app): State<App>, login: SiteLogin, headers: HeaderMap) -> PageResult {
    login.need(Permission::SettingsEdit)?;
    let frame = Frame::of(&app, &login, &headers, Here::Settings);
    let words = frame.words;
    let cards = vec![
        Card { href: Passwords::ADDRESS, name: Passwords::title(words), lead: words.rules_password.card },
        Card { href: Logins::ADDRESS, name: Logins::title(words), lead: words.rules_login.card },
        Card { href: provider::settings::ADDRESS, name: words.provider.title, lead: words.provider.card },
        Card { href: Receptions::ADDRESS, name: Receptions::title(words), lead: words.rules_reception.card },
        Card { href: General::ADDRESS, name: General::title(words), lead: words.rules_company.card },
        Card { href: duties::ADDRESS, name: words.duties.title, lead: words.duties.card },
        Card { href: "/settings/categories", name: words.menu.categories, lead: words.settings.categories_card },
    ];
    let acknowledged = login.policy.responsibility.as_ref();
    let to_acknowledge = acknowledged.is_none_or(|acknowledged| acknowledged.edition != duties::EDITION);
    Ok(Html(IndexPage { frame, cards, to_acknowledge }.render()?).into_response())
}
