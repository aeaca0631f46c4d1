//! The task that owns the connection of a sealed link: one half reads, one half writes, neither waits for the other.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use proto::{
    close::CloseReason,
    frame::{FLAG_MORE, Frame, FrameType, Lane},
    hello::RelayWord,
    limits::SEALED_PLAIN_MAX,
    message::Message,
    seal::{Opener, Sealer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout},
};

use super::{
    FAREWELL_TIMEOUT,
    assembly::Assembly,
    state::{Goodbye, Shared, State},
};
use crate::{
    framed::{self, FrameReader, WRITE_FRAMES_MAX, WRITE_LEN_MAX, WireFrame},
    keepalive::{self, Due},
};

/// Pause between two measurements of the round trip.
const ECHO_INTERVAL: Duration = Duration::from_secs(2);
/// Credit below the urgent quarter is told after this long, so that small messages do not cost a word each.
const CREDIT_DELAY: Duration = Duration::from_millis(200);

/// Runs the connection until the session ends or the receiver is dropped.
pub(super) async fn run<R, W>(
    shared: Arc<Shared>,
    mut reader: FrameReader<R>,
    mut writer: W,
    sealer: Sealer,
    opener: Opener,
) where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let _finished = Finish(Arc::clone(&shared));
    let dropped = shared.dropped.clone();
    let work = async {
        let mut outbound = std::pin::pin!(outbound(&shared, &mut writer, sealer));
        let mut inbound = std::pin::pin!(inbound(&shared, &mut reader, opener));
        let mut is_reading = true;
        loop {
            tokio::select! {
                written = &mut outbound => {
                    if let Err(error) = written {
                        // The reason may be among the bytes that arrived before the connection broke.
                        let stalled = error.kind() == io::ErrorKind::TimedOut;
                        if is_reading && !stalled && let Ok(end) = timeout(FAREWELL_TIMEOUT, &mut inbound).await {
                            shared.close(end.0, Goodbye::Skip);
                        }
                        let reason = if stalled { CloseReason::WriteStalled } else { CloseReason::TransportLost };
                        shared.close(reason, Goodbye::Skip);
                    }
                    return;
                }
                (reason, goodbye) = &mut inbound, if is_reading => {
                    is_reading = false;
                    shared.close(reason, goodbye);
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = dropped.cancelled() => return,
        () = work => {}
    }
    let farewell = async {
        // A connection that is broken already needs no goodbye.
        if writer.shutdown().await.is_ok() {
            reader.drain().await;
        }
    };
    tokio::select! {
        biased;
        () = dropped.cancelled() => {}
        // Whatever was not read by now is not wanted; the time only lets our last bytes arrive.
        _in_time = timeout(FAREWELL_TIMEOUT, farewell) => {}
    }
}

/// Marks the session as over when the task ends in any way.
struct Finish(Arc<Shared>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.close(CloseReason::TransportLost, Goodbye::Skip);
        self.0.finished.cancel();
    }
}

/// Reads until something ends the session, and says what.
async fn inbound<R>(shared: &Shared, reader: &mut FrameReader<R>, mut opener: Opener) -> (CloseReason, Goodbye)
where
    R: AsyncRead + Unpin,
{
    let mut assembly = Assembly::default();
    loop {
        match reader.parse() {
            Ok(Some(frame)) => {
                if let Some(end) = on_frame(shared, &frame, &mut opener, &mut assembly) {
                    return end;
                }
                continue;
            }
            Ok(None) => {}
            Err(_malformed) => return (CloseReason::Malformed, Goodbye::Say),
        }
        match reader.fill().await {
            Ok(0) => return (CloseReason::PeerLost, Goodbye::Skip),
            Ok(_) => shared.lock().keepalive.heard(Instant::now()),
            Err(_broken) => return (CloseReason::TransportLost, Goodbye::Skip),
        }
    }
}

/// Acts on one frame; gives the end when it is one.
fn on_frame(
    shared: &Shared,
    frame: &WireFrame,
    opener: &mut Opener,
    assembly: &mut Assembly,
) -> Option<(CloseReason, Goodbye)> {
    match frame.header.kind {
        FrameType::Sealed => on_sealed(shared, &frame.to_frame(), opener, assembly),
        FrameType::Ping => {
            shared.lock().pong = Some(frame.payload());
            shared.work.notify_one();
            None
        }
        FrameType::Pong => {
            shared.lock().keepalive.on_pong(&frame.payload(), Instant::now());
            None
        }
        FrameType::Welcome | FrameType::Refused | FrameType::PeerPresent | FrameType::PeerGone => {
            match RelayWord::parse(&frame.to_frame()) {
                Some(RelayWord::Refused(reason) | RelayWord::PeerGone(reason)) => Some((reason, Goodbye::Skip)),
                // The other tool came back to the relay; its seal goes on where it was, or breaks.
                Some(RelayWord::PeerPresent) => None,
                Some(RelayWord::Welcome { .. }) | None => Some((CloseReason::Malformed, Goodbye::Say)),
            }
        }
        FrameType::Hello | FrameType::Prove => Some((CloseReason::Malformed, Goodbye::Say)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever is not the link's own is the program's")]
fn on_sealed(
    shared: &Shared,
    frame: &Frame,
    opener: &mut Opener,
    assembly: &mut Assembly,
) -> Option<(CloseReason, Goodbye)> {
    let Ok(plain) = opener.open(frame) else { return Some((CloseReason::SealBroken, Goodbye::Say)) };
    let mut state = shared.lock();
    let bytes = match assembly.push(frame.lane, frame.flags, plain, &state.taking) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return None,
        Err(reason) => return Some((reason, Goodbye::Say)),
    };
    let Ok(message) = Message::decode(&bytes, frame.lane) else {
        return Some((CloseReason::Malformed, Goodbye::Say));
    };
    match message {
        Message::End { reason } => return Some((reason, Goodbye::Skip)),
        Message::Echo { nonce } => {
            state.echoed = Some(nonce);
            shared.work.notify_one();
        }
        Message::Echoed { nonce } => {
            if let Some((_, asked_at)) = state.echo.take_if(|(asked, _)| *asked == nonce) {
                state.round_trip = Some(asked_at.elapsed());
            }
        }
        Message::Credit { lane, taken } => {
            if state.credit.on_credit(lane, taken).is_err() {
                return Some((CloseReason::Malformed, Goodbye::Say));
            }
            shared.room.notify_waiters();
        }
        message => {
            // A short one passed the assembly without credit, as the link's own words must.
            let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if state.taking.check(frame.lane, len).is_err() {
                return Some((CloseReason::Malformed, Goodbye::Say));
            }
            state.deliver(frame.lane, bytes.len(), message);
            shared.arrived.notify_one();
        }
    }
    None
}

/// Writes until the session ends and the goodbye is said.
async fn outbound<W>(shared: &Shared, writer: &mut W, mut sealer: Sealer) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let begun = Instant::now();
    let mut timers = Timers { echo_at: begun, echo_count: 0, credit_at: None };
    let mut batch = Vec::new();
    loop {
        let (is_last, wake_at) = {
            let mut state = shared.lock();
            let is_last = compose(&mut state, &mut timers, &mut sealer, &mut batch)?;
            (is_last, timers.next_wake(&state))
        };
        if !batch.is_empty() {
            framed::write_all(writer, &batch).await?;
            batch.clear();
        }
        if is_last {
            return Ok(());
        }
        if shared.lock().has_work() {
            // Lets the reading half of the same task run between two writes.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = shared.work.notified() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}

/// Times of what the link says by itself.
struct Timers {
    echo_at: Instant,
    echo_count: u64,
    credit_at: Option<Instant>,
}

impl Timers {
    fn next_wake(&self, state: &State) -> Instant {
        let wake = state.keepalive.next_wake().min(self.echo_at);
        self.credit_at.map_or(wake, |credit_at| wake.min(credit_at))
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.lanes.is_empty()
            || self.pong.is_some()
            || self.echoed.is_some()
            || self.closing().is_some()
            || self.taking.is_urgent()
    }
}

/// Fills a write: what the link says, then messages, most urgent first. `true`: this is the last write.
fn compose(state: &mut State, timers: &mut Timers, sealer: &mut Sealer, batch: &mut Vec<Bytes>) -> io::Result<bool> {
    let now = Instant::now();
    match state.keepalive.due(now, rand::random()) {
        Due::Nothing => {}
        Due::Ping(payload) => put(batch, keepalive::ping(Bytes::copy_from_slice(&payload)))?,
        Due::Silent => state.close(CloseReason::Silent, Goodbye::Skip),
    }
    if let Some(payload) = state.pong.take() {
        put(batch, keepalive::pong(payload))?;
    }
    if let Some((reason, goodbye)) = state.closing() {
        if goodbye == Goodbye::Say {
            finish_control(state, sealer, batch)?;
            say(sealer, batch, &Message::End { reason })?;
        }
        return Ok(true);
    }
    // Between two pieces of a control message nothing else may be put on its lane.
    if !state.lanes.is_amid(Lane::Control) {
        say_own(state, timers, sealer, batch, now)?;
    }
    let mut len = batch.iter().map(Bytes::len).sum::<usize>();
    while batch.len() < 2 * WRITE_FRAMES_MAX {
        let Some(next_len) = state.lanes.next_len(Lane::Bulk) else { break };
        if 0 < len && WRITE_LEN_MAX < len.saturating_add(next_len.min(SEALED_PLAIN_MAX)) {
            break;
        }
        let Some(piece) = state.lanes.take(SEALED_PLAIN_MAX, Lane::Bulk) else { break };
        len = len.saturating_add(piece.bytes.len());
        let flags = if piece.more { FLAG_MORE } else { 0 };
        put(batch, sealer.seal(piece.lane, flags, &piece.bytes).map_err(io::Error::other)?)?;
    }
    Ok(false)
}

/// Credit, answers and questions of the link itself.
fn say_own(
    state: &mut State,
    timers: &mut Timers,
    sealer: &mut Sealer,
    batch: &mut Vec<Bytes>,
    now: Instant,
) -> io::Result<()> {
    let is_due = state.taking.is_urgent() || timers.credit_at.is_some_and(|credit_at| credit_at <= now);
    if is_due {
        while let Some((lane, taken)) = state.taking.tell() {
            say(sealer, batch, &Message::Credit { lane, taken })?;
        }
        timers.credit_at = None;
    } else if state.taking.is_owed() && timers.credit_at.is_none() {
        timers.credit_at = Some(now + CREDIT_DELAY);
    }
    if let Some(nonce) = state.echoed.take() {
        say(sealer, batch, &Message::Echoed { nonce })?;
    }
    if timers.echo_at <= now {
        timers.echo_at = now + ECHO_INTERVAL;
        // An unanswered question stays: its answer is late, and that is the measurement.
        if state.echo.is_none() {
            timers.echo_count = timers.echo_count.wrapping_add(1);
            state.echo = Some((timers.echo_count, now));
            say(sealer, batch, &Message::Echo { nonce: timers.echo_count })?;
        }
    }
    Ok(())
}

/// Sends the rest of the control lane, so that an end never stands in the middle of a message.
fn finish_control(state: &mut State, sealer: &mut Sealer, batch: &mut Vec<Bytes>) -> io::Result<()> {
    while let Some(piece) = state.lanes.take(SEALED_PLAIN_MAX, Lane::Control) {
        let flags = if piece.more { FLAG_MORE } else { 0 };
        put(batch, sealer.seal(piece.lane, flags, &piece.bytes).map_err(io::Error::other)?)?;
    }
    Ok(())
}

fn say(sealer: &mut Sealer, batch: &mut Vec<Bytes>, message: &Message) -> io::Result<()> {
    let bytes = message.encode().map_err(io::Error::other)?;
    put(batch, sealer.seal(message.lane(), 0, &bytes).map_err(io::Error::other)?)
}

fn put(batch: &mut Vec<Bytes>, frame: Frame) -> io::Result<()> {
    batch.push(framed::head(&frame)?);
    batch.push(frame.payload);
    Ok(())
}
