//! Where passwords are hashed: on threads of their own, a few at a time, with a bounded wait.

use std::{sync::Arc, time::Duration};

use prometheus::{IntCounter, IntGauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Config,
    password::{NewPassword, Password, PasswordHash},
};
use crate::{app, metrics::CoreMetrics};

/// Lets a few callers hash at once. Clones share the places.
#[derive(Clone)]
pub struct HashGate {
    places: Arc<Semaphore>,
    queue: IntGauge,
    hashed: IntCounter,
    queue_max: i64,
    wait: Duration,
    decoy: Arc<PasswordHash>,
}

/// A place at the gate; it is free again when this is dropped.
#[derive(Debug)]
pub struct HashPlace {
    _permit: OwnedSemaphorePermit,
}

/// No place came free in time, or too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being hashed")]
pub struct HashGateBusy;

/// Counts one waiting caller for as long as it lives.
struct Waiting<'a>(&'a IntGauge);

impl HashGate {
    /// A gate with the places of the configuration, which counts who waits and what was hashed.
    pub fn new(config: &Config, metrics: &CoreMetrics) -> Self {
        Self {
            places: Arc::new(Semaphore::new(usize::from(config.hash_parallel.get()))),
            queue: metrics.manager_hash_queue.clone(),
            hashed: metrics.manager_password_hashes_total.clone(),
            queue_max: i64::from(config.hash_queue_max.get()),
            wait: config.hash_wait.into(),
            decoy: Arc::new(PasswordHash::decoy()),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`HashGateBusy`] after the configured wait, or at once when too many wait.
    pub async fn enter(&self) -> Result<HashPlace, HashGateBusy> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(HashPlace { _permit: place });
        }
        if self.queue_max <= self.queue.get() {
            return Err(HashGateBusy);
        }
        let waiting = Waiting::new(&self.queue);
        let place = tokio::time::timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await;
        drop(waiting);
        place.ok().and_then(Result::ok).map(|permit| HashPlace { _permit: permit }).ok_or(HashGateBusy)
    }

    /// Hashes a password that shall be set; `None` when the library refuses, which no password causes.
    pub async fn hash(&self, place: HashPlace, password: NewPassword) -> Option<PasswordHash> {
        self.hashed.inc();
        let work = move || {
            let _place = place;
            password.hash(&mut app::os_rng()).ok()
        };
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }

    /// Whether `password` is the one of `hash`. Without a hash it works as long and says no.
    pub async fn verify(&self, place: HashPlace, password: Password, hash: Option<PasswordHash>) -> bool {
        self.verify_and_renew(place, password, hash).await.0
    }

    /// The same, and the hash to store when the right password has one that is not made as they are now.
    pub async fn verify_and_renew(
        &self,
        place: HashPlace,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> (bool, Option<PasswordHash>) {
        let exists = hash.is_some();
        let hash = hash.map_or_else(|| Arc::clone(&self.decoy), Arc::new);
        let hashed = self.hashed.clone();
        let work = move || {
            let _place = place;
            hashed.inc();
            let matches = hash.matches(&password) && exists;
            let renew = matches && !hash.is_current();
            if !renew {
                return (matches, None);
            }
            hashed.inc();
            (matches, password.hash(&mut app::os_rng()).ok())
        };
        // A thread that died proves no password.
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }
}

impl<'a> Waiting<'a> {
    fn new(queue: &'a IntGauge) -> Self {
        queue.inc();
        Self(queue)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl std::fmt::Debug for HashGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HashGate({} free)", self.places.available_permits())
    }
}
