//! One session: both ends say their part, hear the other's, and check it; then both close in order.
//!
//! An end says how many frames it has sent when it has sent the last one. So the other knows when it has heard
//! everything, and only then is a connection closed: what breaks before that is broken, what ends after it is the end.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use link::{
    framed::{FrameReader, WireFrame, to_wire},
    tcp::AnyStream,
};
use proto::{
    frame::{Frame, FrameType, Lane},
    limits,
};
use tokio::{
    io::{AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    check::{Checker, Faults},
    pace::now_ns,
    payload::{Kind, Payload, put},
    road::End,
};

/// Messages that wait for an end's socket. At the rates of a session this is a minute; a server that slow is lost.
const ORDERS_MAX: usize = 1024;
/// Bytes written at once.
const WRITE_LEN: usize = 64 * 1024;
/// After the last frame was sent, this long for what is still under way.
pub const LATE: Duration = Duration::from_secs(10);
/// Longest latency that is told apart, microseconds.
const LATENCY_MAX_US: u64 = 60_000_000;

/// What an end shall say.
#[derive(Debug, Clone)]
pub enum Order {
    /// A message of this length that is due at this time.
    Message {
        /// When, nanoseconds.
        due_ns: u64,
        /// Its lane.
        lane: Lane,
        /// Its length, bytes.
        len: usize,
    },
    /// An answer for the relay.
    Pong(bytes::Bytes),
    /// That nothing more comes.
    End,
}

/// Latencies of many sessions, microseconds, by lane.
#[derive(Debug, Clone)]
pub struct Latencies {
    /// Frames that were due before this time are not counted, nanoseconds.
    pub from_ns: u64,
    lanes: [Histogram<u64>; 4],
}

/// What became of a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// Wrong frames of both directions.
    pub faults: Faults,
    /// Frames that came.
    pub frames: u64,
    /// Ends whose connection broke before both sides had said and heard everything.
    pub broken: u64,
}

/// A session at work.
pub struct Session {
    /// Orders for each end: customer, operator.
    pub orders: [mpsc::Sender<Order>; 2],
    work: JoinSet<(usize, Work)>,
    sent: [Arc<Sent>; 2],
    /// Nothing more is waited for.
    over: CancellationToken,
}

/// Frames of each lane that an end has handed to its socket.
type Sent = [AtomicU64; 4];

/// What a task of a session gives back when it is done. The halves are kept until all are.
enum Work {
    Said { writer: WriteHalf<AnyStream>, is_broken: bool },
    Heard { _reader: FrameReader<ReadHalf<AnyStream>>, checker: Box<Checker>, frames: u64, is_broken: bool },
}

impl Latencies {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never with the range that is built in.
    pub fn new(from_ns: u64) -> anyhow::Result<Self> {
        let empty = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?;
        Ok(Self { from_ns, lanes: [empty.clone(), empty.clone(), empty.clone(), empty] })
    }

    fn record(&mut self, lane: Lane, due_ns: u64, came_ns: u64) {
        if let Some(lane) = self.lanes.get_mut(usize::from(lane.code())).filter(|_| self.from_ns <= due_ns) {
            lane.saturating_record((came_ns.saturating_sub(due_ns) / 1000).max(1));
        }
    }

    /// Adds others.
    pub(super) fn add(&mut self, other: &Self) {
        for (own, other) in self.lanes.iter_mut().zip(&other.lanes) {
            *own += other;
        }
    }

    /// Those of one lane.
    pub fn lane(&self, lane: Lane) -> &Histogram<u64> {
        let [control, input, screen, bulk] = &self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Input => input,
            Lane::Screen => screen,
            Lane::Bulk => bulk,
        }
    }

    /// Those of every lane.
    pub fn all(&self) -> Histogram<u64> {
        let [first, others @ ..] = &self.lanes;
        others.iter().fold(first.clone(), |mut all, lane| {
            all += lane;
            all
        })
    }
}

impl Session {
    /// Puts both ends to work. Must be called inside a runtime.
    pub fn start(session: u32, ends: (End, End), latencies: &Arc<Mutex<Latencies>>) -> Self {
        let sent: [Arc<Sent>; 2] = std::array::from_fn(|_| Arc::default());
        let (mut work, over) = (JoinSet::new(), CancellationToken::new());
        let channels: [_; 2] = std::array::from_fn(|_| mpsc::channel(ORDERS_MAX));
        let [(customer_orders, customer), (operator_orders, operator)] = channels;
        let sides = [(ends.0, customer_orders.clone(), customer), (ends.1, operator_orders.clone(), operator)];
        for (side, (end, own, orders)) in sides.into_iter().enumerate() {
            let End { reader, writer, .. } = end;
            let (counts, latencies) = (Arc::clone(&sent[side]), Arc::clone(latencies));
            let (over_saying, over_hearing) = (over.clone(), over.clone());
            work.spawn(async move { (side, say(session, writer, orders, &counts, &over_saying).await) });
            work.spawn(async move { (side, hear(session, reader, &own, &latencies, &over_hearing).await) });
        }
        Self { orders: [customer_orders, operator_orders], work, sent, over }
    }

    /// Lets both ends finish, waits until everything has arrived or is `late`, and closes.
    pub async fn finish(mut self, late: Duration) -> Outcome {
        for orders in &self.orders {
            // An end that broke takes no orders any more; its outcome says so.
            drop(timeout(late, orders.send(Order::End)).await);
        }
        let mut done = Vec::new();
        let patience = late;
        let late = tokio::time::sleep(patience);
        tokio::pin!(late);
        loop {
            tokio::select! {
                part = self.work.join_next() => match part {
                    Some(part) => done.extend(part.ok()),
                    None => break,
                },
                () = &mut late, if !self.over.is_cancelled() => self.over.cancel(),
            }
        }
        let mut outcome = Outcome::default();
        for (side, part) in &mut done {
            match part {
                Work::Said { writer, is_broken } => {
                    outcome.broken += u64::from(*is_broken);
                    // The other end may have gone first; this is the planned end for both.
                    drop(timeout(patience, writer.shutdown()).await);
                }
                Work::Heard { checker, frames, is_broken, .. } => {
                    outcome.broken += u64::from(*is_broken);
                    outcome.frames += *frames;
                    outcome.faults.add(checker.faults(self.sent_by(1 - *side)));
                }
            }
        }
        outcome
    }

    fn sent_by(&self, side: usize) -> [u64; 4] {
        self.sent.get(side).map_or([0; 4], |sent| std::array::from_fn(|lane| sent[lane].load(Ordering::Relaxed)))
    }
}

/// Carries out orders until the end is said or the connection breaks.
async fn say(
    session: u32,
    mut writer: WriteHalf<AnyStream>,
    mut orders: mpsc::Receiver<Order>,
    sent: &Sent,
    over: &CancellationToken,
) -> Work {
    let mut out = Vec::new();
    let all_said = async {
        while let Some(first) = orders.recv().await {
            let mut next = Some(first);
            let mut is_end = false;
            while let Some(order) = next {
                is_end |= matches!(order, Order::End);
                put_order(&mut out, session, order, sent);
                next = (out.len() < WRITE_LEN).then(|| orders.try_recv().ok()).flatten();
            }
            writer.write_all(&out).await?;
            writer.flush().await?;
            if is_end {
                break;
            }
            out.clear();
            out.shrink_to(WRITE_LEN);
        }
        std::io::Result::Ok(())
    };
    let is_broken = tokio::select! {
        biased;
        said = all_said => said.is_err(),
        () = over.cancelled() => true,
    };
    Work::Said { writer, is_broken }
}

fn put_order(out: &mut Vec<u8>, session: u32, order: Order, sent: &Sent) {
    match order {
        Order::Message { due_ns, lane, len } => {
            let mut left = len.max(1);
            while 0 < left {
                let piece = left.min(limits::FRAME_PAYLOAD_MAX);
                let sequence = sent[usize::from(lane.code())].fetch_add(1, Ordering::Relaxed);
                put(out, lane, piece, &Payload { due_ns, sequence, session, kind: Kind::Piece, counts: [0; 4] });
                left -= piece;
            }
        }
        Order::Pong(payload) => {
            if let Ok(frame) = Frame::plain(FrameType::Pong, payload) {
                out.extend_from_slice(&to_wire(&frame));
            }
        }
        Order::End => {
            let counts = std::array::from_fn(|lane| sent[lane].load(Ordering::Relaxed));
            put(out, Lane::Bulk, 0, &Payload { due_ns: now_ns(), sequence: 0, session, kind: Kind::End, counts });
        }
    }
}

/// Hears the other side until everything has come or the connection breaks.
async fn hear(
    session: u32,
    mut reader: FrameReader<ReadHalf<AnyStream>>,
    own: &mpsc::Sender<Order>,
    latencies: &Mutex<Latencies>,
    over: &CancellationToken,
) -> Work {
    let mut checker = Box::new(Checker::new(session));
    let mut frames = 0;
    let is_broken = loop {
        if checker.is_complete() {
            break false;
        }
        let next = tokio::select! {
            biased;
            next = reader.next() => next,
            // What has not come by now is lost; the connection is none the worse.
            () = over.cancelled() => break false,
        };
        let Ok(Some(frame)) = next else { break true };
        match frame.header.kind {
            FrameType::Sealed => {
                frames += 1;
                heard(&frame, &mut checker, latencies);
            }
            FrameType::Ping => {
                // A full queue means that this end waits for its socket; then its words are the sign of life.
                drop(own.try_send(Order::Pong(bytes::Bytes::copy_from_slice(&frame.payload()))));
            }
            FrameType::Refused | FrameType::PeerGone => break true,
            FrameType::Hello
            | FrameType::Welcome
            | FrameType::PeerPresent
            | FrameType::Pong
            | FrameType::Goaway
            | FrameType::Prove
            | FrameType::Resume
            | FrameType::Rejoin => {}
        }
    };
    Work::Heard { _reader: reader, checker, frames, is_broken }
}

fn heard(frame: &WireFrame, checker: &mut Checker, latencies: &Mutex<Latencies>) {
    let came_ns = now_ns();
    let payload = Payload::read(&frame.payload());
    if let Some(payload) = payload.filter(|payload| payload.kind == Kind::Piece) {
        let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
        latencies.record(frame.header.lane, payload.due_ns, came_ns);
    }
    checker.on(frame.header.lane, payload.as_ref());
}
