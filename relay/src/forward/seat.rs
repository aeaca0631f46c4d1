//! A seat: what others may do to an admitted connection, and the bounded queue of what it must still write.
//!
//! The other side's reader offers frames and waits for room; that is the back-pressure. The relay's own words never
//! wait behind frames, but for the last one: what the other side said before it left is delivered first.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use link::{
    framed::{self, WRITE_LEN_MAX},
    keepalive::{self, Due, KeepAlive},
    lanes::{Full, Lanes},
};
use proto::{
    close::CloseReason,
    frame::Lane,
    hello::RelayWord,
    id::SessionId,
    limits::{CREDIT_CONTROL, CREDIT_INPUT, FRAME_HEADER_LEN, RELAY_QUEUE_MAX},
};
use tokio::{sync::Notify, time::Instant};

use super::outbound::Outlet;
use crate::{limit::Bucket, pair::Claim, transport::Transport};

/// Frames in a queue at most: small ones cost more memory than their bytes.
const QUEUE_FRAMES_MAX: usize = 8 * 1024;
/// A run of frames is a slice of the read it came in and holds on to all of it, 180 KiB. So once this many wait, each
/// further one that is shorter than [`COPY_LEN_MAX`] is copied: else a full queue of small frames would hold as many
/// reads. So one direction holds 2 MiB at most, and usually nothing.
const SLICES_MAX: usize = 4;
/// See [`SLICES_MAX`]. Longer ones hold on to three times their bytes at most; a busy sender's runs are longer.
const COPY_LEN_MAX: usize = 60 * 1024;
/// Bytes that may pass at once when the rate was not used: a full picture of an office screen.
const BURST_MIN: u64 = 256 * 1024;
/// Bytes a second on the control and input lanes. They do not wait for the rate of the ticket, so they have one of their
/// own: a hundred times what hands, questions and pointer shapes need.
const URGENT_RATE: u64 = 1024 * 1024;
/// See [`URGENT_RATE`]: what credit allows both lanes at once, twice.
const URGENT_BURST: u64 = 2 * (CREDIT_CONTROL + CREDIT_INPUT);
/// Frames in one write at most; small ones are cheap to write but not to count.
pub(super) const BATCH_FRAMES_MAX: usize = 512;
/// Bytes at which a write to a receiver that keeps up is full: four full TLS records, and the headers of as many frames.
pub(super) const BATCH_LEN_MAX: usize = 4 * 16 * 1024 + 64;
/// A queue emptied to this level asks for more: one wake-up for many frames.
const ROOM_LEN: usize = RELAY_QUEUE_MAX / 2;

/// See the module.
pub struct Seat {
    /// The session.
    pub session_id: SessionId,
    /// Who sits here.
    pub claim: Claim,
    /// How the tool is connected.
    pub(super) transport: Transport,
    /// Bytes a second that may be forwarded from here.
    pub rate_max: u64,
    state: Mutex<State>,
    was_paired: AtomicBool,
    /// Held while something is written; the connection's own task and the other side's reader take turns.
    pub(super) outlet: Mutex<Option<Outlet>>,
    /// Wakes the writer.
    pub(super) work: Notify,
    /// Wakes the other side's reader: there is room, or the seat is given up.
    pub(super) room: Notify,
}

/// How soon a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// What waits is dropped.
    Now,
    /// What waits is delivered first.
    AfterQueue,
}

/// What happened to an offered frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is in the queue.
    Taken,
    /// There is no room now.
    Full,
    /// The seat is given up.
    Gone,
}

/// One write.
pub(super) struct Batch {
    /// Bytes to write, in order.
    pub(super) pieces: Vec<Bytes>,
    /// Frames and payload bytes among them, by lane.
    pub(super) forwarded: [(u64, u64); 4],
    /// The connection is over after this write.
    pub(super) last: Option<CloseReason>,
    /// When there may be something to write again.
    pub(super) wake_at: Instant,
    /// Screen or bulk frames wait for the rate.
    pub(super) is_held: bool,
}

/// The queue while frames are put into it. No await while it lives.
pub(super) struct Entry<'a>(MutexGuard<'a, State>);

struct State {
    /// Runs of frames, see [`framed::WireRun`].
    lanes: Lanes,
    runs: usize,
    frames: usize,
    welcome: Option<bool>,
    peer_present: bool,
    /// Said when the queue is empty: what the other side said before it left goes first.
    peer_gone: Option<CloseReason>,
    goaway: bool,
    /// Serial number of the other side's connection while it is here.
    peer: Option<u64>,
    alone_since: Option<Instant>,
    pong: Option<Bytes>,
    keepalive: KeepAlive,
    bucket: Option<Bucket>,
    urgent: Bucket,
    closing: Option<Closing>,
}

#[derive(Clone, Copy)]
struct Closing {
    word: RelayWord,
    reason: CloseReason,
}

impl Seat {
    /// A seat for an admitted connection.
    pub(crate) fn new(session_id: SessionId, claim: Claim, transport: Transport, rate_max: u64, now: Instant) -> Self {
        let state = State {
            lanes: Lanes::new(|_lane| RELAY_QUEUE_MAX),
            runs: 0,
            frames: 0,
            welcome: None,
            peer_present: false,
            peer_gone: None,
            goaway: false,
            peer: None,
            alone_since: Some(now),
            pong: None,
            keepalive: KeepAlive::new(now, rand::random()),
            bucket: None,
            urgent: Bucket::new(URGENT_RATE, URGENT_BURST, now),
            closing: None,
        };
        Self {
            session_id,
            claim,
            transport,
            rate_max,
            state: Mutex::new(state),
            was_paired: AtomicBool::new(false),
            outlet: Mutex::new(None),
            work: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Says that this side is admitted.
    pub fn welcome(&self, peer_present: bool) {
        self.lock().welcome = Some(peer_present);
        self.work.notify_one();
    }

    /// The other side is here; what comes from it may pass at its rate.
    pub fn pair(&self, peer: &Self, now: Instant) {
        self.was_paired.store(true, Ordering::Release);
        {
            let mut state = self.lock();
            let rate = peer.rate_max;
            state.bucket = Some(Bucket::new(rate, (rate / 4).max(BURST_MIN), now));
            state.peer = Some(peer.claim.serial);
            state.alone_since = None;
        }
        self.work.notify_one();
    }

    /// Tells this side that the connection `serial` of the other one has gone; nothing when a newer one is here.
    pub fn say_peer_gone(&self, reason: CloseReason, serial: u64, now: Instant) {
        {
            let mut state = self.lock();
            if state.peer != Some(serial) {
                return;
            }
            state.peer = None;
            state.alone_since = Some(now);
            state.peer_gone = Some(reason);
        }
        self.work.notify_one();
    }

    /// Tells this side that the relay is being stopped.
    pub fn say_goaway(&self) {
        self.lock().goaway = true;
        self.work.notify_one();
    }

    /// Tells this side that the other one has come.
    pub fn say_peer_present(&self) {
        self.lock().peer_present = true;
        self.work.notify_one();
    }

    /// Whether the other side was ever here.
    pub fn was_paired(&self) -> bool {
        self.was_paired.load(Ordering::Acquire)
    }

    /// Closes the connection with a last word; the first word stays.
    pub fn close(&self, word: RelayWord, urgency: Urgency) {
        let reason = match word {
            RelayWord::Refused(reason) | RelayWord::PeerGone(reason) => reason,
            RelayWord::Welcome { .. } | RelayWord::PeerPresent | RelayWord::Goaway => return,
        };
        {
            let mut state = self.lock();
            if state.closing.is_none() {
                state.closing = Some(Closing { word, reason });
            }
            if urgency == Urgency::Now {
                state.lanes.clear();
                (state.runs, state.frames) = (0, 0);
            }
        }
        self.work.notify_one();
        self.room.notify_waiters();
    }

    /// Whether a last word was said, and since when this side is alone.
    pub(super) fn standing(&self) -> (bool, Option<Instant>) {
        let state = self.lock();
        (state.closing.is_some(), state.alone_since)
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.lock().lanes.len()
    }

    /// Opens the queue to frames of the other side; others wait until the entry is dropped. Wakes nobody.
    pub(super) fn enter(&self) -> Entry<'_> {
        Entry(self.lock())
    }

    pub(super) fn owe_pong(&self, payload: Bytes) {
        self.lock().pong = Some(payload);
        self.work.notify_one();
    }

    pub(super) fn heard(&self, now: Instant) {
        self.lock().keepalive.heard(now);
    }

    pub(super) fn on_pong(&self, payload: &[u8], now: Instant) -> Option<std::time::Duration> {
        let mut state = self.lock();
        state.keepalive.on_pong(payload, now);
        state.keepalive.round_trip()
    }

    pub(super) fn set_deaf(&self, deaf: bool, now: Instant) {
        self.lock().keepalive.set_deaf(deaf, now);
    }

    /// Takes what is to be written next, into the room of `pieces`; `keeps_up`: the receiver has taken everything so far.
    pub(super) fn next_batch(&self, now: Instant, keeps_up: bool, pieces: Vec<Bytes>) -> Batch {
        let mut state = self.lock();
        let mut batch = Batch { pieces, forwarded: [(0, 0); 4], last: None, wake_at: now, is_held: false };
        let had_room = state.has_room();
        state.words(&mut batch, now);
        let opens_at = state.frames(&mut batch, now, if keeps_up { BATCH_LEN_MAX } else { WRITE_LEN_MAX });
        if let Some(Closing { word, reason }) = state.closing
            && state.lanes.is_empty()
        {
            batch.pieces.push(framed::to_wire(&word.to_frame()));
            batch.last = Some(reason);
        }
        batch.wake_at = state.keepalive.next_wake(now);
        if let Some(opens_at) = opens_at {
            batch.is_held = true;
            batch.wake_at = batch.wake_at.min(opens_at);
        }
        let has_room = state.has_room();
        drop(state);
        if has_room && !had_room {
            self.room.notify_waiters();
        }
        batch
    }

    /// No await while the guard lives.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the queue is low enough to ask for more.
    fn has_room(&self) -> bool {
        self.lanes.len() <= ROOM_LEN && self.frames <= QUEUE_FRAMES_MAX / 2
    }

    /// The relay's own words.
    fn words(&mut self, batch: &mut Batch, now: Instant) {
        if let Some(peer_present) = self.welcome.take() {
            batch.pieces.push(framed::to_wire(&RelayWord::Welcome { peer_present }.to_frame()));
        }
        // Unless the other side has come back meanwhile: then it is told in the order in which it happened.
        let is_back = self.peer_present;
        if let Some(reason) = self.peer_gone.take_if(|_| self.lanes.is_empty() || is_back) {
            batch.pieces.push(framed::to_wire(&RelayWord::PeerGone(reason).to_frame()));
        }
        if std::mem::take(&mut self.goaway) {
            batch.pieces.push(framed::to_wire(&RelayWord::Goaway.to_frame()));
        }
        if std::mem::take(&mut self.peer_present) {
            batch.pieces.push(framed::to_wire(&RelayWord::PeerPresent.to_frame()));
        }
        if let Some(payload) = self.pong.take() {
            batch.pieces.push(framed::to_wire(&keepalive::pong(payload)));
        }
        match self.keepalive.due(now, rand::random()) {
            Due::Nothing => {}
            Due::Ping(payload) => {
                if self.lanes.is_empty() {
                    // Gives back the room of queues that nobody needed lately.
                    self.lanes.clear();
                }
                batch.pieces.push(framed::to_wire(&keepalive::ping(Bytes::copy_from_slice(&payload))));
            }
            Due::Silent => {
                batch.last = Some(CloseReason::Silent);
            }
        }
    }

    /// Frames of the other side, most urgent first, within the two rates. When there are more, but for a rate: when
    /// that opens.
    fn frames(&mut self, batch: &mut Batch, now: Instant, len_max: usize) -> Option<Instant> {
        let (mut len, mut count) = (0usize, 0usize);
        while count < BATCH_FRAMES_MAX {
            let is_open = self.closing.is_some() || self.bucket.as_mut().is_none_or(|bucket| bucket.is_open(now));
            let lowest = if is_open { Lane::Bulk } else { Lane::Input };
            let Some(run) = self.lanes.first(lowest) else {
                return self.bucket.filter(|_| !self.lanes.is_empty()).map(|bucket| bucket.opens_at());
            };
            let is_urgent = self.lanes.has(Lane::Control) || self.lanes.has(Lane::Input);
            if is_urgent && self.closing.is_none() && !self.urgent.is_open(now) {
                return Some(self.urgent.opens_at());
            }
            let room = len_max.saturating_sub(len);
            let (taken, frames) = framed::fitting(run, room);
            if 0 < len && room < taken {
                return None;
            }
            let piece = self.lanes.take(taken, lowest)?;
            self.runs = self.runs.saturating_sub(usize::from(!piece.more));
            self.frames = self.frames.saturating_sub(frames);
            (len, count) = (len.saturating_add(taken), count.saturating_add(frames));
            self.account(&mut batch.forwarded, piece.lane, frames, taken);
            batch.pieces.push(piece.bytes);
        }
        None
    }

    /// Counts frames that leave, and takes them off both rates.
    fn account(&mut self, forwarded: &mut [(u64, u64); 4], lane: Lane, frames: usize, len: usize) {
        let (frames, len) = (u64::try_from(frames).unwrap_or(u64::MAX), u64::try_from(len).unwrap_or(u64::MAX));
        if lane <= Lane::Input {
            self.urgent.take(len);
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.take(len);
        }
        if let Some((all_frames, bytes)) = forwarded.get_mut(usize::from(lane.code())) {
            *all_frames = all_frames.saturating_add(frames);
            *bytes = bytes.saturating_add(len.saturating_sub(frames.saturating_mul(HEADER_LEN)));
        }
    }
}

impl Entry<'_> {
    /// Puts a run of `frames` frames of the other side into the queue, if there is room.
    pub(super) fn offer(&mut self, lane: Lane, wire: &Bytes, frames: usize) -> Offer {
        let state = &mut self.0;
        if state.closing.is_some() {
            return Offer::Gone;
        }
        let len = state.lanes.len().saturating_add(wire.len());
        let has_room = state.lanes.is_empty() || (len <= RELAY_QUEUE_MAX && state.frames < QUEUE_FRAMES_MAX);
        if !has_room {
            return Offer::Full;
        }
        let is_copied = SLICES_MAX <= state.runs && wire.len() < COPY_LEN_MAX;
        let kept = if is_copied { Bytes::copy_from_slice(wire) } else { wire.clone() };
        match state.lanes.push(lane, kept) {
            Ok(()) => {}
            Err(Full) => return Offer::Full,
        }
        state.runs = state.runs.saturating_add(1);
        state.frames = state.frames.saturating_add(frames);
        Offer::Taken
    }
}

/// See [`FRAME_HEADER_LEN`].
const HEADER_LEN: u64 = 5;
const _: () = assert!(FRAME_HEADER_LEN == 5, "both are the same length");

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        task::{Context, Waker},
        time::Duration,
    };

    use proto::{frame::Frame, role::Role};

    use super::*;

    fn paired_seat(now: Instant) -> Seat {
        let claim = |role, serial| Claim { role, proof_key: [1; 32], generation: 1, serial };
        let session = SessionId::from_bytes([1; 16]);
        let seat = Seat::new(session, claim(Role::Customer, 1), Transport::Tcp, u64::MAX, now);
        let peer = Seat::new(session, claim(Role::Operator, 2), Transport::Tcp, u64::from(u32::MAX), now);
        seat.pair(&peer, now);
        seat
    }

    fn frame(lane: Lane, len: usize) -> Bytes {
        framed::to_wire(&Frame::sealed(lane, 0, Bytes::from(vec![0; len])).unwrap())
    }

    /// Offers frames until no more may be written now; the bytes that were.
    fn flood(seat: &Seat, lane: Lane, now: Instant) -> u64 {
        let wire = frame(lane, 16 * 1024);
        let mut written = 0;
        loop {
            while seat.enter().offer(lane, &wire, 1) == Offer::Taken {}
            let batch = seat.next_batch(now, true, Vec::new());
            if batch.pieces.is_empty() {
                assert!(batch.is_held && now < batch.wake_at, "it is known when to go on");
                return written;
            }
            written += batch.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn input_and_control_are_bounded_by_a_rate_of_their_own() {
        for lane in [Lane::Control, Lane::Input] {
            let begun = Instant::now();
            let seat = paired_seat(begun);

            let at_once = flood(&seat, lane, begun);
            let a_second_later = flood(&seat, lane, begun + Duration::from_secs(1));

            assert!((URGENT_BURST..URGENT_BURST + 64 * 1024).contains(&at_once), "{at_once}");
            assert!((URGENT_RATE - 64 * 1024..URGENT_RATE + 64 * 1024).contains(&a_second_later), "{a_second_later}");
        }
    }

    #[tokio::test]
    async fn a_write_to_a_receiver_that_lags_is_one_frame() {
        let now = Instant::now();
        let seat = paired_seat(now);
        let wire = frame(Lane::Screen, 16 * 1024);
        for _ in 0..8 {
            assert_eq!(seat.enter().offer(Lane::Screen, &wire, 1), Offer::Taken);
        }
        assert_eq!(seat.enter().offer(Lane::Input, &frame(Lane::Input, 4), 1), Offer::Taken);

        let lagging = seat.next_batch(now, false, Vec::new());
        let keeping_up = seat.next_batch(now, true, Vec::new());

        assert_eq!(lagging.pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [9, wire.len()]);
        assert_eq!(keeping_up.pieces.len(), 4);
    }

    #[tokio::test]
    async fn a_side_that_left_and_came_back_while_frames_wait_is_here() {
        let now = Instant::now();
        let seat = paired_seat(now);
        assert_eq!(seat.enter().offer(Lane::Screen, &frame(Lane::Screen, 16), 1), Offer::Taken);
        seat.say_peer_gone(CloseReason::TransportLost, 2, now);
        seat.say_peer_present();

        let pieces = seat.next_batch(now, true, Vec::new()).pieces;

        let gone = framed::to_wire(&RelayWord::PeerGone(CloseReason::TransportLost).to_frame());
        let present = framed::to_wire(&RelayWord::PeerPresent.to_frame());
        assert_eq!((&pieces[..2], pieces.len()), (&[gone, present][..], 3));
    }

    #[tokio::test]
    async fn a_queue_asks_for_more_once_when_it_is_half_empty() {
        let now = Instant::now();
        let seat = paired_seat(now);
        let wire = frame(Lane::Screen, 32 * 1024);
        while seat.enter().offer(Lane::Screen, &wire, 1) == Offer::Taken {}
        let mut asked = 0;
        while seat.waiting() > 0 {
            let room = seat.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            assert!(!seat.next_batch(now, false, Vec::new()).pieces.is_empty());
            asked += u32::from(room.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }

        assert_eq!(asked, 1);
    }

    #[tokio::test]
    async fn a_run_goes_whole_to_who_keeps_up_and_frame_by_frame_to_who_lags() {
        let now = Instant::now();
        let seat = paired_seat(now);
        let run = Bytes::from(frame(Lane::Screen, 20_000).repeat(3));
        assert_eq!(seat.enter().offer(Lane::Screen, &run, 3), Offer::Taken);
        assert_eq!(seat.enter().offer(Lane::Screen, &run, 3), Offer::Taken);

        let keeping_up = seat.next_batch(now, true, Vec::new());
        let lagging = seat.next_batch(now, false, Vec::new());

        let lens = |batch: &Batch| batch.pieces.iter().map(Bytes::len).collect::<Vec<_>>();
        assert_eq!((lens(&keeping_up), keeping_up.forwarded[2]), (vec![3 * 20_005], (3, 60_000)));
        assert_eq!((lens(&lagging), lagging.forwarded[2]), (vec![20_005], (1, 20_000)));
        assert_eq!(seat.waiting(), 2 * 20_005);
    }
}
