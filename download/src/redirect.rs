//! Plain HTTP: every request is pointed to the same path under HTTPS, and nothing else is ever said here.

use axum::{
    Router,
    http::{StatusCode, Uri, header, uri::PathAndQuery},
    response::{IntoResponse as _, Response},
};

use crate::{Metrics, config::Address};

/// The router of the plain listener. The host comes from the configuration, never from the request.
pub(crate) fn router(address: &Address, metrics: Metrics) -> Router {
    let address = address.clone();
    Router::new().fallback(move |uri: Uri| {
        let answer = redirect(&address, &uri);
        metrics.download_requests_total.with_label_values(&["redirect", answer.status().as_str()]).inc();
        std::future::ready(answer)
    })
}

fn redirect(address: &Address, uri: &Uri) -> Response {
    let rest = uri.path_and_query().map(PathAndQuery::as_str).filter(|rest| rest.starts_with('/')).unwrap_or("/");
    let location = format!("{address}{rest}");
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response()
}
