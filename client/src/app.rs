//! The flow of the window, pure: what happened goes in, what to do comes out.
//!
//! Guarantees: a yes is only ever said to the question that is shown; the customer's "stop" puts the brake on before
//! anything else; every page has a way out. It draws nothing and waits for nothing (`ui/`, `visit.rs`).

use std::time::{Duration, Instant};

use proto::{
    close::CloseReason,
    device::DeviceFact,
    grant::{GrantKind, Grants},
    id::SessionId,
    introduction::Introduction,
    message::Monitor,
    number::ReceptionNumber,
};

use crate::{
    consent::{Brake, Question},
    enter::EnterError,
    session::{Command, News},
    visit::{Begin, Step},
};

/// Digits of a reception number.
pub const DIGITS: usize = 10;

/// The window's state.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "five facts that are true or not, independently")]
pub struct App {
    page: Page,
    /// The session that an earlier process left; only on its page.
    left: Option<SessionId>,
    /// What the operator sees when that session goes on; until it is found again.
    returning: Option<Shown>,
    /// What is in the number field, grouped 3-3-4.
    typed: String,
    /// Nobody answered the number so far; until the manager does.
    entering_again: bool,
    introduction: Option<Introduction>,
    safety_code: Option<String>,
    question: Option<Asked>,
    live: Grants,
    paused: bool,
    switching: bool,
    peer_restarted: bool,
    monitor: Option<Monitor>,
    shared_since: Option<Instant>,
    ending: bool,
}

/// What the window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// An earlier process died in a session: go on with it, or end it.
    Left,
    /// The number field, perhaps with what went wrong before.
    Number(Option<Trouble>),
    /// The manager is asked, the operator is met.
    Connecting,
    /// The operator is known and has not asked yet, or a question is shown.
    Who,
    /// The screen is seen: a small window beside the bar.
    Sharing,
    /// It is over.
    Ended(CloseReason),
}

/// What the operator sees when a session goes on that an earlier process left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The customer had not allowed the view.
    Nothing,
    /// The screen.
    Screen,
    /// Nothing, until the customer goes on after the pause.
    Paused,
}

/// What the number page says went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Fewer than ten digits.
    TooShort,
    /// The visit failed; the text is chosen by this code.
    Failed(&'static str),
}

/// A question that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// Facts that a yes would send.
    pub facts: Vec<DeviceFact>,
}

/// What the bar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// The operator sees the screen.
    Viewing,
    /// The operator sees and works.
    Controlling,
    /// The customer has paused: the operator neither sees nor works.
    Paused,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The number field holds this now.
    Typed(String),
    /// The customer wants to connect.
    Connect,
    /// The customer wants to go on with the session that an earlier process left.
    Resume,
    /// The customer wants to end that session.
    EndLeft,
    /// The customer answers the question for this grant.
    Answer(GrantKind, bool),
    /// The customer pauses, or goes on.
    Pause(bool),
    /// The customer takes the control back.
    TakeBackControl,
    /// The customer wants it to end: on every page with a visit.
    End,
    /// The customer wants to type another number.
    Again,
    /// The visit says something.
    Step(Step),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start a visit.
    Visit(Begin),
    /// End the session that an earlier process left.
    EndLeft(SessionId),
    /// Put this brake on at once.
    Brake(Brake),
    /// Tell the visit.
    Command(Command),
    /// The window comes to the front: the customer is asked, or it is over.
    Raise,
    /// The window makes room: the bar stays.
    Lower,
}

impl App {
    /// The number page.
    pub const fn new() -> Self {
        Self {
            page: Page::Number(None),
            left: None,
            returning: None,
            typed: String::new(),
            entering_again: false,
            introduction: None,
            safety_code: None,
            question: None,
            live: Grants::NONE,
            paused: false,
            switching: false,
            peer_restarted: false,
            monitor: None,
            shared_since: None,
            ending: false,
        }
    }

    /// The number page with a number that the program was started with.
    pub fn with_number(number: &str) -> Self {
        Self { typed: grouped(number), ..Self::new() }
    }

    /// Begins with the session that an earlier process left, who is in it, and what goes on with it.
    pub fn found(session_id: SessionId, introduction: Introduction, shown: Shown) -> Self {
        let (left, returning) = (Some(session_id), Some(shown));
        Self { page: Page::Left, left, returning, introduction: Some(introduction), ..Self::new() }
    }

    /// What to show.
    pub const fn page(&self) -> Page {
        self.page
    }

    /// What is in the number field.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// Whether all ten digits are typed.
    pub fn is_number_complete(&self) -> bool {
        ReceptionNumber::parse(&self.typed).is_ok()
    }

    /// What the operator sees when the session goes on that an earlier process left; nothing, when it is another one or
    /// was found again.
    pub const fn returning(&self) -> Option<Shown> {
        self.returning
    }

    /// Whether nobody answered the number at first and it is entered again; until the manager answers.
    pub const fn is_entering_again(&self) -> bool {
        self.entering_again && !self.ending
    }

    /// Who asks, once the manager has said so.
    pub const fn introduction(&self) -> Option<&Introduction> {
        self.introduction.as_ref()
    }

    /// The safety code of the session.
    pub fn safety_code(&self) -> Option<&str> {
        self.safety_code.as_deref()
    }

    /// The question that is shown.
    pub const fn question(&self) -> Option<&Asked> {
        self.question.as_ref()
    }

    /// The monitor that is shared.
    pub const fn monitor(&self) -> Option<&Monitor> {
        self.monitor.as_ref()
    }

    /// Whether another connection is looked for.
    pub const fn switching(&self) -> bool {
        self.switching
    }

    /// Whether the operator's tool was started again, so that control was taken back; until it has control again.
    pub const fn peer_restarted(&self) -> bool {
        self.peer_restarted
    }

    /// What the bar says; none when the screen is not shared.
    pub fn sharing(&self) -> Option<Sharing> {
        if !self.live.has(GrantKind::View) {
            None
        } else if self.paused {
            Some(Sharing::Paused)
        } else if self.live.has(GrantKind::Control) {
            Some(Sharing::Controlling)
        } else {
            Some(Sharing::Viewing)
        }
    }

    /// How long the screen has been shared.
    pub fn shared_for(&self, now: Instant) -> Duration {
        self.shared_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Whether the customer has said "end" and the visit is closing.
    pub const fn is_ending(&self) -> bool {
        self.ending
    }

    /// Something happened.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        match event {
            Event::Typed(text) => self.typing(&text),
            Event::Connect => self.connect(),
            Event::Resume => self.resume(),
            Event::EndLeft => self.end_left(),
            Event::Answer(kind, allow) => self.answer(kind, allow),
            Event::Pause(paused) => self.pause(paused),
            Event::TakeBackControl => self.take_back_control(),
            Event::End => self.end(),
            Event::Again => self.again(),
            Event::Step(step) => self.step(step, now),
        }
    }

    fn typing(&mut self, text: &str) -> Vec<Effect> {
        if let Page::Number(_) = self.page {
            self.typed = grouped(text);
            self.page = Page::Number(None);
        }
        Vec::new()
    }

    fn connect(&mut self) -> Vec<Effect> {
        let Page::Number(_) = self.page else { return Vec::new() };
        let Ok(number) = ReceptionNumber::parse(&self.typed) else {
            self.page = Page::Number(Some(Trouble::TooShort));
            return Vec::new();
        };
        *self = Self { page: Page::Connecting, typed: std::mem::take(&mut self.typed), ..Self::new() };
        vec![Effect::Brake(Brake::Off), Effect::Visit(Begin::Number(number))]
    }

    fn resume(&mut self) -> Vec<Effect> {
        let Some(session_id) = self.left.take().filter(|_| self.page == Page::Left) else { return Vec::new() };
        self.page = Page::Connecting;
        // The page has said what is shown again.
        vec![Effect::Brake(Brake::Off), Effect::Visit(Begin::Bookmark { session_id, shows_again: true })]
    }

    fn end_left(&mut self) -> Vec<Effect> {
        let Some(session_id) = self.left.take().filter(|_| self.page == Page::Left) else { return Vec::new() };
        *self = Self::new();
        vec![Effect::EndLeft(session_id)]
    }

    /// Only the question that is shown can be answered.
    fn answer(&mut self, kind: GrantKind, allow: bool) -> Vec<Effect> {
        if self.ending || self.question.take_if(|asked| asked.question.kind == kind).is_none() {
            return Vec::new();
        }
        let command = Effect::Command(Command::Answer(kind, allow));
        // Control that was taken back left the brake on.
        let releases = allow && kind == GrantKind::Control && !self.paused;
        releases.then_some(Effect::Brake(Brake::Off)).into_iter().chain([command]).collect()
    }

    fn pause(&mut self, paused: bool) -> Vec<Effect> {
        if self.ending || self.sharing().is_none() {
            return Vec::new();
        }
        self.paused = paused;
        let brake = if paused { Brake::All } else { Brake::Off };
        vec![Effect::Brake(brake), Effect::Command(Command::Pause(paused))]
    }

    fn take_back_control(&mut self) -> Vec<Effect> {
        if self.ending || !self.live.has(GrantKind::Control) {
            return Vec::new();
        }
        self.live = self.live.without(GrantKind::Control);
        let brake = if self.paused { Brake::All } else { Brake::Act };
        vec![Effect::Brake(brake), Effect::Command(Command::TakeBack(GrantKind::Control))]
    }

    fn end(&mut self) -> Vec<Effect> {
        if self.ending || !self.is_visiting() {
            return Vec::new();
        }
        self.ending = true;
        self.question = None;
        self.live = Grants::NONE;
        vec![Effect::Brake(Brake::All), Effect::Command(Command::End)]
    }

    fn again(&mut self) -> Vec<Effect> {
        if let Page::Ended(_) = self.page {
            *self = Self::new();
        }
        Vec::new()
    }

    /// Whether a visit is under way; what an old visit still says means nothing.
    const fn is_visiting(&self) -> bool {
        match self.page {
            Page::Connecting | Page::Who | Page::Sharing => true,
            Page::Left | Page::Number(_) | Page::Ended(_) => false,
        }
    }

    fn step(&mut self, step: Step, now: Instant) -> Vec<Effect> {
        if !self.is_visiting() {
            return Vec::new();
        }
        match step {
            Step::EnteringAgain => self.entering_again = true,
            Step::Introduced(introduction) => {
                self.entering_again = false;
                self.introduction = Some(introduction);
            }
            Step::Proved { safety_code, .. } => {
                self.safety_code = Some(safety_code);
                self.page = Page::Who;
                return vec![Effect::Raise];
            }
            Step::Rejoined { safety_code, .. } => {
                self.safety_code = Some(safety_code);
                if let Some(Shown::Nothing) | None = self.returning.take() {
                    self.page = Page::Who;
                }
                return vec![Effect::Raise];
            }
            Step::Session(news) => return self.news(news, now),
            Step::Failed(_) if self.ending => self.over(CloseReason::CustomerEnded),
            Step::Failed(error) => {
                self.failed(&error);
                return vec![Effect::Raise];
            }
            // It was over, or nobody was found: what the customer needs is the field for a new number.
            Step::Ended(_) if self.returning.is_some() && !self.ending => {
                self.failed(&EnterError::NoBookmark);
                return vec![Effect::Raise];
            }
            Step::Ended(reason) => {
                self.over(reason);
                return vec![Effect::Raise];
            }
        }
        Vec::new()
    }

    fn news(&mut self, news: News, now: Instant) -> Vec<Effect> {
        if self.ending {
            return Vec::new();
        }
        match news {
            News::Asked(question, facts) => {
                if self.page == Page::Connecting {
                    self.page = Page::Who;
                }
                self.question = Some(Asked { question, facts });
                return vec![Effect::Raise];
            }
            News::Granted(kind) => {
                self.live = self.live.with(kind);
                self.peer_restarted &= kind != GrantKind::Control;
                if kind == GrantKind::View {
                    self.page = Page::Sharing;
                    self.shared_since.get_or_insert(now);
                }
                return self.make_room();
            }
            News::Refused { kind, .. } => {
                self.question.take_if(|asked| asked.question.kind == kind);
                return self.make_room();
            }
            News::TakenBack(kind) => self.live = self.live.without(kind),
            // The window stays: it says why nothing is asked any more.
            News::Withdrawn(kind) => {
                self.question.take_if(|asked| asked.question.kind == kind);
            }
            News::PeerRestarted => {
                self.peer_restarted = true;
                return vec![Effect::Raise];
            }
            News::Paused(paused) => self.paused = paused,
            News::Switching => self.switching = true,
            News::Resumed(_) => self.switching = false,
            News::Sharing(monitor) => self.monitor = Some(monitor),
            News::Figures(_) => {}
        }
        Vec::new()
    }

    /// A question brought the window to the front; after the answer it leaves the shared screen free again.
    fn make_room(&self) -> Vec<Effect> {
        let is_over = self.page == Page::Sharing && self.question.is_none();
        is_over.then_some(Effect::Lower).into_iter().collect()
    }

    /// A number that failed can be corrected where it was typed.
    fn failed(&mut self, error: &EnterError) {
        let typed = std::mem::take(&mut self.typed);
        *self = Self { page: Page::Number(Some(Trouble::Failed(error.code()))), typed, ..Self::new() };
    }

    fn over(&mut self, reason: CloseReason) {
        let introduction = self.introduction.take();
        let shared_since = self.shared_since;
        *self = Self { page: Page::Ended(reason), introduction, shared_since, ..Self::new() };
    }
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

/// The digits of what was typed or pasted, grouped 3-3-4 as far as they go; everything else is left out.
pub fn grouped(text: &str) -> String {
    let mut shown = String::with_capacity(DIGITS + 2);
    for (index, digit) in digits(text).take(DIGITS).enumerate() {
        if index == 3 || index == 6 {
            shown.push('-');
        }
        shown.push(digit);
    }
    shown
}

/// Half-width digits of a text that may have full-width ones.
pub fn digits(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter_map(|c| match c {
        '0'..='9' => Some(c),
        '０'..='９' => char::from_digit(u32::from(c).checked_sub(u32::from('０'))?, 10),
        _ => None,
    })
}
