//! What the tool is doing: a pure machine, `on(event, now) → effects`.
//!
//! Guarantees: no clock, no network, no display, so the whole flow is tested without any of them.
//! It runs one session at a time; a customer who enters another number meanwhile waits and is met next.
//! It does not hold pixels or measurements (`crate::screen`).

pub mod event;
mod number;
mod session;

use std::collections::VecDeque;

use proto::{
    api::{
        UnixMillis,
        login::{LoginAnswer, NoticeBody},
        reception::{Pairing, ReceptionState},
        session::SessionBody,
    },
    close::CloseReason,
    device::DeviceFact,
    id::{ReceptionId, SessionId},
};

use self::event::{Effect, Event, FromSession, Left, Manager, NumberTold, Told, Verb, Wish};
pub use self::{
    number::Number,
    session::{Ended, Phase, Session},
};
use crate::failure::Failure;

/// Sessions whose end is remembered, so that a repeated event starts nothing.
const DONE_MAX: usize = 32;
/// Looks for the device's facts at most, and the pause between two of them.
const DEVICE_LOOKS: u8 = 10;
/// See [`DEVICE_LOOKS`].
const DEVICE_LOOK_EVERY_MS: UnixMillis = 1_000;

/// Which page the window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Company code, id, password.
    Login,
    /// Numbers and recent sessions.
    Home,
    /// One number in large digits.
    Number(ReceptionId),
    /// The two tools are on their way to each other.
    Meeting,
    /// The customer is asked for the view.
    Asking,
    /// The customer's screen.
    Session,
    /// Why it ended.
    Ended,
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The company's name.
    pub company_name: String,
    /// The operator's name.
    pub operator_name: String,
}

/// Something the person should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A call failed.
    Failed(Failure),
    /// The customer's four digits were different.
    WrongSecret,
    /// The customer was not met, for this reason.
    NotMet(CloseReason),
    /// The customer of a session that an earlier process left was not found, for this reason.
    NotRejoined(CloseReason),
    /// That session is not this tool's to go on with any more.
    NoBookmark,
    /// A number was burned.
    Burned,
    /// A number's time is over.
    Expired,
}

/// A customer who entered a number while a session was running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The number's reception.
    pub reception_id: ReceptionId,
    /// How to meet.
    pub pairing: Pairing,
    /// Since when.
    pub since_ms: UnixMillis,
}

/// The whole state of the tool.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that are true or not, independently")]
pub struct App {
    /// Which page is shown.
    pub page: Page,
    /// Who is logged in.
    pub account: Option<Account>,
    /// A login is under way.
    pub logging_in: bool,
    /// A number is being issued.
    pub issuing: bool,
    /// Own numbers, newest first; closed ones until the next look at the home page.
    pub numbers: Vec<Number>,
    /// The session that is met or running.
    pub session: Option<Session>,
    /// Customers who wait for the running session to end.
    pub waiting: VecDeque<Waiting>,
    /// The last session that ended.
    pub ended: Option<Ended>,
    /// Recent sessions, newest first; nothing until they were fetched.
    pub history: Option<Vec<SessionBody>>,
    /// The manager's events arrive.
    pub listening: bool,
    /// Something the person should read.
    pub notice: Option<Notice>,
    /// What the service and the company announce.
    pub notices: Vec<NoticeBody>,
    /// Sessions whose tool died and that can be gone on with, the newest first.
    pub left: Vec<Left>,
    history_wanted: bool,
    done: VecDeque<SessionId>,
}

impl Default for App {
    fn default() -> Self {
        Self {
            page: Page::Login,
            account: None,
            logging_in: false,
            issuing: false,
            notices: Vec::new(),
            numbers: Vec::new(),
            session: None,
            waiting: VecDeque::new(),
            ended: None,
            history: None,
            listening: true,
            notice: None,
            left: Vec::new(),
            history_wanted: false,
            done: VecDeque::new(),
        }
    }
}

impl App {
    /// Takes an event and says what to do about it.
    pub fn on(&mut self, event: Event, now_ms: UnixMillis) -> Vec<Effect> {
        match event {
            Event::Wish(wish) => self.on_wish(wish, now_ms),
            Event::Manager(manager) => self.on_manager(manager, now_ms),
            Event::Session(id, FromSession::Gone(reason)) => self.on_gone(id, reason, None, now_ms),
            Event::Session(id, FromSession::Blocked(error)) => {
                self.on_gone(id, CloseReason::TransportLost, Some(error.into()), now_ms)
            }
            Event::Session(id, FromSession::NoBookmark) => self.on_no_bookmark(id),
            Event::Session(id, what) => self.on_session(id, what, now_ms),
            Event::Left(left) => {
                self.left.push(left);
                Vec::new()
            }
            Event::Tick => self.on_tick(now_ms),
        }
    }

    /// The numbers as they are told to a program.
    pub fn numbers_told(&self) -> Vec<NumberTold> {
        self.numbers.iter().map(Number::told).collect()
    }

    /// What the customer of the running session agreed to tell about the machine, as far as the manager has said it.
    pub fn device(&self) -> &[DeviceFact] {
        let running = self.session.as_ref().map(|session| session.id);
        let known = self.history.iter().flatten().find(|session| Some(session.session_id) == running);
        known.map_or(&[], |session| &session.device)
    }

    /// The newest number that can still be entered or is being entered.
    pub fn newest_open(&self) -> Option<&Number> {
        self.numbers.iter().find(|number| number.is_open())
    }

    fn on_wish(&mut self, wish: Wish, now_ms: UnixMillis) -> Vec<Effect> {
        let needs_login = !matches!(
            wish,
            Wish::Login(_)
                | Wish::Dismiss
                | Wish::End
                | Wish::Ask { .. }
                | Wish::Input(_)
                | Wish::ChooseMonitor(_)
                | Wish::ShowHome
                | Wish::Rejoin(_)
                | Wish::EndLeft(_)
        );
        // Who closes the window of a running session ends it, also after the login was lost.
        let ends_session = matches!(wish, Wish::Logout) && self.session.is_some();
        if needs_login && !ends_session && self.account.is_none() {
            return refuse("not_logged_in", "log in first");
        }
        match wish {
            Wish::Login(request) => self.log_in(request),
            Wish::Logout => self.log_out(),
            Wish::Issue { reason, life_secs, given } => self.issue(reason, life_secs, given),
            Wish::Cancel(id) => self.cancel(id),
            Wish::Extend(id) => self.extend(id),
            Wish::ShowNumber(id) => self.show_number(id),
            Wish::ShowHome => self.show_home(),
            Wish::Refresh => vec![Effect::FetchReceptions, Effect::FetchHistory],
            Wish::History => {
                self.history_wanted = true;
                vec![Effect::FetchHistory]
            }
            Wish::Dismiss => {
                self.notice = None;
                Vec::new()
            }
            Wish::Ask { kind, reason } => self.ask(kind, reason, now_ms),
            Wish::Input(inputs) => self.input(inputs),
            Wish::ChooseMonitor(monitor) => self.choose_monitor(monitor),
            Wish::End => self.end(now_ms),
            Wish::Rejoin(id) => self.rejoin(id, now_ms),
            Wish::EndLeft(id) => self.end_left(id),
        }
    }

    fn on_manager(&mut self, manager: Manager, now_ms: UnixMillis) -> Vec<Effect> {
        match manager {
            Manager::LoggedIn(answer) => self.logged_in(answer),
            Manager::Failed(verb, failure) => self.failed(verb, failure),
            Manager::Issued(own, body) => self.issued(own, body),
            Manager::Changed(body) => self.changed(&body),
            Manager::Receptions(bodies) => self.receptions(bodies),
            Manager::History(sessions) => {
                self.history = Some(sessions.clone());
                let wanted = std::mem::take(&mut self.history_wanted);
                if wanted { vec![Effect::Tell(Told::History { sessions })] } else { Vec::new() }
            }
            Manager::Told(event) => self.told(event, now_ms),
            Manager::Listening(listening) => {
                let back = listening && !self.listening;
                self.listening = listening;
                if back { vec![Effect::FetchReceptions] } else { Vec::new() }
            }
        }
    }

    fn log_in(&mut self, request: proto::api::login::LoginRequest) -> Vec<Effect> {
        if self.account.is_some() {
            return refuse("wrong_state", "already logged in");
        }
        if self.logging_in {
            return refuse("wrong_state", "a login is under way");
        }
        self.logging_in = true;
        self.notice = None;
        vec![Effect::Login(request)]
    }

    fn logged_in(&mut self, answer: LoginAnswer) -> Vec<Effect> {
        self.logging_in = false;
        self.notice = None;
        self.listening = true;
        let LoginAnswer { operator_name, company_name, notices, .. } = answer;
        let titles = notices.iter().map(|notice| notice.title.clone()).collect();
        let told = Told::Ready { company: company_name.clone(), operator: operator_name.clone(), notices: titles };
        self.notices = notices;
        self.account = Some(Account { company_name, operator_name });
        if self.page == Page::Login {
            self.page = Page::Home;
        }
        vec![Effect::Listen, Effect::FetchReceptions, Effect::FetchHistory, Effect::Tell(told)]
    }

    fn log_out(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(id) = self.session.as_ref().map(|session| session.id) {
            effects.extend(self.end_now());
            // The token may be gone when the link says that it ended.
            effects.push(Effect::ReportEnd(id, CloseReason::OperatorEnded));
        }
        effects.extend(self.own_open().map(Effect::Cancel));
        effects.push(Effect::Logout);
        let done = std::mem::take(&mut self.done);
        let session = self.session.take();
        *self = Self { session, done, ..Self::default() };
        if let Some(session) = &self.session {
            self.page = session.phase.page();
        }
        effects
    }

    fn failed(&mut self, verb: Verb, failure: Failure) -> Vec<Effect> {
        match verb {
            Verb::Login => self.logging_in = false,
            Verb::Issue => self.issuing = false,
            Verb::Cancel | Verb::Extend | Verb::Numbers | Verb::History | Verb::Listen => {}
        }
        if failure.is_logged_out() {
            self.account = None;
            if self.session.is_none() {
                self.page = Page::Login;
            }
        }
        let Failure { code, message, .. } = failure.clone();
        self.notice = Some(Notice::Failed(failure));
        let verb = Some(verb.as_str().to_owned());
        vec![Effect::Tell(Told::Error { code: code.to_owned(), message, verb })]
    }

    fn show_home(&mut self) -> Vec<Effect> {
        if self.session.is_some() {
            return refuse("wrong_state", "a session is running");
        }
        self.numbers.retain(Number::is_open);
        self.ended = None;
        self.notice = None;
        if self.account.is_none() {
            self.page = Page::Login;
            return Vec::new();
        }
        self.page = Page::Home;
        vec![Effect::FetchReceptions, Effect::FetchHistory]
    }

    fn show_number(&mut self, id: ReceptionId) -> Vec<Effect> {
        if self.session.is_some() || !self.numbers.iter().any(|number| number.reception_id == id) {
            return refuse("not_found", "there is no such number");
        }
        self.notice = None;
        self.page = Page::Number(id);
        Vec::new()
    }

    fn on_tick(&mut self, now_ms: UnixMillis) -> Vec<Effect> {
        let over = i64::try_from(proto::limits::PEER_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
        self.waiting.retain(|waiting| now_ms < waiting.since_ms.saturating_add(over));
        let has_facts = !self.device().is_empty();
        let Some(session) = &mut self.session else { return Vec::new() };
        let (looks, at_ms) = session.device_looks;
        if has_facts || looks == 0 || now_ms < at_ms {
            return Vec::new();
        }
        session.device_looks = (looks.saturating_sub(1), now_ms.saturating_add(DEVICE_LOOK_EVERY_MS));
        vec![Effect::FetchHistory]
    }

    fn own_open(&self) -> impl Iterator<Item = ReceptionId> {
        self.numbers
            .iter()
            .filter(|number| number.own.is_some() && number.state == ReceptionState::Issued)
            .map(|number| number.reception_id)
    }

    fn number_mut(&mut self, id: ReceptionId) -> Option<&mut Number> {
        self.numbers.iter_mut().find(|number| number.reception_id == id)
    }

    fn remember_done(&mut self, id: SessionId) {
        if self.done.len() == DONE_MAX {
            self.done.pop_front();
        }
        self.done.push_back(id);
    }
}

/// The answer to a wish that cannot be fulfilled now; nothing changes.
fn refuse(code: &str, message: &str) -> Vec<Effect> {
    vec![Effect::Tell(Told::error(code, message))]
}
