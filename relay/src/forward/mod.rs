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

use proto::{api::relay::ReportWhat, close::CloseReason, hello::RelayWord, role::Role, ticket::Ticket};
use tokio::time::{Instant, timeout};

pub use self::seat::{Seat, Urgency};
use crate::{
    Relay,
    pair::{Claim, Joined, Left, Terms, Totals},
    transport::{Connection, Transport},
};

/// A last word is written within this time or not at all.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(5);
/// Then the tool has this long to close its end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// A seat that is taken. Dropping it gives the seat back, whatever became of the connection's task.
pub(crate) struct Seated {
    relay: Arc<Relay>,
    seat: Arc<Seat>,
    totals: Arc<Totals>,
    hard_end: Instant,
    home: usize,
    is_left: bool,
}

/// Takes a seat in the session for an admitted tool, and tells both sides. `home`: the data-plane thread of the session,
/// if it begins with this side.
///
/// # Errors
/// The reason to refuse.
pub(crate) fn sit_down(
    relay: &Arc<Relay>,
    ticket: &Ticket,
    claim: Claim,
    transport: Transport,
    terms: Terms,
) -> Result<Seated, CloseReason> {
    let now = terms.now;
    let seat = Arc::new(Seat::new(ticket.session_id, claim, transport, ticket.rate_max, now));
    let joined = relay.pairs.join(ticket.session_id, claim, Arc::clone(&seat), terms, |joined| {
        tell_of_coming(relay, &seat, joined, now);
    })?;
    let life = u64::try_from(ticket.hard_end_at_ms.saturating_sub(relay.clock.now_ms())).unwrap_or(0);
    let hard_end = now + Duration::from_millis(life);
    Ok(Seated { relay: Arc::clone(relay), seat, totals: joined.totals, hard_end, home: joined.home, is_left: false })
}

/// Forwards between a seated tool and the other side until one of them ends.
pub(crate) async fn run(mut seated: Seated, connection: Connection) {
    let Connection { mut reader, writer, exporter } = connection;
    let room = writer.room();
    let (relay, seat) = (Arc::clone(&seated.relay), Arc::clone(&seated.seat));
    seat.open_outlet(writer);

    // What was read goes first: then the other half finds the most to do.
    let reason = tokio::select! {
        biased;
        reason = inbound::pass_on_all(&relay, &seat, &mut reader, &seated.totals) => reason,
        reason = outbound::write_all(&relay, &seat, &room, seated.hard_end) => reason,
    };
    seated.leave(reason);
    if is_told(reason) {
        let last_word = outbound::write_all(&relay, &seat, &room, seated.hard_end);
        let _in_time = timeout(LAST_WORD_TIMEOUT, last_word).await;
    }
    drop(room);
    if let Some(writer) = seat.close_outlet()
        && reason != CloseReason::WriteStalled
    {
        let farewell = Connection { reader, writer, exporter }.farewell();
        let _in_time = Box::pin(timeout(FAREWELL_TIMEOUT, farewell)).await;
    }
}

impl Seated {
    /// The data-plane thread of the session.
    pub(crate) const fn home(&self) -> usize {
        self.home
    }

    /// Tells the tool that the relay is being stopped.
    pub(crate) fn say_goaway(&self) {
        self.seat.say_goaway();
    }

    /// Gives the seat back and tells the other side, which keeps its own unless the session is over by that; then the
    /// manager is told, too.
    fn leave(&mut self, reason: CloseReason) {
        if std::mem::replace(&mut self.is_left, true) {
            return;
        }
        let (relay, seat) = (&self.relay, &self.seat);
        seat.close(RelayWord::Refused(reason), Urgency::Now);
        let (role, serial) = (seat.claim.role, seat.claim.serial);
        // Somebody else may have the seat by now; then nobody is to be told.
        drop(relay.pairs.leave(seat.session_id, role, serial, is_end(reason), |left| {
            tell_of_leaving(relay, seat, left, reason);
        }));
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.leave(CloseReason::PeerLost);
        drop(self.seat.close_outlet());
    }
}

/// Whether it is the relay that ends a connection in this way, so that the tool is still there to be told.
const fn is_told(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::Malformed | CloseReason::PeerTimeout | CloseReason::HardEnd)
}

/// Runs while the table holds the session, so that what is told and counted of it keeps the order in which it happened.
fn tell_of_coming(relay: &Relay, seat: &Arc<Seat>, joined: &Joined<Arc<Seat>>, now: Instant) {
    let (session_id, role) = (seat.session_id, seat.claim.role);
    if let Some(displaced) = &joined.displaced {
        displaced.close(RelayWord::Refused(CloseReason::Displaced), Urgency::Now);
    }
    seat.welcome(joined.peer.is_some());
    relay.reports.push(session_id, relay.clock.now_ms(), ReportWhat::Joined { role });
    let Some(peer) = &joined.peer else {
        if joined.displaced.is_none() {
            relay.metrics.relay_sessions_waiting.inc();
        }
        return;
    };
    seat.pair(peer, now);
    peer.pair(seat, now);
    peer.say_peer_present();
    if joined.is_paired_anew {
        relay.metrics.relay_sessions_waiting.dec();
        relay.metrics.relay_sessions_active.inc();
    }
    if joined.is_first_pairing {
        relay.reports.push(session_id, relay.clock.now_ms(), ReportWhat::Paired);
    }
}

/// See [`tell_of_coming`].
fn tell_of_leaving(relay: &Relay, seat: &Seat, left: &Left<Arc<Seat>>, reason: CloseReason) {
    let Left { peer, was_paired, is_over, totals } = left;
    if let Some(peer) = peer {
        if *is_over {
            // What ends the whole session from outside is said to both in the same words, whichever side hears it first.
            let is_for_both = matches!(reason, CloseReason::Revoked | CloseReason::RelayStopped);
            if is_for_both {
                peer.close(RelayWord::Refused(reason), Urgency::Now);
            } else {
                peer.close(RelayWord::PeerGone(reason), Urgency::AfterQueue);
            }
        } else {
            peer.say_peer_gone(reason, seat.claim.serial, Instant::now());
        }
    }
    if *was_paired {
        relay.metrics.relay_sessions_active.dec();
    } else if *is_over {
        relay.metrics.relay_sessions_waiting.dec();
    }
    if !*is_over {
        return relay.metrics.relay_sessions_waiting.inc();
    }
    relay.metrics.relay_sessions_ended_total.with_label_values(&[reason.as_str()]).inc();
    relay.metrics.relay_session_seconds.observe(totals.begun_at.elapsed().as_secs_f64());
    let (customer_bytes, operator_bytes) = (totals.get(Role::Customer), totals.get(Role::Operator));
    let ended = ReportWhat::Ended { reason, customer_bytes, operator_bytes };
    relay.reports.push(seat.session_id, relay.clock.now_ms(), ended);
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

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use proto::id::SessionId;

    use super::*;
    use crate::{
        config::{Config, TicketKey},
        transport::{Reader, Writer},
    };

    fn relay() -> Arc<Relay> {
        link::tls::install_provider();
        let key = TicketKey { key_id: "test".to_owned(), public_key: "0".repeat(64) };
        let config = Config { ticket_keys: vec![key], ..Config::default() };
        Relay::prepare(&config, ops::clock::Clock::system()).unwrap()
    }

    fn sit(relay: &Arc<Relay>, session: u8, role: Role, serial: u64) -> Seated {
        let ticket = Ticket {
            session_id: SessionId::from_bytes([session; 16]),
            role,
            proof_key_hash: String::new(),
            relays: Vec::new(),
            rate_max: 1,
            issued_at_ms: 0,
            expires_at_ms: 0,
            hard_end_at_ms: 1_000_000_000_000_000,
        };
        let claim = Claim { role, proof_key: [1; 32], generation: 1, serial };
        let terms = Terms { may_begin: true, home: 0, now: Instant::now() };
        sit_down(relay, &ticket, claim, Transport::Tcp, terms).unwrap()
    }

    fn gauges(relay: &Relay) -> (i64, i64) {
        (relay.metrics.relay_sessions_waiting.get(), relay.metrics.relay_sessions_active.get())
    }

    #[tokio::test]
    async fn who_comes_while_the_other_leaves_knows_that_it_is_alone_and_the_gauges_know_too() {
        let relay = relay();
        for _ in 0..2_000 {
            let mut customer = sit(&relay, 1, Role::Customer, 1);
            let together = Barrier::new(2);

            let operator = thread::scope(|scope| {
                let comes = scope.spawn(|| {
                    together.wait();
                    sit(&relay, 1, Role::Operator, 2)
                });
                together.wait();
                customer.leave(CloseReason::PeerLost);
                comes.join().unwrap()
            });

            assert!(operator.seat.standing().1.is_some(), "it will not wait for ever");
            assert_eq!(gauges(&relay), (1, 0));
        }
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "the figures, for who runs this test with --no-capture")]
    fn what_an_idle_connection_holds_is_small() {
        let forwarding = |seated: Seated, connection: Connection| run(seated, connection);
        let sizes = [future_len(&forwarding), size_of::<Seat>(), size_of::<Reader>(), size_of::<Writer>()];

        println!("task, seat, reader and writer of a connection: {sizes:?} bytes");
        assert!(sizes.iter().sum::<usize>() < 6 * 1024, "{sizes:?}");
    }

    /// Size of what `make` would give, without making it.
    fn future_len<A, B, F>(_make: &impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[tokio::test]
    async fn a_seat_whose_task_ends_in_any_way_is_given_back() {
        let relay = relay();
        let customer = sit(&relay, 1, Role::Customer, 1);
        let operator = sit(&relay, 1, Role::Operator, 2);
        assert_eq!(gauges(&relay), (0, 1));

        drop(customer);
        assert_eq!((gauges(&relay), operator.seat.standing().1.is_some()), ((1, 0), true));

        drop(operator);
        assert_eq!((gauges(&relay), relay.sessions()), ((0, 0), 0));
    }
}
