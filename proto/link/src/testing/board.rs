//! Two tools and several relays in memory, for tests of what happens when relays die and lanes overtake each other.
//!
//! A relay here admits whoever says hello, pairs the two roles, and passes frames on; each lane of each direction takes
//! a time of its own, so that lanes overtake each other and frames of one lane never do. A frame goes to whoever sits at
//! the other side when its time has come. Works with paused time; the same seed does the same.
//!
//! A tool that is dropped is one that was killed; [`Board::restart`] starts it again with what it kept. An evil relay
//! says again what a tool has said ([`Board::said`], [`Board::inject`]).
//!
//! Tools may also meet here by themselves ([`Board::look`]), and each of them may find a relay's door shut
//! ([`Board::set_door`]).
//!
//! A manager renews tickets while it is there. A ticket is the time at which it expires, and a relay looks at it; a relay
//! that was started again may have another key, which tools learn from the manager only.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use proto::{
    api::reception::{Pairing, RelayAddress},
    close::CloseReason,
    frame::{FrameType, Lane},
    hello::{Hello, RelayWord},
    id::RelayId,
    limits,
    role::Role,
    seal::rejoin::{Kind, RejoinSecret},
    ticket::ProofKey,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{DuplexStream, ReadHalf, duplex, split},
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{INTRODUCTION, NETWORK_LEN, SESSION_ID, keys};
use crate::{
    framed::{self, FrameReader},
    join::{self, Admission},
    keepalive,
    meet::{self, MeetError, Meeting},
    race::Dialer,
    sealed::{Dial, Renew, RenewError, Renewed, Sealed, Way},
    tcp::{Connection, DialError},
    transport::Transport,
};

/// After this long a dial that nobody answers has failed.
const UNANSWERED: Duration = Duration::from_secs(20);
/// Pause between two looks whether what a tool says arrives again.
const UNHEARD_LOOK: Duration = Duration::from_millis(10);
/// Frames under way in one direction or lane at most.
const QUEUE_MAX: usize = 16 * 1024;

/// Relays that tools can be cut off from; a clone is the same ones.
#[derive(Clone)]
pub struct Board {
    relays: Arc<Vec<Mutex<Relay>>>,
    random: Arc<Mutex<StdRng>>,
    delay_max: Duration,
    manager: Arc<Mutex<Manager>>,
    tools: Arc<Mutex<HashMap<Role, Tool>>>,
    said: Arc<Mutex<Vec<(Role, Bytes)>>>,
    cut_at: Arc<Mutex<Option<Kind>>>,
    begun: Instant,
}

/// What a tool keeps over a restart.
struct Tool {
    proof_key: Arc<ProofKey>,
    restarts: u32,
}

#[derive(Default)]
struct Manager {
    is_gone: bool,
    /// Tickets that were given.
    renewals: u64,
}

/// How a relay receives one of the tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Door {
    /// As it should.
    #[default]
    Open,
    /// The dial fails at once.
    Shut,
    /// Nobody answers.
    Silent,
    /// The hello is refused.
    Full,
}

#[derive(Default)]
struct Relay {
    is_dead: bool,
    doors: HashMap<Role, Door>,
    /// How often each tool came.
    dials: HashMap<Role, u32>,
    /// How often it has another key now.
    key: u32,
    /// Frames of the other tool take so much longer over it.
    slower: Duration,
    /// Whom it does not hear, although it speaks to them.
    unheard: HashSet<Role>,
    seats: HashMap<Role, Seat>,
}

struct Seat {
    serial: u64,
    generation: u32,
    to: mpsc::Sender<Bytes>,
    cut: CancellationToken,
}

impl Board {
    /// `count` relays; a frame takes up to `delay_max`.
    pub fn new(count: usize, delay_max: Duration, seed: u64) -> Self {
        let relays = (0..count).map(|_| Mutex::default()).collect();
        Self {
            relays: Arc::new(relays),
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            delay_max,
            manager: Arc::default(),
            tools: Arc::default(),
            said: Arc::default(),
            cut_at: Arc::default(),
            begun: Instant::now(),
        }
    }

    /// Takes the manager away, or brings it back.
    pub fn lose_manager(&self, is_gone: bool) {
        lock(&self.manager).is_gone = is_gone;
    }

    /// Tickets that the manager has renewed.
    pub fn renewals(&self) -> u64 {
        lock(&self.manager).renewals
    }

    /// Gives a relay another key, as one that was started again may have.
    pub fn change_key(&self, relay: usize) {
        if let Some(relay) = self.relays.get(relay) {
            let mut relay = lock(relay);
            relay.key = relay.key.saturating_add(1);
        }
    }

    fn renew(&self) -> Result<Renewed, RenewError> {
        let mut manager = lock(&self.manager);
        if manager.is_gone {
            return Err(RenewError::Later);
        }
        manager.renewals = manager.renewals.saturating_add(1);
        Ok(Renewed { ticket: self.ticket(), relays: self.addresses() })
    }

    /// The time at which it expires.
    fn ticket(&self) -> String {
        (self.begun.elapsed() + limits::TICKET_LIFE).as_millis().to_string()
    }

    fn is_valid(&self, ticket: &str) -> bool {
        ticket.parse().is_ok_and(|expires_at: u128| self.begun.elapsed().as_millis() < expires_at)
    }

    fn addresses(&self) -> Vec<RelayAddress> {
        (0u8..)
            .zip(self.relays.iter())
            .map(|(index, relay)| RelayAddress {
                relay_id: RelayId::from_bytes([index; 16]),
                address: String::new(),
                spki: lock(relay).key.to_string(),
            })
            .collect()
    }

    /// Two tools that met at the first relay: `(customer, operator)`. Must be called inside a runtime.
    ///
    /// # Errors
    /// None, unless the test has killed the first relay.
    pub async fn meet(&self) -> io::Result<(Sealed, Sealed)> {
        let (customer_keys, operator_keys) = keys();
        let mut sides = Vec::new();
        for (role, keys) in [(Role::Customer, customer_keys), (Role::Operator, operator_keys)] {
            let proof_key = Arc::new(ProofKey::random(&mut rand_core::OsRng));
            let mut connection = self.dial(0, "0", role).map_err(io::Error::other)?;
            let admission = Admission { ticket: &self.ticket(), proof_key: &proof_key, generation: 1 };
            join::join(&mut connection, &admission).await.map_err(io::Error::other)?;
            sides.push((role, keys, proof_key, connection));
        }
        let mut met = sides.into_iter().map(|(role, keys, proof_key, connection)| {
            lock(&self.tools).insert(role, Tool { proof_key: Arc::clone(&proof_key), restarts: 0 });
            let way = self.way(role, proof_key, 0);
            Sealed::start(connection, keys, role, RelayId::from_bytes([0; 16]), Some(way))
        });
        match (met.next(), met.next()) {
            (Some(customer), Some(operator)) => Ok((customer, operator)),
            (Some(_) | None, _) => Err(io::Error::other("two sides met")),
        }
    }

    /// Starts a tool again that met and was dropped since: it comes back with the secret that it kept.
    ///
    /// # Errors
    /// Why the session is over for this tool.
    pub async fn restart(&self, role: Role, secret: RejoinSecret) -> Result<Sealed, CloseReason> {
        let (proof_key, restarts) = {
            let mut tools = lock(&self.tools);
            let Some(tool) = tools.get_mut(&role) else { return Err(CloseReason::Abnormal) };
            tool.restarts = tool.restarts.saturating_add(1);
            (Arc::clone(&tool.proof_key), tool.restarts)
        };
        Sealed::rejoin(secret, role, self.way(role, proof_key, restarts)).await
    }

    /// A tool that looks for the other one at all relays, as tools do that have got their pairing. Must be called inside
    /// a runtime.
    ///
    /// # Errors
    /// Why they did not meet.
    pub async fn look(&self, role: Role) -> Result<Sealed, MeetError> {
        let pairing = Pairing {
            session_id: SESSION_ID,
            introduction: INTRODUCTION.to_owned(),
            ticket: self.ticket(),
            relays: self.addresses(),
        };
        let meeting = Meeting {
            role,
            pairing,
            proof_key: Arc::new(ProofKey::random(&mut rand_core::OsRng)),
            secret: Zeroizing::new(b"3381".to_vec()),
            renew: None,
            dialer: Dialer::default(),
        };
        meet::meet_by(self.dial_as(role), meeting).await
    }

    /// Relays.
    #[expect(clippy::len_without_is_empty, reason = "a board without relays is none")]
    pub fn len(&self) -> usize {
        self.relays.len()
    }

    /// From now on a relay receives a tool in this way.
    pub fn set_door(&self, relay: usize, role: Role, door: Door) {
        if let Some(relay) = self.relays.get(relay) {
            lock(relay).doors.insert(role, door);
        }
    }

    /// How often a tool dialed a relay.
    pub fn dials(&self, relay: usize, role: Role) -> u32 {
        self.relays.get(relay).and_then(|relay| lock(relay).dials.get(&role).copied()).unwrap_or(0)
    }

    fn door(&self, relay: usize, role: Role) -> Door {
        self.relays.get(relay).and_then(|relay| lock(relay).doors.get(&role).copied()).unwrap_or_default()
    }

    fn dial_as(&self, role: Role) -> Dial {
        let board = self.clone();
        Arc::new(move |relay: RelayAddress| {
            let (board, index) = (board.clone(), usize::from(relay.relay_id.as_bytes()[0]));
            Box::pin(async move {
                if board.door(index, role) == Door::Silent {
                    sleep(UNANSWERED).await;
                    return Err(DialError::Timeout);
                }
                board.dial(index, &relay.spki, role)
            })
        })
    }

    fn way(&self, role: Role, proof_key: Arc<ProofKey>, restarts: u32) -> Way {
        let dial = self.dial_as(role);
        let board = self.clone();
        let renew: Renew = Arc::new(move || {
            let renewed = board.renew();
            Box::pin(async move { renewed })
        });
        let session = (SESSION_ID, INTRODUCTION.to_owned());
        let (ticket, relays) = (self.ticket(), self.addresses());
        Way { dial, ticket, proof_key, relays, generation: meet::generation(restarts), session, renew: Some(renew) }
    }

    /// The frames by which tools came back so far, and who said each, in order.
    pub fn said(&self) -> Vec<(Role, Bytes)> {
        lock(&self.said).clone()
    }

    /// Cuts off whoever says the next such step of a rejoin, before it arrives.
    pub fn cut_at_step(&self, step: Kind) {
        *lock(&self.cut_at) = Some(step);
    }

    /// Says something to whoever sits at a relay, as only an evil one does.
    pub fn inject(&self, relay: usize, to: Role, wire: Bytes) {
        if let Some(seat) = self.relays.get(relay).map(lock).and_then(|relay| Some(relay.seats.get(&to)?.to.clone())) {
            drop(seat.try_send(wire));
        }
    }

    /// Kills a relay, or lets it live again: connections to it break, and others are refused.
    pub fn kill(&self, relay: usize, is_dead: bool) {
        let Some(relay) = self.relays.get(relay) else { return };
        let mut relay = lock(relay);
        relay.is_dead = is_dead;
        if is_dead {
            for role in [Role::Customer, Role::Operator] {
                if let Some(seat) = relay.seats.remove(&role) {
                    seat.cut.cancel();
                }
            }
        }
    }

    /// Lets sealed frames take so much longer over a relay from now on, as if each one were lost and sent again.
    pub fn slow_down(&self, relay: usize, slower: Duration) {
        if let Some(relay) = self.relays.get(relay) {
            lock(relay).slower = slower;
        }
    }

    /// From now on nothing that a tool says arrives at a relay, and what the relay says goes on to arrive there; or
    /// everything does again.
    pub fn set_unheard(&self, relay: usize, role: Role, is_unheard: bool) {
        let Some(relay) = self.relays.get(relay) else { return };
        let mut relay = lock(relay);
        if is_unheard {
            relay.unheard.insert(role);
        } else {
            relay.unheard.remove(&role);
        }
    }

    /// Cuts one side off from a relay; it may come back at once.
    pub fn cut(&self, relay: usize, role: Role) {
        if let Some(relay) = self.relays.get(relay)
            && let Some(seat) = lock(relay).seats.get(&role)
        {
            seat.cut.cancel();
        }
    }

    fn dial(&self, relay: usize, spki: &str, role: Role) -> Result<Connection<crate::tcp::AnyStream>, DialError> {
        let is_there = self.relays.get(relay).map(lock).is_some_and(|mut at| {
            let dials = at.dials.entry(role).or_default();
            *dials = dials.saturating_add(1);
            !at.is_dead && at.key.to_string() == spki
        });
        if !is_there || self.door(relay, role) == Door::Shut {
            return Err(DialError::Failed(io::ErrorKind::ConnectionRefused.into()));
        }
        let (near, far) = duplex(NETWORK_LEN);
        let board = self.clone();
        tokio::spawn(async move { board.serve(relay, role, far).await });
        Ok(Connection::new(Box::new(near), [0; 32], Transport::Quic))
    }

    async fn serve(self, relay: usize, role: Role, far: DuplexStream) {
        let (from, mut to) = split(far);
        let mut reader = FrameReader::new(from);
        let Ok(Some(hello)) = reader.next().await else { return };
        debug_assert_eq!(hello.header.kind, FrameType::Hello, "a tool says hello first");
        let hello = Hello::parse(&hello.payload()).ok().filter(|hello| self.is_valid(&hello.ticket));
        let is_full = self.door(relay, role) == Door::Full;
        let Some(Hello { generation, .. }) = hello.filter(|_| !is_full) else {
            let reason = if is_full { CloseReason::Overloaded } else { CloseReason::TicketExpired };
            let refused = RelayWord::Refused(reason).to_frame();
            // The tool reads it, or has gone.
            drop(framed::write_all(&mut to, &[framed::to_wire(&refused)]).await);
            return;
        };
        let (queue, mut queued) = mpsc::channel::<Bytes>(QUEUE_MAX);
        let (cut, serial) = (CancellationToken::new(), lock(&self.random).random());
        let Some(place) = self.relays.get(relay) else { return };
        {
            let mut seats = lock(place);
            let is_old = seats.seats.get(&role).is_some_and(|seated| generation <= seated.generation);
            if seats.is_dead || is_old {
                return;
            }
            let seat = Seat { serial, generation, to: queue.clone(), cut: cut.clone() };
            if let Some(displaced) = seats.seats.insert(role, seat) {
                displaced.cut.cancel();
            }
            let peer = seats.seats.get(&role.other());
            say(&queue, RelayWord::Welcome { peer_present: peer.is_some() });
            if let Some(peer) = peer {
                say(&peer.to, RelayWord::PeerPresent);
            }
        }
        let write = async {
            while let Some(wire) = queued.recv().await {
                if framed::write_all(&mut to, &[wire]).await.is_err() {
                    return;
                }
            }
        };
        let ping = async {
            loop {
                sleep(limits::PING_INTERVAL).await;
                drop(queue.send(framed::to_wire(&keepalive::ping(Bytes::from_static(&[0; 8])))).await);
            }
        };
        tokio::select! {
            () = cut.cancelled() => {}
            () = write => {}
            () = ping => {}
            () = self.pass_on(relay, role, reader, queue.clone()) => {}
        }
        let mut seats = lock(place);
        if seats.seats.get(&role).is_some_and(|seat| seat.serial == serial) {
            seats.seats.remove(&role);
            if let Some(peer) = seats.seats.get(&role.other()) {
                say(&peer.to, RelayWord::PeerGone(CloseReason::PeerLost));
            }
        }
    }

    /// Reads until the connection ends. Each lane has a task of its own, which goes on for a while after that.
    async fn pass_on(
        &self,
        relay: usize,
        role: Role,
        mut reader: FrameReader<ReadHalf<DuplexStream>>,
        own: mpsc::Sender<Bytes>,
    ) {
        let lanes = Lane::ALL.map(|_lane| {
            let (lane, mut frames) = mpsc::channel::<(Instant, Bytes)>(QUEUE_MAX);
            let board = self.clone();
            tokio::spawn(async move {
                while let Some((at, wire)) = frames.recv().await {
                    sleep_until(at).await;
                    let to = board
                        .relays
                        .get(relay)
                        .and_then(|relay| Some(lock(relay).seats.get(&role.other())?.to.clone()));
                    // Nobody there: it is lost, as at a relay.
                    if let Some(to) = to {
                        drop(to.send(wire).await);
                    }
                }
            });
            lane
        });
        while let Ok(Some(frame)) = reader.next().await {
            // It waits on the way, as a stream does behind what is lost.
            while self.relays.get(relay).is_some_and(|relay| lock(relay).unheard.contains(&role)) {
                sleep(UNHEARD_LOOK).await;
            }
            if frame.header.kind == FrameType::Ping {
                drop(own.send(framed::to_wire(&keepalive::pong(frame.payload()))).await);
            } else if matches!(
                frame.header.kind,
                FrameType::Prove | FrameType::Sealed | FrameType::Resume | FrameType::Rejoin
            ) {
                if frame.header.kind == FrameType::Rejoin {
                    lock(&self.said).push((role, frame.wire.clone()));
                    if lock(&self.cut_at).take_if(|step| Kind::of(&frame.payload()) == Some(*step)).is_some() {
                        return;
                    }
                }
                let delay = self.delay_max.mul_f64(lock(&self.random).random());
                let slower = self.relays.get(relay).map(|relay| lock(relay).slower).unwrap_or_default();
                let at = Instant::now() + delay + slower;
                if let Some(lane) = lanes.get(usize::from(frame.header.lane.code())) {
                    drop(lane.send((at, frame.wire)).await);
                }
            }
            // Reads are not all at once either.
            sleep(Duration::from_micros(100)).await;
        }
    }
}

fn say(to: &mpsc::Sender<Bytes>, word: RelayWord) {
    // A queue that is full belongs to a test that has gone wrong.
    drop(to.try_send(framed::to_wire(&word.to_frame())));
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
