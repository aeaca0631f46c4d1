//! What sender, receiver and task of a sealed link share. Pure but for the lock and the wake-ups.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use proto::{close::CloseReason, frame::Lane, id::RelayId, message::Message};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Renewed, SealedClosed};
use crate::{
    credit::{ReceiveCredit, SendCredit},
    lanes::Lanes,
    transport::Transport,
};

/// The state with its wake-ups.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the writing half: there is something to send.
    pub(super) work: Notify,
    /// Wakes senders: credit came, or the end.
    pub(super) room: Notify,
    /// Wakes the receiver: a message came, or the end.
    pub(super) arrived: Notify,
    /// The receiver is gone: close at once.
    pub(super) dropped: CancellationToken,
    /// The connection is closed.
    pub(super) finished: CancellationToken,
    /// The newest ticket that was renewed.
    pub(super) renewed: watch::Sender<Option<Renewed>>,
}

/// See the module.
pub(super) struct State {
    pub(super) lanes: Lanes,
    pub(super) credit: SendCredit,
    pub(super) taking: ReceiveCredit,
    pub(super) round_trip: Option<Duration>,
    /// Question of this side that is not answered yet.
    pub(super) echo: Option<(u64, Instant)>,
    /// Answer this side owes; only the newest question is answered, so that a flood of them costs nothing.
    pub(super) echoed: Option<u64>,
    /// The link looks for another way for so long that people notice.
    pub(super) switching: bool,
    /// The program was told so.
    pub(super) told_switching: bool,
    /// What carries the session.
    pub(super) transport: Transport,
    /// The other tool was met; not yet after a restart of this one.
    pub(super) is_met: bool,
    /// How often the other tool was started again.
    restarts: u64,
    /// As often the program was told.
    told_restarts: u64,
    /// The relay the session moved to.
    pub(super) moved_to: Option<RelayId>,
    inbox: VecDeque<(Lane, u64, Message)>,
    closing: Option<(CloseReason, Goodbye)>,
}

/// Whether the other tool must be told the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goodbye {
    /// It must: a sealed `End` goes out first.
    Say,
    /// It said so itself and closes first: the relay takes who leaves first for the one who ended the session.
    Hear,
    /// It knows, or cannot be reached.
    Skip,
}

impl Shared {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            state: Mutex::new(State::new(transport)),
            work: Notify::new(),
            room: Notify::new(),
            arrived: Notify::new(),
            dropped: CancellationToken::new(),
            finished: CancellationToken::new(),
            renewed: watch::Sender::new(None),
        }
    }

    /// No await while the guard lives.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the session for this side and wakes everybody; the first reason stays.
    pub(super) fn close(&self, reason: CloseReason, goodbye: Goodbye) {
        self.lock().close(reason, goodbye);
        self.work.notify_one();
        self.room.notify_waiters();
        self.arrived.notify_one();
    }
}

impl State {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            lanes: empty_lanes(),
            credit: SendCredit::default(),
            taking: ReceiveCredit::default(),
            round_trip: None,
            echo: None,
            echoed: None,
            switching: false,
            told_switching: false,
            is_met: true,
            restarts: 0,
            told_restarts: 0,
            moved_to: None,
            inbox: VecDeque::new(),
            closing: None,
        }
    }

    /// The other tool was started again: what was said and not taken is lost, in both directions.
    pub(super) fn begin_anew(&mut self) {
        (self.lanes, self.credit, self.taking) = (empty_lanes(), SendCredit::default(), ReceiveCredit::default());
        (self.echo, self.echoed, self.round_trip) = (None, None, None);
        self.inbox.clear();
        if self.is_met {
            self.restarts = self.restarts.saturating_add(1);
        }
    }

    /// How often the other tool was started again.
    pub(super) const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether the program must hear that the other tool was started again; it counts as told then.
    pub(super) const fn take_restart(&mut self) -> bool {
        let is_news = self.told_restarts != self.restarts;
        self.told_restarts = self.restarts;
        is_news
    }

    /// Puts a message into its lane if there is credit; `false` when it must wait. `restarts` is how often the other
    /// tool had been started again when the program said it: to one that is gone nothing is said, and neither to the new
    /// one before the program knows of it.
    pub(super) fn try_send(&mut self, restarts: u64, lane: Lane, bytes: &Bytes) -> Result<bool, SealedClosed> {
        if let Some((reason, _)) = self.closing {
            return Err(SealedClosed { reason });
        }
        if restarts != self.restarts || self.told_restarts != self.restarts {
            return Ok(true);
        }
        let len = length(bytes.len());
        // INVARIANT: what waits in a lane is under way too, so a message with credit has room.
        let goes = self.credit.allows(lane, len) && self.lanes.push(lane, bytes.clone()).is_ok();
        if goes {
            self.credit.sent(lane, len);
        }
        Ok(goes)
    }

    /// Keeps a message for the receiver.
    pub(super) fn deliver(&mut self, lane: Lane, len: usize, message: Message) {
        let len = length(len);
        self.taking.arrived(lane, len);
        self.inbox.push_back((lane, len, message));
    }

    /// Gives the receiver its next message and counts it as taken.
    pub(super) fn take_message(&mut self) -> Option<Message> {
        let (lane, len, message) = self.inbox.pop_front()?;
        self.taking.taken(lane, len);
        Some(message)
    }

    /// Ends the session for this side; the first reason stays.
    pub(super) fn close(&mut self, reason: CloseReason, goodbye: Goodbye) {
        if self.closing.is_none() {
            self.closing = Some((reason, goodbye));
        }
    }

    /// Why the session ended, once it has.
    pub(super) fn ended(&self) -> Option<CloseReason> {
        self.closing.map(|(reason, _)| reason)
    }

    /// Whether and how the session ends.
    pub(super) const fn closing(&self) -> Option<(CloseReason, Goodbye)> {
        self.closing
    }
}

fn empty_lanes() -> Lanes {
    Lanes::new(|lane| usize::try_from(lane.credit()).unwrap_or(usize::MAX))
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
