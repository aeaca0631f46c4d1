//! A proved link: messages in, messages out, sealed from tool to tool.
//!
//! One task owns the connection. It cuts messages into frames of at most [`limits::SEALED_PLAIN_MAX`] plain bytes, most
//! urgent lane first, seals and writes them; it opens, puts together and decodes what comes. `Credit`, `Echo` and
//! `Echoed` never leave this module; the other side's `End` becomes [`SealedEvent::Ended`].
//! The first frame that does not open ends the session as [`CloseReason::SealBroken`]; nothing of it is delivered. Of a copy that came over the
//! spare path only that path ends.
//!
//! Walk: `client/src/session.rs` and `operator/src/session.rs` hold it; the hop between is `relay/src/forward/`.

mod actor;
mod assembly;
mod doubt;
mod exchange;
mod held;
mod keeper;
mod life;
mod say;
mod state;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proto::{
    api::reception::RelayAddress,
    close::CloseReason,
    frame::Lane,
    id::RelayId,
    id::SessionId,
    limits,
    message::Message,
    role::Role,
    seal::{SessionKeys, rejoin::RejoinSecret},
    ticket::ProofKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};
use tokio_util::sync::DropGuard;

use self::state::Shared;
use crate::{
    BoxFuture,
    roam::PathId,
    tcp::{AnyStream, Connection, DialError},
    transport::Transport,
};

/// A saying of goodbye that takes longer is cut: the other side learns of the end from the relay then.
pub(crate) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Both halves of a proved link, and what is known about it. Dropping it closes the connection.
#[derive(Debug)]
pub struct Sealed {
    /// Says.
    pub sender: SealedSender,
    /// Hears. Dropping it closes the connection.
    pub receiver: SealedReceiver,
    /// Six digits, equal on both sides: `123 456`.
    pub safety_code: String,
    /// The relay over which the tools met; see [`SealedSender::moved_to`].
    pub relay_id: RelayId,
    /// With it a tool that was started again rejoins the session.
    pub secret: RejoinSecret,
}

/// Says messages; a clone says them on the same link.
#[derive(Clone)]
pub struct SealedSender {
    shared: Arc<Shared>,
}

/// Hears messages.
pub struct SealedReceiver {
    shared: Arc<Shared>,
    _close_on_drop: DropGuard,
}

/// What [`SealedReceiver::recv`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedEvent {
    /// The other tool said something.
    Message(Message),
    /// The relay or the other tool is lost, and another way is looked for; nothing is lost meanwhile.
    Switching,
    /// The way was found, the session goes on.
    Resumed,
    /// The other tool was started again and rejoined the session. Whatever was said before and not heard is lost, in both
    /// directions, and it remembers nothing: it must be told everything anew. What is said before this was taken is
    /// lost, too.
    PeerRestarted,
    /// The session is over; nothing else follows.
    Ended(CloseReason),
}

/// The message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session is over: {}", reason.as_str())]
pub struct SealedClosed {
    /// Why the session ended. [`CloseReason::Malformed`] on a live session means that the message itself is outside
    /// the limits of the protocol; the session goes on.
    pub reason: CloseReason,
}

/// Opens a connection to a relay.
pub type Dial = Arc<dyn Fn(RelayAddress) -> BoxFuture<Result<Connection<AnyStream>, DialError>> + Send + Sync>;

/// Asks the manager for a new ticket.
pub type Renew = Arc<dyn Fn() -> BoxFuture<Result<Renewed, RenewError>> + Send + Sync>;

/// A new ticket, and the relays it is for.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The ticket.
    pub ticket: String,
    /// The relays, in the order in which they are tried.
    pub relays: Vec<RelayAddress>,
}

/// Why there is no new ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewError {
    /// The manager cannot be reached, or asks to come again.
    Later,
    /// The session is over.
    Over,
}

/// How a link finds another way when a relay is lost.
pub struct Way {
    /// Opens connections.
    pub dial: Dial,
    /// The ticket that admits.
    pub ticket: String,
    /// The key the ticket names.
    pub proof_key: Arc<ProofKey>,
    /// The relays of the ticket.
    pub relays: Vec<RelayAddress>,
    /// The generation of the connection on which the other side was met, or of the first that will be dialed.
    pub generation: PathId,
    /// The session, and what the manager signed about it.
    pub session: (SessionId, String),
    /// Renews the ticket; never, when absent.
    pub renew: Option<Renew>,
}

impl Way {
    fn order(&self) -> Vec<RelayId> {
        self.relays.iter().map(|relay| relay.relay_id).collect()
    }
}

impl Sealed {
    /// Takes over a connection on which the key exchange is done. Must be called inside a runtime.
    pub(crate) fn start<S>(
        connection: Connection<S>,
        keys: SessionKeys,
        role: Role,
        relay_id: RelayId,
        way: Option<Way>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let secret = keys.rejoin_secret();
        let shared = Arc::new(Shared::new(connection.transport));
        let begin = actor::Begin { shared: Arc::clone(&shared), secret: secret.clone(), role, way };
        actor::start(begin, (connection, keys, relay_id));
        Self::of(shared, secret, relay_id)
    }

    /// Looks for the other tool again after a restart of this one, until it is found. Must be called inside a runtime.
    /// Cancel-safe: dropping it closes whatever was opened.
    ///
    /// # Errors
    /// Why the session is over for this tool.
    pub(crate) async fn rejoin(secret: RejoinSecret, role: Role, way: Way) -> Result<Self, CloseReason> {
        // What carries it is known when the other side is found.
        let shared = Arc::new(Shared::new(Transport::Tcp));
        shared.lock().is_met = false;
        let begin = actor::Begin { shared: Arc::clone(&shared), secret: secret.clone(), role, way: Some(way) };
        let first = RelayId::from_bytes([0; 16]);
        let mut sealed = Self::of(Arc::clone(&shared), secret, first);
        actor::start_again(begin);
        loop {
            let arrived = shared.arrived.notified();
            {
                let mut state = shared.lock();
                if let Some(reason) = state.ended() {
                    return Err(reason);
                }
                if state.is_met {
                    state.told_switching = state.switching;
                    sealed.relay_id = state.moved_to.unwrap_or(first);
                    // What has arrived already is announced again.
                    shared.arrived.notify_one();
                    return Ok(sealed);
                }
            }
            arrived.await;
        }
    }

    fn of(shared: Arc<Shared>, secret: RejoinSecret, relay_id: RelayId) -> Self {
        let guard = shared.dropped.clone().drop_guard();
        Self {
            sender: SealedSender { shared: Arc::clone(&shared) },
            receiver: SealedReceiver { shared, _close_on_drop: guard },
            safety_code: secret.safety_code(),
            relay_id,
            secret,
        }
    }
}

impl SealedSender {
    /// Sends a message as soon as its lane has credit and room. To a tool that is started again meanwhile it is not
    /// sent: see [`SealedEvent::PeerRestarted`].
    ///
    /// Cancel-safe: while it waits nothing is sent, and when it is dropped nothing will be.
    ///
    /// # Errors
    /// [`SealedClosed`]; the message was not sent.
    pub async fn send(&self, message: Message) -> Result<(), SealedClosed> {
        let lane = message.lane();
        let bytes = message.encode().map(Bytes::from).map_err(|error| {
            tracing::debug!(error = %error, "A message outside the limits of the protocol was not sent");
            SealedClosed { reason: CloseReason::Malformed }
        })?;
        let restarts = self.shared.lock().restarts();
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.shared.lock().try_send(restarts, lane, &bytes)? {
                self.shared.work.notify_one();
                return Ok(());
            }
            room.await;
        }
    }

    /// Tool to tool and back, newest measurement; `None` before the first.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.lock().round_trip
    }

    /// The relay over which the session goes now; nothing before the first change.
    pub fn moved_to(&self) -> Option<RelayId> {
        self.shared.lock().moved_to
    }

    /// Tickets as they are renewed, the newest one; nothing before the first.
    pub fn renewals(&self) -> watch::Receiver<Option<Renewed>> {
        self.shared.renewed.subscribe()
    }

    /// What carries the session now.
    pub fn transport(&self) -> Transport {
        self.shared.lock().transport
    }

    /// Message bytes of a lane that the other tool has not said it took.
    pub fn unacknowledged(&self, lane: Lane) -> u64 {
        self.shared.lock().credit.under_way(lane)
    }

    /// Message bytes sent on a lane since the session began.
    pub fn lane_bytes(&self, lane: Lane) -> u64 {
        self.shared.lock().credit.total(lane)
    }

    /// Tells the other tool why the session ends, then closes the connection.
    ///
    /// Goes ahead of everything that waits on less urgent lanes, which is dropped. Returns when the connection is
    /// closed, within a few seconds whatever the network does. A session that has ended keeps its first reason.
    pub async fn end(&self, reason: CloseReason) {
        self.shared.close(reason, state::Goodbye::Say);
        let patience = FAREWELL_TIMEOUT.saturating_mul(2);
        if timeout(patience, self.shared.finished.cancelled()).await.is_err() {
            self.shared.dropped.cancel();
        }
    }
}

impl SealedReceiver {
    /// The next thing that happens. After [`SealedEvent::Ended`] every call gives it again.
    ///
    /// Cancel-safe: a message is taken only when it is returned.
    pub async fn recv(&mut self) -> SealedEvent {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let mut state = self.shared.lock();
                if state.take_restart() {
                    return SealedEvent::PeerRestarted;
                }
                if let Some(message) = state.take_message() {
                    if state.taking.is_owed() {
                        self.shared.work.notify_one();
                    }
                    return SealedEvent::Message(message);
                }
                if let Some(reason) = state.ended() {
                    return SealedEvent::Ended(reason);
                }
                if state.switching != state.told_switching {
                    state.told_switching = state.switching;
                    return if state.switching { SealedEvent::Switching } else { SealedEvent::Resumed };
                }
            }
            arrived.await;
        }
    }
}

impl std::fmt::Debug for SealedSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedSender(…)")
    }
}

impl std::fmt::Debug for SealedReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedReceiver(…)")
    }
}

const _: () = assert!(limits::SEALED_PLAIN_MAX < limits::FRAME_PAYLOAD_MAX, "a sealed piece fits into a frame");
