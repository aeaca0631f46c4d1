//! The headless mode: the whole tool driven by JSON lines.
//!
//! Guarantees: commands are done in order; a line that is not a command, has a bad value or comes in a wrong state
//! gives one `error` event and changes nothing; the end of the input and the system's word to end are `quit`.
//! The manual is `operator/README.md`.

pub mod command;

use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

use desk::{
    clock,
    lines::{Events, LineError},
    signals::Signals,
};
use link::transport::Transport;
use proto::{api::login::LoginRequest, number::ReceptionNumber};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::command::{BadCommand, Command};
use crate::{
    app::event::{Event, Told, Wish},
    engine::{Arrived, Engine},
    screen::{Changed, Figures, Screen, canvas},
};

/// How long `picture` waits for an exact canvas.
const EXACT_WAIT: Duration = Duration::from_secs(5);
/// Pictures being written may finish for this long at the end.
const WRITING: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// By `quit` or the end of the input.
    Done,
    /// The login did not hold, or there is no session to resume.
    NotLoggedIn,
}

/// What is read: one JSON value a line.
pub type Lines = mpsc::Receiver<Result<Value, LineError>>;

/// Logs in, then does what the lines say until `quit`, their end or the system's word.
pub async fn run(
    mut engine: Engine,
    request: LoginRequest,
    lines: Lines,
    events: Events,
    mut signals: Signals,
) -> Outcome {
    let headless = Headless::new(events);
    let left = engine.app().left.iter().map(|left| Told::Bookmark {
        session_id: left.session_id,
        company: left.company_name.clone(),
        operator: left.operator_name.clone(),
        reason: left.reason.clone(),
    });
    headless.tell(left.collect(), None);
    let told = engine.take(Event::Wish(Wish::Login(request)), clock::now_ms());
    headless.tell(told, None);
    while engine.app().logging_in {
        tokio::select! {
            arrived = engine.arrived() => headless.arrived(&mut engine, arrived),
            () = signals.end() => return Outcome::NotLoggedIn,
        }
    }
    if engine.app().account.is_none() {
        return Outcome::NotLoggedIn;
    }
    headless.serve(engine, lines, signals).await;
    Outcome::Done
}

/// Goes on with the newest session that an earlier process left, then does what the lines say until `quit`, their end or
/// the system's word.
pub async fn resume(mut engine: Engine, lines: Lines, events: Events, signals: Signals) -> Outcome {
    let headless = Headless::new(events);
    let Some(id) = engine.app().left.first().map(|left| left.session_id) else {
        headless.error("no_bookmark", "there is no session to resume", None);
        return Outcome::NotLoggedIn;
    };
    let told = engine.take(Event::Wish(Wish::Rejoin(id)), clock::now_ms());
    headless.tell(told, None);
    if engine.session().is_none() {
        headless.error("no_bookmark", "another process goes on with the session, or it is too late", None);
        return Outcome::NotLoggedIn;
    }
    headless.serve(engine, lines, signals).await;
    Outcome::Done
}

/// Does what the lines say with an engine as it is, until `quit`, their end or the system's word.
pub async fn serve(engine: Engine, lines: Lines, events: Events, signals: Signals) {
    Headless::new(events).serve(engine, lines, signals).await;
}

struct Headless {
    events: Events,
    writing: TaskTracker,
    started: Instant,
}

impl Headless {
    fn new(events: Events) -> Self {
        Self { events, writing: TaskTracker::new(), started: Instant::now() }
    }

    async fn serve(self, mut engine: Engine, mut lines: Lines, mut signals: Signals) {
        loop {
            tokio::select! {
                () = signals.end() => break,
                arrived = engine.arrived() => self.arrived(&mut engine, arrived),
                line = lines.recv() => match line {
                    None => break,
                    Some(line) => {
                        if self.line(&mut engine, line) {
                            break;
                        }
                    }
                },
            }
        }
        let told = engine.farewell(clock::now_ms()).await;
        self.tell(told, None);
        self.writing.close();
        if time::timeout(WRITING, self.writing.wait()).await.is_err() {
            warn!(event = "headless.writing_slow", "A picture was not written in time");
        }
    }

    fn arrived(&self, engine: &mut Engine, arrived: Arrived) {
        match arrived {
            Arrived::Event(event) => {
                let told = engine.take(event, clock::now_ms());
                self.tell(told, None);
            }
            Arrived::Changed(changed) => self.write(&self.changed(&changed)),
        }
    }

    /// Does what a line says. `true` means that it is the last one.
    fn line(&self, engine: &mut Engine, line: Result<Value, LineError>) -> bool {
        let command = line
            .map_err(|error| BadCommand { code: "bad_value", message: error.to_string(), verb: None })
            .and_then(|line| {
                let verb = line.get("do").and_then(Value::as_str).unwrap_or_default().to_owned();
                command::read(line).map(|command| (command, verb))
            });
        match command {
            Ok((Command::Quit {}, _)) => return true,
            Ok((command, verb)) => self.command(engine, command, &verb),
            Err(BadCommand { code, message, verb }) => self.error(code, &message, verb.as_deref()),
        }
        false
    }

    fn command(&self, engine: &mut Engine, command: Command, verb: &str) {
        let monitor = engine.app().session.as_ref().map_or(0, |session| session.shared);
        let size = engine.session().and_then(|session| size(&session.screen));
        match command::inputs(&command, monitor, size) {
            Ok(Some(inputs)) => return self.input(engine, Wish::Input(inputs), verb),
            Ok(None) => {}
            Err(message) => return self.error("bad_value", &message, Some(verb)),
        }
        let wish = match command {
            Command::Issue { reason, life_secs, number } => {
                let given = number.map(|number| ReceptionNumber::parse(&number)).transpose();
                match given {
                    Ok(given) => Wish::Issue { reason, life_secs, given },
                    Err(error) => return self.error("bad_value", &error.to_string(), Some(verb)),
                }
            }
            Command::Cancel { reception_id } | Command::Extend { reception_id } => {
                let newest = engine.app().newest_open().map(|number| number.reception_id);
                let Some(id) = reception_id.or(newest) else {
                    return self.error("not_found", "there is no open number", Some(verb));
                };
                if verb == "cancel" { Wish::Cancel(id) } else { Wish::Extend(id) }
            }
            Command::Numbers {} => {
                let told = Told::Numbers { numbers: engine.app().numbers_told() };
                return self.tell(vec![told], Some(verb));
            }
            Command::History {} => Wish::History,
            Command::Ask { grant, reason } => Wish::Ask { kind: grant, reason },
            Command::Monitor { id } => Wish::ChooseMonitor(id),
            Command::Picture { file } => return self.picture(engine, file, verb),
            Command::Watch { on } => return self.watch(engine, on, verb),
            Command::Figures {} => return self.figures(engine, verb),
            Command::End {} => Wish::End,
            Command::Quit {}
            | Command::Pointer { .. }
            | Command::Click { .. }
            | Command::Button { .. }
            | Command::Wheel { .. }
            | Command::Key { .. }
            | Command::Text { .. } => return,
        };
        let told = engine.take(Event::Wish(wish), clock::now_ms());
        self.tell(told, Some(verb));
    }

    fn input(&self, engine: &mut Engine, wish: Wish, verb: &str) {
        let at_us = self.micros(Instant::now());
        let told = engine.take(Event::Wish(wish), clock::now_ms());
        if told.is_empty() {
            self.write(&json!({"event": "sent", "do": verb, "at_us": at_us}));
        } else {
            self.tell(told, Some(verb));
        }
    }

    fn picture(&self, engine: &Engine, file: PathBuf, verb: &str) {
        let Some(screen) = screen(engine).filter(|screen| size(screen).is_some()) else {
            return self.error("wrong_state", "there is no picture yet", Some(verb));
        };
        let (events, verb) = (self.events.clone(), verb.to_owned());
        self.writing.spawn(async move {
            let exact = screen.exact_within(EXACT_WAIT).await;
            let told = match tokio::task::spawn_blocking(move || write_png(&screen, &file, exact)).await {
                Ok(Ok(told)) => told,
                Ok(Err(message)) => error_line("not_written", &message, Some(&verb)),
                Err(error) => error_line("not_written", &error.to_string(), Some(&verb)),
            };
            write(&events, &told);
        });
    }

    fn watch(&self, engine: &Engine, on: bool, verb: &str) {
        match engine.session() {
            Some(session) => session.watched.store(on, Ordering::Relaxed),
            None => self.error("wrong_state", "there is no session", Some(verb)),
        }
    }

    fn figures(&self, engine: &Engine, verb: &str) {
        let Some(screen) = screen(engine) else {
            return self.error("wrong_state", "there was no session yet", Some(verb));
        };
        let Figures { screen_bytes, updates, decode_us_sum, round_trip } = screen.lock().figures;
        let round_trip_us = round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        self.write(&json!({
            "event": "figures",
            "screen_bytes": screen_bytes,
            "updates": updates,
            "round_trip_us": round_trip_us,
            "decode_us_mean": decode_us_sum.checked_div(updates),
            "transport": engine.app().session.as_ref().and_then(|session| session.transport).map(Transport::as_str),
        }));
    }

    fn changed(&self, changed: &Changed) -> Value {
        let rects: Vec<_> = changed
            .rects
            .iter()
            .map(|rect| json!({"x": rect.x, "y": rect.y, "width": rect.width, "height": rect.height}))
            .collect();
        json!({
            "event": "changed",
            "update": changed.update,
            "at_us": self.micros(changed.at),
            "bytes": changed.bytes,
            "rects": rects,
        })
    }

    /// Writes what is to be told; an error without a command gets the one it answers.
    fn tell(&self, told: Vec<Told>, answers: Option<&str>) {
        for mut what in told {
            if let Told::Error { verb: verb @ None, .. } = &mut what {
                *verb = answers.map(ToOwned::to_owned);
            }
            match serde_json::to_value(&what) {
                Ok(line) => self.write(&line),
                Err(error) => warn!(event = "headless.unwritable", reason = %error, "An event has no JSON form"),
            }
        }
    }

    fn error(&self, code: &str, message: &str, verb: Option<&str>) {
        self.write(&error_line(code, message, verb));
    }

    fn write(&self, line: &Value) {
        write(&self.events, line);
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }
}

fn screen(engine: &Engine) -> Option<Screen> {
    engine.last_session().map(|session| session.screen.clone())
}

fn size(screen: &Screen) -> Option<(u16, u16)> {
    screen.lock().canvas.picture().map(|picture| (picture.width(), picture.height()))
}

fn write_png(screen: &Screen, file: &std::path::Path, exact: bool) -> Result<Value, String> {
    let picture = screen.lock().canvas.picture().cloned().ok_or("there is no picture")?;
    let png = canvas::png_of(&picture).map_err(|error| error.to_string())?;
    std::fs::write(file, png).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(json!({
        "event": "picture",
        "file": file,
        "width": picture.width(),
        "height": picture.height(),
        "hash": format!("{:016x}", picture.hash()),
        "exact": exact,
    }))
}

fn error_line(code: &str, message: &str, verb: Option<&str>) -> Value {
    let mut line = json!({"event": "error", "code": code, "message": message});
    if let (Some(verb), Some(object)) = (verb, line.as_object_mut()) {
        object.insert("do".to_owned(), verb.into());
    }
    line
}

fn write(events: &Events, line: &Value) {
    if let Err(error) = events.write(line) {
        warn!(event = "headless.output_closed", reason = %error, "An event was not written");
    }
}
