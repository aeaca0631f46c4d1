//! The tool without a window: JSON lines on standard input and output, see `client/README.md`.
//!
//! It grants what `--grant` lists and refuses the rest; everything else is the same code as in the window.

use std::process::ExitCode;

use desk::{
    bookmark::{Bookmark, Shelf},
    clock,
    lines::{Events, LineError},
    signals::Signals,
};
use link::{api::ManagerApi, race::Dialer};
use proto::{
    close::CloseReason,
    device::DeviceFact,
    grant::{GrantKind, Grants},
    number::ReceptionNumber,
    role::Role,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    consent::{Brake, Permit},
    desktop::Desktop,
    enter::EnterError,
    entry_key::EntryKey,
    screen::capture::synthetic::Easel,
    session::{Command, News},
    visit::{self, Begin, Plan, Stage, Step},
};

/// Steps and commands under way at most.
const QUEUE_MAX: usize = 64;

/// Flags of the headless mode.
#[derive(Debug, Clone, clap::Args)]
pub struct HeadlessFlags {
    /// The reception number, ten digits in any usual form
    #[arg(long, value_name = "NUMBER", required_unless_present = "resume")]
    pub number: Option<String>,
    /// Goes on with the newest session whose tool died here, instead of a number
    #[arg(long, conflicts_with = "number")]
    pub resume: bool,
    /// What to grant when it is asked for; everything else is refused
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = grant_kind)]
    pub grant: Vec<GrantKind>,
    /// The X11 display to share, for example :7; the one of the environment when absent
    #[arg(long, value_name = "DISPLAY", conflicts_with = "synthetic")]
    pub display: Option<String>,
    /// Shares a synthetic picture of this size instead of a display
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = easel)]
    pub synthetic: Option<Easel>,
}

fn grant_kind(text: &str) -> Result<GrantKind, String> {
    GrantKind::from_name(text).ok_or_else(|| "a grant is one of view, control, device".to_owned())
}

fn easel(text: &str) -> Result<Easel, String> {
    let (width, height) = text.split_once('x').ok_or("a size is WIDTHxHEIGHT, for example 1280x800")?;
    let edge = |text: &str| text.parse::<u16>().map_err(|_not_a_number| "a size has two whole numbers".to_owned());
    Easel::new(edge(width)?, edge(height)?).map_err(|error| error.to_string())
}

/// A line of standard input.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Verb {
    Pause {},
    Resume {},
    TakeBack { grant: GrantKind },
    End {},
    Figures {},
}

/// A line of standard output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    EnteringAgain {},
    Company {
        company: String,
        operator: String,
        reason: String,
    },
    Bookmark {
        session_id: String,
        company: String,
        operator: String,
    },
    Proved {
        session_id: String,
        safety_code: String,
        transport: &'static str,
    },
    Rejoined {
        session_id: String,
        safety_code: String,
        transport: &'static str,
    },
    Asked {
        kind: GrantKind,
        reason: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        facts: Vec<DeviceFact>,
    },
    Granted {
        kind: GrantKind,
    },
    Refused {
        kind: GrantKind,
        timed_out: bool,
    },
    TakenBack {
        kind: GrantKind,
    },
    Sharing {
        monitor: u8,
        width: u16,
        height: u16,
    },
    Withdrawn {
        kind: GrantKind,
    },
    PeerRestarted {},
    Paused {
        paused: bool,
    },
    Switching {},
    Resumed {
        transport: &'static str,
    },
    Figures {
        screen_bytes: u64,
        updates: u64,
        encode_us_mean: u64,
        capture_us_mean: u64,
        transport: &'static str,
    },
    Ended {
        reason: CloseReason,
    },
    Error {
        code: &'static str,
        message: String,
    },
}

/// Runs one visit without a window. The key of its number is kept for this run only.
///
/// # Errors
/// When standard input, standard output or the signals cannot be used.
pub async fn run(
    api: ManagerApi,
    flags: HeadlessFlags,
    language: &'static str,
    dialer: Dialer,
) -> std::io::Result<ExitCode> {
    let out = Events::stdout();
    let shelf = Shelf::of_user();
    let left = shelf.as_ref().map(|shelf| shelf.find(Role::Customer, api.url(), clock::now())).unwrap_or_default();
    for event in left.iter().filter_map(|found| offer(&found.bookmark)) {
        out.write(&event)?;
    }
    let grants: Grants = flags.grant.into_iter().collect();
    let begin = match begin(flags.number.as_deref(), left.first().map(|found| &found.bookmark), grants) {
        Ok(begin) => begin,
        Err(error) => {
            out.write(&failed(&error))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let desktop = flags.synthetic.map_or_else(|| Desktop::X11(flags.display), Desktop::Synthetic);
    let mut lines = desk::lines::stdin::<Verb>()?;
    let mut signals = Signals::listen()?;
    let permit = Permit::none();
    let (commands, taken) = mpsc::channel(QUEUE_MAX);
    let (steps, mut told) = mpsc::channel(QUEUE_MAX);
    let stage = Stage { desktop, permit: permit.clone(), language, shelf };
    let plan = Plan { api, begin, entry_key: EntryKey::none(), dialer, stage };
    let mut visiting = tokio::spawn(visit::visit(plan, taken, steps));
    let (mut open, mut seen) = (true, false);
    let code = loop {
        tokio::select! {
            biased;
            () = signals.end() => order(&commands, &permit, Command::End),
            line = lines.recv(), if open => match line {
                // Before the screen is seen there is nothing to pause, and a brake would stay on.
                Some(Ok(Verb::Pause {})) if !seen => send(&commands, Command::Pause(true)),
                Some(Ok(verb)) => order(&commands, &permit, verb.into()),
                Some(Err(error)) => out.write(&bad_line(&error))?,
                // Without further commands the session goes on.
                None => open = false,
            },
            step = told.recv() => match step {
                Some(Step::Ended(reason)) => {
                    out.write(&Event::Ended { reason })?;
                    break ExitCode::SUCCESS;
                }
                Some(Step::Failed(error)) => {
                    out.write(&failed(&error))?;
                    break ExitCode::FAILURE;
                }
                Some(step) => {
                    let answer = answer(&step, grants);
                    if let Step::Session(News::Granted(GrantKind::View)) = &step {
                        seen = true;
                    } else if let Step::Session(News::TakenBack(GrantKind::View)) = &step {
                        seen = false;
                    }
                    if let Some(event) = event(step) {
                        out.write(&event)?;
                    }
                    if let Some(answer) = answer {
                        order(&commands, &permit, answer);
                    }
                }
                None => break ExitCode::FAILURE,
            },
        }
    };
    if let Err(error) = (&mut visiting).await {
        tracing::error!(event = "visit.broken", reason = %error, "The visit broke");
    }
    Ok(code)
}

/// What can be resumed.
fn offer(bookmark: &Bookmark) -> Option<Event> {
    let who = bookmark.introduction().ok()?;
    let session_id = bookmark.pairing.session_id.to_string();
    Some(Event::Bookmark { session_id, company: who.company_name, operator: who.operator_name })
}

/// How the flags say that the session is found. What was shown before is shown again when `grants` has it.
fn begin(number: Option<&str>, newest: Option<&Bookmark>, grants: Grants) -> Result<Begin, EnterError> {
    match (number, newest) {
        (Some(number), _) => {
            ReceptionNumber::parse(number).map(Begin::Number).map_err(|_not_a_number| EnterError::NumberUnusable)
        }
        (None, Some(bookmark)) => {
            let session_id = bookmark.pairing.session_id;
            Ok(Begin::Bookmark { session_id, shows_again: grants.has(GrantKind::View) })
        }
        (None, None) => Err(EnterError::NoBookmark),
    }
}

/// Puts the brake on at once, then tells the session.
fn order(commands: &mpsc::Sender<Command>, permit: &Permit, command: Command) {
    match command {
        Command::Pause(paused) => permit.brake(if paused { Brake::All } else { Brake::Off }),
        Command::TakeBack(GrantKind::Control) => permit.brake(Brake::Act),
        Command::Answer(GrantKind::Control, true) => permit.brake(Brake::Off),
        Command::End => permit.brake(Brake::All),
        Command::Answer(..) | Command::TakeBack(_) | Command::Figures => {}
    }
    send(commands, command);
}

fn send(commands: &mpsc::Sender<Command>, command: Command) {
    if let Err(error) = commands.try_send(command) {
        tracing::warn!(event = "command.lost", reason = %error, "The session does not take commands");
    }
}

/// The answer to a question, by the list of `--grant`.
fn answer(step: &Step, grants: Grants) -> Option<Command> {
    match step {
        Step::Session(News::Asked(question, _)) => Some(Command::Answer(question.kind, grants.has(question.kind))),
        Step::Session(_)
        | Step::EnteringAgain
        | Step::Introduced(_)
        | Step::Proved { .. }
        | Step::Rejoined { .. }
        | Step::Failed(_)
        | Step::Ended(_) => None,
    }
}

impl From<Verb> for Command {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Pause {} => Self::Pause(true),
            Verb::Resume {} => Self::Pause(false),
            Verb::TakeBack { grant } => Self::TakeBack(grant),
            Verb::End {} => Self::End,
            Verb::Figures {} => Self::Figures,
        }
    }
}

fn event(step: Step) -> Option<Event> {
    Some(match step {
        Step::EnteringAgain => Event::EnteringAgain {},
        Step::Introduced(who) => {
            Event::Company { company: who.company_name, operator: who.operator_name, reason: who.reason }
        }
        Step::Proved { session_id, safety_code, transport } => {
            Event::Proved { session_id: session_id.to_string(), safety_code, transport: transport.as_str() }
        }
        Step::Rejoined { session_id, safety_code, transport } => {
            Event::Rejoined { session_id: session_id.to_string(), safety_code, transport: transport.as_str() }
        }
        Step::Session(News::Asked(question, facts)) => {
            Event::Asked { kind: question.kind, reason: question.reason, facts }
        }
        Step::Session(News::Granted(kind)) => Event::Granted { kind },
        Step::Session(News::Refused { kind, timed_out }) => Event::Refused { kind, timed_out },
        Step::Session(News::TakenBack(kind)) => Event::TakenBack { kind },
        Step::Session(News::Withdrawn(kind)) => Event::Withdrawn { kind },
        Step::Session(News::PeerRestarted) => Event::PeerRestarted {},
        Step::Session(News::Paused(paused)) => Event::Paused { paused },
        Step::Session(News::Switching) => Event::Switching {},
        Step::Session(News::Resumed(transport)) => Event::Resumed { transport: transport.as_str() },
        Step::Session(News::Sharing(monitor)) => {
            Event::Sharing { monitor: monitor.id, width: monitor.width, height: monitor.height }
        }
        Step::Session(News::Figures(figures)) => Event::Figures {
            screen_bytes: figures.screen_bytes,
            updates: figures.updates,
            encode_us_mean: figures.encode_us_mean,
            capture_us_mean: figures.capture_us_mean,
            transport: figures.transport.as_str(),
        },
        Step::Failed(_) | Step::Ended(_) => return None,
    })
}

fn failed(error: &EnterError) -> Event {
    Event::Error { code: error.code(), message: error.to_string() }
}

fn bad_line(error: &LineError) -> Event {
    Event::Error { code: "bad_command", message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::{api::reception::Pairing, id::SessionId, seal::rejoin::RejoinSecret, ticket::ProofKey};

    use super::*;

    #[test]
    fn a_view_goes_on_after_a_restart_only_when_it_is_in_the_list() {
        let session_id = SessionId::from_bytes([3; 16]);
        let pairing = Pairing { session_id, introduction: String::new(), ticket: String::new(), relays: Vec::new() };
        let key = Arc::new(ProofKey::from_seed(&[1; 32]));
        let secret = RejoinSecret::from_bytes(&[9; 40]);
        let left = Bookmark::new(Role::Customer, pairing, key, secret, (String::new(), String::new()));
        let control = Grants::NONE.with(GrantKind::Control);
        for (grants, shows_again) in [(Grants::NONE, false), (control, false), (control.with(GrantKind::View), true)] {
            assert_eq!(begin(None, Some(&left), grants), Ok(Begin::Bookmark { session_id, shows_again }));
        }
        assert_eq!(begin(None, None, control), Err(EnterError::NoBookmark));
    }
}
