//! The running session: one loop over the link, the screen, the input and the customer's decisions.
//!
//! Walk "a picture", hop 4: before it `screen/`, after it the link. Input walks the same way back: link → here →
//! the permit (`consent.rs`) → `input/`.
//! Guarantees: the loop never waits for the network; what the customer decides is in force before anybody is told; the
//! end, whoever says it, lets go of everything that is held and stops the screen first.

use std::{sync::Arc, time::Instant};

use link::{
    sealed::{Sealed, SealedEvent, SealedSender},
    transport::Transport,
};
use proto::{
    api::session::ConsentAnswer,
    close::CloseReason,
    device::DeviceFact,
    frame::Lane,
    grant::{GrantKind, Grants},
    input::Input,
    message::{Message, Monitor},
    screen::EncodedUpdate,
    version::MESSAGE_VERSION,
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinSet,
};

use crate::{
    consent::{Consent, Outcome, Permit, Question},
    device,
    input::{self, Act, MakeHands},
    record::Record,
    screen::{Screen, ScreenNews, capture::MakeCapture},
};

/// Messages that wait for the link at most; more means that the operator takes nothing in.
const SPEECH_MAX: usize = 64;

/// What a session is made of.
pub struct Parts {
    /// The way to the operator.
    pub sealed: Sealed,
    /// The most that may be granted.
    pub ceiling: Grants,
    /// The view was allowed before this tool was started again, and the customer has just said that it goes on; `true`
    /// when it was paused.
    pub going_on: Option<bool>,
    /// What is allowed; the window holds another handle of it.
    pub permit: Permit,
    /// Opens the screen.
    pub make_capture: MakeCapture,
    /// Opens the input.
    pub make_hands: MakeHands,
    /// Language of the customer, for the device facts.
    pub language: &'static str,
    /// What the manager shall know.
    pub records: mpsc::Sender<Record>,
}

/// What the customer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Answers the question for a grant.
    Answer(GrantKind, bool),
    /// Pauses, or goes on.
    Pause(bool),
    /// Takes a grant back.
    TakeBack(GrantKind),
    /// Ends the session.
    End,
    /// Asks for [`News::Figures`].
    Figures,
}

/// What the customer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A question to answer; for [`GrantKind::Device`] with the facts that would be sent.
    Asked(Question, Vec<DeviceFact>),
    /// A grant is live.
    Granted(GrantKind),
    /// A question was answered with no, perhaps by silence.
    Refused {
        /// What was asked for.
        kind: GrantKind,
        /// By silence.
        timed_out: bool,
    },
    /// A grant was taken back, or has lapsed.
    TakenBack(GrantKind),
    /// The question for this grant is asked no more.
    Withdrawn(GrantKind),
    /// The operator's tool was started again; what follows from it is told after this.
    PeerRestarted,
    /// Paused, or not any more.
    Paused(bool),
    /// The connection is lost and another one is looked for.
    Switching,
    /// It is found, and this carries the session now.
    Resumed(Transport),
    /// This monitor is shared.
    Sharing(Monitor),
    /// Measured so far.
    Figures(Figures),
}

/// Measured figures of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Message bytes on the screen lane.
    pub screen_bytes: u64,
    /// Updates encoded.
    pub updates: u64,
    /// Mean time of an encode in microseconds.
    pub encode_us_mean: u64,
    /// Mean time of a grab in microseconds.
    pub capture_us_mean: u64,
    /// What carries the session now.
    pub transport: Transport,
}

/// Runs a session until its end and says why it ended. The manager's record of the end is handed over.
///
/// `commands` that is closed ends the session like [`Command::End`].
pub async fn run(parts: Parts, commands: &mut mpsc::Receiver<Command>, news: mpsc::Sender<News>) -> CloseReason {
    let Parts { sealed, ceiling, going_on, permit, make_capture, make_hands, language, records } = parts;
    let Sealed { sender, mut receiver, .. } = sealed;
    let started = Screen::start(make_capture, permit.clone()).await;
    let reason = match started {
        Ok((screen, monitors, mut from_screen)) => {
            let screen = Arc::new(screen);
            let mouth = Mouth::new(&sender, &screen, &permit);
            let acts = input::start(make_hands, permit.clone())
                .inspect_err(|error| tracing::warn!(event = "input.unavailable", reason = %error, "No input thread"))
                .ok();
            let consent = match going_on {
                Some(paused) => Consent::going_on(ceiling, permit.clone(), paused),
                None => Consent::new(ceiling, permit.clone()),
            };
            let facts = device::facts(&monitors, language);
            let sender = sender.clone();
            let mut session = Session { consent, permit, screen, sender, mouth, acts, news, records, facts };
            let reason = session.work(commands, &mut receiver, &mut from_screen, monitors).await;
            session.consent.end();
            session.screen.share(false);
            // Dropping the session lets go of held keys and ends the threads before the network is waited for.
            let records = session.records.clone();
            let mut tasks = std::mem::take(&mut session.mouth.tasks);
            drop(session);
            record(&records, Record::End(reason));
            tasks.shutdown().await;
            reason
        }
        Err(error) => {
            tracing::error!(event = "screen.unavailable", reason = %error, "The screen cannot be shared: {error}");
            record(&records, Record::End(CloseReason::Abnormal));
            CloseReason::Abnormal
        }
    };
    sender.end(reason).await;
    reason
}

/// What is on its way to the link, and the tasks that bring it there.
struct Mouth {
    tasks: JoinSet<()>,
    speech: mpsc::Sender<Message>,
    updates: mpsc::Sender<EncodedUpdate>,
    /// The operator's picture begins with the next update that begins one.
    is_fresh: bool,
}

impl Mouth {
    fn new(sender: &SealedSender, screen: &Arc<Screen>, permit: &Permit) -> Self {
        let mut tasks = JoinSet::new();
        let speech = speaker(&mut tasks, sender.clone());
        let updates = updater(&mut tasks, sender.clone(), Arc::clone(screen), permit.clone());
        Self { tasks, speech, updates, is_fresh: true }
    }
}

/// Why the loop ends.
struct Over(CloseReason);

struct Session {
    consent: Consent,
    permit: Permit,
    screen: Arc<Screen>,
    sender: SealedSender,
    mouth: Mouth,
    acts: Option<mpsc::Sender<Act>>,
    news: mpsc::Sender<News>,
    records: mpsc::Sender<Record>,
    facts: Vec<DeviceFact>,
}

impl Session {
    async fn work(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        receiver: &mut link::sealed::SealedReceiver,
        from_screen: &mut mpsc::Receiver<ScreenNews>,
        monitors: Vec<Monitor>,
    ) -> CloseReason {
        let mut over = self.say(greeting());
        self.act(Act::Monitors(monitors)).await;
        if self.consent.live().has(GrantKind::View) {
            // The customer's new word; and the manager may not have heard of the first one before the death.
            record(&self.records, Record::Consent(GrantKind::View, ConsentAnswer::Granted));
            self.tell(News::Granted(GrantKind::View));
            self.screen.share(!self.consent.paused());
            if self.consent.paused() {
                over = over.and_then(|()| self.say(Message::Paused { paused: true }));
                self.tell(News::Paused(true));
            }
        }
        loop {
            if let Err(Over(reason)) = over {
                return reason;
            }
            let deadline = self.consent.question().map(|question| question.deadline.into());
            over = tokio::select! {
                biased;
                command = commands.recv() => self.command(command.unwrap_or(Command::End)),
                () = passed(deadline) => {
                    let outcomes = self.consent.tick(now());
                    self.follow(outcomes)
                }
                event = receiver.recv() => match event {
                    SealedEvent::Ended(reason) => Err(Over(reason)),
                    SealedEvent::Message(message) => self.message(message).await,
                    SealedEvent::Switching => {
                        // Nobody can let go of a key that is held now.
                        self.act(Act::Do(Input::ReleaseAll)).await;
                        self.tell(News::Switching);
                        Ok(())
                    }
                    SealedEvent::Resumed => {
                        self.tell(News::Resumed(self.sender.transport()));
                        Ok(())
                    }
                    SealedEvent::PeerRestarted => self.peer_restarted().await,
                },
                news = from_screen.recv() => self.screen_news(news).await,
            };
        }
    }

    /// Nothing that was meant for the operator's dead tool reaches the new one, which is told how things stand.
    async fn peer_restarted(&mut self) -> Result<(), Over> {
        // In force before anything is waited for: the desktop may take its time with what was let through before.
        let outcomes = self.consent.peer_restarted();
        self.act(Act::Do(Input::ReleaseAll)).await;
        self.mouth.tasks.shutdown().await;
        self.mouth = Mouth::new(&self.sender, &self.screen, &self.permit);
        self.say(greeting())?;
        self.tell(News::PeerRestarted);
        self.follow(outcomes)?;
        for kind in GrantKind::ALL.iter().copied().filter(|kind| self.consent.live().has(*kind)) {
            self.say(Message::Granted { kind })?;
        }
        if self.consent.paused() {
            self.say(Message::Paused { paused: true })?;
        }
        self.screen.reset();
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<(), Over> {
        let outcomes = match command {
            Command::Answer(kind, allow) => self.consent.answer(kind, allow, now()),
            Command::Pause(paused) => self.consent.pause(paused),
            Command::TakeBack(kind) => self.consent.take_back(kind),
            Command::End => return Err(Over(CloseReason::CustomerEnded)),
            Command::Figures => {
                let figures = self.figures();
                self.tell(News::Figures(figures));
                Vec::new()
            }
        };
        self.follow(outcomes)
    }

    async fn message(&mut self, message: Message) -> Result<(), Over> {
        self.alive();
        match message {
            // What is live already is only said again: nobody decided anything that belongs into a record.
            Message::Ask { kind, .. } if self.consent.live().has(kind) => return self.say(Message::Granted { kind }),
            Message::Ask { kind, reason } => {
                let outcomes = self.consent.ask(kind, reason, now());
                return self.follow(outcomes);
            }
            Message::Input(input) => self.act(Act::Do(input)).await,
            Message::ScreenAck(ack) => self.screen.acked(ack.update),
            Message::ResetScreen => self.screen.reset(),
            Message::ChooseMonitor { monitor } => self.screen.choose(monitor),
            Message::Greeting { version, tool } => {
                tracing::info!(
                    event = "session.greeted",
                    version,
                    tool,
                    "The operator's tool speaks version {version}"
                );
            }
            Message::Checked { update, exact } => {
                tracing::debug!(event = "screen.checked", update, exact, "The operator's picture was compared");
            }
            // Handled by the link, or what only a customer says.
            Message::End { .. }
            | Message::Echo { .. }
            | Message::Echoed { .. }
            | Message::Credit { .. }
            | Message::Received { .. }
            | Message::Granted { .. }
            | Message::Refused { .. }
            | Message::TakenBack { .. }
            | Message::Paused { .. }
            | Message::Monitors { .. }
            | Message::Check { .. }
            | Message::CursorShape(_)
            | Message::CursorPosition { .. }
            | Message::Screen(_) => {}
        }
        Ok(())
    }

    async fn screen_news(&mut self, news: Option<ScreenNews>) -> Result<(), Over> {
        match news {
            Some(ScreenNews::Update(update)) => {
                // What goes on a picture that the operator's dead tool had says nothing to the new one.
                if self.mouth.is_fresh && !update.reset {
                    return Ok(());
                }
                self.mouth.is_fresh = false;
                // The gate lets one update at a time come here, so there is room.
                if self.mouth.updates.try_send(update).is_err() {
                    self.screen.reset();
                }
            }
            Some(ScreenNews::Monitors(monitors, shared)) => {
                self.act(Act::Monitors(monitors.clone())).await;
                if let Some(monitor) = monitors.iter().find(|monitor| monitor.id == shared) {
                    self.tell(News::Sharing(monitor.clone()));
                }
                return self.say(Message::Monitors { monitors, shared });
            }
            Some(ScreenNews::Check { update, hash }) => return self.say(Message::Check { update, hash }),
            Some(ScreenNews::CursorShape(shape)) => self.say_if_calm(Message::CursorShape(shape)),
            Some(ScreenNews::CursorPosition { x, y, visible }) => {
                self.say_if_calm(Message::CursorPosition { x, y, visible });
            }
            Some(ScreenNews::Failed(error)) => {
                tracing::error!(event = "screen.failed", reason = %error, "The screen failed: {error}");
                return Err(Over(CloseReason::Abnormal));
            }
            None => return Err(Over(CloseReason::Abnormal)),
        }
        Ok(())
    }

    /// Tells everybody what follows from a decision that is in force already.
    fn follow(&mut self, outcomes: Vec<Outcome>) -> Result<(), Over> {
        for outcome in outcomes {
            match outcome {
                Outcome::Ask(question) => {
                    let facts = if question.kind == GrantKind::Device { self.facts.clone() } else { Vec::new() };
                    self.tell(News::Asked(question, facts));
                }
                Outcome::Granted(kind) => {
                    self.say(Message::Granted { kind })?;
                    record(&self.records, Record::Consent(kind, ConsentAnswer::Granted));
                    if kind == GrantKind::Device {
                        record(&self.records, Record::Device(self.facts.clone()));
                    }
                    self.tell(News::Granted(kind));
                }
                Outcome::Refused { kind, timed_out } => {
                    self.say(Message::Refused { kind, timed_out })?;
                    record(&self.records, Record::Consent(kind, ConsentAnswer::Refused));
                    self.tell(News::Refused { kind, timed_out });
                    if kind == GrantKind::View {
                        let reason = if timed_out { CloseReason::ConsentTimeout } else { CloseReason::ConsentRefused };
                        return Err(Over(reason));
                    }
                }
                Outcome::TakenBack(kind) => self.taken_back(kind, ConsentAnswer::TakenBack)?,
                Outcome::Lapsed(kind) => self.taken_back(kind, ConsentAnswer::Lapsed)?,
                Outcome::Withdrawn(kind) => self.tell(News::Withdrawn(kind)),
                Outcome::Paused(paused) => {
                    self.say(Message::Paused { paused })?;
                    self.tell(News::Paused(paused));
                }
            }
        }
        self.screen.share(self.consent.live().has(GrantKind::View) && !self.consent.paused());
        Ok(())
    }

    fn taken_back(&self, kind: GrantKind, answer: ConsentAnswer) -> Result<(), Over> {
        self.say(Message::TakenBack { kind })?;
        record(&self.records, Record::Consent(kind, answer));
        self.tell(News::TakenBack(kind));
        Ok(())
    }

    /// Hands a message to the speaker.
    fn say(&self, message: Message) -> Result<(), Over> {
        self.mouth.speech.try_send(message).map_err(|_full_or_gone| Over(CloseReason::WriteStalled))
    }

    /// Hands a word about the pointer to the speaker while half of the queue is free: the next one says more than one
    /// that has to wait, and a pointer that is never at rest must not end the session.
    fn say_if_calm(&self, message: Message) {
        if SPEECH_MAX / 2 <= self.mouth.speech.capacity() {
            drop(self.mouth.speech.try_send(message));
        }
    }

    /// Tells the customer; who does not listen is told the newest things later.
    fn tell(&self, news: News) {
        if let Err(error) = self.news.try_send(news) {
            tracing::warn!(event = "news.lost", reason = %error, "The customer's window does not take news");
        }
    }

    async fn act(&mut self, act: Act) {
        if let Some(acts) = &self.acts
            && acts.send(act).await.is_err()
        {
            self.acts = None;
        }
    }

    /// Tells the input thread that the operator is there. One that has its hands full needs no word, and the pictures
    /// must not wait for it.
    fn alive(&mut self) {
        if let Some(acts) = &self.acts
            && acts.max_capacity() / 2 <= acts.capacity()
            && let Err(TrySendError::Closed(_)) = acts.try_send(Act::Alive)
        {
            self.acts = None;
        }
    }

    fn figures(&self) -> Figures {
        let figures = self.screen.figures();
        Figures {
            screen_bytes: self.sender.lane_bytes(Lane::Screen),
            updates: figures.updates,
            encode_us_mean: figures.encode_us.checked_div(figures.updates).unwrap_or(0),
            capture_us_mean: figures.capture_us.checked_div(figures.grabs).unwrap_or(0),
            transport: self.sender.transport(),
        }
    }
}

/// Name and version of this tool, for the operator's log.
const TOOL: &str = concat!("uketsuke-client/", env!("CARGO_PKG_VERSION"));

fn greeting() -> Message {
    Message::Greeting { version: MESSAGE_VERSION, tool: TOOL.to_owned() }
}

/// Sends control messages in order, as fast as the link takes them.
fn speaker(tasks: &mut JoinSet<()>, sender: SealedSender) -> mpsc::Sender<Message> {
    let (speech, mut said) = mpsc::channel(SPEECH_MAX);
    tasks.spawn(async move {
        while let Some(message) = said.recv().await {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    speech
}

/// Sends one update at a time; one that waits when the picture may not be seen any more is never sent.
fn updater(
    tasks: &mut JoinSet<()>,
    sender: SealedSender,
    screen: Arc<Screen>,
    permit: Permit,
) -> mpsc::Sender<EncodedUpdate> {
    let (updates, mut encoded) = mpsc::channel::<EncodedUpdate>(1);
    tasks.spawn(async move {
        while let Some(update) = encoded.recv().await {
            let sent = tokio::select! {
                biased;
                () = permit.unseen() => None,
                sent = sender.send(Message::Screen(update.bytes)) => Some(sent),
            };
            match sent {
                Some(Ok(())) => screen.handed_over(),
                Some(Err(_)) => return,
                // The stream has a gap now: it begins anew when sharing goes on.
                None => screen.reset(),
            }
        }
    });
    updates
}

fn record(records: &mpsc::Sender<Record>, record: Record) {
    if let Err(error) = records.try_send(record) {
        tracing::warn!(event = "record.lost", reason = %error, "The manager is not told: too much waits");
    }
}

/// Waits for a deadline; for ever when there is none. Cancel-safe.
async fn passed(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
