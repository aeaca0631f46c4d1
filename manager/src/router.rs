//! Every route of the manager, and what holds for all of them.
//!
//! Guarantees: every answer has the security headers and a request id; a body is at most 64 KiB unless its route says
//! otherwise; a handler that thinks too long or panics gives an error body; unknown paths give the same body.

use std::{any::Any, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use ops::config::Span;
use proto::{
    api::error::{ErrorBody, ErrorCode},
    id::OperatorId,
    limits,
};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    app::{self, App},
    error::ApiError,
    events,
    login::{self, Realm},
    manage, reception, relays, session,
    site::{self, Problem},
};

/// Where the OpenAPI document is.
pub const OPENAPI: &str = "/v1/openapi.json";
/// What the addresses of the API begin with.
const API: &str = "/v1/";
/// The name under which an answer can be found in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Metric label of requests that match no route.
const NO_ROUTE: &str = "none";

/// What every answer says to browsers: keep nothing, guess nothing, show it nowhere.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000; includeSubDomains")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

#[derive(OpenApi)]
#[openapi(
    info(title = "Uketsuke manager", description = "Reception numbers, sessions, accounts and relays."),
    modifiers(&BearerScheme),
    components(schemas(ErrorBody)),
)]
struct Info;

/// Tools are known by the token of their login, other programs by a token of the API.
struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token that a login of a tool gives"));
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of the API, made at /settings/tokens; each route names the scope that it needs"))
            .build();
        let schemes = &mut document.components.get_or_insert_default().security_schemes;
        schemes.insert("bearer".to_owned(), SecurityScheme::Http(scheme.build()));
        schemes.insert("token".to_owned(), SecurityScheme::Http(token));
    }
}

/// The whole API.
pub fn router(app: App) -> Router {
    let (routes, document) = routes().split_for_parts();
    let routes = routes.route(OPENAPI, get(async move || Json(document))).merge(site::router(app.clone()));
    around(routes, app)
}

/// Routes with what holds for all of them.
pub fn around(routes: Router<App>, app: App) -> Router {
    routes
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(limits::API_BODY_MAX))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

/// The OpenAPI document, generated from the handlers.
pub fn openapi() -> Document {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Info::openapi())
        .merge(login::router())
        .merge(reception::router())
        .merge(session::router())
        .merge(relays::router())
        .merge(events::router())
        .merge(manage::router())
}

/// Times, counts, names and bounds one request.
async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = tokio::time::Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let request_id = hex::encode(app::draw_id());
    let span = tracing::info_span!(
        "manager.request",
        request.id = %request_id,
        http.route = %route,
        operator.id = tracing::field::Empty
    );
    let timeout = app.config.http.request_timeout;
    let asked = Asked::of(&request);
    let response = bounded(next.run(request).instrument(span.clone()), timeout).instrument(span.clone()).await;
    let mut response = asked.answered(&app, response);
    if response.status() == StatusCode::FORBIDDEN {
        tracing::info!(parent: &span, event = "access.refused", "A request was refused: it is not allowed");
    }

    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    let core = &app.metrics.core;
    core.manager_http_requests_total.with_label_values(&[route.as_str(), response.status().as_str()]).inc();
    core.manager_http_request_seconds.with_label_values(&[route.as_str()]).observe(begun.elapsed().as_secs_f64());
    response
}

/// Puts the account of the current request into each line of the log that it still leaves.
pub fn note_account(operator_id: OperatorId) {
    tracing::Span::current().record("operator.id", tracing::field::display(operator_id));
}

/// The answer, or a refusal when it takes too long; then the handler is dropped and its transaction rolled back.
async fn bounded(answer: impl Future<Output = Response>, limit: Span) -> Response {
    let limit: Duration = limit.get();
    match tokio::time::timeout(limit, answer).await {
        Ok(response) => response,
        Err(_elapsed) => ApiError::busy("the handler took too long").into_response(),
    }
}

/// Who asks: a browser for a page, or another program.
enum Asked {
    Page { headers: HeaderMap, realm: Realm },
    Api,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let (headers, path) = (request.headers(), request.uri().path());
        if is_for_page(headers) && !path.starts_with(API) {
            Self::Page { headers: headers.clone(), realm: Realm::of_path(path) }
        } else {
            Self::Api
        }
    }

    /// A browser gets a page also where no handler came to its end.
    fn answered(self, app: &App, response: Response) -> Response {
        let is_page =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let problem = match response.status() {
            StatusCode::SERVICE_UNAVAILABLE => Problem::Busy,
            StatusCode::INTERNAL_SERVER_ERROR => Problem::Internal,
            _ => return response,
        };
        match self {
            Self::Page { headers, realm } if !is_page => {
                let mut page = site::problem::page(app, &problem, &headers, realm);
                if let Some(after) = response.headers().get(header::RETRY_AFTER) {
                    page.headers_mut().insert(header::RETRY_AFTER, after.clone());
                }
                page
            }
            Self::Page { .. } | Self::Api => response,
        }
    }
}

fn is_for_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|kinds| kinds.contains("text/html"))
}

/// A browser gets a page, everybody else an error body.
async fn nothing_there(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Response {
    if is_for_page(&headers) {
        site::problem::page(&app, &Problem::NotFound, &headers, Realm::of_path(uri.path()))
    } else {
        ApiError::not_found().into_response()
    }
}

async fn wrong_method(method: Method) -> Response {
    let message = format!("{method} is not what this path is for");
    let body = ErrorBody { code: ErrorCode::BadRequest, message, retry_after_secs: None };
    (StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response()
}

/// What was said stands in the log with the request; the caller is told nothing of it.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let said = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    ApiError::internal(format!("a handler panicked: {}", said.unwrap_or("without a message"))).into_response()
}
