//! Logs on standard error: readable lines on a terminal, one JSON object a line in service.
//!
//! Guarantees: what is logged once is one line, whatever characters its values have; a panic is logged, too.

use std::{
    io::{self, IsTerminal as _, Write},
    panic::{self, PanicHookInfo},
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing::Dispatch;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt, fmt::MakeWriter, util::SubscriberInitExt as _};

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Human,
    /// For log collectors: one JSON object a line, event fields at the top.
    Json,
    /// Human on a terminal, JSON otherwise.
    #[default]
    Auto,
}

/// Starts logging for this process. `RUST_LOG` filters as usual; without it, `info` and above is written.
///
/// A second call changes nothing, so that tests may call it freely.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    if filtered(format, filter, io::stderr).try_init().is_err() {
        tracing::debug!("Logs were begun before");
    } else if is_json(format) {
        panic::set_hook(Box::new(panicked));
    }
}

/// What [`init`] starts without a filter in the environment, written to wherever one likes.
pub fn lines<W>(format: LogFormat, writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    filtered(format, EnvFilter::default().add_directive(LevelFilter::INFO.into()), writer)
}

fn filtered<W>(format: LogFormat, filter: EnvFilter, writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt().with_env_filter(filter).with_writer(OneLine(writer));
    if is_json(format) {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().into()
    } else {
        lines.with_target(false).finish().into()
    }
}

fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Human => false,
        LogFormat::Json => true,
        LogFormat::Auto => !io::stderr().is_terminal(),
    }
}

/// A collector of lines gets the panic as one of them.
fn panicked(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    let said = panic.payload_as_str().unwrap_or("without a message");
    tracing::error!(event = "program.panicked", at, "The program panicked: {said}");
}

/// Writes each event as one line: what is no visible character in it is escaped, as JSON does it, so that no value begins
/// a line.
#[derive(Debug, Clone, Copy)]
struct OneLine<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    /// Takes a whole event, as the formatter gives it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let mut written = String::with_capacity(text.len());
        for (at, c) in line.char_indices() {
            match c {
                '\u{1b}' if is_colour(line.get(at..).unwrap_or_default()) => written.push(c),
                '\n' => written.push_str("\\n"),
                '\r' => written.push_str("\\r"),
                c if ends_or_hides(c) => written.extend(format!("\\u{:04x}", u32::from(c)).chars()),
                c => written.push(c),
            }
        }
        written.push_str(end);
        self.0.write_all(written.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a terminal or a collector may end the line there, or show the rest otherwise.
fn ends_or_hides(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\t') || c == '\u{2028}' || c == '\u{2029}' || turns
}

/// Whether a text begins with a colour, as the formatter writes them for a terminal. Source: ECMA-48, 8.3.117.
fn is_colour(text: &str) -> bool {
    let rest = text.strip_prefix("\u{1b}[").unwrap_or_default();
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Kept {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    const ATTACK: &str =
        "x\n2026-01-01T00:00:00Z  INFO forged\r\u{85}\u{2028}forged\u{1b}[2J\u{8}\u{202e}\0\"},{\"forged\":\"1";

    #[test]
    fn no_value_ends_the_line_or_begins_another() {
        for format in [LogFormat::Human, LogFormat::Json] {
            let kept = Kept::default();
            tracing::dispatcher::with_default(&lines(format, kept.clone()), || {
                let span = tracing::info_span!("request", name = ATTACK, shown = %ATTACK);
                let _in_it = span.enter();
                tracing::info!(event = "a", text = ATTACK, shown = %ATTACK, debug = ?ATTACK, "It was {ATTACK}");
                tracing::error!(event = "b", error = %io::Error::other(ATTACK), "Second");
            });
            let bytes = kept.0.lock().unwrap().clone();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.lines().count(), 2, "{format:?} {text}");
            assert!(text.ends_with('\n') && text.contains("Second"), "{format:?} {text}");
            for hidden in ['\r', '\u{85}', '\u{2028}', '\u{8}', '\u{202e}', '\0'] {
                assert!(!text.contains(hidden), "{format:?} {hidden:?} {text}");
            }
            assert!(!text.contains("\u{1b}[2J"), "{format:?} {text}");
            if format == LogFormat::Json {
                for line in text.lines() {
                    let object: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert!(object.get("forged").is_none() && object["event"].is_string(), "{line}");
                }
            }
        }
    }
}
