//! Who comes from where: open connections, those without a ticket yet, new ones a second and tickets that were no good,
//! of each source. Pure.
//!
//! A source is an IPv4 address, or an IPv6 /64, which is what one household or office has; above it an IPv6 /48 has
//! bounds of its own, because that is what one customer of a provider may have. The table is bounded: only who got in
//! has a row, rows without a connection are forgotten, those that are idle longest first, and a row is as good as none
//! once its rates have recovered. So nobody makes it grow by calling from many addresses.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::limit::Bucket;

/// A row without a connection is forgotten after this long, or earlier when the table is full. By then every rate has
/// recovered: a burst is worth ten seconds of its rate.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);
/// Rows that are looked at for that whenever somebody comes: more than one comes with it, so the table shrinks.
const FORGOTTEN_AT_ONCE: usize = 4;

/// What one source may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Open connections; so many may also come at once, when none came for a while.
    pub connections: usize,
    /// Connections that have not shown a ticket yet.
    pub handshakes: usize,
    /// New connections a second, in the long run.
    pub accepts: u64,
    /// Tickets a second that turn out to be no good, in the long run; twice as many at once.
    pub tickets: u64,
}

/// What sources may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowances {
    /// One IPv4 address or IPv6 /64.
    pub address: Allowance,
    /// One IPv6 /48.
    pub network: Allowance,
    /// Rows of the table.
    pub rows_max: usize,
}

/// Which bound of a source is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// Open connections of the address.
    AddressOpen,
    /// New connections a second of the address.
    AddressRate,
    /// Open connections of the /48.
    NetworkOpen,
    /// New connections a second of the /48.
    NetworkRate,
    /// The address's share of the places for handshakes.
    AddressHandshakes,
    /// The share of the /48.
    NetworkHandshakes,
}

/// The table; clones share it.
#[derive(Debug, Clone)]
pub struct Sources {
    allowances: Allowances,
    table: Arc<Mutex<Table>>,
}

/// One counted connection; dropping it gives the place back.
#[derive(Debug)]
pub struct Counted {
    sources: Sources,
    keys: Keys,
}

/// One that has not shown a ticket yet; dropping it says that it has, or is gone.
#[derive(Debug)]
pub struct Shaking {
    sources: Sources,
    keys: Keys,
}

/// The one or two rows of an address, the widest first.
type Keys = [Option<Key>; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Network(Ipv6Addr),
}

#[derive(Debug, Default)]
struct Table {
    rows: HashMap<Key, Row>,
    /// Rows without a connection, by when they became so.
    idle: BTreeMap<u64, Key>,
    serial: u64,
}

#[derive(Debug)]
struct Row {
    connections: usize,
    handshakes: usize,
    accepts: Bucket,
    tickets: Bucket,
    /// Place in the idle ones, and since when.
    idle: Option<(u64, Instant)>,
}

impl Sources {
    /// Nobody has come yet.
    pub fn new(allowances: Allowances) -> Self {
        Self { allowances, table: Arc::default() }
    }

    /// Counts a connection that has not shown a ticket yet, where `free` more of all sources have room, itself included.
    ///
    /// A source may hold so many of these as are half of what is left by then. So one alone gets a third of all places at
    /// most, a few get equal shares, and however many there are, one that holds less than they do still finds a place.
    ///
    /// # Errors
    /// The bound that is reached; nothing is counted then.
    pub fn count(&self, address: IpAddr, free: usize, now: Instant) -> Result<(Counted, Shaking), TooMany> {
        let keys = keys_of(address);
        let mut table = self.lock();
        self.check(&mut table, keys, (free, now))?;
        table.forget(now, self.allowances.rows_max);
        for key in keys.into_iter().flatten() {
            table.take(key, self.allowance(key), now);
        }
        drop(table);
        Ok((Counted { sources: self.clone(), keys }, Shaking { sources: self.clone(), keys }))
    }

    /// Whether [`Self::count`] would count a connection now.
    pub fn has_room(&self, address: IpAddr, free: usize, now: Instant) -> bool {
        self.check(&mut self.lock(), keys_of(address), (free, now)).is_ok()
    }

    /// Rows now.
    pub fn len(&self) -> usize {
        self.lock().rows.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn check(&self, table: &mut Table, keys: Keys, (free, now): (usize, Instant)) -> Result<(), TooMany> {
        for key in keys.into_iter().flatten() {
            let allowance = self.allowance(key);
            let share = allowance.handshakes.min(free.div_ceil(2));
            if let Some(row) = table.rows.get_mut(&key) {
                if share <= row.handshakes {
                    return Err(too_many_shaking(key));
                }
                row.check(key, allowance, now)?;
            } else if allowance.connections == 0 {
                return Err(too_many_open(key));
            } else if share == 0 {
                return Err(too_many_shaking(key));
            }
        }
        Ok(())
    }

    const fn allowance(&self, key: Key) -> Allowance {
        match key {
            Key::Address(_) => self.allowances.address,
            Key::Network(_) => self.allowances.network,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Whether a ticket of this source may be looked at now; one that is no good is then to be [`Self::charge`]d.
    pub fn may_show_ticket(&self, now: Instant) -> bool {
        let mut table = self.sources.lock();
        let open = |key| table.rows.get_mut(&key).is_none_or(|row| row.tickets.is_open(now));
        self.keys.into_iter().flatten().all(open)
    }

    /// Counts a ticket that was no good.
    pub fn charge(&self) {
        let mut table = self.sources.lock();
        for key in self.keys.into_iter().flatten() {
            if let Some(row) = table.rows.get_mut(&key) {
                row.tickets.take(1);
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut table = self.sources.lock();
        for key in self.keys.into_iter().flatten() {
            table.leave(key, |row| &mut row.connections);
        }
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        let mut table = self.sources.lock();
        for key in self.keys.into_iter().flatten() {
            table.leave(key, |row| &mut row.handshakes);
        }
    }
}

impl Table {
    /// Drops rows that nobody needs: the oldest idle ones that are old enough, and as many as it takes to make room.
    fn forget(&mut self, now: Instant, rows_max: usize) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some((&serial, &key)) = self.idle.first_key_value() else { return };
            let since = self.rows.get(&key).and_then(|row| row.idle).map(|(_, since)| since);
            let is_old = since.is_none_or(|since| FORGOTTEN_AFTER <= now.saturating_duration_since(since));
            // Two may be added in a moment.
            let is_full = rows_max < self.rows.len().saturating_add(2);
            if !is_old && !is_full {
                return;
            }
            self.idle.remove(&serial);
            self.rows.remove(&key);
        }
    }

    fn take(&mut self, key: Key, allowance: Allowance, now: Instant) {
        let row = self.rows.entry(key).or_insert_with(|| Row::new(allowance, now));
        row.connections = row.connections.saturating_add(1);
        row.handshakes = row.handshakes.saturating_add(1);
        row.accepts.take(1);
        if let Some((serial, _)) = row.idle.take() {
            self.idle.remove(&serial);
        }
    }

    /// One less of `what`.
    fn leave(&mut self, key: Key, what: impl FnOnce(&mut Row) -> &mut usize) {
        let Some(row) = self.rows.get_mut(&key) else { return };
        let count = what(row);
        *count = count.saturating_sub(1);
        if row.connections == 0 && row.handshakes == 0 {
            self.serial = self.serial.saturating_add(1);
            row.idle = Some((self.serial, Instant::now()));
            self.idle.insert(self.serial, key);
        }
    }
}

impl Row {
    fn new(allowance: Allowance, now: Instant) -> Self {
        let burst = u64::try_from(allowance.connections).unwrap_or(u64::MAX);
        Self {
            connections: 0,
            handshakes: 0,
            accepts: Bucket::new(allowance.accepts, burst, now),
            tickets: Bucket::new(allowance.tickets, allowance.tickets.saturating_mul(2), now),
            idle: None,
        }
    }

    fn check(&mut self, key: Key, allowance: Allowance, now: Instant) -> Result<(), TooMany> {
        if allowance.connections <= self.connections {
            return Err(too_many_open(key));
        }
        if self.accepts.is_open(now) {
            return Ok(());
        }
        Err(match key {
            Key::Address(_) => TooMany::AddressRate,
            Key::Network(_) => TooMany::NetworkRate,
        })
    }
}

const fn too_many_open(key: Key) -> TooMany {
    match key {
        Key::Address(_) => TooMany::AddressOpen,
        Key::Network(_) => TooMany::NetworkOpen,
    }
}

const fn too_many_shaking(key: Key) -> TooMany {
    match key {
        Key::Address(_) => TooMany::AddressHandshakes,
        Key::Network(_) => TooMany::NetworkHandshakes,
    }
}

/// Rows of an address.
fn keys_of(address: IpAddr) -> Keys {
    const fn first_of(address: Ipv6Addr, prefix: u32) -> Ipv6Addr {
        Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (Ipv6Addr::BITS - prefix)))
    }
    match address.to_canonical() {
        IpAddr::V4(address) => [None, Some(Key::Address(address.into()))],
        IpAddr::V6(address) => {
            [Some(Key::Network(first_of(address, 48))), Some(Key::Address(first_of(address, 64).into()))]
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALLOWANCES: Allowances = Allowances {
        address: Allowance { connections: 4, handshakes: 3, accepts: 2, tickets: 3 },
        network: Allowance { connections: 6, handshakes: 4, accepts: 4, tickets: 6 },
        rows_max: 64,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// One that has shown its ticket at once.
    fn count(sources: &Sources, address: IpAddr, now: Instant) -> Result<Counted, TooMany> {
        sources.count(address, 1_000, now).map(|(counted, _shaking)| counted)
    }

    /// Distinct IPv6 /64 networks, each of a /48 of its own.
    fn stranger(number: u32) -> IpAddr {
        Ipv6Addr::from_bits((0x2001 << 112) | (u128::from(number) << 80)).into()
    }

    #[tokio::test(start_paused = true)]
    async fn places_come_back_when_connections_end() {
        let (sources, now) = (Sources::new(ALLOWANCES), Instant::now());
        let mut open: Vec<_> = (0..4).map(|_| count(&sources, ip("192.0.2.7"), now).unwrap()).collect();

        assert_eq!(count(&sources, ip("192.0.2.7"), now).err(), Some(TooMany::AddressOpen));
        assert!(count(&sources, ip("192.0.2.8"), now).is_ok(), "a neighbour is not concerned");
        open.pop();

        assert!(count(&sources, ip("192.0.2.7"), now + Duration::from_secs(1)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_and_goes_is_held_to_its_rate_after_a_burst() {
        let (sources, begun) = (Sources::new(ALLOWANCES), Instant::now());
        let address = ip("192.0.2.7");

        let let_in = |now| std::iter::from_fn(|| count(&sources, address, now).ok()).take(1_000).count();

        // Each is dropped at once, so only the rate counts.
        let at_once = let_in(begun);
        assert_eq!(count(&sources, address, begun).err(), Some(TooMany::AddressRate));
        let later: usize = (1..=10u64).map(|second| let_in(begun + Duration::from_secs(second))).sum();

        assert_eq!(at_once, 4, "the burst");
        assert!((19..=21).contains(&later), "two a second: {later}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_64_is_one_source_and_a_48_has_bounds_of_its_own() {
        let (sources, now) = (Sources::new(ALLOWANCES), Instant::now());
        let mut open: Vec<_> =
            (1..=4).map(|host| count(&sources, ip(&format!("2001:db8:1:1::{host}")), now).unwrap()).collect();

        assert_eq!(count(&sources, ip("2001:db8:1:1:ffff::9"), now).err(), Some(TooMany::AddressOpen));
        open.push(count(&sources, ip("2001:db8:1:2::1"), now).unwrap());
        open.push(count(&sources, ip("2001:db8:1:3::1"), now).unwrap());
        assert_eq!(count(&sources, ip("2001:db8:1:4::1"), now).err(), Some(TooMany::NetworkOpen));
        assert!(count(&sources, ip("2001:db8:2:1::1"), now).is_ok(), "another /48 is not concerned");
        open.truncate(2);
        assert_eq!(count(&sources, ip("2001:db8:1:4::1"), now).err(), Some(TooMany::NetworkRate));
    }

    #[tokio::test(start_paused = true)]
    async fn a_mapped_ipv4_address_is_the_same_source() {
        let (sources, now) = (Sources::new(ALLOWANCES), Instant::now());
        let _open: Vec<_> = (0..4).map(|_| count(&sources, ip("::ffff:192.0.2.7"), now).unwrap()).collect();

        assert_eq!(count(&sources, ip("192.0.2.7"), now).err(), Some(TooMany::AddressOpen));
    }

    #[tokio::test(start_paused = true)]
    async fn only_tickets_that_are_no_good_use_up_the_right_to_show_one() {
        let (sources, now) = (Sources::new(ALLOWANCES), Instant::now());
        let counted = count(&sources, ip("192.0.2.7"), now).unwrap();

        assert!((0..100).all(|_| counted.may_show_ticket(now)));
        let bad = std::iter::from_fn(|| counted.may_show_ticket(now).then(|| counted.charge())).take(1_000).count();

        assert_eq!(bad, 6, "three a second, and twice that at once");
        assert!(counted.may_show_ticket(now + Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_of_an_address_and_of_a_48_have_bounds_and_end_before_the_connection() {
        let (sources, now) = (Sources::new(ALLOWANCES), Instant::now());
        let come = |address: &str| sources.count(ip(address), 1_000, now);
        let mut one: Vec<_> = (0..3).map(|_| come("2001:db8:1:1::1").unwrap()).collect();

        assert_eq!(come("2001:db8:1:1::2").err(), Some(TooMany::AddressHandshakes));
        let _other = come("2001:db8:1:2::1").unwrap();
        assert_eq!(come("2001:db8:1:3::1").err(), Some(TooMany::NetworkHandshakes));
        let (connection, shaking) = one.pop().unwrap();
        drop(shaking);

        assert!(come("2001:db8:1:1::3").is_ok(), "the connection stays, its handshake is done");
        drop(connection);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_holds_as_many_handshakes_as_half_of_what_is_left() {
        let (sources, now) = (Sources::new(ALLOWANCES), Instant::now());
        let _first = sources.count(ip("192.0.2.7"), 3, now).unwrap();

        assert_eq!(sources.count(ip("192.0.2.7"), 2, now).err(), Some(TooMany::AddressHandshakes));
        assert!(!sources.has_room(ip("192.0.2.7"), 2, now) && sources.has_room(ip("192.0.2.7"), 3, now));
        assert!(sources.count(ip("192.0.2.8"), 2, now).is_ok());
        assert_eq!(sources.count(ip("192.0.2.9"), 0, now).err(), Some(TooMany::AddressHandshakes));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_with_endless_addresses_does_not_make_the_table_grow() {
        let (sources, now) = (Sources::new(ALLOWANCES), Instant::now());
        let stays = count(&sources, ip("192.0.2.7"), now).unwrap();

        for number in 0..100_000 {
            drop(count(&sources, stranger(number), now).unwrap());
        }

        assert!(sources.len() <= ALLOWANCES.rows_max, "{}", sources.len());
        drop(stays);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_leaves_no_trace() {
        let (sources, now) = (Sources::new(ALLOWANCES), Instant::now());
        let _open: Vec<_> =
            (0..6).map(|net| count(&sources, ip(&format!("2001:db8:1:{net}::1")), now).unwrap()).collect();
        let before = sources.len();

        for net in 100..200 {
            assert!(count(&sources, ip(&format!("2001:db8:1:{net}::1")), now).is_err());
        }

        assert_eq!(sources.len(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn rows_that_nobody_needs_go_by_themselves_when_others_come() {
        let sources = Sources::new(ALLOWANCES);
        for number in 0..20 {
            drop(count(&sources, stranger(number), Instant::now()).unwrap());
        }
        tokio::time::advance(FORGOTTEN_AFTER).await;

        for number in 100..110 {
            drop(count(&sources, stranger(number), Instant::now()).unwrap());
        }

        assert_eq!(sources.len(), 20, "two rows for each of the last ten");
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_open_connections_whatever_comes_and_goes(
            steps in prop::collection::vec((0u32..40, any::<bool>(), 0u64..2_000), 0..300),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let sources = Sources::new(Allowances { rows_max: 16, ..ALLOWANCES });
                let mut now = Instant::now();
                let mut open: Vec<(u32, Counted)> = Vec::new();
                let mut busy_max = 0;
                for (number, comes, millis) in steps {
                    now += Duration::from_millis(millis);
                    if comes {
                        let of_it = open.iter().filter(|(other, _)| *other == number).count();
                        match count(&sources, stranger(number), now) {
                            Ok(counted) => {
                                assert!(of_it < ALLOWANCES.address.connections);
                                open.push((number, counted));
                            }
                            Err(TooMany::AddressOpen | TooMany::NetworkOpen) => {
                                assert_eq!(of_it, ALLOWANCES.address.connections);
                            }
                            Err(TooMany::AddressRate | TooMany::NetworkRate) => {}
                            Err(TooMany::AddressHandshakes | TooMany::NetworkHandshakes) => {
                                panic!("all have shown their tickets");
                            }
                        }
                    } else if !open.is_empty() {
                        let at = usize::try_from(number).unwrap() % open.len();
                        drop(open.swap_remove(at));
                    }
                    let busy: std::collections::BTreeSet<_> = open.iter().map(|(number, _)| number).collect();
                    busy_max = busy.len().max(busy_max);
                    assert!(sources.len() <= (2 * busy_max + 2).max(16), "{} rows", sources.len());
                    assert!(2 * busy.len() <= sources.len(), "nobody who is here is forgotten");
                }
                drop(open);
                let table = sources.lock();
                assert_eq!(table.idle.len(), table.rows.len(), "everything may be forgotten");
            });
        }
    }
}
