//! The one session: meeting, asking, running, ended.

use link::transport::Transport;
use proto::{
    api::{UnixMillis, reception::Pairing},
    close::CloseReason,
    grant::{GrantKind, Grants},
    id::{ReceptionId, SessionId},
    input::Input,
    limits,
    message::{Message, Monitor},
};

use super::{
    Account, App, DEVICE_LOOKS, Notice, Page,
    event::{Effect, FromSession, Left, Own, Told},
    refuse,
};
use crate::failure::Failure;

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The two tools are on their way to each other and prove the secret.
    Meeting,
    /// The customer is asked for the view.
    Asking,
    /// The customer allowed the view at least once.
    Running,
}

impl Phase {
    /// The page of this phase.
    pub const fn page(self) -> Page {
        match self {
            Self::Meeting => Page::Meeting,
            Self::Asking => Page::Asking,
            Self::Running => Page::Session,
        }
    }
}

/// A session that is met or running.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five facts that are true or not, independently")]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The reception whose number was entered.
    pub reception_id: ReceptionId,
    /// Shown to the customer.
    pub reason: String,
    /// How far it is.
    pub phase: Phase,
    /// Since when it is in this phase.
    pub since_ms: UnixMillis,
    /// When the customer allowed the view.
    pub connected_at_ms: Option<UnixMillis>,
    /// Six digits derived from the key; empty before the secret is proved.
    pub safety_code: String,
    /// What is granted now.
    pub grants: Grants,
    /// What is asked for now, and since when.
    pub asked: Vec<(GrantKind, UnixMillis)>,
    /// The last question that was answered with no; `true` when it was not answered.
    pub refused: Option<(GrantKind, bool)>,
    /// The customer has paused.
    pub paused: bool,
    /// Another connection is looked for.
    pub switching: bool,
    /// The customer's tool was started again, so that control must be asked for again; until it is granted.
    pub peer_restarted: bool,
    /// What carries it; nothing before the customer is met.
    pub transport: Option<Transport>,
    /// The customer's monitors.
    pub monitors: Vec<Monitor>,
    /// Id of the shared one.
    pub shared: u8,
    /// Size of the first picture.
    pub first_picture: Option<(u16, u16)>,
    told_connected: bool,
    ending: bool,
    /// Who began it, when an earlier process of this tool did.
    begun_by: Option<Account>,
    /// Further looks for the device's facts, and when the next one is due: the customer's tool sends them by itself.
    pub(super) device_looks: (u8, UnixMillis),
}

/// A session that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub session_id: SessionId,
    /// Why.
    pub reason: CloseReason,
    /// From connected to now, if it was connected.
    pub duration_ms: Option<i64>,
}

impl Session {
    /// Whether a question for `kind` is open.
    pub fn is_asked(&self, kind: GrantKind) -> bool {
        self.asked.iter().any(|(asked, _)| *asked == kind)
    }

    /// Whether pointer and keys go to the customer now.
    pub const fn has_control(&self) -> bool {
        matches!(self.phase, Phase::Running)
            && self.grants.has(GrantKind::View)
            && self.grants.has(GrantKind::Control)
            && !self.paused
            && !self.ending
    }

    /// Seconds until silence counts as no.
    pub fn answer_secs_left(&self, kind: GrantKind, now_ms: UnixMillis) -> Option<u64> {
        let (_, since_ms) = self.asked.iter().find(|(asked, _)| *asked == kind)?;
        let waited = u64::try_from(now_ms.saturating_sub(*since_ms)).unwrap_or(0).div_euclid(1000);
        Some(limits::CONSENT_TIMEOUT.as_secs().saturating_sub(waited))
    }

    fn connected(&mut self) -> Option<Effect> {
        let knows = !self.monitors.is_empty() || self.first_picture.is_some();
        if self.told_connected || !knows || self.connected_at_ms.is_none() {
            return None;
        }
        self.told_connected = true;
        Some(Effect::Tell(Told::Connected {
            session_id: self.id,
            safety_code: self.safety_code.clone(),
            monitors: self.monitors.clone(),
            transport: self.carrier(),
        }))
    }

    fn carrier(&self) -> &'static str {
        self.transport.map_or("unknown", Transport::as_str)
    }
}

impl App {
    /// Begins to meet a customer. There is no session now.
    pub(super) fn meet(
        &mut self,
        reception_id: ReceptionId,
        own: Own,
        reason: String,
        pairing: Pairing,
        now_ms: UnixMillis,
    ) -> Vec<Effect> {
        self.session = Some(new_session(pairing.session_id, reception_id, reason, now_ms));
        self.page = Page::Meeting;
        self.notice = None;
        vec![Effect::Meet { own, pairing, reception_id }]
    }

    /// Begins to look for the customer of a session that an earlier process left.
    pub(super) fn rejoin(&mut self, id: SessionId, now_ms: UnixMillis) -> Vec<Effect> {
        if self.session.is_some() {
            return refuse("wrong_state", "a session is running");
        }
        let Some(left) = self.take_left(id) else { return refuse("not_found", "there is no such session to resume") };
        let Left { session_id, reception_id, company_name, operator_name, reason, viewed_at_ms, until_ms: _ } = left;
        let session = new_session(session_id, reception_id, reason, now_ms);
        let begun_by = Some(Account { company_name, operator_name });
        self.session = Some(Session { connected_at_ms: viewed_at_ms, begun_by, ..session });
        self.page = Page::Meeting;
        self.notice = None;
        vec![Effect::Rejoin(id)]
    }

    /// The session is another process's, or over: nobody is told anything about it.
    pub(super) fn on_no_bookmark(&mut self, id: SessionId) -> Vec<Effect> {
        if self.session.take_if(|session| session.id == id && session.phase == Phase::Meeting).is_none() {
            return Vec::new();
        }
        self.set_notice(Notice::NoBookmark);
        self.page = self.idle_page(None);
        vec![Effect::Tell(Told::error("no_bookmark", "there is no session to resume"))]
    }

    /// Ends a session that an earlier process left.
    pub(super) fn end_left(&mut self, id: SessionId) -> Vec<Effect> {
        match self.take_left(id) {
            Some(left) => vec![Effect::EndLeft(left.session_id)],
            None => refuse("not_found", "there is no such session to end"),
        }
    }

    fn take_left(&mut self, id: SessionId) -> Option<Left> {
        let place = self.left.iter().position(|left| left.session_id == id)?;
        Some(self.left.remove(place))
    }

    pub(super) fn ask(&mut self, kind: GrantKind, reason: String, now_ms: UnixMillis) -> Vec<Effect> {
        let Some(session) = self.session.as_mut().filter(|session| session.phase != Phase::Meeting) else {
            return refuse("wrong_state", "there is no customer to ask");
        };
        if limits::REASON_LEN_MAX < reason.len() {
            return refuse("bad_value", "reason is longer than 300 bytes");
        }
        if session.ending || session.grants.has(kind) || session.is_asked(kind) {
            return refuse("wrong_state", "this is granted or asked for already");
        }
        if kind != GrantKind::View && !session.grants.has(GrantKind::View) {
            return refuse("wrong_state", "the view comes first");
        }
        session.asked.push((kind, now_ms));
        session.refused = None;
        vec![Effect::Say(Message::Ask { kind, reason }), Effect::Tell(Told::Asked { kind })]
    }

    pub(super) fn input(&mut self, inputs: Vec<Input>) -> Vec<Effect> {
        match &self.session {
            Some(session) if session.has_control() => {}
            Some(_) | None => return refuse("wrong_state", "control is not granted"),
        }
        vec![Effect::Input(inputs)]
    }

    pub(super) fn choose_monitor(&mut self, monitor: u8) -> Vec<Effect> {
        let Some(session) = self.session.as_mut().filter(|session| session.grants.has(GrantKind::View)) else {
            return refuse("wrong_state", "no screen is shared");
        };
        if !session.monitors.iter().any(|known| known.id == monitor) {
            return refuse("bad_value", "there is no such monitor");
        }
        vec![Effect::Say(Message::ChooseMonitor { monitor })]
    }

    pub(super) fn end(&mut self, now_ms: UnixMillis) -> Vec<Effect> {
        let Some(session) = &self.session else {
            return refuse("wrong_state", "there is no session");
        };
        if session.ending {
            return refuse("wrong_state", "the session is being ended");
        }
        if session.phase != Phase::Meeting {
            return self.end_now();
        }
        let (id, mut effects) = (session.id, vec![Effect::StopMeeting(session.id)]);
        effects.extend(self.on_gone(id, CloseReason::OperatorEnded, None, now_ms));
        effects
    }

    /// Ends the session, whatever its phase; the rest follows when the link says that it is gone.
    pub(super) fn end_now(&mut self) -> Vec<Effect> {
        let Some(session) = &mut self.session else { return Vec::new() };
        if session.phase == Phase::Meeting {
            let id = session.id;
            self.session = None;
            self.remember_done(id);
            return vec![Effect::StopMeeting(id), Effect::ReportEnd(id, CloseReason::OperatorEnded)];
        }
        session.ending = true;
        vec![Effect::EndLink(CloseReason::OperatorEnded)]
    }

    pub(super) fn on_session(&mut self, id: SessionId, what: FromSession, now_ms: UnixMillis) -> Vec<Effect> {
        let Some(session) = self.session.as_mut().filter(|session| session.id == id) else { return Vec::new() };
        match what {
            FromSession::Met { safety_code } => self.met(safety_code, now_ms),
            FromSession::Granted(kind) => self.granted(kind, now_ms),
            FromSession::Refused { kind, timed_out } => {
                session.asked.retain(|(asked, _)| *asked != kind);
                session.refused = Some((kind, timed_out));
                vec![Effect::Tell(Told::Refused { kind, timed_out })]
            }
            FromSession::TakenBack(kind) => {
                let had_control = session.has_control();
                session.grants = session.grants.without(kind);
                let mut effects = vec![Effect::Tell(Told::TakenBack { kind })];
                if had_control && !session.has_control() {
                    effects.insert(0, Effect::DropInput);
                }
                effects
            }
            FromSession::Switching(switching) => {
                session.switching = switching;
                let resumed = Told::Resumed { transport: session.carrier() };
                vec![Effect::Tell(if switching { Told::Switching {} } else { resumed })]
            }
            FromSession::PeerRestarted => self.peer_restarted(now_ms),
            FromSession::Carried(transport) => {
                session.transport = Some(transport);
                Vec::new()
            }
            FromSession::Paused(paused) => {
                let had_control = session.has_control();
                session.paused = paused;
                let mut effects = vec![Effect::Tell(Told::Paused { paused })];
                if had_control && paused {
                    effects.insert(0, Effect::DropInput);
                }
                effects
            }
            FromSession::Monitors(monitors, shared) => {
                let told = session.told_connected;
                session.monitors.clone_from(&monitors);
                session.shared = shared;
                if told {
                    vec![Effect::Tell(Told::Monitors { monitors, shared })]
                } else {
                    session.connected().into_iter().collect()
                }
            }
            FromSession::FirstPicture { width, height } => {
                session.first_picture = Some((width, height));
                let mut effects: Vec<_> = session.connected().into_iter().collect();
                effects.push(Effect::Tell(Told::FirstPicture { width, height }));
                effects
            }
            FromSession::NoBookmark => self.on_no_bookmark(id),
            FromSession::Gone(reason) => self.on_gone(id, reason, None, now_ms),
            FromSession::Blocked(error) => self.on_gone(id, CloseReason::TransportLost, Some(error.into()), now_ms),
        }
    }

    fn met(&mut self, safety_code: String, now_ms: UnixMillis) -> Vec<Effect> {
        let Some(session) = self.session.as_mut().filter(|session| session.phase == Phase::Meeting) else {
            return Vec::new();
        };
        session.phase = Phase::Asking;
        session.since_ms = now_ms;
        session.safety_code = safety_code;
        self.page = Page::Asking;
        let (id, reception_id, reason) = (session.id, session.reception_id, session.reason.clone());
        let begun_by = session.begun_by.clone();
        if let Some(number) = self.number_mut(reception_id) {
            number.state = proto::api::reception::ReceptionState::Proved;
            number.own = None;
        }
        // After a restart, too: the manager may not have heard of it before the death.
        let mut effects = vec![Effect::Proved(id)];
        if let Some(account) = begun_by {
            // Not before the customer was found: who finds nobody logs in as usual.
            if self.account.is_none() {
                self.account = Some(account);
                effects = vec![Effect::LogInAgain, Effect::Listen, Effect::Proved(id)];
            }
            effects.push(Effect::Tell(Told::Rejoined { session_id: id }));
        }
        effects.extend(self.ask(GrantKind::View, reason, now_ms));
        effects
    }

    /// The customer's tool knows nothing of what this one was granted or has asked for, but for what its person allowed.
    fn peer_restarted(&mut self, now_ms: UnixMillis) -> Vec<Effect> {
        let Some(session) = self.session.as_mut().filter(|session| session.phase != Phase::Meeting) else {
            return Vec::new();
        };
        let mut effects = if session.has_control() { vec![Effect::DropInput] } else { Vec::new() };
        (session.grants, session.refused, session.paused) = (Grants::NONE, None, false);
        session.asked.clear();
        session.peer_restarted = true;
        effects.push(Effect::Tell(Told::PeerRestarted {}));
        let reason = session.reason.clone();
        effects.extend(self.ask(GrantKind::View, reason, now_ms));
        effects
    }

    fn granted(&mut self, kind: GrantKind, now_ms: UnixMillis) -> Vec<Effect> {
        let Some(session) = self.session.as_mut().filter(|session| session.phase != Phase::Meeting) else {
            return Vec::new();
        };
        session.asked.retain(|(asked, _)| *asked != kind);
        session.grants = session.grants.with(kind);
        session.refused = None;
        session.peer_restarted &= kind != GrantKind::Control;
        let mut effects = vec![Effect::Tell(Told::Granted { kind })];
        if kind == GrantKind::View && session.phase == Phase::Asking {
            session.phase = Phase::Running;
            session.since_ms = now_ms;
            session.connected_at_ms.get_or_insert(now_ms);
            self.page = Page::Session;
        }
        if kind == GrantKind::Device {
            session.device_looks = (DEVICE_LOOKS, now_ms);
        }
        effects.extend(session.connected());
        effects
    }

    /// The link or the meeting is over. `failure` says what stood in the way, where that is known better than by the
    /// reason.
    pub(super) fn on_gone(
        &mut self,
        id: SessionId,
        reason: CloseReason,
        failure: Option<Failure>,
        now_ms: UnixMillis,
    ) -> Vec<Effect> {
        let Some(session) = self.session.take_if(|session| session.id == id) else { return Vec::new() };
        self.remember_done(id);
        let mut effects = vec![Effect::ReportEnd(id, reason)];
        if session.phase == Phase::Meeting {
            if reason == CloseReason::WrongSecret {
                effects.push(Effect::Tell(Told::error("wrong_secret", "the customer's four digits were different")));
                self.set_notice(Notice::WrongSecret);
            } else if let Some(failure) = failure {
                effects.push(Effect::Tell(Told::error(failure.code, failure.message.clone())));
                self.set_notice(Notice::Failed(failure));
            } else if reason != CloseReason::OperatorEnded {
                let message = format!("the customer was not met: {}", reason.as_str());
                effects.push(Effect::Tell(Told::error("not_met", message)));
                let is_new = session.begun_by.is_none();
                self.set_notice(if is_new { Notice::NotMet(reason) } else { Notice::NotRejoined(reason) });
            }
            let known = self.numbers.iter().any(|number| number.reception_id == session.reception_id);
            self.page = self.idle_page(known.then_some(session.reception_id));
        } else {
            let duration_ms = session.connected_at_ms.map(|since| now_ms.saturating_sub(since).max(0));
            self.ended = Some(Ended { session_id: id, reason, duration_ms });
            self.page = Page::Ended;
            if self.account.is_some() {
                effects.push(Effect::FetchReceptions);
            }
        }
        effects.push(Effect::Tell(Told::Ended { session_id: id, reason }));
        effects.extend(self.meet_next(now_ms));
        effects
    }

    /// The manager says that this session is over; that counts only while it is not yet between the tools.
    pub(super) fn customer_left(&mut self, id: SessionId, now_ms: UnixMillis) -> Vec<Effect> {
        let meeting = |session: &Session| session.id == id && session.phase == Phase::Meeting;
        if !self.session.as_ref().is_some_and(meeting) {
            return Vec::new();
        }
        let mut effects = vec![Effect::StopMeeting(id)];
        effects.extend(self.on_gone(id, CloseReason::PeerLost, None, now_ms));
        effects
    }

    fn idle_page(&self, number: Option<ReceptionId>) -> Page {
        match (&self.account, number) {
            (None, _) => Page::Login,
            (Some(_), Some(id)) => Page::Number(id),
            (Some(_), None) => Page::Home,
        }
    }

    /// A burned number is the more important news.
    fn set_notice(&mut self, notice: Notice) {
        if self.notice != Some(Notice::Burned) {
            self.notice = Some(notice);
        }
    }
}

/// A session that begins to be met.
fn new_session(id: SessionId, reception_id: ReceptionId, reason: String, now_ms: UnixMillis) -> Session {
    Session {
        id,
        reception_id,
        reason,
        phase: Phase::Meeting,
        since_ms: now_ms,
        connected_at_ms: None,
        safety_code: String::new(),
        grants: Grants::NONE,
        asked: Vec::new(),
        refused: None,
        paused: false,
        switching: false,
        peer_restarted: false,
        transport: None,
        monitors: Vec::new(),
        shared: 0,
        first_picture: None,
        told_connected: false,
        ending: false,
        begun_by: None,
        device_looks: (0, now_ms),
    }
}
