//! Who may come in: what one connection takes of the relay's bounds, before anything is read from it.
//!
//! A connection holds a [`Place`] for its whole life and a [`Handshake`] until it is admitted; dropping them gives them
//! back. Every listener, whatever its transport, asks the one gate of the relay. A connection that is turned away costs
//! an accept and a close, and is counted by the reason.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::Limits,
    limit::{Counted, Sources},
};

/// See the module.
pub(crate) struct Gate {
    limits: Limits,
    total: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    sources: Sources,
    serial: AtomicU64,
}

/// What a connection holds for its whole life.
pub(crate) struct Place {
    /// Number of the connection, unique in this process.
    pub(crate) serial: u64,
    _total: OwnedSemaphorePermit,
    _source: Counted,
}

/// What a connection holds until it is admitted.
pub(crate) struct Handshake {
    _one: OwnedSemaphorePermit,
}

/// Why a connection is turned away; nothing is said to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// Too many connections.
    Full,
    /// Too many from this source.
    AddressFull,
    /// Too many that are not admitted yet.
    HandshakesFull,
}

impl TurnedAway {
    /// The label in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AddressFull => "address_full",
            Self::HandshakesFull => "handshakes_full",
        }
    }
}

impl Gate {
    /// Nobody is in.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            total: Arc::new(Semaphore::new(limits.connections)),
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            sources: Sources::default(),
            serial: AtomicU64::new(0),
        }
    }

    /// Lets a connection from `source` in, if all bounds allow it.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(crate) fn let_in(&self, source: IpAddr) -> Result<(Place, Handshake), TurnedAway> {
        let total = Arc::clone(&self.total).try_acquire_owned().map_err(|_full| TurnedAway::Full)?;
        let source = self.sources.count(source, self.limits.connections_per_address).ok_or(TurnedAway::AddressFull)?;
        let one = Arc::clone(&self.handshakes).try_acquire_owned().map_err(|_full| TurnedAway::HandshakesFull)?;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Ok((Place { serial, _total: total, _source: source }, Handshake { _one: one }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn every_bound_turns_away_by_its_own_name_and_opens_again() {
        let limits = Limits { connections: 3, connections_per_address: 2, handshakes: 2, ..Limits::default() };
        let gate = Gate::new(limits);

        let (first, shaking) = gate.let_in(ONE).unwrap();
        let (second, _shaking) = gate.let_in(ONE).unwrap();
        assert_eq!(gate.let_in(ONE).err(), Some(TurnedAway::AddressFull));
        assert_eq!(gate.let_in(OTHER).err(), Some(TurnedAway::HandshakesFull));
        drop(shaking);
        let (_third, _) = gate.let_in(OTHER).unwrap();
        assert_eq!(gate.let_in(OTHER).err(), Some(TurnedAway::Full));
        drop(first);
        let (fourth, _) = gate.let_in(ONE).unwrap();

        assert!(second.serial < fourth.serial, "a number is used once");
    }
}
