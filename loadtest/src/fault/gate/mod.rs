//! A gate between tools and one relay: a forwarder in user space on loopback that does to the bytes what a bad network
//! does. It needs no rights of the system and works where `tc netem` does not.
//!
//! What it does is set in [`Weather`] and may change at any time; chance comes from a seed. TCP is forwarded as a byte
//! stream, so a lost packet is what TCP makes of it: everything behind it waits for a retransmission. A black hole
//! takes nothing and says nothing, not even that a side has closed; what was on its way arrives when it lifts. UDP on
//! the same port is forwarded packet by packet (`packets.rs`).
//! Guarantees: at most [`UNDER_WAY_MAX`] chunks are under way in each direction of a connection; everything ends when
//! the gate is dropped.

mod packets;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream, UdpSocket,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use self::packets::Carrier;

/// Bytes that are read at once.
const CHUNK_LEN: usize = 16 * 1024;
/// Chunks under way in one direction of a connection: a second of 8 MB/s.
const UNDER_WAY_MAX: usize = 512;
/// Payload of a packet of TCP on most networks.
const PACKET_LEN: usize = 1_448;
/// What TCP waits beside two round trips before it probes for a lost last packet. Source: RFC 8985 section 7.2, with
/// Linux's `TCP_RTO_MIN`.
const RETRANSMIT_MIN: Duration = Duration::from_millis(200);

/// Ports that are free for TCP and taken for UDP, one after another, at most.
const PORTS_TRIED_MAX: u32 = 16;

/// What a gate does in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weather {
    /// Nothing passes.
    pub hole: bool,
    /// Each byte is on its way this long.
    pub delay: Duration,
    /// And up to this much longer, at random; never before an earlier byte.
    pub jitter: Duration,
    /// Share of packets that are lost, 0–1.
    pub loss: f64,
    /// Bytes a second; as many as there are when 0.
    pub rate: u64,
    /// Share of packets that later ones overtake, 0–1. UDP only, as the following: TCP shows none of them.
    pub overtaken: f64,
    /// Share of packets that come twice, 0–1.
    pub doubled: f64,
    /// Packets with more bytes vanish, and nobody is told; none when 0.
    pub packet_max: usize,
}

/// Both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Climate {
    /// From the tool to the relay.
    pub there: Weather,
    /// From the relay to the tool.
    pub back: Weather,
}

/// A running gate. Dropping it closes it.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    climate: watch::Sender<Climate>,
    of_packets: watch::Sender<Climate>,
    cut: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl Weather {
    /// Everything passes at once.
    pub const GOOD: Self = Self {
        hole: false,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        rate: 0,
        overtaken: 0.0,
        doubled: 0.0,
        packet_max: 0,
    };
}

impl Climate {
    /// The same in both directions.
    pub const fn both(weather: Weather) -> Self {
        Self { there: weather, back: weather }
    }

    /// Nothing passes in either direction.
    pub const fn hole() -> Self {
        Self::both(Weather { hole: true, ..Weather::GOOD })
    }
}

impl Gate {
    /// Opens a gate to `relay` on a free port of loopback.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn open(relay: SocketAddr, seed: u64) -> Result<Self> {
        let (listener, near) = listen().await?;
        let address = listener.local_addr()?;
        let (climate, of_packets) = (watch::Sender::new(Climate::default()), watch::Sender::new(Climate::default()));
        let cut = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        let (seen, cuts) = (climate.subscribe(), cut.subscribe());
        let chance = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let packets =
            Carrier { near: Arc::new(near), relay, climate: of_packets.subscribe(), chance: Arc::clone(&chance) };
        tasks.spawn(packets.run());
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((near, _)) = accepted else { continue };
                        let line = Line { climate: seen.clone(), chance: Arc::clone(&chance) };
                        lines.spawn(line.carry(near, relay, cuts.clone()));
                    }
                    Some(_over) = lines.join_next() => {}
                }
            }
        });
        Ok(Self { address, climate, of_packets, cut, _tasks: tasks })
    }

    /// Where tools dial.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does.
    pub fn set(&self, climate: Climate) {
        self.climate.send_replace(climate);
        self.of_packets.send_replace(climate);
    }

    /// Changes what it does to UDP only.
    pub fn set_packets(&self, climate: Climate) {
        self.of_packets.send_replace(climate);
    }

    /// Resets every TCP connection through it.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// One free port for both.
async fn listen() -> Result<(TcpListener, UdpSocket)> {
    let mut tries = 0;
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        match UdpSocket::bind(listener.local_addr()?).await {
            Ok(near) => return Ok((listener, near)),
            Err(_taken) if tries < PORTS_TRIED_MAX => tries += 1,
            Err(taken) => return Err(taken.into()),
        }
    }
}

/// One connection through a gate.
#[derive(Clone)]
struct Line {
    climate: watch::Receiver<Climate>,
    chance: Arc<Mutex<StdRng>>,
}

impl Line {
    async fn carry(mut self, mut near: TcpStream, relay: SocketAddr, mut cuts: watch::Receiver<u64>) {
        cuts.mark_unchanged();
        // A first packet into a black hole is sent again until it lifts.
        let is_open = |climate: &Climate| !climate.there.hole && !climate.back.hole;
        if self.climate.wait_for(is_open).await.is_err() {
            return;
        }
        let Ok(mut far) = TcpStream::connect(relay).await else {
            return reset(&near);
        };
        for stream in [&near, &far] {
            if stream.set_nodelay(true).is_err() {
                return;
            }
        }
        let is_cut = {
            let (near_in, near_out) = near.split();
            let (far_in, far_out) = far.split();
            let there = self.clone().pass(near_in, far_out, |climate| climate.there);
            let back = self.pass(far_in, near_out, |climate| climate.back);
            tokio::select! {
                both = async { tokio::try_join!(there, back) } => both.is_err(),
                // A change of the counter, or a gate that is gone.
                _cut = cuts.changed() => true,
            }
        };
        if is_cut {
            reset(&near);
            reset(&far);
        }
    }

    /// Carries one direction until it ends; an error says that it broke, and that both ends are to be reset at once: an
    /// end that waits for a word would hear of it only after it has said some itself.
    async fn pass(self, mut from: ReadHalf<'_>, to: WriteHalf<'_>, of: fn(&Climate) -> Weather) -> Result<(), Broken> {
        let (sender, receiver) = mpsc::channel(UNDER_WAY_MAX);
        let reading = async {
            let mut climate = self.climate.clone();
            let mut free_at = Instant::now();
            loop {
                let mut bytes = vec![0; CHUNK_LEN];
                let count = from.read(&mut bytes).await;
                if climate.wait_for(|climate| !of(climate).hole).await.is_err() {
                    return;
                }
                let weather = of(&climate.borrow());
                let (len, end) = match count {
                    Ok(0) => (0, Some(End::Closed)),
                    Ok(len) => (len, None),
                    Err(_broken) => (0, Some(End::Broken)),
                };
                bytes.truncate(len);
                free_at = free_at.max(Instant::now()) + sending(&weather, len);
                let (way, is_lost) = self.fate(&weather, len);
                let chunk = Chunk { sent_at: free_at, way, is_lost, bytes, end };
                if sender.send(chunk).await.is_err() || end.is_some() {
                    return;
                }
            }
        };
        tokio::join!(reading, deliver(receiver, to, self.climate.clone(), of)).1
    }

    /// How long these bytes are on their way, and whether a packet of them is lost.
    fn fate(&self, weather: &Weather, len: usize) -> (Duration, bool) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let way = weather.delay + weather.jitter.mul_f64(chance.random());
        let loss = weather.loss.clamp(0.0, 1.0);
        let is_lost = (0..len.div_ceil(PACKET_LEN)).any(|_packet| chance.random_bool(loss));
        (way, is_lost)
    }
}

/// Bytes under way.
struct Chunk {
    sent_at: Instant,
    way: Duration,
    is_lost: bool,
    bytes: Vec<u8>,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Closed,
    Broken,
}

/// A connection was reset.
struct Broken;

/// Writes what comes when its time has come; an error when the last of it is a reset.
async fn deliver(
    mut chunks: mpsc::Receiver<Chunk>,
    mut to: WriteHalf<'_>,
    mut climate: watch::Receiver<Climate>,
    of: fn(&Climate) -> Weather,
) -> Result<(), Broken> {
    let mut next = None;
    loop {
        let Some(chunk) = (match next.take() {
            Some(chunk) => Some(chunk),
            None => chunks.recv().await,
        }) else {
            return Ok(());
        };
        let Chunk { sent_at, way, is_lost, bytes, end } = chunk;
        let mut at = sent_at + way;
        if is_lost {
            // A lost packet is sent again when a later one was answered, else when the sender's patience ends.
            let round_trip = way * 2;
            let last_at = sent_at + RETRANSMIT_MIN + round_trip * 2;
            next = timeout_at(last_at, chunks.recv()).await.ok().flatten();
            let noticed_at = next.as_ref().map_or(last_at, |later| later.sent_at + round_trip + round_trip / 4);
            at = noticed_at.min(last_at) + way;
        }
        sleep_until(at).await;
        if climate.wait_for(|climate| !of(climate).hole).await.is_err() || to.write_all(&bytes).await.is_err() {
            // The other direction reads what became of this connection.
            return Ok(());
        }
        match end {
            None => {}
            Some(End::Closed) => {
                // A receiver that is gone needs no end.
                drop(to.shutdown().await);
                return Ok(());
            }
            Some(End::Broken) => return Err(Broken),
        }
    }
}

/// How long a line of this rate is busy with so many bytes.
fn sending(weather: &Weather, len: usize) -> Duration {
    let bytes = u32::try_from(len).unwrap_or(u32::MAX);
    if weather.rate == 0 {
        return Duration::ZERO;
    }
    let rate = u32::try_from(weather.rate).unwrap_or(u32::MAX);
    Duration::from_secs(1).mul_f64(f64::from(bytes) / f64::from(rate))
}

/// Lets a connection end with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    if stream.set_zero_linger().is_err() {
        // It is closed already.
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A gate to a socket that says every packet back, and a tool's socket in front of it.
    async fn packet_gate() -> (Gate, UdpSocket) {
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate::open(relay.local_addr().unwrap(), 1).await.unwrap();
        tokio::spawn(async move {
            let mut packet = [0; 2048];
            while let Ok((len, from)) = relay.recv_from(&mut packet).await {
                relay.send_to(&packet[..len], from).await.unwrap();
            }
        });
        let tool = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        tool.connect(gate.address()).await.unwrap();
        (gate, tool)
    }

    /// Numbers that come back, in the order in which they come, until nothing more comes.
    async fn numbers_back(tool: &UdpSocket) -> Vec<u8> {
        let mut numbers = Vec::new();
        let mut packet = [0; 2048];
        while let Ok(received) = timeout(Duration::from_millis(300), tool.recv(&mut packet)).await {
            received.unwrap();
            numbers.push(packet[0]);
        }
        numbers
    }

    async fn send_numbers(tool: &UdpSocket, count: u8, len: usize) {
        for number in 0..count {
            let mut packet = vec![0; len];
            packet[0] = number;
            tool.send(&packet).await.unwrap();
        }
    }

    #[tokio::test]
    async fn packets_pass_in_order_and_a_hole_keeps_what_it_swallowed() {
        let (gate, tool) = packet_gate().await;
        send_numbers(&tool, 50, 100).await;
        assert_eq!(numbers_back(&tool).await, (0..50).collect::<Vec<_>>());

        gate.set_packets(Climate::hole());
        send_numbers(&tool, 5, 100).await;
        assert!(numbers_back(&tool).await.is_empty());
        gate.set(Climate::default());

        assert!(numbers_back(&tool).await.is_empty(), "what met a hole is gone");
        send_numbers(&tool, 5, 100).await;
        assert_eq!(numbers_back(&tool).await.len(), 5);
    }

    #[tokio::test]
    async fn long_packets_vanish_where_short_ones_pass() {
        let (gate, tool) = packet_gate().await;
        let there = Weather { packet_max: 1_200, ..Weather::GOOD };
        gate.set(Climate { there, ..Climate::default() });

        send_numbers(&tool, 5, 1_201).await;
        assert!(numbers_back(&tool).await.is_empty());
        send_numbers(&tool, 5, 1_200).await;
        assert_eq!(numbers_back(&tool).await.len(), 5);
    }

    #[tokio::test]
    async fn some_packets_are_lost_some_doubled_and_some_overtaken() {
        let (gate, tool) = packet_gate().await;
        let sent: Vec<u8> = (0..100).collect();

        gate.set(Climate { there: Weather { loss: 0.3, ..Weather::GOOD }, ..Climate::default() });
        send_numbers(&tool, 100, 100).await;
        let some = numbers_back(&tool).await;
        assert!((40..95).contains(&some.len()), "{some:?}");
        assert!(some.is_sorted());

        gate.set(Climate { there: Weather { doubled: 0.3, ..Weather::GOOD }, ..Climate::default() });
        send_numbers(&tool, 100, 100).await;
        let mut more = numbers_back(&tool).await;
        assert!((105..160).contains(&more.len()), "{more:?}");
        more.sort_unstable();
        more.dedup();
        assert_eq!(more, sent);

        gate.set(Climate { there: Weather { overtaken: 0.3, ..Weather::GOOD }, ..Climate::default() });
        send_numbers(&tool, 100, 100).await;
        let mut mixed = numbers_back(&tool).await;
        assert!(!mixed.is_sorted(), "{mixed:?}");
        mixed.sort_unstable();
        assert_eq!(mixed, sent);
    }

    #[tokio::test]
    async fn a_slow_line_delays_packets_and_drops_what_its_queue_does_not_hold() {
        let (gate, tool) = packet_gate().await;
        let (rate, delay) = (100_000, Duration::from_millis(30));
        gate.set(Climate { there: Weather { delay, rate, ..Weather::GOOD }, ..Climate::default() });
        let begun = Instant::now();

        // 200 ms of the line are 20 packets; the gate may be late in taking them.
        send_numbers(&tool, 100, 1_000).await;
        let some = numbers_back(&tool).await;

        assert!(delay <= begun.elapsed());
        assert!((15..90).contains(&some.len()), "{some:?}");
        assert!(some.is_sorted());
    }

    /// A gate to a listener that says everything back.
    async fn gate() -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let mut bytes = [0; 4096];
                    while let Ok(count) = from.read(&mut bytes).await {
                        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Gate::open(address, 1).await.unwrap()
    }

    async fn echo(stream: &mut TcpStream, word: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(word).await?;
        let mut back = vec![0; word.len()];
        stream.read_exact(&mut back).await?;
        Ok(back)
    }

    #[tokio::test]
    async fn in_good_weather_every_byte_passes_and_so_does_an_end() {
        let gate = gate().await;
        let mut stream = TcpStream::connect(gate.address()).await.unwrap();

        assert_eq!(echo(&mut stream, b"hello").await.unwrap(), b"hello");
        stream.shutdown().await.unwrap();
        assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_hole_takes_nothing_and_gives_it_back_when_it_lifts() {
        let gate = gate().await;
        let mut stream = TcpStream::connect(gate.address()).await.unwrap();
        echo(&mut stream, b"before").await.unwrap();
        gate.set(Climate { back: Weather { hole: true, ..Weather::default() }, ..Climate::default() });

        stream.write_all(b"within").await.unwrap();
        let mut back = [0; 6];
        let silent = timeout(Duration::from_millis(200), stream.read_exact(&mut back)).await;
        assert!(silent.is_err(), "a hole says nothing");
        gate.set(Climate::default());
        timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();

        assert_eq!(&back, b"within");
    }

    #[tokio::test]
    async fn a_delay_counts_both_ways_and_keeps_the_order() {
        let gate = gate().await;
        let weather = Weather {
            delay: Duration::from_millis(40),
            jitter: Duration::from_millis(20),
            loss: 0.1,
            ..Weather::default()
        };
        gate.set(Climate::both(weather));
        let mut stream = TcpStream::connect(gate.address()).await.unwrap();
        let begun = Instant::now();
        let words: Vec<u8> = (0..200).collect();

        for word in words.chunks(20) {
            assert_eq!(timeout(PATIENCE, echo(&mut stream, word)).await.unwrap().unwrap(), word);
        }

        assert!(Duration::from_millis(800) <= begun.elapsed(), "ten round trips of 80 ms and more");
    }

    #[tokio::test]
    async fn a_reset_reaches_an_end_that_says_nothing_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate::open(listener.local_addr().unwrap(), 1).await.unwrap();
        let mut tool = TcpStream::connect(gate.address()).await.unwrap();
        tool.write_all(b"hello").await.unwrap();
        let (mut relay, _) = listener.accept().await.unwrap();
        relay.read_exact(&mut [0; 5]).await.unwrap();

        reset(&tool);
        drop(tool);

        let gone = timeout(PATIENCE, relay.read(&mut [0; 8])).await.expect("the other end is told");
        assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_cut_resets_and_the_next_connection_is_whole() {
        let gate = gate().await;
        let mut stream = TcpStream::connect(gate.address()).await.unwrap();
        echo(&mut stream, b"before").await.unwrap();

        gate.cut();
        let gone = timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap();
        assert!(!matches!(gone, Ok(1..)), "{gone:?}");

        let mut next = TcpStream::connect(gate.address()).await.unwrap();
        assert_eq!(echo(&mut next, b"after").await.unwrap(), b"after");
    }
}
