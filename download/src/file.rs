//! One tool's bytes: whole, in part, or "you have it already".
//!
//! tower-http reads the file and cuts the range. This module decides the conditions before it (RFC 9110, section 13),
//! because only it knows the strong entity tag, the file's SHA-256; and it refuses a file that is no longer the one
//! that was listed.

use std::io;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use prometheus::IntCounter;
use tower_http::services::ServeFile;

use crate::tools::Tool;

/// The bytes of a content address never change.
pub(crate) const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A stable address shows a new version within minutes.
pub(crate) const SHORT: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Answers a request for a tool.
///
/// # Errors
/// The file cannot be read.
pub(crate) async fn serve(
    tool: &Tool,
    caching: HeaderValue,
    request: Request,
    sent_bytes: IntCounter,
) -> io::Result<Response> {
    let (parts, _body) = request.into_parts();
    let tag = format!("\"{}\"", tool.sha256);
    let mut answer = match decide(&parts.method, &parts.headers, &tag, tool) {
        Decision::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Decision::Failed => StatusCode::PRECONDITION_FAILED.into_response(),
        Decision::Send { range } => {
            let mut inner = Request::new(Body::empty());
            *inner.method_mut() = parts.method;
            if let Some(range) = range {
                inner.headers_mut().insert(header::RANGE, range);
            }
            let found = ServeFile::new(&tool.path).try_call(inner).await?;
            found.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let len = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(0));
                    sent_bytes.inc_by(len);
                    frame
                }))
            })
        }
    };
    let whole_or_part = answer.status().is_success();
    let headers = answer.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(headers, header::ETAG, &tag);
    insert(headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(tool.modified));
    headers.insert(header::CACHE_CONTROL, caching);
    if whole_or_part {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        insert(headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", tool.name));
    }
    Ok(answer)
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    NotModified,
    Failed,
    Send { range: Option<HeaderValue> },
}

/// RFC 9110, 13.2.2: `If-Match`, else `If-Unmodified-Since`; then `If-None-Match`, else `If-Modified-Since`; then
/// `Range` with `If-Range`.
fn decide(method: &Method, headers: &HeaderMap, tag: &str, tool: &Tool) -> Decision {
    let date =
        |name: &HeaderName| headers.get(name)?.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok());
    let newer_than = |at| httpdate::HttpDate::from(tool.modified) > httpdate::HttpDate::from(at);
    if headers.contains_key(header::IF_MATCH) {
        if !names_tag(headers, &header::IF_MATCH, tag, false) {
            return Decision::Failed;
        }
    } else if date(&header::IF_UNMODIFIED_SINCE).is_some_and(newer_than) {
        return Decision::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if names_tag(headers, &header::IF_NONE_MATCH, tag, true) {
            return Decision::NotModified;
        }
    } else if date(&header::IF_MODIFIED_SINCE).is_some_and(|at| !newer_than(at)) {
        return Decision::NotModified;
    }
    let if_range = headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    let range = headers.get(header::RANGE).filter(|range| *method == Method::GET && if_range && is_single(range));
    Decision::Send { range: range.cloned() }
}

/// Whether a list of entity tags has ours; `*` names every tag. A weak tag only names ours where `weak` is enough.
fn names_tag(headers: &HeaderMap, name: &HeaderName, tag: &str, weak: bool) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).any(|item| {
        let item = item.trim();
        let item = if weak { item.trim_start_matches("W/") } else { item };
        item == "*" || item == tag
    })
}

/// Whether a `Range` is one well-formed range of bytes. Others are answered with the whole file, as RFC 9110, 14.2
/// allows: several ranges are only asked for by readers of documents, and a broken header is not there.
fn is_single(range: &HeaderValue) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = range.to_str().ok().and_then(|text| text.strip_prefix("bytes=")).and_then(|set| set.split_once('-'));
    parsed.is_some_and(|(first, last)| {
        let number = |text: &str| text.parse::<u64>().ok();
        let ordered = match (number(first), number(last)) {
            (Some(first), Some(last)) => first <= last,
            (Some(_), None) => last.is_empty(),
            (None, Some(_)) => first.is_empty(),
            (None, None) => false,
        };
        digits(first) && digits(last) && ordered
    })
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
