//! The reading half: frames from a tool into the queue of the other side's seat.
//!
//! Whatever one read has brought goes into the queue under one lock, and is written or announced once.

use std::sync::Arc;

use bytes::Bytes;
use link::framed::WireRun;
use proto::{
    close::CloseReason,
    frame::{FrameError, FrameType},
};
use tokio::{task::yield_now, time::Instant};

use super::{
    left_by_itself, lost,
    seat::{BATCH_FRAMES_MAX, BATCH_LEN_MAX, Offer, Seat},
};
use crate::{Relay, limit::Bucket, pair::Totals, transport::Reader};

/// Pings and pongs of one tool: two a second, and some at once. More is no keep-alive.
const CONTROL_RATE: u64 = 2;
/// See [`CONTROL_RATE`].
const CONTROL_BURST: u64 = 30;
/// After so many reads in a row others on this thread have their turn.
const READS_MAX: u32 = 8;

/// What became of the frames that were read.
enum Run {
    /// All are in the queue.
    Empty,
    /// This one is not for the other side.
    Own(WireRun),
    /// There is no room for this one now.
    Full(WireRun),
    /// The other side's seat is given up, and this one is left.
    Gone(WireRun),
    /// The next bytes are no frame.
    Malformed,
}

/// Reads frames from a tool and passes them on, until the tool ends or breaks the protocol.
pub(super) async fn pass_on_all(relay: &Relay, seat: &Seat, reader: &mut Reader, totals: &Totals) -> CloseReason {
    let mut way = Way { relay, seat, totals, peer: None };
    let mut control = Bucket::new(CONTROL_RATE, CONTROL_BURST, Instant::now());
    let mut reads = 0;
    loop {
        match way.pass_on(reader).await {
            Ok(None) => {}
            Ok(Some(own)) => {
                if !answer(relay, seat, &own, &mut control) {
                    return CloseReason::Malformed;
                }
                // Asked now and then is enough: a tool that moves says something soon.
                if reader.has_moved() {
                    relay.metrics.relay_migrations_total.inc();
                }
                continue;
            }
            Err(reason) => return reason,
        }
        if READS_MAX <= reads {
            reads = 0;
            yield_now().await;
        }
        match reader.fill().await {
            Ok(0) if reader.is_between_frames() => return left_by_itself(seat.claim.role),
            Ok(0) => return CloseReason::PeerLost,
            Ok(_) => seat.heard(Instant::now()),
            Err(error) => return lost(&error),
        }
        reads += 1;
    }
}

/// Takes a frame that is for the relay itself. `false`: it breaks the protocol.
fn answer(relay: &Relay, seat: &Seat, frame: &WireRun, control: &mut Bucket) -> bool {
    let now = Instant::now();
    let is_flood = !control.is_open(now);
    control.take(1);
    if is_flood || frame.header.len != 8 {
        return false;
    }
    match frame.header.kind {
        // Copied, so that a small answer does not hold on to a large read.
        FrameType::Ping => seat.owe_pong(Bytes::copy_from_slice(&frame.payload())),
        FrameType::Pong => {
            if let Some(round_trip) = seat.on_pong(&frame.payload(), now) {
                relay
                    .metrics
                    .relay_peer_rtt_seconds
                    .with_label_values(&[seat.transport.as_str()])
                    .observe(round_trip.as_secs_f64());
            }
        }
        FrameType::Hello
        | FrameType::Welcome
        | FrameType::Refused
        | FrameType::PeerPresent
        | FrameType::PeerGone
        | FrameType::Prove
        | FrameType::Goaway
        | FrameType::Resume
        | FrameType::Rejoin
        | FrameType::Sealed => return false,
    }
    true
}

/// The way to the other side, which may change under us.
struct Way<'a> {
    relay: &'a Relay,
    seat: &'a Seat,
    totals: &'a Totals,
    peer: Option<Arc<Seat>>,
}

impl Way<'_> {
    /// Passes on what was read. `None`: everything; else the frame that is for the relay itself.
    async fn pass_on(&mut self, reader: &mut Reader) -> Result<Option<WireRun>, CloseReason> {
        let mut held = None;
        loop {
            let Some(peer) = self.peer.take().or_else(|| self.seated()) else {
                return self.nobody(held, reader);
            };
            let mut run = self.offer(&peer, held.take(), reader);
            peer.push(self.relay);
            if let Run::Full(full) = run {
                let room = peer.room.notified();
                tokio::pin!(room);
                room.as_mut().enable();
                // What was pushed may have made room, before anybody listened.
                run = self.offer(&peer, Some(full), reader);
                if matches!(run, Run::Full(_)) {
                    self.seat.set_deaf(true, Instant::now());
                    room.await;
                    self.seat.set_deaf(false, Instant::now());
                } else {
                    peer.push(self.relay);
                }
            }
            match run {
                Run::Empty => {
                    self.peer = Some(peer);
                    return Ok(None);
                }
                Run::Own(own) => {
                    self.peer = Some(peer);
                    return Ok(Some(own));
                }
                Run::Full(full) => {
                    self.peer = Some(peer);
                    held = Some(full);
                }
                Run::Gone(left) => {
                    // A seat that was given up is not in the table any more, has a successor, or is about to leave.
                    if self.seated().is_some_and(|seated| Arc::ptr_eq(&seated, &peer)) {
                        self.dropped(&left);
                    } else {
                        held = Some(left);
                    }
                }
                Run::Malformed => return Err(CloseReason::Malformed),
            }
        }
    }

    fn seated(&self) -> Option<Arc<Seat>> {
        self.relay.pairs.peer(self.seat.session_id, self.seat.claim.role, self.seat.claim.serial)
    }

    /// Puts `held` and what was read into the other side's queue.
    fn offer(&self, peer: &Seat, mut held: Option<WireRun>, reader: &mut Reader) -> Run {
        let mut entry = peer.enter();
        let mut len = 0usize;
        let run = loop {
            let frame = match held.take().map_or_else(|| next_run(reader), |frame| Ok(Some(frame))) {
                Ok(Some(frame)) if is_forwarded(&frame) => frame,
                Ok(Some(frame)) => break Run::Own(frame),
                Ok(None) => break Run::Empty,
                Err(_malformed) => break Run::Malformed,
            };
            match entry.offer(frame.header.lane, &frame.wire, frame.frames) {
                Offer::Taken => len = len.saturating_add(frame.payload_len()),
                Offer::Full => break Run::Full(frame),
                Offer::Gone => break Run::Gone(frame),
            }
        };
        drop(entry);
        if 0 < len {
            self.totals.add(self.seat.claim.role, u64::try_from(len).unwrap_or(u64::MAX));
        }
        run
    }

    /// Said after the other side went, or before this side heard of it; or, when nobody was ever there, by mistake.
    fn nobody(&self, mut held: Option<WireRun>, reader: &mut Reader) -> Result<Option<WireRun>, CloseReason> {
        loop {
            let next = held.take().map_or_else(|| next_run(reader), |frame| Ok(Some(frame)));
            match next {
                Ok(Some(frame)) if is_forwarded(&frame) => {
                    self.dropped(&frame);
                    if !self.seat.was_paired() {
                        return Err(CloseReason::Malformed);
                    }
                }
                Ok(other) => return Ok(other),
                Err(_malformed) => return Err(CloseReason::Malformed),
            }
        }
    }

    fn dropped(&self, frame: &WireRun) {
        let labels = [frame.header.lane.as_str(), "peer_gone"];
        let frames = u64::try_from(frame.frames).unwrap_or(u64::MAX);
        self.relay.metrics.relay_dropped_frames_total.with_label_values(&labels).inc_by(frames);
    }
}

/// The next frame, and those behind it that go into the same write.
fn next_run(reader: &mut Reader) -> Result<Option<WireRun>, FrameError> {
    reader.parse_run(BATCH_FRAMES_MAX, BATCH_LEN_MAX)
}

/// Whether a frame is for the other side.
const fn is_forwarded(frame: &WireRun) -> bool {
    matches!(frame.header.kind, FrameType::Sealed | FrameType::Prove | FrameType::Resume | FrameType::Rejoin)
}
