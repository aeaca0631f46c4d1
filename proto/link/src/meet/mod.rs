//! From a pairing to a proved link: dial → join → wait for the other tool → prove → sealed.
//!
//! Both tools hold the same relays in the same order and look for each other at all of them, see `places.rs`.
//! It fails closed: without both confirmations of the key exchange there is no [`Sealed`].
//! Once this side's confirmation has left, every other relay is given up: whoever got it has had the one guess of this
//! meeting.

mod places;

use std::sync::Arc;

use proto::{
    api::{
        error::ErrorCode,
        reception::{Pairing, RelayAddress},
        session::RenewAnswer,
    },
    close::CloseReason,
    id::SessionId,
    role::Role,
    seal::rejoin::RejoinSecret,
    ticket::ProofKey,
};
use tokio::time::timeout;
use zeroize::Zeroizing;

use self::places::Places;

use crate::{
    api::ManagerApi,
    join::JoinError,
    proxy::ProxyError,
    race::Dialer,
    roam::PathId,
    sealed::{Dial, FAREWELL_TIMEOUT, Renew, RenewError, Renewed, Sealed, Way},
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
/// Takes as long as the other tool does, at most about [`proto::limits::PEER_TIMEOUT`].
/// Cancel-safe: dropping it closes whatever was opened.
///
/// # Errors
/// See [`MeetError`]; when several relays failed, the most telling one.
pub async fn meet(meeting: Meeting) -> Result<Sealed, MeetError> {
    let dial = dial_with(meeting.dialer.clone());
    meet_by(dial, meeting).await
}

/// The same with another way to dial.
pub(crate) async fn meet_by(dial: Dial, meeting: Meeting) -> Result<Sealed, MeetError> {
    let (found, generation) = Places::new(&meeting, &dial).find().await?;
    let relay_id = found.relay_id;
    let (mut connection, proved) = found.prove().await;
    match proved {
        Ok(keys) => {
            let way = way(&meeting, dial, generation);
            Ok(Sealed::start(connection, keys, meeting.role, relay_id, Some(way)))
        }
        Err(error) => {
            tracing::debug!(
                session.id = %meeting.pairing.session_id, relay.id = %relay_id, reason = error.reason().as_str(),
                "Not proved at relay {relay_id}"
            );
            // Our own confirmation may still be on its way; the other tool needs it to see the truth for itself.
            let _in_time = timeout(FAREWELL_TIMEOUT, connection.farewell()).await;
            Err(error)
        }
    }
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

/// Renews the ticket of a session at the manager.
pub fn renewal(api: ManagerApi, session_id: SessionId) -> Renew {
    Arc::new(move || {
        let api = api.clone();
        Box::pin(async move {
            match api.renew_ticket(session_id).await {
                Ok(RenewAnswer { ticket, relays, .. }) => Ok(Renewed { ticket, relays }),
                // Ended, or never this tool's; everything else, a halt of the service too, may be different next time.
                Err(error) if matches!(error.code(), Some(ErrorCode::WrongState | ErrorCode::NotFound)) => {
                    Err(RenewError::Over)
                }
                Err(_) => Err(RenewError::Later),
            }
        })
    })
}

/// How the session goes on when this relay is lost. `generation`: the highest that was used.
fn way(meeting: &Meeting, dial: Dial, generation: PathId) -> Way {
    Way {
        dial,
        ticket: meeting.pairing.ticket.clone(),
        proof_key: Arc::clone(&meeting.proof_key),
        relays: meeting.pairing.relays.clone(),
        generation,
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
