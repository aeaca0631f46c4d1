//! The task that owns a sealed link: it seals and opens, and decides with `crate::roam` over which path that goes.
//!
//! Every sealed frame is kept until the other tool says that it received it. When the session moves to another path,
//! both say there what they received, and the rest is sent again as it was sealed: nothing is lost, nothing comes twice.
//! Frames are believed on the active path only; what comes over another one waits until it is (`held.rs`). Input alone
//! goes over the spare path, too (`copies.rs`).
//! When a tool was started again both get new keys (`exchange.rs`) and begin anew (`life.rs`).

mod copies;
mod rejoin;
mod taken;

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use proto::{
    close::CloseReason,
    frame::{FLAG_MORE, Frame, FrameType, Lane},
    hello::RelayWord,
    id::RelayId,
    limits::SEALED_PLAIN_MAX,
    message::Message,
    role::Role,
    seal::{SessionKeys, rejoin::RejoinSecret, resume::Said},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, mpsc},
    time::{Instant, sleep_until, timeout},
};

use self::{
    rejoin::Fate,
    taken::{Taken, proves, take},
};
use super::{
    FAREWELL_TIMEOUT, RenewError, Renewed, Way,
    exchange::Exchange,
    held::Held,
    life::Life,
    say::{Pen, Timers, compose},
    state::{Goodbye, Shared},
};
use crate::{
    BoxFuture,
    beside::Beside,
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
    /// What is held under the keys of now; nothing, before a tool that was started again has found the other one.
    life: Option<Life>,
    /// For a tool that was started again; never, when there is no way back.
    exchange: Option<Exchange>,
    /// What came over paths that are not the active one.
    held: Held,
    roam: Roam,
    paths: HashMap<PathId, Path>,
    news: mpsc::Sender<(PathId, PathNews)>,
    written: Arc<Notify>,
    beside: Arc<Beside>,
    way: Option<Way>,
    renewing: Option<BoxFuture<Result<Renewed, RenewError>>>,
    timers: Timers,
}

/// A link that is to be started: everything but its connection.
pub(super) struct Begin {
    pub(super) shared: Arc<Shared>,
    pub(super) secret: RejoinSecret,
    pub(super) role: Role,
    pub(super) way: Option<Way>,
}

/// Starts the task on a connection on which the other side was met.
pub(super) fn start<S>(begin: Begin, (connection, keys, relay_id): (Connection<S>, SessionKeys, RelayId))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let role = begin.role;
    let first = begin.way.as_ref().map_or(1, |way| way.generation);
    let relays = begin.way.as_ref().map_or_else(|| vec![relay_id], Way::order);
    let roam = Roam::new(role, relays, (first, relay_id), Instant::now());
    let (mut actor, heard) = Actor::new(begin, roam);
    actor.life = Some(Life::new(keys, role));
    let path = Path::adopt(connection, actor.desk(first));
    actor.paths.insert(first, path);
    tokio::spawn(actor.run(heard));
}

/// Starts the task of a tool that was started again; nobody is met yet.
pub(super) fn start_again(begin: Begin) {
    let role = begin.role;
    let (first, relays) = begin.way.as_ref().map_or((1, Vec::new()), |way| (way.generation, way.order()));
    let (mut actor, heard) = Actor::new(begin, Roam::alone(role, relays, first));
    if let Some(exchange) = &mut actor.exchange {
        exchange.is_reborn = true;
    }
    // The ticket may be old, the relays others; and a manager that is there knows whether the session still is.
    actor.timers.renew_soon();
    tokio::spawn(actor.run(heard));
}

impl Actor {
    fn new(begin: Begin, roam: Roam) -> (Self, mpsc::Receiver<(PathId, PathNews)>) {
        let Begin { shared, secret, role, way } = begin;
        let (news, heard) = mpsc::channel(NEWS_MAX);
        let exchange = way.as_ref().map(|way| Exchange::new(role, way.session.clone(), secret));
        let actor = Self {
            life: None,
            exchange,
            held: Held::default(),
            roam,
            paths: HashMap::new(),
            news,
            written: Arc::new(Notify::new()),
            beside: Arc::default(),
            way,
            renewing: None,
            timers: Timers::new(Instant::now()),
            shared,
        };
        (actor, heard)
    }

    fn desk(&self, id: PathId) -> Desk {
        let (written, beside) = (Arc::clone(&self.written), Arc::clone(&self.beside));
        Desk { id, news: self.news.clone(), written, beside }
    }

    /// Runs until the session ends or the receiver is dropped.
    async fn run(mut self, mut heard: mpsc::Receiver<(PathId, PathNews)>) {
        let _finished = Finish(Arc::clone(&self.shared));
        let dropped = self.shared.dropped.clone();
        self.on_time();
        loop {
            self.write();
            self.copy();
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
        if goodbye == Goodbye::Say
            && settled
            && let Some(life) = &mut self.life
            && let Ok(batch) = finish_control(&self.shared, life, reason)
        {
            path.give(batch);
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
        // Copies that met nobody there are lost.
        if let Some(life) = &mut self.life {
            life.copies.forget(id);
        }
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
        self.forget(id);
        if self.paths.remove(&id).is_none() {
            return;
        }
        if is_end(reason) || self.way.is_none() {
            return self.shared.close(reason, Goodbye::Skip);
        }
        tracing::debug!(event = "path.lost", path = id, reason = reason.as_str(), "Path {id} is lost");
        self.roam(id, PathEvent::Gone);
    }

    /// A path is gone, and what waited for it.
    fn forget(&mut self, id: PathId) {
        self.held.take(id);
        if let Some(exchange) = &mut self.exchange {
            exchange.forget(id);
        }
    }

    fn on_frame(&mut self, id: PathId, frame: &WireFrame) {
        match frame.header.kind {
            FrameType::Rejoin => return self.on_rejoin(id, frame),
            FrameType::Resume => return self.on_resume(id, &frame.to_frame()),
            FrameType::Sealed
            | FrameType::Hello
            | FrameType::Welcome
            | FrameType::Refused
            | FrameType::PeerPresent
            | FrameType::PeerGone
            | FrameType::Ping
            | FrameType::Pong
            | FrameType::Goaway
            | FrameType::Prove => {}
        }
        if self.shared.lock().closing().is_some() || !self.paths.contains_key(&id) {
            return;
        }
        let sealed = frame.to_frame();
        match self.fate(id, &sealed) {
            Fate::Open => {
                if self.life.as_mut().is_none_or(|life| life.opener.is_stale(&sealed)) {
                    return;
                }
                let Some(Ok(plain)) = self.life.as_mut().map(|life| life.opener.open(&sealed)) else {
                    return self.shared.close(CloseReason::SealBroken, Goodbye::Say);
                };
                self.on_plain(id, &sealed, plain);
                self.note_heard();
            }
            Fate::OpenCopy => match self.life.as_mut().map(|life| life.opener.open_copy(&sealed)) {
                Some(Ok(plain)) => self.on_plain(id, &sealed, plain),
                Some(Err(_)) | None => self.lose(id, CloseReason::Malformed),
            },
            Fate::Hold => {
                if self.held.keep(id, frame).is_err() {
                    self.lose(id, CloseReason::Malformed);
                }
            }
            Fate::Drop => {}
        }
    }

    fn on_resume(&mut self, id: PathId, frame: &Frame) {
        let is_reborn = self.is_reborn();
        // Whoever was started again opens none before it has keys.
        let Some(life) = &mut self.life else { return };
        let Said { arrived, asks } = match life.opener.open_resume(frame) {
            Ok(said) => said,
            // The other tool has not heard, or not understood, that this one was started again. It is called once more.
            Err(_) if is_reborn => return,
            // The seal holds: whoever made this up is the relay.
            Err(_) => return self.lose(id, CloseReason::Malformed),
        };
        let said = life.sealer.resumes();
        if said < arrived.resumes || life.keeper.resumed(arrived.due).is_err() {
            return self.shared.close(CloseReason::Malformed, Goodbye::Skip);
        }
        if is_reborn {
            self.end_rejoin();
        }
        self.roam(id, PathEvent::Resumed { heard_all: said == arrived.resumes, asks });
    }

    fn on_plain(&mut self, id: PathId, frame: &Frame, plain: Vec<u8>) {
        if let Some((reason, goodbye)) = self.take_plain(id, frame, plain) {
            self.shared.close(reason, goodbye);
        }
    }

    /// Acts on what was in a sealed frame; gives the end when it is one.
    fn take_plain(&mut self, id: PathId, frame: &Frame, plain: Vec<u8>) -> Option<(CloseReason, Goodbye)> {
        let life = self.life.as_mut()?;
        let mut state = self.shared.lock();
        let bytes = match life.assembly.push(frame.lane, frame.flags, plain, &state.taking) {
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
        self.timers.received_owed |= !message.is_receipt();
        if proves(&message, life)
            && let Some(path) = self.paths.get(&id)
        {
            path.prove();
        }
        match take(&mut state, &mut life.keeper, message, &bytes, frame.lane) {
            Taken::Own => {}
            Taken::Room => self.shared.room.notify_waiters(),
            Taken::Delivered => {
                drop(state);
                self.shared.arrived.notify_one();
                // A copy proves nothing about the path that was faster, and much about the one that is not.
                self.enliven(self.roam.active().unwrap_or(id));
            }
            Taken::End(reason) => return Some((reason, Goodbye::Hear)),
            Taken::Malformed => return Some((CloseReason::Malformed, Goodbye::Say)),
        }
        None
    }

    /// The other tool was heard on the active path.
    fn note_heard(&mut self) {
        if let Some(life) = &mut self.life {
            life.doubt.heard(&life.keeper, life.copies.lane(), Instant::now());
        }
        if !self.roam.doubts() {
            return;
        }
        let round_trip = self.shared.lock().round_trip;
        let is_answered = |life: &Life| life.doubt.at(round_trip).is_none_or(|at| Instant::now() < at);
        if self.life.as_ref().is_some_and(is_answered) {
            let effects = self.roam.set_doubt(false, now());
            self.carry_out(effects);
        }
    }

    /// When the other tool counts as not answering, if it does not yet.
    fn doubt_at(&self, round_trip: Option<Duration>) -> Option<Instant> {
        let is_open = self.way.is_some() && self.roam.is_settled() && !self.roam.doubts();
        self.life.as_ref().filter(|_| is_open)?.doubt.at(round_trip)
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
            let round_trip = self.shared.lock().round_trip;
            let doubts = self.doubt_at(round_trip).is_some_and(|at| at <= Instant::now());
            if doubts {
                tracing::debug!(event = "peer.silent", "The other tool answers nothing; other relays are dialed");
            }
            let effects = if doubts { self.roam.set_doubt(true, now()) } else { self.roam.tick(now()) };
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
                    self.forget(id);
                    drop(self.paths.remove(&id));
                }
                Effect::Ask(id) | Effect::Answer(id) if self.is_reborn() => self.call(id),
                Effect::Ask(id) => self.resume(id, true),
                Effect::Answer(id) => self.resume(id, false),
                Effect::Settle(_) => {
                    if let Some(life) = &mut self.life {
                        life.again = life.keeper.kept();
                        life.doubt.begin_anew(&life.keeper, Instant::now());
                    }
                    {
                        let mut state = self.shared.lock();
                        self.timers.settled(&mut state);
                        state.moved_to = self.roam.relay();
                        let transport = self.roam.active().and_then(|id| self.paths.get(&id)?.transport);
                        state.transport = transport.unwrap_or(state.transport);
                    }
                    self.note_switching(false);
                    self.note_met();
                    tracing::info!(event = "session.moved", "The session goes on over another connection");
                }
                Effect::GiveUp => self.shared.close(CloseReason::TransportLost, Goodbye::Skip),
            }
        }
    }

    fn dial(&mut self, id: PathId, relay: RelayId) {
        let Some(way) = &self.way else { return };
        let Some(relay) = way.relays.iter().find(|known| known.relay_id == relay) else { return };
        let (ticket, proof_key) = (way.ticket.clone(), Arc::clone(&way.proof_key));
        let path = Path::dial(&way.dial, relay.clone(), ticket, proof_key, self.desk(id));
        self.paths.insert(id, path);
    }

    fn resume(&mut self, id: PathId, asks: bool) {
        let Some(life) = &mut self.life else { return };
        life.again.clear();
        life.opener.move_on();
        let said = Said { arrived: life.opener.arrived(), asks };
        let word = life.sealer.seal_resume(said).map(|frame| framed::to_wire(&frame));
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
                self.shared.renewed.send_replace(Some(renewed.clone()));
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
        if let Some(again_at) = self.life.as_ref().and_then(|life| life.copies.again_at()) {
            wake = wake.min(again_at);
        }
        if self.way.is_some() {
            wake = wake.min(self.roam.next_wake(Instant::now())).min(self.timers.renew_at);
        }
        if let Some(since) = self.roam.lost_since().filter(|_| !state.switching) {
            wake = wake.min(since + SWITCHING_AFTER);
        }
        if let Some(at) = self.doubt_at(state.round_trip) {
            wake = wake.min(at);
        }
        wake
    }

    /// Gives the active path something to write, if it is free and there is something.
    fn write(&mut self) {
        let Some(id) = self.roam.active().filter(|_| self.roam.is_settled()) else { return };
        let Some(path) = self.paths.get(&id).filter(|path| path.is_idle()) else { return };
        let Some(life) = &mut self.life else { return };
        let mut batch = Vec::new();
        let mut len = 0usize;
        while len < WRITE_LEN_MAX
            && batch.len() < 2 * WRITE_FRAMES_MAX
            && let Some(frame) = life.again.pop_front()
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
            let mut pen = Pen::new(&mut life.sealer, &mut life.keeper, &mut batch);
            match compose(&mut state, &mut self.timers, life.opener.due(), &mut pen) {
                Ok(lively) => is_lively = lively,
                // A lane without numbers: after centuries.
                Err(_exhausted) => state.close(CloseReason::SealBroken, Goodbye::Skip),
            }
            if pen.asks {
                life.doubt.asked(life.sealer.due(), Instant::now());
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

/// What is due on the control lane and then the end, so that it never stands in the middle of a message.
fn finish_control(shared: &Shared, life: &mut Life, reason: CloseReason) -> io::Result<Vec<Bytes>> {
    let control = |frame: &[Bytes; 2]| frame[0].get(1) == Some(&Lane::Control.code());
    let mut batch: Vec<_> = life.again.iter().filter(|frame| control(frame)).flatten().cloned().collect();
    let pieces: Vec<_> = {
        let mut state = shared.lock();
        std::iter::from_fn(|| state.lanes.take(SEALED_PLAIN_MAX, Lane::Control)).collect()
    };
    let mut pen = Pen::new(&mut life.sealer, &mut life.keeper, &mut batch);
    for piece in pieces {
        pen.seal(piece.lane, if piece.more { FLAG_MORE } else { 0 }, &piece.bytes)?;
    }
    pen.say(&Message::End { reason })?;
    Ok(batch)
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
