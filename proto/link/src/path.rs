//! One connection of a session to one relay, on a task of its own: what comes is handed over, what is given is written.
//!
//! Guarantees: at most one batch waits to be written, so what goes next is decided late; what comes waits for the
//! session, and the socket for that; a silent connection is noticed by its own pings. It believes the relay nothing
//! but what the relay may say, and opens no seal.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use proto::{
    api::reception::RelayAddress,
    close::CloseReason,
    frame::{Frame, FrameType},
    hello::RelayWord,
    ticket::ProofKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::{Notify, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    beside::{Beside, Place},
    framed::{self, FrameReader, WireFrame},
    join::{self, Admission, JoinError},
    keepalive::{self, Due, KeepAlive, Verdict},
    line::Line,
    roam::PathId,
    sealed::{Dial, FAREWELL_TIMEOUT},
    tcp::Connection,
    transport::Transport,
};

/// Batches that wait to be written at most: one of the session, and what it must say when it moves.
const BATCHES_MAX: usize = 3;

/// The writing half wakes by itself no more often: silence is the reading half's to notice, which may be busy.
const REST_MIN: Duration = Duration::from_millis(10);

/// What happens on a path.
#[derive(Debug)]
pub(crate) enum PathNews {
    /// The relay admitted.
    Joined {
        /// The other side is there already.
        peer_present: bool,
        /// What carries it.
        transport: Transport,
    },
    /// The relay said something.
    Word(RelayWord),
    /// Frames of the other side, in order.
    Frames(Vec<WireFrame>),
    /// The connection is over; nothing follows.
    Gone(CloseReason),
}

/// The session's end of a path. Dropping it cuts the connection.
pub(crate) struct Path {
    /// What carries it, once that is known.
    pub(crate) transport: Option<Transport>,
    to: mpsc::Sender<Vec<Bytes>>,
    ears: Arc<Ears>,
    stop: DropGuard,
}

/// A path that writes what it has, says goodbye, and is cut when this is dropped.
pub(crate) struct Finishing {
    _stop: DropGuard,
}

/// Where a path's news go.
#[derive(Clone)]
pub(crate) struct Desk {
    /// The path they are about.
    pub(crate) id: PathId,
    /// The session.
    pub(crate) news: mpsc::Sender<(PathId, PathNews)>,
    /// Told after each write.
    pub(crate) written: Arc<Notify>,
    /// The paths of the session.
    pub(crate) beside: Arc<Beside>,
}

/// What both halves of a path share.
pub(crate) struct Ears {
    state: Mutex<State>,
    /// Wakes the writing half.
    kick: Notify,
    /// Wakes the reading half: silence counts from another time now.
    pulse: Notify,
}

struct State {
    keepalive: KeepAlive,
    /// Pong this side owes the relay; only the newest.
    pong: Option<Bytes>,
    /// The tool itself ends the session. A relay takes a goodbye for that, so a path that is only dropped says none, also
    /// when its task sees that nothing more will be given before it sees that it is to stop.
    says_goodbye: bool,
}

impl Path {
    /// Takes over a connection on which the other side was met. Must be called inside a runtime.
    pub(crate) fn adopt<S>(mut connection: Connection<S>, desk: Desk) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (path, ends) = Self::new(Some(connection.transport));
        let stop = ends.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = async {
                    let early = std::mem::take(&mut connection.early);
                    if !early.is_empty() {
                        desk.tell(PathNews::Frames(early)).await;
                    }
                    carry(connection, ends, desk).await;
                } => {}
            }
        });
        path
    }

    /// Dials a relay and asks for admission. Must be called inside a runtime.
    pub(crate) fn dial(dial: &Dial, relay: RelayAddress, ticket: String, proof_key: Arc<ProofKey>, desk: Desk) -> Self {
        let (path, ends) = Self::new(None);
        let stop = ends.stop.clone();
        let dialing = dial(relay);
        let life = async move {
            let Ok(mut connection) = dialing.await else {
                return desk.tell(PathNews::Gone(CloseReason::TransportLost)).await;
            };
            let admission = Admission { ticket: &ticket, proof_key: &proof_key, generation: desk.id };
            match join::join(&mut connection, &admission).await {
                Ok(peer_present) => {
                    desk.tell(PathNews::Joined { peer_present, transport: connection.transport }).await;
                }
                Err(error) => return desk.tell(PathNews::Gone(reason(error))).await,
            }
            carry(connection, ends, desk).await;
        };
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = life => {}
            }
        });
        path
    }

    fn new(transport: Option<Transport>) -> (Self, Ends) {
        let (to, given) = mpsc::channel(BATCHES_MAX);
        let state =
            State { keepalive: KeepAlive::new(Instant::now(), rand::random()), pong: None, says_goodbye: false };
        let ears = Arc::new(Ears { state: Mutex::new(state), kick: Notify::new(), pulse: Notify::new() });
        let stop = CancellationToken::new();
        let ends = Ends { given, ears: Arc::clone(&ears), stop: stop.clone() };
        (Self { transport, to, ears, stop: stop.drop_guard() }, ends)
    }

    /// Whether everything that was given is written.
    pub(crate) fn is_idle(&self) -> bool {
        self.to.capacity() == BATCHES_MAX
    }

    /// Gives a batch to write; `false` when too much waits or the path is gone.
    pub(crate) fn give(&self, batch: Vec<Bytes>) -> bool {
        self.to.try_send(batch).is_ok()
    }

    /// Somebody is saying something over this path.
    pub(crate) fn enliven(&self) {
        let woke = self.ears.lock().keepalive.enliven(Instant::now());
        if woke {
            self.ears.kick.notify_one();
            self.ears.pulse.notify_one();
        }
    }

    /// The other tool has said that what goes out over this path arrives.
    pub(crate) fn prove(&self) {
        self.ears.lock().keepalive.proved();
    }

    /// Writes what was given, then says goodbye to the relay.
    pub(crate) fn finish(self) -> Finishing {
        self.ears.lock().says_goodbye = true;
        drop(self.to);
        Finishing { _stop: self.stop }
    }
}

impl Desk {
    async fn tell(&self, news: PathNews) {
        // A session that is over hears nothing more.
        drop(self.news.send((self.id, news)).await);
    }
}

impl Ears {
    /// Another path wants to know how long an answer takes here.
    pub(crate) fn ask(&self) {
        self.lock().keepalive.ask(Instant::now());
        self.kick.notify_one();
    }

    /// On another path an answer took so long.
    pub(crate) fn told(&self, round_trip: Duration) {
        let is_asked = self.lock().keepalive.told_beside(round_trip);
        if is_asked {
            self.pulse.notify_one();
        }
    }

    /// Whether the connection counts as dead now.
    fn is_silent(&self, line: &Line, place: &Place) -> bool {
        let judge = || self.lock().keepalive.judge(Instant::now(), || line.told());
        let mut verdict = judge();
        if verdict == Verdict::Ask {
            let is_any = place.ask();
            self.lock().keepalive.asked_beside(is_any, Instant::now());
            verdict = judge();
        }
        verdict == Verdict::Silent
    }

    /// No await while the guard lives.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task's ends of a path.
struct Ends {
    given: mpsc::Receiver<Vec<Bytes>>,
    ears: Arc<Ears>,
    stop: CancellationToken,
}

/// Reads and writes until the connection is over or nothing more will be given.
async fn carry<S>(connection: Connection<S>, ends: Ends, desk: Desk)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let begun = Instant::now();
    let Connection { mut reader, mut writer, on_loss, line, .. } = connection;
    let Ends { mut given, ears, stop: _ } = ends;
    let place = desk.beside.enter(desk.id, &ears);
    let reason = {
        let mut inbound = std::pin::pin!(inbound((&mut reader, &line), &ears, (&desk, &place)));
        tokio::select! {
            reason = &mut inbound => Some(reason),
            written = outbound(&mut writer, &mut given, &ears, &desk) => match written {
                Ok(()) if ears.lock().says_goodbye => None,
                Ok(()) => Some(CloseReason::PeerLost),
                // What the relay said last may be among the bytes that arrived before the connection broke.
                Err(CloseReason::TransportLost) => {
                    Some(timeout(FAREWELL_TIMEOUT, inbound).await.unwrap_or(CloseReason::TransportLost))
                }
                Err(reason) => Some(reason),
            },
        }
    };
    if reason.is_none() {
        let farewell = async {
            if writer.shutdown().await.is_ok() {
                reader.drain().await;
            }
        };
        // Whatever was not read by now is not wanted; the time only lets our last bytes arrive.
        let _in_time = timeout(FAREWELL_TIMEOUT, farewell).await;
    }
    if let Some(CloseReason::TransportLost | CloseReason::Silent | CloseReason::WriteStalled) = reason
        && let Some(on_loss) = on_loss
    {
        on_loss.tell(begun.elapsed());
    }
    desk.tell(PathNews::Gone(reason.unwrap_or(CloseReason::TransportLost))).await;
}

/// Reads until the connection is over, and says why.
async fn inbound<R>(
    (reader, line): (&mut FrameReader<R>, &Line),
    ears: &Ears,
    (desk, place): (&Desk, &Place),
) -> CloseReason
where
    R: AsyncRead + Unpin,
{
    let mut frames = Vec::new();
    loop {
        loop {
            match reader.parse() {
                Ok(Some(frame)) => match sort(&frame, ears, place) {
                    Sorted::Peer => frames.push(frame),
                    Sorted::Nothing => {}
                    Sorted::Word(word) => {
                        hand_over(&mut frames, ears, desk).await;
                        desk.tell(PathNews::Word(word)).await;
                    }
                    Sorted::Malformed => return CloseReason::Malformed,
                },
                Ok(None) => break,
                Err(_malformed) => return CloseReason::Malformed,
            }
        }
        hand_over(&mut frames, ears, desk).await;
        // Watched here and not by the writing half, which may hang in a write to a relay that takes nothing.
        let silent_at = ears.lock().keepalive.silent_at(Instant::now());
        tokio::select! {
            biased;
            filled = reader.fill() => match filled {
                Ok(0) => return CloseReason::PeerLost,
                Ok(_) => ears.lock().keepalive.heard(Instant::now()),
                Err(_broken) => return CloseReason::TransportLost,
            },
            () = ears.pulse.notified() => {}
            () = sleep_until(silent_at) => {
                if ears.is_silent(line, place) {
                    return CloseReason::Silent;
                }
            }
        }
    }
}

/// Gives the session what came; while it does not take it, silence of the relay means nothing.
async fn hand_over(frames: &mut Vec<WireFrame>, ears: &Ears, desk: &Desk) {
    if frames.is_empty() {
        return;
    }
    let news = (desk.id, PathNews::Frames(std::mem::take(frames)));
    if let Err(mpsc::error::TrySendError::Full(news)) = desk.news.try_send(news) {
        ears.lock().keepalive.set_deaf(true, Instant::now());
        drop(desk.news.send(news).await);
        ears.lock().keepalive.set_deaf(false, Instant::now());
        ears.kick.notify_one();
    }
}

enum Sorted {
    Peer,
    Nothing,
    Word(RelayWord),
    Malformed,
}

fn sort(frame: &WireFrame, ears: &Ears, place: &Place) -> Sorted {
    match frame.header.kind {
        FrameType::Sealed | FrameType::Resume | FrameType::Rejoin => Sorted::Peer,
        FrameType::Ping => {
            ears.lock().pong = Some(frame.payload());
            ears.kick.notify_one();
            Sorted::Nothing
        }
        FrameType::Pong => {
            let round_trip = ears.lock().keepalive.on_pong(&frame.payload(), Instant::now());
            if let Some(round_trip) = round_trip {
                place.tell(round_trip);
            }
            Sorted::Nothing
        }
        FrameType::Refused | FrameType::PeerPresent | FrameType::PeerGone | FrameType::Goaway => {
            RelayWord::parse(&frame.to_frame()).map_or(Sorted::Malformed, Sorted::Word)
        }
        // The other side's last confirmation may be on its way again; nobody waits for it any more.
        FrameType::Prove | FrameType::Hello | FrameType::Welcome => Sorted::Malformed,
    }
}

/// Writes what is given, and what keep-alive asks for, until nothing more will be given.
async fn outbound<W>(
    writer: &mut W,
    given: &mut mpsc::Receiver<Vec<Bytes>>,
    ears: &Ears,
    desk: &Desk,
) -> Result<(), CloseReason>
where
    W: AsyncWrite + Unpin,
{
    loop {
        let (words, wake_at) = {
            let (mut state, now) = (ears.lock(), Instant::now());
            (state.words(now), state.keepalive.next_wake(now).max(now + REST_MIN))
        };
        if !words.is_empty() {
            write(writer, &words, ears).await?;
        }
        tokio::select! {
            biased;
            batch = given.recv() => {
                let Some(batch) = batch else { return Ok(()) };
                write(writer, &batch, ears).await?;
                desk.written.notify_one();
            }
            () = ears.kick.notified() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}

impl State {
    /// What the path itself has to say.
    fn words(&mut self, now: Instant) -> Vec<Bytes> {
        let mut words = Vec::new();
        let mut put = |frame: &Frame| words.push(framed::to_wire(frame));
        if let Some(payload) = self.pong.take() {
            put(&keepalive::pong(payload));
        }
        match self.keepalive.due(now, rand::random()) {
            // The reading half notices silence.
            Due::Nothing | Due::Silent => {}
            Due::Ping(payload) => put(&keepalive::ping(Bytes::copy_from_slice(&payload))),
        }
        words
    }
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, pieces: &[Bytes], ears: &Ears) -> Result<(), CloseReason> {
    ears.lock().keepalive.set_writing(true);
    let written = framed::write_all(writer, pieces).await;
    ears.lock().keepalive.set_writing(false);
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::TimedOut { CloseReason::WriteStalled } else { CloseReason::TransportLost }
    })
}

const fn reason(error: JoinError) -> CloseReason {
    match error {
        JoinError::Refused(reason) | JoinError::PeerGone(reason) | JoinError::Timeout(reason) => reason,
        JoinError::Broken => CloseReason::TransportLost,
        JoinError::Malformed => CloseReason::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;

    /// A path, what it tells, and the relay's end of its connection.
    fn adopted() -> (Path, mpsc::Receiver<(PathId, PathNews)>, DuplexStream) {
        let (tool, relay) = duplex(64 * 1024);
        let (news, told) = mpsc::channel(8);
        let desk = Desk { id: 1, news, written: Arc::default(), beside: Arc::default() };
        (Path::adopt(Connection::new(tool, [0; 32], Transport::Tcp), desk), told, relay)
    }

    /// Whether the tool has only stopped to write, and still reads; a path that is cut does neither.
    async fn says_goodbye(relay: &mut DuplexStream) -> bool {
        assert_eq!(relay.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        relay.write_all(b"x").await.is_ok()
    }

    #[tokio::test]
    async fn a_path_that_is_finished_says_goodbye() {
        let (path, _told, mut relay) = adopted();
        let _finishing = path.finish();
        assert!(says_goodbye(&mut relay).await);
    }

    #[tokio::test]
    async fn a_path_that_is_dropped_says_none_even_when_its_task_sees_the_end_of_its_queue_first() {
        let (Path { to, stop, ears: _ears, transport: _ }, mut told, mut relay) = adopted();
        drop(to);
        assert!(matches!(told.recv().await, Some((1, PathNews::Gone(_)))));
        assert!(!says_goodbye(&mut relay).await);
        drop(stop);
    }
}
