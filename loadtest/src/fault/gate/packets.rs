//! What a bad network does to UDP packets: each one is taken, lost, doubled or held up by itself.
//!
//! A flow is what comes from one address of a tool; to the relay it comes from an address of its own, as behind a router
//! that translates addresses. Guarantees: at most [`FLOWS_MAX`] flows, each with at most [`UNDER_WAY_MAX`] packets under
//! way in each direction; a flow that has been quiet for [`IDLE`] is forgotten. Unlike a stream, nothing that meets a
//! hole comes later. What it cannot do: tell a tool that nobody listens at the relay.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng as _, rngs::StdRng};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Climate, Weather, sending};

/// Flows of one gate at most: two paths of a few thousand sessions.
const FLOWS_MAX: usize = 10_000;
/// Packets under way in one direction of a flow: a second of 1.2 MB/s, and three times that where it is fast.
const UNDER_WAY_MAX: usize = 1_024;
/// A flow that was quiet for so long is over: longer than any tool stays silent.
const IDLE: Duration = Duration::from_mins(1);
/// Longest UDP packet.
const PACKET_MAX: usize = 64 * 1024;
/// A line of limited rate keeps so much before it drops what comes, as routers at the edge do.
const QUEUE_MAX: Duration = Duration::from_millis(200);
/// A packet that is overtaken comes so much later than it would: a few of the next ones pass it.
const OVERTAKEN_BY: Duration = Duration::from_millis(20);
/// A double comes so much later than the packet.
const DOUBLE_AFTER: Duration = Duration::from_millis(1);

/// What all flows of a gate share.
#[derive(Clone)]
pub(super) struct Carrier {
    pub(super) near: Arc<UdpSocket>,
    pub(super) relay: SocketAddr,
    pub(super) climate: watch::Receiver<Climate>,
    pub(super) chance: Arc<Mutex<StdRng>>,
}

impl Carrier {
    /// Carries packets until the gate is dropped.
    pub(super) async fn run(self) {
        let mut flows: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
        let mut running = JoinSet::new();
        let mut packet = vec![0; PACKET_MAX];
        loop {
            tokio::select! {
                biased;
                Some(over) = running.join_next() => {
                    if let Ok(tool) = over {
                        flows.remove(&tool);
                    }
                }
                received = self.near.recv_from(&mut packet) => {
                    // What the system says about a tool that is gone is no packet.
                    let Ok((len, tool)) = received else { continue };
                    if FLOWS_MAX <= flows.len() && !flows.contains_key(&tool) {
                        continue;
                    }
                    let flow = flows.entry(tool).or_insert_with(|| {
                        let (sender, receiver) = mpsc::channel(UNDER_WAY_MAX);
                        running.spawn(self.clone().flow(tool, receiver));
                        sender
                    });
                    // A queue that is full drops, as any on the way does.
                    drop(flow.try_send(packet.get(..len).unwrap_or_default().to_vec()));
                }
            }
        }
    }

    /// Carries both directions of a flow until both have been quiet; gives the tool's address.
    async fn flow(self, tool: SocketAddr, mut from_tool: mpsc::Receiver<Vec<u8>>) -> SocketAddr {
        let Ok(far) = self.dial().await else { return tool };
        let mut packet = vec![0; PACKET_MAX];
        let (mut there, mut back) = (Way::new(&self), Way::new(&self));
        loop {
            let soon = [there.next_at(), back.next_at()].into_iter().flatten().min();
            let idle_at = Instant::now() + IDLE;
            tokio::select! {
                biased;
                () = sleep_until(soon.unwrap_or(idle_at)) => {
                    if soon.is_none() {
                        return tool;
                    }
                    for packet in there.due() {
                        drop(far.send(&packet).await);
                    }
                    for packet in back.due() {
                        drop(self.near.send_to(&packet, tool).await);
                    }
                }
                Some(packet) = from_tool.recv() => there.take(packet, |climate| climate.there),
                received = far.recv(&mut packet) => {
                    // Refused: nobody listens at the relay, which the tool finds out as silence.
                    let Ok(len) = received else { continue };
                    back.take(packet.get(..len).unwrap_or_default().to_vec(), |climate| climate.back);
                }
            }
        }
    }

    async fn dial(&self) -> io::Result<UdpSocket> {
        let far = UdpSocket::bind("127.0.0.1:0").await?;
        far.connect(self.relay).await?;
        Ok(far)
    }
}

/// One direction of a flow: what is under way, by when it arrives.
struct Way<'a> {
    carrier: &'a Carrier,
    packets: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    count: u64,
    /// When the line is free again.
    free_at: Instant,
    /// When the last packet arrives that nothing overtakes.
    last_at: Instant,
}

impl<'a> Way<'a> {
    fn new(carrier: &'a Carrier) -> Self {
        let now = Instant::now();
        Self { carrier, packets: BinaryHeap::new(), count: 0, free_at: now, last_at: now }
    }

    /// Decides what becomes of a packet that is sent now.
    fn take(&mut self, packet: Vec<u8>, of: fn(&Climate) -> Weather) {
        let (weather, now) = (of(&self.carrier.climate.borrow()), Instant::now());
        let is_too_long = 0 < weather.packet_max && weather.packet_max < packet.len();
        let free_at = self.free_at.max(now) + sending(&weather, packet.len());
        if weather.hole || is_too_long || now + QUEUE_MAX < free_at || UNDER_WAY_MAX <= self.packets.len() {
            return;
        }
        self.free_at = free_at;
        let mut chance = self.carrier.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut happens = |share: f64| chance.random_bool(share.clamp(0.0, 1.0));
        let (is_lost, is_overtaken, is_doubled) =
            (happens(weather.loss), happens(weather.overtaken), happens(weather.doubled));
        let jitter = weather.jitter.mul_f64(chance.random());
        drop(chance);
        if is_lost {
            return;
        }
        let mut at = (free_at + weather.delay + jitter).max(self.last_at);
        if is_overtaken {
            at += OVERTAKEN_BY;
        } else {
            self.last_at = at;
        }
        if is_doubled {
            self.put(at + DOUBLE_AFTER, packet.clone());
        }
        self.put(at, packet);
    }

    fn put(&mut self, at: Instant, packet: Vec<u8>) {
        self.count = self.count.wrapping_add(1);
        self.packets.push(Reverse((at, self.count, packet)));
    }

    fn next_at(&self) -> Option<Instant> {
        self.packets.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes out what arrives by now, in order.
    fn due(&mut self) -> Vec<Vec<u8>> {
        let now = Instant::now();
        let mut due = Vec::new();
        while self.next_at().is_some_and(|at| at <= now)
            && let Some(Reverse((_, _, packet))) = self.packets.pop()
        {
            due.push(packet);
        }
        due
    }
}
