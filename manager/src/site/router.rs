//! Every page of the site, and what holds for all of them.

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use tower_http::compression::CompressionLayer;

use super::{assets, cookie, form::Form, lang::Lang, problem, top};
use crate::{
    admin, app::App, audit, category, group, list, live, login, mail, manual, notice, operator, organisation, provider,
    reception, role, session, settings, statistics, terms, token, webhook,
};

/// Style, script, pictures and forms are this site's; a page stands in no frame, and a script stands in no page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);
/// What pages say to browsers besides what every answer says.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), display-capture=()"),
    ),
];

#[derive(Deserialize)]
struct Chosen {
    lang: String,
    #[serde(default)]
    back: String,
}

/// The site.
pub fn router(app: App) -> Router<App> {
    Router::new()
        .merge(assets::router())
        .merge(login::page::router())
        .merge(operator::page::router())
        .merge(organisation::router())
        .merge(group::router())
        .merge(role::page::router())
        .merge(reception::page::router())
        .merge(session::page::router())
        .merge(live::router())
        .merge(category::router())
        .merge(settings::router())
        .merge(provider::router())
        .merge(token::page::router())
        .merge(statistics::router())
        .merge(webhook::router())
        .merge(audit::page::router())
        .merge(admin::page::router(app.clone()))
        .merge(mail::page::router())
        .merge(notice::page::router())
        .merge(manual::router())
        .merge(terms::router())
        .merge(list::saved::router())
        .route("/", get(top::show))
        .route("/language", post(choose_language))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(app.clone(), problem::show))
        .layer(middleware::from_fn_with_state(app, terms::known::look))
        .layer(middleware::from_fn(finish))
        .layer(middleware::from_fn(name_host))
}

/// Gives a request of HTTP/2 the `Host` of HTTP/1: what asks for the site's name asks one place. Source: RFC 9113, 8.3.1.
async fn name_host(mut request: Request, next: Next) -> Response {
    let authority = request.uri().authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    if !request.headers().contains_key(header::HOST)
        && let Some(authority) = authority
    {
        request.headers_mut().insert(header::HOST, authority);
    }
    next.run(request).await
}

/// Adds the headers, and takes the word of what was done away once it is shown. A board that asks for its rows shows
/// none: the word is for the page that somebody opens.
async fn finish(request: Request, next: Next) -> Response {
    let shows_flash = request.method() == axum::http::Method::GET
        && !login::refreshes_itself(request.headers())
        && cookie::find(request.headers(), cookie::FLASH).is_some();
    let mut response = next.run(request).await;
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    dress(&mut response);
    if shows_flash
        && is_page
        && let Some(over) = cookie::set(cookie::FLASH, "", cookie::Life::Over)
    {
        response.headers_mut().append(header::SET_COOKIE, over);
    }
    response
}

/// Adds what every page says to browsers.
pub(super) fn dress(response: &mut Response) {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
}

/// Keeps the language for a year and goes back to where it was chosen.
async fn choose_language(Form(chosen): Form<Chosen>) -> Response {
    let lang = Lang::parse(&chosen.lang).unwrap_or_default();
    let mut response = Redirect::to(local(&chosen.back)).into_response();
    if let Some(cookie) = cookie::set(cookie::LANG, lang.tag(), cookie::Life::Secs(365 * 24 * 60 * 60)) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// An address of this site, or its first page: nobody is sent elsewhere by a link.
pub fn local(address: &str) -> &str {
    let inside = address.starts_with('/') && !address.starts_with("//") && !address.contains(['\\', '\r', '\n', '\t']);
    if inside { address } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(local("/operators?q=a"), "/operators?q=a");
        for bad in ["", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb"] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }
}
