//! `GET /v1/events`: the operator's events as a stream that can be resumed.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use proto::api::{
    error::ErrorBody,
    reception::{EVENTS, Event},
};
use tracing::{debug, warn};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    hub::Listener,
    metrics::EventsMetrics,
    store::{self, Row},
};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    login::LoggedIn,
};

/// Pause between comments, so that both sides and every box between see life.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// A login that was revoked ends its stream after this time at the latest.
pub const LOGIN_EVERY: Duration = Duration::from_secs(4);
/// Events read from the database at once.
const BATCH: i64 = 64;
/// The header by which a stream is resumed.
const LAST_EVENT_ID: &str = "last-event-id";

/// Routes of this slice.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// The operator's events, from `Last-Event-ID` or from this login on.
#[utoipa::path(
    get,
    path = EVENTS,
    tag = "events",
    security(("bearer" = [])),
    params(("Last-Event-ID" = Option<String>, Header, description = "Number of the last event that was seen")),
    responses(
        (status = 200, content_type = "text/event-stream", body = Event),
        (status = 401, body = ErrorBody),
        (status = 429, body = ErrorBody),
    ),
)]
async fn events(
    State(app): State<App>,
    login: LoggedIn,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>> {
    let max = app.config.events.streams_per_operator_max.get();
    let listener = app.events.listen(login.operator_id, max).ok_or(ApiError::throttled(LOGIN_EVERY.as_secs()))?;
    let seq = match headers.get(LAST_EVENT_ID) {
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|seq: &i64| 0 <= *seq)
            .ok_or(ApiError::bad_request("Last-Event-ID must be the number of an event"))?,
        None => store::before_login(&app.db, login.operator_id, login.token.as_str()).await?,
    };
    let open = Open { counted: Counted::new(&app.metrics.events), app, login, listener, seq, ready: VecDeque::new() };
    let stream = stream::unfold(open, |mut open| async move { open.next().await.map(|event| (Ok(event), open)) });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(COMMENT_EVERY)))
}

/// One open stream.
struct Open {
    app: App,
    login: LoggedIn,
    listener: Listener,
    /// Number of the last event that was read.
    seq: i64,
    ready: VecDeque<Row>,
    counted: Counted,
}

impl Open {
    /// The next event; `None` when the login is over or the database is lost, and the tool connects again.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                self.counted.0.manager_events_sent_total.inc();
                return Some(sse::Event::default().id(row.seq.to_string()).data(row.body));
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => self.wait().await?,
                Err(error) => {
                    warn!(event = "events.read_failed", error = %error, "A stream of events ends");
                    return None;
                }
            }
        }
    }

    /// Reads what is new; whether there was something. Nobody who is logged out gets an event.
    async fn read(&mut self) -> crate::db::DbResult<bool> {
        let rows = store::after(&self.app.db, self.login.operator_id, self.seq, BATCH).await?;
        let Some(last) = rows.last() else { return Ok(false) };
        self.seq = last.seq;
        self.ready = rows.into();
        Ok(true)
    }

    /// Waits until there may be something; `None` when the login is over.
    async fn wait(&mut self) -> Option<()> {
        loop {
            let woken = tokio::time::timeout(LOGIN_EVERY, self.listener.woken()).await.is_ok();
            if let Err(refusal) = LoggedIn::find(&self.app, &self.login.token, self.login.source).await {
                debug!(event = "events.ended", reason = ?refusal.code(), "A stream of events ends with its login");
                return None;
            }
            if woken {
                return Some(());
            }
        }
    }
}

/// Counts one open stream until it is dropped.
struct Counted(EventsMetrics);

impl Counted {
    fn new(metrics: &EventsMetrics) -> Self {
        metrics.manager_event_streams.inc();
        Self(metrics.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.manager_event_streams.dec();
    }
}
