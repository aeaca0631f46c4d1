//! The operator's events: one Server-Sent Events connection, read as a stream.
//!
//! Guarantees: a silence of [`SILENCE`] ends the stream (the manager sends a comment every 15 s), and a line longer
//! than [`EVENT_LEN_MAX`] ends it too. The caller reconnects with the id of the last event it has seen, and then gets
//! every later one exactly once.

use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource as _};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use proto::api::reception::{EVENTS, Event};
use reqwest::header::ACCEPT;
use tracing::warn;

use super::{ANSWER_LEN_MAX, ApiError, ManagerApi};

/// Three comments of the manager missed.
const SILENCE: Duration = Duration::from_secs(45);

/// Bytes of one event; an event is at most a pairing: an introduction, a ticket and five relays.
const EVENT_LEN_MAX: usize = 64 * 1024;

/// An event with the id by which the stream is resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedEvent {
    /// For `last_event_id` of the next connection.
    pub id: String,
    /// What happened.
    pub event: Event,
}

impl ManagerApi {
    /// Opens one stream of the operator's events, after `last_event_id` or from the login on.
    ///
    /// The stream ends when the connection ends; the caller opens the next one with the last id it has seen.
    /// Events that this version does not know are passed over. Cancel-safe: dropping the stream closes it.
    ///
    /// # Errors
    /// An item is [`ApiError::Refused`] when the login is not valid, [`ApiError::Unreachable`] when the connection
    /// cannot be made, breaks or falls silent, [`ApiError::Malformed`] when something else answers. It is the last one.
    pub fn events(
        &self,
        last_event_id: Option<String>,
    ) -> impl Stream<Item = Result<NumberedEvent, ApiError>> + Send + Unpin + use<> {
        let api = self.clone();
        stream::once(async move { api.open_events(last_event_id).await }).try_flatten().boxed()
    }

    async fn open_events(
        self,
        last_event_id: Option<String>,
    ) -> Result<impl Stream<Item = Result<NumberedEvent, ApiError>> + Send + use<>, ApiError> {
        let mut request = self.get(EVENTS).header(ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = self.open(request).await?;
        Ok(decode(chunks(response)))
    }
}

/// The bytes of the answer until it ends, breaks or falls silent.
fn chunks(response: reqwest::Response) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    stream::try_unfold(response, |mut response| async move {
        match tokio::time::timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(chunk))) => Ok(Some((chunk, response))),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(ApiError::transport(error)),
            Err(_elapsed) => Err(ApiError::Unreachable(format!("no event and no comment for {SILENCE:?}"))),
        }
    })
}

/// Events out of bytes; the first error ends the stream.
fn decode(
    chunks: impl Stream<Item = Result<Bytes, ApiError>> + Send,
) -> impl Stream<Item = Result<NumberedEvent, ApiError>> + Send {
    bounded(chunks)
        .eventsource()
        .scan(false, |failed, item| {
            let next = (!*failed).then_some(item);
            *failed |= next.as_ref().is_some_and(Result::is_err);
            std::future::ready(next)
        })
        .filter_map(|item| std::future::ready(read(item)))
}

/// Refuses a line that would make the decoder's buffer grow without end.
fn bounded(
    chunks: impl Stream<Item = Result<Bytes, ApiError>> + Send,
) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    chunks.scan(0usize, |open_bytes, chunk| {
        let checked = chunk.and_then(|chunk| {
            *open_bytes = match chunk.iter().rposition(|byte| *byte == b'\n') {
                Some(newline) => chunk.len().saturating_sub(newline),
                None => open_bytes.saturating_add(chunk.len()),
            };
            if *open_bytes <= EVENT_LEN_MAX && chunk.len() <= ANSWER_LEN_MAX {
                Ok(chunk)
            } else {
                Err(ApiError::Malformed(format!("an event longer than {EVENT_LEN_MAX} bytes")))
            }
        });
        std::future::ready(Some(checked))
    })
}

fn read(
    item: Result<eventsource_stream::Event, EventStreamError<ApiError>>,
) -> Option<Result<NumberedEvent, ApiError>> {
    let raw = match item {
        Ok(raw) => raw,
        Err(EventStreamError::Transport(error)) => return Some(Err(error)),
        Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)) => {
            return Some(Err(ApiError::Malformed("not a stream of events".to_owned())));
        }
    };
    match serde_json::from_str(&raw.data) {
        Ok(Event::Unknown) => None,
        Ok(event) => Some(Ok(NumberedEvent { id: raw.id, event })),
        Err(error) => {
            warn!(event = "events.unknown", error = %error, "An event that this version does not know is passed over");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::id::ReceptionId;

    use super::*;

    async fn collect(parts: Vec<Result<&'static str, ApiError>>) -> Vec<Result<NumberedEvent, ApiError>> {
        let parts = parts.into_iter().map(|part| part.map(|text| Bytes::from_static(text.as_bytes())));
        decode(stream::iter(parts)).collect().await
    }

    fn burned(byte: u8) -> Event {
        Event::Burned { reception_id: ReceptionId::from_bytes([byte; 16]) }
    }

    #[tokio::test]
    async fn events_come_in_order_however_the_bytes_are_cut() {
        let found = collect(vec![
            Ok(": hello\n\nid: 7\nda"),
            Ok("ta: {\"event\":\"burned\",\"reception_id\":\"0101010101010101"),
            Ok("0101010101010101\"}\n\nid: 8\ndata: {\"event\":\"burned\",\"reception_id\":\"02020202020202020202020202020202\"}\n\n"),
        ])
        .await;
        assert_eq!(
            found,
            vec![
                Ok(NumberedEvent { id: "7".to_owned(), event: burned(1) }),
                Ok(NumberedEvent { id: "8".to_owned(), event: burned(2) }),
            ]
        );
    }

    #[tokio::test]
    async fn an_unknown_event_is_passed_over() {
        let found = collect(vec![
            Ok("id: 1\ndata: {\"event\":\"of the future\"}\n\n"),
            Ok("id: 2\ndata: {\"event\":\"burned\",\"reception_id\":\"03030303030303030303030303030303\"}\n\n"),
        ])
        .await;
        assert_eq!(found, vec![Ok(NumberedEvent { id: "2".to_owned(), event: burned(3) })]);
    }

    #[tokio::test]
    async fn a_broken_connection_is_the_last_item() {
        let gone = ApiError::Unreachable("gone".to_owned());
        let found = collect(vec![
            Err(gone.clone()),
            Ok("id: 2\ndata: {\"event\":\"burned\",\"reception_id\":\"03030303030303030303030303030303\"}\n\n"),
        ])
        .await;
        assert_eq!(found, vec![Err(gone)]);
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let long = "x".repeat(EVENT_LEN_MAX).leak();
        let found = collect(vec![Ok("data: "), Ok(long)]).await;
        assert!(matches!(found.as_slice(), [Err(ApiError::Malformed(_))]), "{found:?}");
    }
}
