//! Every address of the server, and the headers that every answer has.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer, timeout::TimeoutLayer};
use tracing::error;

use crate::{
    Metrics, file, page,
    page::Visitor,
    text::Catalogue,
    tools::{Role, Tool, Tools},
    visitor,
};

/// Longest time until an answer begins; files are only opened, not read, in it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Pages have no script, no frame and no form; styles and pictures come from here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// On every answer over TLS.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

/// Addresses of the style sheet and the icon; a hash of the content is part of the name.
#[derive(Debug, Clone)]
pub(crate) struct Assets {
    pub(crate) style: String,
    pub(crate) icon: String,
}

#[derive(Clone)]
struct Server(Arc<Shelf>);

struct Shelf {
    tools: Tools,
    texts: Catalogue,
    assets: Assets,
    metrics: Metrics,
}

#[derive(Deserialize)]
struct Asked {
    lang: Option<String>,
}

const STYLE: &str = include_str!("../static/style.css");
const ICON: &str = include_str!("../static/icon.svg");

/// The router of the TLS listener.
///
/// # Errors
/// The texts inside the program are broken.
pub(crate) fn router(tools: Tools, metrics: Metrics) -> Result<Router, toml::de::Error> {
    let assets =
        Assets { style: format!("/style-{}.css", short_hash(STYLE)), icon: format!("/icon-{}.svg", short_hash(ICON)) };
    let (style, icon) = (assets.style.clone(), assets.icon.clone());
    let server = Server(Arc::new(Shelf { tools, texts: Catalogue::load()?, assets, metrics }));
    let pages = Router::new()
        .route("/", get(customer_page))
        .route("/operator", get(operator_page))
        .route(
            &style,
            get(|State(server): State<Server>| async move { server.asset("text/css; charset=utf-8", STYLE) }),
        )
        .route(&icon, get(|State(server): State<Server>| async move { server.asset("image/svg+xml", ICON) }))
        .fallback(missing_page)
        .layer(CompressionLayer::new());
    let mut app = Router::new()
        .route("/files/{sha256}/{name}", get(content_addressed))
        .route("/tools/{name}", get(newest))
        .merge(pages)
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_TIMEOUT))
        .with_state(server);
    for (name, value) in HEADERS {
        app = app.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)));
    }
    Ok(app)
}

async fn customer_page(State(server): State<Server>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    server.tool_page(Role::Client, &asked, &headers)
}

async fn operator_page(State(server): State<Server>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    server.tool_page(Role::Operator, &asked, &headers)
}

async fn missing_page(State(server): State<Server>, headers: HeaderMap) -> Response {
    server.missing(&headers)
}

async fn content_addressed(
    State(server): State<Server>,
    Path((sha256, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    match server.0.tools.by_name(&name).filter(|tool| tool.sha256 == sha256) {
        Some(tool) => server.file(tool, file::IMMUTABLE, request).await,
        None => server.missing(request.headers()),
    }
}

async fn newest(State(server): State<Server>, Path(name): Path<String>, request: Request) -> Response {
    match server.0.tools.by_name(&name) {
        Some(tool) => server.file(tool, file::SHORT, request).await,
        None => server.missing(request.headers()),
    }
}

impl Server {
    fn tool_page(&self, role: Role, asked: &Asked, headers: &HeaderMap) -> Response {
        let Shelf { tools, texts, assets, .. } = &*self.0;
        let lang = visitor::language(asked.lang.as_deref(), headers);
        let (system, arch) = visitor::system(headers);
        let html = page::tool(role, Visitor { lang, system, arch }, tools, texts, assets);
        self.counted("page", html_answer(StatusCode::OK, html))
    }

    fn missing(&self, headers: &HeaderMap) -> Response {
        let lang = visitor::language(None, headers);
        let html = page::not_found(lang, &self.0.texts, &self.0.assets);
        self.counted("missing", html_answer(StatusCode::NOT_FOUND, html))
    }

    fn asset(&self, kind: &'static str, text: &'static str) -> Response {
        let headers =
            [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, file::IMMUTABLE)];
        self.counted("asset", (headers, text).into_response())
    }

    async fn file(&self, tool: &Tool, caching: HeaderValue, request: Request) -> Response {
        let artifact = tool.role.as_str();
        let lang = visitor::language(None, request.headers());
        if tool.is_unchanged().await {
            let sent_bytes = self.0.metrics.download_sent_bytes_total.clone();
            match file::serve(tool, caching, request, sent_bytes).await {
                Ok(answer) => return self.counted(artifact, answer),
                Err(cause) => error!(event = "download.unreadable", error = %cause, "A listed tool cannot be read"),
            }
        } else {
            error!(event = "download.changed", "A listed tool changed on the disk; restart to serve the new one");
        }
        self.0.metrics.download_changed_files_total.inc();
        let html = page::changed(lang, &self.0.texts, &self.0.assets);
        self.counted(artifact, html_answer(StatusCode::SERVICE_UNAVAILABLE, html))
    }

    fn counted(&self, artifact: &str, answer: Response) -> Response {
        self.0.metrics.download_requests_total.with_label_values(&[artifact, answer.status().as_str()]).inc();
        answer
    }
}

fn html_answer(status: StatusCode, html: askama::Result<String>) -> Response {
    match html {
        Ok(html) => {
            let headers = [
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                (header::VARY, HeaderValue::from_static("accept-language, user-agent")),
            ];
            (status, headers, Html(html)).into_response()
        }
        Err(cause) => {
            error!(event = "download.page_failed", error = %cause, "A page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Twelve hexadecimal digits that change with the content.
fn short_hash(text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(12);
    digits
}
