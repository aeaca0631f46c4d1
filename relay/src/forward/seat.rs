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
    framed::{self, WRITE_FRAMES_MAX, WRITE_LEN_MAX},
    keepalive::{self, Due, KeepAlive},
    lanes::{Full, Lanes},
};
use proto::{
    close::CloseReason,
    frame::Lane,
    hello::RelayWord,
    id::SessionId,
    limits::{FRAME_HEADER_LEN, RELAY_QUEUE_MAX},
};
use tokio::{sync::Notify, time::Instant};

use crate::{limit::Bucket, pair::Claim};

/// Frames in a queue at most: small ones cost more memory than their bytes.
const QUEUE_FRAMES_MAX: usize = 8 * 1024;
/// A frame is a slice of the read it came in and holds on to all of it. So once this many wait, each further one that
/// is shorter than [`COPY_LEN_MAX`] is copied: else a full queue of small frames would hold 64 KiB each.
const SLICES_MAX: usize = 8;
/// See [`SLICES_MAX`]. Longer ones hold on to four times their bytes at most.
const COPY_LEN_MAX: usize = 16 * 1024;
/// Bytes that may pass at once when the rate was not used: a full picture of an office screen.
const BURST_MIN: u64 = 256 * 1024;

/// See the module.
pub struct Seat {
    /// The session.
    pub session_id: SessionId,
    /// Who sits here.
    pub claim: Claim,
    /// Bytes a second that may be forwarded from here.
    pub rate_max: u64,
    state: Mutex<State>,
    was_paired: AtomicBool,
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

struct State {
    lanes: Lanes,
    frames: usize,
    welcome: Option<bool>,
    peer_present: bool,
    pong: Option<Bytes>,
    keepalive: KeepAlive,
    bucket: Option<Bucket>,
    closing: Option<Closing>,
}

#[derive(Clone, Copy)]
struct Closing {
    word: RelayWord,
    reason: CloseReason,
}

impl Seat {
    /// A seat for an admitted connection.
    pub fn new(session_id: SessionId, claim: Claim, rate_max: u64, now: Instant) -> Self {
        let state = State {
            lanes: Lanes::new(|_lane| RELAY_QUEUE_MAX),
            frames: 0,
            welcome: None,
            peer_present: false,
            pong: None,
            keepalive: KeepAlive::new(now, rand::random()),
            bucket: None,
            closing: None,
        };
        Self {
            session_id,
            claim,
            rate_max,
            state: Mutex::new(state),
            was_paired: AtomicBool::new(false),
            work: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Says that this side is admitted.
    pub fn welcome(&self, peer_present: bool) {
        self.lock().welcome = Some(peer_present);
        self.work.notify_one();
    }

    /// The other side is here; what comes from it may pass at `rate` bytes a second.
    pub fn pair(&self, rate: u64, now: Instant) {
        self.was_paired.store(true, Ordering::Release);
        self.lock().bucket = Some(Bucket::new(rate, (rate / 4).max(BURST_MIN), now));
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
            RelayWord::Welcome { .. } | RelayWord::PeerPresent => return,
        };
        {
            let mut state = self.lock();
            if state.closing.is_none() {
                state.closing = Some(Closing { word, reason });
            }
            if urgency == Urgency::Now {
                state.lanes.clear();
                state.frames = 0;
            }
        }
        self.work.notify_one();
        self.room.notify_waiters();
    }

    /// Whether a last word was said.
    pub fn is_closing(&self) -> bool {
        self.lock().closing.is_some()
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.lock().lanes.len()
    }

    /// Puts a frame of the other side into the queue, if there is room.
    pub(super) fn offer(&self, lane: Lane, wire: &Bytes) -> Offer {
        let mut state = self.lock();
        if state.closing.is_some() {
            return Offer::Gone;
        }
        let len = state.lanes.len().saturating_add(wire.len());
        let has_room = state.lanes.is_empty() || (len <= RELAY_QUEUE_MAX && state.frames < QUEUE_FRAMES_MAX);
        if !has_room {
            return Offer::Full;
        }
        let is_copied = SLICES_MAX <= state.frames && wire.len() < COPY_LEN_MAX;
        let kept = if is_copied { Bytes::copy_from_slice(wire) } else { wire.clone() };
        match state.lanes.push(lane, kept) {
            Ok(()) => {}
            Err(Full) => return Offer::Full,
        }
        state.frames = state.frames.saturating_add(1);
        drop(state);
        self.work.notify_one();
        Offer::Taken
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

    /// Takes what is to be written next.
    pub(super) fn next_batch(&self, now: Instant) -> Batch {
        let mut state = self.lock();
        let mut batch = Batch { pieces: Vec::new(), forwarded: [(0, 0); 4], last: None, wake_at: now, is_held: false };
        state.words(&mut batch, now);
        state.frames(&mut batch, now);
        if let Some(Closing { word, reason }) = state.closing
            && state.lanes.is_empty()
        {
            batch.pieces.push(framed::to_wire(&word.to_frame()));
            batch.last = Some(reason);
        }
        batch.wake_at = state.keepalive.next_wake();
        if batch.is_held
            && let Some(bucket) = &state.bucket
        {
            batch.wake_at = batch.wake_at.min(bucket.opens_at());
        }
        drop(state);
        self.room.notify_waiters();
        batch
    }

    /// No await while the guard lives.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The relay's own words.
    fn words(&mut self, batch: &mut Batch, now: Instant) {
        if let Some(peer_present) = self.welcome.take() {
            batch.pieces.push(framed::to_wire(&RelayWord::Welcome { peer_present }.to_frame()));
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
                batch.pieces.push(framed::to_wire(&keepalive::ping(Bytes::copy_from_slice(&payload))));
            }
            Due::Silent => {
                batch.last = Some(CloseReason::Silent);
            }
        }
    }

    /// Frames of the other side, most urgent first; screen and bulk only within the rate.
    fn frames(&mut self, batch: &mut Batch, now: Instant) {
        let mut len = 0usize;
        while batch.pieces.len() < WRITE_FRAMES_MAX {
            let is_open = self.closing.is_some() || self.bucket.as_mut().is_none_or(|bucket| bucket.is_open(now));
            let lowest = if is_open { Lane::Bulk } else { Lane::Input };
            let Some(next_len) = self.lanes.next_len(lowest) else {
                batch.is_held = !self.lanes.is_empty();
                return;
            };
            if 0 < len && WRITE_LEN_MAX < len.saturating_add(next_len) {
                return;
            }
            let Some(piece) = self.lanes.take(usize::MAX, lowest) else { return };
            self.frames = self.frames.saturating_sub(1);
            len = len.saturating_add(piece.bytes.len());
            let wire_len = u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
            if let Some(bucket) = &mut self.bucket {
                bucket.take(wire_len);
            }
            if let Some((frames, bytes)) = batch.forwarded.get_mut(usize::from(piece.lane.code())) {
                *frames = frames.saturating_add(1);
                *bytes = bytes.saturating_add(wire_len.saturating_sub(HEADER_LEN));
            }
            batch.pieces.push(piece.bytes);
        }
    }
}

/// See [`FRAME_HEADER_LEN`].
const HEADER_LEN: u64 = 5;
const _: () = assert!(FRAME_HEADER_LEN == 5, "both are the same length");
