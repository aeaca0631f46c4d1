//! JSON lines of the headless modes: commands come in, events go out, one JSON object a line.
//!
//! Guarantees: a line is at most [`LINE_LEN_MAX`] bytes, a longer one is skipped whole and reported as a value; events
//! are written and flushed line by line, whole, in order, from any thread.

use std::{
    io::{self, BufRead, Read as _, Write},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use crate::clock;

/// Longest line of commands in bytes: the longest text of one input message, escaped, with room.
pub const LINE_LEN_MAX: usize = 64 * 1024;
/// Commands read ahead of the session.
const COMMANDS_AHEAD_MAX: usize = 64;

/// A line that is not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`LINE_LEN_MAX`].
    #[error("a line has at most {LINE_LEN_MAX} bytes")]
    TooLong,
    /// Not JSON, not UTF-8, an unknown command or a bad value.
    #[error("not a command: {0}")]
    NotACommand(String),
}

/// Reads commands from standard input on a thread of its own. The channel closes at the end of the input.
///
/// # Errors
/// When the thread cannot be started.
pub fn stdin<C: DeserializeOwned + Send + 'static>() -> io::Result<mpsc::Receiver<Result<C, LineError>>> {
    read_from(io::BufReader::new(io::stdin()))
}

/// Reads commands from anywhere on a thread of its own, which lives until the input ends or nobody listens.
///
/// # Errors
/// When the thread cannot be started.
pub fn read_from<C: DeserializeOwned + Send + 'static>(
    mut input: impl BufRead + Send + 'static,
) -> io::Result<mpsc::Receiver<Result<C, LineError>>> {
    let (commands, received) = mpsc::channel(COMMANDS_AHEAD_MAX);
    thread::Builder::new().name("commands".to_owned()).spawn(move || {
        while let Some(command) = next_command(&mut input) {
            if commands.blocking_send(command).is_err() {
                return;
            }
        }
    })?;
    Ok(received)
}

/// The next command; `None` at the end of the input. Empty lines are passed over.
fn next_command<C: DeserializeOwned>(input: &mut impl BufRead) -> Option<Result<C, LineError>> {
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let read = input.by_ref().take(limit).read_until(b'\n', &mut line).ok()?;
        if read == 0 {
            return None;
        }
        if LINE_LEN_MAX < line.len() && line.last() != Some(&b'\n') {
            skip_line(input)?;
            return Some(Err(LineError::TooLong));
        }
        if !line.trim_ascii().is_empty() {
            return Some(serde_json::from_slice(&line).map_err(|error| LineError::NotACommand(error.to_string())));
        }
    }
}

/// Throws the rest of a line away, piece by piece.
fn skip_line(input: &mut impl BufRead) -> Option<()> {
    loop {
        let piece = input.fill_buf().ok()?;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(piece.len(), |end| end.saturating_add(1));
        if used == 0 {
            return Some(());
        }
        input.consume(used);
        if end.is_some() {
            return Some(());
        }
    }
}

/// Writes events, one JSON object a line, each with `at_ms`.
#[derive(Clone)]
pub struct Events(Arc<Mutex<Box<dyn Write + Send>>>);

impl Events {
    /// Events on standard output.
    pub fn stdout() -> Self {
        Self::to(io::stdout())
    }

    /// Events into anything.
    pub fn to(output: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(output))))
    }

    /// Writes one event and flushes. `event` must serialise to a JSON object; `at_ms` is added.
    ///
    /// # Errors
    /// When `event` is no object or the output is closed.
    pub fn write(&self, event: &impl Serialize) -> io::Result<()> {
        let mut value = serde_json::to_value(event)?;
        let object = value.as_object_mut().ok_or_else(|| io::Error::other("an event is a JSON object"))?;
        object.insert("at_ms".to_owned(), clock::now_ms().into());
        let mut line = serde_json::to_vec(&value)?;
        line.push(b'\n');
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(&line)?;
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
    enum Verb {
        Pause,
        Wait { secs: u8 },
    }

    fn verbs(input: &str) -> Vec<Result<Verb, LineError>> {
        let mut commands = read_from(io::Cursor::new(input.to_owned())).unwrap();
        std::iter::from_fn(move || commands.blocking_recv()).collect()
    }

    #[test]
    fn commands_come_in_order_and_bad_lines_are_values() {
        let got = verbs(
            "{\"do\":\"pause\"}\n\n{\"do\":\"fly\"}\nnonsense\n{\"do\":\"wait\",\"secs\":300}\n{\"do\":\"wait\",\"secs\":3}",
        );
        assert_eq!(got.len(), 5, "{got:?}");
        assert_eq!(got[0], Ok(Verb::Pause));
        assert!(got[1..4].iter().all(|line| matches!(line, Err(LineError::NotACommand(_)))), "{got:?}");
        assert_eq!(got[4], Ok(Verb::Wait { secs: 3 }));
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_whole() {
        let long = "x".repeat(LINE_LEN_MAX * 3);
        let got = verbs(&format!("{long}\n{{\"do\":\"pause\"}}\n"));
        assert_eq!(got, [Err(LineError::TooLong), Ok(Verb::Pause)]);
    }

    #[test]
    fn an_event_is_one_line_with_its_time() {
        #[derive(Clone, Default)]
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let shared = Shared::default();
        let events = Events::to(shared.clone());
        events.write(&serde_json::json!({"event": "ended", "text": "一\n二"})).unwrap();
        assert!(events.write(&3).is_err(), "a number is no event");
        let written = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert!(value["at_ms"].as_i64().unwrap() > 1_600_000_000_000);
    }
}
