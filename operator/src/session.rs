//! The running session: one loop over link, canvas and input.
//!
//! Guarantees: receiving never waits for sending; acknowledgements go before pointer and keys and are merged while they
//! wait; while a key or button is held something is said at least every second, so that the customer's tool does not
//! let go of it; everything the customer may not say ends the session.
//! It decides nothing about the flow (`crate::app`); it carries.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use desk::{
    bookmark::{Bookmark, Hold, Kept, Shelf},
    clock,
};
use link::{
    meet::{self, MeetError, Meeting, Return},
    sealed::{Renewed, Sealed, SealedEvent, SealedReceiver, SealedSender},
    transport::Transport,
};
use proto::{
    api::reception::Pairing,
    close::CloseReason,
    grant::GrantKind,
    id::{ReceptionId, SessionId},
    input::Input,
    message::Message,
    role::Role,
    ticket::ProofKey,
    version,
};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::event::FromSession,
    input::{
        held::{self, Held},
        queue::Queue,
    },
    screen::{
        Changed, Screen,
        receive::{Received, Receiver},
    },
};

/// Replies that may wait to be sent; merged ones count once, so more means a broken other side.
const REPLIES_MAX: usize = 256;
/// Commands ahead of the session.
const COMMANDS_MAX: usize = 64;
/// Pause between two looks at the round trip.
const MEASURE_EVERY: Duration = Duration::from_millis(500);
/// Saying goodbye may take this long.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// What others hold of a session.
#[derive(Clone)]
pub struct Handle {
    /// Its id.
    pub session_id: SessionId,
    /// The customer's screen.
    pub screen: Screen,
    /// Pointer and keys.
    pub queue: Queue,
    /// Applied updates are told one by one.
    pub watched: Arc<AtomicBool>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
}

/// What a session tells.
#[derive(Debug)]
pub enum News {
    /// For the machine.
    Event(SessionId, FromSession),
    /// An update was applied while somebody watches.
    Changed(Changed),
}

/// Called after something visible changed.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The session's own end.
pub struct Port {
    handle: Handle,
    commands: mpsc::Receiver<Command>,
    news: mpsc::Sender<News>,
    wake: Wake,
}

#[derive(Debug)]
enum Command {
    Say(Message),
    End(CloseReason),
}

/// Both ends of a session that has not begun.
pub fn open(session_id: SessionId, news: mpsc::Sender<News>, wake: Wake) -> (Handle, Port) {
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    let handle = Handle {
        session_id,
        screen: Screen::default(),
        queue: Queue::default(),
        watched: Arc::new(AtomicBool::new(false)),
        commands: sender,
        stop: CancellationToken::new(),
    };
    (handle.clone(), Port { handle, commands, news, wake })
}

impl Handle {
    /// Says something to the customer. `false` when the session is gone or takes nothing more.
    pub fn say(&self, message: Message) -> bool {
        self.commands.try_send(Command::Say(message)).is_ok()
    }

    /// Ends the running session.
    pub fn end(&self, reason: CloseReason) {
        if self.commands.try_send(Command::End(reason)).is_err() {
            self.stop.cancel();
        }
    }

    /// Stops meeting, or cuts the session without a word.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

/// What is kept about a session, so that a later process of this tool comes back to it.
pub struct Keeping {
    /// Where it is kept.
    pub shelf: Shelf,
    /// The manager's address, and the bearer token there.
    pub manager: (String, String),
    /// The reception whose number was entered.
    pub reception_id: ReceptionId,
}

impl Keeping {
    /// Begins, when the tools have met over this.
    fn start(self, (pairing, proof_key): (Pairing, Arc<ProofKey>), sealed: &Sealed) -> Option<Kept> {
        let hold = self.shelf.hold(Role::Operator, pairing.session_id);
        let hold = hold
            .inspect_err(|error| warn!(event = "bookmark.unwritten", reason = %error, "No way back is kept"))
            .ok()?;
        let mut bookmark = Bookmark::new(Role::Operator, pairing, proof_key, sealed.secret.clone(), self.manager);
        bookmark.reception_id = Some(self.reception_id);
        Some(Kept::start(hold, bookmark))
    }
}

/// Meets the customer, then runs the session to its end.
pub async fn meet_and_run(meeting: Meeting, keeping: Option<Keeping>, port: Port) {
    let stop = port.handle.stop.clone();
    let about = (meeting.pairing.clone(), Arc::clone(&meeting.proof_key));
    let met = tokio::select! {
        () = stop.cancelled() => return,
        met = meet::meet(meeting) => met,
    };
    match met {
        Ok(sealed) => {
            let kept = keeping.and_then(|keeping| keeping.start(about, &sealed));
            run(sealed, kept, port).await;
        }
        Err(error) => {
            let (id, reason) = (port.handle.session_id, error.reason());
            warn!(session.id = %id, event = "session.not_met", reason = reason.as_str(), "Session {id}: not met");
            let why = if let MeetError::Proxy(error) = error {
                FromSession::Blocked(error)
            } else {
                FromSession::Gone(reason)
            };
            tell(&port.news, News::Event(id, why)).await;
        }
    }
}

/// Finds the customer of a bookmark again, then runs the session to its end.
pub async fn rejoin_and_run(back: Return, hold: Hold, bookmark: Bookmark, port: Port) {
    let stop = port.handle.stop.clone();
    let met = tokio::select! {
        () = stop.cancelled() => {
            hold.remove();
            return;
        }
        met = meet::rejoin(back) => met,
    };
    match met {
        Ok(sealed) => run(sealed, Some(Kept::start(hold, bookmark)), port).await,
        Err(reason) => {
            hold.remove();
            let id = port.handle.session_id;
            warn!(session.id = %id, event = "session.not_met", reason = reason.as_str(), "Session {id}: not met again");
            tell(&port.news, News::Event(id, FromSession::Gone(reason))).await;
        }
    }
}

/// Runs a sealed session to its end.
pub async fn run(sealed: Sealed, kept: Option<Kept>, port: Port) {
    let Port { handle, mut commands, news, wake } = port;
    let Sealed { sender, mut receiver, safety_code, .. } = sealed;
    let id = handle.session_id;
    info!(session.id = %id, event = "session.met", "Session {id}: both sides proved the secret");
    tell(&news, News::Event(id, FromSession::Met { safety_code })).await;
    let transport = sender.transport();
    tell(&news, News::Event(id, FromSession::Carried(transport))).await;
    let mut session = Running {
        receiver: Receiver::new(handle.screen.clone()),
        replies: VecDeque::from([greeting()]),
        news,
        wake,
        handle,
        transport,
        kept,
    };
    let reason = session.turn(&sender, &mut receiver, &mut commands).await;
    // Before the network has taken the goodbye: a tool that is closed now must not offer the session again.
    if let Some(kept) = session.kept.take() {
        kept.end().await;
    }
    if time::timeout(END_TIMEOUT, sender.end(reason)).await.is_err() {
        warn!(session.id = %id, event = "session.end_slow", "Session {id}: the link did not take the goodbye");
    }
    info!(session.id = %id, event = "session.ended", reason = reason.as_str(), "Session {id} ended");
    tell(&session.news, News::Event(id, FromSession::Gone(reason))).await;
}

struct Running {
    handle: Handle,
    receiver: Receiver,
    replies: VecDeque<Message>,
    news: mpsc::Sender<News>,
    wake: Wake,
    /// What carries it, as it was told last.
    transport: Transport,
    kept: Option<Kept>,
}

impl Running {
    async fn turn(
        &mut self,
        sender: &SealedSender,
        receiver: &mut SealedReceiver,
        commands: &mut mpsc::Receiver<Command>,
    ) -> CloseReason {
        let queue = self.handle.queue.clone();
        let stop = self.handle.stop.clone();
        let mut measure = time::interval(MEASURE_EVERY);
        let mut renewals = sender.renewals();
        let mut input: Option<Input> = None;
        let mut held = Held::default();
        let mut said_at = Instant::now();
        let mut open = true;
        loop {
            let reply = self.replies.front().cloned();
            let next_input = input.clone();
            tokio::select! {
                () = stop.cancelled() => return CloseReason::OperatorEnded,
                event = receiver.recv() => match event {
                    SealedEvent::Message(message) => {
                        if let Err(reason) = self.on_message(message).await {
                            return reason;
                        }
                    }
                    SealedEvent::Switching => self.tell(FromSession::Switching(true)).await,
                    SealedEvent::Resumed => {
                        self.tell_transport(sender).await;
                        self.tell(FromSession::Switching(false)).await;
                    }
                    SealedEvent::PeerRestarted => {
                        (input, held) = (None, Held::default());
                        self.peer_restarted().await;
                    }
                    SealedEvent::Ended(reason) => return reason,
                },
                command = commands.recv() => match command {
                    Some(Command::Say(message)) => self.reply(message),
                    Some(Command::End(reason)) => return reason,
                    None => return CloseReason::OperatorEnded,
                },
                sent = send(sender, reply), if open && !self.replies.is_empty() => {
                    self.replies.pop_front();
                    open = sent;
                }
                taken = queue.next(), if open && input.is_none() => {
                    held.note(&taken);
                    said_at = Instant::now();
                    input = Some(taken);
                }
                () = time::sleep_until(said_at + held::WORD_EVERY), if open && input.is_none() && held.is_holding() => {
                    said_at = Instant::now();
                    input = Some(held::WORD);
                }
                sent = send(sender, next_input.map(Message::Input)), if open && input.is_some() => {
                    input = None;
                    open = sent;
                }
                Ok(()) = renewals.changed() => self.renewed(renewals.borrow_and_update().clone()),
                _ = measure.tick() => {
                    self.handle.screen.lock().figures.round_trip = sender.round_trip();
                    self.tell_transport(sender).await;
                    (self.wake)();
                }
            }
            if REPLIES_MAX < self.replies.len() {
                return CloseReason::Malformed;
            }
        }
    }

    /// What waits was meant for the customer's dead tool, and its picture says nothing any more.
    async fn peer_restarted(&mut self) {
        self.replies = VecDeque::from([greeting()]);
        self.receiver = Receiver::new(self.handle.screen.clone());
        self.handle.screen.lock().forget();
        self.tell(FromSession::PeerRestarted).await;
    }

    /// A later process of this tool needs the newest ticket.
    fn renewed(&self, renewed: Option<Renewed>) {
        if let (Some(kept), Some(Renewed { ticket, relays })) = (&self.kept, renewed) {
            kept.change(|bookmark| bookmark.renew(ticket, relays));
        }
    }

    /// Takes one message.
    ///
    /// # Errors
    /// The reason to end the session.
    async fn on_message(&mut self, message: Message) -> Result<(), CloseReason> {
        let event = match message {
            Message::Greeting { version: 0, .. } => return Err(CloseReason::WrongVersion),
            // The link answers echoes and credit itself, and an end arrives as the end.
            Message::Greeting { .. }
            | Message::Echo { .. }
            | Message::Echoed { .. }
            | Message::Credit { .. }
            | Message::Received { .. } => {
                return Ok(());
            }
            Message::End { reason } => return Err(reason),
            Message::Granted { kind } => {
                if let Some(kept) = self.kept.as_ref().filter(|_| kind == GrantKind::View) {
                    kept.change(|bookmark| {
                        bookmark.viewed_at_ms = bookmark.viewed_at_ms.or_else(|| Some(clock::now_ms()));
                    });
                }
                FromSession::Granted(kind)
            }
            Message::Refused { kind, timed_out } => FromSession::Refused { kind, timed_out },
            Message::TakenBack { kind } => FromSession::TakenBack(kind),
            Message::Paused { paused } => FromSession::Paused(paused),
            Message::Monitors { monitors, shared } => FromSession::Monitors(monitors, shared),
            Message::CursorShape(shape) => {
                self.receiver.on_cursor_shape(shape);
                (self.wake)();
                return Ok(());
            }
            Message::CursorPosition { x, y, visible } => {
                self.receiver.on_cursor_position(x, y, visible);
                (self.wake)();
                return Ok(());
            }
            Message::Check { update, hash } => {
                let received = self.receiver.on_check(update, hash);
                return self.on_received(received).await;
            }
            Message::Screen(bytes) => {
                let received = self.receiver.on_screen(&bytes, Instant::now(), Instant::now);
                return self.on_received(received).await;
            }
            Message::Ask { .. }
            | Message::ChooseMonitor { .. }
            | Message::ResetScreen
            | Message::Checked { .. }
            | Message::Input(_)
            | Message::ScreenAck(_) => return Err(CloseReason::Malformed),
        };
        self.tell(event).await;
        Ok(())
    }

    async fn on_received(&mut self, received: Received) -> Result<(), CloseReason> {
        let Received { replies, changed, first_picture, hopeless } = received;
        for reply in replies {
            self.reply(reply);
        }
        if let Some((width, height)) = first_picture {
            self.tell(FromSession::FirstPicture { width, height }).await;
        }
        if let Some(changed) = changed.filter(|_| self.handle.watched.load(Ordering::Relaxed)) {
            tell(&self.news, News::Changed(changed)).await;
        }
        self.handle.screen.announce();
        (self.wake)();
        if hopeless { Err(CloseReason::Malformed) } else { Ok(()) }
    }

    /// Queues a message; of acknowledgements, checks and monitor choices only the newest has to be said.
    fn reply(&mut self, message: Message) {
        let newer = |waiting: &Message| match (&message, waiting) {
            (Message::ScreenAck(_), Message::ScreenAck(_))
            | (Message::Checked { .. }, Message::Checked { .. })
            | (Message::ResetScreen, Message::ResetScreen)
            | (Message::ChooseMonitor { .. }, Message::ChooseMonitor { .. }) => true,
            (_, _) => false,
        };
        self.replies.retain(|waiting| !newer(waiting));
        self.replies.push_back(message);
    }

    /// Tells what carries the session when that has changed: a change that is over soon is not told otherwise.
    async fn tell_transport(&mut self, sender: &SealedSender) {
        let now = sender.transport();
        if std::mem::replace(&mut self.transport, now) != now {
            self.tell(FromSession::Carried(now)).await;
        }
    }

    async fn tell(&self, event: FromSession) {
        tell(&self.news, News::Event(self.handle.session_id, event)).await;
    }
}

/// Sends a message, if there is one. `false` when the link is closed; the receiver then says why.
async fn send(sender: &SealedSender, message: Option<Message>) -> bool {
    match message {
        Some(message) => sender.send(message).await.is_ok(),
        None => true,
    }
}

async fn tell(news: &mpsc::Sender<News>, what: News) {
    if news.send(what).await.is_err() {
        warn!(event = "session.unheard", "Nobody listens to the session any more");
    }
}

fn greeting() -> Message {
    Message::Greeting {
        version: version::MESSAGE_VERSION,
        tool: concat!("uketsuke-operator ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}
