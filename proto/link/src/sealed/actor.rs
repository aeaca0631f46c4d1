//! The task that owns a sealed link: it seals and opens, and decides with `crate::roam` over which path that goes.
//!
//! Every sealed frame is kept until the other tool says that it received it. When the session moves to another path,
//! both say there what they received, and the rest is sent again as it was sealed: nothing is lost, nothing comes twice.
//! Frames are believed on the active path only; what comes over another one waits until it is (`held.rs`).

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use proto::{
    close::CloseReason,
    frame::{FLAG_MORE, Frame, FrameType, Lane},
    hello::RelayWord,
    id::RelayId,
    limits::SEALED_PLAIN_MAX,
    message::Message,
    role::Role,
    seal::{Opener, Sealer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, mpsc},
    time::{Instant, sleep_until, timeout},
};

use super::{
    FAREWELL_TIMEOUT, RenewError, Renewed, Way,
    assembly::Assembly,
    held::Held,
    keeper::Keeper,
    say::{Pen, Timers, compose},
    state::{Goodbye, Shared, State},
};
use crate::{
    BoxFuture,
    framed::{self, WRITE_FRAMES_MAX, WRITE_LEN_MAX, WireFrame},
    path::{Desk, Path, PathNews},
    roam::{Effect, Now, PathEvent, PathId, Roam},
    tcp::Connection,
};

/// News of paths that wait for the task at most; more wait in the sockets.
const NEWS_MAX: usize = 8;
/// The program hears of a change of relays only when it takes longer than this: people do not notice less.
const SWITCHING_AFTER: Duration = Duration::from_millis(500);
/// Pause before a renewal is tried again, and between renewals while no relay is found.
const RENEW_AGAIN: Duration = Duration::from_secs(10);
/// Pause between renewals while there is no spare: a relay that was started again may have another key.
const RENEW_FOR_SPARE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Actor {
    shared: Arc<Shared>,
    sealer: Sealer,
    opener: Opener,
    assembly: Assembly,
    keeper: Keeper,
    /// What came over paths that are not the active one.
    held: Held,
    roam: Roam,
    paths: HashMap<PathId, Path>,
    news: mpsc::Sender<(PathId, PathNews)>,
    written: Arc<Notify>,
    way: Option<Way>,
    renewing: Option<BoxFuture<Result<Renewed, RenewError>>>,
    timers: Timers,
    /// Frames that are sent again before anything new.
    again: VecDeque<[Bytes; 2]>,
}

/// A link that is to be started: everything but its connection.
pub(super) struct Begin {
    pub(super) shared: Arc<Shared>,
    pub(super) seals: (Sealer, Opener),
    pub(super) role: Role,
    pub(super) relay_id: RelayId,
    pub(super) way: Option<Way>,
}

/// Starts the task on a connection on which the other side was met.
pub(super) fn start<S>(begin: Begin, connection: Connection<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Begin { shared, seals: (sealer, opener), role, relay_id, way } = begin;
    let (news, heard) = mpsc::channel(NEWS_MAX);
    let written = Arc::new(Notify::new());
    let first = way.as_ref().map_or(1, |way| way.generation);
    let relays = way.as_ref().map_or_else(|| vec![relay_id], Way::order);
    let now = Instant::now();
    let desk = Desk { id: first, news: news.clone(), written: Arc::clone(&written) };
    let actor = Actor {
        sealer,
        opener,
        assembly: Assembly::default(),
        keeper: Keeper::default(),
        held: Held::default(),
        roam: Roam::new(role, relays, (first, relay_id), now),
        paths: HashMap::from([(first, Path::adopt(connection, desk))]),
        news,
        written,
        way,
        renewing: None,
        timers: Timers::new(now),
        again: VecDeque::new(),
        shared,
    };
    tokio::spawn(actor.run(heard));
}

impl Actor {
    /// Runs until the session ends or the receiver is dropped.
    async fn run(mut self, mut heard: mpsc::Receiver<(PathId, PathNews)>) {
        let _finished = Finish(Arc::clone(&self.shared));
        let dropped = self.shared.dropped.clone();
        self.on_time();
        loop {
            self.write();
            if self.shared.lock().closing().is_some() {
                break;
            }
            let wake_at = self.next_wake();
            tokio::select! {
                biased;
                () = dropped.cancelled() => return,
                Some((id, news)) = heard.recv() => self.on_news(id, news),
                renewed = ready(&mut self.renewing) => self.on_renewed(renewed),
                () = self.shared.work.notified() => {}
                () = self.written.notified() => {}
                () = sleep_until(wake_at) => self.on_time(),
            }
        }
        tokio::select! {
            biased;
            () = dropped.cancelled() => {}
            () = self.farewell(heard) => {}
        }
    }

    /// Says the end on the active path, or hears it there, and closes everything.
    async fn farewell(mut self, mut heard: mpsc::Receiver<(PathId, PathNews)>) {
        let Some((reason, goodbye)) = self.shared.lock().closing() else { return };
        let settled = self.roam.is_settled();
        let Some(id) = self.roam.active() else { return };
        let Some(path) = self.paths.remove(&id) else { return };
        if goodbye == Goodbye::Say && settled {
            // What is due on the control lane goes first, so that an end never stands in the middle of a message.
            let control = |frame: &[Bytes; 2]| frame[0].get(1) == Some(&Lane::Control.code());
            let mut batch: Vec<_> = self.again.iter().filter(|frame| control(frame)).flatten().cloned().collect();
            if self.finish_control(&mut batch, reason).is_ok() {
                path.give(batch);
            }
        }
        let is_gone = |news: &PathNews| matches!(news, PathNews::Gone(_));
        if goodbye == Goodbye::Hear {
            let has_left = |news: &PathNews| is_gone(news) || matches!(news, PathNews::Word(RelayWord::PeerGone(_)));
            let last = timeout(FAREWELL_TIMEOUT, until(&mut heard, id, has_left)).await;
            if matches!(last, Ok(PathNews::Gone(_))) {
                return;
            }
        }
        let finishing = path.finish();
        self.paths.clear();
        let _in_time = timeout(FAREWELL_TIMEOUT, until(&mut heard, id, is_gone)).await;
        drop(finishing);
    }

    fn finish_control(&mut self, batch: &mut Vec<Bytes>, reason: CloseReason) -> io::Result<()> {
        let pieces: Vec<_> = {
            let mut state = self.shared.lock();
            std::iter::from_fn(|| state.lanes.take(SEALED_PLAIN_MAX, Lane::Control)).collect()
        };
        let mut pen = Pen { sealer: &mut self.sealer, keeper: &mut self.keeper, batch };
        for piece in pieces {
            pen.seal(piece.lane, if piece.more { FLAG_MORE } else { 0 }, &piece.bytes)?;
        }
        pen.say(&Message::End { reason })
    }

    fn on_news(&mut self, id: PathId, news: PathNews) {
        match news {
            PathNews::Joined { peer_present, transport } => {
                if let Some(path) = self.paths.get_mut(&id) {
                    path.transport = Some(transport);
                }
                self.roam(id, PathEvent::Joined { peer_present });
            }
            PathNews::Word(word) => self.on_word(id, word),
            PathNews::Frames(frames) => frames.iter().for_each(|frame| self.on_frame(id, frame)),
            PathNews::Gone(reason) => self.lose(id, reason),
        }
    }

    fn on_word(&mut self, id: PathId, word: RelayWord) {
        match word {
            RelayWord::PeerPresent => self.roam(id, PathEvent::PeerPresent),
            RelayWord::Goaway => self.roam(id, PathEvent::Goaway),
            RelayWord::PeerGone(reason) => {
                // A clean goodbye, or nowhere else to meet.
                if self.roam.active() == Some(id) && (is_end(reason) || self.way.is_none()) {
                    return self.shared.close(reason, Goodbye::Skip);
                }
                self.roam(id, PathEvent::PeerGone);
            }
            RelayWord::Refused(reason) => self.lose(id, reason),
            RelayWord::Welcome { .. } => self.lose(id, CloseReason::Malformed),
        }
    }

    /// A path is over.
    fn lose(&mut self, id: PathId, reason: CloseReason) {
        self.held.take(id);
        if self.paths.remove(&id).is_none() {
            return;
        }
        if is_end(reason) || self.way.is_none() {
            return self.shared.close(reason, Goodbye::Skip);
        }
        tracing::debug!(event = "path.lost", path = id, reason = reason.as_str(), "Path {id} is lost");
        self.roam(id, PathEvent::Gone);
    }

    fn on_frame(&mut self, id: PathId, frame: &WireFrame) {
        if frame.header.kind == FrameType::Resume {
            let Ok(due) = self.opener.open_resume(&frame.to_frame()) else {
                // The seal holds: whoever made this up is the relay.
                return self.lose(id, CloseReason::Malformed);
            };
            if self.keeper.resumed(due).is_err() {
                return self.shared.close(CloseReason::Malformed, Goodbye::Skip);
            }
            return self.roam(id, PathEvent::Resumed);
        }
        if self.shared.lock().closing().is_some() || !self.paths.contains_key(&id) {
            return;
        }
        if self.roam.active() != Some(id) {
            if self.held.keep(id, frame).is_err() {
                self.lose(id, CloseReason::Malformed);
            }
        } else if let Some((reason, goodbye)) = self.on_sealed(id, &frame.to_frame()) {
            self.shared.close(reason, goodbye);
        }
    }

    /// Acts on a sealed frame; gives the end when it is one.
    fn on_sealed(&mut self, id: PathId, frame: &Frame) -> Option<(CloseReason, Goodbye)> {
        if self.opener.is_stale(frame) {
            return None;
        }
        let Ok(plain) = self.opener.open(frame) else { return Some((CloseReason::SealBroken, Goodbye::Say)) };
        let mut state = self.shared.lock();
        let bytes = match self.assembly.push(frame.lane, frame.flags, plain, &state.taking) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                self.timers.received_owed = true;
                return None;
            }
            Err(reason) => return Some((reason, Goodbye::Say)),
        };
        let Ok(message) = Message::decode(&bytes, frame.lane) else {
            return Some((CloseReason::Malformed, Goodbye::Say));
        };
        // Acks of acks would never end.
        let is_ack = matches!(message, Message::Received { .. } | Message::Credit { .. });
        self.timers.received_owed |= !is_ack;
        if matches!(message, Message::Received { .. } | Message::Echoed { .. })
            && let Some(path) = self.paths.get(&id)
        {
            path.prove();
        }
        match take(&mut state, &mut self.keeper, message, &bytes, frame.lane) {
            Taken::Own => {}
            Taken::Room => self.shared.room.notify_waiters(),
            Taken::Delivered => {
                drop(state);
                self.shared.arrived.notify_one();
                self.enliven(id);
            }
            Taken::End(reason) => return Some((reason, Goodbye::Hear)),
            Taken::Malformed => return Some((CloseReason::Malformed, Goodbye::Say)),
        }
        None
    }

    fn enliven(&mut self, id: PathId) {
        self.timers.enliven();
        if let Some(path) = self.paths.get(&id) {
            path.enliven();
        }
    }

    fn roam(&mut self, id: PathId, event: PathEvent) {
        let effects = self.roam.on(id, event, now());
        self.carry_out(effects);
    }

    fn on_time(&mut self) {
        if self.way.is_some() {
            let effects = self.roam.tick(now());
            self.carry_out(effects);
        }
        self.renew();
        let switching = self.roam.lost_since().is_some_and(|since| since + SWITCHING_AFTER <= Instant::now());
        self.note_switching(switching);
    }

    fn note_switching(&self, switching: bool) {
        let changed = std::mem::replace(&mut self.shared.lock().switching, switching) != switching;
        if changed {
            self.shared.arrived.notify_one();
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        self.act(effects);
        // What has overtaken the word that the session goes on here.
        if let Some(id) = self.roam.active() {
            self.held.take(id).iter().for_each(|frame| self.on_frame(id, frame));
        }
    }

    fn act(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dial(id, relay) => self.dial(id, relay),
                Effect::Drop(id) => {
                    self.held.take(id);
                    drop(self.paths.remove(&id));
                }
                Effect::Resume(id) => self.resume(id),
                Effect::Settle(_) => {
                    self.again = self.keeper.kept();
                    {
                        let mut state = self.shared.lock();
                        self.timers.settled(&mut state);
                        state.moved_to = self.roam.relay();
                        let transport = self.roam.active().and_then(|id| self.paths.get(&id)?.transport);
                        state.transport = transport.unwrap_or(state.transport);
                    }
                    self.note_switching(false);
                    tracing::info!(event = "session.moved", "The session goes on over another connection");
                }
                Effect::GiveUp => self.shared.close(CloseReason::TransportLost, Goodbye::Skip),
            }
        }
    }

    fn dial(&mut self, id: PathId, relay: RelayId) {
        let Some(way) = &self.way else { return };
        let Some(relay) = way.relays.iter().find(|known| known.relay_id == relay) else { return };
        let desk = Desk { id, news: self.news.clone(), written: Arc::clone(&self.written) };
        let path = Path::dial(&way.dial, relay.clone(), way.ticket.clone(), Arc::clone(&way.proof_key), desk);
        self.paths.insert(id, path);
    }

    fn resume(&mut self, id: PathId) {
        self.again.clear();
        self.opener.move_on();
        let word = self.sealer.seal_resume(self.opener.due()).map(|frame| framed::to_wire(&frame));
        if let (Ok(word), Some(path)) = (word, self.paths.get(&id)) {
            path.enliven();
            path.give(vec![word]);
        }
    }

    /// Renews the ticket when it is time, and sooner while no relay is found: one may have another key by now.
    fn renew(&mut self) {
        let at = Instant::now();
        let since = self.timers.renewed_at;
        let due = self.timers.renew_at <= at
            || (!self.roam.is_settled() && since + RENEW_AGAIN <= at)
            || (self.roam.lacks_spare() && since + RENEW_FOR_SPARE <= at);
        if let Some(renew) = self.way.as_ref().and_then(|way| way.renew.as_ref())
            && due
            && self.renewing.is_none()
        {
            self.timers.renewing(at);
            self.renewing = Some(renew());
        }
    }

    fn on_renewed(&mut self, renewed: Result<Renewed, RenewError>) {
        self.renewing = None;
        match (renewed, &mut self.way) {
            (Ok(renewed), Some(way)) => {
                (way.ticket, way.relays) = (renewed.ticket, renewed.relays);
                let order = way.order();
                let effects = self.roam.set_relays(order, now());
                self.carry_out(effects);
            }
            // A link that works is never cut by what the manager says; the relays are told of revoked sessions.
            (Err(RenewError::Over), _) if !self.roam.is_settled() => {
                self.shared.close(CloseReason::PeerLost, Goodbye::Skip);
            }
            (Err(RenewError::Over | RenewError::Later), _) | (Ok(_), None) => {
                self.timers.renew_at = Instant::now() + RENEW_AGAIN;
            }
        }
    }

    fn next_wake(&self) -> Instant {
        let state = self.shared.lock();
        let can_write =
            self.roam.is_settled() && self.roam.active().and_then(|id| self.paths.get(&id)).is_some_and(Path::is_idle);
        // What cannot be said now is said when the path is free, and it tells when it is.
        let mut wake = if can_write { self.timers.next_wake() } else { Instant::now() + SWITCHING_AFTER };
        if self.way.is_some() {
            wake = wake.min(self.roam.next_wake(Instant::now())).min(self.timers.renew_at);
        }
        if let Some(since) = self.roam.lost_since().filter(|_| !state.switching) {
            wake = wake.min(since + SWITCHING_AFTER);
        }
        wake
    }

    /// Gives the active path something to write, if it is free and there is something.
    fn write(&mut self) {
        let Some(id) = self.roam.active().filter(|_| self.roam.is_settled()) else { return };
        let Some(path) = self.paths.get(&id).filter(|path| path.is_idle()) else { return };
        let mut batch = Vec::new();
        let mut len = 0usize;
        while len < WRITE_LEN_MAX
            && batch.len() < 2 * WRITE_FRAMES_MAX
            && let Some(frame) = self.again.pop_front()
        {
            len = len.saturating_add(frame.iter().map(Bytes::len).sum());
            batch.extend(frame);
        }
        let mut is_lively = !batch.is_empty();
        if batch.is_empty() {
            let mut state = self.shared.lock();
            if state.closing().is_some() {
                return;
            }
            let mut pen = Pen { sealer: &mut self.sealer, keeper: &mut self.keeper, batch: &mut batch };
            match compose(&mut state, &mut self.timers, self.opener.due(), &mut pen) {
                Ok(lively) => is_lively = lively,
                // A lane without numbers: after centuries.
                Err(_exhausted) => state.close(CloseReason::SealBroken, Goodbye::Skip),
            }
        }
        if is_lively {
            path.enliven();
            self.timers.enliven();
        }
        if !batch.is_empty() {
            path.give(batch);
        }
    }
}

/// The next such news of a path.
async fn until(
    heard: &mut mpsc::Receiver<(PathId, PathNews)>,
    path: PathId,
    is_it: impl Fn(&PathNews) -> bool,
) -> PathNews {
    loop {
        match heard.recv().await {
            Some((from, news)) if from == path && is_it(&news) => return news,
            Some(_) => {}
            // The task itself holds a sender.
            None => std::future::pending().await,
        }
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

/// The result of a renewal under way; never, when there is none.
async fn ready(renewing: &mut Option<BoxFuture<Result<Renewed, RenewError>>>) -> Result<Renewed, RenewError> {
    match renewing {
        Some(renewing) => renewing.await,
        None => std::future::pending().await,
    }
}

fn now() -> Now {
    Now { at: Instant::now(), spread: rand::random() }
}

/// Whether this reason ends the session, and not only a connection.
const fn is_end(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::OperatorEnded | CloseReason::CustomerEnded | CloseReason::Revoked | CloseReason::HardEnd
    )
}

/// What a message was.
enum Taken {
    Own,
    Room,
    Delivered,
    End(CloseReason),
    Malformed,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever is not the link's own is the program's")]
fn take(state: &mut State, keeper: &mut Keeper, message: Message, bytes: &[u8], lane: Lane) -> Taken {
    match message {
        Message::End { reason } => return Taken::End(reason),
        Message::Echo { nonce } => state.echoed = Some(nonce),
        Message::Echoed { nonce } => {
            if let Some((_, asked_at)) = state.echo.take_if(|(asked, _)| *asked == nonce) {
                state.round_trip = Some(asked_at.elapsed());
            }
        }
        Message::Credit { lane, taken } => {
            return if state.credit.on_credit(lane, taken).is_ok() { Taken::Room } else { Taken::Malformed };
        }
        Message::Received { next } => {
            return if keeper.received(next).is_ok() { Taken::Own } else { Taken::Malformed };
        }
        message => {
            // A short one passed the assembly without credit, as the link's own words must.
            let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if state.taking.check(lane, len).is_err() {
                return Taken::Malformed;
            }
            state.deliver(lane, bytes.len(), message);
            return Taken::Delivered;
        }
    }
    Taken::Own
}
