//! Does what the machine decided: calls the manager, meets customers, runs sessions.
//!
//! Guarantees: nothing here decides; every task is counted, stopped and waited for by [`Engine::farewell`].
//! The window and the headless mode drive the same engine.

use std::{sync::Arc, time::Duration};

use desk::{
    bookmark::{Bookmark, Shelf},
    clock,
};
use link::{
    api::ManagerApi,
    meet::{self, Meeting, Return},
    race::Dialer,
};
use proto::{
    api::{reception::Pairing, session::EndRequest},
    close::CloseReason,
    id::{ReceptionId, SessionId},
    role::Role,
};
use rand_core::OsRng;
use tokio::{sync::mpsc, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;
use zeroize::Zeroizing;

use crate::{
    app::{
        App,
        event::{Effect, Event, FromSession, Left, Manager, Own, Told, Verb, Wish},
    },
    failure::Failure,
    issue::{self, Heard},
    login,
    screen::Changed,
    session::{self, Handle, Keeping, News, Wake},
};

/// News that may wait for the engine.
const NEWS_MAX: usize = 1024;
/// Recent sessions fetched.
const HISTORY_LEN: u32 = 50;
/// Tries to tell the manager something about a session, and the first and the longest pause between them: half an hour,
/// because a session whose proof the manager never hears of is closed as unproved.
const REPORT_TRIES: u32 = 64;
const REPORT_PAUSE: Duration = Duration::from_millis(500);
const REPORT_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Calls under way may finish for this long when the tool is closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Something the engine must take.
#[derive(Debug)]
pub enum Arrived {
    /// For the machine.
    Event(Event),
    /// An update was applied while somebody watches.
    Changed(Changed),
}

/// Runs the machine's effects.
pub struct Engine {
    app: App,
    api: ManagerApi,
    logged_in: Option<ManagerApi>,
    session: Option<Handle>,
    last: Option<Handle>,
    listening: Option<CancellationToken>,
    calls: TaskTracker,
    tasks: TaskTracker,
    answers: (mpsc::Sender<Manager>, mpsc::Receiver<Manager>),
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    wake: Wake,
    dialer: Dialer,
    /// The bearer token of the login.
    token: Option<String>,
    /// The session that an earlier process left and that is gone on with, and the login it was begun with.
    rejoined: Option<(SessionId, String)>,
    /// Where this tool keeps how it comes back to a session; nowhere, when absent.
    shelf: Option<Shelf>,
}

impl Engine {
    /// An engine that talks to one manager. `wake` is called after something visible changed; `dialer` finds relays.
    pub fn new(api: ManagerApi, wake: Wake, dialer: Dialer) -> Self {
        Self {
            app: App::default(),
            api,
            logged_in: None,
            session: None,
            last: None,
            listening: None,
            calls: TaskTracker::new(),
            tasks: TaskTracker::new(),
            answers: mpsc::channel(NEWS_MAX),
            news: mpsc::channel(NEWS_MAX),
            wake,
            dialer,
            token: None,
            rejoined: None,
            shelf: None,
        }
    }

    /// Keeps there how it comes back to its session after a restart, and looks there for what an earlier process left.
    pub fn with_shelf(mut self, shelf: Option<Shelf>, now_ms: i64) -> Self {
        let left = shelf.as_ref().map(|shelf| shelf.find(Role::Operator, self.api.url(), clock::now()));
        self.shelf = shelf;
        for found in left.unwrap_or_default() {
            if let Some(left) = Left::of(&found) {
                drop(self.app.on(Event::Left(left), now_ms));
            }
        }
        self
    }

    /// The machine.
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// The session that is met or running.
    pub const fn session(&self) -> Option<&Handle> {
        self.session.as_ref()
    }

    /// The session that is met or running, otherwise the last one.
    pub fn last_session(&self) -> Option<&Handle> {
        self.session.as_ref().or(self.last.as_ref())
    }

    /// Waits for the next thing to take. Cancel-safe.
    pub async fn arrived(&mut self) -> Arrived {
        let (_, answers) = &mut self.answers;
        let (_, news) = &mut self.news;
        // INVARIANT: the engine holds a sender of both channels, so they never close.
        tokio::select! {
            Some(answer) = answers.recv() => Arrived::Event(Event::Manager(answer)),
            Some(news) = news.recv() => match news {
                News::Event(id, event) => Arrived::Event(Event::Session(id, event)),
                News::Changed(changed) => Arrived::Changed(changed),
            },
            else => std::future::pending().await,
        }
    }

    /// Lets the machine take an event and does what it decides. Returns what is to be told.
    pub fn take(&mut self, event: Event, now_ms: i64) -> Vec<Told> {
        if let Event::Manager(Manager::LoggedIn(answer)) = &event {
            self.logged_in = Some(self.api.with_token(&answer.token));
            self.token = Some(answer.token.clone());
        }
        let effects = self.app.on(event, now_ms);
        let mut told = Vec::new();
        for effect in effects {
            self.perform(effect, &mut told);
        }
        if self.app.session.is_none()
            && let Some(session) = self.session.take()
        {
            self.last = Some(session);
        }
        told
    }

    fn perform(&mut self, effect: Effect, told: &mut Vec<Told>) {
        match effect {
            Effect::Login(request) => {
                let (api, answers) = (self.api.clone(), self.answers.0.clone());
                self.calls.spawn(async move {
                    let answer = match login::log_in(&api, &request).await {
                        Ok(answer) => Manager::LoggedIn(answer),
                        Err(failure) => Manager::Failed(Verb::Login, failure),
                    };
                    answer_with(&answers, answer).await;
                });
            }
            Effect::Logout => self.log_out(),
            Effect::Listen => self.listen(),
            Effect::Issue { reason, life_secs, given } => self.call(Verb::Issue, move |api| async move {
                let issued = issue::issue(&api, reason, life_secs, given, &mut OsRng).await;
                issued.map(|(own, body)| Manager::Issued(own, body))
            }),
            Effect::Cancel(id) => {
                self.call(Verb::Cancel, move |api| async move { Ok(Manager::Changed(api.cancel(id).await?)) });
            }
            Effect::Extend(id) => {
                self.call(Verb::Extend, move |api| async move { Ok(Manager::Changed(api.extend(id).await?)) });
            }
            Effect::FetchReceptions => self.call(Verb::Numbers, move |api| async move {
                Ok(Manager::Receptions(api.receptions().await?.receptions))
            }),
            Effect::FetchHistory => self.call(Verb::History, move |api| async move {
                Ok(Manager::History(api.sessions(HISTORY_LEN).await?.sessions))
            }),
            Effect::Meet { own, pairing, reception_id } => self.meet(&own, pairing, reception_id),
            Effect::Rejoin(id) => self.rejoin(id),
            Effect::LogInAgain => {
                if let Some((_, token)) = &self.rejoined {
                    (self.logged_in, self.token) = (Some(self.api.with_token(token)), Some(token.clone()));
                }
            }
            Effect::EndLeft(id) => self.end_left(id),
            Effect::StopMeeting(_) => {
                if let Some(session) = &self.session {
                    session.stop();
                }
            }
            Effect::Proved(id) => {
                self.report(id, move |api| async move { api.proved(id).await.map_err(Failure::from) });
            }
            Effect::ReportEnd(id, reason) => self.report_end(id, reason),
            Effect::Say(message) => {
                if !self.session.as_ref().is_some_and(|session| session.say(message)) {
                    told.push(Told::error("busy", "the session takes nothing more now"));
                }
            }
            Effect::Input(inputs) => {
                let queue = self.session.as_ref().map(|session| &session.queue);
                match queue.filter(|queue| queue.has_room(inputs.len())) {
                    Some(queue) => inputs.into_iter().for_each(|input| queue.push(input)),
                    None => told.push(Told::error("busy", "too many inputs wait")),
                }
            }
            Effect::DropInput => {
                if let Some(session) = &self.session {
                    session.queue.release();
                }
            }
            Effect::EndLink(reason) => {
                if let Some(session) = &self.session {
                    session.end(reason);
                }
            }
            Effect::Tell(what) => told.push(what),
        }
    }

    /// Ends everything as a careful person would: the session, the own numbers, the login. Bounded in time.
    pub async fn farewell(mut self, now_ms: i64) -> Vec<Told> {
        let mut told = Vec::new();
        if self.app.account.is_some() || self.app.session.is_some() {
            told.extend(self.take(Event::Wish(Wish::Logout), now_ms));
        }
        let deadline = time::Instant::now() + FAREWELL;
        while self.app.session.is_some() {
            match time::timeout_at(deadline, self.arrived()).await {
                Ok(Arrived::Event(event)) => told.extend(self.take(event, now_ms)),
                Ok(Arrived::Changed(_)) => {}
                Err(_late) => break,
            }
        }
        if let Some(session) = self.last_session() {
            session.stop();
        }
        if let Some(listening) = self.listening.take() {
            listening.cancel();
        }
        for tracker in [&self.calls, &self.tasks] {
            tracker.close();
            if time::timeout_at(deadline, tracker.wait()).await.is_err() {
                warn!(event = "tool.farewell_slow", "Some calls to the manager did not finish in time");
            }
        }
        told
    }

    fn meet(&mut self, own: &Own, pairing: Pairing, reception_id: ReceptionId) {
        let (handle, port) = session::open(pairing.session_id, self.news.0.clone(), Arc::clone(&self.wake));
        let renew = self.logged_in.clone().map(|api| meet::renewal(api, pairing.session_id));
        let meeting = Meeting {
            role: Role::Operator,
            pairing,
            proof_key: Arc::clone(&own.proof_key),
            secret: Zeroizing::new(own.number.secret().as_bytes().to_vec()),
            renew,
            dialer: self.dialer.clone(),
        };
        self.session = Some(handle);
        let keeping = self.shelf.clone().zip(self.token.clone()).map(|(shelf, token)| Keeping {
            shelf,
            manager: (self.api.url().to_owned(), token),
            reception_id,
        });
        self.tasks.spawn(session::meet_and_run(meeting, keeping, port));
    }

    /// Comes back to the session that an earlier process left. When another one was faster, or it is too late, there is no
    /// session afterwards, and the machine hears of it.
    fn rejoin(&mut self, id: SessionId) {
        let taken = self.shelf.as_ref().map(|shelf| shelf.take_up(Role::Operator, id, clock::now()));
        let Some(Ok((hold, bookmark))) = taken else {
            warn!(session.id = %id, event = "bookmark.gone", "Another process was faster, or it is too late");
            return self.tell_no_bookmark(id);
        };
        let (handle, port) = session::open(id, self.news.0.clone(), Arc::clone(&self.wake));
        self.session = Some(handle);
        self.rejoined = Some((id, bookmark.manager.1.clone()));
        let back = self.back(&bookmark);
        self.tasks.spawn(session::rejoin_and_run(back, hold, bookmark, port));
    }

    fn back(&self, bookmark: &Bookmark) -> Return {
        let api = self.api.with_token(&bookmark.manager.1);
        Return {
            role: Role::Operator,
            pairing: bookmark.pairing.clone(),
            proof_key: Arc::clone(&bookmark.proof_key),
            secret: bookmark.secret.clone(),
            restarts: bookmark.restarts,
            renew: Some(meet::renewal(api, bookmark.pairing.session_id)),
            dialer: self.dialer.clone(),
        }
    }

    fn tell_no_bookmark(&self, id: SessionId) {
        let news = self.news.0.clone();
        self.tasks.spawn(async move {
            drop(news.send(News::Event(id, FromSession::NoBookmark)).await);
        });
    }

    /// Ends a session that an earlier process left: customer and manager are told as far as they can be reached.
    fn end_left(&self, id: SessionId) {
        let taken = self.shelf.as_ref().map(|shelf| shelf.take_up(Role::Operator, id, clock::now()));
        let Some(Ok((hold, bookmark))) = taken else { return };
        hold.remove();
        let (back, api) = (self.back(&bookmark), self.api.with_token(&bookmark.manager.1));
        self.calls.spawn(async move {
            let request = EndRequest { reason: CloseReason::OperatorEnded };
            let say = async {
                if let Ok(Ok(sealed)) = time::timeout(FAREWELL, meet::rejoin(back)).await {
                    sealed.sender.end(CloseReason::OperatorEnded).await;
                }
            };
            let (told, ()) = tokio::join!(api.end(id, &request), say);
            if let Err(error) = told {
                warn!(event = "session.report_refused", reason = %error, "The manager was not told of the end");
            }
        });
    }

    fn listen(&mut self) {
        let Some(api) = self.logged_in.clone() else { return };
        let stop = CancellationToken::new();
        if let Some(earlier) = self.listening.replace(stop.clone()) {
            earlier.cancel();
        }
        let answers = self.answers.0.clone();
        self.tasks.spawn(async move {
            let (sender, mut heard) = mpsc::channel(NEWS_MAX);
            let listening = issue::listen(api, sender, OsRng);
            tokio::pin!(listening);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = &mut listening => return,
                    Some(heard) = heard.recv() => answer_with(&answers, manager_of(heard)).await,
                }
            }
        });
    }

    /// Revokes the token when the calls under way are done.
    fn log_out(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.cancel();
        }
        let Some(api) = self.logged_in.take() else { return };
        let calls = std::mem::replace(&mut self.calls, TaskTracker::new());
        self.calls.spawn(async move {
            calls.close();
            if time::timeout(FAREWELL / 2, calls.wait()).await.is_err() {
                warn!(event = "tool.logout_early", "Logging out while calls are under way");
            }
            if let Err(error) = api.logout().await {
                warn!(event = "tool.logout_failed", reason = %error, "The manager did not take the logout");
            }
        });
    }

    /// Calls the manager; the answer comes back as an event.
    fn call<C, F>(&self, verb: Verb, call: C)
    where
        C: FnOnce(ManagerApi) -> F + Send + 'static,
        F: Future<Output = Result<Manager, Failure>> + Send,
    {
        let answers = self.answers.0.clone();
        let Some(api) = self.logged_in.clone() else { return };
        self.calls.spawn(async move {
            let answer = call(api).await.unwrap_or_else(|failure| Manager::Failed(verb, failure));
            answer_with(&answers, answer).await;
        });
    }

    fn report_end(&self, id: SessionId, reason: CloseReason) {
        self.report(id, move |api| async move { api.end(id, &EndRequest { reason }).await.map_err(Failure::from) });
    }

    /// Tells the manager something about a session, as who began it. It may be told twice; tries again while nobody
    /// answers.
    fn report<C, F>(&self, id: SessionId, call: C)
    where
        C: Fn(ManagerApi) -> F + Send + 'static,
        F: Future<Output = Result<(), Failure>> + Send,
    {
        let token = self.rejoined.as_ref().filter(|(rejoined, _)| *rejoined == id).map(|(_, token)| token);
        let Some(api) = token.map(|token| self.api.with_token(token)).or_else(|| self.logged_in.clone()) else {
            return;
        };
        self.calls.spawn(async move {
            let mut pause = REPORT_PAUSE;
            for _ in 0..REPORT_TRIES {
                match call(api.clone()).await {
                    Ok(()) => return,
                    Err(failure) if failure.is_passing() => time::sleep(pause).await,
                    Err(failure) => {
                        warn!(event = "session.report_refused", reason = failure.code, "The manager refused a report");
                        return;
                    }
                }
                pause = (pause * 2).min(REPORT_PAUSE_MAX);
            }
        });
    }
}

fn manager_of(heard: Heard) -> Manager {
    match heard {
        Heard::Event(event) => Manager::Told(event),
        Heard::Listening(listening) => Manager::Listening(listening),
        Heard::LoggedOut(failure) => Manager::Failed(Verb::Listen, failure),
    }
}

async fn answer_with(answers: &mpsc::Sender<Manager>, answer: Manager) {
    if answers.send(answer).await.is_err() {
        warn!(event = "tool.unheard", "An answer of the manager came too late");
    }
}
