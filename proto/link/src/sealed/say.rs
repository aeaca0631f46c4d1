//! What a link says: its own words and the program's messages, sealed, most urgent first. Pure but for the clock.

use std::{io, time::Duration};

use bytes::Bytes;
use proto::{
    frame::{FLAG_MORE, Lane},
    limits::{LIVELY_FOR, SEALED_PLAIN_MAX},
    message::Message,
    seal::{Sealer, resume::Due},
};
use tokio::time::Instant;

use super::{keeper::Keeper, state::State};
use crate::framed::{self, WRITE_FRAMES_MAX, WRITE_LEN_MAX};

/// Pause between two measurements of the round trip while something is being said: well below the time after which the
/// other tool counts as not answering, because where only the pointer moves nothing else is answered.
const ECHO_INTERVAL: Duration = Duration::from_secs(1);
/// The same while nothing is.
const ECHO_INTERVAL_QUIET: Duration = Duration::from_secs(10);
/// Credit below the urgent quarter, and what was received, is told after this long, so that small messages do not cost
/// a word each.
const TELL_DELAY: Duration = Duration::from_millis(200);
/// Pause between two renewals of the ticket.
const RENEW_EVERY: Duration = Duration::from_mins(5);

/// Seals into a batch, and keeps what it sealed.
pub(super) struct Pen<'a> {
    pub(super) sealer: &'a mut Sealer,
    pub(super) keeper: &'a mut Keeper,
    pub(super) batch: &'a mut Vec<Bytes>,
    /// Something in the batch is answered: everything but words that tell what arrived.
    pub(super) asks: bool,
}

impl<'a> Pen<'a> {
    pub(super) const fn new(sealer: &'a mut Sealer, keeper: &'a mut Keeper, batch: &'a mut Vec<Bytes>) -> Self {
        Self { sealer, keeper, batch, asks: false }
    }

    pub(super) fn seal(&mut self, lane: Lane, flags: u8, plain: &[u8]) -> io::Result<()> {
        self.asks = true;
        self.put(lane, flags, plain)
    }

    fn put(&mut self, lane: Lane, flags: u8, plain: &[u8]) -> io::Result<()> {
        let frame = self.sealer.seal(lane, flags, plain).map_err(io::Error::other)?;
        let header = framed::head(&frame)?;
        self.keeper.keep(&frame, header.clone());
        self.batch.push(header);
        self.batch.push(frame.payload);
        Ok(())
    }

    pub(super) fn say(&mut self, message: &Message) -> io::Result<()> {
        let bytes = message.encode().map_err(io::Error::other)?;
        self.asks |= !message.is_receipt();
        self.put(message.lane(), 0, &bytes)
    }
}

/// Times of what the link says by itself.
pub(super) struct Timers {
    echo_at: Instant,
    echo_count: u64,
    tell_at: Option<Instant>,
    /// A frame arrived that the other side does not know to have arrived.
    pub(super) received_owed: bool,
    received_told: Due,
    lively_until: Instant,
    pub(super) renew_at: Instant,
    pub(super) renewed_at: Instant,
}

impl Timers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            echo_at: now,
            echo_count: 0,
            tell_at: None,
            received_owed: false,
            received_told: [0; 4],
            lively_until: now,
            renew_at: now + RENEW_EVERY.mul_f64(0.5 + rand::random::<f64>() / 2.0),
            renewed_at: now,
        }
    }

    /// The session moved: what was under way took longer than a round trip does.
    pub(super) fn settled(&mut self, state: &mut State) {
        state.echo = None;
        self.echo_at = Instant::now();
    }

    /// New keys: nothing was received under them, and these numbers are due.
    pub(super) fn begin_anew(&mut self, due: Due) {
        (self.received_told, self.received_owed, self.tell_at) = (due, false, None);
        self.echo_at = Instant::now();
    }

    /// A ticket is wanted at once.
    pub(super) fn renew_soon(&mut self) {
        self.renew_at = Instant::now();
    }

    /// Somebody says something: measurements come often for a while.
    pub(super) fn enliven(&mut self) {
        let now = Instant::now();
        self.lively_until = now + LIVELY_FOR;
        self.echo_at = self.echo_at.min(now + ECHO_INTERVAL);
    }

    /// A ticket was asked for.
    pub(super) fn renewing(&mut self, at: Instant) {
        self.renewed_at = at;
        self.renew_at = at + RENEW_EVERY.mul_f64(0.9 + rand::random::<f64>() / 5.0);
    }

    pub(super) fn next_wake(&self) -> Instant {
        self.tell_at.map_or(self.echo_at, |tell_at| self.echo_at.min(tell_at))
    }
}

/// Fills a write: what the link says, then messages, most urgent first. `true` when a message of the program is in it.
pub(super) fn compose(state: &mut State, timers: &mut Timers, due: Due, pen: &mut Pen<'_>) -> io::Result<bool> {
    // Between two pieces of a control message nothing else may be put on its lane.
    if !state.lanes.is_amid(Lane::Control) {
        say_own(state, timers, due, pen)?;
    }
    let mut len = pen.batch.iter().map(Bytes::len).sum::<usize>();
    let mut is_lively = false;
    while pen.batch.len() < 2 * WRITE_FRAMES_MAX {
        let Some(next_len) = state.lanes.next_len(Lane::Bulk) else { break };
        if 0 < len && WRITE_LEN_MAX < len.saturating_add(next_len.min(SEALED_PLAIN_MAX)) {
            break;
        }
        let Some(piece) = state.lanes.take(SEALED_PLAIN_MAX, Lane::Bulk) else { break };
        len = len.saturating_add(piece.bytes.len());
        pen.seal(piece.lane, if piece.more { FLAG_MORE } else { 0 }, &piece.bytes)?;
        is_lively = true;
    }
    Ok(is_lively)
}

/// Credit, what was received, answers and questions of the link itself.
fn say_own(state: &mut State, timers: &mut Timers, due: Due, pen: &mut Pen<'_>) -> io::Result<()> {
    let now = Instant::now();
    if state.taking.is_urgent() || timers.tell_at.is_some_and(|tell_at| tell_at <= now) {
        while let Some((lane, taken)) = state.taking.tell() {
            pen.say(&Message::Credit { lane, taken })?;
        }
        if timers.received_told != due {
            pen.say(&Message::Received { next: due })?;
            timers.received_told = due;
        }
        (timers.tell_at, timers.received_owed) = (None, false);
    } else if (state.taking.is_owed() || timers.received_owed) && timers.tell_at.is_none() {
        timers.tell_at = Some(now + TELL_DELAY);
    }
    if let Some(nonce) = state.echoed.take() {
        pen.say(&Message::Echoed { nonce })?;
    }
    if timers.echo_at <= now {
        timers.echo_at = now + if now < timers.lively_until { ECHO_INTERVAL } else { ECHO_INTERVAL_QUIET };
        // An unanswered question stays: its answer is late, and that is the measurement.
        if state.echo.is_none() {
            timers.echo_count = timers.echo_count.wrapping_add(1);
            state.echo = Some((timers.echo_count, now));
            pen.say(&Message::Echo { nonce: timers.echo_count })?;
        }
    }
    Ok(())
}
