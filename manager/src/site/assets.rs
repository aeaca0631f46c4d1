//! Style sheet, script and icon: part of the program, kept by browsers for good, because their names change with them.

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

use crate::app::App;

const STYLE: &str = include_str!("../../static/style.css");
const SCRIPT: &str = include_str!("../../static/site.js");
const BOARD: &str = include_str!("../../static/board.js");
const ICON: &str = include_str!("../../static/icon.svg");
/// Digits of a hash in a name.
const HASH_LEN: usize = 16;

/// Where the files are.
#[derive(Debug)]
pub struct Assets {
    /// The style sheet.
    pub style: String,
    /// The script.
    pub script: String,
    /// The script of the live boards.
    pub board: String,
    /// The icon.
    pub icon: String,
}

/// The addresses of this version.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: format!("/static/{}.css", hash(STYLE)),
    script: format!("/static/{}.js", hash(SCRIPT)),
    board: format!("/static/{}.js", hash(BOARD)),
    icon: format!("/static/{}.svg", hash(ICON)),
});

/// Their routes.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route(&ASSETS.style, get(async || file("text/css; charset=utf-8", STYLE)))
        .route(&ASSETS.script, get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route(&ASSETS.board, get(async || file("text/javascript; charset=utf-8", BOARD)))
        .route(&ASSETS.icon, get(async || file("image/svg+xml", ICON)))
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, forever)], content)
        .into_response()
}

fn hash(content: &str) -> String {
    hex::encode(Sha256::digest(content)).chars().take(HASH_LEN).collect()
}
