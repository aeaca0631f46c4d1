//! Which way to a relay: QUIC and TLS over TCP race, to every address its name has.
//!
//! QUIC starts first and TCP at most [`HEAD_START`] later, at once when QUIC has failed; the first connection whose
//! handshake is done wins, and the others are dropped. What worked at a relay is remembered as long as the process runs
//! and the memory is fresh: where QUIC lost, TCP starts first, so a network that swallows UDP costs the head start once.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use proto::{api::reception::RelayAddress, limits::TICKET_RELAYS_MAX};
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    BoxFuture,
    proxy::Proxies,
    quic,
    tcp::{self, AnyStream, Connection, DialError},
    tls::Pin,
    transport::{Choice, Transport},
};

/// Whoever starts first has this long before the next one starts, too: people do not notice it, and a handshake over
/// half the world is done in it.
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried: two of each kind.
const ADDRESSES_MAX: usize = 4;
/// Name lookup; the system asks several servers in it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// A QUIC connection that lived no longer than this says that the network does not carry QUIC for long.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// After that TCP starts first at this relay for a while.
const MISTRUST: Duration = Duration::from_mins(2);
/// Where TCP won, it starts first for this long; then the network may be another one.
const MEMORY: Duration = Duration::from_mins(10);
/// Relays that are remembered: those of a few tickets.
const RELAYS_MAX: usize = 16 * TICKET_RELAYS_MAX;

/// Finds the way to relays, and remembers it; a clone shares the memory. One for each process.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    choice: Choice,
    proxies: Proxies,
    memory: Arc<Mutex<Memory>>,
}

/// Told how long a connection lived that was lost. A connection that is closed in peace tells nothing.
pub struct OnLoss(Box<dyn FnOnce(Duration) + Send>);

/// What is known about relays: at which ones TCP starts first, and until when.
#[derive(Debug, Default)]
struct Memory {
    tcp_first_until: HashMap<String, Instant>,
}

/// One try: when it starts at the latest, counted from the beginning of the race, and what it is.
struct Attempt<T> {
    after: Duration,
    run: BoxFuture<Result<T, DialError>>,
}

impl Dialer {
    /// Uses what `choice` allows, and the system's proxies.
    pub fn new(choice: Choice) -> Self {
        Self { choice, proxies: Proxies::system(), memory: Arc::default() }
    }

    /// The same with these proxies.
    #[must_use]
    pub fn through(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// Connects to a relay. Where a proxy stands on the way there is no race: QUIC does not go through one, and going
    /// around it is not what the network's owner wants, unless QUIC alone was asked for.
    ///
    /// # Errors
    /// See [`DialError`]: that of the first way that said why, else that of the last. Within twenty seconds.
    /// Cancel-safe: dropping it closes whatever was opened.
    pub async fn dial(&self, relay: &RelayAddress) -> Result<Connection<AnyStream>, DialError> {
        let (host, port) = host_and_port(&relay.address)?;
        let pin = Pin::from_hex(&relay.spki).map_err(|_not_a_pin| DialError::Address)?;
        if self.choice != Choice::Only(Transport::Quic)
            && let Some(proxy) = self.proxies.on_the_way_to(host, port)
        {
            // Names are looked up by the proxy: this side of it may not know them.
            return tcp::connect_via(&proxy, host, port, pin).await;
        }
        let found = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, port)));
        let addresses = alternate(found.await.map_err(|_late| DialError::Timeout)??);
        let first = self.first(relay);
        let attempts = plan(self.choice, first, &addresses).into_iter().map(|(after, transport, address)| {
            let host = host.to_owned();
            let run: BoxFuture<_> = match transport {
                Transport::Tcp => Box::pin(async move { tcp::connect_any(address, &host, pin).await }),
                Transport::Quic => Box::pin(async move { quic::connect_any(address, &host, pin).await }),
            };
            Attempt { after, run }
        });
        let mut connection = race(attempts.collect()).await?;
        self.note(relay, first, connection.transport);
        if connection.transport == Transport::Quic {
            connection.on_loss = Some(self.watch(relay));
        }
        Ok(connection)
    }

    fn first(&self, relay: &RelayAddress) -> Transport {
        self.memory().first(&relay.address, Instant::now())
    }

    /// Remembers who won.
    fn note(&self, relay: &RelayAddress, first: Transport, won: Transport) {
        if self.choice != Choice::Auto {
            return;
        }
        match (first, won) {
            (Transport::Quic, Transport::Tcp) => self.memory().mistrust(&relay.address, Instant::now() + MEMORY),
            (Transport::Tcp, Transport::Quic) => self.memory().trust(&relay.address),
            (Transport::Quic, Transport::Quic) | (Transport::Tcp, Transport::Tcp) => {}
        }
    }

    fn watch(&self, relay: &RelayAddress) -> OnLoss {
        let (dialer, address) = (self.clone(), relay.address.clone());
        OnLoss(Box::new(move |lived| {
            if lived <= SHORT_LIFE {
                dialer.memory().mistrust(&address, Instant::now() + MISTRUST);
            }
        }))
    }

    /// No await while the guard lives.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnLoss {
    /// Tells that the connection was lost after `lived`.
    pub fn tell(self, lived: Duration) {
        (self.0)(lived);
    }
}

impl std::fmt::Debug for OnLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnLoss(…)")
    }
}

impl Memory {
    fn first(&self, address: &str, now: Instant) -> Transport {
        let is_tcp = self.tcp_first_until.get(address).is_some_and(|until| now < *until);
        if is_tcp { Transport::Tcp } else { Transport::Quic }
    }

    fn mistrust(&mut self, address: &str, until: Instant) {
        if RELAYS_MAX <= self.tcp_first_until.len() && !self.tcp_first_until.contains_key(address) {
            let oldest = self.tcp_first_until.iter().min_by_key(|(_, until)| **until).map(|(known, _)| known.clone());
            oldest.map(|known| self.tcp_first_until.remove(&known));
        }
        let known = self.tcp_first_until.entry(address.to_owned()).or_insert(until);
        *known = until.max(*known);
    }

    fn trust(&mut self, address: &str) {
        self.tcp_first_until.remove(address);
    }
}

/// Parts `host:port`; the brackets around an IPv6 address go.
pub(crate) fn host_and_port(address: &str) -> Result<(&str, u16), DialError> {
    let (host, port) = address.rsplit_once(':').ok_or(DialError::Address)?;
    let port = port.parse().map_err(|_not_a_port| DialError::Address)?;
    Ok((host.trim_start_matches('[').trim_end_matches(']'), port))
}

/// The two kinds of addresses in turn, in the order that the system prefers, so that one kind that leads nowhere costs
/// one head start.
fn alternate(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let mut others: Vec<SocketAddr> = Vec::new();
    for address in found {
        let is_first_kind = addresses.first().is_none_or(|first| first.is_ipv4() == address.is_ipv4());
        let kind = if is_first_kind { &mut addresses } else { &mut others };
        if kind.len() < ADDRESSES_MAX / 2 && !kind.contains(&address) {
            kind.push(address);
        }
    }
    for (place, address) in others.into_iter().enumerate() {
        addresses.insert((2 * place + 1).min(addresses.len()), address);
    }
    addresses
}

/// What is tried, and when at the latest.
fn plan(choice: Choice, first: Transport, addresses: &[SocketAddr]) -> Vec<(Duration, Transport, SocketAddr)> {
    let transports: &[Transport] = match (choice, first) {
        (Choice::Only(Transport::Quic), _) => &[Transport::Quic],
        (Choice::Only(Transport::Tcp), _) => &[Transport::Tcp],
        (Choice::Auto, Transport::Quic) => &[Transport::Quic, Transport::Tcp],
        (Choice::Auto, Transport::Tcp) => &[Transport::Tcp, Transport::Quic],
    };
    let mut plan = Vec::new();
    for (turn, address) in (0u32..).zip(addresses) {
        for (place, transport) in (0u32..).zip(transports) {
            plan.push((HEAD_START * (turn + place), *transport, *address));
        }
    }
    plan.sort_by_key(|(after, ..)| *after);
    plan
}

/// Runs the attempts, each at its time or when all before it have failed; gives the first that succeeds.
async fn race<T>(attempts: Vec<Attempt<T>>) -> Result<T, DialError> {
    let begun = Instant::now();
    let mut waiting = attempts.into_iter().peekable();
    let mut running = FuturesUnordered::new();
    let mut failed = DialError::Address;
    loop {
        let starts_at = waiting.peek().map(|attempt| begun + attempt.after);
        if running.is_empty() || starts_at.is_some_and(|at| at <= Instant::now()) {
            match waiting.next() {
                Some(attempt) => running.push(attempt.run),
                None => return Err(failed),
            }
            continue;
        }
        tokio::select! {
            biased;
            Some(done) = running.next() => match done {
                Ok(won) => return Ok(won),
                Err(error) => failed = more_telling(failed, error),
            },
            () = sleep_until(starts_at.unwrap_or(begun)), if starts_at.is_some() => {}
        }
    }
}

/// What somebody said tells more than that nobody said anything.
fn more_telling(before: DialError, error: DialError) -> DialError {
    match (&before, &error) {
        (DialError::Proxy(_), _) | (DialError::Failed(_), DialError::Timeout | DialError::Address) => before,
        (DialError::Failed(_), DialError::Failed(cause)) if cause.kind() == io::ErrorKind::ConnectionRefused => before,
        (DialError::Failed(_) | DialError::Timeout | DialError::Address, _) => error,
    }
}

#[cfg(test)]
mod tests;
