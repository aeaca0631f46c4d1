//! An admitted connection: sealed frames in from one side, the same bytes out to the other.
//!
//! Two halves run side by side in one task. The reading half takes frames from its tool and offers them to the other
//! side's seat; without room there it stops reading, and TCP tells its tool to wait. The writing half empties its own
//! seat. So neither direction waits for the other, and a receiver that stands still costs one bounded queue.
//! Frames are neither opened, changed nor copied here.
//!
//! Walk: before this hop is `proto/link/src/sealed` of one tool, after it that of the other.

mod seat;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use link::{
    framed::{self, FrameReader, WireFrame},
    tcp::{AcceptedStream, Connection},
};
use proto::{
    api::relay::ReportWhat, close::CloseReason, frame::FrameType, hello::RelayWord, role::Role, ticket::Ticket,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::debug;

use self::seat::{Batch, Offer};
pub use self::seat::{Seat, Urgency};
use crate::{
    Relay,
    limit::Bucket,
    pair::{Claim, Left, Totals},
};

/// What the other side said before it left is delivered within this time or not at all.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// A last word is written within this time or not at all.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(5);
/// Then the tool has this long to close its end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// Pings and pongs of one tool: two a second, and some at once. More is no keep-alive.
const CONTROL_RATE: u64 = 2;
/// See [`CONTROL_RATE`].
const CONTROL_BURST: u64 = 30;

/// Seats an admitted tool and forwards until one side ends. Gives the reason when there is no seat.
///
/// # Errors
/// The reason to refuse; the connection is still open then.
pub(crate) async fn run(
    relay: &Relay,
    connection: &mut Connection<AcceptedStream>,
    ticket: &Ticket,
    claim: Claim,
    may_begin: bool,
) -> Result<(), CloseReason> {
    let now = Instant::now();
    let seat = Arc::new(Seat::new(ticket.session_id, claim, ticket.rate_max, now));
    let totals = sit_down(relay, &seat, may_begin, now)?;

    let hard_end = u64::try_from(ticket.hard_end_at_ms.saturating_sub(relay.clock.now_ms())).unwrap_or(0);
    let reason = {
        let mut outbound = std::pin::pin!(outbound(relay, &seat, &mut connection.writer));
        let (reason, may_write) = tokio::select! {
            reason = &mut outbound => (reason, false),
            reason = inbound(relay, &seat, &mut connection.reader, &totals) => (reason, reason_is_told(reason)),
            () = alone(relay, &seat) => (CloseReason::PeerTimeout, true),
            () = sleep(Duration::from_millis(hard_end)) => (CloseReason::HardEnd, true),
        };
        seat.close(RelayWord::Refused(reason), Urgency::Now);
        stand_up(relay, &seat, reason);
        if may_write {
            let _in_time = timeout(LAST_WORD_TIMEOUT, outbound).await;
        }
        reason
    };
    if reason != CloseReason::WriteStalled {
        let _in_time = timeout(FAREWELL_TIMEOUT, connection.farewell()).await;
    }
    Ok(())
}

/// Whether a tool that ended a connection in this way is still there to be told.
fn reason_is_told(reason: CloseReason) -> bool {
    reason == CloseReason::Malformed
}

/// Takes a seat in the session and tells both sides.
fn sit_down(relay: &Relay, seat: &Arc<Seat>, may_begin: bool, now: Instant) -> Result<Arc<Totals>, CloseReason> {
    let (session_id, role) = (seat.session_id, seat.claim.role);
    let joined = relay.pairs.join(session_id, seat.claim, Arc::clone(seat), may_begin, now)?;
    let is_back = joined.displaced.is_some();
    if let Some(displaced) = joined.displaced {
        displaced.close(RelayWord::Refused(CloseReason::Displaced), Urgency::Now);
    }
    seat.welcome(joined.peer.is_some());
    relay.reports.push(session_id, relay.clock.now_ms(), ReportWhat::Joined { role });
    match joined.peer {
        None if !is_back => relay.metrics.relay_sessions_waiting.inc(),
        None => {}
        Some(peer) => {
            let was_paired = peer.was_paired();
            seat.pair(peer.rate_max, now);
            peer.pair(seat.rate_max, now);
            peer.say_peer_present();
            if !was_paired {
                relay.metrics.relay_sessions_waiting.dec();
                relay.metrics.relay_sessions_active.inc();
                relay.reports.push(session_id, relay.clock.now_ms(), ReportWhat::Paired);
            }
        }
    }
    Ok(joined.totals)
}

/// Gives the seat back; if the session is over by that, tells the other side and the manager.
fn stand_up(relay: &Relay, seat: &Seat, reason: CloseReason) {
    let session_id = seat.session_id;
    let Some(Left { peer, totals }) = relay.pairs.leave(session_id, seat.claim.role, seat.claim.serial) else { return };
    if let Some(peer) = peer {
        peer.close(RelayWord::PeerGone(reason), Urgency::AfterQueue);
    }
    if seat.was_paired() {
        relay.metrics.relay_sessions_active.dec();
    } else {
        relay.metrics.relay_sessions_waiting.dec();
    }
    relay.metrics.relay_sessions_ended_total.with_label_values(&[reason.as_str()]).inc();
    relay.metrics.relay_session_seconds.observe(totals.begun_at.elapsed().as_secs_f64());
    let (customer_bytes, operator_bytes) = (totals.get(Role::Customer), totals.get(Role::Operator));
    relay.reports.push(session_id, relay.clock.now_ms(), ReportWhat::Ended { reason, customer_bytes, operator_bytes });
}

/// Ends when the other side did not come in time.
async fn alone(relay: &Relay, seat: &Seat) {
    sleep(relay.deadlines.peer.get()).await;
    if seat.was_paired() {
        std::future::pending::<()>().await;
    }
}

/// Reads frames from a tool and passes them on, until the tool ends or breaks the protocol.
async fn inbound<R>(relay: &Relay, seat: &Seat, reader: &mut FrameReader<R>, totals: &Totals) -> CloseReason
where
    R: AsyncRead + Unpin,
{
    let mut peer = None;
    let mut control = Bucket::new(CONTROL_RATE, CONTROL_BURST, Instant::now());
    loop {
        let frame = match reader.parse() {
            Ok(Some(frame)) => frame,
            Err(_malformed) => return CloseReason::Malformed,
            Ok(None) => match reader.fill().await {
                Ok(0) if reader.is_between_frames() => return left_by_itself(seat.claim.role),
                Ok(0) => return CloseReason::PeerLost,
                Ok(_) => {
                    seat.heard(Instant::now());
                    continue;
                }
                Err(error) => return lost(&error),
            },
        };
        match frame.header.kind {
            FrameType::Sealed | FrameType::Prove => {
                if !pass_on(relay, seat, &mut peer, &frame, totals).await {
                    return CloseReason::Malformed;
                }
            }
            FrameType::Ping | FrameType::Pong => {
                let now = Instant::now();
                let is_flood = !control.is_open(now);
                control.take(1);
                if is_flood || frame.header.len != 8 {
                    return CloseReason::Malformed;
                }
                if frame.header.kind == FrameType::Ping {
                    // Copied, so that a small answer does not hold on to a large read.
                    seat.owe_pong(Bytes::copy_from_slice(&frame.payload()));
                } else if let Some(round_trip) = seat.on_pong(&frame.payload(), now) {
                    relay.metrics.relay_peer_rtt_seconds.with_label_values(&["tcp"]).observe(round_trip.as_secs_f64());
                }
            }
            FrameType::Hello
            | FrameType::Welcome
            | FrameType::Refused
            | FrameType::PeerPresent
            | FrameType::PeerGone => return CloseReason::Malformed,
        }
    }
}

/// Offers a frame to the other side until it is taken or there is nobody. `false`: nobody was ever there.
async fn pass_on(
    relay: &Relay,
    seat: &Seat,
    cached: &mut Option<Arc<Seat>>,
    frame: &WireFrame,
    totals: &Totals,
) -> bool {
    loop {
        let seated = || relay.pairs.peer(seat.session_id, seat.claim.role, seat.claim.serial);
        let Some(peer) = cached.take().or_else(seated) else {
            // Said after the other side went, or before this side heard of it.
            dropped(relay, frame);
            return seat.was_paired();
        };
        let room = peer.room.notified();
        tokio::pin!(room);
        room.as_mut().enable();
        match peer.offer(frame.header.lane, &frame.wire) {
            Offer::Taken => {
                totals.add(seat.claim.role, u64::from(frame.header.len));
                *cached = Some(Arc::clone(&peer));
                return true;
            }
            Offer::Full => {
                seat.set_deaf(true, Instant::now());
                room.await;
                seat.set_deaf(false, Instant::now());
                *cached = Some(Arc::clone(&peer));
            }
            Offer::Gone => {
                // A seat that was given up is not in the table any more, has a successor, or is about to leave.
                if seated().is_some_and(|seated| Arc::ptr_eq(&seated, &peer)) {
                    dropped(relay, frame);
                    return true;
                }
            }
        }
    }
}

fn dropped(relay: &Relay, frame: &WireFrame) {
    let labels = [frame.header.lane.as_str(), "peer_gone"];
    relay.metrics.relay_dropped_frames_total.with_label_values(&labels).inc();
}

/// Writes what waits in the seat, until the last word or until the tool does not take it.
async fn outbound<W>(relay: &Relay, seat: &Seat, writer: &mut W) -> CloseReason
where
    W: AsyncWrite + Unpin,
{
    let mut closing_since = None;
    loop {
        let now = Instant::now();
        let batch = seat.next_batch(now);
        if seat.is_closing() && *closing_since.get_or_insert(now) + QUEUE_TIMEOUT < now {
            return CloseReason::WriteStalled;
        }
        if !batch.pieces.is_empty() {
            if let Err(error) = framed::write_all(writer, &batch.pieces).await {
                if error.kind() == io::ErrorKind::TimedOut {
                    relay.metrics.relay_write_stalls_total.inc();
                }
                debug!(session.id = %seat.session_id, error = %error, "A write failed");
                return lost(&error);
            }
            count(relay, seat.claim.role.other(), &batch);
        }
        if let Some(reason) = batch.last {
            return reason;
        }
        if !batch.pieces.is_empty() {
            // Lets the reading half run between two writes; more may wait.
            tokio::task::yield_now().await;
            continue;
        }
        let held_since = batch.is_held.then_some(now);
        tokio::select! {
            () = seat.work.notified() => {}
            () = sleep_until(batch.wake_at) => {}
        }
        if let Some(since) = held_since {
            let wait = relay.metrics.relay_limit_wait_seconds.with_label_values(&["direction"]);
            wait.observe(since.elapsed().as_secs_f64());
        }
    }
}

fn count(relay: &Relay, from: Role, batch: &Batch) {
    for (lane, (frames, bytes)) in proto::frame::Lane::ALL.into_iter().zip(batch.forwarded) {
        if 0 < frames {
            let labels = [lane.as_str(), direction(from)];
            relay.metrics.relay_forwarded_frames_total.with_label_values(&labels).inc_by(frames);
            relay.metrics.relay_forwarded_bytes_total.with_label_values(&labels).inc_by(bytes);
        }
    }
}

/// The value of the label `direction`.
const fn direction(from: Role) -> &'static str {
    match from {
        Role::Customer => "from_customer",
        Role::Operator => "from_operator",
    }
}

/// A clean close of TLS is the tool's own doing.
const fn left_by_itself(role: Role) -> CloseReason {
    match role {
        Role::Customer => CloseReason::CustomerEnded,
        Role::Operator => CloseReason::OperatorEnded,
    }
}

fn lost(error: &io::Error) -> CloseReason {
    if error.kind() == io::ErrorKind::TimedOut { CloseReason::WriteStalled } else { CloseReason::PeerLost }
}
