//! The paths of one session ask each other how slow the network is that they share.
//!
//! A ping without an answer has two explanations: a relay that is dead, from which the session must go, and a network on
//! which everything takes long, where going elsewhere only costs. A path at another relay tells them apart: it is asked,
//! and answers as fast as the network is.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use crate::{path::Ears, roam::PathId};

/// The paths of a session that have joined.
#[derive(Default)]
pub(crate) struct Beside(Mutex<Vec<(PathId, Weak<Ears>)>>);

/// A path that the others may ask. It leaves when this is dropped.
pub(crate) struct Place {
    beside: Arc<Beside>,
    id: PathId,
}

impl Beside {
    /// Takes a path in.
    pub(crate) fn enter(self: &Arc<Self>, id: PathId, ears: &Arc<Ears>) -> Place {
        self.lock().push((id, Arc::downgrade(ears)));
        Place { beside: Arc::clone(self), id }
    }

    /// Each of these must be told with no lock of a path held.
    fn others(&self, id: PathId) -> Vec<Arc<Ears>> {
        self.lock().iter().filter(|(other, _)| *other != id).filter_map(|(_, ears)| ears.upgrade()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(PathId, Weak<Ears>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Asks the other paths for a round trip; `false` when there is none.
    pub(crate) fn ask(&self) -> bool {
        let others = self.beside.others(self.id);
        for ears in &others {
            ears.ask();
        }
        !others.is_empty()
    }

    /// Tells those who asked how long a round trip takes here.
    pub(crate) fn tell(&self, round_trip: Duration) {
        for ears in self.beside.others(self.id) {
            ears.told(round_trip);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.beside.lock().retain(|(id, _)| *id != self.id);
    }
}
