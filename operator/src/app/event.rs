//! What happens to the tool, what it does about it, and what it tells.

use std::sync::Arc;

use desk::bookmark::Found;
use link::{proxy::ProxyError, transport::Transport};
use proto::{
    api::{
        self, UnixMillis,
        login::{LoginAnswer, LoginRequest},
        reception::{Pairing, ReceptionBody},
        session::SessionBody,
    },
    close::CloseReason,
    grant::GrantKind,
    id::{ReceptionId, SessionId},
    input::Input,
    message::{Message, Monitor},
    number::ReceptionNumber,
    ticket::ProofKey,
};
use serde::Serialize;

use crate::failure::Failure;

/// Something that happened: a wish of the person, an answer of the manager, a word of the customer, or time.
#[derive(Debug, Clone)]
pub enum Event {
    /// The person wants something.
    Wish(Wish),
    /// The manager answered or told something.
    Manager(Manager),
    /// Something about the session with this id.
    Session(SessionId, FromSession),
    /// An earlier process of this tool died in this session.
    Left(Left),
    /// Time went on.
    Tick,
}

/// A session whose tool died, and to which one can come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its id.
    pub session_id: SessionId,
    /// The reception whose number was entered.
    pub reception_id: ReceptionId,
    /// The company's name.
    pub company_name: String,
    /// The operator's name.
    pub operator_name: String,
    /// Shown to the customer.
    pub reason: String,
    /// When the customer allowed the view.
    pub viewed_at_ms: Option<UnixMillis>,
    /// From then on the customer waits no more.
    pub until_ms: UnixMillis,
}

impl Left {
    /// What a bookmark says; nothing, when it is not a whole one of this tool.
    pub fn of(found: &Found) -> Option<Self> {
        let Found { bookmark, until_ms } = found;
        let who = bookmark.introduction().ok()?;
        Some(Self {
            session_id: bookmark.pairing.session_id,
            reception_id: bookmark.reception_id?,
            company_name: who.company_name,
            operator_name: who.operator_name,
            reason: who.reason,
            viewed_at_ms: bookmark.viewed_at_ms,
            until_ms: *until_ms,
        })
    }
}

/// What the person wants, in the window or by a command.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Log in.
    Login(LoginRequest),
    /// Log out; open numbers are cancelled, a running session ends.
    Logout,
    /// A new reception number.
    Issue {
        /// Shown to the customer; may be empty.
        reason: String,
        /// Life of the number; the company's usual one when absent.
        life_secs: Option<u64>,
        /// A number that a device management started, instead of a new one.
        given: Option<ReceptionNumber>,
    },
    /// Make a number unusable.
    Cancel(ReceptionId),
    /// Give a number its full life again.
    Extend(ReceptionId),
    /// See one number in large digits.
    ShowNumber(ReceptionId),
    /// See the first page.
    ShowHome,
    /// Fetch numbers and recent sessions again.
    Refresh,
    /// Fetch recent sessions and tell them.
    History,
    /// The notice was read.
    Dismiss,
    /// Ask the customer for a grant.
    Ask {
        /// Which.
        kind: GrantKind,
        /// Shown to the customer; may be empty.
        reason: String,
    },
    /// Pointer and keys, in order.
    Input(Vec<Input>),
    /// See another monitor.
    ChooseMonitor(u8),
    /// End the session, or stop meeting the customer.
    End,
    /// Go on with a session whose tool died.
    Rejoin(SessionId),
    /// End a session whose tool died.
    EndLeft(SessionId),
}

/// What the manager answered or told.
#[derive(Debug, Clone)]
pub enum Manager {
    /// The login held.
    LoggedIn(LoginAnswer),
    /// A call failed.
    Failed(Verb, Failure),
    /// A number was issued; the tool has added its four digits.
    Issued(Own, ReceptionBody),
    /// A number was cancelled or extended.
    Changed(ReceptionBody),
    /// The open numbers.
    Receptions(Vec<ReceptionBody>),
    /// Recent sessions, newest first.
    History(Vec<SessionBody>),
    /// An event.
    Told(api::reception::Event),
    /// The stream of events is lost or back.
    Listening(bool),
}

/// The verb of a call that failed; the name of the command in the headless mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Log in.
    Login,
    /// Issue a number.
    Issue,
    /// Cancel a number.
    Cancel,
    /// Extend a number.
    Extend,
    /// Fetch the open numbers.
    Numbers,
    /// Fetch the history.
    History,
    /// Listen to the manager's events.
    Listen,
}

impl Verb {
    /// The command's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Issue => "issue",
            Self::Cancel => "cancel",
            Self::Extend => "extend",
            Self::Numbers => "numbers",
            Self::History => "history",
            Self::Listen => "listen",
        }
    }
}

/// What only the tool that issued a number knows. Erased when the number is closed.
#[derive(Debug, Clone)]
pub struct Own {
    /// All ten digits.
    pub number: ReceptionNumber,
    /// By which this tool proves its ticket.
    pub proof_key: Arc<ProofKey>,
}

/// What happened in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromSession {
    /// Both tools have proved the secret.
    Met {
        /// Six digits derived from the key.
        safety_code: String,
    },
    /// The customer gave a grant.
    Granted(GrantKind),
    /// The customer said no, or nothing in time.
    Refused {
        /// Which.
        kind: GrantKind,
        /// There was no answer.
        timed_out: bool,
    },
    /// The customer took a grant back.
    TakenBack(GrantKind),
    /// The customer paused or went on.
    Paused(bool),
    /// The connection is lost and another one is looked for, or it is found.
    Switching(bool),
    /// The customer's tool was started again.
    PeerRestarted,
    /// What carries the session from now.
    Carried(Transport),
    /// Nobody was met, because a proxy stands in the way.
    Blocked(ProxyError),
    /// The monitors and the shared one.
    Monitors(Vec<Monitor>, u8),
    /// The first picture is on the canvas.
    FirstPicture {
        /// Pixels.
        width: u16,
        /// Pixels.
        height: u16,
    },
    /// The bookmark is not this tool's to go on with: another process has it, or it is too late.
    NoBookmark,
    /// The session, or the meeting, is over.
    Gone(CloseReason),
}

/// What the tool does.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Call the manager's login.
    Login(LoginRequest),
    /// Revoke the token and stop listening.
    Logout,
    /// Listen to the manager's events.
    Listen,
    /// Draw a key and a secret, and issue.
    Issue {
        /// Shown to the customer.
        reason: String,
        /// Life of the number.
        life_secs: Option<u64>,
        /// The number, when it is no new one.
        given: Option<ReceptionNumber>,
    },
    /// Cancel.
    Cancel(ReceptionId),
    /// Extend.
    Extend(ReceptionId),
    /// Fetch the open numbers.
    FetchReceptions,
    /// Fetch recent sessions.
    FetchHistory,
    /// Meet the customer at a relay, then run the session.
    Meet {
        /// Number and key.
        own: Own,
        /// Tickets and relays.
        pairing: Pairing,
        /// The number's reception.
        reception_id: ReceptionId,
    },
    /// Come back to the session of a bookmark.
    Rejoin(SessionId),
    /// Be logged in as who began the session of that bookmark.
    LogInAgain,
    /// End the session of a bookmark.
    EndLeft(SessionId),
    /// Stop meeting.
    StopMeeting(SessionId),
    /// Tell the manager that the secret was proved.
    Proved(SessionId),
    /// Say something to the customer.
    Say(Message),
    /// Pointer and keys.
    Input(Vec<Input>),
    /// Let go of everything and forget what waits.
    DropInput,
    /// End the running session.
    EndLink(CloseReason),
    /// Tell the manager that a session ended.
    ReportEnd(SessionId, CloseReason),
    /// Tell whoever drives the tool.
    Tell(Told),
}

/// An event for whoever drives the tool: one JSON line of the headless mode.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Told {
    /// Logged in and ready.
    Ready {
        /// The company's name.
        company: String,
        /// The operator's name.
        operator: String,
        /// Titles of what the operator should know.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notices: Vec<String>,
    },
    /// An earlier process of this tool died in a session; it waits two minutes.
    Bookmark {
        /// The session.
        session_id: SessionId,
        /// The company's name.
        company: String,
        /// The operator's name.
        operator: String,
        /// Shown to the customer.
        reason: String,
    },
    /// The customer was found again after a restart of this tool.
    Rejoined {
        /// The session.
        session_id: SessionId,
    },
    /// A number was issued.
    Number {
        /// `412-905-3381`.
        number: String,
        /// The reception.
        reception_id: ReceptionId,
        /// End of its life.
        expires_at_ms: UnixMillis,
    },
    /// A number has its full life again.
    Extended {
        /// The reception.
        reception_id: ReceptionId,
        /// End of its life.
        expires_at_ms: UnixMillis,
    },
    /// A number was cancelled.
    Cancelled {
        /// The reception.
        reception_id: ReceptionId,
    },
    /// A number's time is over.
    Expired {
        /// The reception.
        reception_id: ReceptionId,
    },
    /// A number may be entered again.
    Reopened {
        /// The reception.
        reception_id: ReceptionId,
        /// Entries that left without the secret.
        unproved_count: u32,
    },
    /// A number is burned.
    Burned {
        /// The reception.
        reception_id: ReceptionId,
    },
    /// A customer typed a number.
    Customer {
        /// The session.
        session_id: SessionId,
        /// The reception.
        reception_id: ReceptionId,
        /// Another session is running, so this customer waits.
        waiting: bool,
    },
    /// The customer is asked for a grant.
    Asked {
        /// Which.
        kind: GrantKind,
    },
    /// The customer gave a grant.
    Granted {
        /// Which.
        kind: GrantKind,
    },
    /// The customer did not give a grant.
    Refused {
        /// Which.
        kind: GrantKind,
        /// There was no answer.
        timed_out: bool,
    },
    /// The customer took a grant back.
    TakenBack {
        /// Which.
        kind: GrantKind,
    },
    /// The customer paused or went on.
    Paused {
        /// Paused or not.
        paused: bool,
    },
    /// The connection is lost and another one is looked for.
    Switching {},
    /// It is found; nothing was lost.
    Resumed {
        /// What carries the session now: `quic` or `tcp`.
        transport: &'static str,
    },
    /// The customer's tool was started again and the session goes on: control must be asked for again, and a new picture
    /// comes.
    PeerRestarted {},
    /// The screen is shared from now.
    Connected {
        /// The session.
        session_id: SessionId,
        /// `123 456`.
        safety_code: String,
        /// The customer's monitors.
        monitors: Vec<Monitor>,
        /// What carries the session: `quic` or `tcp`.
        transport: &'static str,
    },
    /// The monitors or the shared one changed.
    Monitors {
        /// The customer's monitors.
        monitors: Vec<Monitor>,
        /// Id of the shared one.
        shared: u8,
    },
    /// The first picture is there.
    FirstPicture {
        /// Pixels.
        width: u16,
        /// Pixels.
        height: u16,
    },
    /// The session is over.
    Ended {
        /// The session.
        session_id: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// Recent sessions, newest first.
    History {
        /// The sessions.
        sessions: Vec<SessionBody>,
    },
    /// Own numbers, newest first.
    Numbers {
        /// The numbers.
        numbers: Vec<NumberTold>,
    },
    /// Something was not done.
    Error {
        /// A stable name.
        code: String,
        /// One English sentence.
        message: String,
        /// The command it answers.
        #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
        verb: Option<String>,
    },
}

/// One own number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumberTold {
    /// All ten digits when this tool issued it, otherwise nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The reception.
    pub reception_id: ReceptionId,
    /// Where it stands.
    pub state: api::reception::ReceptionState,
    /// Shown to the customer.
    pub reason: String,
    /// End of its life.
    pub expires_at_ms: UnixMillis,
}

impl Told {
    /// An error without a command.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::Error { code: code.to_owned(), message: message.into(), verb: None }
    }
}
