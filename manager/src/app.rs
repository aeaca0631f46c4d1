//! What every handler has at hand.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use ops::clock::Clock;
use proto::{api::UnixMillis, ticket::SigningKey};
use rand_core::{CryptoRngCore, OsRng, RngCore as _};

use crate::{
    column_key::ColumnKey, config::Config, db::Db, events::Hub, live, login::gate::HashGate, metrics::Metrics,
    provider::Providers, reception::locator::LocatorKey, terms,
};

/// The manager's state. Cheap to clone; everything that must last is in the database.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub db: Db,
    /// What time it is.
    pub clock: Clock,
    /// The settings.
    pub config: Arc<Config>,
    /// What is counted.
    pub metrics: Metrics,
    /// Signs tickets and introductions.
    pub signing_key: Arc<SigningKey>,
    /// Where passwords are hashed, a few at a time.
    pub hash_gate: HashGate,
    /// The event streams that are open at this manager.
    pub events: Hub,
    /// The live boards that are open at this manager.
    pub boards: live::Hub,
    /// Hashes and seals locators.
    pub locators: LocatorKey,
    /// Seals columns that the database alone must not tell.
    pub columns: ColumnKey,
    /// The way to identity providers.
    pub providers: Providers,
    /// Whether there are terms of use that pages link.
    pub terms: terms::Known,
    steady_since_ms: Arc<AtomicI64>,
}

impl App {
    /// Puts the parts together.
    pub fn new(db: Db, clock: Clock, config: Config, metrics: Metrics, signing_key: SigningKey) -> Self {
        let hash_gate = HashGate::new(&config.login, &metrics.core);
        let locators = LocatorKey::of(&signing_key);
        let columns = ColumnKey::of(&signing_key);
        let providers =
            Providers::new(config.providers.clone(), config.providers.timeout(config.http.request_timeout.get()));
        let steady_since_ms = Arc::new(AtomicI64::new(clock.now_ms()));
        Self {
            db,
            clock,
            config: Arc::new(config),
            metrics,
            signing_key: Arc::new(signing_key),
            hash_gate,
            events: Hub::default(),
            boards: live::Hub::default(),
            locators,
            columns,
            providers,
            terms: terms::Known::default(),
            steady_since_ms,
        }
    }

    /// Since when this manager and its database were there without a gap; what was silent before could not be heard.
    pub fn steady_since_ms(&self) -> UnixMillis {
        self.steady_since_ms.load(Ordering::Relaxed)
    }

    /// Notes that there was a gap, which is over now.
    pub fn note_gap(&self) {
        self.steady_since_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// UTC milliseconds.
    pub fn now_ms(&self) -> UnixMillis {
        self.clock.now_ms()
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "App({:?})", self.db)
    }
}

/// The random numbers of the operating system.
pub fn os_rng() -> impl CryptoRngCore {
    OsRng
}

/// 16 random bytes, for a new id: `SessionId::from_bytes(draw_id())`.
pub fn draw_id() -> [u8; 16] {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
