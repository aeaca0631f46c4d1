//! From a pairing to a proved link: dial → join → wait for the other tool → prove → sealed.
//!
//! The relays of the pairing are tried in their order; both tools hold the same order, so they meet at the same one.
//! It fails closed: without both confirmations of the key exchange there is no [`Sealed`].
//! Once this side's confirmation has left, no other relay is tried: whoever got it has had the one guess of this
//! meeting.

use std::sync::Arc;

use proto::{
    api::{
        error::ErrorCode,
        reception::{Pairing, RelayAddress},
        session::RenewAnswer,
    },
    close::CloseReason,
    frame::{Frame, FrameType},
    id::SessionId,
    limits::{PROVE_TIMEOUT, TICKET_RELAYS_MAX},
    role::Role,
    seal::{
        SessionKeys,
        handshake::{Handshake, ProveError, Step},
        rejoin::RejoinSecret,
    },
    ticket::ProofKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use zeroize::Zeroizing;

use crate::{
    api::ManagerApi,
    framed::write_frame,
    join::{self, Admission, JoinError},
    proxy::ProxyError,
    race::Dialer,
    roam::PathId,
    sealed::{Dial, FAREWELL_TIMEOUT, Renew, RenewError, Renewed, Sealed, Way},
    tcp::{AnyStream, Connection, DialError},
};

/// Generation of the first connections; each later one of the session has the next.
const GENERATION: PathId = 1;
/// Connections for which a tool has numbers each time it is started: 36 a second in the longest session.
const GENERATIONS: PathId = 1 << 20;
/// Restarts of one tool in one session at most: there are no numbers for more.
pub const RESTARTS_MAX: u32 = (PathId::MAX / GENERATIONS) - 1;

/// Who meets whom.
pub struct Meeting {
    /// Which side this tool is.
    pub role: Role,
    /// What the manager gave.
    pub pairing: Pairing,
    /// The key whose hash is in the ticket.
    pub proof_key: Arc<ProofKey>,
    /// What both tools know and nobody else: the four digits, or the secret of a link.
    pub secret: Zeroizing<Vec<u8>>,
    /// Asks the manager for a new ticket; never, when absent.
    pub renew: Option<Renew>,
    /// Finds the way to relays.
    pub dialer: Dialer,
}

/// Who comes back to a session after a restart.
pub struct Return {
    /// Which side this tool is.
    pub role: Role,
    /// The session, the newest ticket and the relays.
    pub pairing: Pairing,
    /// The key whose hash is in the ticket.
    pub proof_key: Arc<ProofKey>,
    /// What [`Sealed::secret`] was.
    pub secret: RejoinSecret,
    /// How often this tool was started again in this session, this time included.
    pub restarts: u32,
    /// Asks the manager for a new ticket; never, when absent.
    pub renew: Option<Renew>,
    /// Finds the way to relays.
    pub dialer: Dialer,
}

/// Why the two tools did not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MeetError {
    /// No relay of the pairing answered, or the connection broke.
    #[error("no relay can be reached")]
    Unreachable,
    /// The proxy on the way to the relays does not let this tool through.
    #[error("no relay can be reached: {0}")]
    Proxy(ProxyError),
    /// The relay does not admit.
    #[error("the relay refused: {}", .0.as_str())]
    Refused(CloseReason),
    /// The other tool holds another secret, session or introduction.
    #[error("the other side does not know the secret")]
    WrongSecret,
    /// The other tool left.
    #[error("the other side is gone: {}", .0.as_str())]
    PeerGone(CloseReason),
    /// Something did not happen in time.
    #[error("not in time: {}", .0.as_str())]
    Timeout(CloseReason),
}

impl MeetError {
    /// What the manager and the user are told.
    pub const fn reason(self) -> CloseReason {
        match self {
            Self::Unreachable | Self::Proxy(_) => CloseReason::TransportLost,
            Self::WrongSecret => CloseReason::WrongSecret,
            Self::Refused(reason) | Self::PeerGone(reason) | Self::Timeout(reason) => reason,
        }
    }
}

impl From<JoinError> for MeetError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Refused(reason) => Self::Refused(reason),
            JoinError::PeerGone(reason) => Self::PeerGone(reason),
            JoinError::Timeout(reason) => Self::Timeout(reason),
            JoinError::Broken => Self::Unreachable,
            JoinError::Malformed => Self::Refused(CloseReason::Malformed),
        }
    }
}

/// Meets the other tool at a relay and proves the secret.
///
/// Takes as long as the other tool does, at most about [`proto::limits::PEER_TIMEOUT`] and a few seconds at each relay.
/// Cancel-safe: dropping it closes whatever was opened.
///
/// # Errors
/// See [`MeetError`]; when several relays failed, the most telling one.
pub async fn meet(meeting: Meeting) -> Result<Sealed, MeetError> {
    let mut failed = MeetError::Unreachable;
    for relay in meeting.pairing.relays.iter().take(TICKET_RELAYS_MAX) {
        let error = match meet_at(relay, &meeting).await {
            Ok(sealed) => return Ok(sealed),
            Err(error) => error,
        };
        tracing::debug!(
            session.id = %meeting.pairing.session_id, relay.id = %relay.relay_id, reason = error.reason().as_str(),
            "Not met at relay {}", relay.relay_id
        );
        if !goes_on(error) {
            return Err(error);
        }
        if error != MeetError::Unreachable {
            failed = error;
        }
    }
    Err(failed)
}

/// Comes back to a session after a restart of this tool, over whichever relay the other tool is found at.
///
/// Takes as long as the other tool does, at most [`proto::limits::REJOIN_TIMEOUT`].
/// Cancel-safe: dropping it closes whatever was opened.
///
/// # Errors
/// Why the session is over for this tool; [`CloseReason::TransportLost`] when nobody was found, and after
/// [`RESTARTS_MAX`] restarts.
pub async fn rejoin(back: Return) -> Result<Sealed, CloseReason> {
    let Return { role, pairing, proof_key, secret, restarts, renew, dialer } = back;
    if RESTARTS_MAX < restarts {
        return Err(CloseReason::TransportLost);
    }
    let way = Way {
        dial: dial_with(dialer),
        ticket: pairing.ticket,
        proof_key,
        relays: pairing.relays,
        generation: generation(restarts),
        session: (pairing.session_id, pairing.introduction),
        renew,
    };
    Sealed::rejoin(secret, role, way).await
}

/// The number of the first connection after so many restarts: above every one that this tool has used before.
pub(crate) const fn generation(restarts: u32) -> PathId {
    restarts.saturating_mul(GENERATIONS).saturating_add(GENERATION)
}

/// Whether the next relay may do better: this one is away, full or being stopped, or its clock or its keys are wrong.
fn goes_on(error: MeetError) -> bool {
    match error {
        // A proxy may let through to one and not to another.
        MeetError::Unreachable | MeetError::Proxy(_) => true,
        MeetError::Refused(reason) => matches!(
            reason,
            CloseReason::Draining
                | CloseReason::Overloaded
                | CloseReason::RelayStopped
                | CloseReason::TicketElsewhere
                | CloseReason::TicketExpired
                | CloseReason::TicketUnknown
        ),
        MeetError::WrongSecret | MeetError::PeerGone(_) | MeetError::Timeout(_) => false,
    }
}

async fn meet_at(relay: &RelayAddress, meeting: &Meeting) -> Result<Sealed, MeetError> {
    let mut connection = meeting.dialer.dial(relay).await.map_err(|error| {
        tracing::debug!(relay.id = %relay.relay_id, %error, "Relay {} cannot be reached", relay.relay_id);
        if let DialError::Proxy(error) = error { MeetError::Proxy(error) } else { MeetError::Unreachable }
    })?;
    match come_together(&mut connection, meeting).await {
        Ok(keys) => Ok(Sealed::start(connection, keys, meeting.role, relay.relay_id, Some(way(meeting)))),
        Err(error) => {
            // Our own confirmation may still be on its way; the other tool needs it to see the truth for itself.
            let _in_time = timeout(FAREWELL_TIMEOUT, connection.farewell()).await;
            Err(error)
        }
    }
}

/// Renews the ticket of a session at the manager.
pub fn renewal(api: ManagerApi, session_id: SessionId) -> Renew {
    Arc::new(move || {
        let api = api.clone();
        Box::pin(async move {
            match api.renew_ticket(session_id).await {
                Ok(RenewAnswer { ticket, relays, .. }) => Ok(Renewed { ticket, relays }),
                // Ended, or never this tool's; everything else may be different next time.
                Err(error) if matches!(error.code(), Some(ErrorCode::WrongState | ErrorCode::NotFound)) => {
                    Err(RenewError::Over)
                }
                Err(_) => Err(RenewError::Later),
            }
        })
    })
}

/// How the session goes on when this relay is lost.
fn way(meeting: &Meeting) -> Way {
    Way {
        dial: dial_with(meeting.dialer.clone()),
        ticket: meeting.pairing.ticket.clone(),
        proof_key: Arc::clone(&meeting.proof_key),
        relays: meeting.pairing.relays.clone(),
        generation: GENERATION,
        session: (meeting.pairing.session_id, meeting.pairing.introduction.clone()),
        renew: meeting.renew.clone(),
    }
}

fn dial_with(dialer: Dialer) -> Dial {
    Arc::new(move |relay: RelayAddress| {
        let dialer = dialer.clone();
        Box::pin(async move { dialer.dial(&relay).await })
    })
}

async fn come_together(connection: &mut Connection<AnyStream>, meeting: &Meeting) -> Result<SessionKeys, MeetError> {
    let admission =
        Admission { ticket: &meeting.pairing.ticket, proof_key: &meeting.proof_key, generation: GENERATION };
    if !join::join(connection, &admission).await? {
        join::wait_for_peer(connection).await?;
    }
    let proved = timeout(PROVE_TIMEOUT, prove(connection, meeting));
    proved.await.map_err(|_late| MeetError::Timeout(CloseReason::ProveTimeout))?
}

/// The key exchange over the secret.
async fn prove<S>(connection: &mut Connection<S>, meeting: &Meeting) -> Result<SessionKeys, MeetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Pairing { session_id, introduction, .. } = &meeting.pairing;
    let (mut handshake, mut send) =
        Handshake::start(meeting.role, &meeting.secret, *session_id, introduction, &mut rand_core::OsRng)
            .map_err(on_prove_error)?;
    let mut has_confirmed = false;
    loop {
        let frame = Frame::plain(FrameType::Prove, send.into()).map_err(|_too_long| MeetError::WrongSecret)?;
        let heard = match write_frame(&mut connection.writer, frame).await {
            Ok(()) => join::next_step(connection).await,
            Err(_broken) => Err(JoinError::Broken),
        };
        let payload = match heard {
            Ok(payload) => payload,
            Err(error) if has_confirmed => return Err(last_chance(error.into())),
            Err(error) => return Err(error.into()),
        };
        match handshake.on(&payload).map_err(on_prove_error)? {
            Step::Done { keys } => return Ok(keys),
            Step::Continue { handshake: next, send: answer } => {
                (handshake, send) = (next, answer);
                has_confirmed = true;
            }
        }
    }
}

/// An error after this side's confirmation has left, in a form that no other relay is tried for: with a fresh exchange
/// at each relay, somebody in the middle would have as many guesses as there are relays.
const fn last_chance(error: MeetError) -> MeetError {
    match error {
        MeetError::Unreachable | MeetError::Proxy(_) => MeetError::PeerGone(CloseReason::TransportLost),
        MeetError::Refused(reason) => MeetError::PeerGone(reason),
        MeetError::WrongSecret | MeetError::PeerGone(_) | MeetError::Timeout(_) => error,
    }
}

fn on_prove_error(error: ProveError) -> MeetError {
    match error {
        ProveError::EmptySecret | ProveError::WrongSecret => MeetError::WrongSecret,
        ProveError::Malformed => MeetError::PeerGone(CloseReason::Malformed),
    }
}
