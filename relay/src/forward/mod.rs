//! An admitted connection: sealed frames in from one side, the same bytes out to the other.
//!
//! Two halves run side by side in one task. The reading half (`inbound.rs`) takes frames from its tool, puts them into
//! the queue of the other side's seat (`seat.rs`) and, if nobody else is at it, empties that into the other tool's
//! socket at once; without room there it stops reading, and TCP tells its tool to wait. The writing half
//! (`outbound.rs`) does what is left: it waits for a socket that took nothing, for a rate, for the next ping. So neither
//! direction waits for the other, and a receiver that stands still costs one bounded queue.
//! Frames are neither opened nor changed here.
//!
//! Walk: before this hop is `proto/link/src/sealed` of one tool, after it that of the other.

mod seat;

mod inbound;

mod outbound;

use std::{io, sync::Arc, time::Duration};

use link::served::Served;
use proto::{api::relay::ReportWhat, close::CloseReason, hello::RelayWord, role::Role, ticket::Ticket};
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use self::seat::{Seat, Urgency};
use crate::{
    Relay,
    pair::{Claim, Left, Totals},
};

/// A last word is written within this time or not at all.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(5);
/// Then the tool has this long to close its end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// Seats an admitted tool and forwards until one side ends. Gives the reason when there is no seat.
///
/// # Errors
/// The reason to refuse; the connection is still open then.
pub(crate) async fn run(
    relay: &Relay,
    connection: Box<Served>,
    ticket: Ticket,
    claim: Claim,
    may_begin: bool,
) -> Result<(), (Box<Served>, CloseReason)> {
    let now = Instant::now();
    let seat = Arc::new(Seat::new(ticket.session_id, claim, ticket.rate_max, now));
    let totals = match sit_down(relay, &seat, may_begin, now) {
        Ok(totals) => totals,
        Err(reason) => return Err((connection, reason)),
    };
    let hard_end = u64::try_from(ticket.hard_end_at_ms.saturating_sub(relay.clock.now_ms())).unwrap_or(0);
    // It has done its work, and a session may be long.
    drop(ticket);
    let Served { mut reader, writer, exporter } = *connection;
    let socket = writer.socket();
    seat.open_outlet(writer);

    let reason = {
        let mut outbound = std::pin::pin!(outbound::write_all(relay, &seat, &socket));
        let (reason, may_write) = tokio::select! {
            reason = &mut outbound => (reason, false),
            reason = inbound::pass_on_all(relay, &seat, &mut reader, &totals) => (reason, reason_is_told(reason)),
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
    if let Some(writer) = seat.close_outlet()
        && reason != CloseReason::WriteStalled
    {
        let farewell = async { Served { reader, writer, exporter }.farewell().await };
        let _in_time = Box::pin(timeout(FAREWELL_TIMEOUT, farewell)).await;
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
            seat.pair(&peer, now);
            peer.pair(seat, now);
            peer.say_peer_present();
            // Asked of the table, where one who leaves meanwhile is told the same.
            if joined.is_paired_anew {
                relay.metrics.relay_sessions_waiting.dec();
                relay.metrics.relay_sessions_active.inc();
            }
            if joined.is_first_pairing {
                relay.reports.push(session_id, relay.clock.now_ms(), ReportWhat::Paired);
            }
        }
    }
    Ok(joined.totals)
}

/// Gives the seat back and tells the other side, which keeps its own unless the session is over by that; then the
/// manager is told, too.
fn stand_up(relay: &Relay, seat: &Seat, reason: CloseReason) {
    let session_id = seat.session_id;
    let left = relay.pairs.leave(session_id, seat.claim.role, seat.claim.serial, is_end(reason));
    let Some(Left { peer, was_paired, is_over, totals }) = left else { return };
    if let Some(peer) = peer {
        if is_over {
            peer.close(RelayWord::PeerGone(reason), Urgency::AfterQueue);
        } else {
            peer.say_peer_gone(reason, seat.claim.serial, Instant::now());
        }
    }
    if was_paired {
        relay.metrics.relay_sessions_active.dec();
    } else if is_over {
        relay.metrics.relay_sessions_waiting.dec();
    }
    if !is_over {
        return relay.metrics.relay_sessions_waiting.inc();
    }
    relay.metrics.relay_sessions_ended_total.with_label_values(&[reason.as_str()]).inc();
    relay.metrics.relay_session_seconds.observe(totals.begun_at.elapsed().as_secs_f64());
    let (customer_bytes, operator_bytes) = (totals.get(Role::Customer), totals.get(Role::Operator));
    relay.reports.push(session_id, relay.clock.now_ms(), ReportWhat::Ended { reason, customer_bytes, operator_bytes });
}

/// Whether a side that leaves for this reason ends the session, and not only its connection.
const fn is_end(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::OperatorEnded
            | CloseReason::CustomerEnded
            | CloseReason::Revoked
            | CloseReason::HardEnd
            | CloseReason::RelayStopped
    )
}

/// Ends when the other side did not come, or did not come back, in time.
async fn alone(relay: &Relay, seat: &Seat) {
    loop {
        let changed = seat.pairing.notified();
        let patience = if seat.was_paired() { relay.deadlines.rejoin.get() } else { relay.deadlines.peer.get() };
        let over_at = seat.alone_since().map(|since| since + patience);
        if over_at.is_some_and(|over_at| over_at <= Instant::now()) {
            return;
        }
        tokio::select! {
            () = changed => {}
            () = sleep_until(over_at.unwrap_or_else(Instant::now)), if over_at.is_some() => {}
        }
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
