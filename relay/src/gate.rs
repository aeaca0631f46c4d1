//! Who may come in: what one connection takes of the relay's bounds, before anything is read from it and once it is
//! admitted.
//!
//! A connection holds a [`Place`] for its whole life and a [`Handshake`] until it is admitted; dropping them gives them
//! back. The places for handshakes are shared: no source may hold more than half of those that are left, so that no few
//! sources keep the others out. Every listener, whatever its transport, asks the one gate of the relay. A connection
//! that is turned away costs an accept and a close, and is counted by the reason. One that is admitted needs a seat: nine
//! of ten are for anybody, the last are for tools whose session is here already, so that a full relay does not lose
//! those it has.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use proto::{close::CloseReason, hello::Hello, ticket::Ticket};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    admit::{Expected, Keys},
    config::Limits,
    limit::Bucket,
    memory::Memory,
    sources::{Counted, Shaking, Sources, TooMany},
    verify::{Denied, Verifier},
};

/// One place of this many is kept: seats for tools that come back, and handshakes while memory is short.
const RESERVED_OF: usize = 10;

/// See the module.
pub(crate) struct Gate {
    seats: Arc<Semaphore>,
    seats_reserved: usize,
    handshakes: Arc<Semaphore>,
    handshakes_max: usize,
    descriptors: Arc<Semaphore>,
    accepts: Mutex<Bucket>,
    sources: Sources,
    memory: Memory,
    verifier: Verifier,
    serial: AtomicU64,
}

/// What a connection holds for its whole life.
pub(crate) struct Place {
    /// Number of the connection, unique in this process.
    pub(crate) serial: u64,
    /// Who it counts for; nobody while a load balancer has not said it, or a handshake not proved it.
    source: Option<Counted>,
    seat: Option<OwnedSemaphorePermit>,
    _descriptor: Option<OwnedSemaphorePermit>,
}

/// What a connection holds until it is admitted.
pub(crate) struct Handshake {
    _one: OwnedSemaphorePermit,
    /// Who it counts for, once that is known; held for its drop.
    _shaking: Option<Shaking>,
}

macro_rules! labels {
    ($(#[doc = $about:literal])+ $what:ident { $($(#[doc = $doc:literal])+ $name:ident = $text:literal)* }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $what {$(
            $(#[doc = $doc])+
            $name,
        )*}

        impl $what {
            /// Every one.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The label in metrics.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {$(Self::$name => $text,)*}
            }
        }
    };
}

labels! {
    /// How a connection's coming ended, label `result` of `relay_connections_total`. All but the first two are refusals;
    /// nothing is said to those before TLS.
    Arrival {
        /// TLS is done, the hello comes next.
        Accepted = "accepted"
        /// Over QUIC: it must prove first that it gets what is sent to its address, and comes again.
        AskedForProof = "asked_for_proof"
        /// The system gave no connection, for example because descriptors ran out all the same.
        AcceptFailed = "accept_failed"
        /// No descriptor is left but those of the reserve.
        Descriptors = "descriptors_full"
        /// New connections come faster than `limits.accepts_per_second`.
        Rate = "rate"
        /// `limits.handshakes` connections have not shown a ticket yet.
        HandshakesFull = "handshakes_full"
        /// The address has its share of `limits.handshakes`, or `limits.handshakes_per_address`.
        AddressHandshakes = "address_handshakes"
        /// The IPv6 /48 has its share of `limits.handshakes`.
        NetworkHandshakes = "network_handshakes"
        /// Memory is above its ceiling, and those who may still try are trying already.
        Memory = "memory"
        /// The address has `limits.connections_per_address` connections.
        AddressFull = "address_full"
        /// The address connects faster than `limits.accepts_per_second_per_address`.
        AddressRate = "address_rate"
        /// The IPv6 /48 has `limits.connections_per_network` connections.
        NetworkFull = "network_full"
        /// The IPv6 /48 connects faster than its share.
        NetworkRate = "network_rate"
        /// An address in `proxy_from` sent no header of the PROXY protocol, version 2.
        ProxyHeader = "proxy_header"
        /// An address in `proxy_from` did not send its header in time.
        ProxyTimeout = "proxy_timeout"
        /// No TLS handshake in time.
        TlsTimeout = "tls_timeout"
        /// No TLS 1.3, or broken off.
        TlsFailed = "tls_failed"
        /// TLS without the name of this protocol.
        WrongAlpn = "wrong_alpn"
        /// QUIC without the streams of this protocol.
        WrongStreams = "wrong_streams"
    }
}

labels! {
    /// Which bound a tool met that was told `overloaded`, label `bound` of `relay_overloaded_total`.
    Bound {
        /// Nine of ten of `limits.connections` are taken and its session is not here, or all are.
        Connections = "connections"
        /// `limits.sessions` are here.
        Sessions = "sessions"
        /// Memory is above its ceiling and its session is not here.
        Memory = "memory"
        /// Bad tickets come faster than `limits.verifications_per_second`.
        Verifications = "verifications"
        /// Its address shows bad tickets faster than `limits.verifications_per_second_per_address`.
        AddressVerifications = "address_verifications"
    }
}

impl From<TooMany> for Arrival {
    fn from(too_many: TooMany) -> Self {
        match too_many {
            TooMany::AddressOpen => Self::AddressFull,
            TooMany::AddressRate => Self::AddressRate,
            TooMany::NetworkOpen => Self::NetworkFull,
            TooMany::NetworkRate => Self::NetworkRate,
            TooMany::AddressHandshakes => Self::AddressHandshakes,
            TooMany::NetworkHandshakes => Self::NetworkHandshakes,
        }
    }
}

/// Why a tool is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// By its ticket or how it was brought.
    Because(CloseReason),
    /// By its ticket, which was no good a moment ago and was not looked at again.
    Again(CloseReason),
    /// There is no room; another relay may have some.
    Overloaded(Bound),
}

/// Why there is no seat in the table of sessions.
impl From<CloseReason> for NotAdmitted {
    fn from(reason: CloseReason) -> Self {
        if reason == CloseReason::Overloaded { Self::Overloaded(Bound::Sessions) } else { Self::Because(reason) }
    }
}

impl Place {
    /// Whether it is known who it counts for.
    pub(crate) const fn has_source(&self) -> bool {
        self.source.is_some()
    }
}

impl NotAdmitted {
    /// What the tool is told.
    pub(crate) const fn reason(self) -> CloseReason {
        match self {
            Self::Because(reason) | Self::Again(reason) => reason,
            Self::Overloaded(_) => CloseReason::Overloaded,
        }
    }
}

impl Gate {
    /// Nobody is in. `descriptors`: connections over TCP that fit, see [`crate::descriptors::room`].
    pub(crate) fn new(limits: &Limits, descriptors: usize, now: Instant) -> Self {
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        let accepts = limits.accepts_per_second;
        Self {
            seats: semaphore(limits.connections),
            seats_reserved: limits.connections / RESERVED_OF,
            handshakes: semaphore(limits.handshakes),
            handshakes_max: limits.handshakes,
            descriptors: semaphore(descriptors),
            accepts: Mutex::new(Bucket::new(accepts, accepts.saturating_mul(2), now)),
            sources: Sources::new(limits.allowances()),
            memory: Memory::new(limits.memory),
            verifier: Verifier::new(limits.verifications_per_second, now),
            serial: AtomicU64::new(0),
        }
    }

    /// Bytes above which nothing new begins.
    pub(crate) const fn memory_ceiling(&self) -> u64 {
        self.memory.ceiling()
    }

    /// Lets a connection over TCP in, if all bounds allow it; without a source one from a load balancer, which must say
    /// it next (see [`Self::came_from`]).
    ///
    /// # Errors
    /// The bound that is reached.
    pub(crate) fn let_in(&self, source: Option<IpAddr>, now: Instant) -> Result<(Place, Handshake), Arrival> {
        let descriptor = Arc::clone(&self.descriptors).try_acquire_owned().map_err(|_full| Arrival::Descriptors)?;
        self.enter(source, Some(descriptor), now)
    }

    /// The same for a connection that needs no descriptor of its own, as those over one UDP socket; without a source as
    /// long as it has not proved its address, or anybody could use up what another address may have.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(crate) fn let_in_datagram(&self, source: Option<IpAddr>, now: Instant) -> Result<(Place, Handshake), Arrival> {
        self.enter(source, None, now)
    }

    /// Whether a bound of this source is not reached yet.
    pub(crate) fn has_room_for(&self, source: IpAddr, now: Instant) -> bool {
        self.sources.has_room(source, self.free_handshakes(), now)
    }

    /// Counts place and handshake for who really connected, as a load balancer says or a handshake has proved.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(crate) fn came_from(
        &self,
        (place, handshake): (&mut Place, Handshake),
        source: IpAddr,
        now: Instant,
    ) -> Result<Handshake, Arrival> {
        let (counted, shaking) = self.sources.count(source, self.free_handshakes(), now)?;
        place.source = Some(counted);
        Ok(Handshake { _shaking: Some(shaking), ..handshake })
    }

    /// Places for handshakes that others do not hold, where the caller has one.
    fn free_handshakes(&self) -> usize {
        self.handshakes.available_permits().saturating_add(1)
    }

    /// Checks a hello within the rates of verifications.
    ///
    /// # Errors
    /// See [`NotAdmitted`].
    pub(crate) fn verify(
        &self,
        place: &Place,
        keys: &Keys,
        hello: &Hello,
        expected: &Expected<'_>,
        now: Instant,
    ) -> Result<Ticket, NotAdmitted> {
        // A connection without a source has none to be counted for, and none gets as far as this.
        let Some(source) = &place.source else { return Err(NotAdmitted::Because(CloseReason::Malformed)) };
        self.verifier.verify(keys, hello, expected, source, now).map_err(|denied| match denied {
            Denied::Because(reason) => NotAdmitted::Because(reason),
            Denied::Again(reason) => NotAdmitted::Again(reason),
            Denied::SourceRate => NotAdmitted::Overloaded(Bound::AddressVerifications),
            Denied::Rate => NotAdmitted::Overloaded(Bound::Verifications),
        })
    }

    /// Gives an admitted connection a seat; its [`Handshake`] may go then. `is_here`: its session is at this relay already.
    ///
    /// # Errors
    /// The bound that is reached; another relay may do.
    pub(crate) fn seat(&self, place: &mut Place, is_here: bool, now: Instant) -> Result<(), NotAdmitted> {
        if !is_here && self.memory.is_over(now) {
            return Err(NotAdmitted::Overloaded(Bound::Memory));
        }
        let full = NotAdmitted::Overloaded(Bound::Connections);
        // Two that race for the last open seat may both get it: the reserve is then one smaller for a while.
        if !is_here && self.seats.available_permits() <= self.seats_reserved {
            return Err(full);
        }
        place.seat = Some(Arc::clone(&self.seats).try_acquire_owned().map_err(|_full| full)?);
        Ok(())
    }

    /// Other ticket keys count from now on.
    pub(crate) fn keys_changed(&self) {
        self.verifier.forget();
    }

    fn enter(
        &self,
        source: Option<IpAddr>,
        descriptor: Option<OwnedSemaphorePermit>,
        now: Instant,
    ) -> Result<(Place, Handshake), Arrival> {
        let one = Arc::clone(&self.handshakes).try_acquire_owned().map_err(|_full| Arrival::HandshakesFull)?;
        let under_way = self.handshakes_max.saturating_sub(self.handshakes.available_permits());
        if self.handshakes_max / RESERVED_OF < under_way && self.memory.is_over(now) {
            return Err(Arrival::Memory);
        }
        let mut accepts = self.accepts.lock().unwrap_or_else(PoisonError::into_inner);
        if !accepts.is_open(now) {
            return Err(Arrival::Rate);
        }
        let counted = source.map(|source| self.sources.count(source, self.free_handshakes(), now)).transpose()?;
        let (source, shaking) = counted.unzip();
        accepts.take(1);
        drop(accepts);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Ok((Place { serial, source, seat: None, _descriptor: descriptor }, Handshake { _one: one, _shaking: shaking }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ops::config::Bytes;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn gate(limits: &Limits) -> Gate {
        Gate::new(limits, usize::MAX, Instant::now())
    }

    fn enter(gate: &Gate, source: IpAddr) -> Result<(Place, Handshake), Arrival> {
        gate.let_in(Some(source), Instant::now())
    }

    /// An admitted connection, or why it is none.
    fn admit(gate: &Gate, is_here: bool) -> Result<Place, NotAdmitted> {
        let (mut place, _handshake) = enter(gate, ONE).unwrap();
        gate.seat(&mut place, is_here, Instant::now()).map(|()| place)
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_are_bounded_and_admission_ends_one() {
        let gate = gate(&Limits { handshakes: 2, ..Limits::default() });
        let (first, handshake) = enter(&gate, ONE).unwrap();
        let second = enter(&gate, OTHER).unwrap();

        assert_eq!(enter(&gate, OTHER).err(), Some(Arrival::HandshakesFull));
        drop(handshake);

        let third = enter(&gate, [192, 0, 2, 3].into()).unwrap();
        assert!(first.serial < second.0.serial && second.0.serial < third.0.serial, "a number is used once");
        assert_eq!(enter(&gate, OTHER).err(), Some(Arrival::HandshakesFull));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_tenth_of_the_seats_is_for_those_who_come_back() {
        let gate = gate(&Limits { connections: 20, ..Limits::default() });
        let mut seated: Vec<_> = std::iter::from_fn(|| admit(&gate, false).ok()).take(100).collect();

        assert_eq!(seated.len(), 18);
        seated.extend(std::iter::from_fn(|| admit(&gate, true).ok()).take(100));
        assert_eq!(seated.len(), 20);
        assert_eq!(admit(&gate, true).err(), Some(NotAdmitted::Overloaded(Bound::Connections)));
        seated.truncate(17);

        assert!(admit(&gate, false).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn above_the_memory_ceiling_only_sessions_that_are_here_go_on_and_few_may_try() {
        let limits = Limits { memory: Some(Bytes::new(1)), handshakes: 20, ..Limits::default() };
        let gate = gate(&limits);

        assert_eq!(admit(&gate, false).err(), Some(NotAdmitted::Overloaded(Bound::Memory)));
        assert!(admit(&gate, true).is_ok());
        let trying: Vec<_> = std::iter::from_fn(|| enter(&gate, ONE).ok()).take(100).collect();
        assert_eq!(trying.len(), 2);
        assert_eq!(enter(&gate, ONE).err(), Some(Arrival::Memory));
    }

    #[tokio::test(start_paused = true)]
    async fn new_connections_are_held_to_a_rate_whoever_they_are() {
        let gate = gate(&Limits { accepts_per_second: 10, ..Limits::default() });
        let come = || (0..=255).filter(|last| enter(&gate, [192, 0, 2, *last].into()).is_ok()).count();

        assert_eq!(come(), 20, "twice the rate at once");
        assert_eq!(enter(&gate, ONE).err(), Some(Arrival::Rate));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(come(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn descriptors_are_kept_free_and_a_datagram_needs_none() {
        let gate = Gate::new(&Limits::default(), 2, Instant::now());
        let first = enter(&gate, ONE).unwrap();
        let _second = enter(&gate, ONE).unwrap();

        assert_eq!(enter(&gate, ONE).err(), Some(Arrival::Descriptors));
        assert!(gate.let_in_datagram(Some(ONE), Instant::now()).is_ok());
        drop(first);
        assert!(enter(&gate, ONE).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_balancers_connection_counts_for_who_really_connected() {
        let gate = gate(&Limits { connections_per_address: 2, ..Limits::default() });
        let come = |source| {
            let (mut place, handshake) = gate.let_in(None, Instant::now()).unwrap();
            gate.came_from((&mut place, handshake), source, Instant::now()).map(|_handshake| place)
        };

        let _first = come(ONE).unwrap();
        let _second = come(ONE).unwrap();

        assert_eq!(come(ONE).err(), Some(Arrival::AddressFull));
        assert!(come(OTHER).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn no_few_addresses_hold_all_places_for_handshakes() {
        for greedy in [1, 2, 8, 32] {
            let gate = gate(&Limits { connections_per_address: 10_000, ..Limits::default() });
            let strangers: Vec<IpAddr> = (1..=greedy).map(|last| [198, 51, 100, last].into()).collect();
            let mut held = Vec::new();
            loop {
                let before = held.len();
                held.extend(strangers.iter().filter_map(|stranger| enter(&gate, *stranger).ok()));
                if held.len() == before {
                    break;
                }
            }

            assert_eq!(enter(&gate, strangers[0]).err(), Some(Arrival::AddressHandshakes), "{greedy}");
            let office: Vec<_> = std::iter::from_fn(|| enter(&gate, ONE).ok()).collect();
            let fair = held.len() / strangers.len();
            assert!(fair / 3 <= office.len(), "{} of {fair} each for {greedy}", office.len());
            assert!(held.len() + office.len() < 1_024, "somebody else would find a place, too");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_office_behind_one_address_gets_in_at_once_when_nobody_else_comes() {
        let gate = gate(&Limits::default());

        let office: Vec<_> = std::iter::from_fn(|| enter(&gate, ONE).ok()).take(10_000).collect();
        assert_eq!(office.len(), 256);
        let (places, handshakes): (Vec<_>, Vec<_>) = office.into_iter().unzip();
        drop(handshakes);

        let more: Vec<_> = std::iter::from_fn(|| enter(&gate, ONE).ok()).take(10_000).collect();
        assert_eq!(places.len() + more.len(), 512, "so many connections one address may have");
    }

    #[tokio::test(start_paused = true)]
    async fn a_balancers_connection_takes_of_the_share_of_who_really_connected() {
        let gate = gate(&Limits { handshakes_per_address: 1, ..Limits::default() });
        let come = |source| {
            let (mut place, handshake) = gate.let_in(None, Instant::now()).unwrap();
            gate.came_from((&mut place, handshake), source, Instant::now()).map(|handshake| (place, handshake))
        };

        let _first = come(ONE).unwrap();

        assert_eq!(come(ONE).err(), Some(Arrival::AddressHandshakes));
        assert!(come(OTHER).is_ok());
    }

    #[test]
    fn every_label_is_there_once() {
        let labels: std::collections::BTreeSet<_> = Arrival::ALL.iter().map(|arrival| arrival.as_str()).collect();
        assert_eq!(labels.len(), Arrival::ALL.len());
        let labels: std::collections::BTreeSet<_> = Bound::ALL.iter().map(|bound| bound.as_str()).collect();
        assert_eq!(labels.len(), Bound::ALL.len());
    }
}
