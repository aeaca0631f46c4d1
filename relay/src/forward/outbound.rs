//! The writing half: what waits in a seat goes to its tool, until the last word or until the tool does not take it.
//!
//! Whoever has put something into the queue pushes it on at once; when that is not possible, the connection's own task
//! is told and waits for what is missing. Only it waits, and only it judges a receiver that stands still.

use std::{
    mem,
    sync::{MutexGuard, PoisonError, TryLockError},
};

use bytes::Bytes;
use proto::close::CloseReason;
use tokio::{
    task::yield_now,
    time::{Duration, Instant, sleep_until},
};
use tracing::debug;

use super::{lost, seat::Seat};
use crate::{
    Relay,
    transport::{Room, Writer},
};

/// What the other side said before it left is delivered within this time or not at all.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

/// A receiver lags when its socket takes longer than this for what was sealed at once; 64 KiB in this time are
/// 100 Mbit/s. One that is quicker had only not run yet, and sealing less for it would cost the relay a system call for
/// each frame.
const LAG_MIN: Duration = Duration::from_millis(5);
/// After so many writes in a row others on this thread have their turn.
const WRITES_MAX: u32 = 16;
/// Room for so many frames stays with a connection that writes none.
const PIECES_KEPT: usize = 16;

/// The way to a tool.
pub(super) struct Outlet {
    writer: Writer,
    /// The connection is over once everything is written.
    over: Option<CloseReason>,
    pace: Pace,
    /// The room of the last batch, for the next.
    pieces: Vec<Bytes>,
}

/// Whether a receiver lags. Then less is sealed at once for it, so that what is more urgent waits for one frame and
/// never for a queue.
#[derive(Debug, Default)]
struct Pace {
    /// The socket is full, since then, with what was sealed last; that it takes a part of it changes nothing.
    full_since: Option<Instant>,
    /// It was full for [`LAG_MIN`] since the queue was last empty.
    lags: bool,
}

impl Pace {
    /// The socket was given what is sealed and is, or is not, full.
    fn wrote(&mut self, is_full: bool, now: Instant) {
        self.lags |= self.full_since.is_some_and(|since| since + LAG_MIN <= now);
        self.full_since = is_full.then(|| self.full_since.unwrap_or(now));
    }

    /// Nothing waits for the receiver any more.
    const fn caught_up(&mut self) {
        self.lags = false;
    }
}

/// How far an outlet got.
enum Flow {
    /// Everything is written that may be written before `wake_at`. `is_held`: the rest waits for its rate.
    Idle { wake_at: Instant, is_held: bool },
    /// There is more, but others have their turn first.
    More,
    /// The socket takes nothing, since then.
    Blocked { since: Instant },
    /// The connection is over.
    Over(CloseReason),
}

impl Seat {
    /// Gives the seat the way to its tool.
    pub(super) fn open_outlet(&self, writer: Writer) {
        *self.outlet() = Some(Outlet { writer, over: None, pace: Pace::default(), pieces: Vec::new() });
    }

    /// Takes it away again: whoever still knows this seat holds no socket with it.
    pub(super) fn close_outlet(&self) -> Option<Writer> {
        self.outlet().take().map(|outlet| outlet.writer)
    }

    /// Writes what waits, unless somebody is at it; what cannot be written now is left to the connection's own task.
    pub(super) fn push(&self, relay: &Relay) {
        let mut outlet = match self.outlet.try_lock() {
            Ok(outlet) => outlet,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return self.work.notify_one(),
        };
        let Some(outlet) = outlet.as_mut() else { return self.work.notify_one() };
        let was_blocked = outlet.writer.blocked_since().is_some();
        match outlet.flow(relay, self, Instant::now()) {
            Flow::Idle { is_held: false, .. } => {}
            // The task waits for this socket already.
            Flow::Blocked { .. } if was_blocked => {}
            Flow::Idle { .. } | Flow::More | Flow::Blocked { .. } | Flow::Over(_) => self.work.notify_one(),
        }
    }

    /// No await while the guard lives.
    fn outlet(&self) -> MutexGuard<'_, Option<Outlet>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flow(&self, relay: &Relay, now: Instant) -> Flow {
        let mut outlet = self.outlet();
        outlet.as_mut().map_or(Flow::Over(CloseReason::PeerLost), |outlet| outlet.flow(relay, self, now))
    }
}

impl Outlet {
    fn flow(&mut self, relay: &Relay, seat: &Seat, now: Instant) -> Flow {
        for _ in 0..WRITES_MAX {
            let is_full = match self.writer.flush() {
                Ok(is_written) => !is_written,
                Err(error) => return self.broken(seat, &error),
            };
            self.pace.wrote(is_full, now);
            if is_full {
                return Flow::Blocked { since: self.writer.blocked_since().unwrap_or(now) };
            }
            if let Some(reason) = self.over {
                return Flow::Over(reason);
            }
            let mut batch = seat.next_batch(now, !self.pace.lags, mem::take(&mut self.pieces));
            self.over = batch.last;
            if batch.pieces.is_empty() && batch.last.is_none() {
                self.pieces = batch.pieces;
                self.pace.caught_up();
                return Flow::Idle { wake_at: batch.wake_at, is_held: batch.is_held };
            }
            if let Err(error) = self.writer.send(&batch.pieces) {
                return self.broken(seat, &error);
            }
            relay.forwarded.count(seat.claim.role.other(), &batch.forwarded);
            batch.pieces.clear();
            if batch.pieces.capacity() <= PIECES_KEPT {
                self.pieces = batch.pieces;
            }
        }
        Flow::More
    }

    fn broken(&mut self, seat: &Seat, error: &std::io::Error) -> Flow {
        debug!(session.id = %seat.session_id, error = %error, "A write failed");
        let reason = lost(error);
        self.over = Some(reason);
        Flow::Over(reason)
    }
}

/// Writes what waits in the seat, as its connection's own task, until it is over; also because the other side stays away
/// too long, or because the session's time is over. One timer for all of it: an idle connection holds no other.
pub(super) async fn write_all(relay: &Relay, seat: &Seat, room: &Room, hard_end: Instant) -> CloseReason {
    let patience = relay.deadlines.write_stall.get();
    let mut closing_since = None;
    loop {
        let now = Instant::now();
        let flow = seat.flow(relay, now);
        let until = match over_by_time(relay, seat, hard_end, now) {
            Some(Over::Now(reason)) => return reason,
            Some(Over::At(until)) => until,
            None if *closing_since.get_or_insert(now) + QUEUE_TIMEOUT < now => return CloseReason::WriteStalled,
            None => now + QUEUE_TIMEOUT,
        };
        match flow {
            Flow::Over(reason) => return reason,
            Flow::More => yield_now().await,
            Flow::Blocked { since } if since + patience <= now => {
                relay.metrics.relay_write_stalls_total.inc();
                return CloseReason::WriteStalled;
            }
            Flow::Blocked { since } => {
                tokio::select! {
                    () = room.wait() => {}
                    () = sleep_until(until.min(since + patience)) => {}
                }
            }
            Flow::Idle { wake_at, is_held } => {
                tokio::select! {
                    () = seat.work.notified() => {}
                    () = sleep_until(until.min(wake_at)) => {}
                }
                if is_held {
                    let wait = relay.metrics.relay_limit_wait_seconds.with_label_values(&["direction"]);
                    wait.observe(now.elapsed().as_secs_f64());
                }
            }
        }
    }
}

/// What time does to a connection.
enum Over {
    Now(CloseReason),
    At(Instant),
}

/// When the connection is over if nothing else happens; `None` once it has a last word.
fn over_by_time(relay: &Relay, seat: &Seat, hard_end: Instant, now: Instant) -> Option<Over> {
    let (is_closing, alone_since) = seat.standing();
    if is_closing {
        return None;
    }
    let patience = if seat.was_paired() { relay.deadlines.rejoin.get() } else { relay.deadlines.peer.get() };
    let alone_until = alone_since.map(|since| since + patience);
    let over = [(Some(hard_end), CloseReason::HardEnd), (alone_until, CloseReason::PeerTimeout)];
    let (at, reason) = over.into_iter().filter_map(|(at, reason)| Some((at?, reason))).min_by_key(|(at, _)| *at)?;
    Some(if at <= now { Over::Now(reason) } else { Over::At(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_all_soon_keeps_up_and_who_takes_a_part_lags_until_nothing_waits() {
        let begun = Instant::now();
        let mut pace = Pace::default();

        pace.wrote(true, begun);
        pace.wrote(false, begun + LAG_MIN / 2);
        pace.wrote(true, begun + LAG_MIN);
        assert!(!pace.lags, "the socket was never full for long");

        // Every millisecond a part of it is taken.
        for millis in 0..=5 {
            pace.wrote(true, begun + LAG_MIN + Duration::from_millis(millis));
        }
        assert!(pace.lags);
        pace.wrote(false, begun + 3 * LAG_MIN);
        assert!(pace.lags, "what waits for it is sealed frame by frame");
        pace.caught_up();
        assert!(!pace.lags);
    }
}
