//! Where the two tools find each other: at any relay of the pairing that both can reach.
//!
//! A tool takes a place at the first relay. Whenever it has not found the other tool for another [`HEAD_START`], and as
//! soon as a relay does not let it in, it takes a place at the next relay, too; it dials a relay that failed again after
//! a pause. It keeps every place until the other tool is found. So neither can pass the other by, whatever fails for one
//! of them only: with four relays both wait at each of them that has always let them in 6 s after the later of both has
//! begun, dialing not counted, and at one that lets them in again at most [`REST_MAX`] and a half after it does.
//! `proto/link/tests/it/meet.rs` simulates it.
//!
//! Where both are at several relays, the operator chooses: the customer says its element of the key exchange wherever
//! the operator is, and the operator says its own only once, in answer to the first that comes. The customer takes part
//! where that answer comes. So each side gives one confirmation away, at one relay, and the choice is a way that works.
//!
//! Places that are given up are cut and not closed with a goodbye, which would end the session at that relay.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use proto::{
    api::reception::{Pairing, RelayAddress},
    close::CloseReason,
    frame::{Frame, FrameType},
    id::RelayId,
    limits::{PEER_TIMEOUT, PROVE_TIMEOUT, TICKET_RELAYS_MAX},
    role::Role,
    seal::{
        SessionKeys,
        handshake::{Handshake, ProveError, Step},
    },
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{GENERATION, MeetError, Meeting};
use crate::{
    framed::write_frame,
    join::{self, Admission, GRACE, Heard},
    roam::PathId,
    sealed::Dial,
    tcp::{AnyStream, Connection, DialError},
};

/// A tool is at the relays so far for this long before it goes to the next one, too. The other one hears of the pairing
/// at the same time, so hardly anybody waits longer, and hardly anybody holds more than one place.
const HEAD_START: Duration = Duration::from_secs(2);
/// First pause before a relay that failed is dialed again; it doubles up to [`REST_MAX`], and up to a half of it is
/// added at random: a relay that refused many tools does not see them all at once again. Six dials of a relay at most.
const REST_MIN: Duration = Duration::from_secs(2);
/// See [`REST_MIN`].
const REST_MAX: Duration = Duration::from_secs(16);

/// All relays of a meeting.
pub(super) struct Places<'a> {
    meeting: &'a Meeting,
    dial: &'a Dial,
    /// Relays where this tool is not now.
    absent: Vec<Absent<'a>>,
    /// Why the last relay failed that said why.
    failed: MeetError,
    /// Generation of the last connection.
    generation: PathId,
}

/// A relay where this tool is not, or not again.
struct Absent<'a> {
    place: Place<'a>,
    dials_at: Instant,
}

/// One relay.
struct Place<'a> {
    relay: &'a RelayAddress,
    /// This side's part of the key exchange, and its element. One for all connections to this relay, so that an answer
    /// to an element is good whichever of them brought it.
    exchange: Option<(Handshake, Vec<u8>)>,
    /// Pause before it is dialed again.
    rest: Duration,
    was_dialed: bool,
}

/// The other tool, and its element. This side's confirmation has not left yet.
pub(super) struct Found {
    connection: Connection<AnyStream>,
    /// The relay where it is.
    pub(super) relay_id: RelayId,
    handshake: Handshake,
    /// The own element, where the other tool does not have it yet.
    unsaid: Option<Vec<u8>>,
    heard: Bytes,
    until: Instant,
}

impl<'a> Places<'a> {
    pub(super) fn new(meeting: &'a Meeting, dial: &'a Dial) -> Self {
        let (begun, relays) = (Instant::now(), meeting.pairing.relays.iter().take(TICKET_RELAYS_MAX));
        let absent = (0u32..).zip(relays).map(|(turn, relay)| Absent {
            place: Place { relay, exchange: None, rest: REST_MIN, was_dialed: false },
            dials_at: begun + HEAD_START * turn,
        });
        Self { meeting, dial, absent: absent.collect(), failed: MeetError::Unreachable, generation: GENERATION - 1 }
    }

    /// Waits for the other tool at the relays; gives the highest generation that was used, too.
    /// Cancel-safe: dropping it gives every place up.
    pub(super) async fn find(mut self) -> Result<(Found, PathId), MeetError> {
        let over_at = Instant::now() + PEER_TIMEOUT + GRACE;
        let mut present = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            while let Some(place) = self.next_due(now) {
                self.generation = self.generation.saturating_add(1);
                present.push(wait_at(place, self.meeting, self.dial, self.generation));
            }
            if present.is_empty() {
                return Err(self.failed);
            }
            let dials_at = self.absent.iter().map(|absent| absent.dials_at).min();
            tokio::select! {
                biased;
                Some((place, outcome)) = present.next() => match outcome {
                    Ok(found) => return Ok((found, self.generation)),
                    Err(error) => self.on_failure(place, error)?,
                },
                () = sleep_until(over_at) => return Err(MeetError::Timeout(CloseReason::PeerTimeout)),
                () = sleep_until(dials_at.unwrap_or(over_at)), if dials_at.is_some() => {}
            }
        }
    }

    fn next_due(&mut self, now: Instant) -> Option<Place<'a>> {
        let due = self.absent.iter().position(|absent| absent.dials_at <= now)?;
        Some(self.absent.remove(due).place)
    }

    /// A relay failed: goes to the next one at once, if there is one that was not dialed yet, and rests this one.
    fn on_failure(&mut self, mut place: Place<'a>, error: MeetError) -> Result<(), MeetError> {
        tracing::debug!(
            session.id = %self.meeting.pairing.session_id, relay.id = %place.relay.relay_id,
            reason = error.reason().as_str(), "Not met at relay {}", place.relay.relay_id
        );
        if !goes_on(error) {
            return Err(error);
        }
        if error != MeetError::Unreachable {
            self.failed = error;
        }
        let now = Instant::now();
        if let Some(next) = self.absent.iter_mut().find(|absent| !absent.place.was_dialed) {
            next.dials_at = now;
        }
        let dials_at = now + place.rest.mul_f64(1.0 + rand::random::<f64>() / 2.0);
        place.rest = (place.rest * 2).min(REST_MAX);
        self.absent.push(Absent { place, dials_at });
        Ok(())
    }
}

/// Whether another relay may do better, or this one a little later: it is away, full or being stopped, or its clock or
/// its keys are wrong.
const fn goes_on(error: MeetError) -> bool {
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
        // A relay that hangs.
        MeetError::Timeout(reason) => matches!(reason, CloseReason::HelloTimeout | CloseReason::Silent),
        MeetError::WrongSecret | MeetError::PeerGone(_) => false,
    }
}

/// Takes a place at a relay and waits there for the other tool; gives the place back when that failed.
async fn wait_at<'a>(
    mut place: Place<'a>,
    meeting: &Meeting,
    dial: &Dial,
    generation: PathId,
) -> (Place<'a>, Result<Found, MeetError>) {
    place.was_dialed = true;
    let found = place.wait(meeting, dial, generation).await;
    (place, found)
}

impl Place<'_> {
    async fn wait(&mut self, meeting: &Meeting, dial: &Dial, generation: PathId) -> Result<Found, MeetError> {
        let relay_id = self.relay.relay_id;
        let mut connection = dial(self.relay.clone()).await.map_err(|error| {
            tracing::debug!(relay.id = %relay_id, %error, "Relay {relay_id} cannot be reached");
            if let DialError::Proxy(error) = error { MeetError::Proxy(error) } else { MeetError::Unreachable }
        })?;
        let admission = Admission { ticket: &meeting.pairing.ticket, proof_key: &meeting.proof_key, generation };
        let mut is_present = join::join(&mut connection, &admission).await?;
        let mut until = (Instant::now() + PEER_TIMEOUT + GRACE, CloseReason::PeerTimeout);
        let mut is_paired = false;
        loop {
            if is_present {
                until = (Instant::now() + PROVE_TIMEOUT, CloseReason::ProveTimeout);
                is_paired = true;
                let element = self.element(meeting)?;
                if meeting.role == Role::Customer {
                    say(&mut connection, element).await?;
                }
            }
            let heard = timeout_at(until.0, join::hear(&mut connection)).await;
            is_present = match heard.map_err(|_late| MeetError::Timeout(until.1))?? {
                Heard::Step(heard) => return self.found(meeting, connection, (heard, until.0)),
                Heard::PeerPresent => true,
                Heard::PeerGone(reason) if is_final(reason) => return Err(MeetError::PeerGone(reason)),
                Heard::Goaway if !is_paired => return Err(MeetError::Refused(CloseReason::Draining)),
                // It may come back here, or be found elsewhere; a relay that is being stopped still forwards.
                Heard::PeerGone(_) | Heard::Goaway => false,
            };
        }
    }

    fn element(&mut self, meeting: &Meeting) -> Result<Vec<u8>, MeetError> {
        let Pairing { session_id, introduction, .. } = &meeting.pairing;
        let exchange = match self.exchange.take() {
            Some(exchange) => exchange,
            None => Handshake::start(meeting.role, &meeting.secret, *session_id, introduction, &mut rand_core::OsRng)
                .map_err(on_prove_error)?,
        };
        Ok(self.exchange.insert(exchange).1.clone())
    }

    fn found(
        &mut self,
        meeting: &Meeting,
        connection: Connection<AnyStream>,
        (heard, until): (Bytes, Instant),
    ) -> Result<Found, MeetError> {
        // A relay passes nothing on before it has said that both are there.
        let (handshake, element) = self.exchange.take().ok_or(MeetError::Refused(CloseReason::Malformed))?;
        let unsaid = (meeting.role == Role::Operator).then_some(element);
        Ok(Found { connection, relay_id: self.relay.relay_id, handshake, unsaid, heard, until })
    }
}

/// Whether the other tool, or who left in its stead, does not come again.
const fn is_final(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::OperatorEnded | CloseReason::CustomerEnded | CloseReason::Revoked | CloseReason::HardEnd
    )
}

impl Found {
    /// The rest of the key exchange, from this side's confirmation on; gives the connection back, whatever came of it.
    ///
    /// # Errors
    /// See [`MeetError`]; none is one after which another relay may be tried: with a fresh exchange at each relay,
    /// somebody in the middle would have as many guesses as there are relays.
    pub(super) async fn prove(self) -> (Connection<AnyStream>, Result<SessionKeys, MeetError>) {
        let Self { mut connection, handshake, unsaid, heard, until, .. } = self;
        let proved = timeout_at(until, prove(&mut connection, handshake, (unsaid, heard))).await;
        let late = MeetError::Timeout(CloseReason::ProveTimeout);
        (connection, proved.map_err(|_late| late).flatten().map_err(last_chance))
    }
}

async fn prove(
    connection: &mut Connection<AnyStream>,
    mut handshake: Handshake,
    (mut unsaid, element): (Option<Vec<u8>>, Bytes),
) -> Result<SessionKeys, MeetError> {
    let mut heard = element.clone();
    loop {
        match handshake.on(&heard).map_err(on_prove_error)? {
            Step::Done { keys } => return Ok(keys),
            Step::Continue { handshake: next, send } => {
                for payload in unsaid.take().into_iter().chain([send]) {
                    say(connection, payload).await?;
                }
                handshake = next;
            }
        }
        heard = loop {
            match join::hear(connection).await? {
                // Said again where the customer was told twice that the operator is there.
                Heard::Step(again) if again == element => {}
                Heard::Step(next) => break next,
                Heard::PeerGone(reason) => return Err(MeetError::PeerGone(reason)),
                // A relay that is being stopped still forwards.
                Heard::PeerPresent | Heard::Goaway => {}
            }
        };
    }
}

async fn say(connection: &mut Connection<AnyStream>, payload: Vec<u8>) -> Result<(), MeetError> {
    let frame = Frame::plain(FrameType::Prove, payload.into()).map_err(|_too_long| MeetError::WrongSecret)?;
    write_frame(&mut connection.writer, frame).await.map_err(|_broken| MeetError::Unreachable)
}

/// An error after this side's confirmation may have left, in a form that says so.
const fn last_chance(error: MeetError) -> MeetError {
    match error {
        MeetError::Unreachable | MeetError::Proxy(_) => MeetError::PeerGone(CloseReason::TransportLost),
        MeetError::Refused(reason) => MeetError::PeerGone(reason),
        MeetError::WrongSecret | MeetError::PeerGone(_) | MeetError::Timeout(_) => error,
    }
}

const fn on_prove_error(error: ProveError) -> MeetError {
    match error {
        ProveError::EmptySecret | ProveError::WrongSecret => MeetError::WrongSecret,
        ProveError::Malformed => MeetError::PeerGone(CloseReason::Malformed),
    }
}
